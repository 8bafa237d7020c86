"""What many rows come to, counted batch by batch and part by part."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.rows import row_schema
from tests.report.labelled import BEGIN, TASKS
from workers.report import tally as tally_module
from workers.report.tally import BINS, EXAMPLES, HIGHEST, Place, Tally

EXHIBITS = [task.exhibit for task in TASKS]
SCHEMA = row_schema([task.schema for task in TASKS])
CODES = ("truncated", "not_found", "forbidden")


def rows_of(seed: int, count: int) -> list[dict[str, Any]]:
    """What `Tally` reads of so many rows; a fifth failed, some have no tags."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        failed = draw.random() < 0.2
        words = draw.sample([f"word {n}" for n in range(9)], draw.randrange(4))
        scores = sorted((round(draw.random(), 3) for _ in words), reverse=True)
        rows.append(
            {
                "status": "failed" if failed else "labelled",
                "error_code": draw.choice(CODES) if failed else None,
                "labelled_at": BEGIN,
                "hateful_probability": None if failed else round(draw.random(), 2),
                "tags": None
                if failed
                else [{"tag": w, "score": s} for w, s in zip(words, scores, strict=True)],
            }
        )
    return rows


def batch_of(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    names = Tally(EXHIBITS).columns()
    return pa.RecordBatch.from_pylist(rows, pa.schema([SCHEMA.field(name) for name in names]))


def test_parts_add_up_to_the_whole_run() -> None:
    """Whatever the batches and parts are: labelled, scores, words, the highest and the examples are
    those of all rows at once.
    """
    whole = Tally(EXHIBITS)
    parts = [rows_of(seed, count) for seed, count in enumerate((100, 1, 57, 0, 80))]
    for shard, rows in enumerate(parts):
        part, first = Tally(EXHIBITS), 0
        for size in (7, 40, 1000):
            batch = batch_of(rows[first : first + size])
            part.add(shard, batch, first)
            first += batch.num_rows
        whole.merge(part)
    rows = {Place(s, n): row for s, part in enumerate(parts) for n, row in enumerate(part)}
    good = {place: row for place, row in rows.items() if row["status"] == "labelled"}
    assert whole.rows == len(rows) == whole.pace.images
    assert whole.labelled == {
        shard: sum(place.shard == shard for place in good) for shard in range(len(parts))
    }
    hateful = [row["hateful_probability"] for row in good.values()]
    best = [np.float32(row["tags"][0]["score"]) for row in good.values() if row["tags"]]
    for column, scores in (("hateful_probability", hateful), ("tags", best)):
        assert whole.scores[column].tolist() == np.histogram(scores, BINS, (0, 1))[0].tolist()
    words = Counter(word["tag"] for row in good.values() for word in row["tags"])
    assert whole.words["tags"] == words
    ranked = sorted((-row["hateful_probability"], place) for place, row in good.items())
    assert whole.highest["hateful_probability"] == [(-one, at) for one, at in ranked[:HIGHEST]]
    for code in CODES:
        failed = [place for place, row in rows.items() if row["error_code"] == code]
        assert whole.failed[code] == sorted(failed)[:EXAMPLES]


def test_ever_new_words_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is frequent in the whole run is kept, with its count."""
    monkeypatch.setattr(tally_module, "MOST_WORDS", 20)
    whole = Tally(EXHIBITS)
    row = rows_of(1, 1)[0] | {"status": "labelled", "hateful_probability": 0.5}
    for part in range(30):
        said = [{"tag": tag, "score": 0.5} for tag in ("often", f"{part} a", f"{part} b")]
        found = Tally(EXHIBITS)
        found.add(part, batch_of([row | {"tags": said}]), 0)
        whole.merge(found)
    assert len(whole.words["tags"]) <= 20
    assert whole.words["tags"].most_common(1) == [("often", 30)]
