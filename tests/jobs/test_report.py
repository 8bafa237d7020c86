"""jobs/report.py: runs in every state, from every kind of INPUT, and what it cannot be made of."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import s3fs
from PIL import Image

from jobs import report
from jobs.again import typed
from schemas.image import InputFormat
from schemas.outcome import ErrorCode
from schemas.run import RunNames
from schemas.snapshot import Pruned
from tests import inspected
from tests.clock import patience
from tests.pictures import picture
from tests.report.labelled import TASKS, label, planned
from tests.report.markup import Element, parsed
from tests.runs import png, put
from tests.seaweed import free_ports
from tests.source.listings import parquet_of, tar_of
from workers.inspection import RunStatus, State
from workers.plan import Run, finish, open_run
from workers.report import story
from workers.report.tally import Tally
from workers.report.words import state_in_words
from workers.store import fetch
from workers.tasks.choose import Choose


def page(run: Run, *flags: str) -> Element:
    """The run's report, where it lies by default."""
    assert report.main([run.output, *flags]) == 0
    return parsed(fetch(f"{run.output}/report.html").decode())


def state(html: Element) -> str:
    return html.all("p", class_="state")[0].text


def lead(html: Element) -> str:
    return html.all("p", class_="lead")[0].text


def reasons(html: Element) -> list[str]:
    """Why pictures are missing."""
    return [one.text for one in html.all("p", class_="gone")]


def test_the_page_lies_with_its_labels_and_its_place_is_said(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder and in a bucket, with pictures; of the newest run, or of one by its number."""
    first, _ = inspected.finished(store)
    inspected.finished(store, failing=(), new_run=True)
    html = page(first)
    assert (
        capsys.readouterr().out
        == f"Report of run 00000002, for a browser: {store}/out/report.html\n"
    )
    assert lead(html) == "7 of 7 images labelled."
    assert len(html.all("img")) == 7
    html = page(first, "--run", "1")
    assert (state(html), lead(html)) == ("complete", "5 of 7 images labelled, 2 failed.")


def test_a_page_elsewhere(tmp_path: Path) -> None:
    """--to names the file, and nothing else is left beside it."""
    run, _ = inspected.finished(str(tmp_path))
    (tmp_path / "pages").mkdir()
    assert report.main([run.output, "--to", str(tmp_path / "pages" / "a.html")]) == 0
    assert [one.name for one in (tmp_path / "pages").iterdir()] == ["a.html"]
    assert not Path(run.output, "report.html").exists()


def test_a_run_that_is_not_finished_says_how_far_it_is(folder: str) -> None:
    """Without a plan, stopped, and under way; what there is of it is shown."""
    run, plan = inspected.planned(folder)
    inspected.label(run, plan, skip={0, 3})
    html = page(run)
    assert state(html) == "stopped, 57 % done"
    assert lead(html) == "2 of 7 images labelled, 2 failed, 3 still owed."
    assert len(html.at("pictures").all("article")) == 2
    assert not html.at("failures").all("pre")  # there is no replay of an unfinished run
    assert "Go on with it" in html.at("made").text
    inspected.delete(run, run.names.plan)
    html = page(run)
    assert lead(html) == "There is no plan yet, and nothing was labelled."


def test_a_run_of_nothing_but_failures(folder: str) -> None:
    """No pictures, no charts, each code with the command that replays it."""
    run, _ = inspected.finished(folder, failing=range(4))
    html = page(run)
    assert lead(html) == "0 of 7 images labelled, 7 failed."
    assert not [e for e in html.all("section") if e.attributes.get("id") in ("pictures", "numbers")]
    assert len(html.at("failures").all("li")) == 3
    command = html.at("failures").all("pre")[0].text
    words = ("--run", "00000001", "--code", "truncated")
    assert command.startswith(typed("jobs/replay.py", run.output, *words))


def test_a_replay_says_what_it_is_of(folder: str) -> None:
    """It looked at what failed elsewhere; what it did not look at is counted in words."""
    inspected.finished(folder)
    run, plan = inspected.planned(folder, replay_of="00000001")
    inspected.label(run, plan, failing=())
    finish(run, plan, {})
    html = page(run)
    assert lead(html) == "2 of 2 images labelled. They are what had failed in run 00000001."
    rows = [[cell.text for cell in row.children] for row in html.at("counts").all("tr")]
    assert ["files that had not failed so in the replayed run", "5"] in rows


def test_a_night_without_work_says_so(folder: str) -> None:
    """Nothing was owed; what was settled before is counted, and what is deleted since. Whoever
    names no run is shown the newest one that has something to show.
    """
    for number in range(3):
        put(folder, f"in/{number}.png", png())
    run, plan = planned(folder, incremental=True)
    label(run, plan)
    finish(run, plan, {})
    Path(folder, "in", "1.png").unlink()
    run, plan = planned(folder, incremental=True)
    finish(run, plan, {})
    assert lead(page(run)).startswith("3 of 3 images")
    html = page(run, "--run", "2")
    assert (run.spec.run_id, state(html)) == ("00000002", "complete, nothing to do")
    assert lead(html).startswith("Nothing was looked at")
    rows = [[cell.text for cell in row.children] for row in html.at("counts").all("tr")]
    assert rows[-2:] == [["files that were settled before", "2"], ["listed in all", "2"]]
    assert "1 more is in INPUT no longer, and marked as deleted." in html.at("counts").text


def test_pictures_that_are_no_longer_there_are_told(folder: str) -> None:
    """Gone, written over by another picture, by none: the labels are shown, and why not."""
    run, _ = inspected.finished(folder, failing=())
    for name, data in (("0.png", None), ("1.png", png("blue")), ("2.png", b"none")):
        Path(folder, "in", name).unlink()
        if data is not None:
            put(folder, f"in/{name}", data)
    html = page(run)
    assert reasons(html) == [
        "No picture: the picture is gone since.",
        "No picture: the file has changed since.",
        "No picture: the file has changed since.",
    ]
    assert len(html.at("pictures").all("article")) == 7


@pytest.mark.parametrize("kind", [InputFormat.WEBDATASET, InputFormat.PARQUET])
def test_pictures_come_out_of_containers(kind: InputFormat, folder: str) -> None:
    """Members of a tar and rows of a Parquet file, with what INPUT says beside them."""
    pictures = [picture(number) for number in range(6)]
    if kind == InputFormat.PARQUET:
        data = parquet_of({"image": pictures, "maker": [f"maker {n}" for n in range(6)]})
    else:
        members = {f"{n}.{end}": b"" for n in range(6) for end in ("png", "txt")}
        members |= {f"{n}.png": data for n, data in enumerate(pictures)}
        data = tar_of(members | {f"{n}.txt": f"maker {n}".encode() for n in range(6)})
    put(folder, "in.data", data)
    run, plan = planned(folder, name="in.data", input_format=kind)
    label(run, plan, failing={"4": ErrorCode.MODEL_FAILED, "4.png": ErrorCode.MODEL_FAILED})
    finish(run, plan, {})
    html = page(run)
    assert reasons(html) == []
    cards = html.at("pictures").all("article")
    assert [card.all("dd")[0].text for card in cards] == [f"maker {n}" for n in (0, 1, 2, 3, 5)]
    assert len(html.at("failures").all("img")) == 1  # the model's failure, not the picture's


def test_a_picture_stands_upright(folder: str) -> None:
    """As its EXIF data says, and as the model saw it."""
    buffer, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (120, 60)).save(buffer, "JPEG", exif=exif)
    put(folder, "in/a.jpg", buffer.getvalue())
    run, plan = planned(folder)
    label(run, plan)
    (image,) = page(run).at("pictures").all("img")
    assert (image.attributes["width"], image.attributes["height"]) == ("60", "120")


def test_a_task_that_shows_no_column_by_itself_is_shown_in_its_own_words(folder: str) -> None:
    """Such as the choices of an evaluation."""
    put(folder, "in/a.png", png())
    task = Choose("<ImageHere> {text}")
    run, plan = planned(folder, tasks=(task.spec,), text="sidecar")
    choices = [{"choice": "a cat", "logprob": -0.1}, {"choice": "a dog", "logprob": -2.0}]
    label(run, plan, (task,), lambda image, number: {"choices": choices})
    (card,) = page(run).at("pictures").all("article")
    assert "a cat > a dog" in card.text


def test_of_many_parts_some_are_read(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evenly, and the page says so; a code of the others has its example, found by the result."""
    monkeypatch.setattr(story, "MOST_PARTS", 2)
    read, real = [], Tally.add

    def add(self: Tally, shard: int, *rest: Any) -> None:
        read.append(shard)
        real(self, shard, *rest)

    monkeypatch.setattr(Tally, "add", add)
    run, _ = inspected.finished(folder)
    html = page(run)
    assert sorted(read) == [0, 2]
    (notice,) = html.all("p", class_="notice")
    assert notice.text.startswith("2 of the run's 4 parts were read for this page")
    assert notice.text.endswith("charts and words are of 4 of its 7 rows.")
    assert lead(html) == "5 of 7 images labelled, 2 failed."
    assert len(html.at("failures").all("li")) == 2


def test_damaged_parts_and_pages_cost_what_they_hold(folder: str) -> None:
    """Garbage, another plan's part, a page of the plan that was altered: the rest is shown."""
    run, plan = inspected.finished(folder)
    inspected.change_bytes(run, run.names.part(0), lambda data: b"garbage")
    put(run.output, run.names.part(2), fetch(f"{run.output}/{run.names.part(3)}"))
    html = page(run)
    (notice,) = html.all("p", class_="notice")
    assert notice.text.startswith("2 of the run's 4 parts could not be read")
    assert len(html.at("pictures").all("article")) == 1
    inspected.change_bytes(run, plan.pages[0].name, lambda data: data + b" ")
    html = page(run)
    assert len(html.at("pictures").all("article")) == 1
    assert {reason[-len("is damaged.") :] for reason in reasons(html)} == {"is damaged."}


def test_a_run_whose_rows_are_elsewhere_says_so(folder: str) -> None:
    """Pruned, its parts there still or not; deleted by somebody."""
    run, _ = inspected.finished(folder)
    pruned = Pruned("00000001", run.spec.job.meaning_id(), 3, 7)
    put(run.output, RunNames(1).pruned, pruned.to_json())
    html = page(run)
    assert "The rows of this run lie in snapshot 3" in html.text
    assert state(html) == "complete, pruned"
    assert html.all("pre")[0].text == typed("jobs/compact.py", run.output, "--view")
    assert "The same command again" in html.at("made").text
    assert {"good"} < set(html.all("p", class_="state")[0].attributes["class"].split())
    assert html.all("p", class_="note")[0].text == run.spec.job.input
    assert not html.all("article", class_="card")
    assert lead(html) == "5 of 7 images labelled, 2 failed."
    inspected.delete(run, run.names.pruned)
    for shard in range(4):
        inspected.delete(run, run.names.part(shard))
    assert "its labels are gone" in page(run).text


def test_every_state_has_words_of_its_own(folder: str) -> None:
    """Planned or not: a state that is new fails here until it is given some."""
    put(folder, "in/0.png", png())
    run, _ = planned(folder)
    for images, owed in ((None, None), (4, 2)):
        known = RunStatus("00000001", State.STOPPED, run.spec.job, "", images=images, owed=owed)
        words = [state_in_words(replace(known, state=one)) for one in State]
        assert len(set(words)) == len(State), words


def test_the_newest_run_with_a_plan_is_shown(folder: str) -> None:
    """A run that was only claimed has nothing to show, unless there is no other, or it is asked
    for. One image has the words of one, and INPUT is named whole.
    """
    put(folder, "in/0.png", png())
    run, plan = planned(folder)
    label(run, plan, failing={"0.png": ErrorCode.TRUNCATED})
    finish(run, plan, {})
    claimed = open_run(replace(run.spec.job, tasks=(TASKS[0].spec,)))
    html = page(run)
    assert (claimed.spec.run_id, state(html)) == ("00000002", "complete")
    assert "1 image has no labels; it is a row" in html.at("failures").text
    assert html.all("p", class_="note")[0].text == run.spec.job.input
    assert state(page(run, "--run", "2")) == "not started"


def test_what_no_report_can_be_made_of_is_one_sentence(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2: no run, no such run, no such folder, a folder in the file's place."""
    assert report.main([folder]) == 2
    assert "holds no run" in capsys.readouterr().err
    run, _ = inspected.finished(folder)
    for flags, why in (
        (["--run", "7"], "holds no run 7; its newest is 1"),
        (["--to", f"{folder}/none/a.html"], f"there is no folder {folder}/none"),
        (["--to", folder], "a folder stands where a file is named"),
    ):
        assert report.main([run.output, *flags]) == 2
        said = capsys.readouterr()
        assert why in said.err
        assert (said.err.count("\n"), said.out) == (1, "")


def test_a_store_that_does_not_answer_is_75(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Come again."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_ports(1)[0]}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(report, "PATIENCE", patience())
    assert report.main(["s3://bucket/labels"]) == 75
    said = capsys.readouterr().err
    assert said.startswith("report: s3://bucket/labels/runs cannot be listed now: ")
    assert said.count("\n") == 1
