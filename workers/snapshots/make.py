"""Many runs → one snapshot: read what is new, choose, write, create `snapshot.json` last."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.outcome import BusyError, RunFolderError, Status
from schemas.snapshot import (
    ABSORBED_SCHEMA,
    AbsorbedRun,
    Snapshot,
    SnapshotFile,
    SnapshotNames,
)
from schemas.uri import join
from workers.plan.documents import find_document
from workers.plan.erasures import read_erasures
from workers.plan.snapshot_document import newest_snapshot
from workers.sink import commit
from workers.snapshots.choice import Choice
from workers.snapshots.gather import gathered
from workers.snapshots.history import History
from workers.snapshots.parts import RunParts, files_of, parts_of
from workers.store import PATIENCE, Patience, client_errors, remove
from workers.threads import in_order

PART_ROWS = 131_072
"""A part of a snapshot is full with so many rows."""
PART_BYTES = 32 << 20
"""Or with so many bytes, before they are compressed."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What became of an attempt."""

    snapshot: Snapshot | None
    """The newest one now; None: there is none, and no finished run to make it of."""
    absorbed: int = 0
    """Runs that are new in it; 0: there was nothing to do."""
    ours: bool = True
    """False: another compaction was faster, and this is its snapshot."""


@dataclass(slots=True)
class _Kept:
    """The files of the rows that were kept, as they are written."""

    names: SnapshotNames
    attempt: str
    parts: list[SnapshotFile] = field(default_factory=list)
    labelled: int = 0
    failed: int = 0
    deleted: int = 0


def compact(history: History, patience: Patience = PATIENCE) -> Compaction:
    """Make the next snapshot of the history's meaning, if any run finished since the newest one.

    Nothing is written before all that is read was held against its digest. Of two that do so at
    once one wins. Raises RunFolderError where a part is missing or altered, UsageError where rows
    are of another schema or do not fit together, BusyError where rows are erased meanwhile,
    StoreError also where a disk is full.
    """
    fresh = [one.run for one in history.fresh if one.files.finished]
    if not fresh:
        return Compaction(history.snapshot)
    read_parts = partial(parts_of, erasures=history.erasures, patience=patience)
    added = list(in_order(read_parts, fresh))
    before = history.snapshot
    names = SnapshotNames(history.meaning_id, before.ordinal + 1 if before else 1)
    kept = _Kept(names, uuid4().hex)
    with gathered(history, added, patience) as choice:
        _write_rows(history.output, choice, kept, patience)
        read = choice.read
    absorbed = _write_absorbed(history, added, kept, patience)
    snapshot = Snapshot(
        meaning_id=names.meaning_id,
        ordinal=names.ordinal,
        attempt=kept.attempt,
        replaces=before.ordinal if before else 0,
        replaced_rows=sum(file.rows for file in files_of(before, history.erasures))
        if before
        else 0,
        added_rows=sum(parts.rows for parts in added),
        superseded=read - kept.labelled - kept.failed,
        labelled=kept.labelled,
        failed=kept.failed,
        deleted=kept.deleted,
        runs=_runs(history, added),
        absorbed=absorbed,
        parts=tuple(kept.parts),
    )
    if read != snapshot.replaced_rows + snapshot.added_rows:
        raise AssertionError(f"{read} rows were read, and others are told of")
    if read_erasures(history.output, patience).last != history.erasures.last:
        _take_away(history.output, snapshot, patience)
        raise BusyError(f"{history.output}: rows that were read are erased now; come again")
    return _created(history.output, snapshot, len(added), patience)


def _created(output: str, snapshot: Snapshot, absorbed: int, patience: Patience) -> Compaction:
    names = snapshot.names
    ours = commit(output, names.snapshot, snapshot.to_json(), patience) == snapshot.to_json()
    # A name that was free may have been that of a snapshot which is replaced and gone since.
    newest = newest_snapshot(output, names.meaning_id, patience)
    if newest == snapshot:
        return Compaction(snapshot, absorbed)
    if not ours:
        _take_away(output, snapshot, patience)
    return Compaction(newest, absorbed, ours=False)


def _take_away(output: str, snapshot: Snapshot, patience: Patience) -> None:
    for name in (snapshot.absorbed.name, *(part.name for part in snapshot.parts)):
        with suppress(*client_errors()):  # a leftover harms nobody
            patience(partial(remove, join(output, name)))


def _runs(history: History, added: Sequence[RunParts]) -> tuple[AbsorbedRun, ...]:
    pruned = {one.run_id for one in history.runs if one.files.pruned}
    runs = [
        AbsorbedRun(parts.run.spec.run_id, parts.sha256, parts.rows, pruned=False)
        for parts in added
    ]
    for run in history.snapshot.runs if history.snapshot else ():
        runs.append(AbsorbedRun(run.run_id, run.sha256, run.rows, run.run_id in pruned))
    return tuple(sorted(runs, key=lambda run: run.run_id))


def _write_rows(output: str, choice: Choice, kept: _Kept, patience: Patience) -> None:
    for index, rows in enumerate(_full(choice.in_order())):
        name = kept.names.part(kept.attempt, index)
        kept.parts.append(write_table(output, name, rows, patience))
        labelled = pc.sum(pc.equal(rows["status"], Status.LABELLED.value)).as_py()
        kept.labelled += labelled
        kept.failed += len(rows) - labelled
        kept.deleted += pc.sum(rows["deleted"]).as_py()


def _full(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows in tables that fill a part each, but for the last."""
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        held.append(table)
        rows, size = rows + len(table), size + table.nbytes
        if rows >= PART_ROWS or size >= PART_BYTES:
            yield pa.concat_tables(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_tables(held)


def _write_absorbed(
    history: History, added: Sequence[RunParts], kept: _Kept, patience: Patience
) -> SnapshotFile:
    """The list of all parts that the snapshot stands for, those of the one before it first."""
    files = [file for parts in added for file in parts.files]
    columns = [[getattr(file, name) for file in files] for name in ABSORBED_SCHEMA.names]
    table = pa.table(columns, schema=ABSORBED_SCHEMA)
    if history.snapshot:
        earlier = read_absorbed(history.output, history.snapshot, patience)
        table = pa.concat_tables([earlier, table])
    name = kept.names.absorbed(kept.attempt)
    return write_table(history.output, name, table, patience)


def read_absorbed(output: str, snapshot: Snapshot, patience: Patience = PATIENCE) -> pa.Table:
    """The parts that a snapshot absorbed, in a table of ABSORBED_SCHEMA. Raises RunFolderError
    where that is gone or altered, StoreError.
    """
    place = join(output, snapshot.absorbed.name)
    data = find_document(output, snapshot.absorbed.name, patience)
    if data is None or hashlib.sha256(data).hexdigest() != snapshot.absorbed.sha256:
        raise RunFolderError(
            f"{place} was altered or taken away: {snapshot.names.snapshot} names it by its digest"
        )
    return pq.ParquetFile(pa.BufferReader(data)).read(ABSORBED_SCHEMA.names, use_threads=False)


def write_table(
    output: str, name: str, table: pa.Table, patience: Patience = PATIENCE
) -> SnapshotFile:
    """Create the Parquet file `name`, which nobody else has."""
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    data = bytes(buffer.getvalue())
    if commit(output, name, data, patience) != data:
        raise RunFolderError(f"{join(output, name)} is there already")
    return SnapshotFile(name, hashlib.sha256(data).hexdigest(), len(table))
