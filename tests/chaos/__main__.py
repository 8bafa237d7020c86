"""Kill drivers, actors and machines, and compare what comes of it with what should.

Usage: python -m tests.chaos [--rounds 100] [--seed 1] [--only WORD …] [--folder build/chaos]

Each round starts the captioning job with the pocket model, sends SIGKILL to one process of it, runs
the same command again until it is done, and compares the rows with those of a run that nothing
happened to. Rounds that the folder's rounds.jsonl has from before are not played again. Exit codes:
0 all rounds ended with just the right rows, 1 some did not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobs.ray_environment import prepare_ray

HEADER = ("killed", "when", "labels on", "rounds", "commands", "lost", "doubled", "differ", "s")


def main() -> int:
    """Play what is left to play; returns the exit code."""
    given = _arguments()
    prepare_ray()
    from tests.chaos.play import play  # Ray reads its environment when it is imported
    from tests.chaos.rounds import draw
    from tests.chaos.world import world

    record = given.folder / "rounds.jsonl"
    given.folder.mkdir(parents=True, exist_ok=True)
    wanted = {this.number: this for this in draw(given.rounds, given.seed)}
    if given.only:
        words = set(given.only)
        wanted = {n: r for n, r in wanted.items() if words <= {r.victim, r.moment, r.store, str(n)}}
    before = _played(record)
    played = {
        number: before[number]
        for number, this in wanted.items()
        if number in before and before[number]["round"] == vars(this)
    }
    left = [this for number, this in wanted.items() if number not in played]
    if left:
        with world((given.folder / "world").resolve()) as here, record.open("a") as lines:
            print(f"undisturbed: {here.seconds}", flush=True)
            for this in left:
                outcome = play(here, this)
                print(json.dumps(outcome.to_json()), file=lines, flush=True)
                print(_line(outcome.to_json()), flush=True)
                played[this.number] = outcome.to_json()
    print(_table(played.values()))
    return 0 if all(map(_good, played.values())) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description="Kill, go on, compare.")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", metavar="WORD", help="driver, s3, created@part-, 17 …")
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"))
    return parser.parse_args()


def _played(record: Path) -> dict[int, dict[str, Any]]:
    if not record.exists():
        return {}
    rounds = map(json.loads, record.read_text().splitlines())
    return {one["round"]["number"]: one for one in rounds}


def _good(one: dict[str, Any]) -> bool:
    return not (one["lost"] or one["doubled"] or one["differing"] or one["codes"][-1])


def _line(one: dict[str, Any]) -> str:
    this = one["round"]
    moment = this["moment"] if one["killed"] else "too late"
    verdict = "good" if _good(one) else f"BAD {one}"
    return (
        f"{this['number']:3d} {this['victim']:6s} {moment:20s} {this['store']:4s} "
        f"{one['codes']} {one['seconds']:.1f} s {verdict}"
    )


def _table(rounds: Iterable[dict[str, Any]]) -> str:
    """Rounds by kind, with means of what each took."""
    kinds: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for one in rounds:
        this = one["round"]
        when = "at random" if this["moment"] == "at random" else "at a failpoint"
        kinds[this["victim"], when, this["store"]].append(one)
    rows = [_sums(kind, ones) for kind, ones in sorted(kinds.items())]
    rows.append(_sums(("all", "", ""), [one for ones in kinds.values() for one in ones]))
    rows[:0] = [HEADER, ("---",) * len(HEADER)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _sums(kind: tuple[str, str, str], ones: list[dict[str, Any]]) -> tuple[str, ...]:
    def total(name: str) -> str:
        return str(sum(one[name] for one in ones))

    commands = sum(len(one["codes"]) for one in ones) / len(ones)
    seconds = sum(one["seconds"] for one in ones) / len(ones)
    counts = (total("lost"), total("doubled"), total("differing"))
    return (*kind, str(len(ones)), f"{commands:.1f}", *counts, f"{seconds:.0f}")


if __name__ == "__main__":
    sys.exit(main())
