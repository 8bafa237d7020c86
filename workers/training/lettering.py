"""Draw a meme's text on its picture: white letters with a dark edge, as memes have them."""

from __future__ import annotations

import random
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

SIZES = (0.07, 0.115)
"""Height of the letters, as a share of the picture's side."""
SMALLEST = 6
"""Pixels."""


def letter(picture: Image.Image, text: str, dice: random.Random) -> None:
    """Draw `text` on `picture`: at the top, at the bottom, or half and half."""
    words = text.split()
    place = dice.choice(("top", "bottom", "both"))
    half = len(words) // 2 if place == "both" else len(words) if place == "top" else 0
    size = max(SMALLEST, round(picture.height * dice.uniform(*SIZES)))
    plain = dice.random() < 0.15
    for part, top in ((words[:half], True), (words[half:], False)):
        if part:
            _draw(picture, " ".join(part), top, size, plain)


def _draw(picture: Image.Image, text: str, top: bool, size: int, plain: bool) -> None:
    pen = ImageDraw.Draw(picture)
    edge = 0 if plain else max(1, size // 9)
    lines = _wrapped(text, size, picture.width * 0.96)
    while len(lines) > 2 and size > SMALLEST:
        size -= 1
        lines = _wrapped(text, size, picture.width * 0.96)
    margin = picture.height * 0.02
    height = size * 1.15
    start = margin if top else picture.height - margin - height * len(lines)
    for number, line in enumerate(lines):
        pen.text(
            (picture.width / 2, start + number * height),
            line,
            font=_font(size),
            anchor="ma",
            fill="black" if plain else "white",
            stroke_width=edge,
            stroke_fill=None if plain else "black",
        )


def _wrapped(text: str, size: int, width: float) -> list[str]:
    """`text` in lines of at most `width` pixels, a word too long for one excepted."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font(size).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, so that no machine's fonts matter."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
