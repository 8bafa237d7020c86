"""What is owed of a listing, and what is not."""

import json
import random
from dataclasses import replace as replaced
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import document
from schemas.image import ImageRef, InputFormat
from schemas.job import JobSpec
from schemas.outcome import ErrorCode, RunFolderError, StoreError, UsageError
from schemas.rows import row_schema
from schemas.run import Plan, RunNames
from tests.runs import SCHEMAS, caption, job_spec, png, put, row
from workers.plan import Run, finish, freeze, listing, load_list, load_shards, open_run, read_plan
from workers.plan import owed as module
from workers.plan.known import known_runs
from workers.plan.listing import open_listing
from workers.plan.owed import KNOWN_SCHEMA, LEFT_SCHEMA, Owed
from workers.sink import commit, commit_part, committed
from workers.snapshots import compact, prune, read_history
from workers.store import entry_at, fetch, remove, replace

Row = tuple[str, str, bool, int]


def compared(
    listed: dict[str, str],
    known: list[Row],
    waiting: dict[str, int],
    most: int | None,
    of_input: list[int],
) -> tuple[set[str], dict[str, int], set[str]]:
    """What is planned by run 9, left, and gone."""
    with open_listing() as listing:
        listing.add([ImageRef(name, name, version, 1) for name, version in listed.items()])
        tally = listing.tally()
        owed = Owed(listing)
        owed.know([pa.Table.from_pylist(_dicts(known), KNOWN_SCHEMA)], of_input)
        left = [{"item_id": name, "since": since} for name, since in waiting.items()]
        owed.waited([pa.Table.from_pylist(left, LEFT_SCHEMA)])
        said = owed.choose(tally.items, 9, most)
        planned = [name for table in listing.in_order() for name in table["item_id"].to_pylist()]
        remaining = [one for table in owed.left() for one in table.to_pylist()]
        gone = [name for table in owed.gone() for name in table["item_id"].to_pylist()]
    assert sorted(planned) == planned and sorted(gone) == gone
    assert said.settled + said.owed == len(listed)
    assert said.owed == len(planned) + said.left
    assert (said.left, said.gone) == (len(remaining), len(gone))
    return set(planned), {one["item_id"]: one["since"] for one in remaining}, set(gone)


def _dicts(known: list[Row]) -> list[dict[str, object]]:
    return [dict(zip(KNOWN_SCHEMA.names, one, strict=True)) for one in known]


@pytest.mark.parametrize("seed", range(12))
def test_it_is_what_a_person_would_say(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Owed is what has no settled row in the version of its newest run, the longest owed are
    planned, and gone is what this INPUT told of last and lists no more; a look that met no version
    tells nothing where anything else is known. However few ids are compared at a time.
    """
    draw = random.Random(seed)
    monkeypatch.setattr(module, "RANGE_ITEMS", draw.choice([7, 40, 10_000]))
    names = [f"item-{draw.randrange(10**6):06d}" for _ in range(60)]
    listed = {name: draw.choice(["a", "b", "", "+text:1"]) for name in names if draw.random() < 0.8}
    known: list[Row] = []
    for run in range(1, 6):
        for name in sorted(set(names)):
            if draw.random() < 0.4:
                version = draw.choice(["a", "b", "c", "", "+text:1"])
                known.append((name, version, draw.random() < 0.6, run))
    draw.shuffle(known)
    waiting = {name: draw.randrange(1, 9) for name in set(names) if draw.random() < 0.3}
    most, of_input = draw.choice([None, 0, 3, 20]), [1, 3, 5]

    newest: dict[str, tuple[str, bool, int]] = {}
    for name in {one[0] for one in known}:
        _, run, version = max(
            (settled or version[:1] in {"a", "b", "c"}, run, version)
            for n, version, settled, run in known
            if n == name
        )
        settled = any(s for n, v, s, _ in known if (n, v) == (name, version))
        newest[name] = version, settled, run
    owed = {
        name: waiting.get(name, 9)
        for name, version in listed.items()
        if newest.get(name, ("", False, 0))[:2] != (version, True)
    }
    first = sorted(owed, key=lambda name: (owed[name], name))[:most]
    left = {name: since for name, since in owed.items() if name not in first}
    gone = {name for name in newest if name not in listed and newest[name][2] in of_input}
    assert compared(listed, known, waiting, most, of_input) == (set(first), left, gone)


def night(
    store: str, most: int | None = None, input: str = "in", **changes: object
) -> tuple[list[str], Plan, Run]:
    """What a night looks at of `store`, by name, its plan and its run; nothing is labelled yet."""
    job = job_spec(f"{store}/{input}", f"{store}/out", incremental=True, **changes)
    run = open_run(job)
    plan = freeze(run, 2, lambda: ("cpu", 8), most)
    images = [image for shard in load_shards(run, plan) for image in shard.images]
    return [image.item_id.rpartition("/")[2] for image in images], plan, run


def label(run: Run, plan: Plan, failed: dict[str, ErrorCode] | None = None) -> None:
    """Commit what is planned, some of it `failed` by name, and finish the run."""
    for shard in load_shards(run, plan):
        rows = []
        for image in shard.images:
            code = (failed or {}).get(image.item_id.rpartition("/")[2])
            rows.append(row(image, run.spec.run_id, code) | _version(run.spec.job, image))
        schema = row_schema(SCHEMAS, plan.columns)
        rows = [dict.fromkeys(schema.names) | one for one in rows]
        commit_part(run.output, plan.run_id, plan.digest, shard, rows, schema, "a")
    finish(run, plan, {})


def _version(job: JobSpec, image: ImageRef) -> dict[str, str]:
    return {"input_digest": job.input_digest(image), "meaning_id": job.meaning_id()}


def test_a_night_looks_at_what_is_owed(store: str) -> None:
    """Nothing is looked at twice; new, changed and what failed for a passing reason is, on a disk
    and in a bucket; what INPUT lost is marked; another prompt is owed everything.
    """
    for number in range(5):
        put(store, f"in/{number}.png", png())
    seen, plan, run = night(store)
    assert seen == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    label(run, plan, {"1.png": ErrorCode.TRUNCATED, "2.png": ErrorCode.READ_FAILED})

    put(store, "in/0.png", png("green"))
    put(store, "in/9.png", png())
    remove(f"{store}/in/4.png")
    seen, plan, run = night(store)
    assert seen == ["0.png", "2.png", "9.png"]
    assert plan.skipped == {"settled": 2}
    (gone,) = load_list(run.output, plan.gone)
    assert gone["item_id"].to_pylist() == [f"{run.spec.job.input}/4.png"]
    label(run, plan)

    seen, plan, run = night(store)
    assert (seen, plan.items, plan.shards, plan.skipped) == ([], 0, 0, {"settled": 5})
    label(run, plan)

    assert len(night(store, tasks=(caption("###Human: <ImageHere> what?"),))[0]) == 5


def test_an_idle_night_asks_for_no_machine(folder: str) -> None:
    """Where nothing is owed nobody asks on what to look, which would start Ray."""
    put(folder, "in/0.png", png())
    _, plan, run = night(folder)
    label(run, plan)

    def where() -> tuple[str, int]:
        raise AssertionError("Ray was asked what there is")

    idle = freeze(open_run(run.spec.job), 2, where)
    assert (idle.items, idle.shards) == (0, 0)


def test_what_was_left_comes_first(folder: str) -> None:
    """A limit takes what is owed the longest, then by name; all of it is looked at in the end."""
    for name in "bdfh":
        put(folder, f"in/{name}.png", png())
    nights = []
    for new in ("a", "c", "", "", ""):
        if new and nights:
            put(folder, f"in/{new}.png", png())
        seen, plan, run = night(folder, most=2)
        nights.append("".join(name[0] for name in seen))
        label(run, plan)
    assert nights == ["bd", "fh", "c", "", ""]
    for name in "ijk":
        put(folder, f"in/{name}.png", png())
    _, plan, run = night(folder, most=1)
    label(run, plan)
    put(folder, "in/a.png", png())
    seen, plan, _ = night(folder, most=2)
    assert seen == ["j.png", "k.png"]
    assert plan.skipped == {"settled": 6, "left": 1}


def test_a_meme_with_another_text_is_owed(folder: str) -> None:
    """Where the text is a column of INPUT, another text is another version of the item."""
    put(folder, "in/one.png", png())

    def manifest(*texts: str) -> None:
        lines = [f'{{"uri": "one.png", "text": "{text}"}}\n' for text in texts]
        replace(f"{folder}/in/memes.jsonl", "".join(lines).encode())

    changes = {"input_format": InputFormat.JSONL, "text": "column:text"}
    manifest("first", "second")
    seen, plan, run = night(folder, **changes)
    assert len(seen) == 2
    label(run, plan)
    manifest("first", "other")
    seen, _, _ = night(folder, **changes)
    assert [name[-1] for name in seen] == ["1"]


@pytest.mark.parametrize(
    ("input", "kind"), [("in", InputFormat.IMAGES), ("list.csv", InputFormat.CSV)]
)
def test_a_text_beside_an_image_is_looked_at(
    store: str, monkeypatch: pytest.MonkeyPatch, input: str, kind: InputFormat
) -> None:
    """Whose text came, changed or went is owed, and nobody else; a text may be that of several."""
    monkeypatch.setattr(module, "RANGE_ITEMS", 2)
    monkeypatch.setattr(listing, "RANGE_ITEMS", 2)
    images = ["a/b.png", "c.1.jpg", "c.jpg", "c.png", "d.jpg"]
    for name in images:
        put(store, f"in/{name}", png())
    put(store, "list.csv", "\n".join(["path", *(f"in/{name}" for name in images)]).encode())

    def owed() -> list[str]:
        _, plan, run = night(store, input=input, input_format=kind, text="sidecar")
        shards = list(load_shards(run, plan))
        label(run, plan)
        return [image.uri.partition("/in/")[2] for shard in shards for image in shard.images]

    for name in ("c.txt", "d.txt"):
        put(store, f"in/{name}", b"a day")
    assert owed() == images
    assert owed() == []
    put(store, "in/a/b.txt", b"came")
    put(store, "in/notes.txt", b"nobody's")
    assert owed() == ["a/b.png"]
    put(store, "in/c.txt", b"another day")
    assert owed() == ["c.jpg", "c.png"]
    remove(f"{store}/in/d.txt")
    assert owed() == ["d.jpg"]
    assert owed() == []


def test_a_plain_run_counts_too(folder: str) -> None:
    """A night is owed nothing that a run without nights has labelled, finished or not."""
    for number in range(4):
        put(folder, f"in/{number}.png", png())
    run = open_run(job_spec(f"{folder}/in", f"{folder}/out"))
    plan = freeze(run, 2, lambda: ("cpu", 8))
    first = next(load_shards(run, plan))
    rows = [row(image) | _version(run.spec.job, image) for image in first.images]
    commit_part(run.output, plan.run_id, plan.digest, first, rows, row_schema(SCHEMAS), "a")
    assert night(folder)[0] == ["2.png", "3.png"]


def test_an_empty_input_is_not_a_deleted_one(folder: str) -> None:
    """Where INPUT lists nothing, a disk that is not mounted maybe, nothing is marked as deleted."""
    put(folder, "in/0.png", png())
    _, plan, run = night(folder)
    label(run, plan)
    remove(f"{folder}/in/0.png")
    with pytest.raises(UsageError, match="holds no"):
        night(folder)
    assert entry_at(f"{folder}/out/{RunNames(2).spec}") is None


def test_a_changed_program_does_not_stop_the_nights(folder: str) -> None:
    """A night that other semantics left unfinished is not gone on with: all is owed anew."""
    put(folder, "in/0.png", png())
    first, _, _ = night(folder, semantics=0)
    seen, _, run = night(folder)
    assert (first, seen, run.spec.run_id) == (["0.png"], ["0.png"], "00000002")


def test_labels_of_a_later_program_are_not_guessed_at(folder: str) -> None:
    """A run of this meaning whose documents are of a later format stops the night in a sentence,
    and nothing is written.
    """
    put(folder, "in/0.png", png())
    _, plan, run = night(folder)
    label(run, plan)
    place = f"{run.output}/{run.names.spec}"
    later = fetch(place).replace(b'"format_version":2', b'"format_version":7')
    replace(place, later)
    before = sorted(Path(folder).rglob("*"))
    with pytest.raises(UsageError, match="format version 7"):
        night(folder)
    assert sorted(Path(folder).rglob("*")) == before


def test_what_was_planned_and_not_reached_comes_first(folder: str) -> None:
    """A night's run that is left behind is owed before all that it had left itself; where its
    lists are damaged the order is lost, and nothing else.
    """
    for name in "abcdefgh":
        put(folder, f"in/{name}.png", png())
    _, _, run = night(folder, most=4)
    anew = replaced(run.spec, claimant="another", run_id="00000002")
    commit(run.output, RunNames(2).spec, anew.to_json())
    again = freeze(Run(anew, finished=False), 2, lambda: ("cpu", 8), most=5)
    planned = [image.item_id[-5] for shard in load_shards(run, again) for image in shard.images]
    assert planned == ["a", "b", "c", "d", "e"]
    put(folder, "in/0.png", png())
    replace(f"{run.output}/{again.left[0].name}", b"other")
    label(Run(anew, finished=False), again)
    assert night(folder, most=2)[0] == ["0.png", "f.png"]


def test_a_snapshot_is_known(store: str) -> None:
    """Compacted and pruned, earlier nights are known as they were; later ones count beside them."""
    for number in range(4):
        put(store, f"in/{number}.png", png())
    _, plan, run = night(store)
    label(run, plan, {"1.png": ErrorCode.TRUNCATED, "2.png": ErrorCode.READ_FAILED})
    compact(read_history(run.output)[0])
    prune(read_history(run.output)[0])
    assert not committed(run.output, run.spec.run_id)
    remove(f"{store}/in/3.png")
    seen, plan, run = night(store)
    assert (seen, plan.gone[0].items) == (["2.png"], 1)
    label(run, plan)
    put(store, "in/1.png", png("green"))
    assert night(store)[0] == ["1.png"]


def test_rows_that_are_pruned_while_they_are_read(folder: str) -> None:
    """A night that began to read them stops for now, rather than taking them for unknown."""
    for number in range(3):
        put(folder, f"in/{number}.png", png())
    _, plan, run = night(folder)
    label(run, plan)
    known = known_runs(run.spec.job)
    compact(read_history(run.output)[0])
    prune(read_history(run.output)[0])
    with pytest.raises(StoreError, match="pruned while its rows were read"):
        list(known.rows())
    assert sum(len(table) for table in known_runs(run.spec.job).rows()) == 3


def test_a_snapshot_that_is_replaced_while_it_is_read(folder: str) -> None:
    """A night that began to read it stops for now, too."""
    for colour in ("red", "green"):
        put(folder, "in/0.png", png(colour))
        _, plan, run = night(folder)
        label(run, plan)
        known = known_runs(run.spec.job)
        compact(read_history(run.output)[0])
    prune(read_history(run.output)[0])
    with pytest.raises(StoreError, match="replaced and pruned"):
        list(known.rows())


def test_a_snapshot_that_was_altered_is_not_believed(folder: str) -> None:
    """A part of it that is gone, cut short, or other rows than its document says, is named."""
    for number in range(3):
        put(folder, f"in/{number}.png", png())
    _, plan, run = night(folder)
    label(run, plan)
    snapshot = compact(read_history(run.output)[0]).snapshot
    assert snapshot
    part = Path(run.output, snapshot.parts[0].name)
    whole = part.read_bytes()
    pq.write_table(pq.ParquetFile(part).read().slice(1), part)
    fewer = part.read_bytes()
    pq.write_table(pa.table({"item_id": ["a", "b", "c"]}), part)
    other = part.read_bytes()
    for data in (whole[:-20], fewer, other, None):
        part.write_bytes(data) if data else part.unlink()
        with pytest.raises(RunFolderError, match=part.name):
            night(folder)
    part.write_bytes(whole)
    assert night(folder)[0] == []


def test_what_an_earlier_program_wrote_counts(folder: str) -> None:
    """A run whose spec.json and plan.json are of the formats before these is read as it is: its
    rows settle what they are of, and nothing of it is written over.
    """
    for number in range(3):
        put(folder, f"in/{number}.png", png())
    run = open_run(job_spec(f"{folder}/in", f"{folder}/out"))
    plan = freeze(run, 2, lambda: ("cpu", 8))
    older = _as_it_was(run, plan)
    label(run, older)
    before = {path: path.read_bytes() for path in Path(folder, "out").rglob("*.[jp]*")}
    seen, _, _ = night(folder)
    assert seen == []
    assert {path: path.read_bytes() for path in before} == before


def _as_it_was(run: Run, plan: Plan) -> Plan:
    """The documents of the run as a program of spec format 1 and plan format 2 wrote them."""
    spec = json.loads(fetch(f"{run.output}/{run.names.spec}"))
    (task,) = spec["job"].pop("tasks")
    later = ("text", "incremental")
    spec["job"] = {name: value for name, value in spec["job"].items() if name not in later}
    spec["job"] |= {"task": task["name"]} | task["options"]
    replace(f"{run.output}/{run.names.spec}", document.dumps(spec | {"format_version": 1}))
    value = json.loads(plan.to_json())
    del value["gone"], value["left"]
    replace(f"{run.output}/{run.names.plan}", document.dumps(value | {"format_version": 2}))
    older = read_plan(run)
    assert older
    return older
