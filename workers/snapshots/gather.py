"""All rows of a meaning that count, put before the choice: a snapshot's, and of runs beside it."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.outcome import DamagedPlanError, RunFolderError
from schemas.rows import row_schema
from schemas.run import ListPage
from schemas.snapshot import NEWEST_RUN
from schemas.uri import join
from workers.plan import read_plan
from workers.plan.documents import find_document
from workers.snapshots.choice import Choice, open_choice
from workers.snapshots.columns import is_snapshot, kept_rows, united
from workers.snapshots.history import History, PastRun, Source
from workers.snapshots.parts import RowFile, RunParts, batches, files_of, read_files
from workers.store import PATIENCE, Patience
from workers.tasks import tasks_of


@contextmanager
def gathered(
    history: History, runs: Sequence[RunParts], patience: Patience = PATIENCE
) -> Iterator[Choice]:
    """The choice among the rows of the history's snapshot and of `runs`, and what is gone.

    Raises as `read_files`, UsageError where columns do not fit together, StoreError also where the
    temporary folder is full.
    """
    output, origins = history.output, _origins(history)
    with open_choice(united(schemas_of(history, runs, patience))) as choice:
        for files, parts in _several(history, runs):
            for file, opened in read_files(output, files, parts, patience):
                for batch in batches(opened):
                    _add(choice, join(output, file.name), pa.table(batch), origins)
        for source, (one, pages) in newest_lists(history, patience).items():
            number = history.sources.index(source)
            for ids in gone_ids(history, pages, patience):
                choice.add_gone(number, one.files.ordinal, ids)
        yield choice


def _several(
    history: History, runs: Sequence[RunParts]
) -> list[tuple[Sequence[RowFile], RunParts | None]]:
    """The files of the snapshot, and those of each run."""
    snapshot = [(files_of(history.snapshot, history.erasures), None)] if history.snapshot else []
    return [*snapshot, *((parts.files, parts) for parts in runs)]


def schemas_of(
    history: History, runs: Sequence[RunParts], patience: Patience = PATIENCE
) -> list[tuple[str, pa.Schema]]:
    """The columns of the snapshot and of each run, of which its first file tells, and that file's
    name; where there is no file at all, of the rows as they will be. Raises as `read_files`.
    """
    schemas: list[tuple[str, pa.Schema]] = []
    for files, parts in _several(history, runs):
        for file, opened in read_files(history.output, files[:1], parts, patience):
            schemas.append((file.name, opened.schema_arrow))
    if not schemas:
        tasks = tasks_of(history.runs[-1].run.spec.job)
        schemas = [("", row_schema([task.schema for task in tasks]))]
    return schemas


def _origins(history: History) -> dict[int, int]:
    """The number of the INPUT of each run."""
    return {one.files.ordinal: history.sources.index(one.source) for one in history.runs}


def _add(choice: Choice, place: str, rows: pa.Table, origins: dict[int, int]) -> None:
    told_by = rows[NEWEST_RUN if is_snapshot(rows.schema) else "run_id"]
    run, newest = (pc.cast(ids, pa.int64()).to_numpy() for ids in (rows["run_id"], told_by))
    ordinals, places = np.unique(newest, return_inverse=True)
    if not origins.keys() >= set(ordinals.tolist()):
        raise RunFolderError(f"{place} holds rows of a run whose spec.json is gone")
    sources = np.array([origins[ordinal] for ordinal in ordinals.tolist()], np.int64)
    choice.add(kept_rows(rows), newest, run, sources[places])


def newest_lists(
    history: History, patience: Patience = PATIENCE
) -> dict[Source, tuple[PastRun, tuple[ListPage, ...]]]:
    """For each INPUT the newest incremental run that has a plan, and its list of what is gone."""
    found: dict[Source, tuple[PastRun, tuple[ListPage, ...]]] = {}
    for one in reversed(history.runs):
        if one.run.spec.job.incremental and one.files.planned and one.source not in found:
            plan = read_plan(one.run, patience)
            if plan is not None:
                found[one.source] = one, plan.gone
    return found


def gone_ids(
    history: History, pages: Sequence[ListPage], patience: Patience = PATIENCE
) -> Iterator[pa.Array]:
    """The ids on each page of such a list. Raises DamagedPlanError, StoreError."""
    for page in pages:
        place = join(history.output, page.name)
        wanted = history.erasures.state(page.name, page.sha256).sha256
        data = find_document(history.output, page.name, patience)
        if data is None or hashlib.sha256(data).hexdigest() != wanted:
            raise DamagedPlanError(f"{place}, a page of the plan, was altered")
        file = pq.ParquetFile(pa.BufferReader(data))
        yield file.read(["item_id"], use_threads=False)["item_id"].combine_chunks()
