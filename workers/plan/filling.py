"""Which items of INPUT a job looks at: all that it lists, what failed in a run, what is owed."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from schemas.job import JobSpec
from schemas.outcome import UsageError
from workers.plan.erasures import read_erasures
from workers.plan.known import known_runs
from workers.plan.listing import Listing
from workers.plan.owed import Owed
from workers.plan.replay import failed_ids, nothing_failed, replayed_run
from workers.source import list_images, no_images
from workers.store import PATIENCE, Patience


class PlanRule(StrEnum):
    """Why something is in no shard, beside the rules of `workers.source`."""

    LISTED_AGAIN = "listed_again"
    """The listing told of an item more than once; the last word counts."""
    NOT_REPLAYED = "not_replayed"
    """It did not fail in the run that is replayed, or not for one of the reasons."""
    GONE_SINCE_RUN = "gone_since_run"
    """It failed in that run, and INPUT lists it no more."""
    SETTLED = "settled"
    """An earlier run labelled just this version, or found that it cannot be labelled."""
    LEFT = "left"
    """It is owed, and the limit is reached: the next night begins with it."""
    FORGOTTEN = "forgotten"
    """Somebody asked that it be forgotten."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a listing holds that is to be planned. Listed = items + the sum of `skipped`, where a
    replay also counts what is gone.
    """

    items: int
    skipped: Counter[str]
    owed: Owed | None
    """Of an incremental job."""


def fill(
    listing: Listing,
    job: JobSpec,
    ordinal: int,
    most: int | None = None,
    patience: Patience = PATIENCE,
) -> Filled:
    """List INPUT into the empty `listing`, which gives back what is to be planned of it.

    Args:
        ordinal: of the run that is planned, which is the first that knows what is newly owed.
        most: of what is owed, where the job is incremental; the longest owed comes first.

    Raises UsageError for an INPUT without images, also where an incremental job could find that all
    it knows is gone, and for a replay of nothing; StoreError also where the temporary folder is
    full.
    """
    failed = _choose_failed(job, listing, patience) if job.replay_of else None
    skipped: Counter[str] = Counter()
    erasures = read_erasures(job.output, patience)
    for page in list_images(job, patience):
        images = erasures.without_forgotten(page.images)
        listing.add(images)
        listing.add_sidecars(page.sidecars)
        skipped += page.skipped
        skipped[PlanRule.FORGOTTEN] += len(page.images) - len(images)
    tally = listing.tally()
    if not tally.items and not (job.incremental and skipped[PlanRule.FORGOTTEN]):
        raise UsageError(no_images(job.input, skipped))
    skipped[PlanRule.LISTED_AGAIN] = tally.listed - tally.items
    if job.incremental:
        return _choose_owed(job, listing, tally.items, skipped, ordinal, most, patience)
    if not tally.chosen:
        raise UsageError(
            f"of the {failed:,} images that failed in run {job.replay_of} none is in {job.input} "
            "any more: there is nothing to replay"
        )
    skipped[PlanRule.NOT_REPLAYED] = tally.items - tally.chosen
    skipped[PlanRule.GONE_SINCE_RUN] = 0 if failed is None else failed - tally.chosen
    return Filled(tally.chosen, +skipped, None)


def _choose_owed(
    job: JobSpec,
    listing: Listing,
    items: int,
    skipped: Counter[str],
    ordinal: int,
    most: int | None,
    patience: Patience,
) -> Filled:
    known = known_runs(job, patience)
    owed = Owed(listing)
    owed.know(known.rows(), known.of_input(job))
    owed.waited(known.left(job))
    tally = owed.choose(items, ordinal, most)
    skipped += Counter({PlanRule.SETTLED: tally.settled, PlanRule.LEFT: tally.left})
    return Filled(tally.owed - tally.left, +skipped, owed)


def _choose_failed(job: JobSpec, listing: Listing, patience: Patience) -> int:
    """Plan only what failed in the run that `job` replays; how many that are."""
    earlier = replayed_run(job, patience)
    failed = listing.choose(failed_ids(earlier, job.replay_codes, patience))
    if not failed:
        raise UsageError(nothing_failed(job))
    return failed
