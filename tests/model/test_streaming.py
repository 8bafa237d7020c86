"""Loading holds the quantized network and one matrix, at the released network's widths."""

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.checkpoints import tiny_model
from workers.model import TinyGPTV
from workers.model.checkpoint import write_checkpoint
from workers.model.config import TinyGPTVConfig, released
from workers.model.quantization import INT8
from workers.model.quantized import quantize_blocks
from workers.model.shards import Block, TensorSpec

SLACK_BYTES = 110_000_000
"""A matrix of 10240 × 2560 as read in fp16 and as int8, and what an allocator keeps."""
LOADING = """
import sys
import workers.model.tinygptv
from workers.model import TinyGPTV
def told(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024
before = told("VmRSS")
model = TinyGPTV.from_pretrained(sys.argv[1], quant="int8")
print(told("VmHWM") - before)
"""


def few_layers() -> TinyGPTVConfig:
    """The released widths, a handful of layers, a small vocabulary."""
    config = released(1)
    return dataclasses.replace(
        config,
        vision=dataclasses.replace(config.vision, num_layers=1),
        qformer=dataclasses.replace(config.qformer, num_layers=2),
        language=dataclasses.replace(config.language, num_layers=1, vocab_size=512),
    )


def blocks(config: TinyGPTVConfig) -> Iterator[Block]:
    model = tiny_model()
    with torch.device("meta"):
        state = TinyGPTV(config, model.tokenizer, model.generation).state_dict()
    for name, tensor in state.items():
        spec = TensorSpec(name, tuple(tensor.shape), torch.float16)
        yield Block((spec,), lambda spec=spec: (torch.full(spec.shape, 0.01, dtype=spec.dtype),))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_no_moment_holds_the_model_twice(tmp_path: Path) -> None:
    """The peak of loading is the quantized weights and a matrix more, not those that are read."""
    config, model = few_layers(), tiny_model()
    folder = tmp_path / "fp16"
    write_checkpoint(folder, config, model.tokenizer, model.generation, blocks(config))
    int8_bytes = sum(block.num_bytes for block in quantize_blocks(blocks(config), INT8))
    run = [sys.executable, "-c", LOADING, str(folder)]
    grown = int(subprocess.run(run, check=True, capture_output=True).stdout)
    assert 0.9 * int8_bytes < grown < int8_bytes + SLACK_BYTES
