"""An outage told from failures of single images: many of one kind in a row, and nothing works.

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

OF_THE_STORE = frozenset(code for code, outage in OUTAGES.items() if outage is StoreOutageError)


class OutageWatch:
    """Counts one replica's failures as they come, over all its shards.

    Another image is looked at before an outage is declared, one that was labelled if there is any:
    where that one succeeds, the failures were the images' own, however many they are.
    """

    def __init__(self, works: Callable[[type[OutageError]], bool | None]) -> None:
        """`works` looks at an image that should succeed: False where it fails by just such an
        outage, None where that cannot tell.
        """
        self._works = works
        self._last: Failure | None = None
        self._count = 0

    @property
    def suspicious(self) -> bool:
        """Whether the last image failed in a way that may not be its own fault."""
        return self._last is not None

    def saw(self, failures: Iterable[Failure | None]) -> None:
        """How images ended, in order; None is a success.

        Raises StoreOutageError or DeviceOutageError.
        """
        for failure in failures:
            if failure is None or failure.error_code not in OUTAGES:
                self._last, self._count = None, 0
                continue
            outage = OUTAGES[failure.error_code]
            again = self._last and OUTAGES[self._last.error_code] is outage
            self._last, self._count = failure, self._count + 1 if again else 1
            if self._count >= FAILURES_IN_A_ROW:
                if not self._works(outage):
                    raise _outage(self._count, failure)
                self._last, self._count = None, 0

    def settle(self) -> None:
        """Nothing more will come: the last failures, however few, are their images' own, unless an
        image that was labelled fails like them by now.

        Raises as `saw`.
        """
        if self._last and self._works(OUTAGES[self._last.error_code]) is False:
            raise _outage(self._count, self._last)


def _outage(count: int, failure: Failure) -> OutageError:
    return OUTAGES[failure.error_code](
        f"{count:,} images in a row failed for what is not their own fault, none of which is "
        f"committed; the last one with {failure.error_code}: {failure.error_message}"
    )
