"""What a store can do, whichever it is, and what it says of one object."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from schemas.outcome import ChangedSincePlanError, TooManyBytesError
from workers.store.patience import Patience

PAGE = 1000
"""Objects on one page of a listing, where the store lets us say."""

Span = tuple[int, int]
"""First byte, 0 and up, and how many bytes, 0 and up."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as listed."""

    uri: str
    size_bytes: int | None
    version: str
    """As in ImageRef.input_digest."""
    is_file: bool = True
    """False for a link to a folder, a dangling link, a socket and their like."""


class Store(Protocol):
    """One kind of store. Its methods may be called from many threads, and keep nothing.

    Each asks once, `pages` aside, and is given up with TimeoutError after `seconds` (None: when the
    store's client gives up). Each raises what the store's client raises: `client_errors`.
    """

    creates: bool
    """Whether `create` is known to let in one writer only."""

    def pages(self, place: str, patience: Patience) -> Iterator[list[Entry]]:
        """As `list_pages`."""
        ...

    def entry(self, uri: str, seconds: float | None) -> Entry | None:
        """As `entry_at`."""
        ...

    def folders(self, place: str, seconds: float | None) -> list[str]:
        """As `folders`."""
        ...

    def fetch(
        self,
        uri: str,
        version: str,
        seconds: float | None,
        span: Span | None,
        limit: int | None,
    ) -> bytes:
        """As `fetch`."""
        ...

    def fetch_tail(self, uri: str, length: int, seconds: float | None) -> bytes:
        """As `fetch_tail`."""
        ...

    def create(self, output: str, name: str, data: bytes, seconds: float | None) -> None:
        """Make `output`/`name`, which no reader sees before it is whole; durable afterwards.

        Raises FileExistsError, or an error of HTTP status 412, where the name is taken: nothing was
        replaced. After any other error that may pass it may or may not be there.
        """
        ...

    def replace(self, uri: str, data: bytes, seconds: float | None) -> None:
        """As `replace`."""
        ...

    def remove(self, uri: str, seconds: float | None) -> None:
        """As `remove`."""
        ...


def version_of(info: Mapping[str, Any]) -> str:
    """The version that an object store's answer tells, "" where it tells none."""
    etag = info.get("ETag") or info.get("etag")
    if "generation" in info:
        return f"generation:{info['generation']}"
    md5 = (info.get("content_settings") or {}).get("content_md5")
    if md5:
        return f"md5:{bytes(md5).hex()}"
    if etag:
        return "etag:" + str(etag).strip('"')
    changed = info.get("mtime") or info.get("LastModified") or info.get("created")
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return f"changed:{info.get('size')}-{changed}" if changed else ""


def require_version(uri: str, found: str, version: str) -> None:
    """Raises ChangedSincePlanError where a `version` is asked for and `found` is another."""
    if version and found != version:
        raise ChangedSincePlanError(f"{uri} changed since the plan: {version} is now {found}")


def require_size(uri: str, size_bytes: int | None, limit: int | None) -> None:
    """Raises TooManyBytesError where the object is known to hold more than `limit` bytes."""
    if limit is not None and size_bytes is not None and size_bytes > limit:
        raise TooManyBytesError(
            f"{uri} holds {size_bytes:,} bytes; no more than {limit:,} are read for one image"
        )
