"""Rows that are valid by default, saved and committed: make_repair(status="testing") and friends.

Each needs an app context, as in any test that asks for `app`, `shop` or somebody of the shop, and make_repair
needs the shop too. A repair gets its history from the same actions that the counter calls.
"""

from functools import lru_cache
from itertools import count

from flask import g
from sqlalchemy import select

from app import passwords
from app.db import db
from app.models import Branch, Customer, Repair, Shop, Staff, get_shop
from app.repairs import actions
from app.rules import Role, Status

PASSWORD = "three quiet lamps"

_numbers = count(1)


def make_shop(**changes) -> Shop:
    """The shop: Lamp & Bench in Bangkok, with two branches, Main (MN) and Riverside (RV)."""
    values = {
        "name": "Lamp & Bench",
        "code": "TH",
        "country": "TH",
        "timezone": "Asia/Bangkok",
        "currency": "THB",
        "phone": "+6621234567",
        "whatsapp": "+66812345678",
        "address": "12 Charoen Krung Road\nBangkok 10500",
        "public_url": "https://repairs.example.com",
    }
    g.pop("shop", None)  # get_shop() may have looked before there was one.
    shop = Shop(**values | changes)
    return _saved(shop, Branch(name="Main", code="MN"), Branch(name="Riverside", code="RV"))


def make_branch(**changes) -> Branch:
    """A branch with neither phone nor address of its own."""
    number = next(_numbers)
    return _saved(
        Branch(
            **{"name": f"Branch {number}", "code": f"{chr(65 + number // 26 % 26)}{chr(65 + number % 26)}"} | changes
        )
    )


def branch(code: str) -> Branch:
    """The branch with that code: "MN" or "RV" in the shop of make_shop."""
    return db.session.scalars(select(Branch).where(Branch.code == code)).one()


def make_staff(role: Role | str = Role.TECHNICIAN, **changes) -> Staff:
    """A person who signs in with PASSWORD, at Main, where there is such a branch, unless they own the shop."""
    number = next(_numbers)
    main = None if role == Role.OWNER else db.session.scalar(select(Branch.id).where(Branch.code == "MN"))
    values = {
        "name": f"{Role(role).label} {number}",
        "email": f"{role}{number}@example.com",
        "password_hash": _password_hash(),
        "role": role,
        "branch_id": main,
    }
    return _saved(Staff(**values | changes))


def make_customer(**changes) -> Customer:
    """A customer with a Thai phone number that nobody else has."""
    return _saved(Customer(**{"name": f"Customer {next(_numbers)}", "phone": _new_phone(), "email": ""} | changes))


def make_repair(
    *,
    status: Status | str = Status.RECEIVED,
    paused_from: Status | str | None = None,
    cancelled_from: Status | str = Status.RECEIVED,
    reason: str = "",
    public: bool = False,
    by: Staff | None = None,
    branch: Branch | str = "MN",
    customer: Customer | None = None,
    **details,
) -> Repair:
    """A repair that was taken in and moved to that status step by step, by an owner unless `by` says who.

    A status of waiting_parts is reached from paused_from (repairing), cancelled from cancelled_from, with reason
    and public. details: whatever actions.take_in takes.
    """
    by = by or _any_owner()
    values = {
        "phone": customer.phone if customer else _new_phone(),
        "name": "" if customer or "phone" in details else f"Customer {next(_numbers)}",
        "email": "",
        "note": "",
        "promised_at": None,
        "key": "",
        "item": "iPhone 13",
        "problem": "The screen is cracked.",
        "serial": "",
        "accessories": "",
        "technician_id": None,
        "estimate": None,
    }
    branch_id = _branch_id(branch) if isinstance(branch, str) else branch.id
    repair = actions.take_in(get_shop(), branch_id, by=by, **values | details)
    if status == Status.WAITING_PARTS:
        _walk(repair, Status(paused_from or Status.REPAIRING), by)
        actions.pause(repair, by=by, version=repair.version)
    elif status == Status.CANCELLED:
        _walk(repair, Status(cancelled_from), by)
        actions.cancel(repair, by=by, version=repair.version, reason=reason, public=public)
    else:
        _walk(repair, Status(status), by)
    return repair


def _branch_id(code: str) -> int:
    return db.session.scalars(select(Branch.id).where(Branch.code == code)).one()


def _new_phone() -> str:
    return f"+6681{next(_numbers):07d}"


def _walk(repair, status, by):
    if status == Status.WAITING_PARTS:
        _walk(repair, Status.REPAIRING, by)
        actions.pause(repair, by=by, version=repair.version)
    while repair.status != status:
        actions.advance(repair, by=by, version=repair.version)


def _any_owner() -> Staff:
    known = db.session.scalars(select(Staff).where(Staff.role == Role.OWNER, Staff.active).order_by(Staff.id))
    return known.first() or make_staff(Role.OWNER)


@lru_cache
def _password_hash() -> str:
    return passwords.hash_password(PASSWORD)


def _saved(row, *more):
    db.session.add_all([row, *more])
    db.session.commit()
    return row
