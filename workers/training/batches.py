"""Draw batches of pictures with what is known of them from the prepared corpus.

Every batch is a function of (seed, stage, step) alone, so a resumed training sees what an
undisturbed one would have seen.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from schemas.outcome import UsageError
from workers.training.augment import augment_drawings, augment_photos
from workers.training.corpus.folder import whole_corpus
from workers.training.corpus.photos import TAGS
from workers.training.lettering import letter
from workers.training.memes import grammar, nasty_concepts, nice_concepts
from workers.training.texts import Subject

LETTERED = 0.6
"""Share of the memes' pictures that have letters on them."""

UNKNOWN_CONCEPT = -100
"""Cross-entropy's label of a picture whose name is none of the concepts."""

INTERFACE_STYLES = ("streamline-color",)
"""Their names are words for buttons; only those that mean a known concept describe a picture."""


@dataclass(frozen=True)
class BatchShape:
    """How many pictures of each kind a step sees."""

    emoji: int = 44
    others: int = 16
    photos: int = 20
    meme_pairs: int = 0
    """Of these two each: one of something nice, one of something nasty."""


@dataclass(frozen=True)
class Batch:
    """B pictures: pixels [B, 3, S, S] normalised, subjects, concept labels [B]."""

    pixels: torch.Tensor
    subjects: list[Subject]
    concepts: torch.Tensor
    pairs: list[tuple[int, int]]
    """Places of the memes' pictures: something nice, something nasty."""


class Corpus:
    """The training part of a folder that jobs/prepare_corpus.py wrote.

    Raises:
        UsageError: the folder holds no whole corpus.
    """

    def __init__(self, folder: Path) -> None:
        self.account = whole_corpus(folder)
        try:
            self._drawings = np.load(folder / "drawings.npy", mmap_mode="r")
            self._photos = np.load(folder / "photos.npy", mmap_mode="r")
            drawings = pq.read_table(folder / "drawings.parquet").to_pylist()
            photos = pq.read_table(folder / "photos.parquet").to_pylist()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"the corpus in {folder} cannot be read ({error}); "
                "make it again with jobs/prepare_corpus.py"
            ) from error
        drawings = [row for row in drawings if row["split"] == "train"]
        photos = [row for row in photos if row["split"] == "train"]

        by_concept: dict[str, dict[str, list[int]]] = {}
        self._others: list[int] = []
        self.subjects: dict[int, Subject] = {}
        listed = _listed_tags(drawings)
        self._as_read = [
            Subject(row["concept"] or row["name"], tuple(row["tags"] or ())) for row in drawings
        ]
        for row in drawings:
            concept = row["concept"]
            self.subjects[row["index"]] = Subject(concept or row["name"], listed[row["index"]])
            if concept:
                families = by_concept.setdefault(concept, {})
                families.setdefault(row["family"], []).append(row["index"])
            elif row["style"] not in INTERFACE_STYLES:
                self._others.append(row["index"])
        self._concepts = sorted(by_concept)
        # A family of drawings counts once, however many packages carry it.
        self._families = [list(by_concept[name].values()) for name in self._concepts]
        self._photo_rows = [row["index"] for row in photos]
        self._photo_subjects = {
            row["index"]: Subject(row["name"], TAGS.get(row["name"], ()), True) for row in photos
        }
        self._nice = [self._concepts.index(name) for name in nice_concepts() & set(self._concepts)]
        self._nasty = [
            self._concepts.index(name) for name in nasty_concepts() & set(self._concepts)
        ]
        self._nice.sort()
        self._nasty.sort()
        labels = [*self._concepts, *sorted({row["name"] for row in photos} - set(self._concepts))]
        self.labels = {name: index for index, name in enumerate(labels)}

    def texts(self) -> Iterator[Subject]:
        """Every subject once as the packages tell it, photos' classes included: what a tokenizer
        must be able to say."""
        yield from self._as_read
        names = dict.fromkeys(subject.name for subject in self._photo_subjects.values())
        yield from (Subject(name, (), True) for name in names)

    def batch(
        self,
        shape: BatchShape,
        size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        key: str,
    ) -> Batch:
        """The batch that `key` names: augmented, normalised, drawings first, memes before all."""
        dice = random.Random(key)
        generator = torch.Generator().manual_seed(dice.getrandbits(62))
        chosen = dice.choices(range(len(self._concepts)), k=shape.emoji)
        if shape.meme_pairs:
            chosen[:0] = dice.choices(self._nice, k=shape.meme_pairs)
            chosen[shape.meme_pairs : shape.meme_pairs] = dice.choices(
                self._nasty, k=shape.meme_pairs
            )
        drawn = [dice.choice(dice.choice(self._families[concept])) for concept in chosen]
        drawn += dice.choices(self._others, k=shape.others)
        photos = dice.choices(self._photo_rows, k=shape.photos)
        rgba = torch.from_numpy(self._drawings[drawn]).permute(0, 3, 1, 2)
        rgb = torch.from_numpy(self._photos[photos]).permute(0, 3, 1, 2)
        pixels = torch.cat(
            [augment_drawings(rgba, size, generator), augment_photos(rgb, size, generator)]
        )
        for index in range(2 * shape.meme_pairs):
            if dice.random() < LETTERED:
                pixels[index] = _lettered(pixels[index], dice)
        pixels = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        subjects = [self.subjects[index] for index in drawn]
        subjects += [self._photo_subjects[index] for index in photos]
        labels = [self.labels.get(subject.name, UNKNOWN_CONCEPT) for subject in subjects]
        return Batch(
            pixels.contiguous(memory_format=torch.channels_last),
            subjects,
            torch.tensor(labels),
            [(index, shape.meme_pairs + index) for index in range(shape.meme_pairs)],
        )


def _listed_tags(drawings: Sequence[Mapping[str, Any]]) -> dict[int, tuple[str, ...]]:
    """Each drawing's tags by its index, those of most concepts first.

    A drawing of a concept has the concept's: what artists wrote beside theirs is often about the
    page it was drawn for. The commoner a tag is, the likelier it holds where the name is wrong.
    """
    of_concept = {
        row["concept"]: tuple(row["tags"] or ()) for row in drawings if row["kind"] == "emoji"
    }
    common = Counter(tag for tags in of_concept.values() for tag in tags)
    return {
        row["index"]: tuple(
            sorted(
                of_concept.get(row["concept"], row["tags"] or ()),
                key=lambda tag: (-common[tag], tag),
            )
        )
        for row in drawings
    }


def _lettered(pixels: torch.Tensor, dice: random.Random) -> torch.Tensor:
    """A picture [3, S, S] in 0..1 with some text on it: the words stand in the prompt as well, and
    these are others, so that nothing is to be read."""
    picture = Image.fromarray((pixels.permute(1, 2, 0).numpy() * 255).astype(np.uint8))
    letter(picture, grammar("train").text(dice.random() < 0.5, dice), dice)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
