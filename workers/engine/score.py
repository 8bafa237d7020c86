"""How likely given continuations are: a prompt is read once, whatever is asked of it (SPEC.md §6).

B rows, T positions
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from workers.engine.decoder import Decoder, Prefix


@torch.inference_mode()
def score(decoder: Decoder, prefix: Prefix, continuations: Sequence[Sequence[int]]) -> torch.Tensor:
    """Natural log-probability of each continuation after each row: fp32 [B, continuations].

    An empty continuation is certain: 0.
    """
    scores = torch.zeros(len(prefix), len(continuations))
    positions = prefix.longest + max((len(ids) for ids in continuations), default=0)
    for place, row in enumerate(prefix.rows):
        cache = decoder.new_cache(1, positions)
        device = cache.keys[0].device
        head = decoder.embed(torch.tensor(prefix.head, dtype=torch.long, device=device))
        prompt = torch.cat([head, row])
        read = decoder.extend(prompt[None], cache, 0, [0])[:, -1]
        for column, ids in enumerate(continuations):
            if not ids:
                continue
            chosen = torch.tensor(ids, dtype=torch.long, device=device)
            hidden = read
            if len(ids) > 1:
                # They take the places of the continuation before.
                embeds = decoder.embed(chosen[None, :-1])
                hidden = torch.cat([read, decoder.extend(embeds, cache, 0, [len(prompt)])[0]])
            likely = decoder.logits(hidden).log_softmax(-1)
            scores[place, column] = likely.gather(-1, chosen[:, None]).sum()
    return scores
