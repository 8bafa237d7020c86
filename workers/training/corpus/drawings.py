"""Emoji and interface icons: drawings and what they show, read out of their packages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from workers.training.corpus import packages
from workers.training.corpus.fetch import members
from workers.training.corpus.names import EmojiNames, clean_tags, file_key
from workers.training.corpus.packages import Package
from workers.training.corpus.render import Pixels, fit, icon_svg, open_drawing, render_svg
from workers.training.corpus.titles import MOST_WORDS, words_of


@dataclass(frozen=True)
class Drawing:
    """One drawing, its names and its licence.

    `pixels` is uint8 [SIDE, SIDE, 4] with straight alpha; `name` the caption noun; `concept` the
    emoji label that the name means, if any; `path` the drawing's place in its package.
    """

    pixels: Pixels
    package: Package
    path: str
    kind: str
    name: str
    concept: str | None
    hexcode: str | None
    tags: tuple[str, ...]
    description: str | None
    licence: str
    author: str | None
    split: str = "train"

    def held_out(self) -> Drawing:
        """The same drawing, kept from training."""
        return replace(self, split="held_out")


def _emoji(package: Package, path: str, key: str, pixels: Pixels, names: EmojiNames) -> Drawing:
    concept = names.by_file_key[key]
    return Drawing(
        pixels=pixels,
        package=package,
        path=path,
        kind="emoji",
        name=concept.label,
        concept=concept.label,
        hexcode=concept.hexcode,
        tags=concept.tags,
        description=None,
        licence=package.licence,
        author=package.authors,
    )


def emoji_files(package: Package, archive: Path, names: EmojiNames) -> Iterator[Drawing]:
    """Emoji packages with an image file for each code point sequence."""
    own_name = package.name.removeprefix("emoji-datasource-")
    folder = "assets/" if package is packages.FLUENT_3D else f"img/{own_name}/64/"

    def wanted(path: str) -> bool:
        return path.startswith(folder) and path.endswith((".png", ".webp"))

    for path, content in members(archive, wanted):
        key = file_key(PurePosixPath(path).stem)
        if key in names.by_file_key:
            yield _emoji(package, path, key, fit(open_drawing(content), trim=False), names)


@dataclass(frozen=True)
class IconSet:
    """The files of an icon package: drawings, and code points where the package has them."""

    svgs: dict[str, str]
    file_keys: dict[str, str]
    categories: dict[str, str]

    @classmethod
    def read(cls, archive: Path) -> IconSet:
        """Read `icons.json`, `chars.json` and `metadata.json`."""
        files = dict(members(archive, lambda path: path.endswith(".json") and "/" not in path))
        icons = json.loads(files["icons.json"])
        characters = json.loads(files["chars.json"])
        categories = json.loads(files["metadata.json"]).get("categories", {})
        return cls(
            {
                name: icon_svg(
                    icon["body"],
                    icon.get("width", icons["width"]),
                    icon.get("height", icons["height"]),
                )
                for name, icon in icons["icons"].items()
            },
            {name: file_key(code) for code, name in characters.items()},
            {name: category for category, names in categories.items() for name in names},
        )

    def draw(self, name: str) -> Pixels:
        """Render one icon with its own margin."""
        return fit(render_svg(self.svgs[name], width=288), trim=False)


def emoji_icons(package: Package, archive: Path, names: EmojiNames) -> Iterator[Drawing]:
    """Emoji icon packages: by code point, or by name where the package has no code points."""
    icons = IconSet.read(archive)
    by_label = {concept.label: key for key, concept in names.by_file_key.items()}
    keys = icons.file_keys or {
        icon: by_label[label]
        for label, icon in icons_by_label(icons.svgs, package.style, names).items()
    }
    for icon, key in sorted(keys.items()):
        if key in names.by_file_key and icon in icons.svgs:
            yield _emoji(package, icon, key, icons.draw(icon), names)


def icons_by_label(icons: dict[str, str], style: str, names: EmojiNames) -> dict[str, str]:
    """One icon for each emoji label that an icon's name means; exact spelling goes first."""
    found: dict[str, str] = {}
    for icon in sorted(icons, key=lambda icon: (not names.is_label(icon), icon)):
        label = names.of_icon(style, icon)
        if label is not None:
            found.setdefault(label, icon)
    return found


_BRANDS = frozenset(
    "adobe android apple chrome discord dropbox facebook figma github google instagram linkedin "
    "messenger netflix paypal pinterest reddit slack snapchat spotify telegram tiktok "
    "twitter visa mastercard amazon windows xbox youtube twitch skype whatsapp tumblr meta bing "
    "wordpress behance dribbble yelp uber airbnb steam vimeo shopify yahoo wechat line tinder "
    "gmail gameboy nintendo pacman polaroid binance ethereum xrp markdown epic css".split()
)


def streamline_icons(package: Package, archive: Path, names: EmojiNames) -> Iterator[Drawing]:
    """Streamline's interface icons: named in words, outlined and (suffix -flat) filled."""
    icons = IconSet.read(archive)
    for icon in icons.svgs:
        name = words_of(icon.removesuffix("-flat"))
        words = name.split()
        if not words or len(words) > MOST_WORDS or _BRANDS & set(words):
            continue
        category = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", icons.categories.get(icon, ""))
        yield Drawing(
            pixels=icons.draw(icon),
            package=package,
            path=icon,
            kind="clipart",
            name=name,
            concept=names.of_everyday(name),
            hexcode=None,
            tags=clean_tags([*words, category]),
            description=None,
            licence=package.licence,
            author=package.authors,
        )
