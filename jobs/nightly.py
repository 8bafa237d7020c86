"""Label what is owed of every collection that a configuration names, and nothing else.

Usage: python jobs/nightly.py CONFIG.toml [--max-images N] [--deadline 90m|6h]
       python jobs/nightly.py CONFIG.toml --plan [--price-per-hour X]
       python jobs/nightly.py CONFIG.toml --forget URI [URI…]

Owed is what is new, changed, was never reached, or failed for a reason that may have passed; with
another prompt, model or precision it is everything. jobs/configuration.py says what CONFIG.toml
holds. A limit leaves the rest to the next night, which begins with it. With --forget nothing is
labelled: the rows of these images, or of all in such a container, are erased from every OUTPUT, and
no run labels them again (docs/forgetting.md).

Exit codes: 0 nothing is owed but what a limit left, 1 failed, 2 bad usage (nothing is touched),
3 more failed images than a collection's max_failed allows, 75 stopped, or another night is at work:
come again. One collection's trouble keeps no other one from its turn.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jobs.arguments import Parser, add_plan_flags, positive, require_plan
from jobs.configuration import Collection, read_configuration, seconds_of
from jobs.display import display
from jobs.forgetting import forget_all
from jobs.labelling import plan_job, say
from jobs.ray_environment import prepare_ray
from jobs.summary import night_summary
from schemas.outcome import BucketsightError, ExitCode, LimitReachedError, StoppedError, UsageError
from workers.plan import read_plan
from workers.progress import Standing, counted
from workers.threads import leave

if TYPE_CHECKING:
    from workers.driver import Finished

Number = TypeVar("Number", int, float)

PROGRAM = "nightly"
WORST_FIRST = (
    ExitCode.FAILED,
    ExitCode.USAGE,
    ExitCode.INTERRUPTED,
    ExitCode.TOO_MANY_FAILED,
    ExitCode.COMPLETE,
)


@dataclass(slots=True)
class Limits:
    """What is left of a night, for all its collections."""

    images: int | None
    until: float | None
    """As `time.monotonic` has it: no clock that somebody sets makes a night longer."""

    def reached(self) -> str | None:
        """Which limit is, in words."""
        if self.images is not None and self.images <= 0:
            return "--max-images is reached"
        if self.until is not None and time.monotonic() >= self.until:
            return "--deadline is reached"
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the configuration, label each collection; returns the exit code."""
    given = _parse(arguments)
    try:
        require_plan(given)
        _require_alone(given)
        collections = read_configuration(given.config)
    except BucketsightError as error:
        say(f"{PROGRAM}: {error}")
        return error.exit_code
    if given.plan:
        return _planned(collections, given)
    # until the driver takes the signals, both end the process in the same quiet way
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if given.forget:
        return _forgotten(collections, given.forget)
    prepare_ray()
    limits = Limits(given.max_images, _until(given.deadline))
    codes = {ExitCode.COMPLETE}
    try:
        for collection in collections:
            codes.add(_label(collection, limits))
    except (StoppedError, KeyboardInterrupt) as error:
        say(f"{PROGRAM}: {str(error) or 'stopped; the same command goes on'}")
        codes.add(ExitCode.INTERRUPTED)
    return min(codes, key=WORST_FIRST.index)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    description = "Label what is owed of every collection that a configuration names."
    parser = Parser(prog=PROGRAM, description=description)
    parser.add_argument("config", metavar="CONFIG.toml", help="names the collections")
    parser.add_argument(
        "--max-images", type=positive, metavar="N", help="look at so many, in all collections"
    )
    parser.add_argument(
        "--deadline",
        type=seconds_of,
        metavar="90m|6h",
        help="stop after so long; what is under way has its drain_seconds beyond",
    )
    add_plan_flags(parser)
    parser.add_argument(
        "--forget",
        nargs="+",
        type=_place,
        metavar="URI",
        help="erase all rows of these images, and label none",
    )
    return parser.parse_args(arguments)


def _place(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty: it names an image, or a container")
    return text


def _require_alone(given: argparse.Namespace) -> None:
    """Raises UsageError for a flag that says how to label, beside one that labels nothing."""
    flags = {"--max-images": given.max_images, "--deadline": given.deadline, "--plan": given.plan}
    if given.forget and (other := next((flag for flag, value in flags.items() if value), "")):
        raise UsageError(f"--forget labels nothing: leave {other} out")


def _forgotten(collections: Sequence[Collection], uris: Sequence[str]) -> ExitCode:
    """Erase the rows of the images `uris` everywhere."""
    try:
        return min(forget_all(PROGRAM, collections, uris), key=WORST_FIRST.index)
    except KeyboardInterrupt:
        say(f"{PROGRAM}: stopped; the same command goes on")
        return ExitCode.INTERRUPTED


def _planned(collections: Sequence[Collection], given: argparse.Namespace) -> ExitCode:
    """Say what each collection's turn would take, and do nothing of it."""
    codes = {ExitCode.COMPLETE}
    for one in collections:
        most = _least(given.max_images, one.most_images)
        options = replace(one.arguments.options, most_images=most)
        asked = replace(one.arguments, options=options, price_per_hour=given.price_per_hour)
        print(f"{one.name}:", flush=True)
        code = plan_job(f"{PROGRAM}: {one.name}", asked)
        codes.add(code)
        if code == ExitCode.INTERRUPTED:
            break
    return min(codes, key=WORST_FIRST.index)


def _until(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _label(collection: Collection, limits: Limits) -> ExitCode:
    """What came of a collection, told.

    Raises:
        StoppedError, KeyboardInterrupt: the night is to end.
    """
    mine = Limits(
        _least(limits.images, collection.most_images),
        _least(limits.until, _until(collection.seconds)),
    )
    turn = Turn(collection, mine)
    try:
        return turn.take()
    except LimitReachedError as error:
        say(f"{turn.called}: {error}")
        return turn.verdict()
    except StoppedError as error:
        raise StoppedError(f"{collection.name}: {error}") from error
    except BucketsightError as error:
        say(f"{turn.called}: {error}")
        return error.exit_code
    finally:
        if limits.images is not None:
            limits.images -= turn.images


@dataclass(slots=True)
class Turn:
    """A collection's part of a night, and what it has come to, however it ends."""

    collection: Collection
    limits: Limits
    images: int = 0
    """That were looked at and committed."""
    failed: int = 0
    """Of these."""

    @property
    def called(self) -> str:
        return f"{PROGRAM}: {self.collection.name}"

    def take(self) -> ExitCode:
        """The run that an earlier night left unfinished, and one of this night."""
        planned_before = True
        while planned_before:
            if why := self._left().reached():
                say(f"{self.called}: {why}; the next night goes on")
                break
            finished = self._run()
            plan = read_plan(finished.run)
            assert plan, "a finished run has a plan"
            print(night_summary(self.collection.name, plan, finished.result), flush=True)
            planned_before = finished.planned_before
        return self.verdict()

    def verdict(self) -> ExitCode:
        """Whether more failed than may. A few images that all fail are a night like others."""
        most = self.collection.arguments.max_failed
        if self.failed <= most:
            return ExitCode.COMPLETE
        say(f"{self.called}: {counted(self.failed, 'image')} failed, max_failed allows {most:,}")
        return ExitCode.TOO_MANY_FAILED

    def _left(self) -> Limits:
        images = self.limits.images
        return Limits(None if images is None else images - self.images, self.limits.until)

    def _run(self) -> Finished:
        from workers.driver import run  # Ray reads its environment when it is imported

        given, left = self.collection.arguments, self._left()
        options = replace(given.options, most_images=left.images, until=left.until)
        images, failed = self.images, self.failed
        with display(sys.stderr, self.collection.name) as seen:

            def show(standing: Standing) -> None:
                self.images = images + standing.labelled + standing.failed
                self.failed = failed + standing.failed
                seen.show(standing)

            return run(given.request, options, seen.say, show=show)


def _least(one: Number | None, other: Number | None) -> Number | None:
    found = [value for value in (one, other) if value is not None]
    return min(found) if found else None


if __name__ == "__main__":
    leave(main())
