"""What a suite is: annotations in, a question to each item, scores out.

The questions are asked by a labelling job, whose rows the suite reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from schemas.job import TaskSpec
from workers.evaluation.scores import Score
from workers.model.description import Description
from workers.model.prompts import resolve_prompt
from workers.tasks.ask import Question


@dataclass(frozen=True)
class Item:
    """A picture, and what is asked about it. Suites add what is right."""

    image: Path
    text: str
    """What stands at `{text}` of the suite's question."""

    def columns(self) -> dict[str, Any]:
        """What the model is given of it, never what is right: its line in a manifest."""
        return {"image": str(self.image.absolute()), "text": self.text}


I = TypeVar("I", bound=Item)  # noqa: E741
A = TypeVar("A")

ANSWER = "answer"
"""The column of a written answer."""


@dataclass(frozen=True)
class Asking:
    """How a checkpoint is asked."""

    checkpoint: Description
    template: str
    """Into which a suite's question is set: with `<ImageHere>` and `{question}` once each."""
    tags: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `workers.tasks.tags.Tags.resolved`."""

    def prompt(self, question: str) -> str:
        return resolve_prompt(question, self.template)

    def written(self, question: str) -> TaskSpec:
        """Has the answer to `question` written into the column ANSWER; `{text}` is the item's."""
        prompt = self.prompt(question)
        return Question.resolved(self.checkpoint, ANSWER, prompt, with_text=True).spec


def written_answer(row: Mapping[str, Any]) -> str:
    """What came of `Asking.written`."""
    return str(row[ANSWER])


class Suite(Protocol[I, A]):
    """I is the suite's kind of item, A what the model answers to it."""

    @property
    def name(self) -> str:
        """As `--suite` has it."""
        ...

    @property
    def column(self) -> str:
        """Of the paper's table; "" where that has none."""
        ...

    def read(self, annotations: Path, images: Path) -> list[I]:
        """The items of an annotation file whose pictures lie in the folder `images`.

        Raises:
            UsageError: the file is missing, holds no item, an entry is of another form, or its
                picture is not there.
        """
        ...

    def tasks(self, asking: Asking) -> tuple[TaskSpec, ...]:
        """What is asked of each item."""
        ...

    def reader(self, checkpoint: Description) -> Callable[[Mapping[str, Any]], A]:
        """What makes an answer of a labelled row of those tasks."""
        ...

    def score(self, items: Sequence[I], answers: Sequence[A | None]) -> list[Score]:
        """By each rule; None is an item that failed and counts as wrong."""
        ...
