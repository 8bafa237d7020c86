"""VizWiz: what blind people asked about their photos, ten people's answers each (SPEC.md §8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.job import TaskSpec
from workers.evaluation.annotations import Entry, read_entries
from workers.evaluation.answers import published_answer, says
from workers.evaluation.scores import AS_PUBLISHED, STRICT, Score, accuracy
from workers.evaluation.suites.base import Asking, Item, written_answer
from workers.model.description import Description

QUESTION = (
    "[vqa] The question is '{text}' Based on the image, answer the question with a single word or "
    "phrase. and reply 'unanswerable' when the provided information is insufficient"
)
ENOUGH = 3
"""An answer that so many people gave is wholly right; one person's is a third."""


@dataclass(frozen=True)
class Question(Item):
    answers: tuple[str, ...]
    """One a person, as they gave them."""


class VizWiz:
    """A JSON list of `{"image", "question", "answers": [{"answer"}, …]}`."""

    name = "vizwiz"
    column = "VizWiz"

    def read(self, annotations: Path, images: Path) -> list[Question]:
        return [
            Question(
                entry.picture(images / entry.text("image")),
                entry.text("question"),
                _answers(entry),
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
            0.0 if answer is None else published_points(answer, item.answers)
            for item, answer in pairs
        )
        strict = tuple(
            0.0 if answer is None else _points(sum(says(answer, given) for given in item.answers))
            for item, answer in pairs
        )
        return [
            accuracy(AS_PUBLISHED, published),
            accuracy(STRICT, strict),
        ]


def published_points(raw: str, given: Sequence[str]) -> float:
    """A person agrees where the answer holds theirs or theirs holds it, so that an empty answer
    agrees with everybody. An answer with `_` counts as several people's.
    """
    answer = published_answer(raw).lower()
    people = "_".join(given).lower().split("_")
    return _points(sum(person in answer or answer in person for person in people))


def _points(people: int) -> float:
    return min(people / ENOUGH, 1.0)


def _answers(entry: Entry) -> tuple[str, ...]:
    people = entry.fields.get("answers")
    if not isinstance(people, list) or not people:
        raise entry.wrong("'answers' must be a list of {\"answer\": text}")
    for person in people:
        if not isinstance(person, dict) or not isinstance(person.get("answer"), str):
            raise entry.wrong("'answers' must be a list of {\"answer\": text}")
    return tuple(person["answer"] for person in people)
