"""What a suite is: annotations in, a question to each item, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from workers.evaluation.scores import Score


@dataclass(frozen=True)
class Item:
    """A picture, and what is asked about it. Suites add what is right."""

    image: Path
    text: str
    """What stands at `{text}` of the suite's question."""

    def columns(self) -> dict[str, Any]:
        """What the model is given of it, never what is right: its line in a manifest."""
        return {"image": str(self.image), "text": self.text}


I = TypeVar("I", bound=Item)  # noqa: E741
A = TypeVar("A", contravariant=True)


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

    def score(self, items: Sequence[I], answers: Sequence[A | None]) -> list[Score]:
        """By each rule; None is an item that failed and counts as wrong."""
        ...
