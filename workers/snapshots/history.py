"""What OUTPUT tells of one meaning: its runs, its newest snapshot, and what came beside that."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from schemas.outcome import RunFolderError, UsageError
from schemas.rows import SCHEMA_VERSION
from schemas.snapshot import Snapshot
from schemas.uri import join
from workers.inspection import RunFiles, find_runs, read_run
from workers.plan import Run
from workers.plan.erasures import Erasures, read_erasures
from workers.plan.snapshot_document import newest_snapshot
from workers.store import PATIENCE, Patience
from workers.threads import in_order

Source = tuple[str, str]
"""INPUT, and how it was read."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A claimed run, as it lies in OUTPUT now."""

    files: RunFiles
    run: Run

    @property
    def run_id(self) -> str:
        return self.files.run_id

    @property
    def meaning_id(self) -> str:
        return self.run.spec.job.meaning_id()

    @property
    def source(self) -> Source:
        job = self.run.spec.job
        return job.input, job.input_format


@dataclass(frozen=True, slots=True)
class History:
    """All runs of one meaning, the oldest first, and its newest snapshot."""

    output: str
    meaning_id: str
    runs: tuple[PastRun, ...]
    snapshot: Snapshot | None
    pruned: frozenset[str]
    """The run_id of every pruned run of OUTPUT, of whatever meaning."""
    erasures: Erasures
    """All of OUTPUT, each ended before anything else was read."""

    @property
    def fresh(self) -> list[PastRun]:
        """The runs that the snapshot does not absorb."""
        absorbed = self.snapshot.absorbed_runs if self.snapshot else frozenset()
        return [one for one in self.runs if one.run_id not in absorbed]

    @property
    def sources(self) -> list[Source]:
        """The INPUTs of all runs, each once."""
        return sorted({one.source for one in self.runs})


def read_history(
    output: str, asked: str | None = None, patience: Patience = PATIENCE
) -> tuple[History, list[str]]:
    """The history of the meaning whose id begins with `asked`, else of that of the newest finished
    run; and the ids of all other meanings of the canonical `output`.

    Raises UsageError where there is no run, no such meaning or more than one, or one of its runs is
    of a schema version that this program does not know; RunFolderError where a pruned run is in no
    snapshot; BusyError where rows are being erased; StoreError.
    """
    erasures = read_erasures(output, patience)
    erasures.require_ended()
    # Tombstones are listed before the snapshot is looked for: it has the rows of all of them.
    found = find_runs(output, patience)
    read = partial(read_run, output, patience=patience)
    runs = [PastRun(*pair) for pair in zip(found, in_order(read, found), strict=True)]
    meaning_id = _meaning(output, runs, asked)
    ours = tuple(one for one in runs if one.meaning_id == meaning_id)
    pruned = frozenset(files.run_id for files in found if files.pruned)
    snapshot = newest_snapshot(output, meaning_id, patience)
    history = History(output, meaning_id, ours, snapshot, pruned, erasures)
    for one in history.fresh:
        _require_readable(output, one)
    return history, sorted({one.meaning_id for one in runs} - {meaning_id})


def _meaning(output: str, runs: Sequence[PastRun], asked: str | None) -> str:
    if asked is None:
        finished = [one for one in runs if one.files.finished]
        if not finished:
            raise UsageError(f"{output} holds no finished run: finish one, or name a --meaning")
        return finished[-1].meaning_id
    there = sorted({one.meaning_id for one in runs})
    fitting = [meaning_id for meaning_id in there if meaning_id.startswith(asked)]
    if len(fitting) != 1:
        what = "several runs' meanings begin" if fitting else "no run's meaning begins"
        raise UsageError(f"{what} with {asked!a}: {output} has {', '.join(fitting or there)}")
    return fitting[0]


def _require_readable(output: str, one: PastRun) -> None:
    version = one.run.spec.job.schema_version
    if version not in range(1, SCHEMA_VERSION + 1):
        raise UsageError(
            f"run {one.run_id} is of schema version {version} and this program knows "
            f"{SCHEMA_VERSION}: use the program that wrote it"
        )
    if one.files.pruned:
        raise RunFolderError(
            f"{join(output, one.run.names.pruned)}: the run is pruned, and no snapshot has its rows"
        )
