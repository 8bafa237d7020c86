"""The authors' files → one checkpoint folder, tensor by tensor (CHECKPOINTS.md).

Only headers are read until a tensor's turn to be written comes, so that the released 8 GB need no
more memory than their largest matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from schemas.outcome import UsageError
from workers.model.authors import keymap
from workers.model.authors.assemble import AuthorsFiles, assemble
from workers.model.authors.files import LazyTensor, open_file, open_phi
from workers.model.authors.numbers import read_numbers, released_numbers
from workers.model.authors.prompts import generation_settings
from workers.model.authors.tokenizer import read_tokenizer, tokenizer_files
from workers.model.checkpoint import refuse_occupied, write_checkpoint
from workers.model.config import LanguageConfig, TinyGPTVConfig
from workers.model.manifest import Manifest, Origin, digest_file
from workers.model.quantization import NONE
from workers.model.shards import Block, TensorSpec
from workers.model.tinygptv import TinyGPTV


@dataclass(frozen=True)
class Conversion:
    """What the command asks for."""

    eva: Path
    blip2: Path
    phi: Path
    """A file, or a Hugging Face folder."""
    stage: Path
    tokenizer: Path
    image_size: int
    numbers: Path | None
    """JSON with other numbers than the released ones."""
    out: Path
    quantization: str = NONE
    """none, int8, int4 or fp8."""


def convert(request: Conversion) -> Manifest:
    """Make the checkpoint folder `request.out`.

    Raises:
        UsageError: an input is not there, `out` is occupied, or the numbers contradict each other.
        CheckpointError: a file is damaged or a pickle with more than tensors, or a key is missing,
            misshapen or unexplained.
    """
    refuse_occupied(request.out)
    numbers = (
        released_numbers(request.image_size)
        if request.numbers is None
        else read_numbers(request.numbers, request.image_size)
    )
    tokenizer = read_tokenizer(request.tokenizer)
    config = numbers.config
    _check_tokenizer(request.tokenizer, tokenizer, config.language)
    generation = generation_settings(numbers.stage_four, tokenizer)
    files = AuthorsFiles(
        eva=open_file("eva", request.eva),
        blip2=open_file("blip2", request.blip2),
        phi=open_phi(request.phi, config.language),
        stage=open_file("stage", request.stage),
    )
    with torch.device("meta"):
        shapes = TinyGPTV(config, tokenizer, generation).state_dict()
    assembly = assemble(files, _authors_shapes(shapes, config), numbers)
    parts = {role: getattr(files, role).parts for role in ("eva", "blip2", "phi", "stage")}
    parts["tokenizer"] = tokenizer_files(request.tokenizer)
    origin = Origin(
        sources={role: tuple(digest_file(path) for path in paths) for role, paths in parts.items()},
        dropped=assembly.dropped,
        replaced=assembly.replaced,
        notes=assembly.notes,
    )
    blocks = _blocks(assembly.state, shapes, config)
    return write_checkpoint(
        request.out, config, tokenizer, generation, blocks, origin, request.quantization
    )


def _check_tokenizer(
    folder: Path, tokenizer: PreTrainedTokenizerFast, language: LanguageConfig
) -> None:
    """As far as one can see, the tokenizer is the one that the language model learnt with."""
    if len(tokenizer) > language.vocab_size:
        raise UsageError(
            f"{folder} has {len(tokenizer)} tokens, the network only {language.vocab_size}"
        )
    if tokenizer.eos_token_id != language.eos_token_id:
        raise UsageError(
            f"{folder} ends a text with id {tokenizer.eos_token_id}, the network with "
            f"{language.eos_token_id} (phi.eos_token_id of --config)"
        )


def _authors_shapes(state: keymap.State, config: TinyGPTVConfig) -> dict[str, tuple[int, ...]]:
    """Our meta tensors, put under the authors' names, say what their files must hold."""
    theirs = keymap.to_authors(state, config)
    return {name: tuple(tensor.shape) for name, tensor in theirs.items()}


def _blocks(
    authors: Mapping[str, LazyTensor], ours: keymap.State, config: TinyGPTVConfig
) -> Iterator[Block]:
    for row in keymap.rows(config):
        tensors = [authors[name] for name in row.authors]
        dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
        specs = (TensorSpec(name, tuple(ours[name].shape), dtype) for name in row.ours)
        yield Block(tuple(specs), partial(_make, row, tensors, config))


def _make(
    row: keymap.Row, tensors: list[LazyTensor], config: TinyGPTVConfig
) -> tuple[torch.Tensor, ...]:
    return keymap.to_ours(row, [tensor.load() for tensor in tensors], config)
