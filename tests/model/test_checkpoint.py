"""A checkpoint folder is whole or not there, and what is read is what was written."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer

from schemas.outcome import CheckpointError, UsageError
from tests.golden import DATA
from workers.model import TinyGPTV
from workers.model.authors.prompts import generation_settings
from workers.model.authors.tokenizer import read_tokenizer
from workers.model.checkpoint import read_checkpoint, write_checkpoint
from workers.model.config import tiny
from workers.model.manifest import FORMAT_VERSION, read_manifest
from workers.model.shards import Block, TensorSpec, blocks_of


@pytest.fixture(scope="module")
def model() -> TinyGPTV:
    """A tiny network with random weights and the golden tokenizer."""
    torch.manual_seed(0)
    tokenizer = read_tokenizer(DATA / "tokenizer_tiny")
    return TinyGPTV(tiny(), tokenizer, generation_settings(True, tokenizer)).eval()


@pytest.fixture(scope="module")
def saved(model: TinyGPTV, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's folder; not to be changed."""
    folder = tmp_path_factory.mktemp("checkpoint") / "saved"
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the network's folder."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_what_is_read_is_what_was_saved(model: TinyGPTV, saved: Path) -> None:
    """Numbers, tokenizer, prompts and every parameter survive, bit for bit."""
    found = TinyGPTV.from_pretrained(saved)
    assert found.config == model.config
    assert found.generation == model.generation
    assert found.tokenizer.get_vocab() == model.tokenizer.get_vocab()
    assert found.tokenizer.pad_token_id == found.tokenizer.eos_token_id == 287
    parameters, expected = found.state_dict(), model.state_dict()
    assert parameters.keys() == expected.keys()
    assert all(torch.equal(parameters[name], expected[name]) for name in expected)
    assert not found.training
    picture = Image.new("RGB", (70, 50), "orange")
    assert found.caption([picture]) == model.caption([picture])


def test_spaces_before_punctuation(saved: Path) -> None:
    """Answers are cleaned as the authors' tokenizer cleans them: no space before a full stop."""
    tokenizer = TinyGPTV.from_pretrained(saved).tokenizer
    ids = tokenizer("a red cat , it 's on the mat .")["input_ids"]
    assert tokenizer.decode(ids) == "a red cat, it's on the mat."


def test_saving_again_gives_the_same_digest(saved: Path, tmp_path: Path) -> None:
    """The model's digest says what the model is, not where or when it was written."""
    first = TinyGPTV.from_pretrained(saved)
    first.save_pretrained(tmp_path / "elsewhere")
    second = TinyGPTV.from_pretrained(tmp_path / "elsewhere")
    assert first.digest == second.digest
    assert (first.name, second.name) == ("saved", "elsewhere")
    assert len(first.digest) == 64
    assert first.quantization == "none"


def test_precision(model: TinyGPTV, saved: Path, tmp_path: Path) -> None:
    """A folder keeps the precision that was saved; reading gives fp32, or what is asked for."""
    found = TinyGPTV.from_pretrained(saved, dtype=torch.float16)
    assert {p.dtype for p in found.parameters()} == {torch.float16}
    assert found.language_model.model.rotary_emb.inv_freq.dtype == torch.float32
    found.save_pretrained(tmp_path / "half")
    weights = dict(read_checkpoint(tmp_path / "half").weights())
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    again = TinyGPTV.from_pretrained(tmp_path / "half")
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    assert torch.equal(again.query_tokens, model.query_tokens.half().float())


def test_training_on_leaves_the_folder_alone(saved: Path) -> None:
    """Parameters are mapped from the folder, and changing them does not reach it."""
    found = TinyGPTV.from_pretrained(saved)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(1.0)
    read_checkpoint(saved)


def test_others_read_it(saved: Path) -> None:
    """The tokenizer opens with transformers alone, and the files have Hugging Face's names."""
    tokenizer = AutoTokenizer.from_pretrained(saved)
    assert tokenizer("###Human: ")["input_ids"] == [257, 39, 84, 76, 274, 25, 220]
    names = {path.name for path in saved.iterdir()}
    assert names == {
        "config.json",
        "generation_config.json",
        "manifest.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert {file.name for file in read_manifest(saved).files} == names - {"manifest.json"}


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ],
)
def test_an_altered_file_is_named(name: str, folder: Path) -> None:
    """One flipped bit in any file, or the file gone, and the folder is refused by that name."""
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=name):
        TinyGPTV.from_pretrained(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        TinyGPTV.from_pretrained(folder)


def test_a_file_that_is_not_listed_is_not_read(folder: Path) -> None:
    """Files beside the listed ones, a pickle or a tokenizer's, change nothing."""
    expected = TinyGPTV.from_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    (folder / "added_tokens.json").write_text('{"cat": 1000}')
    (folder / "more.safetensors").write_bytes(b"")
    found = TinyGPTV.from_pretrained(folder)
    assert found.digest == expected.digest
    assert len(found.tokenizer) == len(expected.tokenizer)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format_version": FORMAT_VERSION + 1}, f"format {FORMAT_VERSION + 1}"),
        ({"quantization": "q3"}, "'q3'"),
        ({"files": {}}, "config.json"),
        ({"files": {"../x": {"sha256": "", "size_bytes": 0}}}, r"\.\./x"),
        ({"files": 3}, "not a manifest"),
    ],
)
def test_a_manifest_of_another_kind(change: dict[str, object], told: str, folder: Path) -> None:
    """A manifest that this program cannot have written, or not yet reads, is refused with why."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(folder)


def test_no_checkpoint(tmp_path: Path) -> None:
    """A folder that is not there, or is something else, is told as such."""
    with pytest.raises(CheckpointError, match="nowhere"):
        TinyGPTV.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        TinyGPTV.from_pretrained(tmp_path)


@pytest.mark.parametrize("change", ["lost", "foreign", "misshapen"])
def test_weights_that_do_not_fit(change: str, model: TinyGPTV, tmp_path: Path) -> None:
    """A parameter too few, too many or of another shape is refused by its name."""
    state = model.state_dict()
    name = "llama_proj.bias"
    bias = state.pop(name)
    if change == "foreign":
        state |= {name: bias, "llama_proj3.bias": bias}
    if change == "misshapen":
        state[name] = bias[:-1]
    folder = tmp_path / "checkpoint"
    write_checkpoint(folder, model.config, model.tokenizer, model.generation, blocks_of(state))
    with pytest.raises(CheckpointError, match=r"llama_proj3?\.bias"):
        TinyGPTV.from_pretrained(folder)


def test_a_folder_is_never_written_over(saved: Path, model: TinyGPTV, tmp_path: Path) -> None:
    """Saving where something is, a checkpoint or a file, is refused; an empty folder is taken."""
    with pytest.raises(UsageError, match="not empty"):
        model.save_pretrained(saved)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="no folder"):
        model.save_pretrained(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    model.save_pretrained(tmp_path / "empty")
    read_checkpoint(tmp_path / "empty")


def test_half_a_checkpoint_is_none(model: TinyGPTV, tmp_path: Path) -> None:
    """While weights are written the folder's name is free, and what is there does not load."""
    out = tmp_path / "out"
    bias = model.llama_proj.bias

    def make() -> tuple[torch.Tensor, ...]:
        assert not out.exists()
        (half,) = tmp_path.iterdir()
        with pytest.raises(CheckpointError, match=r"manifest\.json"):
            read_checkpoint(half)
        raise KeyboardInterrupt

    block = Block((TensorSpec("llama_proj.bias", tuple(bias.shape), bias.dtype),), make)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(out, model.config, model.tokenizer, model.generation, [block])
    assert list(tmp_path.iterdir()) == []
