"""Make one row an image of all runs of a job: a snapshot; and read it, export it, prune behind it.

Usage: python jobs/compact.py OUTPUT [--meaning ID]
       python jobs/compact.py OUTPUT [--meaning ID] --prune | --view
       python jobs/compact.py OUTPUT [--meaning ID] --to txt|jsonl|webdataset|delta DESTINATION

Each image has the label of its current version, good before failed, of the newest run. Without
--meaning, runs are looked at that ask the same as the newest finished one. Exit codes: 0 done, or
nothing to do; 1 a file of OUTPUT is missing or altered, and nothing was written or deleted; 2 bad
usage or no run, 75 the store does not answer or a disk is full.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.again import typed
from jobs.arguments import Parser
from jobs.summary import printable
from schemas.outcome import BucketsightError, ExitCode, UsageError
from schemas.uri import canonical, join
from workers.progress import counted, plural
from workers.snapshots import (
    EXPORTS,
    Compaction,
    Exported,
    History,
    Pruning,
    compact,
    export,
    prune,
    read_history,
    unfinished_rows,
    view_of,
)
from workers.threads import leave

PROGRAM = "compact"
NAMED = 5
"""So many of the images that an export left out are named, of each reason."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, do, tell; returns the exit code."""
    given = _parse(arguments)
    # its temporary folder may be large, and goes when it is interrupted
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        history, others = read_history(canonical(given.output), given.meaning)
        if given.view:
            print(view_of(history))
        elif given.prune:
            print("\n".join(_pruned(history, prune(history))))
        elif given.to:
            kind, destination = given.to
            if kind not in EXPORTS:
                raise UsageError(f"--to {kind!a}: one of {', '.join(EXPORTS)}")
            print("\n".join(_exported(export(history, kind, canonical(destination)))))
        else:
            unfinished = unfinished_rows(history)
            print("\n".join(_compacted(history, compact(history), others)))
            if unfinished:
                print(_left_out(unfinished))
    except BucketsightError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.COMPLETE


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    description = "Make one row an image of all runs of a job, and read, export or prune by it."
    parser = Parser(prog=PROGRAM, description=description)
    parser.add_argument("output", metavar="OUTPUT", help="the job's OUTPUT")
    parser.add_argument(
        "--meaning",
        metavar="ID",
        help="a meaning_id, or how it begins (default: that of the newest finished run)",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--prune",
        action="store_true",
        help="delete the parts of all runs that the newest snapshot absorbed, and older snapshots",
    )
    instead.add_argument(
        "--view", action="store_true", help="print SQL for DuckDB that creates the view latest"
    )
    instead.add_argument(
        "--to",
        nargs=2,
        metavar=("|".join(EXPORTS), "DESTINATION"),
        help="export what is labelled and not deleted to a new folder, on a disk or s3://",
    )
    return parser.parse_args(arguments)


def _compacted(history: History, made: Compaction, others: Sequence[str]) -> list[str]:
    of = f"of meaning {history.meaning_id}"
    snapshot = made.snapshot
    also = [f"Other meanings in OUTPUT: {', '.join(others)} (--meaning names one)."]
    if snapshot is None:
        return [f"No run {of} is finished: there is nothing to compact.", *(also if others else ())]
    name = f"snapshot {snapshot.ordinal:08d}"
    if not made.absorbed:
        return [f"No run {of} finished since {name}: there is nothing to do."]
    if not made.ours:
        return [f"Another compaction made {name} {of} meanwhile, and this one gave way to it."]
    replaced = f"{snapshot.replaced_rows:,} of snapshot {snapshot.replaces:08d} + "
    read = snapshot.replaced_rows + snapshot.added_rows
    lines = [
        f"{name.capitalize()} {of}: {counted(read, 'row')} read "
        f"({replaced * bool(snapshot.replaces)}{snapshot.added_rows:,} of "
        f"{counted(made.absorbed, 'run')}) = {snapshot.rows:,} kept + "
        f"{snapshot.superseded:,} superseded.",
        f"  {snapshot.labelled:,} labelled, {snapshot.failed:,} failed; {snapshot.deleted:,} of "
        "them no longer in INPUT",
        f"Rows: {printable(_rows(history.output, snapshot.names.folder, snapshot.attempt))}",
    ]
    return lines + (also if others else [])


def _left_out(rows: Mapping[str, int]) -> str:
    runs = f"{plural(len(rows), 'run')} {', '.join(rows)}"
    return (
        f"Left out: up to {counted(sum(rows.values()), 'row')} of {runs}, for only finished runs "
        "are compacted; nights, the view and exports read them beside the snapshot."
    )


def _rows(output: str, folder: str, attempt: str) -> str:
    return join(output, f"{folder}/{attempt}/part-*.parquet")


def _pruned(history: History, pruning: Pruning) -> list[str]:
    snapshot = pruning.snapshot
    name = f"snapshot {snapshot.ordinal:08d} of meaning {snapshot.meaning_id}"
    if not (pruning.parts or pruning.older):
        return [f"All is pruned already that {name} has."]
    runs = (
        f" of {plural(len(pruning.runs), 'run')} {', '.join(pruning.runs)}" if pruning.runs else ""
    )
    again = typed("jobs/compact.py", history.output, "--view")
    return [
        f"Deleted {counted(pruning.parts, 'part')}{runs}, and "
        f"{counted(pruning.older, 'file')} of snapshots before; {name} has their rows.",
        f"Views that were made before are to be made anew: {printable(again)}",
    ]


def _exported(exported: Exported) -> list[str]:
    left_out = exported.left_out.total()
    lines = [
        f"{counted(exported.images, 'image')} exported in "
        f"{counted(exported.files, 'file')}: "
        f"{printable(exported.destination)}",
        f"  {left_out:,} left out" + (":" if left_out else ""),
    ]
    for reason, count in sorted(exported.left_out.items()):
        named = exported.named.get(reason, [])[:NAMED]
        more = " …" * (count > len(named))
        names = f": {', '.join(map(printable, named))}{more}" if named else ""
        lines.append(f"  {count:,} {reason}{names}")
    return lines


if __name__ == "__main__":
    leave(main())
