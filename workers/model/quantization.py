"""How a network's matrices are held, by name, and which of the ways a run gets.

    none    as the checkpoint says them, in fp32
    bf16    16-bit floats, and so is all else: what a GPU multiplies where nothing is quantized
    int8    8 bits a weight, one scale a row; a CPU multiplies them with 8-bit activations
    int4    4 bits a weight in the language model's layers, int8 elsewhere
    fp8     8-bit floats, for GPUs that multiply them

A driver decides with these functions, on a machine that may have no torch worth loading.
"""

from __future__ import annotations

from typing import Final

from schemas.outcome import UsageError

NONE: Final = "none"
BF16: Final = "bf16"
INT8: Final = "int8"
INT4: Final = "int4"
FP8: Final = "fp8"
STORED: Final = (NONE, INT8, INT4, FP8)
"""What a checkpoint folder may hold."""
QUANTIZATIONS: Final = (NONE, BF16, INT8, INT4, FP8)
"""What a loaded model may be held as."""
AUTO: Final = "auto"
AUTO_WIDTH: Final = 1024
"""From this width of the language model on, `auto` quantizes on a CPU: below, a product takes less
time than to round what goes into it."""


def resolve_quantization(stored: str, asked: str, device: str, width: int) -> str:
    """What a model is to be held as: one of `QUANTIZATIONS`.

    Args:
        stored: what the checkpoint's manifest says, one of `STORED`.
        asked: one of `QUANTIZATIONS`, or `auto`: as it is stored, and what is stored unquantized
            becomes bf16 on a GPU, and int8 on a CPU if it is wide.
        device: `cpu`, `cuda` or one of its numbered kind.
        width: of the language model, columns.

    Raises:
        UsageError: no such quantization; another one than the stored; fp8 on a CPU.
    """
    if asked not in (*QUANTIZATIONS, AUTO):
        known = ", ".join((AUTO, *QUANTIZATIONS))
        raise UsageError(f"there is no quantization {asked!r}; there are {known}")
    if asked == AUTO:
        asked = _unquantized_on(device, width) if stored == NONE else stored
    if stored not in (NONE, asked):
        raise UsageError(
            f"the checkpoint is quantized as {stored} and cannot be had as {asked}; ask for "
            f"{stored}, or convert the authors' files again"
        )
    if asked == FP8 and device == "cpu":
        raise UsageError("fp8 needs a GPU that multiplies it; on a CPU ask for int8")
    return asked


def require_storable(quantization: str) -> None:
    """UsageError where a checkpoint folder is not written as `quantization`."""
    if quantization not in STORED:
        raise UsageError(
            f"a checkpoint is stored as {', '.join(STORED[:-1])} or {STORED[-1]}, not as "
            f"{quantization!r}; what is stored as none can be had as bf16 when it is loaded"
        )


def _unquantized_on(device: str, width: int) -> str:
    """What `auto` makes of a checkpoint that is stored unquantized."""
    if device.startswith("cuda"):
        return BF16
    return INT8 if device == "cpu" and width >= AUTO_WIDTH else NONE
