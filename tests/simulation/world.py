"""One simulation: everything of it, and what may never happen in it."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

from schemas.run import LABELS
from schemas.uri import join
from tests.fake_store import fake_store
from tests.simulation import replicas
from tests.simulation.commands import Command
from tests.simulation.job import INPUT, OUTPUT, uri_of
from tests.simulation.listing import open_listing
from tests.simulation.promises import Row, rows_of
from tests.simulation.replicas import Actor, AheadInTurn, ColourModel, picture
from tests.simulation.scenario import Fate, Outage, Scenario
from tests.simulation.scheduler import Scheduler
from tests.simulation.store import FaultyStore
from workers import dispatch, outage, replica
from workers.outage import OF_THE_STORE
from workers.store import PATIENCE, base


class World:
    """Commands, replicas, a store and somebody who reads along."""

    def __init__(self, scenario: Scenario, trace: Callable[[str], None] | None = None) -> None:
        self.scenario = scenario
        self.scheduler = Scheduler(scenario.seed, scenario.stickiness, trace)
        self.fate = Fate(scenario)
        self.store = FaultyStore(self)
        self.numbers: dict[str, int] = {}
        """Of images, by URI."""
        self.actors: list[Actor] = []
        self.condemned: set[str] = set()
        """Items that some driver had reason to give up."""
        self.starts: list[int] = []
        """What it took to condemn each image that was alone to blame."""
        self._coming = list(scenario.coming)
        for number in scenario.images:
            self._appear(number)
        self.commands = [
            Command(self, f"driver{place}", at, scenario.new_run and place > 0)
            for place, at in enumerate(scenario.commands)
        ]
        for at in scenario.machines_lost:
            self.scheduler.later(at, self._lose_machine)
        for at in scenario.signals:
            self.scheduler.later(at, self._signal)
        self.reader = Reader(self)

    @property
    def outage(self) -> Outage | None:
        """The one that there is now."""
        one = self.scenario.outage
        return one if one and one.begins <= self.scheduler.now < one.ends else None

    @property
    def over(self) -> bool:
        return all(command.result for command in self.commands) or bool(self.scheduler.problems)

    def wanted(self) -> int:
        """Replicas that the cluster has room for now."""
        sizes = self.scenario.replicas
        return sizes[int(self.scheduler.now / 40) % len(sizes)]

    def step_of_driver(self) -> None:
        task = self.scheduler.current
        assert task is not None
        task.owner.step("")

    # what the store tells

    def listed(self, place: str) -> None:
        """Somebody lists INPUT, which grows meanwhile."""
        if place.startswith(INPUT) and self._coming and self.fate.strikes("bucket grows"):
            self._appear(self._coming.pop())

    def created(self, uri: str, process: object) -> None:
        """A new object is there."""
        self.scheduler.say(f"    + {uri}")
        if not uri.startswith(join(OUTPUT, LABELS)):
            return
        if not isinstance(process, Actor) or process.settling:
            return
        for row in rows_of(self.store.objects[uri][0]):
            itself = self.scenario.failing.get(self.numbers[row["uri"]]) == "forbidden"
            if row["error_code"] in OF_THE_STORE and not itself:
                self.scheduler.problem(f"{uri} says {row['error_code']} of an image that is sound")

    def written_over(self, uri: str, data: bytes) -> None:
        there = self.store.objects.get(uri)
        if there is not None and there[0] != data:
            self.scheduler.problem(f"{uri} was written over")

    # what happens by itself

    def _appear(self, number: int) -> None:
        uri = uri_of(number)
        broken = self.scenario.failing.get(number) == "broken"
        data = picture(number)[: 20 if broken else None]
        self.store.objects[uri] = (data, f"etag:{number}")
        self.numbers[uri] = number

    def _lose_machine(self) -> None:
        machine = self.fate.dice.randrange(self.scenario.machines)
        self.scheduler.say(f"machine {machine} is lost")
        for actor in self.actors:
            if actor.machine == machine and not actor.deaf:
                self.fate.note("replica lost with its machine")
                actor.vanish("its machine is gone", crashed=False)
                actor.end(at_once=not self.fate.strikes("zombie"))

    def _signal(self) -> None:
        for command in self.commands:
            command.signals += 1


class Reader:
    """Polls all parts, as somebody would who reads labels while they are made."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[str, bytes] = {}
        self.items: Counter[tuple[str, str]] = Counter()
        self.rows: dict[str, list[Row]] = {}
        """Of each part."""
        world.scheduler.spawn("reader", self._live)

    def look(self) -> None:
        """What is there now: all that was there before, as it was, and no item twice."""
        parts = {
            uri: data
            for uri, (data, _) in list(self._world.store.objects.items())
            if uri.startswith(join(OUTPUT, LABELS))
        }
        for uri, data in self._seen.items():
            if parts.get(uri) != data:
                self._world.scheduler.problem(f"{uri} is not what it was, or gone")
        for uri in parts.keys() - self._seen.keys():
            run = uri.removeprefix(join(OUTPUT, LABELS)).split("/")[1]
            self.rows[uri] = rows_of(parts[uri])
            self.items.update((run, row["item_id"]) for row in self.rows[uri])
        self._seen = parts
        if self.items and max(self.items.values()) > 1:
            self._world.scheduler.problem(f"items seen twice: {self.items.most_common(3)}")

    def _live(self) -> None:
        dice = random.Random(f"reader {self._world.scenario.seed}")
        while not self._world.over:
            self.look()
            self._world.scheduler.sleep(dice.choice((1, 10, 100)) * dice.random())


@contextmanager
def simulated(world: World) -> Iterator[None]:
    """The program's doors lead into `world`."""
    # modules that their package hides behind functions of the same name
    finish, freeze = sys.modules["workers.plan.finish"], sys.modules["workers.plan.freeze"]
    claim = sys.modules["workers.plan.claim"]
    before = random.getstate()
    with (
        fake_store(world.store),
        mock.patch.object(base, "PAGE", world.scenario.page),
        mock.patch.object(dispatch, "POLL_SECONDS", 5.0),  # fewer turns in which nothing happens
        mock.patch.object(outage, "FAILURES_IN_A_ROW", world.scenario.most_failures),
        mock.patch.object(claim, "in_order", map),
        mock.patch.object(finish, "in_order", map),
        mock.patch.object(freeze, "open_listing", open_listing),
        mock.patch.object(replica, "TinyGPTV", ColourModel),
        mock.patch.object(replica, "checkpoint_folder", lambda model: model),
        mock.patch.object(replica, "Ahead", AheadInTurn),
    ):
        replicas.WORLDS.append(world)
        clock, sleep = PATIENCE.clock, PATIENCE.sleep
        random.seed(world.scenario.seed)  # how long a request waits before it is made again
        try:
            # it is the default of functions, which cannot be told otherwise from here
            object.__setattr__(PATIENCE, "clock", world.scheduler.clock)
            object.__setattr__(PATIENCE, "sleep", world.scheduler.sleep)
            yield
        finally:
            object.__setattr__(PATIENCE, "clock", clock)
            object.__setattr__(PATIENCE, "sleep", sleep)
            random.setstate(before)
            replicas.WORLDS.pop()
