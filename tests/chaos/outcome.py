"""How rounds ended: a line of JSON each, and one table of all."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Self

from tests.chaos.rounds import RANDOM, Round

HEADER = ("killed", "when", "labels on", "rounds", "commands", "lost", "doubled", "differ", "s")


@dataclass(frozen=True)
class Outcome:
    """One round, over."""

    round: Round
    killed: bool
    """False where the command was done before its moment came."""
    codes: list[int]
    """Exit codes of all commands, the disturbed one's first."""
    lost: int
    doubled: int
    differing: int
    """Rows, beside those of an undisturbed run."""
    columns: list[str]
    """In which rows differ."""
    seconds: float

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.differing or self.codes[-1])

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        fields = json.loads(line)
        return cls(**(fields | {"round": Round(**fields["round"])}))

    def __str__(self) -> str:
        moment = self.round.moment if self.killed else "too late"
        return (
            f"{self.round.number:3d} {self.round.victim:6s} {moment:22s} {self.round.store:4s} "
            f"{self.codes} {self.seconds:.1f} s {'good' if self.good else f'BAD {self!r}'}"
        )


def table(outcomes: Iterable[Outcome]) -> str:
    """Rounds by kind: sums of rows, means of what each took."""
    kinds: dict[tuple[str, str, str], list[Outcome]] = defaultdict(list)
    for one in outcomes:
        when = RANDOM if one.round.moment == RANDOM else "at a failpoint"
        kinds[one.round.victim, when, one.round.store].append(one)
    rows = [_sums(kind, ones) for kind, ones in sorted(kinds.items())]
    rows.append(_sums(("all", "", ""), [one for ones in kinds.values() for one in ones]))
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEADER, ("---",) * len(HEADER), *rows))


def _sums(kind: tuple[str, str, str], ones: list[Outcome]) -> tuple[str, ...]:
    lost, doubled = sum(one.lost for one in ones), sum(one.doubled for one in ones)
    commands = sum(len(one.codes) for one in ones) / len(ones)
    seconds = sum(one.seconds for one in ones) / len(ones)
    return (
        *kind,
        str(len(ones)),
        f"{commands:.1f}",
        str(lost),
        str(doubled),
        str(sum(one.differing for one in ones)),
        f"{seconds:.0f}",
    )
