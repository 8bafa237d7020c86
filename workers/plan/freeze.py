"""List, sort, cut, freeze: the plan is made once, and plan.json alone makes it."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from uuid import uuid4

from schemas.image import InputFormat
from schemas.job import TEXT_COLUMN, JobSpec
from schemas.outcome import DamagedPlanError, UsageError
from schemas.rows import PassedColumn, row_schema
from schemas.run import Plan, PlanPage
from schemas.uri import join
from workers.plan.cut import SMALL_SHARDS, Cut, cut_for
from workers.plan.documents import Run, read_plan
from workers.plan.listing import Listing, open_listing
from workers.plan.pages import cut_pages, encode_page
from workers.plan.replay import failed_ids, nothing_failed, replayed_run
from workers.sink import commit, committed
from workers.source import list_images, no_images
from workers.store import PATIENCE, Patience
from workers.tasks import tasks_of


class PlanRule(StrEnum):
    """Why something is in no shard, beside the rules of `workers.source`."""

    LISTED_AGAIN = "listed_again"
    """The listing told of an item more than once; the last word counts."""
    NOT_REPLAYED = "not_replayed"
    """It did not fail in the run that is replayed, or not for one of the reasons."""
    GONE_SINCE_RUN = "gone_since_run"
    """It failed in that run, and INPUT lists it no more."""


def freeze(
    run: Run,
    shard_images: int | None,
    device: str,
    batch_size: int,
    patience: Patience = PATIENCE,
) -> Plan:
    """The plan of `run`: the one that is there, else INPUT as listed now.

    Of drivers that plan at the same time one wins, and all go on with its plan. `shard_images`,
    `device` and `batch_size` matter to a new plan only, and stand in it for those who go on with
    it. Raises UsageError for an INPUT without images and a replay of nothing, StoreError also where
    the temporary folder is full.
    """
    plan = read_plan(run, patience)
    if plan is not None:
        return plan
    if committed(run.output, run.spec.run_id, patience):
        plan = read_plan(run, patience)  # another driver may have made it a moment ago
        if plan is None:
            raise DamagedPlanError(
                f"{join(run.output, run.names.plan)} is missing, and parts were made by it: put it "
                "back, or start afresh with --new-run"
            )
        return plan
    job = run.spec.job
    with open_listing() as listing:
        items, skipped = _list(job, listing, patience)
        columns = listing.columns()
        _require_columns(job, columns)
        cut = cut_for(items, shard_images, job.preprocessing.image_size, device)
        attempt = uuid4().hex
        pages = _write_pages(run, listing, cut, attempt, patience)
    if sum(page.items for page in pages) != items:
        raise AssertionError(f"{items} items were listed and others are planned")
    plan = Plan(
        run_id=run.spec.run_id,
        attempt=attempt,
        pages=pages,
        items=items,
        shards=sum(page.shards for page in pages),
        small_shards=SMALL_SHARDS,
        small_shard_images=cut.small,
        shard_images=cut.full,
        device=device,
        batch_size=batch_size,
        skipped=dict(skipped),
        columns=columns,
    )
    stored = commit(run.output, run.names.plan, plan.to_json(), patience)
    return Plan.from_json(stored, join(run.output, run.names.plan))


def _require_columns(job: JobSpec, columns: Sequence[PassedColumn]) -> None:
    """Raises UsageError for names that rows cannot have, and a text's that INPUT does not have."""
    row_schema([task.schema for task in tasks_of(job)], columns)
    name = job.text.removeprefix(TEXT_COLUMN)
    if name not in (job.text, *(column.name for column in columns)):
        there = ", ".join(column.name for column in columns) or "none at all"
        beside = "" if job.input_format == InputFormat.WEBDATASET else "sidecar, "
        raise UsageError(
            f"INPUT has no column {name!r} for the texts of its images, it has {there}: say where "
            f"they are with --text column:NAME, {beside}ocr or none"
        )


def _list(job: JobSpec, listing: Listing, patience: Patience) -> tuple[int, Counter[str]]:
    """Fill `listing`: how many items are to be planned, and what else there is by rule."""
    failed = _choose_failed(job, listing, patience) if job.replay_of else None
    skipped: Counter[str] = Counter()
    for page in list_images(job, patience):
        listing.add(page.images)
        skipped += page.skipped
    tally = listing.tally()
    if not tally.items:
        raise UsageError(no_images(job.input, skipped))
    if not tally.chosen:
        raise UsageError(
            f"of the {failed:,} images that failed in run {job.replay_of} none is in {job.input} "
            "any more: there is nothing to replay"
        )
    skipped[PlanRule.LISTED_AGAIN] = tally.listed - tally.items
    skipped[PlanRule.NOT_REPLAYED] = tally.items - tally.chosen
    skipped[PlanRule.GONE_SINCE_RUN] = 0 if failed is None else failed - tally.chosen
    return tally.chosen, +skipped


def _choose_failed(job: JobSpec, listing: Listing, patience: Patience) -> int:
    """Plan only what failed in the run that `job` replays; how many that are."""
    earlier = replayed_run(job, patience)
    failed = listing.choose(failed_ids(earlier, job.replay_codes, patience))
    if not failed:
        raise UsageError(nothing_failed(job))
    return failed


def _write_pages(
    run: Run, listing: Listing, cut: Cut, attempt: str, patience: Patience
) -> tuple[PlanPage, ...]:
    pages = []
    for index, table in enumerate(cut_pages(listing.in_order(), cut)):
        page, data = encode_page(run.names.page(attempt, index), table)
        commit(run.output, page.name, data, patience)
        pages.append(page)
    return tuple(pages)
