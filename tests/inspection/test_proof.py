"""What is proven of a run, and that nothing broken passes."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pytest

from schemas import document
from schemas.image import InputFormat
from schemas.outcome import UsageError
from schemas.rows import SCHEMA_VERSION_KEY, TASK_KEY
from tests.inspected import (
    IMAGES,
    change_bytes,
    change_rows,
    change_table,
    copy_of,
    delete,
    finished,
    label,
    planned,
    swap,
    with_value,
)
from tests.runs import job_spec, put
from tests.schemas.test_estimate import OUTCOME
from workers.inspection import Broken, Proof, find_runs, prove
from workers.plan import Run, finish, freeze, open_run
from workers.store import fetch

PART = "labels/run=00000001/part-{:05d}.parquet"


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """A run with all its parts and no result, and a finished one."""
    folders = [str(tmp_path_factory.mktemp(name)) for name in ("half", "whole")]
    run, plan = planned(folders[0])
    label(run, plan)
    return run, finished(folders[1])[0]


@pytest.fixture
def unfinished(originals: tuple[Run, Run], tmp_path: Path) -> Run:
    return copy_of(originals[0], tmp_path)


@pytest.fixture
def whole(originals: tuple[Run, Run], tmp_path: Path) -> Run:
    return copy_of(originals[1], tmp_path)


def proof_of(run: Run) -> Proof:
    return prove(run.output, find_runs(run.output)[-1])


def only(broken: list[Broken]) -> Broken:
    assert len(broken) == 1, broken
    return broken[0]


def test_a_whole_run_is_proven(store: str) -> None:
    """Every image is one row, every part has its digest: nothing is said against a sound run."""
    proof = proof_of(finished(store)[0])
    assert proof.broken == [] == proof.owed
    assert proof.whole
    assert proof.plan is not None
    assert (proof.plan.items, proof.parts) == (IMAGES, 4)
    assert (proof.labelled, proof.failed_by_code) == (IMAGES - 2, {"truncated": 2})


def test_an_unfinished_run_names_what_it_owes(store: str) -> None:
    """The parts that are there are proven; a run with all its parts still owes its result."""
    run, plan = planned(store)
    proof = proof_of(run)
    assert (proof.parts, proof.owed, proof.whole) == (0, [0, 1, 2, 3], False)
    label(run, plan, skip={0, 2})
    proof = proof_of(run)
    assert (proof.parts, proof.owed, proof.broken) == (2, [0, 2], [])
    assert (proof.labelled, proof.failed) == (1, 2)
    label(run, plan, skip={1, 3})
    proof = proof_of(run)
    assert (proof.parts, proof.owed, proof.broken, proof.whole) == (4, [], [], False)
    finish(run, plan, {})
    assert proof_of(run).whole


def test_a_run_without_a_plan_owes_everything(folder: str) -> None:
    """A claim alone is neither whole nor broken; a part of it without a plan is."""
    run, plan = planned(folder)
    delete(run, run.names.plan)
    proof = proof_of(run)
    assert (proof.plan, proof.broken, proof.whole) == (None, [], False)
    label(run, plan)
    proof = proof_of(run)
    assert only(proof.broken) == Broken(run.names.plan, "is missing")


def test_a_deleted_part_is_missed(store: str) -> None:
    """By shard and name; the others are proven."""
    run, _ = finished(store)
    delete(run, run.names.part(2))
    proof = proof_of(run)
    assert only(proof.broken) == Broken(PART.format(2), "is missing", 2)
    assert (proof.parts, proof.whole) == (3, False)


def test_swapped_parts_are_both_named(store: str) -> None:
    """Each says whose part it is."""
    run, _ = finished(store)
    swap(run, 0, 2)
    broken = proof_of(run).broken
    assert [one.shard for one in broken] == [0, 2]
    assert "says that it is shard 2" in broken[0].problem
    assert "says that it is shard 0" in broken[1].problem


@pytest.mark.parametrize("where", [4, 200, -3, -12, -400])
def test_a_flipped_bit_is_found(where: int, whole: Run) -> None:
    """Anywhere in a part of a finished run: its digest tells."""

    def flip(data: bytes) -> bytes:
        at = where % len(data)
        return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]

    change_bytes(whole, whole.names.part(3), flip)
    broken = only(proof_of(whole).broken)
    assert (broken.shard, broken.name) == (3, PART.format(3))
    assert "is not the file that result.json names by its digest" in broken.problem


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[:-1], "its end is damaged"),
        (lambda data: data[:-1008] + bytes(1000) + data[-8:], "its end is damaged"),
        (lambda data: data[:4] + bytes(1000) + data[1004:], "cannot be read"),
        (lambda data: b"", "its end is damaged"),
    ],
)
def test_a_part_that_cannot_be_read_is_found(
    damage: Callable[[bytes], bytes], told: str, unfinished: Run
) -> None:
    """Where there is no digest yet, the file itself tells, and the other parts are proven."""
    change_bytes(unfinished, unfinished.names.part(0), damage)
    proof = proof_of(unfinished)
    assert only(proof.broken).shard == 0
    assert told in proof.broken[0].problem
    assert proof.parts == 3


ROWS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "a row lacks": (lambda t: t.slice(0, 1), "holds 1 rows, its shard 2 images"),
    "a row is doubled": (lambda t: pa.concat_tables([t, t.slice(0, 1)]), "holds 3 rows, its shard"),
    "rows in another order": (lambda t: t.take([1, 0]), "5.png where the plan has"),
    "another image": (lambda t: with_value(t, "item_id", 1, "/x.png"), "holds /x.png where the"),
    "another version": (
        lambda t: with_value(t, "input_digest", 0, "etag:1"),
        "holds version 'etag:1' of",
    ),
    "another run": (lambda t: with_value(t, "run_id", 1, "00000009"), "a row of run_id 00000009"),
    "another meaning": (
        lambda t: with_value(t, "meaning_id", 1, "f" * 16),
        "a row of meaning_id ffffffffffffffff (row 1)",
    ),
    "another place": (lambda t: with_value(t, "uri", 0, "/x.png"), "lies at /x.png, the plan at"),
    "no label": (lambda t: with_value(t, "caption", 0, None), "is labelled without a caption"),
    "an error too": (
        lambda t: with_value(t, "error_code", 1, "truncated"),
        "is labelled with an error_code",
    ),
    "a message too": (
        lambda t: with_value(t, "error_message", 1, "why?"),
        "is labelled with an error_message",
    ),
    "a strange status": (lambda t: with_value(t, "status", 1, "so so"), "a row of status 'so so'"),
    "failed and labelled": (
        lambda t: with_value(t, "status", 1, "failed"),
        "failed with a caption",
    ),
    "failed without a reason": (
        lambda t: with_value(t, "status", 1, "failed"),
        "failed without an error_code",
    ),
    "other counts": (
        lambda t: with_value(t, "status", 1, "failed"),
        "counts 2 labelled + 0 failed in its footer and holds 1 + 1",
    ),
    "a column less": (lambda t: t.drop_columns(["width"]), "has other columns (width)"),
    "a column more": (lambda t: t.append_column("x", t["uri"]), "has other columns (x)"),
    "columns in another order": (
        lambda t: t.select(t.column_names[::-1]),
        "has other columns (in another order)",
    ),
    "another type": (
        lambda t: t.set_column(5, "size_bytes", t["size_bytes"].cast(pa.int32())),
        "has other columns (size_bytes)",
    ),
    "another schema version": (
        lambda t: t.replace_schema_metadata(t.schema.metadata | {SCHEMA_VERSION_KEY: b"7"}),
        "is of schema version 7, not",
    ),
    "another task": (
        lambda t: t.replace_schema_metadata(t.schema.metadata | {TASK_KEY: b"tags"}),
        "is of tasks tags, not caption",
    ),
    "no footer": (
        lambda t: t.replace_schema_metadata({}),
        "was not written by this program",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_wrong_rows_are_found(name: str, unfinished: Run) -> None:
    """Without a digest too: each wrong row, count and column of a part is told, the shard named."""
    change, told = ROWS[name]
    change_rows(unfinished, 2, change)
    proof = proof_of(unfinished)
    broken = only(proof.broken)
    assert (broken.shard, broken.name) == (2, PART.format(2))
    assert told in broken.problem
    assert proof.parts == 3


def test_a_part_rewritten_soundly_is_not_the_one(whole: Run) -> None:
    """Rows that would pass are not those that the run ended with."""
    change_rows(whole, 0, lambda table: with_value(table, "caption", 0, "something else"))
    broken = only(proof_of(whole).broken)
    assert broken == Broken(
        PART.format(0), "is not the file that result.json names by its digest", 0
    )


@pytest.mark.parametrize(
    "name", ["part-00004.parquet", "part-000001.parquet", "sub/part-00001.parquet", "x.parquet"]
)
def test_an_extra_file_is_found(name: str, store: str) -> None:
    """A reader's glob would see it: a part beyond the plan, another spelling, anything else."""
    run, _ = finished(store)
    extra = f"{run.names.labels}/{name}"
    put(run.output, extra, fetch(f"{run.output}/{run.names.part(1)}"))
    broken = only(proof_of(run).broken)
    assert broken.name == extra
    assert "does not belong there" in broken.problem


def test_files_that_no_reader_sees_do_no_harm(whole: Run) -> None:
    """Names that begin with a dot or an underscore are nobody's rows."""
    put(whole.output, f"{whole.names.labels}/.DS_Store", b"x")
    put(whole.output, f"{whole.names.labels}/_SUCCESS", b"")
    assert proof_of(whole).whole


def test_an_altered_plan_is_found(store: str) -> None:
    """Another plan.json than the one that the result names is said, and nothing held against it."""
    run, _ = finished(store)
    change_bytes(
        run, run.names.plan, lambda data: data.replace(b'"batch_size":8', b'"batch_size":9')
    )
    broken = only(proof_of(run).broken)
    assert broken.name == run.names.result
    assert "names another plan.json by its digest" in broken.problem


def test_parts_of_another_plan_are_found(folder: str) -> None:
    """While there is no result, each part tells from which plan it was made."""
    run, plan = planned(folder)
    label(run, plan, skip={0, 1})
    change_bytes(
        run, run.names.plan, lambda data: data.replace(b'"batch_size":8', b'"batch_size":9')
    )
    broken = proof_of(run).broken
    assert [(one.shard, one.problem) for one in broken] == [
        (2, "was made from another plan.json"),
        (3, "was made from another plan.json"),
    ]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("items", 8, "its counts do not add up"),
        ("shards", 5, "its counts do not add up"),
        ("small_shard_images", 1, "its counts do not add up"),
        ("run_id", "00000002", "is of run 00000002"),
        ("attempt", "other", "calls its page 0"),
        ("format_version", 1, "is of format version 1"),
    ],
)
def test_a_plan_that_contradicts_itself_is_found(
    field: str, value: object, told: str, folder: str
) -> None:
    """Its counts, its names and its format."""
    run, _ = planned(folder)
    change_bytes(run, run.names.plan, lambda data: changed(data, field, value))
    broken = proof_of(run).broken
    assert {one.name for one in broken} == {run.names.plan}
    assert any(told in one.problem for one in broken), broken


def changed(data: bytes, field: str, value: object) -> bytes:
    return document.dumps(document.loads(data, "") | {field: value})


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("items", 8, "has 8 images, the plan 7"),
        ("labelled", 6, "counts 6 labelled + 2 failed, its parts 5 + 2"),
        ("skipped", {}, "counts other skipped files"),
        ("parts", [], "does not name just the parts"),
        ("run_id", "00000002", "is of run 00000002"),
        ("failed_by_code", {"truncated": 1}, "counts 2 failed, and 1 by their codes"),
        ("failed_by_code", {"not_found": 2}, "counts other error codes than the rows have"),
        ("outcome", asdict(replace(OUTCOME, images=8)), "has its driver see 8 images committed"),
    ],
)
def test_a_result_that_does_not_add_up_is_found(
    field: str, value: object, told: str, whole: Run
) -> None:
    """Against the plan, against its own lines, against the rows."""
    change_bytes(whole, whole.names.result, lambda data: changed(data, field, value))
    broken = proof_of(whole).broken
    assert {one.name for one in broken} == {whole.names.result}
    assert any(told in one.problem for one in broken), broken


@pytest.mark.parametrize("how", ["altered", "missing"])
def test_a_damaged_page_of_the_plan_is_found(how: str, folder: str) -> None:
    """It is named once; its parts are held against everything else."""
    run, plan = finished(folder)
    if how == "missing":
        delete(run, plan.pages[0].name)
    else:
        change_bytes(run, plan.pages[0].name, lambda data: data[:-1] + b"x")
    delete(run, run.names.part(0))
    proof = proof_of(run)
    assert proof.broken[0].name == plan.pages[0].name
    assert how in proof.broken[0].problem
    assert proof.broken[1:] == [Broken(PART.format(0), "is missing", 0)]
    assert proof.parts == 3


@pytest.mark.parametrize("document", ["plan", "result"])
def test_a_document_that_is_none_is_named(document: str, whole: Run) -> None:
    """What is no JSON is said of the file, and is no crash."""
    name = getattr(whole.names, document)
    change_bytes(whole, name, lambda data: data[:-5])
    broken = only(proof_of(whole).broken)
    assert broken.name == name
    assert "is not JSON" in broken.problem


def test_a_run_of_another_schema_is_refused(folder: str) -> None:
    """What its rows must look like, only the program knows that wrote them."""
    run, _ = finished(folder, schema_version=99)
    with pytest.raises(UsageError, match="schema version 99 and this program knows"):
        proof_of(run)


def test_a_copy_of_output_is_proven_where_it_lies(whole: Run) -> None:
    """The run knows OUTPUT by another name; what lies here is what counts."""
    assert proof_of(whole).whole
    delete(whole, whole.names.part(0))
    assert not proof_of(whole).whole


@pytest.mark.parametrize(
    ("column", "row", "value", "told"),
    [
        ("item_id", 1, "/in/0.png", "names /in/0.png twice or too late"),
        ("shard", 1, 1, "holds 1 images of shard 0, not 2"),
        ("shard", 6, 9, "holds other shards than plan.json says"),
    ],
)
def test_a_plan_that_was_wrong_from_the_start_is_found(
    column: str, row: int, value: object, told: str, folder: str
) -> None:
    """A page that has its digest is still held against itself: no image twice, no shard amiss."""
    run, plan = planned(folder)
    page = plan.pages[0]

    def change(table: pa.Table) -> pa.Table:
        ids = [f"/in/{number}.png" for number in range(table.num_rows)]
        for number, item in enumerate(ids):
            table = with_value(table, "item_id", number, item)
        return with_value(table, column, row, value)

    change_table(run, page.name, change)
    digest = hashlib.sha256(fetch(f"{run.output}/{page.name}")).hexdigest()
    change_bytes(
        run, run.names.plan, lambda data: data.replace(page.sha256.encode(), digest.encode())
    )
    assert only(proof_of(run).broken) == Broken(page.name, told)


def test_columns_of_input_belong_to_the_schema(folder: str) -> None:
    """The plan says which there are: a part without one of them, or of another type, is broken."""
    put(folder, "in.csv", b"uri,text\n/a.png,one\n/b.png,two\n/c.png,three\n")
    run = open_run(job_spec(f"{folder}/in.csv", f"{folder}/out", input_format=InputFormat.CSV))
    plan = freeze(run, 2, lambda: ("cpu", 8))
    label(run, plan)
    finish(run, plan, {})
    assert [column.name for column in plan.columns] == ["text"]
    assert proof_of(run).whole
    change_rows(run, 1, lambda table: with_value(table, "text", 0, "something else"))
    assert "does not pass on what INPUT says of" in only(proof_of(run).broken).problem
    change_rows(run, 1, lambda table: table.drop_columns(["text"]))
    assert "has other columns (text)" in only(proof_of(run).broken).problem
