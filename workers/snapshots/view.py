"""The right row an item as a view for DuckDB: the newest snapshot, and what came beside it since.

The rule is that of `choice`, in SQL. Runs that come later are seen too; what is deleted is told as
of now, and so are the columns.
"""

from collections.abc import Iterable, Sequence

import duckdb
import pyarrow as pa

from schemas.outcome import PASSING, Status, UsageError
from schemas.run import LABELS, RUNS
from schemas.snapshot import DELETED, NEWEST_RUN, SNAPSHOTS
from schemas.uri import join
from workers.plan.owed import unversioned
from workers.snapshots.columns import is_snapshot, kept_name, united
from workers.snapshots.gather import newest_lists, schemas_of
from workers.snapshots.history import History
from workers.snapshots.parts import parts_of
from workers.store import PATIENCE, Patience

_FILE, _TELLER, _NEWEST, _VERSION, _PASSES = (
    f'"({name})"' for name in ("file", "teller", "newest", "version", "passes")
)
"""Columns that only the view's inside has; INPUT hardly has any of these names."""


def view_of(history: History, patience: Patience = PATIENCE) -> str:
    """SQL that creates the view `latest` of the history's meaning.

    Raises UsageError where there is no row yet, and as `parts_of`.
    """
    fresh = [parts_of(one.run, history.erasures, patience) for one in history.fresh]
    schemas = schemas_of(history, fresh, patience)
    sides = [*_snapshot_side(history), *_runs_side(history, any(one.files for one in fresh))]
    if not sides:
        raise UsageError(f"{history.output} holds no row of meaning {history.meaning_id} yet")
    columns = ",\n       ".join(_columns(schemas))
    return f"""CREATE OR REPLACE VIEW latest AS
WITH told AS (
{"  UNION ALL BY NAME".join(sides)}),
known AS (
  SELECT *, first_value({_TELLER}) OVER item AS {_NEWEST},
         first_value(input_digest) OVER item AS {_VERSION}
  FROM (SELECT *, coalesce(error_code IN {_list(PASSING)}, false) AS {_PASSES} FROM told)
  WINDOW item AS (
    PARTITION BY item_id
    ORDER BY {_PASSES} AND {unversioned("input_digest")}, {_TELLER} DESC
  )
)
SELECT {columns},
       {_NEWEST} AS {NEWEST_RUN},
       {_deleted(history, patience)} AS {DELETED}
FROM known WHERE input_digest = {_VERSION}
QUALIFY row_number() OVER (
  PARTITION BY item_id ORDER BY status = '{Status.LABELLED}' DESC, {_PASSES}, run_id DESC
) = 1;"""


def _snapshot_side(history: History) -> list[str]:
    snapshot = history.snapshot
    if snapshot is None or not snapshot.parts:
        return []
    files = _files(history.output, [part.name for part in snapshot.parts])
    return [
        f"""  SELECT * EXCLUDE ({NEWEST_RUN}, {DELETED}), {NEWEST_RUN} AS {_TELLER}
  FROM read_parquet({files})
"""
    ]


def _runs_side(history: History, beside: bool) -> list[str]:
    """Of the runs' parts those of this meaning that the snapshot does not absorb; none where there
    is no part at all, at which DuckDB would stop.
    """
    absorbed = history.snapshot.absorbed_runs if history.snapshot else frozenset()
    lying = any(one.run_id in absorbed and not one.files.pruned for one in history.runs)
    if not (beside or lying):
        return []
    parts = _place(history.output, f"{LABELS}/run=", "*/part-*.parquet")
    run = f"regexp_extract({_FILE}, 'run=(\\d{{8}})/part-\\d+[.]parquet$', 1)"
    left_out = f"\n    AND {run} NOT IN {_list(absorbed)}" if absorbed else ""
    return [
        f"""  SELECT *, run_id AS {_TELLER}
  FROM read_parquet({parts}, union_by_name = true,
                    hive_partitioning = false, filename = '(file)')
  WHERE meaning_id = {_text(history.meaning_id)}{left_out}
    AND {_still_so(history)}
"""
    ]


def _still_so(history: History) -> str:
    """An error where parts were pruned away since: a newer snapshot has their rows."""
    ordinal = f"{history.snapshot.ordinal if history.snapshot else 0:08d}"
    folder = f"{SNAPSHOTS}/{history.meaning_id}/"
    snapshots = _place(history.output, folder, "*/snapshot.json")
    tombstones = _place(history.output, f"{RUNS}/", "*/pruned.json")
    found = "regexp_extract(file, '(\\d{8})/[a-z]+[.]json$', 1)"
    known = f" WHERE {found} NOT IN {_list(history.pruned)}" if history.pruned else ""
    return f"""(SELECT CASE WHEN EXISTS (FROM glob({snapshots}) WHERE {found} > '{ordinal}')
                      AND EXISTS (FROM glob({tombstones}){known})
         THEN error('runs were pruned since: print the view anew, jobs/compact.py --view')
         ELSE true END)"""


def _columns(schemas: Sequence[tuple[str, pa.Schema]]) -> list[str]:
    """What is selected, each of the type that it has in a snapshot of all these."""
    schema = united(schemas)
    kinds = duckdb.from_arrow(schema.empty_table()).types
    taken = {
        kept_name(name): name
        for _, one in schemas
        for name in one.names
        if not is_snapshot(one) and name != kept_name(name)
    }
    there = {name for _, one in schemas for name in one.names}
    told = []
    for name, kind in zip(schema.names, kinds, strict=True):
        names = [one for one in (name, taken.get(name)) if one in there]
        values = [f"CAST({_name(one)} AS {kind})" for one in names if one]
        value = values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"
        told.append(f"{value} AS {_name(name)}")
    return told


def _deleted(history: History, patience: Patience) -> str:
    """Whether the newest incremental run of the INPUT that the item was last seen in found it gone,
    and no newer run tells of it.
    """
    conditions = []
    for source, (one, pages) in newest_lists(history, patience).items():
        if pages:
            files = _files(history.output, [page.name for page in pages])
            runs = [other.run_id for other in history.runs if other.source == source]
            conditions.append(
                f"({_NEWEST} < {_text(one.run_id)} AND {_NEWEST} IN {_list(runs)}\n"
                f"        AND item_id IN (SELECT item_id FROM read_parquet({files})))"
            )
    return "\n        OR ".join(conditions) or "false"


def _place(output: str, folder: str, pattern: str) -> str:
    return _text(_plain(join(output, folder)) + pattern)


def _files(output: str, names: Iterable[str]) -> str:
    places = [_text(_plain(join(output, name))) for name in names]
    return "[" + ",\n    ".join(places) + "]"


def _plain(place: str) -> str:
    """A place as a pattern that fits it alone."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in place)


def _list(values: Iterable[str]) -> str:
    return f"({', '.join(map(_text, sorted(values)))})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
