"""Every number of a TinyGPT-V, in one frozen value.

`released(stage)` holds the authors' numbers (SPEC.md §1, §2), `pocket()` those of the checkpoint
that ships with this project, `tiny()` those of a network small enough for a test. The modules
receive these values and hold no numbers of their own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class VisionConfig:
    """EVA ViT (SPEC.md §1.2) and ln_vision (§1.3)."""

    image_size: int = 224
    """Side of the square input, pixels; a multiple of `patch_size`."""
    patch_size: int = 14
    hidden_size: int = 1408
    intermediate_size: int = 6144
    num_layers: int = 39
    num_heads: int = 16
    layer_norm_eps: float = 1e-6
    output_layer_norm_eps: float = 1e-5
    """ln_vision's epsilon, which is not the blocks' (SPEC.md §1.3)."""
    patch_embedding: Literal["linear", "efficientnet_lite0"] = "linear"
    """How a patch becomes a token: the ViT's strided convolution, or a convolutional stem."""


@dataclass(frozen=True)
class QFormerConfig:
    """BLIP-2's Q-Former, query side (SPEC.md §1.4)."""

    num_query_tokens: int = 32
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_layers: int = 12
    num_heads: int = 12
    cross_attention_frequency: int = 2
    layer_norm_eps: float = 1e-12


@dataclass(frozen=True)
class LanguageConfig:
    """Phi-2 with query/key norms and an RMSNorm behind each attention (SPEC.md §2)."""

    vocab_size: int = 51200
    hidden_size: int = 2560
    intermediate_size: int = 10240
    num_layers: int = 32
    num_heads: int = 32
    max_position_embeddings: int = 2048
    partial_rotary_factor: float = 0.4
    rope_theta: float = 10000.0
    layer_norm_eps: float = 1e-5
    rms_norm_eps: float = 1e-6
    bos_token_id: int = 50256
    eos_token_id: int = 50256


@dataclass(frozen=True)
class TinyGPTVConfig:
    """One TinyGPT-V: image in, text out."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    qformer: QFormerConfig = field(default_factory=QFormerConfig)
    projection_size: int = 4096
    """Width between `llama_proj` and `llama_proj2` (SPEC.md §1.5)."""
    language: LanguageConfig = field(default_factory=LanguageConfig)
    image_mean: tuple[float, float, float] = CLIP_MEAN
    image_std: tuple[float, float, float] = CLIP_STD

    @property
    def image_size(self) -> int:
        return self.vision.image_size

    @property
    def num_query_tokens(self) -> int:
        return self.qformer.num_query_tokens

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TinyGPTVConfig:
        """The inverse of `to_dict`; raises TypeError at a key that no field has."""
        values = dict(values)
        return cls(
            vision=VisionConfig(**values.pop("vision")),
            qformer=QFormerConfig(**values.pop("qformer")),
            language=LanguageConfig(**values.pop("language")),
            image_mean=_triple(values.pop("image_mean")),
            image_std=_triple(values.pop("image_std")),
            **values,
        )


def released(stage: int) -> TinyGPTVConfig:
    """The authors' network: 224 px in stages 1 to 3, 448 px in stage 4 (SPEC.md §0)."""
    if stage not in (1, 2, 3, 4):
        raise ValueError(f"TinyGPT-V has stages 1 to 4, not {stage}")
    return TinyGPTVConfig(vision=VisionConfig(image_size=448 if stage == 4 else 224))


def pocket() -> TinyGPTVConfig:
    """The checkpoint that ships here: the same network, 11 M parameters, a convolutional stem.

    A ViT of this size learns nothing from scratch in CPU hours, so its patch embedding is the trunk
    of an ImageNet EfficientNet-Lite0, whose pixels are scaled to (x - 127) / 128.
    """
    return TinyGPTVConfig(
        vision=VisionConfig(
            image_size=128,
            patch_size=32,
            hidden_size=256,
            intermediate_size=1024,
            num_layers=4,
            num_heads=8,
            patch_embedding="efficientnet_lite0",
        ),
        qformer=QFormerConfig(
            num_query_tokens=16,
            hidden_size=192,
            intermediate_size=768,
            num_layers=3,
            num_heads=6,
        ),
        projection_size=512,
        language=LanguageConfig(
            vocab_size=3072,
            hidden_size=192,
            intermediate_size=768,
            num_layers=4,
            num_heads=6,
            max_position_embeddings=512,
            bos_token_id=0,
            eos_token_id=0,
        ),
        image_mean=(127 / 255,) * 3,
        image_std=(128 / 255,) * 3,
    )


def tiny() -> TinyGPTVConfig:
    """A network of a few hundred thousand parameters, for tests."""
    return TinyGPTVConfig(
        vision=VisionConfig(
            image_size=56,
            hidden_size=32,
            intermediate_size=64,
            num_layers=2,
            num_heads=2,
        ),
        qformer=QFormerConfig(
            num_query_tokens=4,
            hidden_size=24,
            intermediate_size=48,
            num_layers=2,
            num_heads=2,
        ),
        projection_size=64,
        language=LanguageConfig(
            vocab_size=288,
            hidden_size=32,
            intermediate_size=64,
            num_layers=2,
            num_heads=2,
            max_position_embeddings=512,
            bos_token_id=287,
            eos_token_id=287,
        ),
    )


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)
