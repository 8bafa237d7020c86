"""EVA ViT-g, Q-Former, projections, Phi-2 with the extra norms, and their checkpoint folder.

`TinyGPTV` is imported when it is asked for: a driver reads `description` alone, and torch with
transformers takes seconds to load.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.model.tinygptv import TinyGPTV

__all__ = ["TinyGPTV"]


def __getattr__(name: str) -> Any:
    if name != "TinyGPTV":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from workers.model.tinygptv import TinyGPTV

    return TinyGPTV
