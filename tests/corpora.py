"""A corpus of a few drawings and photos, as jobs/prepare_corpus.py would write it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CONCEPTS = ("rose", "pile of poo", "concept 2")
"""Something nice and something nasty for memes, and neither."""


def write_corpus(folder: Path) -> Path:
    """Eight drawings (one held out) and six photos (two of them test photos)."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(0)
    np.save(folder / "drawings.npy", dice.integers(0, 255, (8, 48, 48, 4), dtype=np.uint8))
    np.save(folder / "photos.npy", dice.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8))
    drawings = [
        {
            "index": index,
            "split": "held_out" if index == 7 else "train",
            "concept": CONCEPTS[index % 3] if index < 5 else None,
            "kind": "emoji" if index < 5 else "clipart",
            "family": f"family {index % 2}",
            "style": "openclipart-svg",
            "name": f"thing {index}",
            "tags": ["tag", "other"],
        }
        for index in range(8)
    ]
    photos = [
        {"index": index, "split": "test" if index > 3 else "train", "name": "frog"}
        for index in range(6)
    ]
    pq.write_table(pa.Table.from_pylist(drawings), folder / "drawings.parquet")
    pq.write_table(pa.Table.from_pylist(photos), folder / "photos.parquet")
    (folder / "corpus.json").write_text(json.dumps({"drawings": 8, "photos": 6}))
    return folder
