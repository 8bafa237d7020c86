"""A command that is given again until the run has ended: the driver's parts, as it joins them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from schemas.outcome import BucketsightError
from schemas.run import Result
from tests.simulation.fleet import SimulatedFleet
from tests.simulation.job import JOB
from tests.simulation.scheduler import Killed
from workers.batches import UNDER_WAY
from workers.dispatch import Dispatch, Terms
from workers.ledger import Ledger
from workers.messages import Assignment
from workers.plan import Run, finish, freeze, load_shards, open_run, read_plan, read_result, sample
from workers.progress import Progress, unseen
from workers.sink import committed
from workers.store import PATIENCE

if TYPE_CHECKING:
    from tests.simulation.world import World

ITEM_SECONDS = 20.0
NEWS_SECONDS = 10.0
DRAIN_SECONDS = 25.0


class Command:
    """One driver after the other, until one says that the run is whole."""

    def __init__(self, world: World, name: str, at: float, new_run: bool) -> None:
        self._world = world
        self.name = name
        self._at = at
        self._new_run = new_run
        self._fleet: SimulatedFleet | None = None
        self._planned = False
        self.signals = 0
        self.run: Run | None = None
        self.result: Result | None = None
        self.task = world.scheduler.spawn(name, self._live, self)

    def step(self, doing: str) -> bool:
        """A moment at which it may be killed; True where it has just come back from far away."""
        world = self._world
        if doing:
            world.scheduler.say(doing)
        world.scheduler.step()
        if world.fate.strikes("driver killed"):
            if self.run and not self._planned:
                world.fate.note("driver killed while it plans")
            world.scheduler.say("is killed")
            raise Killed
        if world.fate.strikes("driver oversleeps"):
            world.scheduler.say("oversleeps")
            world.scheduler.sleep(world.fate.dice.uniform(100, 4000))
            return True
        return False

    def _live(self) -> None:
        world = self._world
        world.scheduler.sleep(self._at)
        for life in itertools.count():
            self.signals = 0
            self._planned = False
            try:
                self.result = self._drive(f"{self.name}.{life}")
                world.scheduler.say("is done")
                return
            except Killed:
                if world.scheduler.problems or self.task.doomed:
                    raise
            except BucketsightError as error:
                world.scheduler.say(f"ends with {type(error).__name__}: {error}")
                world.fate.note(f"exit {error.exit_code}: {type(error).__name__}")
                if type(error).__name__ not in world.scenario.allowed:
                    world.scheduler.problem(f"{self.name}: {type(error).__name__}: {error}")
            finally:
                if self._fleet:
                    self._fleet.close()
            world.scheduler.sleep(world.fate.dice.uniform(0, 100))

    def _drive(self, name: str) -> Result:
        """As `workers.driver.run`."""
        world, clock = self._world, self._world.scheduler.clock
        scenario = world.scenario
        self.run = None
        self.run = run = open_run(JOB, self._new_run)
        self._new_run = False  # who goes on leaves it away
        if run.finished:
            return read_result(run)
        planned = read_plan(run)
        plan = planned or freeze(run, scenario.shard_images, lambda: ("cpu", scenario.batch_size))
        self._planned = True
        done = committed(run.output, plan.run_id)
        assignment = Assignment(
            job=run.spec.job,
            run_id=plan.run_id,
            plan_digest=plan.digest,
            columns=plan.columns,
            model="colours",
            device="cpu",
            batch_size=plan.batch_size,
            threads=1,
            item_seconds=ITEM_SECONDS,
            news_seconds=NEWS_SECONDS,
            witnesses=sample(self.run, plan),
            claimant=run.spec.claimant,
        )
        terms = Terms(
            silence_seconds=NEWS_SECONDS
            + 2 * PATIENCE.seconds
            + ITEM_SECONDS * (1 + UNDER_WAY * plan.batch_size),
            drain_seconds=DRAIN_SECONDS,
            again="the same command",
        )
        self._fleet = SimulatedFleet(world, name, assignment)
        images_done = sum(map(plan.images_of, done))
        parts = Dispatch(
            self._fleet,
            Ledger(load_shards(run, plan, skip=done)),
            shards=plan.shards - len(done),
            wanted=world.wanted,
            terms=terms,
            progress=Progress(plan.run_id, plan.items, plan.shards, images_done, len(done), clock),
            say=world.scheduler.say,
            show=unseen,
            clock=clock,
            stop_signals=lambda: self.signals,
        ).run()
        return finish(run, plan, parts)
