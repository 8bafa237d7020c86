"""Places where a test may have this program fail, armed by an environment variable.

    BUCKETSIGHT_FAILPOINTS="created=kill@plan.json"          the plan is frozen: SIGKILL to oneself
    BUCKETSIGHT_FAILPOINTS="look=kill@0042.png"              at one image, in every process
    BUCKETSIGHT_FAILPOINTS="created=hang@part-!/tmp/once"    in the first process that gets there

Each is `point=action@subject!marker`, several are parted by commas. `@subject` is a piece of the
name of what is written or looked at; without it any will do. `!marker` is a file that is created
exclusively, with the process's id in it, and a marker that is there disarms its failpoint.
"""

import os
import re
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

from schemas.outcome import UsageError

VARIABLE = "BUCKETSIGHT_FAILPOINTS"

POINTS = {
    "create": "a file is about to be created in OUTPUT",
    "scratched": "on a disk: its content is durable, under a scratch name",
    "linked": "on a disk: it has its name, which is not durable yet",
    "created": "it is created, and nobody was told",
    "erase": "a file of OUTPUT is about to lose rows",
    "erased": "it has lost them, and nobody was told",
    "decode": "an image is read and about to be decoded",
    "look": "an image's batch is about to be shown to the model",
}
"""The subject of the first six is the file's name in OUTPUT, of the others the item's id."""

_ARMED = re.compile(r"(?P<point>\w+)=(?P<action>\w+)(@(?P<subject>[^!]*))?(!(?P<marker>.+))?")


def failpoint(point: str, subject: str) -> None:
    """Fail here if the environment says so.

    Raises UsageError where the variable is malformed.
    """
    if armed := os.environ.get(VARIABLE):
        for one in _parse(armed):
            one.reached(point, subject)


def _kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives SIGKILL")


def _hang() -> None:
    threading.Event().wait()


_ACTIONS = {"kill": _kill, "hang": _hang}


@dataclass(frozen=True, slots=True)
class _Failpoint:
    point: str
    action: str
    subject: str
    marker: str

    def reached(self, point: str, subject: str) -> None:
        if point == self.point and self.subject in subject and self._fires():
            _ACTIONS[self.action]()

    def _fires(self) -> bool:
        if not self.marker:
            return True
        with suppress(FileExistsError), open(self.marker, "x") as file:
            file.write(str(os.getpid()))
            return True
        return False


@cache
def _parse(text: str) -> tuple[_Failpoint, ...]:
    return tuple(map(_parse_one, text.split(",")))


def _parse_one(text: str) -> _Failpoint:
    match = _ARMED.fullmatch(text)
    if match is None or match["point"] not in POINTS or match["action"] not in _ACTIONS:
        raise UsageError(
            f"{VARIABLE}: {text!r} is not point=action@subject!marker with one of the points "
            f"{', '.join(POINTS)} and one of the actions {', '.join(_ACTIONS)}"
        )
    return _Failpoint(
        match["point"], match["action"], match["subject"] or "", match["marker"] or ""
    )
