"""The driver's parts and the commit under every fault that a seed draws."""

import re

import pytest

from tests.simulation.mutants import MUTANTS, first_caught
from tests.simulation.scheduler import Killed, Scheduler
from tests.simulation.simulate import simulate

SEEDS = 200
"""`make simulate` goes through ten thousand."""


def test_every_image_ends_as_exactly_one_row() -> None:
    """Whatever dies, lies, hangs or comes late; a seed that fails is named with its replay."""
    failed = {
        f"python -m tests.simulation {seed} --trace": report.problems
        for seed in range(SEEDS)
        if (report := simulate(seed)).problems
    }
    assert not failed


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_program_is_caught(name: str) -> None:
    """What is broken on purpose, in one place, is told within a few hundred seeds."""
    _, problem = first_caught(name, most=300)
    assert problem


def test_a_seed_gives_the_same_run_again() -> None:
    """Each step of two simulations of one seed is the same, but for names made at random."""

    def traced(seed: int) -> list[str]:
        lines: list[str] = []
        names: dict[str, str] = {}

        def keep(line: str) -> None:
            lines.append(
                re.sub(
                    "[0-9a-f]{32}", lambda found: names.setdefault(found[0], str(len(names))), line
                )
            )

        simulate(seed, keep)
        return lines

    for seed in (7, 8, 9):
        assert traced(seed) == traced(seed)


def test_time_moves_while_all_wait_and_one_runs_at_a_time() -> None:
    """Sleepers wake in the order of their times, and nobody works beside another."""
    scheduler = Scheduler("a seed", 0.5, None)
    said: list[tuple[float, str]] = []

    def sleeper(name: str, seconds: float) -> None:
        scheduler.sleep(seconds)
        said.append((scheduler.now, name))

    scheduler.spawn("late", lambda: sleeper("late", 60))
    scheduler.spawn("early", lambda: sleeper("early", 5))
    scheduler.later(30, lambda: said.append((scheduler.now, "by itself")))
    scheduler.run()
    assert said == [(5, "early"), (30, "by itself"), (60, "late")]


def test_a_killed_task_does_nothing_more() -> None:
    """It ends where it waits, and what it would have done next is not done."""
    scheduler = Scheduler("a seed", 0.5, None)
    said: list[str] = []

    def victim() -> None:
        try:
            scheduler.wait(lambda: False)
            said.append("lives")
        except Killed:
            said.append("is killed")
            raise

    task = scheduler.spawn("victim", victim)

    def kill() -> None:
        task.doomed = True

    scheduler.later(5, kill)
    scheduler.run()
    assert said == ["is killed"]
    assert not scheduler.problems
