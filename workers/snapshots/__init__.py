"""Many runs of one meaning as one row an item: made, proven, pruned behind, read and exported."""

from workers.snapshots.export import EXPORTS, Exported, export
from workers.snapshots.history import History, PastRun, read_history
from workers.snapshots.make import Compaction, compact
from workers.snapshots.parts import unfinished_rows
from workers.snapshots.proof import SnapshotProof, newest_snapshots, prove_snapshot
from workers.snapshots.prune import Pruning, prune
from workers.snapshots.view import view_of

__all__ = [
    "EXPORTS",
    "Compaction",
    "Exported",
    "History",
    "PastRun",
    "Pruning",
    "SnapshotProof",
    "compact",
    "export",
    "newest_snapshots",
    "prove_snapshot",
    "prune",
    "read_history",
    "unfinished_rows",
    "view_of",
]
