"""Which rows of OUTPUT were erased, as its files tell: what a changed file is to be, and whom no
run labels again.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.forgotten import FORGOTTEN, Erased, ErasedFile, Erasure, names_of, salted
from schemas.image import ImageRef
from schemas.outcome import BusyError
from schemas.uri import join
from workers.plan.documents import find_document
from workers.store import PATIENCE, Patience, client_errors_as_ours, list_pages
from workers.threads import in_order

_DOCUMENT = re.compile(rf"{FORGOTTEN}/\d{{8}}(?:-done)?\.json")


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it may be now, and what it has lost until then."""

    sha256: str
    rows: int = 0
    labelled: int = 0
    failed_by_code: Mapping[str, int] = field(default_factory=Counter)
    deleted: int = 0

    @property
    def failed(self) -> int:
        return sum(self.failed_by_code.values())

    def after(self, lost: ErasedFile) -> "FileState":
        """What it is once these rows went too."""
        return FileState(
            lost.after,
            self.rows + lost.rows,
            self.labelled + lost.labelled,
            Counter(self.failed_by_code) + Counter(lost.failed_by_code),
            self.deleted + lost.deleted,
        )


class Erasures:
    """All erasures that an OUTPUT tells of. Without any nothing has changed."""

    def __init__(self, output: str, begun: Sequence[Erasure], ended: Sequence[Erased]) -> None:
        self._output = output
        self.begun = tuple(begun)
        """Those whose Erasure is there: nobody took it away."""
        known: list[Erasure | Erased] = [*begun, *ended]
        self.last = max((one.ordinal for one in known), default=0)
        """The highest ordinal; 0: there is none."""
        there = {one.ordinal for one in ended}
        self.open = tuple(one for one in begun if one.ordinal not in there)
        """Begun, and not ended."""
        self._changes = {
            (file.name, file.before): (file, one.ordinal in there)
            for one in known
            for file in one.files
        }
        self._ids: dict[str, set[str]] = {}
        for one in begun:
            self._ids.setdefault(one.salt, set()).update(one.ids)

    def states(self, name: str, sha256: str) -> tuple[FileState, ...]:
        """What the file `name` may be that was written with the digest `sha256`, the last of them
        what it is to be: an erasure that is not ended may have changed it or not.
        """
        found = [FileState(sha256)]
        for _ in self._changes:
            change = self._changes.get((name, found[-1].sha256))
            if change is None:
                break
            lost, ended = change
            found = [*([] if ended else found), found[-1].after(lost)]
        return tuple(found)

    def state(self, name: str, sha256: str) -> FileState:
        """What it is to be."""
        return self.states(name, sha256)[-1]

    def change_of(self, name: str, sha256: str) -> ErasedFile | None:
        """What the file of this digest still has to lose."""
        change = self._changes.get((name, sha256))
        return change[0] if change else None

    def forgets(self, name: str) -> bool:
        """Whether just this name was asked to be forgotten."""
        return any(salted(salt, name) in ids for salt, ids in self._ids.items())

    def without_forgotten(self, images: Sequence[ImageRef]) -> Sequence[ImageRef]:
        """Those of `images` that may be labelled."""
        if not self._ids:
            return images
        return [
            image
            for image in images
            if not any(map(self.forgets, names_of(image.item_id, image.uri)))
        ]

    def require_ended(self) -> None:
        """Raises BusyError where an erasure is under way, or was left in the middle."""
        for one in self.open:
            raise BusyError(
                f"{join(self._output, one.names.erasure)}: rows are being erased, or were until "
                "somebody was interrupted: jobs/nightly.py with --forget ends it, then come again"
            )


def read_erasures(output: str, patience: Patience = PATIENCE) -> Erasures:
    """What OUTPUT tells now. Raises UsageError for a document of another format, StoreError."""
    names = sorted(_documents(output, patience))

    def read(name: str) -> Erasure | Erased | None:
        data = find_document(output, name, patience)
        if data is None:
            return None
        kind = Erased if name.endswith("-done.json") else Erasure
        return kind.from_json(data, join(output, name))

    found = list(in_order(read, names))
    begun = [one for one in found if isinstance(one, Erasure)]
    return Erasures(output, begun, [one for one in found if isinstance(one, Erased)])


def _documents(output: str, patience: Patience) -> set[str]:
    """Their names."""
    place, found = join(output, FORGOTTEN), set()
    try:
        with client_errors_as_ours(place, "listed"):
            for page in list_pages(f"{place}/", patience):
                for entry in page:
                    name = entry.uri.removeprefix(join(output, ""))
                    if _DOCUMENT.fullmatch(name):
                        found.add(name)
    except FileNotFoundError:
        return set()
    return found
