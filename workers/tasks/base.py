"""What a task is: a prompt in, the columns of a row out."""

from typing import Any, Protocol


class Task(Protocol):
    """One question to every image, and what becomes of the answer."""

    @property
    def name(self) -> str:
        """A key of `schemas.rows.TASK_COLUMNS`."""
        ...

    @property
    def prompt(self) -> str:
        """What every image is asked, with one `<ImageHere>`."""
        ...

    def columns(self, answer: str | None) -> dict[str, Any]:
        """The task's columns of one row; None is an item that has no answer."""
        ...
