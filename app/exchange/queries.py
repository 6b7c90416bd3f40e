"""What leaves the shop as a list: rows in short readings, however many there are."""

from array import array
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision
from flask_babel import force_locale
from sqlalchemy import Connection, Engine, select

from ..db import db
from ..models import Branch, Customer, Repair, Shop, Staff
from ..repairs.queries import all_wanted
from ..rules import Status
from . import writing

# As many as one reading fetches: few enough to hold, enough to be quick.
PAGE = 1000
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

    Which they are is read at once, as bare numbers, eight bytes each; the rows themselves in pages, each by itself. So
    no transaction stays open while somebody's slow line takes what was read, a line that is cut leaves nothing behind,
    and the database need not sort the rest again for every page.
    """

    def __init__(self, wanted, shop: Shop, now: datetime, *, finished: bool):
        self._zone, self._currency = ZoneInfo(shop.timezone), shop.currency
        self._places = get_currency_precision(shop.currency)
        self._engine: Engine = db.engine
        with self._reading() as connection:
            found = connection.execution_options(yield_per=PAGE).execute(
                all_wanted([Repair.id], wanted, shop, now, finished=finished)
            )
            self._ids = array("q", (row[0] for row in found))

    def __len__(self):
        return len(self._ids)

    def pages(self) -> Iterator[list[list]]:
        """All of them, the oldest first."""
        for start in range(0, len(self._ids), PAGE):
            rows = self._read(self._ids[start : start + PAGE].tolist())
            # Whoever takes it out: headings and statuses are the same, so that the list can be read back everywhere.
            with force_locale("en"):
                cells = [self._cells(*row[1:]) for row in rows]
            yield cells

    def _read(self, ids: list[int]) -> list:
        query = select(*_COLUMNS).select_from(Repair).join(Repair.customer).join(Repair.branch)
        query = query.outerjoin(Repair.technician).where(Repair.id.in_(ids)).order_by(Repair.id)
        with self._reading() as connection:
            return connection.execute(query).all()

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reads_only=True)

    def _cells(self, code, status, item, problem, serial, left, name, phone, email, branch, technician, *rest) -> list:
        *moments, estimate = rest
        money = "" if estimate is None else f"{estimate / 10**self._places:.{self._places}f}"
        return [
            *(code, Status(status).label, item, problem, serial, left, name, writing.phone(phone), email, branch),
            *(technician, *map(self._moment, moments), money, self._currency if money else ""),
        ]

    def _moment(self, at: datetime | None) -> str:
        return at.astimezone(self._zone).strftime("%Y-%m-%d %H:%M") if at else ""
