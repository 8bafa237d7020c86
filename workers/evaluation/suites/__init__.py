"""The suites by name: one file each, with its annotations' form, its question and its rules."""

from typing import Any

from workers.evaluation.suites.base import Asking, Item, Suite
from workers.evaluation.suites.caption import Caption
from workers.evaluation.suites.gqa import GQA
from workers.evaluation.suites.hm import HM
from workers.evaluation.suites.iconqa import IconQA
from workers.evaluation.suites.tags import Tags
from workers.evaluation.suites.vizwiz import VizWiz
from workers.evaluation.suites.vsr import VSR

__all__ = ["SUITES", "Asking", "Item", "Suite"]

SUITES: dict[str, Suite[Any, Any]] = {
    suite.name: suite for suite in (HM(), VizWiz(), GQA(), VSR(), IconQA(), Caption(), Tags())
}
