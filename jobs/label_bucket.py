"""Several labels for every image under a URI, each image looked at once.

Usage: python jobs/label_bucket.py INPUT OUTPUT --tasks caption,tags,hateful
       [--model pocket|FOLDER] [--ask NAME="QUESTION"]… [the flags of each task's own job]
       [--quant auto|none|bf16|int8|int4|fp8] [--device auto|cpu|cuda] …    (--help lists the flags)

Exit codes: 0 complete, 1 failed, 2 bad usage, 3 complete but with more failed images than
--max-failed allows, or with nothing else, 75 stopped, and the same command goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.labelling import label
from workers.tasks import TASKS
from workers.threads import leave

PROGRAM = "label_bucket"
TOGETHER = sorted(n for n, task in TASKS.items() if not (task.everywhere or task.evaluated))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; returns the exit code."""
    description = (
        "Look at every image under INPUT once for several tasks; the rows land under OUTPUT."
    )
    return label(PROGRAM, description, TOGETHER, arguments)


if __name__ == "__main__":
    leave(main())
