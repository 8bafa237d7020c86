"""A page of the plan."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest

from schemas.image import ImageRef, Shard
from schemas.outcome import ErrorCode, Failure
from tests.runs import refs
from workers.plan import pages
from workers.plan.cut import Cut
from workers.plan.pages import cut_pages, decode_page, encode_page, items_table

STRANGE = [
    *refs(3, "s3://bucket/dé #%\n🍎"),
    ImageRef("a", "a", "", None, sidecar=""),
    ImageRef("a.png", "a.png", "etag:1", 3, sidecar="etag:2"),
    ImageRef("a.tar#1.png", "a.tar", "etag:1", 7, offset=512, columns='{"text":"é 🍎"}'),
    ImageRef("b.parquet#0", "b.parquet", "etag:2", None, row=0, columns='{"a":null}'),
    ImageRef("c.csv#9", "", "", None, failure=Failure(ErrorCode.BAD_REFERENCE, "names no image")),
]


def written(images: list[ImageRef], cut: Cut, batch: int = 3) -> list[list[Shard]]:
    """The shards of each page that `images` make."""

    def batches() -> Iterator[pa.Table]:
        for first in range(0, len(images), batch):
            yield items_table(images[first : first + batch])

    found = []
    for table in cut_pages(batches(), cut):
        page, data = encode_page("page", table)
        shards = list(decode_page(data))
        assert (page.first_shard, page.shards) == (shards[0].index, len(shards))
        assert page.items == sum(map(len, shards)) == table.num_rows
        found.append(shards)
    return found


def test_pages_give_back_what_they_were_given() -> None:
    """Items survive a page: weird ids, what is unknown, columns and failures included."""
    (shards,) = written(STRANGE, Cut(2, 2))
    assert [image for shard in shards for image in shard.images] == STRANGE
    assert [len(shard) for shard in shards] == [2, 2, 2, 2]


def test_a_page_of_before_is_read() -> None:
    """One that knows nothing of texts beside images gives its images: nobody looked for any."""
    (table,) = cut_pages([items_table(STRANGE)], Cut(2, 2))
    _, data = encode_page("page", table.drop_columns("sidecar"))
    before = [replace(image, sidecar=None) for image in STRANGE]
    assert [image for shard in decode_page(data) for image in shard.images] == before
    assert pages.pick(data, len(before)) == before


def test_skipped_shards_of_a_page_are_left_out() -> None:
    """Only what is owed becomes images again."""
    (table,) = cut_pages([items_table(refs(10))], Cut(2, 2))
    _, data = encode_page("page", table)
    assert [shard.index for shard in decode_page(data, skip={0, 3})] == [1, 2, 4]
    assert [shard.images for shard in decode_page(data, skip={0, 1, 2, 3})] == [tuple(refs(10)[8:])]


@pytest.mark.parametrize("batch", [1, 3, 47, 100])
@pytest.mark.parametrize("cut", [Cut(1, 4), Cut(3, 3), Cut(1, 1), Cut(20, 80)])
def test_pages_hold_whole_shards(monkeypatch: pytest.MonkeyPatch, cut: Cut, batch: int) -> None:
    """Every shard lies in one page, pages keep the order, and end with the shard that fills them,
    however the rows arrive.
    """
    monkeypatch.setattr(pages, "PAGE_IMAGES", 10)
    found = written(refs(47), cut, batch)
    shards = [shard for page in found for shard in page]
    assert [image for shard in shards for image in shard.images] == refs(47)
    assert [shard.index for shard in shards] == list(range(cut.shards_for(47)))
    for page in found[:-1]:
        assert sum(map(len, page)) >= 10 > sum(map(len, page[:-1]))


def test_long_columns_make_short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page ends early, with a whole shard, where its items have a lot to say."""
    monkeypatch.setattr(pages, "PAGE_BYTES", 50_000)
    said = '{"text":"' + "x" * 10_000 + '"}'
    images = [ImageRef(ref.item_id, ref.uri, "", 1, columns=said) for ref in refs(40)]
    found = written(images, Cut(1, 4), batch=1)
    shards = [shard for page in found for shard in page]
    assert [image for shard in shards for image in shard.images] == images
    assert [(shard.index, len(shard)) for shard in shards] == list(enumerate([1] * 4 + [4] * 9))
    assert all(sum(map(len, page)) <= 8 for page in found)
    assert len(found) > 4
