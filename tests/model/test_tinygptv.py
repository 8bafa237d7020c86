"""The door for people: pictures of every kind, nothing at all, and more than the context holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.asks import Prompt, Rank, Write
from schemas.outcome import PromptError
from tests.checkpoints import tiny_model
from workers.model import TinyGPTV
from workers.model.tinygptv import CAPTION_BATCH, Features

PROMPT = Prompt("<ImageHere> what is this?")
ASK = Write(PROMPT, max_new_tokens=9)


@pytest.fixture(scope="module")
def model() -> TinyGPTV:
    """Its captions tell pictures apart, and mean nothing."""
    return tiny_model().requires_grad_(False)


@pytest.fixture
def encoded(model: TinyGPTV, monkeypatch: pytest.MonkeyPatch) -> list[list[Image.Image]]:
    """Every batch of pictures that the model looks at."""
    batches: list[list[Image.Image]] = []

    def encode(images: Sequence[Image.Image]) -> Features:
        batches.append(list(images))
        return TinyGPTV.encode(model, images)

    monkeypatch.setattr(model, "encode", encode)
    return batches


def picture() -> Image.Image:
    """Colours without order, wider than high."""
    values = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "1", "CMYK", "I;16", "F"])
def test_a_picture_of_any_mode(
    mode: str, model: TinyGPTV, encoded: list[list[Image.Image]]
) -> None:
    """A picture is captioned whatever its mode, from upright RGB."""
    image = picture().convert("L").convert(mode) if mode in ("I;16", "F") else picture()
    (answer,) = model.caption([image.convert(mode)])
    assert isinstance(answer, str)
    assert encoded[0][0].mode == "RGB"


def test_a_picture_and_its_file_are_the_same(
    model: TinyGPTV, encoded: list[list[Image.Image]], tmp_path: Path
) -> None:
    """A PIL image is seen as its file is: turned as EXIF says, transparency over white."""
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(path, exif=exif)
    with Image.open(path) as opened:
        model.caption([opened, path, str(path)])
    first, *others = encoded[0]
    assert first.size == (40, 60)
    assert [other.tobytes() for other in others] == [first.tobytes()] * 2


def test_many_pictures_are_taken_in_batches(
    model: TinyGPTV, encoded: list[list[Image.Image]]
) -> None:
    """Never more than a batch is in memory, and captions keep the pictures' order."""
    colours = [(shade, 255 - shade, shade // 2) for shade in range(0, 200, 10)]
    pictures = [Image.new("RGB", (8, 8), colour) for colour in colours]
    captions = model.caption(pictures)
    assert [len(batch) for batch in encoded] == [CAPTION_BATCH, len(pictures) - CAPTION_BATCH]
    assert captions[-1:] == model.caption(pictures[-1:])
    assert captions[:1] == model.caption(pictures[:1])


@pytest.mark.parametrize("one", ["dog.jpg", Path("dog.jpg"), picture()])
def test_one_picture_is_no_list(one: object, model: TinyGPTV) -> None:
    """A bare path or image is refused with the way out, not taken letter by letter."""
    with pytest.raises(TypeError, match="takes a list of images"):
        model.caption(one)  # type: ignore[arg-type]


def test_nothing_in_nothing_out(model: TinyGPTV) -> None:
    """No pictures give no features and no replies; a picture that is asked nothing, none."""
    features = model.encode([])
    assert len(features) == 0
    assert list(model.reply_all([(features, [])])) == [[]]
    assert list(model.reply_all([])) == []
    assert list(model.reply_all([(model.encode([picture()]), [()])])) == [[()]]
    assert model.caption([]) == []


def test_as_many_asks_as_pictures(model: TinyGPTV) -> None:
    """A list of asks too few is an error, not a picture forgotten."""
    with pytest.raises(ValueError, match="shorter"):
        model.prefix(model.encode([picture()] * 2), [[ASK]])


def test_an_image_is_one_stem(model: TinyGPTV) -> None:
    """Asks of one image that begin alike share what is read of it; others do not."""
    asks = [ASK, Rank(PROMPT, ("a", "b")), Write(Prompt("And <ImageHere>?"), 2), ASK]
    rows = model.prefix(model.encode([picture()] * 2), [asks] * 2).rows
    first, second = [row.stem for row in rows[:4]], [row.stem for row in rows[4:]]
    for stems in (first, second):
        assert stems[0] is stems[1] is stems[3]
        assert stems[2] is not stems[0]
    assert first[0] is not second[0]


def test_the_context_ends(model: TinyGPTV) -> None:
    """A prompt with what follows it past the context is refused; up to it, not."""
    context = model.config.language.max_position_embeddings
    features = model.encode([picture()])

    def reply(template: str, new_tokens: int) -> object:
        ((written,),) = model.reply_all([(features, [[Write(Prompt(template), new_tokens)]])])
        return written

    with pytest.raises(PromptError, match=f"do not fit into the model's {context} positions"):
        reply(PROMPT.template + "?!" * context, 1)
    long = PROMPT.template + "7" * (context // 2)
    ((row,),) = [model.prefix(features, [[Write(Prompt(long), 1)]]).rows]
    room = context - len(row)
    assert reply(long, room)
    with pytest.raises(PromptError, match=f"a prompt of {len(row) - len(row.stem.embeds)} tokens"):
        reply(long, room + 1)
