"""Plan → dispatch → retry → finish. Ray lives here, and only here.

A run is a folder of OUTPUT: `open_run` finds or claims it, `freeze` plans it, replicas commit its
parts, `finish` says that it is whole. Whatever dies, the same command goes on from what is there.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from schemas.image import Shard
from schemas.outcome import BucketsightError, UsageError
from schemas.run import Plan, Result
from workers.dispatch import Begun, Dispatch, Done, Event, Lost, NotStarted, Started
from workers.ledger import Ledger
from workers.messages import Assignment, BatchBegun, Committed
from workers.model.description import portable
from workers.plan import Run, finish, freeze, load_shards, open_run, read_result
from workers.progress import Progress
from workers.request import Options, Request
from workers.sink import committed

ROOT = Path(__file__).resolve().parent.parent
BATCH_SIZE = {"cpu": 8, "cuda": 32}
OBJECT_STORE_BYTES = 100_000_000
"""Keys travel through Ray, never pixels."""
SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set for a driver that `ray job submit` started: the job's code is on every machine already."""

Say = Callable[[str], None]


class Labeller(Protocol):
    """What an actor holds; `workers.replica.Replica`."""

    def process(self, shard: Shard, careful: bool) -> Iterator[BatchBegun | Committed]: ...


Load = Callable[[Assignment], Labeller]


def load_replica(assignment: Assignment) -> Labeller:
    """In an actor's process: only there is torch imported."""
    from workers.replica import Replica

    return Replica(assignment)


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is whole."""

    run: Run
    result: Result
    before: bool
    """It was whole already."""


def run(request: Request, options: Options, say: Say, load: Load = load_replica) -> Finished:
    """Label what `request` names, or go on where an earlier driver stopped.

    Args:
        say: is given lines for people.
        load: makes an actor's replica, in the actor's process.

    Raises:
        BucketsightError: its `exit_code` is the process's.
    """
    job = request.resolve()
    this = open_run(job, options.new_run)
    if this.finished:
        return Finished(this, read_result(this), before=True)
    with _connection() as shared, _stop_signals() as stop_signals:
        device = _device(options.device)
        plan = freeze(this, options.shard_images, device)
        done = committed(job.output, plan.run_id)
        assignment = Assignment(
            job=job,
            run_id=plan.run_id,
            plan_digest=plan.digest(),
            model=portable(request.model),
            device=device,
            batch_size=options.batch_size or BATCH_SIZE[device],
            threads=options.cpus_per_replica,
        )
        gpus = options.gpus_per_replica if device == "cuda" else 0
        replicas = _replicas(options.replicas, options.cpus_per_replica, gpus, shared)
        images_done = plan.items - _images_owed(this, plan, done)
        say(
            f"run {plan.run_id}: {plan.items:,} images in {plan.shards:,} shards, "
            f"{images_done:,} images done; up to {replicas} replicas on {device}"
        )
        with RayFleet(assignment, options.cpus_per_replica, gpus, load) as fleet:
            parts = Dispatch(
                fleet,
                Ledger(load_shards(this, plan, skip=done)),
                shards=plan.shards - len(done),
                replicas=replicas,
                progress=Progress(plan.items, images_done, time.monotonic),
                say=say,
                clock=time.monotonic,
                stop_signals=stop_signals,
                drain_seconds=options.drain_seconds,
            ).run()
        return Finished(this, finish(this, plan, parts), before=False)


def _images_owed(this: Run, plan: Plan, done: set[int]) -> int:
    if not done:
        return plan.items
    return sum(len(shard) for shard in load_shards(this, plan, skip=done))


@contextmanager
def _connection() -> Iterator[bool]:
    """The cluster that RAY_ADDRESS names, else one of our own that is gone afterwards.

    Tells whether others may use it too. A process that is connected already stays so.
    """
    if ray.is_initialized():
        yield True
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    address = os.environ.get("RAY_ADDRESS")
    if address:
        _join(address, quiet)
    else:
        ray.init(include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
    try:
        yield bool(address)
    finally:
        ray.shutdown()


def _join(address: str, quiet: dict[str, Any]) -> None:
    """Connect to a cluster; unless the job was submitted to it, its machines are sent the code.

    Raises:
        UsageError: there is no such cluster, or it does not let us in.
    """
    host, _, port = address.rpartition(":")
    code = {} if SUBMITTED in os.environ else {"working_dir": str(ROOT)}
    try:
        if port.isdecimal():  # Ray itself would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        ray.init(address, runtime_env=code, **quiet)
    except (OSError, RayError) as error:
        raise UsageError(
            f"no connection to Ray at {address}, which RAY_ADDRESS names ({error}); RAY_AUTH_MODE "
            "and the token must be the cluster's too"
        ) from error


@contextmanager
def _stop_signals() -> Iterator[Callable[[], int]]:
    """How many SIGTERM and SIGINT came; to be entered after `ray.init`, which takes SIGTERM."""
    received = 0

    def note(number: int, frame: object) -> None:
        nonlocal received
        received += 1

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _device(asked: str) -> str:
    if asked != "auto":
        return asked
    return "cuda" if ray.cluster_resources().get("GPU", 0) > 0 else "cpu"


def _replicas(asked: int | None, cpus: int, gpus: float, shared: bool) -> int:
    """How many replicas to start; on a cluster that others use too one CPU is left to them.

    Raises:
        UsageError: this machine alone has no room for a single one.
    """
    has = ray.cluster_resources()
    room = (has.get("CPU", 0) - shared) // cpus
    if gpus:
        room = min(room, has.get("GPU", 0) // gpus)
    if shared:  # it may grow
        return asked or max(1, int(room))
    if room < 1:
        raise UsageError(
            f"a replica asks for {cpus} CPUs and {gpus:g} GPUs, this machine has "
            f"{has.get('CPU', 0):g} and {has.get('GPU', 0):g}"
        )
    return min(asked or int(room), int(room))


class ReplicaActor:
    """The process of one replica."""

    def load(self, load: Load, assignment: Assignment) -> str:
        """Returns the id of the node. Not the constructor: that would hide the error's type."""
        self._replica = load(assignment)
        return str(ray.get_runtime_context().get_node_id())

    def process(self, shard: Shard, careful: bool) -> Iterator[BatchBegun | Committed]:
        yield from self._replica.process(shard, careful)


@dataclass(slots=True)
class _Handle:
    """What the fleet knows of one actor."""

    actor: Any
    loading: ray.ObjectRef[str] | None
    node_id: str = ""
    shards: deque[ray.ObjectRefGenerator] = field(default_factory=deque)
    """The news of each shard that was given, in order; the first one runs."""

    def news(self) -> ray.ObjectRef[str] | ray.ObjectRefGenerator | None:
        return self.loading or (self.shards[0] if self.shards else None)


class RayFleet:
    """Replicas as Ray actors: a `workers.dispatch.Fleet`."""

    def __init__(self, assignment: Assignment, cpus: int, gpus: float, load: Load) -> None:
        self._assignment = assignment
        self._load = load
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
        self._handles[number] = _Handle(actor, loading)
        return number

    def give(self, replica: int, shard: Shard, careful: bool) -> None:
        handle = self._handles[replica]
        # A careful replica goes on only when its last word was heard: without that a process that
        # dies at once takes the word with it.
        waiting = {"_generator_backpressure_num_objects": 1} if careful else {}
        method = handle.actor.process.options(num_returns="streaming", **waiting)
        handle.shards.append(method.remote(shard, careful))

    def stop(self, replica: int) -> None:
        ray.kill(self._handles.pop(replica).actor)

    def events(self, seconds: float) -> list[Event]:
        numbers = {news: number for number, one in self._handles.items() if (news := one.news())}
        if not numbers:
            return []
        ready, _ = ray.wait(list(numbers), num_returns=1, timeout=seconds)
        if ready:
            ready, _ = ray.wait(list(numbers), num_returns=len(numbers), timeout=0)
        return [self._event(numbers[news]) for news in ready]

    def _event(self, number: int) -> Event:
        """What is new of a replica of which something is."""
        handle = self._handles[number]
        try:
            if handle.loading is not None:
                handle.node_id = ray.get(handle.loading)
                handle.loading = None
                return Started(number)
            said = ray.get(next(handle.shards[0]))
        except RayTaskError as error:
            if isinstance(error.cause, BucketsightError):
                raise error.cause from None
            return self._gone(number, f"{type(error.cause).__name__}: {error.cause}", crashed=True)
        except RayError as error:
            return self._gone(number, _in_short(error), crashed=self._is_a_crash(handle, error))
        if isinstance(said, BatchBegun):
            return Begun(number, said)
        handle.shards.popleft()
        return Done(number, said.part)

    def _gone(self, number: int, reason: str, crashed: bool) -> NotStarted | Lost:
        never_started = self._handles[number].loading is not None
        self.stop(number)
        return NotStarted(number, reason) if never_started else Lost(number, reason, crashed)

    def _is_a_crash(self, handle: _Handle, error: RayError) -> bool:
        """Whether the process died by itself, on a machine that lives on."""
        if isinstance(error, ActorUnavailableError):
            return False
        if isinstance(error, RayActorError) and error.preempted:
            return False
        return any(node["NodeID"] == handle.node_id and node["Alive"] for node in ray.nodes())


def _in_short(error: RayError) -> str:
    """Ray's words without its lists of ids."""
    lines = (line for line in str(error).splitlines() if not line.startswith("\t"))
    return textwrap.shorten(" ".join(lines), 250, placeholder=" …")
