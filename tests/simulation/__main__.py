"""`python -m tests.simulation SEED [--trace]`; `--seeds N` runs the first N in PROCESSES."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.mutants import MUTANTS, first_caught
from tests.simulation.simulate import simulate

PROCESSES = 2
CHUNK = 50
SEEDS_A_LINE = 1000
FAILURES_SHOWN = 5
REPLAY = "python -m tests.simulation {seed} --trace"


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="one seed")
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    parser.add_argument("--seeds", type=int, default=10_000, help="without SEED: so many")
    parser.add_argument("--first", type=int, default=0, help="from this one on")
    parser.add_argument("--broken", action="store_true", help="break the program, and be told")
    given = parser.parse_args()
    if given.broken:
        return broken()
    if given.seed is None:
        return many(given.first, given.seeds)
    report = simulate(given.seed, _Tracer() if given.trace else None)
    for name, count in sorted(report.struck.items()):
        print(f"{count:5} × {name}")
    print("\n".join(report.problems) or "nothing lost, nothing twice")
    return bool(report.problems)


def many(first: int, seeds: int) -> int:
    """Simulate, and tell which faults there were and which seeds failed."""
    began = time.monotonic()
    with_fault: Counter[str] = Counter()
    starts: Counter[int] = Counter()
    failed = 0
    with ProcessPoolExecutor(PROCESSES) as processes:
        numbers = range(first, first + seeds)
        for seed, report in zip(
            numbers, processes.map(simulate, numbers, chunksize=CHUNK), strict=True
        ):
            with_fault.update(report.struck.keys())
            starts.update(report.starts)
            if (seed + 1) % SEEDS_A_LINE == 0:
                print(f"{seed + 1:,} seeds, {failed:,} failed", flush=True)
            if report.problems:
                failed += 1
                if failed <= FAILURES_SHOWN:
                    print(f"seed {seed}: {report.problems[0]}\n  {REPLAY.format(seed=seed)}")
    seconds = time.monotonic() - began
    for name, count in sorted(with_fault.items(), key=lambda pair: -pair[1]):
        print(f"{count:7,} seeds with {name}")
    told = ", ".join(f"{count:,} × {number}" for number, count in sorted(starts.items()))
    print(f"starts until an image was condemned: {told}")
    print(f"{seeds:,} seeds in {seconds:.0f} s, {seeds / seconds:.0f} a second; {failed:,} failed")
    return bool(failed)


def broken() -> int:
    """Break the program in each way that we know; 0: a seed tells of every one."""
    missed = 0
    for name in MUTANTS:
        seed, problem = first_caught(name)
        missed += not problem
        print(
            f"| {name} | {seed + 1 if problem else 'never'} | {(problem or '–').splitlines()[-1]} |"
        )
    return bool(missed)


class _Tracer:
    """Prints lines in which random names are short, and the same each time."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, line: str) -> None:
        print(re.sub(r"[0-9a-f]{32}", self._short, line))

    def _short(self, found: re.Match[str]) -> str:
        return self._names.setdefault(found[0], f"random{len(self._names)}")


if __name__ == "__main__":
    sys.exit(main())
