"""Random weights of a released network, at a size that fits a test."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from benchmarks.comparison.models import MARKS, NEW_TOKENS, fixed_tokens, model_folder, write_random
from benchmarks.comparison.pictures import read_ahead
from benchmarks.comparison.plain import PlainPipeline
from schemas.asks import Prompt, Write
from tests.pictures import write_pictures
from workers.engine import Tokens, replies
from workers.model import TinyGPTV
from workers.model.config import TinyGPTVConfig, pocket, tiny
from workers.model.decoding import PhiDecoder
from workers.model.description import checkpoint_folder, describe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny eye, and a vocabulary larger than the tokenizer's, as the released one is."""
    language = dataclasses.replace(tiny().language, vocab_size=4096)
    folder = tmp_path_factory.mktemp("models") / "random"
    write_random(folder, dataclasses.replace(tiny(), language=language))
    return folder


def test_no_answer_ends_early(folder: Path, tmp_path: Path) -> None:
    """Every row has all its tokens, in which no mark stands at which an answer could be cut."""
    model = TinyGPTV.from_pretrained(folder)
    pictures = list(read_ahead(write_pictures(tmp_path, 4), model.config.image_size))
    ask = Write(Prompt(model.generation.caption_prompt), model.generation.max_new_tokens)
    prefix = model.prefix(model.encode(pictures), [[ask]] * 4)
    (found,) = replies(PhiDecoder(model.language_model), [prefix], refill=0, most=1)
    ids = [one.ids for one in found if isinstance(one, Tokens)]
    assert [len(row) for row in ids] == [NEW_TOKENS] * 4
    assert not {*model.generation.eos_token_ids} & {token for row in ids for token in row}
    assert not {*MARKS} & {*"".join(model.tokenizer.batch_decode(ids))}
    assert len(PlainPipeline(folder).caption(pictures)) == 4


def test_values_are_of_a_networks_kind(folder: Path) -> None:
    """fp16, norms that pass on, biases of zero, and logits that are finite."""
    state = dict(TinyGPTV.from_pretrained(folder).state_dict())
    assert state["language_model.model.layers.0.post_layernorm.weight"].eq(1).all()
    assert state["vision_model.encoder.layers.0.mlp.fc1.bias"].eq(0).all()
    assert 0.015 < state["vision_model.encoder.layers.0.mlp.fc1.weight"].std() < 0.025
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_a_released_size_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first comparison makes the folder, the next one finds it; others are what they name."""
    made: list[TinyGPTVConfig] = []

    def write(folder: Path, config: TinyGPTVConfig) -> None:
        made.append(config)
        folder.mkdir(parents=True)
        (folder / "manifest.json").touch()

    monkeypatch.setattr("benchmarks.comparison.models.write_random", write)
    assert model_folder("released-448", tmp_path) == tmp_path / "released-448"
    assert model_folder("released-448", tmp_path) == tmp_path / "released-448"
    assert [config.image_size for config in made] == [448]
    assert model_folder("pocket", tmp_path) == checkpoint_folder("pocket")
    assert (fixed_tokens("released-224"), fixed_tokens("pocket")) == (NEW_TOKENS, None)
    assert describe(model_folder("pocket", tmp_path)).config == pocket()
