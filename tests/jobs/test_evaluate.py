"""jobs/evaluate.py from its command line: real jobs over a few pictures."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs import evaluate
from jobs.arguments import LabellingArguments
from schemas.version import ROOT
from tests.checkpoints import save_tiny_checkpoint, tiny_model
from tests.corpora import write_corpus
from tests.jobs.commands import command, commanding, parts, wait_for
from tests.pictures import write_broken, write_pictures
from workers.images import decode
from workers.model import TinyGPTV
from workers.model.calibration import CALIBRATION
from workers.model.description import checkpoint_folder, describe
from workers.tasks import Item
from workers.tasks.hateful import Hateful

SMALL = ("--shard-images", "1", "--batch-size", "1", "--replicas", "1", "--device", "cpu")
"""A part for each image, so that a run can be stopped anywhere."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


def write_lines(path: Path, entries: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.fixture
def named(tmp_path: Path) -> list[str]:
    """Flags that lead to three pictures; the first one's name is what the model says of it."""
    pictures = write_pictures(tmp_path / "images", 3)
    names = [*tiny_model().caption(pictures[:1]), "no such", "thing"]
    entries = [
        {"image": path.name, "names": [name]} for path, name in zip(pictures, names, strict=True)
    ]
    annotations = write_lines(tmp_path / "annotations.jsonl", entries)
    places = ["--annotations", str(annotations), "--images", str(tmp_path / "images")]
    return ["--suite", "caption", *places, "--out", str(tmp_path / "out")]


@pytest.fixture
def memes(tmp_path: Path) -> list[str]:
    """Flags that lead to six of the demo's pictures with texts, every other one called hateful."""
    images = ROOT / "examples" / "images"
    entries = [
        {"img": path.name, "text": f"look at it {number}", "label": number % 2}
        for number, path in enumerate(sorted(images.glob("*.png"))[:6])
    ]
    annotations = write_lines(tmp_path / "dev.jsonl", entries)
    places = ["--annotations", str(annotations), "--images", str(images)]
    return ["--suite", "hm", *places, "--out", str(tmp_path / "out")]


def test_captions_are_scored_and_what_failed_is_wrong(
    checkpoint: str, named: list[str], tmp_path: Path
) -> None:
    """The captions are the model's at the asked --quant; a broken picture is told, counts as wrong,
    and --max-failed judges it.
    """
    broken = write_broken(tmp_path / "images")["truncated"]
    with (tmp_path / "annotations.jsonl").open("a") as annotations:
        annotations.write(json.dumps({"image": broken.name, "names": ["cat"]}) + "\n")
    answers = tmp_path / "answers.json"
    flags = ["--model", checkpoint, "--device", "cpu", "--quant", "int4", "--json", answers]
    ended = command("evaluate", *named, *flags, "--max-failed", "0")
    assert ended.returncode == 3, ended.stderr
    assert "1 image failed, --max-failed allows 0" in ended.stderr
    head, _, exact, *_ = ended.stdout.splitlines()
    assert head == (
        "tiny, --quant int4: 4 items of caption, of which failed, and are wrong: 1 truncated"
    )
    written = json.loads(answers.read_text())
    assert (written["quantization"], written["failed"]) == ("int4", {"truncated": 1})
    captions = [answer["answer"] for answer in written["answers"]]
    pictures = sorted((tmp_path / "images").glob("picture*"))
    model = TinyGPTV.from_pretrained(checkpoint, quant="int4")
    assert captions == [*model.caption(pictures), None]
    right = sum(answer["points"]["strict"] for answer in written["answers"])
    assert exact.split()[:3] == ["strict", "exact", f"{right / 4:.1%}"]
    assert written["scores"]["strict"]["exact"]["value"] == right / 4


def test_a_killed_evaluation_is_gone_on_with(memes: list[str], tmp_path: Path) -> None:
    """SIGKILL half way, and the same command: no picture is looked at again, the answers are the
    model's; once more it only scores, and a fitted temperature lies in the checkpoint's folder.
    """
    mine = tmp_path / "mine"
    shutil.copytree(checkpoint_folder("pocket"), mine)
    output, answers, plot = tmp_path / "out" / "answers", tmp_path / "a.json", tmp_path / "a.png"
    asked = [*memes, "--model", str(mine), *SMALL, "--json", str(answers)]
    with commanding("evaluate", *asked) as driver:
        wait_for(lambda: len(parts(output)) >= 2, "two parts are there")
        driver.kill()
        assert driver.wait() == -signal.SIGKILL
    before = {path: path.read_bytes() for path in parts(output)}
    assert 2 <= len(before) < 6
    ended = command("evaluate", *asked)
    assert ended.returncode == 0, ended.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert [path.name for path in (output / "runs").glob("0*")] == ["00000001"]
    written = json.loads(answers.read_text())
    assert [of["answer"]["raw"] for of in written["answers"]] == pytest.approx(
        raw_probabilities(mine, [of["item"] for of in written["answers"]])
    )
    fitted = command("evaluate", *asked, "--fit-calibration", "--plot", plot)
    assert fitted.returncode == 0, fitted.stderr
    assert "images done" not in fitted.stderr
    assert "Calibrated: temperature" in fitted.stdout
    temperature = json.loads(answers.read_text())["temperature"]
    assert json.loads((mine / CALIBRATION).read_text())["hateful"]["temperature"] == temperature
    with Image.open(plot) as picture:
        assert picture.format == "PNG"


def raw_probabilities(model: Path, items: list[dict[str, Any]]) -> list[float]:
    """What the model itself says of the memes, without a job."""
    task = Hateful.resolved(describe(model))
    network = TinyGPTV.from_pretrained(model)
    seen = network.encode([decode(Path(item["image"]).read_bytes()) for item in items])
    texts = [Item(item["text"]) for item in items]
    (replies,) = network.reply_all([(seen, [[task.ask(text)] for text in texts])])
    rows = [task.columns(reply, text) for (reply,), text in zip(replies, texts, strict=True)]
    return [row["hateful_raw"] for row in rows]


def test_a_precision_that_cannot_be_had_is_told(named: list[str], tmp_path: Path) -> None:
    """It is one sentence, as of every job, and nothing is answered."""
    ended = command("evaluate", *named, "--device", "cpu", "--quant", "fp8")
    assert ended.returncode == 2
    assert "fp8 needs a GPU" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "answers").exists()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[LabellingArguments, Any]]:
    """The job that would be run, and what would tell of it, instead of running it."""
    given: list[tuple[LabellingArguments, Any]] = []

    def run_job(program: str, arguments: LabellingArguments, told: Callable[..., str]) -> int:
        given.append((arguments, told.__self__))
        return 0

    monkeypatch.setattr(evaluate, "run_job", run_job)
    return given


def test_the_same_command_is_the_same_job(
    asked: list[tuple[LabellingArguments, Any]], memes: list[str]
) -> None:
    """Asked again, from whatever folder, it is the job that it was; with another template not."""
    for more in ([], ["--json", "a.json"], ["--prompts", "published"]):
        assert evaluate.main([*memes, *more]) == 0
    first, again, published = (arguments.request.resolve("cpu") for arguments, _ in asked)
    assert first.fingerprint() == again.fingerprint() != published.fingerprint()
    assert {task.name for task in first.tasks} == {"hateful", "ask"}
    for task in published.tasks:
        assert task.options["prompt"].startswith("###Human: <Img><ImageHere></Img> This is an")


def test_a_baseline_is_scored_beside_it(
    asked: list[tuple[LabellingArguments, Any]], named: list[str], tmp_path: Path
) -> None:
    """The nearest neighbour names the same pictures, by the same rules."""
    corpus = str(write_corpus(tmp_path / "corpus"))
    assert evaluate.main([*named, "--baseline", corpus]) == 0
    [score] = asked[0][1].baseline
    assert [figure.name for figure in score.figures] == ["exact", "contained"]
    assert len(score.points) == 3


def test_tags_are_asked_as_their_job_asks(
    asked: list[tuple[LabellingArguments, Any]], named: list[str], tmp_path: Path
) -> None:
    """The flags of tags are those of jobs/tag_bucket.py."""
    (tmp_path / "tags.txt").write_text("cat\ndog\n")
    picture = {"image": "picture-0000.png", "tags": ["cat"]}
    annotations = write_lines(tmp_path / "annotations.jsonl", [picture])
    suite = ["--suite", "tags", "--annotations", str(annotations), *named[4:]]
    flags = ["--tags-file", str(tmp_path / "tags.txt"), "--tags-top", "1"]
    assert evaluate.main([*suite, *flags]) == 0
    (task,) = asked[0][0].request.resolve("cpu").tasks
    assert (task.options["vocabulary"], task.options["top"]) == (["cat", "dog"], 1)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model", "{nowhere}"], "there is no model"),
        (["--baseline", "{nowhere}"], "no whole corpus"),
        (["--json", "{nowhere}/answers.json"], "not there"),
        (["--images", "{nowhere}"], "annotations.jsonl, line 1: there is no picture"),
        (["--annotations", "{nowhere}"], "cannot read"),
        (["--fit-calibration"], "--fit-calibration is for --suite hm"),
        (["--plot", "a.png"], "--plot is for --suite hm"),
        (["--prompts", "published"], "nobody published"),
        (["--out", "{file}"], "cannot be written"),
    ],
)
def test_what_cannot_work_is_told_before_any_work(
    flags: list[str],
    said: str,
    checkpoint: str,
    named: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong flag is one sentence and exit code 2, and nothing is answered."""
    (tmp_path / "file").touch()
    places = {"nowhere": tmp_path / "nowhere", "file": tmp_path / "file"}
    given = [flag.format(**places) for flag in flags]
    assert evaluate.main([*named, "--model", checkpoint, *given]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert not (tmp_path / "out" / "answers").exists()


def test_a_broken_picture_leaves_no_baseline(
    named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The baseline names each picture or none: one that cannot be read is named by its path."""
    broken = write_broken(tmp_path / "images")["truncated"]
    with (tmp_path / "annotations.jsonl").open("a") as annotations:
        annotations.write(json.dumps({"image": broken.name, "names": ["cat"]}) + "\n")
    corpus = str(write_corpus(tmp_path / "corpus"))
    assert evaluate.main([*named, "--baseline", corpus]) == 2
    assert f"{broken} cannot be read as a picture: the file ends early" in capsys.readouterr().err


def test_a_fit_is_for_what_moderation_asks(
    memes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A temperature of another template's answers would be another model's."""
    assert evaluate.main([*memes, "--fit-calibration", "--prompts", "published"]) == 2
    assert "--fit-calibration needs --prompts checkpoint" in capsys.readouterr().err
