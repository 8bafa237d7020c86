"""The voice: Phi-2 with the authors' extra RMSNorm behind each attention (SPEC.md §2).

B rows, T positions, D width
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import nn
from transformers import Cache, PhiConfig, PhiForCausalLM
from transformers.models.phi.modeling_phi import PhiDecoderLayer, PhiRotaryEmbedding

from workers.model.config import LanguageConfig


class AttentionRMSNorm(nn.Module):
    """RMSNorm of the attention branch: variance in fp32, no mean, no bias (SPEC.md §2 step 6)."""

    def __init__(self, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        variance = hidden.float().pow(2).mean(-1, keepdim=True)
        normed = hidden * torch.rsqrt(variance + self.eps)
        return normed.to(self.weight.dtype) * self.weight


class Float32RotaryEmbedding(PhiRotaryEmbedding):
    """Phi's rotary table, which stays fp32 whatever the parameters become (SPEC.md §2.3)."""

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """What `to`, `half` and their like end in: the table follows to a device, not a dtype."""
        exact = self.inv_freq
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        kept = exact.to(self.inv_freq.device)
        self.inv_freq = nn.Buffer(kept, persistent=False)
        self.original_inv_freq = nn.Buffer(kept.clone(), persistent=False)
        return self


class TinyGPTVDecoderLayer(PhiDecoderLayer):
    """A parallel Phi block whose attention branch is normed before the sum: x + rms(attn) + mlp."""

    def __init__(self, config: PhiConfig, layer_idx: int, rms_norm_eps: float) -> None:
        super().__init__(config, layer_idx)
        self.post_layernorm = AttentionRMSNorm(config.hidden_size, rms_norm_eps)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = False,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """[B, T, D] → [B, T, D]."""
        normed = self.input_layernorm(hidden_states)
        attended, _ = self.self_attn(
            hidden_states=normed,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            position_embeddings=position_embeddings,
            **kwargs,
        )
        branches: torch.Tensor = self.post_layernorm(attended) + self.mlp(normed)
        return branches + hidden_states


def build_language_model(config: LanguageConfig) -> PhiForCausalLM:
    """Phi for causal language modelling, its layers replaced by those with the extra norm."""
    phi = PhiConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=0,  # ours come below; Phi would build its own for nothing
        num_attention_heads=config.num_heads,
        max_position_embeddings=config.max_position_embeddings,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": config.rope_theta,
            "partial_rotary_factor": config.partial_rotary_factor,
        },
        layer_norm_eps=config.layer_norm_eps,
        qk_layernorm=True,
        # The same function as the authors' "gelu_new", in one kernel.
        hidden_act="gelu_pytorch_tanh",
        tie_word_embeddings=False,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
    )
    language_model = PhiForCausalLM(phi)
    phi.num_hidden_layers = config.num_layers
    language_model.model.rotary_emb = Float32RotaryEmbedding(phi)
    language_model.model.layers = nn.ModuleList(
        TinyGPTVDecoderLayer(phi, index, config.rms_norm_eps) for index in range(config.num_layers)
    )
    return language_model


def compute_rotary_tables(model: PhiForCausalLM, device: torch.device | str) -> None:
    """Fill in what no checkpoint holds: a model that was built on the meta device has no tables."""
    model.model.rotary_emb = Float32RotaryEmbedding(model.config).to(device)
