"""The rival is fair: it is the same network and says the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.comparison.pictures import read_ahead
from benchmarks.comparison.plain import PlainPipeline
from schemas.outcome import UsageError
from tests.checkpoints import save_tiny_checkpoint, tiny_model
from tests.pictures import write_pictures
from workers.model import TinyGPTV
from workers.model.description import checkpoint_folder

EXAMPLES = Path(__file__).parents[3] / "examples" / "images"


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


def test_the_same_captions_as_the_runner(tiny_folder: Path, tmp_path: Path) -> None:
    """In fp32 a network without sense says the same of each of 12 pictures, and not always one."""
    model = TinyGPTV.from_pretrained(tiny_folder)
    pictures = list(read_ahead(write_pictures(tmp_path / "images", 12), 56))
    captions = PlainPipeline(tiny_folder, dtype=torch.float32).caption(pictures)
    assert captions == model.caption(pictures)
    assert len({*captions}) > 1


def test_the_same_captions_of_the_shipped_model() -> None:
    """In fp32, batches of 3, `pocket` and its stem caption the example drawings as the runner."""
    folder = checkpoint_folder("pocket")
    model = TinyGPTV.from_pretrained(folder)
    paths = sorted(EXAMPLES.glob("*.png"))[:6]
    pictures = list(read_ahead(paths, model.config.image_size))
    pipeline = PlainPipeline(folder, dtype=torch.float32)
    captions = [text for at in (0, 3) for text in pipeline.caption(pictures[at : at + 3])]
    assert captions == model.caption(pictures)


def test_bf16_unless_said_otherwise(tiny_folder: Path) -> None:
    """All parameters are bf16, the rotary table fp32."""
    pipeline = PlainPipeline(tiny_folder)
    assert {parameter.dtype for parameter in pipeline.model.parameters()} == {torch.bfloat16}
    assert pipeline.model.language_model.model.rotary_emb.inv_freq.dtype == torch.float32


def test_a_quantized_checkpoint_is_refused(tmp_path: Path) -> None:
    """transformers cannot read our int8: one sentence says what to do."""
    tiny_model().save_pretrained(tmp_path / "int8", quant="int8")
    with pytest.raises(UsageError, match="plain transformers cannot read it"):
        PlainPipeline(tmp_path / "int8")
