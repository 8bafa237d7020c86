"""Turn SVG, PNG and WebP drawings into one square RGBA format."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

SIDE = 144
"""Side of a stored drawing, in pixels."""

_RENDER_WIDTH = 432
_SMALLEST_INK = 0.004
"""Share of a drawing's square that must be painted; less is a rendering that failed."""

Pixels = npt.NDArray[np.uint8]


def icon_svg(body: str, width: float, height: float) -> str:
    """An SVG document around the inner markup that icon packages store."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">{body}</svg>'
    )


def render_svg(svg: str, width: int = _RENDER_WIDTH) -> Image.Image:
    """Render an SVG document `width` pixels wide, as RGBA with straight alpha.

    Raises ValueError where the document cannot be rendered.
    """
    # Without a resolution, sizes given in points count as nothing.
    png = resvg_py.svg_to_bytes(svg_string=svg, width=width, dpi=96.0, skip_system_fonts=True)
    return Image.open(io.BytesIO(png)).convert("RGBA")


def open_drawing(content: bytes) -> Image.Image:
    """Decode a PNG or WebP drawing as RGBA."""
    return Image.open(io.BytesIO(content)).convert("RGBA")


def fit(drawing: Image.Image, *, trim: bool) -> Pixels:
    """Fit a drawing into a transparent square: uint8 [SIDE, SIDE, 4], straight alpha.

    The aspect is kept and the drawing centred. `trim` first cuts the empty page around it away:
    clip art lies anywhere on its page, while an emoji's own margin belongs to its design.
    """
    if trim:
        box = drawing.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
        if box is not None:
            drawing = drawing.crop(box)
    scale = SIDE / max(drawing.size)
    size = (max(1, round(drawing.width * scale)), max(1, round(drawing.height * scale)))
    # Pillow premultiplies the alpha here, so hidden colours do not bleed into the edges.
    small = drawing.resize(size, Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    square.paste(small, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return np.asarray(square, dtype=np.uint8)


def on_white(pixels: Pixels) -> Pixels:
    """Composite RGBA pixels [..., 4] on white: uint8 [..., 3]."""
    alpha = pixels[..., 3:].astype(np.float32) / 255.0
    colour = pixels[..., :3].astype(np.float32) * alpha + 255.0 * (1.0 - alpha)
    return np.asarray(np.round(colour), dtype=np.uint8)


def is_blank(pixels: Pixels) -> bool:
    """Whether nearly nothing was painted, or only what white paper would hide."""
    visible = (on_white(pixels).min(axis=-1) < 245).mean()
    painted = (pixels[..., 3] > 40).mean()
    return bool(painted < _SMALLEST_INK or (visible < 0.002 and painted > 0.98))


def thumbnail(pixels: Pixels, side: int = 16) -> npt.NDArray[np.float32]:
    """A drawing on white, shrunk to [side, side, 3] in [0, 1], for finding duplicates."""
    image = Image.fromarray(on_white(pixels)).resize((side, side), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float32) / 255.0
