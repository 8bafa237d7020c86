"""The folder that an export goes to: new, outside OUTPUT, each name in it created once."""

import re
from pathlib import Path

from schemas.image import InputFormat
from schemas.job import JobSpec
from schemas.outcome import UsageError
from schemas.uri import is_local, join
from workers.sink.create import Answer, create
from workers.store import PATIENCE, Patience, as_ours, ask, client_errors_as_ours, fetch, list_pages

_TAKEN = (FileExistsError, IsADirectoryError, NotADirectoryError)
"""Also where a file is to stand in the place of a folder, or a folder in that of a file."""
_CONTAINERS = (InputFormat.WEBDATASET, InputFormat.PARQUET)
"""Formats whose items lie at the URI of their container."""


def require_new(destination: str, output: str, patience: Patience = PATIENCE) -> None:
    """Raises UsageError where the canonical `destination` holds anything, or lies within OUTPUT, or
    OUTPUT in it.
    """
    if f"{destination}/".startswith(f"{output}/") or f"{output}/".startswith(f"{destination}/"):
        raise UsageError(f"DESTINATION {destination} and OUTPUT {output} must not hold each other")
    try:
        with client_errors_as_ours(destination, "listed"):
            for page in list_pages(destination + "/", patience):
                if page:
                    raise UsageError(
                        f"DESTINATION {destination} holds {page[0].uri} already: an export goes to "
                        "a new or empty folder"
                    )
    except FileNotFoundError:
        return


def put(destination: str, name: str, data: bytes, patience: Patience = PATIENCE) -> bool:
    """Create `name`, with slashes, in the folder; False where it is taken.

    Raises StoreError, UsageError where it may not be written.
    """
    place = join(destination, name)
    if is_local(destination):
        return _put_on_disk(Path(place), data)

    unsure = False

    def attempt(seconds: float) -> bool:
        nonlocal unsure
        answer = create(destination, name, data, seconds)
        if answer is Answer.UNKNOWN:
            unsure = True
            raise TimeoutError("the store did not answer")
        if answer is Answer.TAKEN and unsure:  # perhaps by oneself
            return fetch(place, seconds=seconds) == data
        return answer is Answer.CREATED

    return ask(place, attempt, patience, "written")


def _put_on_disk(path: Path, data: bytes) -> bool:
    """Not made durable: an export that was cut short is made again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except _TAKEN:
        return False
    except OSError as error:
        raise as_ours(str(path), error, "written") from error
    return True


def path_of(job: JobSpec, item_id: str, uri: str) -> str | None:
    """Where the item lies below INPUT, without its extension; what a container holds, in a folder
    of the container's name. None: the name would lead out of a folder.

    `a/b` of INPUT/a/b.png, `shard-00/b` of the member b.png of INPUT/shard-00.tar,
    `memes/000000003` of a row of INPUT/memes.csv.
    """
    base = job.input
    if not item_id.startswith(f"{base}/"):
        base = re.split(r"[*?\[]", base)[0].rpartition("/")[0]
    if job.input_format == InputFormat.IMAGES:
        pieces = [item_id]
    elif job.input_format in _CONTAINERS:
        pieces = [uri, item_id.removeprefix(f"{uri}#")]
    else:
        pieces = list(item_id.rpartition("#")[::2])
    pieces[0] = pieces[0].removeprefix(f"{base}/")
    names = [name for piece in map(_without_extension, pieces) for name in piece.split("/")]
    kept = [name for name in names if name not in ("", ".")]
    return None if ".." in kept or not kept else "/".join(kept)


def _without_extension(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}"
