"""Memes: words that are kind over one picture and unkind over another."""

import json
import random
from collections import defaultdict
from pathlib import Path
from string import Formatter

import numpy as np
import pytest
from PIL import Image

from workers.training.corpus import memes
from workers.training.lettering import letter
from workers.training.memes import grammar, is_unkind, nasty_concepts, nice_concepts

PARTS = ("train", "dev", "test")


def test_the_parts_share_no_wording() -> None:
    """What is held out stands nowhere in training, slot by slot."""
    for slot in ("likening", "parting", "aspects", "persons", "openings", "closings"):
        choices = [choice for part in PARTS for choice in getattr(grammar(part), slot)]
        assert len(choices) == len(set(choices)), slot


def test_wordings_mean_one_thing() -> None:
    """No wording both likens and parts, and each has only slots that can be filled."""
    for part in PARTS:
        written = grammar(part)
        assert not set(written.likening) & set(written.parting)
        for wording in (*written.likening, *written.parting):
            fields = {name for _, name, _, _ in Formatter().parse(wording) if name}
            assert fields <= {"aspect", "person"}


def test_a_text_is_of_its_kind() -> None:
    """A drawn text holds a wording of the kind asked for, its slots filled, in any case."""
    dice = random.Random(3)
    written = grammar("train")
    for likens, wordings in ((True, written.likening), (False, written.parting)):
        cores = [part for w in wordings for part in [w.split("{")[0].split("}")[-1]] if part]
        for _ in range(200):
            text = written.text(likens, dice).lower()
            assert "{" not in text
            assert any(core in text for core in cores) or any(
                aspect in text for aspect in (*written.aspects, *written.persons)
            )


def test_both_must_be_looked_at() -> None:
    """Unkind: like something nasty, unlike something nice."""
    assert [is_unkind(nasty, likens) for nasty in (True, False) for likens in (True, False)] == [
        True,
        False,
        False,
        True,
    ]


def test_nothing_is_nice_and_nasty() -> None:
    """No concept is on both sides; there are many on each."""
    assert not nice_concepts() & nasty_concepts()
    assert min(len(nice_concepts()), len(nasty_concepts())) >= 40


PAIRS = 16
"""Fewer than the yardstick's, each picture in as many as another."""


@pytest.fixture(scope="module")
def yardstick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Memes over plain squares, eight concepts a side, each of one colour."""
    folder = tmp_path_factory.mktemp("yardstick")
    pictures = {}
    for side, red in ((nice_concepts(), 40), (nasty_concepts(), 200)):
        for number, name in enumerate(sorted(side)[:8]):
            pixels = np.zeros((144, 144, 4), np.uint8)
            pixels[...] = (red, 25 * number, 90, 255)
            pictures[name] = [pixels]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memes, "PAIRS", PAIRS)
        counts = memes.write_memes(folder, pictures)
    assert counts == {"dev": 4 * PAIRS, "test": 4 * PAIRS}
    return folder / "memes"


def read(yardstick: Path, part: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (yardstick / f"{part}.jsonl").read_text().splitlines()]


def shown(yardstick: Path, meme: dict[str, object]) -> tuple[int, ...]:
    """The colour in the middle of the meme, rounded: what stands under the text."""
    picture = Image.open(yardstick / str(meme["img"]))
    colour = picture.getpixel((128, 128))
    assert isinstance(colour, tuple)
    return tuple(round(value / 5) for value in colour)


@pytest.mark.parametrize("part", ["dev", "test"])
def test_neither_text_nor_picture_alone_tells(part: str, yardstick: Path) -> None:
    """Every text and every picture has both labels equally often; no two texts are the same."""
    of_text: dict[object, list[object]] = defaultdict(list)
    of_picture: dict[object, list[object]] = defaultdict(list)
    for meme in read(yardstick, part):
        of_text[meme["text"]].append(meme["label"])
        of_picture[shown(yardstick, meme)].append(meme["label"])
    assert all(sorted(map(str, labels)) == ["0", "1"] for labels in of_text.values())
    assert len(of_text) == 2 * PAIRS
    assert len(of_picture) == 8
    for labels in of_picture.values():
        assert labels.count(0) == labels.count(1)


def test_dev_and_test_share_nothing(yardstick: Path) -> None:
    """No picture and no text is in both parts; the format is the Hateful Memes set's."""
    dev, test = read(yardstick, "dev"), read(yardstick, "test")
    assert all(meme.keys() == {"id", "img", "text", "label"} for meme in (*dev, *test))
    assert len({meme["id"] for meme in (*dev, *test)}) == len(dev) + len(test)
    assert not {meme["text"] for meme in dev} & {meme["text"] for meme in test}
    assert not {shown(yardstick, meme) for meme in dev} & {shown(yardstick, m) for m in test}


def test_the_text_stands_on_the_picture() -> None:
    """Letters are drawn at the edges, however long the text is, and the middle stays free."""
    for seed, text in ((0, "you"), (1, "word " * 40), (2, "x" * 200)):
        picture = Image.new("RGB", (128, 128), (10, 120, 200))
        letter(picture, text, random.Random(seed))
        changed = (np.asarray(picture) != (10, 120, 200)).any(axis=2).any(axis=1)
        assert changed.any()
        if len(text) < 10:
            assert not changed[40:88].any()
