"""Which snapshot of a meaning is the newest, and which runs have given up their parts to one."""

import re
from functools import partial

from schemas.outcome import RunFolderError
from schemas.run import RunNames
from schemas.snapshot import SNAPSHOTS, Pruned, Snapshot, SnapshotNames
from schemas.uri import join
from workers.plan.documents import find_document
from workers.store import PATIENCE, Patience, ask, folders

_ORDINAL = re.compile(r"\d{8}")


def snapshot_ordinals(output: str, meaning_id: str, patience: Patience = PATIENCE) -> list[int]:
    """The ordinals of which a folder is there, the newest first; not each has a `snapshot.json`.

    Raises UsageError where they may not be listed, StoreError.
    """
    place = join(output, f"{SNAPSHOTS}/{meaning_id}")
    names = ask(place, partial(folders, place), patience)
    return sorted((int(name) for name in names if _ORDINAL.fullmatch(name)), reverse=True)


def newest_snapshot(output: str, meaning_id: str, patience: Patience = PATIENCE) -> Snapshot | None:
    """The snapshot of the meaning that is to be read, or None: there is none.

    Whoever reads parts beside it leaves out those of `absorbed_runs`. Raises UsageError where it
    is of another format or may not be read, RunFolderError where it was altered, StoreError.
    """
    for ordinal in snapshot_ordinals(output, meaning_id, patience):
        snapshot = read_snapshot(output, SnapshotNames(meaning_id, ordinal), patience)
        if snapshot is not None:
            return snapshot
    return None


def read_snapshot(
    output: str, names: SnapshotNames, patience: Patience = PATIENCE
) -> Snapshot | None:
    """The snapshot of these names, or None: there is none, or none yet. Raises as
    `newest_snapshot`.
    """
    data = find_document(output, names.snapshot, patience)
    if data is None:
        return None
    place = join(output, names.snapshot)
    snapshot = Snapshot.from_json(data, place)
    if snapshot.names != names:
        raise RunFolderError(
            f"{place} says that it is {snapshot.names.snapshot}: somebody copied or renamed it; "
            "take it away"
        )
    return snapshot


def read_pruned(output: str, ordinal: int, patience: Patience = PATIENCE) -> Pruned | None:
    """The tombstone of the run, or None: its parts count. Raises UsageError, StoreError."""
    name = RunNames(ordinal).pruned
    data = find_document(output, name, patience)
    return None if data is None else Pruned.from_json(data, join(output, name))
