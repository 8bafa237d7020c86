"""Which files of an OUTPUT hold rows that are to be forgotten.

Every Parquet file of it is asked for its end, and only one whose statistics leave it open is read.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.forgotten import ErasedFile
from schemas.run import LABELS, RUNS
from schemas.snapshot import ADDED_COLUMNS, DELETED, SNAPSHOTS
from schemas.uri import join
from workers.forgetting.asked import Asked
from workers.forgetting.rewrite import failures, places_of, read_rows, taken, without_rows
from workers.inspection.footers import metadata_tail
from workers.plan.documents import find_document
from workers.store import PATIENCE, Patience, client_errors_as_ours, list_pages
from workers.store.disk import SCRATCH
from workers.threads import in_order

PLACES = (LABELS, SNAPSHOTS, RUNS, SCRATCH)
READERS = 2
"""Files that are held whole at a time, some more than once."""
LISTS = ("gone-", "left-")
"""How files are called that know no more than ids; they come last."""


@dataclass(slots=True)
class Found:
    """What was found."""

    files: list[ErasedFile] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """Of those asked for, by which something was found."""
    unreadable: list[str] = field(default_factory=list)
    """Names of files that are no Parquet, or damaged: what they hold nobody knows."""


def listed(output: str, patience: Patience = PATIENCE) -> set[str]:
    """The names of all files of runs, labels and snapshots. Raises UsageError, StoreError."""
    found = set()
    for folder in PLACES:
        place = join(output, folder)
        try:
            with client_errors_as_ours(place, "listed"):
                for page in list_pages(f"{place}/", patience):
                    found |= {entry.uri.removeprefix(join(output, "")) for entry in page}
        except FileNotFoundError:
            continue
    return found


def is_scratch(name: str) -> bool:
    """Whether a writer left it, or is about to give it its name."""
    return SCRATCH in name.split("/")[:-1]


def search(output: str, names: Iterable[str], asked: Asked, patience: Patience = PATIENCE) -> Found:
    """What the Parquet files among `names` hold of what is `asked`.

    Raises UsageError where a file may not be read or is of a later program, StoreError.
    """
    parquet = sorted(name for name in names if name.endswith(".parquet"))
    found = Found()
    for of_lists in (False, True):
        some = [name for name in parquet if _is_list(name) is of_lists]
        there = list(_candidates(output, some, asked, found, patience))
        look = partial(_look, output, asked, patience)
        for name, told in zip(there, in_order(look, there, READERS), strict=True):
            if told is None:
                found.unreadable.append(name)
            elif told[0].places:
                found.files.append(told[0])
                found.names |= told[1]
    return found


def _is_list(name: str) -> bool:
    return name.rpartition("/")[2].startswith(LISTS)


def _candidates(
    output: str, names: Collection[str], asked: Asked, found: Found, patience: Patience
) -> Iterator[str]:
    """Those of `names` that have to be read."""

    def may_hold(name: str) -> bool | None:
        try:
            tail = metadata_tail(join(output, name), patience)
            return asked.may_be_in(pq.read_metadata(pa.BufferReader(tail)))
        except FileNotFoundError:
            return False  # pruned a moment ago
        except (pa.ArrowException, OSError):
            return None

    for name, answer in zip(names, in_order(may_hold, names), strict=True):
        if answer is None:
            found.unreadable.append(name)
        elif answer:
            yield name


def _look(
    output: str, asked: Asked, patience: Patience, name: str
) -> tuple[ErasedFile, set[str]] | None:
    """What the file is to lose, and by which names; None where it cannot be read."""
    data = find_document(output, name, patience)
    if data is None:
        return ErasedFile(name, "", "", ()), set()
    before = hashlib.sha256(data).hexdigest()
    try:
        rows = dict(asked.of(read_rows(data, _columns(data))))
        if not rows:
            return ErasedFile(name, before, before, ()), set()
        places = places_of(list(rows))
        after = hashlib.sha256(without_rows(data, places)).hexdigest()
        labelled, failed, deleted = _counts(taken(read_rows(data), places))
    except (pa.ArrowException, OSError):
        return None
    file = ErasedFile(name, before, after, places, labelled, failed, deleted)
    return file, set().union(*rows.values())


def _counts(lost: pa.Table) -> tuple[int, dict[str, int], int]:
    """How many were labelled, failed by code, and of a snapshot deleted: none where they are
    entries of a plan.
    """
    if "status" not in lost.column_names:
        return 0, {}, 0
    failed = failures(lost)
    deleted = pc.sum(lost[DELETED]).as_py() if all(f in lost.schema for f in ADDED_COLUMNS) else 0
    return len(lost) - failed.total(), dict(failed), deleted


def _columns(data: bytes) -> list[str]:
    schema = pq.read_schema(pa.BufferReader(data))
    return [name for name in ("item_id", "uri") if name in schema.names]
