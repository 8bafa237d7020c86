"""The documents of a run folder, and the names in it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.outcome import UsageError
from schemas.rows import PassedColumn
from schemas.run import (
    Heartbeat,
    PartFooter,
    Plan,
    PlanPage,
    Result,
    ResultPart,
    RunNames,
    RunSpec,
    shard_of,
)
from tests.runs import job_spec
from tests.schemas.test_estimate import ESTIMATE, OUTCOME

PAGE = PlanPage("runs/00000001/plan/a/page-00000.parquet", "0" * 64, 0, 2, 3)
DOCUMENTS: list[Any] = [
    RunSpec("00000001", job_spec(), "claimant", "0" * 16, "2024-01-01T00:00:00+00:00"),
    Plan("00000001", "attempt", (PAGE,), 3, 2, 0, 2, 2, "cpu", 8, {"extension": 4}),
    Plan(
        *("00000001", "attempt", (PAGE,), 3, 2, 0, 2, 2, "cpu", 8),
        columns=(PassedColumn("text", "string"), PassedColumn("width", "int64")),
    ),
    Heartbeat("00000001", 1.5, "host", 7, 2, 3, 0.25, True),
    PartFooter("00000001", 1, "0" * 64, "attempt", 2, 1, {"truncated": 1}),
    Result(
        "00000001", "0" * 64, 3, 2, 1, {"truncated": 1}, {}, (ResultPart("part", "0" * 64, 2, 1),)
    ),
    Result("00000001", "0" * 64, 0, 0, 0, {}, {}, (), OUTCOME, ESTIMATE),
    ESTIMATE,
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: type(document).__name__)
def test_documents_come_back_as_they_were_written(document: Any) -> None:
    """to_json and from_json are inverse, and one value has one spelling."""
    data = document.to_json()
    found = type(document).from_json(data, "x.json")
    assert found.to_json() == data
    if isinstance(found, Plan):
        found = replace(found, digest=document.digest)
    assert found == document


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: type(document).__name__)
@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value | {"format_version": 99},
        lambda value: value | {"format_version": None},
        lambda value: {"format_version": value["format_version"]},
    ],
    ids=["newer", "unversioned", "empty"],
)
def test_other_versions_are_refused_in_a_sentence(
    document: Any, damage: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """A document of another format, or of none of ours, is a UsageError that names its place."""
    data = json.dumps(damage(json.loads(document.to_json()))).encode()
    with pytest.raises(UsageError, match=r"out/x\.json"):
        type(document).from_json(data, "out/x.json")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe"])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    """Bytes that are no JSON object are a UsageError."""
    with pytest.raises(UsageError, match=r"out/plan\.json"):
        Plan.from_json(data, "out/plan.json")


def test_the_plan_digest_is_that_of_the_stored_bytes() -> None:
    """Whatever a later program would write in its place, a plan's digest is that of its file."""
    stored = json.dumps(json.loads(DOCUMENTS[1].to_json()), indent=2).encode()
    plan = Plan.from_json(stored, "plan.json")
    assert plan.to_json() != stored
    assert plan.digest == hashlib.sha256(stored).hexdigest()


def test_a_plan_of_the_first_format_is_refused() -> None:
    """Plans once knew no small shards and no columns: whoever made one finishes its run."""
    older = json.dumps(json.loads(DOCUMENTS[1].to_json()) | {"format_version": 1}).encode()
    with pytest.raises(UsageError, match=r"out/plan\.json is of format version 1 .* knows 2"):
        Plan.from_json(older, "out/plan.json")


@pytest.mark.parametrize(
    ("plan", "images"),
    [
        (
            replace(DOCUMENTS[1], items=11, shards=5, small_shards=2, shard_images=3),
            [2, 2, 3, 3, 1],
        ),
        (replace(DOCUMENTS[1], items=3, shards=2, small_shards=4), [2, 1]),
        (replace(DOCUMENTS[1], items=6, shards=2, small_shards=0, shard_images=3), [3, 3]),
    ],
)
def test_the_plan_tells_how_many_images_a_shard_holds(plan: Plan, images: list[int]) -> None:
    """Small shards come first, and the last one holds what is left."""
    assert [plan.images_of(shard) for shard in range(plan.shards)] == images
    assert sum(images) == plan.items


def test_names_in_a_run_folder() -> None:
    """The names are those that the design promises, and a part's name leads back to its shard."""
    names = RunNames(42)
    assert names.spec == "runs/00000042/spec.json"
    assert names.plan == "runs/00000042/plan.json"
    assert names.result == "runs/00000042/result.json"
    assert names.part(7) == "labels/run=00000042/part-00007.parquet"
    for shard in (0, 42, 99_999, 1_234_567):
        assert shard_of(names.part(shard)) == shard


@pytest.mark.parametrize("name", ["part-1.parquet", "part-00001.parquet.tmp", "x", "_SUCCESS", ""])
def test_other_names_are_no_parts(name: str) -> None:
    """What is not called like a part is none."""
    assert shard_of(name) is None


def test_a_result_from_before_it_told_of_time_is_read() -> None:
    """Its format is 1: it has neither outcome nor estimate."""
    value = json.loads(DOCUMENTS[5].to_json())
    del value["outcome"], value["estimate"]
    found = Result.from_json(json.dumps(value | {"format_version": 1}).encode(), "x.json")
    assert found == DOCUMENTS[5]
    for wrong in ({"outcome": 3}, {"outcome": {}}, {"estimate": "none"}):
        with pytest.raises(UsageError, match=r"x\.json is not what this program writes"):
            Result.from_json(json.dumps(value | wrong | {"format_version": 2}).encode(), "x.json")
