"""The verbs of lists: a whole list is brought in, or nothing of it; what leaves the shop is written down."""

from flask_babel import gettext as _
from sqlalchemy import select

from ..activity import record
from ..activity.words import counted
from ..customers.queries import by_phone
from ..db import db
from ..models import Branch, Customer, Shop, Staff
from ..repairs.actions import bring_in
from ..rules import Deed
from . import planning, reading
from .planning import Plan


class Changed(Exception):
    """Things stand otherwise than when the fates were shown; how they stand now is in `plan`."""

    def __init__(self, plan: Plan):
        super().__init__(
            _("The shop has changed meanwhile. Nothing was imported; this is how it stands now.")
            if plan.good or plan.refused
            else _("Nothing new to import: all of it is here already.")
        )
        self.plan = plan


class Done(Exception):
    """This list was imported before."""


def bring_in_list(listed: reading.List, shop: Shop, branch_id: int, *, by: Staff, shown: str) -> Plan:
    """Does exactly what was shown, all of it at once, and commits. Raises Changed, Done."""
    # Whoever takes a repair in waits meanwhile, and so does a twin of this import.
    locking = select(Branch).order_by(Branch.id).with_for_update(key_share=True)
    locked = db.session.scalars(locking.execution_options(populate_existing=True))
    branches = {branch.id: branch for branch in locked}
    plan = planning.plan(listed, shop, branch_id)
    if plan.digest != shown:
        is_done = not plan.good and any(fate.done for fate in plan.fates)
        raise Done if is_done else Changed(plan)
    customers: dict[str, Customer] = {}
    with db.session.no_autoflush:
        for fate in plan.fates:
            if fate.kind != "refused":
                _bring(fate, customers, branches, shop, by)
        brought = (counted(plan.count(kind="repair"), "repair"), counted(plan.count(customer="new"), "new customer"))
        text = ", ".join(brought)
        record.note(Deed.IMPORTED, by=by, text=text, branch_id=branch_id)
    db.session.commit()
    return plan


def _bring(fate, customers, branches, shop, by) -> None:
    values = fate.values
    if (customer := customers.get(values["phone"])) is None:
        customer = by_phone(values["phone"], lock=True) if fate.customer != "new" else None
        if customer is None:
            customer = Customer(phone=values["phone"], name=values["name"], email=values["email"])
            db.session.add(customer)
        customers[values["phone"]] = customer
    if fate.customer == "changed":
        # Whoever renames them at this moment comes first: what they are found by is written anew.
        db.session.refresh(customer, with_for_update={"key_share": True})
        customer.email = values["email"]
    if details := dict(values["repair"]):
        branch = branches[details.pop("branch_id")]
        bring_in(shop, branch, customer, by=by, **details)


def note_export(count: int, *, by: Staff, branch_id: int | None) -> None:
    """Writes down, and commits, that so many repairs leave the shop."""
    record.note(Deed.REPAIRS_EXPORTED, by=by, text=counted(count, "repair"), branch_id=branch_id)
    db.session.commit()
