"""Pictures as files in the data folder: checked, shrunk, written anew, served, removed. Knows no table."""

import os
import secrets
import threading
import warnings
from pathlib import Path
from typing import NamedTuple

from flask import abort, current_app, send_file
from PIL import Image, ImageOps, UnidentifiedImageError, WebPImagePlugin

from ..rules import Refused

# What one form may bring, in bytes: a dozen pictures as phones take them. And the largest file of them.
MOST_BYTES = 64 * 1024 * 1024
MOST_BYTES_A_FILE = 15 * 1024 * 1024
MOST_PIXELS = 50_000_000
FULL, SMALL = "", "-small"
# The side of the square, in pixels, that each size fits into.
SIDES = {FULL: 2000, SMALL: 480}
# These alone: each of Pillow's forty other decoders is one more that a hostile file could talk to.
# Naming WebP's by its plugin also loads it; Pillow would load all forty to find it.
_FORMATS = ("JPEG", "PNG", WebPImagePlugin.WebPImageFile.format)
_HEIC = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
# A picture of fifty megapixels takes some 300 MB while it is decoded: one at a time in each process.
_one_at_a_time = threading.Lock()

Image.MAX_IMAGE_PIXELS = MOST_PIXELS
# Pillow only warns of a picture that is up to twice too large, and decodes it.
warnings.simplefilter("error", Image.DecompressionBombWarning)


class Picture(NamedTuple):
    """A picture that is kept: the stem of its files' names, and its size in pixels."""

    name: str
    width: int
    height: int


def folder() -> Path:
    """Where the files are: in folders named for the first two letters, as a folder of many thousand files is slow."""
    return Path(current_app.config["DATA_DIR"]) / "photos"


def store(uploads) -> list[Picture]:
    """Keeps uploaded files (each with filename and stream) as JPEG in both sizes. Raises Refused.

    All of them, or none. Only pixels get through: the file is written anew, so a place, a thumbnail, a script or
    whatever else was in it stays behind.
    """
    names = [secrets.token_hex(16) for _ in uploads]
    try:
        return [_store(upload, name) for upload, name in zip(uploads, names, strict=True)]
    except BaseException:
        remove(*names)
        raise


def remove(*names: str) -> None:
    """Removes the files of pictures, as far as there are any."""
    for name in names:
        for size in SIDES:
            path = _path(name, size)
            path.with_suffix(".part").unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def serve(name: str, size: str, *, called: str):
    """The answer that is a picture; 404 when its file is missing. called: the name to save it under."""
    try:
        answer = send_file(_path(name, size), mimetype="image/jpeg", download_name=called)
    except FileNotFoundError:
        abort(404)
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    # The name is never used for another picture.
    answer.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return answer


def _path(name: str, size: str) -> Path:
    return folder() / name[:2] / f"{name}{size}.jpg"


def _store(upload, name: str) -> Picture:
    # The name is only told to whoever sent it; it names no file of ours.
    called = f"“{Path(upload.filename or 'The file').name[:60]}”"
    if upload.stream.seek(0, os.SEEK_END) > MOST_BYTES_A_FILE:
        raise Refused(f"{called} is larger than {MOST_BYTES_A_FILE // 1024**2} MB.")
    upload.stream.seek(0)
    with _one_at_a_time:
        picture = _decode(upload.stream, called)
        for size, side in SIDES.items():
            copy = picture.copy()
            copy.thumbnail((side, side), Image.Resampling.LANCZOS)
            _write(copy, _path(name, size))
    return Picture(name, *picture.size)


def _decode(stream, called: str) -> Image.Image:
    """The pixels of a picture, shrunk to the full size, upright, on white where it is transparent. Raises Refused."""
    head = stream.read(12)
    stream.seek(0)
    if head[4:8] == b"ftyp" and head[8:] in _HEIC:
        raise Refused(f"{called} is a HEIC picture, which not every browser shows. Save it as JPEG and send that.")
    try:
        with Image.open(stream, formats=_FORMATS) as image:
            if image.mode not in {"RGB", "L"}:
                image = image.convert("RGBA" if image.has_transparency_data else "RGB")
            # Before it is turned: a JPEG is then decoded at half its size or less.
            image.thumbnail((SIDES[FULL], SIDES[FULL]))
            image = _upright(image)
            pixels = Image.new("RGB", image.size, "white")
            pixels.paste(image, mask=image if image.mode == "RGBA" else None)
            return pixels
    except UnidentifiedImageError:
        raise Refused(f"{called} is not a picture that can be read. Send JPEG, PNG or WebP.") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Refused(f"{called} has more than {MOST_PIXELS // 10**6} megapixels. Make it smaller first.") from None
    except Exception:
        # What a damaged file makes Pillow raise has no end: OSError, SyntaxError, ValueError, struct.error, ...
        raise Refused(f"{called} is damaged. Take the picture once more, or send another copy of it.") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # What the camera wrote about the picture is damaged; the picture is not.
        return image


def _write(image: Image.Image, path: Path) -> None:
    """Writes a file that is there whole or not at all, and outlives a power cut as the database's row does."""
    for place in (folder(), path.parent):
        place.mkdir(mode=0o700, exist_ok=True)
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        image.save(file, "JPEG", quality=82, optimize=True)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
