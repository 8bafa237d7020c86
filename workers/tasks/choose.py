"""Multiple choice: which of an image's own answers fits a question about it, as all of them do.

Question and answers are the image's text: its first line asks, each further line is an answer. One
that is too long to be read with the question is none: it would be the end of the whole job.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from schemas.asks import TEXT_PLACE, Ask, Prompt, Rank, Ranked, Reply
from workers.model.description import Description
from workers.model.prompts import quoted, resolve_prompt
from workers.tasks.base import Item, Task

QUESTION = f"[vqa] Based on the image, respond to this question with a short answer: {TEXT_PLACE} "
"""The authors' words, and their blank before the turn ends (SPEC.md §8)."""

LONGEST_ANSWER = 100
"""Characters."""

CHOICE = pa.struct(
    [
        pa.field("choice", pa.string(), nullable=False),
        pa.field("logprob", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Choose(Task):
    """How likely each answer is the whole answer, the likeliest first."""

    prompt: str

    name = "choose"
    evaluated = True

    @classmethod
    def add_flags(cls, parser: argparse._ActionsContainer) -> None:
        """There is nothing to say."""

    @classmethod
    def wishes(cls, given: argparse.Namespace) -> list[dict[str, Any]]:
        return [{}]

    @classmethod
    def resolved(cls, checkpoint: Description) -> Self:
        return cls(resolve_prompt(QUESTION, checkpoint.generation.prompt_template))

    def flags(self, checkpoint: Description | None) -> list[str]:
        return []

    @property
    def reads_text(self) -> bool:
        return True

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        choices = pa.list_(pa.field("element", CHOICE, nullable=False))
        return (
            pa.field("choices", choices),
            pa.field("choices_prompt", pa.string(), nullable=False),
        )

    def ask(self, item: Item) -> Ask:
        question, choices = _parts(item.text)
        return Rank(Prompt(self.prompt, quoted(question)), choices)

    def columns(self, reply: Reply | None, item: Item) -> dict[str, Any]:
        if reply is None:
            return {"choices": None, "choices_prompt": self.prompt}
        assert isinstance(reply, Ranked), "choices are ranked"
        _, choices = _parts(item.text)
        ranked = [{"choice": choices[place], "logprob": score} for place, score in reply.scores]
        return {"choices": ranked, "choices_prompt": self.prompt}

    def shown(self, row: Mapping[str, Any]) -> str:
        return " > ".join(one["choice"] for one in row["choices"]) or "no choices"


def _parts(text: str) -> tuple[str, tuple[str, ...]]:
    """The question, and the answers, each once; blank lines are none."""
    question, *lines = text.strip().split("\n")
    answers = dict.fromkeys(line.strip() for line in lines)
    return question, tuple(one for one in answers if 0 < len(one) <= LONGEST_ANSWER)
