"""GQA: open questions about photos, one short answer each (SPEC.md §8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.job import TaskSpec
from workers.evaluation.annotations import read_entries
from workers.evaluation.answers import says
from workers.evaluation.scores import AS_PUBLISHED, STRICT, Score, accuracy
from workers.evaluation.suites.base import Asking, Item, written_answer
from workers.model.description import Description

QUESTION = "[vqa] Based on the image, respond to this question with a short answer: {text}"


@dataclass(frozen=True)
class Question(Item):
    answer: str


class GQA:
    """A JSON list of `{"image", "question", "answer"}`."""

    name = "gqa"
    column = "GQA"

    def read(self, annotations: Path, images: Path) -> list[Question]:
        return [
            Question(
                entry.picture(images / entry.text("image")),
                entry.text("question"),
                entry.text("answer"),
            )
            for entry in read_entries(annotations)
        ]

    def tasks(self, asking: Asking) -> tuple[TaskSpec, ...]:
        return (asking.written(QUESTION),)

    def reader(self, checkpoint: Description) -> Callable[[Mapping[str, Any]], str]:
        return written_answer

    def score(self, items: Sequence[Question], answers: Sequence[str | None]) -> list[Score]:
        pairs = list(zip(items, answers, strict=True))
        published = tuple(
            float(answer is not None and published_right(answer, item.answer))
            for item, answer in pairs
        )
        strict = tuple(
            float(answer is not None and says(answer, item.answer)) for item, answer in pairs
        )
        return [
            accuracy(AS_PUBLISHED, published),
            accuracy(STRICT, strict),
        ]


def published_right(raw: str, label: str) -> bool:
    """The label, as it is spelt, stands anywhere in the lower-cased answer: `no` in `know` too."""
    return label in raw.lower()
