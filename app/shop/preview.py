"""The customer's page as it would be with the settings that are typed: about a repair that nobody ever left."""

from datetime import datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace

from flask_babel import force_locale, lazy_gettext
from flask_babel import gettext as _

from .. import formats, rules
from ..models import Branch, Shop
from ..rules import Kind, Status
from ..tracking import queries
from ..tracking.queries import View

# What can be looked at: the statuses, and one that is late.
LATE = "late"
STATES = {**{status.value: rules.LABELS[status] for status in Status}, LATE: lazy_gettext("Late")}
USUAL = Status.REPAIRING.value


def view(shop: Shop, branch: Branch, typed: dict, state: str, now: datetime) -> View:
    """What the page shows of a made-up repair at that branch. typed: what goes before the shop's own values."""
    fields = ("name", "country", "timezone", "language", "phone", "whatsapp", "address", "sentences", "hidden")
    logo = ("logo", "logo_width", "logo_height", "logo_tone")
    as_typed = SimpleNamespace(**{name: typed.get(name, getattr(shop, name)) for name in (*fields, *logo)})
    status = Status.REPAIRING if state == LATE else Status(state)
    promise = now - timedelta(hours=3) if state == LATE else formats.pick("tomorrow", as_typed.timezone, now)
    with force_locale(as_typed.language):
        events = _events(status, promise, now)
        # Words that a shop for phones, bicycles or violins may all have written.
        item, problem = _("Example item"), _("It fell down, and something in it is loose.")
    unfinished = status in rules.UNFINISHED
    repair = SimpleNamespace(
        id=0,
        code=f"{shop.code}-{branch.code}-R0042",
        item=item,
        problem=problem,
        received_at=events[0].at,
        moved_at=max((event.at for event in events if event.kind in rules.MOVES), default=events[0].at),
        status=status,
        paused_from=Status.REPAIRING if status == Status.WAITING_PARTS else None,
        promised_at=promise if unfinished else None,
        branch=branch.name,
        phone=branch.phone,
        whatsapp=branch.whatsapp,
        address=branch.address,
        hours=branch.hours,
    )
    return queries.compose(as_typed, repair, events, "preview")


def _events(status: Status, promise: datetime, now: datetime) -> list[SimpleNamespace]:
    """How the repair came to where it stands, a few hours from step to step, until seven hours ago."""
    path = [*rules.PATH[: rules.PATH.index(status) + 1]] if status in rules.PATH else [*rules.PATH[:3], status]
    at = now - timedelta(hours=5 * len(path) + 2)
    events = [_event(at, Kind.RECEIVED)]
    for old, new in pairwise(path):
        at += timedelta(hours=5)
        kind = {Status.WAITING_PARTS: Kind.PAUSED, Status.CANCELLED: Kind.CANCELLED}.get(new, Kind.ADVANCED)
        reason = _("The maker no longer has this part.") if kind == Kind.CANCELLED else ""
        events.append(_event(at, kind, old, new, reason, public=bool(reason)))
    reason = _("The part that we need comes a day later.") if promise < now else ""
    events.append(_event(events[0].at, Kind.PROMISED, None, formats.iso_utc(promise), reason))
    if status in {Status.REPAIRING, Status.TESTING, Status.READY}:
        news = _("The new part is in, and it fits well.")
        events.append(_event(now - timedelta(hours=1), Kind.UPDATED, text=news))
    return events


def _event(at, kind, old=None, new=None, text="", public=False) -> SimpleNamespace:
    return SimpleNamespace(id=0, at=at, kind=kind, old=old, new=new, text=text, public=public)
