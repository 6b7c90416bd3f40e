"""Reads: whose a number is, the list, and one customer with all that the shop knows of them.

Who was merged into somebody else is found by their number alone, and whoever finds them finds the one who was kept:
the number is among what that one is found by. Who was erased is found by nobody.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from flask import abort
from sqlalchemy import Select, and_, case, func, or_, select, true
from sqlalchemy.orm import joinedload

from .. import auth, formats, found_by, rules, search
from ..db import db
from ..models import Customer, Merge, Repair
from ..rules import Status

PAGE_SIZE = 50


def by_phone(phone: str, *, lock: bool = False) -> Customer | None:
    """The customer with that number (E.164), or the one who was kept when they were merged.

    lock: lets nobody merge or erase them before the caller commits.
    """
    return _followed(select(Customer).where(Customer.phone == phone), lock)


def kept(customer: Customer) -> Customer:
    """The one who was kept, for somebody who was merged; else they themselves."""
    return _followed(_kept_of(customer), False) if customer.merged_at else customer


def _followed(query: Select, lock: bool) -> Customer | None:
    if lock:
        query = query.with_for_update(read=True, key_share=True, of=Customer)
        query = query.execution_options(populate_existing=True)
    customer = db.session.scalar(query)
    return _followed(_kept_of(customer), lock) if customer and customer.merged_at else customer


def _kept_of(gone: Customer) -> Select:
    query = select(Customer).join(Merge, Merge.kept_id == Customer.id)
    return query.where(Merge.gone_id == gone.id, Merge.undone_at.is_(None))


def _seen(query: Select) -> Select:
    """Only those customers whom whoever is signed in sees: with a repair at their branch, or with none anywhere."""
    if (branch := auth.held_to()) is None:
        return query
    has_any = select(Repair.id).where(Repair.customer_id == Customer.id).correlate(Customer)
    return query.where(or_(has_any.where(Repair.branch_id == branch).exists(), ~has_any.exists()))


def _present(query: Select) -> Select:
    """Only those customers who are one: neither merged into another nor erased."""
    return query.where(Customer.merged_at.is_(None), Customer.erased_at.is_(None))


def _here():
    """The condition that whoever is signed in sees a repair."""
    return true() if (branch := auth.held_to()) is None else Repair.branch_id == branch


def known(typed: str, country: str) -> Customer | None:
    """Whose number it is, once it is typed in full; whatever branch they were at: a number is one customer's."""
    try:
        return by_phone(formats.parse_phone(typed, country))
    except ValueError:
        return None


def is_seen(customer: Customer) -> bool:
    """Whether whoever is signed in sees that customer's page."""
    if auth.held_to() is None:
        return True
    return db.session.scalar(_seen(select(Customer.id).where(Customer.id == customer.id))) is not None


def seen_among(ids: Iterable[int]) -> set[int]:
    """Those of many customers whose page whoever is signed in sees."""
    wanted = sorted(set(ids))
    if auth.held_to() is None:
        return set(wanted)
    query = _seen(select(Customer.id))
    # In parts: a statement cannot name any number of values.
    pages = (wanted[start : start + 500] for start in range(0, len(wanted), 500))
    return {found for page in pages for found in db.session.scalars(query.where(Customer.id.in_(page)))}


def matching(typed: str, limit: int = 4) -> list[Customer]:
    """Customers whose number has the digits typed so far, once there are four."""
    number = formats.digits(typed)
    if len(number) < 4:
        return []
    query, age = search.narrowed(_present(_seen(select(Customer))), Customer, number)
    return list(db.session.scalars(query.where(Customer.phone.contains(number)).order_by(age.desc()).limit(limit)))


def search_present(typed: str, but: Customer, limit: int = 20) -> list[tuple[Customer, int]]:
    """Customers who have every word typed, but for one of them, each with how many repairs one sees; by name."""
    query, _ = search.narrowed(_with_counts().where(Customer.id != but.id), Customer, typed)
    return list(db.session.execute(query.order_by(Customer.search, Customer.id).limit(limit)).all())


def doubles(customer: Customer) -> list[tuple[Customer, int]]:
    """Who could be the same person: by the same name or the same email, whatever the accents."""
    found = {}
    for field in ("name", "email"):
        wanted = formats.fold(getattr(customer, field))
        # A name of one or two letters would have every row looked at.
        if wanted and not search.is_short(wanted):
            rows = search_present(wanted, customer, limit=200)
            found |= {row[0].id: row for row in rows if formats.fold(getattr(row[0], field)) == wanted}
    return list(found.values())[:20]


def repair_counts(kept: Customer, gone: Customer, branch_id: int | None) -> tuple[int, int, int]:
    """How many repairs are the one's, how many the other's, and how many of these are at that branch (None: at any)."""
    counts = [select(func.count(Repair.id)).where(Repair.customer_id == row.id) for row in (kept, gone, gone)]
    if branch_id:
        counts[-1] = counts[-1].where(Repair.branch_id == branch_id)
    return tuple(db.session.execute(select(*(count.scalar_subquery() for count in counts))).one())


def merges(customer: Customer) -> list[Merge]:
    """Who was merged into a customer, and into those, the newest first: all that still stands."""
    query = select(Merge).where(Merge.id.in_(select(found_by.merged_into(customer.id).c.id))).order_by(Merge.id.desc())
    query = query.options(joinedload(Merge.gone), joinedload(Merge.staff))
    return list(db.session.scalars(query))


def get_merge(merge_id: int) -> Merge:
    """A merge, for whoever may undo it and sees the one who was kept; else 403 or 404."""
    auth.demand("customers.merge")
    query = select(Merge).join(Customer, Customer.id == Merge.kept_id).where(Merge.id == merge_id)
    query = query.options(joinedload(Merge.kept), joinedload(Merge.gone), joinedload(Merge.staff))
    made = db.session.scalar(_seen(query))
    # Who was merged on has no repairs any more, and who is two again has their own: those who have them count.
    if made is None or not is_seen(kept(made.kept)) or (made.undone_at and not is_seen(kept(made.gone))):
        abort(404)
    return made


def get_customer(customer_id: int, doing: str) -> Customer:
    """The customer, for whoever may do that; else 403 or 404. Another branch's is not there."""
    auth.demand(doing)
    return find_customer(customer_id) or abort(404)


def _with_counts() -> Select:
    theirs = select(func.count(Repair.id)).where(Repair.customer_id == Customer.id, _here())
    return _present(_seen(select(Customer, theirs.correlate(Customer).scalar_subquery())))


def find_customer(customer_id: int) -> Customer | None:
    """The customer, if there is one whom whoever is signed in sees; for somebody merged: if they see who was kept."""
    found = db.session.scalar(_seen(select(Customer).where(Customer.id == customer_id)))
    return found if found is None or not found.merged_at or is_seen(kept(found)) else None


@dataclass(frozen=True)
class Listed:
    """A page of customers, each with how many repairs one sees of them."""

    rows: list[tuple[Customer, int]]
    page: int
    has_more: bool


def listed(q: str, page: int) -> Listed:
    """The customers who have every word, by name."""
    query, _ = search.narrowed(_with_counts(), Customer, q)
    # One more than a page holds tells whether there is another page.
    query = query.order_by(Customer.search, Customer.id).limit(PAGE_SIZE + 1)
    rows = db.session.execute(query.offset((page - 1) * PAGE_SIZE)).all()
    if not rows and page > 1:
        # A page that is not there any more, or never was.
        rows, page = db.session.execute(query).all(), 1
    shown = rows[:PAGE_SIZE]
    return Listed(shown, page, len(rows) > PAGE_SIZE)


@dataclass(frozen=True)
class Totals:
    """What a customer's repairs come to, as far as one sees them.

    worth: the estimates of what was handed back, in minor units. first_at, last_at: when something was left here.
    """

    repairs: int
    open: int
    handed_back: int
    worth: int
    first_at: datetime | None
    last_at: datetime | None


def get_card(customer_id: int) -> tuple[Customer, Totals]:
    """A customer and what their repairs come to; else 403 or 404, as get_customer."""
    auth.demand("customers.view")
    delivered = Repair.status == Status.DELIVERED
    totals = (
        func.count(Repair.id),
        func.coalesce(func.sum(case((Repair.status.not_in(rules.CLOSED), 1), else_=0)), 0),
        func.coalesce(func.sum(case((delivered, 1), else_=0)), 0),
        func.coalesce(func.sum(case((delivered, Repair.estimate))), 0),
        func.min(Repair.received_at),
        func.max(Repair.received_at),
    )
    query = select(Customer, *totals).outerjoin(Repair, and_(Repair.customer_id == Customer.id, _here()))
    row = db.session.execute(_seen(query.where(Customer.id == customer_id)).group_by(Customer.id)).one_or_none()
    if row is None:
        abort(404)
    customer, repairs, is_open, handed_back, worth, first_at, last_at = row
    return customer, Totals(repairs, is_open, handed_back, int(worth), first_at, last_at)


def all_repairs_of(customer: Customer) -> list[Repair]:
    """Every repair of a customer that one sees, the oldest first."""
    query = select(Repair).where(Repair.customer_id == customer.id, _here()).order_by(Repair.id)
    query = query.options(joinedload(Repair.technician), joinedload(Repair.branch, innerjoin=True))
    return list(db.session.scalars(query))


def repairs_of(customer: Customer, page: int) -> tuple[list[Repair], int, bool]:
    """A page of a customer's repairs, the newest first; which page it is; whether there is another."""
    query = (
        select(Repair)
        .where(Repair.customer_id == customer.id, _here())
        .options(joinedload(Repair.technician), joinedload(Repair.branch, innerjoin=True))
        .order_by(Repair.id.desc())
        .limit(PAGE_SIZE + 1)
    )
    rows = list(db.session.scalars(query.offset((page - 1) * PAGE_SIZE)))
    if not rows and page > 1:
        rows, page = list(db.session.scalars(query)), 1
    return rows[:PAGE_SIZE], page, len(rows) > PAGE_SIZE
