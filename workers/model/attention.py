"""Attention over the engine's cache, with the same bits for a row whatever is beside it.

B rows, T positions or places in a tile, R nodes, P nodes on a path, H heads, W width of a head
"""

from __future__ import annotations

import torch
from torch.nn import functional

from workers.engine import KVCache
from workers.engine.cache import BLOCK, Branches, Span

LONG = 256
"""From so many positions on attention is fused: its scores, all at once, take too much memory."""
VECTOR = 32
"""Numbers of 16 bits in a vector: a path's scores fill whole ones."""


class SpanAttention:
    """Rows read on: a position sees those before it."""

    def __init__(self, cache: KVCache, span: Span) -> None:
        self._cache, self._span = cache, span
        self._mask = span.mask(cache.dtype)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Keep keys and values, [B · T, H, W] like the queries → [B · T, H · W]."""
        cache, span = self._cache, self._span
        shape = (span.batch, span.steps, *query.shape[1:])
        cache.write(layer, span, key.view(shape), value.view(shape))
        keys, values = cache.read(layer, span.rows, span.until)
        attended = _attend(query.view(shape), keys, values, self._mask)
        return attended.transpose(1, 2).reshape(len(query), -1)


class BranchAttention:
    """Nodes are read: each sees its prompt and its path.

    In fp32 a product's bits depend on its shape. So there is a multiple of `GRAIN` queries, values
    are added up `BLOCK` at a time, and what lies on the path is multiplied node by node.
    """

    def __init__(self, cache: KVCache, branches: Branches) -> None:
        self._cache, self._branches = cache, branches
        self._prompt_mask = branches.prompt_mask(cache.dtype)
        missing = -branches.paths.shape[-1] % VECTOR
        mask = branches.path_mask(torch.float32)
        self._path_mask = functional.pad(mask, (0, missing), value=-torch.inf)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Keep keys and values, [R, H, W] like the queries → [R, H · W]."""
        cache, branches = self._cache, self._branches
        cache.write_nodes(layer, branches, key, value)
        queries = query.new_zeros(branches.batch * branches.tile, *query.shape[1:])
        queries[branches.tiled] = query * query.shape[-1] ** -0.5
        queries = queries.view(branches.batch, branches.tile, *query.shape[1:])
        prompt = cache.read(layer, slice(0, branches.batch), branches.base)
        path = cache.read_paths(layer, branches)
        likely = self._scores(queries, prompt[0], path[0]).softmax(-1)
        attended = self._mix(likely, prompt[1], path[1])
        return attended.transpose(1, 2).flatten(0, 1)[branches.tiled].flatten(1)

    def _scores(
        self, queries: torch.Tensor, prompt: torch.Tensor, path: torch.Tensor
    ) -> torch.Tensor:
        """[B, T, H, W] at keys [B, H, base, W] and [B, T, P, H, W] → [B, H, T, base + padded P]."""
        at_prompt = queries.transpose(1, 2).to(prompt.dtype) @ prompt.transpose(-1, -2)
        at_path = (queries[:, :, None].float() * path.float()).sum(-1).permute(0, 3, 1, 2)
        missing = self._path_mask.shape[-1] - at_path.shape[-1]
        at_path = functional.pad(at_path, (0, missing)).add_(self._path_mask)
        return torch.cat([at_prompt.add_(self._prompt_mask), at_path.to(at_prompt.dtype)], -1)

    def _mix(self, likely: torch.Tensor, prompt: torch.Tensor, path: torch.Tensor) -> torch.Tensor:
        """Values [B, H, base, W] and [B, T, P, H, W] by how likely they are → fp32 [B, H, T, W]."""
        mixed = likely.new_zeros(*likely.shape[:3], prompt.shape[-1], dtype=torch.float32)
        for some, values in zip(likely.split(BLOCK, -1), prompt.split(BLOCK, 2), strict=False):
            mixed += some.contiguous() @ values
        base = prompt.shape[2]
        for step, values in enumerate(path.unbind(2)):
            mixed += likely[..., base + step, None] * values.transpose(1, 2).float()
        return mixed


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """[B, T, H, W] at [B, H, until, W] → [B, H, T, W]."""
    query = query.transpose(1, 2).to(key.dtype)
    steps = query.shape[2]
    if steps >= LONG:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    # Plain products are faster (docs/log.md), and the same bits in any batch.
    query = query * query.shape[-1] ** -0.5
    if steps == 1:  # a matrix by a vector: what is transposed costs nothing
        scores = (key @ query.transpose(-1, -2)).transpose(-1, -2)
    else:
        scores = query @ key.transpose(-1, -2)
    likely: torch.Tensor = scores.add_(mask).softmax(-1)
    return likely @ value
