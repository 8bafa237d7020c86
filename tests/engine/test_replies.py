"""Rows enter, leave and change places, and each gets the answer that it would get alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
import torch

from workers.engine import (
    Best,
    Greedy,
    Prefix,
    Ranking,
    Row,
    Stem,
    Tokens,
    build_trie,
    replies,
)
from workers.engine.table import Table
from workers.model import TinyGPTV
from workers.model.decoding import PhiDecoder

HEAD = (5, 9, 200)
NEW_TOKENS = 12
IMAGE = 17
"""Positions of one: before the seventeenth the tiny network's bits do depend on company."""
TRIE = build_trie([[7], [7, 8], [30, 31, 32], [30, 31], [9]], [[3], [4]])

Answer = Tokens | Ranking


@pytest.fixture(scope="module")
def stops(decoder: PhiDecoder) -> frozenset[int]:
    """End tokens at which the rows of `prefixes` end at different steps."""
    emitted = [one.ids for one in alone(decoder, prefixes()) if isinstance(one, Tokens)]
    return frozenset(sorted({ids[at % NEW_TOKENS] for at, ids in enumerate(emitted)})[:6])


def prefixes(stops: frozenset[int] = frozenset(), new_tokens: int = NEW_TOKENS) -> list[Prefix]:
    """Rows of many lengths that share their images or do not, with and without a head, some written
    and some ranked, in batches of many sizes.
    """
    dice = torch.Generator().manual_seed(3)
    write, rank = Greedy(new_tokens, stops), Best(TRIE, top=3)
    made = []
    for head, images in [
        (HEAD, [((4, write), (4, rank)), ((4, write),), ((4, write), (9, write))]),
        (HEAD, [((0, write), (6, write)), ((0, rank),), ((3, write), (1, write), (7, rank))]),
        ((), [((2, write),)]),
        (HEAD, []),
        ((7,), [((30, write), (4, rank), (4, rank)), ((1, write),)]),
        (HEAD, [((4, write),)]),
        (HEAD, [((5, rank),), ((5, rank), (3, rank))]),
    ]:
        rows = []
        for number, asks in enumerate(images):
            stem = Stem(head, torch.randn(IMAGE + number % 2, 32, generator=dice) * 0.7)
            for length, want in asks:
                tail = torch.randint(0, 280, (length,), generator=dice).tolist()
                rows.append(Row(stem, tuple(tail), want))
        made.append(Prefix(tuple(rows)))
    return made


def one(decoder: PhiDecoder, row: Row) -> Answer:
    """The answer to a row in a batch of its own."""
    ((answer,),) = replies(decoder, [Prefix((row,))], 0, 1)
    return answer


def alone(decoder: PhiDecoder, asked: Iterable[Prefix]) -> list[Answer]:
    return [one(decoder, row) for prefix in asked for row in prefix.rows]


@pytest.mark.parametrize("most", [1, 2, 9])
@pytest.mark.parametrize("refill", [0, 1, 3, 50])
def test_a_row_gets_its_own_answer(
    refill: int, most: int, decoder: PhiDecoder, stops: frozenset[int]
) -> None:
    """Whatever is asked of the same image, and whatever enters or leaves beside a row, its tokens
    and their log-probabilities are those that it has alone.
    """
    expected = alone(decoder, prefixes(stops))
    assert len({len(answer.ids) for answer in expected if isinstance(answer, Tokens)}) > 3, (
        "rows end at many steps"
    )
    found = list(replies(decoder, prefixes(stops), refill, most))
    assert [len(some) for some in found] == [len(prefix) for prefix in prefixes()]
    assert [answer for some in found for answer in some] == expected


def test_transformers_says_the_same(model: TinyGPTV, decoder: PhiDecoder) -> None:
    """Token by token, the engine's answer and how likely it is are those of transformers' forward
    over the whole row.
    """
    for prefix in prefixes(new_tokens=6):
        for row in prefix.rows:
            answer = one(decoder, row)
            if not isinstance(answer, Tokens):
                continue
            embeds = model.read(row)
            for token, logprob in zip(answer.ids, answer.logprobs, strict=True):
                mask = torch.ones(1, len(embeds), dtype=torch.long)
                scores = model.logits(embeds[None], mask)[0, -1]
                assert int(scores.argmax()) == token
                assert float(scores.log_softmax(-1)[token]) == pytest.approx(logprob, abs=1e-5)
                embeds = torch.cat([embeds, model.embed(torch.tensor([token]))])


def test_prefixes_are_asked_for_when_there_is_room(
    decoder: PhiDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next prefix enters beside rows under way, once all but `refill` have left; rows that are
    ranked are never under way.
    """
    said: list[str] = []
    taken = prefixes(new_tokens=2)

    def coming() -> Iterator[Prefix]:
        for index, prefix in enumerate(taken):
            said.append(f"prefix {index}")
            yield prefix

    step = Table.step

    def noted(table: Table) -> None:
        said.append(f"step of {len(table)}")
        step(table)

    monkeypatch.setattr(Table, "step", noted)
    list(replies(decoder, coming(), 4, 9))
    assert said == [
        "prefix 0", "prefix 1", "step of 8",
        "prefix 2", "prefix 3", "prefix 4", "prefix 5", "prefix 6", "step of 4",
    ]  # fmt: skip


def test_what_rows_share_is_read_once(decoder: PhiDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head goes through the network once for all prefixes, an image once for all its rows, and
    the rest of each row once.
    """
    read: list[int] = []
    extend = PhiDecoder.extend

    def noted(self: PhiDecoder, embeds: torch.Tensor, *rest: object) -> torch.Tensor:
        read.append(embeds.shape[0] * embeds.shape[1])
        return extend(self, embeds, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(PhiDecoder, "extend", noted)
    asked = prefixes(new_tokens=1)
    list(replies(decoder, asked, 0, 1))
    stems = {row.stem for prefix in asked for row in prefix.rows}
    heads = {stem.head for stem in stems}
    assert sum(read) == (
        sum(map(len, heads))
        + sum(len(stem.embeds) for stem in stems)
        + sum(len(row.tail) for prefix in asked for row in prefix.rows)
    )


def test_nothing_is_asked(decoder: PhiDecoder) -> None:
    """No prefix, no answers; a prefix of no rows, none."""
    assert list(replies(decoder, [], 4, 9)) == []
    assert list(replies(decoder, [Prefix(())] * 2, 4, 9)) == [[], []]


def test_what_comes_is_read_lazily(decoder: PhiDecoder) -> None:
    """An error on the way to the next prefix comes through as it is, after the answers before."""

    def coming() -> Iterator[Prefix]:
        yield prefixes(new_tokens=2)[0]
        raise LookupError("no more")

    answers = replies(decoder, coming(), 0, 1)
    assert len(next(answers)) == 5
    with pytest.raises(LookupError, match="no more"):
        next(answers)


def test_nothing_waits_for_ever(decoder: PhiDecoder) -> None:
    """While a row is under way no more than `most` prefixes enter, whatever they are: its answer is
    given before the next is asked for.
    """
    taken = 0

    def coming() -> Iterator[Prefix]:
        nonlocal taken
        for prefix in [prefixes()[0], *[Prefix(())] * 20]:
            taken += 1
            yield prefix

    answers = replies(decoder, coming(), 4, 3)
    assert len(next(answers)) == 5
    assert taken == 3


def test_a_row_without_sense_spoils_no_other(decoder: PhiDecoder) -> None:
    """What overflows in one row is gone with it: the row that takes its line answers as alone."""
    stem = Stem(HEAD, torch.full((30, 32), torch.nan))
    mad = Prefix((Row(stem, (1, 2), Greedy(2, frozenset())),) * 3)
    sane = prefixes()[0]
    *_, found = replies(decoder, [mad, sane], 0, 1)
    assert found == alone(decoder, [sane])


def test_what_cannot_be_ranked_is_an_error(decoder: PhiDecoder) -> None:
    """Scores that are no numbers are no ranking."""
    row = Row(Stem(HEAD, torch.full((3, 32), torch.nan)), (1,), Best(TRIE))
    with pytest.raises(FloatingPointError, match="no number"):
        one(decoder, row)


def test_many_heads(decoder: PhiDecoder) -> None:
    """Beginnings that are no longer kept are read again."""
    stem = prefixes()[0].rows[0].stem
    heads = [replace(stem, head=(number % 11, 9)) for number in range(22)]
    asked = [Prefix((Row(some, (1, 2), Greedy(3, frozenset())),)) for some in heads]
    found = [answer for (answer,) in replies(decoder, asked, 0, 1)]
    assert found[:11] == found[11:]
    assert len(set(found)) > 3
