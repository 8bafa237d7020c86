"""All that a report tells of a run, gathered from its files within bounds of memory and time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from schemas.job import JobSpec
from schemas.run import Plan, Result, RunSpec, shard_of
from schemas.snapshot import Pruned
from schemas.uri import join
from workers.inspection import RunFiles, RunStatus, read_run, status_of
from workers.plan import Run, read_plan
from workers.plan.documents import find_document
from workers.plan.snapshot_document import read_pruned
from workers.report.cards import (
    FAILED_COLUMNS,
    Card,
    FailedCard,
    card_columns,
    card_of,
    failed_card_of,
    in_reading_order,
    passed_names,
)
from workers.report.pictures import Album, Picture
from workers.report.reading import Reading
from workers.report.sampling import sampled, spread
from workers.report.tally import Place, Tally
from workers.sink import committed
from workers.store import PATIENCE, Patience
from workers.tasks import Task, tasks_of

MOST_PARTS = 2000
"""Of more parts so many are read, evenly spaced."""
FAILING_PARTS = 100
"""So many of the others are looked at for failures, where the result tells which have some."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of the parts of a run."""

    tally: Tally
    parts: int = 0
    """That there are."""
    parts_read: int = 0
    unreadable: Sequence[str] = ()
    """A sentence for each part that was to be read and could not be."""
    sample: Sequence[Card] = ()
    highest: Mapping[str, Sequence[Card]] = field(default_factory=dict)
    """By column of a score."""
    failures: Mapping[str, Sequence[FailedCard]] = field(default_factory=dict)
    """Examples by error code."""


@dataclass(frozen=True, slots=True)
class Story:
    """One run, as the page shows it."""

    spec: RunSpec
    status: RunStatus
    tasks: Sequence[Task]
    plan: Plan | None
    result_digest: str
    """Hex SHA-256 of result.json; "" while there is none."""
    pruned: Pruned | None
    """Its rows are in a snapshot, and no part was read."""
    seen: Seen

    @property
    def job(self) -> JobSpec:
        return self.spec.job

    @property
    def rows(self) -> int:
        """Labelled and failed images, read or not."""
        return self.status.labelled + self.status.failed


def tell(output: str, files: RunFiles, patience: Patience = PATIENCE) -> Story:
    """The story of the run at `output`, of which the `files` are there, whatever its state.

    Raises UsageError where a document is of another format or may not be read, or a task is not
    known here; StoreError.
    """
    run = read_run(output, files, patience)
    tasks = in_reading_order(tasks_of(run.spec.job))
    status = status_of(output, files, patience=patience)
    plan = read_plan(run, patience) if files.planned else None
    pruned = read_pruned(output, files.ordinal, patience)
    result = find_document(output, files.names.result, patience) if files.finished else None
    seen = Seen(Tally([task.exhibit for task in tasks]))
    if plan and not pruned:
        failing = _failing(result, join(output, files.names.result)) if result else []
        seen = _look(Reading(run, plan, patience), run, plan, tasks, failing, patience)
    digest = hashlib.sha256(result).hexdigest() if result else ""
    return Story(run.spec, status, tasks, plan, digest, pruned, seen)


def _look(
    reading: Reading,
    run: Run,
    plan: Plan,
    tasks: Sequence[Task],
    failing: Sequence[int],
    patience: Patience,
) -> Seen:
    """Read the parts, then the rows and pictures that are shown. `failing` are shards of which it
    is known that images of them failed.
    """
    there = committed(run.output, plan.run_id, patience)
    shards = sorted(shard for shard in there if shard < plan.shards)
    chosen = spread(shards, MOST_PARTS)
    tally = reading.tally(chosen, [task.exhibit for task in tasks])
    unread = there - set(chosen)
    others = reading.failures(spread([one for one in failing if one in unread], FAILING_PARTS))
    for code, places in others.failed.items():
        tally.failed.setdefault(code, places)
    sample = reading.labelled_places(sampled(plan, tally.labelled))
    highest = {place for found in tally.highest.values() for _, place in found}
    cards, failed = _cards(
        reading, run, plan, tasks, {*sample, *highest}, {*chain(*tally.failed.values())}
    )
    return Seen(
        tally=tally,
        parts=len(shards),
        parts_read=len(chosen) - len(reading.unreadable),
        unreadable=reading.unreadable,
        sample=[cards[place] for place in sample],
        highest={
            column: [cards[place] for _, place in found] for column, found in tally.highest.items()
        },
        failures={code: [failed[place] for place in found] for code, found in tally.failed.items()},
    )


def _cards(
    reading: Reading,
    run: Run,
    plan: Plan,
    tasks: Sequence[Task],
    labelled: set[Place],
    failed: set[Place],
) -> tuple[dict[Place, Card], dict[Place, FailedCard]]:
    """What is shown of each place: of its row, and of the image that was planned there."""
    images = reading.images(labelled | failed)
    places = sorted(images)
    made = Album(run.spec.job).pictures(images[place] for place in places)
    pictures = dict(zip(places, made, strict=True))
    unknown = Picture(why="the page of the plan that says where it lies is damaged")
    passed = passed_names(tasks, plan.columns)
    good = reading.rows(labelled, card_columns(tasks, plan.columns))
    bad = reading.rows(failed, FAILED_COLUMNS)
    return (
        {at: card_of(row, pictures.get(at, unknown), tasks, passed) for at, row in good.items()},
        {at: failed_card_of(row, pictures.get(at, unknown)) for at, row in bad.items()},
    )


def _failing(result: bytes, place: str) -> list[int]:
    """The shards whose parts hold failed rows, by the run's result.json."""
    parts = Result.from_json(result, place).parts
    shards = (shard_of(part.name) for part in parts if part.failed)
    return [shard for shard in shards if shard is not None]
