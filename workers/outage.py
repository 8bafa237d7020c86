"""An outage told from failures of single images: many of one code in a row, and nothing works.

A store that is down, credentials that are refused or a broken device fail every image alike. Rows
that say so must not be committed, since nobody would look at those images again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from schemas.outcome import DeviceOutageError, ErrorCode, Failure, OutageError, StoreOutageError

FAILURES_IN_A_ROW = 200
OUTAGES: dict[ErrorCode, type[OutageError]] = {
    ErrorCode.FORBIDDEN: StoreOutageError,
    ErrorCode.READ_FAILED: StoreOutageError,
    ErrorCode.OUT_OF_MEMORY: DeviceOutageError,
    ErrorCode.MODEL_FAILED: DeviceOutageError,
    ErrorCode.REPLICA_CRASHED: DeviceOutageError,
    ErrorCode.TIMED_OUT: DeviceOutageError,
}
"""Failures that may be the infrastructure's."""


class OutageWatch:
    """Counts one replica's failures as they come, over all its shards.

    An image that was labelled once is looked at again before an outage is declared: where that one
    succeeds, the failures were the images' own, however many they are.
    """

    def __init__(self, works: Callable[[], bool]) -> None:
        """`works` looks again at an image that was labelled; False where none was, or it fails."""
        self._works = works
        self._code: ErrorCode | None = None
        self._count = 0

    @property
    def suspicious(self) -> bool:
        """Whether the last image failed in a way that may not be its own fault."""
        return self._code is not None

    def saw(self, failures: Iterable[Failure | None]) -> None:
        """How images ended, in order; None is a success.

        Raises StoreOutageError or DeviceOutageError.
        """
        for failure in failures:
            code = failure.error_code if failure else None
            if failure is None or code not in OUTAGES:
                self._code, self._count = None, 0
            else:
                self._count = self._count + 1 if code == self._code else 1
                self._code = code
                if self._count >= FAILURES_IN_A_ROW:
                    self._judge(failure)

    def _judge(self, failure: Failure) -> None:
        if self._works():
            self._code, self._count = None, 0
            return
        raise OUTAGES[failure.error_code](
            f"{self._count:,} images in a row failed with {failure.error_code}, none of which is "
            f"committed; the last one: {failure.error_message}"
        )
