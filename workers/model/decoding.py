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
from workers.engine.cache import GRAIN
from workers.model.language import TinyGPTVDecoderLayer
from workers.model.quantized.language import branches

LEAST_ROWS = 2
"""From so many rows on the products on a CPU give a row the same bits whatever is beside it."""


@dataclass(frozen=True)
class _Places:
    """Where in a cache the positions of one call lie, and what they may look at."""

    rows: slice
    batch: int
    steps: int
    until: int
    line: torch.Tensor
    """[B, 1]"""
    positions: torch.Tensor
    """[B, T]"""
    mask: torch.Tensor
    """[B or 1, 1, T, until]: 0, or minus infinity for what comes later."""
    cosine: torch.Tensor
    sine: torch.Tensor
    """[B, T, 1, half of the rotated dimensions]"""


class PhiDecoder:
    """A language model as the engine wants it; see `workers.engine.Decoder`."""

    def __init__(self, language_model: PhiForCausalLM) -> None:
        self._model = language_model.model
        self._head = language_model.lm_head
        self._config = language_model.config
        self._heads = self._config.num_attention_heads
        self._width = self._config.hidden_size // self._heads

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
        exact = isinstance(self._model.layers[0].self_attn.q_proj, torch.nn.Linear)
        dtype = self._dtype if exact else torch.bfloat16
        layers = len(self._model.layers)
        return KVCache(layers, rows, self._heads, positions, self._width, dtype, self._device)

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self._model.embed_tokens(token_ids)
        return embedded

    def extend(
        self, embeds: torch.Tensor, cache: KVCache, first: int, starts: Sequence[int]
    ) -> torch.Tensor:
        batch, steps, width = embeds.shape
        places = self._places(first, starts, steps, cache.keys[0].dtype)
        hidden = self._padded(embeds.reshape(-1, width))
        for index, layer in enumerate(self._model.layers):
            hidden = self._read(layer, index, hidden, cache, places)
        return hidden[: batch * steps].view(batch, steps, width)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self._head(self._model.final_layernorm(self._padded(hidden)))
        return scores[: len(hidden)].float()

    def _padded(self, rows: torch.Tensor) -> torch.Tensor:
        """[R, D], and rows of zeros where there are too few for the bits to be always the same."""
        missing = LEAST_ROWS - len(rows) if rows.device.type == "cpu" else 0
        return functional.pad(rows, (0, 0, 0, missing)) if missing > 0 else rows

    def _places(self, first: int, starts: Sequence[int], steps: int, dtype: torch.dtype) -> _Places:
        device, batch = self._device, len(starts)
        until = -(-(max(starts) + steps) // GRAIN) * GRAIN
        following = torch.arange(steps, device=device)
        positions = torch.tensor(starts, device=device)[:, None] + following
        # Rows that begin at one place need their mask once.
        seen = positions if len(set(starts)) > 1 else positions[:1]
        later = torch.arange(until, device=device) > seen[..., None]
        mask = torch.zeros(later.shape, dtype=dtype, device=device).masked_fill_(later, -torch.inf)
        angles = positions[..., None].float() * self._model.rotary_emb.inv_freq
        angles = angles[:, :, None]
        return _Places(
            slice(first, first + batch),
            batch,
            steps,
            until,
            torch.arange(first, first + batch, device=device)[:, None],
            positions,
            mask[:, None],
            angles.cos().to(self._dtype),
            angles.sin().to(self._dtype),
        )

    def _read(
        self,
        layer: TinyGPTVDecoderLayer,
        index: int,
        hidden: torch.Tensor,
        cache: KVCache,
        places: _Places,
    ) -> torch.Tensor:
        """One layer: [R, D] → [R, D]."""
        attention = layer.self_attn
        (query, key, value), fed = branches(layer, layer.input_layernorm(hidden))
        count, shape = places.batch * places.steps, (places.batch, places.steps, self._heads, -1)
        query = _rotate(attention.q_layernorm(query[:count].view(shape)), places)
        key = _rotate(attention.k_layernorm(key[:count].view(shape)), places)
        cache.write(index, places.line, places.positions, key, value[:count].view(shape))
        attended = _attend(query, *cache.read(index, places.rows, places.until), places.mask)
        rows = hidden.new_zeros(hidden.shape)
        rows[:count] = attended.transpose(1, 2).reshape(count, -1)
        branch: torch.Tensor = layer.post_layernorm(attention.dense(rows))
        return branch.add_(fed).add_(hidden)


def _rotate(heads: torch.Tensor, places: _Places) -> torch.Tensor:
    """[B, T, H, W], its first dimensions turned by their positions, in place."""
    half = places.cosine.shape[-1]
    first, second = heads[..., :half], heads[..., half : 2 * half]
    turned = first * places.cosine - second * places.sine
    second.copy_(second * places.cosine + first * places.sine)
    first.copy_(turned)
    return heads


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """[B, T, H, W] at [B, H, until, W] → [B, H, T, W]."""
    query = query.transpose(1, 2).to(key.dtype)
    if query.shape[2] > 1:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    # One position a row: plain products are faster, and the same bits in any batch.
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    likely: torch.Tensor = scores.add_(mask).softmax(-1)
    return likely @ value
