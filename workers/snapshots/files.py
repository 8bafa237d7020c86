"""Rows as the files of an export: objects of JSON, a line each; tars of images beside their labels.

What is written of the same rows is the same, byte for byte.
"""

import io
import json
import math
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

SHARD_SAMPLES = 1000
"""A tar is full with so many samples."""
SHARD_BYTES = 64 << 20
"""Or with so many bytes, of images above all."""
LINES_BYTES = 32 << 20
"""A file of lines is full with so many bytes."""


def json_of(row: Mapping[str, Any]) -> bytes:
    """The row as a JSON object; times in ISO 8601, what is no number null."""
    text = json.dumps(_plain(row), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, datetime) else value


def lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Files of one JSON object a line."""
    held = bytearray()
    for row in rows:
        held += json_of(row) + b"\n"
        if len(held) >= LINES_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def tars(samples: Iterable[Mapping[str, bytes]]) -> Iterator[bytes]:
    """Tars of samples, which are files by their extension; `000000007.png` is of the eighth."""
    buffer, tar, count = io.BytesIO(), None, 0
    for number, sample in enumerate(samples):
        tar = tar or tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        for extension, data in sample.items():
            member = tarfile.TarInfo(f"{number:09d}{extension}")  # of nobody, in 1970
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        count += 1
        if count >= SHARD_SAMPLES or buffer.tell() >= SHARD_BYTES:
            tar.close()
            yield buffer.getvalue()
            buffer, tar, count = io.BytesIO(), None, 0
    if tar:
        tar.close()
        yield buffer.getvalue()
