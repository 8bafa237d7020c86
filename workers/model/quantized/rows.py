"""int8 products on a CPU: rows of activations rounded, multiplied, scaled back.

Each row has its own scale and integers add up exactly, so a row's result does not depend on the
rows beside it. oneDNN's product takes unsigned activations and reaches, on Zen 5, twice the rate of
bf16; docs/log.md has what else was measured.

M rows, K columns in, N columns out
"""

from __future__ import annotations

import platform

import torch

MIDDLE = 128
"""The byte that stands for zero."""
LEVELS = 127
SMALLEST_SCALE = 1e-12
CHUNK = 320
"""At most so many rows go through several steps together: what lies between stays in the cache."""


def multiplies_int8(device: torch.device) -> bool:
    """Whether oneDNN's int8 products are to be had: on x86 CPUs."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return device.type == "cpu" and x86 and torch.backends.mkldnn.is_available()


def round_rows(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """fp32 [M, K] → bytes around `MIDDLE` and the rows' scales [M, 1]."""
    highest = torch.maximum(values.amax(1, keepdim=True), -values.amin(1, keepdim=True))
    scale = (highest / LEVELS).clamp_min_(SMALLEST_SCALE)
    return as_bytes(values / scale, MIDDLE), scale


def as_bytes(values: torch.Tensor, middle: int) -> torch.Tensor:
    """fp32 [M, K], used up, rounded to the nearest integer and `middle` added: bytes.

    What lies outside of a byte then wraps around.
    """
    # By way of 16 bits: from floats to bytes there is no vectorised cast.
    return values.round_().to(torch.int16).add_(middle).to(torch.uint8)


def chunks(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """[M, K] in pieces of at most `CHUNK` rows, all about as long."""
    return rows.tensor_split(-(-len(rows) // CHUNK) or 1)


class PackedMatrix:
    """An int8 matrix [N, K] in the layout that the processor's product wants."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        self._packed = torch.ops.onednn.qlinear_prepack(weight, None)
        self._scale = scale.clone()
        self._zeros = torch.zeros(len(scale), dtype=torch.int32)

    def multiply(
        self,
        rows: torch.Tensor,
        scale: torch.Tensor,
        bias: torch.Tensor | None,
        middle: int = MIDDLE,
    ) -> torch.Tensor:
        """Bytes [M, K] and their rows' scales [M, 1] → fp32 [M, N]."""
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            rows, 1.0, middle, self._packed, self._scale, self._zeros,
            None, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        if bias is None:
            return product.mul_(scale)
        return torch.addcmul(bias, product, scale, out=product)
