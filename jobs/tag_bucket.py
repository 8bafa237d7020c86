"""Tag every image under a URI.

Usage: python jobs/tag_bucket.py INPUT OUTPUT [--model pocket|FOLDER] [--tags-file FILE]
       [--tags-top N] [--tags-threshold P] [--ask NAME="QUESTION"]…
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
from workers.threads import leave

PROGRAM = "tag_bucket"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; returns the exit code."""
    description = "Tag every image under INPUT; the tags land under OUTPUT as Parquet."
    return label(PROGRAM, description, ["tags"], arguments)


if __name__ == "__main__":
    leave(main())
