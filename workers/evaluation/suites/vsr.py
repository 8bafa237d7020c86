"""VSR: is a statement about where things are in a photo true? (SPEC.md §8)"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.job import TaskSpec
from workers.evaluation.annotations import Entry, read_entries
from workers.evaluation.answers import first_word
from workers.evaluation.scores import AS_PUBLISHED, STRICT, Score, accuracy
from workers.evaluation.suites.base import Asking, Item, written_answer
from workers.model.description import Description

QUESTION = "[vqa] Based on the image, is this statement true or false? {text}"
FOLDERS = ("train2017", "val2017", "")
"""Of COCO, in which a picture may lie, in this order; "" is the folder of images itself."""


@dataclass(frozen=True)
class Statement(Item):
    true: bool


class VSR:
    """JSON lines, or a list, of `{"image", "caption", "label": 0 or 1}`, as the dataset has it.

    The authors' two scripts count differently, and which of them the paper used is not known:
    `as published` is the root's, the other one stands beside it.
    """

    name = "vsr"
    column = "VSR"

    def read(self, annotations: Path, images: Path) -> list[Statement]:
        return [_statement(entry, images) for entry in read_entries(annotations)]

    def tasks(self, asking: Asking) -> tuple[TaskSpec, ...]:
        return (asking.written(QUESTION),)

    def reader(self, checkpoint: Description) -> Callable[[Mapping[str, Any]], str]:
        return written_answer

    def score(self, items: Sequence[Statement], answers: Sequence[str | None]) -> list[Score]:
        pairs = list(zip(items, answers, strict=True))
        published = tuple(
            0.0 if answer is None else published_points(answer, item.true) for item, answer in pairs
        )
        generous = tuple(
            0.0 if answer is None else eval_scripts_points(answer, item.true)
            for item, answer in pairs
        )
        strict = tuple(
            float(answer is not None and first_word(answer) == _truth(item.true))
            for item, answer in pairs
        )
        return [
            accuracy(AS_PUBLISHED, published),
            accuracy(f"{AS_PUBLISHED}, eval_scripts", generous),
            accuracy(STRICT, strict),
        ]


def published_points(raw: str, true: bool) -> float:
    """The right one of `true` and `false` stands anywhere in the answer."""
    return float(_truth(true) in raw.lower())


def eval_scripts_points(raw: str, true: bool) -> float:
    """`yes` and `no` earn a point too; an answer with both words earns two."""
    return published_points(raw, true) + float(("yes" if true else "no") in raw.lower())


def _truth(true: bool) -> str:
    return "true" if true else "false"


def _statement(entry: Entry, images: Path) -> Statement:
    image = entry.text("image")
    return Statement(
        entry.picture(*(images / folder / image for folder in FOLDERS)),
        entry.text("caption"),
        entry.integer("label", below=2) == 1,
    )
