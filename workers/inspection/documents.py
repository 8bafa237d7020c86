"""A run's documents against each other, and the pages of its plan against their digests."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from schemas.image import ImageRef
from schemas.outcome import DamagedPlanError
from schemas.run import Plan, PlanPage, Result, RunNames
from workers.plan import Run, load_shards
from workers.plan.documents import find_document
from workers.plan.erasures import Erasures
from workers.store import PATIENCE, Patience


def plan_problems(plan: Plan, names: RunNames) -> Iterator[str]:
    """What plan.json, whose counts add up, has against itself; each completes "plan.json …"."""
    if plan.run_id != names.run_id:
        yield f"is of run {plan.run_id}"
    first_shard = 0
    for index, page in enumerate(plan.pages):
        if page.name != names.page(plan.attempt, index):
            yield f"calls its page {index} {page.name}"
        if page.first_shard != first_shard:
            yield f"begins page {index} with shard {page.first_shard}, not {first_shard}"
        first_shard += page.shards


def result_problems(
    result: Result, plan: Plan, names: RunNames, forgotten: int = 0
) -> Iterator[str]:
    """What result.json has against the plan and itself; each completes "result.json …".

    So many of the plan's images are `forgotten`, perhaps before the run was finished.
    """
    if result.run_id != names.run_id:
        yield f"is of run {result.run_id}"
    if result.plan_digest != plan.digest:
        yield "names another plan.json by its digest: one of the two was altered"
        return
    if not 0 <= plan.items - result.items <= forgotten:
        yield f"has {result.items:,} images, the plan {plan.items:,}"
    if result.skipped != plan.skipped:
        yield "counts other skipped files than the plan"
    if [part.name for part in result.parts] != [names.part(i) for i in range(plan.shards)]:
        yield f"does not name just the parts of the plan's {plan.shards:,} shards, in their order"
    labelled = sum(part.labelled for part in result.parts)
    failed = sum(part.failed for part in result.parts)
    if (result.labelled, result.failed) != (labelled, failed):
        yield (
            f"counts {result.labelled:,} labelled + {result.failed:,} failed, its parts "
            f"{labelled:,} + {failed:,}"
        )
    if (total := result.labelled + result.failed) != result.items:
        yield f"counts {total:,} labelled and failed of {result.items:,} images"
    if result.outcome and result.outcome.images > result.items:
        yield f"has its driver see {result.outcome.images:,} images committed, of {result.items:,}"
    if (coded := sum(result.failed_by_code.values())) != result.failed:
        yield f"counts {result.failed:,} failed, and {coded:,} by their codes"


def read_page(
    run: Run, plan: Plan, page: PlanPage, erasures: Erasures, patience: Patience = PATIENCE
) -> tuple[dict[int, tuple[ImageRef, ...]], str]:
    """The images of each shard of the page, and what is wrong with it ("": nothing).

    What is wrong completes "the page …". Raises StoreError, UsageError where it may not be read.
    """
    images: dict[int, tuple[ImageRef, ...]] = {}
    try:
        alone = replace(plan, pages=(page,))
        for shard in load_shards(run, alone, patience=patience, erasures=erasures):
            images[shard.index] = shard.images
    except DamagedPlanError:
        there = find_document(run.output, page.name, patience) is not None
        return {}, "was altered" if there else "is missing"
    except (pa.ArrowException, OSError) as error:
        return {}, f"cannot be read: {error}"
    wanted = range(page.first_shard, page.first_shard + page.shards)
    lost = {state.rows for state in erasures.states(page.name, page.sha256)}
    whole = lost == {0}
    if list(images) != [index for index in wanted if whole or index in images]:
        return {}, "holds other shards than plan.json says"
    images = {index: images.get(index, ()) for index in wanted}
    for index, held in images.items():
        planned = plan.images_of(index)
        if len(held) > planned or (whole and len(held) < planned):
            return {}, f"holds {len(held):,} images of shard {index}, not {planned:,}"
    if page.items - sum(map(len, images.values())) not in lost:
        return {}, "lacks other images than those that were forgotten"
    return images, ""
