"""Somebody's right to be forgotten: an image's rows erased from every file of an OUTPUT."""

from workers.forgetting.erase import Forgotten, forget, require_quiet

__all__ = ["Forgotten", "forget", "require_quiet"]
