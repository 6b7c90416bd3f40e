"""Writes the shop's own record: what people did that concerns no single repair. A repair keeps its history itself."""

from ..db import db, utcnow
from ..models import Activity, Staff
from ..rules import Deed


def note(deed: Deed, *, by: Staff | None, subject=None, text: str = "", branch_id: int | None = None) -> None:
    """Writes down what somebody did, in the caller's transaction.

    by: None for the program itself, and for strangers. subject: the row it speaks of, None for the shop. branch_id:
    where it happened; what has none only an owner sees. text: without names, numbers or addresses of customers, which
    may have to be erased one day.
    """
    if subject is not None and subject.id is None:
        db.session.flush()
    about = f"{subject.__tablename__} {subject.id}" if subject is not None else ""
    staff_id = by.id if by else None
    db.session.add(Activity(at=utcnow(), staff_id=staff_id, kind=deed, branch_id=branch_id, subject=about, text=text))
