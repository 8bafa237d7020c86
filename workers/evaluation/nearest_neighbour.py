"""The baseline: frozen ImageNet features and the nearest training picture's name.

B pictures, N training pictures, F features
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.nn import functional

from workers.evaluation.pictures import read_picture
from workers.images import preprocess
from workers.model.config import pocket
from workers.model.stem import EfficientNetLite0Stem
from workers.training.pretrained_stem import imagenet_weights, load_imagenet

BATCH = 64


def nearest_names(corpus: Path, kind: str, paths: Sequence[Path]) -> list[str]:
    """For each picture the name of the training picture with the most similar features (cosine).

    `kind` chooses the training pictures: "drawings" with a known concept, or "photos".
    """
    reference, names = _training_features(corpus, kind)
    nearest = []
    for start in range(0, len(paths), BATCH):
        images = [read_picture(path) for path in paths[start : start + BATCH]]
        similarity = _features(images) @ reference.T
        nearest += [names[index] for index in similarity.argmax(1).tolist()]
    return nearest


def _training_features(corpus: Path, kind: str) -> tuple[torch.Tensor, list[str]]:
    pixels = np.load(corpus / f"{kind}.npy", mmap_mode="r")
    rows = pq.read_table(corpus / f"{kind}.parquet").to_pylist()
    column = "concept" if kind == "drawings" else "name"
    rows = [row for row in rows if row["split"] == "train" and row[column]]
    features = []
    for start in range(0, len(rows), BATCH):
        chosen = pixels[[row["index"] for row in rows[start : start + BATCH]]]
        features.append(_features([_on_white(picture) for picture in chosen]))
    return torch.cat(features), [row[column] for row in rows]


def _on_white(picture: np.ndarray) -> Image.Image:
    if picture.shape[-1] == 3:
        return Image.fromarray(picture)
    ground = Image.new("RGBA", picture.shape[1::-1], "white")
    return Image.alpha_composite(ground, Image.fromarray(picture)).convert("RGB")


@torch.inference_mode()
def _features(images: Sequence[Image.Image]) -> torch.Tensor:
    """[B, F], of length 1: the trunk's last feature map, averaged over places."""
    config = pocket()
    pixels = preprocess(images, config.image_size, config.image_mean, config.image_std)
    pooled = _trunk().features(torch.from_numpy(pixels)).mean(dim=(2, 3))
    return functional.normalize(pooled, dim=-1)


@lru_cache(maxsize=1)
def _trunk() -> EfficientNetLite0Stem:
    stem = EfficientNetLite0Stem(width=8).eval()
    load_imagenet(stem, imagenet_weights())
    return stem
