"""Views of the board that somebody goes back to: kept, and taken away again. Each person has their own."""

from flask import abort
from flask_babel import gettext as _
from sqlalchemy import select

from ..db import db
from ..models import SavedFilter, Staff
from ..rules import Refused

# More would be a list to search in.
MOST = 12


def keep(name: str, query: str, *, by: Staff) -> None:
    """Keeps a view under a name, in the place of the one that had it, and commits. Raises Refused."""
    mine = SavedFilter.staff_id == by.id
    kept = db.session.scalars(select(SavedFilter).where(mine)).all()
    # In Python: SQLite knows the case of English letters only, and these are few.
    same = next((saved for saved in kept if saved.name.casefold() == name.casefold()), None)
    if same is None:
        if len(kept) >= MOST:
            raise Refused(_("There are %(most)s saved views already. Remove one first.", most=MOST))
        db.session.add(SavedFilter(staff_id=by.id, name=name, query=query))
    else:
        same.name, same.query = name, query
    db.session.commit()


def remove(saved_id: int, *, by: Staff) -> str:
    """Takes a view of one's own away, commits, and says its name; 404 for anybody else's."""
    mine = select(SavedFilter).where(SavedFilter.id == saved_id, SavedFilter.staff_id == by.id)
    saved = db.session.scalar(mine) or abort(404)
    name = saved.name
    db.session.delete(saved)
    db.session.commit()
    return name
