"""Reads: the people of the shop, their links, where they are signed in."""

from datetime import timedelta

from flask import abort
from sqlalchemy import Row, func, select
from sqlalchemy.orm import joinedload

from .. import auth, rules
from ..db import db, utcnow
from ..models import INVITED_FOR, Activity, Branch, Invitation, Repair, SignIn, Staff
from ..rules import Deed


def people() -> list[tuple[Staff, Invitation | None]]:
    """Everyone, whoever may sign in first, each with the link that was made for them and not used."""
    query = (
        select(Staff, Invitation)
        .outerjoin(Invitation, Invitation.staff_id == Staff.id)
        .options(joinedload(Staff.branch))
        .order_by(Staff.active.desc(), func.lower(Staff.name), Staff.id)
    )
    return [(person, invitation) for person, invitation in db.session.execute(query)]


def get_person(staff_id: int) -> Staff:
    """The person with that number; else 404."""
    return db.session.get(Staff, staff_id) or abort(404)


def email_is_taken(email: str, person: Staff) -> bool:
    """Whether somebody else signs in with that address."""
    same = func.lower(Staff.email) == email.casefold()
    return db.session.scalar(select(Staff.id).where(same, Staff.id != (person.id or 0))) is not None


def branches() -> list[Branch]:
    """Every branch, by name."""
    return list(db.session.scalars(select(Branch).order_by(Branch.name)))


def invitation_of(person: Staff) -> Invitation | None:
    """The link that was made for somebody and not used; it may have ended."""
    return db.session.scalar(select(Invitation).where(Invitation.staff_id == person.id))


def standing(person: Staff) -> Row[tuple[Invitation | None, int]]:
    """The link that was made for somebody and not used, and how many open repairs they have in hand."""
    in_hand = select(func.count(Repair.id)).where(Repair.technician_id == person.id, Repair.status.not_in(rules.CLOSED))
    query = select(Invitation, in_hand.scalar_subquery()).select_from(Staff)
    query = query.outerjoin(Invitation, Invitation.staff_id == Staff.id).where(Staff.id == person.id)
    return db.session.execute(query).one()


def open_invitation(token_hash: str) -> Invitation | None:
    """The link with that secret, if it can be used. Unknown, used and ended ones take the same look."""
    query = select(Invitation).where(
        Invitation.token_hash == token_hash, Invitation.created_at > utcnow() - INVITED_FOR
    )
    return db.session.scalar(query.options(joinedload(Invitation.staff)))


def signed_in(person: Staff) -> list[SignIn]:
    """The browsers that somebody is signed in with, the latest first."""
    since = utcnow() - auth.SIGNED_IN_FOR
    query = select(SignIn).where(SignIn.staff_id == person.id, SignIn.created_at > since)
    return list(db.session.scalars(query.order_by(SignIn.id.desc()).limit(20)))


def last_sign_ins(person: Staff) -> list[Activity]:
    """When somebody came in during the last month, or it was tried with their email, the latest first."""
    lately = Activity.at > utcnow() - timedelta(days=30)
    came_in = (Activity.staff_id == person.id) & (Activity.kind == Deed.SIGNED_IN)
    failed = (Activity.subject == f"staff {person.id}") & (Activity.kind == Deed.SIGN_IN_FAILED)
    query = select(Activity).where(lately, came_in | failed).order_by(Activity.at.desc()).limit(10)
    return list(db.session.scalars(query))
