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
    torch.float8_e4m3fn: "F8_E4M3",
}
_DTYPES = {name: dtype for dtype, name in _DTYPE_NAMES.items()}
HEADER_LENGTH_BYTES = 8


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
    """Every tensor of some safetensors files, one at a time, the largest first.

    They are read, not mapped: mapped pages count as the process's memory until the file is closed.
    Whoever makes something smaller of each holds least beside the largest when that comes first.

    Raises:
        CheckpointError: a file is missing or is no safetensors file.
    """
    places = [(spec, path, offset) for path in paths for spec, offset in _read_header(path)]
    for spec, path, offset in sorted(places, key=lambda place: -place[0].num_bytes):
        tensor = torch.empty(spec.shape, dtype=spec.dtype)
        try:
            with path.open("rb") as file:
                file.seek(offset)
                found = file.readinto(tensor.reshape(-1).view(torch.uint8).numpy().data)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        if found != spec.num_bytes:
            raise CheckpointError(f"{path} ends within {spec.name}; fetch the checkpoint again")
        yield spec.name, tensor


def _read_header(path: Path) -> list[tuple[TensorSpec, int]]:
    """Its tensors, each with the byte of the file at which it begins."""
    try:
        with safe_open(path, framework="pt", device="cpu"):  # the library checks the header
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
            header = json.loads(file.read(length))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    header.pop("__metadata__", None)
    try:
        return [
            (
                TensorSpec(name, tuple(told["shape"]), _DTYPES[told["dtype"]]),
                HEADER_LENGTH_BYTES + length + told["data_offsets"][0],
            )
            for name, told in header.items()
        ]
    except KeyError as error:
        raise CheckpointError(f"{path} holds tensors of a type unknown here: {error}") from error


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
    file.write(len(text).to_bytes(HEADER_LENGTH_BYTES, "little"))
    file.write(text)
    for block in blocks:
        _write_block(file, block)


def _write_block(file: BinaryIO, block: Block) -> None:
    for spec, tensor in zip(block.specs, block.make(), strict=True):
        if (tuple(tensor.shape), tensor.dtype) != (spec.shape, spec.dtype):
            raise AssertionError(f"{spec} was promised, {tensor.shape} {tensor.dtype} came")
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        file.write(flat.view(torch.uint8).numpy().data)
