"""What names a job and what a label means."""

import json
import pickle
from dataclasses import replace
from typing import Any

import pytest

from schemas.image import ImageRef, InputFormat
from schemas.job import JobSpec, Preprocessing, TaskSpec
from schemas.outcome import ErrorCode, PromptError, UsageError
from schemas.run import RunSpec
from tests.runs import caption, job_spec

MEANINGS = [
    {"model_digest": "1" * 64},
    {"quantization": "int8"},
    {"tasks": (caption("another <ImageHere>"),)},
    {"preprocessing": Preprocessing(64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))},
    {"preprocessing": Preprocessing(56, (0.5, 0.5, 0.4), (0.25, 0.25, 0.25))},
    {"preprocessing": Preprocessing(56, (0.5, 0.5, 0.5), (0.25, 0.25, 0.2))},
    {"tasks": (caption(max_new_tokens=21),)},
    {"semantics": 2},
]

INPUTS: list[dict[str, Any]] = [
    *({"input_format": kind} for kind in InputFormat if kind != InputFormat.IMAGES),
    {"input_format": InputFormat.PARQUET, "image_column": "picture"},
    {"replay_of": "00000001"},
    {"replay_of": "00000001", "replay_codes": (ErrorCode.TIMED_OUT,)},
]


@pytest.mark.parametrize("change", MEANINGS)
def test_whatever_changes_a_label_changes_its_meaning(change: dict[str, Any]) -> None:
    """Model, quantization, prompt, preprocessing, options and SEMANTICS each make a new meaning."""
    assert replace(job_spec(), **change).meaning_id() != job_spec().meaning_id()
    assert replace(job_spec(), **change).fingerprint() != job_spec().fingerprint()


@pytest.mark.parametrize(
    "change", [{"input": "/other"}, {"output": "/other"}, {"schema_version": 2}]
)
def test_places_and_schema_make_another_job_of_the_same_meaning(change: dict[str, Any]) -> None:
    """INPUT, OUTPUT and the rows' schema are the job's, not the label's."""
    assert replace(job_spec(), **change).meaning_id() == job_spec().meaning_id()
    assert replace(job_spec(), **change).fingerprint() != job_spec().fingerprint()


def test_versions_of_one_job_share_its_lineage() -> None:
    """SEMANTICS and the rows' schema leave the lineage alone, and all else changes it."""
    for change in ({"semantics": 2}, {"schema_version": 2}):
        assert replace(job_spec(), **change).lineage() == job_spec().lineage()
    for change in ({"input": "/other"}, {"output": "/other"}, *MEANINGS[:-1]):
        assert replace(job_spec(), **change).lineage() != job_spec().lineage()
    assert job_spec().lineage() == "460ac40e3da9f4d7"


@pytest.mark.parametrize("change", INPUTS)
def test_how_input_is_read_makes_another_job_of_the_same_meaning(change: dict[str, Any]) -> None:
    """The kind of INPUT, its column and a replay are the job's and its lineage's, and what
    `spec.json` tells of them comes back.
    """
    job = replace(job_spec(), **change)
    assert job.meaning_id() == job_spec().meaning_id()
    assert job.fingerprint() != job_spec().fingerprint()
    assert job.lineage() != job_spec().lineage()
    assert JobSpec.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_reasons_to_replay_are_a_set() -> None:
    """Their order makes no other job."""
    codes = (ErrorCode.TIMED_OUT, ErrorCode.READ_FAILED)
    jobs = [job_spec(replay_of="00000001", replay_codes=order) for order in (codes, codes[::-1])]
    assert jobs[0].fingerprint() == jobs[1].fingerprint()


def test_a_job_written_before_there_were_containers_comes_back() -> None:
    """A `spec.json` without the later fields is the same job, under the same name."""
    value = job_spec().to_json()
    for name in ("input_format", "image_column", "replay_of", "replay_codes"):
        del value[name]
    assert JobSpec.from_json(value) == job_spec()
    assert JobSpec.from_json(value).fingerprint() == "925b95e89b6bcd70"


def test_a_job_written_when_there_was_one_task_comes_back() -> None:
    """A `spec.json` with the one task's fields is the job of that task, under the same names."""
    value = job_spec().to_json()
    (task,) = value.pop("tasks")
    del value["text"]
    older = value | {"task": task["name"]} | task["options"]
    assert JobSpec.from_json(older) == job_spec()
    spec = RunSpec("00000001", job_spec(), "me", "0" * 16, "then")
    document = json.loads(spec.to_json()) | {"format_version": 1, "job": older}
    assert RunSpec.from_json(json.dumps(document).encode(), "spec.json") == spec


TASKS = (caption(), TaskSpec("tags", {"top": 3}))


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": TASKS[:1]},
        {"tasks": (TASKS[0], TaskSpec("tags", {"top": 4}))},
        {"text": "column:text"},
    ],
)
def test_all_tasks_with_their_options_are_the_meaning(change: dict[str, Any]) -> None:
    """Another task, another option of one, a text from elsewhere: other labels."""
    job = job_spec(tasks=TASKS)
    assert replace(job, **change).meaning_id() != job.meaning_id()
    assert replace(job, **change).lineage() != job.lineage()


def test_a_task_with_other_columns_is_a_version_of_the_same_job() -> None:
    """A task's version leaves meaning and lineage alone, and makes another job."""
    job = job_spec(tasks=TASKS)
    later = job_spec(tasks=(TASKS[0], replace(TASKS[1], version=2)))
    assert later.meaning_id() == job.meaning_id()
    assert later.lineage() == job.lineage()
    assert later.fingerprint() != job.fingerprint()


def test_tasks_have_one_order() -> None:
    """The same tasks are the same job: named twice or in another order they are refused."""
    for tasks in (TASKS[::-1], TASKS[:1] * 2):
        with pytest.raises(UsageError, match="twice or out of order"):
            job_spec(tasks=tasks)


def test_a_text_of_input_is_part_of_what_is_looked_at() -> None:
    """Where tasks read a column, an item with another text in it is another version; where they
    read none, the columns are nothing to it.
    """
    one, two = (
        ImageRef("a", "a", "etag:1", 3, columns=json.dumps({"text": text})) for text in "xy"
    )
    reading = job_spec(text="column:text")
    assert reading.input_digest(one).startswith("etag:1+text:")
    assert reading.input_digest(one) != reading.input_digest(two)
    for text in ("", "sidecar", "ocr", "none"):
        assert job_spec(text=text).input_digest(one) == "etag:1"


def test_a_text_beside_an_image_is_part_of_what_is_looked_at() -> None:
    """Where there is one, and tasks read it, its version counts; an image without any keeps its."""
    for text, sidecar, version in (
        ("sidecar", "etag:2", "etag:1+text:etag:2"),
        ("sidecar", "", "etag:1"),
        ("sidecar", None, "etag:1"),
        ("ocr", "etag:2", "etag:1"),
    ):
        image = ImageRef("a", "a", "etag:1", 3, sidecar=sidecar)
        assert job_spec(text=text).input_digest(image) == version


def test_a_model_renamed_is_the_same_model() -> None:
    """The digest is the model's identity, its name is not."""
    assert job_spec(model_id="copy").fingerprint() == job_spec().fingerprint()


def test_the_names_never_change_by_accident() -> None:
    """Labels already written carry these very ids: a change here disowns them."""
    assert job_spec().meaning_id() == "9d6363f3de5843f1"
    assert job_spec().fingerprint() == "925b95e89b6bcd70"


def test_json_and_pickle_give_the_job_back() -> None:
    """A job survives its way into spec.json and to another process."""
    job = job_spec(prompt="naïve “quotes” <ImageHere>\n")
    assert JobSpec.from_json(json.loads(json.dumps(job.to_json()))) == job
    assert pickle.loads(pickle.dumps(job)) == job


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": []},
        {"tasks": [{"name": "caption", "options": {"prompt": "no image"}}]},
        {"tasks": [{"name": "caption"}]},
        {"tasks": [{"name": "caption", "options": None}]},
        {"model_digest": ""},
        {"quantization": "auto"},
        {"preprocessing": {"image_size": 0, "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"preprocessing": {"image_size": 8, "mean": [0, 0], "std": [1, 1, 1]}},
        {"preprocessing": {"image_size": 8, "mean": [0, 0, 0], "std": [1, 0, 1]}},
        {"preprocessing": None},
        {"input_format": "pictures"},
        {"replay_codes": ["no reason"]},
        {"unheard_of": 1},
    ],
)
def test_a_job_out_of_range_is_refused(change: dict[str, Any]) -> None:
    """Every field is validated, from flags and from spec.json alike."""
    with pytest.raises(UsageError):
        JobSpec.from_json(job_spec().to_json() | change)


@pytest.mark.parametrize("prompt", ["", "no place for it", "<ImageHere> and <ImageHere>"])
def test_a_prompt_holds_the_image_once(prompt: str) -> None:
    """A prompt with no or two places for the image is refused."""
    with pytest.raises(PromptError):
        job_spec(prompt=prompt)


@pytest.mark.parametrize("name", ["input", "output", "model_id"])
def test_text_that_cannot_be_written_is_refused(name: str) -> None:
    """An argument of bytes that are no UTF-8 is bad usage, and the sentence can be printed."""
    text = "<ImageHere> " + b"\xff".decode(errors="surrogateescape")
    with pytest.raises(UsageError, match="not UTF-8") as caught:
        replace(job_spec(), **{name: text})
    str(caught.value).encode()
