"""How much work the driver is: real dispatch, simulated actors in a time of their own; real actors.

    python benchmarks/dispatch_scale.py

Three tables. In the first, actors answer at once: the shards a second are all that the dispatch can
do. In the second, each shard takes a minute of simulated time, with the news that replicas send:
the share of a core. In the third, real Ray actors commit nothing: Ray's own cost.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.ray_environment import prepare_ray
from schemas.image import ImageRef, Shard
from schemas.run import PartFooter, PartRecord, RunNames
from workers.dispatch import NEWS_A_SECOND, Dispatch, Terms
from workers.fleet import Begun, Done, Event, Started
from workers.ledger import Ledger
from workers.messages import Assignment, BatchBegun, Caution, Committed, Message
from workers.progress import Progress, unseen

SHARD_IMAGES = 100
ACTORS = (10, 30, 100, 300, 1000)
NAMES = RunNames(1)
IMAGES = tuple(
    ImageRef(f"s3://bucket/{number:08d}.jpg", f"s3://bucket/{number:08d}.jpg", "etag:0", 100_000)
    for number in range(SHARD_IMAGES)
)


def part_of(shard: int) -> PartRecord:
    footer = PartFooter(NAMES.run_id, shard, "0" * 64, "attempt", SHARD_IMAGES, 0)
    return PartRecord(NAMES.part(shard), "0" * 64, footer)


class SimulatedFleet:
    """Actors that work for `seconds` on a shard, in a time that passes only while it is waited."""

    def __init__(self, actors: int, seconds: float) -> None:
        self.now = 0.0
        self._news_seconds = max(1.0, actors / NEWS_A_SECOND)
        self._seconds = seconds
        self._numbers = count()
        self._shards: dict[int, deque[int]] = {}
        self._ahead: list[tuple[float, int, Event]] = []
        self._order = count()

    def start(self) -> int:
        number = next(self._numbers)
        self._shards[number] = deque()
        self._later(0, Started(number))
        return number

    def give(self, replica: int, shard: Shard, caution: Caution | None) -> None:
        self._shards[replica].append(shard.index)
        if len(self._shards[replica]) == 1:
            self._begin(replica)

    def _begin(self, replica: int) -> None:
        seconds = self._seconds * random.uniform(0.8, 1.2)
        news = 0.0
        while news < seconds:
            self._later(news, Begun(replica, BatchBegun(tuple(range(8)), 0)))
            news += self._news_seconds
        self._later(seconds, Done(replica, part_of(self._shards[replica][0])))

    def _later(self, seconds: float, event: Event) -> None:
        heapq.heappush(self._ahead, (self.now + seconds, next(self._order), event))

    def settle(self, replica: int) -> None:
        raise NotImplementedError

    def stop(self, replica: int) -> None:
        del self._shards[replica]

    def needs(self) -> str:
        return ""

    def events(self, seconds: float) -> list[Event]:
        until = self.now + seconds
        if not self._ahead or self._ahead[0][0] > until:
            self.now = until
            return []
        self.now = max(self.now, self._ahead[0][0])
        ready = []
        while self._ahead and self._ahead[0][0] <= self.now:
            event = heapq.heappop(self._ahead)[2]
            if isinstance(event, Done):
                self._shards[event.replica].popleft()
                if self._shards[event.replica]:
                    self._begin(event.replica)
            ready.append(event)
        return ready


def shards(number: int) -> Iterator[Shard]:
    return (Shard(index, IMAGES) for index in range(number))


def dispatch(fleet: object, number: int, actors: int, clock: Callable[[], float]) -> Dispatch:
    return Dispatch(
        fleet,  # type: ignore[arg-type]
        Ledger(shards(number)),
        shards=number,
        wanted=lambda: actors,
        terms=Terms(silence_seconds=1000, drain_seconds=25, again="the same command"),
        progress=Progress("00000001", number * SHARD_IMAGES, number, 0, 0, clock),
        say=lambda line: None,
        show=unseen,
        clock=clock,
        stop_signals=lambda: 0,
    )


def simulated(actors: int, images: int, seconds: float) -> tuple[float, float]:
    """Processor seconds of the driver, and simulated seconds, for so many images."""
    fleet = SimulatedFleet(actors, seconds)
    started = time.process_time()
    dispatch(fleet, images // SHARD_IMAGES, actors, lambda: fleet.now).run()
    return time.process_time() - started, fleet.now


def simulation_alone(actors: int, images: int, seconds: float) -> float:
    """Processor seconds that the simulation itself takes of that: all its events, unheard."""
    fleet = SimulatedFleet(actors, seconds)
    shard = Shard(0, IMAGES)
    left = images // SHARD_IMAGES
    started = time.process_time()
    for _ in range(actors):
        fleet.start()
    done = 0
    while done < images // SHARD_IMAGES:
        for event in fleet.events(0.5):
            done += isinstance(event, Done)
            if isinstance(event, (Started, Done)) and left:
                fleet.give(event.replica, shard, None)
                left -= 1
    return time.process_time() - started


class NoOp:
    """A replica without model, store or images."""

    def __init__(self, assignment: Assignment) -> None:
        pass

    def process(self, shard: Shard, caution: Caution | None) -> Iterator[Message]:
        yield BatchBegun(tuple(range(8)), 0)
        yield Committed(part_of(shard.index))

    def settle(self) -> Iterator[Message]:
        raise NotImplementedError


def waiting(actors: int, pending: int) -> float:
    """Processor seconds of one look at `pending` tasks of real actors, one of which has news."""
    import ray

    @ray.remote(num_cpus=0.01)
    class Busy:
        def work(self, seconds: float) -> Iterator[int]:
            yield 0
            time.sleep(seconds)

    fleet = [Busy.remote() for _ in range(actors)]  # type: ignore[attr-defined]
    news = [fleet[task % actors].work.options(num_returns="streaming") for task in range(pending)]
    tasks = [method.remote(60.0) for method in news]
    for first in tasks[:actors]:
        next(first)
    looks = 200
    processor = time.process_time()
    for _ in range(looks):
        ray.wait(tasks, num_returns=1, timeout=0)
    seconds = (time.process_time() - processor) / looks
    for actor in fleet:
        ray.kill(actor)
    return seconds


def real(actors: int, number: int) -> tuple[float, float, float, float]:
    """Seconds until the first shard, and from there on; processor seconds of the driver's process,
    and of one look at a thousand pending tasks.
    """
    from schemas.job import JobSpec, Preprocessing, TaskSpec
    from workers.cluster import RayFleet, connection

    half = (0.5, 0.5, 0.5)
    job = JobSpec(
        *("/in", "/out", (TaskSpec("caption", {"prompt": "<ImageHere>", "max_new_tokens": 1}),)),
        *("none", "0" * 64, "none"),
        Preprocessing(8, half, half),
    )
    assignment = Assignment(job, "00000001", "0" * 64, (), "none", "cpu", 8, 1, 60, 1, (), "me")
    with connection(), RayFleet(assignment, 0.01, 0, NoOp, print) as fleet:  # type: ignore[arg-type]
        begun = time.monotonic()
        dispatch(fleet, actors, actors, time.monotonic).run()
        warm, processor = time.monotonic(), time.process_time()
        dispatch(fleet, number, actors, time.monotonic).run()
        rest, used = time.monotonic() - warm, time.process_time() - processor
        return warm - begun, rest, used, waiting(actors, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--real-actors", type=int, default=50)
    parser.add_argument("--real-shards", type=int, default=5000)
    given = parser.parse_args()

    print(f"{given.images:,} images in shards of {SHARD_IMAGES}, actors that answer at once")
    for actors in ACTORS:
        processor, _ = simulated(actors, given.images, 0)
        own = processor - simulation_alone(actors, given.images, 0)
        number = given.images // SHARD_IMAGES
        print(f"  {actors:5,} actors: {number / own:9,.0f} shards/s")

    print(f"{given.images:,} images, shards of a minute")
    for actors in ACTORS:
        processor, seconds = simulated(actors, given.images, 60)
        own = processor - simulation_alone(actors, given.images, 60)
        print(f"  {actors:5,} actors: {own / seconds:9.4%} of one core")

    prepare_ray()
    number = given.real_shards
    first, rest, processor, look = real(given.real_actors, number)
    print(f"{given.real_actors} real Ray actors that do nothing, {number:,} shards")
    print(f"  first shard of each, their start included: {first:.1f} s")
    print(
        f"  then {number / rest:,.0f} shards/s; the driver takes {processor / number * 1e3:.2f} ms"
    )
    print(f"  of processor time a shard: {processor / rest:.0%} of one core at this pace")
    print(f"  one look at 1,000 pending tasks: {look * 1e3:.2f} ms of processor time")


if __name__ == "__main__":
    main()
