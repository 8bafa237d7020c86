"""What a seed stands for: the job, the cluster, and what goes wrong."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

UNIVERSE = 48
"""Images that there can be at most; each looks the same in all simulations."""

FAILING = ("missing", "forbidden", "changed", "broken", "refused by the model")
"""How an image fails by itself, which costs a row and no replica."""
POISON = ("crash at reading", "crash in the model", "hang at reading", "hang in the model")

CHANCES = {
    # at each request of a driver or a replica
    "503": 0.05,
    "answer lost": 0.05,
    "stalled": 0.02,
    "timeout after success": 0.03,
    "late write": 0.03,
    "stale listing": 0.5,  # for each young name on a page
    "bucket grows": 0.3,
    # at each turn of a driver
    "driver killed": 0.01,
    "driver oversleeps": 0.005,
    # at each turn of a replica
    "crash before a write": 0.15,
    "crash during a write": 0.15,
    "crash after a write": 0.15,
    "crash elsewhere": 0.01,
    "silent replica": 0.01,
    # whenever a replica is ended, or starts
    "zombie": 0.5,
    "failed start": 0.2,
    "straggler": 0.3,
}
MOST = {
    "503": 40,
    "answer lost": 20,
    "stalled": 4,
    "timeout after success": 6,
    "late write": 6,
    "stale listing": 20,
    "bucket grows": UNIVERSE,
    "driver killed": 5,
    "driver oversleeps": 2,
    "crash before a write": 3,
    "crash during a write": 3,
    "crash after a write": 3,
    "crash elsewhere": 4,
    "silent replica": 3,
    "zombie": 12,
    "failed start": 4,
    "straggler": 3,
}
"""So often each strikes in one simulation, so that it ends."""


@dataclass(frozen=True, slots=True)
class Outage:
    """Requests fail from `begins` to `ends`."""

    begins: float
    ends: float
    forbidden: bool
    """They are refused at once; else the store does not answer."""
    everywhere: bool
    """For OUTPUT too."""


@dataclass(slots=True)
class Scenario:
    """One simulation, before it begins."""

    seed: str
    images: list[int]
    """Which of UNIVERSE are there at first."""
    coming: list[int] = field(default_factory=list)
    """These appear while INPUT is listed."""
    failing: dict[int, str] = field(default_factory=dict)
    poison: dict[int, str] = field(default_factory=dict)
    shard_images: int = 4
    batch_size: int = 4
    replicas: list[int] = field(default_factory=lambda: [2])
    """How many there should be, over time."""
    machines: int = 2
    seconds_an_image: float = 1.0
    fits: int = 99
    """Images of one batch that fit the device."""
    commands: list[float] = field(default_factory=lambda: [0.0])
    """When each is given."""
    new_run: bool = False
    """The last one says --new-run."""
    most_failures: int = 200
    """In a row, and it is an outage."""
    page: int = 1000
    stickiness: float = 0.5
    faults: frozenset[str] = frozenset()
    machines_lost: list[float] = field(default_factory=list)
    signals: list[float] = field(default_factory=list)
    outage: Outage | None = None

    @property
    def quiet(self) -> bool:
        """Whether nothing but images ends replicas."""
        return not self.faults and not self.signals

    @property
    def allowed(self) -> frozenset[str]:
        """Of the errors of this program, those with which a command may end, to go on later."""
        errors = set()
        if self.faults & {"503", "stalled", "answer lost", "timeout after success", "late write"}:
            errors.add("StoreError")
        if self.outage:
            errors |= {"StoreError", "StoreOutageError"}
        if self.signals:
            errors.add("StoppedError")
        if "failed start" in self.faults:
            errors.add("ReplicaError")
        return frozenset(errors)


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    dice = random.Random(f"scenario {seed}")
    total = dice.choice((dice.randint(1, 8), dice.randint(5, 24), dice.randint(20, UNIVERSE)))
    numbers = sorted(dice.sample(range(UNIVERSE), total))
    one = Scenario(
        seed=str(seed),
        images=numbers,
        shard_images=dice.choice((1, 2, 4, 7, 10, 16)),
        batch_size=dice.choice((1, 2, 4, 8)),
        replicas=[dice.randint(1, 6) for _ in range(4)],
        machines=dice.randint(1, 3),
        seconds_an_image=dice.choice((0.1, 1.0, 3.0)),
        page=dice.choice((3, 7, 1000)),
        stickiness=dice.choice((0.3, 0.7, 0.95)),
    )
    if dice.random() < 0.3:
        one.fits = dice.randint(1, 4)
    if dice.random() < 0.5:
        _spoil(one, dice)
    kind = dice.random()
    if kind < 0.15:  # nothing but poison, so that starts can be counted
        poison = dice.choice(one.images)
        one.poison = {poison: dice.choice(POISON)}
        one.failing.pop(poison, None)
        return one
    one.faults = frozenset(name for name in CHANCES if dice.random() < 0.3)
    if kind < 0.25:  # poison and lost machines, of which nothing must be charged
        one.faults = frozenset()
        one.machines_lost = [dice.uniform(1, 90) for _ in range(dice.randint(1, 4))]
    if "bucket grows" in one.faults:
        absent = sorted(set(range(UNIVERSE)) - set(one.images))
        one.coming = dice.sample(absent, min(len(absent), dice.randint(1, 6)))
    if kind < 0.25 or dice.random() < 0.25:
        wrong = dice.sample(one.images, min(len(one.images), dice.randint(1, 3)))
        one.poison = {number: dice.choice(POISON) for number in wrong}
    one.failing = {number: how for number, how in one.failing.items() if number not in one.poison}
    if kind >= 0.25:
        _time(one, dice)
    return one


def _spoil(one: Scenario, dice: random.Random) -> None:
    wrong = dice.sample(one.images, min(len(one.images), dice.randint(1, 5)))
    one.failing = {number: dice.choice(FAILING) for number in wrong}


def _time(one: Scenario, dice: random.Random) -> None:
    """Second commands, signals, lost machines, an outage."""
    if dice.random() < 0.4:
        one.commands.append(dice.choice((0.0, 0.0, dice.uniform(0, 120))))
        one.new_run = dice.random() < 0.15
    if dice.random() < 0.3:
        one.machines_lost = [dice.uniform(0, 120) for _ in range(dice.randint(1, 4))]
    if dice.random() < 0.2:
        one.signals = [dice.uniform(0, 90) for _ in range(dice.randint(1, 3))]
    if dice.random() < 0.2:
        begins = dice.uniform(0, 60)
        one.outage = Outage(
            begins, begins + dice.uniform(50, 3000), dice.random() < 0.5, dice.random() < 0.3
        )
        # more than may fail one by one: these must not look like an outage for ever
        own = Counter(one.failing.values())
        blamed = [name for name in ("silent replica", "crash elsewhere") if name in one.faults]
        condemned = len(one.poison) + sum(MOST[name] for name in blamed)
        most = max(own["forbidden"], own["refused by the model"], condemned + 1)
        one.most_failures = most + dice.randint(1, 4)


class Fate:
    """Says which fault strikes when, and counts them."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.dice = random.Random(f"fate {scenario.seed}")
        self.struck: Counter[str] = Counter()

    def strikes(self, fault: str) -> bool:
        """Whether this one does, here and now."""
        if fault not in self._scenario.faults or self.struck[fault] >= MOST[fault]:
            return False
        if self.dice.random() >= CHANCES[fault]:
            return False
        self.note(fault)
        return True

    def note(self, fault: str) -> None:
        self.struck[fault] += 1
