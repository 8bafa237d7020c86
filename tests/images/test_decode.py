"""Property tests of the decode boundary, on files that Pillow writes."""

import io
import random
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from schemas.outcome import ErrorCode, ImageError
from workers.images import decode, to_rgb
from workers.images.decode import BYTES_A_PIXEL
from workers.images.formats import FORMATS

LOSSLESS = [
    ("PNG", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("PPM", {}),
    ("WEBP", {"lossless": True}),
    ("JPEG2000", {}),
    ("ICO", {"sizes": [(96, 64)]}),
]
LOSSY = [
    ("JPEG", {"quality": 95}),
    ("JPEG", {"quality": 95, "progressive": True}),
    ("MPO", {"quality": 95}),
    ("WEBP", {"quality": 95}),
    ("AVIF", {"quality": 95}),
    ("GIF", {}),
]
# EXIF orientation → how an upright picture is turned before it is stored with that mark
STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """A smooth picture that differs in every quarter: a turn or a flip shows."""
    x = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def failure(data: bytes) -> ErrorCode:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert str(caught.value)
    return caught.value.code


def difference(left: Image.Image, right: Image.Image) -> float:
    assert left.size == right.size
    return float(np.abs(np.asarray(left, float) - np.asarray(right, float)).mean())


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_lossless_formats_come_back_exactly(kind: str, options: dict[str, object]) -> None:
    """A lossless file gives the pixels that went in, as a plain RGB image."""
    image = decode(encode(scene(), kind, **options))
    assert type(image) is Image.Image
    assert image.mode == "RGB"
    assert difference(image, scene()) == 0


@pytest.mark.parametrize(("kind", "options"), LOSSY)
def test_lossy_formats_come_back_nearly(kind: str, options: dict[str, object]) -> None:
    """A lossy file gives nearly the pixels that went in."""
    assert difference(decode(encode(scene(), kind, **options)), scene()) < 6


def test_every_format_is_tried() -> None:
    """The formats of the table are those of the tests above (MPO being JPEG's)."""
    assert {kind for kind, _ in LOSSLESS + LOSSY} - {"MPO"} == set(FORMATS)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_colour_modes_become_rgb(mode: str) -> None:
    """Every colour mode that a file can hold becomes RGB of the same picture."""
    source = scene().convert(mode)
    kind = {"CMYK": "TIFF", "YCbCr": "JPEG"}.get(mode, "PNG")
    image = decode(encode(source, kind))
    assert image.mode == "RGB"
    assert difference(image, source.convert("RGB")) < 3


def test_adobe_cmyk_jpeg_is_not_inverted() -> None:
    """A CMYK JPEG shows its colours, not their negative."""
    white = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert difference(decode(encode(white, "JPEG")), Image.new("RGB", (16, 16), "white")) < 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    """A 16-bit grey ramp becomes an 8-bit grey ramp."""
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(8, 0)
    pixels = np.asarray(decode(encode(Image.fromarray(ramp), kind)))
    assert np.array_equal(pixels[0, :, 0], np.arange(256))


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_floats_are_scaled(top: float) -> None:
    """A float TIFF in 0…1 and one in 0…255 show the same ramp."""
    ramp = (np.linspace(0, top, 256, dtype=np.float32))[None, :].repeat(8, 0)
    pixels = np.asarray(decode(encode(Image.fromarray(ramp), "TIFF"))).astype(int)
    assert np.abs(pixels[0, :, 0] - np.arange(256)).max() <= 1


def transparent(mode: str) -> bytes:
    """A PNG of 8 x 8 black pixels, the right half of them transparent."""
    if mode in ("RGBA", "LA"):
        image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
        image.paste((0, 0, 0, 255), (0, 0, 4, 8))
        return encode(image.convert(mode), "PNG")
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.paste(1, (0, 0, 4, 8))
    return encode(image, "PNG", transparency=0 if mode == "P, one index" else b"\0\xff")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P, one index", "P, alpha table"])
def test_transparency_shows_white(mode: str) -> None:
    """What is transparent is white, whatever colour lies hidden below."""
    pixels = np.asarray(decode(transparent(mode)))
    assert (pixels[:, :4] == 0).all()
    assert (pixels[:, 4:] == 255).all()


def test_a_transparent_colour_key_shows_white() -> None:
    """An RGB file that declares one colour transparent shows it white."""
    source = scene(8, 8)
    source.paste((1, 2, 3), (0, 0, 8, 4))
    pixels = np.asarray(decode(encode(source, "PNG", transparency=(1, 2, 3))))
    assert (pixels[:4] == 255).all()
    assert not (pixels[4:] == 255).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    """A picture stored in any of EXIF's eight ways comes out upright, and stays so once more."""
    stored = scene()
    if orientation > 1:
        stored = stored.transpose(STORED_AS[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode(encode(stored, kind, exif=exif))
    assert difference(image, scene()) < 6
    assert np.array_equal(to_rgb(image), image)


@pytest.mark.parametrize(
    "exif", [b"MM\0*\0", b"MM\0t\0\0\0\x08", b"II*\0\xff\xff\xff\xff", b"nonsense", b""]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damaged_exif_does_not_cost_the_picture(kind: str, exif: bytes) -> None:
    """EXIF data that no parser understands leaves the picture as it is stored."""
    data = encode(scene(), kind, exif=b"Exif\0\0" + exif)
    assert difference(decode(data), scene()) < 6


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_counts(kind: str) -> None:
    """An animation is labelled by its first frame."""
    first, second = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    data = encode(first, kind, save_all=True, append_images=[second])
    assert difference(decode(data), first) < 3


def test_no_bytes_are_an_empty_file() -> None:
    """Zero bytes have a code of their own."""
    assert failure(b"") is ErrorCode.EMPTY_FILE


@pytest.mark.parametrize(
    "data",
    [
        b"hello, world",
        b"<html><body>404</body></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"\0" * 1000,
        bytes(range(1, 256)),
        b"x",
    ],
)
def test_other_files_are_not_images(data: bytes) -> None:
    """Files that are no image of a known format are told apart from damaged ones."""
    assert failure(data) is ErrorCode.NOT_AN_IMAGE


@pytest.mark.parametrize(("kind", "options"), LOSSLESS + LOSSY)
def test_a_cut_file_is_truncated(kind: str, options: dict[str, object]) -> None:
    """A file cut anywhere between its signature and its last rows is `truncated`."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind, **options)
    for keep in (16, 40, len(data) // 4, len(data) // 2, len(data) * 9 // 10):
        assert failure(data[:keep]) is ErrorCode.TRUNCATED, f"{keep} of {len(data)} bytes"


@pytest.mark.parametrize(("kind", "options"), LOSSLESS + LOSSY)
def test_garbage_never_gets_past_the_boundary(kind: str, options: dict[str, object]) -> None:
    """Whatever bytes are overwritten, out comes an RGB image or a typed error, and no warning."""
    data = encode(scene(), kind, **options)
    chance = random.Random(kind + str(options))
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(chance.choice([1, 4, 40])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            assert decode(bytes(damaged)).mode == "RGB"
        except ImageError as error:
            assert error.code


def test_a_header_that_nobody_reads_is_said_the_same_every_time() -> None:
    """The message names the damage and neither our classes nor an address in memory."""
    data = bytearray(encode(scene(), "PNG"))
    data[16] ^= 1  # in the width, so that the header's checksum is wrong
    messages = set()
    for _ in range(2):
        with pytest.raises(ImageError) as caught:
            decode(bytes(data))
        messages.add(str(caught.value))
    assert messages == {"damaged image: it begins like one, and its header cannot be read"}


def test_damage_inside_is_not_called_truncation() -> None:
    """A PNG whose middle is overwritten is `decode_failed`."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    data = bytearray(encode(Image.fromarray(noise), "PNG"))
    data[100:200] = bytes(100)
    assert failure(bytes(data)) is ErrorCode.DECODE_FAILED


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces `width` x `height` pixels of one bit and holds next to none."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    content = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content)


@pytest.mark.parametrize("size", [(13_378, 13_378), (60_000, 60_000), (2_000_000, 100)])
def test_a_decompression_bomb_is_refused_unread(size: tuple[int, int]) -> None:
    """A header that announces more pixels than the limit is refused before any is decoded."""
    assert failure(png_header(*size)) is ErrorCode.TOO_MANY_PIXELS


def test_a_large_picture_below_the_limit_raises_no_warning() -> None:
    """Pillow warns from half the limit on; nothing of that gets out."""
    assert failure(png_header(9_500, 9_500)) is ErrorCode.TRUNCATED


def test_pixels_are_reserved_before_they_are_touched() -> None:
    """Once, from the header alone; whoever refuses is heard before a pixel is decoded."""
    reserved: list[int] = []
    decode(encode(scene(), "PNG"), reserved.append)
    assert reserved == [96 * 64 * BYTES_A_PIXEL]
    with pytest.raises(ImageError):
        decode(png_header(400, 500), reserved.append)
    assert reserved[1:] == [400 * 500 * BYTES_A_PIXEL]


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    """Threads that decode side by side neither warn nor change what others are warned of."""
    data = png_header(9_500, 9_500)
    threads = [threading.Thread(target=lambda: [failure(data) for _ in range(5)]) for _ in range(4)]
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == before
    assert heard == []
