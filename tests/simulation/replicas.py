"""Simulated replicas: the real `workers.replica.Replica`, its model invented and its reading ahead
done in turn, in a simulated process that can die anywhere.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from PIL import Image

from schemas.asks import Written
from schemas.image import Shard
from schemas.outcome import BucketsightError
from tests.simulation.job import MODEL_DIGEST
from tests.simulation.scheduler import FOR_EVER, Killed, Task
from workers.messages import Assignment, Caution, Message
from workers.replica import Replica

if TYPE_CHECKING:
    from tests.simulation.world import World

Item = TypeVar("Item")
Done = TypeVar("Done")


class Hangs(BaseException):
    """The thread that reads this image never comes back."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The replica has loaded its model."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The last that is heard of a process."""

    reason: str
    crashed: bool


@cache
def picture(number: int) -> bytes:
    """A PNG whose colour is the image's number."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (number, 255 - number, 77)).save(buffer, "PNG")
    return buffer.getvalue()


class Actor:
    """The process of one replica."""

    def __init__(self, world: World, name: str, machine: int, assignment: Assignment) -> None:
        self.name = name
        self.machine = machine
        self._world = world
        self._assignment = assignment
        self.inbox: deque[tuple[Shard, Caution | None] | None] = deque()
        """Shards; None is to settle."""
        self.outbox: deque[Ready | Gone | Message | BucketsightError] = deque()
        self.deaf = False
        """Its driver has given it up, or was told that it is gone."""
        self.settling = False
        self.died_writing = False
        straggles = world.fate.strikes("straggler")
        self._seconds_an_image = world.scenario.seconds_an_image * (30 if straggles else 1)
        self.task: Task = world.scheduler.spawn(name, self._live, self)

    def end(self, at_once: bool) -> None:
        """Nothing more of it is heard; not `at_once`: it goes on with what it has."""
        self.deaf = True
        self.task.doomed |= at_once

    def vanish(self, reason: str, crashed: bool) -> None:
        """Its driver hears that it is gone, and perhaps not what it had said last."""
        if not self.deaf:
            for _ in range(self._world.fate.dice.randint(0, len(self.outbox))):
                self.outbox.pop()
            self.outbox.append(Gone(reason, crashed))

    # for what happens within it

    def step(self, doing: str) -> bool:
        """A moment at which it may end; True where it has just come back from far away."""
        world = self._world
        if doing:
            world.scheduler.say(doing)
        world.scheduler.step()
        if world.fate.strikes("crash elsewhere"):
            self.die("somewhere")
        if world.fate.strikes("silent replica"):
            world.scheduler.say("falls silent")
            world.scheduler.sleep(world.fate.dice.uniform(100, 4000))
            return True
        return False

    def die(self, where: str) -> NoReturn:
        self.died_writing = where.endswith("a write")
        self._world.scheduler.say(f"dies {where}")
        raise Killed

    def reads(self, number: int, fetch: Callable[[], bytes]) -> bytes:
        """Look at the bytes of an image."""
        self._strike(number, "at reading")
        return fetch()

    def labels(self, numbers: list[int]) -> None:
        """Put images before the model."""
        scenario = self._world.scenario
        self._world.scheduler.sleep(len(numbers) * self._seconds_an_image)
        for number in numbers:
            self._strike(number, "in the model")
        if len(numbers) > scenario.fits:
            raise MemoryError("does not fit")
        if any(scenario.failing.get(number) == "refused by the model" for number in numbers):
            raise ValueError("refused")

    def _strike(self, number: int, where: str) -> None:
        poison = self._world.scenario.poison.get(number)
        if poison == f"crash {where}":
            self._world.fate.note("poison")
            self.die(f"of image {number}")
        if poison == "hang in the model" and where == "in the model":
            self._world.fate.note("poison")
            self._world.scheduler.say(f"hangs in image {number}")
            self._world.scheduler.sleep(FOR_EVER)
        if poison == "hang at reading" and where == "at reading":
            self._world.fate.note("poison")
            raise Hangs

    # its life

    def _live(self) -> None:
        try:
            self._work()
        except Killed:
            self.vanish("killed", crashed=True)
        except BucketsightError as error:
            self._say(error, careful=False)

    def _work(self) -> None:
        world = self._world
        world.scheduler.sleep(world.fate.dice.uniform(1, 20))
        if world.fate.strikes("failed start"):
            self.die("while it loads")
        replica = Replica(self._assignment, world.scheduler.clock)
        self._say(Ready(), careful=False)
        while True:
            world.scheduler.wait(lambda: self.inbox or self.deaf)
            if not self.inbox:
                return
            given = self.inbox.popleft()
            self.settling = given is None
            messages = replica.process(*given) if given else replica.settle()
            for message in messages:
                self._say(message, careful=bool(given and given[1]))

    def _say(self, message: Ready | Message | BucketsightError, careful: bool) -> None:
        """A careful one goes on when its word was heard."""
        if not self.deaf:
            self._world.scheduler.say(f"says {type(message).__name__}")
            self.outbox.append(message)
        if careful:
            self._world.scheduler.wait(lambda: self.deaf or not self.outbox)
            if self.deaf:
                raise Killed
        self.step("")


class AheadInTurn(Generic[Item, Done]):
    """`workers.ahead.Ahead` without threads: it reads as far ahead, one image after the other."""

    def __init__(
        self,
        work: Callable[[Item], Done],
        give_up: Callable[[Item], Done],
        threads: int,
        window: int,
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._work = work
        self._give_up = give_up
        self._window = window
        self._seconds = seconds
        self.abandoned = 0

    def in_order(self, items: Iterable[Item]) -> Iterator[Done]:
        waiting = iter(items)
        done = deque(map(self._answer, islice(waiting, self._window)))
        while done:
            done.extend(map(self._answer, islice(waiting, 1)))
            yield done.popleft()

    def _answer(self, item: Item) -> Done:
        try:
            return self._work(item)
        except Hangs:
            WORLDS[-1].scheduler.sleep(self._seconds)
            self.abandoned += 1
            return self._give_up(item)


class ColourModel:
    """Says which image it sees, by its colour."""

    digest = MODEL_DIGEST

    def __init__(self, quantization: str) -> None:
        self.quantization = quantization

    @classmethod
    def from_pretrained(cls, folder: object, device: str, quant: str) -> ColourModel:
        return cls(quant)

    def encode(self, images: list[Image.Image]) -> list[int]:
        numbers = [image.tobytes()[0] for image in images]
        task = WORLDS[-1].scheduler.current
        assert task is not None
        task.owner.labels(numbers)
        return numbers

    def reply_all(
        self, batches: Iterable[tuple[list[int], object]], refill: int = 0, most: int = 1
    ) -> Iterator[list[tuple[Written, ...]]]:
        """Looks at a batch more before it answers, as the engine does that refills its rows."""
        waiting: deque[list[int]] = deque()
        for numbers, _ in batches:
            waiting.append(numbers)
            if sum(map(len, waiting)) > refill or len(waiting) == most:
                yield self._captions(waiting.popleft())
        for numbers in waiting:
            yield self._captions(numbers)

    def _captions(self, numbers: list[int]) -> list[tuple[Written, ...]]:
        return [(Written(f"image {number}", (), whole=True),) for number in numbers]


WORLDS: list[Any] = []
"""The last one is simulated now: a model is made by its class, and can be told nothing else."""
