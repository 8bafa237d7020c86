"""Which runs an OUTPUT holds, and their documents. One listing tells it of all runs."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from schemas.job import JobSpec
from schemas.outcome import RunFolderError, UsageError
from schemas.run import RUNS, ClaimNames, RunNames
from schemas.uri import join
from workers.plan.documents import Run, find_document, read_spec
from workers.store import PATIENCE, Patience, client_errors_as_ours, list_pages

_KINDS = ("plan", "result", "heartbeat", "pruned")
"""Of documents that a claimed run may have, as RunFiles has them."""
_DOCUMENT = re.compile(r"/(\d{8})/((?:spec|plan|result|heartbeat|pruned)\.json)")


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Which documents a claimed run has."""

    ordinal: int
    planned: bool
    finished: bool
    has_heartbeat: bool
    pruned: bool = False
    """Its parts are gone, or going: a snapshot has its rows."""

    @property
    def names(self) -> RunNames:
        return RunNames(self.ordinal)

    @property
    def run_id(self) -> str:
        return self.names.run_id


def find_runs(output: str, patience: Patience = PATIENCE) -> list[RunFiles]:
    """The claimed runs of the canonical `output`, oldest first.

    Raises UsageError where there is none, or OUTPUT may not be listed, StoreError.
    """
    place = join(output, RUNS)
    documents: dict[int, set[str]] = defaultdict(set)
    try:
        with client_errors_as_ours(place, "listed"):
            for page in list_pages(f"{place}/", patience):
                for entry in page:
                    if found := _DOCUMENT.fullmatch(entry.uri.removeprefix(place)):
                        documents[int(found[1])].add(found[2])
    except FileNotFoundError:
        documents = {}
    runs = [
        RunFiles(ordinal, *(f"{name}.json" in there for name in _KINDS))
        for ordinal, there in sorted(documents.items())
        if "spec.json" in there
    ]
    if not runs:
        raise UsageError(f"{output} holds no run: name the OUTPUT of a labelling job")
    return runs


def find_run(output: str, runs: Sequence[RunFiles], ordinal: int) -> RunFiles:
    """The one of `runs` with this ordinal. Raises UsageError: there is none."""
    for files in runs:
        if files.ordinal == ordinal:
            return files
    raise UsageError(f"{output} holds no run {ordinal}; its newest is {runs[-1].ordinal}")


def read_run(output: str, files: RunFiles, patience: Patience = PATIENCE) -> Run:
    """The run as it lies at `output` now, wherever it was when it was made.

    Raises UsageError where its spec.json is of another format, StoreError.
    """
    spec = read_spec(output, files.ordinal, patience)
    if spec is None:
        raise RunFolderError(f"{join(output, files.names.spec)} was there and is gone")
    return Run(replace(spec, job=replace(spec.job, output=output)), files.finished)


def successor(
    output: str, runs: Sequence[RunFiles], files: RunFiles, patience: Patience = PATIENCE
) -> RunFiles | None:
    """The newest later run of the same job, or of a night any later one over the same INPUT: as
    there is one, no command goes on with `files`.
    """
    fingerprint = fingerprint_of(output, files, patience)
    job = read_run(output, files, patience).spec.job
    for later in reversed(runs):
        if later.ordinal <= files.ordinal:
            break
        if fingerprint_of(output, later, patience) == fingerprint:
            return later
        if job.incremental and _is_night_over(output, later, job, patience):
            return later
    return None


def _is_night_over(output: str, files: RunFiles, job: JobSpec, patience: Patience) -> bool:
    """Whether the run was to label what is owed of the INPUT of `job`, whatever it asked."""
    other = read_run(output, files, patience).spec.job
    same_input = (other.input, other.input_format) == (job.input, job.input_format)
    return other.incremental and same_input


def fingerprint_of(output: str, files: RunFiles, patience: Patience = PATIENCE) -> str:
    """The job's, as the run's spec.json tells it. Raises UsageError, StoreError."""
    data = find_document(output, files.names.spec, patience)
    place = join(output, files.names.spec)
    if data is None:
        raise RunFolderError(f"{place} was there and is gone")
    return ClaimNames.from_json(data, place).fingerprint
