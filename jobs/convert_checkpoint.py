"""Turn the authors' files into one checkpoint folder that this program runs.

    python jobs/convert_checkpoint.py --eva eva_vit_g.pth --blip2 blip2_pretrained_flant5xxl.pth \\
        --phi phi-2/ --stage TinyGPT-V_for_Stage4.pth --tokenizer phi-2/ --image-size 448 OUT

Weights may be .pth, .bin or .safetensors. The released sizes need less than 2 GB of memory.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobs.arguments import Parser
from schemas.outcome import BucketsightError, ExitCode
from workers.model.quantization import NONE, STORED


def main(arguments: list[str] | None = None) -> int:
    """Parse, convert, say what was left out; the exit code."""
    options = _parse(arguments)
    # torch and transformers take seconds to import; wrong flags are told at once.
    from workers.model.convert import Conversion, convert

    request = Conversion(
        eva=options.eva,
        blip2=options.blip2,
        phi=options.phi,
        stage=options.stage,
        tokenizer=options.tokenizer,
        image_size=options.image_size,
        numbers=options.config,
        out=options.out,
        quantization=options.quant,
    )
    try:
        manifest = convert(request)
    except BucketsightError as error:
        print(f"convert_checkpoint: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        place = error.filename or options.out
        print(f"convert_checkpoint: {place}: {error.strerror or error}", file=sys.stderr)
        return ExitCode.FAILED
    for role, keys in manifest.origin.dropped.items():
        if keys:
            print(f"{role}: dropped {len(keys)} keys that nothing reads: {', '.join(keys)}")
    for role, keys in manifest.origin.replaced.items():
        if keys:
            print(f"{role}: {len(keys)} keys give way to the stage file's (see manifest.json)")
    for note in manifest.origin.notes:
        print(note)
    print(f"{options.out} holds the checkpoint, model digest {manifest.digest}")
    return ExitCode.COMPLETE


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="convert_checkpoint", description=__doc__.splitlines()[0])
    parser.add_argument("--eva", type=Path, required=True, metavar="FILE", help="eva_vit_g")
    parser.add_argument(
        "--blip2", type=Path, required=True, metavar="FILE", help="blip2_pretrained_flant5xxl"
    )
    parser.add_argument(
        "--phi", type=Path, required=True, metavar="FILE_OR_FOLDER", help="Phi-2's weights"
    )
    parser.add_argument(
        "--stage", type=Path, required=True, metavar="FILE", help="TinyGPT-V_for_StageN"
    )
    parser.add_argument(
        "--tokenizer", type=Path, required=True, metavar="FOLDER", help="Phi-2's tokenizer files"
    )
    parser.add_argument(
        "--image-size", type=int, required=True, metavar="N", help="224 (stages 1 to 3), 448 (4)"
    )
    parser.add_argument(
        "--config", type=Path, metavar="NUMBERS.json", help="other numbers than the released ones"
    )
    parser.add_argument(
        "--quant",
        choices=STORED,
        default=NONE,
        help="how matrices are stored; none can be had as any other when it is loaded (default)",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder that is new")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
