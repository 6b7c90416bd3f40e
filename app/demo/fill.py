"""A believable shop for an empty database: to look around in, to take pictures of, to measure with.

Who and what is in the tables; a repair's history is a story, played by the rules, laid on the shop's
opening hours. The same every time, but for the tokens and for times, which go back from now.
"""

import gc
import random
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import Connection, func, select

from .. import formats, found_by, passwords, rules
from ..db import db, utcnow
from ..models import Branch, Customer, Event, Repair, Shop, Staff
from ..rules import Kind, Role, Status
from .stories import (
    Clock,
    Visit,
    outline,
    span,
    visits,
)
from .tables import (
    BATCH,
    BRANCHES,
    CASES,
    LISTED,
    MOBILES,
    NAMES,
    PASSWORD,
    PHONES,
    SHOP,
    STAFF,
)


class NotEmpty(Exception):
    """There is something in the database already. The text is a sentence for the person at the terminal."""


def fill(count: int, *, public_url: str) -> dict:
    """Fills the empty database with a shop and that many repairs, and commits once, at the end.

    Gives the owner's sign-in, the staff (one password for all), and up to 50 repairs: those written by
    hand, then the newest. Raises NotEmpty.
    """
    password_hash = passwords.hash_password(PASSWORD)
    _demand_empty()
    clock = Clock(utcnow())
    book = Book(visits(count, clock), clock)
    _open_shop(password_hash, public_url, clock.at(span(count)) - timedelta(days=1))
    connection = db.session.connection()
    with _no_search_for_cycles(), _words_at_the_end(connection):
        for page in book.pages():
            for model, rows in zip((Customer, Repair, Event), page, strict=True):
                _insert(connection, model, rows)
    for branch, number in zip(db.session.scalars(select(Branch).order_by(Branch.id)), book.numbers, strict=True):
        branch.next_number = number
    _set_sequences()
    db.session.commit()
    return {
        "login": {"email": _email(STAFF[0].name), "password": PASSWORD},
        "staff": [{"name": who.name, "role": who.role.value, "email": _email(who.name)} for who in STAFF],
        "repairs": [
            {
                "code": repair["code"],
                "status": repair["status"],
                "token": repair["token"],
                "url": f"{public_url}/t/{repair['token']}",
            }
            for repair in book.listed()
        ],
    }


def describe(made: dict) -> str:
    """What a person wants to know of what fill() made: how to sign in, and which links to look at."""
    first_of_role = {person["role"]: person["email"] for person in reversed(made["staff"])}
    under_way = (Status.REPAIRING, Status.TESTING, Status.DIAGNOSING)
    tour = {
        "Under way": next((r["url"] for r in made["repairs"] if r["status"] in under_way), None),
        "Waiting for a part": next((r["url"] for r in made["repairs"] if r["status"] == Status.WAITING_PARTS), None),
        "Ready": next((r["url"] for r in made["repairs"] if r["status"] == Status.READY), None),
    }
    lines = [f"  {SHOP['name']} is open. Sign in as"]
    lines += [f"    {role.label:<20}{first_of_role[role]}" for role in Role]
    lines += [f"    {'Password, for all':<20}{made['login']['password']}", "", "  What customers see"]
    lines += [f"    {title:<20}{url}" for title, url in tour.items() if url]
    return "\n".join(lines)


# --- rows ---------------------------------------------------------------------------------------


class Book:
    """Gives visits their numbers and customers, and writes them as rows, page by page."""

    def __init__(self, coming: Iterable[Visit], clock: Clock):
        self.numbers = [1] * len(BRANCHES)
        self._coming, self._clock = coming, clock
        self._rng = random.Random(11)
        self._repairs = self._events = self._customers = self._invented = 0
        self._found_by: list[str] = []
        self._cases: dict[int, dict] = {}
        self._newest: deque[dict] = deque(maxlen=LISTED)

    def listed(self) -> list[dict]:
        """The repairs to show: those written by hand, in the table's order, then the newest first."""
        return [*(self._cases[number] for number in sorted(self._cases)), *reversed(self._newest)][:LISTED]

    def pages(self) -> Iterator[tuple[list[dict], list[dict], list[dict]]]:
        """(customers, repairs, events), some thousands at a time: there may be more than fit into memory."""
        page = ([], [], [])
        for visit in self._coming:
            self._enter(visit, *page)
            if len(page[1]) == BATCH:
                yield page
                page = ([], [], [])
        yield page

    def _enter(self, visit: Visit, customers: list[dict], repairs: list[dict], events: list[dict]) -> None:
        self._repairs += 1
        number, self.numbers[visit.branch] = self.numbers[visit.branch], self.numbers[visit.branch] + 1
        happened, promised_at, moved_at = self._happened(visit)
        events += happened
        played = outline(visit.story)
        received_at = happened[0]["at"]
        code = formats.repair_code(SHOP["code"], BRANCHES[visit.branch]["code"], number)
        customer_id = self._customer(visit.case, received_at, customers)
        repair = {
            "id": self._repairs,
            "code": code,
            "token": formats.new_token(),
            "version": len(happened),
            "public_version": sum(not rules.is_internal(event["kind"], event["new"]) for event in happened),
            "branch_id": visit.branch + 1,
            "customer_id": customer_id,
            "technician_id": visit.technician_id,
            "status": played.status,
            "paused_from": played.paused_from,
            "promised_at": promised_at,
            "received_at": received_at,
            "moved_at": moved_at,
            "changed_at": happened[-1]["at"],
            "search": found_by.of_repair(
                code, visit.goods["item"], visit.goods["serial"], self._found_by[customer_id - 1]
            ),
            **visit.goods,
        }
        repairs.append(repair)
        if visit.case is None:
            self._newest.append(repair)
        else:
            self._cases[visit.case] = repair

    def _happened(self, visit: Visit) -> tuple[list[dict], datetime | None, datetime]:
        """The visit's events, what is promised after them, and when it last moved."""
        rows, promises, promised_at, moved_at = [], iter(visit.promises), None, None
        moment, crew = self._clock.at, _crew(visit.branch, visit.technician_id)
        beats = outline(visit.story).beats
        for (_, kind, old, new, role, public, _, _), ago, said in zip(beats, visit.ages, visit.texts, strict=True):
            self._events += 1
            at = moment(ago)
            if kind == Kind.PROMISED:
                old = promised_at and formats.iso_utc(promised_at)
                promised_at = next(promises)
                new = formats.iso_utc(promised_at)
            elif new:
                moved_at = at
            rows.append(
                {
                    "id": self._events,
                    "repair_id": self._repairs,
                    "staff_id": crew[role],
                    "at": at,
                    "kind": kind,
                    "old": old,
                    "new": new,
                    "text": said,
                    "public": public,
                }
            )
        return rows, promised_at, moved_at

    def _customer(self, case: int | None, since: datetime, customers: list[dict]) -> int:
        """The id of a new customer, whose row is added, or of one who comes again."""
        if case is not None:
            name, phone, email = CASES[case].customer
        elif self._customers and (self._rng.random() < self._loyalty() or self._invented == PHONES):
            return self._rng.randint(1, self._customers)
        else:
            name, phone, email = self._stranger()
        self._customers += 1
        self._found_by.append(found_by.of_customer(name, phone, email))
        customers.append(
            {
                "id": self._customers,
                "name": name,
                "phone": phone,
                "email": email,
                "search": self._found_by[-1],
                "created_at": since,
            }
        )
        return self._customers

    def _loyalty(self) -> float:
        """How likely it is that a customer has been here before: little in the first weeks."""
        return min(0.6, 0.1 + self._repairs / 2000)

    def _stranger(self) -> tuple[str, str, str]:
        name = " ".join(self._rng.choice(words) for words in self._rng.choice(NAMES))
        email = _email(name) if name.isascii() and self._rng.random() < 0.6 else ""
        self._invented += 1
        return name, _phone(self._invented - 1), email


@cache
def _crew(branch: int, technician_id: int | None) -> dict[str, int]:
    """Who does what of a role, at a branch, for a technician's repair: ids of staff."""
    ids = {}
    for number, who in enumerate(STAFF, start=1):
        if who.branch == branch or who.role == Role.MANAGER:
            ids.setdefault(who.role.value, number)
    return ids | ({Role.TECHNICIAN.value: technician_id} if technician_id else {})


def _phone(number: int) -> str:
    """The number-th phone number, without an order that one sees."""
    if number < MOBILES:
        return f"+447700900{100 + number * 617 % MOBILES:03d}"
    return f"+441632{(number - MOBILES) * 373_183 % 1_000_000:06d}"


def _email(name: str) -> str:
    return f"{name.lower().replace(' ', '.')}@example.com"


# --- the database -------------------------------------------------------------------------------


def _demand_empty() -> None:
    """Raises NotEmpty."""
    for model, what in ((Shop, "a shop"), (Staff, "staff"), (Customer, "customers"), (Repair, "repairs")):
        if db.session.scalar(select(model.id).limit(1)) is not None:
            raise NotEmpty(f"The demo fills an empty database only, and this one has {what} already.")


@contextmanager
def _no_search_for_cycles():
    """Rows hold no cycles, and looking for some among so many would take an eighth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _words_at_the_end(connection: Connection):
    """Makes the index of words in one go: row by row it would take longer than all the rest."""
    is_sqlite = connection.dialect.name == "sqlite"
    kept = connection.exec_driver_sql(
        r"SELECT name, sql FROM sqlite_master WHERE name LIKE '%\_words\_insert' ESCAPE '\'"
        if is_sqlite
        else r"SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'ix\_%%\_words'"
    ).all()
    for name, _ in kept:
        connection.exec_driver_sql(f"DROP {'TRIGGER' if is_sqlite else 'INDEX'} {name}")
    yield
    for name, definition in kept:
        connection.exec_driver_sql(definition)
        if is_sqlite:
            words = name.removesuffix("_insert")
            connection.exec_driver_sql(f"INSERT INTO {words}({words}) VALUES ('rebuild')")  # noqa: S608


def _insert(connection: Connection, model: type[db.Model], rows: list[dict]) -> None:
    """What connection.execute(insert(model), rows) does, straight to the driver: in two thirds of the time or less.

    The rows have the same keys, and every moment in them is in UTC.
    """
    if not rows:
        return
    into = f"{model.__tablename__} ({', '.join(rows[0])})"
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(rows[0]))
        values = [tuple([_as_text(value) for value in row.values()]) for row in rows]
        connection.exec_driver_sql(f"INSERT INTO {into} VALUES ({marks})", values)  # noqa: S608
        return
    with connection.connection.cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(tuple(row.values()))


def _as_text(value):
    """A moment as SQLAlchemy keeps it in SQLite: text, to the microsecond, without its zone."""
    return value.isoformat(" ", "microseconds")[:26] if type(value) is datetime else value


def _open_shop(password_hash: str, public_url: str, since: datetime) -> None:
    """The shop, its branches and its staff, in the caller's transaction."""
    db.session.add(Shop(**SHOP, public_url=public_url, created_at=since))
    for number, branch in enumerate(BRANCHES, start=1):
        db.session.add(Branch(id=number, **branch, created_at=since))
    db.session.flush()
    for number, who in enumerate(STAFF, start=1):
        db.session.add(
            Staff(
                id=number,
                name=who.name,
                email=_email(who.name),
                password_hash=password_hash,
                role=who.role,
                branch_id=None if who.branch is None else who.branch + 1,
                created_at=since,
            )
        )
    db.session.flush()


def _set_sequences() -> None:
    """PostgreSQL does not count the ids that were given to it."""
    if db.session.get_bind().dialect.name != "postgresql":
        return
    for model in (Branch, Staff, Customer, Repair, Event):
        sequence = func.pg_get_serial_sequence(model.__tablename__, "id")
        newest = select(func.max(model.id)).scalar_subquery()
        db.session.execute(select(func.setval(sequence, newest)))
