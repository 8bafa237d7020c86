"""Every question to a store: found by its URI, answered by its kind."""

from collections.abc import Iterator

from workers.store.base import Entry, Span
from workers.store.patience import PATIENCE, Patience
from workers.store.registry import store_of


def list_pages(place: str, patience: Patience = PATIENCE) -> Iterator[list[Entry]]:
    """Every object whose URI begins with `place`, in pages, in the store's own order.

    On S3 `place` is any prefix; elsewhere it is a folder, with or without a trailing slash, and all
    below it is listed. Each page has a deadline of its own, `patience`'s. Raises FileNotFoundError
    where there is no such bucket or folder, else what the store's client raises.
    """
    return store_of(place).pages(place, patience)


def entry_at(uri: str, seconds: float | None = None) -> Entry | None:
    """The file called just `uri`, or None: there is none."""
    return store_of(uri).entry(uri, seconds)


def folders(place: str, seconds: float | None = None) -> list[str]:
    """The names of the folders right under the folder `place`; none where there is none."""
    return store_of(place).folders(place, seconds)


def fetch(
    uri: str,
    version: str = "",
    seconds: float | None = None,
    span: Span | None = None,
    limit: int | None = None,
) -> bytes:
    """All bytes of the object, of `version` as `Entry.version` has it ("" for whichever is there).

    With `span` only these bytes: fewer, or none, where the object ends before. With `limit` (bytes)
    a larger object raises TooManyBytesError before it is read; a span is its own limit. Raises
    ChangedSincePlanError where the object is another version by now; else what the store's client
    raises, TimeoutError after `seconds` included.
    """
    return store_of(uri).fetch(uri, version, seconds, span, limit)


def fetch_tail(uri: str, length: int, seconds: float | None = None) -> bytes:
    """The last `length` (1 and up) bytes of the object, or all where it is shorter.

    Raises as `fetch`.
    """
    return store_of(uri).fetch_tail(uri, length, seconds)


def replace(uri: str, data: bytes, seconds: float | None = None) -> None:
    """Write `uri` over; a reader sees the old content or the new, whole, which is durable then.

    Only for what decides nothing, and for what is to be forgotten: all else is created once, by
    `workers.sink`.
    """
    store_of(uri).replace(uri, data, seconds)


def remove(uri: str, seconds: float | None = None) -> None:
    """Take the object away, if it is there."""
    store_of(uri).remove(uri, seconds)
