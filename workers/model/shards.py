"""Weights as safetensors: written tensor by tensor into shards, read tensor by tensor.

The container is https://github.com/huggingface/safetensors#format: the header's length, the header
(JSON: name → dtype, shape, offsets), the bytes. Writing it here, and not through
`safetensors.torch.save_file`, needs one tensor in memory instead of a shard and its copy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open

from schemas.outcome import CheckpointError

WEIGHTS_SUFFIX = ".safetensors"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_BYTES = 2_000_000_000

_DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True)
class TensorSpec:
    """What a header tells of one tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Block:
    """Tensors of one dtype that are made together, when their turn to be written comes."""

    specs: tuple[TensorSpec, ...]
    make: Callable[[], Sequence[torch.Tensor]]

    @property
    def num_bytes(self) -> int:
        return sum(spec.num_bytes for spec in self.specs)


def write_shards(folder: Path, blocks: Iterable[Block], shard_bytes: int = SHARD_BYTES) -> None:
    """Write `blocks` as one `model.safetensors`, or as shards of `shard_bytes` with their index.

    At no time is more than one block in memory.
    """
    shards = _cut(blocks, shard_bytes)
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = (
            WEIGHTS if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        )
        with (folder / name).open("xb") as file:
            _write_shard(file, shard)
        weight_map |= {spec.name: name for block in shard for spec in block.specs}
    if len(shards) > 1:
        total = sum(block.num_bytes for shard in shards for block in shard)
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def read_index(path: Path) -> dict[str, str]:
    """The tensor name → file name map of a sharded checkpoint's index.

    Raises:
        CheckpointError: no such file, no such map, or a name that leads out of the folder.
    """
    try:
        weight_map = json.loads(path.read_bytes())["weight_map"]
        files = {str(key): str(name) for key, name in weight_map.items()}
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no index of weights {path}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no index of weights: {error!r}") from error
    for name in files.values():
        if Path(name).name != name:
            raise CheckpointError(f"{path} names {name!r}, which is not a file beside it")
    return files


def read_tensors(paths: Iterable[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of some safetensors files, one at a time, mapped from the disk.

    Raises:
        CheckpointError: a file is missing or is no safetensors file.
    """
    for path in paths:
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                for name in file.keys():  # noqa: SIM118 - the handle is no mapping
                    yield name, file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error


def blocks_of(state: Mapping[str, torch.Tensor]) -> list[Block]:
    """A state dict as one block a tensor."""
    return [_block_of(name, tensor) for name, tensor in state.items()]


def _block_of(name: str, tensor: torch.Tensor) -> Block:
    return Block((TensorSpec(name, tuple(tensor.shape), tensor.dtype),), lambda: (tensor,))


def _cut(blocks: Iterable[Block], shard_bytes: int) -> list[list[Block]]:
    # Wide dtypes first: that keeps every tensor aligned without gaps, which the format forbids.
    ordered = sorted(blocks, key=lambda block: -block.specs[0].dtype.itemsize)
    shards: list[list[Block]] = [[]]
    filled = 0
    for block in ordered:
        if shards[-1] and filled + block.num_bytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(block)
        filled += block.num_bytes
    return shards


def _write_shard(file: BinaryIO, blocks: Sequence[Block]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for spec in (spec for block in blocks for spec in block.specs):
        end = offset + spec.num_bytes
        header[spec.name] = {
            "dtype": _DTYPE_NAMES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for block in blocks:
        _write_block(file, block)


def _write_block(file: BinaryIO, block: Block) -> None:
    for spec, tensor in zip(block.specs, block.make(), strict=True):
        if (tuple(tensor.shape), tensor.dtype) != (spec.shape, spec.dtype):
            raise AssertionError(f"{spec} was promised, {tensor.shape} {tensor.dtype} came")
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        file.write(flat.view(torch.uint8).numpy().data)
