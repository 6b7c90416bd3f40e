"""What leaves the shop as a list: rows in short readings, however many there are."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision
from sqlalchemy import Engine, Select, func, select

from ..db import db
from ..models import Branch, Customer, Repair, Shop, Staff
from ..repairs.queries import all_wanted
from ..rules import Status
from . import writing

# As many as one reading fetches: few enough to hold, enough to be quick.
PAGE = 2000
HEADING = [
    *("Code", "Status", "Item", "Problem", "Serial number", "Left with it", "Customer", "Phone", "Email", "Branch"),
    *("Technician", "Received", "Promised", "Status since", "Last change", "Estimate", "Currency"),
]
# No token: whoever has the list must not have the customers' links with it.
_COLUMNS = (
    *(Repair.id, Repair.code, Repair.status, Repair.item, Repair.problem, Repair.serial, Repair.accessories),
    *(Customer.name, Customer.phone, Customer.email, Branch.name, Staff.name),
    *(Repair.received_at, Repair.promised_at, Repair.moved_at, Repair.changed_at, Repair.estimate),
)


class Export:
    """The repairs that a board shows, as rows of a list.

    Read in pages, each by itself from where the last one ended: no transaction stays open while somebody's slow line
    takes what was read, and a line that is cut leaves nothing behind. A repair taken in meanwhile may or may not be in.
    """

    def __init__(self, wanted, shop: Shop, now: datetime, *, finished: bool):
        self._query, self._age = all_wanted(_COLUMNS, wanted, shop, now, finished=finished)
        self._zone, self._currency = ZoneInfo(shop.timezone), shop.currency
        self._places = get_currency_precision(shop.currency)
        self._engine: Engine = db.engine

    def count(self) -> int:
        """How many there are now."""
        return db.session.scalar(select(func.count()).select_from(self._query.with_only_columns(Repair.id).subquery()))

    def pages(self) -> Iterator[list[list]]:
        """All of them, the oldest first."""
        last = 0
        while rows := self._read(self._query.where(self._age > last).order_by(self._age).limit(PAGE)):
            yield [self._cells(*row[1:]) for row in rows]
            last = rows[-1][0]

    def _read(self, query: Select) -> list:
        with self._engine.connect().execution_options(reads_only=True) as connection:
            return connection.execute(query).all()

    def _cells(self, code, status, item, problem, serial, left, name, phone, email, branch, technician, *rest) -> list:
        *moments, estimate = rest
        money = "" if estimate is None else f"{estimate / 10**self._places:.{self._places}f}"
        return [
            *(code, Status(status).label, item, problem, serial, left, name, writing.phone(phone), email, branch),
            *(technician, *map(self._moment, moments), money, self._currency if money else ""),
        ]

    def _moment(self, at: datetime | None) -> str:
        return at.astimezone(self._zone).strftime("%Y-%m-%d %H:%M") if at else ""
