"""The committed parts of a run, read a few columns at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.outcome import ForeignPartError
from schemas.run import PART_KEY, PartFooter, Plan, RunNames
from schemas.uri import join
from workers.source.fetching import SpanFile
from workers.source.parquet import open_parquet
from workers.store import PATIENCE, Patience, Span, ask, entry_at, fetch

WHOLE_BYTES = 1 << 20
"""A part that is no larger is fetched at once, of a larger one the columns that are asked for."""
BATCH_ROWS = 16_384
"""Rows that are held at a time."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Those of one plan, at the output where it lies now."""

    output: str
    plan: Plan
    patience: Patience = PATIENCE

    def batches(self, shard: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows of the shard's part, in the plan's order, with these columns.

        Raises ForeignPartError where it is gone, damaged, or none of the plan's; UsageError where
        it may not be read, StoreError.
        """
        place = join(self.output, RunNames(int(self.plan.run_id)).part(shard))
        try:
            file = open_parquet(self._file(place))
            self._require_ours(file, shard, place)
            yield from file.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise ForeignPartError(f"{place} cannot be read: {error}") from error

    def rows(
        self, shard: int, positions: Sequence[int], columns: Sequence[str]
    ) -> Mapping[int, dict[str, Any]]:
        """The rows at these positions of the part, which may be fewer. Raises as `batches`."""
        wanted = np.unique(np.asarray(positions, dtype=np.int64))
        found: dict[int, dict[str, Any]] = {}
        before = 0
        for batch in self.batches(shard, columns):
            here = wanted[(wanted >= before) & (wanted < before + batch.num_rows)]
            rows = batch.take(pa.array(here - before)).to_pylist()
            found |= zip(here.tolist(), rows, strict=True)
            before += batch.num_rows
            if len(found) == len(wanted):
                break
        return found

    def _file(self, place: str) -> SpanFile:
        entry = ask(place, lambda _: entry_at(place), self.patience)
        if entry is None or entry.size_bytes is None:
            raise ForeignPartError(f"{place} is no part")
        if entry.size_bytes <= WHOLE_BYTES:
            data = self._fetch(place, None)
            return SpanFile(len(data), lambda span: data[span[0] : sum(span)])
        return SpanFile(entry.size_bytes, lambda span: self._fetch(place, span))

    def _fetch(self, place: str, span: Span | None) -> bytes:
        return ask(place, lambda seconds: fetch(place, "", seconds, span), self.patience)

    def _require_ours(self, file: pq.ParquetFile, shard: int, place: str) -> None:
        footer = PartFooter.from_json((file.metadata.metadata or {})[PART_KEY], place)
        ours = (self.plan.run_id, self.plan.digest, shard)
        if (footer.run_id, footer.plan_digest, footer.shard) != ours:
            raise ForeignPartError(f"{place} is of another plan")
