"""The authors' containers: `.safetensors`, `.pth` and `.bin`, Phi folders (CHECKPOINTS.md §1).

Nothing is read but headers until a tensor is asked for, and no pickle may run code.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from schemas.outcome import CheckpointError, UsageError
from workers.model.config import LanguageConfig
from workers.model.shards import INDEX, WEIGHTS, WEIGHTS_SUFFIX, read_index

PICKLED_WEIGHTS = "pytorch_model.bin"
PICKLED_INDEX = "pytorch_model.bin.index.json"
REMAP_BYTES = 500_000_000


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is read, or made, when it is needed."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], torch.Tensor]


LazyState = Mapping[str, LazyTensor]


@dataclass(frozen=True)
class AuthorsFile:
    """One of the command's inputs, opened."""

    role: str
    """`eva`, `blip2`, `phi` or `stage`."""
    path: Path
    """As the command names it: a file, or Phi's folder."""
    parts: tuple[Path, ...]
    """The files that hold the tensors."""
    tensors: LazyState


def open_file(role: str, path: Path) -> AuthorsFile:
    """A single file of weights, flat or `{"model": …}`.

    Raises:
        UsageError: there is no such file.
        CheckpointError: the file is damaged, or a pickle that holds more than tensors.
    """
    return AuthorsFile(role, path, (path,), _open(path))


def open_phi(path: Path, config: LanguageConfig) -> AuthorsFile:
    """Phi-2's weights: a file, or a Hugging Face folder with one file or an index of shards.

    Raises:
        UsageError: nothing is there.
        CheckpointError: a file is damaged, the folder holds no weights, a shard does not hold what
            the index says, or the folder's config.json contradicts `config`.
    """
    if not path.is_dir():
        return open_file("phi", path)
    _check_phi_config(path / "config.json", config)
    for name in (WEIGHTS, PICKLED_WEIGHTS):
        if (path / name).is_file():
            return open_file("phi", path / name)
    for name in (INDEX, PICKLED_INDEX):
        if (path / name).is_file():
            return _open_sharded(path / name)
    raise CheckpointError(
        f"{path} holds no Phi weights: no {WEIGHTS}, no {PICKLED_WEIGHTS}, no index of shards"
    )


def _open_sharded(index: Path) -> AuthorsFile:
    weight_map = read_index(index)
    paths = [index.parent / name for name in sorted(set(weight_map.values()))]
    tensors: dict[str, LazyTensor] = {}
    for path in paths:
        for name, tensor in _open(path).items():
            if weight_map.get(name) != path.name:
                raise CheckpointError(
                    f"{path} holds {name}, which {index.name} does not place there"
                )
            tensors[name] = tensor
    for name in weight_map.keys() - tensors.keys():
        raise CheckpointError(f"{weight_map[name]} lacks {name}, which {index.name} places there")
    return AuthorsFile("phi", index.parent, tuple(paths), tensors)


def _open(path: Path) -> dict[str, LazyTensor]:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if path.suffix == WEIGHTS_SUFFIX:
        return _open_safetensors(path)
    return _open_pickle(path)


def _open_safetensors(path: Path) -> dict[str, LazyTensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {
                name: _lazily(path, name, file.get_tensor(name))
                for name in file.keys()  # noqa: SIM118 - the handle is no mapping
            }
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error


def _lazily(path: Path, name: str, tensor: torch.Tensor) -> LazyTensor:
    # `tensor` itself is let go: a mapping's pages are given back with the last tensor in it.
    return LazyTensor(tuple(tensor.shape), tensor.dtype, partial(_load_safetensors, path, name))


def _load_safetensors(path: Path, name: str) -> torch.Tensor:
    with safe_open(path, framework="pt", device="cpu") as file:
        tensor: torch.Tensor = file.get_tensor(name)
        return tensor


def _open_pickle(path: Path) -> dict[str, LazyTensor]:
    file = _PickledFile(path)
    return {
        name: LazyTensor(tuple(tensor.shape), tensor.dtype, partial(file.load, name))
        for name, tensor in file.tensors.items()
    }


class _PickledFile:
    """A torch file, mapped; the mapping is renewed now and then, and gives its pages back.

    torch's container before 1.6 cannot be mapped: such a file is in memory whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mapped = zipfile.is_zipfile(path)
        self.tensors = _load_pickle(path, self.mapped)
        self.bytes_read = 0

    def load(self, name: str) -> torch.Tensor:
        if self.mapped and self.bytes_read > REMAP_BYTES:
            self.tensors = _load_pickle(self.path, self.mapped)
            self.bytes_read = 0
        tensor = self.tensors[name]
        self.bytes_read += tensor.nbytes
        return tensor


def _load_pickle(path: Path, mapped: bool) -> dict[str, torch.Tensor]:
    try:
        value = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    # A damaged file trips torch's reader anywhere: AssertionError, IndexError, struct.error …
    except Exception as error:
        forbidden = re.search(r"GLOBAL (\S+)", str(error))
        if forbidden:
            raise CheckpointError(
                f"{path} is a pickle that would run {forbidden[1]}, and is not opened; "
                "save its tensors alone, as safetensors"
            ) from error
        raise CheckpointError(f"{path} cannot be read as a torch file") from error
    if isinstance(value, dict) and isinstance(value.get("model"), dict):
        value = value["model"]
    if not isinstance(value, dict) or not value:
        raise CheckpointError(f"{path} holds no tensors by name")
    for name, tensor in value.items():
        if not isinstance(tensor, torch.Tensor):
            raise CheckpointError(f"{path} holds {name!r}, which is no tensor")
    return {str(name): tensor for name, tensor in value.items()}


def _check_phi_config(path: Path, config: LanguageConfig) -> None:
    """What shapes do not show must agree with the numbers: heads, rotary share, epsilons."""
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_bytes())
        found = found | (found.get("rope_parameters") or {})
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path} is no JSON object: {error}") from error
    expected: Sequence[tuple[str, float]] = (
        ("num_attention_heads", config.num_heads),
        ("partial_rotary_factor", config.partial_rotary_factor),
        ("rope_theta", config.rope_theta),
        ("layer_norm_eps", config.layer_norm_eps),
    )
    for key, value in expected:
        if key in found and found[key] != value:
            raise CheckpointError(f"{path} says {key} {found[key]}, the network's is {value}")
