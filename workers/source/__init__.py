"""Where images come from: what is there to be labelled, and the bytes of each."""

from workers.source.listing import Page, check_input, list_images, no_images
from workers.source.reading import read

__all__ = ["Page", "check_input", "list_images", "no_images", "read"]
