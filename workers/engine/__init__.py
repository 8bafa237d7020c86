"""Tensors and token ids only: prefill, KV cache, decoding in a batch that rows enter and leave.

decoder.py   what the engine asks of a language model
cache.py     keys and values, allocated once
table.py     the rows that are under way together
greedy.py    a stream of prompts in, their most likely continuations out
score.py     how likely given continuations are
"""

from workers.engine.cache import KVCache
from workers.engine.decoder import Decoder, Prefix
from workers.engine.greedy import generate
from workers.engine.score import score

__all__ = ["Decoder", "KVCache", "Prefix", "generate", "score"]
