"""Words to token ids and back: what is asked as the engine takes it, what it found as replies."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from math import fsum

from transformers import PreTrainedTokenizerFast

from schemas.asks import TEXT_PLACE, Ask, Part, Prompt, Rank, Ranked, Reply, Write, Written
from schemas.job import IMAGE_PLACEHOLDER
from schemas.outcome import PromptError
from workers.engine import Best, Greedy, Ranking, Tokens, Trie, build_trie
from workers.model.prompts import END_MARKS, clean_answer

VOCABULARIES = 8
"""So many lists of answers are kept ready for the next images."""

Ids = tuple[int, ...]


def plain_ids(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text, nothing added (SPEC.md §3).

    What looks like a special token is text like any other; half a surrogate pair becomes `?`.
    """
    tokenizer.backend_tokenizer.encode_special_tokens = True
    clean = [text.encode(errors="replace").decode() for text in texts]
    found = tokenizer.backend_tokenizer.encode_batch_fast(clean, add_special_tokens=False)
    return [encoding.ids for encoding in found]


class Wording:
    """A checkpoint's tokenizer, the tokens that end its answers, and how much it can read."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, eos_token_ids: Sequence[int], context: int
    ) -> None:
        self._tokenizer = tokenizer
        self._stops = frozenset(eos_token_ids)
        self._context = context
        self._longest_token = max(map(len, tokenizer.get_vocab()))
        """Characters."""
        self._tries: deque[tuple[Rank, Trie]] = deque(maxlen=VOCABULARIES)

    def want(self, ask: Ask) -> Greedy | Best:
        """What the engine is to do after the prompt."""
        if isinstance(ask, Write):
            return Greedy(ask.max_new_tokens, self._stops)
        return Best(self._trie(ask), ask.top, ask.least)

    def cut(self, prompt: Prompt, more: int) -> tuple[Ids, Ids]:
        """Token ids before and after the image's place; `more` positions are the image's, and
        what is read after the prompt. A text that does not fit into the context with them is cut
        at its end.

        Raises:
            PromptError: there is not exactly one image place, or it does not fit without its text.
        """
        pieces = prompt.template.split(IMAGE_PLACEHOLDER)
        if len(pieces) != 2:
            raise PromptError(
                f"a prompt holds {IMAGE_PLACEHOLDER} once, this one {len(pieces) - 1} times"
            )
        # More never fits, and to tokenize millions of characters again and again takes minutes.
        text = (prompt.text or "")[: self._context * self._longest_token]

        def cut_at(length: int) -> tuple[Ids, Ids]:
            said = pieces
            if prompt.text is not None:
                said = [piece.replace(TEXT_PLACE, text[:length]) for piece in pieces]
            before, after = plain_ids(self._tokenizer, said)
            return tuple(before), tuple(after)

        def positions(length: int) -> int:
            return more + sum(map(len, cut_at(length)))

        whole = cut_at(len(text))
        if more + sum(map(len, whole)) <= self._context:
            return whole
        too_long = bisect_right(range(len(text)), self._context, key=positions)
        if not too_long:
            raise PromptError(
                f"a prompt of {positions(0) - more} tokens, the image and what follows do not fit "
                f"into the model's {self._context} positions; give a shorter prompt or ask for "
                "fewer tokens"
            )
        return cut_at(too_long - 1)

    def reply(self, ask: Ask, found: Tokens | Ranking) -> Reply:
        """What the engine found, in words."""
        if isinstance(ask, Write) and isinstance(found, Tokens):
            return self._written(ask.separator, found)
        assert isinstance(found, Ranking), f"{ask} was answered with {found}"
        return Ranked(found.scores)

    def _trie(self, rank: Rank) -> Trie:
        for place, (held, trie) in enumerate(self._tries):
            # One object as a rule, so that not all of a long list is compared.
            if held.ends == rank.ends and (held.among is rank.among or held.among == rank.among):
                # The last to go: an image's own answers must not drive out what all are asked.
                del self._tries[place]
                self._tries.append((held, trie))
                return trie
        if rank.ends is None:
            ends = [[stop] for stop in sorted(self._stops)]
        else:
            ends = plain_ids(self._tokenizer, rank.ends)
        trie = build_trie(plain_ids(self._tokenizer, rank.among), ends)
        self._tries.append((rank, trie))
        return trie

    def _written(self, separator: str, found: Tokens) -> Written:
        ids, said = found.ids, self._said(found.ids)
        text = clean_answer(self._decode(ids))
        if not separator:
            return Written(text, (Part(text, fsum(found.logprobs[:said])),), said < len(ids))
        signs = [self._decode((token,)).count(separator) for token in ids[:said]]
        edges = [place for place, count in enumerate(signs) if count]
        parts = []
        for before, after in zip([-1, *edges], [*edges, said], strict=True):
            # The tokens that hold the signs may hold letters of the part too.
            pieces = self._decode(ids[max(before, 0) : min(after + 1, said)]).split(separator)
            part = clean_answer(pieces[signs[before] if before >= 0 else 0])
            if part:
                parts.append(Part(part, fsum(found.logprobs[before + 1 : after])))
        whole = said < len(ids) or not part
        return Written(text, tuple(parts), whole)

    def _said(self, ids: Ids) -> int:
        """How many of the tokens come before the one that ends the answer, or before its mark."""
        count = len(ids) - (ids[-1] in self._stops)
        text = self._decode(ids[:count])
        ends = [text.index(mark) for mark in END_MARKS if mark in text]
        if not ends:
            return count
        return next(n for n in range(count, -1, -1) if len(self._decode(ids[:n])) <= min(ends))

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))
