"""One planned item → its bytes, if it is still the version that was planned."""

import threading
from dataclasses import replace

from schemas.image import ImageRef
from schemas.job import JobSpec
from schemas.outcome import ItemError, NotFoundError, ReadFailedError, TooManyBytesError
from workers.source.fetching import LARGEST_IMAGE, bytes_of
from workers.source.kinds import sidecar_of
from workers.source.rows import Rows
from workers.store import PATIENCE, Patience, is_transient

OUTAGE_READS = 8
"""So many reads in a row that the store did not answer in time, and it counts as dead."""
OUTAGE_SECONDS = 5.0
"""What a read of a dead store may take."""


class Reader:
    """Reads the items of one job, for many threads."""

    def __init__(self, job: JobSpec, patience: Patience = PATIENCE) -> None:
        self._full = patience
        self._lock = threading.Lock()
        self._unanswered = 0
        self._rows = Rows(job.image_column, self._patience)

    def read(self, image: ImageRef) -> bytes:
        """The bytes of `image`, of just the version that was planned.

        What may pass is tried again under one deadline. Raises NotFoundError, ForbiddenError (also
        for credentials that are refused or missing), ChangedSincePlanError, TooManyBytesError,
        ReadFailedError; of a row of a Parquet file also EmptyFileError, BrokenContainerError.
        """
        try:
            if image.row is None:
                data = _read(image, self._patience())
            else:
                data = self._rows.read(image, image.row)
        except ItemError as error:
            self._note(unanswered=_is_unanswered(error))
            raise
        self._note(unanswered=False)
        return data

    def read_sidecar(self, image: ImageRef) -> bytes | None:
        """The text file beside `image`, of just the version that was planned; None: there was none,
        or the image lies in a container. Where nobody looked it is what is there now, if anything.

        Raises as `read`.
        """
        if image.sidecar == "" or image.row is not None or image.offset is not None:
            return None
        try:
            data = bytes_of(sidecar_of(image.uri), image.sidecar or "", self._patience())
        except NotFoundError:
            if image.sidecar is None:
                return None
            raise
        except ItemError as error:
            self._note(unanswered=_is_unanswered(error))
            raise
        return data

    def touch(self, image: ImageRef) -> None:
        """Read one byte of what holds `image`, with no more patience than for a dead store.

        Raises as `read`; an empty one has changed.
        """
        bytes_of(image.uri, image.input_digest, self._short(), span=(image.offset or 0, 1))

    def _patience(self) -> Patience:
        """Short while the store is dead. A run stops after some hundred failures in a row: they are
        to take minutes, not hours, and a store that comes back is to be seen at once.
        """
        if self._unanswered < OUTAGE_READS:
            return self._full
        return self._short()

    def _short(self) -> Patience:
        return replace(self._full, seconds=min(OUTAGE_SECONDS, self._full.seconds))

    def _note(self, unanswered: bool) -> None:
        with self._lock:
            self._unanswered = self._unanswered + 1 if unanswered else 0


def _read(image: ImageRef, patience: Patience) -> bytes:
    """The bytes of an object, or of a part of one. Raises as `bytes_of`."""
    if image.offset is None:
        return bytes_of(image.uri, image.input_digest, patience)
    size = image.size_bytes or 0
    if size > LARGEST_IMAGE:
        raise TooManyBytesError(
            f"{image.item_id} holds {size:,} bytes; no more than {LARGEST_IMAGE:,} are read for "
            "one image"
        )
    return bytes_of(image.uri, image.input_digest, patience, span=(image.offset, size))


def _is_unanswered(error: ItemError) -> bool:
    """Whether the deadline passed; a store that refuses is not dead."""
    return isinstance(error, ReadFailedError) and (
        error.__cause__ is None or is_transient(error.__cause__)
    )
