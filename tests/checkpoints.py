"""A checkpoint of the smallest network with random weights, for tests that need no sense."""

from pathlib import Path

import torch

from workers.model import TinyGPTV
from workers.model.authors.tokenizer import read_tokenizer
from workers.model.config import tiny
from workers.model.prompts import GenerationSettings

TOKENIZER = Path(__file__).parent / "parity" / "data" / "tokenizer_tiny"
TEMPLATE = "###Human: <Img><ImageHere></Img> {question}###Assistant: "


def tiny_model(seed: int = 0) -> TinyGPTV:
    """The same network for the same seed; what it says depends on the picture and means nothing."""
    tokenizer = read_tokenizer(TOKENIZER)
    settings = GenerationSettings(
        prompt_template=TEMPLATE,
        caption_question="what is this?",
        eos_token_ids=(tiny().language.eos_token_id,),
        max_new_tokens=6,
    )
    model = TinyGPTV(tiny(), tokenizer, settings)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3, generator=generator)
    return model.eval()


def save_tiny_checkpoint(folder: Path, seed: int = 0) -> Path:
    """`folder`, now a checkpoint folder of the tiny model."""
    tiny_model(seed).save_pretrained(folder)
    return folder
