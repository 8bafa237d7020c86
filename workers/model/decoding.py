"""Phi-2 with the extra norms, reading on from a cache (SPEC.md §2): what the engine runs.

transformers' own forward of the same modules is what training differentiates and what the tests
compare this with. On a CPU a row's bits do not depend on the rows beside it (docs/precision.md).

B rows, T positions, R = B · T, D width, H heads, W width of a head, V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import PhiForCausalLM

from workers.engine import KVCache
from workers.engine.cache import Span
from workers.model.language import TinyGPTVDecoderLayer
from workers.model.quantized import Quantized
from workers.model.quantized.language import branches

LEAST_ROWS = 2
"""From so many rows on the products on a CPU give a row the same bits whatever is beside it."""


LONG = 256
"""From so many positions on attention is fused: its scores, all at once, take too much memory."""


@dataclass(frozen=True)
class _Reading:
    """What all layers share when rows read on."""

    span: Span
    mask: torch.Tensor
    """As `Span.mask`."""
    cosine: torch.Tensor
    sine: torch.Tensor
    """[B, T, 1, rotated dimensions], the sine with the signs of the rotation."""


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
        batch, steps, width = embeds.shape
        reading = self._reading(Span(first, starts, steps, self._device), cache.keys[0].dtype)
        hidden = self._padded(embeds.reshape(-1, width))
        for index, layer in enumerate(self._model.layers):
            hidden = self._read(layer, index, hidden, cache, reading)
        return hidden[: batch * steps].view(batch, steps, width)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self._head(self._model.final_layernorm(self._padded(hidden)))
        return scores[: len(hidden)].float()

    def _padded(self, rows: torch.Tensor) -> torch.Tensor:
        """[R, D], and rows of zeros where there are too few for the bits to be always the same."""
        missing = LEAST_ROWS - len(rows) if rows.device.type == "cpu" else 0
        return functional.pad(rows, (0, 0, 0, missing)) if missing > 0 else rows

    def _reading(self, span: Span, dtype: torch.dtype) -> _Reading:
        angles = span.positions[..., None].float() * self._model.rotary_emb.inv_freq
        cosine, sine = (wave.to(self._dtype)[:, :, None] for wave in (angles.cos(), angles.sin()))
        return _Reading(
            span,
            span.mask(dtype),
            torch.cat([cosine, cosine], -1),
            torch.cat([-sine, sine], -1),
        )

    def _read(
        self,
        layer: TinyGPTVDecoderLayer,
        index: int,
        hidden: torch.Tensor,
        cache: KVCache,
        reading: _Reading,
    ) -> torch.Tensor:
        """One layer: [R, D] → [R, D]."""
        attention, span = layer.self_attn, reading.span
        (query, key, value), fed = branches(layer, layer.input_layernorm(hidden))
        count, shape = span.batch * span.steps, (span.batch, span.steps, self._heads, -1)
        query = _rotate(attention.q_layernorm(query[:count].view(shape)), reading)
        key = _rotate(attention.k_layernorm(key[:count].view(shape)), reading)
        cache.write(index, span, key, value[:count].view(shape))
        attended = _attend(query, *cache.read(index, span), reading.mask)
        rows = hidden.new_zeros(hidden.shape)
        rows[:count] = attended.transpose(1, 2).reshape(count, -1)
        branch: torch.Tensor = layer.post_layernorm(attention.dense(rows))
        return branch.add_(fed).add_(hidden)


def _rotate(heads: torch.Tensor, reading: _Reading) -> torch.Tensor:
    """[B, T, H, W], its first dimensions turned by their positions, in place."""
    rotated = reading.cosine.shape[-1]
    part = heads[..., :rotated]
    swapped = part.roll(rotated // 2, -1)
    part.copy_((part * reading.cosine).addcmul_(swapped, reading.sine))
    return heads


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """[B, T, H, W] at [B, H, until, W] → [B, H, T, W]."""
    query = query.transpose(1, 2).to(key.dtype)
    steps = query.shape[2]
    if steps >= LONG:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    # Plain products are faster (docs/log.md), and the same bits in any batch.
    query = query * query.shape[-1] ** -0.5
    if steps == 1:  # a matrix by a vector: what is transposed costs nothing
        scores = (key @ query.transpose(-1, -2)).transpose(-1, -2)
    else:
        scores = query @ key.transpose(-1, -2)
    likely: torch.Tensor = scores.add_(mask).softmax(-1)
    return likely @ value
