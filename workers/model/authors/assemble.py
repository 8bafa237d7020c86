"""Four files of the authors' → the whole model under their names, every tensor still unread.

The stage file wins over the frozen parts (CHECKPOINTS.md §2, §4.4). What has to be computed,
adapters merged into their weights and a position embedding on another grid, is computed in fp32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import isqrt

import torch
from torch.nn import functional

from workers.model.authors.files import AuthorsFile, LazyTensor
from workers.model.authors.frozen import (
    LANGUAGE,
    VISION,
    bridge_part,
    eva_key,
    initial_biases,
    language_part,
    phi_key,
    vision_part,
)
from workers.model.authors.numbers import Numbers
from workers.model.authors.pieces import POSITION_EMBEDDING, Shapes, require
from workers.model.authors.stage import Adapter, trained_part


@dataclass(frozen=True)
class AuthorsFiles:
    """The command's four inputs."""

    eva: AuthorsFile
    blip2: AuthorsFile
    phi: AuthorsFile
    stage: AuthorsFile


@dataclass(frozen=True)
class Assembly:
    """The authors' whole model, and what of their files is not in it."""

    state: Mapping[str, LazyTensor]
    """By canonical name; exactly the names and shapes that were asked for."""
    dropped: Mapping[str, tuple[str, ...]]
    """Role of a file → its keys that nothing reads."""
    replaced: Mapping[str, tuple[str, ...]]
    """Role of a file → its keys in whose place the stage file's stand."""
    notes: tuple[str, ...]
    """What else is to be said, a sentence each."""


def assemble(files: AuthorsFiles, shapes: Shapes, numbers: Numbers) -> Assembly:
    """Put the files together; `shapes` are the whole model's.

    A tensor keeps the precision of its file. A merged weight is rounded once, to its base's; a
    resized position embedding stays in fp32, as the reference keeps it (CHECKPOINTS.md §4.2).

    Raises:
        CheckpointError: names the file and the key that is missing, misshapen, there twice, or in
            the stage or Phi file without a meaning.
    """
    vision = vision_part(files.eva, shapes)
    bridge = bridge_part(files.blip2, shapes)
    language = language_part(files.phi, shapes, numbers.config.language.num_heads)
    trained = trained_part(files.stage, shapes, numbers.lora)

    pieces = {**vision.pieces, **bridge.pieces, **language.pieces, **trained.pieces}
    found = initial_biases(shapes) | {name: piece.tensor for name, piece in pieces.items()}
    of_phi = [name for name in shapes if name.startswith(LANGUAGE)]
    of_vision = [name for name in shapes if name.startswith(VISION)]
    require(of_vision, found, files.eva, eva_key)
    require(of_phi, found, files.phi, phi_key)
    require(shapes, found, files.blip2, str)

    state = {name: found[name] for name in shapes}
    state[POSITION_EMBEDDING] = _resized(state[POSITION_EMBEDDING], shapes[POSITION_EMBEDDING])
    for name, adapter in trained.adapters.items():
        state[name] = _merged(state[name], adapter, numbers.lora.scaling)
    return Assembly(
        state,
        dropped={
            "eva": vision.dropped,
            "blip2": bridge.dropped,
            "phi": language.dropped,
            "stage": trained.dropped,
        },
        replaced={
            role: tuple(sorted(part.pieces[n].key for n in part.pieces.keys() & trained.pieces))
            for role, part in (("eva", vision), ("blip2", bridge), ("phi", language))
        },
        notes=trained.notes,
    )


def _merged(base: LazyTensor, adapter: Adapter, scaling: float) -> LazyTensor:
    """W + scaling · B A, in the row order that W and B share (SPEC.md §2.1)."""

    def load() -> torch.Tensor:
        down, up = adapter.down.tensor.load().float(), adapter.up.tensor.load().float()
        return torch.addmm(base.load().float(), up, down, alpha=scaling).to(base.dtype)

    return LazyTensor(base.shape, base.dtype, load)


def _resized(embedding: LazyTensor, needed: tuple[int, ...]) -> LazyTensor:
    """[1, 1 + G², W] on the file's grid → on the network's; the class token's entry stays."""
    if embedding.shape == needed:
        return embedding
    return LazyTensor(needed, torch.float32, partial(_resize, embedding, isqrt(needed[1] - 1)))


def _resize(embedding: LazyTensor, side: int) -> torch.Tensor:
    values = embedding.load().float()
    class_token, patches = values[:, :1], values[:, 1:]
    file_side = isqrt(patches.shape[1])
    grid = patches.reshape(1, file_side, file_side, -1).permute(0, 3, 1, 2)
    # SPEC.md §1.2
    grid = functional.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([class_token, grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
