"""A request, resolved: nothing of it is left open."""

from typing import Any

import pytest

from schemas.image import InputFormat
from schemas.outcome import PromptError, UsageError
from workers.request import Request, Wish


def request(input: str, **changes: Any) -> Request:
    return Request(input, "/out", (Wish("caption"),), "pocket", **changes)


def test_the_format_is_frozen() -> None:
    """It is seen from the path once, when the job is asked for, or taken as it is said."""
    assert request("/in").resolve("cpu").input_format is InputFormat.IMAGES
    assert request("s3://b/*.tar").resolve("cpu").input_format is InputFormat.WEBDATASET
    job = request("/in", input_format=InputFormat.PARQUET, image_column="photo").resolve("cpu")
    assert (job.input_format, job.image_column) == (InputFormat.PARQUET, "photo")


def test_the_quantization_is_frozen() -> None:
    """`auto` is what the device makes of the checkpoint; what is asked for is the same on both."""
    assert {d: job.quantization for d, job in request("/in").jobs("auto").items()} == {
        "cpu": "none",
        "cuda": "bf16",
    }
    assert list(request("/in").jobs("cuda")) == ["cuda"]
    names = {}
    for asked in ("none", "bf16", "int8", "int4"):
        on_cpu, on_cuda = request("/in", quantization=asked).jobs("auto").values()
        assert on_cpu == on_cuda
        assert on_cpu.quantization == asked
        names[on_cpu.meaning_id(), on_cpu.fingerprint()] = asked
    assert len(names) == 4


def test_what_one_device_lacks_is_for_the_other() -> None:
    """fp8 leaves a CPU out, and is refused where there is nothing else."""
    asked = request("/in", quantization="fp8")
    assert {d: job.quantization for d, job in asked.jobs("auto").items()} == {"cuda": "fp8"}
    for refused in (asked.jobs, asked.resolve):
        with pytest.raises(UsageError, match=r"fp8 needs a GPU .* ask for int8"):
            refused("cpu")
    with pytest.raises(UsageError, match="'q3'; there are auto, none, bf16, int8"):
        request("/in", quantization="q3").jobs("auto")


@pytest.mark.parametrize(
    ("input", "changes", "why"),
    [
        ("/in", {"image_column": "photo"}, "--image-column is for Parquet"),
        ("a.tar", {"image_column": "photo"}, "--image-column is for Parquet"),
        ("a.tar.gz", {}, "compressed tar"),
        ("a.tgz", {"input_format": InputFormat.WEBDATASET}, "compressed tar"),
        ("/out/in.csv", {}, "holds INPUT"),
    ],
)
def test_what_cannot_be_read_is_bad_usage(input: str, changes: dict[str, Any], why: str) -> None:
    """A request that no listing could meet is refused before anything is listed."""
    with pytest.raises(UsageError, match=why):
        request(input, **changes).resolve("cpu")


@pytest.mark.parametrize(
    ("input", "output", "named"), [("", "out", "INPUT"), ("in", " ", "OUTPUT")]
)
def test_an_empty_name_is_not_the_folder_that_one_stands_in(
    input: str, output: str, named: str
) -> None:
    """A variable that was never set must not label whatever lies around."""
    with pytest.raises(UsageError, match=f"{named} is empty"):
        Request(input, output, (Wish("caption"),), "pocket").resolve("cpu")


@pytest.mark.parametrize(
    ("wish", "fits"),
    [
        (Wish("caption", {"prompt": "word " * 20}), True),
        (Wish("caption", {"prompt": "word " * 600}), False),
        (Wish("ask", {"column": "a", "question": "狗" * 500}), False),
        (Wish("hateful"), True),
    ],
)
def test_a_prompt_longer_than_the_context_is_refused_before_anything_is_written(
    wish: Wish, fits: bool
) -> None:
    """It is known from the checkpoint's tokenizer when the job is asked for."""
    asked = Request("/in", "/out", (wish,), "pocket")
    if fits:
        asked.resolve("cpu")
    else:
        with pytest.raises(PromptError, match="do not fit into the model's 512 positions"):
            asked.resolve("cpu")
