"""What is known of items from earlier runs: the rows under one meaning, as far as they decide what
is owed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas import document
from schemas.job import JobSpec
from schemas.outcome import (
    PASSING,
    BusyError,
    DamagedPlanError,
    RunFolderError,
    Status,
    StoreError,
)
from schemas.run import Plan, RunNames, RunSpec
from schemas.snapshot import NEWEST_RUN, Snapshot
from schemas.uri import join
from workers.plan.documents import Run, find_document, ordinals, read_plan
from workers.plan.erasures import read_erasures
from workers.plan.load import load_list, load_shards
from workers.plan.owed import KNOWN_SCHEMA, LEFT_SCHEMA
from workers.plan.snapshot_document import newest_snapshot, read_pruned
from workers.sink import committed, fetch_part
from workers.source.fetching import SpanFile
from workers.store import PATIENCE, Patience, Span, ask, entry_at, fetch
from workers.threads import in_order

BATCH_ROWS = 100_000
"""Of a snapshot, that are read at once."""

LONGEST = 0
"""Since when that is owed which a run planned, and nobody looked at: before any run."""

_COLUMNS = ["item_id", "input_digest", "status", "error_code"]


@dataclass(frozen=True, slots=True)
class Known:
    """The runs under OUTPUT whose labels mean what a job's would."""

    runs: tuple[RunSpec, ...]
    """In the order of their ordinals, finished or not."""
    snapshot: Snapshot | None
    """The newest one of this meaning: it has the rows of the runs that it absorbed."""
    output: str
    patience: Patience

    def of_input(self, job: JobSpec) -> list[int]:
        """The ordinals of the runs that looked at the INPUT of `job`."""
        return [
            int(run.run_id)
            for run in self.runs
            if (run.job.input, run.job.input_format) == (job.input, job.input_format)
        ]

    def rows(self) -> Iterator[pa.Table]:
        """All that is known of items, in tables of KNOWN_SCHEMA.

        Raises ForeignPartError where a file stands in a part's place, RunFolderError where a
        snapshot's part is gone or altered, StoreError, also where rows were pruned meanwhile,
        UsageError.
        """
        absorbed = self.snapshot.absorbed_runs if self.snapshot else frozenset()
        if self.snapshot:
            yield from _rows_of_snapshot(self.output, self.snapshot, self.patience)
        runs = [Run(run, finished=False) for run in self.runs if run.run_id not in absorbed]
        plans = in_order(partial(read_plan, patience=self.patience), runs)  # there may be hundreds
        for run, plan in zip(runs, plans, strict=True):
            if plan is not None and plan.shards:
                yield from _rows_of(run, plan, self.patience)

    def left(self, job: JobSpec) -> Iterator[pa.Table]:
        """What the newest plan of `job` left to the next one, in tables of LEFT_SCHEMA: of what it
        planned and nobody looked at first, for that had waited the longest.

        It is the order of what is owed and no more: what of it is damaged is left out. Raises
        StoreError, UsageError.
        """
        for spec in reversed(self.runs):
            if spec.job.fingerprint() != job.fingerprint():
                continue
            run = Run(spec, finished=False)
            with suppress(DamagedPlanError):
                plan = read_plan(run, self.patience)
                if plan is None:
                    continue
                yield from _unreached(run, plan, self.patience)
                yield from load_list(job.output, plan.left, self.patience)
            return


def _unreached(run: Run, plan: Plan, patience: Patience) -> Iterator[pa.Table]:
    done = committed(run.output, plan.run_id, patience)
    if len(done) < plan.shards:
        for shard in load_shards(run, plan, skip=done, patience=patience):
            ids = [image.item_id for image in shard.images]
            yield pa.table([ids, pa.repeat(LONGEST, len(ids)).cast(pa.int32())], LEFT_SCHEMA)


def known_runs(job: JobSpec, patience: Patience = PATIENCE) -> Known:
    """The runs under OUTPUT that meant what `job` means. Others are not looked into.

    Raises UsageError where one was written by a later program, StoreError.
    """
    output, meaning = job.output, job.meaning_id()

    def read(ordinal: int) -> RunSpec | None:
        return _spec_of(output, ordinal, meaning, patience)

    found = in_order(read, ordinals(output, patience))
    runs = tuple(run for run in found if run is not None)
    return Known(runs, newest_snapshot(output, meaning, patience), output, patience)


def _spec_of(output: str, ordinal: int, meaning: str, patience: Patience) -> RunSpec | None:
    """The run's spec, if it has this meaning."""
    name = RunNames(ordinal).spec
    data = find_document(output, name, patience)
    place = join(output, name)
    if data is None or document.loads(data, place).get("meaning_id") != meaning:
        return None
    spec = RunSpec.from_json(data, place)
    return replace(spec, job=replace(spec.job, output=output))  # it may have been moved


def _rows_of(run: Run, plan: Plan, patience: Patience) -> Iterator[pa.Table]:
    ordinal = run.names.ordinal

    def read(shard: int) -> pa.Table:
        _, data = fetch_part(run.output, plan.run_id, plan.digest, shard, patience)
        return _known(data, ordinal)

    try:
        yield from in_order(read, sorted(committed(run.output, plan.run_id, patience)))
    except RunFolderError:
        _require_kept(run, patience)
        raise
    _require_kept(run, patience)


def _require_kept(run: Run, patience: Patience) -> None:
    """Raises StoreError where the run's parts went into a snapshot while they were read."""
    if read_pruned(run.output, run.names.ordinal, patience) is not None:
        raise StoreError(
            f"run {run.spec.run_id} was pruned while its rows were read; the same command begins "
            "anew, with the snapshot that has them"
        )


def _known(part: bytes, ordinal: int) -> pa.Table:
    # Not pq.read_table: its threads may outlive the answer, and abort a process that is ending.
    rows = pq.ParquetFile(pa.BufferReader(part)).read(_COLUMNS, use_threads=False)
    return _as_known(rows, pa.repeat(ordinal, rows.num_rows))


def _rows_of_snapshot(output: str, snapshot: Snapshot, patience: Patience) -> Iterator[pa.Table]:
    erasures = read_erasures(output, patience)
    for part in snapshot.parts:
        states = erasures.states(part.name, part.sha256)
        try:
            counts = {part.rows - state.rows for state in states}
            yield from _rows_of_file(join(output, part.name), counts, patience)
        except RunFolderError as error:
            if read_erasures(output, patience).last != erasures.last:
                raise BusyError(
                    f"{join(output, part.name)} was read while rows of it were erased; come again"
                ) from error
            raise
        except FileNotFoundError:
            _require_newest(output, snapshot, patience)
            raise RunFolderError(
                f"{join(output, part.name)}, a part of the newest snapshot, is gone: put it back"
            ) from None


def _require_newest(output: str, snapshot: Snapshot, patience: Patience) -> None:
    """Raises StoreError where another snapshot took the place of this one while it was read."""
    if newest_snapshot(output, snapshot.meaning_id, patience) != snapshot:
        raise StoreError(
            f"{join(output, snapshot.names.snapshot)} was replaced and pruned while it was read; "
            "the same command begins anew, with the snapshot that has its rows"
        )


def _rows_of_file(place: str, counts: Collection[int], patience: Patience) -> Iterator[pa.Table]:
    """Only the columns that matter are asked for: a snapshot may hold millions of rows. Raises
    FileNotFoundError.
    """
    entry = ask(place, lambda seconds: entry_at(place, seconds), patience)
    if entry is None or entry.size_bytes is None:
        raise FileNotFoundError(place)

    def fetch_span(span: Span) -> bytes:
        return ask(place, lambda seconds: fetch(place, seconds=seconds, span=span), patience)

    try:
        file = pq.ParquetFile(SpanFile(entry.size_bytes, fetch_span), pre_buffer=False)
        if file.metadata.num_rows not in counts:
            raise RunFolderError(
                f"{place} was altered: it holds {file.metadata.num_rows:,} rows, and its snapshot "
                f"says {min(counts):,}; put it back"
            )
        columns = [*_COLUMNS, NEWEST_RUN]
        for batch in file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
            rows = pa.Table.from_batches([batch])
            yield _as_known(rows, rows[NEWEST_RUN].cast(pa.int32()))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError) as error:
        raise RunFolderError(f"{place} was altered and cannot be read: {error}") from error


def _as_known(rows: pa.Table, run: pa.ChunkedArray | pa.Array) -> pa.Table:
    columns = [rows["item_id"], rows["input_digest"], settled(rows), run.cast(pa.int32())]
    return pa.table(columns, schema=KNOWN_SCHEMA)


def settled(rows: pa.Table) -> pa.ChunkedArray:
    """Whether each row needs no further look: it is labelled, or its failure lies in the image."""
    passing = pc.is_in(rows["error_code"], pa.array(sorted(PASSING), pa.string()))
    return pc.or_(pc.equal(rows["status"], Status.LABELLED), pc.invert(passing))
