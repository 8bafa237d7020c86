"""The layers that take the place of a network's own where its matrices are quantized.

Such a layer is made without values, is given the tensors of workers.model.quantized.format one by
one, and packs them for its device once it has all. From then on it has no plain tensors.

M rows, K columns in, N columns out
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from workers.model.quantization import FP8, INT4, INT8
from workers.model.quantized.format import (
    FP8_HIGHEST,
    GROUP,
    SMALLEST_SCALE,
    Parts,
    dequantize,
    empty_parts,
    unpack,
)
from workers.model.quantized.rows import CHUNK, MIDDLE, PackedMatrix, chunks, round_rows


class Quantized(nn.Module):
    """What all of them share: tensors come in, and are packed when none is missing."""

    def __init__(self, rows: int, columns: int, kind: str) -> None:
        super().__init__()
        for part, tensor in empty_parts((rows, columns), kind).items():
            self.register_buffer(part, tensor)
        self.parts: Parts = {}
        """What was given so far; empty once it is packed."""

    def give(self, part: str, tensor: torch.Tensor) -> None:
        """Take one of the tensors, on the device that is to compute."""
        del self._buffers[part]
        self.parts[part] = tensor
        if not self._buffers:
            self.pack(self.parts)
            self.parts = {}

    def pack(self, parts: Parts) -> None:
        """All tensors are there."""
        raise NotImplementedError


class QuantizedEmbedding(Quantized):
    """A table of N rows in int8."""

    def __init__(self, table: nn.Embedding, dtype: torch.dtype) -> None:
        super().__init__(table.num_embeddings, table.embedding_dim, INT8)
        self._dtype = dtype

    def pack(self, parts: Parts) -> None:
        self._table, self._scale = parts["weight"], parts["weight_scale"]

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """[...] → [..., K] in the dtype of whatever is not quantized."""
        return (self._table[ids] * self._scale[ids][..., None]).to(self._dtype)


class QuantizedLinear(Quantized):
    """x @ weight.T + bias; what goes in and comes out has the same dtype."""

    kind: str

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.out_features, linear.in_features, self.kind)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias: torch.Tensor | None = linear.bias

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        """[M, K] → [M, N]."""
        raise NotImplementedError

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """[..., K] → [..., N]."""
        rows = values.reshape(-1, self.in_features)
        return self.multiply(rows).to(values.dtype).view(*values.shape[:-1], self.out_features)


class PortableLinear(QuantizedLinear):
    """Where no product of the kind is to be had: the matrix is made whole for each use."""

    def pack(self, parts: Parts) -> None:
        self._held = parts

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.to(rows.dtype)
        return functional.linear(rows, dequantize(self._held).to(rows.dtype), bias)


class PortableInt8Linear(PortableLinear):
    """int8 weights, products in the activations' dtype."""

    kind = INT8


class PortableInt4Linear(PortableLinear):
    """int4 weights, products in the activations' dtype."""

    kind = INT4


class Int8Linear(QuantizedLinear):
    """8-bit weights and, rounded row by row, 8-bit activations, on a CPU."""

    kind = INT8
    matrix: PackedMatrix

    def pack(self, parts: Parts) -> None:
        self.matrix = PackedMatrix(parts["weight"], parts["weight_scale"])

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        if len(rows) <= CHUNK:
            return self.multiply_bytes(*round_rows(rows.float()))
        product = rows.new_empty(len(rows), self.out_features)
        for piece, into in zip(chunks(rows), chunks(product), strict=True):
            into.copy_(self.multiply_bytes(*round_rows(piece.float())))
        return product

    def multiply_bytes(
        self, rows: torch.Tensor, scale: torch.Tensor, middle: int = MIDDLE
    ) -> torch.Tensor:
        """Bytes around `middle` [M, K] and their rows' scales [M, 1] → fp32 [M, N]."""
        return self.matrix.multiply(rows, scale, self.bias, middle)


class Int4Linear(QuantizedLinear):
    """4-bit weights and bf16 activations, on a CPU."""

    kind = INT4

    def pack(self, parts: Parts) -> None:
        levels = unpack(parts["weight"])
        self._packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels, 1)
        scale_and_zero = torch.stack([parts["weight_scale"], parts["weight_zero"]], dim=-1)
        self._scale_and_zero = scale_and_zero.transpose(0, 1).contiguous()

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            rows.bfloat16(), self._packed, GROUP, self._scale_and_zero
        )
        return product if self.bias is None else product + self.bias


class Fp8Linear(QuantizedLinear):
    """8-bit float weights and, row by row, 8-bit float activations, on a GPU that has them."""

    kind = FP8

    def pack(self, parts: Parts) -> None:
        self._transposed = parts["weight"].t()
        self._scale = parts["weight_scale"][None]

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        scale = (rows.abs().amax(1, keepdim=True).float() / FP8_HIGHEST).clamp_min_(SMALLEST_SCALE)
        product: torch.Tensor = torch._scaled_mm(
            (rows / scale).to(torch.float8_e4m3fn),
            self._transposed,
            scale_a=scale,
            scale_b=self._scale,
            out_dtype=torch.bfloat16,  # the only one that it knows with scales by row
        )
        return product if self.bias is None else product + self.bias
