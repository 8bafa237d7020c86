"""How far each precision is from fp32: what the eye tells the decoder, and the scores of a token.

    python benchmarks/quantization_error.py [MODEL_FOLDER] [PICTURES]

A folder of random weights of the released size is made by `jobs/benchmark.py --model released-448`,
and lies in build/benchmark. Models are loaded one after the other; fp32 at the released size takes
16 GB. Printed: the norm of the difference over the norm of fp32's, over all pictures, and how often
the likeliest token is fp32's.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.comparison.models import NEVER
from benchmarks.comparison.pictures import read_ahead
from schemas.asks import Prompt, Write
from schemas.version import ROOT
from workers.model import TinyGPTV
from workers.model.decoding import PhiDecoder
from workers.model.description import checkpoint_folder
from workers.model.quantization import BF16, INT4, INT8, NONE

PICTURES = ROOT / "examples" / "images"


def main(folder: Path, count: int) -> None:
    """Print one line a precision."""
    exact: tuple[torch.Tensor, torch.Tensor] | None = None
    print(f"{'':<8}{'features':>10}{'scores':>10}{'same token':>12}")
    for quantization in (NONE, BF16, INT8, INT4):
        features, scores = seen(folder, count, quantization)
        exact = exact or (features, scores)
        same = (scores.argmax(-1) == exact[1].argmax(-1)).float().mean()
        can_come = exact[1] > NEVER / 2  # random weights forbid the ids that end an answer
        pairs = (features, exact[0]), (scores[can_come], exact[1][can_come])
        errors = [float((found - true).norm() / true.norm()) for found, true in pairs]
        print(f"{quantization:<8}{errors[0]:>10.2%}{errors[1]:>10.2%}{same:>12.0%}", flush=True)


@torch.inference_mode()
def seen(folder: Path, count: int, quantization: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [B, Q, D] and scores [B, V] of the caption prompt's next token, in fp32."""
    model = TinyGPTV.from_pretrained(folder, quant=quantization)
    paths = sorted(PICTURES.glob("*.png"))[:count]
    features = model.encode(list(read_ahead(paths, model.config.image_size)))
    ask = Write(Prompt(model.generation.caption_prompt), max_new_tokens=1)
    rows = torch.stack(
        [model.read(row) for row in model.prefix(features, [[ask]] * len(paths)).rows]
    )
    decoder = PhiDecoder(model.language_model)
    cache = decoder.new_cache(len(paths), rows.shape[1])
    scores = decoder.logits(decoder.extend(rows, cache, 0, [0] * len(paths))[:, -1])
    return features.embeds.float(), scores


if __name__ == "__main__":
    main(
        checkpoint_folder(sys.argv[1] if len(sys.argv) > 1 else "pocket"),
        int(sys.argv[2]) if len(sys.argv) > 2 else 4,
    )
