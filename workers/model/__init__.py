"""The model: EVA ViT-g, Q-Former, projections, Phi-2 with the extra norms; its checkpoint folder."""

from workers.model.tinygptv import TinyGPTV

__all__ = ["TinyGPTV"]
