"""Reads: whose a number is, the list, and one customer with all that the shop knows of them.

Who was merged into somebody else is found by their number alone, and whoever finds them finds the one who was kept;
who was erased is found by nobody.
"""

from dataclasses import dataclass
from datetime import datetime

from flask import abort
from sqlalchemy import Select, and_, case, func, or_, select, true
from sqlalchemy.orm import joinedload

from .. import auth, formats, rules, search
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
    return db.session.scalar(_seen(select(Customer.id).where(Customer.id == customer.id))) is not None


def matching(typed: str, limit: int = 4) -> list[Customer]:
    """Customers whose number has the digits typed so far, once there are four."""
    number = formats.digits(typed)
    if len(number) < 4:
        return []
    query, age = search.narrowed(_present(_seen(select(Customer))), Customer, number)
    return list(db.session.scalars(query.where(Customer.phone.contains(number)).order_by(age.desc()).limit(limit)))


def get_customer(customer_id: int, doing: str) -> Customer:
    """The customer, for whoever may do that; else 403 or 404. Another branch's is not there."""
    auth.demand(doing)
    return db.session.scalar(_seen(select(Customer).where(Customer.id == customer_id))) or abort(404)


@dataclass(frozen=True)
class Listed:
    """A page of customers, each with how many repairs one sees of them."""

    rows: list[tuple[Customer, int]]
    page: int
    has_more: bool


def listed(q: str, page: int) -> Listed:
    """The customers who have every word, by name."""
    theirs = select(func.count(Repair.id)).where(Repair.customer_id == Customer.id, _here())
    query = _present(_seen(select(Customer, theirs.correlate(Customer).scalar_subquery())))
    query, _ = search.narrowed(query, Customer, q)
    # One more than a page holds tells whether there is another page.
    query = query.order_by(Customer.search, Customer.id).limit(PAGE_SIZE + 1)
    rows = db.session.execute(query.offset((page - 1) * PAGE_SIZE)).all()
    if not rows and page > 1:
        # A page that is not there any more, or never was.
        rows, page = db.session.execute(query).all(), 1
    return Listed(rows[:PAGE_SIZE], page, len(rows) > PAGE_SIZE)


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
