"""Plan → dispatch → retry → finish. Ray lives here, and only here.

A run is a folder of OUTPUT: `open_run` finds or claims it, `freeze` plans it, replicas commit its
parts, `finish` says that it is whole. Whatever dies, the same command goes on from what is there.
"""

from __future__ import annotations

import logging
import os
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
from schemas.outcome import BucketsightError, StoppedError, UsageError
from schemas.run import Plan, Result
from schemas.uri import LOCAL_SCHEMES, is_local
from workers import signals
from workers.dispatch import Begun, Dispatch, Done, Event, Lost, NotStarted, Started
from workers.ledger import Ledger
from workers.messages import Assignment, BatchBegun, Committed
from workers.model.description import portable
from workers.plan import Run, finish, freeze, load_shards, open_run, read_plan, read_result
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
    _require_places(request)
    job = request.resolve()
    this = open_run(job, options.new_run)
    if this.finished:
        return Finished(this, read_result(this), before=True)
    again = "the same command" + (" without --new-run" if options.new_run else "")
    try:
        with _connection() as shared:
            result = _label(this, portable(request.model), options, shared, again, say, load)
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; {again} goes on") from None
    return Finished(this, result, before=False)


def _label(
    this: Run, model: str, options: Options, shared: bool, again: str, say: Say, load: Load
) -> Result:
    """Plan the run where it is not planned, label what it owes, finish it."""
    planned = read_plan(this)
    device = _device(planned.device if planned else options.device, shared, say)
    gpus = options.gpus_per_replica if device == "cuda" else 0
    replicas = _replicas(options.replicas, options.cpus_per_replica, gpus, shared, say)
    batch_size = options.batch_size or BATCH_SIZE[device]
    plan = planned or freeze(this, options.shard_images, device, batch_size)
    if plan.device != device:
        raise UsageError(f"another command has just planned this run for {plan.device}; try again")
    if plan.batch_size != batch_size or options.device not in ("auto", device):
        say(f"this run was planned for {device} and batches of {plan.batch_size}, and goes on so")
    done = committed(this.output, plan.run_id)
    images_done = plan.items - _images_owed(this, plan, done)
    say(
        f"run {plan.run_id}: {plan.items:,} images in {plan.shards:,} shards, "
        f"{images_done:,} images done; up to {replicas} replicas on {device}"
    )
    assignment = Assignment(
        job=this.spec.job,
        run_id=plan.run_id,
        plan_digest=plan.digest,
        model=model,
        device=device,
        batch_size=plan.batch_size,
        threads=options.cpus_per_replica,
        claimant=this.spec.claimant,
    )
    with (
        RayFleet(assignment, options.cpus_per_replica, gpus, load, say) as fleet,
        signals.counted() as stop_signals,
    ):
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
            again=again,
        ).run()
    return finish(this, plan, parts)


def _images_owed(this: Run, plan: Plan, done: set[int]) -> int:
    if not done:
        return plan.items
    return sum(len(shard) for shard in load_shards(this, plan, skip=done))


def _require_places(request: Request) -> None:
    """A submitted job runs in a copy of its package: a relative path would lead into that.

    Raises:
        UsageError: such a path.
    """
    if SUBMITTED not in os.environ:
        return
    for name, place in (("INPUT", request.input), ("OUTPUT", request.output)):
        path = place
        for scheme in LOCAL_SCHEMES:
            path = path.removeprefix(scheme)
        if is_local(place) and not os.path.isabs(os.path.expanduser(path)):
            raise UsageError(
                f"{name} {place} is a relative path, which leads nowhere from a submitted job: "
                "name a bucket, or an absolute path that all machines of the cluster share"
            )


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
    with signals.restored(), signals.none_lost():  # Ray takes SIGTERM, and forks
        if address:
            _join(address, quiet)
        else:
            _start(quiet)
    try:
        yield bool(address)
    finally:
        with signals.ignored():  # what the run came to is settled, and Ray leaves nothing behind
            ray.shutdown()


def _start(quiet: dict[str, Any]) -> None:
    """A cluster of this machine alone, whatever other Ray runs here.

    Raises:
        UsageError: Ray cannot start here.
        StoppedError: the machine is too busy for Ray's own patience.
    """
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **quiet,
        )
    except OSError as error:
        raise UsageError(
            f"Ray does not start on this machine: {error}; RAY_TMPDIR names another folder for its "
            "files, whose path is to be short"
        ) from error
    except Exception as error:
        if type(error) is not Exception:  # Ray's own, for a node that was not up within its 30 s
            raise
        raise StoppedError(
            f"Ray did not start in time on this machine ({error}); the same command goes on"
        ) from error


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
    except (OSError, OverflowError, RayError, ValueError) as error:
        raise UsageError(
            f"no connection to Ray at {address}, which RAY_ADDRESS names ({error}); RAY_AUTH_MODE "
            "and the token must be the cluster's too"
        ) from error


def _device(asked: str, shared: bool, say: Say) -> str:
    """`cpu` or `cuda`. Whether another machine's GPU is of use, only that machine can tell.

    Raises:
        UsageError: cuda is asked for, and torch cannot use this machine's GPU.
    """
    has_gpu = ray.cluster_resources().get("GPU", 0) > 0
    if asked == "cpu" or not has_gpu:
        return "cpu" if asked == "auto" else asked
    if shared or _torch_has_cuda():
        return "cuda"
    if asked == "cuda":
        raise UsageError("this machine has a GPU that its torch cannot use: --device cpu does not")
    say("this machine has a GPU that its torch cannot use; labelling on the CPU")
    return "cpu"


def _torch_has_cuda() -> bool:
    import torch  # seconds, so only where there is a GPU

    return torch.cuda.is_available()


def _replicas(asked: int | None, cpus: int, gpus: float, shared: bool, say: Say) -> int:
    """How many replicas to start; on a cluster that others use too one CPU is left to them.

    Raises:
        UsageError: this machine alone has no room for a single one.
    """
    has = ray.cluster_resources()
    room = int(has.get("CPU", 0) - shared) // cpus
    if gpus:
        room = min(room, _shares(has.get("GPU", 0), gpus))
    if not shared:
        if room < 1:
            raise UsageError(
                f"a replica asks for {_resources(cpus, gpus)}, this machine has "
                f"{_resources(has.get('CPU', 0), has.get('GPU', 0))}"
            )
        return min(asked or room, room)
    if asked is None and room < 1:
        say(
            f"the cluster has no room yet for a replica, which asks for {_resources(cpus, gpus)}: "
            "one is asked for; --replicas asks for more, --device says on what"
        )
    return asked or max(1, room)  # it may grow


def _shares(gpus: float, each: float) -> int:
    """How many replicas `gpus` hold; parts of a GPU are of one and the same."""
    if each >= 1:
        return int(gpus // each)
    return int(gpus) * int(1 / each + 1e-9)


def _resources(cpus: float, gpus: float) -> str:
    asked = [f"{cpus:g} CPU{'s' * (cpus != 1)}"]
    if gpus:
        asked.append(f"{gpus:g} GPU{'s' * (gpus != 1)}")
    return " and ".join(asked)


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
    machines_lost: int
    """How many the cluster had lost when this one was asked for."""
    node_id: str = ""
    shards: deque[ray.ObjectRefGenerator] = field(default_factory=deque)
    """The news of each shard that was given, in order; the first one runs."""

    def news(self) -> ray.ObjectRef[str] | ray.ObjectRefGenerator | None:
        return self.loading or (self.shards[0] if self.shards else None)


class RayFleet:
    """Replicas as Ray actors: a `workers.dispatch.Fleet`."""

    def __init__(
        self, assignment: Assignment, cpus: int, gpus: float, load: Load, say: Say
    ) -> None:
        self._assignment = assignment
        self._asks_for = _resources(cpus, gpus)
        self._load = load
        self._say = say
        self._bug_told = False
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

    def give(self, replica: int, shard: Shard, careful: bool) -> None:
        handle = self._handles[replica]
        # A careful replica goes on only when its last word was heard: without that a process that
        # dies at once takes the word with it.
        waiting = {"_generator_backpressure_num_objects": 1} if careful else {}
        method = handle.actor.process.options(num_returns="streaming", **waiting)
        handle.shards.append(method.remote(shard, careful))

    def stop(self, replica: int) -> None:
        ray.kill(self._handles.pop(replica).actor)

    def needs(self) -> str:
        has = ray.cluster_resources()
        there = _resources(has.get("CPU", 0), has.get("GPU", 0))
        return f"each asks for {self._asks_for}, the cluster has {there}"

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
            return self._gone(number, self._told(handle, error), crashed=True)
        except RayError as error:
            return self._gone(number, _in_short(error), crashed=self._is_a_crash(handle, error))
        if isinstance(said, BatchBegun):
            return Begun(number, said)
        handle.shards.popleft()
        return Done(number, said.part)

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
