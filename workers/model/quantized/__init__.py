"""Quantized weights: plain tensors on disk, packed for the device when they are loaded.

format.py    a matrix → the tensors that stand for it, and their names
rows.py      int8 products on a CPU
layers.py    the layers that compute with them
vision.py    the ViT's blocks on a CPU
swap.py      which layers of a network give way to them
"""

from workers.model.quantized.format import quantize_blocks, quantize_stream
from workers.model.quantized.layers import Quantized
from workers.model.quantized.swap import quantize_layers

__all__ = ["Quantized", "quantize_blocks", "quantize_layers", "quantize_stream"]
