"""What a checkpoint folder says of itself, without its weights.

A driver plans with these values on a machine that may have no torch worth loading.

    config.json               every number of the network
    generation_config.json    the prompt template, the caption question, when an answer ends
    manifest.json             SHA-256 of every file, the sources, the quantization
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.job import IMAGE_PLACEHOLDER
from schemas.outcome import CheckpointError
from workers.model.config import TinyGPTVConfig
from workers.model.manifest import (
    MANIFEST,
    Manifest,
    read_manifest,
    verify_files,
)
from workers.model.prompts import QUESTION_PLACE, GenerationSettings
from workers.model.quantization import STORED, resolve_quantization

CONFIG = "config.json"
GENERATION = "generation_config.json"
MODEL_TYPE = {"architectures": ["TinyGPTV"], "model_type": "tinygptv"}
SHIPPED = Path(__file__).parent / "checkpoints"
"""The checkpoints that travel with the program, each known by its folder's name."""


@dataclass(frozen=True)
class Description:
    """A checkpoint folder, the digests of the files read here compared with the manifest."""

    folder: Path
    manifest: Manifest
    config: TinyGPTVConfig
    generation: GenerationSettings

    @property
    def name(self) -> str:
        """What a row calls the model: its folder's name."""
        return self.folder.resolve().name

    def quantization(self, asked: str, device: str) -> str:
        """What `--quant` means for this checkpoint on `device`, one of QUANTIZATIONS.

        Raises:
            UsageError: what was asked for cannot be had.
        """
        width = self.config.language.hidden_size
        return resolve_quantization(self.manifest.quantization, asked, device, width)


def checkpoint_folder(model: str | Path) -> Path:
    """The folder of a shipped checkpoint's name, or `model` itself, which is a folder then.

    Raises:
        CheckpointError: neither is there; says where was looked.
    """
    try:
        folder, shipped = Path(model).expanduser(), SHIPPED / model
    except RuntimeError as error:  # ~nobody
        raise CheckpointError(f"there is no model {str(model)!r}: {error}") from error
    if folder.name == str(model) and (shipped / MANIFEST).is_file():
        return shipped
    if folder.is_dir():
        return folder
    names = sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST}"))
    raise CheckpointError(
        f"there is no model {str(model)!r}: no folder {folder.absolute()}, and none of the shipped "
        f"checkpoints ({', '.join(names) or 'there are none'})"
    )


def portable(model: str | Path) -> str:
    """What `checkpoint_folder` takes on another machine: a shipped name, or an absolute path.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    folder = checkpoint_folder(model)
    return folder.name if folder.parent == SHIPPED else str(folder.absolute())


def describe(folder: Path | str) -> Description:
    """Read a checkpoint folder's manifest, numbers and generation settings.

    Raises:
        CheckpointError: the folder is missing, of another format, or these files are altered.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"there is no checkpoint folder {folder}")
    manifest = read_manifest(folder)
    if manifest.quantization not in STORED:
        raise CheckpointError(
            f"{folder} is quantized as {manifest.quantization!r}, which this program cannot read"
        )
    read_here = tuple(file for file in manifest.files if file.name in (CONFIG, GENERATION))
    if len(read_here) != 2:
        raise CheckpointError(f"{folder / MANIFEST} does not list {CONFIG} and {GENERATION}")
    verify_files(folder, Manifest(read_here))
    try:
        return Description(
            folder,
            manifest,
            config=_config_from(read_json(folder / CONFIG)),
            generation=_generation_from(read_json(folder / GENERATION)),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{folder} is not a TinyGPT-V checkpoint: {error!r}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; ValueError where it holds anything else."""
    values = json.loads(path.read_bytes())
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return values


def _config_from(values: dict[str, Any]) -> TinyGPTVConfig:
    for key, value in MODEL_TYPE.items():
        if values.pop(key, None) != value:
            raise ValueError(f"config.json does not say {key} {value!r}")
    config = TinyGPTVConfig.from_dict(values)
    # A number that is left out would silently be the released one.
    if json.loads(json.dumps(config.to_dict())) != values:
        raise ValueError("config.json lacks a number")
    return config


def _generation_from(values: Mapping[str, Any]) -> GenerationSettings:
    template = str(values["prompt_template"])
    for place in (IMAGE_PLACEHOLDER, QUESTION_PLACE):
        if template.count(place) != 1:
            raise ValueError(f"{GENERATION}: the prompt template must hold {place} once")
    return GenerationSettings(
        prompt_template=template,
        caption_question=str(values["caption_question"]),
        eos_token_ids=tuple(int(token) for token in values["eos_token_id"]),
        max_new_tokens=int(values["max_new_tokens"]),
    )
