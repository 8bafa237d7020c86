"""Temperature scaling: one number that makes probabilities mean what they say.

N items: the log-odds of yes against no [N], and for each whether yes was right [N].
"""

from __future__ import annotations

import numpy as np

from schemas.outcome import UsageError
from workers.evaluation.metrics import Bools, Floats

HOTTEST = 20.0
"""Answers that can be told apart without a mistake want a temperature of 0, and noise wants an
endless one: fits stay within 1/HOTTEST and HOTTEST."""
HALVINGS = 60


def fit_temperature(log_odds: Floats, yes: Bools) -> float:
    """The temperature T at which sigmoid(log-odds / T) makes `yes` most likely.

    The loss is convex in 1/T, so its slope is halved in on.

    Raises:
        UsageError: all items are of one kind, or there are none.
    """
    require_both_kinds(yes)
    low, high = 1 / HOTTEST, HOTTEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        slope = float(np.mean((sigmoid(middle * log_odds) - yes) * log_odds))
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 1 / ((low + high) / 2)


def require_both_kinds(yes: Bools) -> None:
    """Raises UsageError where all items are of one kind, or there are none."""
    if not yes.any() or yes.all():
        raise UsageError("a temperature is fitted to items of both kinds, and these are of one")


def loss(log_odds: Floats, yes: Bools, temperature: float) -> float:
    """Mean negative log-likelihood, nats an item."""
    signed = np.where(yes, log_odds, -log_odds) / temperature
    return float(np.mean(np.logaddexp(0, -signed)))


def sigmoid(log_odds: Floats) -> Floats:
    """The probability that has these log-odds."""
    return np.exp(-np.logaddexp(0, -log_odds))
