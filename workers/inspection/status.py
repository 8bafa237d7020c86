"""How far a run is, whether anybody works on it, and when it will be done."""

import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from schemas.job import JobSpec
from schemas.run import Heartbeat, Plan, Result, shard_of
from schemas.uri import join
from workers.inspection.footers import Counts, count_rows
from workers.inspection.runs import RunFiles, read_run
from workers.plan.documents import Run, find_document, read_plan, read_result
from workers.plan.erasures import Erasures, read_erasures
from workers.plan.snapshot_document import read_pruned
from workers.sink import committed
from workers.store import PATIENCE, Patience

STALE_SECONDS = 60.0
"""A driver whose heartbeat is older is gone, or cannot reach the store."""


class State(StrEnum):
    """What becomes of a run."""

    NOT_STARTED = "not started"
    PLANNING = "planning"
    WORKING = "working"
    STOPPED = "stopped"
    FINISHED = "finished"
    PRUNED = "pruned"
    """Finished, and its rows are in a snapshot."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at one moment. Images = labelled + failed + owed + forgotten, where nothing is strange
    and no erasure under way.
    """

    run_id: str
    state: State
    job: JobSpec
    created_at: str
    images: int | None = None
    """As planned; None, and so are the next two: there is no plan yet."""
    owed: int | None = None
    shards: int | None = None
    parts: int = 0
    """Committed shards."""
    labelled: int = 0
    failed: int = 0
    forgotten: int = 0
    """Whose rows were erased; of a finished run, since then."""
    failed_by_code: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    strange: Sequence[str] = ()
    """Files that stand where parts belong, and are none of this plan."""
    heartbeat: Heartbeat | None = None
    heartbeat_seconds: float | None = None
    """Its age."""
    seconds_left: float | None = None
    """None where nobody works, or it cannot be told."""
    snapshot: int | None = None
    """Of a pruned run, the ordinal of the snapshot that was the newest then."""


def status_of(
    output: str,
    files: RunFiles,
    clock: Callable[[], float] = time.time,
    patience: Patience = PATIENCE,
) -> RunStatus:
    """The run at `output`, of which the `files` are there.

    A finished one is told from its result and the names of its parts, another from its plan, the
    footers of its parts and its heartbeat. Raises UsageError where a document is of another format
    or may not be read, StoreError.
    """
    run = read_run(output, files, patience)
    if files.finished:
        found = committed(output, files.run_id, patience)
        result, erasures = read_result(run, patience), read_erasures(output, patience)
        status = _finished(run, result, found, erasures)
        pruned = read_pruned(output, files.ordinal, patience) if files.pruned else None
        return replace(status, state=State.PRUNED, snapshot=pruned.snapshot) if pruned else status
    heartbeat = _heartbeat(run, files, patience)
    age = None if heartbeat is None else max(clock() - heartbeat.at, 0.0)
    alive = heartbeat is not None and not heartbeat.ended and (age or 0.0) <= STALE_SECONDS
    plan = read_plan(run, patience) if files.planned else None
    shards = _committed(run, plan, patience)
    known = RunStatus(
        run_id=run.spec.run_id,
        state=_state(alive, plan, begun=heartbeat is not None or bool(shards)),
        job=run.spec.job,
        created_at=run.spec.created_at,
        heartbeat=heartbeat,
        heartbeat_seconds=age,
    )
    if plan is None:
        return known
    counts = count_rows(output, plan, shards, patience)
    erasures = read_erasures(output, patience)
    forgotten = sum(erasures.state(page.name, page.sha256).rows for page in plan.pages)
    there = sum(map(plan.images_of, shards))
    return replace(
        known,
        images=plan.items,
        owed=plan.items - there - max(0, forgotten - _erased(plan, there, counts)),
        shards=plan.shards,
        parts=counts.parts,
        labelled=counts.labelled,
        failed=counts.failed,
        forgotten=forgotten,
        failed_by_code=counts.failed_by_code,
        skipped=plan.skipped,
        strange=tuple(counts.strange),
        seconds_left=_seconds_left(plan, heartbeat) if heartbeat and alive else None,
    )


def _finished(run: Run, result: Result, found: Container[int], erasures: Erasures) -> RunStatus:
    states = [erasures.state(part.name, part.sha256) for part in result.parts]
    failed = Counter(result.failed_by_code)
    for state in states:
        failed.subtract(state.failed_by_code)
    return RunStatus(
        run_id=run.spec.run_id,
        state=State.FINISHED,
        job=run.spec.job,
        created_at=run.spec.created_at,
        images=result.items,
        owed=0,
        shards=len(result.parts),
        parts=sum(shard in found for shard in range(len(result.parts))),
        labelled=result.labelled - sum(state.labelled for state in states),
        failed=failed.total(),
        forgotten=sum(state.rows for state in states),
        failed_by_code=+failed,
        skipped=result.skipped,
    )


def _erased(plan: Plan, images: int, counts: Counts) -> int:
    """How many of the `images` of committed shards have no row any more."""
    strange = (shard_of(name) for name in counts.strange)
    sound = images - sum(plan.images_of(shard) for shard in strange if shard is not None)
    return sound - counts.labelled - counts.failed


def _heartbeat(run: Run, files: RunFiles, patience: Patience) -> Heartbeat | None:
    if not files.has_heartbeat:
        return None
    data = find_document(run.output, run.names.heartbeat, patience)
    if data is None:
        return None
    return Heartbeat.from_json(data, join(run.output, run.names.heartbeat))


def _committed(run: Run, plan: Plan | None, patience: Patience) -> set[int]:
    """The shards of the plan that have a part."""
    if plan is None:
        return set()
    found = committed(run.output, plan.run_id, patience)
    return {shard for shard in found if shard < plan.shards}


def _state(alive: bool, plan: Plan | None, begun: bool) -> State:
    """Of an unfinished run."""
    if alive:
        return State.WORKING if plan else State.PLANNING
    return State.STOPPED if begun else State.NOT_STARTED


def _seconds_left(plan: Plan, heartbeat: Heartbeat) -> float | None:
    if heartbeat.images_per_second <= 0:
        return None
    return max(plan.items - heartbeat.images_seen, 0) / heartbeat.images_per_second
