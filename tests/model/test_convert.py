"""Every spelling of the authors' files gives the same checkpoint; every other file is refused."""

import json
import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from jobs import convert_checkpoint
from tests.golden import DATA, Golden, State, renamed
from workers.model.checkpoint import read_checkpoint
from workers.model.manifest import read_manifest
from workers.model.quantized import quantize_stream

A, B = Golden("A"), Golden("B")
PEFT = "llama_model.base_model.model."
LAYER = f"{PEFT}model.layers.0."
POSITIONS = "visual_encoder.pos_embed"


def convert(golden: Golden, out: Path, **replaced: Path | int) -> State:
    """Run the command in this process; the weights of the folder that it made."""
    assert convert_checkpoint.main(golden.arguments(out, **replaced)) == 0
    return dict(read_checkpoint(out).weights())


def equal(left: State, right: State) -> bool:
    """Same names, dtypes and values."""
    return left.keys() == right.keys() and all(
        left[n].dtype == right[n].dtype and torch.equal(left[n], right[n]) for n in left
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> State:
    """Set A, converted from the files as they are."""
    return convert(A, tmp_path_factory.mktemp("plain") / "A")


# --- containers ---


def save_pickle(state: State, path: Path, **around: Any) -> Path:
    """A torch file of tensors, alone or with other things around them."""
    torch.save({"model": state, **around} if around else state, path)
    return path


def save_sharded(state: State, folder: Path, suffix: str) -> Path:
    """A Hugging Face folder with two shards and their index."""
    folder.mkdir()
    stem, index = {
        "safetensors": ("model", "model.safetensors.index.json"),
        "bin": ("pytorch_model", "pytorch_model.bin.index.json"),
    }[suffix]
    names = sorted(state)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        path = folder / f"{stem}-{number:05d}-of-00002.{suffix}"
        weight_map |= dict.fromkeys(part, path.name)
        shard = {name: state[name] for name in part}
        if suffix == "bin":
            torch.save(shard, path)
        else:
            save_file(shard, path)
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def test_pickles(plain: State, tmp_path: Path) -> None:
    """Torch files, flat or with `model` among other things, old container or new, are the same."""
    old = tmp_path / "blip2.pth"
    torch.save({"model": A.weights("blip2")}, old, _use_new_zipfile_serialization=False)
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-5}]}
    stage = save_pickle(
        A.weights("stage"),
        tmp_path / "stage.pth",
        optimizer=optimizer,
        config={"run": {"lr": 1e-5}},
        scaler={"scale": 2.0**16},
        epoch=3,
    )
    found = convert(
        A,
        tmp_path / "out",
        eva=save_pickle(A.weights("eva"), tmp_path / "eva_vit_g.pth"),
        blip2=old,
        phi=save_pickle(A.weights("phi"), tmp_path / "pytorch_model.bin"),
        stage=stage,
    )
    assert equal(found, plain)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize("layout", ["phi", "phi_split"])
def test_phi_folders(layout: str, suffix: str, plain: State, tmp_path: Path) -> None:
    """Phi-2 fused or split, in a sharded folder of either container, gives the same network."""
    folder = save_sharded(A.weights(layout), tmp_path / "phi", suffix)
    (folder / "config.json").write_text(json.dumps(A.facts["phi"]))
    assert equal(convert(A, tmp_path / "out", phi=folder), plain)


def test_one_file_folders(plain: State, tmp_path: Path) -> None:
    """A Phi folder with one whole file, in either container, gives the same network."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    save_file(A.weights("phi_split"), first / "model.safetensors")
    torch.save(A.weights("phi"), second / "pytorch_model.bin")
    assert equal(convert(A, tmp_path / "out1", phi=first), plain)
    assert equal(convert(A, tmp_path / "out2", phi=second), plain)


def test_phi_without_the_authors_norms(plain: State, tmp_path: Path) -> None:
    """A published Phi folder has no query and key norms: weights are the stage's, biases zero."""

    def bare(phi: State) -> None:
        for name in [name for name in phi if "q_layernorm" in name or "k_layernorm" in name]:
            del phi[name]
        for name in [name for name in phi if "post_layernorm" in name]:
            del phi[name]

    found = convert(A, tmp_path / "out", phi=A.rewritten("phi", tmp_path, bare))
    biases = [n for n in plain if n.endswith(("q_layernorm.bias", "k_layernorm.bias"))]
    assert all(plain[name].any() for name in biases)
    assert not any(found[name].any() for name in biases)
    assert equal({**found, **{name: plain[name] for name in biases}}, plain)


# --- variants of the stage file (CHECKPOINTS.md §3.2) ---


def test_newer_peft_names(plain: State, tmp_path: Path) -> None:
    """Adapters named `.default.`, with their bases as `.base_layer.`, are the same adapters."""

    def newer(stage: State) -> None:
        names = {"lora_A.weight": "lora_A.default.weight", "lora_B.weight": "lora_B.default.weight"}
        newer_names = renamed(stage, names)
        stage.clear()
        stage |= newer_names
        for name, tensor in A.weights("phi").items():
            if "query_key_value" in name or "dense" in name:
                module, kind = name.rsplit(".", 1)
                stage[f"{PEFT}{module}.base_layer.{kind}"] = tensor

    found = convert(A, tmp_path / "out", stage=A.rewritten("stage", tmp_path, newer))
    assert equal(found, plain)
    replaced = read_manifest(tmp_path / "out").origin.replaced["phi"]
    assert "model.layers.0.self_attn.query_key_value.weight" in replaced


def test_no_adapters(plain: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stage file without LoRA or peft's wrapper leaves Phi's matrices alone, and that is said."""

    def without(stage: State) -> None:
        bare = {n: t for n, t in stage.items() if ".lora_" not in n}
        stage.clear()
        stage |= renamed(bare, {PEFT: "llama_model."})

    found = convert(A, tmp_path / "out", stage=A.rewritten("stage", tmp_path, without))
    assert capsys.readouterr().out.count("stage.safetensors holds no adapters") == 1
    assert len(read_manifest(tmp_path / "out").origin.notes) == 1
    phi = A.weights("phi_split")
    adapted = [name for name in plain if name.endswith(("_proj.weight", "self_attn.dense.weight"))]
    adapted = [name for name in adapted if name.startswith("language_model.")]
    for name in adapted:
        assert torch.equal(found[name], phi[name.removeprefix("language_model.")])
        assert not torch.equal(found[name], plain[name])
    assert equal({**found, **{name: plain[name] for name in adapted}}, plain)


def test_frozen_norms(plain: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Norms in fp16 are taken as they are; without a final one Phi-2's stands, and that is said."""

    def frozen(stage: State) -> None:
        del stage[f"{PEFT}model.final_layernorm.weight"]
        for name in [name for name in stage if "layernorm" in name]:
            stage[name] = stage[name].half()

    found = convert(A, tmp_path / "out", stage=A.rewritten("stage", tmp_path, frozen))
    assert capsys.readouterr().out.count("Phi-2's final norm stands") == 1
    final = "language_model.model.final_layernorm.weight"
    assert torch.equal(found[final], A.weights("phi")[final.removeprefix("language_model.")])
    norms = [name for name in plain if name.startswith("language_model.") and "layernorm" in name]
    trained = [name for name in norms if name.endswith(".weight") and name != final]
    for name in trained:
        assert torch.equal(found[name], plain[name].half())
    changed = {name: plain[name] for name in [*trained, final]}
    assert equal({**found, **changed}, plain)


def test_trained_qformer(tmp_path: Path) -> None:
    """A Q-Former in the stage file stands in BLIP-2's place, all of it."""
    generator = torch.Generator().manual_seed(0)
    trained = {
        name: torch.randn(tensor.shape, generator=generator)
        for name, tensor in A.weights("blip2").items()
        if name.startswith(("query_tokens", "Qformer.")) and "position_ids" not in name
    }
    stage = A.rewritten("stage", tmp_path, lambda state: state.update(trained))
    blip2 = A.rewritten("blip2", tmp_path, lambda state: state.update(trained))
    found = convert(A, tmp_path / "out", stage=stage)
    assert equal(found, convert(A, tmp_path / "expected", blip2=blip2))
    assert read_manifest(tmp_path / "out").origin.replaced["blip2"] == tuple(sorted(trained))


def test_frozen_tensors_in_the_stage_file(tmp_path: Path) -> None:
    """Frozen parts that a stage file holds are applied, a smaller position embedding resized."""
    generator = torch.Generator().manual_seed(0)
    frozen = {
        "pos_embed": torch.randn(1, 17, 80, generator=generator),
        "blocks.1.attn.q_bias": torch.randn(80, generator=generator),
    }
    stage = B.rewritten(
        "stage",
        tmp_path,
        lambda state: state.update({f"visual_encoder.{n}": t for n, t in frozen.items()}),
    )
    eva = B.rewritten("eva", tmp_path, lambda state: state.update(frozen))
    found = convert(B, tmp_path / "out", stage=stage)
    assert found["vision_model.embeddings.position_embedding"].shape == (1, 37, 80)
    assert equal(found, convert(B, tmp_path / "expected", eva=eva))


def test_a_resized_embedding_is_taken_as_it_is(tmp_path: Path) -> None:
    """A position embedding that has the network's grid already is not resized again."""
    embedding = torch.randn(1, 37, 80)
    stage = B.rewritten("stage", tmp_path, lambda state: state.update({POSITIONS: embedding}))
    found = convert(B, tmp_path / "out", stage=stage)
    assert torch.equal(found["vision_model.embeddings.position_embedding"], embedding)


def test_precision_is_that_of_the_file(plain: State, tmp_path: Path) -> None:
    """fp16 files give fp16 weights, merged ones rounded once; what was trained stays fp32."""

    def halve(state: State) -> None:
        for name, tensor in state.items():
            state[name] = tensor.half() if tensor.is_floating_point() else tensor

    found = convert(
        A,
        tmp_path / "out",
        eva=A.rewritten("eva", tmp_path, halve),
        phi=A.rewritten("phi", tmp_path, halve),
    )
    single = {name for name, tensor in found.items() if tensor.dtype == torch.float32}
    assert "llama_proj.weight" in single
    assert "language_model.model.layers.0.input_layernorm.weight" in single
    assert "language_model.model.layers.0.self_attn.q_proj.weight" not in single
    # The golden files' values lie on fp16's grid, so only merged weights lose anything.
    assert all(torch.equal(found[name], plain[name].to(found[name].dtype)) for name in plain)


# --- what is told ---


def test_nothing_is_left_out_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What nothing reads is named once on stdout and stands in the manifest, with all digests."""
    out = tmp_path / "out"
    convert(A, out)
    told = capsys.readouterr()
    assert told.err == ""
    origin = read_manifest(out).origin
    block = sorted(n for n in A.weights("eva") if n.startswith("blocks.3."))
    position_ids = "Qformer.bert.embeddings.position_ids"
    assert origin.dropped == {
        "eva": tuple(block),
        "blip2": (position_ids, "t5_proj.bias", "t5_proj.weight"),
        "phi": (),
        "stage": (position_ids,),
    }
    for name in (*block, "t5_proj.bias", "t5_proj.weight"):
        assert told.out.count(f" {name}") == 1
    for role in ("eva", "blip2", "phi", "stage"):
        (source,) = origin.sources[role]
        assert source.sha256 == A.facts["files"][source.name]
    assert {file.name for file in origin.sources["tokenizer"]} == set(
        os.listdir(DATA / "tokenizer_tiny")
    )


@pytest.mark.parametrize(("golden", "start"), [(A, "Give the following image: "), (B, "<s>[INST]")])
def test_prompt_of_the_stage(golden: Golden, start: str, tmp_path: Path) -> None:
    """The folder holds the template of its stage's demo and stops at `###` (SPEC.md §4.1)."""
    convert(golden, tmp_path / "out")
    generation = read_checkpoint(tmp_path / "out").generation
    assert generation.prompt_template.startswith(start)
    chat = golden.facts["chat"]["prompt"]
    assert generation.prompt_template.replace("{question}", "what is this?") == chat
    assert generation.eos_token_ids == (287, 257)
    assert generation.max_new_tokens == 20


# --- refusals ---

Change = Callable[[State], None]


def lose(name: str) -> Change:
    """Take a tensor out."""

    def change(state: State) -> None:
        del state[name]

    return change


def cut(name: str) -> Change:
    """Take a tensor's last row off."""

    def change(state: State) -> None:
        state[name] = state[name][:-1].clone()

    return change


def add(name: str, *shape: int) -> Change:
    """Put a tensor in."""

    def change(state: State) -> None:
        state[name] = torch.zeros(shape)

    return change


def without_adapters(state: State) -> None:
    """Take the adapters out and leave peft's wrapper."""
    for name in [name for name in state if ".lora_" in name]:
        del state[name]


@pytest.mark.parametrize(
    ("role", "change", "told"),
    [
        ("eva", lose("blocks.1.attn.q_bias"), "blocks.1.attn.q_bias"),
        ("eva", cut("blocks.0.mlp.fc1.weight"), "blocks.0.mlp.fc1.weight"),
        ("eva", add("pos_embed", 1, 18, 64), "pos_embed"),
        ("blip2", lose("query_tokens"), "query_tokens"),
        ("blip2", lose("ln_vision.bias"), "ln_vision.bias"),
        ("blip2", cut("Qformer.bert.embeddings.LayerNorm.bias"), "embeddings.LayerNorm.bias"),
        ("phi", lose("lm_head.bias"), "lm_head.bias"),
        ("phi", lose("model.layers.1.self_attn.query_key_value.bias"), "layers.1.self_attn.query"),
        ("phi", cut("model.embed_tokens.weight"), "model.embed_tokens.weight"),
        ("phi", add("model.layers.3.mlp.fc1.bias", 256), "model.layers.3.mlp.fc1.bias"),
        ("phi", add("model.layers.0.self_attn.q_proj.bias", 64), "stands beside separate q, k"),
        ("phi_split", lose("model.layers.2.self_attn.k_proj.weight"), "layers.2.self_attn.k_proj"),
        ("stage", lose("llama_proj2.bias"), "llama_proj2.bias"),
        ("stage", lose(f"{LAYER}self_attn.q_layernorm.weight"), f"{LAYER}self_attn.q_layernorm"),
        ("stage", lose(f"{LAYER}post_layernorm.weight"), f"{LAYER}post_layernorm.weight"),
        ("stage", lose(f"{LAYER}self_attn.dense.lora_B.weight"), "self_attn.dense.lora_B.weight"),
        ("stage", cut(f"{LAYER}self_attn.dense.lora_A.weight"), "self_attn.dense.lora_A.weight"),
        ("stage", without_adapters, f"{LAYER}self_attn.query_key_value.lora_A.weight"),
        ("stage", cut("llama_proj.weight"), "llama_proj.weight"),
        ("stage", add("Qformer.bert.surprise", 3), "Qformer.bert.surprise"),
        ("stage", add("query_tokens", 1, 8, 48), "Qformer.bert.embeddings.LayerNorm"),
        ("stage", add("visual_encoder.blocks.3.norm1.bias", 64), "blocks.3.norm1.bias"),
        ("stage", add("llama_proj3.weight", 3), "llama_proj3.weight"),
        ("stage", add(f"{LAYER}self_attn.dense.weight.SCB", 64), "dense.weight.SCB"),
        ("stage", add(f"{LAYER}self_attn.dense.lora_A.default.weight", 8, 64), "holds both"),
    ],
)
def test_a_wrong_key_is_refused_by_name(
    role: str, change: Change, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that is missing, misshapen or unexplained ends with 2, one sentence and no folder."""
    path = A.rewritten(role, tmp_path, change)
    option = "phi" if role == "phi_split" else role
    assert convert_checkpoint.main(A.arguments(tmp_path / "out", **{option: path})) == 2
    error = capsys.readouterr().err
    assert told in error
    assert path.name in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_pickle_that_would_run_something(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pickle with an object beside its tensors is refused by that object's name, unopened."""
    path = save_pickle(A.weights("stage"), tmp_path / "stage.pth", config=Namespace(lr=1))
    assert convert_checkpoint.main(A.arguments(tmp_path / "out", stage=path)) == 2
    error = capsys.readouterr().err
    assert "argparse.Namespace" in error
    assert "stage.pth" in error


def write_text(name: str, text: str) -> Callable[[Path], dict[str, Path | int]]:
    """An input of this option that holds `text`."""

    def prepare(folder: Path) -> dict[str, Path | int]:
        path = folder / f"{name}.pth"
        path.write_text(text)
        return {name: path}

    return prepare


def shard_lost(folder: Path) -> dict[str, Path | int]:
    """A Phi folder whose second shard is not there."""
    phi = save_sharded(A.weights("phi"), folder / "phi", "safetensors")
    (phi / "model-00002-of-00002.safetensors").unlink()
    return {"phi": phi}


def another_rotary_share(folder: Path) -> dict[str, Path | int]:
    """A Phi folder of another network."""
    phi = save_sharded(A.weights("phi"), folder / "phi", "safetensors")
    (phi / "config.json").write_text(json.dumps({"partial_rotary_factor": 0.5}))
    return {"phi": phi}


def another_tokenizer(folder: Path) -> dict[str, Path | int]:
    """A tokenizer whose vocabulary the network does not have."""
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    for path in (DATA / "tokenizer_tiny").iterdir():
        (tokenizer / path.name).write_bytes(path.read_bytes())
    (tokenizer / "added_tokens.json").write_text(json.dumps({"  ": 288}))
    return {"tokenizer": tokenizer}


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda folder: {"eva": folder / "nowhere.pth"}, "nowhere.pth"),
        (lambda folder: {"phi": folder}, "holds no Phi weights"),
        (lambda folder: {"tokenizer": folder}, "tokenizer.json"),
        (lambda folder: {"image_size": 70}, "--image-size 70"),
        (lambda folder: {"config": folder / "nowhere.json"}, "nowhere.json"),
        (write_text("stage", "no pickle"), "stage.pth"),
        (write_text("blip2", ""), "blip2.pth"),
        (shard_lost, "model-00002-of-00002.safetensors"),
        (another_rotary_share, "partial_rotary_factor 0.5"),
        (another_tokenizer, "289 tokens"),
    ],
)
def test_a_wrong_input_is_told(
    prepare: Callable[[Path], dict[str, Path | int]],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An input that is not there, damaged or another network's ends with 2 and one sentence."""
    assert convert_checkpoint.main(A.arguments(tmp_path / "out", **prepare(tmp_path))) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_quantized_while_converted(plain: State, tmp_path: Path) -> None:
    """`--quant` writes what loading an unquantized folder makes, and the manifest says so."""
    arguments = [*A.arguments(tmp_path / "int8"), "--quant", "int8"]
    assert convert_checkpoint.main(arguments) == 0
    assert read_manifest(tmp_path / "int8").quantization == "int8"
    expected = dict(quantize_stream(plain.items(), "int8"))
    assert equal(dict(read_checkpoint(tmp_path / "int8").weights()), expected)


def test_a_wrong_flag_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that is none ends with 2 and one sentence."""
    with pytest.raises(SystemExit) as ended:
        convert_checkpoint.main(["--image-size", "big", "out"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_occupied_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """OUT with something in it ends with 2 and keeps what it holds."""
    (tmp_path / "mine.txt").write_text("mine")
    assert convert_checkpoint.main(A.arguments(tmp_path)) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failing_disk_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the system refuses to read ends with 1 and a sentence that names that file."""

    def refuse(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("workers.model.convert.digest_file", refuse)
    assert convert_checkpoint.main(A.arguments(tmp_path / "out")) == 1
    error = capsys.readouterr().err
    assert str(A.path("eva")) in error
    assert str(tmp_path / "out") not in error
