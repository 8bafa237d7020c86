"""Rows enter, leave and change places, and each gets the answer that it would get alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
import torch

from tests.checkpoints import tiny_model
from workers.engine import Prefix, generate
from workers.engine.table import Table
from workers.model import TinyGPTV
from workers.model.decoding import PhiDecoder

HEAD = (5, 9, 200)
NEW_TOKENS = 12


@pytest.fixture(scope="module")
def model() -> TinyGPTV:
    return tiny_model().requires_grad_(False)


@pytest.fixture(scope="module")
def decoder(model: TinyGPTV) -> PhiDecoder:
    return PhiDecoder(model.language_model)


@pytest.fixture(scope="module")
def stops(decoder: PhiDecoder) -> list[int]:
    """End tokens at which the rows of `prefixes` end at different steps."""
    emitted = [answer for ids in alone(decoder, prefixes(), []) for answer in ids]
    return sorted({ids[index % NEW_TOKENS] for index, ids in enumerate(emitted)})[:6]


def prefixes() -> list[Prefix]:
    """Rows of many lengths, in batches of many sizes, with and without a head."""
    dice = torch.Generator().manual_seed(3)
    made = []
    for head, lengths in [
        (HEAD, (7, 7, 7)), (HEAD, (3, 9, 3, 1)), ((), (2,)),
        (HEAD, ()), ((7,), (30, 4)), (HEAD, (7,)),
    ]:  # fmt: skip
        rows = tuple(torch.randn(length, 32, generator=dice) * 0.7 for length in lengths)
        made.append(Prefix(head, rows))
    return made


def alone(decoder: PhiDecoder, asked: Iterable[Prefix], stops: list[int]) -> list[list[list[int]]]:
    """The answers to each row in a batch of its own."""
    return [
        [
            next(generate(decoder, [Prefix(prefix.head, (row,))], 0, 1, NEW_TOKENS, stops))[0]
            for row in prefix.rows
        ]
        for prefix in asked
    ]


@pytest.mark.parametrize("most", [1, 2, 9])
@pytest.mark.parametrize("refill", [0, 1, 3, 50])
def test_a_row_gets_its_own_answer(
    refill: int, most: int, decoder: PhiDecoder, stops: list[int]
) -> None:
    """Whatever enters or leaves beside a row, its tokens are those that it has alone."""
    expected = alone(decoder, prefixes(), stops)
    assert len({len(ids) for answers in expected for ids in answers}) > 3, "rows end at many steps"
    assert list(generate(decoder, prefixes(), refill, most, NEW_TOKENS, stops)) == expected


def test_transformers_says_the_same(model: TinyGPTV, decoder: PhiDecoder) -> None:
    """Token by token, the engine's answer is that of transformers' forward over the whole row."""
    for prefix in prefixes():
        for row in prefix.rows:
            embeds = torch.cat([model.embed(torch.tensor(prefix.head, dtype=torch.long)), row])
            (((*ids,),),) = generate(decoder, [Prefix(prefix.head, (row,))], 0, 1, 6, [])
            for token in ids:
                mask = torch.ones(1, len(embeds), dtype=torch.long)
                assert int(model.logits(embeds[None], mask)[0, -1].argmax()) == token
                embeds = torch.cat([embeds, model.embed(torch.tensor([token]))])


def test_prefixes_are_asked_for_when_there_is_room(
    decoder: PhiDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next prefix enters beside rows under way, once all but `refill` have left."""
    said: list[str] = []
    taken = prefixes()

    def coming() -> Iterator[Prefix]:
        for index, prefix in enumerate(taken):
            said.append(f"prefix {index}")
            yield prefix

    step = Table.step

    def noted(table: Table) -> None:
        said.append(f"step of {len(table)}")
        step(table)

    monkeypatch.setattr(Table, "step", noted)
    list(generate(decoder, coming(), 3, 9, 2, []))
    assert said == [
        "prefix 0", "prefix 1", "step of 7",
        "prefix 2", "prefix 3", "prefix 4", "prefix 5", "step of 4",
    ]  # fmt: skip


def test_a_head_is_read_once(decoder: PhiDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What all rows start with goes through the network once for all prefixes that share it."""
    calls: list[tuple[int, ...]] = []
    extend = PhiDecoder.extend

    def noted(self: PhiDecoder, embeds: torch.Tensor, *rest: object) -> torch.Tensor:
        calls.append(tuple(embeds.shape[:2]))
        return extend(self, embeds, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(PhiDecoder, "extend", noted)
    shared = [prefix for prefix in prefixes() if prefix.head == HEAD]
    list(generate(decoder, shared, 0, 1, 1, []))
    assert calls.count((1, len(HEAD))) == 1
    assert sum(rows for rows, _ in calls) == 1 + sum(len(prefix) for prefix in shared)


def test_nothing_is_asked(decoder: PhiDecoder) -> None:
    """No prefix, no answers; a prefix of no rows, none; less than a token is refused."""
    assert list(generate(decoder, [], 4, 9, 3, [])) == []
    assert list(generate(decoder, [Prefix(HEAD, ())] * 2, 4, 9, 3, [])) == [[], []]
    with pytest.raises(ValueError, match="at least 1"):
        next(generate(decoder, prefixes(), 4, 9, 0, []))


def test_what_comes_is_read_lazily(decoder: PhiDecoder) -> None:
    """An error on the way to the next prefix comes through as it is, after the answers before."""

    def coming() -> Iterator[Prefix]:
        yield prefixes()[0]
        raise LookupError("no more")

    answers = generate(decoder, coming(), 0, 1, 2, [])
    assert len(next(answers)) == 3
    with pytest.raises(LookupError, match="no more"):
        next(answers)


def test_nothing_waits_for_ever(decoder: PhiDecoder) -> None:
    """While a row is under way no more than `most` prefixes enter, whatever they are: its answer is
    given before the next is asked for.
    """
    taken = 0

    def coming() -> Iterator[Prefix]:
        nonlocal taken
        for prefix in [prefixes()[0], *[Prefix(HEAD, ())] * 20]:
            taken += 1
            yield prefix

    answers = generate(decoder, coming(), 3, 3, NEW_TOKENS, [])
    assert len(next(answers)) == 3
    assert taken == 3


def test_a_row_without_sense_spoils_no_other(decoder: PhiDecoder) -> None:
    """What overflows in one row is gone with it: the row that takes its line answers as alone."""
    mad = Prefix(HEAD, (torch.full((30, 32), torch.nan),))
    sane = prefixes()[1]
    (expected,) = alone(decoder, [sane], [])
    *_, found = generate(decoder, [mad, sane], 0, 1, NEW_TOKENS, [])
    assert found == expected
