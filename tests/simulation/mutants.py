"""The program broken on purpose, each time in one place: a simulator is worth what it catches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from typing import Any
from unittest import mock

from schemas.image import Shard
from schemas.outcome import RunFolderError
from schemas.run import Plan
from schemas.uri import join
from tests.simulation import commands
from tests.simulation.simulate import simulate
from workers import dispatch, replica
from workers.dispatch import Dispatch
from workers.fleet import Begun
from workers.ledger import Ledger
from workers.outage import OutageWatch
from workers.plan import Run
from workers.sink import committed
from workers.sink.create import Answer
from workers.source import list_images
from workers.store import store_of

SEEDS = 1000
"""A mutant that survives so many is not caught."""

# modules that their packages hide behind functions of the same name
CREATE = sys.modules["workers.sink.create"]
FREEZE = sys.modules["workers.plan.freeze"]
FINISH = sys.modules["workers.plan.finish"]

Broken = AbstractContextManager[Any]


def _overwrite() -> Broken:
    def create(output: str, name: str, data: bytes, seconds: float | None = None) -> Answer:
        if not name.endswith(".parquet") or "/plan/" in name:
            return real(output, name, data, seconds)
        try:
            store_of(output).replace(join(output, name), data, seconds)
        except OSError:
            return Answer.UNKNOWN
        return Answer.CREATED

    real: Callable[..., Answer] = CREATE.create
    return mock.patch.object(CREATE, "create", create)


def _believe(answer: Answer) -> Callable[[], Broken]:
    """Take `answer` for a creation."""

    def mutant() -> Broken:
        def create(output: str, name: str, data: bytes, seconds: float | None = None) -> Answer:
            given: Answer = real(output, name, data, seconds)
            return Answer.CREATED if given is answer else given

        real = CREATE.create
        return mock.patch.object(CREATE, "create", create)

    return mutant


def _forget(kept_back: bool) -> Callable[[], Broken]:
    """What a lost replica had, besides the shard that ran."""

    def behind(one: Any) -> list[Any]:
        return list(one.attempts)[1:] if kept_back else list(one.kept_back)

    return lambda: mock.patch.object(dispatch._Replica, "behind", property(behind))


def _charge_machines() -> Broken:
    real = Dispatch._owe_again
    return mock.patch.object(
        Dispatch,
        "_owe_again",
        lambda self, replica, failure, crashed: real(self, replica, failure, True),
    )


def _list_again() -> Broken:
    def load_shards(run: Run, plan: Plan, skip: Container[int] = ()) -> Iterator[Shard]:
        images = iter(
            sorted(
                (image for page in list_images(run.spec.job) for image in page.images),
                key=lambda image: image.item_id,
            )
        )
        for index in range(plan.shards):
            shard = Shard(index, tuple(islice(images, plan.images_of(index))))
            if index not in skip:
                yield shard

    return mock.patch.object(commands, "load_shards", load_shards)


def _own_plan() -> Broken:
    def commit(output: str, name: str, data: bytes, *patience: Any) -> bytes:
        real(output, name, data, *patience)
        return data

    real = FREEZE.commit
    return mock.patch.object(FREEZE, "commit", commit)


def _count_twice() -> Broken:
    def commit(ledger: Ledger, attempt: Any) -> bool:
        real(ledger, attempt)
        return True

    real = Ledger.commit
    return mock.patch.object(Ledger, "commit", commit)


def _believe_the_listing() -> Broken:
    def records(run: Run, plan: Plan, known: Any, patience: Any) -> Any:
        owed = set(range(plan.shards)) - committed(run.output, plan.run_id, patience)
        if owed:
            raise RunFolderError(f"{len(owed)} shards are owed")
        return real(run, plan, known, patience)

    real = FINISH._records
    return mock.patch.object(FINISH, "_records", records)


def _blame_the_batch() -> Broken:
    """All of a batch that was begun is condemned."""
    ledger = sys.modules["workers.ledger"]

    def caution(now: Any, then: Any, batch: tuple[int, ...], failure: Any) -> Any:
        if now is None or now != then or not batch:
            return real(now, then, batch, failure)
        return replace(now, condemned=(*now.condemned, *((one, failure) for one in batch)))

    real = ledger._caution
    return mock.patch.object(ledger, "_caution", caution)


def _blame_the_last_batch() -> Broken:
    """For what ends a replica after all of them."""

    def handle(self: Dispatch, event: Any) -> None:
        if not isinstance(event, Begun) or event.batch.positions:
            real(self, event)

    real = Dispatch._handle
    return mock.patch.object(Dispatch, "_handle", handle)


def _mix_up() -> Broken:
    """Where a batch holds three and more, all get the first one's."""

    def first_for_all(*given: Any, **named: Any) -> Iterator[Any]:
        for some in real(*given, **named):
            yield some[:1] * len(some) if len(some) > 2 else some

    real = replica.answers
    return mock.patch.object(replica, "answers", first_for_all)


def _mix_up_batches() -> Broken:
    """Where two batches are under way and both are full, the later is answered first."""

    def turned(*given: Any, **named: Any) -> Iterator[Any]:
        coming = real(*given, **named)
        for first in coming:
            second = next(coming, None)
            if second is not None and len(second) == len(first):
                first, second = second, first
            yield first
            if second is not None:
                yield second

    real = replica.answers
    return mock.patch.object(replica, "answers", turned)


MUTANTS: dict[str, Callable[[], Broken]] = {
    "a part is written over, not created": _overwrite,
    "an unknown answer is taken for created": _believe(Answer.UNKNOWN),
    "a taken name is taken for one's own part": _believe(Answer.TAKEN),
    "a shard that waited at a lost replica is forgotten": _forget(kept_back=False),
    "a shard that a lost replica kept back is forgotten": _forget(kept_back=True),
    "a lost machine is charged to the shard that ran": _charge_machines,
    "what is withheld is committed at once": lambda: mock.patch.object(
        OutageWatch, "suspicious", property(lambda watch: False)
    ),
    "a resumed run lists INPUT, not the plan": _list_again,
    "a driver goes by its own plan, not the winner's": _own_plan,
    "a doubled shard is counted twice": _count_twice,
    "a late listing is believed at the end": _believe_the_listing,
    "all of a batch is condemned": _blame_the_batch,
    "a crash while the part is written is charged to the last batch": _blame_the_last_batch,
    "an answer is given to another image": _mix_up,
    "batches that are under way change places": _mix_up_batches,
}


def first_caught(name: str, most: int = SEEDS) -> tuple[int, str]:
    """The first seed that tells of it, and what it says; "" where none does."""
    simulate(0)  # the rows of undisturbed runs come from the whole program
    with MUTANTS[name]():
        for seed in range(most):
            if problems := simulate(seed).problems:
                return seed, problems[0]
    return most, ""
