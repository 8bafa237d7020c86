"""jobs/status.py: what people and scripts are told of a run."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from jobs import status
from jobs.again import command_for, interpreter
from schemas.image import InputFormat
from schemas.outcome import ErrorCode
from schemas.run import Heartbeat
from tests.inspected import change_bytes, finished, label, planned
from tests.jobs.commands import ROOT, environment
from tests.runs import caption, job_spec, put
from workers.model.description import SHIPPED, describe
from workers.plan import Run
from workers.tasks.ask import Question
from workers.tasks.choose import Choose
from workers.tasks.tags import THRESHOLD, TOP, Tags


def told(run: Run, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert status.main([run.output, *flags]) == 0
    return capsys.readouterr().out


def beat(run: Run, seconds_ago: float) -> None:
    heartbeat = Heartbeat(run.spec.run_id, time.time() - seconds_ago, "gpu-7", 1, 2, 4, 0.1, False)
    put(run.output, run.names.heartbeat, heartbeat.to_json())


def test_a_run_at_work_is_told_at_a_glance(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Who works, what is done, failed and owed, how fast, and how long yet."""
    run, plan = planned(store)
    label(run, plan, skip={0, 3})
    beat(run, seconds_ago=1)
    lines = told(run, capsys).splitlines()
    assert lines[0].startswith("Run 00000001: working (2 replicas, gpu-7, last heard of ")
    assert lines[1:] == [
        f"  caption of {store}/in by pocket, --quant none",
        "  2 of 7 images labelled (28 %), 2 failed, 3 owed",
        "  failed: 2 truncated",
        "  2 of 4 parts committed",
        "  0.1 images/s, 30 s left",
        "Not looked at: 1 other file (1 without an image's extension).",
    ]


def test_a_stopped_run_tells_what_goes_on_with_it(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A heartbeat older than a minute is a driver that is gone."""
    run, plan = planned(folder)
    label(run, plan, skip={3})
    beat(run, seconds_ago=3 * 60 + 1)
    lines = told(run, capsys).splitlines()
    assert lines[0] == "Run 00000001: stopped, last heard of 3 min ago"
    assert lines[-2] == "Go on with it:"
    assert lines[-1] == f"  {command_for(run.spec.job)}"
    assert not [line for line in lines if "images/s" in line]


def test_a_finished_run_and_those_that_are_not_are_told(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest run is told of, or --run; other unfinished ones, and who took a job over."""
    planned(folder)
    planned(folder, prompt="something <ImageHere> else")
    run, _ = finished(folder, new_run=True)
    lines = told(run, capsys).splitlines()
    assert lines[0] == "Run 00000003: finished"
    assert lines[-1] == "Unfinished, too: run 00000001, 00000002 (--run N tells of one)."
    first = told(run, capsys, "--run", "00000001").splitlines()
    assert first[0] == "Run 00000001: not started"
    assert first[-2:] == [
        "Run 00000003 is of the same job and newer: nothing goes on with this one.",
        "Unfinished, too: run 00000002 (--run N tells of one).",
    ]
    assert "Go on with it:" not in first
    assert "Go on with it:" in told(run, capsys, "--run", "2")


def test_json_tells_the_same(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One object, numbers as numbers."""
    run, plan = planned(folder)
    label(run, plan, skip={0})
    beat(run, seconds_ago=100)
    change_bytes(run, run.names.part(2), lambda data: b"garbage")
    found = json.loads(told(run, capsys, "--json"))
    assert found["heartbeat"].pop("seconds_ago") >= 100
    assert found["heartbeat"]["replicas"] == 2
    assert (found["run"], found["state"], found["unfinished"]) == ("00000001", "stopped", [])
    assert (found["images"], found["labelled"], found["failed"], found["owed"]) == (7, 1, 2, 2)
    assert (found["shards"], found["parts"], found["strange"]) == (4, 2, [run.names.part(2)])
    assert (found["failed_by_code"], found["skipped"]) == ({"truncated": 2}, {"extension": 1})
    assert (found["input"], found["output"]) == (run.spec.job.input, run.output)
    assert found["quantization"] == run.spec.job.quantization
    assert found["command"] == command_for(run.spec.job)


def test_a_place_without_runs_is_bad_usage(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one sentence; likewise for a run that is not there."""
    assert status.main([store]) == 2
    assert capsys.readouterr().err == (
        f"status: {store} holds no run: name the OUTPUT of a labelling job\n"
    )
    run, _ = planned(store)
    assert status.main([run.output, "--run", "9"]) == 2
    assert "holds no run 9" in capsys.readouterr().err


@pytest.mark.parametrize("job", ["status", "verify", "report"])
def test_neither_torch_nor_ray_is_loaded(job: str, folder: str) -> None:
    """A look at a run is quick, and works where there is neither."""
    run, _ = finished(folder)
    code = (
        f"import sys; from jobs import {job}; code = {job}.main(sys.argv[1:]); "
        "sys.exit(code or str(sorted({'torch', 'ray', 'transformers'} & sys.modules.keys())))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, run.output],
        cwd=ROOT,
        env=environment(),
        text=True,
        capture_output=True,
    )
    assert "00000001" in ended.stdout
    assert ended.stderr == "[]\n"


def test_the_command_goes_on_with_just_that_job() -> None:
    """What the shipped model would ask by itself is left out, all else is said."""
    pocket = describe(SHIPPED / "pocket")
    job = job_spec(
        "/my in",
        "/out",
        model_digest=pocket.manifest.digest,
        prompt=pocket.generation.caption_prompt,
    )
    python = interpreter()
    assert command_for(job) == f"{python} jobs/caption_bucket.py '/my in' /out --quant none"
    other = replace(
        job, tasks=(caption("<ImageHere>?"),), input_format=InputFormat.CSV, image_column="u"
    )
    assert command_for(other) == (
        f"{python} jobs/caption_bucket.py '/my in' /out --quant none --prompt '<ImageHere>?' "
        "--input-format csv --image-column u"
    )
    mine = replace(job, model_digest="1" * 64, quantization="int8")
    assert "--model FOLDER --quant int8 --prompt" in command_for(mine)
    manifest = replace(job, input="/list.csv", input_format=InputFormat.CSV)
    assert command_for(manifest) == f"{python} jobs/caption_bucket.py /list.csv /out --quant none"
    both = (caption("<ImageHere>?"), Tags("<ImageHere>", 20, (), TOP, THRESHOLD).spec)
    assert command_for(replace(job, tasks=both)) == (
        f"{python} jobs/label_bucket.py '/my in' /out --quant none --tasks caption,tags "
        "--prompt '<ImageHere>?'"
    )
    replay = replace(job, replay_of="00000002", replay_codes=(ErrorCode.TRUNCATED,))
    assert command_for(replay) == f"{python} jobs/replay.py /out --run 00000002 --code truncated"


def test_what_cannot_be_typed_names_the_evaluation() -> None:
    """A question whose text comes from a column is an evaluation's, and so is multiple choice: no
    labelling job asks them.
    """
    python = interpreter()
    choose = job_spec(tasks=(Choose("<ImageHere> {text}").spec,), text="column:question")
    assert command_for(choose) == f"{python} jobs/evaluate.py, with the flags that it was given"
    task = Question("answer", "<ImageHere> {text}", 20, with_text=True)
    job = job_spec(tasks=(task.spec,), text="column:question")
    assert command_for(job) == f"{python} jobs/evaluate.py, with the flags that it was given"
    typed = job_spec(tasks=(replace(task, with_text=False).spec,))
    assert "--ask 'answer=<ImageHere> {text}'" in command_for(typed)
