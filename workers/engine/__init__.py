"""Tensors and token ids only: prompts in, answers out, in a batch that rows enter and leave.

decoder.py   what the engine asks of a language model, and what is asked of the engine
cache.py     keys and values, allocated once
prompts.py   prompts are read; what rows of one image have in common, once
table.py     the rows that are written together
trie.py      given continuations, by the tokens that they share
search.py    the most likely of them
replies.py   a stream of prompts in, what each row wants out
"""

from workers.engine.cache import KVCache
from workers.engine.decoder import Best, Decoder, Greedy, Prefix, Ranking, Row, Stem, Tokens
from workers.engine.replies import replies
from workers.engine.trie import Trie, build_trie

__all__ = [
    "Best",
    "Decoder",
    "Greedy",
    "KVCache",
    "Prefix",
    "Ranking",
    "Row",
    "Stem",
    "Tokens",
    "Trie",
    "build_trie",
    "replies",
]
