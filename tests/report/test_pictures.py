"""Thumbnails: small whatever they show, and never in the way of the page."""

import base64
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from schemas.outcome import ErrorCode, Failure
from tests.runs import job_spec, refs
from workers.report import pictures
from workers.report.pictures import LARGEST, SIDE, Album, thumbnail


@pytest.mark.parametrize(
    ("size", "shown"),
    [((2000, 1000), (224, 112)), ((3, 5000), (1, 224)), ((40, 30), (80, 60)), ((1, 1), (96, 96))],
)
def test_a_thumbnail_is_small(size: tuple[int, int], shown: tuple[int, int]) -> None:
    """Even of noise; its proportions stay, and what is tiny is shown larger than it is."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    made = thumbnail(Image.fromarray(noise))
    assert (made.width, made.height) == shown
    data = base64.b64decode(made.source.removeprefix("data:image/webp;base64,"))
    assert len(data) <= LARGEST
    assert max(Image.open(BytesIO(data)).size) <= SIDE


def test_what_could_not_even_be_listed_has_no_picture() -> None:
    """It is not asked for: its failure was planned."""
    (ref,) = refs(1)
    broken = replace(ref, failure=Failure(ErrorCode.BROKEN_CONTAINER, "it is damaged"))
    (made,) = Album(job_spec()).pictures([broken])
    assert (made.source, made.why) == ("", "its file could not be read when the run was planned")


def test_pictures_that_take_too_long_are_left_out() -> None:
    """Once all of them have had their time nobody waits for the rest."""
    now = 0.0
    album = Album(job_spec(), lambda: now)
    now = pictures.ALL_SECONDS + 1
    made = list(album.pictures(refs(3)))
    assert [one.why for one in made] == ["left out: the other pictures took too long to read"] * 3
