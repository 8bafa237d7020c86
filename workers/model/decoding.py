"""Phi-2 with the extra norms, reading on from a cache (SPEC.md §2): what the engine runs.

transformers' own forward of the same modules is what training differentiates and what the tests
compare this with. On a CPU a row's bits do not depend on the rows beside it (docs/precision.md).

B rows, T positions, R rows or positions or nodes, D width, H heads, W width of a head, V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch.nn import functional
from transformers import PhiForCausalLM

from workers.engine import KVCache
from workers.engine.cache import Branches, Span
from workers.model.attention import BranchAttention, SpanAttention
from workers.model.language import TinyGPTVDecoderLayer
from workers.model.quantized import Quantized
from workers.model.quantized.language import branches

LEAST_ROWS = 2
"""From so many rows on the products on a CPU give a row the same bits whatever is beside it."""

Waves = tuple[torch.Tensor, torch.Tensor]
"""Cosine and sine of positions, [R, 1, rotated dimensions], the sine with the rotation's signs."""


class _Attention(Protocol):
    """What the layers' queries see."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Keep keys and values, [R, H, W] like the queries → [R, H · W]."""
        ...


class PhiDecoder:
    """A language model as the engine wants it; see `workers.engine.Decoder`."""

    def __init__(self, language_model: PhiForCausalLM) -> None:
        self._model = language_model.model
        self._head = language_model.lm_head
        self._heads = language_model.config.num_attention_heads
        self._width = language_model.config.hidden_size // self._heads

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = self._model.final_layernorm.weight.dtype
        return dtype

    @property
    def _device(self) -> torch.device:
        device: torch.device = self._model.final_layernorm.weight.device
        return device

    def new_cache(self, rows: int, positions: int) -> KVCache:
        """Keys and values are 16-bit floats wherever the matrices are no longer in fp32."""
        quantized = isinstance(self._model.layers[0].self_attn.q_proj, Quantized)
        dtype = torch.bfloat16 if quantized else self._dtype
        layers = len(self._model.layers)
        return KVCache(layers, rows, self._heads, positions, self._width, dtype, self._device)

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self._model.embed_tokens(token_ids)
        return embedded

    def extend(
        self, embeds: torch.Tensor, cache: KVCache, first: int, starts: Sequence[int]
    ) -> torch.Tensor:
        span = Span(first, starts, embeds.shape[1], self._device)
        rows = embeds.reshape(-1, embeds.shape[-1])
        attention = SpanAttention(cache, span)
        return self._through(rows, span.positions.flatten(), attention).view(embeds.shape)

    def branch(self, embeds: torch.Tensor, cache: KVCache, branches: Branches) -> torch.Tensor:
        return self._through(embeds, branches.positions, BranchAttention(cache, branches))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self._head(self._model.final_layernorm(self._padded(hidden)))
        return scores[: len(hidden)].float()

    def _padded(self, rows: torch.Tensor) -> torch.Tensor:
        """[R, D], and rows of zeros where there are too few for the bits to be always the same."""
        missing = LEAST_ROWS - len(rows) if rows.device.type == "cpu" else 0
        return functional.pad(rows, (0, 0, 0, missing)) if missing > 0 else rows

    def _through(
        self, rows: torch.Tensor, positions: torch.Tensor, attention: _Attention
    ) -> torch.Tensor:
        """All layers: [R, D] at [R] → [R, D]."""
        angles = positions[:, None].float() * self._model.rotary_emb.inv_freq
        cosine, sine = (wave.to(self._dtype)[:, None] for wave in (angles.cos(), angles.sin()))
        waves = torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1)
        hidden = self._padded(rows)
        for index, layer in enumerate(self._model.layers):
            hidden = self._read(layer, index, hidden, waves, attention)
        return hidden[: len(rows)]

    def _read(
        self,
        layer: TinyGPTVDecoderLayer,
        index: int,
        hidden: torch.Tensor,
        waves: Waves,
        attention: _Attention,
    ) -> torch.Tensor:
        """One layer: [R, D] → [R, D]."""
        own = layer.self_attn
        (query, key, value), fed = branches(layer, layer.input_layernorm(hidden))
        count = len(waves[0])
        shape = (count, self._heads, self._width)
        query = _rotate(own.q_layernorm(query[:count].view(shape)), waves)
        key = _rotate(own.k_layernorm(key[:count].view(shape)), waves)
        rows = hidden.new_zeros(hidden.shape)
        rows[:count] = attention.attend(index, query, key, value[:count].view(shape))
        branch: torch.Tensor = layer.post_layernorm(own.dense(rows))
        return branch.add_(fed).add_(hidden)


def _rotate(heads: torch.Tensor, waves: Waves) -> torch.Tensor:
    """[R, H, W], its first dimensions turned by their positions, in place."""
    cosine, sine = waves
    part = heads[..., : cosine.shape[-1]]
    swapped = part.roll(cosine.shape[-1] // 2, -1)
    part.copy_((part * cosine).addcmul_(swapped, sine))
    return heads
