"""The last word of a run: counts that add up, and the digest of every part."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from schemas.estimate import Estimate, Outcome, estimate_name
from schemas.outcome import BucketsightError, ForeignPartError, RunFolderError
from schemas.run import ClaimNames, PartRecord, Plan, Result, ResultPart, RunNames
from schemas.uri import join
from workers.plan.documents import Run, find_document
from workers.plan.erasures import read_erasures
from workers.sink import commit, committed, read_part, tidy
from workers.store import PATIENCE, Patience
from workers.threads import in_order


def finish(
    run: Run,
    plan: Plan,
    known: Mapping[int, PartRecord],
    patience: Patience = PATIENCE,
    outcome: Outcome | None = None,
) -> Result:
    """Create `result.json`. `known` holds the parts that this driver saw committed; the others, of
    drivers before, are read for their digests. `outcome` is what it says of its own time, beside
    which goes what the job was estimated to take, if that was asked.

    Raises RunFolderError where a shard has no part or the counts do not add up, ForeignPartError
    where a part is none of this plan, StoreError.
    """
    run_id = run.spec.run_id
    found = committed(run.output, run_id, patience)
    if max(found, default=-1) >= plan.shards:
        raise ForeignPartError(f"run {run_id}: part {max(found)} is none of the plan's")
    # what is not listed may have been written a moment ago, or somebody took it away
    seen = {shard: record for shard, record in known.items() if shard in found}
    result = replace(
        _result(run, plan, _records(run, plan, seen, patience), patience),
        outcome=outcome,
        estimate=_estimate(run, patience),
    )
    stored = commit(run.output, run.names.result, result.to_json(), patience)
    tidy(run.output, run_id)
    return Result.from_json(stored, join(run.output, run.names.result))


def _records(
    run: Run, plan: Plan, known: Mapping[int, PartRecord], patience: Patience
) -> Iterator[PartRecord]:
    """The part of each shard, in their order."""

    def read(shard: int) -> PartRecord:
        return read_part(run.output, run.spec.run_id, plan.digest, shard, patience)

    others = in_order(read, (shard for shard in range(plan.shards) if shard not in known))
    for shard in range(plan.shards):
        yield known[shard] if shard in known else next(others)


def _result(run: Run, plan: Plan, records: Iterator[PartRecord], patience: Patience) -> Result:
    parts: list[ResultPart] = []
    failed_by_code: Counter[str] = Counter()
    for record in records:
        footer = record.footer
        parts.append(ResultPart(record.name, record.sha256, footer.labelled, footer.failed))
        failed_by_code.update(footer.failed_by_code)
    labelled, failed = sum(part.labelled for part in parts), sum(part.failed for part in parts)
    if plan.items - labelled - failed != _forgotten(run, plan, patience):
        raise RunFolderError(
            f"run {plan.run_id}: {labelled + failed:,} rows for {plan.items:,} items"
        )
    return Result(
        run_id=plan.run_id,
        plan_digest=plan.digest,
        items=labelled + failed,
        labelled=labelled,
        failed=failed,
        failed_by_code=dict(failed_by_code),
        skipped=plan.skipped,
        parts=tuple(parts),
    )


def _forgotten(run: Run, plan: Plan, patience: Patience) -> int:
    """How many of its items are in no page and no part any more."""
    erasures = read_erasures(run.output, patience)
    return sum(erasures.state(page.name, page.sha256).rows for page in plan.pages)


def _estimate(run: Run, patience: Patience) -> Estimate | None:
    """What lies there for just this run; one that cannot be read decides nothing, and is none."""
    name = estimate_name(run.spec.job.fingerprint())
    try:
        data = find_document(run.output, name, patience)
        found = None if data is None else Estimate.from_json(data, join(run.output, name))
        return found if found and _is_of(found, run, patience) else None
    except BucketsightError:
        return None


def _is_of(estimate: Estimate, run: Run, patience: Patience) -> bool:
    """Whether `run` is the job's first one since: other jobs may have claimed ordinals between."""
    if not 0 < estimate.ordinal <= run.names.ordinal:
        return False
    for ordinal in range(estimate.ordinal, run.names.ordinal):
        names = RunNames(ordinal)
        data = find_document(run.output, names.spec, patience)
        if data is not None:
            claim = ClaimNames.from_json(data, join(run.output, names.spec))
            if claim.fingerprint == estimate.fingerprint:
                return False
    return True
