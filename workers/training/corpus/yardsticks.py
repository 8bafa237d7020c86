"""Write the yardsticks: an emoji style that no training ever sees, and CIFAR-10's test photos."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from workers.training.corpus.drawings import IconSet, icons_by_label
from workers.training.corpus.names import EmojiNames
from workers.training.corpus.photos import SYNONYMS
from workers.training.corpus.render import Pixels, is_blank, on_white

EQUALS = Path(__file__).with_name("equals.json")


def write_fxemoji(
    folder: Path,
    icons: IconSet,
    names: EmojiNames,
    concepts: Collection[str],
    known: Mapping[str, Collection[str]],
) -> dict[str, int]:
    """Write the icons whose name means one of `concepts` for sure; returns counts.

    An annotation's names are the label and then the labels that equals.json counts as equal; its
    tags are these and the words of `known`, a label's keywords, in tags.jsonl.
    """
    equals = read_equals()
    images = empty_folder(folder / "fxemoji" / "images")
    by_label = icons_by_label(icons.svgs, "fxemoji", names)
    annotations, tagged = [], []
    for label, icon in sorted(by_label.items()):
        pixels = icons.draw(icon)
        if label not in concepts or is_blank(pixels):
            continue
        Image.fromarray(on_white(pixels)).save(images / f"{icon}.png")
        accepted = [label, *equals.get(label, ())]
        annotations.append({"image": f"{icon}.png", "names": accepted})
        words = sorted({word for name in accepted for word in known.get(name, ())} - {*accepted})
        tagged.append({"image": f"{icon}.png", "tags": [*accepted, *words]})
    write_lines(folder / "fxemoji" / "annotations.jsonl", annotations)
    write_lines(folder / "fxemoji" / "tags.jsonl", tagged)
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
    images = empty_folder(folder / "cifar10" / "images")
    annotations = []
    for index, (photo, name) in enumerate(zip(pixels, classes, strict=True)):
        image = f"{index:05d}.png"
        Image.fromarray(photo).save(images / image, compress_level=1)
        annotations.append({"image": image, "names": [name, *SYNONYMS.get(name, ())]})
    write_lines(folder / "cifar10" / "annotations.jsonl", annotations)
    return {"photos": len(annotations)}


def empty_folder(images: Path) -> Path:
    """A yardstick's folder of images, emptied of an earlier run's."""
    shutil.rmtree(images, ignore_errors=True)
    images.mkdir(parents=True, exist_ok=True)
    return images


def write_lines(file: Path, annotations: Sequence[dict[str, Any]]) -> None:
    """Annotations as JSON lines."""
    lines = "".join(json.dumps(annotation) + "\n" for annotation in annotations)
    file.write_text(lines, encoding="utf-8")
