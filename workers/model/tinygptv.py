"""TinyGPT-V (arXiv 2312.16862): image → ViT → Q-Former → two projections → Phi-2 → text.

B images or rows, S side in pixels, P patches, W width of the ViT, Q queries,
D width of the language model, T positions, V vocabulary
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import nn
from transformers import PreTrainedTokenizerFast

from schemas.asks import Ask, Prompt, Reply, Write, Written
from schemas.outcome import UsageError
from workers.engine import Prefix, Row, Stem, replies
from workers.images import decode, preprocess, to_rgb
from workers.model.checkpoint import load_weights, read_checkpoint, write_checkpoint
from workers.model.config import TinyGPTVConfig
from workers.model.decoding import PhiDecoder
from workers.model.language import build_language_model, compute_rotary_tables
from workers.model.manifest import Origin
from workers.model.onednn import use_onednn
from workers.model.prompts import GenerationSettings, resolve_prompt
from workers.model.quantization import BF16, NONE
from workers.model.quantized import quantize_layers, quantize_stream
from workers.model.shards import blocks_of
from workers.model.vision import build_qformer, build_vision_model
from workers.model.wording import Wording, plain_ids

CAPTION_BATCH = 16
"""Pictures that `TinyGPTV.caption` holds in memory at a time."""


CPU_TOKENS = 2100
"""Patches that go through the eye together on a CPU: more are no faster, and take memory."""


@dataclass(frozen=True)
class Features:
    """What the eye saw: one row an image."""

    embeds: torch.Tensor
    """[B, Q, D]"""

    def __len__(self) -> int:
        return len(self.embeds)


class TinyGPTV(nn.Module):
    """The whole network with its tokenizer; a value of `config` decides every size."""

    name: str = "unsaved"
    """Its folder's name."""
    digest: str = ""
    """Hex SHA-256 over the digests of its folder's files; empty while there is no folder."""
    quantization: str = NONE
    """How its matrices are held: one of workers.model.quantization.QUANTIZATIONS."""
    origin: Origin
    """What it was made from; whoever makes a model sets it, and it is saved with the model."""

    def __init__(
        self,
        config: TinyGPTVConfig,
        tokenizer: PreTrainedTokenizerFast,
        generation: GenerationSettings,
    ) -> None:
        super().__init__()
        vision, qformer, language = config.vision, config.qformer, config.language
        self.config = config
        self.tokenizer = tokenizer
        self.generation = generation
        self.origin = Origin()
        self.vision_model = build_vision_model(vision)
        self.query_tokens = nn.Parameter(
            torch.zeros(1, qformer.num_query_tokens, qformer.hidden_size)
        )
        self.qformer = build_qformer(qformer, vision.hidden_size)
        self.llama_proj = nn.Linear(qformer.hidden_size, config.projection_size)
        self.llama_proj2 = nn.Linear(config.projection_size, language.hidden_size)
        self.language_model = build_language_model(language)
        use_onednn(self)
        self._wording = Wording(
            tokenizer, generation.eos_token_ids, config.language.max_position_embeddings
        )

    # --- the checkpoint folder (workers.model.checkpoint) ---

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        device: str | torch.device = "cpu",
        quant: str | None = None,
    ) -> Self:
        """Read a checkpoint folder, every file compared with its digest.

        The model is in eval mode, and its parameters ask for no gradients. They are copies: what
        happens to the files from here on does not reach them.

        `quant` is none, bf16, int8, int4, fp8 or auto (workers.model.quantization); without it
        matrices are held as the folder holds them. In `none` all is fp32, the precision in which
        parity is proven: at the released size 15.5 GB. In `bf16` all is bf16. Otherwise an
        unquantized folder is quantized matrix by matrix while it is read, to the same values that a
        quantized folder holds, and everything else is fp32 on a CPU and bf16 on a GPU.

        Raises:
            CheckpointError: the folder is missing, incomplete, altered, or of another format.
            UsageError: this checkpoint cannot be had as `quant` on this device.
        """
        checkpoint = read_checkpoint(folder)
        device, stored = torch.device(device), checkpoint.manifest.quantization
        quantization = checkpoint.quantization(stored if quant is None else quant, device.type)
        halved = quantization == BF16 or (quantization != NONE and device.type != "cpu")
        dtype = torch.bfloat16 if halved else torch.float32
        with torch.device("meta"):
            model = cls(checkpoint.config, checkpoint.tokenizer, checkpoint.generation)
            quantize_layers(model, quantization, device, dtype)
        weights = checkpoint.weights()
        if stored == NONE:
            weights = quantize_stream(weights, quantization)
        load_weights(model, weights, device, dtype)
        compute_rotary_tables(model.language_model, device)
        model.name = checkpoint.name
        model.digest = checkpoint.manifest.digest
        model.quantization = quantization
        model.origin = checkpoint.manifest.origin
        return model.eval().requires_grad_(False)

    def save_pretrained(self, folder: str | Path, quant: str = NONE) -> None:
        """Write a checkpoint folder, whole or not at all, in the parameters' own precision.

        Its manifest tells the `origin`. `quant` is none, int8, int4 or fp8.

        Raises:
            UsageError: there is something at `folder` already; the model was not loaded as
                none; a folder is not stored as `quant`.
        """
        if self.quantization != NONE:
            raise UsageError(
                f"{self.name} was loaded as {self.quantization}, which is made for this machine; "
                "load it as none and save that with quant="
            )
        blocks = blocks_of(self.state_dict())
        write_checkpoint(
            folder, self.config, self.tokenizer, self.generation, blocks, self.origin, quant
        )

    @property
    def device(self) -> torch.device:
        return self.query_tokens.device

    # --- tensors in, tensors out ---

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Preprocessed images [B, 3, S, S] → what the language model reads of them [B, Q, D]."""
        return self.embed_seen(self.vision_model(pixels).last_hidden_state)

    def embed_seen(self, seen: torch.Tensor) -> torch.Tensor:
        """What the ViT saw [B, 1 + P, W] → [B, Q, D], through Q-Former and both projections."""
        queries = self.query_tokens.expand(len(seen), -1, -1)
        answers = self.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        embeds: torch.Tensor = self.llama_proj2(self.llama_proj(answers))
        return embeds

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Token ids [...] → [..., D]."""
        embedded: torch.Tensor = self.language_model.get_input_embeddings()(token_ids)
        return embedded

    def logits(self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """[B, T, D], padded on the left where [B, T] is 0 → scores of the next tokens [B, T, V].

        transformers' own forward, for training and as what the engine is compared with.
        """
        output: torch.Tensor = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=_positions(attention_mask),
            use_cache=False,
        ).logits
        return output.float()

    def token_ids(self, text: str) -> list[int]:
        """Ids of plain text, nothing added (SPEC.md §3); no text is a special token."""
        (ids,) = plain_ids(self.tokenizer, [text])
        return ids

    # --- the runner's verbs ---

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image]) -> Features:
        """Look at RGB images, once for all questions; at none, features of none."""
        if not images:
            queries, width = self.config.num_query_tokens, self.config.language.hidden_size
            return Features(self.query_tokens.new_zeros(0, queries, width))
        dtype = self.query_tokens.dtype
        pixels = torch.from_numpy(self._preprocess(images)).to(self.device, dtype)
        if self.device.type == "cpu":
            vision = self.config.vision
            tokens = 1 + (vision.image_size // vision.patch_size) ** 2
            some = max(1, CPU_TOKENS // tokens)
        else:
            some = len(images)
        return Features(torch.cat([self.encode_images(piece) for piece in pixels.split(some)]))

    def prefix(self, features: Features, asks: Sequence[Sequence[Ask]]) -> Prefix:
        """What the engine is to read and to do: a row for each ask of each image, in their order.

        Raises:
            PromptError: a prompt without exactly one image place, or longer than the context even
                without its text.
            ValueError: not as many lists of asks as images.
        """
        queries = features.embeds.shape[1]
        cut = cache(self._wording.cut)
        rows: list[Row] = []
        for embeds, some in zip(features.embeds, asks, strict=True):
            stems: dict[tuple[int, ...], Stem] = {}
            for ask in some:
                want = self._wording.want(ask)
                before, after = cut(ask.prompt, queries + want.positions)
                stem = stems.setdefault(before, Stem(before, embeds))
                rows.append(Row(stem, after, want))
        return Prefix(tuple(rows))

    def read(self, row: Row) -> torch.Tensor:
        """The embeddings of all that a row reads before it answers: [T, D]."""
        head, tail = (
            self.embed(torch.tensor(ids, dtype=torch.long, device=self.device))
            for ids in (row.stem.head, row.tail)
        )
        return torch.cat([head, row.stem.embeds, tail])

    def reply_all(
        self,
        batches: Iterable[tuple[Features, Sequence[Sequence[Ask]]]],
        refill: int = 0,
        most: int = 1,
    ) -> Iterator[list[tuple[Reply, ...]]]:
        """What each image of each batch is asked, answered: one reply an ask, in their order.

        What the asks of an image have in common is read once. Up to `most` batches are under way:
        the next enters when no more than `refill` answers are still being written. No reply depends
        on what else is asked.

        Raises:
            PromptError: a prompt without exactly one image place, or longer than the context even
                without its text.
            ValueError: not as many lists of asks as images.
        """
        under_way: deque[Sequence[Sequence[Ask]]] = deque()

        def prefixes() -> Iterator[Prefix]:
            for features, asks in batches:
                prefix = self.prefix(features, asks)
                under_way.append(asks)
                yield prefix

        for found in replies(PhiDecoder(self.language_model), prefixes(), refill, most):
            left = iter(found)
            yield [
                tuple(self._wording.reply(ask, next(left)) for ask in some)
                for some in under_way.popleft()
            ]

    def caption(
        self, images: Sequence[Image.Image | str | Path], prompt: str | None = None
    ) -> list[str]:
        """One caption an image, given as PIL images of any mode or as paths.

        `prompt` asks something else. Images are taken `CAPTION_BATCH` at a time.

        Raises:
            ImageError: a file that is no whole image.
            PromptError: a prompt that is blank, too long, or has several places for the image.
            TypeError: `images` is one image or one path.
        """
        if isinstance(images, str | Path | Image.Image):
            raise TypeError(f"caption takes a list of images; for a single one give [{images!r}]")
        question = self.generation.caption_question if prompt is None else prompt
        text = resolve_prompt(question, self.generation.prompt_template)
        ask = Write(Prompt(text), self.generation.max_new_tokens)
        starts = range(0, len(images), CAPTION_BATCH)
        seen = (
            self.encode([_picture(image) for image in images[start : start + CAPTION_BATCH]])
            for start in starts
        )
        answers = self.reply_all(
            ((some, [[ask]] * len(some)) for some in seen), refill=CAPTION_BATCH, most=2
        )
        written = (reply for some in answers for (reply,) in some)
        return [reply.text for reply in written if isinstance(reply, Written)]

    # --- inner steps ---

    def _preprocess(self, images: Sequence[Image.Image]) -> np.ndarray:
        config = self.config
        return preprocess(images, config.image_size, config.image_mean, config.image_std)


def _positions(attention_mask: torch.Tensor) -> torch.Tensor:
    """[B, T] position ids: counted from a row's first real position, 1 on pads (SPEC.md §4.2)."""
    counted = attention_mask.long().cumsum(-1) - 1
    return counted.masked_fill(attention_mask == 0, 1)


def _picture(image: Image.Image | str | Path) -> Image.Image:
    if isinstance(image, Image.Image):
        return to_rgb(image)
    return decode(Path(image).read_bytes())
