"""A WebDataset tar → its images, each with the texts of its sample."""

import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from schemas.image import InputFormat
from schemas.outcome import ErrorCode, ReadError
from tests.runs import png, put
from tests.source.listings import listed, reader, tar_of
from workers.source import containers, page, webdataset

TAR = InputFormat.WEBDATASET


def test_a_member_is_an_image_and_its_neighbours_are_columns(store: str) -> None:
    """Members of one name up to the first dot are a sample; each of its images has its texts."""
    members = {
        "0001.jpg": png("red"),
        "0001.txt": "ein Äpfel".encode(),
        "0001.json": b'{"a": 1}',
        "0002.left.png": png("blue"),
        "0002.right.png": png("green"),
        "0002.TXT": b"two",
        "0003.png": png("white"),
        "deep.er/0003.txt": b"another sample",
        "deep.er/0003.webp": png("black"),
    }
    put(store, "a.tar", tar_of(members))
    images, skipped = listed(f"{store}/a.tar", TAR)
    names = [name for name in sorted(members) if name.endswith(("jpg", "png", "webp"))]
    assert [image.item_id for image in images] == [f"{store}/a.tar#{name}" for name in names]
    assert {image.uri for image in images} == {f"{store}/a.tar"}
    assert [json.loads(image.columns or "{}") for image in images] == [
        {"txt": "ein Äpfel", "json": '{"a": 1}'},
        {"txt": "two"},
        {"txt": "two"},
        {},
        {"txt": "another sample"},
    ]
    assert skipped == {"container": 1, "sidecar": 4}
    assert [reader().read(image) for image in images] == [members[name] for name in names]


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_names(tmp_path: Path, format: int) -> None:
    """Names that fit no plain header come by GNU's and by pax's ways."""
    members = {f"{'long/' * 60}{name}.png": png() for name in ("a b#%", "画像 🍎", "x" * 150)}
    put(str(tmp_path), "a.tar", tar_of(members, format=format))
    images, _ = listed(f"{tmp_path}/a.tar", TAR)
    assert {image.item_id.partition("#")[2] for image in images} == set(members)
    assert [reader().read(image) for image in images] == [png()] * 3


def test_a_tar_by_the_command_tar_is_read(tmp_path: Path) -> None:
    """What `tar` makes of a folder gives its images; folders and links are counted."""
    folder = tmp_path / "in"
    for name in ("a.png", "sub/b.png", "sub/b.txt", "sub/._b.png", ".git/c.png"):
        put(str(folder), name, png() if name.endswith("png") else b"text")
    (folder / "hard.png").hardlink_to(folder / "a.png")
    (folder / "soft.png").symlink_to("a.png")
    with (folder / "holes.png").open("wb") as file:
        file.truncate(1 << 20)
    command = ["tar", "--sparse", "--sort=name", "-cf", str(tmp_path / "a.tar"), "."]
    subprocess.run(command, cwd=folder, check=True)
    images, skipped = listed(str(tmp_path / "a.tar"), TAR)
    assert [image.item_id.partition("#")[2] for image in images] == ["./a.png", "./sub/b.png"]
    assert json.loads(images[1].columns) == {"txt": "text"}
    assert [reader().read(image) for image in images] == [png(), png()]
    assert skipped == {
        "container": 1,
        "sidecar": 1,
        "hidden": 2,
        "directory_placeholder": 3,
        "not_a_file": 3,
    }


def test_what_is_no_image_is_counted_by_rule(tmp_path: Path) -> None:
    """Every member is an item or is counted under one rule."""
    longest = webdataset.LONGEST_SIDECAR
    members = {
        "a.png": png(),
        "a.cls": b"7",
        "a.caption.txt": b"no sidecar",
        "a.txt": b"x" * (longest + 1),
        "a.json": b"x" * longest,
        ".b.png": png(),
        "__MACOSX/._a.png": png(),
        "latin-\udce9.png": png(),
    }
    put(str(tmp_path), "a.tar", tar_of(members))
    images, skipped = listed(f"{tmp_path}/a.tar", TAR)
    assert len(images) == 1
    assert json.loads(images[0].columns) == {"json": "x" * longest}
    assert skipped == {
        "container": 1,
        "sidecar": 1,
        "sidecar_too_long": 1,
        "extension": 2,
        "hidden": 2,
        "name_not_utf8": 1,
    }
    assert len(images) + skipped.total() == len(members) + 1


def test_of_two_members_of_one_name_the_last_comes_last(tmp_path: Path) -> None:
    """A tar that was appended to tells of a name twice, and of the newest bytes last."""
    put(str(tmp_path), "a.tar", tar_of({"a.png": png("red")}))
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        header = tarfile.TarInfo("a.png")
        header.size = len(png("blue"))
        tar.addfile(header, io.BytesIO(png("blue")))
    images, _ = listed(str(tmp_path / "a.tar"), TAR)
    assert [image.item_id[-6:] for image in images] == ["#a.png"] * 2
    assert reader().read(images[1]) == png("blue")


def test_an_empty_member_is_read_as_empty(store: str) -> None:
    """No bytes are read of a member that has none; what follows it is read."""
    put(store, "a.tar", tar_of({"a.png": b"", "b.png": png()}))
    images, _ = listed(f"{store}/a.tar", TAR)
    assert [reader().read(image) for image in images] == [b"", png()]


def test_an_empty_tar_holds_nothing(tmp_path: Path) -> None:
    """A tar without members is no item."""
    put(str(tmp_path), "a.tar", tar_of({}))
    assert listed(f"{tmp_path}/a.tar", TAR) == ([], {"container": 1})


WHOLE = {f"{number:02d}.png": png() for number in range(10)}
MEMBER = 512 + 512
"""Bytes of one of WHOLE: its header, and a small PNG's padded block."""


def cut_in_a_member(data: bytes) -> bytes:
    return data[: 5 * MEMBER + 512 + 10]


def cut_in_a_header(data: bytes) -> bytes:
    return data[: 5 * MEMBER + 100]


def hole(data: bytes) -> bytes:
    return data[: 5 * MEMBER] + bytes(MEMBER) + data[6 * MEMBER :]


def noise(data: bytes) -> bytes:
    return data[: 5 * MEMBER] + b"x" * MEMBER + data[6 * MEMBER :]


def two_in_one(data: bytes) -> bytes:
    return tar_of(dict(list(WHOLE.items())[:5])) + data


@pytest.mark.parametrize("damage", [cut_in_a_member, cut_in_a_header, hole, noise, two_in_one])
def test_a_tar_that_breaks_in_the_middle_is_one_item_more(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """What lies before the damage are items; the tar itself is one that has failed, and the other
    tars are whole.
    """
    put(str(tmp_path), "in/a.tar", damage(tar_of(WHOLE)))
    put(str(tmp_path), "in/b.tar", tar_of(WHOLE))
    images, skipped = listed(f"{tmp_path}/in", TAR)
    broken = [image for image in images if image.failure is not None]
    assert len(images) == 5 + 1 + 10
    assert [image.item_id for image in broken] == [f"{tmp_path}/in/a.tar#broken"]
    assert broken[0].failure is not None
    assert broken[0].failure.error_code is ErrorCode.BROKEN_CONTAINER
    assert f"{tmp_path}/in/a.tar is broken" in broken[0].failure.error_message
    assert skipped == {"container": 1}


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("zero.tar", b"", "empty"),
        ("text.tar", b"this is a text" * 100, "byte 0"),
        ("renamed.tar", b"\x1f\x8b" + bytes(2000), "compressed"),
        ("packed.tar.gz", b"\x1f\x8b" + bytes(2000), "compressed"),
    ],
)
def test_what_is_no_tar_is_a_failed_item(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    """A file that cannot be opened as a tar is an item that says why."""
    put(str(tmp_path), f"in/{name}", data)
    (image,), skipped = listed(f"{tmp_path}/in", TAR)
    assert image.item_id == f"{tmp_path}/in/{name}#broken"
    assert image.failure is not None
    assert why in image.failure.error_message
    assert not skipped


def test_a_tar_that_changed_since_the_plan_is_not_read(store: str) -> None:
    """Offsets hold for one version of a tar only."""
    put(store, "a.tar", tar_of({"a.png": png("red")}))
    (image,), _ = listed(f"{store}/a.tar", TAR)
    put(store, "a.tar", tar_of({"0.png": png("blue"), "a.png": png("green")}))
    with pytest.raises(ReadError) as caught:
        reader().read(image)
    assert caught.value.code is ErrorCode.CHANGED_SINCE_PLAN


def test_a_tar_that_went_since_the_plan_is_not_found(store: str) -> None:
    """All of its items are `not_found`."""
    put(store, "a.tar", tar_of({"a.png": png()}))
    (image,), _ = listed(f"{store}/a.tar", TAR)
    filesystem, path = fsspec.url_to_fs(image.uri)
    filesystem.rm_file(path)
    with pytest.raises(ReadError) as caught:
        reader().read(image)
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_a_store_without_versions_may_give_too_little(tmp_path: Path) -> None:
    """A tar that became shorter is changed, though no version tells so."""
    put(str(tmp_path), "a.tar", tar_of({"a.png": png()}))
    (image,), _ = listed(str(tmp_path / "a.tar"), TAR)
    put(str(tmp_path), "a.tar", b"short")
    with pytest.raises(ReadError) as caught:
        reader().read(replace(image, input_digest=""))
    assert caught.value.code is ErrorCode.CHANGED_SINCE_PLAN


def test_a_member_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """No reader asks for more bytes than an image may have."""
    put(str(tmp_path), "a.tar", tar_of({"a.png": png()}))
    (image,), _ = listed(str(tmp_path / "a.tar"), TAR)
    with pytest.raises(ReadError) as caught:
        reader().read(replace(image, size_bytes=(1 << 29) + 1))
    assert caught.value.code is ErrorCode.TOO_MANY_BYTES


def test_large_members_are_hopped_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To list a tar of large members costs a block for each, not all of their bytes."""
    monkeypatch.setattr(containers, "BLOCK", 4096)
    asked: list[int] = []
    real = containers.bytes_of

    def count(*arguments: object) -> bytes:
        data: bytes = real(*arguments)  # type: ignore[arg-type]
        asked.append(len(data))
        return data

    monkeypatch.setattr(containers, "bytes_of", count)
    put(str(tmp_path), "a.tar", tar_of({f"{n}.png": bytes(1 << 20) for n in range(20)}))
    images, _ = listed(str(tmp_path / "a.tar"), TAR)
    assert len(images) == 20
    assert sum(asked) < 200_000


def test_a_sample_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names whose first dot comes early make one endless sample: it is given page by page, with
    the texts that came so far.
    """
    monkeypatch.setattr(webdataset, "PAGE_IMAGES", 4)
    monkeypatch.setattr(page, "PAGE_IMAGES", 4)
    members = {"img.txt": b"early"} | {f"img.{n:02d}.png": png() for n in range(10)}
    put(str(tmp_path), "a.tar", tar_of(members | {"img.json": b"late"}))
    images, _ = listed(str(tmp_path / "a.tar"), TAR)
    early, late = {"txt": "early"}, {"txt": "early", "json": "late"}
    assert [json.loads(image.columns) for image in images] == [early] * 8 + [late] * 2
