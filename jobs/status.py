"""Say how far a labelling job is.

Usage: python jobs/status.py OUTPUT [--run N] [--json]

Works while the job runs and after, from the files of OUTPUT alone. Exit codes: 0 told, 2 bad usage
or no run, 75 the store does not answer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.again import command_for, typed
from jobs.arguments import Parser, positive
from jobs.summary import counts_in_words, printable, skipped_in_words
from schemas.outcome import BucketsightError, ExitCode
from schemas.uri import canonical
from workers.inspection import RunStatus, State, find_run, find_runs, status_of, successor
from workers.plan import PlanRule
from workers.progress import counted, duration
from workers.threads import leave

PROGRAM = "status"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, look, tell; returns the exit code."""
    given = _parse(arguments)
    try:
        print(_told(canonical(given.output), given.run, given.json))
    except BucketsightError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.COMPLETE


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog=PROGRAM, description="Say how far the job is that labels into OUTPUT.")
    parser.add_argument("output", metavar="OUTPUT", help="the job's OUTPUT")
    parser.add_argument("--run", type=positive, metavar="N", help="default: the newest run")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    return parser.parse_args(arguments)


def _told(output: str, number: int | None, as_json: bool) -> str:
    runs = find_runs(output)
    files = runs[-1] if number is None else find_run(output, runs, number)
    status = status_of(output, files)
    later = None if files.finished else successor(output, runs, files)
    command = None if files.finished or later else command_for(status.job)
    unfinished = [one.run_id for one in runs if not one.finished and one is not files]
    if as_json:
        return json.dumps(_as_json(status, command, unfinished), indent=1)
    lines = [_head(status), *_progress(status)]
    if command and status.state not in (State.WORKING, State.PLANNING):
        lines += ["Go on with it:", f"  {printable(command)}"]
    if later:
        lines += [
            f"Run {later.run_id} is of the same job and newer: nothing goes on with this one."
        ]
    if unfinished:
        lines += [f"Unfinished, too: run {', '.join(unfinished)} (--run N tells of one)."]
    return "\n".join(lines)


def _head(status: RunStatus) -> str:
    """Which run, what it does, and whether it lives."""
    job, heartbeat, age = status.job, status.heartbeat, status.heartbeat_seconds
    heard = ""
    if heartbeat and age is not None:
        heard = f", last heard of {duration(age)} ago"
        if status.state == State.WORKING:
            heard = f" ({counted(heartbeat.replicas, 'replica')}, {heartbeat.host}{heard})"
    what = f"what failed in run {job.replay_of} of {job.input}" if job.replay_of else job.input
    what = f"what is owed of {what}" if job.incremental else what
    tasks = ", ".join(task.name for task in job.tasks)
    return printable(f"Run {status.run_id}: {status.state}{heard}") + (
        f"\n  {tasks} of {printable(what)} by {printable(job.model_id)}, "
        f"--quant {printable(job.quantization)}"
    )


def _progress(status: RunStatus) -> list[str]:
    """How much is done; nothing where there is no plan."""
    if status.images is None or status.owed is None or status.shards is None:
        return ["  no plan yet"]
    owed = f", {status.owed:,} owed" if status.owed else ""
    share = f" ({100 * status.labelled // status.images} %)" if status.images else ""
    lines = [
        f"  {status.labelled:,} of {status.images:,} images labelled{share}, "
        f"{status.failed:,} failed{owed}"
        + f", {status.forgotten:,} forgotten"
        * bool(status.forgotten)
    ]
    if status.job.incremental:
        before, later = (status.skipped.get(rule, 0) for rule in (PlanRule.SETTLED, PlanRule.LEFT))
        lines += [f"  {before:,} settled before, {later:,} left for the next night"]
    if status.failed:
        lines += [f"  failed: {counts_in_words(status.failed_by_code)}"]
    if status.snapshot is None:
        lines += [f"  {status.parts:,} of {status.shards:,} parts committed"]
    else:
        lines += [f"  its parts are pruned, its rows are in snapshot {status.snapshot:08d}"]
    if status.state == State.WORKING and status.heartbeat:
        left = "" if status.seconds_left is None else f", {duration(status.seconds_left)} left"
        lines += [f"  {status.heartbeat.images_per_second:.1f} images/s{left}"]
    lines += skipped_in_words(status.skipped)
    if status.strange:
        names = ", ".join(map(printable, status.strange[:3]))
        more = " …" * (len(status.strange) > 3)
        lines += [
            f"{counted(len(status.strange), 'file')} where parts belong, and no part: {names}"
            f"{more}; {printable(typed('jobs/verify.py', status.job.output))} tells more"
        ]
    return lines


def _as_json(status: RunStatus, command: str | None, unfinished: list[str]) -> dict[str, Any]:
    job, heartbeat = status.job, status.heartbeat
    return {
        "run": status.run_id,
        "state": status.state,
        "created_at": status.created_at,
        "input": job.input,
        "output": job.output,
        "tasks": [{"name": task.name, "options": task.options} for task in job.tasks],
        "text": job.text or None,
        "model": job.model_id,
        "model_digest": job.model_digest,
        "quantization": job.quantization,
        "replay_of": job.replay_of or None,
        "incremental": job.incremental,
        "images": status.images,
        "labelled": status.labelled,
        "failed": status.failed,
        "failed_by_code": dict(status.failed_by_code),
        "owed": status.owed,
        "forgotten": status.forgotten,
        "skipped": dict(status.skipped),
        "shards": status.shards,
        "parts": status.parts,
        "snapshot": status.snapshot,
        "strange": list(status.strange),
        "heartbeat": heartbeat and asdict(heartbeat) | {"seconds_ago": status.heartbeat_seconds},
        "seconds_left": status.seconds_left,
        "unfinished": unfinished,
        "command": command,
    }


if __name__ == "__main__":
    leave(main())
