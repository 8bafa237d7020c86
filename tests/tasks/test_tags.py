"""Tags and vocabularies."""

import math
from pathlib import Path

import pytest

from schemas.asks import Part, Ranked, Written
from schemas.outcome import UsageError
from workers.model.description import checkpoint_folder, describe
from workers.tasks import Item
from workers.tasks.tags import MOST_TAGS, Tags, read_vocabulary


def tags(reply: Written | Ranked, top: int = 10, threshold: float = 0.0) -> list[tuple[str, float]]:
    """What becomes of a reply."""
    task = Tags("<ImageHere>", 20, ("cat", "dog", "eel"), top, threshold)
    rows = task.columns(reply, Item())["tags"]
    return [(row["tag"], round(row["score"], 3)) for row in rows]


def written(*parts: tuple[str, float], whole: bool = True) -> Written:
    return Written("", tuple(Part(text, math.log(share)) for text, share in parts), whole)


def test_a_score_is_that_of_the_list_so_far() -> None:
    """Each tag's score is the probability of all that was written up to it: they never rise."""
    reply = written(("red apple", 0.9), ("apple", 1.0), ("fruit", 0.5))
    assert tags(reply) == [("red apple", 0.9), ("apple", 0.9), ("fruit", 0.45)]


def test_a_tag_stands_once_where_it_is_said_first() -> None:
    """Repetitions, in whatever case, and empty parts are left out."""
    reply = written(("Apple", 0.8), ("", 1.0), ("apple", 0.5), ("fruit", 0.5))
    assert tags(reply) == [("Apple", 0.8), ("fruit", 0.2)]


def test_a_tag_that_is_cut_short_is_none() -> None:
    """The last part of an answer that did not come to its end is left out."""
    assert tags(written(("apple", 0.5), ("fru", 0.5), whole=False)) == [("apple", 0.5)]
    assert tags(written(("app", 0.5), whole=False)) == []


def test_top_and_threshold_cut_the_list() -> None:
    """No more tags than asked for, and none of a lower score."""
    reply = written(("a", 0.8), ("b", 0.5), ("c", 0.5))
    assert [tag for tag, _ in tags(reply, top=2)] == ["a", "b"]
    assert [tag for tag, _ in tags(reply, threshold=0.3)] == ["a", "b"]


def test_tags_of_a_vocabulary_are_its_entries() -> None:
    """Places in the vocabulary become its words, log-probabilities their probabilities."""
    reply = Ranked(((2, math.log(0.5)), (0, math.log(0.25))))
    assert tags(reply) == [("eel", 0.5), ("cat", 0.25)]


def test_a_vocabulary_has_one_tag_a_line(tmp_path: Path) -> None:
    """Blank lines, repetitions and a byte-order mark are nothing; other scripts are tags."""
    file = tmp_path / "tags.txt"
    file.write_bytes("\ufeffcat\r\n\n  red apple \nCAT\n狗\n".encode())
    assert read_vocabulary(str(file)) == ("cat", "red apple", "狗")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no tag"),
        (b" \n\n", "holds no tag"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * 101, "at most 100"),
        (b"\n".join(b"%d" % n for n in range(MOST_TAGS + 1)), "100,001 tags; at most 100,000"),
    ],
)
def test_a_vocabulary_that_cannot_be_used_is_refused(
    content: bytes, why: str, tmp_path: Path
) -> None:
    """An empty file, one of bytes, a line that is no tag, too many: one sentence each."""
    file = tmp_path / "tags.txt"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=why):
        read_vocabulary(str(file))


def test_a_vocabulary_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder and a device are told by their name; no name is no folder's."""
    for place in (tmp_path / "none.txt", tmp_path, Path("/dev/null")):
        with pytest.raises(UsageError, match=str(place)):
            read_vocabulary(str(place))
    with pytest.raises(UsageError, match="--tags-file is empty"):
        read_vocabulary("")


@pytest.mark.parametrize(
    "how", [{"top": 0}, {"threshold": -0.1}, {"threshold": 1.1}, {"threshold": math.nan}]
)
def test_a_share_out_of_range_is_refused(how: dict[str, float]) -> None:
    """No tags at all, and a threshold that is no probability, are bad usage."""
    with pytest.raises(UsageError, match=r"--tags-(top|threshold)"):
        Tags.resolved(describe(checkpoint_folder("pocket")), **how)  # type: ignore[arg-type]
