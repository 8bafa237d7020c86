"""The flags that all labelling jobs share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn

from schemas.image import InputFormat
from schemas.outcome import UsageError
from workers.model.quantization import AUTO, QUANTIZATIONS
from workers.request import Options, Request, Wish
from workers.tasks import TASKS


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help lists the flags\n")


@dataclass(frozen=True, slots=True)
class LabellingArguments:
    """A labelling job's command line."""

    request: Request
    options: Options
    max_failed: float
    """More failed rows than this are exit code 3."""
    plan: bool = False
    """Only say what it would take."""
    price_per_hour: float | None = None
    """Of what one replica takes."""


def parse(
    program: str, description: str, tasks: Sequence[str], arguments: Sequence[str] | None
) -> LabellingArguments:
    """The command line of a job that asks `tasks`, and of each that it may ask by itself; exits
    where it is wrong, or asks for help.

    Raises UsageError, StoreError where a file that it names cannot be read.
    """
    parser = Parser(prog=program, description=description)
    add_labelling_flags(parser, tasks)
    add_plan_flags(parser)
    given = parser.parse_args(arguments)
    require_plan(given)
    asked = labelling_arguments(given, tasks)
    return replace(asked, plan=given.plan, price_per_hour=given.price_per_hour)


def add_labelling_flags(parser: Parser, tasks: Sequence[str]) -> None:
    """All flags of a job that asks `tasks`."""
    _add_flags(parser)
    _add_task_flags(parser, tasks, _everywhere())
    add_run_flags(parser)


def labelling_arguments(given: argparse.Namespace, tasks: Sequence[str]) -> LabellingArguments:
    """What these flags say. Raises UsageError, StoreError as `parse`."""
    everywhere = _everywhere()
    asked = [*(given.tasks if len(tasks) > 1 else tasks), *everywhere]
    _require_asked(given, tasks, asked)
    wishes = [Wish(name, how) for name in asked for how in TASKS[name].wishes(given)]
    if not wishes:
        raise UsageError(
            f"nothing is asked of the images: --tasks names some of {', '.join(tasks)}, --ask a "
            "question of your own"
        )
    request = Request(
        given.input,
        given.output,
        tuple(wishes),
        given.model,
        input_format=given.input_format and InputFormat(given.input_format),
        image_column=given.image_column,
        text=given.text if "text" in given else None,
        quantization=given.quant,
    )
    options = replace(options_of(given), new_run=given.new_run)
    return LabellingArguments(request, options, given.max_failed)


def _everywhere() -> list[str]:
    """What may be asked in every job."""
    return [name for name, task in TASKS.items() if task.everywhere]


def _add_task_flags(parser: Parser, tasks: Sequence[str], everywhere: Sequence[str]) -> None:
    """Which of `tasks` to ask, where there are several, and the flags of them all."""
    group = parser.add_argument_group("what each image is asked")
    if len(tasks) > 1:
        group.add_argument(
            "--tasks",
            type=partial(_some_of, tasks),
            default=[],
            metavar=",".join(tasks),
            help="some of these, with commas between them",
        )
    for name in (*tasks, *everywhere):
        TASKS[name].add_flags(group)
    if any(TASKS[name].wants_text for name in tasks):
        group.add_argument(
            "--text",
            metavar="column:NAME|sidecar|ocr|none",
            help="where a meme's text is: in a column of INPUT, a .txt file beside each image, "
            "its pixels (default: column:text of a table, column:txt of a tar, else sidecar)",
        )


def _require_asked(given: argparse.Namespace, tasks: Sequence[str], asked: Sequence[str]) -> None:
    """Raises UsageError for a flag of one of `tasks` that is not `asked`: it would do nothing."""
    for name in (name for name in tasks if name not in asked):
        alone = Parser()
        TASKS[name].add_flags(alone)
        for flag, default in vars(alone.parse_args([])).items():
            if getattr(given, flag) != default:
                spelt = flag.replace("_", "-")
                raise UsageError(f"--{spelt} is for the task {name}, which --tasks does not name")
    readers = [name for name in tasks if TASKS[name].wants_text]
    if readers and given.text is not None and not set(readers) & set(asked):
        raise UsageError(f"--text is for {' and '.join(readers)}, and --tasks names none of these")


def _some_of(names: Sequence[str], text: str) -> list[str]:
    asked = [name.strip() for name in text.split(",")]
    if wrong := [name for name in asked if name not in names]:
        raise argparse.ArgumentTypeError(
            f"{wrong[0]!r} is no task: some of {', '.join(names)}, with commas between them"
        )
    return asked


def _add_flags(parser: Parser) -> None:
    what = parser.add_argument_group("what is labelled")
    what.add_argument("input", metavar="INPUT", help="folder, glob or file; a path or an s3:// URI")
    what.add_argument("output", metavar="OUTPUT", help="folder for the labels, on a disk or s3://")
    what.add_argument(
        "--input-format",
        choices=[kind.value for kind in InputFormat],
        help="what INPUT's files are (default: as INPUT's name ends; those of a folder are images)",
    )
    what.add_argument(
        "--image-column",
        default="",
        metavar="NAME",
        help="where a row has its image, or its URI (default: told by type and name)",
    )
    what.add_argument(
        "--model", default="pocket", metavar="pocket|FOLDER", help="checkpoint (default: pocket)"
    )
    what.add_argument(
        "--quant",
        choices=(AUTO, *QUANTIZATIONS),
        default=AUTO,
        help="how its weights are held, which decides some words; auto: as they are stored, and "
        "what is stored as none is bf16 on cuda, and int8 on a CPU if it is large (default)",
    )
    what.add_argument(
        "--new-run", action="store_true", help="label everything again, though it has been labelled"
    )


def add_run_flags(parser: Parser) -> None:
    """The flags of how a job is run, whatever it does: `options_of`, and --max-failed."""
    how = parser.add_argument_group("how it is run")
    how.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto: cuda where there is a GPU that can be used (default)",
    )
    how.add_argument(
        "--replicas", type=positive, metavar="N", help="default: what the cluster has room for"
    )
    how.add_argument("--cpus-per-replica", type=positive, default=1, metavar="N", help="default: 1")
    how.add_argument(
        "--gpus-per-replica",
        type=_share,
        default=1.0,
        metavar="N",
        help="on cuda; below 1 for replicas that share a GPU (default: 1)",
    )
    how.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="images (default: 32; 6 for models of the released size on a CPU, 2 in int4)",
    )
    how.add_argument(
        "--shard-images",
        type=positive,
        metavar="N",
        help="images of a part file (default: some minutes' work, at most an eighth of the whole)",
    )
    how.add_argument(
        "--max-failed",
        type=_count,
        default=math.inf,
        metavar="N",
        help="exit with 3 if more images than this cannot be labelled (default: only if none can)",
    )
    how.add_argument(
        "--drain-seconds",
        type=_seconds,
        default=25.0,
        metavar="S",
        help="what shards under way have after SIGTERM or Ctrl-C (default: 25)",
    )
    how.add_argument(
        "--item-seconds",
        type=positive,
        default=60,
        metavar="S",
        help="an image that takes longer to decode is given up; a replica, so long for each image "
        "of the three batches that it may have begun (default: 60)",
    )


def add_plan_flags(parser: Parser) -> None:
    """The flags that ask what a job would take: `require_plan` looks at them together."""
    group = parser.add_argument_group("what it would take")
    group.add_argument(
        "--plan",
        action="store_true",
        help="label nothing: list INPUT, look at a sample of it, and say how many images there "
        "are, how many will fail, and what time and money the job takes on how many replicas",
    )
    group.add_argument(
        "--price-per-hour",
        type=_price,
        metavar="X",
        help="with --plan: of what one replica takes, its share of a machine, in any currency",
    )


def require_plan(given: argparse.Namespace) -> None:
    """Raises UsageError for a price without --plan, which it would be nothing to."""
    if given.price_per_hour is not None and not given.plan:
        raise UsageError("--price-per-hour is for --plan, which is not asked")


def options_of(given: argparse.Namespace) -> Options:
    """What the flags of `add_run_flags` say."""
    return Options(
        device=given.device,
        replicas=given.replicas,
        cpus_per_replica=given.cpus_per_replica,
        gpus_per_replica=given.gpus_per_replica,
        batch_size=given.batch_size,
        shard_images=given.shard_images,
        drain_seconds=given.drain_seconds,
        item_seconds=given.item_seconds,
    )


def positive(text: str) -> int:
    """A whole number, 1 and up, of a flag."""
    return _at_least(1, text)


def _count(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    if not text.removeprefix("-").isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    if int(text) < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1
    if not 0 <= price < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a price")
    return price


def _share(text: str) -> float:
    """Ray takes parts of a GPU, or whole ones."""
    try:
        share = float(text)
    except ValueError:
        share = 0
    if not (0 < share < 1 or (share >= 1 and share.is_integer())):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a part of one GPU nor whole GPUs")
    return share
