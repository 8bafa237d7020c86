"""jobs/train.py from its command line, with stages of one step."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jobs import train
from tests.corpora import write_corpus
from workers.model import TinyGPTV
from workers.training import trainer
from workers.training.batches import BatchShape
from workers.training.stages import STAGES

SMALL = BatchShape(emoji=1, others=1, photos=1)


@pytest.fixture
def tiny_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage, one step of three pictures each and, where memes are learnt, two more."""
    shapes = [replace(SMALL, meme_pairs=min(1, stage.shape.meme_pairs)) for stage in STAGES]
    tiny = [
        replace(stage, steps=1, shape=shape) for stage, shape in zip(STAGES, shapes, strict=True)
    ]
    monkeypatch.setattr(trainer, "STAGES", tuple(tiny))


def test_a_training_leaves_a_checkpoint(
    tmp_path: Path, tiny_stages: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """It writes a checkpoint that says its seed, a log and its picture; once done, it stays so."""
    corpus, out = str(write_corpus(tmp_path / "corpus")), tmp_path / "out"
    arguments = [corpus, str(out), "--device", "cpu"]
    assert train.main([*arguments, "--seed", "7"]) == 0
    model = TinyGPTV.from_pretrained(out / "pocket")
    assert model.origin.training == {"seed": 7}
    records = (out / "losses.jsonl").read_text().splitlines()
    stages = [json.loads(record)["stage"] for record in records]
    assert stages == [stage.name for stage in STAGES]
    assert (out / "losses.png").read_bytes().startswith(b"\x89PNG")

    capsys.readouterr()
    assert train.main([*arguments, "--seed", "7"]) == 0
    assert "is done" in capsys.readouterr().out
    assert train.main([*arguments, "--seed", "8"]) == 2
    assert "another --seed (7, not 8)" in capsys.readouterr().err


def test_a_stopped_training_can_be_resumed(
    tmp_path: Path,
    tiny_stages: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ctrl-C is one sentence and exit code 75."""

    def interrupted(self: trainer.Trainer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Trainer, "run", interrupted)
    corpus = str(write_corpus(tmp_path / "corpus"))
    assert train.main([corpus, str(tmp_path / "out"), "--device", "cpu"]) == 75
    assert capsys.readouterr().err == "train: stopped; the same command goes on\n"


@pytest.mark.parametrize("wrong", ["corpus", "out", "device"])
def test_bad_usage_is_one_sentence(
    wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is no corpus, an OUT that is a file, a GPU that is not there: exit code 2."""
    if wrong == "device" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    (tmp_path / "file").write_text("in the way")
    arguments = {
        "corpus": [str(tmp_path), str(tmp_path / "out")],
        "out": [str(tmp_path), str(tmp_path / "file")],
        "device": [str(tmp_path), str(tmp_path / "out"), "--device", "cuda"],
    }
    assert train.main(arguments[wrong]) == 2
    told = capsys.readouterr()
    said = {"corpus": "no whole corpus", "out": "file cannot be made", "device": "no GPU"}
    assert told.out == ""
    assert said[wrong] in told.err
    assert told.err.startswith("train: ")
    assert told.err.count("\n") == 1


def test_a_wrong_flag_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that does not exist is told in one line."""
    with pytest.raises(SystemExit, match="2"):
        train.main(["corpus", "out", "--sede", "1"])
    assert capsys.readouterr().err.count("\n") == 1
