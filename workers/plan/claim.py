"""Which run a driver works on: the one that its job left unfinished, or the next ordinal."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from schemas.job import JobSpec
from schemas.outcome import UsageError
from schemas.run import RUNS, RunNames, RunSpec
from schemas.uri import join
from schemas.version import code_version
from workers.plan.asking import ask
from workers.sink import commit, probe
from workers.source import check_input
from workers.store import PATIENCE, Patience, entry_at, fetch, folders


@dataclass(frozen=True, slots=True)
class Run:
    """A claimed ordinal of an OUTPUT."""

    spec: RunSpec
    joined: bool
    """Claimed earlier, by a driver that died or still works."""
    finished: bool

    @property
    def output(self) -> str:
        return self.spec.job.output

    @property
    def names(self) -> RunNames:
        return RunNames(int(self.spec.run_id))


def open_run(job: JobSpec, new_run: bool = False, patience: Patience = PATIENCE) -> Run:
    """The newest run of just this job, finished or not; else, or with `new_run`, a fresh claim.

    A fresh claim looks into INPUT first, so that nothing is written for one that holds no image,
    and probes an OUTPUT without runs. Raises UsageError for these, for an OUTPUT that may not be
    written, and for an unfinished run of this job under other SEMANTICS or another schema.
    """
    ordinals = _ordinals(job.output, patience)
    if not new_run:
        for ordinal in reversed(ordinals):
            run = _run_of(job, ordinal, patience)
            if run is not None:
                return run
    check_input(job.input, job.output)
    if not ordinals:
        probe(job.output)
    # a folder without spec.json may be a claim under way: the newest ordinal is tried again
    return _claim(job, max(ordinals, default=1), new_run, patience)


def read_spec(output: str, ordinal: int, patience: Patience = PATIENCE) -> RunSpec | None:
    """`spec.json` of the run, or None: nobody claimed it. Raises UsageError, StoreError."""
    place = join(output, RunNames(ordinal).spec)
    try:
        data = ask(place, lambda seconds: fetch(place, seconds=seconds), patience)
    except FileNotFoundError:
        return None
    return RunSpec.from_json(data)


def _ordinals(output: str, patience: Patience) -> list[int]:
    names = ask(output, lambda _: folders(join(output, RUNS)), patience)
    return sorted(int(name) for name in names if re.fullmatch(r"\d{8}", name))


def _run_of(job: JobSpec, ordinal: int, patience: Patience) -> Run | None:
    """The run, if it is of this job."""
    spec = read_spec(job.output, ordinal, patience)
    if spec is None:
        return None
    same_code = replace(spec.job, semantics=job.semantics, schema_version=job.schema_version)
    if same_code.fingerprint() != job.fingerprint():
        return None
    place = join(job.output, RunNames(ordinal).result)
    finished = ask(place, lambda _: entry_at(place), patience) is not None
    if spec.job.fingerprint() == job.fingerprint():
        return Run(spec, joined=True, finished=finished)
    if finished:
        return None
    raise UsageError(
        f"run {spec.run_id} of this job is unfinished and was started under semantics "
        f"{spec.job.semantics}, this program has {job.semantics}: finish it with the program that "
        "started it, or leave it and start afresh with --new-run"
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
            return Run(spec, joined=False, finished=False)
        if not new_run:
            run = _run_of(job, ordinal, patience)
            if run is not None:
                return run
    raise AssertionError("ordinals do not end")
