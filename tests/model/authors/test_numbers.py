"""The network's numbers: the released ones, or a file's, and no contradiction is passed over."""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.outcome import UsageError
from tests.golden import DATA
from workers.model.authors.numbers import read_numbers, released_numbers
from workers.model.config import released


def write(folder: Path, values: Any) -> Path:
    """A file of numbers."""
    path = folder / "numbers.json"
    path.write_text(json.dumps(values))
    return path


def test_released_numbers() -> None:
    """224 px means stages 1 to 3, 448 px stage 4; the adapters count a quarter."""
    assert released_numbers(224).config == released(1)
    assert not released_numbers(224).stage_four
    assert released_numbers(448).config == released(4)
    assert released_numbers(448).stage_four
    assert released_numbers(448).lora.scaling == 0.25
    with pytest.raises(UsageError, match="336"):
        released_numbers(336)


def test_golden_numbers() -> None:
    """The golden files' numbers become the network's, section by section."""
    numbers = read_numbers(DATA / "golden_B.json", 84)
    assert numbers.stage_four
    assert numbers.lora.scaling == 1.5
    config = numbers.config
    assert (config.vision.image_size, config.vision.intermediate_size) == (84, 349)
    assert (config.qformer.num_layers, config.qformer.num_query_tokens) == (5, 32)
    assert (config.language.num_heads, config.language.partial_rotary_factor) == (2, 0.4)
    assert config.vision.output_layer_norm_eps == 1e-5


def test_what_a_file_leaves_out_is_as_released(tmp_path: Path) -> None:
    """Another alpha alone changes nothing else."""
    numbers = read_numbers(write(tmp_path, {"lora": {"alpha": 128}}), 448)
    assert numbers.lora.scaling == 2
    assert numbers.config == released(4)
    assert numbers.stage_four


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"vit": {"img_size": 56}}, "vit.img_size 56"),
        ({"vit": {"embed_dims": 64}}, "vit.embed_dims"),
        ({"vit": {"depth": "3"}}, "vit.depth '3'"),
        ({"vit": {"depth": 3.5}}, "vit.depth 3.5"),
        ({"vit": {"num_heads": 15}}, "vit.embed_dim 1408"),
        ({"vit": 3}, "vit 3"),
        ({"qformer": {"encoder_width": 64}}, "qformer.encoder_width 64"),
        ({"phi": {"tie_word_embeddings": True}}, "phi.tie_word_embeddings"),
        ({"phi": {"rope_scaling": {"factor": 2}}}, "phi.rope_scaling"),
        ({"lora": {"target_modules": ["fc1"]}}, "lora.target_modules"),
        ({"proj": {"llama_proj": [768, 4096], "llama_proj2": [4095, 2560]}}, "proj"),
        ({"arch": "minigpt5"}, "minigpt5"),
        ({"phi": {}, "phi2": {"hidden_size": 64}}, "says phi2"),
        ({"ln_vision_eps": "1e-5"}, "ln_vision_eps '1e-5'"),
        ({"rms_post_layernorm_eps": True}, "rms_post_layernorm_eps True"),
        ({"lora": {"r": 8, "alpha": 4, "scaling": 0.25}}, "lora.scaling 0.25"),
        ({"lora": {"r": 0}}, "lora.r 0"),
        ({"vit": {"mlp_ratio": "4"}}, "vit.mlp_ratio '4'"),
        ([], "no JSON object"),
    ],
)
def test_a_contradiction_is_named(values: Any, told: str, tmp_path: Path) -> None:
    """A number that no TinyGPT-V has, or that fits no other, is refused by its name."""
    with pytest.raises(UsageError) as refusal:
        read_numbers(write(tmp_path, values), 224)
    assert told in str(refusal.value)
