"""INPUT read as a place and a rule: which objects are looked at, and why the others are not."""

import re
from dataclasses import dataclass
from enum import StrEnum

from fsspec.utils import glob_translate

from schemas.image import InputFormat
from schemas.outcome import UsageError
from workers.source.kinds import ENDINGS, endings_of, is_sidecar, stem_of
from workers.store import Entry

_WILDCARD = re.compile(r"[*?[]")


class SkipRule(StrEnum):
    """Why an object, or a member of a container, is no item. The plan counts those of each rule."""

    PLACEHOLDER = "directory_placeholder"
    NOT_A_FILE = "not_a_file"
    NAME = "name_not_utf8"
    UNDER_OUTPUT = "under_output"
    HIDDEN = "hidden"
    PATTERN = "pattern"
    EXTENSION = "extension"
    CONTAINER = "container"
    """Opened and read to its end: what it holds is listed in its place."""
    SIDECAR = "sidecar"
    """A text beside an image, which became a column of it, or is looked at with it; of the latter
    nobody knows yet whether there is such an image."""
    LONG_SIDECAR = "sidecar_too_long"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a listing are images, or containers of INPUT's kind.

    A folder gives the files with an extension of that kind. A glob (`*` and `?` within a name,
    `[…]`, `**` for any depth) gives those that it matches and that have such an extension, none at
    all, or the one that the glob itself ends with. A single file is taken whatever it is called.
    """

    place: str
    """What is listed: every object whose URI begins with it."""
    output: str
    endings: frozenset[str]
    pattern: re.Pattern[str] | None = None
    sidecars: bool = False
    """Whether texts beside images are of use."""

    def rule_against(self, entry: Entry) -> SkipRule | None:
        """Why `entry` is no item, or None: it is one."""
        below = entry.uri[len(self.place.rpartition("/")[0]) + 1 :]
        if entry.uri.endswith(("/", "_$folder$")):
            return SkipRule.PLACEHOLDER
        if not entry.is_file:
            return SkipRule.NOT_A_FILE
        if not is_utf8(entry.uri):
            return SkipRule.NAME
        if entry.uri.startswith(self.output.rstrip("/") + "/"):
            return SkipRule.UNDER_OUTPUT
        if below.startswith(".") or "/." in below:
            return SkipRule.HIDDEN
        if self.pattern is not None and not self.pattern.match(entry.uri):
            rule = SkipRule.PATTERN
        elif not endings_of(entry.uri) & self.endings:
            rule = SkipRule.EXTENSION
        else:
            return None
        return SkipRule.SIDECAR if self.sidecars and is_sidecar(entry.uri) else rule


def has_wildcard(uri: str) -> bool:
    """Whether `uri` may be a glob; a file or folder of just that name comes first."""
    return _WILDCARD.search(uri) is not None


def folder_selection(
    folder: str, output: str, kind: InputFormat = InputFormat.IMAGES, sidecars: bool = False
) -> Selection:
    """The files of `kind` below `folder`, at any depth."""
    return Selection(folder.rstrip("/") + "/", output, ENDINGS[kind], sidecars=sidecars)


def glob_selection(
    pattern: str, output: str, kind: InputFormat = InputFormat.IMAGES, sidecars: bool = False
) -> Selection:
    """The files of `kind` that `pattern` matches. Raises UsageError for a pattern that is none."""
    scheme, separator, path = pattern.rpartition("://")
    wildcard = _WILDCARD.search(path)
    literal = path[: wildcard.start()] if wildcard else path
    place = scheme + separator + literal
    if not scheme:  # a folder's listing needs the whole name of the folder
        place = literal.rpartition("/")[0] + "/"
    elif "/" not in literal:
        raise UsageError(f"{pattern}: the bucket's name cannot hold wildcards")
    try:
        matcher = re.compile(re.escape(scheme + separator) + glob_translate(path))
    except ValueError as error:
        raise UsageError(f"{pattern}: {error}") from error
    if sidecars:  # `a.j*` matches a.jpg, and not the text beside it
        place = stem_of(place)
    endings = ENDINGS[kind] | {""} | endings_of(pattern)
    return Selection(place, output, endings, matcher, sidecars)


def is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
