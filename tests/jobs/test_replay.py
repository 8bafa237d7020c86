"""jobs/replay.py: which run it replays, and a replay from beginning to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs import replay
from jobs.again import interpreter
from jobs.arguments import LabellingArguments
from schemas.outcome import ErrorCode
from schemas.run import RunNames
from tests.inspected import finished, planned
from tests.jobs.commands import PATIENCE, ROOT, caption, environment
from tests.pictures import picture, write_pictures
from tests.runs import put
from workers.model.description import SHIPPED, describe

POCKET = describe(SHIPPED / "pocket").manifest.digest


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[LabellingArguments]:
    """What would be run, instead of running it."""
    given: list[LabellingArguments] = []

    def run_job(program: str, arguments: LabellingArguments) -> int:
        assert program == "replay"
        given.append(arguments)
        return 0

    monkeypatch.setattr(replay, "run_job", run_job)
    return given


def replayed(output: str, asked: list[LabellingArguments], *flags: str) -> str:
    """The run that these flags replay."""
    assert replay.main([output, *flags]) == 0
    return asked.pop().request.replay_of


def test_the_newest_run_with_failures_is_replayed(
    folder: str, asked: list[LabellingArguments]
) -> None:
    """No replay, no unfinished run, and none whose job was done again since; else --run."""
    model = {"model_digest": POCKET}
    run, _ = finished(folder, **model)
    assert replayed(run.output, asked) == "00000001"
    finished(folder, failing=(), prompt="a better <ImageHere>", **model)
    assert replayed(run.output, asked) == "00000001"
    finished(folder, failing=(0,), replay_of="00000001", **model)
    planned(folder, prompt="under way <ImageHere>", **model)
    assert replayed(run.output, asked) == "00000001"
    assert replayed(run.output, asked, "--run", "3") == "00000003"
    finished(folder, failing=(0, 1), prompt="the best <ImageHere>", **model)
    assert replayed(run.output, asked) == "00000005"


def test_what_was_done_well_since_is_not_replayed(
    folder: str, asked: list[LabellingArguments], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same job, begun anew and without failures, leaves nothing to do; nor do other codes."""
    run, _ = finished(folder, model_digest=POCKET)
    assert replay.main([run.output, "--code", "not_found", "--code", "forbidden"]) == 0
    assert capsys.readouterr().out == (
        "Nothing to replay: no image failed with forbidden or not_found.\n"
    )
    finished(folder, failing=(), new_run=True, model_digest=POCKET)
    assert replay.main([run.output]) == 0
    assert capsys.readouterr().out == "Nothing to replay: no image failed.\n"
    assert not asked


def test_what_failed_in_a_night_is_replayed_after_idle_ones(
    folder: str, asked: list[LabellingArguments], capsys: pytest.CaptureFixture[str]
) -> None:
    """A later night does not look again at what lies in the image. Of a pruned run nothing tells
    what failed: an older one is taken, and where there is none that is said.
    """
    once = {"model_digest": POCKET}
    run, _ = finished(folder, **once)
    finished(folder, incremental=True, **once, prompt="every night <ImageHere>")
    finished(folder, failing=(), incremental=True, **once, prompt="every night <ImageHere>")
    assert replayed(run.output, asked) == "00000002"
    put(run.output, RunNames(2).pruned, b"{}")
    assert replayed(run.output, asked) == "00000001"
    put(run.output, RunNames(1).pruned, b"{}")
    assert replay.main([run.output]) == 2
    assert "run 00000002 is pruned" in capsys.readouterr().err
    assert not asked


def test_the_replay_asks_what_the_run_asked(folder: str, asked: list[LabellingArguments]) -> None:
    """INPUT, prompt, model and --quant are the run's; codes, and how it runs, the command's."""
    run, _ = finished(folder, model_digest=POCKET, quantization="int4")
    flags = ("--code", "truncated", "--code", "truncated", "--replicas", "2", "--max-failed", "3")
    assert replay.main([run.output, *flags]) == 0
    request, options = asked[0].request, asked[0].options
    job = request.resolve("cuda")  # where `auto` would not come to int4
    assert (job.input, job.output) == (run.spec.job.input, run.output)
    assert (job.tasks, job.model_digest) == (run.spec.job.tasks, POCKET)
    assert job.quantization == "int4"
    assert (job.replay_of, job.replay_codes) == ("00000001", (ErrorCode.TRUNCATED,))
    assert (options.replicas, options.new_run, asked[0].max_failed) == (2, False, 3)


def test_an_unfinished_run_is_finished_first(
    folder: str, asked: list[LabellingArguments], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the command that finishes it."""
    run, _ = planned(folder, model_digest=POCKET)
    for flags in ([], ["--run", "1"]):
        assert replay.main([run.output, *flags]) == 2
        error = capsys.readouterr().err
        assert "run 00000001 is unfinished" in error
        assert f"finish it first, with {interpreter()} jobs/caption_bucket.py" in error
        assert error.count("\n") == 1
    assert not asked


def test_another_model_is_refused(
    folder: str, asked: list[LabellingArguments], capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that does not ship must be named, and must be the run's by its digest."""
    run, _ = finished(folder, model_id="mine")
    assert replay.main([run.output]) == 2
    assert "--model names its folder" in capsys.readouterr().err
    assert replay.main([run.output, "--model", "pocket"]) == 2
    assert "pocket is not the model of run 00000001: digest" in capsys.readouterr().err
    assert not asked


@pytest.mark.parametrize("flags", [["--run", "0"], ["--code", "bad_luck"], ["--new-run"]])
def test_a_wrong_flag_is_one_sentence(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A run that cannot be, a code that is none, a flag of other jobs."""
    with pytest.raises(SystemExit, match="2"):
        replay.main(["out", *flags])
    assert capsys.readouterr().err.count("\n") == 1


def command(job: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`python -m jobs.<job> …`."""
    return subprocess.run(
        [sys.executable, "-m", f"jobs.{job}", *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        text=True,
        capture_output=True,
        timeout=PATIENCE,
    )


def test_a_repaired_image_is_labelled_and_nothing_else(tmp_path: Path) -> None:
    """A truncated image fails, is repaired and replayed; status and verify agree; twice is once."""
    images, output = tmp_path / "in", tmp_path / "out"
    write_pictures(images, 4)
    cut, gone = images / "cut.png", images / "gone.png"
    cut.write_bytes(picture(9)[:-50])
    gone.write_bytes(b"no image at all")
    first = caption(images, output, "--replicas", "1")
    assert first.returncode == 0, first.stderr
    assert "4 of 6 images labelled, 2 failed (1 not_an_image, 1 truncated)." in first.stdout

    cut.write_bytes(picture(9))
    again = command("replay", output, "--code", "truncated", "--replicas", "1")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("1 of 1 images labelled.\n  cut.png: ")
    once_more = command("replay", output, "--code", "truncated")
    assert once_more.returncode == 0, once_more.stderr
    assert once_more.stdout.startswith("Run 00000002 replayed run 00000001 already.\n1 of 1 images")

    told = json.loads(command("status", output, "--json").stdout)
    assert (told["run"], told["state"], told["replay_of"]) == ("00000002", "finished", "00000001")
    assert (told["images"], told["labelled"], told["failed"]) == (1, 1, 0)
    proof = command("verify", output)
    assert proof.returncode == 0, proof.stdout
    assert "Run 00000001 is whole: 6 images = 4 labelled + 2 failed." in proof.stdout
    assert "Run 00000002 is whole: 1 image = 1 labelled + 0 failed." in proof.stdout
