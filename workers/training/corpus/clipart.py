"""openclipart and Sweet Home 3D: drawings and what they show, read out of Debian packages."""

from __future__ import annotations

import contextlib
import html
import io
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from workers.training.corpus import packages
from workers.training.corpus.drawings import Drawing
from workers.training.corpus.fetch import members
from workers.training.corpus.names import EmojiNames, clean_tags, plain
from workers.training.corpus.render import Pixels, fit, open_drawing, render_svg, thumbnail
from workers.training.corpus.titles import clipart_name, english_words, words_of

_LEFT_OUT = re.compile(
    r"^(shapes/|signs_and_symbols/(flags|led|map_symbols)|special/|logos/|geography/|decorations/|"
    r"computer/(icons/etiquette-theme|diagrams|connectors|buttons)|unsorted/duplicates|"
    r"recreation/games/cards/|people/clothing/pantyhose)|symbol_\d+m_"
)
_THEME = "theme/"
_OTHER_MEANINGS = {("computer", "mouse"): "computer mouse"}
_MOST_OF_ONE_NAME = 12
_MOST_DISAGREEMENT = 0.05
"""Mean absolute difference, in [0, 1], between our rendering and the packaged one."""

_SVG_FOLDER = "usr/share/openclipart/svg/"
_PNG_FOLDER = "usr/share/openclipart/png/"


@dataclass(frozen=True)
class ClipartRecord:
    """What an openclipart SVG says about itself."""

    title: str | None
    keywords: tuple[str, ...]
    description: str | None
    author: str | None
    public_domain: bool

    @classmethod
    def read(cls, svg: bytes) -> ClipartRecord | None:
        """Parse the RDF metadata; None where the document has none or is not XML."""
        try:
            root = ElementTree.fromstring(svg)
        except ElementTree.ParseError:
            return None
        work = next((node for node in root.iter() if _tag(node) == "Work"), None)
        if work is None:
            return None
        fields = {_tag(child): child for child in work}
        licence = fields.get("license")
        licence_url = " ".join(licence.attrib.values()).lower() if licence is not None else ""
        title = fields.get("title")
        description = fields.get("description")
        return cls(
            title=title.text if title is not None else None,
            keywords=tuple(_texts(fields.get("subject"), "li")),
            description=description.text if description is not None else None,
            author=_person(next(iter(_texts(fields.get("creator"), "title")), "")),
            public_domain="publicdomain" in licence_url,
        )


def _person(text: str) -> str | None:
    """A name without addresses; UTF-8 that was once read as Latin-1 is mended."""
    text = html.unescape(text)
    with contextlib.suppress(UnicodeError):
        text = text.encode("latin-1").decode("utf-8")
    return re.sub(r"[<(\[]?\S*(@|://)\S*|<[^>]*>", "", text).strip() or None


def _tag(node: ElementTree.Element) -> str:
    return str(node.tag).rsplit("}", 1)[-1]


def _texts(node: ElementTree.Element | None, tag: str) -> list[str]:
    children = node.iter() if node is not None else ()
    return [child.text.strip() for child in children if _tag(child) == tag and child.text]


def openclipart(
    svg_archive: Path, png_archive: Path, names: EmojiNames, english: Collection[str]
) -> Iterator[Drawing]:
    """The drawings that are marked public domain and have a clear English name.

    A rendering that differs much from the package's own PNG is broken in one of them: left out.
    `english` is a vocabulary; words that two drawings have among their keywords add to it.
    """
    svgs = dict(sorted(members(svg_archive, lambda path: path.endswith(".svg"))))
    records = {
        path.removeprefix(_SVG_FOLDER).removesuffix(".svg"): record
        for path, svg in svgs.items()
        if (record := ClipartRecord.read(svg)) is not None and record.public_domain
    }
    named = _named(records, names, english)
    pictures = {
        path.removeprefix(_PNG_FOLDER).removesuffix(".png"): content
        for path, content in members(
            png_archive,
            lambda path: path.removeprefix(_PNG_FOLDER).removesuffix(".png") in named,
        )
    }
    for inner, name in named.items():
        record = records[inner]
        pixels = _rendered_as_packaged(svgs[f"{_SVG_FOLDER}{inner}.svg"], pictures.get(inner))
        if pixels is None:
            continue
        yield Drawing(
            pixels=pixels,
            package=packages.OPENCLIPART_SVG,
            path=inner,
            kind="clipart",
            name=name,
            concept=names.of_everyday(name),
            hexcode=None,
            tags=clean_tags(record.keywords),
            description=_sentence(record.description),
            licence=packages.OPENCLIPART_SVG.licence,
            author=record.author,
        )


def _named(
    records: dict[str, ClipartRecord], names: EmojiNames, english: Collection[str]
) -> dict[str, str]:
    """Caption nouns of the records that get one, at most a dozen records with the same."""
    keywords = [word for record in records.values() for word in {*record.keywords}]
    frequent = {word for word, count in english_words(keywords).items() if count > 1}
    vocabulary = frequent | set(english)
    named: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for inner, record in records.items():
        if _LEFT_OUT.search(inner) or "Etiquette" in (record.title or ""):
            continue
        stem = PurePosixPath(inner).name
        name = clipart_name(record.title, stem, record.author, record.keywords, vocabulary, names)
        if name is None or (_THEME in inner and names.of_everyday(name) is None):
            continue
        if "road" in inner + (record.title or "").lower() and "sign" not in name:
            name = f"{name} sign"
        name = _OTHER_MEANINGS.get((inner.partition("/")[0], name), name)
        counts[name] += 1
        if counts[name] <= _MOST_OF_ONE_NAME:
            named[inner] = name
    return named


def _rendered_as_packaged(svg: bytes, packaged: bytes | None) -> Pixels | None:
    """Our rendering, or None where it fails or the packaged picture shows something else."""
    if packaged is None:
        return None
    try:
        with warnings.catch_warnings():
            # A page of more than 89 million pixels is a drawing that lost its size.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            theirs = fit(open_drawing(packaged), trim=True)
        ours = fit(render_svg(svg.decode("utf-8", "replace")), trim=True)
    except (ValueError, OSError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    difference = float(np.abs(thumbnail(ours) - thumbnail(theirs)).mean())
    return ours if difference < _MOST_DISAGREEMENT else None


def _sentence(text: str | None) -> str | None:
    """A description of three words or more; None for remarks about collections and addresses."""
    if not text or len(text) > 160 or re.search(r"https?:|@|collection|icons|\bI\b", text):
        return None
    cleaned = plain(text)
    return cleaned if len(cleaned.split()) >= 3 else None


_FURNITURE_LICENCES = {
    "BlendSwap-CC-0": "CC0-1.0",
    "BlendSwap-CC-BY": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0-US",
    "Reallusion": "CC-BY-3.0-US",
    "Scopia": "CC-BY-3.0",
}


def furniture(archive: Path, names: EmojiNames) -> Iterator[Drawing]:
    """Sweet Home 3D's furniture: a render, a name, a category and tags for each model."""
    for path, content in sorted(members(archive, lambda path: path.endswith(".sh3f"))):
        catalog_name = PurePosixPath(path).stem
        with zipfile.ZipFile(io.BytesIO(content)) as catalog:
            text = catalog.read("PluginFurnitureCatalog.properties").decode("latin-1")
            properties = dict(re.findall(r"^([A-Za-z]+#\d+)=(.*?)\r?$", text, re.M))
            numbers = [key.removeprefix("icon#") for key in properties if key.startswith("icon#")]
            for number in numbers:
                name = words_of(properties.get(f"name#{number}", ""))
                icon = properties[f"icon#{number}"].lstrip("/")
                if not name or icon not in catalog.namelist():
                    continue
                tags = properties.get(f"tags#{number}", "").split(",")
                yield Drawing(
                    pixels=fit(open_drawing(catalog.read(icon)), trim=True),
                    package=packages.SWEETHOME3D,
                    path=f"{catalog_name}.sh3f:{icon}",
                    kind="furniture",
                    name=name,
                    concept=names.of_everyday(name),
                    hexcode=None,
                    tags=clean_tags([*tags, properties.get(f"category#{number}", "")]),
                    description=None,
                    licence=_FURNITURE_LICENCES[catalog_name],
                    author=properties.get(f"creator#{number}") or None,
                )
