"""Where images come from: what is there to be labelled, and the bytes of each."""

from workers.source.kinds import format_of
from workers.source.listing import check_input, list_images, no_images
from workers.source.page import Page
from workers.source.reading import Reader

__all__ = ["Page", "Reader", "check_input", "format_of", "list_images", "no_images"]
