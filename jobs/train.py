"""Train the pocket checkpoint: two stages of pretraining, then the four stages of the paper.

    python jobs/train.py CORPUS OUT [--seed N] [--device auto|cpu|cuda]

CORPUS is a folder that jobs/prepare_corpus.py wrote. OUT receives `pocket/` (the checkpoint),
`losses.jsonl`, `losses.png` and the state to go on from: the same command resumes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(arguments: list[str] | None = None) -> int:
    """Parse, train, save; 2 where the corpus is not one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options = parser.parse_args(arguments)
    if not (options.corpus / "drawings.parquet").exists():
        print(
            f"{options.corpus} is no prepared corpus; make one with jobs/prepare_corpus.py",
            file=sys.stderr,
        )
        return 2
    checkpoint = options.out / "pocket"
    if checkpoint.exists():
        print(f"this training is done: the checkpoint lies in {checkpoint}")
        return 0

    import torch

    from workers.training.batches import Corpus
    from workers.training.curve import draw_losses
    from workers.training.trainer import Trainer

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(Corpus(options.corpus), options.out, options.seed, device)
    model = trainer.run()
    draw_losses(options.out / "losses.jsonl", options.out / "losses.png")
    model.half().save_pretrained(checkpoint)
    print(f"the checkpoint lies in {checkpoint}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
