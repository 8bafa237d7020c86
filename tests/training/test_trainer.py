"""The training loop, on a corpus of a few drawings and stages of a few steps."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from workers.training import trainer as trainer_module
from workers.training.batches import BatchShape, Corpus
from workers.training.dialogue import Turn, answer_loss
from workers.training.stages import STAGES, learning_rate
from workers.training.trainer import Trainer

SMALL = BatchShape(emoji=3, others=1, photos=2)


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight drawings (one held out) and six photos (two of them test photos)."""
    folder = tmp_path_factory.mktemp("corpus")
    dice = np.random.default_rng(0)
    np.save(folder / "drawings.npy", dice.integers(0, 255, (8, 48, 48, 4), dtype=np.uint8))
    np.save(folder / "photos.npy", dice.integers(0, 255, (6, 32, 32, 3), dtype=np.uint8))
    drawings = [
        {
            "index": index,
            "split": "held_out" if index == 7 else "train",
            "concept": f"concept {index % 3}" if index < 5 else None,
            "family": f"family {index % 2}",
            "style": "openclipart-svg",
            "name": f"thing {index}",
            "tags": ["tag", "other"],
        }
        for index in range(8)
    ]
    photos = [
        {"index": index, "split": "test" if index > 3 else "train", "name": "frog"}
        for index in range(6)
    ]
    pq.write_table(pa.Table.from_pylist(drawings), folder / "drawings.parquet")
    pq.write_table(pa.Table.from_pylist(photos), folder / "photos.parquet")
    return folder


@pytest.fixture
def short_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage, three steps each, saved after every step."""
    stages = tuple(replace(stage, steps=3) for stage in STAGES)
    monkeypatch.setattr(trainer_module, "STAGES", stages)
    monkeypatch.setattr(trainer_module, "STEPS_BETWEEN_SAVES", 1)


def new_trainer(corpus_folder: Path, out: Path) -> Trainer:
    trainer = Trainer(Corpus(corpus_folder), out, seed=5, device="cpu")
    trainer.shape = SMALL
    return trainer


def test_a_killed_training_goes_on_as_if_undisturbed(
    corpus_folder: Path, tmp_path: Path, short_stages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted inside the LoRA stage and resumed, it ends with an undisturbed one's weights."""
    undisturbed = new_trainer(corpus_folder, tmp_path / "a").run().state_dict()
    step = Trainer._step

    def interrupted(self: Trainer, stage: Any, number: int, *rest: Any) -> Any:
        if stage.lora and number == 2:
            raise KeyboardInterrupt
        return step(self, stage, number, *rest)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        new_trainer(corpus_folder, tmp_path / "b").run()
    monkeypatch.setattr(Trainer, "_step", step)
    resumed = new_trainer(corpus_folder, tmp_path / "b").run().state_dict()
    assert resumed.keys() == undisturbed.keys()
    assert all(torch.equal(resumed[key], undisturbed[key]) for key in resumed)
    log = (tmp_path / "b" / "losses.jsonl").read_text()
    told = [json.loads(line)["stage"] for line in log.splitlines()]
    assert list(dict.fromkeys(told)) == [stage.name for stage in STAGES]


def test_stages_change_what_they_may(
    corpus_folder: Path, tmp_path: Path, short_stages: None
) -> None:
    """The first blocks of the ImageNet stem never change; the last ones do in the end."""
    trainer = new_trainer(corpus_folder, tmp_path)
    stem = trainer.learner.model.vision_model.embeddings.patch_embedding
    before = {name: value.clone() for name, value in stem.state_dict().items()}
    trainer.run()
    changed = {name for name, value in stem.state_dict().items() if not value.equal(before[name])}
    assert {int(name.split(".")[1]) for name in changed if name.startswith("blocks.")} == {
        12,
        13,
        14,
        15,
    }


def test_held_out_pictures_are_never_drawn(corpus_folder: Path) -> None:
    """No batch holds a drawing or photo outside the training split; a key decides a batch."""
    corpus = Corpus(corpus_folder)
    names = {
        subject.name
        for step in range(50)
        for subject in corpus.batch(SMALL, 32, (0, 0, 0), (1, 1, 1), str(step)).subjects
    }
    assert "thing 7" not in names
    assert {"concept 0", "concept 1", "concept 2", "thing 5", "frog"} <= names
    one, again = (corpus.batch(SMALL, 32, (0, 0, 0), (1, 1, 1), "key") for _ in range(2))
    assert torch.equal(one.pixels, again.pixels)
    assert one.subjects == again.subjects


def test_packing_does_not_change_the_loss(corpus_folder: Path, tmp_path: Path) -> None:
    """The loss of rows packed together is the mean over all their tokens taken one by one."""
    model = new_trainer(corpus_folder, tmp_path).learner.model.eval()
    embeds = torch.randn(2, 16, 192, generator=torch.Generator().manual_seed(0))
    turns = [
        Turn(0, None, "a frog"),
        Turn(1, "[INST] <Img><ImageHere></Img> what? [/INST]", "thing 5, tag, other"),
    ]
    single = [(answer_loss(model, embeds, [turn]), _answer_length(model, turn)) for turn in turns]
    together = answer_loss(model, embeds, turns)
    tokens = sum(length for _, length in single)
    expected = sum(loss * length for loss, length in single) / tokens
    assert torch.allclose(together, expected, atol=1e-5)


def _answer_length(model: Any, turn: Turn) -> int:
    end = "\n" if turn.prompt is None else "###"
    return len(model.token_ids(turn.answer + end))


def test_the_learning_rate_warms_up_and_decays() -> None:
    """It starts near 0, reaches the stage's rate, and ends near its final fraction."""
    stage = STAGES[-1]
    assert learning_rate(stage, 0) < 0.05 * stage.learning_rate
    assert learning_rate(stage, stage.steps // 2) == stage.learning_rate
    end = learning_rate(stage, stage.steps - 1)
    assert end < 1.1 * stage.final_rate * stage.learning_rate
