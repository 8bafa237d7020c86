"""What all labelling jobs do with their arguments: prepare Ray, run, say how it ended."""

from __future__ import annotations

import signal
import sys

from jobs.arguments import LabellingArguments
from jobs.ray_environment import prepare_ray
from jobs.summary import summary
from schemas.outcome import BucketsightError, ExitCode


def label(program: str, arguments: LabellingArguments, column: str) -> ExitCode:
    """Run the job and print its summary, `column` being the one to show beside some images."""
    # until the driver takes the signals, both end the process in the same quiet way
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        prepare_ray()
        from workers.driver import run  # Ray reads its environment when it is imported

        finished = run(arguments.request, arguments.options, say)
        print(summary(finished.run, finished.result, finished.before, column))
    except BucketsightError as error:
        say(f"{program}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say(f"{program}: stopped; the same command goes on")
        return ExitCode.INTERRUPTED
    if finished.result.failed > arguments.max_failed:
        say(
            f"{program}: {finished.result.failed:,} images failed, --max-failed allows "
            f"{arguments.max_failed:,}"
        )
        return ExitCode.TOO_MANY_FAILED
    return ExitCode.COMPLETE


def say(line: str) -> None:
    """For people; the program's answer goes to standard output."""
    print(line, file=sys.stderr, flush=True)
