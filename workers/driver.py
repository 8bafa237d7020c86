"""Plan → dispatch → retry → finish.

A run is a folder of OUTPUT: `open_run_of` finds or claims it, `freeze` plans it, replicas commit
its parts, `finish` says that it is whole. Whatever dies, the same command goes on from what is
there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache, partial

from schemas.estimate import Outcome
from schemas.image import ImageRef
from schemas.job import JobSpec
from schemas.outcome import DamagedPlanError, LimitReachedError, StoppedError, UsageError
from schemas.run import PartRecord, Plan, Result
from schemas.uri import LOCAL_SCHEMES, is_local
from workers import signals
from workers.batches import UNDER_WAY
from workers.cluster import (
    SUBMITTED,
    Labeller,
    Load,
    Metrics,
    RayFleet,
    Say,
    connection,
    device_for,
    replicas_for,
)
from workers.dispatch import NEWS_A_SECOND, Dispatch, Terms
from workers.heartbeat import Heart, Vitals, beating, require_silence
from workers.ledger import Ledger
from workers.messages import Assignment
from workers.model.description import portable
from workers.plan import (
    Run,
    batch_for,
    finish,
    freeze,
    known_runs,
    later_shards,
    load_shards,
    open_run_of,
    read_plan,
    read_result,
    require_pages,
    sample,
)
from workers.plan.documents import find_document
from workers.plan.erasures import read_erasures
from workers.progress import Progress, Show, Standing, counted, unseen
from workers.request import Options, Request
from workers.sink import committed, read_part
from workers.store import PATIENCE
from workers.threads import ahead_of
from workers.timesheet import Timesheet

IMAGES_AHEAD = 100_000
"""So many images of the plan are read ahead of the replicas, however they are cut."""


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
    planned_before: bool = False
    """It was begun by an earlier command, and INPUT listed then."""


def run(
    request: Request,
    options: Options,
    say: Say,
    load: Load = load_replica,
    show: Show = unseen,
) -> Finished:
    """Label what `request` names, or go on where an earlier driver stopped.

    Args:
        say: is given lines for people.
        load: makes an actor's replica, in the actor's process.
        show: is given twice a second how far the run is, and once more at its end.

    Raises:
        BucketsightError: its `exit_code` is the process's.
    """
    began = time.monotonic()
    require_places(request)
    jobs = request.jobs(options.device)
    with ExitStack() as held:

        @cache
        def shared() -> bool:  # Ray is started when its answer is needed, and not twice
            return held.enter_context(connection())

        @cache
        def chosen() -> tuple[str, JobSpec]:
            asked = options.device
            # A claim for a GPU that is not to be had would stay behind: nobody goes on with it.
            device = asked if asked == "cpu" else device_for(asked, shared(), say)
            return device, request.resolve(device)

        def asked() -> JobSpec:  # a night asks the same of every device, and may need none
            return next(iter(jobs.values())) if request.incremental else chosen()[1]

        if request.incremental:
            _require_no_other(next(iter(jobs.values())))
        this = open_run_of(jobs, asked, options.new_run)
        if this.finished:
            return Finished(this, read_result(this), before=True)
        if request.incremental and not this.claimed:
            require_silence(this.output, this.spec.run_id)
            why = stuck(this, options.most_images, chosen()[0])
            if why:
                say(f"run {this.spec.run_id} {why}: what it owes is planned anew")
                this = open_run_of(jobs, asked, new_run=True)
        again = "the same command" + (" without --new-run" if options.new_run else "")
        try:
            heart = held.enter_context(beating(this.output, this.spec.run_id, say))
            model, device = portable(request.model), lambda: chosen()[0]
            planned_before = read_plan(this) is not None
            read_erasures(this.output).require_ended()
            driver = _Driver(this, model, options, device, shared, again, say, load, show, began)
            plan = driver.plan()
            parts, outcome = driver.dispatch(plan, heart)
            result = finish(this, plan, parts, outcome=outcome)
        except KeyboardInterrupt:
            raise StoppedError(f"stopped; {again} goes on") from None
    return Finished(this, result, before=False, planned_before=planned_before)


@dataclass(frozen=True, slots=True)
class _Driver:
    """One run in the hands of this process, which is connected to Ray."""

    run: Run
    model: str
    """As `workers.messages.Assignment` has it."""
    options: Options
    device: Callable[[], str]
    """Where it is run, unless it is planned."""
    shared: Callable[[], bool]
    """Connects to Ray, and tells whether others may use the cluster too."""
    again: str
    """What people are to do when the run is stopped."""
    say: Say
    load: Load
    show: Show
    began: float
    """When the command did, by the monotonic clock."""

    def plan(self) -> Plan:
        """The frozen plan. What there is fits a replica before it is made, or gone on with."""
        options, planned = self.options, read_plan(self.run)
        where = cache(partial(self._where, planned))
        plan = planned or freeze(self.run, options.shard_images, where, options.most_images)
        if not plan.shards:
            return plan
        device, batch_size = where()
        if plan.device != device:
            raise UsageError(
                f"another command has just planned this run for {plan.device}; try again"
            )
        if plan.batch_size != batch_size or options.device not in ("auto", device):
            self.say(
                f"this run was planned for {device} and batches of {plan.batch_size}, and goes on "
                "so"
            )
        return plan

    def _where(self, planned: Plan | None) -> tuple[str, int]:
        """The device that the run is for, and the size of its batches, as they are asked for now.

        Raises UsageError where a replica has no room.
        """
        options, job = self.options, self.run.spec.job
        asked = planned.device if planned else self.device()
        device = device_for(asked, self.shared(), self.say)
        self._wanted(device, self.say)
        usual = batch_for(job.preprocessing.image_size, device, job.quantization)
        return device, options.batch_size or usual

    def _wanted(self, device: str, say: Say = lambda _: None) -> Callable[[], int]:
        """How many replicas there should be, to be asked again."""
        options, gpus = self.options, self._gpus(device)
        return replicas_for(options.replicas, options.cpus_per_replica, gpus, self.shared(), say)

    def dispatch(self, plan: Plan, heart: Heart) -> tuple[dict[int, PartRecord], Outcome]:
        """Have all that is owed labelled; the parts that came of it, by shard, and in what time."""
        options, run, say = self.options, self.run, self.say
        if not plan.shards:
            return {}, Timesheet(time.monotonic).outcome(self.began, 0)
        wanted = self._wanted(plan.device)
        assignment = self._assignment(plan, wanted())
        done = committed(run.output, plan.run_id)
        if done:  # before anything is added: is this the plan that they were made by?
            read_part(run.output, plan.run_id, plan.digest, min(done))
        images_done = sum(plan.images_of(shard) for shard in done)
        say(
            f"run {plan.run_id}: {counted(plan.items, 'image')} in "
            f"{counted(plan.shards, 'shard')}, {counted(images_done, 'image')} done; "
            f"{counted(wanted(), 'replica')} on {plan.device}, "
            f"--quant {run.spec.job.quantization}"
        )
        later = later_shards(plan, done, options.most_images)
        window = max(16, IMAGES_AHEAD // plan.shard_images)
        progress = Progress(
            plan.run_id, plan.items, plan.shards, images_done, len(done), time.monotonic
        )
        metrics = Metrics(run.output)

        def show(standing: Standing) -> None:
            metrics.show(standing)
            self.show(standing)

        with (
            RayFleet(
                assignment, options.cpus_per_replica, self._gpus(plan.device), self.load, say
            ) as fleet,
            signals.counted() as stop_signals,
        ):
            dispatch = Dispatch(
                fleet,
                Ledger(ahead_of(load_shards(run, plan, skip=done | later), window)),
                shards=plan.shards - len(done | later),
                wanted=wanted,
                terms=self._terms(assignment),
                progress=progress,
                say=say,
                show=show,
                clock=time.monotonic,
                stop_signals=lambda: stop_signals() or self._late(),
            )
            heart.vitals = lambda: Vitals(
                dispatch.running, progress.images_seen, progress.images_per_second
            )
            try:
                parts = dispatch.run()
            except StoppedError:
                if stop_signals() or not self._late():
                    raise
                seen = progress.standing(0, 0)
                raise self._limit_reached(plan, seen, "its time is over") from None
        if later:
            seen = progress.standing(0, 0)
            raise self._limit_reached(plan, seen, self._too_few(seen))
        return parts, dispatch.timesheet.outcome(self.began, images_done)

    def _late(self) -> bool:
        """Whether a night's time is over."""
        return self.options.until is not None and time.monotonic() >= self.options.until

    def _too_few(self, seen: Standing) -> str:
        """Why nothing more is begun where the number of images is limited."""
        left = (self.options.most_images or 0) - seen.labelled - seen.failed
        if left <= 0:
            return "that is the limit"
        are = "is" if left == 1 else "are"
        return f"the next part would be more than the {left:,} that {are} left"

    def _limit_reached(self, plan: Plan, seen: Standing, why: str) -> LimitReachedError:
        images = seen.labelled + seen.failed
        return LimitReachedError(
            f"run {plan.run_id} looked at {counted(images, 'image')} and stops, for {why}; "
            f"{seen.owed:,} owed to the next night, which begins with them",
        )

    def _gpus(self, device: str) -> float:
        return self.options.gpus_per_replica if device == "cuda" else 0

    def _assignment(self, plan: Plan, replicas: int) -> Assignment:
        return Assignment(
            job=self.run.spec.job,
            run_id=plan.run_id,
            plan_digest=plan.digest,
            columns=plan.columns,
            model=self.model,
            device=plan.device,
            batch_size=plan.batch_size,
            threads=self.options.cpus_per_replica,
            item_seconds=self.options.item_seconds,
            news_seconds=max(1.0, replicas / NEWS_A_SECOND),
            witnesses=self._witnesses(plan),
            claimant=self.run.spec.claimant,
        )

    def _witnesses(self, plan: Plan) -> tuple[ImageRef, ...]:
        """Images from all over the plan; of a night also what an earlier one had labelled, for a
        plan of nothing but what failed in passing tells nothing of the store.
        """
        job, found = self.run.spec.job, sample(self.run, plan)
        if not job.incremental:
            return found
        known = known_runs(job)
        earlier = {ordinal for ordinal in known.of_input(job) if ordinal < self.run.names.ordinal}
        for spec in reversed(known.runs):
            run = Run(spec, finished=False)
            if run.names.ordinal in earlier:
                with suppress(DamagedPlanError):
                    before = read_plan(run)
                    if before and before.items > plan.items:
                        return found + sample(run, before, images=2)
        return found

    def _terms(self, assignment: Assignment) -> Terms:
        # before the next word is due: batches are looked at beside each other, and a part committed
        batch_seconds = self.options.item_seconds * (1 + UNDER_WAY * assignment.batch_size)
        return Terms(
            silence_seconds=assignment.news_seconds + 2 * PATIENCE.seconds + batch_seconds,
            drain_seconds=self.options.drain_seconds,
            again=self.again,
        )


def _require_no_other(job: JobSpec) -> None:
    """Raises BusyError where a run that is no night labels the INPUT of `job`, to mean the same: a
    night would do what that one is about to.
    """
    known = known_runs(job)
    ordinals = known.of_input(job)
    for spec in reversed(known.runs):
        run = Run(spec, finished=False)
        if run.names.ordinal in ordinals and not spec.job.incremental:
            if find_document(run.output, run.names.result) is None:
                require_silence(run.output, spec.run_id)
            return


def stuck(run: Run, most_images: int | None, device: str) -> str:
    """Why a night does not go on with this unfinished run of an earlier one, in words; "": it does.

    What it committed counts all the same.
    """
    try:
        plan = read_plan(run)
        if plan is None:
            return ""
        if plan.device != device:
            return f"was planned for {plan.device}, and {device} is what there is"
        done = committed(run.output, plan.run_id)
        require_pages(run, plan, skip=done)
    except DamagedPlanError as error:
        return f"cannot be gone on with ({error})"
    owed = (plan.images_of(shard) for shard in range(plan.shards) if shard not in done)
    if most_images is not None and min(owed, default=0) > most_images:
        return f"is cut into parts of more than {most_images:,} images, which are the limit"
    return ""


def require_places(request: Request) -> None:
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
