"""Which image formats are read: Pillow's names, and the extensions their files have.

Formats that Pillow hands to other programs (EPS), that have no signature of their own (TGA, PCX) or
that are not pictures of something (WMF, FITS) are left out.
"""

FORMATS: dict[str, tuple[str, ...]] = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "ICO": (".ico",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),  # MPO, several JPEGs in one, included
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}

EXTENSIONS = frozenset(extension for group in FORMATS.values() for extension in group)
"""In lower case, with the dot."""
