"""Many runs of one meaning as one row an item: made, proven, pruned behind, read and exported."""

from workers.snapshots.make import Compaction, compact
from workers.snapshots.history import History, PastRun, read_history

__all__ = ["Compaction", "History", "PastRun", "compact", "read_history"]
