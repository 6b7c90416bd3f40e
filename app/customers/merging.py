"""Two customers who turn out to be one person: what would happen, the merge, and its undoing. Neither loses anything.

The one who goes keeps their row, and with it their number, by which the one who is kept is found from then on.
"""

import hashlib
from dataclasses import dataclass

from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy import select

from .. import found_by
from ..activity import record
from ..activity.words import counted
from ..db import db, utcnow
from ..models import Customer, Merge, Repair, Staff
from ..repairs.actions import hand_over
from ..rules import Deed, Refused
from . import queries
from .actions import take_number

FIELDS = ("name", "phone", "email")
# What is said of a field that an undoing leaves.
LEFT = {
    "name": lazy_gettext("The name stays as it is: it was changed since the merge."),
    "phone": lazy_gettext("The phone stays as it is: it was changed since the merge."),
    "email": lazy_gettext("The email stays as it is: it was changed since the merge."),
}


class Changed(Exception):
    """The two are not any more what the page showed before it was sent."""


@dataclass(frozen=True)
class Plan:
    """What a merge would do. here: how many of the repairs that go over one sees oneself."""

    kept: Customer
    gone: Customer
    kept_repairs: int
    gone_repairs: int
    here: int

    @property
    def seen(self) -> str:
        """Stands for all of it: another one, when any of it is different."""
        both = [(row.id, row.name, row.phone, row.email) for row in (self.kept, self.gone)]
        return hashlib.sha256(repr((both, self.kept_repairs, self.gone_repairs)).encode()).hexdigest()[:16]


def plan(kept: Customer, gone: Customer, branch_id: int | None = None) -> Plan:
    """What merging the second into the first would do. branch_id: whose repairs one sees. Raises Refused."""
    if kept.id == gone.id:
        raise Refused(_("This is one and the same customer. Choose another."))
    for customer in (kept, gone):
        if customer.erased_at:
            raise Refused(_("Who was erased cannot be merged: nothing is left to say who it was."))
        if customer.merged_at:
            kept_name = queries.kept(customer).name
            raise Refused(_("%(gone)s has been merged into %(kept)s already.", gone=customer.name, kept=kept_name))
    return Plan(kept, gone, *queries.repair_counts(kept, gone, branch_id))


def merge(kept: Customer, gone: Customer, *, by: Staff, seen: str, **chosen: str) -> Merge:
    """Gives all repairs of one customer to another, and commits. Raises Refused, Changed.

    seen: the plan that was shown. chosen: for name, phone and email, whose it is from now on: "kept" or "gone".
    """
    _lock(kept, gone)
    if plan(kept, gone).seen != seen:
        raise Changed
    before, own_phone = {field: getattr(kept, field) for field in FIELDS}, gone.phone
    repairs = _give(gone, kept, by, "Two customers were merged.")
    for field in ("name", "email"):
        if chosen[field] == "gone":
            setattr(kept, field, getattr(gone, field))
    if chosen["phone"] == "gone":
        take_number(kept, own_phone)
    gone.merged_at = utcnow()
    fields = {field: [before[field], getattr(kept, field)] for field in FIELDS}
    made = Merge(kept=kept, gone=gone, staff=by, repairs=repairs, before=fields | {"own_phone": own_phone})
    db.session.add(made)
    found_by.write_anew(kept)
    _note(Deed.CUSTOMERS_MERGED, made, by, counted(len(repairs), "repair went over"))
    db.session.commit()
    return made


def may_undo(made: Merge) -> None:
    """Raises Refused, with the reason, where a merge cannot be undone."""
    if made.undone_at:
        raise Refused(_("This merge has been undone."))
    if made.kept.erased_at or made.gone.erased_at:
        raise Refused(_("This customer was erased, and with them what an undoing would need."))
    if made.kept.merged_at:
        name = made.kept.name
        raise Refused(_("%(name)s has since been merged into somebody else. Undo that merge first.", name=name))


def going_back(made: Merge) -> list[Repair]:
    """The repairs that an undoing gives back: those that went over and are still with the one who was kept."""
    theirs = db.session.scalars(select(Repair).where(Repair.customer_id == made.kept_id).order_by(Repair.id))
    return [repair for repair in theirs if repair.id in {*made.repairs}]


def not_restored(made: Merge) -> list[str]:
    """The fields of the one who was kept that an undoing leaves: somebody has changed them since."""
    changed = {field: made.before[field] for field in FIELDS if made.before[field][0] != made.before[field][1]}
    return [field for field, (_old, new) in changed.items() if getattr(made.kept, field) != new]


def undo(made: Merge, *, by: Staff) -> list[str]:
    """Makes two customers of one again, and commits. Raises Refused.

    Says what it could not restore, in sentences.
    """
    _lock(made.kept, made.gone)
    db.session.refresh(made)
    may_undo(made)
    kept, gone = made.kept, made.gone
    left = [str(LEFT[field]) for field in not_restored(made)]
    for field in ("name", "email"):
        old, new = made.before[field]
        if getattr(kept, field) == new:
            setattr(kept, field, old)
    left += _give_number_back(kept, gone, made.before["own_phone"])
    gone.merged_at = None
    back = {repair.id for repair in going_back(made)}
    _give(kept, gone, by, "A merge of two customers was undone.", only=back)
    # What it remembered is nobody's business any more.
    made.undone_at, made.before = utcnow(), {}
    found_by.write_anew(kept)
    _note(Deed.MERGE_UNDONE, made, by, counted(len(back), "repair went back"))
    db.session.commit()
    return left


def _give_number_back(kept: Customer, gone: Customer, own: str) -> list[str]:
    """Gives the one who was gone the number that they came with. What is in the way of it."""
    if gone.phone == own:
        return []
    holder = db.session.scalar(select(Customer).where(Customer.phone == own))
    if holder is not None and holder.id != kept.id:
        return [_("The number of %(name)s is somebody else’s by now, and stays there.", name=gone.name)]
    # From the one who was kept, if they have it: the two then have each their own again.
    take_number(gone, own)
    return []


def _lock(*customers: Customer) -> None:
    # Always in the same order: two people who merge the same two the other way round wait for each other else.
    ids = sorted(customer.id for customer in customers)
    query = select(Customer).where(Customer.id.in_(ids)).order_by(Customer.id).with_for_update()
    db.session.scalars(query.execution_options(populate_existing=True)).all()


def _give(old: Customer, new: Customer, by: Staff, why: str, *, only: set[int] | None = None) -> list[int]:
    """Hands the repairs of one customer (only: of these) over to another; their numbers."""
    query = select(Repair).where(Repair.customer_id == old.id).order_by(Repair.id).with_for_update(of=Repair)
    repairs = list(db.session.scalars(query.execution_options(populate_existing=True)))
    given = [repair for repair in repairs if only is None or repair.id in only]
    for repair in given:
        hand_over(repair, new, by=by, why=why)
    db.session.flush()
    return [repair.id for repair in given]


def _note(deed: Deed, made: Merge, by: Staff, text: str) -> None:
    record.note(deed, by=by, subject=made, text=text, branch_id=by.branch_id)
