"""The last word of a run: counts that add up, and the digest of every part."""

from collections import Counter
from collections.abc import Mapping

from schemas.outcome import ForeignPartError, RunFolderError
from schemas.run import PartRecord, Plan, Result, ResultPart
from schemas.uri import join
from workers.plan.claim import Run
from workers.sink import commit, committed, read_part
from workers.store import PATIENCE, Patience, ask, fetch


def finish(
    run: Run, plan: Plan, known: Mapping[int, PartRecord], patience: Patience = PATIENCE
) -> Result:
    """Create `result.json`. `known` holds the parts that this driver saw committed; the others, of
    drivers before, are read for their digests.

    Raises RunFolderError where a shard has no part or the counts do not add up, ForeignPartError
    where a part is none of this plan, StoreError.
    """
    run_id = run.spec.run_id
    found = committed(run.output, run_id, patience)
    missing = set(range(plan.shards)) - found
    if missing:
        raise RunFolderError(f"run {run_id}: {len(missing):,} of {plan.shards:,} shards are owed")
    if len(found) > plan.shards:
        raise ForeignPartError(f"run {run_id}: part {max(found)} is none of the plan's")
    records = [
        known.get(shard) or read_part(run.output, run_id, plan.digest, shard, patience)
        for shard in range(plan.shards)
    ]
    stored = commit(run.output, run.names.result, _result(plan, records).to_json(), patience)
    return Result.from_json(stored, join(run.output, run.names.result))


def read_result(run: Run, patience: Patience = PATIENCE) -> Result:
    """`result.json` of a finished run. Raises RunFolderError where there is none, StoreError."""
    place = join(run.output, run.names.result)
    try:
        data = ask(place, lambda seconds: fetch(place, seconds=seconds), patience)
    except FileNotFoundError as error:
        raise RunFolderError(f"{place} is missing") from error
    return Result.from_json(data, place)


def _result(plan: Plan, records: list[PartRecord]) -> Result:
    footers = [record.footer for record in records]
    failed_by_code: Counter[str] = Counter()
    for footer in footers:
        failed_by_code.update(footer.failed_by_code)
    items = sum(footer.items for footer in footers)
    if items != plan.items:
        raise RunFolderError(f"run {plan.run_id}: {items:,} rows for {plan.items:,} items")
    return Result(
        run_id=plan.run_id,
        plan_digest=plan.digest,
        items=items,
        labelled=sum(footer.labelled for footer in footers),
        failed=sum(footer.failed for footer in footers),
        failed_by_code=dict(failed_by_code),
        skipped=plan.skipped,
        parts=tuple(
            ResultPart(record.name, record.sha256, record.footer.labelled, record.footer.failed)
            for record in records
        ),
    )
