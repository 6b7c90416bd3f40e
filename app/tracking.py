"""The customer's page: a token in, where the repair stands out. Reads only.

It is built from View, which lists everything that may be shown. No customer, serial number, note or
price is ever in it.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, current_app, request
from sqlalchemy import bindparam, select
from sqlalchemy.orm import joinedload

from . import formats, rules, sharing
from .db import db, utcnow
from .models import Event, Repair, Shop, contact
from .rules import Kind, Status
from .web import error_page, public

bp = Blueprint("tracking", __name__)

HEADERS = {
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}
TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")

# Built once: building a statement costs more than running it.
_STATE = (
    select(
        Repair.id,
        Repair.version,
        Repair.status,
        Repair.promised_at,
        Repair.moved_at,
        Shop.version.label("shop_version"),
        Shop.link_days,
        Shop.timezone,
    )
    .join(Shop, Shop.id == 1)
    .where(Repair.token == bindparam("token"))
)
_REPAIR = select(Repair).where(Repair.id == bindparam("id")).options(joinedload(Repair.branch, innerjoin=True))
_EVENTS = select(Event).where(Event.repair_id == bindparam("id")).order_by(Event.id)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the timeline, in the customer's words."""

    status: Status
    state: str
    label: str
    sentence: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Late:
    """What is said once the promise has passed."""

    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the customer's page may show."""

    tag: str
    shop: str
    branch: str
    country: str
    timezone: str
    code: str
    item: str
    problem: str
    received_at: datetime
    status: Status
    accent: str
    label: str
    sentence: str
    next_up: str
    progress: int | None
    deadline: datetime | None
    promise_reason: str
    withdrawn: str
    late: Late | None
    ready_since: datetime | None
    cancel_reason: str
    updates: list[tuple[datetime, str]]
    timeline: list[Line]
    changed_at: datetime
    phone: str
    whatsapp: str
    address: str


def init_app(app):
    """Registers the pages; what they are drawn with is part of every page's tag."""
    code, templates = Path(app.root_path), Path(app.root_path).parent / "templates"
    modules = [code / name for name in ("tracking.py", "rules.py", "formats.py", "sharing.py")]
    drawn_with = [*modules, templates / "public.html", *sorted((templates / "tracking").iterdir())]
    app.config["TRACKING_BUILD"] = hashlib.sha256(
        b"".join(file.read_bytes() for file in drawn_with) + repr(sorted(app.config["ASSETS"].items())).encode()
    ).hexdigest()[:8]
    app.register_blueprint(bp)


@bp.get("/t/<token>")
@public
def show(token):
    """The whole page."""
    state = _state(token)
    if state is None:
        return _unknown()
    if _ended(state):
        return _gone(state)
    # A copy with a countdown in it knows the time of its making, so it is good for one reading only.
    counting = state.promised_at is not None and state.promised_at > utcnow()
    is_present = (lambda tag: False) if counting else request.if_none_match.contains_weak
    return _answer(state, "tracking/show.html", token, is_present)


@bp.get("/t/<token>/live")
@public
def live(token):
    """The part that changes. Answers 304 while the tag the page holds is the present one."""
    state = _state(token)
    if state is None or _ended(state):
        # The page reloads itself and then says what happened.
        return Response(status=404 if state is None else 410, headers=HEADERS | {"HX-Refresh": "true"})
    answer = _answer(state, "tracking/_live.html", token, request.headers.get("HX-PTag", "").__eq__)
    # With it a browser would ask by its own copy, turn our 304 into that, and htmx would draw it again every time.
    del answer.headers["ETag"]
    return answer


def _state(token: str):
    """What decides the answer, in one indexed read; None for a token that nothing has."""
    if not TOKEN.fullmatch(token):
        return None
    return db.session.execute(_STATE, {"token": token}).one_or_none()


def _ended(state) -> bool:
    """Whether the link's days after the repair was closed are over."""
    return (
        state.status in rules.CLOSED
        and state.link_days > 0
        and utcnow() > state.moved_at + timedelta(days=state.link_days)
    )


def _tag(state) -> str:
    """Names one state of the page.

    It changes with the repair, the shop and the program, and with the clock where the page says a word
    about it: at midnight in the shop ("today"), and as a repair gets later ("5 minutes ago").
    """
    now = utcnow()
    late = (now - state.promised_at) // timedelta(minutes=1) if state.promised_at else -1
    late = max(late, -1) if late < 60 else 60 + late // 60
    day = now.astimezone(ZoneInfo(state.timezone)).toordinal()
    return f"{state.version}.{state.shop_version}.{day}.{late}.{current_app.config['TRACKING_BUILD']}"


def _answer(state, template, token, is_present):
    tag = _tag(state)
    headers = HEADERS | {"HX-PTag": tag, "ETag": f'W/"{tag}"', "Vary": "Accept-Encoding"}
    if is_present(tag):
        return Response(status=304, headers=headers)
    view = _view(state, tag)
    # Straight from the template: the staff's context would read the session, which this page does not have.
    html = current_app.jinja_env.get_template(template).render(view=view, token=token, now=utcnow())
    if "gzip" in request.accept_encodings:
        return Response(
            gzip.compress(html.encode(), 6), headers=headers | {"Content-Encoding": "gzip"}, mimetype="text/html"
        )
    return Response(html, headers=headers, mimetype="text/html")


def _view(state, tag) -> View:
    repair = db.session.scalar(_REPAIR, {"id": state.id})
    events = list(db.session.scalars(_EVENTS, {"id": state.id}))
    shop = db.session.get(Shop, 1)
    status, moves = repair.stage, rules.standing_moves(events)
    held = Status(repair.paused_from) if repair.paused_from else None
    promises = [event for event in events if event.kind == Kind.PROMISED]
    last = promises[-1] if promises else None
    reason = last.text if last else ""
    unfinished = status not in rules.CLOSED | {Status.READY}
    ahead = unfinished and repair.promised_at is not None and repair.promised_at > utcnow()
    where = contact(shop, repair.branch)
    return View(
        tag=tag,
        shop=shop.name,
        branch=repair.branch.name,
        country=shop.country,
        timezone=shop.timezone,
        code=repair.code,
        item=repair.item,
        problem=repair.problem,
        received_at=repair.received_at,
        status=status,
        accent=rules.accent(status),
        label=status.label,
        sentence=rules.SENTENCES[status],
        next_up=rules.NEXT_UP[status],
        progress=rules.progress(status, held),
        deadline=repair.promised_at if ahead else None,
        promise_reason=reason if ahead and last.old else "",
        withdrawn=reason if unfinished and last and last.new is None else "",
        late=Late(repair.promised_at, reason) if repair.is_late(utcnow()) else None,
        ready_since=repair.moved_at if status == Status.READY else None,
        cancel_reason=moves[-1].text if status == Status.CANCELLED and moves[-1].public else "",
        updates=[(event.at, event.text) for event in reversed(events) if event.kind == Kind.UPDATED],
        timeline=_lines(status, held, repair.received_at, moves),
        changed_at=_changed_at(repair, events),
        phone=where["phone"],
        whatsapp=sharing.whatsapp_url(where["whatsapp"], f"Hello, this is about repair {repair.code}.")
        if where["whatsapp"]
        else "",
        address=where["address"],
    )


def _lines(status, held, received_at, moves) -> list[Line]:
    words = {"current": rules.SENTENCES, "done": rules.PAST, "upcoming": rules.AHEAD}
    lines = []
    for step in rules.timeline(status, received_at, moves):
        if step.state == "skipped":
            sentence = "" if status == Status.CANCELLED else "Not needed."
        elif step.status == held:
            sentence = "Goes on here when the part arrives."
        else:
            sentence = words[step.state][step.status]
        lines.append(Line(step.status, step.state, step.status.label, sentence, step.at))
    return lines


def _changed_at(repair: Repair, events: list[Event]) -> datetime:
    """When something that the customer sees last changed: what only staff sees does not count."""
    internal = {Kind.NOTED, Kind.LINK_REPLACED, Kind.PHOTO_ADDED, Kind.PHOTO_REMOVED}
    news = (event.at for event in events if event.kind not in internal and not _edits_internals(event))
    return max(news, default=repair.received_at)


def _edits_internals(event: Event) -> bool:
    return event.kind == Kind.EDITED and {"item", "problem"}.isdisjoint((event.new or "").split())


def _unknown():
    """One answer for every token that opens nothing: unknown, malformed and replaced look the same."""
    answer = error_page(
        404, title="This link opens nothing", text="Check that it is complete, or ask the shop for a new one."
    )
    answer.headers.update(HEADERS)
    return answer


def _gone(state):
    repair = db.session.scalar(_REPAIR, {"id": state.id})
    shop = db.session.get(Shop, 1)
    html = current_app.jinja_env.get_template("tracking/gone.html").render(
        shop=shop, contact=contact(shop, repair.branch), phone=formats.format_phone
    )
    return Response(html, 410, headers=HEADERS, mimetype="text/html")
