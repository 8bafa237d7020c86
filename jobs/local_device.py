"""On which device a job computes that works on this machine alone."""

from __future__ import annotations

from schemas.outcome import UsageError


def local_device(asked: str) -> str:
    """`cpu` or `cuda`; for `auto`, cuda where there is a GPU that torch can use.

    Raises:
        UsageError: cuda is asked for and cannot be used.
    """
    import torch

    usable = torch.cuda.is_available()
    if asked == "cuda" and not usable:
        raise UsageError("torch finds no GPU here; leave --device cuda out, or install its drivers")
    return "cuda" if usable and asked != "cpu" else "cpu"
