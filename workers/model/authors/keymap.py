"""The authors' tensor names and ours, as one table that is read both ways (CHECKPOINTS.md §4, §5).

The authors' side is the whole model's state dict without adapters: `visual_encoder.*`,
`ln_vision.*`, `query_tokens`, `Qformer.bert.*`, `llama_model.*` with the fused query_key_value,
`llama_proj*`. `{i}` counts layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import torch

from schemas.outcome import CheckpointError
from workers.model.config import TinyGPTVConfig

State = Mapping[str, torch.Tensor]


class Form(Enum):
    """How the tensors of one row of the table are laid out on the authors' side."""

    SAME = "one tensor, the same on both sides"
    FUSED_QKV = "q, k and v are the rows of one tensor, head by head (SPEC.md §2)"
    KEYLESS_BIAS = "a fused q|k|v bias is kept as its q and v parts; k's is zero (SPEC.md §1.2)"


@dataclass(frozen=True)
class Row:
    """Some tensors of ours and the authors' tensors that hold the same values."""

    ours: tuple[str, ...]
    authors: tuple[str, ...]
    form: Form = Form.SAME

    def numbered(self, index: int) -> Row:
        """The row of one layer."""
        return Row(
            tuple(name.replace("{i}", str(index)) for name in self.ours),
            tuple(name.replace("{i}", str(index)) for name in self.authors),
            self.form,
        )


def _same(ours: str, authors: str, kinds: str = "weight bias") -> tuple[Row, ...]:
    return tuple(Row((f"{ours}.{kind}",), (f"{authors}.{kind}",)) for kind in kinds.split())


_VIT = "vision_model.encoder.layers.{i}"
_EVA = "visual_encoder.blocks.{i}"
_QFORMER = "qformer.encoder.layer.{i}"
_BERT = "Qformer.bert.encoder.layer.{i}"
_PHI = "language_model.model.layers.{i}"
_LLAMA = "llama_model.model.layers.{i}"

WHOLE_MODEL: tuple[Row, ...] = (
    Row(("vision_model.embeddings.class_embedding",), ("visual_encoder.cls_token",)),
    Row(("vision_model.embeddings.position_embedding",), ("visual_encoder.pos_embed",)),
    *_same("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
    *_same("vision_model.post_layernorm", "ln_vision"),
    Row(("query_tokens",), ("query_tokens",)),
    *_same("qformer.layernorm", "Qformer.bert.embeddings.LayerNorm"),
    *_same("llama_proj", "llama_proj"),
    *_same("llama_proj2", "llama_proj2"),
    *_same("language_model.model.embed_tokens", "llama_model.model.embed_tokens", "weight"),
    *_same("language_model.model.final_layernorm", "llama_model.model.final_layernorm"),
    *_same("language_model.lm_head", "llama_model.lm_head"),
)

VISION_LAYER: tuple[Row, ...] = (
    *_same(f"{_VIT}.layer_norm1", f"{_EVA}.norm1"),
    *_same(f"{_VIT}.self_attn.qkv", f"{_EVA}.attn.qkv", "weight"),
    Row(
        (f"{_VIT}.self_attn.qkv.bias",),
        (f"{_EVA}.attn.q_bias", f"{_EVA}.attn.v_bias"),
        Form.KEYLESS_BIAS,
    ),
    *_same(f"{_VIT}.self_attn.projection", f"{_EVA}.attn.proj"),
    *_same(f"{_VIT}.layer_norm2", f"{_EVA}.norm2"),
    *_same(f"{_VIT}.mlp.fc1", f"{_EVA}.mlp.fc1"),
    *_same(f"{_VIT}.mlp.fc2", f"{_EVA}.mlp.fc2"),
)

QFORMER_LAYER: tuple[Row, ...] = (
    *_same(f"{_QFORMER}.attention.attention.query", f"{_BERT}.attention.self.query"),
    *_same(f"{_QFORMER}.attention.attention.key", f"{_BERT}.attention.self.key"),
    *_same(f"{_QFORMER}.attention.attention.value", f"{_BERT}.attention.self.value"),
    *_same(f"{_QFORMER}.attention.output.dense", f"{_BERT}.attention.output.dense"),
    *_same(f"{_QFORMER}.attention.output.LayerNorm", f"{_BERT}.attention.output.LayerNorm"),
    *_same(f"{_QFORMER}.intermediate_query.dense", f"{_BERT}.intermediate_query.dense"),
    *_same(f"{_QFORMER}.output_query.dense", f"{_BERT}.output_query.dense"),
    *_same(f"{_QFORMER}.output_query.LayerNorm", f"{_BERT}.output_query.LayerNorm"),
)

QFORMER_CROSS_ATTENTION: tuple[Row, ...] = (
    *_same(f"{_QFORMER}.crossattention.attention.query", f"{_BERT}.crossattention.self.query"),
    *_same(f"{_QFORMER}.crossattention.attention.key", f"{_BERT}.crossattention.self.key"),
    *_same(f"{_QFORMER}.crossattention.attention.value", f"{_BERT}.crossattention.self.value"),
    *_same(f"{_QFORMER}.crossattention.output.dense", f"{_BERT}.crossattention.output.dense"),
    *_same(
        f"{_QFORMER}.crossattention.output.LayerNorm", f"{_BERT}.crossattention.output.LayerNorm"
    ),
)

LANGUAGE_LAYER: tuple[Row, ...] = (
    *_same(f"{_PHI}.input_layernorm", f"{_LLAMA}.input_layernorm"),
    *(
        Row(
            tuple(f"{_PHI}.self_attn.{part}_proj.{kind}" for part in "qkv"),
            (f"{_LLAMA}.self_attn.query_key_value.{kind}",),
            Form.FUSED_QKV,
        )
        for kind in ("weight", "bias")
    ),
    *_same(f"{_PHI}.self_attn.q_layernorm", f"{_LLAMA}.self_attn.q_layernorm"),
    *_same(f"{_PHI}.self_attn.k_layernorm", f"{_LLAMA}.self_attn.k_layernorm"),
    *_same(f"{_PHI}.self_attn.dense", f"{_LLAMA}.self_attn.dense"),
    *_same(f"{_PHI}.post_layernorm", f"{_LLAMA}.post_layernorm", "weight"),
    *_same(f"{_PHI}.mlp.fc1", f"{_LLAMA}.mlp.fc1"),
    *_same(f"{_PHI}.mlp.fc2", f"{_LLAMA}.mlp.fc2"),
)


def rows(config: TinyGPTVConfig) -> Iterator[Row]:
    """The table of one network, every layer written out."""
    yield from WHOLE_MODEL
    for index in range(config.vision.num_layers):
        yield from (row.numbered(index) for row in VISION_LAYER)
    for index in range(config.qformer.num_layers):
        yield from (row.numbered(index) for row in QFORMER_LAYER)
        if index % config.qformer.cross_attention_frequency == 0:
            yield from (row.numbered(index) for row in QFORMER_CROSS_ATTENTION)
    for index in range(config.language.num_layers):
        yield from (row.numbered(index) for row in LANGUAGE_LAYER)


def from_authors(state: State, config: TinyGPTVConfig) -> dict[str, torch.Tensor]:
    """The authors' state dict under our names.

    Raises:
        CheckpointError: names a key that is missing, or that the table does not know.
    """
    table = list(rows(config))
    _check_names(state, (name for row in table for name in row.authors))
    ours: dict[str, torch.Tensor] = {}
    for row in table:
        ours |= zip(row.ours, to_ours(row, [state[n] for n in row.authors], config), strict=True)
    return ours


def to_authors(state: State, config: TinyGPTVConfig) -> dict[str, torch.Tensor]:
    """Our state dict under the authors' names; the inverse of `from_authors`, on meta tensors too.

    Raises:
        CheckpointError: names a key that is missing, that the table does not know, or whose values
            the authors' layout cannot hold.
    """
    table = list(rows(config))
    _check_names(state, (name for row in table for name in row.ours))
    authors: dict[str, torch.Tensor] = {}
    for row in table:
        authors |= zip(
            row.authors, to_theirs(row, [state[n] for n in row.ours], config), strict=True
        )
    return authors


def to_ours(
    row: Row, tensors: Sequence[torch.Tensor], config: TinyGPTVConfig
) -> tuple[torch.Tensor, ...]:
    """The tensors of `row.authors` as those of `row.ours`."""
    if row.form is Form.FUSED_QKV:
        return split_heads(tensors[0], config.language.num_heads)
    if row.form is Form.KEYLESS_BIAS:
        query, value = tensors
        return (torch.cat([query, torch.zeros_like(query), value]),)
    return tuple(tensors)


def to_theirs(
    row: Row, tensors: Sequence[torch.Tensor], config: TinyGPTVConfig
) -> tuple[torch.Tensor, ...]:
    """The tensors of `row.ours` as those of `row.authors`."""
    if row.form is Form.FUSED_QKV:
        query, key, value = tensors
        return (fuse_heads(query, key, value, config.language.num_heads),)
    if row.form is Form.KEYLESS_BIAS:
        query, key, value = tensors[0].chunk(3)
        if not key.is_meta and bool(key.count_nonzero()):
            raise CheckpointError(f"{row.ours[0]} has a key bias; the authors' layout holds none")
        return query, value
    return tuple(tensors)


def split_heads(fused: torch.Tensor, num_heads: int) -> tuple[torch.Tensor, ...]:
    """Rows (head, q|k|v, dim) [3·D, …] → q, k and v [D, …] each."""
    parts = fused.reshape(num_heads, 3, -1, *fused.shape[1:])
    return tuple(parts[:, index].reshape(-1, *fused.shape[1:]) for index in range(3))


def fuse_heads(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, num_heads: int
) -> torch.Tensor:
    """q, k and v [D, …] → rows (head, q|k|v, dim) [3·D, …]."""
    parts = [part.reshape(num_heads, -1, *part.shape[1:]) for part in (query, key, value)]
    return torch.stack(parts, dim=1).reshape(-1, *query.shape[1:])


def _check_names(state: State, names: Iterator[str]) -> None:
    known = set(names)
    for name in known - state.keys():
        raise CheckpointError(f"key {name} is missing")
    for name in state.keys() - known:
        raise CheckpointError(f"key {name} is none of a TinyGPT-V's")
