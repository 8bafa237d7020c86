"""Pictures whose names are known: does the caption name what they show?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.job import TaskSpec
from workers.evaluation.annotations import read_entries
from workers.evaluation.naming import names_exactly, names_within
from workers.evaluation.scores import STRICT, Score, mean
from workers.evaluation.suites.base import Asking, Item
from workers.model.description import Description
from workers.tasks.caption import Caption as CaptionTask


@dataclass(frozen=True)
class NamedImage(Item):
    names: tuple[str, ...]
    """Those that count as right; the first is the canonical one."""


class Caption:
    """JSON lines of `{"image", "names": [accepted name, …]}`. Nobody published a rule for it."""

    name = "caption"
    column = ""

    def read(self, annotations: Path, images: Path) -> list[NamedImage]:
        return [
            NamedImage(entry.picture(images / entry.text("image")), "", entry.texts("names"))
            for entry in read_entries(annotations)
        ]

    def tasks(self, asking: Asking) -> tuple[TaskSpec, ...]:
        return (CaptionTask.resolved(asking.checkpoint).spec,)

    def reader(self, checkpoint: Description) -> Callable[[Mapping[str, Any]], str]:
        return lambda row: str(row["caption"])

    def score(self, items: Sequence[NamedImage], answers: Sequence[str | None]) -> list[Score]:
        pairs = list(zip(items, answers, strict=True))
        exact = tuple(
            float(answer is not None and names_exactly(answer, item.names))
            for item, answer in pairs
        )
        contained = tuple(
            float(answer is not None and names_within(answer, item.names)) for item, answer in pairs
        )
        return [Score(STRICT, (mean("exact", exact), mean("contained", contained)), exact)]
