"""Bytes of one version of an object, and what a store says instead, as an item's error."""

import errno
import io
from collections.abc import Callable
from typing import Any, TypeVar

from schemas.outcome import (
    BadReferenceError,
    BrokenContainerError,
    ChangedSincePlanError,
    ForbiddenError,
    NotFoundError,
    ReadError,
    ReadFailedError,
)
from workers.store import (
    Entry,
    Patience,
    Span,
    client_errors,
    entry_at,
    fetch,
    http_status,
    refuses_credentials,
)

Answer = TypeVar("Answer")

LARGEST_IMAGE = 1 << 29
"""Bytes of the largest object or member that is read as an image: as many as the most pixels that
are decoded have as RGB."""


def bytes_of(uri: str, version: str, patience: Patience, span: Span | None = None) -> bytes:
    """The bytes of `span`, which lies within the object, or all up to LARGEST_IMAGE, of just that
    `version`.

    What may pass is tried again under `patience`'s one deadline. Raises NotFoundError,
    ForbiddenError (also for credentials that are refused or missing), ChangedSincePlanError,
    TooManyBytesError, BadReferenceError (a folder, a device and their like) or ReadFailedError.
    """
    limit = None if span else LARGEST_IMAGE
    data = answer_of(uri, lambda seconds: fetch(uri, version, seconds, span, limit), patience)
    if span and len(data) < span[1]:  # of a store that tells no versions
        raise ChangedSincePlanError(f"{uri} is shorter than it was when it was planned")
    return data


def entry_of(uri: str, patience: Patience) -> Entry:
    """The object as it is now. Raises as `bytes_of`."""
    entry = answer_of(uri, lambda seconds: entry_at(uri, seconds), patience)
    if entry is None:
        raise NotFoundError(f"{uri} is gone since the plan")
    return entry


def answer_of(uri: str, request: Callable[[float], Answer], patience: Patience) -> Answer:
    """What the store answers to `request(seconds left)` about `uri`. Raises as `bytes_of`."""
    try:
        return patience(request)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"{uri} is gone since the plan") from error
    except client_errors() as error:
        raise _as_read_error(uri, error) from error


def _as_read_error(uri: str, error: BaseException) -> ReadError:
    status = http_status(error)
    if refuses_credentials(error):
        return ForbiddenError(f"{uri}: the store takes no credentials from here ({error})")
    if isinstance(error, PermissionError) or status == 403:
        return ForbiddenError(f"{uri}: no permission to read it ({error})")
    if status in (404, 410):
        return NotFoundError(f"{uri} is gone since the plan")
    if isinstance(error, IsADirectoryError):
        return BadReferenceError(f"{uri} is a folder, and no file")
    if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
        return BadReferenceError(f"{uri} can be no file: {error.strerror}")
    answer = f"HTTP {status}" if status else type(error).__name__
    return ReadFailedError(f"{uri} cannot be read: {answer}: {error}")


def broken(uri: str, why: object) -> BrokenContainerError:
    """The error of a container that cannot be read on, in one line."""
    return BrokenContainerError(f"{uri} is broken: {' '.join(str(why).split())}")


class SpanFile(io.RawIOBase):
    """One version of an object as a file to seek in: each read asks the store for its span.

    Raises what `fetch_span` does.
    """

    def __init__(self, size: int, fetch_span: Callable[[Span], bytes]) -> None:
        super().__init__()
        self._size = size
        self._fetch_span = fetch_span
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"a file has no byte {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._position)
        if length <= 0:
            return 0
        data = self._fetch_span((self._position, length))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
