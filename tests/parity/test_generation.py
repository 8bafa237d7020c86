"""Image and prompt in, the authors' logits, tokens and answers out."""

import dataclasses
from pathlib import Path

import pytest
import torch

from schemas.asks import Prompt, Rank, Write
from tests.golden import ACTIVATION, LOGIT, Golden, State, distance
from workers.engine import Best, Greedy, Prefix, Ranking, Row, Stem, Tokens, build_trie, replies
from workers.model import TinyGPTV
from workers.model.decoding import PhiDecoder
from workers.model.prompts import clean_answer
from workers.model.quantization import BF16
from workers.model.tinygptv import Features

LOSS = 1e-4

Batch = tuple[str, Prefix]
"""Its name in the golden set, and its rows."""


@pytest.fixture(scope="module")
def images(model: TinyGPTV, expected: State) -> torch.Tensor:
    """What the language model reads of the three images."""
    with torch.inference_mode():
        return model.encode_images(expected["in.images"])


@pytest.fixture(params=["gen1", "gen3"])
def batch(
    request: pytest.FixtureRequest, golden: Golden, model: TinyGPTV, images: torch.Tensor
) -> Batch:
    """The first prompt with its image alone, then all three, of different lengths."""
    count = 1 if request.param == "gen1" else 3
    asks = [[Write(Prompt(text), 1)] for text in golden.facts["prompts"][:count]]
    return request.param, model.prefix(Features(images[:count]), asks)


def padded(model: TinyGPTV, prefix: Prefix) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings [B, T, D] and mask [B, T] as the authors make them: zeros on the left."""
    rows = [model.read(row) for row in prefix.rows]
    embeds = torch.zeros(len(rows), max(map(len, rows)), rows[0].shape[-1])
    mask = torch.zeros(embeds.shape[:2], dtype=torch.long)
    for index, row in enumerate(rows):
        embeds[index, -len(row) :] = row
        mask[index, -len(row) :] = 1
    return embeds, mask


def greedy(
    model: TinyGPTV, prefix: Prefix, max_new_tokens: int, stops: list[int]
) -> list[list[int]]:
    """The token ids of each row's answer."""
    want = Greedy(max_new_tokens, frozenset(stops))
    asked = Prefix(tuple(dataclasses.replace(row, want=want) for row in prefix.rows))
    (found,) = replies(PhiDecoder(model.language_model), [asked], refill=0, most=1)
    return [list(one.ids) for one in found if isinstance(one, Tokens)]


def filled_up(answers: list[list[int]], filler: int) -> torch.Tensor:
    """Token ids [B, N] as the authors give them: as long as the longest."""
    longest = max(map(len, answers))
    return torch.tensor([ids + [filler] * (longest - len(ids)) for ids in answers])


def test_prompt_logits(batch: Batch, model: TinyGPTV, expected: State) -> None:
    """A prompt's embeddings are the authors' to 1e-4 and its logits to 1e-3, alone and padded."""
    name, rows = batch
    embeds, mask = padded(model, rows)
    assert torch.equal(mask, expected[f"out.{name}.attention_mask"])
    assert distance(embeds, expected[f"out.{name}.inputs_embeds"]) <= ACTIVATION
    logits = model.logits(embeds, mask)
    there = mask.bool()
    assert distance(logits[there], expected[f"out.{name}.logits"][there]) <= LOGIT


def test_the_engine_gives_these_logits(batch: Batch, model: TinyGPTV, expected: State) -> None:
    """Read from a cache, row by row or in pieces, a prompt has the authors' logits to 1e-3."""
    name, rows = batch
    embeds, mask = padded(model, rows)
    decoder = PhiDecoder(model.language_model)
    for index, row in enumerate(embeds):
        wanted = expected[f"out.{name}.logits"][index][mask[index].bool()]
        row = row[mask[index].bool()]
        cache = decoder.new_cache(2, len(row))
        whole = decoder.extend(row[None], cache, 0, [0])[0]
        assert distance(decoder.logits(whole), wanted) <= LOGIT
        half = len(row) // 2
        decoder.extend(row[None, :half], cache, 1, [0])
        rest = decoder.extend(row[None, half:], cache, 1, [half])[0]
        assert distance(decoder.logits(rest), wanted[half:]) <= LOGIT


def test_greedy_ids(batch: Batch, golden: Golden, model: TinyGPTV, expected: State) -> None:
    """Twenty greedy tokens are the authors', alone and in a batch of different lengths."""
    name, rows = batch
    facts = golden.facts["gen"]
    answers = greedy(model, rows, facts["max_new_tokens"], [facts["eos_token_id"]])
    ids = filled_up(answers, golden.facts["gen"]["eos_token_id"])
    # Column 0 of the reference is a placeholder that it never embeds (SPEC.md §5).
    assert torch.equal(ids, expected[f"out.{name}.sequences"][:, 1:])
    texts = [text.strip() for text in model.tokenizer.batch_decode(ids, skip_special_tokens=True)]
    assert texts == golden.facts["gen"]["texts"][name]


@pytest.mark.parametrize("batch", ["gen3"], indirect=True)
def test_early_stop(batch: Batch, golden: Golden, model: TinyGPTV, expected: State) -> None:
    """A row ends with its end token, whatever the others have still to say."""
    _, rows = batch
    end = golden.facts["gen"]["eos_variant_eos_token_id"]
    stops = end if isinstance(end, list) else [end]
    answers = greedy(model, rows, golden.facts["gen"]["max_new_tokens"], stops)
    assert torch.equal(filled_up(answers, stops[0]), expected["out.gen3_eos.sequences"][:, 1:])


def test_score_ranks_as_the_authors_loss(golden: Golden, model: TinyGPTV, expected: State) -> None:
    """Log-probabilities of answers give the losses that the authors rank by (SPEC.md §6)."""
    facts = golden.facts["loss"]
    image = model.encode_images(expected["in.images"][:1])[0]
    before, after = facts["instructions"][0].split("<ImageHere>")
    stem = Stem((facts["bos_token_id"], *model.token_ids(before)), image)
    count = facts["multi_select_num_cand"][0]
    texts = [texts[0] + facts["end_sym"] for texts in facts["multi_select_candidates"][:count]]
    answers = [model.token_ids(text) for text in texts]
    row = Row(stem, tuple(model.token_ids(after)), Best(build_trie(answers)))
    ((found,),) = replies(PhiDecoder(model.language_model), [Prefix((row,))], refill=0, most=1)
    assert isinstance(found, Ranking)
    losses = [-score / len(answers[place]) for place, score in sorted(found.scores)]
    wanted = expected["out.multi_select.losses"][:count].tolist()
    assert losses == pytest.approx(wanted, abs=LOSS)


def test_a_score_among_others_is_the_single_one(
    golden: Golden, model: TinyGPTV, images: torch.Tensor
) -> None:
    """A row among others gives a continuation the log-probability that it gives alone, exactly."""
    texts = ("yes", "no, it is a cat", "no")
    asks = [[Rank(Prompt(text), texts, ends=())] for text in golden.facts["prompts"]]
    (together,) = model.reply_all([(Features(images), asks)])
    assert [len(reply.scores) for (reply,) in together] == [3, 3, 3]
    for row in range(3):
        (alone,) = model.reply_all([(Features(images[row : row + 1]), asks[row : row + 1])])
        assert together[row : row + 1] == alone


def test_half_precision_says_something(golden: Golden, checkpoint: Path) -> None:
    """In bf16 a caption ends and is text; pixels come in, and every layer hands on, as bf16."""
    model = TinyGPTV.from_pretrained(checkpoint, quant=BF16)
    outputs: list[torch.dtype] = []
    for layer in model.language_model.model.layers:
        layer.register_forward_hook(lambda module, inputs, output: outputs.append(output.dtype))
    model.vision_model.register_forward_pre_hook(
        lambda module, inputs: outputs.append(inputs[0].dtype)
    )
    (answer,) = model.caption([golden.picture], prompt=golden.facts["prompts"][0])
    assert answer
    assert set(outputs) == {torch.bfloat16}


def test_caption_is_the_greedy_answer(golden: Golden, model: TinyGPTV, checkpoint: Path) -> None:
    """The one-liner asks the picture the same question and gives the same answer, cleaned."""
    prompt = golden.facts["prompts"][0]
    stopped = golden.facts["gen"]["texts"]["gen1"][0]
    assert model.caption([golden.picture], prompt=prompt) == [clean_answer(stopped)]
    assert model.name == checkpoint.name
