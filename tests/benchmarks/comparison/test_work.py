"""The work of an image, counted by formulas, by hand, and by watching the network."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.comparison.plain import PlainModel
from benchmarks.comparison.work import FP32, Asked, Phase, phases
from workers.model.config import TinyGPTVConfig, pocket, released, tiny
from workers.model.quantization import BF16, FP8, INT4, INT8, NONE

PROMPT, BEFORE, NEW_TOKENS, BATCH = 60, 5, 20, 8
ASKED = Asked(PROMPT, BEFORE, NEW_TOKENS, BATCH)


def of(config: TinyGPTVConfig, quantization: str, asked: Asked = ASKED) -> dict[str, Phase]:
    return {phase.name: phase for phase in phases(config, quantization, "cpu", asked)}


def test_the_released_size_by_hand() -> None:
    """Each phase of the network at 448 px has the FLOPs that its published sizes make."""
    counted = {name: phase.flops for name, phase in of(released(4), INT8).items()}
    layer = 4 * 2560**2 + 2 * 2560 * 10240
    assert counted == {
        "patches": 2 * 1024 * (3 * 14 * 14) * 1408,
        "ViT, matrices": 39 * (2 * 1025 * (4 * 1408**2 + 2 * 1408 * 6144)),
        "ViT, attention": 39 * 16 * 2 * (2 * 1025 * 1025 * 88),
        "Q-Former, matrices": 12 * 2 * 32 * (4 * 768**2 + 2 * 768 * 3072)
        + 6 * (2 * 32 * 2 * 768**2 + 2 * 1025 * 2 * 1408 * 768),
        "Q-Former, attention": 12 * 4 * 32 * 32 * 768 + 6 * 4 * 32 * 1025 * 768,
        "projections": 2 * 32 * (768 * 4096 + 4096 * 2560),
        "prompt, matrices": 2 * 55 * 32 * layer,
        "answer, matrices": 2 * 19 * 32 * layer,
        # positions 6 to 60 look at as many, the steps at 61 to 79
        "prompt and answer, attention": 32 * 4 * 2560 * sum(range(6, 80)),
        "head": 20 * 2 * 2560 * 51200,
    }


def test_224_pixels_are_a_quarter_of_the_patches() -> None:
    """At 224 px the ViT has 257 tokens."""
    assert of(released(1), NONE)["ViT, matrices"].flops == 39 * 2 * 257 * (
        4 * 1408**2 + 2 * 1408 * 6144
    )


@pytest.mark.parametrize("config", [tiny(), pocket(), released(1)], ids=["tiny", "pocket", "224"])
def test_the_eye_does_what_is_counted(config: TinyGPTVConfig) -> None:
    """transformers' modules, watched while they run, multiply as often as the formulas say."""
    with torch.device("meta"):
        model = PlainModel(config)
        for part in (model.vision_model, model.qformer):
            part.set_attn_implementation("eager")  # whose products the counter knows
        with FlopCounterMode(display=False) as counter:
            model.see(torch.empty(1, 3, config.image_size, config.image_size))
    counted = of(config, NONE)
    parts = ("patches", "ViT, matrices", "ViT, attention")
    parts += ("Q-Former, matrices", "Q-Former, attention", "projections")
    assert counter.get_total_flops() == sum(counted[part].flops for part in parts)


def test_the_decoder_does_what_is_counted() -> None:
    """A prompt of which nothing is shared: transformers' matrices do as much, and the head."""
    config, positions = tiny(), 30
    model = PlainModel(config).language_model
    model.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        embeds = torch.zeros(1, positions, config.language.hidden_size)
        model(inputs_embeds=embeds, logits_to_keep=1, use_cache=False)
    counted = of(config, NONE, Asked(positions, 0, 1, 1))
    # it multiplies all pairs of positions, of which a causal attention needs about half
    language = config.language
    pairs = 4 * language.num_layers * language.hidden_size
    idle = pairs * (positions**2 - positions * (positions + 1) // 2)
    parts = ("prompt, matrices", "answer, matrices", "prompt and answer, attention", "head")
    assert counter.get_total_flops() - idle == sum(counted[part].flops for part in parts)


def test_weights_are_read_once_for_a_batch() -> None:
    """What a step reads is shared by the rows of a batch, in the bytes that are held."""
    layers = 32 * (4 * 2560**2 + 2 * 2560 * 10240)
    for quantization, bytes_each in ((NONE, 4), (BF16, 2), (INT8, 1), (INT4, 0.5625), (FP8, 1)):
        phase = of(released(4), quantization)["answer, matrices"]
        assert phase.weight_bytes == 19 * layers * bytes_each / BATCH
        assert of(released(4), quantization)["prompt, matrices"].weight_bytes * 19 == (
            phase.weight_bytes
        )


@pytest.mark.parametrize(
    ("quantization", "device", "patches", "eye", "layers"),
    [
        (NONE, "cpu", FP32, FP32, FP32),
        (BF16, "cpu", BF16, BF16, BF16),
        (INT8, "cpu", FP32, INT8, INT8),
        (INT4, "cpu", FP32, INT8, INT4),
        (INT8, "cuda", BF16, BF16, BF16),
        (FP8, "cuda", BF16, FP8, FP8),
    ],
)
def test_products_in_the_precision_that_is_held(
    quantization: str, device: str, patches: str, eye: str, layers: str
) -> None:
    """A quantization decides the rates that a phase is held against; attention's is bf16's."""
    kinds = {phase.name: phase.kind for phase in phases(released(4), quantization, device, ASKED)}
    assert (kinds["patches"], kinds["ViT, matrices"], kinds["answer, matrices"]) == (
        patches,
        eye,
        layers,
    )
    assert kinds["ViT, attention"] == kinds["prompt and answer, attention"] == BF16
