"""How well probabilities rank, and whether they mean what they say.

N items: scores or probabilities [N], and for each whether it is positive [N].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BINS = 15
"""Of equal width over 0 to 1."""


def auroc(scores: Floats, positive: Bools) -> float | None:
    """How often a positive item has the higher score of a pair; a tie is half.

    None where one of the two kinds is missing.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    rank = (last - (count - 1) / 2)[place]  # from 1; equals share the middle of theirs
    return float((rank[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(scores: Floats, positive: Bools) -> float | None:
    """The mean of the precision at each positive item's threshold; equals share one threshold.

    None where there is no positive item.
    """
    positives = int(positive.sum())
    if not positives:
        return None
    values, place = np.unique(-scores, return_inverse=True)
    hits = np.bincount(place, weights=positive, minlength=len(values))
    shown = np.bincount(place, minlength=len(values))
    precision = np.cumsum(hits) / np.cumsum(shown)
    return float((hits * precision).sum() / positives)


@dataclass(frozen=True)
class Bin:
    """The items whose probability lies in [low, high); the last bin holds 1 too."""

    low: float
    high: float
    items: int
    said: float
    """Their mean probability; nan where there is none."""
    was: float
    """Which share of them is positive; nan where there is none."""


def bins(probabilities: Floats, positive: Bools) -> list[Bin]:
    """The reliability diagram."""
    place = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    found = []
    for number in range(BINS):
        chosen = place == number
        items = int(chosen.sum())
        said = float(probabilities[chosen].mean()) if items else np.nan
        was = float(positive[chosen].mean()) if items else np.nan
        found.append(Bin(number / BINS, (number + 1) / BINS, items, said, was))
    return found


def calibration_error(probabilities: Floats, positive: Bools) -> float | None:
    """Expected calibration error: how far `said` is from `was`, the mean over all items.

    None where there is no item.
    """
    if not len(probabilities):
        return None
    off = [of.items * abs(of.said - of.was) for of in bins(probabilities, positive) if of.items]
    return sum(off) / len(probabilities)
