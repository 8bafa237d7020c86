"""The key map loses nothing and invents nothing, in either direction."""

import pytest
import torch

from schemas.outcome import CheckpointError
from tests.golden import Golden, State
from workers.model.authors.keymap import from_authors, fuse_heads, split_heads, to_authors
from workers.model.authors.numbers import read_numbers
from workers.model.config import TinyGPTVConfig


def config_of(golden: Golden) -> TinyGPTVConfig:
    """The set's network."""
    numbers = golden.path("eva").with_name(f"golden_{golden.name}.json")
    return read_numbers(numbers, golden.facts["vit"]["img_size"]).config


def whole_model(golden: Golden) -> State:
    """The authors' whole model but its adapters, from the set's files."""
    config = config_of(golden)
    state = {f"visual_encoder.{name}": value for name, value in golden.weights("eva").items()}
    state |= golden.weights("blip2")
    state |= {f"llama_model.{name}": value for name, value in golden.weights("phi").items()}
    state |= {
        name: value
        for name, value in golden.weights("stage").items()
        if name.startswith("llama_proj")
    }
    unread = (f".blocks.{config.vision.num_layers}.", "t5_proj", "position_ids")
    return {name: value for name, value in state.items() if not any(n in name for n in unread)}


def equal(left: State, right: State) -> bool:
    """Same names, same values."""
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@pytest.mark.parametrize("name", ["A", "B"])
def test_round_trip(name: str) -> None:
    """to_authors(from_authors(state)) == state on both golden sets, and back again."""
    golden = Golden(name)
    config = config_of(golden)
    theirs = whole_model(golden)
    ours = from_authors(theirs, config)
    assert equal(to_authors(ours, config), theirs)
    assert equal(from_authors(to_authors(ours, config), config), ours)


def test_fused_rows_lie_head_by_head() -> None:
    """Splitting the fused projection gives the separate ones of the golden set, and back."""
    heads = config_of(Golden("A")).language.num_heads
    fused, split = Golden("A").weights("phi"), Golden("A").weights("phi_split")
    for kind in ("weight", "bias"):
        name = f"model.layers.1.self_attn.query_key_value.{kind}"
        parts = [split[name.replace("query_key_value", f"{part}_proj")] for part in "qkv"]
        for found, expected in zip(split_heads(fused[name], heads), parts, strict=True):
            assert torch.equal(found, expected)
        assert torch.equal(fuse_heads(*parts, heads), fused[name])


@pytest.mark.parametrize("lost", ["llama_proj.bias", "visual_encoder.blocks.2.attn.v_bias"])
def test_a_missing_key_is_named(lost: str) -> None:
    """Neither direction goes on without a key; the error names it."""
    golden = Golden("A")
    config = config_of(golden)
    theirs = whole_model(golden)
    ours = from_authors(theirs, config)
    del theirs[lost]
    with pytest.raises(CheckpointError, match=lost):
        from_authors(theirs, config)
    for name in ("llama_proj2.bias", "vision_model.encoder.layers.2.self_attn.qkv.bias"):
        with pytest.raises(CheckpointError, match=name):
            to_authors({key: value for key, value in ours.items() if key != name}, config)


def test_an_unknown_key_is_named() -> None:
    """Neither direction drops a key; the error names it."""
    golden = Golden("A")
    config = config_of(golden)
    theirs = whole_model(golden)
    ours = from_authors(theirs, config)
    with pytest.raises(CheckpointError, match="t5_proj"):
        from_authors(theirs | {"t5_proj.bias": torch.zeros(1)}, config)
    with pytest.raises(CheckpointError, match="some_head"):
        to_authors(ours | {"some_head.bias": torch.zeros(1)}, config)


def test_a_key_bias_has_no_place() -> None:
    """A ViT with a key bias, which the authors' layout cannot hold, is not put into it."""
    golden = Golden("A")
    config = config_of(golden)
    ours = from_authors(whole_model(golden), config)
    name = "vision_model.encoder.layers.0.self_attn.qkv.bias"
    ours[name] = torch.ones_like(ours[name])
    with pytest.raises(CheckpointError, match=name):
        to_authors(ours, config)
