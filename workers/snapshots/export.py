"""What is labelled, of its current version and not deleted, in shapes that others read."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.job import JobSpec
from schemas.outcome import Status, StoreError, UsageError
from schemas.snapshot import DELETED
from schemas.uri import is_local
from workers.images.decode import format_of
from workers.images.formats import FORMATS
from workers.snapshots.choice import Choice
from workers.snapshots.destination import path_of, put, require_new
from workers.snapshots.files import json_of, lines, tars
from workers.snapshots.gather import gathered
from workers.snapshots.history import History
from workers.snapshots.images import Images, open_images
from workers.snapshots.parts import parts_of
from workers.store import PATIENCE, Patience
from workers.threads import in_order

READERS = 8
"""Twice as many images are held at a time."""
NAMED = 5
"""So many ids are kept of what is left out for a reason."""

FAILED = "not labelled"
GONE = "no longer in INPUT"
TAKEN = "whose name another image's text has, but for the extension"
OUTSIDE = "of a name that leads out of DESTINATION"
CHANGED = "changed or gone since the label"

Row = dict[str, Any]


@dataclass(slots=True)
class Exported:
    """What came of an export: rows that are the latest = images + what was left out."""

    destination: str
    images: int = 0
    files: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """By reason."""
    named: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The first of each."""

    def leave_out(self, reason: str, count: int, item_id: str = "") -> None:
        self.left_out[reason] += count
        if item_id and len(self.named[reason]) < NAMED:
            self.named[reason].append(item_id)


@dataclass(frozen=True, slots=True)
class _Latest:
    """What is exported."""

    history: History
    choice: Choice
    told: Exported
    patience: Patience

    @property
    def jobs(self) -> dict[str, JobSpec]:
        return {one.run_id: one.run.spec.job for one in self.history.runs}

    def tables(self) -> Iterator[pa.Table]:
        """The rows that are wanted, by their ids."""
        for rows in self.choice.in_order():
            labelled = pc.equal(rows["status"], Status.LABELLED.value)
            wanted = rows.filter(labelled)
            self.told.leave_out(FAILED, len(rows) - len(wanted))
            there = wanted.filter(pc.invert(wanted[DELETED]))
            self.told.leave_out(GONE, len(wanted) - len(there))
            yield there

    def put(self, name: str, data: bytes) -> None:
        """Write a file of a name that only this export gives."""
        if not put(self.told.destination, name, data, self.patience):
            raise UsageError(f"{self.told.destination}/{name} was written by another meanwhile")
        self.told.files += 1


def export(
    history: History, kind: str, destination: str, patience: Patience = PATIENCE
) -> Exported:
    """Write the latest labels, those of runs that are not compacted yet included, to `destination`
    as one of EXPORTS has them.

    Raises UsageError where that holds anything, or there is no such text; as `gathered`.
    """
    write = EXPORTS[kind]
    require_new(destination, history.output, patience)
    runs = [parts_of(one.run, history.erasures, patience) for one in history.fresh]
    told = Exported(destination)
    with gathered(history, runs, patience) as choice:
        write(_Latest(history, choice, told, patience))
    told.left_out = +told.left_out
    return told


def _texts(latest: _Latest) -> None:
    """A text an image: `a/b.txt` of INPUT/a/b.png, as trainers of diffusion models read it."""
    jobs, told = latest.jobs, latest.told

    def write(pair: tuple[Row, str | None]) -> str:
        row, path = pair
        if path is None:
            return OUTSIDE
        text = _text(row).encode()
        return "" if put(told.destination, f"{path}.txt", text, latest.patience) else TAKEN

    _require_text(latest.choice.schema)
    for table in latest.tables():
        rows = table.to_pylist()
        paths = [path_of(jobs[row["run_id"]], row["item_id"], row["uri"]) for row in rows]
        # of two that are written at once the first is to have the name, whichever is faster
        first = {path: number for number, path in reversed(list(enumerate(paths)))}
        begun = [n for n, path in enumerate(paths) if path is None or first[path] == n]
        found = in_order(write, [(rows[n], paths[n]) for n in begun])
        faults = dict(zip(begun, found, strict=True))
        for number, row in enumerate(rows):
            if fault := faults.get(number, TAKEN):
                told.leave_out(fault, 1, row["item_id"])
            else:
                told.images += 1
                told.files += 1


def _require_text(schema: pa.Schema) -> None:
    if not {"caption", "tags"} & set(schema.names):
        raise UsageError("these labels are neither captions nor tags: --to jsonl has all of them")


def _text(row: Mapping[str, Any]) -> str:
    """The caption, or the tags with commas between them; "" where there is neither."""
    if row.get("caption") is not None:
        return str(row["caption"])
    return ", ".join(tag["tag"] for tag in row.get("tags") or ())


def _lines(latest: _Latest) -> None:
    def rows() -> Iterator[Row]:
        for table in latest.tables():
            latest.told.images += len(table)
            yield from table.to_pylist()

    for number, data in enumerate(lines(rows())):
        latest.put(f"rows-{number:05d}.jsonl", data)


def _tars(latest: _Latest) -> None:
    def samples(images: Images) -> Iterator[dict[str, bytes]]:
        for table in latest.tables():
            rows = table.to_pylist()
            pairs = list(zip(rows, images.refs(rows) if rows else [], strict=True))
            found = in_order(lambda pair: images.read(*pair), pairs, READERS)
            for row, data in zip(rows, found, strict=True):
                if data is None:
                    latest.told.leave_out(CHANGED, 1, row["item_id"])
                    continue
                latest.told.images += 1
                text = {".txt": _text(row).encode()} if {"caption", "tags"} & row.keys() else {}
                yield {FORMATS[format_of(data)][0]: data} | text | {".json": json_of(row)}

    with open_images(latest.history, latest.patience) as images:
        for number, data in enumerate(tars(samples(images))):
            latest.put(f"shard-{number:05d}.tar", data)


def _delta(latest: _Latest) -> None:
    try:
        from deltalake import write_deltalake
        from deltalake.exceptions import DeltaError
    except ImportError as error:
        raise UsageError("--to delta needs a package that is not installed: deltalake") from error
    told, schema = latest.told, latest.choice.schema.remove_metadata()

    def batches() -> Iterator[pa.RecordBatch]:
        for table in latest.tables():
            told.images += len(table)
            yield from table.replace_schema_metadata(None).to_batches()

    reader = pa.RecordBatchReader.from_batches(schema, batches())
    try:
        options = delta_options(told.destination)
        write_deltalake(told.destination, reader, storage_options=options)
    except (DeltaError, OSError) as error:
        first = str(error).splitlines()[0]
        raise StoreError(f"{told.destination} cannot be written now: {first}") from error
    told.files = 1


def delta_options(place: str) -> dict[str, str] | None:
    """What deltalake is to be told of the store of `place`: of the environment it does not read
    this variable.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3")
    if is_local(place) or not endpoint:
        return None
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": str(endpoint.startswith("http:"))}


EXPORTS: dict[str, Callable[[_Latest], None]] = {
    "txt": _texts,
    "jsonl": _lines,
    "webdataset": _tars,
    "delta": _delta,
}
"""By what `--to` calls it."""
