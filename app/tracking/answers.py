"""How the customer's page is answered so often at so little cost.

Hundreds of phones ask every few seconds, and mostly nothing has changed. So one indexed read (_STATE) decides, and none
where nothing at all was written since the last one: whoever has the present state is told so; a page is drawn once for
each state and given out as it is from then on; and what needs nothing else is answered in front of Flask, as static
files are, in a fifth of the time.
"""

import re
import zlib
from contextlib import suppress
from datetime import datetime, timedelta
from sys import intern
from threading import Lock
from typing import NamedTuple
from zoneinfo import ZoneInfo

from flask import current_app
from flask_babel import force_locale
from markupsafe import Markup
from sqlalchemy import Text, bindparam, select, type_coerce
from sqlalchemy.exc import SQLAlchemyError

from .. import formats, hours, rules, web
from ..db import db, utcnow
from ..models import Branch, Repair, Shop
from ..reads import QuickRead, Remembered
from ..web import now
from . import queries

HEADERS = {
    "Vary": "Accept-Encoding",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}
PAGE, LIVE = "", "/live"
_TEMPLATES = {PAGE: "tracking/show.html", LIVE: "tracking/_live.html"}
# In which header somebody says what they have.
HELD = {PAGE: "If-None-Match", LIVE: "HX-PTag"}
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
_ADDRESS = re.compile(f"/t/({_TOKEN.pattern})({PAGE}|{LIVE})")

_STATE = QuickRead(
    select(
        Repair.public_version,
        Repair.status,
        Repair.promised_at,
        Repair.moved_at,
        Shop.version.label("shop_version"),
        Shop.link_days,
        Shop.timezone,
        # As it is kept: hours.period knows the weeks that it has read.
        type_coerce(Branch.hours, Text).label("hours"),
    )
    .join(Branch, Branch.id == Repair.branch_id)
    .join(Shop, Shop.id == bindparam("shop"))
    .where(Repair.token == bindparam("token"))
)
_IN_COMMON = ("status", "timezone", "hours")


# --- states -------------------------------------------------------------------------------------


def state(token: str):
    """What decides the answer, in one indexed read; None for a token that nothing has."""
    return _STATE.one(token=token, shop=1) if _TOKEN.fullmatch(token) else None


def has_ended(state, moment: datetime) -> bool:
    """Whether the link's days after the repair was closed are over."""
    return (
        state.status in rules.CLOSED
        and state.link_days > 0
        and moment > state.moved_at + timedelta(days=state.link_days)
    )


def _is_counting(state, moment: datetime) -> bool:
    """Whether the page has a countdown."""
    return state.status in rules.UNFINISHED and state.promised_at is not None and state.promised_at > moment


def _tag(state, moment: datetime, build: str) -> str:
    """Names one state of the page.

    It changes with the repair, the shop and the program, and with the clock where the page says a word
    about it: at midnight in the shop ("today"), when its branch opens or closes ("open until"), and as a repair gets
    later ("5 minutes ago").
    """
    late = -1
    if state.promised_at is not None and state.status in rules.UNFINISHED:
        passed = (moment - state.promised_at).total_seconds()
        late = formats.whole(passed) if passed >= 0 else -1
    here = moment.astimezone(ZoneInfo(state.timezone))
    clock = f"{here.toordinal()}.{hours.period(state.hours, here)}.{late}"
    return f"{state.public_version}.{state.shop_version}.{clock}.{build}"


# --- pages that are drawn -----------------------------------------------------------------------

# What the countdown shows is written in at the last moment. No text has these: forms and databases refuse the NUL.
_MARK = "\0"
_CLOCK = {name: Markup("\0{}\0").format(name) for name in ("now", "days", "hours", "minutes", "seconds")}
# The head of a gzip file that says nothing of itself.
_GZIP = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"


class Drawn:
    """A page as it is given out. One with a countdown is in three parts: before it, the part with the clock, after it.

    Only that part is written anew for each reader. It is put between the others as it is, in a block of its own that is
    not compressed (RFC 1951, 3.2.4): what is compressed already need not be so again.
    """

    __slots__ = ("_crc", "_crc_after", "_packed", "_packed_after", "_size", "_size_after", "clock")

    def __init__(self, html: str):
        first, last = html.find(_MARK), html.rfind(_MARK) + 1
        self.clock = html[first:last] if first >= 0 else ""
        before, after = (html[:first], html[last:]) if self.clock else (html, "")
        before, after = before.encode(), after.encode()
        packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        # Nothing after a full flush looks back to what came before it.
        self._packed = packing.compress(before) + packing.flush(zlib.Z_FULL_FLUSH)
        packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._packed_after = packing.compress(after) + packing.flush()
        self._size, self._size_after = len(before), len(after)
        # Of what comes after, less what as many zeros have by themselves.
        self._crc, self._crc_after = zlib.crc32(before), zlib.crc32(after) ^ zlib.crc32(bytes(len(after)))

    def plain(self, clock: str) -> bytes:
        """The page with that in the place of its clock."""
        # Hardly anyone asks for it so.
        before, after = (
            zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed) for packed in (self._packed, self._packed_after)
        )
        return b"".join((before, clock.encode(), after))

    def packed(self, clock: str) -> bytes:
        """The same as gzip (RFC 1952)."""
        between = clock.encode()
        size = len(between)
        block = b"\0" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + between
        # CRC-32 is all exclusive ors: with zeros for the last part, and then that part's own, it is that of the whole.
        crc = zlib.crc32(bytes(self._size_after), zlib.crc32(between, self._crc)) ^ self._crc_after
        whole = self._size + size + self._size_after
        end = crc.to_bytes(4, "little") + whole.to_bytes(4, "little")
        return b"".join((_GZIP, self._packed, block, self._packed_after, end))


# The pages of some hundred open repairs: about two megabytes in each process.
MOST_DRAWN = 400
_drawn: dict[tuple[str, str, str], Drawn] = {}
_drawing = Lock()


def _draw(token: str, part: str, tag: str) -> Drawn | None:
    """Draws a page and keeps it; None if the link was replaced a moment ago. Needs a request."""
    view = queries.view(token, tag)
    if view is None:
        return None
    drawn = Drawn(_render(view, token, part))
    with _drawing:
        while len(_drawn) >= MOST_DRAWN:
            del _drawn[next(iter(_drawn))]
        _drawn[token, part, tag] = drawn
    return drawn


def _render(view, token: str, part: str) -> str:
    # Straight from the template: the staff's context would read the session, which this page does not have.
    template = current_app.jinja_env.get_template(_TEMPLATES[part])
    with force_locale(view.language):
        return template.render(view=view, token=token, now=now(), clock=_CLOCK)


def sample(view) -> str:
    """A page that is drawn for once and about no repair: it has no token, and asks for nothing again."""
    html = _render(view, "", PAGE)
    return _set_clock(html, view.deadline, now()) if view.deadline else html


def forget() -> None:
    """Forgets every page that is drawn."""
    _drawn.clear()


def _set_clock(html: str, deadline: datetime, moment: datetime) -> str:
    """A page, or the part of it with the clock, showing what is left at that moment."""
    left = max(0, int((deadline - moment).total_seconds()))
    shown = {
        "now": formats.iso_utc(moment),
        "days": str(left // 86400),
        "hours": f"{left // 3600 % 24:02d}",
        "minutes": f"{left // 60 % 60:02d}",
        "seconds": f"{left % 60:02d}",
    }
    for name, text in shown.items():
        html = html.replace(_CLOCK[name], text)
    return html


# --- answers ------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """Who asks for what, and when.

    part: the PAGE or its LIVE part. held: the tag of what they have, as the header HELD[part] says it. packs: whether
    they take gzip.
    """

    token: str
    part: str
    held: str
    packs: bool
    moment: datetime


def answer(state, asked: Asked, build: str, *, may_draw: bool):
    """(status, headers, body) for whoever asks for a page or its live part, or None.

    build: names the program that draws. None for what would have to be drawn first, if it may not be, and for a link
    that was replaced a moment ago.
    """
    token, part, held, packs, moment = asked
    tag, counting = _tag(state, moment, build), _is_counting(state, moment)
    headers = HEADERS | {"HX-PTag": tag}
    if part == LIVE:
        # No ETag: a browser would ask by its own copy, turn our 304 into that, and htmx would draw it every time.
        is_present = held == tag
    else:
        headers["ETag"] = f'W/"{tag}"'
        # A copy with a countdown in it knows the time of its making, so it is good for one reading only.
        is_present = not counting and f'"{tag}"' in held
    if is_present:
        return "304 NOT MODIFIED", headers, b""
    drawn = _drawn.get((token, part, tag)) or (_draw(token, part, tag) if may_draw else None)
    if drawn is None:
        return None
    clock = _set_clock(drawn.clock, state.promised_at, moment) if counting else ""
    body = drawn.packed(clock) if packs else drawn.plain(clock)
    if packs:
        headers["Content-Encoding"] = "gzip"
    headers |= {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body))}
    return "200 OK", headers, body


# The states of as many open pages as one of two processes can carry: a megabyte and a half.
MOST_STATES = 3500


class Front:
    """WSGI: gives out what is drawn already, and says that nothing has changed. The app does all else."""

    def __init__(self, app):
        self.app, self.pages = app, app.wsgi_app
        self._states = Remembered(self._engine, MOST_STATES)

    def __call__(self, environ, start_response):
        """Answers, or lets the app answer."""
        address = _ADDRESS.fullmatch(environ["PATH_INFO"])
        if address and environ["REQUEST_METHOD"] == "GET" and (known := self._known(*address.groups(), environ)):
            status, headers, body = known
            start_response(status, [*(web.HEADERS | headers).items()])
            return [body]
        return self.pages(environ, start_response)

    def _known(self, token, part, environ):
        held = environ.get("HTTP_" + HELD[part].upper().replace("-", "_"), "")
        asked = Asked(token, part, held, web.takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")), utcnow())
        # A database that does not answer is the app's to explain.
        with suppress(SQLAlchemyError):
            found = self._states.get(token, self._state)
            if found is not None and not has_ended(found, asked.moment):
                return answer(found, asked, self.app.config["TRACKING_BUILD"], may_draw=False)
        return None

    def _state(self, token):
        with self.app.app_context():
            found = state(token)
        # Many pages have these in common, and need not each keep them.
        return found and found._replace(**{name: intern(getattr(found, name)) for name in _IN_COMMON})

    def _engine(self):
        with self.app.app_context():
            return db.engines["reads"]
