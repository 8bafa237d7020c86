"""--plan: what a job would take, said before it and held against it afterwards."""

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from jobs import caption_bucket, labelling, replay
from jobs.estimated import told
from jobs.summary import compared
from schemas.outcome import LimitReachedError, ReplicaError
from schemas.run import Result
from tests.checkpoints import save_tiny_checkpoint
from tests.pictures import write_broken, write_pictures
from tests.replicas import DeadlyReplica, FakeReplica, does_not_load, image_lives
from workers import signals
from workers.driver import run
from workers.estimate import Estimated, estimate_job
from workers.inspection import find_runs, prove
from workers.request import Options, Request, Wish
from workers.store import fetch

PICTURES = 60


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One Ray for all tests of this file, with room for two replicas."""
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


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """A job that ends in this process leaves it deaf to signals."""
    with signals.restored():
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "in", PICTURES)
    return tmp_path / "in"


def result_of(output: Path) -> Result:
    return Result.from_json((output / "runs/00000001/result.json").read_bytes(), "result.json")


def files_of(output: Path) -> list[str]:
    return sorted(str(path.relative_to(output)) for path in output.rglob("*"))


def test_what_is_said_is_held_against_what_it_took(
    images: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan claims nothing and leaves one file; the run tells both; what is done is not planned
    again, and what failed is planned for a replay, of which nothing can be labelled.
    """
    output = tmp_path / "out"
    write_broken(images)
    command = [str(images), str(output), "--model", model, "--batch-size", "4"]
    assert caption_bucket.main([*command, "--plan", "--price-per-hour", "3.5"]) == 0
    said = capsys.readouterr().out
    assert f"  {PICTURES + 3} images, " in said
    assert "63 .png" in said
    assert re.search(r"failures   [123] of \d\d that 2 replicas looked at", said)
    assert re.search(r"\n +2 +\d+ s \(.*\) .*\(.*\)  ← as it is now\n", said)
    assert "More than 13 have nothing to do" in said
    (kept,) = (output / "estimates").iterdir()
    assert files_of(output) == ["estimates", f"estimates/{kept.name}"]
    assert str(kept) in said

    assert caption_bucket.main(command) == 0
    result = result_of(output)
    assert result.estimate and result.outcome
    assert result.estimate.to_json() == kept.read_bytes()
    assert (result.estimate.images, result.outcome.images) == (PICTURES + 3, PICTURES + 3)
    assert result.outcome.replicas == 2
    assert 0 < result.outcome.seconds <= result.outcome.replica_seconds
    summary = capsys.readouterr().out
    assert re.search(r"\n(As|Otherwise than) estimated: .* s of work on 2 replicas, was ", summary)
    assert "%, were 4.8 %." in summary
    assert all(prove(str(output), run).whole for run in find_runs(str(output)))
    assert prove(str(output), find_runs(str(output))[0]).failed == 3

    assert caption_bucket.main([*command, "--plan"]) == 0
    assert capsys.readouterr().out.startswith("Run 00000001 did this job already: it would do no")
    assert replay.main([str(output), "--model", model, "--plan"]) == 3
    told_of_replay = capsys.readouterr()
    assert "  3 images, " in told_of_replay.out
    assert "failures   3 of 3 that" in told_of_replay.out
    assert "1 empty_file, 1 not_an_image, 1 truncated" in told_of_replay.out
    assert "not one of the sample's 3 images could be labelled" in told_of_replay.err
    assert len(list((output / "estimates").iterdir())) == 1
    assert len(find_runs(str(output))) == 1


def test_a_run_that_is_begun_and_a_night_owe_less(images: Path, tmp_path: Path, model: str) -> None:
    """Of an unfinished run its done images are subtracted, and its outcome is held against the
    estimate by its speed; a new run is planned as one; a night owes only what came since.
    """
    output = tmp_path / "out"
    request = Request(str(images), str(output), (Wish("caption"),), model)

    def planned(request: Request = request, **options: bool) -> tuple[Estimated, str]:
        found = estimate_job(request, Options(**options), print, FakeReplica)
        return found, told(found, None)

    first = planned()[0].estimate
    run(request, Options(), print, FakeReplica)
    gone = result_of(output).parts[-1]
    (output / gone.name).unlink()
    (output / "runs/00000001/result.json").unlink()
    found, said = planned()
    assert f"Run 00000001 goes on: {PICTURES - 7} of {PICTURES} images are done\n  7 imag" in said
    assert found.estimate and found.estimate.run_id == "00000001"
    assert f"  {PICTURES} images, " in planned(new_run=True)[1]

    Path(found.place).write_bytes(first.to_json() if first else b"")
    run(request, Options(), print, FakeReplica)
    result = result_of(output)
    assert result.outcome and (result.outcome.images, result.outcome.images_before) == (7, 53)
    (line,) = compared(result)
    assert re.search(r"images/s a replica, were \S+ in the 7 images that this command saw", line)

    write_pictures(images, 2, first=PICTURES)
    nightly = replace(request, incremental=True)
    night = planned(nightly)[0]
    assert night.stock and night.estimate
    assert (night.stock.images, night.estimate.images_done) == (2, 0)
    assert night.stock.skipped == {"settled": PICTURES}
    assert night.estimate.ordinal == 2
    assert len(find_runs(str(output))) == 1

    with pytest.raises(LimitReachedError):
        run(nightly, Options(shard_images=2, until=0.0), print, FakeReplica)
    limited = estimate_job(nightly, Options(most_images=1), print, FakeReplica)
    # that is less than a shard: the night would plan it anew
    assert limited.stock and limited.estimate and limited.run is None
    assert limited.stock.skipped == {"settled": PICTURES, "left": 1}
    assert (limited.estimate.images, limited.estimate.ordinal) == (1, 3)


def test_the_estimate_is_what_the_replicas_said(images: Path, bucket: str, model: str) -> None:
    """Seconds and bytes of replicas that tell exact ones; it is kept in a bucket, too, where the
    next one replaces it.
    """
    request = Request(str(images), f"{bucket}/out", (Wish("caption"),), model)
    options = Options(replicas=1, batch_size=2, shard_images=30)
    said: list[str] = []
    found = estimate_job(request, options, said.append, FakeReplica)
    assert found.estimate and found.rehearsal
    one = found.estimate
    # 48 are looked at, 2 of them before it counts; a quarter by itself, then the rest
    assert (one.sampled, one.rehearsed_by, one.replicas) == (48, 1, 1)
    assert [told.images for told in found.rehearsal.timed] == [11, 30, 5]
    assert (one.seconds_per_image, one.seconds_per_shard) == pytest.approx((0.01, 0.5))
    assert one.shards == ((30, 2),)
    assert one.seconds(1).likely == pytest.approx(1.6)
    assert one.seconds(5).likely == pytest.approx(0.8)
    assert one.output_bytes == pytest.approx(60 * 1.0 + 2 * 1000)
    assert fetch(found.place) == one.to_json()
    again = estimate_job(request, replace(options, shard_images=60), print, FakeReplica)
    assert again.estimate and again.estimate.shards == ((60, 1),)
    assert fetch(found.place) == again.estimate.to_json()
    assert f"{PICTURES} images are owed; 1 replica on cpu look at some" in said


def test_an_estimate_that_cannot_be_kept_is_told(images: Path, tmp_path: Path, model: str) -> None:
    """A file stands where the folder would be."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "estimates").write_text("mine")
    request = Request(str(images), str(tmp_path / "out"), (Wish("caption"),), model)
    found = estimate_job(request, Options(replicas=1), print, FakeReplica)
    assert found.estimate
    assert "a file stands where a folder is named" in found.not_kept
    assert files_of(tmp_path / "out") == ["estimates"]


def test_replicas_that_do_not_start_or_die_are_one_sentence(
    images: Path, tmp_path: Path, model: str
) -> None:
    """A model that does not load, and an image that ends whoever looks at it."""
    request = Request(str(images), str(tmp_path / "out"), (Wish("caption"),), model)
    with pytest.raises(ReplicaError, match="did not start: RuntimeError: no driver for this dev"):
        estimate_job(request, Options(), print, does_not_load)
    for image in images.iterdir():
        image_lives(image).write_text("99")
    with pytest.raises(ReplicaError, match="was lost while it looked at a sample"):
        estimate_job(request, Options(replicas=1), print, DeadlyReplica)
    assert not (tmp_path / "out").exists()


def test_ctrl_c_ends_it_quietly(
    images: Path,
    tmp_path: Path,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, exit code 75, nothing in OUTPUT, and no replica that goes on."""

    def say(line: str) -> None:
        print(line)
        if "look at some" in line:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(labelling, "say", say)
    monkeypatch.setattr(labelling, "prepare_ray", lambda: None)
    command = [str(images), str(tmp_path / "out"), "--model", model, "--plan"]
    assert caption_bucket.main(command) == 75
    assert capsys.readouterr().out.endswith("caption_bucket: stopped; nothing is estimated\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--price-per-hour", "1"], "--price-per-hour is for --plan"),
        (["--plan", "--price-per-hour", "-1"], "'-1' is not a price"),
        (["--plan", "--price-per-hour", "nan"], "'nan' is not a price"),
        (["--plan", "--json"], "unrecognized arguments: --json"),
        (["--plan"], "holds no image"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(
    flags: list[str],
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, whatever is wrong, and nothing is written."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text(json.dumps(flags))
    try:
        code = caption_bucket.main([str(tmp_path / "in"), str(tmp_path / "out"), *flags])
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 2
    assert why in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
