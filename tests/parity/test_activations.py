"""The converted network computes what the authors' code computed: every part of it, to 1e-4."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.golden import ACTIVATION, LOGIT, Golden, State, distance
from workers.images import preprocess
from workers.model import TinyGPTV


@pytest.fixture(scope="module")
def seen(model: TinyGPTV, expected: State) -> dict[str, torch.Tensor]:
    """What came out of each part while the images went through the one door."""
    outputs: dict[str, torch.Tensor] = {}

    def record(name: str, module: nn.Module) -> None:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            outputs[name] = getattr(output, "last_hidden_state", output)  # type: ignore[assignment]

        handles.append(module.register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    record("vit", model.vision_model.encoder)
    record("ln_vision", model.vision_model)
    record("qformer", model.qformer)
    record("llama_proj", model.llama_proj)
    with torch.inference_mode():
        outputs["img_embeds"] = model.encode_images(expected["in.images"])
    for handle in handles:
        handle.remove()
    outputs["llama_proj.image0"] = outputs.pop("llama_proj")[0]
    outputs["vit_pos_embed_used"] = model.vision_model.embeddings.position_embedding
    return outputs


@pytest.mark.parametrize(
    "part",
    ["vit_pos_embed_used", "vit", "ln_vision", "qformer", "llama_proj.image0", "img_embeds"],
)
def test_image_activations(part: str, seen: dict[str, torch.Tensor], expected: State) -> None:
    """From pixels to image embeddings, each part gives the authors' activations to 1e-4."""
    assert distance(seen[part], expected[f"out.{part}"]) <= ACTIVATION


def test_pixels(golden: Golden, model: TinyGPTV, expected: State) -> None:
    """Preprocessing gives the authors' pixels, bit for bit (SPEC.md §1.1)."""
    config = model.config
    with Image.open(golden.picture) as picture:
        pixels = preprocess(
            [picture.convert("RGB")], config.image_size, config.image_mean, config.image_std
        )
    np.testing.assert_array_equal(pixels[0], expected["in.images"][0].numpy())


def test_text_only(golden: Golden, model: TinyGPTV, expected: State) -> None:
    """Without an image, tokens, every layer's input and the logits are the authors'."""
    ids = expected["in.text_only.input_ids"]
    assert model.token_ids(golden.facts["text_only"]) == ids[0].tolist()
    embeds, mask = model.embed(ids), torch.ones_like(ids)
    hidden = model.language_model(
        inputs_embeds=embeds, attention_mask=mask, output_hidden_states=True
    ).hidden_states
    assert distance(torch.stack(hidden), expected["out.text_only.hidden_states"]) <= ACTIVATION
    assert distance(model.logits(embeds, mask), expected["out.text_only.logits"]) <= LOGIT


def test_prompt_tokens(golden: Golden, model: TinyGPTV) -> None:
    """Both sides of every prompt's image place have the authors' token ids (SPEC.md §3)."""
    facts = golden.facts
    for prompt, ids in zip(facts["prompts"], facts["prompt_segment_ids"], strict=True):
        assert [model.token_ids(text) for text in prompt.split("<ImageHere>")] == ids


@pytest.mark.parametrize(
    ("probe", "path"),
    [
        ("vit_norm1", "vision_model.encoder.layers.0.layer_norm1"),
        ("ln_vision", "vision_model.post_layernorm"),
        ("qformer_emb_ln", "qformer.layernorm"),
        ("phi_input_ln0", "language_model.model.layers.0.input_layernorm"),
        ("phi_q_ln0", "language_model.model.layers.0.self_attn.q_layernorm"),
        ("phi_k_ln0", "language_model.model.layers.0.self_attn.k_layernorm"),
        ("phi_post_rms0", "language_model.model.layers.0.post_layernorm"),
        ("phi_final_ln", "language_model.model.final_layernorm"),
    ],
)
def test_epsilon(probe: str, path: str, model: TinyGPTV, expected: State) -> None:
    """Each norm has the authors' epsilon: inputs of tiny variance tell (SPEC.md §9)."""
    found = model.get_submodule(path)(expected[f"probe.{probe}.in"])
    assert distance(found, expected[f"probe.{probe}.out"]) <= ACTIVATION
