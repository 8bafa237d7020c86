"""What all labelling jobs do with their arguments: prepare Ray, run, say how it ended."""

from __future__ import annotations

import os
import secrets
import signal
import sys

from jobs.arguments import LabellingArguments
from jobs.summary import summary
from schemas.outcome import BucketsightError, ExitCode
from schemas.version import ROOT


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
        say(f"{program}: stopped before any work was handed out; the same command starts it")
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


def prepare_ray() -> None:
    """Ray's environment, for a cluster that the job starts for itself.

    What is set already stays. Where RAY_ADDRESS names a cluster, that one's settings count.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_ADDRESS" in os.environ:
        return
    if "RAY_AUTH_MODE" not in os.environ:
        # Ray would write a token under the home folder, where every later `ray start` finds it.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    # Ray then listens on the loopback device alone; on Linux its default is every interface.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)
