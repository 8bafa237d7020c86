"""Which model is compared: a checkpoint, or one of released size that is made here once.

The released weights are not to be had everywhere, and time does not depend on their values: random
ones take their place, under the tokenizer of `pocket`. None of the ids that end an answer can come
of them, so that each answer has all its tokens in every system.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from workers.model import TinyGPTV
from workers.model.checkpoint import read_checkpoint, write_checkpoint
from workers.model.config import TinyGPTVConfig, released
from workers.model.description import checkpoint_folder
from workers.model.manifest import MANIFEST
from workers.model.shards import Block, TensorSpec

RELEASED = {"released-224": 1, "released-448": 4}
"""Names, and the stage of the authors' training whose sizes they have."""
NEW_TOKENS = 20
STD = 0.02
NEVER = -1e4
"""What the head adds to an id that must not come."""
MARKS = "#[]<>/"
"""No token that holds one of these comes: the marks between turns are made of them."""


def model_folder(model: str, build: Path) -> Path:
    """The checkpoint folder of a shipped name, of a folder, or of a name in `RELEASED`.

    The last is made in `build` where it is not there yet: about 8 GB of fp16.

    Raises:
        CheckpointError: there is no such model.
        UsageError: `build` cannot be written to.
    """
    if model not in RELEASED:
        return checkpoint_folder(model)
    folder = build / model
    if not (folder / MANIFEST).is_file():
        write_random(folder, released(RELEASED[model]))
    return folder


def fixed_tokens(model: str) -> int | None:
    """How many tokens each answer of `model` has, where that is the same for all."""
    return NEW_TOKENS if model in RELEASED else None


def write_random(folder: Path, config: TinyGPTVConfig) -> None:
    """A checkpoint folder of random weights in fp16, written tensor by tensor.

    Raises:
        UsageError: there is something at `folder` already, or it cannot be made.
    """
    shipped = read_checkpoint(checkpoint_folder("pocket"))
    generation = dataclasses.replace(shipped.generation, max_new_tokens=NEW_TOKENS)
    with torch.device("meta"):
        shapes = {
            name: tuple(tensor.shape)
            for name, tensor in TinyGPTV(config, shipped.tokenizer, generation).state_dict().items()
        }
    never = _ending_ids(shipped.tokenizer, generation.eos_token_ids)
    blocks = (
        Block(
            (TensorSpec(name, shape, torch.float16),),
            partial(_random, name, shape, never),
        )
        for name, shape in shapes.items()
    )
    write_checkpoint(folder, config, shipped.tokenizer, generation, blocks)


def _ending_ids(tokenizer: PreTrainedTokenizerFast, stops: Sequence[int]) -> list[int]:
    """Ids that end an answer, or are a piece of a mark that does."""
    marked = (
        index
        for text, index in tokenizer.get_vocab().items()
        if any(mark in text for mark in MARKS)
    )
    return sorted({*stops, *tokenizer.all_special_ids, *marked})


def _random(name: str, shape: tuple[int, ...], never: Sequence[int]) -> tuple[torch.Tensor]:
    """The same values for the same name: norms pass on, biases are zero."""
    if len(shape) == 1:
        values = torch.full(shape, 1.0 if name.endswith(".weight") else 0.0)
        if name == "language_model.lm_head.bias":
            values[list(never)] = NEVER
    else:
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        values = torch.randn(shape, generator=generator).mul_(STD)
    return (values.half(),)
