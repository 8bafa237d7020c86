"""Prove from the files of OUTPUT that every image of a run is one row, labelled or failed.

Usage: python jobs/verify.py OUTPUT [--run N] [--json]

Without --run all finished runs are looked at, the newest unfinished one, and the newest snapshot of
each meaning. Exit codes: 0 all of it is proven, 1 something is broken or owed (shards are named),
2 bad usage, no run, or a document of a later program, 75 the store does not answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.again import typed
from jobs.arguments import Parser, positive
from jobs.summary import printable
from schemas.outcome import (
    BucketsightError,
    ExitCode,
    NewerFormatError,
    RunFolderError,
    UsageError,
)
from schemas.uri import canonical
from workers.inspection import Broken, Proof, RunFiles, find_run, find_runs, prove, successor
from workers.plan import PlanRule
from workers.progress import counted
from workers.snapshots import SnapshotProof, newest_snapshots, prove_snapshot
from workers.threads import leave

PROGRAM = "verify"
LINES = 100
"""So many of a run's broken files are named, and ranges of owed shards; the others are counted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, prove, tell; returns the exit code."""
    given = _parse(arguments)
    output = canonical(given.output)
    proofs: list[Proof] = []
    snapshots: list[SnapshotProof] = []
    try:
        for files in _asked_for(output, given.run):
            proofs.append(prove(output, files))
            if not given.json:
                print("\n".join(_told(proofs[-1])), flush=True)
        for snapshot in newest_snapshots(output) if given.run is None else ():
            snapshots.append(prove_snapshot(output, snapshot))
            if not given.json:
                print("\n".join(_told_of_snapshot(snapshots[-1])), flush=True)
    except BucketsightError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    if given.json:
        told = [*map(_as_json, proofs), *map(_snapshot_as_json, snapshots)]
        print(json.dumps(told, indent=1))
    whole = [*(proof.whole for proof in proofs), *(proof.whole for proof in snapshots)]
    return ExitCode.COMPLETE if all(whole) else ExitCode.FAILED


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    description = "Prove that in OUTPUT every image of a run is one row, labelled or failed."
    parser = Parser(prog=PROGRAM, description=description)
    parser.add_argument("output", metavar="OUTPUT", help="the job's OUTPUT")
    parser.add_argument(
        "--run",
        type=positive,
        metavar="N",
        help="default: all finished ones, and the newest unfinished one",
    )
    parser.add_argument("--json", action="store_true", help="the same as a JSON list")
    return parser.parse_args(arguments)


def _asked_for(output: str, number: int | None) -> list[RunFiles]:
    """An unfinished run whose job was begun anew since is nobody's: only by its number."""
    runs = find_runs(output)
    if number is not None:
        return [find_run(output, runs, number)]
    chosen = [files for files in runs if files.finished]
    unfinished = [files for files in runs if not files.finished]
    if unfinished and not _done_anew(output, runs, unfinished[-1]):
        chosen.append(unfinished[-1])
    return chosen


def _done_anew(output: str, runs: Sequence[RunFiles], files: RunFiles) -> bool:
    """A run that cannot be told from others by its spec.json, or by theirs, is looked at."""
    try:
        return successor(output, runs, files) is not None
    except NewerFormatError:
        raise
    except (UsageError, RunFolderError):
        return False


def _told(proof: Proof) -> list[str]:
    run, plan, job = f"Run {proof.run_id}", proof.plan, proof.job
    counts = f"{proof.labelled:,} labelled + {proof.failed:,} failed"
    counts += f" + {proof.forgotten:,} forgotten" * bool(proof.forgotten and not proof.pruned)
    if proof.broken:
        places = counted(len(proof.broken), "place")
        return [f"{run} is broken in {places}:", *_broken(proof.broken), *_owed(proof)]
    if plan is None or job is None:
        return [f"{run} is unfinished: it has no plan yet."]
    if proof.pruned:
        place = f"snapshot {proof.pruned.snapshot:08d} of meaning {proof.pruned.meaning_id}"
        return [f"{run} is pruned: its rows, {counts}, were taken into {place}."]
    if not proof.finished:
        return [
            f"{run} is unfinished: {counted(plan.items, 'image')} = {counts} + "
            f"{proof.owed_images:,} owed.",
            *_owed(proof),
            f"  {printable(typed('jobs/status.py', job.output))} tells how to go on with it",
        ]
    gone = plan.skipped.get(PlanRule.GONE_SINCE_RUN, 0)
    skipped = sum(plan.skipped.values()) - gone
    settled = plan.skipped.get(PlanRule.SETTLED, 0)
    return [
        f"{run} is whole: {counted(plan.items, 'image')} = {counts}.",
        f"  {plan.items + skipped:,} listed = {counted(plan.items, 'image')} + {skipped:,} skipped"
        + f", {settled:,} of them settled before" * job.incremental
        + f"; {gone:,} that failed in run {job.replay_of} are gone since" * bool(gone),
        f"  the plan's {counted(len(plan.pages), 'page')} and {counted(proof.parts, 'part')} have "
        "their digests, the rows are the plan's in its order, nothing lacks and nothing is too "
        "many",
    ]


def _told_of_snapshot(proof: SnapshotProof) -> list[str]:
    one = proof.snapshot
    name = f"Snapshot {one.ordinal:08d} of meaning {one.meaning_id}"
    if proof.broken:
        places = counted(len(proof.broken), "place")
        return [f"{name} is broken in {places}:", *_broken(proof.broken)]
    forgotten = f" + {proof.forgotten:,} forgotten" * bool(proof.forgotten)
    return [
        f"{name} is whole: {counted(one.rows, 'image')} = {proof.labelled:,} labelled + "
        f"{proof.failed:,} failed{forgotten}, {proof.deleted:,} of them deleted from INPUT.",
        f"  the digests of {counted(len(one.parts), 'part')} are right, no image comes twice, and "
        f"it absorbed the {counted(len(one.runs), 'run')} that it names",
    ]


def _owed(proof: Proof) -> list[str]:
    ranges = _ranges(proof.owed)
    more = f" … and {len(ranges) - LINES:,} more" * (len(ranges) > LINES)
    return [f"  shards owed: {', '.join(ranges[:LINES])}{more}"] if ranges else []


def _broken(broken: Sequence[Broken]) -> Iterator[str]:
    """Shard by shard, after what is no shard's."""
    for one in sorted(broken, key=_place)[:LINES]:
        shard = "" if one.shard is None else f"shard {one.shard}: "
        yield printable(f"  {shard}{one.name} {one.problem}")
    if len(broken) > LINES:
        yield f"  … and {len(broken) - LINES:,} more"


def _place(one: Broken) -> tuple[int, str]:
    return -1 if one.shard is None else one.shard, one.name


def _ranges(shards: Sequence[int]) -> list[str]:
    """`0`, `3-7`."""
    runs = groupby(enumerate(shards), lambda numbered: numbered[1] - numbered[0])
    found = [[shard for _, shard in run] for _, run in runs]
    return [f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found]


def _as_json(proof: Proof) -> dict[str, Any]:
    plan = proof.plan
    return {
        "run": proof.run_id,
        "whole": proof.whole,
        "finished": proof.finished,
        "images": plan and plan.items,
        "skipped": plan and dict(plan.skipped),
        "shards": plan and plan.shards,
        "sound_parts": proof.parts,
        "labelled": proof.labelled,
        "failed": proof.failed,
        "failed_by_code": dict(proof.failed_by_code),
        "forgotten": proof.forgotten,
        "owed_shards": _ranges(proof.owed),
        "pruned": proof.pruned is not None,
        "broken": _broken_as_json(proof.broken),
    }


def _snapshot_as_json(proof: SnapshotProof) -> dict[str, Any]:
    one = proof.snapshot
    return {
        "snapshot": f"{one.ordinal:08d}",
        "meaning": one.meaning_id,
        "whole": proof.whole,
        "runs": [run.run_id for run in one.runs],
        "images": one.rows,
        "labelled": proof.labelled,
        "failed": proof.failed,
        "deleted": proof.deleted,
        "broken": _broken_as_json(proof.broken),
    }


def _broken_as_json(broken: Sequence[Broken]) -> list[dict[str, Any]]:
    return [
        {"shard": one.shard, "file": one.name, "problem": one.problem}
        for one in sorted(broken, key=_place)
    ]


if __name__ == "__main__":
    leave(main())
