"""Pictures as files in the data folder: checked, shrunk, written anew, served, removed. Knows no table."""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flask import abort, current_app, send_file
from flask_babel import gettext as _

from ..crowd import holding
from ..rules import NoPicture

if TYPE_CHECKING:
    from PIL import Image

# What one form may bring, in bytes: a dozen pictures as phones take them. And the largest file of them.
MOST_BYTES = 64 * 1024 * 1024
MOST_BYTES_A_FILE = 15 * 1024 * 1024
FULL, SMALL = "", "-small"
# The side of the square, in pixels, that each size fits into.
SIDES = {FULL: 2000, SMALL: 480}


class Picture(NamedTuple):
    """A picture that is kept: the stem of its files' names, and its size in pixels."""

    name: str
    width: int
    height: int


def folder() -> Path:
    """Where the files are: in folders named for the first two letters, as a folder of many thousand files is slow."""
    return Path(current_app.config["DATA_DIR"]) / "photos"


def store(uploads) -> list[Picture]:
    """Keeps uploaded files (each with filename and stream) as JPEG in both sizes. Raises NoPicture.

    All of them, or none. Only pixels get through: the file is written anew, so a place, a thumbnail, a script or
    whatever else was in it stays behind.
    """
    names = [secrets.token_hex(16) for _ in uploads]
    try:
        return [_store(upload, name) for upload, name in zip(uploads, names, strict=True)]
    except NoPicture as refusal:
        remove(*names)
        if len(names) == 1:
            raise
        none = _("None of the %(count)s files was added.", count=len(names))
        raise NoPicture(f"{refusal} {none}") from refusal
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
    # Here, because Pillow takes two megabytes: of those alone who send pictures.
    from PIL import Image

    from .. import pictures

    with holding(pictures.one_at_a_time):
        picture = pictures.on_white(pictures.read(upload, most_bytes=MOST_BYTES_A_FILE, side=SIDES[FULL]))
        for size, side in SIDES.items():
            copy = picture.copy()
            copy.thumbnail((side, side), Image.Resampling.LANCZOS)
            _write(copy, _path(name, size))
    return Picture(name, *picture.size)


def _write(image: "Image.Image", path: Path) -> None:
    """Writes a file that is there whole or not at all, and outlives a power cut as the database's row does."""
    for place in (folder(), path.parent):
        place.mkdir(mode=0o700, exist_ok=True)
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        image.save(file, "JPEG", quality=82, optimize=True)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
