"""The least work that an image is: multiplications and weights, counted from the config.

Each rule leaves out what can be left out, so that the share of the limit is rather too low:

- A product of [M, K] and [K, N] is 2·M·K·N FLOPs. Norms, activations, softmax, rotary positions,
  rounding for a quantized product, embedding tables: nothing.
- Matrices are multiplied in the precision that they are held in; what a quantization does not touch
  (the patch embedding) in fp32 on a CPU, in bf16 on a GPU. Where a GPU only unpacks int8 or int4,
  the products are bf16. Both products of every attention are bf16's, whatever the quantization.
- The prompt is the same for all images: what stands before the picture is read once, and is none of
  an image's work. The causal attention of P positions is P·(P + 1)/2 pairs.
- N new tokens are N positions of the head and N - 1 steps of the decoder: the first token comes of
  the prompt's last position.
- The weights of the ViT, the Q-Former, the projections and the prompt are read once a batch, those
  of a step once a step, those of the head once a token; the rows of a batch share each reading.
  Activations and the KV cache: nothing.

B rows of a batch, T tokens of the ViT, P prompt positions, Q queries, N new tokens
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.comparison.plain_stem import PlainStem
from workers.model.config import LanguageConfig, QFormerConfig, TinyGPTVConfig, VisionConfig
from workers.model.quantization import BF16, FP8, INT4, INT8, NONE
from workers.model.quantized.format import GROUP

FP32 = "fp32"
WEIGHT_BYTES = {FP32: 4.0, BF16: 2.0, INT8: 1.0, INT4: 0.5 + 4 / GROUP, FP8: 1.0}
"""With the scales of a group; those of whole rows are too few to count."""


@dataclass(frozen=True)
class Asked:
    """What of a question decides how much work an image is."""

    prompt: int
    """P: all positions before the answer."""
    before: int
    """Of them those before the picture."""
    new_tokens: float
    """N, on average."""
    batch: int
    """B: of the runner those of two batches, as one enters while another is under way."""


@dataclass(frozen=True)
class Phase:
    """A part of what happens to one image."""

    name: str
    kind: str
    """The precision of its products: a key of `WEIGHT_BYTES`."""
    flops: float
    weight_bytes: float = 0.0
    """An image's part of the weights that are read."""


def phases(
    config: TinyGPTVConfig, quantization: str, device: str, asked: Asked
) -> tuple[Phase, ...]:
    """An image's way through the network."""
    vision, qformer, language = config.vision, config.qformer, config.language
    elsewhere, layers = kinds(quantization, device)
    rest = FP32 if device == "cpu" and quantization not in (BF16, FP8) else BF16
    read = asked.prompt - asked.before
    steps, pairs = asked.new_tokens - 1, _pairs(asked)
    head = language.hidden_size * language.vocab_size

    def products(name: str, kind: str, flops: float, weights: float, times: float = 1) -> Phase:
        return Phase(name, kind, flops, times * weights * WEIGHT_BYTES[kind] / asked.batch)

    return (
        Phase("patches", rest, patch_flops(vision)),
        products(
            "ViT, matrices",
            elsewhere,
            2 * tokens(vision) * vision_weights(vision),
            vision_weights(vision),
        ),
        Phase("ViT, attention", BF16, vision_attention_flops(vision)),
        products("Q-Former, matrices", elsewhere, *_qformer(qformer, vision)),
        Phase("Q-Former, attention", BF16, _qformer_attention(qformer, tokens(vision))),
        products("projections", elsewhere, *_projections(config)),
        products(
            "prompt, matrices",
            layers,
            2 * read * language_weights(language),
            language_weights(language),
        ),
        products(
            "answer, matrices",
            layers,
            2 * steps * language_weights(language),
            language_weights(language),
            steps,
        ),
        Phase(
            "prompt and answer, attention",
            BF16,
            4 * language.num_layers * language.hidden_size * pairs,
        ),
        products("head", elsewhere, 2 * asked.new_tokens * head, head, asked.new_tokens),
    )


def kinds(quantization: str, device: str) -> tuple[str, str]:
    """The precisions of products: in the language model's layers last, elsewhere first."""
    if quantization == NONE:
        return FP32, FP32
    if quantization in (BF16, FP8):
        return quantization, quantization
    if device != "cpu":
        return BF16, BF16
    return INT8, quantization


def tokens(vision: VisionConfig) -> int:
    """T: the patches, and the class token."""
    return 1 + (vision.image_size // vision.patch_size) ** 2


def vision_weights(vision: VisionConfig) -> int:
    """Of the ViT's matrices: query, key, value and projection, and the two of the MLP."""
    width, inner = vision.hidden_size, vision.intermediate_size
    return vision.num_layers * (4 * width**2 + 2 * width * inner)


def vision_attention_flops(vision: VisionConfig) -> int:
    """Scores and what they gather, of all heads."""
    return vision.num_layers * 2 * 2 * tokens(vision) ** 2 * vision.hidden_size


def language_weights(language: LanguageConfig) -> int:
    """Of the decoder's layers: query, key, value and projection, and the two of the MLP."""
    width, inner = language.hidden_size, language.intermediate_size
    return language.num_layers * (4 * width**2 + 2 * width * inner)


def patch_flops(vision: VisionConfig) -> int:
    """Pixels to tokens."""
    if vision.patch_embedding == "linear":
        return 2 * (tokens(vision) - 1) * 3 * vision.patch_size**2 * vision.hidden_size
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        PlainStem(vision.hidden_size)(torch.empty(1, 3, vision.image_size, vision.image_size))
    flops: int = counter.get_total_flops()
    return flops


def _qformer(qformer: QFormerConfig, vision: VisionConfig) -> tuple[float, float]:
    """FLOPs and weights of its matrices; keys and values of what was seen are as many as tokens."""
    width = qformer.hidden_size
    crossing = -(-qformer.num_layers // qformer.cross_attention_frequency)
    of_queries = qformer.num_layers * (4 * width**2 + 2 * width * qformer.intermediate_size)
    of_queries += crossing * 2 * width**2
    of_tokens = crossing * 2 * width * vision.hidden_size
    flops = 2 * (qformer.num_query_tokens * of_queries + tokens(vision) * of_tokens)
    return flops, of_queries + of_tokens


def _qformer_attention(qformer: QFormerConfig, tokens: int) -> int:
    queries, layers = qformer.num_query_tokens, qformer.num_layers
    crossing = -(-layers // qformer.cross_attention_frequency)
    return 4 * queries * qformer.hidden_size * (layers * queries + crossing * tokens)


def _projections(config: TinyGPTVConfig) -> tuple[float, float]:
    ends = config.qformer.hidden_size + config.language.hidden_size
    weights = config.projection_size * ends
    return 2 * config.num_query_tokens * weights, weights


def _pairs(asked: Asked) -> float:
    """Who looks at whom, in the prompt behind what is shared, and in the steps."""
    prompt = (asked.prompt * (asked.prompt + 1) - asked.before * (asked.before + 1)) / 2
    steps = asked.new_tokens - 1
    return prompt + steps * asked.prompt + steps * (steps + 1) / 2
