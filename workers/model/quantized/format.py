"""Quantized weights as plain tensors: what a matrix becomes in a checkpoint's files.

    int8   X.weight int8 [N, K]         X.weight_scale fp32 [N]
    int4   X.weight uint8 [N, K/2]      X.weight_scale, X.weight_zero bf16 [N, K/64]
    fp8    X.weight fp8 e4m3 [N, K]     X.weight_scale fp32 [N]

w = weight · scale; in int4, where the even column lies in a byte's low half, w = (weight - 8) ·
scale + zero. Every other tensor stays what it was. Nothing is packed for a processor: that is done
when the model is loaded.

N rows out, K columns in
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import torch

from workers.model.quantization import BF16, FP8, INT4, INT8, NONE
from workers.model.shards import Block, TensorSpec

GROUP = 64
"""Columns of a row that share a scale in int4."""
INT8_LEVELS = 127
INT4_LEVELS = 15
INT4_MIDDLE = 8
FP8_HIGHEST = 448.0
FOUR_BIT_PLACES = ("language_model.model.layers.",)
"""Where int4 means four bits; elsewhere they cost more than they save (docs/log.md)."""
ROWS_AT_A_TIME = 256
"""What is computed on the way from a matrix to its parts then stays in the cache."""
SMALLEST_SCALE = 1e-12

Parts = dict[str, torch.Tensor]


def kind_of(name: str, shape: Sequence[int], quantization: str) -> str:
    """How the tensor `name` of the unquantized network is held: `none`, int8, int4 or fp8."""
    if quantization in (NONE, BF16) or len(shape) != 2 or not name.endswith(".weight"):
        return NONE
    rows, columns = shape
    if quantization == FP8:
        table = name.endswith("embed_tokens.weight")
        return FP8 if rows % 16 == columns % 16 == 0 and not table else NONE
    fits = columns % GROUP == 0 and rows % 64 == 0
    if quantization == INT4 and fits and name.startswith(FOUR_BIT_PLACES):
        return INT4
    return INT8


def quantize(weight: torch.Tensor, kind: str) -> Parts:
    """A matrix [N, K] → the tensors that stand for it, by the last part of their names."""
    # Written where it stays: pieces to be joined would leave holes in the heap for good.
    parts = {
        name: torch.empty_like(t, device="cpu")
        for name, t in empty_parts(weight.shape, kind).items()
    }
    for start in range(0, len(weight), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        for name, piece in _QUANTIZE[kind](weight[rows].float()).items():
            parts[name][rows] = piece
    return parts


def dequantize(parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What the tensors of a matrix stand for: fp32 [N, K]."""
    weight, scale = parts["weight"], parts["weight_scale"].float()
    if "weight_zero" not in parts:
        return weight.float() * scale[:, None]
    groups = unpack(weight).float().view(len(weight), -1, GROUP) - INT4_MIDDLE
    return (groups * scale[..., None] + parts["weight_zero"].float()[..., None]).flatten(1)


def unpack(weight: torch.Tensor) -> torch.Tensor:
    """Two columns a byte [N, K/2] → one an int32 [N, K], 0 to 15."""
    levels = weight.new_empty(len(weight), 2 * weight.shape[1], dtype=torch.int32)
    for piece, into in zip(weight.split(ROWS_AT_A_TIME), levels.split(ROWS_AT_A_TIME), strict=True):
        into[:, ::2] = piece & 15
        into[:, 1::2] = piece >> 4
    return levels


def empty_parts(shape: Sequence[int], kind: str) -> Parts:
    """The parts of a matrix of this shape, without their values."""
    return _QUANTIZE[kind](torch.empty(tuple(shape), device="meta"))


def part_specs(spec: TensorSpec, quantization: str) -> tuple[TensorSpec, ...]:
    """What stands in a quantized checkpoint for a tensor of the unquantized one."""
    kind = kind_of(spec.name, spec.shape, quantization)
    if kind == NONE:
        return (spec,)
    parts = empty_parts(spec.shape, kind)
    return tuple(
        TensorSpec(_part_name(spec.name, part), tuple(tensor.shape), tensor.dtype)
        for part, tensor in parts.items()
    )


def quantize_stream(
    weights: Iterable[tuple[str, torch.Tensor]], quantization: str
) -> Iterator[tuple[str, torch.Tensor]]:
    """The named tensors of a quantized checkpoint, made one by one of an unquantized one's."""
    for name, tensor in weights:
        kind = kind_of(name, tensor.shape, quantization)
        if kind == NONE:
            yield name, tensor
            continue
        for part, quantized in quantize(tensor, kind).items():
            yield _part_name(name, part), quantized


def quantize_blocks(blocks: Iterable[Block], quantization: str) -> Iterator[Block]:
    """Blocks of an unquantized checkpoint → of a quantized one, made when their turn comes."""
    for block in blocks:
        # A block has one dtype, so that what it is cut into must be made again for each.
        for index, spec in enumerate(block.specs):
            for part in part_specs(spec, quantization):
                make = partial(_make_part, block.make, index, spec.name, part.name, quantization)
                yield Block((part,), make)


def _make_part(
    make: Callable[[], Sequence[torch.Tensor]],
    index: int,
    name: str,
    part: str,
    quantization: str,
) -> tuple[torch.Tensor]:
    tensor = make()[index]
    return (dict(quantize_stream([(name, tensor)], quantization))[part],)


def _part_name(name: str, part: str) -> str:
    return name.removesuffix("weight") + part


def _highest(weight: torch.Tensor) -> torch.Tensor:
    return torch.maximum(weight.amax(1), -weight.amin(1))


def _to_int8(weight: torch.Tensor) -> Parts:
    scale = (_highest(weight) / INT8_LEVELS).clamp_min(SMALLEST_SCALE)
    return {"weight": (weight / scale[:, None]).round_().to(torch.int8), "weight_scale": scale}


def _to_int4(weight: torch.Tensor) -> Parts:
    groups = weight.view(len(weight), -1, GROUP)
    low, high = groups.amin(-1), groups.amax(-1)
    scale = ((high - low) / INT4_LEVELS).clamp_min(SMALLEST_SCALE).bfloat16()
    zero = (low + INT4_MIDDLE * scale.float()).bfloat16()
    # Rounded with the scale as it is kept: its own rounding is then no error of the weights.
    steps = (groups - zero.float()[..., None]) / scale.float()[..., None] + INT4_MIDDLE
    levels = steps.round_().clamp_(0, INT4_LEVELS).to(torch.uint8).flatten(1)
    packed = levels[:, ::2] | (levels[:, 1::2] << 4)
    return {"weight": packed, "weight_scale": scale, "weight_zero": zero}


def _to_fp8(weight: torch.Tensor) -> Parts:
    scale = (_highest(weight) / FP8_HIGHEST).clamp_min(SMALLEST_SCALE)
    return {"weight": (weight / scale[:, None]).to(torch.float8_e4m3fn), "weight_scale": scale}


_QUANTIZE: dict[str, Callable[[torch.Tensor], Parts]] = {
    INT8: _to_int8,
    INT4: _to_int4,
    FP8: _to_fp8,
}
