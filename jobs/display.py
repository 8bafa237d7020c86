"""A run while it goes on, on standard error: drawn for a terminal, JSON lines for everything else.

The messages that a run has for people stand above what is drawn, and between the JSON as they are:
a reader of logs takes the lines that begin with `{`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobs.summary import counts_in_words
from workers import signals
from workers.progress import Standing, duration

SECONDS_BETWEEN_LINES = 5.0
DUMB = ("dumb", "unknown")
"""Values of TERM: such a terminal cannot draw over what it shows."""


class Display(Protocol):
    """What the driver is handed: `workers.cluster.Say` and `workers.progress.Show`."""

    def say(self, line: str) -> None: ...

    def show(self, standing: Standing) -> None: ...


@contextmanager
def display(stream: TextIO, collection: str = "") -> Iterator[Display]:
    """Shows runs on `stream`, one after the other; however it ends, the terminal is as it was.

    A night's `collection` stands before each message, and in the JSON.
    """
    before = f"nightly: {collection}: " if collection else ""
    if not stream.isatty():
        yield Lines(stream, partial(as_json, collection=collection), before)
        return
    if os.environ.get("TERM", "").lower() in DUMB:
        yield Lines(stream, in_words, before)
        return
    drawing = Drawing(stream, before)
    try:
        yield drawing
    finally:
        with signals.ignored():  # an impatient second Ctrl-C would leave the cursor hidden
            drawing.stop()


class Lines:
    """A line every few seconds, and one at a run's end."""

    def __init__(
        self,
        stream: TextIO,
        line: Callable[[Standing], str],
        before: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._before = before
        self._line = line
        self._clock = clock
        self._last = clock()

    def say(self, line: str) -> None:
        self._print(self._before + line)

    def show(self, standing: Standing) -> None:
        now = self._clock()
        if standing.ended or now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            self._print(self._line(standing))

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class Drawing:
    """A bar and what is told of it, drawn over itself; messages scroll away above."""

    def __init__(self, stream: TextIO, before: str) -> None:
        self._before = before
        self._console = Console(file=stream, highlight=False)
        # stdout is not this console's, and may lead into a file
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False)

    def say(self, line: str) -> None:
        self._console.print(Text(self._before + line), soft_wrap=True)

    def show(self, standing: Standing) -> None:
        self._live.start()
        self._live.update(_drawn(standing), refresh=True)

    def stop(self) -> None:
        """What was drawn last stays, and the cursor stands below it."""
        self._live.stop()


def as_json(standing: Standing, collection: str = "") -> str:
    """One line for programs. `images` = `before` + `labelled` + `failed` + those under way."""
    left = standing.seconds_left
    return json.dumps(
        {
            "event": "progress",
            **({"collection": collection} if collection else {}),
            "run": standing.run_id,
            "images": standing.images,
            "of": standing.of,
            "before": standing.before,
            "labelled": standing.labelled,
            "failed": standing.failed,
            "failed_by_code": dict(standing.failed_by_code),
            "images_per_second": round(standing.images_per_second, 3),
            "seconds_left": None if left is None else round(left, 1),
            "shards": standing.shards,
            "shards_of": standing.shards_of,
            "replicas": standing.replicas,
            "replicas_wanted": standing.replicas_wanted,
            "ended": standing.ended,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )


def in_words(standing: Standing) -> str:
    """`120 of 4,000 images, 31.5 images/s, 2 min left, 4 of 4 replicas, 3 of 40 shards`."""
    failed = [f"{standing.failed:,} failed"] if standing.failed else []
    return ", ".join([_images(standing), *_pace(standing), *failed])


def _images(standing: Standing) -> str:
    return f"{standing.images:,} of {standing.of:,} images"


def _pace(standing: Standing) -> list[str]:
    left, shards = standing.seconds_left, f"{standing.shards:,} of {standing.shards_of:,} shards"
    speed = f"{standing.images_per_second:.1f} images/s"
    if standing.ended:
        return [speed, shards]
    ahead = [] if left is None else [f"{duration(left)} left"]
    return [speed, *ahead, f"{standing.replicas} of {standing.replicas_wanted} replicas", shards]


def _drawn(standing: Standing) -> Group:
    """Three lines at most, where a terminal is 60 columns wide."""
    head = Table.grid(padding=(0, 1, 0, 0), expand=True)
    head.add_column(ratio=1)
    head.add_column(no_wrap=True)
    bar = ProgressBar(standing.of, standing.images, complete_style="green", finished_style="green")
    head.add_row(bar, _images(standing))
    lines = [Text(", ".join(_pace(standing)))]
    if standing.failed:
        told = f"{standing.failed:,} failed: {counts_in_words(standing.failed_by_code)}"
        lines += [Text(told, style="yellow")]
    return Group(head, *lines)
