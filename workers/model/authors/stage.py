"""The stage file: what was trained, under every spelling that it may have (CHECKPOINTS.md §3).

| variant (§3.2) | how it is taken |
|---|---|
| adapters, `llama_model.base_model.model.` | as the spelling below |
| no adapters, `llama_model.` | the same names, nothing to merge; said |
| newer peft | `.default.` and `.base_layer.` are taken out of the names |
| no `final_layernorm.weight` | Phi-2's stands; said |
| norms in fp16 | as they are |
| trained Q-Former, `query_tokens` present | all of it, in place of BLIP-2's |
| frozen tensors of any part | in place of that part's own |
| `Qformer.bert.embeddings.position_ids` | a buffer that nothing reads: dropped |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from workers.model.authors.files import AuthorsFile
from workers.model.authors.frozen import FUSED
from workers.model.authors.numbers import Lora
from workers.model.authors.pieces import Piece, Shapes, refuse, require, take

LANGUAGE = "llama_model."
PEFT = "base_model.model."
POSITION_IDS = "Qformer.bert.embeddings.position_ids"
ADAPTED = (FUSED, "self_attn.dense")
FINAL_NORM = f"{LANGUAGE}model.final_layernorm.weight"
TRAINED_NORMS = (
    "self_attn.q_layernorm.weight",
    "self_attn.k_layernorm.weight",
    "input_layernorm.weight",
    "post_layernorm.weight",
)
QFORMER = ("query_tokens", "Qformer.bert.")
PROJECTIONS = ("llama_proj.", "llama_proj2.")


@dataclass(frozen=True)
class Adapter:
    """One LoRA: y = W x + scaling · B (A x); B's rows lie as W's (SPEC.md §2.1)."""

    down: Piece
    """A [r, D]"""
    up: Piece
    """B [rows of W, r]"""


@dataclass(frozen=True)
class Trained:
    """What a stage file brings."""

    pieces: Mapping[str, Piece]
    adapters: Mapping[str, Adapter]
    """By the canonical name of the weight that they change."""
    dropped: tuple[str, ...]
    notes: tuple[str, ...]
    """What the file does not bring though another would, a sentence each."""


def trained_part(stage: AuthorsFile, shapes: Shapes, lora: Lora) -> Trained:
    """Everything that the stage file holds.

    Raises:
        CheckpointError: names a key that is missing, misshapen, there twice, or in no variant.
    """
    lora_shapes = _lora_shapes(shapes, lora)
    found, unknown = take(stage, canonical, {**shapes, **lora_shapes})
    dropped = tuple(key for key in unknown if key == POSITION_IDS)
    refuse(
        [key for key in unknown if key != POSITION_IDS],
        stage,
        "is explained by no variant of a stage file",
    )
    spelling = _spelling(stage)
    required = [name for name in shapes if name.endswith(TRAINED_NORMS)]
    required += [name for name in shapes if name.startswith(PROJECTIONS)]
    # Only peft wraps the language model, and it does so for its adapters.
    if _is_wrapped(stage) or found.keys() & lora_shapes.keys():
        required += lora_shapes
    if any(name.startswith(QFORMER) for name in found):
        required += [name for name in shapes if name.startswith(QFORMER)]
    require(required, found, stage, spelling)
    adapters = {
        _weight(name): Adapter(found[name], found[name.replace("lora_A", "lora_B")])
        for name in lora_shapes
        if name in found and "lora_A" in name
    }
    pieces = {name: piece for name, piece in found.items() if name in shapes}
    return Trained(pieces, adapters, dropped, tuple(_notes(stage, pieces, adapters)))


def canonical(key: str) -> str:
    """A stage file's key without the wrappers that peft put around the language model."""
    if not key.startswith(LANGUAGE):
        return key
    bare = key.removeprefix(LANGUAGE).removeprefix(PEFT)
    return LANGUAGE + bare.replace(".base_layer.", ".").replace(".default.", ".")


def _is_wrapped(stage: AuthorsFile) -> bool:
    return any(key.startswith(LANGUAGE + PEFT) for key in stage.tensors)


def _notes(
    stage: AuthorsFile, pieces: Mapping[str, Piece], adapters: Mapping[str, Adapter]
) -> Iterator[str]:
    if not adapters:
        yield f"{stage.path.name} holds no adapters: Phi-2's attention stands as it is"
    if FINAL_NORM not in pieces:
        yield f"{stage.path.name} holds no final norm: Phi-2's final norm stands"


def _spelling(stage: AuthorsFile) -> Callable[[str], str]:
    """How this file would write a canonical name."""
    wrapped = _is_wrapped(stage)
    named = any(".default." in key for key in stage.tensors)

    def spell(name: str) -> str:
        if not name.startswith(LANGUAGE):
            return name
        if named:
            name = name.replace("lora_A.", "lora_A.default.").replace("lora_B.", "lora_B.default.")
        return LANGUAGE + (PEFT if wrapped else "") + name.removeprefix(LANGUAGE)

    return spell


def _lora_shapes(shapes: Shapes, lora: Lora) -> dict[str, tuple[int, ...]]:
    adapted = {
        name: shape
        for name, shape in shapes.items()
        if name.endswith(tuple(f"{module}.weight" for module in ADAPTED))
        and name.startswith(LANGUAGE)
    }
    down = {_adapter(n, "lora_A"): (lora.rank, shape[1]) for n, shape in adapted.items()}
    up = {_adapter(n, "lora_B"): (shape[0], lora.rank) for n, shape in adapted.items()}
    return {**down, **up}


def _adapter(weight: str, half: str) -> str:
    return weight.removesuffix("weight") + f"{half}.weight"


def _weight(adapter: str) -> str:
    return adapter.replace("lora_A.", "")
