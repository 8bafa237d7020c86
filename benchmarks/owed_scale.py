"""What a night costs that is owed next to nothing: the real `freeze` over keys that are known.

    python benchmarks/owed_scale.py 1000000 10000000
    python benchmarks/owed_scale.py 10000000 --sidecars    # a text beside each of so many keys

An earlier run has labelled so many keys, in parts of 8,192 rows. Since then one key in ten thousand
came, one changed and one went. Each line is a process of its own. Seconds: listing the keys, the
making included; reading the rows of the parts, comparing, and writing the plan; all of it, by the
clock and of a processor's work. MiB: the peaks of memory (VmHWM) and of the temporary folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.plan_scale import (
    INPUT,
    MIB,
    job,
    largest,
    made_up,
    memory_peak,
    text_beside,
    with_texts,
)
from schemas.job import TEXT_VERSION
from schemas.run import PART_KEY, PartFooter, Plan, PlanPage, RunNames
from tests.fake_store import FakeStore, fake_store
from workers.plan import freeze, open_run
from workers.plan.filling import PlanRule
from workers.sink import commit
from workers.store import Entry, Patience
from workers.store.base import PAGE

ROWS = 8192
"""Of an earlier part."""
ONE_IN = 10_000


class SecondNight(FakeStore):
    """The made-up keys as they are listed a day later, in no order."""

    def __init__(self, keys: int, sidecars: bool) -> None:
        super().__init__()
        self._keys = keys
        self._sidecars = sidecars
        self.listed_at = 0.0

    def pages(self, place: str, patience: Patience) -> Iterator[list[Entry]]:
        entries = self._entries(place)
        while page := list(islice(entries, PAGE)):
            yield with_texts(page) if self._sidecars else page
        self.listed_at = time.time()

    def _entries(self, place: str) -> Iterator[Entry]:
        for number in range(self._keys):
            entry = made_up(place, number)
            if number % ONE_IN == 0:
                yield replace(entry, version="etag:another")
            elif number % ONE_IN == 1:
                yield replace(entry, uri=f"{entry.uri}.new.jpg")
            else:
                yield entry


def labelled(output: str, keys: int, sidecars: bool) -> None:
    """A run that labelled all of them, its parts as far as a night reads them."""
    run = open_run(job(output, sidecars))
    names = RunNames(1)
    shards = -(-keys // ROWS)
    page = PlanPage(names.page("made-up", 0), "0" * 64, 0, shards, keys)
    plan = Plan("00000001", "made-up", (page,), keys, shards, 0, 1, ROWS, "cuda", 32)
    stored = commit(output, names.plan, plan.to_json())
    plan = Plan.from_json(stored, names.plan)
    folder = Path(output, names.labels)
    folder.mkdir(parents=True)
    for shard in range(shards):
        some = [made_up(INPUT + "/", n) for n in range(shard * ROWS, min(keys, (shard + 1) * ROWS))]
        footer = PartFooter(run.spec.run_id, shard, plan.digest, "a", len(some), 0)
        table = pa.table(
            {
                "item_id": [entry.uri for entry in some],
                "input_digest": [looked_at(entry, sidecars) for entry in some],
                "status": ["labelled"] * len(some),
                "error_code": pa.nulls(len(some), pa.string()),
            }
        ).replace_schema_metadata({PART_KEY: footer.to_json()})
        pq.write_table(table, Path(output, names.part(shard)), compression="zstd")


def looked_at(entry: Entry, sidecars: bool) -> str:
    return entry.version + f"{TEXT_VERSION}{text_beside(entry).version}" * sidecars


def measure(keys: int, sidecars: bool) -> dict[str, float]:
    """One night, in this very process."""
    store = SecondNight(keys, sidecars)
    with (
        tempfile.TemporaryDirectory(prefix="output-") as output,
        tempfile.TemporaryDirectory(prefix="scratch-") as scratch,
        fake_store(store),
    ):
        labelled(output, keys, sidecars)
        tempfile.tempdir = scratch
        run = open_run(replace(job(output, sidecars), incremental=True))
        began, cpu = time.time(), time.process_time()
        with largest(Path(scratch)) as folder:
            plan = freeze(run, None, lambda: ("cuda", 32))
        ended, cpu = time.time(), time.process_time() - cpu
        changed = -(-keys // ONE_IN)
        assert plan.items == 2 * changed, plan.items
        assert plan.skipped[PlanRule.SETTLED] == keys - 2 * changed
        assert sum(page.items for page in plan.gone) == changed
        return {
            "listed": store.listed_at - began,
            "compared": ended - store.listed_at,
            "total": ended - began,
            "cpu": cpu,
            "memory": memory_peak(),
            "folder": max(folder) / MIB,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("keys", type=int, nargs="+")
    parser.add_argument("--sidecars", action="store_true", help="a text lies beside each key")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.keys[0], arguments.sidecars)))
        return
    names = ("listed", "compared", "total", "cpu", "memory", "folder")
    print(f"{'keys':>11}" + "".join(f"{name:>10}" for name in names))
    for keys in arguments.keys:
        command = [sys.executable, __file__, str(keys), "--here"]
        command += ["--sidecars"] * arguments.sidecars
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        figures = json.loads(said)
        print(f"{keys:>11,}" + "".join(f"{figures[name]:10.1f}" for name in names), flush=True)


if __name__ == "__main__":
    main()
