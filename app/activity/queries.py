"""Reads: one stream of all that happened, the newest first, out of the repairs' histories and the shop's own record.

It is read along an index on the time, and never further back than LOOKS_AT lines for a page: what is rare, in a shop
with millions of lines, is come upon by going on.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, and_, false, literal, null, or_, select, union_all

from ..db import db
from ..models import Activity, Branch, Event, Repair, Staff
from ..rules import DEED_GROUPS, KIND_GROUPS
from .forms import ActivityFilter, Place

PAGE_SIZE = 50
LOOKS_AT = 20_000
# Lines of the same moment: what happened to repairs comes first.
EVENT, ACTIVITY = "e", "a"


@dataclass(frozen=True)
class Choices:
    """Whom and where there is to choose from, and everybody's name: {number: name}."""

    people: list[tuple[int, str]]
    branches: list[tuple[int, str]]
    names: dict[int, str]


def choices(branch_id: int | None) -> Choices:
    """Everybody, and all branches; for somebody held to a branch, to choose from: its people and the owners."""
    people = select(literal("staff").label("what"), Staff.id, Staff.name, Staff.branch_id, Staff.role)
    branches = select(literal("branch"), Branch.id, Branch.name, null(), literal(""))
    rows = db.session.execute(union_all(people, branches)).all()
    staff = sorted((row for row in rows if row[0] == "staff"), key=lambda row: row[2].casefold())
    offered = [row for row in staff if branch_id in (None, row[3]) or row[4] == "owner"]
    places = sorted(((row[1], row[2]) for row in rows if row[0] == "branch"), key=lambda row: row[1].casefold())
    return Choices([(row[1], row[2]) for row in offered], places, {row[1]: row[2] for row in staff})


@dataclass(frozen=True)
class Stream:
    """A page of lines, and where it goes on; None at the end.

    looked_back_to: set where the page is not full only because it would have had to look further than that.
    """

    lines: list
    goes_on: Place | None
    looked_back_to: datetime | None


def stream(wanted: ActivityFilter) -> Stream:
    """The lines wanted, the newest first."""
    sources = [source for source in (EVENT, ACTIVITY) if _may_have(wanted, source)]
    horizon = _horizon(wanted, sources)
    # One more than a page holds tells whether there is another page.
    parts = [select(_lines(wanted, source, horizon).limit(PAGE_SIZE + 1).subquery()) for source in sources]
    rows = db.session.execute(union_all(*parts) if len(parts) > 1 else parts[0]).all() if parts else []
    rows.sort(key=lambda row: (row.at, row.source, row.id), reverse=True)
    if len(rows) > PAGE_SIZE:
        last = rows[PAGE_SIZE - 1]
        return Stream(rows[:PAGE_SIZE], Place(last.at, last.source, last.id), None)
    return Stream(rows, Place(horizon, ACTIVITY, 0) if horizon else None, horizon)


def _may_have(wanted: ActivityFilter, source: str) -> bool:
    if source == EVENT:
        return wanted.kind not in DEED_GROUPS
    return wanted.kind not in KIND_GROUPS and not wanted.code


def _horizon(wanted: ActivityFilter, sources: list[str]) -> datetime | None:
    """How far back a page looks, where it looks for something that may be rare; None for all the way."""
    if wanted.code or not (wanted.kind or wanted.branch):
        return None
    # Along the index alone: not a single row is read for it.
    ends = [
        _bounded(select(_model(source).at), wanted, source)
        .order_by(_model(source).at.desc())
        .offset(LOOKS_AT)
        .limit(1)
        .scalar_subquery()
        for source in sources
    ]
    return max(filter(None, db.session.execute(select(*ends)).one()), default=None)


def _model(source: str):
    return Event if source == EVENT else Activity


def _bounded(query: Select, wanted: ActivityFilter, source: str) -> Select:
    """Only those of that person, between those days, and after that place."""
    model, place = _model(source), wanted.before
    if wanted.who:
        query = query.where(model.staff_id == wanted.who)
    if wanted.start:
        query = query.where(model.at >= wanted.start)
    if wanted.end:
        query = query.where(model.at < wanted.end)
    if place:
        later = model.id < place.number if source == place.source else literal(source < place.source)
        query = query.where(model.at <= place.at, or_(model.at < place.at, later))
    return query


def _lines(wanted: ActivityFilter, source: str, horizon: datetime | None) -> Select:
    query = _bounded(_events() if source == EVENT else _activities(), wanted, source)
    model = _model(source)
    if horizon:
        query = query.where(model.at >= horizon)
    if wanted.kind:
        query = query.where(model.kind.in_(sorted({**KIND_GROUPS, **DEED_GROUPS}[wanted.kind][1])))
    if wanted.branch:
        # "+ 0" keeps the databases from beginning with a branch's repairs, and sorting all that ever happened to them.
        where = Repair.branch_id + 0 if source == EVENT else Activity.branch_id
        query = query.where(where == wanted.branch)
    if wanted.code:
        query = query.where(Event.repair_id == select(Repair.id).where(Repair.code == wanted.code).scalar_subquery())
    return query.order_by(model.at.desc(), model.id.desc())


def _events() -> Select:
    return select(
        *(literal(EVENT).label("source"), Event.id, Event.at, Event.staff_id, Event.kind, Repair.branch_id),
        *(Repair.code, Repair.item, Event.old, Event.new, Event.text, Event.public, literal("").label("subject")),
    ).join(Repair, and_(Repair.id == Event.repair_id))


def _activities() -> Select:
    nothing = [literal("").label(name) for name in ("code", "item", "old", "new")]
    return select(
        *(literal(ACTIVITY).label("source"), Activity.id, Activity.at, Activity.staff_id, Activity.kind),
        *(Activity.branch_id, *nothing, Activity.text, false().label("public"), Activity.subject),
    )
