"""Reads: one repair, the board, and what people are looking for."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from flask import abort, request
from sqlalchemy import Select, and_, case, func, literal, null, select, union_all
from sqlalchemy.orm import joinedload

from .. import auth, formats, rules, search
from ..db import db
from ..models import Activity, Branch, Event, Photo, Repair, SavedFilter, Shop, Staff
from ..rules import Deed, Status
from . import scanning

PAGE_SIZE = 50
# How many lines of a history stand open.
UNFOLDED = 10
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
        .options(
            joinedload(Repair.customer, innerjoin=True),
            joinedload(Repair.branch, innerjoin=True),
            joinedload(Repair.technician),
        )
    )
    if request.method == "POST":
        query = query.with_for_update(of=Repair)
    repair = db.session.scalar(query)
    if repair is None and request.method == "POST":
        # While one waited for the lock it went to another customer: PostgreSQL then finds no row, joined with whose it
        # was.
        repair = db.session.scalar(query)
    if repair is None or not auth.me().sees(repair.branch_id):
        abort(404)
    auth.demand(doing)
    return repair


def history(repair: Repair) -> list[Event]:
    """Everything that happened to a repair, oldest first, with who did it."""
    query = select(Event).where(Event.repair_id == repair.id).options(joinedload(Event.staff)).order_by(Event.id)
    return list(db.session.scalars(query))


def last_change(repair: Repair) -> tuple[Staff | None, datetime]:
    """Who changed a repair last, and when; a change of the shop's currency changes all that have an estimate."""
    last = history(repair)[-1]
    changed = select(Activity).where(Activity.kind == Deed.SHOP_CHANGED, Activity.at > last.at)
    changed = changed.where(Activity.text.contains("currency")).order_by(Activity.id.desc()).limit(1)
    newer = db.session.scalar(changed) if repair.estimate is not None else None
    return (newer or last).staff, (newer or last).at


@dataclass(frozen=True)
class History:
    """What a repair's page shows of its history, the newest first: recent, and what is folded away below.

    groups: (name, label, how many) of the kinds that there are, to choose from; chosen: "" for all.
    """

    chosen: str
    groups: list[tuple[str, str, int]]
    recent: list[Event]
    older: list[Event]


def part_of_history(events: list[Event], chosen: str) -> History:
    """The events of the chosen group."""
    counts = {name: sum(event.kind in kinds for event in events) for name, (_, kinds) in rules.KIND_GROUPS.items()}
    groups = [(name, label, counts[name]) for name, (label, _) in rules.KIND_GROUPS.items() if counts[name]]
    shown = [event for event in reversed(events) if not chosen or event.kind in rules.KIND_GROUPS[chosen][1]]
    # One or two more are not worth a fold.
    recent = len(shown) if len(shown) <= UNFOLDED + 2 else UNFOLDED
    return History(chosen, groups, shown[:recent], shown[recent:])


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


def meant(typed: str) -> Repair | None:
    """The one repair of one's own that a scan means: by its code, its address, or its customer's link. None for words.

    The codes of other keyboards, and links in the wrong case, come after what was typed as it is.
    """
    for code in scanning.codes(typed):
        if repair := db.session.scalar(_own(select(Repair).where(Repair.code == code))):
            return repair
    if not (tokens := scanning.tokens(typed)):
        return None
    if repair := db.session.scalar(_own(select(Repair).where(Repair.token.in_(tokens))).limit(1)):
        return repair
    # All capitals, from a gun that is set so. Among the open ones, which are few, it can still be told whose it is.
    lower = {token.lower() for token in tokens}
    query = _own(select(Repair).where(Repair.status.in_(_OPEN), func.lower(Repair.token).in_(lower)))
    found = db.session.scalars(query.limit(2)).all()
    return found[0] if len(found) == 1 else None


def _own(query: Select) -> Select:
    """Only those repairs that whoever is signed in sees."""
    return query if (branch := auth.held_to()) is None else query.where(Repair.branch_id == branch)


@dataclass(frozen=True)
class Counts:
    """How many repairs are open: by status, late, and due today; of the late and of those due today by status too."""

    by_status: dict[str, int]
    late_by_status: dict[str, int]
    today_by_status: dict[str, int]

    @property
    def open(self) -> int:
        return sum(self.by_status.values())

    @property
    def late(self) -> int:
        return sum(self.late_by_status.values())

    @property
    def today(self) -> int:
        return sum(self.today_by_status.values())


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

    def groups(self, wanted) -> list[tuple[Status, int | None, list[Repair]]]:
        """(status, how many there are, the rows of this page) in the order of the flow. None: nobody has counted."""
        position = list(Status).index
        rows = sorted(self.rows, key=lambda repair: position(repair.status))
        counted = {"late": self.counts.late_by_status, "today": self.counts.today_by_status}
        known = {} if wanted.q else counted.get(wanted.show, self.counts.by_status)
        groups = [(Status(status), list(these)) for status, these in groupby(rows, key=lambda repair: repair.status)]
        whole = self.page == 1 and not self.has_more
        return [(status, known.get(status, len(these) if whole else None), these) for status, these in groups]


@dataclass(frozen=True)
class Name:
    """Something with a name that stands around the board: a branch, a technician, a saved view.

    detail: a branch's code, a technician's role, a view's query string. number: the next one of a branch, the branch
    of a technician.
    """

    kind: str
    id: int
    name: str
    detail: str
    number: int | None


def names_around() -> dict[str, list[Name]]:
    """By kind, the branches and technicians that one sees and one's own saved views, by name: one statement for all."""
    person, held = auth.me(), auth.held_to()
    rows = db.session.execute(
        union_all(
            select(literal("branch"), Branch.id, Branch.name, Branch.code, Branch.next_number),
            select(literal("technician"), Staff.id, Staff.name, Staff.role, Staff.branch_id).where(
                Staff.active, Staff.role.in_(rules.AT_THE_BENCH)
            ),
            select(literal("saved"), SavedFilter.id, SavedFilter.name, SavedFilter.query, null()).where(
                SavedFilter.staff_id == person.id
            ),
        )
    )
    found = {"branch": [], "technician": [], "saved": []}
    for name in sorted((Name(*row) for row in rows), key=lambda name: (formats.fold(name.name), name.id)):
        there = name.id if name.kind == "branch" else name.number
        if held is None or name.kind == "saved" or there == held or name.detail == rules.Role.OWNER:
            found[name.kind].append(name)
    return found


def board(wanted, shop: Shop, now: datetime) -> Board:
    """The repairs wanted (a forms.BoardFilter), and the counts for its branch.

    A search looks at finished repairs too, which come after the open ones on each page; unless it is so short that
    half of all repairs would match. A board without a search shows what is open.
    """
    bounds = formats.day_bounds(shop.timezone, now)
    is_short = bool(wanted.q) and search.is_short(wanted.q)
    shown = _shown(wanted, is_short)
    page, (rows, has_more) = wanted.page, _page(wanted, shown, wanted.page, now, bounds)
    if not rows and page > 1:
        # A page that is not there any more, or never was.
        page, (rows, has_more) = 1, _page(wanted, shown, 1, now, bounds)
    return Board(rows, page, has_more, is_short, _counts(wanted, now, bounds))


def all_wanted(columns, wanted, shop: Shop, now: datetime, *, finished: bool) -> Select:
    """The columns asked for, of all repairs that the board shows on whichever page, the oldest first.

    finished: what is finished too, whatever is asked for.
    """
    query = narrowed(select(*columns).select_from(Repair), wanted, now)
    is_short = bool(wanted.q) and search.is_short(wanted.q)
    if not finished:
        query = query.where(Repair.status.in_(_shown(wanted, is_short)))
    if wanted.show == "late":
        query = query.where(_late(now))
    elif wanted.show == "today":
        query = query.where(_due_today(formats.day_bounds(shop.timezone, now)))
    if is_short:
        query = query.where(*search.containing(Repair, wanted.q))
    elif wanted.q:
        query, _ = search.narrowed(query, Repair, wanted.q)
    return query.order_by(Repair.id)


def _shown(wanted, is_short: bool) -> set[Status]:
    if wanted.show in {*Status}:
        return {wanted.show}
    return {*Status} if wanted.q and not wanted.show and not is_short else {*_OPEN}


def _page(wanted, shown: set[Status], page: int, now, bounds) -> tuple[list[Repair], bool]:
    """What is open of a page, then what is closed, and whether there is more of either."""
    rows, has_more = [], False
    for statuses, find in ((_OPEN, _open), (list(rules.CLOSED), _closed)):
        if these := [status for status in statuses if status in shown]:
            ids, order = find(wanted, these, now, bounds)
            # One more than a page holds tells whether there is another page.
            found = _read(ids.limit(PAGE_SIZE + 1).offset((page - 1) * PAGE_SIZE), order)
            rows += found[:PAGE_SIZE]
            has_more |= len(found) > PAGE_SIZE
    return rows, has_more


def _read(ids: Select, order: tuple) -> list[Repair]:
    """The repairs of these ids, and of each its customer and technician.

    Apart from the finding: what a page skips is not joined, and on PostgreSQL is read from the index alone.
    """
    page = ids.subquery("page")
    query = (
        select(Repair)
        .join(page, page.c.id == Repair.id)
        .options(
            joinedload(Repair.customer, innerjoin=True),
            joinedload(Repair.technician),
        )
    )
    return list(db.session.scalars(query.order_by(*order)))


def narrowed(query: Select, wanted, now: datetime) -> Select:
    """A query of repairs with only those of the branch, of the hands and of the age that is wanted."""
    if wanted.branch:
        query = query.where(Repair.branch_id == wanted.branch)
    if wanted.who:
        query = query.where(Repair.technician_id == (auth.me().id if wanted.who == "mine" else None))
    if wanted.technician:
        query = query.where(Repair.technician_id == wanted.technician)
    if wanted.quiet:
        query = query.where(Repair.changed_at <= now - timedelta(days=wanted.quiet))
    return query


def _ids(wanted, statuses, now) -> Select:
    return narrowed(select(Repair.id).where(Repair.status.in_(statuses)), wanted, now)


def _open(wanted, statuses, now, bounds) -> tuple[Select, tuple]:
    """The ids, and their order. These are few: the index on the status finds them, and each is compared with what was
    typed.
    """
    query = _ids(wanted, statuses, now).where(*search.containing(Repair, wanted.q))
    if wanted.show == "late":
        query = query.where(_late(now))
    elif wanted.show == "today":
        query = query.where(_due_today(bounds))
    order = (*([_POSITION] if wanted.grouped else []), *_order(wanted.sort))
    return query.order_by(*order), order


def _closed(wanted, statuses, now, bounds) -> tuple[Select, tuple]:
    """The ids, and their order. These are all that ever were: read along an index, only as far as the page goes."""
    query, age, by = _ids(wanted, statuses, now), Repair.moved_at, Repair.moved_at
    if wanted.q:
        (query, age), by = search.narrowed(query, Repair, wanted.q), Repair.id
    oldest = wanted.sort == "oldest"
    return query.order_by(age if oldest else age.desc()), (by if oldest else by.desc(),)


def _late(now):
    return and_(Repair.promised_at <= now, Repair.status.in_(rules.UNFINISHED))


def _due_today(bounds):
    return and_(Repair.promised_at >= bounds[0], Repair.promised_at < bounds[1], Repair.status.in_(_OPEN))


# Along the flow.
_POSITION = case({status: number for number, status in enumerate(Status)}, value=Repair.status)


def _order(sort: str):
    if sort == "newest":
        return (Repair.id.desc(),)
    if sort == "oldest":
        return (Repair.id,)
    if sort == "status":
        return _POSITION, Repair.id
    # The most pressing first; what only waits for its customer comes after all that waits for the shop.
    waits = case((Repair.status == Status.READY, 1), else_=0)
    return waits, Repair.promised_at.is_(None), Repair.promised_at, Repair.id.desc()


def _counts(wanted, now, bounds) -> Counts:
    query = select(
        Repair.status,
        func.count(),
        func.sum(case((_late(now), 1), else_=0)),
        func.sum(case((_due_today(bounds), 1), else_=0)),
    )
    query = narrowed(query.where(Repair.status.in_(_OPEN)).group_by(Repair.status), wanted, now)
    rows = db.session.execute(query).all()
    return Counts(*({row[0]: row[number] for row in rows} for number in (1, 2, 3)))
