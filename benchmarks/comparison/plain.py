"""TinyGPT-V as one writes it with transformers alone: the rival that everything is compared with.

The modules are those that transformers gives this project, with their own forwards: none of its
engine, quantization, fused convolutions or products. They compute in bf16 with their default
attention and answer through `generate`, which computes the head at a prompt's last position alone
(`logits_to_keep=1`). Pictures are decoded and resized, and prompts worded, as in the runner.

B images, T prompt positions, Q queries, D width of the language model
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from benchmarks.comparison.plain_stem import PlainStem
from schemas.job import IMAGE_PLACEHOLDER
from schemas.outcome import UsageError
from workers.images import preprocess
from workers.model.checkpoint import read_checkpoint
from workers.model.config import TinyGPTVConfig
from workers.model.language import build_language_model, compute_rotary_tables
from workers.model.prompts import clean_answer
from workers.model.quantization import NONE
from workers.model.vision import build_qformer, build_vision_model


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
        compute_rotary_tables(phi, device)
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
        self.vision_model = build_vision_model(vision)
        if vision.patch_embedding == "efficientnet_lite0":
            embeddings: Any = self.vision_model.embeddings
            embeddings.patch_embedding = PlainStem(vision.hidden_size)
        self.query_tokens = nn.Parameter(
            torch.empty(1, qformer.num_query_tokens, qformer.hidden_size)
        )
        self.qformer = build_qformer(qformer, vision.hidden_size)
        self.llama_proj = nn.Linear(qformer.hidden_size, config.projection_size)
        self.llama_proj2 = nn.Linear(config.projection_size, language.hidden_size)
        self.language_model = build_language_model(language)

    def see(self, pixels: torch.Tensor) -> torch.Tensor:
        """Preprocessed images [B, 3, S, S] → what the language model reads of them [B, Q, D]."""
        seen = self.vision_model(pixels).last_hidden_state
        queries = self.query_tokens.expand(len(pixels), -1, -1)
        answers = self.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        embeds: torch.Tensor = self.llama_proj2(self.llama_proj(answers))
        return embeds
