"""All that images are asked: each reply is the one that its image and its ask get alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from schemas.asks import Ask, Prompt, Rank, Ranked, Reply, Write, Written
from workers.model import TinyGPTV
from workers.model.description import checkpoint_folder
from workers.model.quantization import BF16, INT4, INT8, NONE
from workers.model.quantized.rows import multiplies_int8
from workers.model.tinygptv import Features

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "images"
TEMPLATE = "<s>[INST] <Img><ImageHere></Img> {question} [/INST]"
NAMES = "cat dog lemon tree car|red car|house|hand|heart|book|bird|fish|a fish|clock|a dog".split(
    "|"
)
CAPTION = Write(Prompt(TEMPLATE.replace("{question}", "[caption] Describe this image briefly.")), 8)
MEME = TEMPLATE.replace("{question}", "[vqa] It says '{text}'. Is it kind? Answer yes or no.")

on_x86 = pytest.mark.skipif(
    not multiplies_int8(torch.device("cpu")), reason="measured on x86 CPUs with oneDNN"
)


def asks(number: int) -> tuple[Ask, ...]:
    """What image `number` is asked: prompts of many lengths, with another beginning, and long."""
    return (
        CAPTION,
        Write(Prompt("<ImageHere>"), 3),
        Rank(Prompt(TEMPLATE.replace("{question}", "What is it?")), tuple(NAMES), top=4),
        Write(Prompt(TEMPLATE.replace("{question}", "[tags] List it.")), 9, separator=","),
        Rank(Prompt(MEME, "what a day " * (1 + 24 * number)), ("yes", "no")),
        Write(Prompt(MEME, "so good " * 70), 2),
        CAPTION,
    )


@pytest.fixture(scope="module", params=[NONE, BF16, INT8, INT4])
def model(request: pytest.FixtureRequest) -> TinyGPTV:
    return TinyGPTV.from_pretrained(checkpoint_folder("pocket"), quant=request.param)


@pytest.fixture(scope="module")
def features(model: TinyGPTV) -> Features:
    paths = sorted(EXAMPLES.glob("*.png"))[:5]
    return model.encode([Image.open(path).convert("RGB") for path in paths])


def replies(
    model: TinyGPTV, features: Features, places: Sequence[int], asked: Sequence[Sequence[Ask]]
) -> list[tuple[Reply, ...]]:
    (found,) = model.reply_all([(Features(features.embeds[list(places)]), asked)])
    return found


@on_x86
def test_a_reply_is_its_own(model: TinyGPTV, features: Features) -> None:
    """Token ids, log-probabilities and rankings are the same, bit for bit, alone, beside the other
    asks of the image, beside other images, and in a stream of batches.
    """
    images = range(len(features))
    alone = [
        tuple(replies(model, features, [image], [[ask]])[0][0] for ask in asks(image))
        for image in images
    ]
    assert [reply.text for reply in (alone[0][0], alone[1][0]) if isinstance(reply, Written)]
    assert len({one[0] for one in alone}) > 2, "pictures are told apart"
    for image in images:
        assert replies(model, features, [image], [asks(image)]) == [alone[image]]
    assert replies(model, features, images, [asks(image) for image in images]) == alone
    every_second = [asks(image)[image % 2 :: 2] for image in images]
    expected = [alone[image][image % 2 :: 2] for image in images]
    assert replies(model, features, images, every_second) == expected
    stream = [
        (Features(features.embeds[image : image + 2]), every_second[image : image + 2])
        for image in (0, 2, 4)
    ]
    found = [one for some in model.reply_all(stream, refill=3, most=3) for one in some]
    assert found == expected


def test_a_written_answer_as_ranked(model: TinyGPTV, features: Features) -> None:
    """What a caption's tokens are likely, written, is what its text and its end are, ranked."""
    ((written,),) = replies(model, features, [0], [[CAPTION]])
    assert isinstance(written, Written)
    (part,) = written.parts
    assert part.text == written.text
    assert written.whole
    rank = Rank(CAPTION.prompt, (written.text, "a thing"), ends=())
    ((ranked,),) = replies(model, features, [0], [[rank]])
    assert isinstance(ranked, Ranked)
    # Written one by one and read side by side, 16-bit floats round otherwise.
    assert ranked.scores[0] == (
        0,
        pytest.approx(part.logprob, abs=1e-4 if model.quantization == NONE else 0.2),
    )
