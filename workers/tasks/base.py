"""What a task is: an image's question in, the columns of its row out.

A file of this folder that defines a `Task` is a task; there is nothing else to be told of it.
"""

from __future__ import annotations

import argparse
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import pyarrow as pa

from schemas.asks import Ask, Reply
from schemas.job import TaskSpec
from schemas.rows import TaskSchema
from workers.model.description import Description


@dataclass(frozen=True, slots=True)
class Item:
    """What is known of an image beside its pixels."""

    text: str = ""
    """What is written in it, or what else the job reads beside it; "" where there is none."""
    text_source: str = "none"
    """Where the text was found: `column:NAME`, `sidecar`, `ocr`, `none`."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Which of a task's columns people are shown, and as what; "" is no such column."""

    text: str = ""
    """The answer in words."""
    words: str = ""
    """Words with scores: a list of structs of a string and a number from 0 to 1, the best first."""
    score: str = ""
    """A number from 0 to 1."""
    verdict: str = ""
    """Whether it holds that the image is what the column is called."""
    threshold: float | None = None
    """The score from which on it does."""
    beside: str = ""
    """The text that was read with the picture."""
    sensitive: bool = False
    """Whether an image of which the verdict holds is to be seen by those only who ask for it."""


class Task(ABC):
    """One question to every image. Subclasses are frozen dataclasses: their fields are the options
    that a job keeps, in types that JSON has.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised with a change of the columns."""
    program: ClassVar[str] = "jobs/label_bucket.py"
    """The job that asks it alone."""
    everywhere: ClassVar[bool] = False
    """Whether every job may ask it beside its own."""
    evaluated: ClassVar[bool] = False
    """Whether an evaluation alone asks it, and no command line of a labelling job."""
    wants_text: ClassVar[bool] = False
    """Whether it is of use only where a text can stand beside the image."""

    # --- from a command line to a job ---

    @classmethod
    @abstractmethod
    def add_flags(cls, parser: argparse._ActionsContainer) -> None:
        """The flags that say how it is to be asked."""

    @classmethod
    @abstractmethod
    def wishes(cls, given: argparse.Namespace) -> list[dict[str, Any]]:
        """What the flags say, once for each time that it is to be asked: arguments of `resolved`.

        Raises UsageError where a file that they name cannot be read.
        """

    @classmethod
    @abstractmethod
    def resolved(cls, checkpoint: Description, *args: Any, **wish: Any) -> Self:
        """The task as `checkpoint` is asked it, with nothing left open: one of `wishes`.

        Raises PromptError, UsageError where that cannot be.
        """

    @abstractmethod
    def flags(self, checkpoint: Description | None) -> list[str]:
        """A command line that asks just this, of a shipped `checkpoint` or, None, of another."""

    @property
    def can_be_typed(self) -> bool:
        """Whether a labelling job's command line can ask it; else an evaluation alone does."""
        return not self.evaluated

    # --- from an image to its row ---

    @property
    def reads_text(self) -> bool:
        """Whether what it asks depends on `Item.text`."""
        return False

    @property
    def title(self) -> str:
        """What a part's footer calls it; no two tasks of a job have the same."""
        return self.name

    @property
    @abstractmethod
    def fields(self) -> tuple[pa.Field, ...]:
        """The columns that `columns` fills; those that may be null are its answers."""

    @property
    def schema(self) -> TaskSchema:
        """The columns in their version."""
        return TaskSchema(self.title, self.fields, self.version)

    @abstractmethod
    def ask(self, item: Item) -> Ask:
        """What the model is asked about one image."""

    @abstractmethod
    def columns(self, reply: Reply | None, item: Item) -> dict[str, Any]:
        """The task's columns of one row; None is an image that has no labels."""

    @abstractmethod
    def shown(self, row: Mapping[str, Any]) -> str:
        """A labelled row's answer in a few words, for people; `row` holds the task's columns."""

    @property
    def exhibit(self) -> Exhibit:
        """How people are shown its columns one by one; where none is named, `shown` is all."""
        return Exhibit()

    # --- from a job's file and back ---

    @property
    def spec(self) -> TaskSpec:
        """The task in a job."""
        options = json.dumps(asdict(self))  # type: ignore[call-overload]
        return TaskSpec(self.name, json.loads(options), self.version)


def answer_columns(tasks: Sequence[Task]) -> list[str]:
    """The columns that a labelled row fills and a failed one does not."""
    return [column.name for task in tasks for column in task.schema.columns if column.nullable]
