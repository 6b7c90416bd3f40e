"""The shop's logo: made small from what was sent, kept in the database, served under a name of its own for ever."""

import hashlib
import io
from typing import TYPE_CHECKING, NamedTuple

from flask import Response, abort
from flask_babel import gettext as _
from sqlalchemy import select

from ..crowd import holding
from ..db import db
from ..models import Logo, get_shop
from ..rules import Refused

if TYPE_CHECKING:
    from PIL import Image

MOST_BYTES = 5 * 1024 * 1024
# It is shown at half of this, so that it is sharp on a phone's fine screen.
LARGEST = (480, 160)
# Of what a customer's first visit may weigh, this is what a logo may take.
MOST_BYTES_KEPT = 10_000


class Made(NamedTuple):
    """A logo as it is kept. tone: "dark" or "light" for one that needs the other as its ground, else ""."""

    picture: bytes
    name: str
    width: int
    height: int
    tone: str


def make(upload) -> Made:
    """The logo that a picture makes. Raises Refused.

    Only pixels get through, as with photos; transparency is kept, and an empty margin cut away.
    """
    # Here, because Pillow takes two megabytes: of those alone who send pictures.
    from PIL import Image

    from .. import pictures

    with holding(pictures.one_at_a_time):
        image = pictures.read(upload, most_bytes=MOST_BYTES, side=2000)
    if image.mode == "RGBA":
        box = image.getchannel("A").getbbox()
        if box is None:
            raise Refused(_("This picture is empty: all of it is transparent."))
        image = image.crop(box)
    image.thumbnail(LARGEST, Image.Resampling.LANCZOS)
    picture, image = _pack(image)
    return Made(picture, hashlib.sha256(picture).hexdigest()[:16], *image.size, _tone(image))


def serve(name: str) -> Response:
    """The answer that is the logo; 404 for another name than its present one."""
    shop = get_shop()
    picture = db.session.scalar(select(Logo.picture)) if shop and name and name == shop.logo else None
    if picture is None:
        abort(404)
    answer = Response(picture, mimetype="image/webp")
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    # The name is never used for another picture.
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return answer


def _pack(image: "Image.Image") -> tuple[bytes, "Image.Image"]:
    """The picture as WebP, as good as it may be at that size, and smaller if it must."""
    ways = ({"lossless": True, "quality": 90}, *({"quality": quality} for quality in (90, 75, 55)))
    while True:
        for way in ways:
            file = io.BytesIO()
            image.save(file, "WEBP", method=6, **way)
            if file.tell() <= MOST_BYTES_KEPT:
                return file.getvalue(), image
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))


def _tone(image: "Image.Image") -> str:
    """Whether it would be lost on a dark ground, or on a light one: which of the two most of its drawn pixels are."""
    if image.mode != "RGBA":
        return ""
    levels, alphas = image.convert("L").tobytes(), image.getchannel("A").tobytes()
    drawn = [level for level, alpha in zip(levels, alphas, strict=True) if alpha > 127]
    if not drawn or len(drawn) > 0.97 * len(levels):
        # It brings its own ground along.
        return ""
    dark, light = sum(level < 90 for level in drawn), sum(level > 200 for level in drawn)
    if max(dark, light) < 0.2 * len(drawn):
        return ""
    return "dark" if dark >= light else "light"
