"""Which layers of a network give way to quantized ones."""

from __future__ import annotations

import torch
from torch import nn
from transformers.models.blip_2.modeling_blip_2 import Blip2EncoderLayer

from workers.model.quantization import FP8, INT4, NONE
from workers.model.quantized.format import kind_of
from workers.model.quantized.layers import (
    Fp8Linear,
    Int4Linear,
    Int8Linear,
    PortableInt4Linear,
    PortableInt8Linear,
    Quantized,
    QuantizedEmbedding,
)
from workers.model.quantized.rows import multiplies_int8
from workers.model.quantized.vision import Int8VisionLayer


def quantize_layers(
    model: nn.Module, quantization: str, device: torch.device, dtype: torch.dtype
) -> None:
    """Put layers that wait for their values where `quantization` wants them.

    Args:
        model: on the meta device.
        quantization: one of workers.model.quantization.QUANTIZATIONS.
        device: what is to compute.
        dtype: of whatever is not quantized.
    """
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear | nn.Embedding):
            kind = kind_of(f"{name}.weight", module.weight.shape, quantization)
            if kind != NONE:
                _replace(model, name, _layer(module, kind, device, dtype))
    for name, module in list(model.named_modules()):
        if isinstance(module, Blip2EncoderLayer) and isinstance(module.mlp.fc1, Int8Linear):
            _replace(model, name, Int8VisionLayer(module))


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, module)


def _layer(
    module: nn.Linear | nn.Embedding, kind: str, device: torch.device, dtype: torch.dtype
) -> Quantized:
    if isinstance(module, nn.Embedding):
        return QuantizedEmbedding(module, dtype)
    if kind == FP8:
        return Fp8Linear(module)
    here = multiplies_int8(device)
    if kind == INT4:
        return Int4Linear(module) if here else PortableInt4Linear(module)
    return Int8Linear(module) if here else PortableInt8Linear(module)
