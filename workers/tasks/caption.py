"""Captions: the answer is the column."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from schemas.asks import Ask, Prompt, Reply, Write, Written
from workers.model.description import Description
from workers.model.prompts import resolve_prompt
from workers.tasks.base import Exhibit, Item, Task

DETAILED_TOKENS = 100
LENGTHS = {"brief": "", "detailed": "Describe this image in detail."}
"""Words for --prompt; a brief caption is what the checkpoint's own question asks for."""


@dataclass(frozen=True)
class Caption(Task):
    """What is in the picture, in a sentence."""

    prompt: str
    max_new_tokens: int

    name = "caption"
    program = "jobs/caption_bucket.py"

    @classmethod
    def add_flags(cls, parser: argparse._ActionsContainer) -> None:
        parser.add_argument(
            "--prompt",
            default="brief",
            metavar="brief|detailed|TEXT",
            help="what the caption answers: TEXT is another question, or a whole prompt with "
            "<ImageHere> (default: brief, the checkpoint's own question)",
        )

    @classmethod
    def wishes(cls, given: argparse.Namespace) -> list[dict[str, Any]]:
        return [{"prompt": given.prompt}]

    @classmethod
    def resolved(cls, checkpoint: Description, prompt: str = "brief") -> Self:
        generation = checkpoint.generation
        question = LENGTHS[prompt] or generation.caption_question if prompt in LENGTHS else prompt
        tokens = generation.max_new_tokens
        if prompt == "detailed":
            tokens = max(tokens, DETAILED_TOKENS)
        return cls(resolve_prompt(question, generation.prompt_template), tokens)

    def flags(self, checkpoint: Description | None) -> list[str]:
        if checkpoint:
            for length in LENGTHS:
                if self == self.resolved(checkpoint, length):
                    return [] if length == "brief" else ["--prompt", length]
        elif LENGTHS["detailed"] in self.prompt and self.max_new_tokens >= DETAILED_TOKENS:
            return ["--prompt", "detailed"]  # so long no other one is
        return ["--prompt", self.prompt]

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        return pa.field("caption", pa.string()), pa.field("prompt", pa.string(), nullable=False)

    def ask(self, item: Item) -> Ask:
        return Write(Prompt(self.prompt), self.max_new_tokens)

    def columns(self, reply: Reply | None, item: Item) -> dict[str, Any]:
        assert reply is None or isinstance(reply, Written), "a caption is written"
        return {"caption": reply.text if reply else None, "prompt": self.prompt}

    def shown(self, row: Mapping[str, Any]) -> str:
        return repr(row["caption"])

    @property
    def exhibit(self) -> Exhibit:
        return Exhibit(text="caption")
