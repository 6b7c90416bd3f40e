"""Reads: one repair, the board, and what people are looking for."""

import re
from dataclasses import dataclass
from datetime import datetime

from flask import abort, request
from sqlalchemy import Select, and_, case, func, select
from sqlalchemy.orm import joinedload

from .. import auth, formats, rules, search
from ..db import db
from ..models import Branch, Event, Photo, Repair, Shop, Staff
from ..rules import Status

PAGE_SIZE = 50
_OPEN = [status for status in Status if status not in rules.CLOSED]


def get_repair(code: str, doing: str) -> Repair:
    """The repair with that code, for whoever may do that with it; else 403 or 404. Another branch's is not there.

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
    if repair is None or not auth.me().sees(repair.branch_id):
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


def technicians(branch_id: int | None = None) -> list[Staff]:
    """Everyone a repair of that branch (None: of any) can be given to: active, at the bench, and there to see it."""
    query = select(Staff).where(Staff.active, Staff.role.in_(rules.AT_THE_BENCH)).order_by(Staff.name)
    return [person for person in db.session.scalars(query) if branch_id is None or person.sees(branch_id)]


def branches() -> list[Branch]:
    """The branches that whoever is signed in sees, by name."""
    return [branch for branch in db.session.scalars(select(Branch).order_by(Branch.name)) if auth.me().sees(branch.id)]


@dataclass(frozen=True)
class Counts:
    """How many repairs are open: by status, late, and due today."""

    by_status: dict[str, int]
    late: int
    today: int

    @property
    def open(self) -> int:
        return sum(self.by_status.values())


@dataclass(frozen=True)
class Board:
    """A page of repairs, and what stands around it.

    has_more: whether there is a page after it. is_short: whether the search was too short to look at finished repairs.
    """

    rows: list[Repair]
    page: int
    has_more: bool
    is_short: bool
    counts: Counts


def board(wanted, shop: Shop, now: datetime) -> Board:
    """The repairs wanted (a forms.BoardFilter), and the counts for its branch.

    A search looks at finished repairs too, which come after the open ones on each page; unless it is so short that
    half of all repairs would match. A board without a search shows what is open.
    """
    bounds = formats.day_bounds(shop.timezone, now)
    is_short = bool(wanted.q) and search.is_short(wanted.q)
    shown = {wanted.show} if wanted.show in {*Status} else {*_OPEN}
    if wanted.q and not wanted.show and not is_short:
        shown = {*Status}
    page, (rows, has_more) = wanted.page, _page(wanted, shown, wanted.page, now, bounds)
    if not rows and page > 1:
        # A page that is not there any more, or never was.
        page, (rows, has_more) = 1, _page(wanted, shown, 1, now, bounds)
    return Board(rows, page, has_more, is_short, _counts(wanted.branch, now, bounds))


def _page(wanted, shown: set[Status], page: int, now, bounds) -> tuple[list[Repair], bool]:
    """What is open of a page, then what is closed, and whether there is more of either."""
    rows, has_more = [], False
    for statuses, find in ((_OPEN, _open), (list(rules.CLOSED), _closed)):
        if these := [status for status in statuses if status in shown]:
            # One more than a page holds tells whether there is another page.
            query = find(wanted, these, now, bounds).limit(PAGE_SIZE + 1).offset((page - 1) * PAGE_SIZE)
            found = list(db.session.scalars(query))
            rows += found[:PAGE_SIZE]
            has_more |= len(found) > PAGE_SIZE
    return rows, has_more


def _repairs(wanted, statuses) -> Select:
    query = select(Repair).where(Repair.status.in_(statuses))
    if wanted.branch:
        query = query.where(Repair.branch_id == wanted.branch)
    return query.options(
        joinedload(Repair.customer, innerjoin=True),
        joinedload(Repair.technician),
        joinedload(Repair.branch, innerjoin=True),
    )


def _open(wanted, statuses, now, bounds) -> Select:
    """These are few: the index on the status finds them, and what was typed is compared with each."""
    query = _repairs(wanted, statuses).where(*search.containing(Repair, wanted.q))
    if wanted.show == "late":
        query = query.where(_late(now))
    elif wanted.show == "today":
        query = query.where(_due_today(bounds))
    return query.order_by(*_order(wanted.sort))


def _closed(wanted, statuses, now, bounds) -> Select:
    """These are all that ever were: read along an index, from the newest, and only as far as the page goes."""
    query, age = _repairs(wanted, statuses), Repair.moved_at
    if wanted.q:
        query, age = search.narrowed(query, Repair, wanted.q)
    return query.order_by(age if wanted.sort == "oldest" else age.desc())


def _late(now):
    return and_(Repair.promised_at <= now, Repair.status.in_(rules.UNFINISHED))


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
    waits = case((Repair.status == Status.READY, 1), else_=0)
    return waits, Repair.promised_at.is_(None), Repair.promised_at, Repair.id.desc()


def _counts(branch: int | None, now, bounds) -> Counts:
    query = select(
        Repair.status,
        func.count(),
        func.sum(case((_late(now), 1), else_=0)),
        func.sum(case((_due_today(bounds), 1), else_=0)),
    )
    query = query.where(Repair.status.in_(_OPEN)).group_by(Repair.status)
    if branch:
        query = query.where(Repair.branch_id == branch)
    rows = db.session.execute(query).all()
    return Counts({row[0]: row[1] for row in rows}, sum(row[2] for row in rows), sum(row[3] for row in rows))
