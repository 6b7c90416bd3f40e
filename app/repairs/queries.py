"""Reads: one repair, the board, and what people are looking for."""

import re
from dataclasses import dataclass
from datetime import datetime

from flask import abort, request
from sqlalchemy import Select, and_, case, func, or_, select
from sqlalchemy.orm import contains_eager, joinedload

from .. import auth, formats, rules
from ..db import db
from ..models import Branch, Customer, Event, Photo, Repair, Shop, Staff
from ..rules import Role, Status

PAGE_SIZE = 50
_OPEN = [status for status in Status if status not in rules.CLOSED]
_UNFINISHED = [status for status in _OPEN if status != Status.READY]


def get_repair(code: str, doing: str) -> Repair:
    """The repair with that code, for whoever may do that with it; else 403 or 404.

    For a POST the row is locked until the action commits, so that what was checked still holds.
    """
    if not re.fullmatch(r"[\w-]{1,20}", code):
        abort(404)
    query = (
        select(Repair)
        .where(Repair.code == code.upper())
        .options(joinedload(Repair.customer, innerjoin=True), joinedload(Repair.branch, innerjoin=True))
    )
    if request.method == "POST":
        query = query.with_for_update(of=Repair)
    repair = db.session.scalar(query)
    if repair is None:
        abort(404)
    auth.demand(doing)
    return repair


def history(repair: Repair) -> list[Event]:
    """Everything that happened to a repair, oldest first, with who did it."""
    query = select(Event).where(Event.repair_id == repair.id).options(joinedload(Event.staff)).order_by(Event.id)
    return list(db.session.scalars(query))


def photos(repair: Repair) -> list[Photo]:
    """A repair's photos, in the order in which they were added, with who did it."""
    query = select(Photo).where(Photo.repair_id == repair.id).options(joinedload(Photo.staff)).order_by(Photo.id)
    return list(db.session.scalars(query))


def get_photo(repair: Repair, name: str) -> Photo:
    """The repair's photo with that name; else 404."""
    # Names are letters and digits; PostgreSQL takes offence at some of what else an address may hold.
    if not name.isalnum():
        abort(404)
    return db.session.scalar(select(Photo).where(Photo.repair_id == repair.id, Photo.name == name)) or abort(404)


def technicians() -> list[Staff]:
    """Everyone a repair can be given to: active, and at the bench."""
    bench = [Role.TECHNICIAN, Role.MANAGER, Role.OWNER]
    return list(db.session.scalars(select(Staff).where(Staff.active, Staff.role.in_(bench)).order_by(Staff.name)))


def branches() -> list[Branch]:
    """All branches, by name."""
    return list(db.session.scalars(select(Branch).order_by(Branch.name)))


@dataclass(frozen=True)
class Counts:
    """How many repairs there are: by status, and of the open ones those late and due today."""

    by_status: dict[str, int]
    late: int
    today: int

    @property
    def open(self) -> int:
        return sum(self.by_status.get(status, 0) for status in _OPEN)


@dataclass(frozen=True)
class Board:
    """A page of repairs, and what stands around it."""

    rows: list[Repair]
    total: int
    page: int
    counts: Counts

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // PAGE_SIZE))


def board(wanted, shop: Shop, now: datetime) -> Board:
    """The repairs wanted (a forms.BoardFilter), the counts for its branch, and the page asked for.

    A search looks at finished repairs too, after the open ones; a board without one leaves them out.
    """
    bounds = formats.day_bounds(shop.timezone, now)
    matching = _matching(wanted, now, bounds)
    total = db.session.scalar(select(func.count()).select_from(matching.subquery()))
    page = min(wanted.page, max(1, -(-total // PAGE_SIZE)))
    rows = db.session.scalars(
        matching.options(
            contains_eager(Repair.customer), joinedload(Repair.technician), joinedload(Repair.branch, innerjoin=True)
        )
        .order_by(*_order(wanted.sort))
        .limit(PAGE_SIZE)
        .offset((page - 1) * PAGE_SIZE)
    )
    return Board(list(rows), total, page, _counts(wanted.branch, now, bounds))


def _matching(wanted, now, bounds) -> Select:
    query = select(Repair).join(Repair.customer)
    if wanted.branch:
        query = query.where(Repair.branch_id == wanted.branch)
    if wanted.show == "late":
        query = query.where(_late(now))
    elif wanted.show == "today":
        query = query.where(_due_today(bounds))
    elif wanted.show in set(Status):
        query = query.where(Repair.status == wanted.show)
    elif not wanted.q:
        query = query.where(Repair.status.in_(_OPEN))
    for word in formats.search_words(wanted.q):
        # An IMEI is found with and without the gaps that people write into it.
        written = {word, formats.compact(word)} - {""}
        query = query.where(
            or_(*(Repair.search.contains(text, autoescape=True) for text in written), Customer.matches(word))
        )
    return query


def _late(now):
    return and_(Repair.promised_at <= now, Repair.status.in_(_UNFINISHED))


def _due_today(bounds):
    return and_(Repair.promised_at >= bounds[0], Repair.promised_at < bounds[1], Repair.status.in_(_OPEN))


def _order(sort: str):
    if sort == "newest":
        return (Repair.id.desc(),)
    if sort == "oldest":
        return (Repair.id,)
    if sort == "status":
        position = case({status: number for number, status in enumerate(Status)}, value=Repair.status)
        return position, Repair.id
    # The most pressing first; what only waits for its customer comes after all that waits for the shop.
    waits = case((Repair.status.in_(list(rules.CLOSED)), 2), (Repair.status == Status.READY, 1), else_=0)
    return waits, Repair.promised_at.is_(None), Repair.promised_at, Repair.id.desc()


def _counts(branch: int | None, now, bounds) -> Counts:
    query = select(
        Repair.status,
        func.count(),
        func.sum(case((_late(now), 1), else_=0)),
        func.sum(case((_due_today(bounds), 1), else_=0)),
    ).group_by(Repair.status)
    if branch:
        query = query.where(Repair.branch_id == branch)
    rows = db.session.execute(query).all()
    return Counts({row[0]: row[1] for row in rows}, sum(row[2] for row in rows), sum(row[3] for row in rows))
