"""The order in which rows are erased, so that nothing is lost whenever it is interrupted.

    search → Erasure, created → each file written anew → Erased, created → search again

The Erasure says by their places which rows of which files go, and names nobody: whoever comes after
an interruption ends it first. It takes the next ordinal once all before it have ended, so that it
knows the files as the last one left them. Writers of rows and plans look for erasures after they
claimed a run and before they create what names their files; so what one of them wrote without
knowing of this erasure is there when it is searched again, or its run is heard to live.
"""

import hashlib
import re
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from schemas.forgotten import Erased, Erasure, salted
from schemas.image import Shard
from schemas.outcome import BusyError, RunFolderError
from schemas.rows import row_schema
from schemas.run import REPORT, RUNS, RunNames
from schemas.uri import is_local, join
from schemas.version import code_version
from workers.failpoints import failpoint
from workers.forgetting.asked import Asked, spellings
from workers.forgetting.rewrite import read_rows, without_rows
from workers.forgetting.search import READERS, Found, is_scratch, listed, search
from workers.heartbeat import require_silence
from workers.plan import Run, read_plan, read_spec
from workers.plan.documents import find_document
from workers.plan.erasures import Erasures, read_erasures
from workers.sink import commit, commit_part
from workers.store import PATIENCE, Patience, ask, remove
from workers.store import replace as write_over
from workers.tasks import tasks_of
from workers.threads import in_order

_DOCUMENT = re.compile(rf"{RUNS}/(\d{{8}})/(spec|result)\.json")
_PAGE = re.compile(rf"{RUNS}/(\d{{8}})/plan/[^/]+/page-\d+\.parquet")


@dataclass(slots=True)
class Forgotten:
    """What became of what was asked for in one OUTPUT."""

    rows: int = 0
    """That are gone, entries of plans and lists included."""
    files: int = 0
    """That held them."""
    found: set[str] = field(default_factory=set)
    """What was asked for and was there."""
    before: set[str] = field(default_factory=set)
    """What an earlier command was asked to forget, too."""
    kept_out: set[str] = field(default_factory=set)
    """What was not there, and is not to come."""
    unreadable: list[str] = field(default_factory=list)
    """Names of files that are no Parquet, or damaged: what they hold nobody knows."""


def require_quiet(output: str, patience: Patience = PATIENCE) -> None:
    """Raises BusyError where a driver works on an unfinished run, UsageError, StoreError."""

    def listen(ordinal: int) -> None:
        try:
            require_silence(output, RunNames(ordinal).run_id, patience=patience)
        except BusyError as error:
            busy = str(error).partition(":")[0]
            raise BusyError(
                f"{output}: {busy}; when it has ended the same command erases"
            ) from error

    for _ in in_order(listen, sorted(_unfinished(output, patience))):
        pass


def _unfinished(output: str, patience: Patience) -> set[int]:
    """The ordinals of claimed runs without a result."""
    there: dict[str, set[int]] = {"spec": set(), "result": set()}
    for name in listed(output, patience):
        if found := _DOCUMENT.fullmatch(name):
            there[found[2]].add(int(found[1]))
    return there["spec"] - there["result"]


def forget(
    output: str,
    uris: Sequence[str],
    patience: Patience = PATIENCE,
    *,
    keep_out: Collection[str] = (),
) -> Forgotten:
    """Erase all rows of the images `uris`, and of what these contain, from every file of OUTPUT.

    No other row changes. Those of `uris` that are in `keep_out` are recorded where there is no row
    of them, too: no run labels them. What an earlier command left in the middle is ended too.

    Before, OUTPUT is to be found quiet, by `require_quiet`. Raises BusyError where a driver began
    to work since: what is not erased then is by the same command; RunFolderError where an erasure
    was begun by a program whose files are other ones; UsageError, StoreError.
    """
    told = Forgotten()
    spelled = {uri: spellings(uri) for uri in uris}
    asked = Asked(frozenset[str]().union(*spelled.values()))
    looked: set[str] = set()
    while True:
        erasures = read_erasures(output, patience)
        for one in erasures.open:
            _end(output, one, patience)
            if any(one.ids.count(salted(one.salt, name)) for name in asked.names):
                _count(told, one)
        told.before |= {uri for uri, names in spelled.items() if any(map(erasures.forgets, names))}
        there = listed(output, patience)
        found = search(output, there - looked, asked, patience)
        looked |= there - {file.name for file in found.files}
        told.unreadable += found.unreadable
        absent = {uri for uri in keep_out if not any(map(erasures.forgets, spelled[uri]))}
        if not found.files and not absent:
            told.kept_out -= told.found
            told.before -= told.found | told.kept_out
            return told
        here = {uri for uri, names in spelled.items() if names & found.names}
        recorded = map(spelled.__getitem__, here | absent)
        wanted = _erasure(erasures, found, frozenset[str]().union(*recorded))
        if commit(output, wanted.names.erasure, wanted.to_json(), patience) != wanted.to_json():
            continue  # another erasure was faster, and these files change first as it wants
        told.found |= here
        told.kept_out |= absent
        require_quiet(output, patience)  # whoever came in between knew of no erasure
        _end(output, wanted, patience)
        _count(told, wanted)


def _count(told: Forgotten, erasure: Erasure) -> None:
    told.rows += sum(file.rows for file in erasure.files)
    told.files += len(erasure.files)


def _erasure(erasures: Erasures, found: Found, names: Iterable[str]) -> Erasure:
    salt = erasures.begun[-1].salt if erasures.begun else secrets.token_hex(32)
    return Erasure(
        ordinal=erasures.last + 1,
        token=uuid4().hex,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        salt=salt,
        ids=tuple(sorted(salted(salt, name) for name in names)),
        files=tuple(found.files),
    )


def _end(output: str, erasure: Erasure, patience: Patience) -> None:
    """Do what the erasure says, as far as nobody did."""
    erasures = read_erasures(output, patience)
    _keep_shards(output, erasure, patience)
    if erasure.files:
        _tidy(output, patience)
    _settle(output, erasure, erasures, patience)
    end = Erased(
        ordinal=erasure.ordinal,
        token=uuid4().hex,
        ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        files=erasure.files,
    )
    if commit(output, erasure.names.erased, end.to_json(), patience) != end.to_json():
        # Whoever was faster may have begun the next one, of which these files knew nothing.
        _settle(output, erasure, read_erasures(output, patience), patience)


def _settle(output: str, erasure: Erasure, erasures: Erasures, patience: Patience) -> None:
    """Bring the files of `erasure` to where all `erasures` want them."""
    names = [file.name for file in erasure.files]
    for _ in in_order(partial(_settle_file, output, erasures, patience), names, READERS):
        pass


def _settle_file(output: str, erasures: Erasures, patience: Patience, name: str) -> None:
    place = join(output, name)
    while (data := find_document(output, name, patience)) is not None:
        lost = erasures.change_of(name, hashlib.sha256(data).hexdigest())
        if lost is None:
            return
        rest = without_rows(data, lost.places)
        if hashlib.sha256(rest).hexdigest() != lost.after:
            raise RunFolderError(
                f"{place}: its erasure was begun by a program, or with a pyarrow, that writes it "
                "otherwise; end it with that one"
            )
        failpoint("erase", name)
        ask(place, partial(write_over, place, rest), patience, "written")
        failpoint("erased", name)


def _keep_shards(output: str, erasure: Erasure, patience: Patience) -> None:
    """Whoever goes on with an unfinished run finds a part, without rows, of each shard of which no
    image is left.
    """
    unfinished = _unfinished(output, patience)
    for file in erasure.files:
        page = _PAGE.fullmatch(file.name)
        spec = read_spec(output, int(page[1]), patience) if page else None
        if page is None or spec is None or int(page[1]) not in unfinished:
            continue
        run = Run(replace(spec, job=replace(spec.job, output=output)), finished=False)
        plan = read_plan(run, patience)
        data = find_document(output, file.name, patience)
        if plan is None or data is None or file.name not in [one.name for one in plan.pages]:
            continue
        if hashlib.sha256(data).hexdigest() != file.before:
            continue
        rest = without_rows(data, file.places)
        before, after = (read_rows(some, ["shard"])["shard"].unique() for some in (data, rest))
        schema = row_schema([task.schema for task in tasks_of(run.spec.job)], plan.columns)
        for shard in sorted(set(before.to_pylist()) - set(after.to_pylist())):
            empty = Shard(shard, ())
            commit_part(output, plan.run_id, plan.digest, empty, [], schema, uuid4().hex, patience)


def _tidy(output: str, patience: Patience) -> None:
    """Take away what may show or hold what goes: the report, and what killed writers left."""
    leftovers = [REPORT]
    if is_local(output):
        leftovers += sorted(filter(is_scratch, listed(output, patience)))
    for name in leftovers:
        ask(join(output, name), partial(remove, join(output, name)), patience, "taken away")
