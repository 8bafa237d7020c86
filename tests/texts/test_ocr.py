"""Texts in pictures, drawn here and read back by the real models."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from schemas.image import ImageRef
from schemas.outcome import ModelFailedError, UsageError
from tests.runs import job_spec
from workers.source import Reader
from workers.tasks import Item
from workers.texts import ocr, text_finder
from workers.texts.ocr import MOST_BOXES, OcrTexts

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "images"
PHOTO = EXAMPLES / "img_002.jpg"
DRAWING = EXAMPLES / "img_015.png"
NOTE = EXAMPLES / "img_042.png"
REF = ImageRef("a", "a", "", 1)


@pytest.fixture(scope="module")
def finder() -> OcrTexts:
    """One for all tests, as a replica has one for all images."""
    return OcrTexts()


def background(width: int, height: int, photo: Path = PHOTO) -> Image.Image:
    """A photo of that size."""
    with Image.open(photo) as image:
        return image.convert("RGB").resize((width, height))


def write(image: Image.Image, place: tuple[float, float], text: str, size: int, **how: str) -> None:
    """Write as memes have it, white with a dark edge, in letters of `size` pixels."""
    font = ImageFont.load_default(size)
    edge = max(1, size // 12)
    ImageDraw.Draw(image).text(
        place, text, "white", font, stroke_width=edge, stroke_fill="black", **how
    )


def meme(above: str, below: str, width: int = 500, height: int = 375) -> Image.Image:
    """A photo with a line at its top and one at its foot."""
    image = background(width, height)
    size = round(width * 0.075)
    write(image, (width / 2, height * 0.02), above, size, anchor="ma")
    write(image, (width / 2, height * 0.97), below, size, anchor="md")
    return image


def paper(*lines: str, size: int = 28) -> Image.Image:
    """Black lines on white."""
    image = Image.new("RGB", (700, 40 + 2 * size * len(lines)), "white")
    for number, line in enumerate(lines):
        place = (20, 20 + 2 * size * number)
        ImageDraw.Draw(image).text(place, line, "black", ImageFont.load_default(size))
    return image


def test_a_meme_is_read_from_its_top_to_its_foot(finder: OcrTexts) -> None:
    """White letters on a photo are read, line after line, and said to be read from the picture."""
    assert finder.find(REF, meme("you smell like this", "every morning")) == Item(
        "you smell like this every morning", "ocr"
    )


def test_a_job_reads_texts_where_it_says_ocr() -> None:
    """The text `ocr` of a job is what this module finds."""
    job = job_spec(text="ocr")
    found = text_finder(job, Reader(job)).find(REF, paper("you smell like this"))
    assert found == Item("you smell like this", "ocr")


@pytest.mark.parametrize("size", [12, 28, 90])
def test_print_is_read_at_any_fair_size(size: int, finder: OcrTexts) -> None:
    """Black on white, from 12 pixels on."""
    found = finder.find(REF, paper("this is fine", size=size))
    assert found.text == "this is fine"


@pytest.mark.parametrize("angle", [-20, 20, -90])
def test_a_line_that_does_not_lie_level_is_read(angle: int, finder: OcrTexts) -> None:
    """Tilted, or downwards."""
    tilted = paper("look how many people").rotate(angle, expand=True, fillcolor="white")
    assert finder.find(REF, tilted).text == "look how many people"


def test_words_of_one_row_are_read_from_left_to_right(finder: OcrTexts) -> None:
    """However high their letters reach, and however far apart they are."""
    image = background(1000, 500)
    write(image, (60, 100), "sour", 60, anchor="ls")
    write(image, (700, 100), "FIGHT", 80, anchor="ls")
    write(image, (60, 400), "never", 60, anchor="ls")
    write(image, (700, 385), "again", 60, anchor="ls")
    assert finder.find(REF, image).text == "sour FIGHT never again"


@pytest.mark.parametrize(
    "image",
    [
        background(500, 375),
        background(500, 500, DRAWING),
        Image.new("RGB", (500, 375), "black"),
        Image.new("RGB", (1, 1)),
        Image.new("RGB", (1, 50_000)),
        Image.new("RGB", (1_000_000, 2)),
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)),
    ],
    ids=["photo", "drawing", "black", "dot", "upright line", "level line", "noise"],
)
def test_a_picture_without_a_text_has_none(image: Image.Image, finder: OcrTexts) -> None:
    """Whatever it shows, and of whatever shape it is."""
    assert finder.find(REF, image) == Item()


def test_one_character_alone_is_no_text(finder: OcrTexts) -> None:
    """A musical note is no 月, whatever else is written; in a row with others a letter counts."""
    assert finder.find(REF, background(300, 300, NOTE)) == Item()
    noted = meme("you smell like this", "every morning")
    noted.paste(background(120, 120, NOTE), (190, 130))
    assert finder.find(REF, noted).text == "you smell like this every morning"
    assert finder.find(REF, paper("vitamin C")).text == "vitamin C"


def test_letters_of_full_width_are_plain_ones(finder: OcrTexts) -> None:
    """The models, which know Chinese print too, read this one as 1 of full width."""
    assert finder.find(REF, paper("1 2 3", size=48)).text.replace(" ", "") == "123"


def test_what_is_read_without_confidence_is_left_out(
    finder: OcrTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line stays whose characters are less probable than is asked for."""
    image = meme("you smell like this", "every morning")
    monkeypatch.setattr(ocr, "LEAST_CONFIDENCE", 1.01)
    assert finder.find(REF, image) == Item()


def test_small_letters_of_a_large_image_are_read(finder: OcrTexts) -> None:
    """Texts are cut from more pixels than they are found in."""
    image = background(1900, 1200)
    write(image, (950, 40), "when the coffee is empty", 24, anchor="ma")
    assert finder.find(REF, image).text == "when the coffee is empty"


LARGE = """
from PIL import Image
from tests.texts.test_ocr import REF, meme
from workers.texts.ocr import OcrTexts

def told(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024

images = [
    Image.new("RGB", (1_000_000, 2)),
    meme("you smell like this", "every morning", 6000, 4000),
]
finder = OcrTexts()
before = told("VmRSS")
print(*(finder.find(REF, image).text for image in images))
print(told("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
def test_large_images_take_no_more_memory_than_others() -> None:
    """24 million pixels, and a line of a million, are read in 200 MB beside the images."""
    run = [sys.executable, "-c", LARGE]
    text, taken = subprocess.run(run, cwd=ROOT, check=True, capture_output=True).stdout.splitlines()
    assert text.decode().strip() == "you smell like this every morning"
    assert int(taken) < 200_000_000


SILENT = """
from PIL import Image
from tests.texts.test_ocr import REF
from workers.texts.ocr import OcrTexts

OcrTexts().find(REF, Image.new("RGB", (300, 200)))
"""


def test_nothing_is_told_to_a_terminal() -> None:
    """Neither of loading and reading, nor that there was nothing to read."""
    ran = subprocess.run([sys.executable, "-c", SILENT], cwd=ROOT, check=True, capture_output=True)
    assert (ran.stdout, ran.stderr) == (b"", b"")


def test_a_page_is_read_to_a_bound(finder: OcrTexts) -> None:
    """Of many lines the first ones are read, in their order."""
    words = [f"line {number}" for number in range(10, 30 + MOST_BOXES)]
    found = finder.find(REF, paper(*words, size=14))
    assert found.text == " ".join(words[:MOST_BOXES])


def test_threads_read_what_one_reads(finder: OcrTexts) -> None:
    """Eight at once get each its own image's text."""
    texts = [f"number {number} of eight" for number in range(10, 18)]
    images = [meme(text, "love you") for text in texts]
    start = threading.Barrier(8)

    def read(image: Image.Image) -> list[Item]:
        start.wait()
        return [finder.find(REF, image) for _ in range(3)]

    with ThreadPoolExecutor(8) as pool:
        for text, found in zip(texts, pool.map(read, images), strict=True):
            assert found == [Item(f"{text} love you", "ocr")] * 3


def test_it_takes_one_processor(finder: OcrTexts) -> None:
    """Of a machine with many, the others stay its neighbours'."""
    assert cv2.getNumThreads() == 1
    for session in (finder._detect.text_det.session, finder._recognise.text_rec.session):
        options = session.session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


@pytest.mark.parametrize("wrecked", [Image.new("I", (300, 200)), Image.new("RGB", (0, 0))])
def test_pixels_that_cannot_be_read_fail_one_image(wrecked: Image.Image, finder: OcrTexts) -> None:
    """What a library says of them is that image's failure, in one line; the next image is read."""
    with pytest.raises(ModelFailedError, match=r"\Aits text cannot be read: [^\n]+\Z"):
        finder.find(REF, wrecked)
    assert finder.find(REF, paper("this is fine")).text == "this is fine"


@pytest.mark.parametrize("package", ["rapidocr", "onnxruntime"])
def test_a_missing_package_is_told_where_it_is_missing(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without it says what to install there."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match="install rapidocr and onnxruntime there"):
        OcrTexts()


def test_a_missing_model_is_not_looked_for_in_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A release with other models is refused, with the file's name."""
    monkeypatch.setitem(ocr.MODELS, "Rec", "other.onnx")
    with pytest.raises(UsageError, match=r"other\.onnx"):
        OcrTexts()
