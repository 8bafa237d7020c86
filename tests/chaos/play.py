"""One round: a command, a kill, the same command again until it is done, and a look at the rows."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.chaos.outcome import Outcome
from tests.chaos.rounds import RANDOM, Round
from tests.chaos.world import COMMAND_SECONDS, SHARD_IMAGES, World, ended
from tests.faults.nodes import raylet
from tests.faults.tables import compare, rows_of

MOST_COMMANDS = 6
"""After so many the round is lost: a command does not get through."""


def play(here: World, this: Round) -> Outcome:
    """The round; a moment that came too late is drawn anew, thrice at most."""
    began = time.monotonic()
    dice = random.Random(this.seed)
    for attempt in range(3):
        output = here.output(this.store, f"round-{this.number}-{attempt}")
        delay = dice.uniform(0.2, 0.95) * here.seconds[this.store] / 2**attempt
        killed, codes = _disturb(here, this, dice, output, delay)
        while codes[-1] and len(codes) < MOST_COMMANDS:
            codes.append(ended(here.start(this.store, output)))
        if killed:
            break
    difference = compare(here.undisturbed[this.store], rows_of(output))
    outcome = Outcome(
        round=this,
        killed=killed,
        codes=codes,
        lost=difference.lost,
        doubled=difference.doubled,
        differing=difference.differing,
        columns=sorted(difference.columns),
        seconds=round(time.monotonic() - began, 1),
    )
    if outcome.good:
        here.remove(output)
    return outcome


def _disturb(
    here: World, this: Round, dice: random.Random, output: str, delay: float
) -> tuple[bool, list[int]]:
    """Whether the victim was killed, and the codes of the command.

    `delay`, in seconds, is for moments at random.
    """
    marker = here.folder / f"marker-{this.number}"
    marker.unlink(missing_ok=True)
    failpoints = "" if this.moment == RANDOM else _armed(here, this, dice, marker)
    command = here.start(this.store, output, failpoints)
    if this.moment == RANDOM:
        _sleep(command, delay)
    victim = _victim(here, this, dice, command, marker)
    if victim is None:
        return False, [ended(command)]
    if this.victim == "raylet":
        node = next(node for node in here.nodes.workers if raylet(node) == victim)
        here.nodes.kill(node)
    else:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    code = ended(command)
    if this.victim == "raylet":
        here.nodes.add()
    return True, [code]


def _armed(here: World, this: Round, dice: random.Random, marker: Path) -> str:
    """The moment as the environment arms it: whoever gets there first waits to be killed."""
    point, _, subject = this.moment.partition("@")
    if subject == "part-":
        subject = f"part-{dice.randrange(len(here.items) // SHARD_IMAGES):05d}"
    return f"{point}=hang@{subject or dice.choice(here.items)}!{marker}"


def _victim(
    here: World, this: Round, dice: random.Random, command: subprocess.Popen[bytes], marker: Path
) -> int | None:
    """The process that is to die, once it is there; None: the command ended before."""
    deadline = time.monotonic() + COMMAND_SECONDS
    while command.poll() is None and time.monotonic() < deadline:
        if this.moment == RANDOM:
            found = _any(here, this, command)
        else:
            found = _at(here, this, command, marker)
        if found:
            return dice.choice(found)
        time.sleep(0.01)
    return None


def _any(here: World, this: Round, command: subprocess.Popen[bytes]) -> list[int]:
    if this.victim == "driver":
        return [command.pid]
    if this.victim == "raylet":
        return [raylet(node) for node in here.nodes.workers]
    return here.nodes.replicas()


def _at(here: World, this: Round, command: subprocess.Popen[bytes], marker: Path) -> list[int]:
    """The victim, once a process has left its number at the failpoint."""
    if not marker.exists() or not (process := marker.read_text()):
        return []
    if this.victim == "driver":
        return [command.pid]
    return [int(process) if this.victim == "actor" else raylet(here.nodes.under(int(process)))]


def _sleep(command: subprocess.Popen[bytes], seconds: float) -> None:
    """Or until the command ends."""
    with suppress(subprocess.TimeoutExpired):
        command.wait(seconds)
