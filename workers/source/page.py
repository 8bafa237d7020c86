"""What a listing gives: items, and the count of what is none."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schemas.image import ImageRef
from workers.source.selection import SkipRule
from workers.store import Entry

PAGE_IMAGES = 1000
PAGE_TEXT = 16 << 20
"""Characters of columns with which a page is full too."""


Outcome = ImageRef | SkipRule
"""What became of one thing that was listed, an object or what a container holds: exactly one of
the two."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some items, in the store's order, and the count of skipped things by SkipRule."""

    images: list[ImageRef] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    sidecars: list[Entry] = field(default_factory=list)
    """What lies, or may lie, beside images as their text, where the job reads it."""

    def add(self, outcome: Outcome) -> None:
        """Take an item in, or count what is none."""
        if isinstance(outcome, ImageRef):
            self.images.append(outcome)
        else:
            self.skipped[outcome] += 1


def page_of(outcomes: Iterable[Outcome]) -> Page:
    """All of `outcomes` on one page."""
    page = Page()
    for outcome in outcomes:
        page.add(outcome)
    return page


def paged(outcomes: Iterable[Outcome]) -> Iterator[Page]:
    """Pages of up to PAGE_IMAGES items each, fewer where their columns are long.

    The first holds one item, so that it is soon seen whether there is any.
    """
    page, full, text = Page(), 1, 0
    for outcome in outcomes:
        page.add(outcome)
        text += len(outcome.columns) if isinstance(outcome, ImageRef) else 0
        if len(page.images) == full or text >= PAGE_TEXT:
            yield page
            page, full, text = Page(), PAGE_IMAGES, 0
    if page.images or page.skipped:
        yield page
