"""INPUTs listed whole, and containers written for it."""

import io
import tarfile
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.image import ImageRef, InputFormat
from tests.clock import patience
from tests.runs import job_spec
from workers.source import Reader, list_images


def listed(
    input: str,
    kind: InputFormat = InputFormat.IMAGES,
    output: str = "/nowhere",
    **changes: Any,
) -> tuple[list[ImageRef], Counter[str]]:
    """All pages as one, the items by their ids."""
    images: list[ImageRef] = []
    skipped: Counter[str] = Counter()
    job = job_spec(input, output, input_format=kind, **changes)
    for page in list_images(job, patience()):
        images += page.images
        skipped += page.skipped
    return sorted(images, key=lambda image: image.item_id), skipped


def reader(**changes: Any) -> Reader:
    """A reader whose patience costs no time."""
    return Reader(job_spec(**changes), patience())


def tar_of(members: dict[str, bytes], **options: Any) -> bytes:
    """A tar of plain files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


def parquet_of(columns: dict[str, Any], **options: Any) -> bytes:
    """A Parquet file of these columns."""
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), buffer, **options)
    return bytes(buffer.getvalue())
