"""How far a run is: a line every few seconds, the same for terminals and logs."""

from __future__ import annotations

from collections.abc import Callable

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts images. What an earlier driver committed is done, and counts not towards the speed."""

    def __init__(self, total: int, done: int, clock: Callable[[], float]) -> None:
        self._total = total
        self._done = done
        self._failed = 0
        self._clock = clock
        self._started = clock()
        self._last_line = self._started
        self._done_before = done
        self._under_way: dict[int, int] = {}

    def began_batch(self, shard: int, images_before: int) -> None:
        """A replica has looked at `images_before` images of `shard`, not yet committed."""
        self._under_way[shard] = images_before

    def lost(self, shard: int) -> None:
        """The replica that ran `shard` is gone, and its uncommitted work with it."""
        self._under_way.pop(shard, None)

    def committed(self, shard: int, images: int, failed: int) -> None:
        """The part of `shard` stands; it holds so many rows."""
        self._under_way.pop(shard, None)
        self._done += images
        self._failed += failed

    @property
    def images_seen(self) -> int:
        """Committed, or looked at by a replica that lives."""
        return self._done + sum(self._under_way.values())

    @property
    def images_per_second(self) -> float:
        """Since this driver began."""
        seconds = self._clock() - self._started
        return (self.images_seen - self._done_before) / seconds if seconds > 0 else 0.0

    def line_if_due(self) -> str | None:
        """The line, if the last one is some seconds old."""
        now = self._clock()
        if now - self._last_line < SECONDS_BETWEEN_LINES:
            return None
        self._last_line = now
        return self.line()

    def line(self) -> str:
        """`120 of 4,000 images, 2 failed, 31.5 images/s, 2 min left`."""
        seen, speed = self.images_seen, self.images_per_second
        left = f", {duration((self._total - seen) / speed)} left" if speed > 0 else ""
        return (
            f"{seen:,} of {self._total:,} images, {self._failed:,} failed, "
            f"{speed:.1f} images/s{left}"
        )


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
