"""How many images were labelled when: counts over time, in bounded memory whatever the range."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FINEST = 100_000
"""Microseconds of the first, finest steps."""
MOST_STEPS = 4096
"""With more the steps are joined by twos."""
WIDTHS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
"""Seconds of a bar of the chart; longer ones are whole days."""
DAY = 86400
MOST_BARS = 48


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time."""

    start: float
    """Seconds since 1970."""
    images: int


class Pace:
    """Counts of `labelled_at`. Rows carry the time of their batch, so that a batch is one step."""

    def __init__(self) -> None:
        self._width = FINEST
        self._steps: Counter[int] = Counter()
        self._first: int | None = None
        self._last: int | None = None

    def add(self, times: npt.NDArray[np.int64]) -> None:
        """Microseconds since 1970, one for each image."""
        if not len(times):
            return
        self._widen_range(int(times.min()), int(times.max()))
        steps, counts = np.unique(times // self._width, return_counts=True)
        self._steps.update(dict(zip(steps.tolist(), counts.tolist(), strict=True)))
        self._join()

    def merge(self, other: Pace) -> None:
        """Take in what another one counted."""
        if other._first is None or other._last is None:
            return
        self._widen_range(other._first, other._last)
        while self._width < other._width:
            self._double()
        ratio = self._width // other._width
        for step, count in other._steps.items():
            self._steps[step // ratio] += count
        self._join()

    @property
    def images(self) -> int:
        return self._steps.total()

    @property
    def first(self) -> float | None:
        """Seconds since 1970; None where nothing was counted."""
        return None if self._first is None else self._first / 1e6

    @property
    def last(self) -> float | None:
        return None if self._last is None else self._last / 1e6

    def bars(self) -> tuple[float, list[Bar]]:
        """Seconds of a bar, and all bars from the first image to the last, empty ones included:
        at most MOST_BARS, and hardly more than there are batches.
        """
        if self._first is None or self._last is None:
            return WIDTHS[0], []
        span = (self._last - self._first) / 1e6
        width = _width(max(span / (MOST_BARS - 1), span / len(self._steps), self._width / 1e6))
        start = self._first / 1e6 // width * width
        images: Counter[int] = Counter()
        for step, count in self._steps.items():
            # a step that began before the first image belongs to that one's bar
            images[max(int((step * self._width / 1e6 - start) // width), 0)] += count
        last = max(images)
        return width, [Bar(start + index * width, images[index]) for index in range(last + 1)]

    def _widen_range(self, first: int, last: int) -> None:
        self._first = first if self._first is None else min(self._first, first)
        self._last = last if self._last is None else max(self._last, last)

    def _join(self) -> None:
        while len(self._steps) > MOST_STEPS:
            self._double()

    def _double(self) -> None:
        self._width *= 2
        joined: Counter[int] = Counter()
        for step, count in self._steps.items():
            joined[step // 2] += count
        self._steps = joined


def _width(least: float) -> float:
    """Seconds that people count in, `least` or more."""
    for width in WIDTHS:
        if width >= least:
            return width
    return float(-(-least // DAY) * DAY)
