"""The bundled demo pictures: how they are written, and what is said of them."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from schemas.outcome import NotAnImageError, TruncatedError, UsageError
from workers.images import decode
from workers.training.corpus.demo import write_demo
from workers.training.corpus.photos import CLASSES

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CONCEPTS = [f"thing {letter}" for letter in "abcdefgh"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of eight concepts: one clip art to train on, one held out, and photos."""
    folder = tmp_path_factory.mktemp("corpus")
    dice = np.random.default_rng(0)
    rows = [
        {
            "index": index,
            "package": "openclipart-svg",
            "path": f"things/{index}",
            "kind": "clipart" if index % 4 else "furniture",
            "concept": CONCEPTS[index % 8],
            "split": "train" if index < 8 else "held_out",
            "author": None,
            "licence": "public domain",
        }
        for index in range(16)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "drawings.parquet")
    np.save(folder / "drawings.npy", dice.integers(0, 255, (16, 40, 40, 4), dtype=np.uint8))
    photos = [{"index": i, "name": CLASSES[i % 10], "split": "test"} for i in range(20)]
    pq.write_table(pa.Table.from_pylist(photos), folder / "photos.parquet")
    np.save(folder / "photos.npy", dice.integers(0, 255, (20, 32, 32, 3), dtype=np.uint8))
    images = folder / "yardstick" / "fxemoji" / "images"
    images.mkdir(parents=True)
    for concept in CONCEPTS[:4]:
        Image.new("RGB", (40, 60), "red").save(images / f"{concept[-1]}.png")
    lines = [{"names": [c], "image": f"{c[-1]}.png"} for c in CONCEPTS[:4]]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (images.parent / "annotations.jsonl").write_text(text)
    return folder


def test_the_demo_is_a_function_of_the_corpus(corpus: Path, tmp_path: Path) -> None:
    """Written twice, the demo has the same files with the same bytes."""
    write_demo(corpus, tmp_path / "one" / "images")
    write_demo(corpus, tmp_path / "two" / "images")
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / half).rglob("*.*")}
        for half in ("one", "two")
    )
    assert one == two


def test_file_names_say_nothing(corpus: Path, tmp_path: Path) -> None:
    """Pictures are numbered, come in four formats, and no concept is shown twice by drawings."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "img_999.png").write_bytes(b"of an earlier run")
    count = write_demo(corpus, tmp_path / "images")
    files = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert len(files) == count == 4 + 10 + 3 + 1 + 2
    assert all(re.fullmatch(r"img_\d{3}\.\w+|not-an-image\.jpg", name) for name in files)
    assert {name.rsplit(".")[-1] for name in files} == {"png", "jpg", "webp", "gif"}
    table = (tmp_path / "ATTRIBUTIONS.md").read_text()
    assert all(table.count(f"| {concept} |") <= 2 for concept in CONCEPTS)


def test_the_picture_on_its_side_stands_up_when_decoded(corpus: Path, tmp_path: Path) -> None:
    """Number six is stored turned, with the tag that says so."""
    write_demo(corpus, tmp_path / "images")
    path = tmp_path / "images" / "img_006.jpg"
    with Image.open(path) as stored:
        assert stored.getexif()[0x0112] == 6
        upright = decode(path.read_bytes())
        assert np.asarray(upright).shape[:2] == stored.size
        turned = np.rot90(np.asarray(stored.convert("RGB")), -1)
    assert (np.asarray(upright) == turned).all()


def test_the_bundled_demo_is_attributed_and_small() -> None:
    """Each bundled file has one line with a licence; together they stay under 1.5 MB."""
    lines = (EXAMPLES / "ATTRIBUTIONS.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if re.match(r"\| \S+\.\w+ ", line)]
    files = {path.name: path.stat().st_size for path in (EXAMPLES / "images").iterdir()}
    assert sorted(row[0].split(" ")[0] for row in rows) == sorted(files)
    assert all(len(row) == 5 and row[4] for row in rows)
    assert 30 <= len(files) <= 60
    assert sum(files.values()) < 1_500_000


@pytest.mark.parametrize("folder", ["examples", "workers/training/corpus"])
def test_a_licence_that_is_named_can_be_read(folder: str) -> None:
    """Every licence in a list of attributions has the address of its text below the table."""
    text = (EXAMPLES.parent / folder / "ATTRIBUTIONS.md").read_text()
    table = "".join(line for line in text.splitlines(keepends=True) if line.startswith("| "))
    named = set(re.findall(r"\bMIT\b|\bISC\b|\b(?:CC-BY|CC0|Apache|Unicode)-\d\.\d(?:-US)?", table))
    assert len(named) > 3
    assert named <= set(re.findall(r"^\* (\S+): <https://\S+>$", text, re.MULTILINE))


def test_a_folder_with_other_files_stays_as_it_is(corpus: Path, tmp_path: Path) -> None:
    """A folder that holds anything but an earlier demo is refused, and nothing in it is deleted."""
    (tmp_path / "img_001.png").write_bytes(b"of an earlier demo")
    (tmp_path / "holiday.png").write_bytes(b"not ours")
    with pytest.raises(UsageError, match=r"holiday\.png is none of the demo's files"):
        write_demo(corpus, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_every_bundled_picture_is_whole_but_two() -> None:
    """One bundled file ends early and one is a text; all others decode."""
    failures = {}
    for path in (EXAMPLES / "images").iterdir():
        try:
            decode(path.read_bytes())
        except (TruncatedError, NotAnImageError) as error:
            failures[path.name] = type(error)
    assert failures == {"img_043.jpg": TruncatedError, "not-an-image.jpg": NotAnImageError}
