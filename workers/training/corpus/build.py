"""Write the corpus folder: drawings, photos, yardsticks and an account of what went in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from workers.training.corpus import clipart, drawings, packages, photos, yardsticks
from workers.training.corpus.drawings import Drawing
from workers.training.corpus.fetch import fetch, members
from workers.training.corpus.folder import ACCOUNT
from workers.training.corpus.memes import meme_drawings, write_memes
from workers.training.corpus.names import EmojiNames, cldr_entries, keywords
from workers.training.corpus.packages import PACKAGES
from workers.training.corpus.render import SIDE, Pixels, is_blank, thumbnail
from workers.training.corpus.titles import english_words

Thumbnail = npt.NDArray[np.float32]
HELD_OUT = Path(__file__).with_name("held_out.json")
_SAME_PICTURE = 0.03
"""Mean absolute difference of thumbnails, in [0, 1], under which two drawings are one."""

_COLUMNS = pa.schema(
    [
        ("index", pa.int64()),
        ("package", pa.string()),
        ("family", pa.string()),
        ("style", pa.string()),
        ("kind", pa.string()),
        ("hexcode", pa.string()),
        ("name", pa.string()),
        ("concept", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("description", pa.string()),
        ("split", pa.string()),
        ("licence", pa.string()),
        ("author", pa.string()),
        ("path", pa.string()),
    ]
)


def build(corpus: Path, downloads: Path) -> dict[str, Any]:
    """Make the corpus in `corpus` from archives in `downloads`; returns what corpus.json says."""
    archives = {package.name: fetch(package, downloads) for package in PACKAGES}
    names, english = read_names(archives[packages.EMOJIBASE.name], archives[packages.CLDR.name])
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / ACCOUNT).unlink(missing_ok=True)
    kept = hold_out(
        distinct([item for item in _all(archives, names, english) if not is_blank(item.pixels)])
    )
    _write_drawings(corpus, kept)
    pixels, classes = photos.read_photos(archives[packages.CIFAR10.name])
    _write_photos(corpus, pixels, classes)
    concepts = {item.name for item in kept if item.kind == "emoji"}
    fxemoji = drawings.IconSet.read(archives[packages.FXEMOJI.name])
    known = read_keywords(archives[packages.EMOJIBASE.name], archives[packages.CLDR.name])
    account = {
        "drawings": len(kept),
        "drawings_of_package": dict(Counter(item.package.name for item in kept)),
        "held_out": dict(Counter(x.package.name for x in kept if x.split == "held_out")),
        "with_concept": dict(Counter(x.package.name for x in kept if x.concept is not None)),
        "emoji_concepts": len(concepts),
        "photos": len(classes),
        "yardsticks": {
            "fxemoji": yardsticks.write_fxemoji(
                corpus / "yardstick", fxemoji, names, concepts, known
            ),
            "memes": write_memes(corpus / "yardstick", meme_drawings(fxemoji, names, kept)),
            "cifar10": yardsticks.write_cifar10(
                corpus / "yardstick", pixels[50_000:], classes[50_000:]
            ),
        },
        "packages": {
            package.name: {"version": package.version, "sha256": package.sha256}
            for package in PACKAGES
        },
    }
    (corpus / ACCOUNT).write_text(json.dumps(account, indent=1) + "\n", encoding="utf-8")
    return account


def _all(archives: dict[str, Path], names: EmojiNames, english: Counter[str]) -> Iterator[Drawing]:
    for package in (packages.NOTO, packages.TWEMOJI, packages.EMOJIONE, packages.FLUENT_FLAT):
        yield from drawings.emoji_icons(package, archives[package.name], names)
    for package in (packages.GOOGLE, packages.TWITTER, packages.FLUENT_3D):
        yield from drawings.emoji_files(package, archives[package.name], names)
    yield from drawings.streamline_icons(
        packages.STREAMLINE, archives[packages.STREAMLINE.name], names
    )
    yield from clipart.furniture(archives[packages.SWEETHOME3D.name], names)
    yield from clipart.openclipart(
        archives[packages.OPENCLIPART_SVG.name],
        archives[packages.OPENCLIPART_PNG.name],
        names,
        english,
    )


def read_names(emojibase: Path, cldr: Path) -> tuple[EmojiNames, Counter[str]]:
    """The emoji's names, and the English words that they and CLDR's annotations are made of."""
    annotations = dict(members(cldr, lambda path: path.endswith("/annotations.json")))
    names = EmojiNames.from_packages(
        dict(members(emojibase, lambda path: path.startswith("en/"))), annotations
    )
    texts = list(names.words())
    for entry in cldr_entries(annotations, "en").values():
        texts += [*entry.get("default", ()), *entry.get("tts", ())]
    return names, english_words(texts)


def read_keywords(emojibase: Path, cldr: Path) -> dict[str, frozenset[str]]:
    """For each emoji's label the words that it is known under."""
    data = dict(members(emojibase, lambda path: path == "en/data.json"))["en/data.json"]
    annotations = dict(members(cldr, lambda path: path.endswith("/en/annotations.json")))
    return keywords(json.loads(data), cldr_entries(annotations, "en"))


def distinct(items: Sequence[Drawing]) -> list[Drawing]:
    """Leave out clip art and furniture that look the same as an earlier drawing of theirs."""
    kept: list[Drawing] = []
    seen: set[bytes] = set()
    for item in items:
        if item.package in (packages.OPENCLIPART_SVG, packages.SWEETHOME3D):
            fingerprint = np.round(thumbnail(item.pixels) * 32).astype(np.uint8).tobytes()
            if fingerprint in seen:
                continue
            seen.add(fingerprint)
        kept.append(item)
    return kept


def hold_out(items: Sequence[Drawing]) -> list[Drawing]:
    """Mark the drawings of held_out.json; what looks like one of them is left out.

    The list was drawn once, at random and at most two of a concept, among the clip art and
    furniture whose one- or two-word name means an emoji's concept and of which the artist made no
    second version (one in colour, one without). It is a list, so that a change of the names never
    moves a drawing from one part to the other.
    """
    listed = json.loads(HELD_OUT.read_text(encoding="utf-8"))
    marked = [
        item.held_out() if item.path in listed.get(item.package.name, ()) else item
        for item in items
    ]
    held = [thumbnail(item.pixels).ravel() for item in marked if item.split == "held_out"]
    return [
        item
        for item in marked
        if item.split == "held_out" or item.kind == "emoji" or not _looks_like_one(item, held)
    ]


def _looks_like_one(item: Drawing, others: Sequence[Thumbnail]) -> bool:
    if not others:
        return False
    differences = np.abs(np.stack(others) - thumbnail(item.pixels).ravel()).mean(axis=1)
    return bool(differences.min() < _SAME_PICTURE)


def _write_drawings(corpus: Path, items: Sequence[Drawing]) -> None:
    array = np.lib.format.open_memmap(
        corpus / "drawings.npy", mode="w+", dtype=np.uint8, shape=(len(items), SIDE, SIDE, 4)
    )
    for index, item in enumerate(items):
        array[index] = item.pixels
    array.flush()
    rows = [
        {
            "index": index,
            "package": item.package.name,
            "family": item.package.family,
            "style": item.package.style,
            "kind": item.kind,
            "hexcode": item.hexcode,
            "name": item.name,
            "concept": item.concept,
            "tags": list(item.tags),
            "description": item.description,
            "split": item.split,
            "licence": item.licence,
            "author": item.author,
            "path": item.path,
        }
        for index, item in enumerate(items)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=_COLUMNS), corpus / "drawings.parquet")


def _write_photos(corpus: Path, pixels: Pixels, classes: Sequence[str]) -> None:
    np.save(corpus / "photos.npy", pixels)
    split = ["train"] * 50_000 + ["test"] * (len(classes) - 50_000)
    table = pa.table({"index": range(len(classes)), "name": classes, "split": split})
    pq.write_table(table, corpus / "photos.parquet")
