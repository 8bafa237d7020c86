"""INPUT → items, each object listed once: planned, or counted under a rule."""

import os
import socket
from pathlib import Path

import pytest
import s3fs

from schemas.outcome import StoreError, UsageError
from tests.runs import job_spec, png, put
from tests.source.listings import listed
from workers.source import check_input, list_images
from workers.source.kinds import sidecar_of
from workers.store import base, entry_at

WEIRD = [
    "a b.png",
    "50%.png",
    "100%25.png",
    "#1.png",
    "naïve – 画像 🍎.png",
    "new\nline.png",
    "q?x=1&y.png",
    "plus+and=.png",
    "quote'\".png",
    "colon::colon.png",
    "[brackets].png",
    "UPPER.PNG",
    "two..dots.jpeg",
]


def names(input: str, root: str = "") -> list[str]:
    images, _ = listed(input)
    return [image.uri.removeprefix((root or input).rstrip("/") + "/") for image in images]


def test_weird_names_are_items_under_their_own_names(store: str) -> None:
    """Spaces, #, %, ?, newlines, brackets and other alphabets need no escaping, at any depth."""
    for name in WEIRD:
        put(store, f"photos/{name}", png())
        put(store, f"photos/dé ep/#{name}", png())
    expected = sorted([*WEIRD, *(f"dé ep/#{name}" for name in WEIRD)])
    assert names(f"{store}/photos") == expected
    images, skipped = listed(f"{store}/photos/")
    assert not skipped
    assert all(image.item_id == image.uri for image in images)
    assert all(image.size_bytes == len(png()) and image.input_digest for image in images)


@pytest.mark.parametrize("name", ["[brackets].png", "a b#%.png", "noextension", "notes.txt"])
def test_a_single_file_is_an_item_whatever_its_name(store: str, name: str) -> None:
    """A file named itself is taken, wildcard characters and extension notwithstanding."""
    put(store, name, png())
    put(store, name + ".png", png())
    images, skipped = listed(f"{store}/{name}")
    assert [image.uri for image in images] == [f"{store}/{name}"]
    assert not skipped


def test_what_is_no_item_is_counted_by_rule(store: str) -> None:
    """Each object that is not planned is counted under exactly one rule."""
    for name in ("a.png", "sub/b.JPG", "empty.gif"):
        put(store, f"in/{name}", b"" if name.startswith("empty") else png())
    for name in ("notes.txt", "noextension", ".hidden.png", ".git/x.png", "sub/._b.jpg"):
        put(store, f"in/{name}", b"x")
    put(store, "in/out/labels/c.png", png())
    put(store, "in/outside.png", png())
    images, skipped = listed(f"{store}/in", output=f"{store}/in/out/")
    found = [image.uri.rpartition("/in/")[2] for image in images]
    assert found == ["a.png", "empty.gif", "outside.png", "sub/b.JPG"]
    assert skipped == {"extension": 2, "hidden": 3, "under_output": 1}


def test_directory_placeholders_are_counted(bucket: str) -> None:
    """Objects that stand for folders are no items."""
    for name, data in [("in/", b""), ("in/sub/", b""), ("in/x_$folder$", b""), ("in/a.png", png())]:
        s3fs.S3FileSystem().call_s3("put_object", Bucket=bucket[5:], Key=name, Body=data)
    images, skipped = listed(f"{bucket}/in")
    assert [image.uri for image in images] == [f"{bucket}/in/a.png"]
    assert skipped == {"directory_placeholder": 3}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png", "b.png"]),
        ("?.png", ["a.png", "b.png"]),
        ("[!a].png", ["b.png"]),
        ("**", ["2023/d.png", "2024/c.jpg", "2024/deep/e.png", "a.png", "b.png", "noextension"]),
        ("**/*.png", ["2023/d.png", "2024/deep/e.png", "a.png", "b.png"]),
        ("202?/*", ["2023/d.png", "2024/c.jpg"]),
        ("2024/**", ["2024/c.jpg", "2024/deep/e.png"]),
        ("*.dat", ["x.dat"]),
        ("no*", ["noextension"]),
        ("nothing*", []),
    ],
)
def test_globs(store: str, pattern: str, expected: list[str]) -> None:
    """A glob takes what it matches: images, names without extension, the extension it ends with."""
    every = ["a.png", "b.png", "2023/d.png", "2024/c.jpg", "2024/deep/e.png", "noextension"]
    for name in [*every, "x.dat", "2024/notes.txt"]:
        put(store, f"in/{name}", png())
    assert names(f"{store}/in/{pattern}", root=f"{store}/in") == expected


@pytest.mark.parametrize(
    ("input", "images"),
    [
        ("in", ["a.1.jpg", "a.jpg", "b/a.png"]),
        ("in/*.jpg", ["a.1.jpg", "a.jpg"]),
        ("in/a.1.j*", ["a.1.jpg"]),  # the text does not begin as all that it matches does
        ("in/a.jpg", ["a.jpg"]),
    ],
)
def test_texts_beside_images_are_told(store: str, input: str, images: list[str]) -> None:
    """Where a job reads them the listing tells all that there are, whatever INPUT leaves out, and
    counts them under their own rule; others hear nothing of them.
    """
    for name in ("a.1.jpg", "a.jpg", "b/a.png", "a.TXT"):
        put(store, f"in/{name}", png())
    texts = ("a.1.txt", "a.txt", "b/a.txt")
    for name in (*texts, ".a.txt", "out/a.txt"):
        put(store, f"in/{name}", b"x" * len(name))
    pages = list(list_images(job_spec(f"{store}/{input}", f"{store}/in/out", text="sidecar")))
    assert sorted(one.uri for page in pages for one in page.images) == [
        f"{store}/in/{name}" for name in images
    ]
    told = {entry.uri: entry for page in pages for entry in page.sidecars}
    assert {sidecar_of(f"{store}/in/{name}") for name in images} <= told.keys()
    assert told.keys() <= {f"{store}/in/{name}" for name in texts}
    assert all(entry == entry_at(uri) for uri, entry in told.items())
    assert sum(page.skipped["sidecar"] for page in pages) == len(told)
    assert not any(page.sidecars for page in list_images(job_spec(f"{store}/{input}")))


@pytest.mark.parametrize("pattern", ["in/a**b", "in/**x/*.png"])
def test_a_glob_that_is_none_is_bad_usage(store: str, pattern: str) -> None:
    """`**` stands for whole folders only."""
    put(store, "in/a.png", png())
    with pytest.raises(UsageError, match=r"\*\*"):
        listed(f"{store}/{pattern}")


def test_a_listing_of_several_pages_is_whole(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every object comes once, however many pages the store gives."""
    monkeypatch.setattr(base, "PAGE", 7)
    for number in range(30):
        put(store, f"in/{number % 4}/{number:02d}.png", png())
    pages = list(list_images(job_spec(f"{store}/in")))
    assert len(pages) >= 4
    assert len(listed(f"{store}/in")[0]) == 30
    assert len({image.item_id for image in listed(f"{store}/in")[0]}) == 30


def test_the_digest_changes_with_the_object(store: str) -> None:
    """Another content under the same name is another version."""
    put(store, "a.png", png("red"))
    before = listed(f"{store}/a.png")[0][0]
    put(store, "a.png", png("blue") + b"x")
    after = listed(f"{store}/a.png")[0][0]
    assert before.item_id == after.item_id
    assert before.input_digest != after.input_digest


def test_any_store_that_fsspec_knows_is_listed() -> None:
    """A store without a lister of its own is walked folder by folder."""
    for name in ("a.png", "sub/b c#.png", "sub/notes.txt"):
        put("memory://listing", name, png())
    images, skipped = listed("memory://listing")
    root = "memory://listing"
    assert [image.uri for image in images] == [f"{root}/a.png", f"{root}/sub/b c#.png"]
    assert skipped == {"extension": 1}
    assert names("memory://listing/sub/*.png") != []


def test_links_sockets_and_names_of_other_encodings(tmp_path: Path) -> None:
    """On a disk links to files are items; other links, circular ones too, and sockets are counted,
    and so are names that are not UTF-8, which no Parquet file can hold.
    """
    folder = tmp_path / "in"
    put(str(folder), "real/a.png", png())
    put(str(folder), "back\\slash.png", png())
    (folder / "link.png").symlink_to(folder / "real" / "a.png")
    (folder / "again.png").symlink_to(folder / "real")
    (folder / "dangling.png").symlink_to(folder / "nothing")
    (folder / "itself.png").symlink_to(folder / "itself.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/latin-\xe9.png")).write_bytes(png())
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.png"))
        images, skipped = listed(str(folder))
    found = [image.uri.removeprefix(f"{folder}/") for image in images]
    assert found == ["back\\slash.png", "link.png", "real/a.png"]
    assert skipped == {"not_a_file": 4, "name_not_utf8": 1}


def test_nothing_to_label_is_said_in_a_sentence(store: str) -> None:
    """An INPUT without images tells how many files were skipped and why."""
    put(store, "in/notes.txt", b"x")
    put(store, "in/.DS_Store", b"x")
    with pytest.raises(UsageError, match=r"holds no image.*1 by rule 'extension'.*'hidden'"):
        check_input(job_spec(f"{store}/in"))
    put(store, "in/a.png", png())
    check_input(job_spec(f"{store}/in"))


def test_a_missing_place_is_said_in_a_sentence(store: str, tmp_path: Path) -> None:
    """No such bucket, no such folder, nothing that a glob matches, an empty folder."""
    (tmp_path / "empty").mkdir()
    for missing in (f"{store}/nothing", f"{store}/nothing/*.png", str(tmp_path / "empty")):
        with pytest.raises(UsageError, match=r"no such|holds no"):
            check_input(job_spec(missing))


@pytest.mark.parametrize("input", ["s3://no-such-bucket", "s3://no-such-bucket/x/*.png"])
def test_a_missing_bucket_is_said_in_a_sentence(bucket: str, input: str) -> None:
    """A bucket that does not exist is bad usage."""
    with pytest.raises(UsageError, match="no such bucket"):
        check_input(job_spec(input))


def test_wrong_and_missing_keys_are_bad_usage(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A store that refuses the credentials, or is shown none, is said so."""
    put(bucket, "a.png", png())
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(UsageError, match="credentials are refused"):
        listed(bucket)
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match="credentials"):
        listed(bucket)


def test_a_store_that_is_away_is_no_bad_usage(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer asks to come again: exit 75."""

    def refuse(*arguments: object, **options: object) -> None:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr("workers.store.s3.S3Store.pages", refuse)
    with pytest.raises(StoreError, match="cannot be listed now"):
        listed(bucket)


def test_a_folder_without_permission_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may not be read is not passed over in silence."""
    put(str(tmp_path), "in/closed/a.png", png())
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match="closed"):
        listed(f"{tmp_path}/in")
