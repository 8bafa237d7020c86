"""What a task is: a prompt in, the columns of its rows out."""

from collections.abc import Sequence
from typing import Any, Protocol


class Task(Protocol):
    """One question to every image, and what becomes of the answers."""

    @property
    def name(self) -> str:
        """A key of `schemas.rows.TASK_COLUMNS`."""
        ...

    @property
    def prompt(self) -> str:
        """What every image is asked, with one `<ImageHere>`."""
        ...

    def columns(self, answers: Sequence[str | None]) -> dict[str, list[Any]]:
        """The task's columns, one value for each answer; None is an item that has no answer."""
        ...
