"""Which process is killed when, and where the labels go: drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

VICTIMS = ("driver", "actor", "raylet")
STORES = ("disk", "s3")
RANDOM = "at random"
STEPS = {"disk": ("create", "scratched", "linked", "created"), "s3": ("create", "created")}
"""Failpoints of a file that is created; an object store has nothing between its two."""
OF_THE_DRIVER = ("spec.json", "page-", "plan.json", "result.json")
OF_AN_ACTOR = ("part-",)


@dataclass(frozen=True)
class Round:
    """One kill."""

    number: int
    victim: str
    moment: str
    """`created@part-` is a failpoint and a piece of its subject; or RANDOM."""
    store: str
    seed: int


def cells() -> list[tuple[str, str, str]]:
    """Every victim, moment and store that go together: the driver may die while an actor is at one
    of its failpoints, but neither an actor nor its machine is there while the driver plans.
    """
    found = []
    for victim, store in product(VICTIMS, STORES):
        files = OF_AN_ACTOR if victim != "driver" else OF_THE_DRIVER + OF_AN_ACTOR
        moments = [f"{step}@{file}" for file in files for step in STEPS[store]]
        found += [(victim, moment, store) for moment in [*moments, "decode@", "look@"]]
    return found


def draw(rounds: int, seed: int) -> Iterator[Round]:
    """Every cell once in a random order, and random moments in between and for the rest."""
    dice = random.Random(seed)
    named = cells()
    dice.shuffle(named)
    by_chance = list(product(VICTIMS, [RANDOM], STORES))
    chosen = named[:rounds] + [by_chance[n % len(by_chance)] for n in range(rounds - len(named))]
    dice.shuffle(chosen)
    for number, (victim, moment, store) in enumerate(chosen, 1):
        yield Round(number, victim, moment, store, dice.randrange(2**32))
