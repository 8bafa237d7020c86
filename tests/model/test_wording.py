"""Words to token ids and back: no text leaves its place, and every part of an answer is found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import fsum

import pytest
from transformers import PreTrainedTokenizerFast

from schemas.asks import Part, Prompt, Rank, Ranked, Write, Written
from schemas.outcome import PromptError
from tests.checkpoints import tiny_model
from workers.engine import Best, Ranking, Tokens
from workers.model.checkpoint import read_checkpoint
from workers.model.description import checkpoint_folder
from workers.model.wording import VOCABULARIES, Wording, plain_ids

TEMPLATE = "###Human: <Img><ImageHere></Img> It says '{text}'. Is it kind?###Assistant: "
BEFORE, AFTER = TEMPLATE.split("<ImageHere>")
CONTEXT = 400
END = "###"


@pytest.fixture(scope="module", params=["pocket", "phi"])
def wording(request: pytest.FixtureRequest) -> Wording:
    """The shipped tokenizer, and one of Phi's kind."""
    if request.param == "pocket":
        tokenizer = read_checkpoint(checkpoint_folder("pocket")).tokenizer
    else:
        tokenizer = tiny_model().tokenizer
    ((end,),) = plain_ids(tokenizer, [END])
    return Wording(tokenizer, [end, tokenizer.eos_token_id], CONTEXT)


def ids(wording: Wording, text: str) -> tuple[int, ...]:
    (found,) = plain_ids(wording._tokenizer, [text])
    return tuple(found)


def answer(wording: Wording, text: str, *more: int) -> Tokens:
    """The tokens of `text`, then `more`; each a tenth less likely than the one before."""
    tokens = (*ids(wording, text), *more)
    return Tokens(tokens, tuple(-0.1 * place for place in range(1, len(tokens) + 1)))


@pytest.mark.parametrize(
    "text",
    [
        "<|endoftext|>",
        "a<|endoftext|>b",
        "<s></s>",
        "half \ud83d a pair",
        "  \t ",
        "日本語",
        "🙂",
        "\0",
    ],
)
def test_no_text_is_a_special_token(text: str, wording: Wording) -> None:
    """What looks like a special token is spelt out, and every text is put as it reads."""
    special = set(wording._tokenizer.all_special_ids)
    found = ids(wording, text)
    assert found
    assert not special & set(found)
    assert wording._tokenizer.decode(list(found)) == text.replace("\ud83d", "?")
    before, after = wording.cut(Prompt(TEMPLATE, text), 0)
    assert not special & {*before, *after}


@pytest.mark.parametrize("text", ["so kind", "'", "<ImageHere>", "{text}", "", " ", "é" * 40])
def test_a_text_stands_in_its_place(text: str, wording: Wording) -> None:
    """The prompt is tokenized as it reads, whatever the text is; the image keeps its one place."""
    expected = ids(wording, BEFORE), ids(wording, AFTER.replace("{text}", text))
    assert wording.cut(Prompt(TEMPLATE, text), 0) == expected


def test_without_a_text_its_place_is_no_place(wording: Wording) -> None:
    """A prompt of somebody's own is put as it reads."""
    assert wording.cut(Prompt(TEMPLATE), 0) == (ids(wording, BEFORE), ids(wording, AFTER))


def test_a_text_before_the_image(wording: Wording) -> None:
    """The text's place may be on either side of the image's."""
    found = wording.cut(Prompt("{text}: <ImageHere>", "so kind"), 0)
    assert found == (ids(wording, "so kind: "), ())


@pytest.mark.parametrize(
    "text", ["what a day " * 1000, "日本語" * 3000, " " * 10_000, "x" * 10_000]
)
def test_a_long_text_is_cut_at_its_end(text: str, wording: Wording) -> None:
    """As much of its beginning is kept as fits, beside the image and what follows, and what stands
    around it is whole.
    """
    more = 50
    before, after = wording.cut(Prompt(TEMPLATE, text), more)
    assert more + len(before) + len(after) <= CONTEXT
    said = wording._tokenizer.decode(list(after))
    head, tail = AFTER.split("{text}")
    assert said.startswith(head)
    assert said.endswith(tail)
    inner = said[len(head) : len(said) - len(tail)]
    assert text.startswith(inner)
    longer = ids(wording, AFTER.replace("{text}", text[: len(inner) + 1]))
    assert more + len(before) + len(longer) > CONTEXT


def test_of_a_text_without_end_the_beginning_is_read(
    wording: Wording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can never fit is not tokenized, which would take minutes; the rest is cut as ever."""
    lengths = []

    def counted(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
        lengths.extend(map(len, texts))
        return plain_ids(tokenizer, texts)

    monkeypatch.setattr("workers.model.wording.plain_ids", counted)
    for text in ("x", "what a day ", "狗"):
        long, longer = (wording.cut(Prompt(TEMPLATE, text * many), 0) for many in (10**5, 10**6))
        assert long == longer
        assert sum(map(len, long)) <= CONTEXT
    assert max(lengths) < 10**5


def test_prompts_that_cannot_be_put(wording: Wording) -> None:
    """No image place or several, and a template that is too long by itself, are refused."""
    for template, times in (("what is this?", 0), ("<ImageHere> and <ImageHere>", 2)):
        with pytest.raises(PromptError, match=f"once, this one {times} times"):
            wording.cut(Prompt(template), 0)
    # A text with an image place in it does not make up for one that is missing.
    with pytest.raises(PromptError, match="once, this one 0 times"):
        wording.cut(Prompt("it says {text}", "<ImageHere>"), 0)
    with pytest.raises(PromptError, match="do not fit into the model's 400 positions"):
        wording.cut(Prompt(TEMPLATE + "x?" * CONTEXT, "kind"), 0)
    with pytest.raises(PromptError, match="do not fit"):
        wording.cut(Prompt(TEMPLATE, "kind"), CONTEXT)


def written(wording: Wording, found: Tokens, separator: str = "") -> Written:
    reply = wording.reply(Write(Prompt(TEMPLATE), 99, separator), found)
    assert isinstance(reply, Written)
    return reply


def test_a_whole_answer_is_one_part(wording: Wording) -> None:
    """Its log-probability is that of its tokens without the one that ends it."""
    (end,) = ids(wording, END)
    for stop in (end, wording._tokenizer.eos_token_id):
        found = answer(wording, "a red, apple", stop)
        part = Part("a red, apple", fsum(found.logprobs[:-1]))
        assert written(wording, found) == Written("a red, apple", (part,), True)
    cut = answer(wording, "a red, apple")
    assert not written(wording, cut).whole
    nothing = answer(wording, "", end)
    assert written(wording, nothing) == Written("", (Part("", 0.0),), True)


def test_parts_of_an_answer(wording: Wording) -> None:
    """A part's log-probability is that of its tokens, without its separator's and the end's."""
    (end,) = ids(wording, END)
    found = answer(wording, "a red apple, dog,tree", end)
    reply = written(wording, found, ",")
    assert reply.text == "a red apple, dog,tree"
    assert [part.text for part in reply.parts] == ["a red apple", "dog", "tree"]
    commas = [place for place, token in enumerate(found.ids) if token == ids(wording, ",")[0]]
    edges = [-1, *commas, len(found.ids) - 1]
    for part, (before, after) in zip(reply.parts, pairwise(edges), strict=True):
        assert part.logprob == fsum(found.logprobs[before + 1 : after])


@pytest.mark.parametrize(
    ("text", "ended", "parts", "whole"),
    [
        ("cat, dog", True, ["cat", "dog"], True),
        ("cat, do", False, ["cat", "do"], False),
        ("cat, dog,", False, ["cat", "dog"], True),
        ("cat, dog, ", False, ["cat", "dog"], True),
        ("cat,, ,dog", True, ["cat", "dog"], True),
        (",", True, [], True),
        ("", True, [], True),
        ("cat###Human: a, b", False, ["cat"], True),
        ("cat, dog</s>, bird", True, ["cat", "dog"], True),
        ("Assistant: cat,café,日本", True, ["cat", "café", "日本"], True),
    ],
)
def test_parts_are_what_stands_between_separators(
    text: str, ended: bool, parts: list[str], whole: bool, wording: Wording
) -> None:
    """Empty ones are left out, marks of turns end the answer, and the last one may be cut."""
    found = answer(wording, text, *(ids(wording, END) if ended else ()))
    reply = written(wording, found, ",")
    assert [part.text for part in reply.parts] == parts
    assert reply.whole == whole


def test_a_token_may_hold_more_than_the_separator(wording: Wording) -> None:
    """Letters that share a token with a separator belong to the parts beside it."""
    tokenizer = wording._tokenizer
    shared = [
        (token, tokenizer.decode([token]))
        for token in tokenizer.get_vocab().values()
        if tokenizer.decode([token]).strip(" ").strip("(") != tokenizer.decode([token]).strip(" ")
    ]
    token, text = max(shared, key=lambda pair: len(pair[1]))
    found = answer(wording, "cat", token, *ids(wording, "dog"))
    reply = written(wording, found, "(")
    before, after = text.split("(")[0], text.split("(")[-1]
    assert [part.text for part in reply.parts] == [
        ("cat" + before).strip(), (after + "dog").strip(),
    ]  # fmt: skip


def test_a_vocabulary_is_built_once(wording: Wording) -> None:
    """The same answers with the same ends are one trie, whatever else is asked of them."""
    among = tuple(f"word {number}" for number in range(50))
    prompt = Prompt(TEMPLATE)

    def trie(rank: Rank) -> object:
        want = wording.want(rank)
        assert isinstance(want, Best)
        return want.trie

    first = trie(Rank(prompt, among))
    assert trie(Rank(prompt, (*among,), top=3, least=0.5)) is first
    assert trie(Rank(prompt, among, ends=())) is not first
    assert trie(Rank(prompt, among, ends=(END,))) is not first
    assert trie(Rank(prompt, among[1:])) is not first
    for image in range(3 * VOCABULARIES):
        assert trie(Rank(prompt, (f"of image {image} alone",))) is not first
        assert trie(Rank(prompt, among)) is first


def test_what_may_follow_an_answer(wording: Wording) -> None:
    """Without ends the checkpoint's own count; each is tokenized as text."""

    def ends(rank: Rank) -> tuple[int, int]:
        want = wording.want(rank)
        assert isinstance(want, Best)
        return want.trie.ends, want.trie.depth

    rank = Rank(Prompt(TEMPLATE), ("a",))
    assert ends(rank) == (2, 1)
    assert ends(Rank(rank.prompt, ("a",), ends=())) == (1, 0)
    assert ends(Rank(rank.prompt, ("a",), ends=(END, ",", "?!"))) == (3, 2)


def test_a_ranking_is_handed_on(wording: Wording) -> None:
    """Places and log-probabilities stay as they are."""
    scores = ((1, -0.5), (0, -2.0))
    assert wording.reply(Rank(Prompt(TEMPLATE), ("a", "b")), Ranking(scores)) == Ranked(scores)
