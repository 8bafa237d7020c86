"""Simulated replicas as a `workers.fleet.Fleet`, which watches what the dispatch does with them."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from math import ceil, log2
from typing import TYPE_CHECKING

from schemas.image import Shard
from schemas.outcome import BucketsightError
from tests.simulation.replicas import Actor, Gone, Ready
from workers.dispatch import SHARDS_AT_ONCE
from workers.fleet import Begun, Done, Event, KeptBack, Lost, NotStarted, Settled, Started
from workers.messages import Assignment, BatchBegun, Caution, Committed, Withheld

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(slots=True)
class _Handle:
    actor: Actor
    started: bool = False
    shards: deque[Shard] = field(default_factory=deque)
    """That it has; the first one runs."""
    heard_at: float = 0.0
    batch: tuple[int, ...] = ()
    """Of that one, the last that the driver heard of."""


@dataclass(slots=True)
class _Case:
    """What one driver knows of a shard that ended replicas."""

    crashes: int = 0
    """Since it last condemned an image of it."""
    condemned: int = 0
    disturbed: bool = False
    """Something else than the image ended a replica that had it, or two had it."""
    alone: set[int] = field(default_factory=set)
    """Positions that were all of the batch when a replica ended."""


class SimulatedFleet:
    """The replicas of one driver."""

    def __init__(self, world: World, name: str, assignment: Assignment) -> None:
        self._world = world
        self._name = name
        self._assignment = assignment
        self._numbers = itertools.count()
        self._handles: dict[int, _Handle] = {}
        self._cases: dict[int, _Case] = {}

    # what a dispatch asks

    def start(self) -> int:
        number = next(self._numbers)
        machine = self._world.fate.dice.randrange(self._world.scenario.machines)
        actor = Actor(self._world, f"{self._name}.{number}", machine, self._assignment)
        self._world.actors.append(actor)
        self._handles[number] = _Handle(actor)
        return number

    def give(self, replica: int, shard: Shard, caution: Caution | None) -> None:
        handle = self._handles[replica]
        self._world.scheduler.say(f"gives {handle.actor.name} shard {shard.index}, {caution}")
        self._watch(shard, caution)
        handle.shards.append(shard)
        if not handle.started or len(handle.shards) > SHARDS_AT_ONCE:
            self._world.scheduler.problem(f"{handle.actor.name} has {len(handle.shards)} shards")
        handle.actor.inbox.append((shard, caution))

    def settle(self, replica: int) -> None:
        self._handles[replica].actor.inbox.append(None)

    def stop(self, replica: int) -> None:
        handle = self._handles.pop(replica)
        self._world.scheduler.say(f"ends {handle.actor.name}")
        silent = handle.heard_at < self._world.scheduler.now
        self._note_end(handle, crashed=silent)  # else it was worn out, or the run is to end
        self._end(handle)

    def needs(self) -> str:
        return "each asks for a turn"

    def events(self, seconds: float) -> list[Event]:
        self._world.step_of_driver()
        self._world.scheduler.wait(
            lambda: any(handle.actor.outbox for handle in self._handles.values()), seconds
        )
        numbers = [number for number, one in self._handles.items() if one.actor.outbox]
        dice = self._world.fate.dice
        dice.shuffle(numbers)
        return [self._event(number) for number in numbers[: dice.randint(1, 4)]]

    def close(self) -> None:
        """Its driver is gone, and the replicas with it, some a little later."""
        for handle in self._handles.values():
            self._end(handle)
        self._handles.clear()

    # inside

    def _end(self, handle: _Handle) -> None:
        handle.actor.end(at_once=not self._world.fate.strikes("zombie"))

    def _event(self, number: int) -> Event:
        """As `workers.cluster.fleet.RayFleet` tells it."""
        handle = self._handles[number]
        said = handle.actor.outbox.popleft()
        handle.heard_at = self._world.scheduler.now
        if isinstance(said, BucketsightError):
            raise said
        if isinstance(said, Gone):
            del self._handles[number]
            self._note_end(handle, said.crashed)
            kind = Lost if handle.started else NotStarted
            return kind(number, said.reason, said.crashed)
        if isinstance(said, Ready):
            handle.started = True
            return Started(number)
        if isinstance(said, BatchBegun):
            handle.batch = said.positions
            return Begun(number, said)
        if isinstance(said, Committed):
            if handle.shards and handle.shards[0].index == said.part.footer.shard:
                self._next(handle)
            return Done(number, said.part, said.worn_out)
        if isinstance(said, Withheld):
            self._next(handle)
            return KeptBack(number)
        return Settled(number)

    def _next(self, handle: _Handle) -> None:
        handle.shards.popleft()
        handle.batch = ()

    # watching

    def _note_end(self, handle: _Handle, crashed: bool) -> None:
        """A replica ended: what may follow for the shards that it had."""
        for shard in handle.shards if not crashed else itertools.islice(handle.shards, 1, None):
            self._case(shard).disturbed = True
        if crashed and handle.shards:
            case = self._case(handle.shards[0])
            case.crashes += 1
            if len(handle.batch) == 1 and not handle.actor.died_writing:
                case.alone.add(handle.batch[0])

    def _case(self, shard: Shard) -> _Case:
        return self._cases.setdefault(shard.index, _Case())

    def _watch(self, shard: Shard, caution: Caution | None) -> None:
        """A shard is given again: with no more caution than replicas ended in it."""
        others = any(shard in handle.shards for handle in self._handles.values())
        if caution is None and not others:
            return
        case = self._case(shard)
        if others:
            case.disturbed = True
            self._world.fate.note("shard doubled")
        if caution is None:
            return
        problem = self._world.scheduler.problem
        if not case.crashes and not case.condemned:
            problem(f"shard {shard.index} is charged, and no replica crashed in it")
        fresh = len(caution.condemned) - case.condemned
        if fresh > 0:
            self._condemn(shard, caution, case)
            case.condemned, case.crashes = len(caution.condemned), 0

    def _condemn(self, shard: Shard, caution: Caution, case: _Case) -> None:
        problem = self._world.scheduler.problem
        for position, _ in caution.condemned:
            self._world.condemned.add(shard.images[position].item_id)
            if position not in case.alone:
                problem(f"image {position} of shard {shard.index} never ended a replica by itself")
        batch = min(self._assignment.batch_size, len(shard))
        if self._world.scenario.quiet and not case.disturbed:
            starts = case.crashes + 1
            self._world.starts.append(starts)
            if starts > ceil(log2(batch)) + 3:
                problem(f"{starts} starts to condemn one of a batch of {batch}")
