"""Write the yardsticks: an emoji style that no training ever sees, and CIFAR-10's test photos."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from workers.training.corpus.drawings import IconSet, icons_by_label
from workers.training.corpus.names import EmojiNames
from workers.training.corpus.photos import SYNONYMS
from workers.training.corpus.render import Pixels, is_blank, on_white

EQUALS = Path(__file__).with_name("equals.json")


def write_fxemoji(
    folder: Path, icons: IconSet, names: EmojiNames, concepts: Collection[str]
) -> dict[str, int]:
    """Write the icons whose name means one of `concepts` for sure; returns counts.

    An annotation's names are the label and then the labels that equals.json counts as equal.
    """
    equals = read_equals()
    images = _image_folder(folder / "fxemoji")
    by_label = icons_by_label(icons.svgs, "fxemoji", names)
    annotations = []
    for label, icon in sorted(by_label.items()):
        pixels = icons.draw(icon)
        if label not in concepts or is_blank(pixels):
            continue
        Image.fromarray(on_white(pixels)).save(images / f"{icon}.png")
        annotations.append({"image": f"{icon}.png", "names": [label, *equals.get(label, ())]})
    _write_annotations(folder / "fxemoji", annotations)
    (folder / "fxemoji" / "equals.json").write_bytes(EQUALS.read_bytes())
    return {
        "icons": len(icons.svgs),
        "matched": len(by_label),
        "written": len(annotations),
    }


def read_equals() -> dict[str, list[str]]:
    """For each label in equals.json, the other labels that count as the same answer."""
    groups: list[list[str]] = json.loads(EQUALS.read_text(encoding="utf-8"))
    return {label: [other for other in g if other != label] for g in groups for label in g}


def write_cifar10(folder: Path, pixels: Pixels, classes: Sequence[str]) -> dict[str, int]:
    """Write CIFAR-10's test photos [N, 32, 32, 3] as PNG; returns counts."""
    images = _image_folder(folder / "cifar10")
    annotations = []
    for index, (photo, name) in enumerate(zip(pixels, classes, strict=True)):
        image = f"{index:05d}.png"
        Image.fromarray(photo).save(images / image, compress_level=1)
        annotations.append({"image": image, "names": [name, *SYNONYMS.get(name, ())]})
    _write_annotations(folder / "cifar10", annotations)
    return {"photos": len(annotations)}


def _image_folder(folder: Path) -> Path:
    """The yardstick's folder of images, emptied of an earlier run's."""
    images = folder / "images"
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True, exist_ok=True)
    return images


def _write_annotations(folder: Path, annotations: Sequence[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(annotation) + "\n" for annotation in annotations)
    (folder / "annotations.jsonl").write_text(lines, encoding="utf-8")
