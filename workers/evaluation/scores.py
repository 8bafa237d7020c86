"""A score: by which rule, the figures, and what each item earned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AS_PUBLISHED = "as published"
STRICT = "strict"

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Figure:
    """One number of a score."""

    name: str
    value: float | None
    """None where it is not defined: no item of one of two kinds."""
    low: float | None = None
    high: float | None = None
    """The interval that 95 % of bootstrap resamples of the items lie in; None is not asked for."""
    percent: bool = True
    """Whether it is told as a percentage; else as a plain number."""

    def __str__(self) -> str:
        if self.value is None:
            return "–"
        if self.low is None or self.high is None:
            return self._told(self.value)
        return f"{self._told(self.value)}  ({self._told(self.low)} to {self._told(self.high)})"

    def _told(self, value: float) -> str:
        return f"{value:.1%}" if self.percent else f"{value:.3f}"


@dataclass(frozen=True)
class Score:
    """All items by one rule."""

    rule: str
    figures: tuple[Figure, ...]
    """The first is the one that a table of systems shows."""
    points: tuple[float, ...]
    """What each item earned, in their order: their mean is the first figure."""


def accuracy(rule: str, points: Sequence[float], *more: Figure) -> Score:
    """The share of right items by `rule`, and what `more` is told of them."""
    return Score(rule, (mean("accuracy", points), *more), tuple(points))


def mean(name: str, points: Sequence[float]) -> Figure:
    """The mean over items, with its interval."""
    values = np.asarray(points, dtype=np.float64)
    return interval(name, lambda chosen: float(values[chosen].mean()), len(values))


def interval(
    name: str,
    value_of: Callable[[NDArray[np.intp]], float | None],
    items: int,
    percent: bool = True,
) -> Figure:
    """A figure of items, given by the places of those that are looked at, with its interval.

    Resamples for which it is not defined are left out. The same items give the same interval.
    """
    value = value_of(np.arange(items))
    if value is None:
        return Figure(name, None, percent=percent)
    dice = np.random.default_rng(0)
    drawn = (value_of(dice.integers(items, size=items)) for _ in range(RESAMPLES))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile([other for other in drawn if other is not None], [tail, 1 - tail])
    return Figure(name, value, float(low), float(high), percent)
