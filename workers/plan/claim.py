"""Which run a driver works on: the one that its job left unfinished, or the next ordinal."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import count
from uuid import uuid4

from schemas.job import JobSpec
from schemas.outcome import UsageError
from schemas.run import ClaimNames, RunNames, RunSpec
from schemas.uri import join
from schemas.version import code_version
from workers.plan.documents import Run, find_document, ordinals, read_plan
from workers.plan.erasures import read_erasures
from workers.plan.known import known_runs
from workers.plan.replay import replayed_run
from workers.sink import commit, probe
from workers.source import check_input
from workers.store import PATIENCE, Patience, ask, entry_at
from workers.threads import in_order


def open_run(job: JobSpec, new_run: bool = False, patience: Patience = PATIENCE) -> Run:
    """The newest run of just this job, finished or not; else, or with `new_run`, a fresh claim.

    Of an incremental job the newest run, unless it is finished: the next one looks anew.

    A fresh claim looks into INPUT first, so that nothing is written for one that holds no image, at
    the run that is to be replayed, at those that a night is to know, and at the erasures, and
    probes an OUTPUT without runs. Raises BusyError for an erasure that has not ended; UsageError
    for these, for an OUTPUT that may not be written, and for an unfinished run of this job under
    other SEMANTICS or another schema, unless it is incremental. Runs of other jobs, and finished
    ones of other versions of this job, are history and not looked into.
    """
    return open_run_of({"": job}, lambda: job, new_run, patience)


def open_run_of(
    jobs: Mapping[str, JobSpec],
    chosen: Callable[[], JobSpec],
    new_run: bool = False,
    patience: Patience = PATIENCE,
) -> Run:
    """As `open_run`, for a command that means another job on another device.

    A planned run is gone on with where it is what the command means on the device that it was
    planned for, whatever devices there are now.

    Args:
        jobs: by device; not empty, and of one OUTPUT.
        chosen: the job on the device that there is now, which may take long to find out. It is
            asked for a run without a plan, and for a claim once INPUT and OUTPUT are looked at.
    """
    job = next(iter(jobs.values()))
    claimed = ordinals(job.output, patience)
    run = None if new_run else _newest(jobs, chosen, claimed, patience)
    if run is not None:
        return run
    if job.replay_of:
        replayed_run(job, patience)
    if job.incremental:
        known_runs(job, patience)
    check_input(job, patience)
    if not claimed:
        probe(job.output)
    read_erasures(job.output, patience).require_ended()
    # a folder without spec.json may be a claim under way: the newest ordinal is tried again
    return _claim(chosen(), max(claimed, default=1), new_run, patience)


def begun_run_of(
    jobs: Mapping[str, JobSpec],
    chosen: Callable[[], JobSpec],
    new_run: bool = False,
    patience: Patience = PATIENCE,
) -> tuple[Run | None, int]:
    """The run with which `open_run_of` would come back, or None: it would claim one; and the
    ordinal of that. Nothing is written, INPUT is not looked at. Raises UsageError as there.
    """
    claimed = ordinals(next(iter(jobs.values())).output, patience)
    run = None if new_run else _newest(jobs, chosen, claimed, patience)
    return run, max(claimed, default=0) + 1


def _newest(
    jobs: Mapping[str, JobSpec],
    chosen: Callable[[], JobSpec],
    claimed: Sequence[int],
    patience: Patience,
) -> Run | None:
    """The newest run of the job; of an incremental one only if it is unfinished, and INPUT was
    listed for it, or would be before that of any later run.
    """
    output = next(iter(jobs.values())).output
    newest_first = [*reversed(claimed)]
    specs = in_order(partial(_spec_at, output, patience), newest_first)  # there may be thousands
    for ordinal, spec in zip(newest_first, specs, strict=True):
        run = _begun(jobs, chosen, ordinal, spec, patience)
        if run is None:
            continue
        if not run.spec.job.incremental:
            return run
        late = ordinal < claimed[-1] and read_plan(run, patience) is None
        return None if run.finished or late else run
    return None


def _spec_at(output: str, patience: Patience, ordinal: int) -> bytes | None:
    return find_document(output, RunNames(ordinal).spec, patience)


def _begun(
    jobs: Mapping[str, JobSpec],
    chosen: Callable[[], JobSpec],
    ordinal: int,
    spec: bytes | None,
    patience: Patience,
) -> Run | None:
    """The run, if it is of the job that its device makes of the command; `spec` is its document."""
    for job in dict.fromkeys(jobs.values()):
        run = _run_of(job, ordinal, spec, patience)
        if run is None:
            continue
        if all(job == other for other in jobs.values()):
            return run
        plan = read_plan(run, patience)
        meant = jobs.get(plan.device) if plan else chosen()
        return run if meant == job else None
    return None


def _run_of(job: JobSpec, ordinal: int, data: bytes | None, patience: Patience) -> Run | None:
    """The run whose spec.json is `data`, if it is of this job."""
    names = RunNames(ordinal)
    place = join(job.output, names.spec)
    if data is None:
        return None
    claim = ClaimNames.from_json(data, place)
    if claim.lineage != job.lineage():
        return None
    result = join(job.output, names.result)
    finished = ask(result, lambda _: entry_at(result), patience) is not None
    if claim.fingerprint == job.fingerprint():
        return Run(RunSpec.from_json(data, place), finished=finished)
    if finished or job.incremental:  # what a night did not reach is owed to the next one
        return None
    raise UsageError(
        f"run {names.run_id} of this job is unfinished and was started by a program of other "
        "semantics or another schema: finish it with the program that started it, or leave it and "
        "start afresh with --new-run"
    )


def _claim(job: JobSpec, first: int, new_run: bool, patience: Patience) -> Run:
    """The first free ordinal from `first` on, or a twin's claim that came in between."""
    for ordinal in count(first):
        names = RunNames(ordinal)
        spec = RunSpec(
            run_id=names.run_id,
            job=job,
            claimant=uuid4().hex,
            code_version=code_version(),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        winner = commit(job.output, names.spec, spec.to_json(), patience)
        if winner == spec.to_json():
            return Run(spec, finished=False, claimed=True)
        if not new_run:
            run = _run_of(job, ordinal, winner, patience)
            if run is not None and not (run.finished and job.incremental):
                return run
    raise AssertionError("ordinals do not end")
