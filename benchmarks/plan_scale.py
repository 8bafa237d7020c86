"""What planning costs: the real `freeze` over a store that makes up its keys, page by page.

    python benchmarks/plan_scale.py 1000000 10000000
    python benchmarks/plan_scale.py 10000000 --sidecars    # a text beside each of so many keys

Each line is a process of its own. Seconds: making up the keys alone; listing them into the database
(the making included); sorting; writing the plan; all of it, by the clock and of a processor's work.
MiB: the peaks of memory (VmHWM) and of the temporary folder, and the plan. Keys come in order, as
S3 lists them, and in no order.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from schemas.job import SIDECAR, JobSpec, Preprocessing, TaskSpec
from tests.fake_store import FakeStore, fake_store
from workers.plan import freeze, open_run
from workers.source.kinds import sidecar_of
from workers.store import PATIENCE, Entry, Patience
from workers.store.base import PAGE

INPUT = "sim://bucket/collection"
MIB = 1 << 20
ORDERS = ("in order", "in no order")
STRIDE = 2_654_435_761
"""A prime: its multiples reach every number once, in what looks like no order."""


class MadeUpStore(FakeStore):
    """`keys` objects that are nowhere: names of 57 characters, versions like S3's, sizes."""

    def __init__(self, keys: int, order: str, sidecars: bool) -> None:
        super().__init__()
        self._keys = keys
        self._sidecars = sidecars
        self._stride = 1 if order == ORDERS[0] else STRIDE
        self.listed_at = 0.0

    def pages(self, place: str, patience: Patience) -> Iterator[list[Entry]]:
        for first in range(0, self._keys, PAGE):
            turns = range(first, min(first + PAGE, self._keys))
            entries = [made_up(place, turn * self._stride % self._keys) for turn in turns]
            yield with_texts(entries) if self._sidecars else entries
        self.listed_at = time.time()


def made_up(place: str, number: int) -> Entry:
    name = f"{place}{number // 10_000:06d}/photo-{number:012d}.jpg"
    version = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return Entry(name, 20_000 + number % 3_000_000, f"etag:{version}")


def with_texts(entries: Iterable[Entry]) -> list[Entry]:
    """Each with the text beside it."""
    return [one for entry in entries for one in (entry, text_beside(entry))]


def text_beside(entry: Entry) -> Entry:
    return Entry(sidecar_of(entry.uri), 100, f"{entry.version[:-2]}-1")


def measure(keys: int, order: str, sidecars: bool) -> dict[str, float]:
    """Plan once, in this very process."""
    store = MadeUpStore(keys, order, sidecars)
    made = _seconds_of_making(store)
    with (
        tempfile.TemporaryDirectory(prefix="output-") as output,
        tempfile.TemporaryDirectory(prefix="scratch-") as scratch,
        fake_store(store),
    ):
        tempfile.tempdir = scratch
        run = open_run(job(output, sidecars))
        began, cpu = time.time(), time.process_time()
        with largest(Path(scratch)) as folder:
            plan = freeze(run, None, lambda: ("cuda", 32))
        ended, cpu = time.time(), time.process_time() - cpu
        pages = [Path(output, page.name).stat() for page in plan.pages]
        assert plan.items == keys
        sorted_at = min(page.st_mtime for page in pages)
        return {
            "made": made,
            "listed": store.listed_at - began,
            "sorted": sorted_at - store.listed_at,
            "written": ended - sorted_at,
            "total": ended - began,
            "cpu": cpu,
            "memory": memory_peak(),
            "folder": max(folder) / MIB,
            "plan": sum(page.st_size for page in pages) / MIB,
        }


def job(output: str, sidecars: bool) -> JobSpec:
    return JobSpec(
        input=INPUT,
        output=output,
        tasks=(TaskSpec("caption", {"prompt": "<ImageHere>", "max_new_tokens": 20}),),
        model_id="none",
        model_digest="0" * 64,
        quantization="none",
        preprocessing=Preprocessing(224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        text=SIDECAR if sidecars else "",
    )


def _seconds_of_making(store: MadeUpStore) -> float:
    began = time.monotonic()
    for _ in store.pages(INPUT + "/", PATIENCE):
        pass
    return time.monotonic() - began


@contextmanager
def largest(folder: Path) -> Iterator[list[int]]:
    """The bytes that the folder takes, looked at ten times a second."""
    sizes = [0]
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            sizes.append(sum(_size(path) for path in folder.rglob("*")))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield sizes
    finally:
        done.set()
        watcher.join()


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:  # gone between two looks
        return 0


def memory_peak() -> float:
    """Of this process, in MiB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell a process's peak of memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("keys", type=int, nargs="+")
    parser.add_argument("--sidecars", action="store_true", help="a text lies beside each key")
    parser.add_argument("--here", choices=ORDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.keys[0], arguments.here, arguments.sidecars)))
        return
    names = ("made", "listed", "sorted", "written", "total", "cpu", "memory", "folder", "plan")
    print(f"{'keys':>11}  {'':<11}" + "".join(f"{name:>9}" for name in names))
    for keys in arguments.keys:
        for order in ORDERS:
            command = [sys.executable, __file__, str(keys), "--here", order]
            command += ["--sidecars"] * arguments.sidecars
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
            figures = json.loads(said)
            values = "".join(f"{figures[name]:9.1f}" for name in names)
            print(f"{keys:>11,}  {order:<11}{values}", flush=True)


if __name__ == "__main__":
    main()
