"""INPUT → the items to label, in pages, and how many objects were skipped by which rule.

INPUT is a folder, a glob or a single file; a path of this machine or a URI of any store that fsspec
knows. Every listed object is an item or is counted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.image import ImageRef
from schemas.outcome import UsageError
from schemas.uri import canonical, is_local
from workers.source.selection import Selection, folder_selection, glob_selection, has_wildcard
from workers.store import Entry, client_errors_as_ours, entry_at, list_pages


@dataclass(frozen=True, slots=True)
class Page:
    """Some items, in the store's order, and the count of skipped objects by SkipRule."""

    images: list[ImageRef] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def list_images(input: str, output: str) -> Iterator[Page]:
    """The items of INPUT in pages, each object listed once; what lies under OUTPUT is none.

    Raises UsageError where INPUT cannot be listed, StoreError where the store does not answer.
    """
    input, output = canonical(input), canonical(output)
    try:
        with client_errors_as_ours(input, "listed"):
            yield from _pages(input, output)
    except FileNotFoundError as error:
        raise UsageError(_missing(input)) from error


def check_input(input: str, output: str) -> None:
    """Raises UsageError, before anything is written, where INPUT holds no item."""
    skipped: Counter[str] = Counter()
    for page in list_images(input, output):
        if page.images:
            return
        skipped += page.skipped
    raise UsageError(no_images(input, skipped))


def no_images(input: str, skipped: Counter[str]) -> str:
    """The sentence for an INPUT without items."""
    if not skipped:
        return f"{input} holds no files"
    counts = ", ".join(f"{count:,} by rule '{rule}'" for rule, count in sorted(skipped.items()))
    return f"{input} holds no image; files skipped: {counts}"


def _pages(input: str, output: str) -> Iterator[Page]:
    """INPUT as a folder; else as a file of just that name; else as a glob."""
    selection = folder_selection(input, output)
    if not _holds_something(selection.place):
        single = entry_at(input)
        if single is not None:
            yield Page([_image(single)])
            return
        if has_wildcard(input):
            selection = glob_selection(input, output)
    for entries in list_pages(selection.place):
        yield _page(entries, selection)


def _holds_something(folder: str) -> bool:
    try:
        return any(list_pages(folder))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _page(entries: list[Entry], selection: Selection) -> Page:
    page = Page()
    for entry in entries:
        rule = selection.rule_against(entry)
        if rule is None:
            page.images.append(_image(entry))
        else:
            page.skipped[rule] += 1
    if len(page.images) + page.skipped.total() != len(entries):
        raise AssertionError("an object was listed and neither planned nor counted")
    return page


def _image(entry: Entry) -> ImageRef:
    return ImageRef(entry.uri, entry.uri, entry.version, entry.size_bytes)


def _missing(input: str) -> str:
    if is_local(input):
        return f"no such file or folder: {input}"
    return f"no such bucket or folder: {input}"
