"""List, sort, cut, freeze: the plan is made once, and plan.json alone makes it."""

from collections import Counter
from uuid import uuid4

from schemas.image import ImageRef
from schemas.outcome import UsageError
from schemas.run import Plan
from schemas.uri import join
from workers.plan.claim import Run
from workers.plan.cut import SMALL_SHARDS, cut, shard_sizes
from workers.plan.pages import encode_page, group_pages
from workers.sink import commit
from workers.source import list_images, no_images
from workers.store import PATIENCE, Patience, ask, fetch


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
    it. Raises UsageError for an INPUT without images, StoreError.
    """
    plan = read_plan(run, patience)
    if plan is not None:
        return plan
    images, skipped = _listing(run)
    small, full = shard_sizes(
        len(images), shard_images, run.spec.job.preprocessing.image_size, device
    )
    attempt = uuid4().hex
    pages = []
    for index, shards in enumerate(group_pages(cut(images, small, full))):
        page, data = encode_page(run.names.page(attempt, index), shards)
        commit(run.output, page.name, data, patience)
        pages.append(page)
    plan = Plan(
        run_id=run.spec.run_id,
        attempt=attempt,
        pages=tuple(pages),
        items=len(images),
        shards=sum(page.shards for page in pages),
        small_shards=SMALL_SHARDS,
        small_shard_images=small,
        shard_images=full,
        device=device,
        batch_size=batch_size,
        skipped=dict(skipped),
    )
    stored = commit(run.output, run.names.plan, plan.to_json(), patience)
    return Plan.from_json(stored, join(run.output, run.names.plan))


def read_plan(run: Run, patience: Patience = PATIENCE) -> Plan | None:
    """`plan.json`, or None: not planned yet. Raises UsageError, StoreError."""
    place = join(run.output, run.names.plan)
    try:
        data = ask(place, lambda seconds: fetch(place, seconds=seconds), patience)
    except FileNotFoundError:
        return None
    return Plan.from_json(data, place)


def _listing(run: Run) -> tuple[list[ImageRef], Counter[str]]:
    """The items in the order of their ids, and the skipped objects by rule."""
    images: list[ImageRef] = []
    skipped: Counter[str] = Counter()
    for page in list_images(run.spec.job.input, run.output):
        images += page.images
        skipped += page.skipped
    if not images:
        raise UsageError(no_images(run.spec.job.input, skipped))
    return sorted(images, key=lambda image: image.item_id), skipped
