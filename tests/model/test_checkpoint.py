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
from workers.model.manifest import FORMAT_VERSION, FileDigest, Origin, read_manifest
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
    """A folder keeps the precision that was saved; reading gives fp32."""
    found = TinyGPTV.from_pretrained(saved).half()
    assert {p.dtype for p in found.parameters()} == {torch.float16}
    assert found.language_model.model.rotary_emb.inv_freq.dtype == torch.float32
    found.save_pretrained(tmp_path / "half")
    weights = dict(read_checkpoint(tmp_path / "half").weights())
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    again = TinyGPTV.from_pretrained(tmp_path / "half")
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    assert torch.equal(again.query_tokens, model.query_tokens.half().float())


def test_the_folder_and_the_model_are_apart(folder: Path) -> None:
    """Parameters and files do not change with each other once the digests are compared."""
    found = TinyGPTV.from_pretrained(folder)
    for parameter in found.parameters():
        parameter.add_(1.0)
    read_checkpoint(folder)
    weights = folder / "model.safetensors"
    before = {name: tensor.clone() for name, tensor in found.state_dict().items()}
    again = TinyGPTV.from_pretrained(folder)
    with weights.open("r+b") as file:
        file.write(bytes(weights.stat().st_size))
    assert all(torch.equal(before[n], t) for n, t in found.state_dict().items())
    assert again.query_tokens.isfinite().all()
    assert torch.equal(again.llama_proj.weight + 1, before["llama_proj.weight"])


def test_inference_asks_for_no_gradients(saved: Path) -> None:
    """What from_pretrained gives computes without a graph."""
    model = TinyGPTV.from_pretrained(saved)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_origin_travels_along(saved: Path, tmp_path: Path) -> None:
    """What a model was made from is saved with it, read with it, and saved again."""
    origin = Origin(
        sources={"stem": (FileDigest("stem.bin", "ab" * 32, 7),)},
        dropped={"eva": ("blocks.39.norm1.bias",)},
        notes=("no adapters",),
        training={"seed": 3},
    )
    trained = TinyGPTV.from_pretrained(saved)
    digest = trained.digest
    trained.origin = origin
    trained.save_pretrained(tmp_path / "first")
    TinyGPTV.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    assert read_manifest(tmp_path / "second").origin == origin
    assert TinyGPTV.from_pretrained(tmp_path / "second").digest == digest


def test_an_older_manifest(folder: Path) -> None:
    """A manifest that tells neither notes nor training is read."""
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    del values["notes"], values["training"]
    path.write_text(json.dumps(values))
    assert read_manifest(folder).origin == Origin()


def test_the_rotary_table_stays_exact(saved: Path) -> None:
    """However a model comes to be in half precision, its rotary table is the fp32 one."""
    exact = TinyGPTV.from_pretrained(saved).language_model.model.rotary_emb.inv_freq
    for change in (TinyGPTV.half, TinyGPTV.bfloat16, lambda model: model.to(torch.float16)):
        model = TinyGPTV.from_pretrained(saved)
        change(model)
        assert model.query_tokens.dtype != torch.float32
        rotary = model.language_model.model.rotary_emb
        assert torch.equal(rotary.inv_freq, exact)
        assert torch.equal(rotary.original_inv_freq, exact)
        assert not [name for name in model.state_dict() if "inv_freq" in name]


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
