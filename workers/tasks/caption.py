"""Captions: the answer is the column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Caption:
    """What is in the picture, in a few words."""

    prompt: str
    name = "caption"

    def columns(self, answers: Sequence[str | None]) -> dict[str, list[Any]]:
        return {"caption": list(answers), "prompt": [self.prompt] * len(answers)}
