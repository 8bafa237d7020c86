"""Systems measured in turns: each in a process of its own, all once a round.

What the machine does beside it then falls on all systems alike. Before the rounds plain
transformers are asked for their best batch, and Ray Data whether one actor with all cores is
faster, or one a core.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.comparison.batches import Tried
from benchmarks.comparison.measurement import Measurement, free_bytes
from benchmarks.comparison.question import PLAIN, RAY_DATA, REPLICA, Question, cores
from schemas.outcome import BucketsightError, ExitCode, UsageError
from schemas.version import ROOT

LIMIT = "limit"

Say = Callable[[str], None]
Ask = Callable[[str, Question], list[dict[str, Any]]]
"""A measurement's name and its question → what it answered."""


@dataclass(frozen=True)
class Comparison:
    """What came of the rounds."""

    question: Question
    """With what was found to be best for the rivals."""
    measured: dict[str, list[Measurement]]
    """By system, a measurement a round."""
    rates: dict[str, float]
    """The best of all rounds (`limit.Rates`); empty where no replica was measured."""


def compare(
    question: Question, systems: Sequence[str], rounds: int, say: Say, ask: Ask | None = None
) -> Comparison:
    """Measure `systems`, `rounds` times each.

    Raises:
        BucketsightError: one of them failed; says in its words why.
        UsageError: one of them cannot do what is asked.
    """
    ask = ask or ask_process
    question = tuned(question, systems, say, ask)
    measured: dict[str, list[Measurement]] = {system: [] for system in systems}
    rates: dict[str, float] = {}
    for turn, name in in_turns((*systems, *([LIMIT] if REPLICA in systems else [])), rounds):
        (answer,) = ask(name, question)
        if name == LIMIT:
            rates = {kind: max(rate, rates.get(kind, 0)) for kind, rate in answer.items()}
            continue
        measured[name].append(Measurement(**answer))
        say(f"round {turn} of {rounds}: {name} {_pace(measured[name][-1])}")
    return Comparison(question, measured, rates)


def in_turns(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """A B C, A B C, …; rounds count from 1."""
    return ((turn, name) for turn in range(1, rounds + 1) for name in names)


def tuned(question: Question, systems: Sequence[str], say: Say, ask: Ask) -> Question:
    """The question with plain transformers' best batch and Ray Data's best number of actors."""
    if not {PLAIN, RAY_DATA} & {*systems}:
        return question
    tried = [Tried(**answer) for answer in ask("batches", question)]
    for one in tried:
        say(f"plain in batches of {one.size}: {one.images_per_second:.3g} images/s")
    best = max(tried, key=lambda one: one.images_per_second)
    question = replace(question, plain_batch=best.size)
    most = cores() if question.device == "cpu" else 1
    if RAY_DATA not in systems or most == 1 or most * best.peak_bytes > (free_bytes() or 0):
        return question
    paces = {}
    for actors in (1, most):
        (answer,) = ask(RAY_DATA, replace(question, actors=actors))
        paces[actors] = Measurement(**answer).images_per_second_in_all or 0
        say(f"ray-data with {actors} actors: {paces[actors]:.3g} images/s in all")
    return replace(question, actors=max(paces, key=lambda actors: paces[actors]))


def ask_process(name: str, question: Question) -> list[dict[str, Any]]:
    """Have a process of its own measure; of one that was killed, what it said until then.

    Raises:
        BucketsightError: it failed, or was killed before it said anything.
        UsageError: it cannot do what is asked.
    """
    asked = question.at(time.time()).to_json()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.comparison", name, asked],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            output, errors = process.communicate()
        except KeyboardInterrupt:
            process.terminate()  # and it ends what it has started itself
            raise
    answers: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    if process.returncode > 0 or not answers:
        said = errors.strip().splitlines()
        why = said[-1] if said else f"its process ended with {process.returncode}"
        if process.returncode == ExitCode.USAGE:
            raise UsageError(why)
        raise BucketsightError(f"{name} failed: {why}")
    return answers


def _pace(measurement: Measurement) -> str:
    pace = measurement.images_per_second or measurement.images_per_second_in_all or 0
    return f"{pace:.3g} images/s"
