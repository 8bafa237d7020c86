"""Make one page of what a run did with its images, to be looked at in a browser.

Usage: python jobs/report.py OUTPUT [--run N] [--to FILE]

The page is one file that needs no network: by default OUTPUT/report.html, written over each time.
It is made of a run in any state. Exit codes: 0 made, 2 bad usage or no run, 75 the store does not
answer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.again import command_for, shipped_model, typed
from jobs.arguments import Parser, positive
from jobs.summary import printable, skipped_kinds
from schemas.outcome import BucketsightError, ExitCode, UsageError
from schemas.run import REPORT
from schemas.uri import canonical, is_local, join
from workers.inspection import RunFiles, State, find_run, find_runs, read_run
from workers.plan import read_plan
from workers.report.page import Around, render
from workers.report.story import Story, tell
from workers.store import PATIENCE, ask, replace
from workers.threads import leave

PROGRAM = "report"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, gather, write; returns the exit code."""
    given = _parse(arguments)
    output = canonical(given.output)
    target = canonical(given.to) if given.to else join(output, REPORT)
    try:
        runs = find_runs(output, PATIENCE)
        files = _newest(output, runs) if given.run is None else find_run(output, runs, given.run)
        _require_folder(target)
        story = tell(output, files, PATIENCE)
        _write(target, render(story, _around(story)))
    except BucketsightError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    print(f"Report of run {files.run_id}, for a browser: {printable(target)}")
    return ExitCode.COMPLETE


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    description = "Make one page of what a run did with its images, to be looked at in a browser."
    parser = Parser(prog=PROGRAM, description=description)
    parser.add_argument("output", metavar="OUTPUT", help="the job's OUTPUT")
    parser.add_argument(
        "--run",
        type=positive,
        metavar="N",
        help="default: the newest run that had images to look at",
    )
    parser.add_argument(
        "--to", metavar="FILE", help=f"where the page is written (default: OUTPUT/{REPORT})"
    )
    return parser.parse_args(arguments)


def _newest(output: str, runs: Sequence[RunFiles]) -> RunFiles:
    """The newest run that has something to show: neither one without a plan, nor a night in which
    nothing was owed.
    """
    planned = [files for files in runs if files.planned]
    for files in reversed(planned):
        plan = read_plan(read_run(output, files))
        if plan and plan.items:
            return files
    return (planned or runs)[-1]


def _require_folder(target: str) -> None:
    """Raises UsageError where a page on a disk would need a folder that is not there."""
    if is_local(target) and not Path(target).parent.is_dir():
        raise UsageError(f"--to {target}: there is no folder {Path(target).parent}")


def _write(target: str, page: str) -> None:
    data = page.encode()
    try:
        ask(target, lambda seconds: replace(target, data, seconds), PATIENCE, "written")
    except FileNotFoundError as error:
        raise UsageError(f"{target} cannot be written: there is no such bucket") from error


def _around(story: Story) -> Around:
    """What people may do next: it is made of the names of jobs, which workers do not know."""
    job, status = story.job, story.status
    model = [] if shipped_model(job) else ["--model", "FOLDER"]
    replays = {
        code: typed(
            "jobs/replay.py", job.output, "--run", story.spec.run_id, "--code", code, *model
        )
        for code in status.failed_by_code
        if status.state == State.FINISHED
    }
    view = typed("jobs/compact.py", job.output, "--view")
    return Around(command_for(job), replays, view, skipped_kinds(status.skipped))


if __name__ == "__main__":
    leave(main())
