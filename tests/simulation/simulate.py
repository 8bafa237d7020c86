"""A seed → what it broke."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from schemas.uri import join
from tests.simulation.job import OUTPUT
from tests.simulation.promises import Reference, broken_promises, rows_of
from tests.simulation.scenario import FAILING, UNIVERSE, Scenario, draw
from tests.simulation.world import World, simulated


@dataclass(frozen=True, slots=True)
class Report:
    """How one simulation went."""

    problems: list[str]
    struck: Counter[str]
    """Faults, by name."""
    starts: list[int]
    """Of replicas, until an image was condemned that alone was to blame."""


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> Report:
    """Everything that happens with this seed."""
    reference = undisturbed()
    world = World(draw(seed), trace)
    with simulated(world):
        world.scheduler.run()
        problems = list(broken_promises(world, reference))
    struck = world.fate.struck
    struck.update({"two drivers": len(world.commands) > 1, "new run": world.scenario.new_run})
    struck.update({"SIGTERM": len(world.scenario.signals)})
    return Report(problems, +struck, world.starts)


@cache
def undisturbed() -> Reference:
    """The rows of runs in which nothing happens."""
    rows: Reference = {}
    for how in ("", *FAILING):
        numbers = list(range(UNIVERSE))
        failing = dict.fromkeys(numbers, how) if how else {}
        world = World(Scenario("undisturbed", numbers, failing=failing, most_failures=UNIVERSE + 1))
        with simulated(world):
            world.scheduler.run()
        assert not world.scheduler.problems, world.scheduler.problems
        for uri, (data, _) in world.store.objects.items():
            if uri.startswith(join(OUTPUT, "labels")):
                rows |= {(world.numbers[row["item_id"]], how): row for row in rows_of(data)}
    assert len(rows) == UNIVERSE * (1 + len(FAILING))
    return rows
