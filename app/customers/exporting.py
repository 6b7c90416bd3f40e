"""All that the shop holds about one customer, for a file that goes to that customer, in words that people read.

The names of its fields are the same everywhere; what stands in them is in the shop's language.
"""

from collections import defaultdict

from flask_babel import force_locale, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from .. import formats
from ..activity import record
from ..activity.words import in_words
from ..db import db, utcnow
from ..models import Customer, Event, Photo, Repair, Shop, Staff, tracking_url
from ..rules import Deed, Kind, Role, Status, taken_back
from . import queries

WHAT = {
    Kind.RECEIVED: lazy_gettext("Received"),
    Kind.ADVANCED: lazy_gettext("Advanced"),
    Kind.JUMPED: lazy_gettext("Jumped"),
    Kind.PAUSED: lazy_gettext("Paused"),
    Kind.RESUMED: lazy_gettext("Resumed"),
    Kind.CANCELLED: lazy_gettext("Cancelled"),
    Kind.REVERTED: lazy_gettext("Reverted"),
    Kind.PROMISED: lazy_gettext("Promised"),
    Kind.NOTED: lazy_gettext("Noted"),
    Kind.UPDATED: lazy_gettext("Updated"),
    Kind.UPDATE_TAKEN_BACK: lazy_gettext("Update taken back"),
    Kind.EDITED: lazy_gettext("Edited"),
    Kind.LINK_REPLACED: lazy_gettext("Link replaced"),
    Kind.PHOTO_ADDED: lazy_gettext("Photo added"),
    Kind.PHOTO_REMOVED: lazy_gettext("Photo removed"),
    Kind.CUSTOMER_CHANGED: lazy_gettext("Customer changed"),
    Kind.ERASED: lazy_gettext("Erased"),
}


def export(customer: Customer, shop: Shop, *, by: Staff) -> dict:
    """The customer's data, as far as one sees it; notes in the shop's record that it was handed out, and commits."""
    made = {
        "Shop": shop.name,
        "Exported": formats.iso_local(utcnow(), shop.timezone),
        "Customer": _person(customer) | {"Customer since": formats.iso_local(customer.created_at, shop.timezone)},
        "Also known as": [_person(merge.gone) for merge in queries.merges(customer)],
    }
    with force_locale(shop.language):
        made["Repairs"] = _repairs(customer, shop)
    if by.role != Role.OWNER:
        made["Limited to branch"] = by.branch.name
    record.note(Deed.CUSTOMER_EXPORTED, by=by, subject=customer, branch_id=by.branch_id)
    db.session.commit()
    return made


def _person(customer: Customer) -> dict:
    return {"Name": customer.name, "Phone": customer.phone, "Email": customer.email}


def _repairs(customer: Customer, shop: Shop) -> list[dict]:
    repairs = queries.all_repairs_of(customer)
    ids = select(Repair.id).where(Repair.customer_id == customer.id)
    events, pictures = defaultdict(list), defaultdict(list)
    query = select(Event).where(Event.repair_id.in_(ids)).options(joinedload(Event.staff)).order_by(Event.id)
    for event in db.session.scalars(query):
        events[event.repair_id].append(event)
    for photo in db.session.scalars(select(Photo).where(Photo.repair_id.in_(ids)).order_by(Photo.id)):
        pictures[photo.repair_id].append(f"{photo.name}.jpg")
    return [_repair(repair, events[repair.id], pictures[repair.id], shop) for repair in repairs]


def _repair(repair: Repair, events: list[Event], pictures: list[str], shop: Shop) -> dict:
    estimate = None
    if repair.estimate is not None:
        estimate = f"{formats.plain_money(repair.estimate, shop.currency)} {shop.currency}"
    gone = taken_back(events)
    return {
        "Code": repair.code,
        "Branch": repair.branch.name,
        "Item": repair.item,
        "Problem": repair.problem,
        "Serial number or IMEI": repair.serial,
        "Left with it": repair.accessories,
        "Price estimate": estimate,
        "Technician": repair.technician.name if repair.technician else None,
        "Status": repair.stage.label,
        "Received": formats.iso_local(repair.received_at, shop.timezone),
        "Promised for": formats.iso_local(repair.promised_at, shop.timezone) if repair.promised_at else None,
        "Tracking page": tracking_url(shop, repair),
        "Photos": pictures,
        "History": [_event(event, shop, is_gone=event.id in gone) for event in events],
    }


def _event(event: Event, shop: Shop, *, is_gone: bool) -> dict:
    """is_gone: that the customer was told this, and does not read it any more."""
    said = {
        "When": formats.iso_local(event.at, shop.timezone),
        "Who": event.staff.name if event.staff else "Readylight",
        "What": str(WHAT[Kind(event.kind)]),
    }
    # What was edited names fields; who went over, and what was taken back, is a number in our books: nothing of this is
    # from where to where.
    if event.kind not in {Kind.EDITED, Kind.CUSTOMER_CHANGED, Kind.UPDATE_TAKEN_BACK}:
        said |= {key: _readable(value) for key, value in (("From", event.old), ("To", event.new)) if value}
    if event.text:
        said |= {"Text": in_words(event.text, event.kind), "The customer can read it": event.public and not is_gone}
    return said


def _readable(value: str) -> str:
    return Status(value).label if value in {*Status} else value
