"""Numbers as the places of bars in a drawing of WIDTH × HEIGHT; page.html draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from workers.report.pace import DAY, Bar, Pace
from workers.report.tally import BINS

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 40
"""Margins: the bars' own room lies within."""
TICKS = 4
"""Lines across at most, beside that of 0."""
LEAST_BARS = 4
"""Fewer are no chart."""


@dataclass(frozen=True, slots=True)
class Column:
    """One bar."""

    x: float
    y: float
    width: float
    height: float
    told: str
    """What it stands for, in words."""
    marked: bool = False
    """It lies beyond the threshold."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars over an axis."""

    title: str
    told: str
    """What the chart shows, for those who do not see it."""
    columns: Sequence[Column]
    across: Sequence[Tick]
    up: Sequence[Tick]
    across_title: str
    up_title: str
    threshold: Tick | None = None


def histogram(title: str, counts: Sequence[int], threshold: float | None = None) -> Chart:
    """How many images have which score, 0 to 1."""
    step = 1 / BINS
    told = [
        f"{_images(count)}: {index * step:.2f} to {(index + 1) * step:.2f}"
        for index, count in enumerate(counts)
    ]
    # a bin that the threshold cuts through is marked where more than half of it lies beyond
    marked = [threshold is not None and (index + 0.5) * step > threshold for index in range(BINS)]
    columns, up = _columns(counts, told, marked)
    total, middle = sum(counts), _median(counts)
    return Chart(
        title=title,
        told=f"{_images(total)}, half of them with a score above {middle:.2f}."
        if total > 1
        else f"1 image, of a score from {middle:.2f}.",
        columns=columns,
        across=[Tick(_x(tenth / 10), f"{tenth / 10:g}") for tenth in range(0, 11, 2)],
        up=up,
        across_title="score",
        up_title="images",
        threshold=None if threshold is None else Tick(_x(threshold), f"threshold {threshold:g}"),
    )


def speed(pace: Pace, share: float) -> Chart | None:
    """Images a minute over the run, of which `share` (0 to 1) was counted; None for too short a
    one.
    """
    seconds, bars = pace.bars()
    if len(bars) < LEAST_BARS:
        return None
    minutes = [bar.images / share * 60 / seconds for bar in bars]
    told = [
        f"{_clock(bar.start, seconds)}: {count:,.0f} images a minute"
        for bar, count in zip(bars, minutes, strict=True)
    ]
    columns, up = _columns(minutes, told, [False] * len(bars))
    return Chart(
        title="Images a minute",
        told=f"At most {max(minutes):,.0f} images a minute, in steps of {_step(seconds)}; "
        "all images of a batch have its time.",
        columns=columns,
        across=_times(bars, seconds),
        up=up,
        across_title=f"time (UTC), in steps of {_step(seconds)}",
        up_title="images a minute",
    )


def _columns(
    values: Sequence[float], told: Sequence[str], marked: Sequence[bool]
) -> tuple[list[Column], list[Tick]]:
    """Bars side by side, and the labels of the lines across."""
    top = max(*values, 1)
    step = _round_step(top / TICKS)
    lines = range(math.ceil(top / step) + 1)
    room, width = HEIGHT - TOP - BOTTOM, (WIDTH - LEFT - RIGHT) / len(values)
    scale = room / (step * lines[-1])
    gap = min(1.5, width / 5)
    columns = [
        Column(
            x=round(LEFT + index * width + gap / 2, 2),
            y=round(HEIGHT - BOTTOM - value * scale, 2),
            width=round(width - gap, 2),
            height=round(value * scale, 2),
            told=words,
            marked=mark,
        )
        for index, (value, words, mark) in enumerate(zip(values, told, marked, strict=True))
    ]
    return columns, [
        Tick(round(HEIGHT - BOTTOM - line * step * scale, 2), _short(line * step)) for line in lines
    ]


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, and no part of 1: `least` or more."""
    power = 10.0 ** math.floor(math.log10(max(least, 1)))
    return next(power * one for one in (1, 2, 5, 10) if power * one >= least)


def _short(number: float) -> str:
    """`850`, `12k`, `1.5M`."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 2)


def _median(counts: Sequence[int]) -> float:
    """About: the upper end of the bin that half of the images lie below or in."""
    before = 0
    for index, count in enumerate(counts):
        before += count
        if before * 2 >= sum(counts):
            return index / BINS
    return 0.0


def _times(bars: Sequence[Bar], seconds: float) -> list[Tick]:
    """Up to four labels below the bars, at the beginnings of some; none twice."""
    chosen = [index * (len(bars) - 1) // 3 for index in reversed(range(4))]
    at = {_clock(bars[index].start, seconds): index for index in chosen}
    return [Tick(_x(index / len(bars)), text) for text, index in at.items()]


def _clock(at: float, seconds: float) -> str:
    """The time of day, as fine as bars of so many `seconds` need it; with long ones the day."""
    when = datetime.fromtimestamp(at, UTC)
    if seconds >= DAY:
        return f"{when:%Y-%m-%d}"
    if seconds >= 3600:
        return f"{when.day} {when:%b %H:%M}"
    return f"{when:%H:%M}" if seconds >= 60 else f"{when:%H:%M:%S}"


def _step(seconds: float) -> str:
    for size, unit in ((DAY, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds / size
            return f"{count:g} {unit}{'s' * (count != 1)}"
    return f"{seconds:g} second{'s' * (seconds != 1)}"


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"
