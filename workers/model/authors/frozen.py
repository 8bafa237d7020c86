"""What TinyGPT-V was built from: EVA's ViT, BLIP-2's Q-Former, Phi-2 (CHECKPOINTS.md §4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch

from workers.model.authors.files import AuthorsFile, LazyTensor
from workers.model.authors.keymap import fuse_heads
from workers.model.authors.pieces import Piece, Shapes, refuse, require, take

VISION = "visual_encoder."
LANGUAGE = "llama_model."
BRIDGE = ("ln_vision.", "query_tokens", "Qformer.bert.")
ROTARY_BUFFER = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
FUSED = "self_attn.query_key_value"


@dataclass(frozen=True)
class Part:
    """What one file brings."""

    pieces: Mapping[str, Piece]
    dropped: tuple[str, ...]
    """Its keys that nothing reads."""


def vision_part(eva: AuthorsFile, shapes: Shapes) -> Part:
    """The ViT; further blocks and a head are dropped (SPEC.md §1.2)."""
    wanted = {name: shape for name, shape in shapes.items() if name.startswith(VISION)}
    return Part(*take(eva, lambda key: VISION + key, wanted))


def bridge_part(blip2: AuthorsFile, shapes: Shapes) -> Part:
    """ln_vision, query tokens and Q-Former; BLIP-2's own language side is dropped."""
    wanted = {name: shape for name, shape in shapes.items() if name.startswith(BRIDGE)}
    return Part(*take(blip2, lambda key: key, wanted))


def language_part(phi: AuthorsFile, shapes: Shapes, num_heads: int) -> Part:
    """Phi-2 with query_key_value fused, whichever way the file has it.

    Raises:
        CheckpointError: both ways at once, half of one, or a key that Phi-2 does not have.
    """
    wanted = {name: shape for name, shape in shapes.items() if name.startswith(LANGUAGE)}
    split = {
        part: (shape[0] // 3, *shape[1:])
        for name, shape in wanted.items()
        if FUSED in name
        for part in _split_names(name)
    }
    found, unknown = take(phi, lambda key: LANGUAGE + key, {**wanted, **split})
    dropped = tuple(key for key in unknown if ROTARY_BUFFER.fullmatch(key))
    refuse(sorted(set(unknown) - set(dropped)), phi, "is none of Phi-2's")
    if found.keys() & split.keys():
        for name in (name for name in wanted if FUSED in name):
            if name in found:
                refuse([found[name].key], phi, "stands beside separate q, k and v projections")
            found[name] = _fused(name, found, phi, num_heads)
    pieces = {name: piece for name, piece in found.items() if name in wanted}
    return Part(pieces, dropped)


def initial_biases(shapes: Shapes) -> dict[str, LazyTensor]:
    """Biases of the query and key norms: never trained, in no published folder (SPEC.md §2.2)."""
    return {
        name: LazyTensor(shape, torch.float32, partial(torch.zeros, shape))
        for name, shape in shapes.items()
        if name.endswith(("q_layernorm.bias", "k_layernorm.bias"))
    }


def eva_key(name: str) -> str:
    """A canonical name as EVA's file spells it."""
    return name.removeprefix(VISION)


def phi_key(name: str) -> str:
    """A canonical name as a Phi folder spells it."""
    return name.removeprefix(LANGUAGE)


def _split_names(fused: str) -> tuple[str, ...]:
    return tuple(fused.replace("query_key_value", f"{part}_proj") for part in "qkv")


def _fused(name: str, found: dict[str, Piece], phi: AuthorsFile, num_heads: int) -> Piece:
    names = _split_names(name)
    require(names, found, phi, phi_key)
    parts = [found[part].tensor for part in names]

    def load() -> torch.Tensor:
        query, key, value = (part.load() for part in parts)
        return fuse_heads(query, key, value, num_heads)

    rows = sum(part.shape[0] for part in parts)
    fused = LazyTensor((rows, *parts[0].shape[1:]), parts[0].dtype, load)
    return Piece(fused, phi, phi_key(name))
