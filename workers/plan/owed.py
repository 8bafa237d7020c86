"""What of a listing is owed: all that no earlier run has settled, the longest owed first.

An item is settled where its newest row under the meaning asked for is of the version that is listed
now, and it was labelled in that version or failed for a reason that does not pass. Listing and rows
are compared in DuckDB, range after range of ids: no step holds either of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from schemas.job import TEXT_VERSION
from workers.plan.database import Range
from workers.plan.listing import Listing

RANGE_ITEMS = 2_500_000
"""About so many ids, listed and known together, are compared at a time, within DuckDB's memory."""

PAGE_ITEMS = 1_000_000
"""Ids of a page of what is gone or left."""

KNOWN_SCHEMA = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        # as rows have it: of all that was looked at
        pa.field("input_digest", pa.string(), nullable=False),
        pa.field("settled", pa.bool_(), nullable=False),
        pa.field("run", pa.int32(), nullable=False),
    ]
)
"""A row of an earlier run, as far as it decides what is owed."""

GONE_SCHEMA = pa.schema([pa.field("item_id", pa.string(), nullable=False)])
LEFT_SCHEMA = GONE_SCHEMA.append(pa.field("since", pa.int32(), nullable=False))

_ORDINALS = 100_000_000
"""More than any run's, which has eight digits."""


def unversioned(column: str) -> str:
    """The SQL condition that the version in the `column` is that of an image which the store told
    no version of: it has none, or could not be looked up.
    """
    return f"({column} = '' OR starts_with({column}, '{TEXT_VERSION}'))"


_NEWEST = f"""(
    SELECT item_id, arg_max(input_digest, turn) AS version, arg_max(settled, turn) AS settled,
        max(turn) % {_ORDINALS} AS run
    FROM (
        SELECT item_id, input_digest, bool_or(settled) AS settled, max(
            CASE WHEN {unversioned("input_digest")} AND NOT settled THEN run
            ELSE run + {_ORDINALS} END
        ) AS turn
        FROM known WHERE {{within}} GROUP BY item_id, input_digest
    ) GROUP BY item_id
)"""
"""Of each item its current version: that of the run with the highest ordinal. A look that met no
version, and is to be made again, tells of none where anything else is known."""

_OWED = """
SELECT item_id FROM (
    SELECT item_id, arg_max(coalesce(looked_at, input_digest), turn) AS version
    FROM listed WHERE {within} GROUP BY item_id
) AS now
ANTI JOIN {newest} AS before
ON now.item_id = before.item_id AND now.version = before.version AND before.settled
"""

_GONE = """
INSERT INTO gone
SELECT item_id FROM {newest} AS before
ANTI JOIN (SELECT item_id FROM listed WHERE {within}) AS now ON now.item_id = before.item_id
WHERE before.run IN (SELECT run FROM runs_of_input)
"""

_WAITING = """(
    SELECT chosen.item_id AS item_id, coalesce(waiting.since, $ordinal) AS since
    FROM (FROM chosen WHERE {within}) AS chosen
    LEFT JOIN (FROM waiting WHERE {within}) AS waiting ON chosen.item_id = waiting.item_id
)"""
"""What is owed, and since which run."""


@dataclass(frozen=True, slots=True)
class OwedTally:
    """What the comparison came to."""

    settled: int
    owed: int
    """Planned now, or left for the next time."""
    left: int
    gone: int


class Owed:
    """Compares a listing with the rows of earlier runs, and chooses what is to be planned."""

    def __init__(self, listing: Listing) -> None:
        """Of a `listing` that is complete."""
        self._listing = listing
        listing.create("known", KNOWN_SCHEMA)
        listing.create("waiting", LEFT_SCHEMA)
        listing.create("gone", GONE_SCHEMA)
        listing.create("remaining", LEFT_SCHEMA)
        listing.create("runs_of_input", pa.schema([pa.field("run", pa.int32())]))

    def know(self, rows: Iterable[pa.Table], runs_of_input: Iterable[int]) -> None:
        """Take in rows of KNOWN_SCHEMA. Of the runs `runs_of_input`, which looked at the INPUT that
        is listed, those items are gone that are not listed.
        """
        for table in rows:
            self._listing.insert("known", table)
        runs = pa.table({"run": pa.array(sorted(runs_of_input), pa.int32())})
        self._listing.insert("runs_of_input", runs)

    def waited(self, rows: Iterable[pa.Table]) -> None:
        """Take in what an earlier run left: rows of LEFT_SCHEMA."""
        for table in rows:
            self._listing.insert("waiting", table)

    def choose(self, items: int, ordinal: int, most: int | None) -> OwedTally:
        """Choose what is owed of the `items` listed, up to `most` of it for run `ordinal`."""
        for some in self._listing.ranges(RANGE_ITEMS, "known"):
            newest = _NEWEST.format(within=some.within)
            owed = _OWED.format(within=some.within, newest=newest)
            self._listing.choose_by(owed, some.values())
            gone = _GONE.format(within=some.within, newest=newest)
            self._listing.run(gone, some.values())
        owed_items = self._count("chosen")
        if most is not None and owed_items > most:
            self._leave(ordinal, most)
        return OwedTally(
            settled=items - owed_items,
            owed=owed_items,
            left=self._count("remaining"),
            gone=self._count("gone"),
        )

    def _leave(self, ordinal: int, most: int) -> None:
        """Of what is chosen keep the `most` that are owed the longest, by name among equals."""
        ranges = self._listing.ranges(RANGE_ITEMS, "waiting")
        count = "SELECT since, count(*) FROM {} GROUP BY since"
        counts: Counter[int] = Counter()
        for some in ranges:
            waiting = _WAITING.format(within=some.within)
            found = self._listing.run(count.format(waiting), {**some.values(), "ordinal": ordinal})
            counts.update(dict(found))
        last, room = _last_that_fits(counts, most)
        for some in ranges:  # in the order of the ids
            waiting = _WAITING.format(within=some.within)
            values: dict[str, object] = {**some.values(), "ordinal": ordinal, "last": last}
            self._listing.run(
                f"INSERT INTO remaining FROM {waiting} WHERE since > $last OR (since = $last "
                f"AND item_id NOT IN (SELECT item_id FROM {waiting} WHERE since = $last "
                "ORDER BY item_id LIMIT $room))",
                values | {"room": room},
            )
            kept = f"SELECT count(*) FROM {waiting} WHERE since = $last"
            ((here,),) = self._listing.run(kept, values)
            room = max(0, room - here)
            self._listing.run(
                f"DELETE FROM chosen WHERE {some.within} AND item_id IN "
                f"(SELECT item_id FROM remaining WHERE {some.within})",
                some.values(),
            )

    def gone(self) -> Iterator[pa.Table]:
        """The ids of what is gone, in pages of GONE_SCHEMA and in their order."""
        return self._pages("gone", GONE_SCHEMA)

    def left(self) -> Iterator[pa.Table]:
        """What is left for the next time, in pages of LEFT_SCHEMA and in the order of the ids."""
        return self._pages("remaining", LEFT_SCHEMA)

    def _count(self, table: str) -> int:
        ((count,),) = self._listing.run(f"SELECT count(*) FROM {table}", {})
        return int(count)

    def _pages(self, table: str, schema: pa.Schema) -> Iterator[pa.Table]:
        held = schema.empty_table()
        for some in self._listing.ranges(RANGE_ITEMS, table):
            for batch in self._ordered(table, some):
                held = pa.concat_tables([held, pa.Table.from_batches([batch]).cast(schema)])
                if held.num_rows >= PAGE_ITEMS:
                    yield held
                    held = schema.empty_table()
        if held.num_rows:
            yield held

    def _ordered(self, table: str, some: Range) -> Iterator[pa.RecordBatch]:
        query = f"SELECT * FROM {table} WHERE {some.within} ORDER BY item_id"
        return self._listing.stream(query, some.values())


def _last_that_fits(counts: Mapping[int, int], most: int) -> tuple[int, int]:
    """Of what is owed since each run: the newest of which some is kept, and how much of it."""
    room = most
    for since in sorted(counts):
        if counts[since] >= room:
            return since, room
        room -= counts[since]
    raise AssertionError(f"{most} are all that is owed")
