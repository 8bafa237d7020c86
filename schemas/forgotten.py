"""What OUTPUT/forgotten holds: which rows were erased, so told that nobody learns whose they were.

    OUTPUT/
      forgotten/00000001.json         Erasure: created exclusively, before the first file is changed
      forgotten/00000001-done.json    Erased: created exclusively, last

All names are relative to OUTPUT and use slashes. Each erasure begins when all before it have ended.
Whoever takes an Erasure away that has ended lets its images be labelled again; the digests of the
files that it changed stand in its Erased, which stays.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from schemas import document

FORGOTTEN = "forgotten"
ERASURE_FORMAT = 1
ERASED_FORMAT = 1
ROW_DIGITS = 9
"""So many at least has the number of a manifest's row in an item's id."""


@dataclass(frozen=True, slots=True)
class ErasureNames:
    """The names of the erasure `ordinal` (1 and up)."""

    ordinal: int

    @property
    def erasure(self) -> str:
        return f"{FORGOTTEN}/{self.ordinal:08d}.json"

    @property
    def erased(self) -> str:
        return f"{FORGOTTEN}/{self.ordinal:08d}-done.json"


@dataclass(frozen=True, slots=True)
class ErasedFile:
    """A Parquet file that loses rows: written anew, the others in their order and as they were."""

    name: str
    before: str
    """Hex SHA-256 of the file as it was."""
    after: str
    """Likewise, without the rows."""
    places: tuple[tuple[int, int], ...]
    """(row of the file as it was, how many from there on), rising: which rows go."""
    labelled: int = 0
    """Of these, where they are rows of labels; 0 for entries of a plan."""
    failed_by_code: dict[str, int] = field(default_factory=dict)
    """Likewise."""
    deleted: int = 0
    """Of rows of a snapshot, those that INPUT no longer listed."""

    def __post_init__(self) -> None:
        # JSON has no tuples
        places = tuple((int(row), int(count)) for row, count in self.places)
        object.__setattr__(self, "places", places)

    @property
    def rows(self) -> int:
        """How many go."""
        return sum(count for _, count in self.places)


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to be forgotten, and what that changes."""

    ordinal: int
    token: str
    """Random; tells one's own from another's after a lost answer."""
    created_at: str
    """ISO 8601 UTC, for readers; orders nothing."""
    code_version: str
    salt: str
    """In hex; erasures of one OUTPUT share it, so that an id is hashed once."""
    ids: tuple[str, ...]
    """`salted` of each name that was asked for: no run labels again what bears one."""
    files: tuple[ErasedFile, ...]

    @property
    def names(self) -> ErasureNames:
        return ErasureNames(self.ordinal)

    def to_json(self) -> bytes:
        return document.dumps(asdict(self) | {"format_version": ERASURE_FORMAT})

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """The erasure that lies at `place`. Raises UsageError for one of another format."""
        value = document.loads_format(data, place, ERASURE_FORMAT)
        ids = tuple(value.pop("ids", ()))
        return document.build(cls, place, value | {"ids": ids, "files": _files(value, place)})


@dataclass(frozen=True, slots=True)
class Erased:
    """That the erasure has come to its end."""

    ordinal: int
    token: str
    """Random, of whoever ended it, which may not be who began it."""
    ended_at: str
    """ISO 8601 UTC, for readers; orders nothing."""
    code_version: str
    files: tuple[ErasedFile, ...]
    """As the Erasure has them, which may be taken away."""

    def to_json(self) -> bytes:
        return document.dumps(asdict(self) | {"format_version": ERASED_FORMAT})

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """The end that lies at `place`. Raises UsageError for one of another format."""
        value = document.loads_format(data, place, ERASED_FORMAT)
        return document.build(cls, place, value | {"files": _files(value, place)})


def _files(value: dict[str, Any], place: str) -> tuple[ErasedFile, ...]:
    return tuple(document.build(ErasedFile, place, one) for one in value.get("files", ()))


def salted(salt: str, name: str) -> str:
    """Hex SHA-256 of a name that an item bears, after the salt's bytes."""
    return hashlib.sha256(bytes.fromhex(salt) + name.encode()).hexdigest()


def names_of(item_id: str, uri: str) -> Iterator[str]:
    """Every name by which somebody may ask for the item: its id, where its bytes are, and the
    manifest whose row it is.
    """
    yield item_id
    if uri == item_id:
        return
    yield uri
    container, _, row = item_id.rpartition("#")
    if container != uri and len(row) >= ROW_DIGITS and row.isdigit():
        yield container


def names_of_listed(item_id: str) -> Iterator[str]:
    """Likewise where nothing but its id is known, and perhaps more: all that could be the container
    of it.
    """
    yield item_id
    end = item_id.find("#")
    while end >= 0:
        yield item_id[:end]
        end = item_id.find("#", end + 1)
