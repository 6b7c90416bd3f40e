"""The verbs about one customer: found or made at intake, changed. Merging and erasing have modules of their own."""

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from .. import found_by
from ..activity import record
from ..db import db
from ..models import Customer, Staff
from ..rules import Deed, Refused
from ..seen import demand_unchanged
from .queries import by_phone


class NameNeeded(Refused):
    """Nobody has this phone number yet, so a name is needed."""


class PhoneTaken(Refused):
    """The phone number belongs to another customer, who is in `customer`."""

    def __init__(self, customer: Customer):
        super().__init__(_("This number belongs to %(name)s.", name=customer.name))
        self.customer = customer


def is_another(name: str, known: Customer) -> bool:
    """Whether a name that was typed, if any, is not what the customer with that number is called."""
    return bool(name) and name.casefold() != known.name.casefold()


def find_or_create(phone: str, name: str, email: str) -> Customer:
    """The customer with that number (E.164), made on the spot if there is none; flushes, does not commit.

    An email that was not known yet is kept. Raises NameNeeded for a new number without a name, PhoneTaken
    when the number is known under another name.
    """
    # Whoever merges or erases them has to wait: a repair must not be given to somebody who is gone.
    known = by_phone(phone, lock=True)
    if known is None:
        if not name:
            raise NameNeeded(_("Who is the customer? This number is new."))
        try:
            with db.session.begin_nested():
                customer = Customer(phone=phone, name=name, email=email)
                db.session.add(customer)
            return customer
        except IntegrityError:
            # Taken at the other counter a moment ago.
            known = by_phone(phone, lock=True)
    if is_another(name, known):
        raise PhoneTaken(known)
    if email and not known.email:
        # Whoever renames them at this moment comes first: what they are found by is written anew.
        db.session.refresh(known, with_for_update={"key_share": True})
        known.email = known.email or email
    return known


def change(customer: Customer, *, by: Staff, name: str, phone: str, email: str, seen: str = "") -> None:
    """Changes a customer and commits. Raises PhoneTaken, Changed, Refused. phone: E.164. seen: the form's own."""
    # Whoever erases or merges them holds them until it is done: nothing may be written over that. And whoever takes a
    # repair of theirs in is waited for before anything else is held.
    db.session.refresh(customer, with_for_update=True)
    if customer.erased_at or customer.merged_at:
        raise Refused(_("Somebody erased or merged this customer a moment ago."))
    new = {"name": name, "phone": phone, "email": email}
    demand_unchanged(customer, new, seen)
    other = by_phone(phone)
    if other is not None and other.id != customer.id:
        raise PhoneTaken(other)
    changed = [field for field, value in new.items() if getattr(customer, field) != value]
    if changed:
        take_number(customer, phone)
        customer.name, customer.email = name, email
        # The names of the fields alone: what was in them may have to be erased one day.
        text = ", ".join(changed)
        record.note(Deed.CUSTOMER_CHANGED, by=by, subject=customer, text=text, branch_id=by.branch_id)
    db.session.commit()


def take_number(customer: Customer, phone: str) -> None:
    """Gives a customer that number (E.164). Who has it, having been merged, takes theirs: both go on being known."""
    holder = db.session.scalar(select(Customer).where(Customer.phone == phone))
    if holder is None or holder.id == customer.id:
        customer.phone = phone
        return
    old = customer.phone
    # One after the other: at no moment may two have the same number.
    for row, number in ((holder, f"moving:{holder.id}"), (customer, phone), (holder, old)):
        row.phone = number
        db.session.flush()
    found_by.write_anew(customer)
