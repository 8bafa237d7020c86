"""The golden sets: the authors' files at tiny sizes, and the command that converts them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

DATA = Path(__file__).parent / "parity" / "data"
ROLES = ("eva", "blip2", "phi", "stage")

ACTIVATION = 1e-4
"""Largest absolute difference of an activation that still counts as the authors'."""
LOGIT = 1e-3
"""The same of a logit."""

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Golden:
    """One set: A is a network of stage 1 to 3, B one of stage 4."""

    name: str

    @property
    def facts(self) -> Any:
        """Numbers of the network, prompts, token ids, texts."""
        return json.loads((DATA / f"golden_{self.name}.json").read_bytes())

    @property
    def tensors(self) -> State:
        """What went into the authors' code and what came out."""
        return load_file(DATA / f"golden_{self.name}.safetensors")

    @property
    def picture(self) -> Path:
        """The picture behind `in.images[0]`."""
        return DATA / f"golden_{self.name}.png"

    def path(self, role: str) -> Path:
        """One of the authors' files."""
        return DATA / f"golden_{self.name}.{role}.safetensors"

    def weights(self, role: str) -> State:
        """The tensors of one of the authors' files."""
        return load_file(self.path(role))

    def arguments(self, out: Path, **replaced: Path | int) -> list[str]:
        """The command line of jobs/convert_checkpoint.py, with other inputs by option name."""
        options: dict[str, Path | int] = {role: self.path(role) for role in ROLES}
        options |= {
            "tokenizer": DATA / "tokenizer_tiny",
            "image_size": self.facts["vit"]["img_size"],
            "config": DATA / f"golden_{self.name}.json",
        }
        options |= replaced
        flags = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items()]
        return [text for flag in flags for text in flag] + [str(out)]

    def rewritten(self, role: str, folder: Path, change: Callable[[State], None]) -> Path:
        """A copy of one of the authors' files after `change`."""
        state = self.weights(role)
        change(state)
        path = folder / f"{role}.safetensors"
        save_file(state, path)
        return path


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest absolute difference of two tensors of one shape."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max())


def renamed(state: State, names: Mapping[str, str]) -> State:
    """`state` with every occurrence of a key of `names` in a name replaced."""
    result = {}
    for name, tensor in state.items():
        for old, new in names.items():
            name = name.replace(old, new)
        result[name] = tensor
    return result
