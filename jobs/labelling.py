"""What all labelling jobs do with their arguments: prepare Ray, run, say how it ended."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jobs.arguments import LabellingArguments, parse
from jobs.display import display
from jobs.estimated import told as estimated
from jobs.ray_environment import prepare_ray
from jobs.summary import summary
from schemas.outcome import BucketsightError, ExitCode
from schemas.run import Result
from workers.progress import counted

if TYPE_CHECKING:
    from workers.driver import Finished


def label(
    program: str, description: str, tasks: Sequence[str], arguments: Sequence[str] | None
) -> ExitCode:
    """The job that asks `tasks`, from its command line to its exit code."""
    try:
        asked = parse(program, description, tasks, arguments)
    except BucketsightError as error:
        say(f"{program}: {error}")
        return error.exit_code
    return plan_job(program, asked) if asked.plan else run_job(program, asked)


def run_job(
    program: str, arguments: LabellingArguments, told: Callable[[Finished], str] | None = None
) -> ExitCode:
    """Run the job and print what is `told` of it when it is finished, else its summary."""
    # until the driver takes the signals, both end the process in the same quiet way
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        prepare_ray()
        from workers.driver import run  # Ray reads its environment when it is imported

        with display(sys.stderr) as seen:
            finished = run(arguments.request, arguments.options, seen.say, show=seen.show)
        for number in (signal.SIGTERM, signal.SIGINT):  # there is nothing left to stop
            signal.signal(number, signal.SIG_IGN)
        print(told(finished) if told else _summary(finished))
    except BucketsightError as error:
        say(f"{program}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say(f"{program}: stopped; the same command goes on")
        return ExitCode.INTERRUPTED
    return _verdict(program, finished.result, arguments.max_failed)


def plan_job(program: str, arguments: LabellingArguments) -> ExitCode:
    """Print what the job would take, and do nothing of it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        prepare_ray()
        from workers.estimate import estimate_job  # as above

        found = estimate_job(arguments.request, arguments.options, say)
        print(estimated(found, arguments.price_per_hour))
    except BucketsightError as error:
        say(f"{program}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say(f"{program}: stopped; nothing is estimated")
        return ExitCode.INTERRUPTED
    if found.rehearsal and not found.estimate:
        say(
            f"{program}: not one of the sample's {found.rehearsal.images:,} images could be "
            "labelled, so that nothing is known of the time"
        )
        return ExitCode.TOO_MANY_FAILED
    return ExitCode.COMPLETE


def _summary(finished: Finished) -> str:
    return summary(finished.run, finished.result, finished.before)


def _verdict(program: str, result: Result, max_failed: float) -> ExitCode:
    """Whether a whole run is a good one. One without a single label never is."""
    if not result.labelled:
        say(f"{program}: not one of {result.items:,} images could be labelled")
        return ExitCode.TOO_MANY_FAILED
    if result.failed > max_failed:
        failed = counted(result.failed, "image")
        say(f"{program}: {failed} failed, --max-failed allows {max_failed:,}")
        return ExitCode.TOO_MANY_FAILED
    return ExitCode.COMPLETE


def say(line: str) -> None:
    """For people; the program's answer goes to standard output."""
    print(line, file=sys.stderr, flush=True)
