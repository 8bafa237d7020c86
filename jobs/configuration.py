"""The file that says what a night labels: TOML, a table for each collection.

    [[collection]]
    name = "shop"                            # how messages call it
    input = "s3://shop/photos"
    output = "s3://shop-labels"
    tasks = ["caption", "tags"]
    quant = "int8"                           # not auto
    ask = { colour = "Which colour is it?" }
    max_images = 100_000                     # a night; what is left is owed to the next one
    deadline = "6h"                          # likewise

Every flag of jobs/label_bucket.py is a key, with `_` in place of `-`.
"""

from __future__ import annotations

import argparse
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from jobs.arguments import (
    LabellingArguments,
    Parser,
    add_labelling_flags,
    labelling_arguments,
    positive,
)
from jobs.label_bucket import TOGETHER
from schemas.outcome import BucketsightError, UsageError
from workers.model.quantization import AUTO, QUANTIZATIONS

REQUIRED = {
    "name": "what messages call the collection",
    "input": "where the images are",
    "output": "where the labels go",
}
"""Keys that every table has, and what they say."""
NOT_AT_NIGHT = {"new_run"}
"""Flags of label_bucket.py that are no keys."""
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Collection:
    """What one table of the file says."""

    name: str
    arguments: LabellingArguments
    most_images: int | None
    """A night looks at so many."""
    seconds: float | None
    """A night takes no longer for it, draining aside."""


class _Flags(Parser):
    """Reads a table's keys as the flags that they are."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))


def read_configuration(place: str) -> list[Collection]:
    """The collections of the file `place`, every one of them checked, down to its checkpoint.

    Raises UsageError with one sentence that names the file, the collection and the key.
    """
    try:
        document = tomllib.loads(Path(place).read_text("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{place} is no whole TOML file: {error}") from error
    _require_known(place, document, {"collection"})
    tables = document.get("collection")
    if not isinstance(tables, list) or not tables:
        raise UsageError(f"{place} names no collection: each is a table [[collection]]")
    collections = [_collection(place, number, one) for number, one in enumerate(tables, 1)]
    _require_different(place, collections)
    return collections


def seconds_of(text: str) -> float:
    """`90m` in seconds, as a flag has it."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time, such as 90m or 6h")
    return float(found[1]) * _UNITS[found[2]]


def _in_keys(message: str) -> str:
    """`message`, which calls flags by their names, as the file calls them."""
    return re.sub(r"--([a-z][a-z-]+)", lambda flag: flag[1].replace("-", "_"), message)


def _collection(place: str, number: int, table: Any) -> Collection:
    if not isinstance(table, dict):
        raise UsageError(f"{place}: collection {number} is no table")
    name = table.get("name")
    plain = isinstance(name, str) and name.strip() and name.isprintable()
    called = f"{place}: collection {name if plain else number}"
    for key, says in REQUIRED.items():
        if key not in table:
            raise UsageError(f"{called}: {key} is missing: it says {says}")
        if not isinstance(table[key], str) or not table[key].strip():
            raise UsageError(f"{called}: {key} is a text that is not empty: it says {says}")
    if not plain:
        raise UsageError(f"{called}: name {name!a} has a sign that cannot be printed")
    try:
        return _read(called, table)
    except BucketsightError as error:
        if str(error).startswith(called):
            raise
        raise type(error)(f"{called}: {_in_keys(str(error))}") from error


def _read(called: str, table: Mapping[str, Any]) -> Collection:
    flags = _Flags(add_help=False)
    add_labelling_flags(flags, TOGETHER)
    flags.add_argument("--max-images", type=positive)
    flags.add_argument("--deadline", type=seconds_of)
    known = vars(flags.parse_args(["INPUT", "OUTPUT"])).keys() - NOT_AT_NIGHT
    _require_known(called, table, known | REQUIRED.keys())
    _require_precision(called, table.get("quant"))
    if "tasks" in table:
        _require_tasks(called, table["tasks"])
    words = [word for key, value in table.items() for word in _words(called, key, value)]
    given = flags.parse_args([*words, "--", table["input"], table["output"]])
    arguments = labelling_arguments(given, TOGETHER)
    request = replace(arguments.request, incremental=True)
    request.jobs(arguments.options.device)
    return Collection(
        table["name"], replace(arguments, request=request), given.max_images, given.deadline
    )


def _require_precision(called: str, quant: Any) -> None:
    """Raises UsageError where a night would not know how the weights are to be held."""
    one_of = f"one of {', '.join(QUANTIZATIONS)}"
    if quant is None or quant == AUTO:
        says = "quant is missing" if quant is None else "quant is auto"
        raise UsageError(
            f"{called}: {says}, which a night on another device would resolve otherwise, and label "
            f"everything anew: {one_of}"
        )
    if quant not in QUANTIZATIONS:
        raise UsageError(f"{called}: quant {quant!r} is none: {one_of}")


def _require_tasks(called: str, tasks: Any) -> None:
    """Raises UsageError where `tasks` is no list of some that there are."""
    of = f"a list of some of {', '.join(TOGETHER)}"
    if not isinstance(tasks, list) or not all(isinstance(one, str) for one in tasks):
        raise UsageError(f"{called}: tasks is {tasks!r}, and must be {of}")
    if not tasks:
        raise UsageError(f"{called}: tasks is empty: {of}; leave it out where ask is all")
    if wrong := [one for one in tasks if one not in TOGETHER]:
        near = difflib.get_close_matches(wrong[0], TOGETHER, 1)
        meant = f"did you mean {near[0]}?" if near else f"tasks is {of}"
        raise UsageError(f"{called}: tasks has {wrong[0]!r}, which is no task; {meant}")


def _words(called: str, key: str, value: Any) -> Iterator[str]:
    """The key as words of a command line."""
    if key in REQUIRED:
        return
    flag = f"--{key.replace('_', '-')}"
    match value:
        case bool():
            raise UsageError(f"{called}: {key} is neither a text nor a number")
        case str() | int() | float():
            yield f"{flag}={value}"
        case list() if key == "tasks":
            yield f"{flag}={','.join(value)}"
        case dict() if key == "ask" and all(isinstance(one, str) for one in value.values()):
            yield from (f"{flag}={column}={question}" for column, question in value.items())
        case _:
            kind = "a table of texts" if key == "ask" else "a text or a number"
            raise UsageError(f"{called}: {key} is {kind}")


def _require_known(called: str, table: Mapping[str, Any], known: set[str]) -> None:
    """Raises UsageError for a key that is none, with the nearest that is one."""
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f"did you mean {near[0]}?" if near else f"it knows {', '.join(sorted(known))}"
            raise UsageError(f"{called} has a key {key!r} that nobody knows; {meant}")


def _require_different(place: str, collections: list[Collection]) -> None:
    """Raises UsageError where two collections have one name, or do the same."""
    names: set[str] = set()
    jobs: dict[str, str] = {}
    for one in collections:
        if one.name in names:
            raise UsageError(f"{place} has two collections called {one.name}: rename one")
        names.add(one.name)
        for job in one.arguments.request.jobs(one.arguments.options.device).values():
            twin = jobs.setdefault(job.fingerprint(), one.name)
            if twin != one.name:
                raise UsageError(f"{place}: {twin} and {one.name} do the same: leave one out")
