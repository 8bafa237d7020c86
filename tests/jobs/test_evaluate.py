"""jobs/evaluate.py from its command line, with a model that knows nothing."""

import json
from pathlib import Path

import pytest
import torch

from jobs import evaluate
from tests.checkpoints import save_tiny_checkpoint, tiny_model
from tests.corpora import write_corpus
from tests.pictures import write_broken, write_pictures
from workers.model import TinyGPTV


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def yardstick(tmp_path: Path) -> list[str]:
    """The flags that lead to three pictures; the first one's name is what the model says of it."""
    pictures = write_pictures(tmp_path / "images", 3)
    names = [*tiny_model().caption(pictures[:1]), "no such", "thing"]
    lines = [
        json.dumps({"image": path.name, "names": [name]})
        for path, name in zip(pictures, names, strict=True)
    ]
    (tmp_path / "annotations.jsonl").write_text("\n".join(lines))
    annotations = str(tmp_path / "annotations.jsonl")
    return [
        "--suite",
        "caption",
        "--annotations",
        annotations,
        "--images",
        str(tmp_path / "images"),
    ]


def test_a_checkpoint_is_scored_beside_the_baseline(
    checkpoint: str, yardstick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of both scores is printed; the file holds every caption as the model says it."""
    corpus = str(write_corpus(tmp_path / "corpus"))
    answers = tmp_path / "answers.json"
    flags = ["--model", checkpoint, "--device", "cpu", "--baseline", corpus, "--json", str(answers)]
    assert evaluate.main([*yardstick, *flags]) == 0
    _, model, baseline = capsys.readouterr().out.splitlines()
    assert model.split() == ["tiny", "none", "3", "33.3%", "33.3%"]
    assert baseline.split() == ["nearest", "neighbour", "3", "0.0%", "0.0%"]
    written = json.loads(answers.read_text())
    assert written["quantization"] == "none"
    assert written["scores"].keys() == {"tiny", "nearest neighbour"}
    captions = [answer["caption"] for answer in written["captions"]]
    assert captions == tiny_model().caption(sorted((tmp_path / "images").iterdir()))


def test_what_is_asked_for_is_scored(
    checkpoint: str, yardstick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--quant decides how the model is held; the table and the file say it."""
    answers = tmp_path / "answers.json"
    flags = ["--model", checkpoint, "--device", "cpu", "--quant", "int4", "--json", str(answers)]
    assert evaluate.main([*yardstick, *flags]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["tiny", "int4"]
    written = json.loads(answers.read_text())
    assert written["quantization"] == "int4"
    pictures = sorted((tmp_path / "images").iterdir())
    captions = [answer["caption"] for answer in written["captions"]]
    assert captions == TinyGPTV.from_pretrained(checkpoint, quant="int4").caption(pictures)
    assert captions != tiny_model().caption(pictures)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model", "{nowhere}"], "there is no model"),
        (["--baseline", "{nowhere}"], "no whole corpus"),
        (["--json", "{nowhere}/answers.json"], "not there"),
        (["--images", "{nowhere}"], "there is no picture"),
        (["--device", "cuda"], "no GPU"),
        (["--device", "cpu", "--quant", "fp8"], "fp8 needs a GPU"),
    ],
)
def test_what_cannot_work_is_told_before_any_work(
    flags: list[str],
    said: str,
    checkpoint: str,
    yardstick: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong flag is one sentence and exit code 2 before the model is loaded."""
    if "cuda" in flags and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.delattr("workers.model.TinyGPTV.from_pretrained")
    asked = [flag.format(nowhere=tmp_path / "nowhere") for flag in flags]
    assert evaluate.main([*yardstick, "--model", checkpoint, *asked]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_a_broken_picture_is_named(
    checkpoint: str, yardstick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A yardstick with a picture that cannot be read is refused with the picture's path."""
    broken = write_broken(tmp_path / "images")["truncated"]
    with (tmp_path / "annotations.jsonl").open("a") as annotations:
        annotations.write("\n" + json.dumps({"image": broken.name, "names": ["cat"]}))
    assert evaluate.main([*yardstick, "--model", checkpoint, "--device", "cpu"]) == 2
    assert f"{broken} cannot be read as a picture: the file ends early" in capsys.readouterr().err
