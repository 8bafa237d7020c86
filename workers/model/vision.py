"""The eye: EVA ViT-g/14 and the Q-Former, from transformers' BLIP-2 blocks (SPEC.md §1, §2.4).

B images, S side in pixels, P patches, W width of the ViT, Q queries, H width of the Q-Former
"""

from __future__ import annotations

from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionConfig, Blip2VisionModel

from workers.model.config import QFormerConfig, VisionConfig
from workers.model.stem import EfficientNetLite0Stem

INITIAL_STD = 0.02


def build_vision_model(config: VisionConfig) -> Blip2VisionModel:
    """ViT with class token and final LayerNorm: [B, 3, S, S] → [B, 1 + P, W]."""
    model = Blip2VisionModel(
        Blip2VisionConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            image_size=config.image_size,
            patch_size=config.patch_size,
            hidden_act="gelu",
            layer_norm_eps=config.layer_norm_eps,
            qkv_bias=True,
            initializer_range=INITIAL_STD,
        )
    )
    model.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.output_layer_norm_eps)
    if config.patch_embedding == "efficientnet_lite0":
        embeddings: nn.Module = model.embeddings
        embeddings.patch_embedding = EfficientNetLite0Stem(config.hidden_size)
    return model


def build_qformer(config: QFormerConfig, vision_size: int) -> Blip2QFormerModel:
    """Q-Former without its text side: queries [B, Q, H] look at [B, 1 + P, W] → [B, Q, H]."""
    model = Blip2QFormerModel(
        Blip2QFormerConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            encoder_hidden_size=vision_size,
            cross_attention_frequency=config.cross_attention_frequency,
            layer_norm_eps=config.layer_norm_eps,
            hidden_dropout_prob=0.0,  # its training here sees too few steps to need any
            attention_probs_dropout_prob=0.0,
            use_qformer_text_input=False,
        )
    )
    return model
