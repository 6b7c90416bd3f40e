"""What happens to people: invited, changed, gone, back; and what they do with their own account.

Each makes the change, writes it into the shop's own record, and commits, last. Whatever takes an owner away first makes
sure that another one can still get in.
"""

from flask_babel import gettext as _
from sqlalchemy import delete, select

from .. import auth, formats, second_step
from ..activity import record
from ..db import db
from ..models import Branch, Invitation, SignIn, Staff
from ..repairs.actions import let_go_of
from ..rules import Deed, Refused, Role
from ..seen import demand_unchanged
from . import queries

# As the record names them: in English.
_FIELDS = {"name": "name", "email": "email", "role": "role", "branch_id": "branch"}


# --- by the owner -------------------------------------------------------------------------------


def invite(*, by: Staff, name: str, email: str, role: str, branch_id: int | None) -> tuple[Staff, str]:
    """Adds a person, who has no password yet; returned with the secret of the link by which they choose one."""
    person = Staff(name=name, email=email, role=role, branch_id=branch_id, password_hash="")
    db.session.add(person)
    token = _new_link(person, by)
    record.note(Deed.STAFF_INVITED, by=by, subject=person, text=_in_english(role))
    db.session.commit()
    return person, token


def change(person: Staff, *, by: Staff, seen: str = "", **details) -> int:
    """Changes name, email, role and branch. Says how many repairs are nobody's now, because of it.

    Raises Refused when the shop would be left without an owner; Changed. seen: the form's own.
    """
    _hold(person)
    demand_unchanged(person, details, seen)
    changed = [name for name in _FIELDS if getattr(person, name) != details[name]]
    if not changed:
        db.session.rollback()
        return 0
    if details["role"] != Role.OWNER:
        _demand_another_owner(person)
    before = "; ".join(f"{_FIELDS[name]} (was: {_as_text(person, name)})" for name in changed)
    for name in changed:
        setattr(person, name, details[name])
    record.note(Deed.STAFF_CHANGED, by=by, subject=person, text=before)
    count = let_go_of(person, by=by)
    db.session.commit()
    return count


def _as_text(person: Staff, name: str) -> str:
    if name == "branch_id":
        return db.session.get_one(Branch, person.branch_id).name if person.branch_id else "all branches"
    return _in_english(person.role) if name == "role" else getattr(person, name)


def _in_english(role: str) -> str:
    """A role as the record keeps it, whichever language is spoken by whoever gives it: "Front desk"."""
    return role.replace("_", " ").capitalize()


def renew_link(person: Staff, *, by: Staff) -> str:
    """Makes a new link, whose secret is returned; the one before ends. Who had a password has none any more, at once.

    Raises Refused for oneself, for somebody who was deactivated, and for the last owner.
    """
    _hold(person)
    if person.id == by.id:
        raise Refused(_("Change your own password in your account."))
    if not person.active:
        raise Refused(_("%(name)s may not sign in. Let them in again first.", name=person.name))
    had_password = bool(person.password_hash)
    if had_password:
        _demand_another_owner(person)
        person.password_hash = ""
        auth.end_sessions(person)
    token = _new_link(person, by)
    record.note(Deed.ACCESS_RESET if had_password else Deed.STAFF_INVITED, by=by, subject=person)
    db.session.commit()
    return token


def deactivate(person: Staff, *, by: Staff) -> int:
    """Lets somebody in no longer: sessions, password and link end, and their open repairs are nobody's. Says how many.

    Raises Refused when the shop would be left without an owner.
    """
    _hold(person)
    if not person.active:
        db.session.rollback()
        return 0
    _demand_another_owner(person)
    person.active, person.password_hash = False, ""
    auth.end_sessions(person)
    db.session.execute(delete(Invitation).where(Invitation.staff_id == person.id))
    count = let_go_of(person, by=by)
    record.note(Deed.STAFF_DEACTIVATED, by=by, subject=person)
    db.session.commit()
    return count


def reactivate(person: Staff, *, by: Staff) -> str:
    """Lets somebody in again, by a new link, whose secret is returned."""
    _hold(person)
    if person.active:
        raise Refused(_("%(name)s may sign in already.", name=person.name))
    person.active = True
    token = _new_link(person, by)
    record.note(Deed.STAFF_REACTIVATED, by=by, subject=person)
    db.session.commit()
    return token


def owner_link(email: str) -> tuple[Staff, str]:
    """A way in for an owner who is locked out, for whoever holds the server; returned with the secret of the link.

    Password, second step and sessions end. Raises Refused for anybody but an owner who may sign in.
    """
    person = db.session.scalar(select(Staff).where(Staff.email == email.strip().casefold()))
    if person is not None:
        _hold(person)
    if person is None or not person.active or person.role != Role.OWNER:
        raise Refused(_("No owner who may sign in has that email."))
    person.password_hash = person.totp_secret = ""
    second_step.keep_recovery_codes(person, [])
    auth.end_sessions(person)
    token = _new_link(person, person)
    record.note(Deed.ACCESS_RESET, by=None, subject=person, text="by flask owner-link, on the server")
    db.session.commit()
    return person, token


def _new_link(person: Staff, by: Staff) -> str:
    token = formats.new_token()
    db.session.flush()
    db.session.execute(delete(Invitation).where(Invitation.staff_id == person.id))
    db.session.add(Invitation(token_hash=auth.digest(token), staff_id=person.id, invited_by_id=by.id))
    return token


def _hold(person: Staff) -> None:
    """Locks the owners and the person, and reads them again: two owners cannot each take the other's role away."""
    # Always in this order, so that nobody waits for somebody who waits for them. Not against those who only refer to
    # the rows, as each new event does.
    db.session.execute(_owners().with_for_update(key_share=True)).all()
    db.session.refresh(person, with_for_update={"key_share": True})


def _owners():
    # Who has yet to choose a password, or has lost it, could not get in.
    can_get_in = Staff.active, Staff.password_hash != ""
    return select(Staff.id).where(Staff.role == Role.OWNER, *can_get_in).order_by(Staff.id)


def _demand_another_owner(person: Staff) -> None:
    owners = set(db.session.scalars(_owners()))
    if owners == {person.id}:
        raise Refused(_("The shop needs an owner who can get in: make somebody else one first, and have them join."))


# --- by oneself ---------------------------------------------------------------------------------


def join(token_hash: str, password_hash: str) -> Staff | None:
    """Uses a link: the person has that password from now on. None when it was used or ended a moment ago."""
    invitation = queries.open_invitation(token_hash)
    if invitation is None:
        return None
    person = db.session.get(Staff, invitation.staff_id, with_for_update={"key_share": True}, populate_existing=True)
    # Of two who use it at the same moment, one finds it gone.
    if db.session.execute(delete(Invitation).where(Invitation.token_hash == token_hash)).rowcount != 1:
        db.session.rollback()
        return None
    person.password_hash = password_hash
    auth.end_sessions(person)
    record.note(Deed.STAFF_JOINED, by=person, branch_id=person.branch_id)
    db.session.commit()
    return person


def rename(person: Staff, name: str) -> None:
    """Changes one's own name."""
    if name != person.name:
        record.note(Deed.STAFF_CHANGED, by=person, subject=person, text=f"name (was: {person.name})")
        person.name = name
    db.session.commit()


def speak(person: Staff, language: str) -> None:
    """Changes the language of one's own pages; "" is the shop's."""
    person.language = language
    db.session.commit()


def change_password(person: Staff, password_hash: str) -> None:
    """Gives oneself another password, and ends all sessions but this one."""
    person.password_hash = password_hash
    auth.end_sessions(person, but_this=True)
    record.note(Deed.PASSWORD_CHANGED, by=person, branch_id=person.branch_id)
    db.session.commit()


def turn_on_second_step(person: Staff, secret: str, step: int, hashes: list[str]) -> None:
    """Asks oneself for a code at every sign-in from now on.

    step: the one whose code was typed just now, and is used up by it. hashes: of the recovery codes. All sessions but
    this one end: whoever is in already did not show a code.
    """
    person.totp_secret, person.totp_step = secret, step
    second_step.keep_recovery_codes(person, hashes)
    auth.end_sessions(person, but_this=True)
    record.note(Deed.SECOND_STEP_ON, by=person, subject=person, branch_id=person.branch_id)
    db.session.commit()


def turn_off_second_step(person: Staff, *, by: Staff) -> None:
    """A password is enough again; the recovery codes are gone."""
    if person.totp_secret:
        person.totp_secret = ""
        second_step.keep_recovery_codes(person, [])
        # An owner's doing is for owners to see.
        branch_id = person.branch_id if by is person else None
        record.note(Deed.SECOND_STEP_OFF, by=by, subject=person, branch_id=branch_id)
    db.session.commit()


def renew_recovery_codes(person: Staff, hashes: list[str]) -> None:
    """Puts new recovery codes in the place of one's own."""
    second_step.keep_recovery_codes(person, hashes)
    record.note(Deed.RECOVERY_CODES_NEW, by=person, subject=person, branch_id=person.branch_id)
    db.session.commit()


def end_session(person: Staff, sign_in_id: int) -> bool:
    """Ends one of one's own sessions; whether there was one."""
    theirs = delete(SignIn).where(SignIn.id == sign_in_id, SignIn.staff_id == person.id)
    if db.session.execute(theirs).rowcount != 1:
        db.session.rollback()
        return False
    db.session.commit()
    return True


def end_all_sessions(person: Staff) -> None:
    """Ends every session of one's own."""
    auth.end_sessions(person)
    db.session.commit()
