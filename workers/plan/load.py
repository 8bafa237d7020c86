"""A frozen plan → its shards, page by page."""

import hashlib
from collections.abc import Container, Iterator, Sequence, Set

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.image import ImageRef, Shard
from schemas.outcome import DamagedPlanError
from schemas.run import ListPage, Plan, PlanPage
from schemas.uri import join
from workers.plan.documents import Run, find_document
from workers.plan.erasures import Erasures, read_erasures
from workers.plan.pages import decode_page, pick
from workers.store import PATIENCE, Patience
from workers.threads import in_order


def load_shards(
    run: Run,
    plan: Plan,
    skip: Container[int] = (),
    patience: Patience = PATIENCE,
    erasures: Erasures | None = None,
) -> Iterator[Shard]:
    """The shards of `plan` in their order, but those whose index is in `skip`, and those of which
    all is forgotten.

    A page is held at a time, and one with nothing but skipped shards is not read. What was erased
    is read unless it is given. Raises DamagedPlanError where a page is missing or altered,
    StoreError.
    """
    erasures = erasures or read_erasures(run.output, patience)
    for page in _pages(plan, skip):
        yield from decode_page(_read(run.output, page, erasures, patience), skip)


def require_pages(
    run: Run, plan: Plan, skip: Container[int] = (), patience: Patience = PATIENCE
) -> None:
    """Raises as `load_shards`, for all that it would read, and decodes nothing of it."""
    erasures = read_erasures(run.output, patience)
    for _ in in_order(
        lambda page: len(_read(run.output, page, erasures, patience)), _pages(plan, skip)
    ):
        pass


def _pages(plan: Plan, skip: Container[int]) -> Iterator[PlanPage]:
    """The pages on which there are shards that are not skipped."""
    for page in plan.pages:
        indexes = range(page.first_shard, page.first_shard + page.shards)
        if not all(index in skip for index in indexes):
            yield page


def sample(
    run: Run, plan: Plan, pages: int = 4, images: int = 1, patience: Patience = PATIENCE
) -> tuple[ImageRef, ...]:
    """Some images from all over the plan: of so many pages, so many of each.

    Raises as `load_shards`.
    """
    if not plan.pages:
        return ()
    erasures = read_erasures(run.output, patience)
    chosen = {page * (len(plan.pages) - 1) // max(1, pages - 1) for page in range(pages)}
    found: list[ImageRef] = []
    for page in sorted(chosen):
        data = _read(run.output, plan.pages[page], erasures, patience)
        found += pick(data, images * pages // len(chosen))
    return tuple(found)


def later_shards(plan: Plan, done: Set[int], most: int | None) -> set[int]:
    """Of the shards that are not `done` those that a night of `most` images does not come to."""
    room, later = plan.items if most is None else most, set()
    for shard in range(plan.shards):
        if shard in done:
            continue
        if plan.images_of(shard) <= room:
            room -= plan.images_of(shard)
        else:
            later.add(shard)
    return later


def load_list(
    output: str, pages: Sequence[ListPage], patience: Patience = PATIENCE
) -> Iterator[pa.Table]:
    """The tables of a list beside a plan, `Plan.gone` or `Plan.left`. Raises as `load_shards`."""
    erasures = read_erasures(output, patience)
    for page in pages:
        # Not pq.read_table: its threads may outlive the answer, and abort a process that is ending.
        file = pq.ParquetFile(pa.BufferReader(_read(output, page, erasures, patience)))
        yield file.read(use_threads=False)


def _read(output: str, page: PlanPage | ListPage, erasures: Erasures, patience: Patience) -> bytes:
    place = join(output, page.name)
    data = find_document(output, page.name, patience)
    if data is None:
        raise DamagedPlanError(f"{place}, a page of the plan, is missing")
    digest = hashlib.sha256(data).hexdigest()
    if digest not in [state.sha256 for state in erasures.states(page.name, page.sha256)]:
        raise DamagedPlanError(f"{place}, a page of the plan, was altered")
    return data
