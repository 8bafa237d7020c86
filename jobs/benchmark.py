"""Compare this runner with what one would otherwise write: one command, one table.

    python jobs/benchmark.py [--model pocket|FOLDER|released-224|released-448] …

Measured in turns on the same pictures, each system in a process of its own: `replica`, the model of
this runner without Ray; `plain`, the transformers pipeline; `job`, caption_bucket as a command;
`ray-data`, Ray Data over the plain pipeline. `--systems replica,three,vocabulary,every-tag` has the
replica asked several tasks at one look, or for tags of a vocabulary, beside captions alone.
benchmarks/ has the parts; measurement.py, work.py and limit.py say by which rules. Exit codes: 0
measured, 1 a system failed, 2 bad usage.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.comparison.question import LOOKS, SYSTEMS
from jobs.arguments import Parser, positive
from jobs.labelling import say
from jobs.local_device import local_device
from schemas.outcome import BucketsightError, ExitCode, UsageError
from schemas.version import ROOT
from workers.model.quantization import AUTO, AUTO_WIDTH, QUANTIZATIONS

PROGRAM = "benchmark"
MODELS = ROOT / "build" / "benchmark"
"""Where a model of released size is made, once."""
FEW, MANY = 32, 256
"""Pictures by default: for a model that takes seconds for one, and for a small one."""


def main(arguments: list[str] | None = None) -> int:
    """Parse, compare, print; 2 with one sentence where the question cannot be answered."""
    said = sys.argv[1:] if arguments is None else arguments
    try:
        print(_benchmark(_parser().parse_args(said), said))
    except BucketsightError as error:
        say(f"{PROGRAM}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say(f"{PROGRAM}: stopped")
        return ExitCode.INTERRUPTED
    return ExitCode.COMPLETE


def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model",
        default="pocket",
        metavar="pocket|FOLDER|released-224|released-448",
        help="a checkpoint, or random weights of released size (default: pocket)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        default=ROOT / "examples" / "images",
        metavar="FOLDER",
        help="its whole pictures are taken in turns (default: examples/images)",
    )
    parser.add_argument(
        "--count",
        type=positive,
        metavar="N",
        help=f"pictures (default: {MANY}, {FEW} for a large model)",
    )
    parser.add_argument(
        "--systems",
        type=_systems,
        default=SYSTEMS,
        metavar="A,B",
        help=f"of {','.join(SYSTEMS)} (default: these), {','.join(LOOKS)} (replica asked more)",
    )
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="default: 3")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--quant",
        choices=(AUTO, *QUANTIZATIONS),
        default=AUTO,
        help="of this runner (default: auto)",
    )
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="of this runner (default: as the job's)"
    )
    parser.add_argument(
        "--cpus-per-replica", type=positive, metavar="N", help="of the job (default: all cores)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records of the tables")
    return parser


def _benchmark(given: argparse.Namespace, arguments: list[str]) -> str:
    from benchmarks.comparison.machine import describe_machine
    from benchmarks.comparison.models import fixed_tokens, model_folder
    from benchmarks.comparison.pictures import repeat
    from benchmarks.comparison.question import Question, cores
    from benchmarks.comparison.report import records, tables
    from benchmarks.comparison.rounds import compare
    from workers.model.description import describe
    from workers.plan.cut import batch_for

    if given.json and (given.json.is_dir() or not given.json.absolute().parent.is_dir()):
        raise UsageError(f"--json {given.json} is a folder, or lies in one that is not there")
    device = local_device(given.device)
    model = model_folder(given.model, MODELS)
    checkpoint = describe(model)
    quantization = checkpoint.quantization(given.quant, device)
    large = checkpoint.config.language.hidden_size >= AUTO_WIDTH
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        images = Path(scratch, "images")
        repeat(given.images, given.count or (FEW if large else MANY), images)
        question = Question(
            images=str(images),
            model=str(model.absolute()),
            device=device,
            quant=given.quant,
            batch_size=given.batch_size
            or batch_for(checkpoint.config.image_size, device, quantization),
            cpus_per_replica=given.cpus_per_replica or cores(),
            new_tokens=fixed_tokens(given.model),
        )
        comparison = compare(question, given.systems, given.rounds, say)
        command = shlex.join(["python", "jobs/benchmark.py", *arguments])
        record = records(comparison, describe_machine(device), command)
    if given.json:
        try:
            given.json.write_text(json.dumps(record, indent=1) + "\n")
        except OSError as error:  # what was measured is printed all the same
            say(f"{PROGRAM}: {given.json} was not written: {error.strerror or error}")
    return tables(record)


def _systems(text: str) -> tuple[str, ...]:
    asked = tuple(text.split(","))
    for system in asked:
        if system not in (*SYSTEMS, *LOOKS):
            known = ", ".join((*SYSTEMS, *LOOKS))
            raise argparse.ArgumentTypeError(f"{system!r} is none of {known}")
    if len({*asked}) != len(asked):
        raise argparse.ArgumentTypeError(f"{text!r} names a system twice")
    return asked


if __name__ == "__main__":
    # What it has started ends with it, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
