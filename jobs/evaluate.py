"""Score a checkpoint on pictures whose names are known.

    python jobs/evaluate.py --suite caption --annotations FILE --images FOLDER [--model pocket]

FILE holds JSON lines {"image": file name, "names": [accepted name, …]}. `--baseline CORPUS` scores
the nearest neighbour in frozen ImageNet features beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from schemas.outcome import BucketsightError

BATCH = 32


def main(arguments: list[str] | None = None) -> int:
    """Parse, score, print; 2 with one sentence where the question cannot be answered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=("caption",), required=True)
    parser.add_argument("--annotations", type=Path, required=True, metavar="FILE")
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--model", default="pocket", metavar="pocket|FOLDER")
    parser.add_argument("--baseline", type=Path, metavar="CORPUS")
    parser.add_argument("--baseline-kind", choices=("drawings", "photos"), default="drawings")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every caption and score")
    try:
        return _evaluate(parser.parse_args(arguments))
    except BucketsightError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return error.exit_code


def _evaluate(options: argparse.Namespace) -> int:
    from workers.evaluation.naming import read_annotations, score_captions
    from workers.model import TinyGPTV
    from workers.model.description import checkpoint_folder

    cases = read_annotations(options.annotations, options.images)
    model = TinyGPTV.from_pretrained(checkpoint_folder(options.model))
    captions: list[str] = []
    for start in range(0, len(cases), BATCH):
        captions += model.caption([case.path for case in cases[start : start + BATCH]])
        print(f"\r{len(captions)}/{len(cases)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    scores = {model.name: score_captions(cases, captions)}
    if options.baseline:
        from workers.evaluation.nearest_neighbour import nearest_names

        names = nearest_names(options.baseline, options.baseline_kind, [c.path for c in cases])
        scores["nearest neighbour"] = score_captions(cases, names)
    print(f"{'':<20}{'images':>8}{'exact':>9}{'contained':>11}")
    for name, score in scores.items():
        print(f"{name:<20}{score.images:>8}{score.exact:>9.1%}{score.contained:>11.1%}")
    if options.json:
        answers = [
            {"image": case.path.name, "names": case.names, "caption": caption}
            for case, caption in zip(cases, captions, strict=True)
        ]
        record = {"scores": {name: asdict(score) for name, score in scores.items()}}
        options.json.write_text(json.dumps(record | {"captions": answers}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
