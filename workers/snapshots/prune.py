"""Give up the parts of runs whose rows a snapshot has, each run behind its tombstone."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas.outcome import RunFolderError, UsageError
from schemas.run import RunNames, shard_of
from schemas.snapshot import SNAPSHOTS, AbsorbedRun, Pruned, Snapshot
from schemas.uri import is_local, join
from workers.sink import commit
from workers.snapshots.history import History
from workers.snapshots.proof import prove_snapshot
from workers.store import (
    PATIENCE,
    Patience,
    ask,
    client_errors_as_ours,
    list_pages,
    remove,
    remove_empty_folders,
)
from workers.threads import in_order

_OF_A_SNAPSHOT = re.compile(r"(\d{8})/(?:snapshot\.json|([0-9a-f]{32}/[^/]+\.parquet))")


@dataclass(frozen=True, slots=True)
class Pruning:
    """What was given up."""

    snapshot: Snapshot
    """That has the rows."""
    runs: tuple[str, ...]
    """The run_id of each run of which something was deleted."""
    parts: int
    older: int
    """Files of snapshots that this one replaces, and of attempts that came to nothing."""


def prune(history: History, patience: Patience = PATIENCE) -> Pruning:
    """Delete the parts of all runs that the newest snapshot absorbs, and the snapshots before it.

    Nothing is deleted before the snapshot is proven whole. What was cut short goes on: a run with a
    tombstone is tidied again, whatever late writers put there. Raises UsageError where there is no
    snapshot, RunFolderError where it is broken or one of its runs is unfinished, StoreError.
    """
    snapshot = history.snapshot
    if snapshot is None:
        raise UsageError(
            f"{history.output} holds no snapshot of meaning {history.meaning_id}: without --prune "
            "this command makes one"
        )
    unfinished = snapshot.absorbed_runs - {one.run_id for one in history.runs if one.run.finished}
    if unfinished:
        raise RunFolderError(
            f"run {min(unfinished)} has no result.json, and the snapshot has its rows: nothing was "
            "deleted; put the file back"
        )
    proof = prove_snapshot(history.output, snapshot, patience)
    if not proof.whole:
        one = proof.broken[0]
        raise RunFolderError(f"{one.name} {one.problem}: nothing was deleted")
    # Whoever reads by an older snapshot is to hear that it is gone before rows beside it are.
    documents, others = _replaced(history.output, snapshot, patience)
    older = sum(_delete(history.output, names, patience) for names in (documents, others))
    parts = {run.run_id: _prune(history.output, snapshot, run, patience) for run in snapshot.runs}
    runs = tuple(run_id for run_id, count in sorted(parts.items()) if count)
    return Pruning(snapshot, runs, sum(parts.values()), older)


def _prune(output: str, snapshot: Snapshot, run: AbsorbedRun, patience: Patience) -> int:
    """How many parts were deleted of the run."""
    names = RunNames(int(run.run_id))
    tombstone = Pruned(run.run_id, snapshot.meaning_id, snapshot.ordinal, run.rows)
    commit(output, names.pruned, tombstone.to_json(), patience)
    files = _files(output, names.labels, patience)
    return _delete(output, [name for name in files if shard_of(name) is not None], patience)


def _replaced(output: str, snapshot: Snapshot, patience: Patience) -> tuple[list[str], list[str]]:
    """The documents, and all other files, of the meaning's snapshots up to this one that are none
    of its own.
    """
    names = snapshot.names
    own = {names.snapshot, snapshot.absorbed.name, *(part.name for part in snapshot.parts)}
    root = f"{SNAPSHOTS}/{snapshot.meaning_id}"
    documents: list[str] = []
    others: list[str] = []
    for name in _files(output, root, patience):
        match = _OF_A_SNAPSHOT.fullmatch(name.removeprefix(f"{root}/"))
        if match and int(match[1]) <= snapshot.ordinal and name not in own:
            (others if match[2] else documents).append(name)
    return documents, others


def _files(output: str, folder: str, patience: Patience) -> Iterator[str]:
    """The names of all files under the folder."""
    place = join(output, folder) + "/"
    try:
        with client_errors_as_ours(place, "listed"):
            for page in list_pages(place, patience):
                for entry in page:
                    yield f"{folder}/{entry.uri.removeprefix(place)}"
    except FileNotFoundError:
        return


def _delete(output: str, names: Iterable[str], patience: Patience) -> int:
    """How many files were deleted."""

    def delete(name: str) -> None:
        place = join(output, name)
        ask(place, lambda seconds: remove(place, seconds), patience, "deleted")

    deleted = list(names)
    for _ in in_order(delete, deleted):
        pass
    if is_local(output):
        remove_empty_folders(output, deleted)
    return len(deleted)
