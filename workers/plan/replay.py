"""Which items failed in an earlier run: what a replay looks at again."""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.job import JobSpec
from schemas.outcome import ErrorCode, Status, UsageError
from schemas.run import RunNames, shard_of
from schemas.uri import join
from workers.plan.documents import Run, read_plan, read_result, read_spec
from workers.plan.snapshot_document import read_pruned
from workers.sink import committed, fetch_part
from workers.store import PATIENCE, Patience, ask, entry_at
from workers.threads import in_order

BLOCK_IDS = 50_000
"""So many ids come at once."""


def replayed_run(job: JobSpec, patience: Patience = PATIENCE) -> Run:
    """The run that `job` replays. Raises UsageError where OUTPUT holds none of that name, where it
    looked at another INPUT, and where it is finished and nothing failed for one of the reasons.
    """
    run_id, output = job.replay_of, job.output
    spec = read_spec(output, int(run_id), patience) if re.fullmatch(r"\d{8}", run_id) else None
    if spec is None:
        raise UsageError(f"{output} holds no run {run_id}: there is nothing to replay")
    if (spec.job.input, spec.job.input_format) != (job.input, job.input_format):
        raise UsageError(
            f"run {run_id} looked at {spec.job.input} as {spec.job.input_format}, not at "
            f"{job.input} as {job.input_format}: a replay looks at the same INPUT again"
        )
    if read_pruned(output, int(run_id), patience) is not None:
        raise UsageError(pruned_away(run_id))
    result = join(output, RunNames(int(run_id)).result)
    finished = ask(result, partial(entry_at, result), patience) is not None
    # it may have been moved since it was claimed
    run = Run(replace(spec, job=replace(spec.job, output=output)), finished)
    if finished and not _of_these(read_result(run, patience).failed_by_code, job.replay_codes):
        raise UsageError(nothing_failed(job))
    return run


def nothing_failed(job: JobSpec) -> str:
    """The sentence for a run without failures of the reasons asked for."""
    codes = f" with {' or '.join(sorted(job.replay_codes))}" if job.replay_codes else ""
    return f"no image failed{codes} in run {job.replay_of}: there is nothing to replay"


def pruned_away(run_id: str) -> str:
    """The sentence for a run whose parts are no more."""
    return (
        f"run {run_id} is pruned: which images failed in it, only a snapshot still tells "
        "(jobs/compact.py --view), and it cannot be replayed"
    )


def failed_ids(
    run: Run, codes: Collection[ErrorCode], patience: Patience = PATIENCE
) -> Iterator[pa.Array]:
    """The ids of the items that failed in the parts of `run`, in blocks: those with one of `codes`,
    all where there are none.

    A finished run's result tells which parts need not be read. Raises RunFolderError where a part
    is gone, ForeignPartError where one is none of the run's, StoreError.
    """
    digest, shards = _parts_with_failures(run, patience)
    output, run_id = run.output, run.spec.run_id

    def read(shard: int) -> pa.Array:
        record, data = fetch_part(output, run_id, digest, shard, patience)
        if not _of_these(record.footer.failed_by_code, codes):
            return pa.array([], pa.string())
        return _failed_rows(data, codes)

    held: list[pa.Array] = []
    for ids in in_order(read, shards):
        held.append(ids)
        if sum(map(len, held)) >= BLOCK_IDS:
            yield pa.concat_arrays(held)
            held = []
    if held:
        yield pa.concat_arrays(held)


def _parts_with_failures(run: Run, patience: Patience) -> tuple[str, list[int]]:
    """The plan's digest, and the shards whose parts hold failed rows, or may."""
    if run.finished:
        result = read_result(run, patience)
        names = [part.name for part in result.parts if part.failed]
        return result.plan_digest, [
            shard for name in names if (shard := shard_of(name)) is not None
        ]
    plan = read_plan(run, patience)
    if plan is None:
        return "", []
    return plan.digest, sorted(committed(run.output, plan.run_id, patience))


def _failed_rows(part: bytes, codes: Collection[ErrorCode]) -> pa.Array:
    # Not pq.read_table: its threads may outlive the answer, and abort a process that is ending.
    file = pq.ParquetFile(pa.BufferReader(part))
    rows = file.read(["item_id", "status", "error_code"], use_threads=False)
    wanted = pc.equal(rows["status"], Status.FAILED)
    if codes:
        wanted = pc.and_(wanted, pc.is_in(rows["error_code"], pa.array(sorted(codes))))
    return rows["item_id"].filter(wanted).combine_chunks()


def _of_these(failed_by_code: Collection[str], codes: Collection[ErrorCode]) -> bool:
    """Whether any failure is one of `codes`; all are where there are none."""
    return bool(set(failed_by_code) & set(codes) if codes else failed_by_code)
