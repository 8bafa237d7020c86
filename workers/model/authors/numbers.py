"""The network's numbers under the authors' names: the released ones, or others from a JSON file.

The file's sections are those of the reference fixtures: `vit`, `qformer`, `proj`, `phi`, `lora`,
and the two epsilons that stand alone. A number that it leaves out is the released one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from typing import Any

from schemas.outcome import UsageError
from workers.model.config import TinyGPTVConfig, VisionConfig, released

# The authors' names of our fields.
VISION = {
    "img_size": "image_size",
    "patch_size": "patch_size",
    "embed_dim": "hidden_size",
    "mlp_hidden": "intermediate_size",
    "depth": "num_layers",
    "num_heads": "num_heads",
    "layer_norm_eps": "layer_norm_eps",
}
QFORMER = {
    "num_query_token": "num_query_tokens",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "cross_attention_freq": "cross_attention_frequency",
    "layer_norm_eps": "layer_norm_eps",
}
LANGUAGE = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "max_position_embeddings": "max_position_embeddings",
    "partial_rotary_factor": "partial_rotary_factor",
    "rope_theta": "rope_theta",
    "layer_norm_eps": "layer_norm_eps",
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
}
LORA = {"r": "rank", "alpha": "alpha"}

# What the network has no choice about; another value is another network.
FIXED: Mapping[str, Mapping[str, Any]] = {
    "vit": {"qkv_bias": "q_bias/v_bias only", "use_abs_pos_emb": True},
    "qformer": {"hidden_act": "gelu"},
    "phi": {
        "hidden_act": "gelu_new",
        "model_type": "phi",
        "rope_scaling": None,
        "tie_word_embeddings": False,
    },
    "lora": {"target_modules": ["query_key_value", "dense"]},
}

SECTIONS = frozenset({"vit", "qformer", "proj", "phi", "lora", "arch"})
VISION_EPSILON = "ln_vision_eps"
RMS_EPSILON = "rms_post_layernorm_eps"
# What a reference fixture tells of itself beside its numbers.
DESCRIPTION = frozenset(
    {
        "chat",
        "files",
        "gen",
        "loss",
        "name",
        "param_dtypes_after_unpatched_load",
        "phi_folder_has_custom_norm_keys",
        "prompt_segment_ids",
        "prompts",
        "questions",
        "reference_source",
        "seed",
        "tensors",
        "text_only",
        "tokens",
        "versions",
    }
)

# What says nothing about inference, or follows from other numbers.
SILENT: Mapping[str, frozenset[str]] = {
    "vit": frozenset({"file_img_size", "file_depth", "mlp_ratio"}),
    "qformer": frozenset({"encoder_width"}),
    # The authors' layer norms queries and keys whatever `qk_layernorm` says (SPEC.md §2 step 3).
    "phi": frozenset(
        {
            "attention_dropout",
            "embd_pdrop",
            "initializer_range",
            "qk_layernorm",
            "resid_pdrop",
            "torch_dtype",
            "transformers_version",
            "use_cache",
        }
    ),
    "lora": frozenset({"scaling", "dropout"}),
}


@dataclass(frozen=True)
class Lora:
    """The adapters' numbers, which no file tells (CHECKPOINTS.md §3.2)."""

    rank: int = 64
    alpha: float = 16.0

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank


@dataclass(frozen=True)
class Numbers:
    """What the authors' files do not say themselves."""

    config: TinyGPTVConfig
    lora: Lora
    stage_four: bool
    """Whether prompts are those of stage 4 (SPEC.md §4.1)."""


def released_numbers(image_size: int) -> Numbers:
    """The authors' own: 224 px is a checkpoint of stage 1 to 3, 448 px one of stage 4.

    Raises:
        UsageError: another image size.
    """
    for stage in (3, 4):
        config = released(stage)
        if config.image_size == image_size:
            return Numbers(config, Lora(), stage_four=stage == 4)
    raise UsageError(
        f"--image-size {image_size} is none of the released ones, 224 (stages 1 to 3) and "
        "448 (stage 4); give other numbers with --config"
    )


def read_numbers(path: Path, image_size: int) -> Numbers:
    """Numbers from a JSON file, over the released ones.

    Raises:
        UsageError: no such file, a key or value that no TinyGPT-V has, numbers that contradict each
            other or `image_size`.
    """
    values = _read_json(path)
    for key in sorted(values.keys() - SECTIONS - DESCRIPTION - {VISION_EPSILON, RMS_EPSILON}):
        raise UsageError(f"{path} says {key}, which is no number of a TinyGPT-V")
    default = released(3)
    vit = _section(path, values, "vit", VISION, default.vision)
    vit.setdefault("image_size", image_size)
    if vit["image_size"] != image_size:
        raise UsageError(f"{path} says vit.img_size {vit['image_size']}, --image-size {image_size}")
    if "intermediate_size" not in vit and "mlp_ratio" in values.get("vit", {}):
        width = vit.get("hidden_size", VisionConfig.hidden_size)
        ratio = _number(path, "vit.mlp_ratio", values["vit"]["mlp_ratio"])
        vit["intermediate_size"] = int(width * ratio)
    if VISION_EPSILON in values:
        vit["output_layer_norm_eps"] = _number(path, VISION_EPSILON, values[VISION_EPSILON])
    qformer = _section(path, values, "qformer", QFORMER, default.qformer)
    phi = _section(path, values, "phi", LANGUAGE, default.language)
    if RMS_EPSILON in values:
        phi["rms_norm_eps"] = _number(path, RMS_EPSILON, values[RMS_EPSILON])
    config = replace(
        default,
        vision=replace(default.vision, **vit),
        qformer=replace(default.qformer, **qformer),
        language=replace(default.language, **phi),
    )
    if "proj" in values:
        config = replace(config, projection_size=_projection_size(path, values["proj"], config))
    _check_sizes(path, values, config)
    lora = _lora(path, values)
    return Numbers(config, lora, _is_stage_four(path, values, image_size))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"--config {path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"--config {path} is no JSON object")
    return values


def _section(
    path: Path, values: Mapping[str, Any], name: str, fields: Mapping[str, str], default: object
) -> dict[str, Any]:
    section = values.get(name, {})
    if not isinstance(section, dict):
        raise UsageError(f"{path} says {name} {section!r}, which is no JSON object")
    ours: dict[str, Any] = {}
    for key, value in section.items():
        if key in fields:
            whole = isinstance(getattr(default, fields[key]), int)
            ours[fields[key]] = _number(path, f"{name}.{key}", value, whole)
        elif key in FIXED[name]:
            if value != FIXED[name][key]:
                raise UsageError(
                    f"{path} says {name}.{key} {value!r}, a TinyGPT-V has {FIXED[name][key]!r}"
                )
        elif key not in SILENT[name]:
            raise UsageError(f"{path} says {name}.{key}, which is no number of a TinyGPT-V")
    return ours


def _number(path: Path, what: str, value: Any, whole: bool = False) -> Any:
    """`value`, an int where `whole`, else any number."""
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        kind = "whole number" if whole else "number"
        raise UsageError(f"{path} says {what} {value!r}, which is no {kind}")
    return value


def _lora(path: Path, values: Mapping[str, Any]) -> Lora:
    lora = Lora(**_section(path, values, "lora", LORA, Lora()))
    if lora.rank < 1:
        raise UsageError(f"{path} says lora.r {lora.rank}, which is no rank")
    said = values.get("lora", {}).get("scaling", lora.scaling)
    if not isclose(_number(path, "lora.scaling", said), lora.scaling):
        raise UsageError(f"{path} says lora.scaling {said}, but alpha / r is {lora.scaling}")
    return lora


def _projection_size(path: Path, proj: Any, config: TinyGPTVConfig) -> int:
    try:
        (queries, width), (same_width, language) = proj["llama_proj"], proj["llama_proj2"]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} says proj {proj!r}, not its two shapes") from error
    expected = (config.qformer.hidden_size, width, config.language.hidden_size)
    if (queries, same_width, language) != expected:
        raise UsageError(f"{path} says proj {proj!r}, which does not fit qformer and phi")
    return int(width)


def _check_sizes(path: Path, values: Mapping[str, Any], config: TinyGPTVConfig) -> None:
    vision, qformer, language = config.vision, config.qformer, config.language
    for what, size, divisor in (
        ("vit.img_size", vision.image_size, vision.patch_size),
        ("vit.embed_dim", vision.hidden_size, vision.num_heads),
        ("qformer.hidden_size", qformer.hidden_size, qformer.num_heads),
        ("phi.hidden_size", language.hidden_size, language.num_heads),
    ):
        if divisor < 1 or size < 1 or size % divisor:
            raise UsageError(f"{path} says {what} {size}, which is no multiple of {divisor}")
    width = values.get("qformer", {}).get("encoder_width", vision.hidden_size)
    if width != vision.hidden_size:
        raise UsageError(f"{path} says qformer.encoder_width {width}, the ViT's width is another")


def _is_stage_four(path: Path, values: Mapping[str, Any], image_size: int) -> bool:
    if "arch" not in values:
        # As released: only stage 4 sees larger images than the ViT was trained on.
        trained = values.get("vit", {}).get("file_img_size", 224)
        return bool(image_size > _number(path, "vit.file_img_size", trained))
    classes = {"minigpt4": False, "minigpt_v2": True}
    if values["arch"] not in classes:
        raise UsageError(f"{path} says arch {values['arch']!r}, not minigpt4 or minigpt_v2")
    return classes[values["arch"]]
