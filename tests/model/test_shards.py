"""Weights on disk: other readers read them, and writing holds one block at a time."""

import json
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from schemas.outcome import CheckpointError
from workers.model.shards import (
    INDEX,
    WEIGHTS,
    Block,
    TensorSpec,
    blocks_of,
    read_index,
    read_tensors,
    write_shards,
)

STATE = {
    "half.odd": torch.arange(3, dtype=torch.float16),
    "single": torch.randn(4, 5),
    "brain": torch.randn(2, 3).to(torch.bfloat16),
    "scalar": torch.tensor(7, dtype=torch.int64),
    "empty": torch.zeros(0, 2),
    "transposed": torch.randn(3, 4).T,
}


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    """Same names, dtypes and values."""
    return found.keys() == expected.keys() and all(
        found[n].dtype == expected[n].dtype and torch.equal(found[n], expected[n]) for n in found
    )


def test_one_file(tmp_path: Path) -> None:
    """The safetensors library reads back every dtype and layout that was written."""
    write_shards(tmp_path, blocks_of(STATE))
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS]
    assert same(load_file(tmp_path / WEIGHTS), STATE)
    assert same(dict(read_tensors([tmp_path / WEIGHTS])), STATE)


def test_shards_and_their_index(tmp_path: Path) -> None:
    """Above the size of a shard there are several, and the index tells which tensor lies where."""
    state = {f"layer.{i}": torch.randn(100) for i in range(5)}
    write_shards(tmp_path, blocks_of(state), shard_bytes=900)
    weight_map = read_index(tmp_path / INDEX)
    assert sorted(set(weight_map.values())) == [
        f"model-{number:05d}-of-00003.safetensors" for number in (1, 2, 3)
    ]
    found = {}
    for name in set(weight_map.values()):
        assert (tmp_path / name).stat().st_size < 900 + 300
        found |= load_file(tmp_path / name)
    assert same(found, state)
    assert all(name in load_file(tmp_path / file) for name, file in weight_map.items())
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == 5 * 400


def test_one_block_at_a_time(tmp_path: Path) -> None:
    """When a block's tensors are made, those of all blocks before it are gone."""
    alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()

    def make() -> tuple[torch.Tensor, ...]:
        assert len(alive) == 0
        tensor = torch.ones(10)
        alive.add(tensor)
        return (tensor,)

    blocks = [Block((TensorSpec(f"t{i}", (10,), torch.float32),), make) for i in range(4)]
    write_shards(tmp_path, blocks, shard_bytes=100)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_name_that_leads_elsewhere(tmp_path: Path) -> None:
    """An index that names a file outside its folder is refused."""
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(CheckpointError, match="elsewhere"):
        read_index(tmp_path / INDEX)


def test_a_file_that_is_no_safetensors(tmp_path: Path) -> None:
    """A damaged file is told by its name."""
    (tmp_path / WEIGHTS).write_bytes(b"\x00" * 40)
    with pytest.raises(CheckpointError, match=WEIGHTS):
        list(read_tensors([tmp_path / WEIGHTS]))
