"""Hateful memes: how likely picture and text together are one (SPEC.md §8).

The probability is that of yes against no as the answer's first word, not what a written word is
taken for. The raw one is the model's; the calibrated one has its temperature, which
jobs/evaluate.py fits on labelled memes and keeps beside the checkpoint.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from schemas.asks import TEXT_PLACE, Ask, Prompt, Rank, Ranked, Reply
from schemas.outcome import UsageError
from workers.model.calibration import read_calibration
from workers.model.description import Description
from workers.model.prompts import quoted, resolve_prompt
from workers.tasks.base import Exhibit, Item, Task

QUESTION = (
    f"This is an image writting '{TEXT_PLACE}'. Is this image hateful? Answer yes or no. Answer:"
)
"""The authors' words (SPEC.md §8)."""
YES, NO = ("yes", "Yes"), ("no", "No")
THRESHOLD = 0.5
LONGEST_TEXT = 1000
"""Characters that are read: a meme says it in fewer, and the longest prompt decides what memory all
images of a batch take."""


@dataclass(frozen=True)
class Hateful(Task):
    """Whether a meme is hateful."""

    prompt: str
    temperature: float
    """Above 0; the odds' logarithm is divided by it."""
    threshold: float
    """From this calibrated probability on it is; 0 to 1."""

    name = "hateful"
    program = "jobs/moderate_bucket.py"
    wants_text = True

    @classmethod
    def add_flags(cls, parser: argparse._ActionsContainer) -> None:
        parser.add_argument(
            "--threshold",
            type=float,
            default=THRESHOLD,
            metavar="P",
            help=f"hateful from this calibrated probability on, 0 to 1 (default: {THRESHOLD})",
        )

    @classmethod
    def wishes(cls, given: argparse.Namespace) -> list[dict[str, Any]]:
        return [{"threshold": given.threshold}]

    @classmethod
    def resolved(cls, checkpoint: Description, threshold: float = THRESHOLD) -> Self:
        if not 0 <= threshold <= 1:
            raise UsageError(f"--threshold {threshold:g}: a probability, 0 to 1")
        calibration = read_calibration(checkpoint.folder, checkpoint.manifest.digest)
        prompt = resolve_prompt(QUESTION, checkpoint.generation.prompt_template)
        return cls(prompt, calibration.hateful_temperature, threshold)

    def flags(self, checkpoint: Description | None) -> list[str]:
        return [] if self.threshold == THRESHOLD else ["--threshold", str(self.threshold)]

    @property
    def reads_text(self) -> bool:
        return True

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        return (
            pa.field("hateful", pa.bool_()),
            pa.field("hateful_probability", pa.float64()),
            # before calibration
            pa.field("hateful_raw", pa.float64()),
            pa.field("hateful_text", pa.string()),
            pa.field("hateful_text_source", pa.string()),
            pa.field("hateful_threshold", pa.float64(), nullable=False),
            pa.field("hateful_temperature", pa.float64(), nullable=False),
            pa.field("hateful_prompt", pa.string(), nullable=False),
        )

    def ask(self, item: Item) -> Ask:
        return Rank(Prompt(self.prompt, quoted(item.text[:LONGEST_TEXT])), YES + NO, ends=())

    def columns(self, reply: Reply | None, item: Item) -> dict[str, Any]:
        how = {
            "hateful_threshold": self.threshold,
            "hateful_temperature": self.temperature,
            "hateful_prompt": self.prompt,
        }
        if reply is None:
            answers = ("hateful", "hateful_probability", "hateful_raw")
            return dict.fromkeys((*answers, "hateful_text", "hateful_text_source")) | how
        assert isinstance(reply, Ranked), "yes and no are ranked"
        odds = log_odds(reply)
        probability = _probability(odds / self.temperature)
        return {
            "hateful": probability >= self.threshold,
            "hateful_probability": probability,
            "hateful_raw": _probability(odds),
            "hateful_text": item.text,
            "hateful_text_source": item.text_source,
        } | how

    def shown(self, row: Mapping[str, Any]) -> str:
        verdict = "hateful" if row["hateful"] else "not hateful"
        return f"{verdict} {row['hateful_probability']:.2f} {row['hateful_text'][:60]!r}"

    @property
    def exhibit(self) -> Exhibit:
        return Exhibit(
            score="hateful_probability",
            verdict="hateful",
            threshold=self.threshold,
            beside="hateful_text",
            sensitive=True,
        )


def log_odds(reply: Ranked) -> float:
    """The natural logarithm of yes : no."""
    logprobs = dict(reply.scores)
    yes = _log_sum(logprobs[place] for place in range(len(YES)))
    no = _log_sum(logprobs[place] for place in range(len(YES), len(YES + NO)))
    return yes - no


def _log_sum(logprobs: Iterable[float]) -> float:
    given = list(logprobs)
    most = max(given)
    return most + math.log(sum(math.exp(one - most) for one in given))


def _probability(odds: float) -> float:
    """The logistic function, also where its exponential would overflow."""
    if odds < 0:
        return math.exp(odds) / (1 + math.exp(odds))
    return 1 / (1 + math.exp(-odds))
