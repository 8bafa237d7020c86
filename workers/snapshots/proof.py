"""That a snapshot is what its document says: its files, one row an item, counts that add up."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from schemas.outcome import RunFolderError, Status, UsageError
from schemas.run import LABELS, RunNames
from schemas.snapshot import DELETED, NEWEST_RUN, SNAPSHOTS, AbsorbedRun, Snapshot
from schemas.uri import join
from workers.inspection import Broken
from workers.plan.documents import find_document
from workers.plan.erasures import read_erasures
from workers.plan.snapshot_document import newest_snapshot
from workers.snapshots.columns import is_snapshot
from workers.snapshots.make import read_absorbed
from workers.snapshots.parts import files_of, read_files
from workers.store import PATIENCE, Patience, ask, folders
from workers.threads import in_order

COLUMNS = ("item_id", "meaning_id", "status", "run_id", NEWEST_RUN, DELETED)


@dataclass(slots=True)
class SnapshotProof:
    """What was proven of a snapshot, and what is against it."""

    snapshot: Snapshot
    labelled: int = 0
    failed: int = 0
    deleted: int = 0
    forgotten: int = 0
    """Rows that were erased."""
    broken: list[Broken] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.broken


def newest_snapshots(output: str, patience: Patience = PATIENCE) -> Iterator[Snapshot]:
    """The newest snapshot of each meaning of the canonical `output`, by meaning.

    Raises as `newest_snapshot`.
    """
    place = join(output, SNAPSHOTS)
    for meaning_id in sorted(ask(place, partial(folders, place), patience)):
        snapshot = newest_snapshot(output, meaning_id, patience)
        if snapshot is not None:
            yield snapshot


def prove_snapshot(output: str, snapshot: Snapshot, patience: Patience = PATIENCE) -> SnapshotProof:
    """Hold every file of the snapshot against its document, and that against the runs' results.

    Some thousand rows are in memory at a time. Raises UsageError where a file may not be read,
    StoreError.
    """
    proof = SnapshotProof(snapshot)
    document = snapshot.names.snapshot
    wanted = [snapshot.names.part(snapshot.attempt, i) for i in range(len(snapshot.parts))]
    if [part.name for part in snapshot.parts] != wanted:
        proof.broken.append(Broken(document, "does not name just its own parts, in their order"))
        return proof
    last = ""
    erasures = read_erasures(output, patience)
    lost = [erasures.state(part.name, part.sha256) for part in snapshot.parts]
    proof.forgotten = sum(state.rows for state in lost)
    for file in files_of(snapshot, erasures):
        try:
            for _, opened in read_files(output, [file], None, patience):
                if not is_snapshot(opened.schema_arrow):
                    raise RunFolderError("has not the columns of a snapshot")
                for batch in opened.iter_batches(columns=list(COLUMNS), use_threads=False):
                    last = _look(pa.table(batch), snapshot, last, proof)
        except (RunFolderError, UsageError, pa.ArrowException) as error:
            proof.broken.append(Broken(file.name, f"is not what it must be: {error}"))
    counts = (proof.labelled, proof.failed, proof.deleted)
    told = (
        snapshot.labelled - sum(state.labelled for state in lost),
        snapshot.failed - sum(state.failed for state in lost),
        snapshot.deleted - sum(state.deleted for state in lost),
    )
    if proof.whole and counts != told:
        problem = "counts other labelled, failed or deleted rows than its parts have"
        proof.broken.append(Broken(document, problem))
    proof.broken += _absorbed(output, snapshot, patience)
    return proof


def _look(rows: pa.Table, snapshot: Snapshot, last: str, proof: SnapshotProof) -> str:
    """Count the rows and hold them against the snapshot; the id of the last one."""
    ids = rows["item_id"].combine_chunks()
    before = pa.concat_arrays([pa.array([last]), ids[:-1].cast(pa.string())])
    if not pc.all(pc.greater(ids, before)).as_py():
        raise RunFolderError("an item comes twice, or too late")
    if set(rows["meaning_id"].unique().to_pylist()) != {snapshot.meaning_id}:
        raise RunFolderError("it holds a row of another meaning")
    _require_runs(rows, snapshot.absorbed_runs)
    labelled = pc.sum(pc.equal(rows["status"], Status.LABELLED.value)).as_py()
    proof.labelled += labelled
    proof.failed += len(rows) - labelled
    proof.deleted += pc.sum(rows[DELETED]).as_py()
    return str(ids[-1].as_py())


def _require_runs(rows: pa.Table, absorbed: Collection[str]) -> None:
    named = {*rows["run_id"].unique().to_pylist(), *rows[NEWEST_RUN].unique().to_pylist()}
    if not named <= set(absorbed):
        raise RunFolderError(f"it names run {min(named - set(absorbed))}, which was not absorbed")
    if pc.any(pc.less(rows[NEWEST_RUN], rows["run_id"])).as_py():
        raise RunFolderError(f"a row has a {NEWEST_RUN} that is older than its own")


def _absorbed(output: str, snapshot: Snapshot, patience: Patience) -> Iterator[Broken]:
    """What the list of parts and the runs' results have against the snapshot."""
    try:
        parts = read_absorbed(output, snapshot, patience)
    except (RunFolderError, pa.ArrowException) as error:
        yield Broken(snapshot.absorbed.name, f"is not what it must be: {error}")
    else:
        rows: Counter[str] = Counter()
        for name, count in zip(parts["name"].to_pylist(), parts["rows"].to_pylist(), strict=True):
            rows[name.removeprefix(f"{LABELS}/run=").partition("/")[0]] += count
        told = Counter({run.run_id: run.rows for run in snapshot.runs})
        if +rows != +told:
            yield Broken(snapshot.absorbed.name, "has other counts of rows than snapshot.json")
    results = in_order(partial(_result_digest, output, patience), snapshot.runs)
    for run, digest in zip(snapshot.runs, results, strict=True):
        if digest != run.sha256:
            name = RunNames(int(run.run_id)).result
            yield Broken(name, "is not the file of whose run the snapshot has the rows")


def _result_digest(output: str, patience: Patience, run: AbsorbedRun) -> str:
    data = find_document(output, RunNames(int(run.run_id)).result, patience)
    return "" if data is None else hashlib.sha256(data).hexdigest()
