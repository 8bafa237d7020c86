"""What the files of a run say of it: how far it is, and whether nothing is lost or doubled."""

from workers.inspection.proof import Broken, Proof, prove
from workers.inspection.runs import (
    RunFiles,
    find_run,
    find_runs,
    fingerprint_of,
    read_run,
    successor,
)
from workers.inspection.status import RunStatus, State, status_of

__all__ = [
    "Broken",
    "Proof",
    "RunFiles",
    "RunStatus",
    "State",
    "find_run",
    "find_runs",
    "fingerprint_of",
    "prove",
    "read_run",
    "status_of",
    "successor",
]
