"""Train the pocket checkpoint: two stages of pretraining, then the four stages of the paper.

    python jobs/train.py CORPUS OUT [--seed N] [--device auto|cpu|cuda]

CORPUS is a folder that jobs/prepare_corpus.py wrote. OUT receives `pocket/` (the checkpoint),
`losses.jsonl`, `losses.png` and the state to go on from: the same command resumes, another seed or
corpus is refused.

Exit codes: 0 trained, 2 bad usage, 75 stopped, and the same command goes on, 1 anything else.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobs.arguments import Parser
from jobs.local_device import local_device
from schemas.outcome import BucketsightError, ExitCode, UsageError

PROGRAM = "train"


def main(arguments: list[str] | None = None) -> int:
    """Parse, train, save; the exit code."""
    parser = Parser(prog=PROGRAM, description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    try:
        _train(parser.parse_args(arguments))
    except BucketsightError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{PROGRAM}: stopped; the same command goes on", file=sys.stderr)
        return ExitCode.INTERRUPTED
    return ExitCode.COMPLETE


def _train(options: argparse.Namespace) -> None:
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{options.out} cannot be made: {error.strerror}") from error
    device = local_device(options.device)

    from workers.training.batches import Corpus
    from workers.training.curve import draw_losses
    from workers.training.trainer import Trainer

    trainer = Trainer(Corpus(options.corpus), options.out, options.seed, device)
    checkpoint = options.out / "pocket"
    if checkpoint.exists():
        print(f"this training is done: the checkpoint lies in {checkpoint}")
        return
    model = trainer.run()
    draw_losses(options.out / "losses.jsonl", options.out / "losses.png")
    model.half().save_pretrained(checkpoint)
    print(f"the checkpoint lies in {checkpoint}")


if __name__ == "__main__":
    sys.exit(main())
