"""A customer who asks to be forgotten: what would go, what stays, and the erasing, which nobody can undo.

The repairs stay, without anything that says whose they were, so that the shop's counts are still true.
"""

import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import parse_qs

from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import delete, func, or_, select, update

from .. import formats, rules
from ..activity import record
from ..db import db, utcnow
from ..models import Customer, Event, Merge, Photo, Repair, SavedFilter, Staff
from ..repairs import photos
from ..repairs.actions import forget_whose
from ..rules import Deed, Kind, Refused
from . import queries

# What the row is called from then on; people read Customer.called.
NAME = "Erased customer"


@dataclass(frozen=True)
class Plan:
    """What would go: whom (with those who were merged into them), how many photos of how many repairs.

    open: how many of these are not finished, and so in the way.
    """

    customers: list[Customer]
    repairs: int
    open: int
    photos: int


def plan(customer: Customer) -> Plan:
    """What erasing a customer would do."""
    customers = [customer, *(made.gone for made in queries.merges(customer))]
    theirs = _theirs(customers)
    counts = (
        select(func.count()).select_from(theirs.subquery()),
        select(func.count()).select_from(theirs.where(Repair.status.not_in(rules.CLOSED)).subquery()),
        select(func.count(Photo.id)).where(Photo.repair_id.in_(theirs)),
    )
    return Plan(customers, *db.session.execute(select(*(count.scalar_subquery() for count in counts))).one())


def erase(customer: Customer, *, by: Staff) -> None:
    """Takes everything personal of a customer out of the shop for good, and commits. Raises Refused."""
    going = _lock(customer)
    if customer.erased_at or customer.merged_at:
        raise Refused(_("Somebody else erased or merged this customer a moment ago."))
    # Locked before it is looked at, so that nobody opens one again meanwhile.
    query = select(Repair).where(Repair.customer_id.in_([row.id for row in going])).order_by(Repair.id)
    query = query.with_for_update(of=Repair).execution_options(populate_existing=True)
    repairs = list(db.session.scalars(query))
    if still_open := [repair for repair in repairs if not repair.closed]:
        raise Refused(open_refusal(len(still_open)))
    _leave_no_trace(begin=True)
    _forget_searches(going)
    for row in going:
        row.name, row.phone, row.email, row.erased_at = NAME, f"erased:{row.id}", "", utcnow()
    _empty_events(going)
    names = db.session.scalars(select(Photo.name).where(Photo.repair_id.in_(_theirs(going)))).all()
    db.session.execute(delete(Photo).where(Photo.repair_id.in_(_theirs(going))))
    _forget_merges(going)
    for repair in repairs:
        forget_whose(repair, by=by)
    record.note(Deed.CUSTOMER_ERASED, by=by, subject=customer, branch_id=by.branch_id)
    db.session.flush()
    # Before the commit: a picture without its row would be found by nobody any more. Should the commit fail, the
    # rows are still there, and whoever erases once more comes to the same end.
    photos.remove(*names)
    _leave_no_trace(begin=False)
    db.session.commit()
    _bring_log_home()


def open_refusal(count: int) -> str:
    """Why nobody is erased whose repairs are not finished."""
    return ngettext(
        "One repair is still open: the shop must know whose it is. Hand it back or cancel it first.",
        "%(num)d repairs are still open: the shop must know whose they are. Hand them back or cancel them first.",
        count,
    )


def _lock(customer: Customer) -> list[Customer]:
    """The customer and all who were merged into them, locked in the same order as merging does."""
    locked, wanted = set(), {customer.id, *(made.gone_id for made in queries.merges(customer))}
    # Until the lock is held, somebody may be merged in, or out again.
    while locked != wanted:
        query = select(Customer).where(Customer.id.in_(wanted)).order_by(Customer.id).with_for_update()
        going = list(db.session.scalars(query.execution_options(populate_existing=True)))
        locked, wanted = wanted, {customer.id, *(made.gone_id for made in queries.merges(customer))}
    return going


def _theirs(customers: list[Customer]):
    return select(Repair.id).where(Repair.customer_id.in_([row.id for row in customers]))


def _empty_events(going: list[Customer]) -> None:
    """Takes the words out of the history; that something happened, when and by whom stays in it.

    By a statement of its own, past the models: these refuse, and should, for everybody but the law.
    """
    table = Event.__table__
    # How many photos were added says nothing about anyone.
    words = table.c.repair_id.in_(_theirs(going)), table.c.kind != Kind.PHOTO_ADDED, table.c.text != ""
    db.session.execute(update(table).where(*words).values(text=""))


def _forget_merges(going: list[Customer]) -> None:
    ids = [row.id for row in going]
    for made in db.session.scalars(select(Merge).where(or_(Merge.kept_id.in_(ids), Merge.gone_id.in_(ids)))):
        made.before = {}


def _forget_searches(going: list[Customer]) -> None:
    """Removes views of the board that are called or look for a word of a customer's name, their email or number."""
    known = set().union(*(_words(f"{row.name} {row.email} {row.email.partition('@')[0]}") for row in going))
    phones = [formats.digits(row.phone) for row in going]
    for saved in db.session.scalars(select(SavedFilter)):
        said = f"{saved.name} {' '.join(parse_qs(saved.query).get('q', []))}"
        if known & _words(said) or any(number in phone for number in _numbers(said) for phone in phones):
            db.session.delete(saved)


def _words(text: str) -> set[str]:
    """The words of a text as search compares them; of "Doe-Smith" also either half, of "J." not the letter alone."""
    words = {word.strip(".,;:!?\"'()") for word in formats.fold(text).split()}
    # An address is a word: what stands behind its @ is many people's.
    words |= {half for word in words if "@" not in word for half in re.split(r"\W", word)}
    return {word for word in words if len(word) > 1 or not word.isascii()} - {""}


def _numbers(text: str) -> list[str]:
    """The digits of what may be a phone number, or the part of one by which somebody is looked for."""
    written = (word for word in formats.search_words(text) if re.fullmatch(r"\+?[\d\s()./-]+", word))
    return [number for number in map(formats.digits, written) if len(number) >= 4]


def _leave_no_trace(*, begin: bool) -> None:
    # SQLite only marks what is deleted as free; so it stays in the file until something else takes its place.
    # https://www.sqlite.org/pragma.html#pragma_secure_delete
    if db.engine.dialect.name != "sqlite":
        return
    connection = db.session.connection()
    if not begin:
        # The search's index marks too: the letters of a name stay in it until all that was marked is left out.
        # https://www.sqlite.org/fts5.html#the_optimize_command
        for index in ("customer_words", "repair_words"):
            connection.exec_driver_sql(f"INSERT INTO {index}({index}) VALUES ('optimize')").close()  # noqa: S608
    connection.exec_driver_sql(f"PRAGMA secure_delete = {'ON' if begin else 'OFF'}").close()


def _bring_log_home() -> None:
    # What was written before stands in the write-ahead log as it was. While somebody reads, that is for later.
    # https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
    if db.engine.dialect.name == "sqlite":
        # Nobody writes while it waits for those who read, so it waits a second at most.
        file = db.engine.url.database
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(file, timeout=1)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
