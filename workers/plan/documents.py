"""The documents of a run, read back from OUTPUT."""

import re
from dataclasses import dataclass, field

from schemas.outcome import RunFolderError
from schemas.run import RUNS, Plan, Result, RunNames, RunSpec
from schemas.uri import join
from workers.store import PATIENCE, Patience, ask, fetch, folders


@dataclass(frozen=True, slots=True)
class Run:
    """A claimed ordinal of an OUTPUT."""

    spec: RunSpec
    finished: bool
    claimed: bool = field(default=False, compare=False)
    """This process claimed it just now."""

    @property
    def output(self) -> str:
        return self.spec.job.output

    @property
    def names(self) -> RunNames:
        return RunNames(int(self.spec.run_id))


def ordinals(output: str, patience: Patience = PATIENCE) -> list[int]:
    """Of the runs that OUTPUT has a folder of, rising. Raises UsageError, StoreError."""
    names = ask(output, lambda _: folders(join(output, RUNS)), patience)
    return sorted(int(name) for name in names if re.fullmatch(r"\d{8}", name))


def read_spec(output: str, ordinal: int, patience: Patience = PATIENCE) -> RunSpec | None:
    """`spec.json` of the run, or None: nobody claimed it. Raises UsageError, StoreError."""
    name = RunNames(ordinal).spec
    data = find_document(output, name, patience)
    return None if data is None else RunSpec.from_json(data, join(output, name))


def read_plan(run: Run, patience: Patience = PATIENCE) -> Plan | None:
    """`plan.json`, or None: not planned yet. Raises UsageError, StoreError."""
    data = find_document(run.output, run.names.plan, patience)
    return None if data is None else Plan.from_json(data, join(run.output, run.names.plan))


def read_result(run: Run, patience: Patience = PATIENCE) -> Result:
    """`result.json` of a finished run. Raises RunFolderError where there is none, UsageError,
    StoreError.
    """
    place = join(run.output, run.names.result)
    data = find_document(run.output, run.names.result, patience)
    if data is None:
        raise RunFolderError(f"{place} is missing")
    return Result.from_json(data, place)


def find_document(output: str, name: str, patience: Patience = PATIENCE) -> bytes | None:
    """The bytes of the file `name` of `output`, or None: there is none."""
    place = join(output, name)
    try:
        return ask(place, lambda seconds: fetch(place, seconds=seconds), patience)
    except FileNotFoundError:
        return None
