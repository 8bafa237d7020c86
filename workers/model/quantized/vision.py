"""The ViT's blocks on a CPU in int8: a few rows at a time through as many steps as they can go.

Products take half the time that they take in bf16, so that what lies between them counts: it stays
in the cache. Attention is computed in bf16, the residual stream and the norms in fp32 (docs/log.md
has the errors).

B images, T tokens of an image, W width, H heads, D width of a head, C rows of a chunk
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional
from transformers.models.blip_2.modeling_blip_2 import Blip2EncoderLayer

from workers.model.quantized.layers import Int8Linear
from workers.model.quantized.rows import CHUNK, as_bytes, chunks, round_rows

GELU_MIDDLE = 32
"""The byte that stands for zero behind a GELU, which is nowhere below -`GELU_DEPTH`."""
GELU_DEPTH = 0.17
LONG = 128
"""From so many tokens on it is faster to take a head at a time than to fuse the attention."""


class Int8VisionLayer(nn.Module):
    """A block of the ViT whose four matrices are `Int8Linear`; its image's rows alone decide."""

    def __init__(self, layer: Blip2EncoderLayer) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = layer.layer_norm1, layer.layer_norm2
        self.self_attn, self.mlp = layer.self_attn, layer.mlp

    def forward(self, hidden: torch.Tensor, **_: Any) -> torch.Tensor:
        """fp32 [B, T, W] → [B, T, W]."""
        tokens = hidden.shape[1]
        images = hidden.clone()
        for some in images.split(1 if tokens >= LONG else CHUNK // tokens):
            attended = self._attend(some)
            for rows, seen in zip(chunks(some.flatten(0, 1)), chunks(attended), strict=True):
                self._add(rows, seen)
        return images

    def _attend(self, images: torch.Tensor) -> torch.Tensor:
        """What the heads bring together: [B, T, W] → bf16 [B · T, W]."""
        batch, tokens, width = images.shape
        heads = self.self_attn.num_heads
        rows = images.view(-1, width)
        seen = torch.empty(len(rows), 3 * width, dtype=torch.bfloat16)
        qkv, scale = cast(Int8Linear, self.self_attn.qkv), self.self_attn.scale
        for piece, into in zip(chunks(rows), chunks(seen), strict=True):
            product = qkv.multiply_bytes(*round_rows(self.layer_norm1(piece)))
            product[:, :width] *= scale
            into.copy_(product)
        # [3, B, H, T, D]
        query, key, value = seen.view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
        if tokens < LONG:
            together = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
            return together.transpose(1, 2).reshape(-1, width)
        together = torch.empty(batch, tokens, heads, width // heads, dtype=torch.bfloat16)
        scores = torch.empty(tokens, tokens, dtype=torch.bfloat16)  # a head's: the cache holds it
        for image in range(batch):
            for head in range(heads):
                torch.mm(query[image, head], key[image, head].t(), out=scores)
                torch.softmax(scores, -1, out=scores)
                torch.mm(scores, value[image, head], out=together[image, :, head])
        return together.view(-1, width)

    def _add(self, rows: torch.Tensor, seen: torch.Tensor) -> None:
        """Both branches, added to the residual stream in place: rows [C, W], seen [C, W]."""
        projection = cast(Int8Linear, self.self_attn.projection)
        rows += projection.multiply_bytes(*round_rows(seen.float()))
        first, second = cast(Int8Linear, self.mlp.fc1), cast(Int8Linear, self.mlp.fc2)
        hidden = first.multiply_bytes(*round_rows(self.layer_norm2(rows)))
        torch.ops.aten.gelu_(hidden)
        rows += second.multiply_bytes(*_round_gelu(hidden), GELU_MIDDLE)


def _round_gelu(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `round_rows`, with most of a byte for what is above zero."""
    highest = values.amax(1, keepdim=True)
    scale = (highest / (255 - GELU_MIDDLE)).clamp_min_(GELU_DEPTH / GELU_MIDDLE)
    return as_bytes(values.div_(scale), GELU_MIDDLE), scale
