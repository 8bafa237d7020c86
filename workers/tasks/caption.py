"""Captions: the answer is the column."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Caption:
    """What is in the picture, in a few words."""

    prompt: str
    name = "caption"

    def columns(self, answer: str | None) -> dict[str, Any]:
        return {"caption": answer, "prompt": self.prompt}
