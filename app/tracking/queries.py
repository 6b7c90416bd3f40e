"""Everything that the customer's page may show, read by a repair's token.

It is built from View, which lists it all. No customer, serial number, note or price is ever in it.
"""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from flask_babel import force_locale
from flask_babel import gettext as _
from sqlalchemy import bindparam, select

from .. import formats, hours, rules, sharing
from ..models import Branch, Event, Repair, Shop, contact
from ..reads import QuickRead
from ..rules import Kind, Status
from ..web import now

SHOP = QuickRead(
    select(
        *(Shop.name, Shop.country, Shop.timezone, Shop.language, Shop.phone, Shop.whatsapp, Shop.address),
        *(Shop.sentences, Shop.hidden, Shop.logo, Shop.logo_width, Shop.logo_height, Shop.logo_tone),
    ).where(Shop.id == bindparam("shop"))
)
REPAIR = QuickRead(
    select(
        *(Repair.id, Repair.code, Repair.item, Repair.problem, Repair.received_at, Repair.moved_at),
        *(Repair.status, Repair.paused_from, Repair.promised_at),
        *(Branch.name.label("branch"), Branch.phone, Branch.whatsapp, Branch.address, Branch.hours),
    )
    .join(Branch, Branch.id == Repair.branch_id)
    .where(Repair.token == bindparam("token"))
)
_EVENTS = QuickRead(
    select(Event.id, Event.at, Event.kind, Event.old, Event.new, Event.text, Event.public)
    .where(Event.repair_id == bindparam("repair"))
    .order_by(Event.id)
)


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
class Hours:
    """When the branch is open: what holds now, and the week as (days, times)."""

    open: bool
    now: str
    week: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Logo:
    """The shop's logo. wide: it has the shop's name in it, as far as its shape tells."""

    name: str
    width: int
    height: int
    tone: str

    @property
    def wide(self) -> bool:
        return self.width >= 2 * self.height


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the customer's page may show. What the shop leaves out of it is empty."""

    tag: str
    shop: str
    logo: Logo | None
    branch: str
    country: str
    timezone: str
    language: str
    code: str
    item: str
    problem: str
    received_at: datetime | None
    status: Status
    accent: str
    label: str
    sentence: str
    next_up: str
    progress: int | None
    deadline: datetime | None
    promise_reason: str
    promise_changed: bool
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
    hours: Hours | None


def view(token: str, tag: str) -> View | None:
    """What the page of that token shows now; None if nothing has it. tag: names the state."""
    shop = SHOP.one(shop=1)
    repair = REPAIR.one(token=token)
    if repair is None:
        return None
    return compose(shop, repair, _EVENTS.all(repair=repair.id), tag)


def compose(shop, repair, events: list, tag: str) -> View:
    """What the page of a repair shows, in the shop's language: of rows as SHOP, REPAIR and _EVENTS give them."""
    with force_locale(shop.language):
        return _compose(shop, repair, events, tag)


def _compose(shop, repair, events: list, tag: str) -> View:
    status, moves = Status(repair.status), rules.standing_moves(events)
    held = Status(repair.paused_from) if repair.paused_from else None
    taken_back = rules.taken_back(events)
    promises = [event for event in events if event.kind == Kind.PROMISED]
    last = promises[-1] if promises else None
    reason = last.text if last else ""
    unfinished = status in rules.UNFINISHED
    ahead = unfinished and repair.promised_at is not None and repair.promised_at > now()
    late = unfinished and repair.promised_at is not None and not ahead
    where = contact(shop, branch=repair)
    shown = {*rules.DETAILS}.difference(shop.hidden)
    present = shop.sentences.get(status) or str(rules.SENTENCES[status])
    return View(
        tag=tag,
        shop=shop.name,
        logo=logo_of(shop),
        branch=repair.branch if "branch" in shown else "",
        country=shop.country,
        timezone=shop.timezone,
        language=shop.language,
        code=repair.code,
        item=repair.item if "item" in shown else "",
        problem=repair.problem if "problem" in shown else "",
        received_at=repair.received_at if "received" in shown else None,
        status=status,
        accent=rules.accent(status),
        label=status.label,
        sentence=present,
        next_up=str(rules.NEXT_UP[status]),
        progress=rules.progress(status, held),
        deadline=repair.promised_at if ahead else None,
        promise_reason=reason if ahead else "",
        promise_changed=bool(last and last.old),
        withdrawn=reason if unfinished and last and last.new is None else "",
        late=Late(repair.promised_at, reason) if late else None,
        ready_since=repair.moved_at if status == Status.READY else None,
        cancel_reason=moves[-1].text if status == Status.CANCELLED and moves[-1].public else "",
        updates=[
            (event.at, event.text)
            for event in reversed(events)
            if event.kind == Kind.UPDATED and event.id not in taken_back
        ],
        timeline=_lines(status, held, repair.received_at, moves, present),
        changed_at=max(
            (event.at for event in events if not rules.is_internal(event.kind, event.new)), default=repair.received_at
        ),
        phone=where["phone"],
        whatsapp=sharing.whatsapp_url(where["whatsapp"], _("Hello, this is about repair %(code)s.", code=repair.code))
        if where["whatsapp"]
        else "",
        address=where["address"] if "address" in shown else "",
        hours=hours_of(shop, repair),
    )


def logo_of(shop) -> Logo | None:
    """The shop's logo, if it has one."""
    return Logo(shop.logo, shop.logo_width, shop.logo_height, shop.logo_tone) if shop.logo else None


def hours_of(shop, branch) -> Hours | None:
    """When a branch is open, as its customers read it; None where the shop does not say."""
    present = hours.state(branch.hours, now().astimezone(ZoneInfo(shop.timezone)))
    if present is None or "hours" in shop.hidden:
        return None
    week = [
        (" – ".join(formats.weekday(day) for day in sorted({first, last})), formats.opening_hours(spans, shop.country))
        for first, last, spans in hours.lines(branch.hours)
    ]
    return Hours(present.open, formats.opening(present, shop.country), week)


def _lines(status, held, received_at, moves, present) -> list[Line]:
    words = {"current": {status: present}, "done": rules.PAST, "upcoming": rules.AHEAD}
    lines = []
    for step in rules.timeline(status, received_at, moves):
        if step.state == "skipped":
            sentence = "" if status == Status.CANCELLED else _("Not needed.")
        elif step.status == held:
            sentence = _("Goes on here when the part arrives.")
        else:
            sentence = str(words[step.state][step.status])
        lines.append(Line(step.status, step.state, step.status.label, sentence, step.at))
    return lines
