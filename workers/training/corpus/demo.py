"""Write the bundled demo: pictures that no training saw, in the formats that buckets hold.

Which pictures is a rule, not a taste: of the concepts that the training part draws most often
outside emoji sets, the unseen emoji style's drawing of each, then held-out clip art and furniture
of the next concepts, then the first test photo of each CIFAR-10 class.
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from schemas.outcome import UsageError
from workers.training.corpus import packages
from workers.training.corpus.photos import CLASSES

UNSEEN_STYLE, CLIPART, FURNITURE = 18, 10, 4
_ENDINGS = ("png", "jpg", "png", "webp", "gif", "jpg", "png")
_OWN_NAME = re.compile(r"img_\d{3}\.\w+|not-an-image\.jpg")
_ORIENTATION = 0x0112
_ROTATED_QUARTER = 6  # EXIF: to be turned a quarter clockwise to stand upright


@dataclass(frozen=True)
class Picture:
    """A demo picture, what it shows, and where it comes from."""

    image: Image.Image
    shows: str
    source: str
    author: str
    licence: str


def write_demo(corpus: Path, folder: Path) -> int:
    """Fill `folder` and write ATTRIBUTIONS.md beside it; returns the number of files.

    The pictures of the kinds take turns and the file names are numbers, so that nothing but the
    pixels says what a file shows. One JPEG is cut short and one file is no image at all.

    Raises:
        UsageError: `folder` holds other files than an earlier demo's.
    """
    _empty(folder)
    rows = pq.read_table(corpus / "drawings.parquet").to_pylist()
    concepts = _common_concepts(rows)
    unseen = list(_unseen_style(corpus, concepts))
    rest = [concept for concept in concepts if concept not in {item.shows for item in unseen}]
    drawings = np.load(corpus / "drawings.npy", mmap_mode="r")
    clipart = list(_held_out(drawings, rows, "clipart", rest, CLIPART))
    rest = [concept for concept in rest if concept not in {item.shows for item in clipart}]
    furniture = list(_held_out(drawings, rows, "furniture", rest, FURNITURE))
    pictures = _take_turns([unseen, list(_photos(corpus)), clipart, furniture])
    lines = []
    for number, picture in enumerate(pictures, 1):
        name, content = _encoded(picture.image, number)
        (folder / name).write_bytes(content)
        lines.append(_line(name, picture))
    lines += _broken(folder, pictures[0], len(pictures) + 1)
    (folder.parent / "ATTRIBUTIONS.md").write_text(
        _HEADER + "".join(lines) + _FOOTER, encoding="utf-8"
    )
    return len(lines)


def _empty(folder: Path) -> None:
    """Makes the folder; takes an earlier demo's files away, and nobody else's."""
    folder.mkdir(parents=True, exist_ok=True)
    files = list(folder.iterdir())
    for old in files:
        if not _OWN_NAME.fullmatch(old.name):
            raise UsageError(f"{old} is none of the demo's files; name a folder that is new")
    for old in files:
        old.unlink()


def _common_concepts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Concepts by how many training drawings outside emoji sets show them, then by name."""
    counts = Counter(
        str(row["concept"])
        for row in rows
        if row["concept"] and row["kind"] != "emoji" and row["split"] == "train"
    )
    return sorted(counts, key=lambda concept: (-counts[concept], concept))


def _unseen_style(corpus: Path, concepts: Sequence[str]) -> Iterator[Picture]:
    folder = corpus / "yardstick" / "fxemoji"
    lines = (folder / "annotations.jsonl").read_text(encoding="utf-8").splitlines()
    images = {item["names"][0]: item["image"] for item in map(json.loads, lines)}
    for concept in [concept for concept in concepts if concept in images][:UNSEEN_STYLE]:
        image = Image.open(folder / "images" / images[concept]).convert("RGB")
        package = packages.FXEMOJI
        source = f"{package.name} {package.version}, {Path(images[concept]).stem}"
        yield Picture(image, concept, source, package.authors, package.licence)


def _held_out(
    drawings: np.ndarray[Any, Any],
    rows: Sequence[dict[str, Any]],
    kind: str,
    concepts: Sequence[str],
    count: int,
) -> Iterator[Picture]:
    held = {
        row["concept"]: row for row in rows if row["split"] == "held_out" and row["kind"] == kind
    }
    versions = {package.name: package.version for package in packages.PACKAGES}
    for concept in [concept for concept in concepts if concept in held][:count]:
        row = held[concept]
        source = f"{row['package']} {versions[row['package']]}, {row['path']}"
        image = Image.fromarray(np.asarray(drawings[row["index"]]))
        yield Picture(image, concept, source, row["author"] or "not named", row["licence"])


def _photos(corpus: Path) -> Iterator[Picture]:
    rows = pq.read_table(corpus / "photos.parquet").to_pylist()
    pixels = np.load(corpus / "photos.npy", mmap_mode="r")
    first = {row["name"]: row["index"] for row in reversed(rows) if row["split"] == "test"}
    package = packages.CIFAR10
    for name in CLASSES:
        image = Image.fromarray(np.asarray(pixels[first[name]]))
        source = f"{package.name} {package.version}, test photo {first[name] - 50_000}"
        yield Picture(image, name, source, package.authors, package.licence)


def _take_turns(kinds: Sequence[Sequence[Picture]]) -> list[Picture]:
    """All pictures, each kind spread evenly over the list."""
    placed = [
        ((place + 0.5) / len(kind), turn, picture)
        for turn, kind in enumerate(kinds)
        for place, picture in enumerate(kind)
    ]
    return [picture for _, _, picture in sorted(placed, key=lambda item: item[:2])]


def _encoded(image: Image.Image, number: int) -> tuple[str, bytes]:
    """File name and content: PNG, JPEG, WebP and GIF by turns; the sixth lies on its side."""
    ending = _ENDINGS[(number - 1) % len(_ENDINGS)]
    content = io.BytesIO()
    if ending == "png":
        image.save(content, "PNG", optimize=True)
    elif ending == "webp":
        image.save(content, "WEBP", quality=90, method=6)
    elif ending == "gif":
        _on_white(image).quantize(256).save(content, "GIF")
    else:
        exif = Image.Exif()
        image = _on_white(image)
        if number == 6:
            image = image.transpose(Image.Transpose.ROTATE_90)
            exif[_ORIENTATION] = _ROTATED_QUARTER
        image.save(content, "JPEG", quality=92, exif=exif)
    return f"img_{number:03d}.{ending}", content.getvalue()


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(paper, rgba).convert("RGB")


def _broken(folder: Path, picture: Picture, number: int) -> list[str]:
    """Two files that every job meets some day: a JPEG cut short, and a text called an image."""
    content = io.BytesIO()
    _on_white(picture.image).save(content, "JPEG", quality=92)
    name = f"img_{number:03d}.jpg"
    (folder / name).write_bytes(content.getvalue()[: len(content.getvalue()) // 2])
    (folder / "not-an-image.jpg").write_text("This file is a text that is named like an image.\n")
    return [
        _line(f"{name} (cut short on purpose)", picture),
        "| not-an-image.jpg | a text | written for this project | – | Apache-2.0 |\n",
    ]


def _line(name: str, picture: Picture) -> str:
    fields = (name, picture.shows, picture.source, picture.author, picture.licence)
    return "| " + " | ".join(field.replace("|", "/") for field in fields) + " |\n"


_HEADER = """# The demo pictures: what they show and where they come from

Written by `python jobs/prepare_corpus.py CORPUS --demo-images examples/images`. None of them was
in the training of the pocket checkpoint. They were chosen by rule: of the concepts that the
training part draws most often outside emoji sets, the drawing of each in a style that was never
trained on (Firefox OS emoji), then held-out clip art and furniture of the next concepts, then the
first test photo of each CIFAR-10 class. Changed: rendered or resized to 144 pixels, and stored in
another format. openclipart's drawings are marked public domain in their own metadata; of CIFAR-10
the package says ISC, which is its packager's statement.

| file | shows | source | author | licence |
|---|---|---|---|---|
"""
_FOOTER = """
The licences' texts:

* Apache-2.0: <https://www.apache.org/licenses/LICENSE-2.0>
* CC0-1.0: <https://creativecommons.org/publicdomain/zero/1.0/>
* CC-BY-3.0: <https://creativecommons.org/licenses/by/3.0/>
* CC-BY-3.0-US: <https://creativecommons.org/licenses/by/3.0/us/>
* ISC: <https://spdx.org/licenses/ISC.html>
"""
