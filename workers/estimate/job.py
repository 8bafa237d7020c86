"""One job's estimate, from its request to the file that is kept of it."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from schemas.estimate import Estimate, estimate_name
from schemas.job import JobSpec
from schemas.outcome import BucketsightError
from schemas.run import Plan
from schemas.uri import is_local, join
from workers.batches import UNDER_WAY
from workers.cluster import (
    Load,
    RayFleet,
    Say,
    connection,
    device_for,
    replicas_for,
    room_for,
)
from workers.driver import load_replica, require_places, stuck
from workers.estimate.pace import pace_of
from workers.estimate.rehearsal import Rehearsal, rehearse
from workers.estimate.stock import Stock, stock_of_input, stock_of_plan
from workers.messages import Assignment
from workers.model.description import portable
from workers.plan import Run, batch_for, begun_run_of, read_plan
from workers.request import Options, Request
from workers.store import PATIENCE, Patience, ask, replace
from workers.store.disk import SCRATCH

MOST_REPLICAS = 4
"""So many rehearse at once, which shows what they cost each other."""
KEEPING = Patience(20)
"""An estimate that cannot be kept is told all the same."""
NOBODY = "00000000"
"""The run of rows that are thrown away."""


@dataclass(frozen=True, slots=True)
class Estimated:
    """What is known of a job beforehand."""

    job: JobSpec
    run: Run | None
    """The run that it goes on with, or that is finished; None: it begins one."""
    device: str = ""
    stock: Stock | None = None
    """None: the run is finished."""
    rehearsal: Rehearsal | None = None
    """None, too: nothing is owed."""
    estimate: Estimate | None = None
    """None, too: not one image of the sample could be labelled."""
    place: str = ""
    """Where the estimate is kept."""
    not_kept: str = ""
    """Why it is not."""


def estimate_job(
    request: Request, options: Options, say: Say, load: Load = load_replica
) -> Estimated:
    """What the job that `workers.driver.run` would do now will take.

    Args:
        say: is given lines for people.
        load: makes an actor's replica, in the actor's process.

    Raises:
        BucketsightError: what the job itself would stop with before its first image; ReplicaError
            where a replica does not start or is lost.
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
            device = device_for(options.device, shared(), say)
            return device, request.resolve(device)

        run, ordinal = begun_run_of(jobs, lambda: chosen()[1], options.new_run)
        if run and run.finished:
            return Estimated(run.spec.job, run)
        if run and request.incremental and stuck(run, options.most_images, chosen()[0]):
            run, ordinal = begun_run_of(jobs, lambda: chosen()[1], new_run=True)
        plan = read_plan(run) if run else None
        device = device_for(plan.device, shared(), say) if plan else chosen()[0]
        job = run.spec.job if run else chosen()[1]
        ordinal = run.names.ordinal if run else ordinal
        forecast = _Forecast(job, run, ordinal, plan, device, options, shared(), say)
        stock = forecast.stock()
        known = Estimated(job, run, device, stock)
        if not stock.images:
            return known
        preparing = time.monotonic() - began
        rehearsal = forecast.rehearse(stock, portable(request.model), load)
        if rehearsal.failed == rehearsal.images:
            return Estimated(job, run, device, stock, rehearsal)
        estimate = forecast.estimate(stock, rehearsal, preparing)
    place = join(job.output, estimate_name(estimate.fingerprint))
    return Estimated(
        job, run, device, stock, rehearsal, estimate, place, _keep(place, estimate.to_json())
    )


@dataclass(frozen=True, slots=True)
class _Forecast:
    """A job, and what it would be run on."""

    job: JobSpec
    run: Run | None
    ordinal: int
    """Of the run that it goes on with, else of the one that it would begin."""
    plan: Plan | None
    device: str
    options: Options
    shared: bool
    say: Say

    @property
    def batch_size(self) -> int:
        if self.plan:
            return self.plan.batch_size
        job = self.job
        usual = batch_for(job.preprocessing.image_size, self.device, job.quantization)
        return self.options.batch_size or usual

    @property
    def gpus(self) -> float:
        return self.options.gpus_per_replica if self.device == "cuda" else 0

    def wanted(self, say: Say = lambda _: None) -> int:
        """The replicas that the job would ask for. Raises UsageError where there can be none."""
        options = self.options
        cpus = options.cpus_per_replica
        return replicas_for(options.replicas, cpus, self.gpus, self.shared, say)()

    def stock(self) -> Stock:
        replicas = min(self.wanted(self.say), MOST_REPLICAS)
        self.say(f"listing {self.job.input}" if self.plan is None else "reading the run's plan")
        if self.run and self.plan:
            return stock_of_plan(self.run, self.plan, replicas, self.options.most_images)
        return stock_of_input(
            self.job, self.ordinal, self.options, self.device, self.batch_size, replicas
        )

    def rehearse(self, stock: Stock, model: str, load: Load) -> Rehearsal:
        room = room_for(self.options.cpus_per_replica, self.gpus, self.shared)
        shards = sum(count for _, count in stock.shards)
        replicas = min(MOST_REPLICAS, self.wanted(), max(1, room), shards)
        self.say(
            f"{stock.images:,} images are owed; {replicas} replica{'s' * (replicas > 1)} "
            f"on {self.device} look at some"
        )
        assignment = self._assignment(stock, model)
        # as the driver's: two waits for the store, and the batches under way
        batch_seconds = self.options.item_seconds * (1 + UNDER_WAY * self.batch_size)
        with RayFleet(
            assignment, self.options.cpus_per_replica, self.gpus, load, self.say
        ) as fleet:
            return rehearse(
                fleet,
                replicas,
                stock.stretches,
                self.batch_size,
                max(size for size, _ in stock.shards),
                2 * PATIENCE.seconds + batch_seconds,
                self.say,
            )

    def _assignment(self, stock: Stock, model: str) -> Assignment:
        return Assignment(
            job=self.job,
            run_id=NOBODY,
            plan_digest="",
            columns=stock.columns,
            model=model,
            device=self.device,
            batch_size=self.batch_size,
            threads=self.options.cpus_per_replica,
            item_seconds=self.options.item_seconds,
            news_seconds=1.0,
            witnesses=stock.witnesses,
            claimant="",
        )

    def estimate(self, stock: Stock, rehearsal: Rehearsal, preparing: float) -> Estimate:
        pace = pace_of(rehearsal.timed)
        shards = sum(count for _, count in stock.shards)
        by_image = sum(one.bytes_per_image * one.images for one in rehearsal.timed)
        images = sum(one.images for one in rehearsal.timed)
        parts = sum(one.part_bytes for one in rehearsal.timed) - by_image
        output_bytes = by_image / images * stock.images + parts / len(rehearsal.timed) * shards
        return Estimate(
            fingerprint=self.job.fingerprint(),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            run_id=self.run.spec.run_id if self.run else "",
            images=stock.images,
            images_done=stock.images_done,
            input_bytes=stock.bytes,
            output_bytes=round(output_bytes),
            device=self.device,
            batch_size=self.batch_size,
            replicas=self.wanted(),
            sampled=rehearsal.images,
            failed_by_code=dict(rehearsal.failed_by_code),
            rehearsed_by=rehearsal.replicas,
            seconds_per_image=pace.per_image,
            seconds_per_shard=pace.per_shard,
            spread=pace.spread,
            preparing_seconds=preparing,
            loading_seconds=rehearsal.loading_seconds,
            shards=stock.shards,
            ordinal=self.ordinal,
        )


def _keep(place: str, data: bytes) -> str:
    """Write the estimate; "", or why that cannot be: nothing else depends on it."""
    try:
        ask(place, lambda seconds: replace(place, data, seconds), KEEPING, "written")
    except BucketsightError as error:
        return str(error)
    if is_local(place):
        with suppress(OSError):  # another's scratch file lies there
            os.rmdir(join(os.path.dirname(place), SCRATCH))
    return ""
