"""Of all rows of an item the right one: of the current version, the best, the newest of these.

The rows lie in a DuckDB database in a temporary folder and come back by their ids, range by range.
The current version is that of which the newest run tells; a look that met no version, and may be
made again, tells of none where there is another row. Best is a label, then a failure that lies in
the image, then one that may pass.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.outcome import PASSING, Status
from schemas.snapshot import ADDED_COLUMNS
from workers.plan.database import Database, Range, temporary_folder
from workers.plan.owed import unversioned

WHAT = "rows"
BLOCK_ROWS = 61_440
"""So many at once go to the database."""
BLOCK_BYTES = 32 << 20
"""Or fewer, of so many bytes."""
RANGE_BYTES = 128 << 20
"""Rows of about so many bytes are sorted at a time."""

_ORIGIN = (
    pa.field("newest", pa.int64(), nullable=False),
    pa.field("run", pa.int64(), nullable=False),
    pa.field("source", pa.int64(), nullable=False),
)
"""Ordinals of the newest run that tells of the item and of the row's own; INPUT of the newest."""
_GONE = pa.schema([("item_id", pa.string()), ("source", pa.int64()), ("gone", pa.int64())])
_BETTER = 1 << 40
"""Above every ordinal, which has eight digits."""
_PASSING = pa.array(sorted(PASSING), pa.string())


@contextmanager
def open_choice(schema: pa.Schema) -> Iterator["Choice"]:
    """An empty choice among rows of `schema`, in a temporary folder that is gone afterwards.

    Raises StoreError where there is no such folder, or it is full.
    """
    with temporary_folder(WHAT) as folder, closing(Choice(folder, schema)) as choice:
        yield choice


class Choice(Database):
    """Rows as they are read, in any order, and the right one of each item back."""

    def __init__(self, folder: str, schema: pa.Schema) -> None:
        """`schema` is one of `columns.united`. The folder is there; `open_choice` makes one."""
        self._schema = schema
        # names of our own: DuckDB tells no capitals apart
        names = ["item_id" if name == "item_id" else f"c{i}" for i, name in enumerate(schema.names)]
        self._table = pa.schema([*_ORIGIN, *map(pa.field, names, schema.types)])
        super().__init__(folder, WHAT, {"told": self._table, "gone": _GONE})
        self.run("SET TimeZone = 'UTC'", {})
        self._block: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0
        self._bytes = 0
        self.read = 0
        """Rows that were put in."""

    @property
    def schema(self) -> pa.Schema:
        """Of what comes back: the columns put in, and a snapshot's own."""
        return pa.schema([*self._schema, *ADDED_COLUMNS], self._schema.metadata)

    def add(
        self,
        rows: pa.Table,
        newest: npt.NDArray[np.int64],
        run: npt.NDArray[np.int64],
        source: npt.NDArray[np.int64],
    ) -> None:
        """Put in `rows`, which have some of the columns of the schema under its names.

        The arrays, one value a row: ordinals of the newest run that told of the item and of the
        row's own, and a number for the INPUT that the newest saw.
        """
        columns = [pa.array(newest), pa.array(run), pa.array(source)]
        for field in self._schema:
            there = field.name in rows.column_names
            columns.append(rows[field.name] if there else pa.nulls(len(rows), field.type))
        # its types may be narrower than the schema's: the database casts them
        table = pa.table(columns, names=self._table.names)
        if self._block and self._block[0].schema != table.schema:
            self._flush()
        self._block.append(table)
        self._held_rows += len(rows)
        self._held_bytes += self._block[-1].nbytes
        self.read += len(rows)
        if self._held_rows >= BLOCK_ROWS or self._held_bytes >= BLOCK_BYTES:
            self._flush()

    def add_gone(self, source: int, ordinal: int, ids: pa.Array) -> None:
        """Put in ids, each said once for its INPUT, that the run `ordinal` found gone from it."""
        table = pa.table([ids, np.full(len(ids), source), np.full(len(ids), ordinal)], schema=_GONE)
        self.insert("gone", table)

    def in_order(self) -> Iterator[pa.Table]:
        """The right row of each item, by their ids, in tables of `schema`; none is empty."""
        self._flush()
        at_once = max(1, RANGE_BYTES * self.read // max(1, self._bytes))
        for some in self.ranges(at_once, "told"):
            yield from map(self._chosen, self._items(some))

    def _items(self, some: Range) -> Iterator[pa.Table]:
        """All rows of the range, of an item that first which tells of its version, and no item in
        two tables.
        """
        status, version, code = map(self._name, ("status", "input_digest", "error_code"))
        passing = ", ".join(f"'{one}'" for one in _PASSING.to_pylist())
        untold = (
            f"{unversioned(version)} AND {status} = '{Status.FAILED}' AND {code} IN ({passing})"
        )
        query = (
            f"SELECT told.*, gone.gone FROM (FROM told WHERE {some.within}) AS told "
            f"LEFT JOIN (FROM gone WHERE {some.within}) AS gone USING (item_id, source) "
            f"ORDER BY told.item_id, {untold}, told.newest DESC"
        )
        held: pa.Table | None = None
        for batch in self.stream(query, some.values()):
            table = pa.table(batch)
            held = table if held is None else pa.concat_tables([held, table])
            ids = held["item_id"]
            whole = pc.index(ids, ids[-1]).as_py()  # the last item may go on
            if whole:
                yield held.slice(0, whole)
                held = held.slice(whole)
        if held is not None:
            yield held

    def _chosen(self, rows: pa.Table) -> pa.Table:
        rows = rows.combine_chunks()
        ids, versions = (_chunk(rows[name]) for name in ("item_id", self._name("input_digest")))
        first = np.ones(len(rows), dtype=bool)
        first[1:] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
        starts = np.flatnonzero(first)
        item = np.cumsum(first) - 1
        newest, run, gone = (_numbers(rows[name]) for name in ("newest", "run", "gone"))
        current = pc.equal(versions, versions.take(pa.array(starts[item])))
        good = pc.equal(rows[self._name("status")], Status.LABELLED.value).to_numpy()
        lasting = pc.invert(pc.is_in(rows[self._name("error_code")], _PASSING)).to_numpy()
        rank = run + _BETTER * (good.astype(np.int64) + lasting)
        rank[~current.to_numpy(zero_copy_only=False)] = -1
        best = np.flatnonzero(rank == np.maximum.reduceat(rank, starts)[item])
        if not np.array_equal(item[best], np.arange(len(starts))):
            raise AssertionError("a run has two rows of one item")
        deleted = gone[starts] > newest[starts]
        kept = rows.take(pa.array(best)).select(self._table.names[len(_ORIGIN) :])
        told = pa.array([f"{ordinal:08d}" for ordinal in newest[starts].tolist()])
        columns = [*kept.columns, told, pa.array(deleted)]
        return pa.table(columns, names=self.schema.names).cast(self.schema)

    def _name(self, name: str) -> str:
        return str(self._table.names[len(_ORIGIN) + self._schema.get_field_index(name)])

    def _flush(self) -> None:
        if not self._block:
            return
        block = pa.concat_tables(self._block)
        self._block, self._held_rows, self._held_bytes = [], 0, 0
        self._bytes += block.nbytes
        self.insert("told", block)


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The column, 0 where it is null."""
    numbers: npt.NDArray[np.int64] = pc.fill_null(column, 0).to_numpy()
    return numbers
