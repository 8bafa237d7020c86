"""Pictures whose tags are known: how many of the model's are among them, and the other way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.job import TaskSpec
from workers.evaluation.annotations import read_entries
from workers.evaluation.naming import noun_of
from workers.evaluation.scores import STRICT, Figure, Score, mean
from workers.evaluation.suites.base import Asking, Item
from workers.model.description import Description
from workers.tasks.tags import Tags as TagsTask

DEPTHS = (1, 3, 5)


@dataclass(frozen=True)
class TaggedImage(Item):
    tags: tuple[str, ...]
    """All that are right."""


class Tags:
    """JSON lines of `{"image", "tags": [tag, …]}`. Nobody published a rule for it.

    A tag is right if it is one of the item's, but for case, articles and punctuation.
    """

    name = "tags"
    column = ""

    def read(self, annotations: Path, images: Path) -> list[TaggedImage]:
        return [
            TaggedImage(entry.picture(images / entry.text("image")), "", entry.texts("tags"))
            for entry in read_entries(annotations)
        ]

    def tasks(self, asking: Asking) -> tuple[TaskSpec, ...]:
        return (TagsTask.resolved(asking.checkpoint, **asking.tags).spec,)

    def reader(self, checkpoint: Description) -> Callable[[Mapping[str, Any]], tuple[str, ...]]:
        return lambda row: tuple(tag["tag"] for tag in row["tags"])

    def score(
        self, items: Sequence[TaggedImage], answers: Sequence[tuple[str, ...] | None]
    ) -> list[Score]:
        pairs = [
            (_plain(item.tags), _plain(answer or ()))
            for item, answer in zip(items, answers, strict=True)
        ]
        figures: list[Figure] = []
        for depth in DEPTHS:
            points = [precision(right, given, depth) for right, given in pairs]
            figures.append(mean(f"precision at {depth}", points))
        figures.append(mean("recall", [recall(right, given) for right, given in pairs]))
        first = tuple(precision(right, given, DEPTHS[0]) for right, given in pairs)
        return [Score(STRICT, tuple(figures), first)]


def precision(right: Sequence[str], given: Sequence[str], depth: int) -> float:
    """Which share of the first `depth` places holds a right tag. A place that the model left empty
    does not, unless the picture has no more tags to fill it with.
    """
    places = min(depth, max(len(right), len(given)))
    return len(set(right) & set(given[:depth])) / places


def recall(right: Sequence[str], given: Sequence[str]) -> float:
    """Which share of the right tags is among the given ones."""
    return len(set(right) & set(given)) / len(right)


def _plain(tags: Sequence[str]) -> tuple[str, ...]:
    """Each once, in their order."""
    return tuple(dict.fromkeys(noun_of(tag) for tag in tags))
