"""What `jobs/nightly.py --forget` says and answers, and what the other commands make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from jobs import compact, nightly, report, status, verify
from schemas.forgotten import Erasure
from schemas.image import ImageRef
from schemas.outcome import ErrorCode, ExitCode, UsageError
from tests.checkpoints import save_tiny_checkpoint
from tests.pictures import write_pictures
from tests.report.labelled import TASKS, answers, label, planned
from tests.runs import put
from workers import heartbeat
from workers.heartbeat import beating
from workers.inspection import find_runs
from workers.plan import Run, claim, finish, freeze, read_spec
from workers.plan.erasures import Erasures, read_erasures
from workers.store import remove

Forget = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Six images under `tmp_path`/in, asked all tasks; the last one failed."""
    pictures = write_pictures(tmp_path / "in", 6)
    tasks = tuple(sorted(TASKS, key=lambda task: task.spec.key()))
    run, plan = planned(str(tmp_path), 2)

    def answered(image: ImageRef, number: int) -> dict[str, Any]:
        return answers(image, number) | {"meaning_id": run.spec.job.meaning_id()}

    label(run, plan, tasks, answered, {pictures[5].name: ErrorCode.TRUNCATED})
    finish(run, plan, {})
    return run


@pytest.fixture
def forget(tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> Forget:
    """Runs the command over the collections `shop` and `art`, of which `art` was never labelled;
    its exit code and what it said.
    """
    tables = [
        f'[[collection]]\nname = "{name}"\n'
        f'input = "{tmp_path}/in"\noutput = "{tmp_path}/{output}"\n'
        f'tasks = ["caption"]\nmodel = "{checkpoint}"\nquant = "none"\ndevice = "cpu"\n'
        for name, output in (("shop", "out"), ("shop by night", "out/"), ("art", "art"))
    ]
    tables[1] = tables[1].replace('"caption"', '"caption", "tags"')
    place = tmp_path / "night.toml"
    place.write_text("".join(tables))

    def call(*uris: object, flags: tuple[str, ...] = ()) -> tuple[int, str]:
        code = nightly.main([str(place), *flags, "--forget", *map(str, uris)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def touched(place: Path) -> dict[Path, int]:
    """Every file, and when it was written."""
    return {path: path.stat().st_mtime_ns for path in sorted(place.rglob("*")) if path.is_file()}


def test_all_commands_go_on_without_it(
    forget: Forget, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two images go, the only failed one among them, in all collections that share the OUTPUT; the
    rows of all tasks that stay are as they were, and no line names what went.
    """
    pictures = sorted((tmp_path / "in").iterdir())
    gone = [pictures[1], pictures[5]]
    parts = sorted(Path(run.output, run.names.labels).glob("*.parquet"))
    before = [pq.ParquetFile(part).read() for part in parts]
    assert report.main([run.output]) == 0
    code, said = forget(*gone, tmp_path / "in" / "other.png")
    assert code == ExitCode.COMPLETE
    assert "shop, shop by night: erased 4 rows in 3 files" in said
    assert "art: no rows of these images" in said
    assert "nothing is known of URI 3 of 3, in no collection" in said
    assert not [picture for picture in gone if picture.name in said]
    assert not Path(run.output, "report.html").exists()
    for part, table in zip(parts, before, strict=True):
        ids = duckdb.sql(f"SELECT item_id FROM '{part}'").fetchall()
        kept = [row for row in table.to_pylist() if row["item_id"] not in map(str, gone)]
        assert pq.ParquetFile(part).read().to_pylist() == kept
        assert [item for (item,) in ids] == [row["item_id"] for row in kept]
    assert forget(*gone) == (
        ExitCode.COMPLETE,
        "shop, shop by night: no rows of these images; 2 forgotten before\n"
        "art: no rows of these images; 2 forgotten before\n",
    )
    with pytest.raises(UsageError, match="holds no run"):
        find_runs(str(tmp_path / "art"))
    kept_out = read_erasures(str(tmp_path / "art"))
    assert all(kept_out.forgets(str(picture)) for picture in gone) and not kept_out.open
    assert not kept_out.forgets(str(tmp_path / "in" / "other.png"))

    capsys.readouterr()
    assert verify.main([run.output]) == 0
    assert "whole: 6 images = 4 labelled + 0 failed + 2 forgotten" in capsys.readouterr().out
    assert status.main([run.output]) == 0
    assert "4 of 6 images labelled (66 %), 0 failed, 2 forgotten" in capsys.readouterr().out
    assert report.main([run.output]) == 0
    page = Path(run.output, "report.html").read_text()
    assert not [picture for picture in gone if picture.name in page]
    assert compact.main([run.output]) == 0
    assert compact.main([run.output, "--to", "jsonl", str(tmp_path / "rows")]) == 0
    assert (tmp_path / "rows" / "rows-00000.jsonl").read_text().count("\n") == 4


def test_what_could_not_be_looked_at_is_not_called_unknown(
    forget: Forget, run: Run, tmp_path: Path
) -> None:
    """Neither where a file cannot be read, nor where a whole OUTPUT cannot: each URI that is not
    surely gone is told by its number, with the collections, and the exit code is no success.
    """
    uri = sorted((tmp_path / "in").iterdir())[1]
    record = Erasure(1, "token", "", "", "00", (), ()).names.erasure
    put(str(tmp_path / "art"), record, b"no JSON")
    code, said = forget(uri)
    assert code != ExitCode.COMPLETE
    assert "URI 1 of 1: not erased in art; " in said
    assert "no run into these outputs" not in said and "nothing is known" not in said
    (tmp_path / "art" / record).unlink()
    put(run.output, "runs/00000009/plan/x/page-00000.parquet", b"garbage")
    code, said = forget(tmp_path / "in" / "other.png")
    assert (code, "nothing is known" in said) == (ExitCode.FAILED, False)
    assert "URI 1 of 1: not erased in shop, shop by night; " in said


def test_no_night_begins_before_an_erasure_has_ended(
    forget: Forget,
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that was left in the middle stops the collection with 75, one that cannot be read with 2,
    and neither leaves a run behind; nor is one gone on with that is claimed or planned already.
    """
    monkeypatch.setattr(heartbeat, "SECONDS_OF_SILENCE", 0.0)
    night = tmp_path / "night.toml"
    night.write_text(night.read_text().partition('[[collection]]\nname = "art"')[0])
    begun = Erasure(1, "token", "", "", "00", ("0" * 64,), ())
    for record, code in ((b"no JSON", ExitCode.USAGE), (begun.to_json(), ExitCode.INTERRUPTED)):
        put(run.output, begun.names.erasure, record)
        assert nightly.main([str(night)]) == code
        assert [files.ordinal for files in find_runs(run.output)] == [1]
        remove(f"{run.output}/{begun.names.erasure}")
    capsys.readouterr()
    put(run.output, begun.names.erasure, begun.to_json())
    with monkeypatch.context() as patched:  # it begins just after the claim
        patched.setattr(claim, "read_erasures", lambda output, patience: Erasures(output, [], []))
        assert nightly.main([str(night)]) == 75
    said = capsys.readouterr().err
    assert said.count("rows are being erased, or were until somebody was interrupted") == 2
    remove(f"{run.output}/{begun.names.erasure}")
    for ordinal in (2, 3):
        spec = read_spec(run.output, ordinal)
        assert spec
        freeze(Run(spec, finished=False), 2, lambda: ("cpu", 8))
    put(run.output, begun.names.erasure, begun.to_json())
    assert nightly.main([str(night)]) == 75
    assert "rows are being erased" in capsys.readouterr().err
    assert [path.name for path in Path(run.output, "labels").iterdir()] == ["run=00000001"]


def test_nothing_is_touched_without_need(
    forget: Forget, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no URI is known the answer is 2, where a driver works on one of the collections 75, and
    beside a flag that says how to label 2.
    """
    before = touched(tmp_path)
    code, said = forget(tmp_path / "in", "s3://other/1.png", "\udcff")
    assert (code, said.count("nothing is known of URI")) == (ExitCode.USAGE, 3)
    uri = next((tmp_path / "in").iterdir())
    code, said = forget(uri, flags=("--max-images", "3"))
    assert (code, "--forget labels nothing: leave --max-images out" in said) == (2, True)
    assert touched(tmp_path) == before
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN_BEATS", 0.2)
    other, _ = planned(str(tmp_path), quantization="bf16")
    with beating(other.output, other.spec.run_id, print):
        before = touched(tmp_path)
        code, said = forget(uri)
        after = touched(tmp_path)
    assert (code, "run 00000002 is being worked on" in said) == (ExitCode.INTERRUPTED, True)
    assert {path for path in after if after[path] != before.get(path)} <= {
        Path(other.output, other.names.heartbeat)
    }
