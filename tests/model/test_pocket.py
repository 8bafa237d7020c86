"""The checkpoint that ships."""

import re
from pathlib import Path

import pytest

from workers.evaluation.naming import names_within
from workers.model import TinyGPTV
from workers.model.description import checkpoint_folder

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WHOLE = re.compile(r"^\| (img_\d+\.\w+) \| ([^|]+) \|", re.MULTILINE)
SAME = {"magnifying glass tilted left": "magnifying glass", "wheelchair symbol": "wheelchair"}
"""Labels that say more than the picture does."""


@pytest.fixture(scope="module")
def pocket() -> TinyGPTV:
    return TinyGPTV.from_pretrained(checkpoint_folder("pocket"))


def test_it_is_small(pocket: TinyGPTV) -> None:
    """At most 12 M parameters, and 25 MB with everything that lies beside them."""
    assert sum(parameter.numel() for parameter in pocket.parameters()) <= 12_000_000
    folder = checkpoint_folder("pocket")
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 25_000_000


def test_it_names_most_of_the_demo(pocket: TinyGPTV) -> None:
    """Its captions name what is in most of the demo's whole pictures."""
    shown = WHOLE.findall((EXAMPLES / "ATTRIBUTIONS.md").read_text())
    assert len(shown) >= 40
    captions = pocket.caption([EXAMPLES / "images" / name for name, _ in shown])
    right = [
        names_within(caption, [name.strip(), SAME.get(name.strip(), name.strip())])
        for caption, (_, name) in zip(captions, shown, strict=True)
    ]
    assert sum(right) > len(right) / 2


def test_it_answers_what_it_is_asked(pocket: TinyGPTV) -> None:
    """Asked about the medium it names a medium, asked for yes or no it says one of them."""
    picture = [EXAMPLES / "images" / "img_022.png"]
    assert pocket.caption(picture, "[vqa] Is this a photo or a drawing?") == ["a drawing"]
    assert pocket.caption(picture, "[vqa] Is this a lemon? Answer yes or no.")[0] in ("yes", "no")
