"""The Parquet files that hold a meaning's rows, held against the digests that documents name."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.outcome import RunFolderError, UsageError
from schemas.rows import SCHEMA_VERSION, SCHEMA_VERSION_KEY
from schemas.run import Plan, Result, shard_of
from schemas.snapshot import Snapshot
from schemas.uri import join
from workers.plan import Run, read_plan
from workers.plan.documents import find_document
from workers.plan.erasures import Erasures
from workers.sink import committed, fetch_part
from workers.snapshots.history import History
from workers.store import PATIENCE, Patience
from workers.threads import in_order

READERS = 3
"""Twice as many files are held at a time."""
BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file of rows."""

    name: str
    sha256: str
    """"": of an unfinished run, whose plan alone vouches for it."""
    rows: int
    """Of an unfinished run at most so many: some may be forgotten."""
    document: str
    """What names it by its digest."""


@dataclass(frozen=True, slots=True)
class RunParts:
    """The parts of a run, and what its rows were planned to pass on."""

    run: Run
    sha256: str
    """Of its result.json; "" while it is unfinished."""
    files: tuple[RowFile, ...]
    plan: Plan | None

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)


def parts_of(run: Run, erasures: Erasures, patience: Patience = PATIENCE) -> RunParts:
    """The parts of a finished run as its result names them, or those that an unfinished one has,
    without what was erased of them.

    Raises RunFolderError where the result was altered or a part is none of the plan's, UsageError,
    StoreError.
    """
    plan = read_plan(run, patience)
    if not run.finished:
        return RunParts(run, "", tuple(_unfinished(run, plan, patience)), plan)
    place = join(run.output, run.names.result)
    data = find_document(run.output, run.names.result, patience)
    if data is None:
        raise RunFolderError(f"{place} was there and is gone")
    result = Result.from_json(data, place)
    names = [part.name for part in result.parts]
    rows = sum(part.labelled + part.failed for part in result.parts)
    if names != [run.names.part(shard) for shard in range(len(names))] or rows != result.items:
        raise RunFolderError(f"{place} was altered: it does not add up; jobs/verify.py tells more")
    files = tuple(
        _row_file(part.name, part.sha256, part.labelled + part.failed, run.names.result, erasures)
        for part in result.parts
    )
    return RunParts(run, hashlib.sha256(data).hexdigest(), files, plan)


def unfinished_rows(history: History, patience: Patience = PATIENCE) -> dict[str, int]:
    """Of each unfinished run that has parts, by run_id, how many rows these hold at most. Raises as
    `parts_of`.
    """
    runs = [one.run for one in history.fresh if not one.files.finished]
    found = in_order(partial(parts_of, erasures=history.erasures, patience=patience), runs)
    return {parts.run.spec.run_id: parts.rows for parts in found if parts.files}


def _row_file(name: str, sha256: str, rows: int, document: str, erasures: Erasures) -> RowFile:
    state = erasures.state(name, sha256)
    return RowFile(name, state.sha256, rows - state.rows, document)


def _unfinished(run: Run, plan: Plan | None, patience: Patience) -> Iterator[RowFile]:
    if plan is None:
        return
    for shard in sorted(committed(run.output, plan.run_id, patience)):
        if shard < plan.shards:
            name = run.names.part(shard)
            yield RowFile(name, "", plan.images_of(shard), run.names.plan)


def files_of(snapshot: Snapshot, erasures: Erasures) -> list[RowFile]:
    """The files of a snapshot's rows, without what was erased of them."""
    document = snapshot.names.snapshot
    return [
        _row_file(part.name, part.sha256, part.rows, document, erasures) for part in snapshot.parts
    ]


def read_files(
    output: str, files: Sequence[RowFile], parts: RunParts | None, patience: Patience = PATIENCE
) -> Iterator[tuple[RowFile, pq.ParquetFile]]:
    """Each file, whole and as it was committed; of a run, or with None of a snapshot.

    Raises RunFolderError where one is gone or altered, UsageError where one is of a schema version
    that this program does not know, StoreError.
    """
    fetched = in_order(partial(_fetched, output, parts, patience), files, READERS)
    for file, data in zip(files, fetched, strict=True):
        yield file, _opened(join(output, file.name), file, data)


def _fetched(output: str, parts: RunParts | None, patience: Patience, file: RowFile) -> bytes:
    if parts and parts.plan and not parts.run.finished:
        shard = shard_of(file.name)
        if shard is not None:
            return fetch_part(output, parts.plan.run_id, parts.plan.digest, shard, patience)[1]
    data = find_document(output, file.name, patience)
    place = join(output, file.name)
    if data is None:
        raise RunFolderError(f"{place} is missing, and {file.document} names it")
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise RunFolderError(
            f"{place} was altered: it is not the file that {file.document} names by its digest"
        )
    return data


def _opened(place: str, file: RowFile, data: bytes) -> pq.ParquetFile:
    try:
        opened = pq.ParquetFile(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise RunFolderError(f"{place} cannot be read: {error}") from error
    version = (opened.schema_arrow.metadata or {}).get(SCHEMA_VERSION_KEY, b"none").decode()
    if version not in map(str, range(1, SCHEMA_VERSION + 1)):
        raise UsageError(
            f"{place} is of schema version {version} and this program knows {SCHEMA_VERSION}: use "
            "the program that wrote it"
        )
    fewer = not file.sha256 and opened.metadata.num_rows < file.rows
    if opened.metadata.num_rows != file.rows and not fewer:
        raise RunFolderError(
            f"{place} holds {opened.metadata.num_rows:,} rows, {file.document} says {file.rows:,}"
        )
    return opened


def batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """The rows of a file, some thousand at a time."""
    # without threads: those of Arrow may outlive the answer, and abort a process that is ending
    yield from file.iter_batches(BATCH_ROWS, use_threads=False)
