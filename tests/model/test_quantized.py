"""Quantized checkpoints: what is stored is what is made at load, and errors are small."""

from pathlib import Path

import pytest
import torch
from torch import nn

from schemas.asks import Prompt, Write
from schemas.outcome import CheckpointError, UsageError
from tests.checkpoints import tiny_model
from workers.model import TinyGPTV
from workers.model.config import released
from workers.model.description import checkpoint_folder, describe
from workers.model.manifest import read_manifest
from workers.model.quantization import (
    AUTO,
    BF16,
    FP8,
    INT4,
    INT8,
    NONE,
    resolve_quantization,
)
from workers.model.quantized import Quantized, quantize_layers
from workers.model.quantized.format import GROUP, dequantize, empty_parts, kind_of, quantize
from workers.model.quantized.language import gelu
from workers.model.quantized.layers import (
    Fp8Linear,
    Int4Linear,
    Int8Linear,
    PortableInt4Linear,
    PortableInt8Linear,
    QuantizedEmbedding,
    QuantizedLinear,
)
from workers.model.quantized.rows import CHUNK, multiplies_int8

CPU = torch.device("cpu")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "images"
on_x86 = pytest.mark.skipif(not multiplies_int8(CPU), reason="oneDNN multiplies int8 on x86")


@pytest.fixture(scope="module")
def pocket() -> TinyGPTV:
    return TinyGPTV.from_pretrained(checkpoint_folder("pocket"))


@pytest.fixture(scope="module")
def halved() -> TinyGPTV:
    return TinyGPTV.from_pretrained(checkpoint_folder("pocket"), quant=BF16)


@pytest.fixture(scope="module", params=[INT8, INT4])
def stored(
    request: pytest.FixtureRequest, pocket: TinyGPTV, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """`pocket`, saved quantized; not to be changed."""
    folder = tmp_path_factory.mktemp("quantized") / str(request.param)
    pocket.save_pretrained(folder, quant=request.param)
    return folder


def matrix(rows: int, columns: int) -> torch.Tensor:
    """Weights of unit variance, a column of which is ten times as large."""
    values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))
    values[:, 0] *= 10
    return values


def filled(layer: QuantizedLinear, weight: torch.Tensor) -> QuantizedLinear:
    for part, tensor in quantize(weight, layer.kind).items():
        layer.give(part, tensor)
    return layer


@torch.inference_mode()
def seen(model: TinyGPTV) -> tuple[torch.Tensor, torch.Tensor]:
    """What the model makes of three pictures, and the scores of the first answer token."""
    from PIL import Image

    images = [Image.open(path).convert("RGB") for path in sorted(EXAMPLES.glob("*.png"))[:3]]
    features = model.encode(images)
    ask = Write(Prompt("<ImageHere> what is this?"), max_new_tokens=1)
    rows = model.prefix(features, [[ask]] * len(images)).rows
    embeds = torch.stack([model.read(row) for row in rows])
    return features.embeds, model.logits(embeds, torch.ones(embeds.shape[:2], dtype=torch.long))


def test_stored_is_made_at_load(stored: Path, pocket: TinyGPTV) -> None:
    """A quantized folder and an unquantized one quantized at load compute the same, bit for bit."""
    quantization = read_manifest(stored).quantization
    assert stored.name == quantization
    read = TinyGPTV.from_pretrained(stored)
    made = TinyGPTV.from_pretrained(checkpoint_folder("pocket"), quant=quantization)
    assert read.quantization == made.quantization == quantization
    for one, other in zip(seen(read), seen(made), strict=True):
        assert torch.equal(one, other)
    assert read.digest != pocket.digest == made.digest


def test_a_quantized_folder_is_small(stored: Path, pocket: TinyGPTV) -> None:
    """A byte a weight of a matrix; only the stem's convolutions, a third, stay in fp32."""
    size = (stored / "model.safetensors").stat().st_size
    assert size < 2 * sum(parameter.numel() for parameter in pocket.parameters())


def test_quantized_is_close(stored: Path, pocket: TinyGPTV) -> None:
    """Features and scores stay within some per cent of the fp32 network's."""
    bounds = {INT8: (0.03, 0.03), INT4: (0.03, 0.25)}[stored.name]
    quantized = seen(TinyGPTV.from_pretrained(stored))
    for bound, one, exact in zip(bounds, quantized, seen(pocket), strict=True):
        assert float((one - exact).norm() / exact.norm()) < bound


def test_it_keeps_its_quantization(stored: Path, tmp_path: Path) -> None:
    """What is stored in one way is not had in another, and packed matrices are not saved again."""
    other = INT4 if stored.name == INT8 else INT8
    for asked in (other, NONE, BF16):
        with pytest.raises(UsageError, match=f"quantized as {stored.name} .* as {asked}"):
            TinyGPTV.from_pretrained(stored, quant=asked)
    assert describe(stored).quantization(AUTO, "cpu") == stored.name
    with pytest.raises(UsageError, match="made for this machine; load it as none"):
        TinyGPTV.from_pretrained(stored).save_pretrained(tmp_path / "again")


def test_bf16_is_bf16_throughout(halved: TinyGPTV) -> None:
    """All parameters are, and so is what every layer hands on."""
    assert halved.quantization == BF16
    assert {parameter.dtype for parameter in halved.parameters()} == {torch.bfloat16}
    found: set[torch.dtype] = set()
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output: found.add(output.dtype))
        for layer in halved.modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.LayerNorm | nn.Embedding)
    ]
    seen(halved)
    for hook in hooks:
        hook.remove()
    assert found == {torch.bfloat16}


def test_bf16_is_close(halved: TinyGPTV, pocket: TinyGPTV) -> None:
    """Features and scores stay within some per cent of the fp32 network's, captions are its own."""
    for one, exact in zip(seen(halved), seen(pocket), strict=True):
        assert float((one - exact).norm() / exact.norm()) < 0.06
    pictures = sorted(EXAMPLES.glob("*.png"))
    pairs = zip(halved.caption(pictures), pocket.caption(pictures), strict=True)
    same = [caption == exact for caption, exact in pairs]
    assert sum(same) >= 0.85 * len(same)


def test_no_folder_holds_bf16(halved: TinyGPTV, pocket: TinyGPTV, tmp_path: Path) -> None:
    """It is had at load: neither is a model saved as it, nor one that was loaded so."""
    with pytest.raises(UsageError, match="made for this machine; load it as none"):
        halved.save_pretrained(tmp_path / "halved")
    with pytest.raises(UsageError, match="stored as none, int8, int4 or fp8, not as 'bf16'"):
        pocket.save_pretrained(tmp_path / "halved", quant=BF16)
    assert not (tmp_path / "halved").exists()


def test_a_part_that_is_missing(stored: Path) -> None:
    """A quantized matrix without its scale is refused by the scale's name."""
    from workers.model.checkpoint import load_weights, read_checkpoint

    checkpoint = read_checkpoint(stored)
    with torch.device("meta"):
        model = TinyGPTV(checkpoint.config, checkpoint.tokenizer, checkpoint.generation)
        quantize_layers(model, stored.name, CPU, torch.float32)
    name = "llama_proj.weight_scale"
    weights = ((n, tensor) for n, tensor in checkpoint.weights() if n != name)
    with pytest.raises(CheckpointError, match=f"lack {name}"):
        load_weights(model, weights, CPU, torch.float32)


@pytest.mark.parametrize(
    ("stored", "asked", "device", "width", "expected"),
    [
        (NONE, AUTO, "cpu", 2560, INT8),
        (NONE, AUTO, "cpu", 192, NONE),
        (NONE, AUTO, "cuda", 2560, BF16),
        (NONE, AUTO, "cuda:1", 192, BF16),
        (NONE, AUTO, "mps", 2560, NONE),
        (INT4, AUTO, "cuda", 2560, INT4),
        (INT8, AUTO, "cpu", 192, INT8),
        (NONE, NONE, "cpu", 2560, NONE),
        (NONE, NONE, "cuda", 2560, NONE),
        (NONE, BF16, "cpu", 2560, BF16),
        (NONE, INT4, "cpu", 192, INT4),
        (INT8, INT8, "cpu", 192, INT8),
        (NONE, FP8, "cuda", 2560, FP8),
    ],
)
def test_what_auto_means(stored: str, asked: str, device: str, width: int, expected: str) -> None:
    """`auto` keeps what is stored; else a GPU has bf16, a CPU int8 of what is large."""
    assert resolve_quantization(stored, asked, device, width) == expected


def test_what_cannot_be_had() -> None:
    """An unknown quantization and one that the device lacks are refused with what there is."""
    with pytest.raises(UsageError, match="'q3'; there are auto, none, bf16, int8, int4, fp8"):
        resolve_quantization(NONE, "q3", "cpu", 192)
    with pytest.raises(UsageError, match="fp8 needs a GPU"):
        resolve_quantization(NONE, FP8, "cpu", 192)


@pytest.mark.parametrize("kind", [INT8, INT4, FP8])
def test_each_weight_is_close(kind: str) -> None:
    """No weight is further off than half a step of its scale."""
    weight = matrix(96, 3 * GROUP)
    parts = quantize(weight, kind)
    error = (dequantize(parts) - weight).abs()
    if kind == FP8:
        assert bool((error <= weight.abs() / 16 + parts["weight_scale"][:, None]).all())
        return
    scale = parts["weight_scale"].float()
    steps = scale.repeat_interleave(GROUP, 1) if scale.dim() == 2 else scale[:, None]
    # In int4 scale and zero are bf16: what they are off by adds to half a step.
    assert bool((error <= steps * (0.5 if kind == INT8 else 0.6) + 1e-6).all())


@torch.inference_mode()
def test_rows_of_zeros() -> None:
    """A matrix of zeros stays one, and rows of zeros give the bias."""
    for kind in (INT8, INT4, FP8):
        assert not dequantize(quantize(torch.zeros(64, GROUP), kind)).any()
    linear = nn.Linear(GROUP, 64)
    layer = filled(_int8(linear), linear.weight.detach())
    assert torch.equal(layer(torch.zeros(2, GROUP)), linear.bias.expand(2, -1))


def _int8(linear: nn.Linear) -> QuantizedLinear:
    return Int8Linear(linear) if multiplies_int8(CPU) else PortableInt8Linear(linear)


@pytest.mark.parametrize(
    ("layer", "bound"),
    [
        pytest.param(Int8Linear, 0.02, marks=on_x86),
        (PortableInt8Linear, 0.02),
        pytest.param(Int4Linear, 0.15, marks=on_x86),
        (PortableInt4Linear, 0.15),
        (Fp8Linear, 0.06),
    ],
)
@torch.inference_mode()
def test_products_are_close(layer: type[QuantizedLinear], bound: float) -> None:
    """A layer's products are those of its matrix to within what its levels can tell apart."""
    linear = nn.Linear(2 * GROUP, 128)
    linear.weight.copy_(torch.randn(128, 2 * GROUP, generator=torch.Generator().manual_seed(1)))
    quantized = filled(layer(linear), linear.weight)
    rows = matrix(CHUNK + 5, 2 * GROUP).view(5, -1, 2 * GROUP)
    exact, found = linear(rows), quantized(rows)
    assert found.shape == exact.shape
    assert found.dtype == exact.dtype
    assert float((found - exact).norm() / exact.norm()) < bound


@on_x86
@pytest.mark.parametrize("layer", [Int8Linear, Int4Linear])
@torch.inference_mode()
def test_a_row_decides_its_own_result(layer: type[QuantizedLinear]) -> None:
    """A row's product is the same bits alone, among others, and in any chunk."""
    linear = nn.Linear(2 * GROUP, 192)
    quantized = filled(layer(linear), linear.weight.detach())
    rows = matrix(2 * CHUNK + 3, 2 * GROUP)
    together = quantized(rows)
    for index in (0, 1, CHUNK, len(rows) - 1):
        assert torch.equal(quantized(rows[index : index + 1]), together[index : index + 1])


def test_every_matrix_is_quantized() -> None:
    """In int8 no linear layer and no table of the released network is left as it was."""
    tokenizer, generation = tiny_model().tokenizer, tiny_model().generation
    with torch.device("meta"):
        model = TinyGPTV(released(4), tokenizer, generation)
        quantize_layers(model, INT8, CPU, torch.float32)
    assert not [m for m in model.modules() if isinstance(m, nn.Linear | nn.Embedding)]
    assert sum(isinstance(m, Quantized) for m in model.modules()) > 300
    assert isinstance(model.language_model.get_input_embeddings(), QuantizedEmbedding)


def test_four_bits_are_for_the_language_model() -> None:
    """int4 leaves the ViT, the Q-Former, the head and odd shapes in int8."""
    layer = "language_model.model.layers.3.mlp.fc1.weight"
    assert kind_of(layer, (10240, 2560), INT4) == INT4
    assert kind_of(layer, (10240, 2560 + 8), INT4) == INT8
    for name in ("language_model.lm_head.weight", "vision_model.encoder.layers.0.mlp.fc1.weight"):
        assert kind_of(name, (6144, 1408), INT4) == INT8
    assert kind_of("query_tokens", (1, 32, 768), INT8) == NONE


def test_parts_are_what_was_promised() -> None:
    """A header can be written before the tensors are made: shapes and dtypes are known."""
    for kind in (INT8, INT4, FP8):
        promised, made = empty_parts((300, 2 * GROUP), kind), quantize(matrix(300, 128), kind)
        assert {n: (t.shape, t.dtype) for n, t in promised.items()} == {
            n: (t.shape, t.dtype) for n, t in made.items()
        }


def test_the_faster_gelu_is_the_same() -> None:
    """What the int8 layers take for Phi's GELU is it, to fp32's rounding."""
    values = torch.linspace(-20, 20, 100_001)
    exact = nn.functional.gelu(values.double(), approximate="tanh")
    assert float((gelu(values.clone()) - exact).abs().max()) < 1e-6
