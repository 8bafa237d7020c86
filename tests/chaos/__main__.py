"""Kill drivers, actors and machines, and compare what comes of it with what should.

Usage: python -m tests.chaos [--rounds 100] [--seed 1] [--only WORD …] [--folder build/chaos]

Each round starts the captioning job with the pocket model, sends SIGKILL to one process of it, runs
the same command again until it is done, and compares the rows with those of a run that nothing
happened to. Rounds that the folder's rounds.jsonl has from before are not played again. Exit codes:
0 all rounds ended with just the right rows, 1 some did not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jobs.ray_environment import prepare_ray
from tests.chaos.outcome import Outcome, table
from tests.chaos.rounds import Round, draw


def main() -> int:
    """Play what is left to play; returns the exit code."""
    given = _arguments()
    prepare_ray()  # Ray reads its environment when it is imported
    from tests.chaos.play import play
    from tests.chaos.world import world

    record = given.folder / "rounds.jsonl"
    given.folder.mkdir(parents=True, exist_ok=True)
    wanted = [this for this in draw(given.rounds, given.seed) if _is_meant(this, given.only)]
    before = _played(record)
    played = [before[this.number] for this in wanted if _is_played(this, before)]
    left = [this for this in wanted if not _is_played(this, before)]
    if left:
        with world((given.folder / "world").resolve()) as here, record.open("a") as lines:
            print(f"undisturbed: {here.seconds}", flush=True)
            for this in left:
                played.append(play(here, this))
                print(played[-1].to_json(), file=lines, flush=True)
                print(played[-1], flush=True)
    print(table(played))
    return 0 if all(one.good for one in played) else 1


def _is_meant(this: Round, only: list[str] | None) -> bool:
    return set(only or ()) <= {this.victim, this.moment, this.store, str(this.number)}


def _is_played(this: Round, before: dict[int, Outcome]) -> bool:
    return this.number in before and before[this.number].round == this


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description="Kill, go on, compare.")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", metavar="WORD", help="driver, s3, created@part-, 17 …")
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"))
    return parser.parse_args()


def _played(record: Path) -> dict[int, Outcome]:
    if not record.exists():
        return {}
    outcomes = [Outcome.from_json(line) for line in record.read_text().splitlines()]
    return {one.round.number: one for one in outcomes}


if __name__ == "__main__":
    sys.exit(main())
