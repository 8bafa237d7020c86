"""Threads of which exactly one runs, picked by a seed, and a clock that moves while all wait.

A thread gives up its turn at each `step`, `sleep` and `wait`, and nowhere else: so a seed decides
the whole run, and the same seed gives it again.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FOR_EVER = float("inf")
MOST_STEPS = 400_000
LONGEST_SECONDS = 200_000.0
"""A simulation that takes more than either does not end."""


class Killed(BaseException):
    """The process of this thread is gone: nothing of it may go on."""


@dataclass(eq=False, slots=True)
class Task:
    """One simulated process."""

    name: str
    owner: Any = None
    """Whose process it is."""
    doomed: bool = False
    """It is killed where it gets its next turn."""
    turn: threading.Lock = field(default_factory=threading.Lock)
    wakes_at: float = 0.0
    wanted: Callable[[], object] | None = None
    """What it waits for, besides the time."""

    def can_go_on(self, now: float) -> bool:
        return (
            self.doomed or self.wakes_at <= now or (self.wanted is not None and bool(self.wanted()))
        )


class Scheduler:
    """Runs tasks until all have ended, or none can ever go on."""

    def __init__(self, seed: str, stickiness: float, trace: Callable[[str], None] | None) -> None:
        """`stickiness` is how often, from 0 to 1, a task that could go on does."""
        self._random = random.Random(f"schedule {seed}")
        self._stickiness = stickiness
        self._trace = trace
        self._tasks: list[Task] = []
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._local = threading.local()
        self._main = threading.Lock()
        self._main.acquire()
        self._over = False
        self.steps = 0
        self.now = 0.0
        self.problems: list[str] = []

    # for the main thread

    def run(self) -> None:
        """Until nothing goes on any more; then whatever still waits is killed."""
        self._pass_on()
        self._main.acquire()

    # for all

    @property
    def current(self) -> Task | None:
        """None in a thread that is none of ours, as of a pool."""
        return getattr(self._local, "task", None)

    def clock(self) -> float:
        return self.now

    def say(self, text: str) -> None:
        """A line of the trace."""
        if self._trace:
            name = self.current.name if self.current else "world"
            self._trace(f"{self.now:9.1f} {name:<12} {text}")

    def problem(self, text: str) -> None:
        """A promise was broken: the simulation ends."""
        self.problems.append(text)
        self._end()

    def spawn(self, name: str, work: Callable[[], None], owner: Any = None) -> Task:
        task = Task(name, owner)
        task.turn.acquire()
        self._tasks.append(task)
        threading.Thread(target=self._live, args=(task, work), daemon=True).start()
        return task

    def later(self, seconds: float, happens: Callable[[], None]) -> None:
        """Something that happens at that time, in nobody's process."""
        heapq.heappush(self._later, (self.now + seconds, next(self._order), happens))

    # for tasks

    def step(self) -> None:
        """Somebody else may have a turn. Raises Killed where this task's time has come."""
        task = self._own()
        if task is None:
            return
        if task.doomed or self._random.random() >= self._stickiness:
            self._wait(task, self.now, None)

    def sleep(self, seconds: float) -> None:
        task = self._own()
        if task is not None:
            self._wait(task, self.now + seconds, None)

    def wait(self, wanted: Callable[[], object], seconds: float = FOR_EVER) -> None:
        """Until `wanted()`, or as long as that."""
        task = self._own()
        if task is not None:
            self._wait(task, self.now + seconds, wanted)

    # inside

    def _own(self) -> Task | None:
        self.steps += 1
        if (self.steps > MOST_STEPS or self.now > LONGEST_SECONDS) and not self.problems:
            self.problem("it does not end")
        return self.current

    def _wait(self, task: Task, until: float, wanted: Callable[[], object] | None) -> None:
        task.wakes_at, task.wanted = until, wanted
        follower = self._follower()
        if follower is not task:
            self._hand_to(follower)
            task.turn.acquire()
        if task.doomed:
            raise Killed

    def _live(self, task: Task, work: Callable[[], None]) -> None:
        self._local.task = task
        task.turn.acquire()
        try:
            if not task.doomed:
                work()
        except Killed:
            pass
        except BaseException:  # noqa: BLE001 - of any kind, it is the simulation's result
            self.problem(f"{task.name}: {traceback.format_exc()}")
        self._tasks.remove(task)
        self._local.task = None
        self._pass_on()

    def _pass_on(self) -> None:
        self._hand_to(self._follower())

    def _hand_to(self, follower: Task | None) -> None:
        (follower.turn if follower else self._main).release()

    def _follower(self) -> Task | None:
        """Who goes on; None: nobody is left."""
        while True:
            ready = [task for task in self._tasks if task.can_go_on(self.now)]
            if ready:
                return ready[0] if len(ready) == 1 else self._random.choice(ready)
            if not self._tasks:
                return None
            self._move_on()

    def _move_on(self) -> None:
        """To the next moment at which something happens."""
        moment = min(task.wakes_at for task in self._tasks)
        if self._later:
            moment = min(moment, self._later[0][0])
        if moment == FOR_EVER:
            self._end()
            return
        self.now = moment
        while self._later and self._later[0][0] <= self.now:
            heapq.heappop(self._later)[2]()

    def _end(self) -> None:
        """What still waits is killed."""
        for task in self._tasks:
            task.doomed = True
