"""A checkpoint folder in Hugging Face's conventions: written whole or not at all, read verified.

    config.json               every number of the network
    model.safetensors         the weights; or model-0000n-of-0000m.safetensors and their index
    tokenizer.json            the tokenizer, with tokenizer_config.json
    preprocessor_config.json  how pixels are prepared (SPEC.md §1.1)
    generation_config.json    the prompt template, the caption question, when an answer ends
    manifest.json             SHA-256 of every file above, the sources, the quantization

Reading compares every digest first and never unpickles.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerFast

from schemas.outcome import CheckpointError, UsageError
from workers.model.config import TinyGPTVConfig
from workers.model.description import (
    CONFIG,
    GENERATION,
    MODEL_TYPE,
    Description,
    describe,
    read_json,
)
from workers.model.manifest import MANIFEST, Manifest, Origin, digest_file, verify_files
from workers.model.prompts import GenerationSettings
from workers.model.quantization import NONE, require_storable
from workers.model.quantized import Quantized, quantize_blocks
from workers.model.shards import WEIGHTS_SUFFIX, Block, read_tensors, write_shards

TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
PREPROCESSOR = "preprocessor_config.json"
BICUBIC = 3
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


@dataclass(frozen=True)
class Checkpoint(Description):
    """A verified folder: everything but the weights, which `weights` reads."""

    tokenizer: PreTrainedTokenizerFast

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors by name, one at a time, the largest first."""
        names = (file.name for file in self.manifest.files)
        return read_tensors(self.folder / name for name in names if name.endswith(WEIGHTS_SUFFIX))


def read_checkpoint(folder: Path | str) -> Checkpoint:
    """Open a checkpoint folder and compare every file with its digest.

    Raises:
        CheckpointError: the folder is missing, incomplete, altered, or of another format.
    """
    said = describe(folder)
    verify_files(said.folder, said.manifest)
    listed = {file.name for file in said.manifest.files}
    for name in (TOKENIZER, TOKENIZER_CONFIG):
        if name not in listed:
            raise CheckpointError(f"{said.folder / MANIFEST} does not list {name}")
    try:
        tokenizer = _read_tokenizer(said.folder)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{folder} is not a TinyGPT-V checkpoint: {error!r}") from error
    return Checkpoint(said.folder, said.manifest, said.config, said.generation, tokenizer)


def load_weights(
    model: nn.Module,
    weights: Iterable[tuple[str, torch.Tensor]],
    device: torch.device | str,
    dtype: torch.dtype,
) -> None:
    """Give a model that was built on the meta device its parameters, tensor by tensor.

    At no time are there two copies: a tensor is read, copied to `device` as `dtype`, and let go.
    The parts of quantized matrices keep their own dtypes.

    Raises:
        CheckpointError: names a key that is missing, misshapen, or none of the model's.
    """
    missing = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for name, tensor in weights:
        if name not in missing:
            raise CheckpointError(f"the weights hold {name}, which is none of the network's")
        shape = missing.pop(name)
        if tensor.shape != shape:
            raise CheckpointError(
                f"{name} has shape {list(tensor.shape)}, config.json needs {list(shape)}"
            )
        module_name, _, attribute = name.rpartition(".")
        module = model.get_submodule(module_name)
        if isinstance(module, Quantized) and attribute != "bias":
            module.give(attribute, tensor.to(device))
        else:
            setattr(module, attribute, nn.Parameter(tensor.to(device=device, dtype=dtype)))
    for name in missing:
        raise CheckpointError(f"the weights lack {name}")


def write_checkpoint(
    folder: Path | str,
    config: TinyGPTVConfig,
    tokenizer: PreTrainedTokenizerFast,
    generation: GenerationSettings,
    blocks: Iterable[Block],
    origin: Origin | None = None,
    quantization: str = NONE,
) -> Manifest:
    """Write a checkpoint folder; nothing stands at `folder` before everything does.

    `blocks` hold an unquantized network.

    Raises:
        UsageError: `folder` is there already and not empty, or cannot be made; no folder is stored
            as `quantization`.
    """
    require_storable(quantization)
    with _new_folder(Path(folder)) as new:
        write_shards(new, quantize_blocks(blocks, quantization))
        _write_json(new / CONFIG, MODEL_TYPE | config.to_dict())
        _write_json(new / PREPROCESSOR, _preprocessor_to(config))
        _write_json(new / GENERATION, _generation_to(generation))
        _write_tokenizer(new, tokenizer)
        files = tuple(digest_file(path) for path in sorted(new.iterdir()))
        manifest = Manifest(files, origin or Origin(), quantization)
        _write_json(new / MANIFEST, manifest.to_dict())
    return manifest


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary sibling that takes `folder`'s name at the end; a killed writer leaves no name."""
    refuse_occupied(folder)
    new = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    try:
        new.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error}") from error
    try:
        yield new
        try:
            new.rename(folder)
        except OSError as error:
            raise UsageError(f"{folder} was taken while it was being made: {error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def refuse_occupied(folder: Path) -> None:
    """A checkpoint is never written over something.

    Raises:
        UsageError: there is something at `folder`, other than an empty folder.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; give a folder that is new")
    elif folder.exists():
        raise UsageError(f"{folder} is there already and is no folder")


def _preprocessor_to(config: TinyGPTVConfig) -> dict[str, Any]:
    return {
        "image_processor_type": "BlipImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": config.image_size, "width": config.image_size},
        "resample": BICUBIC,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(config.image_mean),
        "image_std": list(config.image_std),
    }


def _generation_to(generation: GenerationSettings) -> dict[str, Any]:
    return {
        "do_sample": False,
        "eos_token_id": list(generation.eos_token_ids),
        "pad_token_id": generation.eos_token_ids[0],
        "max_new_tokens": generation.max_new_tokens,
        "prompt_template": generation.prompt_template,
        "caption_question": generation.caption_question,
    }


def _write_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    (folder / TOKENIZER).write_text(tokenizer.backend_tokenizer.to_str(pretty=True), "utf-8")
    special = {name: getattr(tokenizer, name) for name in SPECIAL_TOKENS}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": tokenizer.model_max_length,
        "clean_up_tokenization_spaces": tokenizer.clean_up_tokenization_spaces,
    }
    _write_json(folder / TOKENIZER_CONFIG, settings | special)


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    # Not from_pretrained: that would also read files in the folder that the manifest does not list.
    settings = read_json(folder / TOKENIZER_CONFIG)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str((folder / TOKENIZER).read_text("utf-8")),
        model_max_length=settings["model_max_length"],
        clean_up_tokenization_spaces=settings["clean_up_tokenization_spaces"],
        # The authors' transformers cleaned up whatever the tokenizer; today's wants to be told so.
        clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output=True,
        **{name: settings[name] for name in SPECIAL_TOKENS},
    )


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
