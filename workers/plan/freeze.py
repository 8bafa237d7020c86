"""List, sort, cut, freeze: the plan is made once, and plan.json alone makes it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from uuid import uuid4

import pyarrow as pa

from schemas.image import InputFormat
from schemas.job import TEXT_COLUMN, JobSpec
from schemas.outcome import BusyError, DamagedPlanError, UsageError
from schemas.rows import PassedColumn, row_schema
from schemas.run import ListPage, Plan, PlanPage
from schemas.uri import join
from workers.plan.cut import SMALL_SHARDS, Cut, cut_for
from workers.plan.documents import Run, read_plan
from workers.plan.erasures import read_erasures
from workers.plan.filling import fill
from workers.plan.listing import Listing, open_listing
from workers.plan.pages import cut_pages, encode_list, encode_page
from workers.sink import commit, committed
from workers.store import PATIENCE, Patience
from workers.tasks import tasks_of

NOWHERE = ("cpu", 1)
"""What looks at no images."""


def freeze(
    run: Run,
    shard_images: int | None,
    where: Callable[[], tuple[str, int]],
    most: int | None = None,
    patience: Patience = PATIENCE,
) -> Plan:
    """The plan of `run`: the one that is there, else INPUT as listed now; of an incremental job
    what is owed of it, and up to `most` images.

    Of drivers that plan at the same time one wins, and all go on with its plan. `shard_images`
    and what `where` tells, the device and the size of its batches, matter to a new plan only,
    and stand in it for those who go on with it; `where` is not asked where nothing is owed.
    Raises UsageError for an INPUT without images and a replay of nothing, BusyError where rows
    are being erased, StoreError also where the temporary folder is full.
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
    attempt = uuid4().hex
    erasures = read_erasures(run.output, patience)
    erasures.require_ended()
    gone: tuple[ListPage, ...] = ()
    left: tuple[ListPage, ...] = ()
    with open_listing(job) as listing:
        filled = fill(listing, job, run.names.ordinal, most, patience)
        columns = listing.columns()
        require_columns(job, columns)
        device, batch_size = where() if filled.items else NOWHERE
        cut = cut_for(filled.items, shard_images, job.preprocessing.image_size, device)
        pages = _write_pages(run, listing, cut, attempt, patience)
        if filled.owed:
            gone = _write_list(run, filled.owed.gone(), partial(run.names.gone, attempt), patience)
            left = _write_list(run, filled.owed.left(), partial(run.names.left, attempt), patience)
    if sum(page.items for page in pages) != filled.items:
        raise AssertionError(f"{filled.items} items were listed and others are planned")
    plan = Plan(
        run_id=run.spec.run_id,
        attempt=attempt,
        pages=pages,
        items=filled.items,
        shards=sum(page.shards for page in pages),
        small_shards=SMALL_SHARDS,
        small_shard_images=cut.small,
        shard_images=cut.full,
        device=device,
        batch_size=batch_size,
        skipped=dict(filled.skipped),
        columns=columns,
        gone=gone,
        left=left,
    )
    if read_erasures(run.output, patience).last != erasures.last:
        raise BusyError(
            f"{run.output}: rows were erased while run {plan.run_id} was planned, which may be of "
            "its images; come again"
        )
    stored = commit(run.output, run.names.plan, plan.to_json(), patience)
    return Plan.from_json(stored, join(run.output, run.names.plan))


def require_columns(job: JobSpec, columns: Sequence[PassedColumn]) -> None:
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


def _write_pages(
    run: Run, listing: Listing, cut: Cut, attempt: str, patience: Patience
) -> tuple[PlanPage, ...]:
    pages = []
    for index, table in enumerate(cut_pages(listing.in_order(), cut)):
        page, data = encode_page(run.names.page(attempt, index), table)
        commit(run.output, page.name, data, patience)
        pages.append(page)
    return tuple(pages)


def _write_list(
    run: Run, tables: Iterator[pa.Table], name: Callable[[int], str], patience: Patience
) -> tuple[ListPage, ...]:
    """The pages of a list beside the plan; `name` tells what each is called."""
    pages = []
    for index, table in enumerate(tables):
        page, data = encode_list(name(index), table)
        commit(run.output, page.name, data, patience)
        pages.append(page)
    return tuple(pages)
