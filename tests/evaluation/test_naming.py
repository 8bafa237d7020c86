"""The naming score."""

from pathlib import Path

import pytest

from schemas.outcome import UsageError
from workers.evaluation.naming import NamedImage, noun_of, read_annotations, score_captions


def test_articles_and_the_word_photo_do_not_count() -> None:
    """The noun of a caption is what is left without its article and 'a photo of'."""
    assert noun_of("A photo of an apple.") == "apple"
    assert noun_of("two-hump camel") == "two-hump camel"


def test_exact_and_contained_are_told_apart() -> None:
    """'cat face' contains the name 'cat' but is not it; 'caterpillar' does not even contain it."""
    cases = [NamedImage(Path("x.png"), ("cat",))] * 4
    captions = ["a cat", "a cat face", "a caterpillar", "the dog"]
    score = score_captions(cases, captions)
    assert (score.images, score.exact, score.contained) == (4, 0.25, 0.5)


def test_any_accepted_name_is_right() -> None:
    """A picture with several accepted names may be called by each of them."""
    case = NamedImage(Path("x.png"), ("automobile", "car"))
    assert score_captions([case], ["a photo of a car"]).exact == 1


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "not json",
        "[]",
        '{"image": "x.png"}',
        '{"image": "x.png", "names": "cat"}',
        '{"image": "x.png", "names": []}',
        '{"image": "x.png", "names": [1]}',
        '{"image": "x.png", "names": ["cat", " "]}',
        '{"image": 1, "names": ["cat"]}',
        '{"image": "not there.png", "names": ["cat"]}',
    ],
)
def test_bad_annotations_are_refused(tmp_path: Path, content: str | None) -> None:
    """A missing, empty or malformed annotation file is one clear sentence that names the file."""
    path = tmp_path / "annotations.jsonl"
    (tmp_path / "x.png").write_bytes(b"")
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=r"annotations\.jsonl"):
        read_annotations(path, tmp_path)
