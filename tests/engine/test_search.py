"""The best of given continuations are those that scoring every one of them finds."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from workers.engine import Best, Prefix, Ranking, Row, Stem, build_trie, replies, search
from workers.model import TinyGPTV
from workers.model.decoding import PhiDecoder

Ids = tuple[int, ...]
HEAD = (5, 9, 200)
CLOSE = 2e-5
"""Of log-probabilities: what fp32 rounds in other orders."""


@pytest.fixture(scope="module")
def stem() -> Stem:
    return Stem(HEAD, torch.randn(7, 32, generator=torch.Generator().manual_seed(1)) * 0.7)


def random_entries(dice: random.Random, count: int, tokens: int, longest: int) -> list[Ids]:
    """No two the same; many begin with others."""
    drawn = {
        tuple(dice.randrange(20, 20 + tokens) for _ in range(dice.randint(1, longest)))
        for _ in range(count)
    }
    return dice.sample(sorted(drawn), len(drawn))


def ranked(decoder: PhiDecoder, stem: Stem, tail: Ids, want: Best) -> tuple[tuple[int, float], ...]:
    ((found,),) = replies(decoder, [Prefix((Row(stem, tail, want),))], 0, 1)
    assert isinstance(found, Ranking)
    return found.scores


def brute_force(
    model: TinyGPTV, stem: Stem, tail: Ids, entries: Sequence[Ids], ends: Sequence[Ids]
) -> list[float]:
    """How likely each is by transformers' forward over the prompt and each whole sequence."""
    row = model.read(Row(stem, tail, Best(build_trie([]))))
    scores = []
    for entry in entries:
        ways = []
        for end in ends or [()]:
            ids = torch.tensor([*entry, *end])
            embeds = torch.cat([row, model.embed(ids)])[None]
            logits = model.logits(embeds, torch.ones(embeds.shape[:2], dtype=torch.long))
            likely = logits[0, len(row) - 1 : -1].log_softmax(-1)
            ways.append(float(likely.gather(-1, ids[:, None]).double().sum()))
        scores.append(float(np.logaddexp.reduce(ways)))
    return scores


ENDS: list[list[Ids]] = [[], [(3,)], [(3,), (4,)], [(20, 21)], [(3,), (20, 3), (20, 21, 4)]]
"""None, of one token, of several, and such as are entries' tokens too."""


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("seed", range(4))
def test_all_that_brute_force_finds(
    seed: int, ends: list[Ids], model: TinyGPTV, decoder: PhiDecoder, stem: Stem
) -> None:
    """Every entry's score is that of transformers' forward, and their order is by it."""
    dice = random.Random(seed)
    entries = random_entries(dice, 40, 6, 4)
    tail = tuple(dice.randrange(280) for _ in range(seed))
    found = ranked(decoder, stem, tail, Best(build_trie(entries, ends)))
    with torch.inference_mode():
        expected = brute_force(model, stem, tail, entries, ends)
    assert sorted(place for place, _ in found) == list(range(len(entries)))
    for place, score in found:
        assert score == pytest.approx(expected[place], abs=CLOSE)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


@pytest.mark.parametrize("ends", ENDS)
def test_the_best_are_the_first_of_all(
    ends: list[Ids], decoder: PhiDecoder, stem: Stem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`top` and `least` cut the whole ranking and change nothing in it, bit for bit, however many
    nodes are opened at a time and kept, and whatever else is in the vocabulary.
    """
    dice = random.Random(5)
    for trial in range(12):
        entries = random_entries(dice, dice.choice([1, 3, 30, 120]), dice.choice([2, 9, 60]), 5)
        everything = ranked(decoder, stem, (1, 2), Best(build_trie(entries, ends)))
        top = dice.choice([1, 2, 10, len(entries), len(entries) + 1])
        least = dice.choice([0.0, math.exp(everything[dice.randrange(len(entries))][1]) * 1.01])
        likely = [(place, score) for place, score in everything if score >= np.log(least or 1e-300)]
        monkeypatch.setattr(search, "PASS", dice.choice([1, 64, 1000]))
        monkeypatch.setattr(search, "FEW", dice.choice([1, 5, 16]))
        monkeypatch.setattr(search, "MANY", dice.choice([2, 32]))
        monkeypatch.setattr(search, "SLOTS", dice.choice([1, 6, 64]))
        trie = build_trie(entries, ends)
        assert ranked(decoder, stem, (1, 2), Best(trie, top, least)) == tuple(likely[:top]), trial
        some = entries[:: dice.choice([1, 2])]
        scores = dict(ranked(decoder, stem, (1, 2), Best(build_trie(some, ends))))
        whole = {entries[place]: score for place, score in everything}
        assert {some[place]: score for place, score in scores.items()} == {
            entry: whole[entry] for entry in some
        }


def test_company_changes_nothing(decoder: PhiDecoder, stem: Stem) -> None:
    """Rows with other prompts and vocabularies beside it leave a row's ranking as it is."""
    dice = random.Random(2)
    rows = []
    for number in range(9):
        trie = build_trie(random_entries(dice, 5 * number + 1, 7, 4), ENDS[number % len(ENDS)])
        embeds = stem.embeds + number
        tail = tuple(dice.randrange(280) for _ in range(number * number % 7))
        rows.append(Row(Stem(HEAD, embeds), tail, Best(trie, top=dice.choice([None, 4]))))
    (together,) = replies(decoder, [Prefix(tuple(rows))], 0, 1)
    for row, found in zip(rows, together, strict=True):
        assert isinstance(found, Ranking)
        assert found.scores == ranked(decoder, row.stem, row.tail, row.want)


def test_equals_keep_their_order(decoder: PhiDecoder, stem: Stem) -> None:
    """Entries of the same tokens are as likely as each other, and stand in their own order."""
    entries = [(30, 31), (40,), (30, 31), (41,), (40,), (30, 31), *[(50,)] * 40]
    found = ranked(decoder, stem, (), Best(build_trie(entries, [(3,)])))
    for same in ([0, 2, 5], [1, 4], list(range(6, 46))):
        places = [place for place, _ in found if place in same]
        assert places == same
        assert len({score for place, score in found if place in same}) == 1
    first = found[0][0]
    assert ranked(decoder, stem, (), Best(build_trie(entries, [(3,)]), top=1)) == found[:1]
    assert first in (0, 1, 3, 6)


def test_nothing_to_rank(decoder: PhiDecoder, stem: Stem) -> None:
    """No entries, no ranking; what has no token is certain, or as likely as the end."""
    assert ranked(decoder, stem, (1,), Best(build_trie([], [(3,)]))) == ()
    assert ranked(decoder, stem, (1,), Best(build_trie([(), (7,)]), top=1)) == ((0, 0.0),)
    ended = ranked(decoder, stem, (1,), Best(build_trie([()], [(3,), (4,)])))
    (three, four) = sorted(ranked(decoder, stem, (1,), Best(build_trie([(3,), (4,)]))))
    assert ended == ((0, pytest.approx(np.logaddexp(three[1], four[1]))),)


def test_an_end_that_begins_with_another_says_nothing_new(decoder: PhiDecoder, stem: Stem) -> None:
    """Ends are ways to go on that exclude each other; the same end twice is one."""
    entries = [(30, 31), (40,)]
    plain = ranked(decoder, stem, (1,), Best(build_trie(entries, [(3,), (4, 5)])))
    again = [(3,), (4, 5), (3, 4), (4, 5, 6), (3,)]
    assert ranked(decoder, stem, (1,), Best(build_trie(entries, again))) == plain
    assert ranked(decoder, stem, (1,), Best(build_trie(entries, [(3,), ()]))) == ranked(
        decoder, stem, (1,), Best(build_trie(entries))
    )


def test_few_nodes_are_opened(
    decoder: PhiDecoder, stem: Stem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The likeliest of a large vocabulary is found without reading much of it."""
    read: list[int] = []
    branch = PhiDecoder.branch

    def noted(self: PhiDecoder, embeds: torch.Tensor, *rest: object) -> torch.Tensor:
        read.append(len(embeds))
        return branch(self, embeds, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(PhiDecoder, "branch", noted)
    trie = build_trie(random_entries(random.Random(1), 4000, 250, 3), [(3,)])
    found = ranked(decoder, stem, (1, 2), Best(trie, top=3))
    assert sum(read) < len(trie.token) / 4
    assert max(read) <= search.SLOTS
    every = ranked(decoder, stem, (1, 2), Best(trie))
    assert found == every[:3]


def test_a_vocabulary_of_a_hundred_thousand(decoder: PhiDecoder, stem: Stem) -> None:
    """It is held in some bytes an entry, and what is found in it is as likely as by itself."""
    entries = random_entries(random.Random(3), 101_000, 250, 5)[:100_000]
    trie = build_trie(entries, [(3,), (4,)])
    arrays = [held for held in vars(trie).values() if isinstance(held, np.ndarray)]
    assert sum(held.nbytes for held in arrays) < 100 * len(entries)
    found = ranked(decoder, stem, (1, 2), Best(trie, top=5, least=1e-7))
    assert len(found) == 5
    few = [entries[place] for place, _ in found]
    again = ranked(decoder, stem, (1, 2), Best(build_trie(few, [(3,), (4,)])))
    assert [score for _, score in again] == [score for _, score in found]
