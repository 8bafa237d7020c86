"""The door for people: pictures of every kind, nothing at all, and more than the context holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.outcome import PromptError
from tests.checkpoints import tiny_model
from workers.model import TinyGPTV
from workers.model.tinygptv import CAPTION_BATCH, Features

PROMPT = "<ImageHere> what is this?"


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
    """No pictures give no features, no rows, no answers and no scores."""
    features = model.encode([])
    assert len(features) == 0
    prefix = model.prefix(features, [])
    assert model.generate(prefix, 5) == []
    assert model.score(prefix, ["a", ""]).shape == (0, 2)
    assert model.caption([]) == []
    assert list(model.generate_ids([], max_new_tokens=3)) == []


def test_scores_of_nothing(model: TinyGPTV) -> None:
    """An empty continuation is certain, no continuations are no columns."""
    prefix = model.prefix(model.encode([picture()] * 2), [PROMPT] * 2)
    assert model.score(prefix, []).shape == (2, 0)
    scores = model.score(prefix, ["", "a"])
    assert scores[:, 0].tolist() == [0, 0]
    assert (scores[:, 1] < 0).all()


def test_as_many_prompts_as_pictures(model: TinyGPTV) -> None:
    """A prompt too few is an error, not a picture forgotten."""
    with pytest.raises(ValueError, match="longer"):
        model.prefix(model.encode([picture()] * 2), [PROMPT])


def test_how_many_tokens(model: TinyGPTV) -> None:
    """At least one token is generated; without an end token, as many as asked for."""
    prefix = model.prefix(model.encode([picture()]), [PROMPT])

    def ids(max_new_tokens: int, eos_token_ids: Sequence[int]) -> list[int]:
        ((row,),) = model.generate_ids([prefix], max_new_tokens, eos_token_ids=eos_token_ids)
        return row

    with pytest.raises(ValueError, match="at least 1"):
        ids(0, [])
    assert len(ids(9, [])) == 9
    first = ids(1, [])
    assert ids(9, first) == first


def test_the_context_ends(model: TinyGPTV) -> None:
    """A prompt, or a prompt with what follows it, past the context is refused; up to it, not."""
    context = model.config.language.max_position_embeddings
    features = model.encode([picture()])
    with pytest.raises(PromptError, match=f"do not fit into the model's {context}"):
        model.prefix(features, [PROMPT + "?!" * context])
    prefix = model.prefix(features, [PROMPT + "7" * (context // 2)])
    room = context - prefix.longest
    ends = range(model.config.language.vocab_size)
    list(model.generate_ids([prefix], max_new_tokens=room, eos_token_ids=ends))
    with pytest.raises(PromptError, match=f"and {room + 1} more"):
        list(model.generate_ids([prefix], max_new_tokens=room + 1, eos_token_ids=ends))
    with pytest.raises(PromptError, match="do not fit"):
        model.score(prefix, ["a", "7" * context])
