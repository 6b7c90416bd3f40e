"""What customers and repairs are found by: one text each, folded, in their column `search`."""

from collections.abc import Iterable

from sqlalchemy import CTE, bindparam, event, inspect, select, update

from . import formats
from .db import db
from .models import Customer, Merge, Repair

# What of a repair is in its text.
_FIELDS = ("code", "item", "serial", "customer", "customer_id")


def init_app(app):
    """Keeps both texts, whoever changes a customer or a repair."""
    if not event.contains(db.session, "before_flush", _keep):
        event.listen(db.session, "before_flush", _keep)


def of_customer(name: str, phone: str, email: str, numbers: Iterable[str] = ()) -> str:
    """A customer's text. numbers: of those who were merged into them."""
    return " ".join([formats.fold(f"{name} {phone} {email}"), *numbers])


def of_repair(code: str, item: str, serial: str, customer: str) -> str:
    """A repair's text; a serial number with gaps is in it also without them. customer: their text."""
    gapless = formats.compact(serial) if formats.compact(serial) != serial else ""
    return formats.fold(f"{code} {item} {serial} {gapless}".strip()) + f" {customer}"


def merged_into(customer_id: int) -> CTE:
    """Whoever was merged into a customer, and into those: (id, gone_id) of each merge that still stands."""
    tree = select(Merge.id, Merge.gone_id).where(Merge.kept_id == customer_id, Merge.undone_at.is_(None))
    tree = tree.cte("tree", recursive=True)
    deeper = select(Merge.id, Merge.gone_id).join(tree, Merge.kept_id == tree.c.gone_id)
    return tree.union_all(deeper.where(Merge.undone_at.is_(None)))


def write_anew(customer: Customer) -> None:
    """Writes a customer's text and those of their repairs, after others were merged into them, or are two again."""
    db.session.flush()
    customer.search = ""
    db.session.flush()


def _of(session, customer: Customer) -> str:
    numbers = []
    if customer.id:
        gone = select(merged_into(customer.id).c.gone_id)
        query = select(Customer.phone).where(Customer.id.in_(gone), Customer.erased_at.is_(None))
        numbers = session.scalars(query.order_by(Customer.id)).all()
    return of_customer(customer.name, customer.phone, customer.email or "", numbers)


def _keep(session, context, instances):
    # Each is made anew whenever it is asked for.
    new, dirty = session.new, session.dirty
    changed = [*new, *dirty]
    customers = [row for row in changed if isinstance(row, Customer)]
    for customer in customers:
        customer.search = "" if customer.erased_at is not None else _of(session, customer)
    # The others are among what changed for a repair that they were given.
    renamed = {customer for customer in customers if customer in new or _differs(customer, "search")}
    repairs = [row for row in changed if isinstance(row, Repair) and (row in new or _differs(row, *_FIELDS))]
    for repair in repairs:
        known = repair.customer.search if repair.customer in renamed else _read(session, repair, repair in new)
        repair.search = of_repair(repair.code, repair.item, repair.serial or "", known)
    for customer in renamed:
        if customer.id:
            _write_anew(session, customer, done={repair.id for repair in repairs})


def _differs(row, *names) -> bool:
    attributes = inspect(row).attrs
    return any(attributes[name].history.has_changes() for name in names)


def _read(session, repair: Repair, is_new: bool) -> str:
    """The text of a repair's customer as it is at this moment: somebody may have renamed them since they were read.

    Whoever renames them locks their repairs. One that is new cannot be locked yet, so the customer is.
    """
    query = select(Customer.search).where(
        Customer.id == (repair.customer.id if repair.customer else repair.customer_id)
    )
    return session.scalar(query.with_for_update(read=True) if is_new else query)


def _write_anew(session, customer: Customer, done: set[int]) -> None:
    """Writes the texts of a customer's repairs, but for those that are done.

    Locked before they are read: what somebody is changing in one of them at this moment is not written over.
    """
    table = Repair.__table__
    query = select(table.c.id, table.c.code, table.c.item, table.c.serial).where(table.c.customer_id == customer.id)
    rows = [
        {"row": row.id, "text": of_repair(row.code, row.item, row.serial, customer.search)}
        for row in session.execute(query.order_by(table.c.id).with_for_update())
        if row.id not in done
    ]
    if rows:
        session.execute(update(table).where(table.c.id == bindparam("row")).values(search=bindparam("text")), rows)
