"""jobs/benchmark.py from its command line, with a model that knows nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from benchmarks.comparison.question import Question, cores
from benchmarks.comparison.rounds import ask_process
from jobs import benchmark
from tests.checkpoints import save_tiny_checkpoint, tiny_model
from tests.pictures import write_broken, write_pictures

FIGURES = {
    "images_per_second",
    "images_per_second_in_all",
    "seconds_to_first",
    "seconds_to_load",
    "peak_bytes",
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def flags(checkpoint: str, tmp_path: Path) -> list[str]:
    """A model, and a folder of three pictures and some broken ones."""
    write_broken(tmp_path / "images")
    write_pictures(tmp_path / "images", 3)
    return ["--model", checkpoint, "--images", str(tmp_path / "images"), "--device", "cpu"]


def test_one_command_is_one_table(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replica is measured against the machine's limit; the file holds what the table says."""
    records = tmp_path / "records.json"
    small = ["--systems", "replica,three", "--count", "4", "--rounds", "1"]
    assert benchmark.main([*flags, *small, "--json", str(records)]) == 0
    told = capsys.readouterr()
    record = json.loads(records.read_text())
    replica, three = record["systems"]
    shares = {"share_of_limit", "times_captions"}
    assert replica.keys() == three.keys() == {"system", "how", *FIGURES, *shares, "rounds"}
    assert replica["images_per_second_in_all"] is None
    assert replica["images_per_second"]["median"] > 0
    assert 0 < replica["share_of_limit"] < 1
    assert three["times_captions"]["median"] > 0
    assert record["images"] == 4
    assert record["command"].startswith("python jobs/benchmark.py --model ")
    assert f"| replica | {replica['how']} |" in told.out
    assert all(math.isfinite(rate) for rate in record["limit"]["rates"].values())
    assert told.err.startswith("round 1 of 1: replica ")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--model", "{nowhere}"], "there is no model"),
        (["--json", "{nowhere}/records.json"], "not there"),
        (["--images", "{nowhere}"], "there is no folder of pictures"),
        (["--device", "cuda"], "no GPU"),
        (["--quant", "fp8"], "fp8 needs a GPU"),
        (["--model", "{int8}"], "plain transformers cannot read it"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    asked: list[str],
    said: str,
    flags: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot be compared is one sentence and exit code 2."""
    if "cuda" in asked and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    if "{int8}" in asked:
        tiny_model().save_pretrained(tmp_path / "int8", quant="int8")
    asked = [flag.format(nowhere=tmp_path / "nowhere", int8=tmp_path / "int8") for flag in asked]
    assert benchmark.main([*flags, *asked]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


@pytest.mark.parametrize("systems", ["replica,somebody", "plain,plain"])
def test_systems_that_are_none(systems: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A system that is not known, or named twice, is refused with the flag's name."""
    with pytest.raises(SystemExit) as left:
        benchmark.main(["--systems", systems])
    assert left.value.code == 2
    assert "--systems" in capsys.readouterr().err


@pytest.mark.parametrize("system", ["job", "ray-data"])
def test_a_job_is_measured_from_its_rows(system: str, checkpoint: str, tmp_path: Path) -> None:
    """Every picture is labelled; the first file comes before the end, some process has a peak."""
    # More than two batches of two a replica, of which there may be one a core.
    paths = write_pictures(tmp_path / "images", 4 * cores() + 6)
    question = Question(
        images=str(tmp_path / "images"),
        model=checkpoint,
        device="cpu",
        quant="auto",
        batch_size=2,
        cpus_per_replica=1,
        plain_batch=2,
    )
    (answer,) = ask_process(system, question)
    assert answer["seconds_to_first"] <= len(paths) / answer["images_per_second_in_all"]
    assert answer["images_per_second"] > answer["images_per_second_in_all"] > 0
    assert answer["peak_bytes"] > 2**20
