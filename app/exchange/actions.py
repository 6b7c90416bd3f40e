"""The verbs of lists: a whole list is brought in, or nothing of it; what leaves the shop is written down."""

import hashlib

from sqlalchemy import select

from ..activity import record
from ..customers.queries import by_phone
from ..db import db
from ..models import Branch, Customer, Repair, Shop, Staff
from ..repairs.actions import bring_in
from ..rules import Deed
from . import planning, reading
from .planning import Plan


class Changed(Exception):
    """Things stand otherwise than when the fates were shown; how they stand now is in `plan`."""

    def __init__(self, plan: Plan):
        super().__init__("changed")
        self.plan = plan


class Done(Exception):
    """This import was sent before, and has been done."""


def bring_in_list(listed: reading.List, shop: Shop, branch_id: int, *, by: Staff, key: str, shown: str) -> Plan:
    """Does exactly what was shown, all of it at once, and commits. Raises Changed, Done."""
    # Whoever takes a repair in waits meanwhile, and so does a twin of this import.
    locking = select(Branch).order_by(Branch.id).with_for_update().execution_options(populate_existing=True)
    locked = db.session.scalars(locking)
    branches = {branch.id: branch for branch in locked}
    if _is_done(key, [line for line, _ in listed.rows]):
        raise Done
    plan = planning.plan(listed, shop, branch_id)
    if plan.digest != shown:
        raise Changed(plan)
    customers: dict[str, Customer] = {}
    with db.session.no_autoflush:
        for fate in plan.fates:
            if fate.kind != "refused":
                _bring(fate, customers, branches, shop, by, key)
        text = f"{_many(plan.count(kind='repair'), 'repair')}, {_many(plan.count(customer='new'), 'new customer')}"
        record.note(Deed.IMPORTED, by=by, text=text, branch_id=branch_id)
    db.session.commit()
    return plan


def _is_done(key: str, lines: list[int]) -> bool:
    keys = {_row_key(key, line) for line in lines}
    return any(
        db.session.scalar(select(Repair.id).where(Repair.intake_key.in_(part)).limit(1))
        for part in planning.parts(keys)
    )


def _bring(fate, customers, branches, shop, by, key) -> None:
    values = fate.values
    if (customer := customers.get(values["phone"])) is None:
        customer = by_phone(values["phone"], lock=True) if fate.customer != "new" else None
        if customer is None:
            customer = Customer(phone=values["phone"], name=values["name"], email=values["email"])
            db.session.add(customer)
        customers[values["phone"]] = customer
    if fate.customer == "changed":
        customer.email = values["email"]
    if details := dict(values["repair"]):
        branch = branches[details.pop("branch_id")]
        bring_in(shop, branch, customer, by=by, key=_row_key(key, fate.line), **details)


def _row_key(key: str, line: int) -> str:
    return hashlib.sha256(f"{key}:{line}".encode()).hexdigest()[:32]


def note_export(count: int, *, by: Staff, branch_id: int | None) -> None:
    """Writes down, and commits, that so many repairs leave the shop."""
    record.note(Deed.REPAIRS_EXPORTED, by=by, text=_many(count, "repair"), branch_id=branch_id)
    db.session.commit()


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
