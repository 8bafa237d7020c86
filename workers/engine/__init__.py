"""Tensors and token ids only: prefill, decode, KV cache, stopping."""

from workers.engine.greedy import Decoder, generate_greedily, positions

__all__ = ["Decoder", "generate_greedily", "positions"]
