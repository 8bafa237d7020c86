"""Score a checkpoint on pictures whose names are known.

    python jobs/evaluate.py --suite caption --annotations FILE --images FOLDER \\
        [--model pocket|FOLDER] [--device auto|cpu|cuda] \\
        [--quant auto|none|bf16|int8|int4|fp8]

FILE holds JSON lines {"image": file name, "names": [accepted name, …]}. `--baseline CORPUS` scores
the nearest neighbour in frozen ImageNet features beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobs.arguments import Parser
from jobs.local_device import local_device
from schemas.outcome import BucketsightError, ExitCode, UsageError
from workers.model.quantization import AUTO, QUANTIZATIONS

if TYPE_CHECKING:
    from workers.model import TinyGPTV

PROGRAM = "evaluate"

BATCH = 32


def main(arguments: list[str] | None = None) -> int:
    """Parse, score, print; 2 with one sentence where the question cannot be answered."""
    parser = Parser(prog=PROGRAM, description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=("caption",), required=True)
    parser.add_argument("--annotations", type=Path, required=True, metavar="FILE")
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--model", default="pocket", metavar="pocket|FOLDER")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--quant", choices=(AUTO, *QUANTIZATIONS), default=AUTO)
    parser.add_argument("--baseline", type=Path, metavar="CORPUS")
    parser.add_argument("--baseline-kind", choices=("drawings", "photos"), default="drawings")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every caption and score")
    try:
        _evaluate(parser.parse_args(arguments))
    except BucketsightError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    return ExitCode.COMPLETE


def _evaluate(options: argparse.Namespace) -> None:
    from workers.evaluation.naming import read_annotations, score_captions
    from workers.model.description import checkpoint_folder, describe
    from workers.training.corpus.folder import whole_corpus

    cases = read_annotations(options.annotations, options.images)
    model_folder = checkpoint_folder(options.model)
    if options.baseline:
        whole_corpus(options.baseline)
    if options.json and (options.json.is_dir() or not options.json.absolute().parent.is_dir()):
        raise UsageError(f"--json {options.json} is a folder, or lies in one that is not there")
    device = local_device(options.device)
    quantization = describe(model_folder).quantization(options.quant, device)

    from workers.evaluation.nearest_neighbour import nearest_names
    from workers.model import TinyGPTV

    model = TinyGPTV.from_pretrained(model_folder, device=device, quant=quantization)
    captions = _captions(model, [case.path for case in cases])
    scores = {model.name: score_captions(cases, captions)}
    if options.baseline:
        paths = [case.path for case in cases]
        names = nearest_names(options.baseline, options.baseline_kind, paths)
        scores["nearest neighbour"] = score_captions(cases, names)
    print(f"{'':<20}{'quant':>6}{'images':>8}{'exact':>9}{'contained':>11}")
    for name, score in scores.items():
        held = quantization if name == model.name else ""
        print(f"{name:<20}{held:>6}{score.images:>8}{score.exact:>9.1%}{score.contained:>11.1%}")
    if options.json:
        answers = [
            {"image": case.path.name, "names": case.names, "caption": caption}
            for case, caption in zip(cases, captions, strict=True)
        ]
        scored = {name: asdict(score) for name, score in scores.items()}
        record = {"quantization": quantization, "scores": scored}
        options.json.write_text(json.dumps(record | {"captions": answers}, indent=1))


def _captions(model: TinyGPTV, paths: Sequence[Path]) -> list[str]:
    from workers.evaluation.pictures import read_picture

    captions: list[str] = []
    for start in range(0, len(paths), BATCH):
        captions += model.caption([read_picture(path) for path in paths[start : start + BATCH]])
        print(f"\r{len(captions)}/{len(paths)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return captions


if __name__ == "__main__":
    sys.exit(main())
