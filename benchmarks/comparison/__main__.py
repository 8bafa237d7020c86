"""One measurement, in a process of its own: `python -m benchmarks.comparison SYSTEM QUESTION`.

The answer is JSON, a line each. What cannot be measured is one sentence on standard error.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks.comparison.question import LOOKS, Question
from schemas.outcome import BucketsightError, ExitCode
from workers.threads import leave


def _replica(question: Question) -> Iterable[Any]:
    from benchmarks.comparison.alone import measure_replica

    return [asdict(measure_replica(question))]


def _look(look: str, question: Question) -> Iterable[Any]:
    from benchmarks.comparison.alone import measure_asked
    from benchmarks.comparison.looks import asks

    return [asdict(measure_asked(question, asks(look, question.checkpoint)))]


def _plain(question: Question) -> Iterable[Any]:
    from benchmarks.comparison.alone import measure_plain

    return [asdict(measure_plain(question))]


def _job(question: Question) -> Iterable[Any]:
    from benchmarks.comparison.whole_job import measure_job

    return [asdict(measure_job(question))]


def _ray_data(question: Question) -> Iterable[Any]:
    from benchmarks.comparison.ray_data import measure_ray_data

    return [asdict(measure_ray_data(question))]


def _batches(question: Question) -> Iterable[Any]:
    from benchmarks.comparison.batches import try_batches

    return map(asdict, try_batches(question))


def _limit(question: Question) -> Iterable[Any]:
    from benchmarks.comparison.limit import measure_rates

    return [measure_rates(question)]


# Each imports what it needs and no more: what a process imports counts as its memory and time.
MEASURES: dict[str, Callable[[Question], Iterable[Any]]] = {
    "replica": _replica,
    "plain": _plain,
    "job": _job,
    "ray-data": _ray_data,
    "batches": _batches,
    "limit": _limit,
    **{look: partial(_look, look) for look in LOOKS},
}


def main() -> int:
    """Measure what is asked for; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for answer in MEASURES[sys.argv[1]](Question.from_json(sys.argv[2])):
            print(json.dumps(answer), flush=True)
    except BucketsightError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.COMPLETE


if __name__ == "__main__":
    leave(main())
