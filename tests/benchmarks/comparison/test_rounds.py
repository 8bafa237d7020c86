"""Who is measured when, what the rivals are given, and what the tables say of it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.comparison.batches import Tried
from benchmarks.comparison.measurement import Measurement
from benchmarks.comparison.question import SYSTEMS, Question, cores
from benchmarks.comparison.report import records, tables
from benchmarks.comparison.rounds import ask_process, compare, in_turns
from schemas.outcome import BucketsightError, UsageError
from tests.checkpoints import save_tiny_checkpoint
from tests.pictures import write_pictures

PACES = {"replica": 8.0, "plain": 2.0, "job": 7.0, "ray-data": 1.0}
RATES = {"fp32": 1e11, "bf16": 4e11, "bandwidth": 2e10}


@pytest.fixture
def question(tmp_path: Path) -> Question:
    write_pictures(tmp_path / "images", 4)
    return Question(
        images=str(tmp_path / "images"),
        model=str(save_tiny_checkpoint(tmp_path / "tiny")),
        device="cpu",
        quant="none",
        batch_size=2,
        cpus_per_replica=1,
    )


class Machine:
    """Answers at once: in batches of 4 the rival is fastest, and Ray Data when asked again."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, name: str, question: Question) -> list[dict[str, Any]]:
        self.asked.append(name)
        if name == "batches":
            return [asdict(Tried(size, pace, 10**6)) for size, pace in ((2, 1.5), (4, 2), (8, 1))]
        if name == "limit":
            return [RATES | {"fp32": RATES["fp32"] / self.asked.count("limit")}]
        pace = PACES[name] + self.asked.count(name) - 1
        alone = name in ("replica", "plain")
        return [
            asdict(
                Measurement(
                    images_per_second=pace,
                    images_per_second_in_all=None if alone else pace / 2,
                    seconds_to_first=3.0,
                    seconds_to_load=1.0 if alone else None,
                    peak_bytes=500_000_000,
                    new_tokens=6.0 if alone else None,
                )
            )
        ]


def test_systems_take_turns(question: Question) -> None:
    """Each system once a round, the limit at its end; what the rivals want is asked before."""
    machine = Machine()
    comparison = compare(question, SYSTEMS, 2, lambda line: None, machine)
    tuning = ["batches", *(["ray-data"] * 2 if cores() > 1 else [])]
    assert machine.asked == [*tuning, *[*SYSTEMS, "limit"] * 2]
    assert {system: len(rounds) for system, rounds in comparison.measured.items()} == {
        system: 2 for system in SYSTEMS
    }
    assert list(in_turns("AB", 2)) == [(1, "A"), (1, "B"), (2, "A"), (2, "B")]


def test_the_rivals_get_what_is_best_for_them(
    question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fastest batch, the fastest number of actors, the best rates of all rounds."""
    monkeypatch.setattr("benchmarks.comparison.rounds.cores", lambda: 2)
    monkeypatch.setattr("benchmarks.comparison.rounds.free_bytes", lambda: 2 * 10**6)
    comparison = compare(question, SYSTEMS, 2, lambda line: None, Machine())
    assert comparison.question == replace(question, plain_batch=4, actors=2)
    assert comparison.rates == RATES
    monkeypatch.setattr("benchmarks.comparison.rounds.free_bytes", lambda: 2 * 10**6 - 1)
    machine = Machine()
    assert compare(question, SYSTEMS, 1, lambda line: None, machine).question.actors == 1
    assert machine.asked.count("ray-data") == 1


def test_only_what_is_asked_for(question: Question) -> None:
    """Without the rivals nothing is tuned; without the replica no limit is measured."""
    machine = Machine()
    compare(question, ["replica"], 1, lambda line: None, machine)
    assert machine.asked == ["replica", "limit"]
    machine = Machine()
    record = records(compare(question, ["job"], 1, lambda line: None, machine), "a machine", "run")
    assert machine.asked == ["job"]
    assert record["limit"] is None and "The limit" not in tables(record)


def test_the_tables_are_the_records(question: Question) -> None:
    """The records come through JSON unharmed and make the same tables, in which they all stand."""
    comparison = compare(question, SYSTEMS, 3, lambda line: None, Machine())
    record = records(comparison, "a machine", "python jobs/benchmark.py")
    printed = tables(record)
    assert tables(json.loads(json.dumps(record))) == printed
    by_name = {system["system"]: system for system in record["systems"]}
    assert by_name["replica"]["images_per_second"] == {"median": 9.0, "least": 8.0, "most": 10.0}
    assert [one["images_per_second"] for one in by_name["replica"]["rounds"]] == [8, 9, 10]
    limit = record["limit"]
    assert limit["seconds_an_image"] == sum(phase["seconds"] for phase in limit["phases"])
    share = limit["seconds_an_image"] * 9
    assert by_name["replica"]["share_of_limit"] == pytest.approx(share)
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| replica")]
    (row,) = rows
    pace = by_name["replica"]["images_per_second"]["median"]
    theirs = by_name["plain"]["images_per_second"]["median"]
    assert row[2:4] == ["9.00 (8.00 to 10.0)", f"{pace / theirs:.2f}"]
    assert row[4:] == ["–", "3.00", "1.00", "0.50", f"{share:.0%} |"]
    for line in printed.splitlines():
        if line.startswith("| "):
            assert line.count("|") in (10, 8), line
    for phase in limit["phases"]:
        assert f"| {phase['phase']['name']} |" in printed


def test_a_system_that_fails_is_one_sentence(question: Question, tmp_path: Path) -> None:
    """What a process says last is why; what it cannot do is bad usage."""
    with pytest.raises(UsageError, match="there is no checkpoint folder"):
        ask_process("plain", replace(question, model=str(tmp_path / "nowhere")))
    (tmp_path / "images" / "broken.png").write_bytes(b"this is a text")
    with pytest.raises(BucketsightError, match=r"^plain failed: .*not an image"):
        ask_process("plain", question)
