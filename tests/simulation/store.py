"""A store that answers late, wrongly, twice or never, and yet keeps what a good one promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from schemas.uri import join
from tests.fake_store import FakeStore
from tests.simulation.replicas import Actor
from workers.store import Entry, Patience, Span, base

if TYPE_CHECKING:
    from tests.simulation.commands import Command
    from tests.simulation.world import World


Answer = TypeVar("Answer")

STALE_SECONDS = 60.0
"""So long a new name may be missing from listings."""


class StoreFault(OSError):
    """An answer of HTTP status `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class FaultyStore(FakeStore):
    """What a driver or a replica asks may fail; a thread that is neither sees the plain truth."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._born: dict[str, float] = {}

    def pages(self, place: str, patience: Patience) -> Iterator[list[Entry]]:
        after = ""
        while True:
            page = patience(partial(self._listed, place, after))
            yield page
            if len(page) < base.PAGE:
                return
            after = page[-1].uri

    def entry(self, uri: str, seconds: float | None) -> Entry | None:
        found = self._ask("look for", uri, seconds, partial(super().entry, uri, seconds))
        return None if found is None or self._hidden(uri) else found

    def folders(self, place: str, seconds: float | None) -> list[str]:
        def names() -> list[str]:
            root = place.rstrip("/") + "/"
            shown = [uri.removeprefix(root) for uri in self._shown(root)]
            return sorted({name.partition("/")[0] for name in shown if "/" in name})

        return self._ask("list", place, seconds, names)

    def fetch(
        self, uri: str, version: str, seconds: float | None, span: Span | None, limit: int | None
    ) -> bytes:
        process = self._process()
        if isinstance(process, Actor) and uri in self._world.numbers:
            give = partial(self._ask, "get", uri, seconds, partial(self._image, uri, version))
            if span is None:
                return process.reads(self._world.numbers[uri], give)
            return give()[span[0] :][: span[1]]  # one that is not decoded ends nobody
        parent = super().fetch
        return self._ask("get", uri, seconds, lambda: parent(uri, version, seconds, span, limit))

    def create(self, output: str, name: str, data: bytes, seconds: float | None) -> None:
        uri = join(output, name)
        process = self._process()

        def effect() -> None:
            super(FaultyStore, self).create(output, name, data, seconds)
            self._born[uri] = self._world.scheduler.now
            self._world.created(uri, process)

        self._write(uri, seconds, effect)

    def replace(self, uri: str, data: bytes, seconds: float | None) -> None:
        def effect() -> None:
            self._world.written_over(uri, data)
            super(FaultyStore, self).replace(uri, data, seconds)

        self._write(uri, seconds, effect)

    def remove(self, uri: str, seconds: float | None) -> None:
        if "/.probe-" not in uri:
            self._world.scheduler.problem(f"{uri} was removed")
        self._ask("remove", uri, seconds, partial(super().remove, uri, seconds))

    # what there is

    def _image(self, uri: str, version: str) -> bytes:
        failing = self._world.scenario.failing.get(self._world.numbers[uri])
        if failing == "missing":
            raise FileNotFoundError(uri)
        if failing == "forbidden":
            raise PermissionError(uri)
        if failing == "changed":
            base.require_version(uri, "etag:of today", version)
        return super().fetch(uri, version, None, None, None)

    def _listed(self, place: str, after: str, seconds: float) -> list[Entry]:
        return self._ask("list", place, seconds, lambda: self._page(place, after))

    def _page(self, place: str, after: str) -> list[Entry]:
        self._world.listed(place)
        entries: list[Entry] = []
        for uri in self._shown(place):
            if uri > after and len(entries) < base.PAGE:
                data, version = self.objects[uri]
                entries.append(Entry(uri, len(data), version))
        return entries

    def _shown(self, place: str) -> list[str]:
        return [
            uri for uri in sorted(self.objects) if uri.startswith(place) and not self._hidden(uri)
        ]

    def _hidden(self, uri: str) -> bool:
        """Whether a listing lacks what was written a moment ago."""
        young = self._world.scheduler.now - self._born.get(uri, -STALE_SECONDS) < STALE_SECONDS
        return young and self._process() is not None and self._world.fate.strikes("stale listing")

    # how it is answered

    def _process(self) -> Actor | Command | None:
        task = self._world.scheduler.current
        return task.owner if task else None

    def _ask(
        self, what: str, uri: str, seconds: float | None, answer: Callable[[], Answer]
    ) -> Answer:
        process = self._process()
        if process is None:
            return answer()
        fate, image = self._world.fate, uri in self._world.numbers
        calm = process.step(f"{what} {uri}")
        self._refuse(uri)
        if calm:
            pass
        elif fate.strikes("503") or fate.strikes("answer lost"):
            self._say("503")
            raise StoreFault(503)
        elif fate.strikes("stalled"):
            self._stall(5.0 if image else seconds)
        found = answer()
        process.step("")
        return found

    def _write(self, uri: str, seconds: float | None, effect: Callable[[], None]) -> None:
        process = self._process()
        if process is None:
            return effect()
        fate, later = self._world.fate, self._world.scheduler.later
        process.step(f"write {uri}")
        if isinstance(process, Actor) and process.deaf:
            ended = " after all has ended" if self._world.over else ""
            fate.note(f"zombie writes{ended}")
        if isinstance(process, Actor) and fate.strikes("crash before a write"):
            process.die("before a write")
        if isinstance(process, Actor) and fate.strikes("crash during a write"):
            later(fate.dice.uniform(0, 300), _quietly(effect))
            process.die("during a write")
        self._refuse(uri)
        if fate.strikes("503"):
            self._say("503")
            raise StoreFault(503)
        if fate.strikes("late write"):
            self._say("no answer; it will be written")
            later(fate.dice.uniform(0, 600), _quietly(effect))
            self._stall(seconds)
        if fate.strikes("stalled"):
            self._stall(seconds)
        if fate.strikes("answer lost"):
            self._say("written, and the answer is lost")
            _quietly(effect)()
            process.step("")
            raise fate.dice.choice((StoreFault(503), ConnectionResetError("reset by peer")))
        if fate.strikes("timeout after success"):
            self._say("written, and no answer comes")
            _quietly(effect)()
            self._stall(seconds)
        effect()
        if isinstance(process, Actor) and fate.strikes("crash after a write"):
            process.die("after a write")
        process.step("")
        return None

    def _refuse(self, uri: str) -> None:
        """Raises what is answered while there is an outage."""
        outage = self._world.outage
        if outage is None or not (outage.everywhere or uri in self._world.numbers):
            return
        self._world.fate.note("outage")
        if outage.forbidden and uri in self._world.numbers:
            raise PermissionError(uri)
        raise StoreFault(503)

    def _stall(self, seconds: float | None) -> None:
        self._say("stalls")
        most = 30.0 if seconds is None else seconds
        self._world.scheduler.sleep(self._world.fate.dice.choice((most, min(5.0, most))))
        raise TimeoutError("the store did not answer")

    def _say(self, text: str) -> None:
        self._world.scheduler.say(f"    {text}")


def _quietly(effect: Callable[[], None]) -> Callable[[], None]:
    """`effect`, of whose answer nobody hears."""

    def silent() -> None:
        with suppress(OSError):
            effect()

    return silent
