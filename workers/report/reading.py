"""A run's rows and images, looked up by where they stand."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.image import ImageRef, Shard
from schemas.outcome import DamagedPlanError, ForeignPartError, Status
from schemas.run import Plan
from workers.plan import Run, load_shards
from workers.report.parts import Parts
from workers.report.tally import OUTCOME, Place, Tally
from workers.store import PATIENCE, Patience
from workers.tasks import Exhibit
from workers.threads import in_order

READERS = 8
PAGE_READERS = 2
"""A page of the plan takes far more memory than what is read of a part."""

Row = dict[str, Any]


class Reading:
    """Reads one planned run. What cannot be read of it is left out, and told in `unreadable`."""

    def __init__(self, run: Run, plan: Plan, patience: Patience = PATIENCE) -> None:
        self._run = run
        self._plan = plan
        self._patience = patience
        self._parts = Parts(run.output, plan, patience)
        self.unreadable: list[str] = []
        """A sentence for each part."""

    def tally(self, shards: Sequence[int], exhibits: Sequence[Exhibit]) -> Tally:
        """What the rows of the parts of `shards` come to. Raises UsageError, StoreError."""
        whole = Tally(exhibits)

        def scan(shard: int) -> Tally | ForeignPartError:
            tally, position = Tally(exhibits), 0
            try:
                for batch in self._parts.batches(shard, tally.columns()):
                    tally.add(shard, batch, position)
                    position += batch.num_rows
            except ForeignPartError as error:
                return error
            return tally

        for found in in_order(scan, shards, READERS):
            if isinstance(found, Tally):
                whole.merge(found)
            else:
                self.unreadable.append(str(found))
        return whole

    def failures(self, shards: Sequence[int]) -> Tally:
        """Of the rows of `shards` only the failed ones; parts that cannot be read have none."""
        whole = Tally(())

        def scan(shard: int) -> Tally:
            tally, position = Tally(()), 0
            try:
                for batch in self._parts.batches(shard, OUTCOME):
                    tally.add_failures(shard, batch, position)
                    position += batch.num_rows
            except ForeignPartError:
                return Tally(())
            return tally

        for found in in_order(scan, shards, READERS):
            whole.merge(found)
        return whole

    def labelled_places(self, ordinals: Mapping[int, Sequence[int]]) -> list[Place]:
        """Where labelled images stand, given by shard as the how manieth labelled one each is."""

        def positions(shard: int) -> list[Place]:
            marks = [
                pc.equal(batch["status"], Status.LABELLED.value).to_numpy(zero_copy_only=False)
                for batch in self._parts.batches(shard, ["status"])
            ]
            there: npt.NDArray[np.int64] = np.flatnonzero(np.concatenate(marks))
            return [Place(shard, int(there[ordinal])) for ordinal in ordinals[shard]]

        return [place for found in in_order(positions, ordinals, READERS) for place in found]

    def rows(self, places: Collection[Place], columns: Sequence[str]) -> dict[Place, Row]:
        """The rows at `places`, with these columns."""
        shards = _by_shard(places)

        def read(shard: int) -> Mapping[int, Row]:
            return self._parts.rows(shard, shards[shard], columns)

        found = zip(shards, in_order(read, shards, READERS), strict=True)
        return {Place(shard, at): row for shard, rows in found for at, row in rows.items()}

    def images(self, places: Collection[Place]) -> dict[Place, ImageRef]:
        """The images at `places`, as they were planned; those of a damaged page are missing."""
        pages: dict[int, set[int]] = defaultdict(set)
        firsts = [page.first_shard for page in self._plan.pages]
        shards = _by_shard(places)
        for shard in shards:
            pages[bisect_right(firsts, shard) - 1].add(shard)

        def read(page: int) -> list[tuple[Place, ImageRef]]:
            return [
                (Place(shard.index, position), shard.images[position])
                for shard in self._shards(page, pages[page])
                for position in shards[shard.index]
            ]

        found = in_order(read, sorted(pages), PAGE_READERS)
        return dict(one for some in found for one in some)

    def _shards(self, page: int, wanted: set[int]) -> Iterator[Shard]:
        one = self._plan.pages[page]
        others = set(range(one.first_shard, one.first_shard + one.shards)) - wanted
        plan = replace(self._plan, pages=(one,))
        try:
            yield from load_shards(self._run, plan, others, self._patience)
        except (DamagedPlanError, pa.ArrowException):
            return


def _by_shard(places: Collection[Place]) -> dict[int, list[int]]:
    """The positions in each shard, all in order."""
    shards: dict[int, list[int]] = defaultdict(list)
    for place in sorted(places):
        shards[place.shard].append(place.position)
    return shards
