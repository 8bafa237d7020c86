"""A labelling job's command line."""

import math

import pytest

from jobs.arguments import LabellingArguments, parse
from jobs.label_bucket import TOGETHER
from schemas.image import InputFormat
from schemas.outcome import UsageError
from workers.request import Options, Request, Wish


def test_every_flag_reaches_its_place() -> None:
    """Each flag sets one field of the request or of the options, and nothing is lost."""
    line = (
        "in out --model big --quant int4 --prompt what? --input-format parquet "
        "--image-column photo --new-run --device cuda --replicas 3 "
        "--cpus-per-replica 4 --gpus-per-replica 0.5 --batch-size 16 --shard-images 99 "
        "--max-failed 7 --drain-seconds 2.5 --item-seconds 9"
    )
    assert parse("job", "", ["caption"], line.split()) == LabellingArguments(
        Request(
            "in",
            "out",
            (Wish("caption", {"prompt": "what?"}),),
            "big",
            input_format=InputFormat.PARQUET,
            image_column="photo",
            quantization="int4",
        ),
        Options(
            device="cuda",
            replicas=3,
            cpus_per_replica=4,
            gpus_per_replica=0.5,
            batch_size=16,
            shard_images=99,
            drain_seconds=2.5,
            item_seconds=9,
            new_run=True,
        ),
        max_failed=7,
    )


def test_two_places_are_enough() -> None:
    """INPUT and OUTPUT alone mean the shipped model, its own question and the defaults."""
    assert parse("job", "", ["caption"], ["in", "out"]) == LabellingArguments(
        Request(
            "in", "out", (Wish("caption", {"prompt": "brief"}),), "pocket", quantization="auto"
        ),
        Options(),
        max_failed=math.inf,
    )


def test_a_format_is_one_of_those_that_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Another --input-format is bad usage, and the sentence lists the formats."""
    with pytest.raises(SystemExit) as stop:
        parse("job", "", ["caption"], ["in", "out", "--input-format", "zip"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert all(kind.value in said for kind in InputFormat)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--tags-file", "tags.txt"], "--tags-file is for the task tags"),
        (["--tags-top", "3"], "--tags-top is for the task tags"),
        (["--threshold", "0.7"], "--threshold is for the task hateful"),
        (["--text", "ocr"], "--text is for hateful"),
    ],
)
def test_a_flag_of_a_task_that_is_not_asked_is_refused(flags: list[str], why: str) -> None:
    """It would do nothing, and whoever gave it would wait for what never comes."""
    with pytest.raises(UsageError, match=why):
        parse("job", "", TOGETHER, ["in", "out", "--tasks", "caption", *flags])
    for each in ("caption,hateful", "tags,hateful"):
        said = ["--tasks", each, "--text", "none", "--threshold", "0.7"]
        assert parse("job", "", TOGETHER, ["in", "out", *said]).request.text == "none"


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """--help lists the flags on standard output."""
    with pytest.raises(SystemExit) as stop:
        parse("job", "Label images.", ["caption"], ["--help"])
    assert stop.value.code == 0
    assert "--drain-seconds" in capsys.readouterr().out
