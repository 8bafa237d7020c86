"""Nights, one after the other, on a real Ray."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
import ray

from jobs import nightly, status, verify
from schemas.outcome import ExitCode
from tests.checkpoints import save_tiny_checkpoint
from tests.pictures import write_pictures
from workers import heartbeat


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One Ray for all nights of this file."""
    ray.init(
        address="local",
        num_cpus=3,
        include_dashboard=False,
        object_store_memory=100_000_000,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


def collection(tmp_path: Path, checkpoint: Path, name: str, **keys: object) -> str:
    """A table that captions the folder `name`."""
    values = {
        "name": name,
        "input": str(tmp_path / name),
        "output": str(tmp_path / f"{name}-labels"),
        "tasks": ["caption"],
        "model": str(checkpoint),
        "quant": "none",
        "device": "cpu",
    }
    lines = [f"{key} = {value!r}" for key, value in (values | keys).items()]
    return "\n".join(["[[collection]]", *lines, ""])


Night = Callable[..., tuple[int, str]]


@pytest.fixture
def night(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Night:
    """Runs a night; its exit code and what it said."""

    def call(*tables: str, flags: tuple[str, ...] = ()) -> tuple[int, str]:
        place = tmp_path / "night.toml"
        place.write_text("".join(tables))
        code = nightly.main([str(place), *flags])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def inferences(output: Path) -> list[int]:
    """How many images each run looked at, by its rows."""
    runs = sorted((output / "runs").glob("[0-9]*"))
    parts = [list((output / "labels" / f"run={run.name}").glob("*.parquet")) for run in runs]
    return [
        sum(duckdb.sql(f"SELECT count(*) FROM '{part}'").fetchall()[0][0] for part in some)
        for some in parts
    ]


def test_nights_cost_what_is_owed(
    night: Night, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unchanged is nothing, one file that was written over is one, a new one is one, another prompt
    is all; what was deleted is told; and every night is proven.
    """
    pictures = write_pictures(tmp_path / "shop", 5)
    table = collection(tmp_path, checkpoint, "shop")
    code, said = night(table)
    assert (code, "looked at 5 images: 5 labelled" in said) == (0, True)
    code, said = night(table)
    assert (code, "shop: nothing is owed (run 00000002); 5 settled before." in said) == (
        0,
        True,
    )
    shutil.copy(pictures[0], pictures[1])
    pictures[4].rename(pictures[4].with_name("moved.png"))
    code, said = night(table)
    assert "looked at 2 images: 2 labelled; 3 settled before, 1 no longer in INPUT" in said
    other = collection(tmp_path, checkpoint, "shop", prompt="detailed")
    code, said = night(other)
    assert inferences(tmp_path / "shop-labels") == [5, 0, 2, 5]
    assert verify.main([str(tmp_path / "shop-labels")]) == 0
    told = capsys.readouterr().out
    assert "5 listed = 2 images + 3 skipped, 3 of them settled before" in told
    assert len(re.findall("is whole", told)) == 4
    assert status.main([str(tmp_path / "shop-labels"), "--run", "2"]) == 0
    assert "5 settled before, 0 left for the next night" in capsys.readouterr().out


def test_a_collection_in_trouble_keeps_no_other_from_its_turn(
    night: Night, tmp_path: Path, checkpoint: Path
) -> None:
    """The night goes on, says which it was, and ends with the worst exit code of all."""
    write_pictures(tmp_path / "good", 2)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "no.png").write_text("no picture")
    tables = [
        collection(tmp_path, checkpoint, "missing"),
        collection(tmp_path, checkpoint, "broken", max_failed=0),
        collection(tmp_path, checkpoint, "good"),
    ]
    code, said = night(*tables)
    assert code == ExitCode.USAGE
    assert re.search("nightly: missing: .*no such file or folder", said)
    assert "nightly: broken: 1 image failed, max_failed allows 0" in said
    assert "good: run 00000001 looked at 2 images: 2 labelled" in said
    assert not (tmp_path / "missing-labels").exists()
    assert night(*tables[1:])[0] == ExitCode.COMPLETE


def test_the_limits_of_a_night_are_for_all_collections(
    night: Night, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one collection took of them the next one has no more; in the end nothing is owed."""
    monkeypatch.setattr(heartbeat, "SECONDS_OF_SILENCE", 0.0)
    for name in ("one", "two"):
        write_pictures(tmp_path / name, 3)
    tables = [
        collection(tmp_path, checkpoint, "one", max_images=2),
        collection(tmp_path, checkpoint, "two"),
    ]
    looked = []
    for flags in (("--max-images", "3"), ("--deadline", "0.001s"), ("--max-images", "3")):
        code, said = night(*tables, flags=flags)
        assert code == ExitCode.COMPLETE
        looked.append([sum(inferences(tmp_path / f"{n}-labels")) for n in ("one", "two")])
    assert looked == [[2, 1], [2, 1], [3, 3]]
    assert "left for the next night" not in said
