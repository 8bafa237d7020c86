"""Hateful Memes: is a picture with its text hateful? (SPEC.md §8)

Scored twice: by the word that the model writes, and by the probability of that word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from schemas.job import TaskSpec
from workers.evaluation.annotations import read_entries
from workers.evaluation.answers import first_word, published_answer
from workers.evaluation.metrics import (
    Bin,
    Bools,
    Floats,
    auroc,
    average_precision,
    bins,
    calibration_error,
)
from workers.evaluation.scores import AS_PUBLISHED, STRICT, Figure, Score, accuracy, interval, mean
from workers.evaluation.suites.base import Asking, Item, written_answer
from workers.evaluation.temperature import sigmoid
from workers.model.description import Description
from workers.tasks.hateful import QUESTION, THRESHOLD, Hateful

CERTAIN = 1e-15
"""Probabilities that are nearer to 0 or 1 have the log-odds of this one: floats end there."""


@dataclass(frozen=True)
class Meme(Item):
    hateful: bool


@dataclass(frozen=True)
class MemeAnswer:
    written: str
    raw: float
    """The probability of yes against no, 0 to 1."""
    calibrated: float
    """The same at a temperature."""

    @property
    def log_odds(self) -> float:
        raw = min(max(self.raw, CERTAIN), 1 - CERTAIN)
        return math.log(raw) - math.log1p(-raw)

    def at(self, temperature: float) -> MemeAnswer:
        """Calibrated anew; at 1 that is the raw probability."""
        if temperature == 1:
            return replace(self, calibrated=self.raw)
        return replace(self, calibrated=float(sigmoid(np.array(self.log_odds / temperature))))


class HM:
    """JSON lines of `{"img", "text", "label": 0 or 1}`.

    A failed item is wrong, ranks on the wrong side of all others, and has no part in the
    calibration error.
    """

    name = "hm"
    column = "HM"

    def read(self, annotations: Path, images: Path) -> list[Meme]:
        return [
            Meme(
                entry.picture(images / entry.text("img")),
                entry.string("text"),
                entry.integer("label", below=2) == 1,
            )
            for entry in read_entries(annotations)
        ]

    def tasks(self, asking: Asking) -> tuple[TaskSpec, ...]:
        # at a temperature of 1, so that another calibration looks at no picture again
        probability = Hateful(asking.prompt(QUESTION), temperature=1.0, threshold=THRESHOLD)
        return (probability.spec, asking.written(QUESTION))

    def reader(self, checkpoint: Description) -> Callable[[Mapping[str, Any]], MemeAnswer]:
        """The answers are not calibrated."""

        def answer(row: Mapping[str, Any]) -> MemeAnswer:
            raw = float(row["hateful_raw"])
            return MemeAnswer(written_answer(row), raw, raw)

        return answer

    def score(self, items: Sequence[Meme], answers: Sequence[MemeAnswer | None]) -> list[Score]:
        pairs = list(zip(items, answers, strict=True))
        published = tuple(
            float(answer is not None and published_prediction(answer.written) == item.hateful)
            for item, answer in pairs
        )
        strict = tuple(
            float(answer is not None and strict_prediction(answer.written) == item.hateful)
            for item, answer in pairs
        )
        return [
            accuracy(AS_PUBLISHED, published),
            accuracy(STRICT, strict, *_of_probabilities(items, answers)),
        ]


def published_prediction(raw: str) -> int | str:
    """1 where `yes` stands anywhere in the answer, else 0 where `no` does (`know`, `cannot`); an
    answer without either stays what it is, and is wrong.
    """
    answer = published_answer(raw)
    if "yes" in answer.lower():
        return 1
    return 0 if "no" in answer.lower() else answer


def strict_prediction(answer: str) -> bool | None:
    """None where the first word is neither yes nor no."""
    return {"yes": True, "no": False}.get(first_word(answer))


def probabilities(
    items: Sequence[Meme], answers: Sequence[MemeAnswer | None]
) -> tuple[Floats, Floats, Bools]:
    """Of the N items that were answered: raw [N], calibrated [N], whether they are hateful [N]."""
    given = [(item, answer) for item, answer in zip(items, answers, strict=True) if answer]
    return (
        np.array([answer.raw for _, answer in given], dtype=np.float64),
        np.array([answer.calibrated for _, answer in given], dtype=np.float64),
        np.array([item.hateful for item, _ in given], dtype=np.bool_),
    )


def reliability(
    items: Sequence[Meme], answers: Sequence[MemeAnswer | None]
) -> dict[str, list[Bin]]:
    """The bins of both probabilities."""
    raw, calibrated, hateful = probabilities(items, answers)
    return {"raw": bins(raw, hateful), "calibrated": bins(calibrated, hateful)}


def _of_probabilities(
    items: Sequence[Meme], answers: Sequence[MemeAnswer | None]
) -> tuple[Figure, ...]:
    """A temperature leaves the order as it is, so that ranks need no second figure."""
    hateful = np.array([item.hateful for item in items])
    lowest = [-math.inf if item.hateful else math.inf for item in items]
    ranked = np.array(
        [answer.raw if answer else wrong for answer, wrong in zip(answers, lowest, strict=True)]
    )
    raw, calibrated, answered = probabilities(items, answers)
    halves = tuple(
        float(answer is not None and (answer.raw > 0.5) == item.hateful)
        for item, answer in zip(items, answers, strict=True)
    )
    return (
        mean("accuracy at 0.5", halves),
        interval("AUROC", lambda of: auroc(ranked[of], hateful[of]), len(items), percent=False),
        interval(
            "average precision",
            lambda of: average_precision(ranked[of], hateful[of]),
            len(items),
            percent=False,
        ),
        Figure("calibration error, raw", calibration_error(raw, answered), percent=False),
        Figure(
            "calibration error, calibrated",
            calibration_error(calibrated, answered),
            percent=False,
        ),
    )
