"""Image and prompt in, the authors' logits, tokens and answers out."""

from pathlib import Path

import pytest
import torch

from tests.golden import ACTIVATION, LOGIT, Golden, State, distance
from workers.engine import Prefix
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
    prefix = model.prefix(Features(images[:count]), golden.facts["prompts"][:count])
    return request.param, prefix


def padded(model: TinyGPTV, prefix: Prefix) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings [B, T, D] and mask [B, T] as the authors make them: zeros on the left."""
    head = model.embed(torch.tensor(prefix.head, dtype=torch.long))
    rows = [torch.cat([head, row]) for row in prefix.rows]
    embeds = torch.zeros(len(rows), prefix.longest, head.shape[-1])
    mask = torch.zeros(embeds.shape[:2], dtype=torch.long)
    for index, row in enumerate(rows):
        embeds[index, -len(row) :] = row
        mask[index, -len(row) :] = 1
    return embeds, mask


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
    (answers,) = model.generate_ids(
        [rows],
        max_new_tokens=golden.facts["gen"]["max_new_tokens"],
        eos_token_ids=[golden.facts["gen"]["eos_token_id"]],
    )
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
    (answers,) = model.generate_ids(
        [rows], max_new_tokens=golden.facts["gen"]["max_new_tokens"], eos_token_ids=stops
    )
    assert torch.equal(filled_up(answers, stops[0]), expected["out.gen3_eos.sequences"][:, 1:])


def test_score_ranks_as_the_authors_loss(golden: Golden, model: TinyGPTV, expected: State) -> None:
    """Log-probabilities of answers give the losses that the authors rank by (SPEC.md §6)."""
    facts = golden.facts["loss"]
    image = model.encode_images(expected["in.images"][:1])[0]
    asked = model.prefix(Features(image[None]), facts["instructions"][:1])
    prefix = Prefix((facts["bos_token_id"], *asked.head), asked.rows)
    answers = [texts[0] + facts["end_sym"] for texts in facts["multi_select_candidates"]]
    count = facts["multi_select_num_cand"][0]
    scores = model.score(prefix, answers[:count])[0]
    lengths = [len(model.token_ids(answer)) for answer in answers[:count]]
    losses = [-score / length for score, length in zip(scores, lengths, strict=True)]
    wanted = expected["out.multi_select.losses"][:count].tolist()
    assert losses == pytest.approx(wanted, abs=LOSS)


def test_a_score_among_others_is_the_single_one(
    golden: Golden, model: TinyGPTV, images: torch.Tensor
) -> None:
    """A row among others gives a continuation the log-probability that it gives alone."""
    prompts, texts = golden.facts["prompts"], ["yes", "no, it is a cat", ""]
    together = model.score(model.prefix(Features(images), prompts), texts)
    assert together.shape == (3, 3)
    assert not together[:, 2].any()
    for row in range(3):
        single = model.prefix(Features(images[row : row + 1]), prompts[row : row + 1])
        assert together[row] == pytest.approx(model.score(single, texts)[0], abs=LOSS)


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
