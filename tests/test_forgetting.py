"""Rows are erased everywhere, no other one is touched, and whatever interrupts it, it ends."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.forgotten import Erasure, names_of, salted
from schemas.image import InputFormat
from schemas.outcome import BusyError, ErrorCode, StoreError
from schemas.run import PART_KEY, REPORT, PartFooter
from schemas.version import ROOT
from tests.inspected import finished, label, planned
from tests.runs import job_spec, png, put
from tests.snapshots.histories import Night, Told, right_rows, rows_of, widened, write_run
from tests.source.listings import tar_of
from workers import failpoints, heartbeat
from workers.forgetting import Forgotten, erase, forget, require_quiet, search
from workers.heartbeat import beating
from workers.inspection import Proof, State, find_runs, prove, status_of
from workers.plan import Run, finish, freeze, load_list, load_shards, open_run, read_plan, sample
from workers.plan.erasures import read_erasures
from workers.plan.replay import failed_ids
from workers.snapshots import compact, prove_snapshot, prune, read_history
from workers.store import Patience, fetch, list_pages, remove

ODD = "100%? é#1\n$.png"
"""Of two images the name of one begins with the other's."""
NEIGHBOUR = f"{ODD}#2.png"


@pytest.fixture(autouse=True)
def no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is listened for, but where a test wants it."""
    monkeypatch.setattr(heartbeat, "SECONDS_OF_SILENCE", 0.0)


def forgotten(output: str, *uris: str) -> Forgotten:
    require_quiet(output)
    return forget(output, uris)


def contents(output: str) -> dict[str, bytes]:
    """All files, by name."""
    pages = list_pages(f"{output}/")
    names = [entry.uri.removeprefix(f"{output}/") for page in pages for entry in page]
    return {name: fetch(f"{output}/{name}") for name in sorted(names)}


def tables(files: dict[str, bytes]) -> dict[str, pa.Table]:
    """Those that are Parquet."""
    return {
        name: pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        for name, data in files.items()
        if name.endswith(".parquet")
    }


def proofs(output: str) -> list[Proof]:
    """Of all runs."""
    return [prove(output, files) for files in find_runs(output)]


def past(place: str) -> list[tuple[Night, Run]]:
    """Runs finished, replaced, incremental with lists of both kinds, failed, and unfinished."""
    good, bad = Told("v1"), Told("v1", ErrorCode.TRUNCATED)
    names = [ODD, NEIGHBOUR, "a.png", "b.png", "c.png"]
    nights = [
        Night(dict.fromkeys(names, good)),
        Night({ODD: Told("v2"), "a.png": bad}, gone=["c.png"]),
        Night({"b.png": Told("v2")}, gone=[ODD, "c.png"]),
        Night({ODD: Told("v3"), "b.png": Told("v3"), "c.png": good}, parts=1),
    ]
    runs = []
    for ordinal, night in enumerate(nights, 1):
        runs.append(write_run(place, ordinal, night))
        if ordinal in (2, 3):
            compact(read_history(f"{place}/out")[0])
    return list(zip(nights, runs, strict=True))


def test_nothing_of_it_is_left_and_nothing_else_is_lost(store: str) -> None:
    """No file holds its id or what was said of it, packed or unpacked; every other row of every
    part, snapshot, page and list is as it was, bit for bit, footers but for their counts; all is
    proven whole, and compacted on to what is right.
    """
    nights, output = past(store), f"{store}/out"
    put(output, REPORT, b"a picture of it")
    before = tables(contents(output))
    gone = f"{store}/in/{ODD}"
    told = forgotten(output, gone)
    files = contents(output)
    after = tables(files)

    lost = {
        name: sum(one == gone for one in table["item_id"].to_pylist())
        for name, table in before.items()
        if "item_id" in table.column_names
    }
    assert (told.rows, told.files) == (sum(lost.values()), sum(map(bool, lost.values())))
    assert told.found == {gone} and told.files >= 9 and not told.unreadable
    assert after.keys() == before.keys() and REPORT not in files
    for name, table in before.items():
        kept = table
        if name in lost:
            kept = table.filter(pa.array([one != gone for one in table["item_id"].to_pylist()]))
        assert after[name].equals(kept), name
        told_of, was_told = ((one.schema.metadata or {}) for one in (after[name], table))
        assert told_of.keys() == was_told.keys()
        if PART_KEY in told_of:
            now, was = (PartFooter.from_json(one[PART_KEY], "") for one in (told_of, was_told))
            assert now.items == len(kept)
            assert replace(now, labelled=0, failed=0, failed_by_code={}) == replace(
                was, labelled=0, failed=0, failed_by_code={}
            )
    neighbour = f"{store}/in/{NEIGHBOUR}"
    for name, data in files.items():
        unpacked = repr(after[name].to_pydict()) if name in after else data.decode()
        shown = unpacked.replace(repr(neighbour)[1:-1], "")
        assert repr(gone)[1:-1] not in shown.replace("\\\\", "\\"), name
        assert gone.encode() not in data.replace(neighbour.encode(), b""), name

    assert [proof.broken for proof in proofs(output)] == [[]] * 4
    assert [proof.forgotten for proof in proofs(output)] == [1, 1, 0, 1]
    history, _ = read_history(output)
    assert history.snapshot and prove_snapshot(output, history.snapshot).broken == []
    assert prove_snapshot(output, history.snapshot).forgotten == 1
    newest = Night({"a.png": Told("v2")})
    nights.append((newest, write_run(store, 5, newest)))
    made = compact(read_history(output)[0])
    found = rows_of(output, made.snapshot)
    parts = tables(contents(output))
    rows = [
        (
            night,
            [
                row
                for name, table in parts.items()
                if name.startswith(run.names.labels)
                for row in table.to_pylist()
            ],
        )
        for night, run in nights
    ]
    wanted = right_rows(store, rows, finished_only=True, prompt="<ImageHere>")
    assert found == widened(wanted, found) and gone not in found
    assert prune(read_history(output)[0]).parts
    assert [proof.broken for proof in proofs(output)] == [[]] * 5


def without_own(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without what an erasure creates: it is called otherwise each time."""
    empty = {name for name, table in tables(files).items() if not len(table) and "/part-" in name}
    assert len(empty) <= 1
    return {n: data for n, data in files.items() if "forgotten/" not in n and n not in empty}


@pytest.mark.parametrize(
    "moment",
    [
        "created=kill@forgotten/00000001.json",
        "erase=kill@part-00000",
        "erased=kill@/page-",
        "erased=kill@/left-!{marker}",
        "scratched=kill@00000001-done",
        "created=kill@00000001-done",
    ],
)
def test_whenever_it_is_killed_it_is_ended(tmp_path: Path, moment: str) -> None:
    """The same command ends in the same files as if nobody had killed it; until then verify says
    that it is not ended, no run is planned and nothing is compacted.
    """
    uris = [f"{tmp_path}/in/{name}" for name in ("1.png", "2.png")]
    output = str(tmp_path / "out")
    run, plan = planned(str(tmp_path), incremental=True)
    label(run, plan)
    finish(run, plan, {})
    put(str(tmp_path), "in/1.png", png("blue"))
    put(str(tmp_path), "in/2.png", png("blue"))
    freeze(open_run(run.spec.job), 2, lambda: ("cpu", 8), most=1)
    before = contents(output)
    forgotten(output, *uris)
    wanted = without_own(contents(output))

    for name in contents(output):
        remove(f"{output}/{name}")
    for name, data in before.items():
        put(output, name, data)
    code = (
        "import sys; from workers import heartbeat; heartbeat.SECONDS_OF_SILENCE = 0.0; "
        "from workers.forgetting import forget; output, *uris = sys.argv[1:]; forget(output, uris)"
    )
    environment = os.environ | {
        failpoints.VARIABLE: moment.format(marker=tmp_path / "once"),
        "PYTHONPATH": str(ROOT),
    }
    killed = subprocess.run(
        [sys.executable, "-c", code, output, *uris], env=environment, timeout=60
    )
    assert killed.returncode == -9
    ended = not read_erasures(output).open
    assert ended == moment.startswith("created=kill@00000001-done")
    if not ended:
        assert "was begun and not ended" in prove(output, find_runs(output)[0]).broken[0].problem
        for use in (lambda: read_history(output), lambda: read_erasures(output).require_ended()):
            with pytest.raises(BusyError, match="with --forget ends it"):
                use()
    told = forgotten(output, *uris)
    assert told.found | told.before == set(uris)
    assert without_own(contents(output)) == wanted
    assert [proof.broken for proof in proofs(output)] == [[], []]


@pytest.mark.parametrize("moment", ["commit", "write_over"])
def test_two_at_once_forget_both(folder: str, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """One that another overtakes, before its record or in the middle of a file which it then writes
    as it had read it, brings back nothing that the other one erased.
    """
    run, _ = finished(folder)
    plain = getattr(erase, moment)
    overtaken: list[Forgotten] = []

    def after_another(*arguments: Any) -> Any:
        if not overtaken:
            overtaken.append(Forgotten())
            overtaken.append(forgotten(run.output, f"{folder}/in/3.png"))
        return plain(*arguments)

    monkeypatch.setattr(erase, moment, after_another)
    told = forgotten(run.output, f"{folder}/in/2.png")
    assert told.found == {f"{folder}/in/2.png"} and told.rows == overtaken[1].rows == 2
    left = [one for name, table in tables(contents(run.output)).items() for one in table["item_id"]]
    assert Counter(str(one)[-5:] for one in left) == dict.fromkeys(
        ["0.png", "1.png", "4.png", "5.png", "6.png"], 2
    )
    (proof,) = proofs(run.output)
    assert proof.whole and proof.forgotten == 2


def test_a_run_of_which_images_are_forgotten_is_gone_on_with(store: str) -> None:
    """Of a committed shard, of one that is owed, and all of one: what is left is labelled, counts
    add up all along, and what is forgotten after the end, too.
    """
    run, plan = planned(store)
    output = run.output
    label(run, plan, skip={1, 2, 3}, failing=())
    forgotten(output, *(f"{store}/in/{number}.png" for number in (0, 2, 6)))
    (files,) = find_runs(output)
    now = status_of(output, files)
    assert (now.images, now.labelled, now.owed, now.forgotten) == (7, 1, 3, 3)
    proof = prove(output, files)
    assert (proof.broken, proof.forgotten, proof.owed, proof.owed_images) == ([], 3, [1, 2], 3)

    plan = freeze(run, 2, lambda: ("cpu", 8))
    label(run, plan, skip={0, 3}, failing={1})
    result = finish(run, plan, {})
    assert (result.items, result.labelled, result.failed) == (4, 3, 1)
    assert forgotten(output, f"{store}/in/3.png").rows == 2
    assert not sum(map(len, failed_ids(replace(run, finished=True), ())))
    (files,) = find_runs(output)
    now = status_of(output, files)
    assert (now.state, now.images, now.labelled, now.failed, now.forgotten) == (
        *(State.FINISHED, 4, 3, 0, 1),
    )
    proof = prove(output, files)
    assert (proof.whole, proof.labelled, proof.failed, proof.forgotten) == (True, 3, 0, 4)


def test_what_is_forgotten_is_never_planned_again(store: str) -> None:
    """Whoever lists it still skips it by its rule: it is neither owed, nor left, nor gone; when the
    record is taken away it is new, and all is still proven.
    """
    run, plan = planned(store, incremental=True)
    label(run, plan, failing=())
    finish(run, plan, {})
    uri = f"{store}/in/3.png"
    forgotten(run.output, uri)
    job = run.spec.job
    night = open_run(job)
    plan = freeze(night, 2, lambda: ("cpu", 8), most=1)
    assert (plan.items, plan.skipped) == (0, {"extension": 1, "forgotten": 1, "settled": 6})
    assert not [*load_list(run.output, plan.gone), *load_list(run.output, plan.left)]
    finish(night, plan, {})
    other = open_run(replace(job, incremental=False))
    planned_too = freeze(other, 2, lambda: ("cpu", 8))
    assert planned_too.skipped == {"extension": 1, "forgotten": 1}

    remove(f"{run.output}/forgotten/00000001.json")
    night = open_run(job)
    plan = freeze(night, 2, lambda: ("cpu", 8))
    (shard,) = load_shards(night, plan)
    assert [image.item_id for image in shard.images] == [uri]
    assert [proof.broken for proof in proofs(run.output)] == [[]] * 4
    label(night, plan, failing=())
    finish(night, plan, {})
    forgotten(run.output, *(f"{store}/in/{number}.png" for number in range(7)))
    plan = freeze(open_run(job), 2, lambda: ("cpu", 8))
    assert (plan.items, plan.skipped) == (0, {"extension": 1, "forgotten": 7})
    assert sample(other, planned_too) == ()


CONTAINERS = {
    "tar": (InputFormat.WEBDATASET, "in/a.tar", {"x.png": png(), "d/y.png": png("blue")}),
    "csv": (InputFormat.CSV, "in/a.csv", ["1.png", "2.png", "1.png"]),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_what_a_container_holds_is_forgotten_with_it(folder: str, kind: str) -> None:
    """By the container all of its items go, by `CONTAINER#MEMBER` that one, by the image that rows
    of a manifest name these, also from lists that know no more than ids; what is listed later of
    the same is skipped.
    """
    format, name, holds = CONTAINERS[kind]
    for number in (1, 2):
        put(folder, f"in/{number}.png", png())
    for one in (name, f"{name[:-4]}b{name[-4:]}"):
        data = tar_of(holds) if kind == "tar" else "\n".join(["image", *holds]).encode()
        put(folder, one, data)
    job = job_spec(f"{folder}/in", f"{folder}/out", input_format=format, incremental=True)
    run = open_run(job)
    plan = freeze(run, 2, lambda: ("cpu", 8), most=3)
    label(run, plan, failing=())
    finish(run, plan, {})
    if kind == "csv":
        put(folder, "in/1.png", png("blue"))
        label(again := open_run(job), freeze(again, 2, lambda: ("cpu", 8), most=1), failing=())
        finish(again, read_plan(again), {})
    count = len(holds)
    asked = f"{folder}/{name}#x.png" if kind == "tar" else f"{folder}/in/1.png"
    told = forgotten(run.output, asked)
    assert told.found == {asked} and told.rows == (2 if kind == "tar" else 9)
    assert forgotten(run.output, f"{folder}/{name}").rows > 0
    left = [str(one) for table in tables(contents(run.output)).values() for one in table["item_id"]]
    assert left and not [one for one in left if one.startswith(f"{folder}/{name}#")]
    plan = freeze(open_run(job), 2, lambda: ("cpu", 8))
    assert plan.skipped["forgotten"] == (count if kind == "tar" else count + 2)
    assert not [broken for proof in proofs(run.output) for broken in proof.broken]


def test_a_run_that_somebody_works_on_is_left_alone(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that lives is heard, whether before anything is touched or, of a run that began in
    between, before any row is.
    """
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN_BEATS", 0.2)
    monkeypatch.setattr(heartbeat, "SECONDS_OF_SILENCE", 3.0)
    run, plan = planned(folder)
    label(run, plan, skip={3})
    before = contents(run.output)
    with beating(run.output, run.spec.run_id, print):
        with pytest.raises(BusyError, match="run 00000001 is being worked on by process"):
            forgotten(run.output, f"{folder}/in/1.png")
        left = {name: data for name, data in contents(run.output).items() if name in before}
        assert left == before and not read_erasures(run.output).begun
        with pytest.raises(BusyError, match="the same command erases"):
            forget(run.output, [f"{folder}/in/1.png"])
        (begun,) = read_erasures(run.output).open
        assert {one: contents(run.output)[one] for one in before} == before
    with pytest.raises(BusyError, match="are being erased"):
        freeze(open_run(replace(run.spec.job, incremental=True)), 2, lambda: ("cpu", 8))
    monkeypatch.setattr(heartbeat, "SECONDS_OF_SILENCE", 0.0)
    assert forgotten(run.output, f"{folder}/in/1.png").rows == sum(f.rows for f in begun.files)


def test_a_plan_and_a_snapshot_do_not_bring_it_back(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before an erasure is not planned and not compacted after it."""
    run, _ = finished(folder)
    history, _ = read_history(run.output)

    def meanwhile(module: Any, name: str, uri: str) -> None:
        plain = getattr(module, name)

        def late(*arguments: Any, **named: Any) -> Any:
            monkeypatch.setattr(module, name, plain)
            answer = plain(*arguments, **named)
            forgotten(run.output, f"{folder}/in/{uri}")
            return answer

        monkeypatch.setattr(module, name, late)

    meanwhile(sys.modules["workers.snapshots.make"], "_write_absorbed", "1.png")
    with pytest.raises(BusyError, match="come again"):
        compact(history)
    assert read_history(run.output)[0].snapshot is None
    made = compact(read_history(run.output)[0]).snapshot
    assert made and made.rows == 6

    later = open_run(replace(run.spec.job, incremental=True))
    meanwhile(sys.modules["workers.plan.freeze"], "fill", "2.png")
    with pytest.raises(BusyError, match="rows were erased while run 00000002 was planned"):
        freeze(later, 2, lambda: ("cpu", 8))
    assert freeze(later, 2, lambda: ("cpu", 8)).skipped["forgotten"] == 2


def test_a_full_disk_and_a_reader_lose_nothing(folder: str) -> None:
    """Where a file cannot be written anew it stays as it was, and the same command ends it; who had
    it open reads on what it was.
    """
    run, _ = finished(folder)
    place = Path(run.output, run.names.part(0))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = place.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - 500, limit[1]))
    try:
        with pytest.raises(StoreError, match="cannot be written now"):
            forgotten(run.output, f"{folder}/in/0.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert place.read_bytes() == before and read_erasures(run.output).open
    with place.open("rb") as reader:
        start = reader.read(100)
        assert forgotten(run.output, f"{folder}/in/0.png").rows == 2
        assert start + reader.read() == before != place.read_bytes()
    assert proofs(run.output)[0].whole
    assert not [name for name in contents(run.output) if ".scratch/" in name]


def test_only_what_may_hold_it_is_read(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sorted ids one part, one page; of any others the ends of the files are enough."""
    run, plan = finished(folder)
    read: list[str] = []
    plain = search.find_document

    def noted(output: str, name: str, patience: Patience) -> bytes | None:
        read.append(name)
        return plain(output, name, patience)

    monkeypatch.setattr(search, "find_document", noted)
    forgotten(run.output, f"{folder}/in/3.png")
    assert read[:2] == [run.names.part(1), plan.pages[0].name]
    assert set(read[2:]) <= {plan.pages[0].name}


def test_a_damaged_file_is_not_made_whole_by_it(folder: str) -> None:
    """What was altered before stays known as altered, what is no Parquet is named, and a part that
    is put back as it was before is told from one that is right.
    """
    run, _ = finished(folder)
    place = Path(run.output, run.names.part(0))
    intact = Path(run.output, run.names.part(1)).read_bytes()
    table = pq.ParquetFile(place).read()
    pq.write_table(table, place)
    Path(run.output, run.names.part(2)).write_bytes(b"no Parquet")
    told = forgotten(run.output, f"{folder}/in/0.png", f"{folder}/in/2.png")
    assert told.unreadable == [run.names.part(2)]
    assert "0.png" not in str(pq.ParquetFile(place).read()["item_id"])
    Path(run.output, run.names.part(1)).write_bytes(intact)
    problems = {one.shard: one.problem for one in proofs(run.output)[0].broken}
    assert problems.keys() == {0, 1, 2}
    assert problems[0].startswith("is not the file that result.json names by its digest")
    assert "digest, but for what was forgotten" in problems[1]


def test_who_has_the_record_and_an_id_can_tell() -> None:
    """A name is held against the salted digests; the same one has another under another salt."""
    record = Erasure(1, "t", "", "", "00ff", (salted("00ff", "s3://b/k"),), ())
    assert Erasure.from_json(record.to_json(), "x") == record
    assert salted("00ff", "s3://b/k") != salted("ff00", "s3://b/k")
    assert list(names_of("a.csv#000000012", "b.png")) == ["a.csv#000000012", "b.png", "a.csv"]
    assert list(names_of("a#000000012", "a#000000012")) == ["a#000000012"]
    assert list(names_of("a.tar#b#1.png", "a.tar")) == ["a.tar#b#1.png", "a.tar"]
