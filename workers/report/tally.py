"""What many rows come to: counts, scores, words, times, and where the most telling rows are."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.outcome import Status
from workers.report.pace import Pace
from workers.tasks import Exhibit

BINS = 20
"""Of a histogram over 0 to 1."""
HIGHEST = 12
"""So many images of the highest scores are shown."""
EXAMPLES = 3
"""Of each error code."""
MOST_WORDS = 50_000
"""With more the rarer half is forgotten: a word that is frequent in the whole run stays."""
OUTCOME = ("status", "error_code", "labelled_at")


class Place(NamedTuple):
    """Where a row stands: rows of a part are in the plan's order."""

    shard: int
    position: int


class Tally:
    """Some rows of a run. Its size depends on none of their numbers."""

    def __init__(self, exhibits: Sequence[Exhibit]) -> None:
        self._exhibits = exhibits
        self.rows = 0
        self.labelled: dict[int, int] = {}
        """By shard."""
        self.pace = Pace()
        self.scores: dict[str, npt.NDArray[np.int64]] = defaultdict(lambda: np.zeros(BINS, int))
        """By column, of words the best one's: how many images have a score in each bin."""
        self.words: dict[str, Counter[str]] = defaultdict(Counter)
        """By column: how many images have a word."""
        self.highest: dict[str, list[tuple[float, Place]]] = defaultdict(list)
        """By column of a number: the highest first."""
        self.failed: dict[str, list[Place]] = defaultdict(list)
        """Examples by error code."""

    def columns(self) -> list[str]:
        """What `add` looks at."""
        named = [name for one in self._exhibits for name in (one.score, one.words) if name]
        return [*OUTCOME, *named]

    def add(self, shard: int, batch: pa.RecordBatch, first: int) -> None:
        """Rows of the part of `shard`, from position `first` on."""
        labelled = pc.equal(batch["status"], Status.LABELLED.value)
        positions = first + np.flatnonzero(labelled.to_numpy(zero_copy_only=False))
        good = batch.filter(labelled)
        self.rows += batch.num_rows
        self.labelled[shard] = self.labelled.get(shard, 0) + good.num_rows
        self.pace.add(batch["labelled_at"].cast(pa.int64()).to_numpy())
        self.add_failures(shard, batch, first)
        for exhibit in self._exhibits:
            if exhibit.score:
                scores = good[exhibit.score].to_numpy(zero_copy_only=False)
                self._count(exhibit.score, scores)
                self._rank(exhibit.score, shard, positions, scores)
            if exhibit.words:
                self._read(exhibit.words, good[exhibit.words])

    def add_failures(self, shard: int, batch: pa.RecordBatch, first: int) -> None:
        """Only these of some rows."""
        failed = pc.equal(batch["status"], Status.FAILED.value)
        positions = np.flatnonzero(failed.to_numpy(zero_copy_only=False))
        codes = batch["error_code"].take(pa.array(positions)).to_pylist()
        for position, code in zip(positions.tolist(), codes, strict=True):
            if len(self.failed[code]) < EXAMPLES:
                self.failed[code].append(Place(shard, first + position))

    def merge(self, other: Tally) -> None:
        """Take in the rows of later shards."""
        self.rows += other.rows
        self.labelled |= other.labelled
        self.pace.merge(other.pace)
        for column, counts in other.scores.items():
            self.scores[column] = self.scores[column] + counts
        for column, words in other.words.items():
            self.words[column].update(words)
            self._forget(column)
        for column, highest in other.highest.items():
            self.highest[column] = _best([*self.highest[column], *highest])
        for code, places in other.failed.items():
            self.failed[code] = (self.failed[code] + places)[:EXAMPLES]

    def _count(self, column: str, scores: npt.NDArray[np.float64]) -> None:
        self.scores[column] = self.scores[column] + np.histogram(scores, BINS, (0, 1))[0]

    def _rank(
        self,
        column: str,
        shard: int,
        positions: npt.NDArray[np.int64],
        scores: npt.NDArray[np.float64],
    ) -> None:
        best = np.argsort(-scores, kind="stable")[:HIGHEST]
        places = [Place(shard, position) for position in positions[best].tolist()]
        found = zip(scores[best].tolist(), places, strict=True)
        self.highest[column] = _best([*self.highest[column], *found])

    def _read(self, column: str, words: pa.ListArray) -> None:
        each = words.flatten()
        names, scores = each.field(0), each.field(1).to_numpy(zero_copy_only=False)
        lengths = pc.list_value_length(words).to_numpy(zero_copy_only=False)
        ends = np.cumsum(lengths)
        firsts = (ends - lengths)[lengths > 0].astype(int)
        self._count(column, scores[firsts])
        counts = pc.value_counts(names)
        self.words[column].update(
            dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True))
        )
        self._forget(column)

    def _forget(self, column: str) -> None:
        if len(self.words[column]) > MOST_WORDS:
            self.words[column] = Counter(dict(self.words[column].most_common(MOST_WORDS // 2)))


def _best(found: Sequence[tuple[float, Place]]) -> list[tuple[float, Place]]:
    """The highest scores; of equals the first."""
    return heapq.nsmallest(HIGHEST, found, key=lambda one: (-one[0], one[1]))
