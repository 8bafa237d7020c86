"""The captioning job as people start it: real processes, real files, a real S3 server."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pyarrow.parquet as pq
import pytest
import s3fs
import torch

from jobs.again import typed
from tests.checkpoints import save_tiny_checkpoint, tiny_model
from tests.jobs.commands import (
    PATIENCE,
    ROOT,
    caption,
    captioning,
    environment,
    parts,
    processes_with,
    wait_for,
)
from tests.pictures import write_broken, write_pictures
from tests.seaweed import Server
from workers.model import TinyGPTV

SMALL = ("--shard-images", "1", "--batch-size", "1", "--replicas", "1")
"""A part for each image, so that a run can be stopped anywhere."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures and three files that are none."""
    folder = tmp_path_factory.mktemp("images")
    write_pictures(folder / "pictures", 40)
    write_broken(folder / "broken")
    (folder / "notes.txt").write_text("no image, and not called one")
    return folder


@pytest.fixture(scope="module")
def undisturbed(
    images: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """OUTPUT of a run that nothing happened to, and how the command ended."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    ended = caption(images, output, "--model", model, *SMALL, BUCKETSIGHT_TEST=str(output))
    assert ended.returncode == 0, ended.stderr
    return output, ended


def rows_of(output: Path, run_id: str = "00000001") -> list[dict[str, Any]]:
    """All rows of a run, in the order of their images."""
    folder = output / "labels" / f"run={run_id}"
    rows: list[dict[str, Any]] = pq.read_table(folder, partitioning=None).to_pylist()
    return sorted(rows, key=lambda row: str(row["item_id"]))


def labels_of(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    names = ("item_id", "input_digest", "content_sha256", "status", "error_code", "caption")
    return [tuple(row[name] for name in names) for row in rows]


def test_every_image_of_a_folder_is_a_row(
    undisturbed: tuple[Path, subprocess.CompletedProcess[str]], images: Path
) -> None:
    """Pictures have the model's captions, broken files their error codes, and other files none."""
    rows = rows_of(undisturbed[0])
    pictures = sorted((images / "pictures").iterdir())
    broken = sorted((images / "broken").iterdir())
    assert [row["uri"] for row in rows] == [str(path) for path in broken + pictures]
    failed, labelled = rows[: len(broken)], rows[len(broken) :]
    assert [row["error_code"] for row in failed] == ["empty_file", "not_an_image", "truncated"]
    assert [row["caption"] for row in labelled] == tiny_model().caption(pictures)
    assert {row["status"] for row in labelled} == {"labelled"}


def test_a_log_ends_with_how_far_it_came(
    undisturbed: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Where standard error is no terminal its last line is JSON, with counts that add up."""
    told = json.loads(undisturbed[1].stderr.splitlines()[-1])
    assert (told["run"], told["ended"], told["images"], told["of"]) == ("00000001", True, 43, 43)
    assert (told["labelled"], told["failed"]) == (40, 3)
    assert told["failed_by_code"] == {"empty_file": 1, "not_an_image": 1, "truncated": 1}


def test_the_command_tells_how_it_ended(
    undisturbed: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Counts, five images with their captions, and where the labels are and how to read them."""
    output, ended = undisturbed
    lines = ended.stdout.splitlines()
    assert lines[0] == (
        "40 of 43 images labelled, 3 failed (1 empty_file, 1 not_an_image, 1 truncated)."
    )
    assert lines.pop(1) == f"Look at those again: {typed('jobs/replay.py', str(output))}"
    assert lines.pop(1) == "Not looked at: 1 other file (1 without an image's extension)."
    captions = {Path(row["uri"]).name: row["caption"] for row in rows_of(output)}
    shown = [line.strip().partition(": ") for line in lines[1:6]]
    assert all(captions[name] == eval(text) for name, _, text in shown)
    assert len({name for name, _, _ in shown}) == 5
    assert lines[6] == f"Labels: {output}/labels/run=00000001/*.parquet"
    assert "pandas.read_parquet(" in lines[7]
    assert "Traceback" not in ended.stderr


def test_the_hints_how_to_read_the_labels_are_right(
    undisturbed: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """The printed pandas call and the printed DuckDB query give the rows that pyarrow gives."""
    output, ended = undisturbed
    hint = ended.stdout.splitlines()[-1].removeprefix("Read them: ")
    call, query = hint.split(", or in DuckDB ")
    expected = {(row["uri"], row["caption"]) for row in rows_of(output)}
    frame = eval(call, {"pandas": pandas})
    captions = frame["caption"].astype(object).where(frame["caption"].notna(), None)
    assert set(zip(frame["uri"], captions, strict=True)) == expected
    assert set(duckdb.sql(query).fetchall()) == expected


def test_nothing_is_left_running(
    undisturbed: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """When the command has ended, so have all processes that it started."""
    output, _ = undisturbed
    wait_for(lambda: not processes_with("BUCKETSIGHT_TEST", str(output)), "Ray's processes end", 30)


def test_the_same_command_does_nothing_again(
    undisturbed: tuple[Path, subprocess.CompletedProcess[str]], images: Path, model: Path
) -> None:
    """A finished run is said to be one, shown like the first time, and left as it is."""
    output, first = undisturbed
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    again = caption(images, f"{output}/", "--model", model)
    assert again.returncode == 0
    assert again.stdout.splitlines() == [
        "Run 00000001 did this job already; --new-run does it again, and looks at files that came "
        "later too.",
        *first.stdout.splitlines(),
    ]
    after = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    assert after == before


def test_a_stored_quantization_is_the_rows(images: Path, model: Path, tmp_path: Path) -> None:
    """A folder in int8 is had so without a word; --quant bf16 of it is refused, and labels nothing;
    of the folder that it was made of, bf16 is another job.
    """
    stored, pictures, output = tmp_path / "tiny8", images / "pictures", tmp_path / "out"
    TinyGPTV.from_pretrained(model).save_pretrained(stored, quant="int8")
    ended = caption(pictures, output, "--model", stored, "--replicas", "1")
    assert ended.returncode == 0, ended.stderr
    assert "--quant int8" in ended.stderr
    rows = rows_of(output)
    assert {row["quantization"] for row in rows} == {"int8"}
    spec = json.loads((output / "runs" / "00000001" / "spec.json").read_text())
    assert spec["job"]["quantization"] == "int8"
    refused = caption(pictures, output, "--model", stored, "--quant", "bf16")
    assert (refused.returncode, refused.stderr) == (
        2,
        "caption_bucket: the checkpoint is quantized as int8 and cannot be had as bf16; ask for "
        "int8, or convert the authors' files again\n",
    )
    other = caption(pictures, output, "--model", model, "--quant", "bf16", "--replicas", "1")
    assert other.returncode == 0, other.stderr
    assert {row["quantization"] for row in rows_of(output, "00000002")} == {"bf16"}
    again = caption(pictures, output, "--model", model, "--quant", "bf16")
    assert again.stdout.startswith("Run 00000002 did this job already")


def test_a_killed_run_is_gone_on_with(
    undisturbed: tuple[Path, subprocess.CompletedProcess[str]],
    images: Path,
    model: Path,
    tmp_path: Path,
) -> None:
    """SIGKILL half way, and the same command once more: each image once, labels as undisturbed."""
    output = tmp_path / "out"
    with captioning(images, output, "--model", model, *SMALL) as driver:
        wait_for(lambda: len(parts(output)) >= 5, "five parts are there")
        driver.kill()
        assert driver.wait() == -signal.SIGKILL
    assert 5 <= len(parts(output)) < 43
    before = {path: path.read_bytes() for path in parts(output)}
    ended = caption(images, output, "--model", model, *SMALL)
    assert ended.returncode == 0, ended.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert labels_of(rows_of(output)) == labels_of(rows_of(undisturbed[0]))
    assert not (output / "runs" / "00000002").exists()


def test_sigterm_is_75_and_whole_parts_stay(images: Path, model: Path, tmp_path: Path) -> None:
    """A run that is asked to stop ends with one sentence; what is committed is whole."""
    output = tmp_path / "out"
    with captioning(images, output, "--model", model, *SMALL) as driver:
        wait_for(lambda: len(parts(output)) >= 2, "two parts are there")
        driver.send_signal(signal.SIGTERM)
        _, errors = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 75, errors
    assert errors.splitlines()[-1].startswith("caption_bucket: stopped with ")
    assert "Traceback" not in errors
    assert 2 <= len(rows_of(output)) < 43


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_any_work_is_75_too(
    number: signal.Signals, images: Path, model: Path, tmp_path: Path
) -> None:
    """While Ray starts, a job that is asked to stop ends with one sentence and leaves nothing."""
    output = tmp_path / "out"
    with captioning(images, output, "--model", model, BUCKETSIGHT_TEST=str(output)) as driver:
        started = partial(processes_with, "BUCKETSIGHT_TEST", str(output))
        wait_for(lambda: len(started()) > 1, "Ray's first process is there")
        driver.send_signal(number)
        _, errors = driver.communicate(timeout=PATIENCE)
    assert driver.returncode == 75, errors
    assert errors.splitlines()[-1].startswith("caption_bucket: stopped")
    assert "Traceback" not in errors
    wait_for(lambda: not processes_with("BUCKETSIGHT_TEST", str(output)), "Ray's processes end")


def test_a_run_without_a_single_label_is_not_a_success(model: Path, tmp_path: Path) -> None:
    """Where every image failed the exit code is 3, whatever --max-failed allows; also next time."""
    write_broken(tmp_path / "broken")
    for _ in range(2):
        ended = caption(tmp_path / "broken", tmp_path / "out", "--model", model)
        assert ended.returncode == 3, ended.stderr
        assert ended.stdout.count("0 of 3 images labelled, 3 failed") == 1
        assert ended.stderr.splitlines()[-1] == (
            "caption_bucket: not one of 3 images could be labelled"
        )


def test_labels_that_were_deleted_are_one_sentence(
    undisturbed: tuple[Path, subprocess.CompletedProcess[str]],
    images: Path,
    model: Path,
    tmp_path: Path,
) -> None:
    """A finished run whose labels are gone says so; only --new-run makes new ones."""
    output, _ = undisturbed
    labels = output / "labels"
    labels.rename(tmp_path / "elsewhere")
    try:
        ended = caption(images, output, "--model", model)
    finally:
        (tmp_path / "elsewhere").rename(labels)
    assert ended.returncode == 1
    assert ended.stderr == (
        "caption_bucket: run 00000001 is finished but its labels are gone; --new-run labels again\n"
    )


def test_another_ray_on_this_machine_is_left_alone(
    images: Path, model: Path, tmp_path: Path
) -> None:
    """A Ray that somebody runs here, or that died here, is not joined; and a GPU that torch cannot
    use is not used.
    """
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as short:
        (Path(short) / "ray").mkdir()
        (Path(short) / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
        settings = {"RAY_TMPDIR": short, "RAY_OVERRIDE_RESOURCES": '{"GPU": 1}'}
        ended = caption(images, tmp_path / "out", "--model", model, **settings)
    assert ended.returncode == 0, ended.stderr
    if not torch.cuda.is_available():
        assert ended.stderr.startswith("this machine has a GPU that its torch cannot use")
        assert "replicas on cpu" in ended.stderr


def test_ray_that_cannot_be_reached_or_started_is_one_sentence(
    images: Path, model: Path, tmp_path: Path
) -> None:
    """An address that is none, and a folder whose path is too long for sockets: exit code 2."""
    long = tmp_path / ("long" * 25)
    long.mkdir()
    for named, settings in (
        ("RAY_ADDRESS", {"RAY_ADDRESS": "foo"}),
        ("RAY_TMPDIR", {"RAY_TMPDIR": str(long)}),
    ):
        ended = caption(images, tmp_path / "out", "--model", model, **settings)
        assert ended.returncode == 2, ended.stderr
        assert len(ended.stderr.splitlines()) == 1, ended.stderr
        assert named in ended.stderr


def test_a_bucket_is_captioned_into_another(
    s3_server: Server, model: Path, images: Path, tmp_path: Path
) -> None:
    """A glob of an S3 bucket, labels in another one, and more failures than --max-failed allows."""
    store = s3fs.S3FileSystem(
        key=s3_server.access_key, secret=s3_server.secret_key, endpoint_url=s3_server.endpoint
    )
    store.mkdir("captioned-images")
    store.mkdir("captions")
    store.put(f"{images}/pictures/", "captioned-images/set/", recursive=True)
    store.put(f"{images}/broken/", "captioned-images/set/", recursive=True)
    job = ("s3://captioned-images/set/*-*1*", "s3://captions/all/", "--model", model)
    store.put(f"{images}/broken/broken-truncated.png", "captioned-images/set/broken-1.png")
    ended = caption(*job, "--max-failed", "0", **s3_server.environment)
    assert ended.returncode == 3, ended.stderr
    assert "1 image failed, --max-failed allows 0" in ended.stderr
    table = pq.read_table("captions/all/labels/run=00000001", filesystem=store, partitioning=None)
    rows = sorted(table.to_pylist(), key=lambda row: str(row["uri"]))
    pictures = [path for path in sorted((images / "pictures").iterdir()) if "1" in path.name]
    assert [row["uri"].rpartition("/")[2] for row in rows] == [
        "broken-1.png",
        *(path.name for path in pictures),
    ]
    assert [row["error_code"] for row in rows] == ["truncated"] + [None] * len(pictures)
    assert [row["caption"] for row in rows[1:]] == tiny_model().caption(pictures)
    assert all(str(row["input_digest"]).startswith("etag:") for row in rows)


def test_it_runs_as_a_module(images: Path, tmp_path: Path) -> None:
    """`python -m jobs.caption_bucket` is the same command."""
    ended = subprocess.run(
        [sys.executable, "-m", "jobs.caption_bucket", str(images), str(tmp_path), "--model", "x"],
        cwd=ROOT,
        env=environment(),
        text=True,
        capture_output=True,
    )
    assert (ended.returncode, ended.stderr.partition(":")[0]) == (2, "caption_bucket")


USAGE_ERRORS = {
    "no arguments": ((), "INPUT, OUTPUT"),
    "an unknown flag": (("{images}", "{out}", "--colour"), "--colour"),
    "a number that is none": (("{images}", "{out}", "--replicas", "many"), "'many'"),
    "nothing where one is needed": (("{images}", "{out}", "--batch-size", "0"), "at least 1"),
    "a precision that is none": (("{images}", "{out}", "--quant", "q3"), "'q3'"),
    "a precision of GPUs": (
        ("{images}", "{out}", "--model", "{model}", "--device", "cpu", "--quant", "fp8"),
        "ask for int8",
    ),
    "half a GPU too much": (("{images}", "{out}", "--gpus-per-replica", "1.5"), "1.5"),
    "no such folder": (("{images}/none", "{out}", "--model", "{model}"), "{images}/none"),
    "an empty folder": (("{empty}", "{out}", "--model", "{model}"), "{empty}"),
    "a folder without images": (("{texts}", "{out}", "--model", "{model}"), "extension"),
    "a glob that nothing fits": (("{images}/*.gif", "{out}", "--model", "{model}"), "*.gif"),
    "no such bucket": (("s3://no-such-bucket", "{out}", "--model", "{model}"), "no-such-bucket"),
    "no such output bucket": (
        ("{images}", "s3://no-such-bucket/x", "--model", "{model}"),
        "no-such",
    ),
    "no such scheme": (("nowhere://x", "{out}", "--model", "{model}"), "nowhere://"),
    "no such model": (("{images}", "{out}", "--model", "nobody"), "'nobody'"),
    "a model folder that is none": (("{images}", "{out}", "--model", "{images}"), "manifest.json"),
    "nobody's home": (("{images}", "{out}", "--model", "~no-such-user/x"), "~no-such-user"),
    "a GPU that is not there": (
        ("{images}", "{out}", "--model", "{model}", "--device", "cuda"),
        "1 GPU",
    ),
    "an altered model": (("{images}", "{out}", "--model", "{altered}"), "config.json"),
    "an empty prompt": (("{images}", "{out}", "--model", "{model}", "--prompt", " "), "empty"),
    "two places for the image": (
        ("{images}", "{out}", "--model", "{model}", "--prompt", "<ImageHere><ImageHere>"),
        "2 times",
    ),
    "an output that is a file": (("{images}", "{file}", "--model", "{model}"), "{file}"),
    "an output that is the input": (("{images}", "{images}", "--model", "{model}"), "OUTPUT"),
    "more CPUs than there are": (
        ("{images}", "{out}", "--model", "{model}", "--cpus-per-replica", "9999"),
        "9999 CPUs",
    ),
}


@pytest.mark.parametrize("case", USAGE_ERRORS)
def test_bad_usage_is_one_sentence(
    case: str, images: Path, model: Path, s3_server: Server, tmp_path: Path
) -> None:
    """Exit code 2 and one line that names the thing; no traceback, and no labels."""
    places = {
        "images": images / "pictures",
        "model": model,
        "out": tmp_path / "out",
        "empty": tmp_path / "empty",
        "texts": tmp_path / "texts",
        "file": tmp_path / "file",
        "altered": tmp_path / "altered",
    }
    places["empty"].mkdir()
    places["texts"].mkdir()
    (places["texts"] / "a.txt").write_text("a text")
    places["file"].write_text("a file")
    save_tiny_checkpoint(places["altered"])
    (places["altered"] / "config.json").write_text("{}")
    arguments, named = USAGE_ERRORS[case]
    ended = caption(*(a.format(**places) for a in arguments), **s3_server.environment)
    assert ended.returncode == 2, ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith("caption_bucket: ")
    assert named.format(**places) in ended.stderr
    assert not ended.stdout
    assert not parts(places["out"])
    assert not list(places["out"].glob("runs/*/plan*"))


def test_missing_credentials_are_one_sentence(
    images: Path, model: Path, s3_server: Server, tmp_path: Path
) -> None:
    """A store that wants credentials where there are none: exit code 2, and which store."""
    found = {
        name: value
        for name, value in s3_server.environment.items()
        if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    ended = caption(
        "s3://captions", tmp_path / "out", "--model", model, HOME=str(tmp_path), **found
    )
    assert ended.returncode == 2, ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert "s3://captions" in ended.stderr
    assert "credentials" in ended.stderr


def test_a_new_run_from_another_folder(
    undisturbed: tuple[Path, subprocess.CompletedProcess[str]],
    images: Path,
    model: Path,
    tmp_path: Path,
) -> None:
    """--new-run labels everything again, beside the first run; names hold where they are given."""
    output, _ = undisturbed
    images, relative, model = (Path(os.path.relpath(p, tmp_path)) for p in (images, output, model))
    ended = caption(images, relative, "--model", model, "--new-run", *SMALL, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert labels_of(rows_of(output, "00000002")) == labels_of(rows_of(output))
