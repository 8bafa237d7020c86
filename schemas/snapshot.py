"""What a snapshot holds: of many runs of one meaning, the right row an item.

    OUTPUT/
      snapshots/<meaning_id>/00000001/snapshot.json     Snapshot: created exclusively, last
      snapshots/<meaning_id>/00000001/<attempt>/part-00000.parquet    its rows, by item_id
      snapshots/<meaning_id>/00000001/<attempt>/absorbed.parquet      every part that it absorbed
      runs/00000001/pruned.json                        Pruned: the run's parts are gone, or will be

All names are relative to OUTPUT and use slashes. The newest snapshot of a meaning is that of the
highest ordinal which has a `snapshot.json`. A snapshot absorbs finished runs whole; one that comes
later absorbs all that those before it did.
"""

from dataclasses import asdict, dataclass
from typing import Self

import pyarrow as pa

from schemas import document
from schemas.outcome import RunFolderError

SNAPSHOTS = "snapshots"
SNAPSHOT_FORMAT = 1
PRUNED_FORMAT = 1

NEWEST_RUN = "newest_run"
"""Column of a snapshot's rows: the `run_id` of the newest run that told of the item. It says which
version is the current one, which a look that met no version does not, and may be newer than the
row's own run, whose label is kept."""
DELETED = "deleted"
"""Column of a snapshot's rows: INPUT no longer lists the item."""
ADDED_COLUMNS = (
    pa.field(NEWEST_RUN, pa.string(), nullable=False),
    pa.field(DELETED, pa.bool_(), nullable=False),
)
"""What a snapshot's row has beside the columns that it had in its part."""

ABSORBED_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
    ]
)
"""Of `absorbed.parquet`: a row for every part of every absorbed run."""


@dataclass(frozen=True, slots=True)
class SnapshotNames:
    """The names of the snapshot `ordinal` (1 and up) of a meaning."""

    meaning_id: str
    ordinal: int

    @property
    def folder(self) -> str:
        return f"{SNAPSHOTS}/{self.meaning_id}/{self.ordinal:08d}"

    @property
    def snapshot(self) -> str:
        return f"{self.folder}/snapshot.json"

    def part(self, attempt: str, index: int) -> str:
        return f"{self.folder}/{attempt}/part-{index:05d}.parquet"

    def absorbed(self, attempt: str) -> str:
        return f"{self.folder}/{attempt}/absorbed.parquet"


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A Parquet file of a snapshot, by its digest."""

    name: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class AbsorbedRun:
    """A finished run, all of whose rows were looked at for a snapshot."""

    run_id: str
    sha256: str
    """Of its result.json."""
    rows: int
    """In its parts."""
    pruned: bool
    """Its parts were gone, or going, when the snapshot was made: an earlier one has its rows."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`snapshot.json`: one row an item, and what it came of.

    Rows of the snapshot that it replaces + rows of the runs that are new in it = rows kept +
    `superseded`; rows kept = `labelled` + `failed`.
    """

    meaning_id: str
    ordinal: int
    attempt: str
    replaces: int
    """The ordinal of the snapshot that was read for it; 0: none."""
    replaced_rows: int
    added_rows: int
    """Of the runs which that one had not absorbed."""
    superseded: int
    """Rows that were read and not kept."""
    labelled: int
    failed: int
    deleted: int
    """Rows kept of items that INPUT no longer lists."""
    runs: tuple[AbsorbedRun, ...]
    """All that it stands for, by `run_id`."""
    absorbed: SnapshotFile
    """Names the parts of all these runs, those of pruned ones too; its rows are parts."""
    parts: tuple[SnapshotFile, ...]

    @property
    def names(self) -> SnapshotNames:
        return SnapshotNames(self.meaning_id, self.ordinal)

    @property
    def rows(self) -> int:
        """As many as items."""
        return self.labelled + self.failed

    @property
    def absorbed_runs(self) -> frozenset[str]:
        """The run_id of each run whose parts nobody needs to read beside this snapshot."""
        return frozenset(run.run_id for run in self.runs)

    def to_json(self) -> bytes:
        return document.dumps(asdict(self) | {"format_version": SNAPSHOT_FORMAT})

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """The snapshot that lies at `place`. Raises UsageError for one of another format,
        RunFolderError where its counts do not add up.
        """
        value = document.loads_format(data, place, SNAPSHOT_FORMAT)
        runs = tuple(document.build(AbsorbedRun, place, one) for one in value.pop("runs", ()))
        parts = tuple(document.build(SnapshotFile, place, one) for one in value.pop("parts", ()))
        absorbed = document.build(SnapshotFile, place, value.pop("absorbed", {}))
        fields = value | {"runs": runs, "parts": parts, "absorbed": absorbed}
        snapshot = document.build(cls, place, fields)
        if not snapshot._adds_up():
            raise RunFolderError(
                f"{place} was altered: its counts do not add up; put it back as it was"
            )
        return snapshot

    def _adds_up(self) -> bool:
        read = self.replaced_rows + self.added_rows
        kept = sum(part.rows for part in self.parts)
        absorbed = sum(run.rows for run in self.runs)
        return read == kept + self.superseded and kept == self.rows and absorbed >= self.added_rows


@dataclass(frozen=True, slots=True)
class Pruned:
    """`pruned.json`: from now on the run's rows are in a snapshot, whatever lies among its parts.

    Created before the first part is deleted. The names of the parts may be taken again by whoever
    is late; no reader looks at them.
    """

    run_id: str
    meaning_id: str
    snapshot: int
    """The ordinal of the snapshot that was the newest then; later ones have the rows too."""
    rows: int
    """In the run's parts."""

    def to_json(self) -> bytes:
        return document.dumps(asdict(self) | {"format_version": PRUNED_FORMAT})

    @classmethod
    def from_json(cls, data: bytes, place: str) -> Self:
        """The tombstone that lies at `place`. Raises UsageError for one of another format."""
        return document.build(cls, place, document.loads_format(data, place, PRUNED_FORMAT))
