"""A checkpoint of the smallest network with random weights, for tests that need no sense."""

from pathlib import Path

import torch

from workers.model import TinyGPTV
from workers.model.authors.tokenizer import read_tokenizer
from workers.model.config import tiny
from workers.model.prompts import GenerationSettings

TOKENIZER = Path(__file__).parent / "parity" / "data" / "tokenizer_tiny"
SEED = 3
"""Of the first seeds the one whose network says most different things of different pictures."""
TEMPLATE = "###Human: <Img><ImageHere></Img> {question}###Assistant: "


def tiny_model(seed: int = SEED) -> TinyGPTV:
    """The same network for the same seed; what it says depends on the picture and means nothing."""
    tokenizer = read_tokenizer(TOKENIZER)
    settings = GenerationSettings(
        prompt_template=TEMPLATE,
        caption_question="what is this?",
        eos_token_ids=(tiny().language.eos_token_id,),
        max_new_tokens=6,
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = TinyGPTV(tiny(), tokenizer, settings)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    return model.eval()


def save_tiny_checkpoint(folder: Path, seed: int = SEED) -> Path:
    """`folder`, now a checkpoint folder of the tiny model."""
    tiny_model(seed).save_pretrained(folder)
    return folder
