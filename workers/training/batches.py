"""Draw batches of pictures with what is known of them from the prepared corpus.

Every batch is a function of (seed, stage, step) alone, so a resumed training sees what an
undisturbed one would have seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from schemas.outcome import UsageError
from workers.training.augment import augment_drawings, augment_photos
from workers.training.corpus.folder import whole_corpus
from workers.training.texts import Subject

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


@dataclass(frozen=True)
class Batch:
    """B pictures: pixels [B, 3, S, S] normalised, subjects, concept labels [B]."""

    pixels: torch.Tensor
    subjects: list[Subject]
    concepts: torch.Tensor


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
        for row in drawings:
            concept = row["concept"]
            name = concept or row["name"]
            self.subjects[row["index"]] = Subject(name, tuple(row["tags"] or ()))
            if concept:
                families = by_concept.setdefault(concept, {})
                families.setdefault(row["family"], []).append(row["index"])
            elif row["style"] not in INTERFACE_STYLES:
                self._others.append(row["index"])
        self._concepts = sorted(by_concept)
        # A family of drawings counts once, however many packages carry it.
        self._families = [list(by_concept[name].values()) for name in self._concepts]
        self._photo_rows = [row["index"] for row in photos]
        self._photo_subjects = {row["index"]: Subject(row["name"], (), True) for row in photos}
        labels = [*self._concepts, *sorted({row["name"] for row in photos} - set(self._concepts))]
        self.labels = {name: index for index, name in enumerate(labels)}

    def texts(self) -> Iterator[Subject]:
        """Every subject once, photos' classes included: what a tokenizer must be able to say."""
        yield from self.subjects.values()
        yield from {subject.name: subject for subject in self._photo_subjects.values()}.values()

    def batch(
        self,
        shape: BatchShape,
        size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        key: str,
    ) -> Batch:
        """The batch that `key` names: augmented, normalised, drawings first."""
        dice = random.Random(key)
        generator = torch.Generator().manual_seed(dice.getrandbits(62))
        chosen = dice.choices(range(len(self._concepts)), k=shape.emoji)
        drawn = [dice.choice(dice.choice(self._families[concept])) for concept in chosen]
        drawn += dice.choices(self._others, k=shape.others)
        photos = dice.choices(self._photo_rows, k=shape.photos)
        rgba = torch.from_numpy(self._drawings[drawn]).permute(0, 3, 1, 2)
        rgb = torch.from_numpy(self._photos[photos]).permute(0, 3, 1, 2)
        pixels = torch.cat(
            [augment_drawings(rgba, size, generator), augment_photos(rgb, size, generator)]
        )
        pixels = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        subjects = [self.subjects[index] for index in drawn]
        subjects += [self._photo_subjects[index] for index in photos]
        labels = [self.labels.get(subject.name, UNKNOWN_CONCEPT) for subject in subjects]
        return Batch(
            pixels.contiguous(memory_format=torch.channels_last), subjects, torch.tensor(labels)
        )
