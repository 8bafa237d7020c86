"""Several writers try one new name, before a store is trusted with a run."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

from schemas.outcome import StoreError, UsageError
from schemas.run import RUNS
from schemas.uri import join
from workers.sink.create import Answer, create
from workers.store import client_errors, client_errors_as_ours, fetch, filesystem

WRITERS = 3
ROUNDS = 2


def probe(output: str) -> None:
    """Raises UsageError where `output` cannot be written, or lets two writers create one name."""
    with ThreadPoolExecutor(WRITERS) as writers:
        for _ in range(ROUNDS):
            name = f"{RUNS}/.probe-{uuid4().hex}"
            contents = [f"writer {writer}".encode() for writer in range(WRITERS)]
            answers = list(
                writers.map(lambda data, name=name: create(output, name, data), contents)
            )
            contents.append(b"late")
            answers.append(create(output, name, b"late"))
            place = join(output, name)
            try:
                with client_errors_as_ours(place):
                    found = fetch(place)
            except FileNotFoundError as error:
                raise StoreError(f"{output} does not give back what it took: {error}") from error
            _judge(output, answers, contents, found)
            with suppress(*client_errors()):  # a leftover harms nobody
                filesystem(output).rm_file(place)


def _judge(output: str, answers: list[Answer], contents: list[bytes], found: bytes) -> None:
    """At most one writer was told that it created, none after the others, and that one is read."""
    told = [
        data for data, answer in zip(contents, answers, strict=True) if answer is Answer.CREATED
    ]
    if len(told) > 1 or b"late" in told or found not in (told or contents):
        raise UsageError(
            f"{output}: this store lets several writers create one name, so that rows could be "
            "lost; write to a disk, S3, GCS or Azure"
        )
