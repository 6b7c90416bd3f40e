"""Pictures that somebody sends: read with care, so that only pixels get through. Knows no table and keeps no file."""

import os
import threading
import warnings
from pathlib import Path

from flask_babel import gettext as _
from PIL import Image, ImageOps, UnidentifiedImageError, WebPImagePlugin

from .rules import NoPicture

MOST_PIXELS = 50_000_000
# These alone: each of Pillow's forty other decoders is one more that a hostile file could talk to.
# Naming WebP's by its plugin also loads it; Pillow would load all forty to find it.
_FORMATS = ("JPEG", "PNG", WebPImagePlugin.WebPImageFile.format)
_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
# A picture of fifty megapixels takes some 300 MB while it is decoded: one at a time in each process.
one_at_a_time = threading.Lock()

Image.MAX_IMAGE_PIXELS = MOST_PIXELS
# Pillow only warns of a picture that is up to twice too large, and decodes it.
warnings.simplefilter("error", Image.DecompressionBombWarning)


def read(upload, *, most_bytes: int, side: int) -> Image.Image:
    """The pixels of an uploaded file (filename and stream), upright, shrunk to fit a square of that side.

    In RGB, or in RGBA where some of it is transparent. Raises NoPicture. To be called by whoever holds one_at_a_time.
    """
    # The name is only told to whoever sent it; it names no file of ours.
    called = Path(upload.filename or _("The file")).name[:60]
    if upload.stream.seek(0, os.SEEK_END) > most_bytes:
        raise NoPicture(_("“%(file)s” is larger than %(most)s MB.", file=called, most=most_bytes // 1024**2))
    upload.stream.seek(0)
    head = upload.stream.read(12)
    upload.stream.seek(0)
    if head[4:8] == b"ftyp" and head[8:] in _HEIC:
        raise NoPicture(
            _(
                "“%(file)s” is a HEIC picture, which not every browser shows. Save it as JPEG and send that.",
                file=called,
            )
        )
    try:
        with Image.open(upload.stream, formats=_FORMATS) as image:
            if image.mode not in {"RGB", "L"}:
                image = image.convert("RGBA" if image.has_transparency_data else "RGB")
            # Before it is turned: a JPEG is then decoded at half its size or less.
            image.thumbnail((side, side))
            image = _upright(image)
            # Pasted, so that nothing but pixels is taken along.
            pixels = Image.new("RGBA" if image.mode == "RGBA" else "RGB", image.size)
            pixels.paste(image)
            return pixels
    except UnidentifiedImageError:
        raise NoPicture(
            _("“%(file)s” is not a picture that can be read. Send JPEG, PNG or WebP.", file=called)
        ) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        most = MOST_PIXELS // 10**6
        raise NoPicture(
            _("“%(file)s” has more than %(most)s megapixels. Make it smaller first.", file=called, most=most)
        ) from None
    except Exception:
        # What a damaged file makes Pillow raise has no end: OSError, SyntaxError, ValueError, struct.error, ...
        raise NoPicture(
            _("“%(file)s” is damaged. Take the picture once more, or send another copy of it.", file=called)
        ) from None


def on_white(image: Image.Image) -> Image.Image:
    """The picture without its transparency."""
    if image.mode != "RGBA":
        return image
    pixels = Image.new("RGB", image.size, "white")
    pixels.paste(image, mask=image)
    return pixels


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # What the camera wrote about the picture is damaged; the picture is not.
        return image
