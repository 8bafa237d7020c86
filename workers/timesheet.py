"""Who worked for how long, and what came of it: what a driver can say of its run at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from schemas.estimate import Outcome
from schemas.image import ImageRef
from schemas.run import PartRecord


class Timesheet:
    """Replicas come and go, shards are committed. All seconds are the clock's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[int, float] = {}
        """When each replica that is there had its model."""
        self._first: float | None = None
        self._last = 0.0
        self._worked = 0.0
        self._most = 0
        self._images = self._input_bytes = self._output_bytes = 0

    def came(self, replica: int) -> None:
        """It has its model."""
        now = self._since[replica] = self._clock()
        self._first = now if self._first is None else self._first
        self._most = max(self._most, len(self._since))

    def went(self, replica: int) -> None:
        """It is gone; it may never have had its model."""
        now = self._clock()
        self._worked += now - self._since.pop(replica, now)

    def committed(self, images: Iterable[ImageRef], part: PartRecord) -> None:
        """A shard's part is there, which was not before."""
        self._last = self._clock()
        self._images += part.footer.items
        self._input_bytes += sum(image.size_bytes or 0 for image in images)
        self._output_bytes += part.size_bytes

    def outcome(self, began: float, images_before: int) -> Outcome:
        """All of it up to now, of a driver that began at `began` and found so many done."""
        now = self._clock()
        first = now if self._first is None else self._first
        return Outcome(
            images=self._images,
            images_before=images_before,
            replicas=self._most,
            starting_seconds=first - began,
            seconds=max(self._last - first, 0.0),
            replica_seconds=self._worked + sum(now - since for since in self._since.values()),
            input_bytes=self._input_bytes,
            output_bytes=self._output_bytes,
        )
