"""Write the yardstick of memes in the Hateful Memes set's format: held-out pictures and words."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from workers.training.corpus.drawings import Drawing, IconSet, icons_by_label
from workers.training.corpus.names import EmojiNames
from workers.training.corpus.render import Pixels, is_blank
from workers.training.corpus.yardsticks import empty_folder, write_lines
from workers.training.lettering import letter
from workers.training.memes import Part, grammar, is_unkind, nasty_concepts, nice_concepts

PARTS: tuple[Part, Part] = ("dev", "test")
PAIRS = 150
"""Of a nice and a nasty picture, in each part: four memes each."""
SIDE = 256
"""Of a meme, in pixels."""


def meme_drawings(
    icons: IconSet, names: EmojiNames, corpus: Sequence[Drawing]
) -> dict[str, list[Pixels]]:
    """Drawings that no training sees of what is nice or nasty, by concept: fxemoji's icons and the
    corpus's held-out drawings."""
    wanted = nice_concepts() | nasty_concepts()
    found: dict[str, list[Pixels]] = {}
    for label, icon in sorted(icons_by_label(icons.svgs, "fxemoji", names).items()):
        if label in wanted and not is_blank(pixels := icons.draw(icon)):
            found.setdefault(label, []).append(pixels)
    for item in corpus:
        if item.split == "held_out" and item.concept in wanted:
            found.setdefault(item.concept, []).append(item.pixels)
    return found


def write_memes(folder: Path, pictures: Mapping[str, Sequence[Pixels]]) -> dict[str, int]:
    """Write dev.jsonl, test.jsonl and img/; returns counts.

    Each pair of pictures stands under two texts, one that likens and one that parts, so that every
    text and every picture has both labels equally often. A concept is in one part only.
    """
    empty_folder(folder / "memes" / "img")
    counts: dict[str, int] = {}
    for number, part in enumerate(PARTS):
        dice = random.Random(part)
        nice, nasty = (
            [p for name in sorted(side & pictures.keys())[number::2] for p in pictures[name]]
            for side in (nice_concepts(), nasty_concepts())
        )
        annotations: list[dict[str, Any]] = []
        used: set[str] = set()
        for pair in zip(_in_turn(nice, dice), _in_turn(nasty, dice), strict=True):
            for likens in (True, False):
                text = _fresh_text(part, likens, used, dice)
                for is_nasty, pixels in enumerate(pair):
                    identity = number * 10_000 + len(annotations)
                    image = f"img/{identity:05d}.png"
                    _meme(pixels, text, dice).save(folder / "memes" / image)
                    label = int(is_unkind(bool(is_nasty), likens))
                    annotations.append({"id": identity, "img": image, "text": text, "label": label})
        write_lines(folder / "memes" / f"{part}.jsonl", annotations)
        counts[part] = len(annotations)
    return counts


def _in_turn(pictures: Sequence[Pixels], dice: random.Random) -> list[Pixels]:
    """`PAIRS` pictures: all of them in random order, again and again."""
    chosen: list[Pixels] = []
    while pictures and len(chosen) < PAIRS:
        chosen += dice.sample(list(pictures), len(pictures))
    return chosen[:PAIRS]


def _fresh_text(part: Part, likens: bool, used: set[str], dice: random.Random) -> str:
    """A text that is not in `used`, and then is."""
    while (text := grammar(part).text(likens, dice)) in used:
        pass
    used.add(text)
    return text


def _meme(pixels: Pixels, text: str, dice: random.Random) -> Image.Image:
    """The drawing on a ground of one colour, `text` on it."""
    ground = Image.new("RGBA", (SIDE, SIDE), _ground(dice))
    side = round(SIDE * dice.uniform(0.65, 0.9))
    drawing = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
    ground.alpha_composite(drawing, ((SIDE - side) // 2, (SIDE - side) // 2))
    meme = ground.convert("RGB")
    letter(meme, text, dice)
    return meme


def _ground(dice: random.Random) -> tuple[int, int, int]:
    """White, or a pale colour."""
    if dice.random() < 0.4:
        return (255, 255, 255)
    return (dice.randint(150, 255), dice.randint(150, 255), dice.randint(150, 255))
