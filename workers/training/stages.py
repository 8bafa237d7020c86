"""The stages of the training as data (arXiv 2312.16862 §3.3), and what each may change.

The authors start from a trained EVA, BLIP-2 and Phi-2. The pocket network has none of them, so two
stages of pretraining stand in front: the ViT, the Q-Former and the decoder learn together, over the
ImageNet stem, which is first left alone and then tuned in its last blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from workers.model import TinyGPTV
from workers.model.prompts import HUMAN_TEMPLATE, INSTRUCTION_TEMPLATE
from workers.model.stem import EfficientNetLite0Stem
from workers.training.batches import BatchShape

TUNED_STEM_BLOCKS = range(12, 16)
STEM_RATE = 0.15
"""Of the stage's learning rate, for the tuned blocks of the stem."""
QFORMER_RATE = 0.4
"""Likewise: its norms stand behind the sums, and at the full rate its queries become one."""


@dataclass(frozen=True)
class Stage:
    """One stage: what it learns from, what it may change, how long and how fast."""

    name: str
    steps: int
    learning_rate: float
    final_rate: float
    """Fraction of `learning_rate` that the linear decay over the last 45 % ends at."""
    template: str | None
    """None: the picture's embeddings and the caption alone, no instruction (SPEC.md §4.1)."""
    adapters_only: bool = False
    """Change the projections and the norms of Phi, and LoRA where there is one; freeze the rest."""
    lora: bool = False
    tunes_stem: bool = False
    many_tasks: bool = False
    """Ask a second question about most of the pictures: tags, yes or no, what is it."""
    shape: BatchShape = field(default_factory=BatchShape)
    """What pictures a step sees; those in pairs stand under texts as memes."""
    averaged: bool = False
    """End with the moving average of the weights instead of the last ones."""


STAGES = (
    Stage("pretraining", 1800, 1e-3, 0.6, None),
    Stage("pretraining-stem", 1500, 8e-4, 0.4, None, tunes_stem=True),
    Stage("stage-1-warm-up", 80, 3e-4, 0.5, None, adapters_only=True),
    Stage("stage-2-lora", 120, 3e-4, 0.5, None, adapters_only=True, lora=True),
    Stage("stage-3-instructions", 300, 5e-4, 1.0, HUMAN_TEMPLATE, tunes_stem=True),
    Stage(
        "stage-4-tasks",
        2400,
        6e-4,
        0.01,
        INSTRUCTION_TEMPLATE,
        tunes_stem=True,
        many_tasks=True,
        shape=BatchShape(emoji=36, others=8, photos=10, meme_pairs=6),
        averaged=True,
    ),
)


def parameter_groups(model: TinyGPTV, stage: Stage) -> list[dict[str, object]]:
    """Freeze what the stage leaves alone; the rest as optimizer groups with their rates."""
    model.requires_grad_(not stage.adapters_only)
    stem = stem_of(model)
    stem.requires_grad_(False)
    stem.projection.requires_grad_(not stage.adapters_only)
    if stage.adapters_only:
        for name, module in model.named_modules():
            if name in ("llama_proj", "llama_proj2") or _is_phi_norm(name):
                module.requires_grad_(True)
            for parameter_name in ("lora_a", "lora_b"):
                if hasattr(module, parameter_name):
                    getattr(module, parameter_name).requires_grad_(True)
    stem_parameters: list[nn.Parameter] = []
    if stage.tunes_stem:
        for index in TUNED_STEM_BLOCKS:
            block = list(stem.blocks)[index].requires_grad_(True)
            stem_parameters += block.parameters()
    qformer = [model.query_tokens, *model.qformer.parameters()]
    apart = {id(parameter) for parameter in (*stem_parameters, *qformer)}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in apart]
    groups = [(rest, 1.0), (stem_parameters, STEM_RATE), (qformer, QFORMER_RATE)]
    return [
        {"params": [p for p in parameters if p.requires_grad], "rate": rate}
        for parameters, rate in groups
    ]


def stem_of(model: TinyGPTV) -> EfficientNetLite0Stem:
    """The convolutional patch embedding, which only the pocket network has."""
    embeddings: nn.Module = model.vision_model.embeddings
    stem = embeddings.patch_embedding
    if not isinstance(stem, EfficientNetLite0Stem):
        raise TypeError("only a network with a convolutional stem is trained here")
    return stem


def learning_rate(stage: Stage, step: int) -> float:
    """Warm-up over 50 steps, level, then a linear decay over the last 45 %."""
    decay_from = stage.steps * 0.55
    rate = stage.learning_rate * min(1.0, (step + 1) / 50)
    if step > decay_from:
        done = (step - decay_from) / (stage.steps - decay_from)
        rate *= 1 - (1 - stage.final_rate) * done
    return rate


def _is_phi_norm(name: str) -> bool:
    return name.startswith("language_model.") and name.endswith("layernorm")
