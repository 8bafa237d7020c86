"""Replicas as Ray actors."""

from __future__ import annotations

import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol, Self

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from schemas.image import Shard
from schemas.outcome import BucketsightError
from workers import messages
from workers.cluster.resources import Say, in_words
from workers.fleet import (
    Begun,
    Done,
    Event,
    KeptBack,
    Lost,
    NotStarted,
    Rehearsed,
    Settled,
    Started,
)
from workers.messages import (
    Assignment,
    BatchBegun,
    Caution,
    Committed,
    Message,
    Withheld,
)

RESTS_A_LOOK = 60
"""A look at a thousand tasks takes a millisecond, which is nothing only if it is not done for each
word of each of them: news is gathered for so many times the length of a look."""


class Labeller(Protocol):
    """What an actor holds; `workers.replica.Replica`."""

    def process(self, shard: Shard, caution: Caution | None) -> Iterator[Message]: ...

    def settle(self) -> Iterator[Message]: ...

    def rehearse(self, shard: Shard) -> Iterator[Message]: ...


Load = Callable[[Assignment], Labeller]


class ReplicaActor:
    """The process of one replica."""

    def load(self, load: Load, assignment: Assignment) -> str:
        """Returns the id of the node. Not the constructor: that would hide the error's type."""
        self._replica = load(assignment)
        return str(ray.get_runtime_context().get_node_id())

    def process(self, shard: Shard, caution: Caution | None) -> Iterator[Message]:
        yield from self._replica.process(shard, caution)

    def settle(self) -> Iterator[Message]:
        yield from self._replica.settle()

    def rehearse(self, shard: Shard) -> Iterator[Message]:
        yield from self._replica.rehearse(shard)


@dataclass(slots=True)
class _Handle:
    """What the fleet knows of one actor."""

    actor: Any
    loading: ray.ObjectRef[str] | None
    machines_lost: int
    """How many the cluster had lost when this one was asked for."""
    node_id: str = ""
    tasks: deque[tuple[int | None, ray.ObjectRefGenerator]] = field(default_factory=deque)
    """The shard and the news of each task that was given, in order; the first one runs. None: it
    settles, or rehearses."""

    def news(self) -> ray.ObjectRef[str] | ray.ObjectRefGenerator | None:
        return self.loading or (self.tasks[0][1] if self.tasks else None)


class RayFleet:
    """Replicas as Ray actors: a `workers.fleet.Fleet`."""

    def __init__(
        self, assignment: Assignment, cpus: int, gpus: float, load: Load, say: Say
    ) -> None:
        self._assignment = assignment
        self._asks_for = in_words(cpus, gpus)
        self._load = load
        self._say = say
        self._bug_told = False
        self._rest = 0.0
        # retries have one owner, and that is the dispatch
        self._actor_class: Any = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0
        )(ReplicaActor)
        self._numbers = count()
        self._handles: dict[int, _Handle] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        for number in list(self._handles):
            self.stop(number)

    def start(self) -> int:
        number = next(self._numbers)
        actor = self._actor_class.remote()
        loading = actor.load.remote(self._load, self._assignment)
        self._handles[number] = _Handle(actor, loading, _machines_lost())
        return number

    def give(self, replica: int, shard: Shard, caution: Caution | None) -> None:
        handle = self._handles[replica]
        # A cautious replica goes on only when its last word was heard: without that a process that
        # dies at once takes the word with it.
        waiting = {"_generator_backpressure_num_objects": 1} if caution else {}
        method = handle.actor.process.options(num_returns="streaming", **waiting)
        handle.tasks.append((shard.index, method.remote(shard, caution)))

    def settle(self, replica: int) -> None:
        handle = self._handles[replica]
        method = handle.actor.settle.options(num_returns="streaming")
        handle.tasks.append((None, method.remote()))

    def rehearse(self, replica: int, shard: Shard) -> None:
        """Queue a shard of which nothing is kept; Rehearsed or Lost follows."""
        handle = self._handles[replica]
        method = handle.actor.rehearse.options(num_returns="streaming")
        handle.tasks.append((None, method.remote(shard)))

    def stop(self, replica: int) -> None:
        ray.kill(self._handles.pop(replica).actor)

    def needs(self) -> str:
        has = ray.cluster_resources()
        there = in_words(has.get("CPU", 0), has.get("GPU", 0))
        return f"each asks for {self._asks_for}, the cluster has {there}"

    def events(self, seconds: float) -> list[Event]:
        numbers = {news: number for number, one in self._handles.items() if (news := one.news())}
        if not numbers:
            return []
        time.sleep(min(self._rest, seconds))
        ready, _ = ray.wait(list(numbers), num_returns=1, timeout=seconds)
        if ready:
            looked_at = time.perf_counter()
            ready, _ = ray.wait(list(numbers), num_returns=len(numbers), timeout=0)
            self._rest = RESTS_A_LOOK * (time.perf_counter() - looked_at)
        return [self._event(numbers[news]) for news in ready]

    def _event(self, number: int) -> Event:
        """What is new of a replica of which something is."""
        handle = self._handles[number]
        try:
            if handle.loading is not None:
                handle.node_id = ray.get(handle.loading)
                handle.loading = None
                return Started(number)
            shard, news = handle.tasks[0]
            said: Message = ray.get(next(news))
        except RayTaskError as error:
            if isinstance(error.cause, BucketsightError):
                raise error.cause from None
            return self._gone(number, self._told(handle, error), crashed=True)
        except RayError as error:
            return self._gone(number, _in_short(error), crashed=self._is_a_crash(handle, error))
        if isinstance(said, BatchBegun):
            return Begun(number, said)
        if isinstance(said, Committed) and said.part.footer.shard != shard:
            return Done(number, said.part, said.worn_out)  # one that was withheld; more follows
        handle.tasks.popleft()
        if isinstance(said, Committed):
            return Done(number, said.part, said.worn_out)
        if isinstance(said, messages.Rehearsed):
            return Rehearsed(number, said)
        return KeptBack(number) if isinstance(said, Withheld) else Settled(number)

    def _gone(self, number: int, reason: str, crashed: bool) -> NotStarted | Lost:
        never_started = self._handles[number].loading is not None
        self.stop(number)
        return (NotStarted if never_started else Lost)(number, reason, crashed)

    def _told(self, handle: _Handle, error: RayTaskError) -> str:
        """The reason in short; of an error that nobody foresaw, people see the traceback once."""
        reason = f"{type(error.cause).__name__}: {error.cause}"
        if handle.loading is not None:  # a device, a driver, a library: the machine's
            return reason
        if not self._bug_told:
            self._bug_told = True
            self._say(f"this is a bug of this program:\n{error}")
        return f"a bug of this program: {reason}"

    def _is_a_crash(self, handle: _Handle, error: RayError) -> bool:
        """Whether the process died by itself, on a machine that lives on."""
        if isinstance(error, ActorUnavailableError):
            return False
        if isinstance(error, RayActorError) and error.preempted:
            return False
        if handle.loading is not None:  # it has not said where it is
            return _machines_lost() == handle.machines_lost
        return any(node["NodeID"] == handle.node_id and node["Alive"] for node in ray.nodes())


def _machines_lost() -> int:
    return sum(not node["Alive"] for node in ray.nodes())


def _in_short(error: RayError) -> str:
    """Ray's words without its lists of ids."""
    lines = (line for line in str(error).splitlines() if not line.startswith("\t"))
    return textwrap.shorten(" ".join(lines), 250, placeholder=" …")
