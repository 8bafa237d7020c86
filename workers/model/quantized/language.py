"""A decoder layer's products; in int8 on a CPU what goes into several is rounded once.

R rows, D width, F width of the MLP
"""

from __future__ import annotations

import math
from typing import cast

import torch

from workers.model.language import TinyGPTVDecoderLayer
from workers.model.onednn import Linear
from workers.model.quantized.layers import Int8Linear
from workers.model.quantized.rows import chunks, round_rows


def branches(
    layer: TinyGPTVDecoderLayer, normed: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What a layer makes of its input [R, D]: query, key and value, and what the MLP says.

    Any layer of Phi will do; its matrices are as they are.
    """
    attention, mlp = layer.self_attn, layer.mlp
    into = attention.q_proj, attention.k_proj, attention.v_proj
    if not all(isinstance(linear, Int8Linear) for linear in (*into, mlp.fc1, mlp.fc2)):
        widen = mlp.fc1
        wide = widen.gelu(normed) if isinstance(widen, Linear) else gelu(widen(normed))
        return [linear(normed) for linear in into], mlp.fc2(wide)
    rows, scale = round_rows(normed.float())
    heads = [cast(Int8Linear, linear).multiply_bytes(rows, scale) for linear in into]
    first, second = cast(Int8Linear, mlp.fc1), cast(Int8Linear, mlp.fc2)
    fed = torch.empty_like(normed)
    # A few rows at a time: what lies between the two products stays in the cache.
    for some, of_some, into_some in zip(chunks(rows), chunks(scale), chunks(fed), strict=True):
        wide = first.multiply_bytes(some, of_some)
        into_some.copy_(second.multiply_bytes(*round_rows(gelu(wide))))
    return heads, fed


def gelu(values: torch.Tensor) -> torch.Tensor:
    """The GELU by a hyperbolic tangent, used up: torch's takes two and a half times as long."""
    slope = 2 * math.sqrt(2 / math.pi)
    inner = torch.addcmul(values.new_full((), slope), values, values, value=0.044715 * slope)
    return values.mul_(inner.mul_(values).sigmoid_())
