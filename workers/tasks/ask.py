"""Visual questions: each adds a column of the user's own (`--ask name="question"`)."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from schemas.asks import TEXT_PLACE, Ask, Prompt, Reply, Write, Written
from schemas.outcome import UsageError
from workers.model.description import Description
from workers.model.prompts import quoted, resolve_prompt
from workers.tasks.base import Exhibit, Item, Task

COLUMN = re.compile(r"[A-Za-z_]\w{0,62}", re.ASCII)


@dataclass(frozen=True)
class Question(Task):
    """One question to every image."""

    column: str
    prompt: str
    max_new_tokens: int
    with_text: bool
    """Whether `{text}` in the prompt is the image's text, and not what it says."""

    name = "ask"
    everywhere = True

    @classmethod
    def add_flags(cls, parser: argparse._ActionsContainer) -> None:
        parser.add_argument(
            "--ask",
            action="append",
            default=[],
            metavar='NAME="QUESTION"',
            help="add a column NAME with the answers to a question, or to a whole prompt with "
            "<ImageHere>; may be given several times",
        )

    @classmethod
    def wishes(cls, given: argparse.Namespace) -> list[dict[str, Any]]:
        wishes = []
        for asked in given.ask:
            column, equals, question = asked.partition("=")
            if not equals:
                raise UsageError(f'--ask {asked!r} is not NAME="QUESTION"')
            wishes.append({"column": column.strip(), "question": question})
        return wishes

    @classmethod
    def resolved(
        cls, checkpoint: Description, column: str, question: str, with_text: bool = False
    ) -> Self:
        """`with_text`: `{text}` in the question is to be replaced, where it stands once."""
        if not COLUMN.fullmatch(column):
            raise UsageError(
                f"--ask {column!r}: a column's name is letters, digits and underscores, and begins "
                "with no digit"
            )
        if not question.strip():
            raise UsageError(f"--ask {column}: the question is empty")
        if with_text and question.count(TEXT_PLACE) != 1:
            raise UsageError(f"--ask {column}: the question must hold {TEXT_PLACE} once")
        generation = checkpoint.generation
        prompt = resolve_prompt(question, generation.prompt_template)
        return cls(column, prompt, generation.max_new_tokens, with_text)

    def flags(self, checkpoint: Description | None) -> list[str]:
        return ["--ask", f"{self.column}={self.prompt}"]

    @property
    def can_be_typed(self) -> bool:
        return not self.with_text

    @property
    def title(self) -> str:
        return f"{self.name}:{self.column}"

    @property
    def reads_text(self) -> bool:
        return self.with_text

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        return (pa.field(self.column, pa.string()),)

    def ask(self, item: Item) -> Ask:
        text = quoted(item.text) if self.with_text else None
        return Write(Prompt(self.prompt, text), self.max_new_tokens)

    def columns(self, reply: Reply | None, item: Item) -> dict[str, Any]:
        assert reply is None or isinstance(reply, Written), "an answer is written"
        return {self.column: reply.text if reply else None}

    def shown(self, row: Mapping[str, Any]) -> str:
        return f"{self.column} {row[self.column]!r}"

    @property
    def exhibit(self) -> Exhibit:
        return Exhibit(text=self.column)
