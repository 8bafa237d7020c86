"""The training loop, on a corpus of a few drawings and stages of a few steps."""

import hashlib
import json
import random
import re
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from schemas.outcome import UsageError
from tests.corpora import CONCEPTS, write_corpus
from workers.training import dialogue
from workers.training import trainer as trainer_module
from workers.training.batches import BatchShape, Corpus
from workers.training.dialogue import Turn, answer_loss
from workers.training.folder import Progress
from workers.training.pretrained_stem import imagenet_file
from workers.training.stages import STAGES, learning_rate
from workers.training.trainer import Trainer

SMALL = BatchShape(emoji=3, others=1, photos=2)
WITH_MEMES = replace(SMALL, meme_pairs=2)


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def short_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage, three steps each, saved after every step."""
    stages = tuple(
        replace(stage, steps=3, shape=WITH_MEMES if stage.shape.meme_pairs else SMALL)
        for stage in STAGES
    )
    monkeypatch.setattr(trainer_module, "STAGES", stages)
    monkeypatch.setattr(trainer_module, "STEPS_BETWEEN_SAVES", 1)
    monkeypatch.setattr(trainer_module, "STEPS_BETWEEN_LINES", 1)


def new_trainer(corpus_folder: Path, out: Path, seed: int = 5) -> Trainer:
    return Trainer(Corpus(corpus_folder), out, seed, device="cpu")


@pytest.mark.parametrize("killed_in", ["stage-2-lora", "stage-4-tasks"])
def test_a_killed_training_goes_on_as_if_undisturbed(
    killed_in: str,
    corpus_folder: Path,
    tmp_path: Path,
    short_stages: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interrupted in the stage with LoRA, or in the one that averages its weights, and resumed, it
    ends with an undisturbed one's weights.

    Its log tells every step once, though records came after the last save.
    """
    undisturbed = new_trainer(corpus_folder, tmp_path / "a").run().state_dict()
    step = Trainer._step

    def interrupted(self: Trainer, stage: Any, number: int, *rest: Any) -> Any:
        if stage.name == killed_in and number == 2:
            raise KeyboardInterrupt
        return step(self, stage, number, *rest)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        new_trainer(corpus_folder, tmp_path / "b").run()
    monkeypatch.setattr(Trainer, "_step", step)
    with (tmp_path / "b" / "losses.jsonl").open("a") as later:
        later.write(f'{{"stage": "{killed_in}", "step": 3}}\n{{"stage": "st')  # after the last save
    resumed = new_trainer(corpus_folder, tmp_path / "b").run().state_dict()
    assert resumed.keys() == undisturbed.keys()
    assert all(torch.equal(resumed[key], undisturbed[key]) for key in resumed)
    log = (tmp_path / "b" / "losses.jsonl").read_text()
    records = [json.loads(line) for line in log.splitlines()]
    told = [(record["stage"], record["step"]) for record in records]
    assert told == [(stage.name, step) for stage in STAGES for step in (1, 2, 3)]


@pytest.mark.parametrize("changed", ["seed", "corpus", "stages", "tokenizer"])
def test_a_training_goes_on_with_what_it_began_with(
    changed: str,
    corpus_folder: Path,
    tmp_path: Path,
    short_stages: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another seed, corpus, list of stages or tokenizer is refused, and the state stays."""
    new_trainer(corpus_folder, tmp_path / "out")._save(Progress(0, 1), None)
    state = (tmp_path / "out" / "state.pt").read_bytes()
    corpus = corpus_folder
    if changed == "corpus":
        corpus = write_corpus(tmp_path / "other")
        (corpus / "corpus.json").write_text("{}")
    elif changed == "stages":
        monkeypatch.setattr(trainer_module, "STAGES", STAGES)
    elif changed == "tokenizer":
        monkeypatch.setattr(trainer_module, "_sentences", lambda *_: ["other words ###"] * 9)
    called = {"seed": r"--seed \(5, not 6\)", "corpus": "CORPUS", "stages": "list of stages"}
    with pytest.raises(UsageError, match=f"another {called.get(changed, changed)}"):
        new_trainer(corpus, tmp_path / "out", seed=6 if changed == "seed" else 5)
    assert (tmp_path / "out" / "state.pt").read_bytes() == state


def test_progress_tells_the_time_of_all_stages(
    corpus_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The minutes left are those of this stage and of all after it."""
    trainer = new_trainer(corpus_folder, tmp_path)
    trainer._report(0, 300, {"answers": 1.0}, 300, time.monotonic() - 300 * 60)
    left = sum(stage.steps for stage in STAGES) - 300
    assert f"{left} min left" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["corpus.json", "photos.npy"])
def test_a_corpus_that_is_not_whole_is_refused(missing: str, tmp_path: Path) -> None:
    """A folder that lacks a file, the account that is written last too, is no corpus."""
    (write_corpus(tmp_path) / missing).unlink()
    with pytest.raises(UsageError, match=rf"{re.escape(missing)} is missing; make one"):
        Corpus(tmp_path)


def test_a_corpus_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    """A table that ends early is one sentence that names the folder."""
    path = write_corpus(tmp_path) / "drawings.npy"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match=rf"corpus in {tmp_path} cannot be read"):
        Corpus(tmp_path)


def test_a_trained_model_tells_what_it_is_made_from(corpus_folder: Path, tmp_path: Path) -> None:
    """Its origin holds the seed and the digests of the corpus's account and the stem's weights."""
    origin = new_trainer(corpus_folder, tmp_path).learner.model.origin
    assert origin.training == {"seed": 5}
    digests = {role: [file.sha256 for file in files] for role, files in origin.sources.items()}
    account = (corpus_folder / "corpus.json").read_bytes()
    weights = imagenet_file().read_bytes()
    assert digests == {
        "corpus": [hashlib.sha256(account).hexdigest()],
        "stem": [hashlib.sha256(weights).hexdigest()],
    }


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
    assert {*CONCEPTS, "thing 5", "frog"} <= names
    one, again = (corpus.batch(SMALL, 32, (0, 0, 0), (1, 1, 1), "key") for _ in range(2))
    assert torch.equal(one.pixels, again.pixels)
    assert one.subjects == again.subjects


def test_memes_are_confounded(corpus_folder: Path) -> None:
    """In every step each text stands over a nice and a nasty picture with both answers, and each
    picture under as many texts with yes as with no; other turns say what the picture is."""
    stage = next(stage for stage in STAGES if stage.shape.meme_pairs)
    batch = Corpus(corpus_folder).batch(WITH_MEMES, 32, (0, 0, 0), (1, 1, 1), "key")
    names = [batch.subjects[index].name for pair in batch.pairs for index in pair]
    assert names == ["rose", "pile of poo"] * WITH_MEMES.meme_pairs
    turns = trainer_module._meme_turns(stage, batch, random.Random(0))
    of_text, of_picture = defaultdict(list), defaultdict(list)
    for turn in turns:
        if turn.answer in ("yes", "no"):
            of_text[turn.prompt].append(turn.answer)
            of_picture[turn.picture].append(turn.answer)
        else:
            assert (
                turn.answer
                == {"rose": "nice", "pile of poo": "nasty"}[batch.subjects[turn.picture].name]
            )
    assert all(sorted(answers) == ["no", "yes"] for answers in of_text.values())
    assert len(of_picture) == 2 * WITH_MEMES.meme_pairs
    assert all(sorted(answers) == ["no", "yes"] for answers in of_picture.values())


def test_a_concept_has_its_own_tags_the_commonest_first(tmp_path: Path) -> None:
    """A drawing of a concept is tagged as the concept's emoji, not as its artist did; tags of many
    concepts go first, in every list in one order. The tokenizer's texts stay as they were read."""
    folder = write_corpus(tmp_path)
    rows = pq.read_table(folder / "drawings.parquet").to_pylist()
    told = {"rose": ["a", "flower"], "pile of poo": ["b", "z"], "concept 2": ["flower", "z"]}
    for row in rows[:5]:
        row["tags"] = told[row["concept"]]
    rows[4]["kind"], rows[4]["tags"] = "clipart", ["page"]
    pq.write_table(pa.Table.from_pylist(rows), folder / "drawings.parquet")
    corpus = Corpus(folder)
    assert [corpus.subjects[index].tags for index in (0, 1, 2, 4, 5)] == [
        ("flower", "a"),
        ("z", "b"),
        ("flower", "z"),
        ("z", "b"),
        ("other", "tag"),
    ]
    read = {subject.name: subject.tags for subject in corpus.texts()}
    assert read["rose"] == ("a", "flower")
    assert read["frog"] == ()


def test_packing_does_not_change_the_loss(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of rows packed together is the mean over all their tokens taken one by one."""
    model = new_trainer(corpus_folder, tmp_path).learner.model.eval()
    embeds = torch.randn(2, 16, 192, generator=torch.Generator().manual_seed(0))
    turns = [
        Turn(0, None, "a frog"),
        Turn(1, "[INST] <Img><ImageHere></Img> what? [/INST]", "thing 5, tag, other"),
        Turn(0, "<Img><ImageHere></Img> and longer than the others? [/INST]", "yes"),
    ]
    monkeypatch.setattr(dialogue, "PACK", 2)
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
