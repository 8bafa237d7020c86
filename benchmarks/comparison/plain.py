"""TinyGPT-V as one writes it with transformers alone: the rival that everything is compared with.

Nothing of workers.model computes here: the network is put together from transformers' own modules,
computes in bf16 with their default attention, and answers through `generate`, which computes the
head at a prompt's last position alone (`logits_to_keep=1`). Pictures are decoded and resized, and
prompts worded, as in the runner.

B images, T prompt positions, Q queries, D width of the language model
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import (
    Blip2QFormerConfig,
    Blip2QFormerModel,
    Blip2VisionConfig,
    Blip2VisionModel,
    PhiConfig,
    PhiForCausalLM,
)
from transformers.models.phi.modeling_phi import PhiDecoderLayer, PhiRotaryEmbedding

from benchmarks.comparison.plain_stem import PlainStem
from schemas.job import IMAGE_PLACEHOLDER
from schemas.outcome import UsageError
from workers.images import preprocess
from workers.model.checkpoint import read_checkpoint
from workers.model.config import LanguageConfig, QFormerConfig, TinyGPTVConfig, VisionConfig
from workers.model.prompts import clean_answer
from workers.model.quantization import NONE


class PlainPipeline:
    """RGB images in, captions out, with every core of the machine or a GPU.

    Raises:
        CheckpointError: the folder is missing, incomplete, altered, or of another format.
        UsageError: the checkpoint is quantized: transformers' modules cannot read it.
    """

    def __init__(
        self, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.bfloat16
    ) -> None:
        checkpoint = read_checkpoint(folder)
        if checkpoint.manifest.quantization != NONE:
            raise UsageError(
                f"{folder} is quantized, and plain transformers cannot read it: compare with the "
                "unquantized folder, and say --quant"
            )
        self._config, self._generation = checkpoint.config, checkpoint.generation
        self.tokenizer = checkpoint.tokenizer
        with torch.device("meta"):
            model = PlainModel(checkpoint.config)
        # Tensor by tensor, so that reading takes no more memory than the model does.
        for name, tensor in checkpoint.weights():
            parent, _, attribute = name.rpartition(".")
            values = nn.Parameter(tensor.to(device, dtype), requires_grad=False)
            setattr(model.get_submodule(parent), attribute, values)
        phi = model.language_model
        phi.model.rotary_emb = PhiRotaryEmbedding(phi.config).to(device)
        # A prompt's last positions are a slice, for which torch in bf16 copies the head's weights
        # once a row: seconds for a batch of the released size, and nobody would let them stand.
        phi.lm_head.register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))
        vision: Any = model.vision_model
        # Convolutions take less than half the time, those of `pocket` at least.
        vision.to(memory_format=torch.channels_last)
        self.model, self._device, self._dtype = model.eval(), device, dtype

    @torch.inference_mode()
    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        """The checkpoint's own question put to a batch of images."""
        config = self._config
        pixels = preprocess(images, config.image_size, config.image_mean, config.image_std)
        seen = torch.from_numpy(pixels).to(self._device, self._dtype)
        embeds = self._embed_prompts(
            self.model.see(seen.contiguous(memory_format=torch.channels_last))
        )
        language: Any = self.model.language_model
        ids = language.generate(
            inputs_embeds=embeds,
            attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long, device=self._device),
            do_sample=False,
            max_new_tokens=self._generation.max_new_tokens,
            eos_token_id=list(self._generation.eos_token_ids),
            pad_token_id=self._generation.eos_token_ids[0],
        )
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [clean_answer(text) for text in texts]

    def _embed_prompts(self, queries: torch.Tensor) -> torch.Tensor:
        """What the eye tells [B, Q, D] → the prompt around it, of one length for all [B, T, D]."""
        before, after = (
            self._embed_text(text).expand(len(queries), -1, -1)
            for text in self._generation.caption_prompt.split(IMAGE_PLACEHOLDER)
        )
        return torch.cat([before, queries, after], dim=1)

    def _embed_text(self, text: str) -> torch.Tensor:
        ids = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        embedded: torch.Tensor = self.model.language_model.get_input_embeddings()(
            ids.long().to(self._device)
        )
        return embedded


class PlainModel(nn.Module):
    """The whole network, its parameters named as in the checkpoint."""

    def __init__(self, config: TinyGPTVConfig) -> None:
        super().__init__()
        vision, qformer, language = config.vision, config.qformer, config.language
        self.vision_model = _vision_model(vision)
        self.query_tokens = nn.Parameter(
            torch.empty(1, qformer.num_query_tokens, qformer.hidden_size)
        )
        self.qformer = _qformer(qformer, vision.hidden_size)
        self.llama_proj = nn.Linear(qformer.hidden_size, config.projection_size)
        self.llama_proj2 = nn.Linear(config.projection_size, language.hidden_size)
        self.language_model = _language_model(language)

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """Preprocessed images [B, 3, S, S] → what the language model reads of them [B, Q, D]."""
        seen = self.vision_model(pixels).last_hidden_state
        queries = self.query_tokens.expand(len(pixels), -1, -1)
        answers = self.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        embeds: torch.Tensor = self.llama_proj2(self.llama_proj(answers))
        return embeds


class AttentionNorm(nn.Module):
    """RMSNorm, its variance in fp32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        variance = hidden.float().pow(2).mean(-1, keepdim=True)
        normed = hidden * torch.rsqrt(variance + self.eps)
        return normed.to(self.weight.dtype) * self.weight


class PlainDecoderLayer(PhiDecoderLayer):
    """Phi's layer with TinyGPT-V's norm behind the attention: x + norm(attention) + mlp."""

    def __init__(self, config: PhiConfig, index: int, eps: float) -> None:
        super().__init__(config, index)
        self.post_layernorm = AttentionNorm(config.hidden_size, eps)

    def forward(self, hidden_states: torch.Tensor, *_: Any, **arguments: Any) -> torch.Tensor:
        """[B, T, D] → [B, T, D]."""
        normed = self.input_layernorm(hidden_states)
        attended, _ = self.self_attn(hidden_states=normed, **arguments)
        result: torch.Tensor = self.post_layernorm(attended) + self.mlp(normed) + hidden_states
        return result


def _vision_model(config: VisionConfig) -> Blip2VisionModel:
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
        )
    )
    model.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.output_layer_norm_eps)
    if config.patch_embedding == "efficientnet_lite0":
        embeddings: nn.Module = model.embeddings
        embeddings.patch_embedding = PlainStem(config.hidden_size)
    return model


def _qformer(config: QFormerConfig, vision_width: int) -> Blip2QFormerModel:
    return Blip2QFormerModel(
        Blip2QFormerConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            encoder_hidden_size=vision_width,
            cross_attention_frequency=config.cross_attention_frequency,
            layer_norm_eps=config.layer_norm_eps,
            use_qformer_text_input=False,
        )
    )


def _language_model(config: LanguageConfig) -> PhiForCausalLM:
    phi = PhiConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        max_position_embeddings=config.max_position_embeddings,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": config.rope_theta,
            "partial_rotary_factor": config.partial_rotary_factor,
        },
        layer_norm_eps=config.layer_norm_eps,
        qk_layernorm=True,
        hidden_act="gelu_pytorch_tanh",  # the authors' "gelu_new", in one kernel
        tie_word_embeddings=False,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
    )
    model = PhiForCausalLM(phi)
    model.model.layers = nn.ModuleList(
        PlainDecoderLayer(phi, index, config.rms_norm_eps) for index in range(config.num_layers)
    )
    return model
