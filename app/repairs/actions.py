"""The verbs of the counter. Each checks the rules, makes the change and its event, and commits, last.

An event keeps our own words in English, whoever did it; activity.words says them in the reader's language.
"""

from contextlib import contextmanager
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import func, select

from .. import formats, rules
from ..activity.words import counted
from ..customers import actions as customers
from ..db import db, utcnow
from ..models import Branch, Customer, Event, Photo, Repair, Shop, Staff, get_shop
from ..rules import Kind, Refused, Role, Status
from . import photos


class Stale(Exception):
    """The repair was changed since the form was drawn."""


class TakenIn(Exception):
    """This intake form was sent before; its repair is in `repair`."""

    def __init__(self, repair: Repair):
        super().__init__(repair.code)
        self.repair = repair


class WorksElsewhere(Refused):
    """The technician is at another branch, where the repair cannot be seen."""


class OtherCurrency(Refused):
    """The estimate was written down in the currency that the shop had a moment ago."""


def take_in(
    shop: Shop,
    branch_id: int,
    *,
    by: Staff,
    phone: str,
    name: str,
    email: str,
    note: str,
    promised_at: datetime | None,
    key: str,
    uploads=(),
    **details,
) -> Repair:
    """Takes a repair in for the customer with that phone (E.164), who is made if nobody has it.

    details: item, problem, serial, accessories, technician_id, estimate. key: the form's own, so that
    a double click makes one repair. uploads: pictures of it (photos.store says what these are).
    Raises TakenIn, Refused, WorksElsewhere, OtherCurrency, customers.PhoneTaken, NoPicture.
    """
    currency = shop.currency
    if key and (before := db.session.scalar(select(Repair).where(Repair.intake_key == key))):
        raise TakenIn(before)
    with _stored(uploads) as pictures:
        # Locks the branch's row: the next form of this branch, a twin of this one too, waits for the commit.
        branch = db.session.get(Branch, branch_id, with_for_update={"key_share": True}, populate_existing=True)
        if branch is None:
            raise Refused(_("This branch does not exist any more."))
        if key and (before := db.session.scalar(select(Repair).where(Repair.intake_key == key))):
            raise TakenIn(before)
        _demand_there(details["technician_id"], branch)
        if details["estimate"] is not None:
            _demand_currency(currency)
        customer = customers.find_or_create(phone, name, email)
        repair = _new_repair(shop, branch, customer, key, promised_at=promised_at, **details)
        _record(repair, by, Kind.RECEIVED, new=Status.RECEIVED)
        if promised_at:
            _record(repair, by, Kind.PROMISED, new=formats.iso_utc(promised_at))
        if note:
            _record(repair, by, Kind.NOTED, text=note)
        if pictures:
            db.session.flush()
            _add_pictures(repair, pictures, by)
        db.session.commit()
    return repair


def _demand_currency(currency: str) -> None:
    # Locked: whoever changes it waits, and finds this estimate among those that go over.
    if db.session.scalar(select(Shop.currency).with_for_update(read=True)) != currency:
        raise OtherCurrency(_("The shop’s currency was changed a moment ago: look at the estimate once more."))


def bring_in(
    shop: Shop,
    branch: Branch,
    customer: Customer,
    *,
    by: Staff,
    status: Status,
    received_at: datetime | None,
    promised_at: datetime | None,
    note: str,
    key: str,
    **details,
) -> Repair:
    """Takes in a repair that is under way already, from another program's list, in the caller's transaction.

    The branch's row is locked. What is written down is what is known: that it was brought in now, when the list says it
    was received, and one move to where the list says it stands.
    """
    repair = _new_repair(shop, branch, customer, key, promised_at=promised_at, **details)
    _record(repair, by, Kind.RECEIVED, new=Status.RECEIVED, text="From an imported list.")
    if promised_at:
        _record(repair, by, Kind.PROMISED, new=formats.iso_utc(promised_at))
    if note:
        _record(repair, by, Kind.NOTED, text=note)
    for kind, to in _WAY_TO[status]:
        _record(repair, by, kind, old=repair.status, new=to)
        repair.paused_from = repair.status if kind == Kind.PAUSED else None
        repair.status = to
        repair.moved_at = repair.changed_at
    if received_at:
        repair.received_at = received_at
    return repair


# Nobody knows what a repair was through before; for parts it waits from the first step that it can be paused in.
_WAY_TO = {
    Status.RECEIVED: [],
    Status.DIAGNOSING: [(Kind.ADVANCED, Status.DIAGNOSING)],
    Status.WAITING_PARTS: [(Kind.ADVANCED, Status.DIAGNOSING), (Kind.PAUSED, Status.WAITING_PARTS)],
    **{to: [(Kind.JUMPED, to)] for to in (Status.REPAIRING, Status.TESTING, Status.READY)},
}


def _new_repair(shop: Shop, branch: Branch, customer: Customer, key: str, **details) -> Repair:
    number, branch.next_number = branch.next_number, branch.next_number + 1
    repair = Repair(
        code=formats.repair_code(shop.code, branch.code, number),
        token=formats.new_token(),
        intake_key=key or None,
        branch=branch,
        customer=customer,
        status=Status.RECEIVED,
        **details,
    )
    db.session.add(repair)
    return repair


def _demand_there(technician_id: int | None, branch: Branch) -> None:
    technician = db.session.get(Staff, technician_id) if technician_id else None
    if technician and not technician.sees(branch.id):
        raise WorksElsewhere(_("%(name)s does not work at %(branch)s.", name=technician.name, branch=branch.name))


def advance(repair: Repair, *, by: Staff, version: int) -> Status:
    """Takes the next step, and says where it led. Raises Stale, Refused, rules.Forbidden; so do all the moves."""
    check_version(repair, version)
    return _move(repair, Kind.ADVANCED, rules.advance(repair.stage), by)


def jump(repair: Repair, to: Status, *, by: Staff, version: int) -> None:
    """Goes to a later step, passing over those between."""
    check_version(repair, version)
    _move(repair, Kind.JUMPED, rules.jump(repair.stage, to), by)


def pause(repair: Repair, *, by: Staff, version: int) -> None:
    """Sets it aside until a part arrives."""
    check_version(repair, version)
    _move(repair, Kind.PAUSED, rules.pause(repair.stage), by)


def resume(repair: Repair, *, by: Staff, version: int) -> Status:
    """Goes on exactly where it was paused, and says where that is."""
    check_version(repair, version)
    held = Status(repair.paused_from) if repair.paused_from else None
    return _move(repair, Kind.RESUMED, rules.resume(repair.stage, held), by)


def cancel(repair: Repair, *, by: Staff, version: int, reason: str, public: bool) -> None:
    """Ends it unrepaired. public: whether the customer reads the reason."""
    check_version(repair, version)
    _move(repair, Kind.CANCELLED, rules.cancel(repair.stage), by, text=reason, public=public and bool(reason))


def revert(repair: Repair, *, by: Staff, version: int, reason: str) -> None:
    """Undoes the last move that still stands."""
    check_version(repair, version)
    _demand_known(repair)
    moves = rules.standing_moves(repair.events)
    status, paused_from = rules.revert(moves)
    _record(repair, by, Kind.REVERTED, old=repair.status, new=status, text=reason)
    repair.status, repair.paused_from = status, paused_from
    # It stands there since it first came there: what is undone never was.
    repair.moved_at = moves[-2].at if len(moves) > 1 else repair.received_at
    db.session.commit()


def promise(repair: Repair, at: datetime | None, *, by: Staff, version: int, reason: str) -> None:
    """Sets, changes or withdraws the promise. Changing one needs a reason, which the customer reads."""
    check_version(repair, version)
    if repair.status == Status.CANCELLED:
        raise Refused(_("A cancelled repair has nothing left to promise."))
    if repair.closed:
        raise Refused(_("A delivered repair has nothing left to promise."))
    # A form knows minutes; the same minute again is no change.
    if at and repair.promised_at and abs(at - repair.promised_at) < timedelta(minutes=1):
        raise Refused(_("This is the time promised already."))
    if at is None and repair.promised_at is None:
        raise Refused(_("There is no promise to take back."))
    if repair.promised_at and not reason:
        raise Refused(_("Give a reason: the customer was told another time."))
    old = formats.iso_utc(repair.promised_at) if repair.promised_at else None
    _record(repair, by, Kind.PROMISED, old=old, new=formats.iso_utc(at) if at else None, text=reason, public=True)
    repair.promised_at = at
    db.session.commit()


def hand_over(repair: Repair, to: Customer, *, by: Staff, why: str) -> None:
    """Makes it another customer's, who turned out to be the same person or not, in the caller's transaction.

    The event names them by their number in our books alone: a name may have to be erased one day.
    """
    _record(repair, by, Kind.CUSTOMER_CHANGED, old=str(repair.customer_id), new=str(to.id), text=why)
    repair.customer = to


def give_to(repair: Repair, phone: str, *, by: Staff, version: int, name: str, email: str) -> None:
    """Gives it to the customer with that phone (E.164), made if nobody has it: it was taken in for somebody else.

    With a new link, as whoever it seemed to belong to may have the old one. Raises what take_in does of a customer.
    """
    check_version(repair, version)
    # Whoever merges or erases customers holds them before their repairs. So does this: all is let go of, and looked at
    # once more.
    db.session.rollback()
    customer = customers.find_or_create(phone, name, email)
    _hold(repair)
    check_version(repair, version)
    if repair.customer.erased_at:
        raise Refused(_("The customer was erased: nobody knows any more whose this repair was."))
    if customer.id == repair.customer_id:
        raise Refused(_("This repair belongs to %(name)s already.", name=customer.name))
    hand_over(repair, customer, by=by, why="Taken in for the wrong customer.")
    _new_link(repair, by)
    db.session.commit()


def forget_whose(repair: Repair, *, by: Staff) -> None:
    """Takes out of a repair all that could say whose it was; for customers.erasing, which commits.

    The tracking link too: whoever has the old one finds nothing.
    """
    repair.problem = repair.serial = repair.accessories = ""
    repair.token, repair.intake_key = formats.new_token(), None
    _record(repair, by, Kind.ERASED)
    repair.public_version += 1


def add_note(repair: Repair, text: str, *, by: Staff, version: int) -> None:
    """Writes down something only staff reads."""
    check_version(repair, version)
    _record(repair, by, Kind.NOTED, text=text)
    db.session.commit()


def add_update(repair: Repair, text: str, *, by: Staff, version: int) -> None:
    """Tells the customer something."""
    check_version(repair, version)
    _demand_known(repair)
    _record(repair, by, Kind.UPDATED, text=text, public=True)
    db.session.commit()


def take_back(repair: Repair, update_id: int, *, by: Staff, version: int) -> None:
    """Takes back something that the customer was told: their page shows it no more, the history keeps both."""
    check_version(repair, version)
    told = db.session.get(Event, update_id)
    if told is None or told.repair_id != repair.id or told.kind != Kind.UPDATED:
        raise Refused(_("This repair has no such update."))
    rules.demand_taking_back(Role(by.role), is_own=told.staff_id == by.id)
    if told.id in rules.taken_back(repair.events):
        raise Refused(_("This update is taken back already."))
    _record(repair, by, Kind.UPDATE_TAKEN_BACK, old=str(told.id))
    db.session.commit()


def replace_link(repair: Repair, *, by: Staff, version: int) -> None:
    """Gives the repair a new tracking link; the old one is unknown from now on."""
    check_version(repair, version)
    _demand_known(repair)
    _new_link(repair, by)
    db.session.commit()


def _new_link(repair: Repair, by: Staff) -> None:
    repair.token = formats.new_token()
    _record(repair, by, Kind.LINK_REPLACED)


def add_photos(repair: Repair, uploads, *, by: Staff, version: int) -> None:
    """Keeps pictures, which only staff sees: all of the uploads (photos.store says what these are), or none."""
    check_version(repair, version)
    rules.demand_room(_photo_count(repair), len(uploads))
    with _stored(uploads) as pictures:
        _hold(repair)
        check_version(repair, version)
        _add_pictures(repair, pictures, by)
        db.session.commit()


@contextmanager
def _stored(uploads):
    """The pictures of uploads, as files that are removed again if the block does not get as far as its commit.

    Shrinking takes seconds, through which nobody else should wait for a lock. So all are let go of before, and the
    block checks once more what was checked.
    """
    if uploads:
        db.session.rollback()
    pictures = photos.store(uploads)
    try:
        yield pictures
    except BaseException:
        photos.remove(*(picture.name for picture in pictures))
        raise


def _add_pictures(repair: Repair, pictures, by: Staff) -> None:
    db.session.add_all(Photo(repair_id=repair.id, staff_id=by.id, **picture._asdict()) for picture in pictures)
    _record(repair, by, Kind.PHOTO_ADDED, text=counted(len(pictures), "photo"))


def remove_photo(repair: Repair, photo_id: int, *, by: Staff, version: int) -> None:
    """Removes a photo for good."""
    check_version(repair, version)
    photo = db.session.get(Photo, photo_id)
    if photo is None or photo.repair_id != repair.id:
        raise Refused(_("This repair has no such photo."))
    name = photo.name
    db.session.delete(photo)
    _record(repair, by, Kind.PHOTO_REMOVED)
    db.session.commit()
    # Last: a row without its picture would be worse than a picture without its row.
    photos.remove(name)


def _demand_known(repair: Repair) -> None:
    if repair.customer.erased_at:
        raise Refused(_("The customer was erased: this repair stays closed, and nobody reads about it any more."))


def _photo_count(repair: Repair) -> int:
    return db.session.scalar(select(func.count()).select_from(Photo).where(Photo.repair_id == repair.id))


_FIELDS = {
    "item": "item",
    "problem": "problem",
    "serial": "serial number",
    "accessories": "accessories",
    "technician_id": "technician",
    "estimate": "price estimate",
}


def edit(repair: Repair, *, by: Staff, version: int, **details) -> None:
    """Changes what was written down at intake. The event names the fields and what they held before."""
    check_version(repair, version)
    changed = [name for name in _FIELDS if getattr(repair, name) != details[name]]
    if not changed:
        db.session.rollback()
        return
    before = [f"{_FIELDS[name]} (was: {_as_text(repair, name)})" for name in changed]
    for name in changed:
        setattr(repair, name, details[name])
    _record(repair, by, Kind.EDITED, new=" ".join(changed), text="; ".join(before))
    db.session.commit()


def assign(repair: Repair, technician_id: int | None, *, by: Staff, version: int) -> None:
    """Gives it to a technician, or to nobody: what the form for editing does. Raises WorksElsewhere too."""
    technician = db.session.get(Staff, technician_id) if technician_id else None
    if technician_id and (technician is None or not technician.active or technician.role not in rules.AT_THE_BENCH):
        raise Refused(_("This person takes no repairs."))
    _demand_there(technician_id, repair.branch)
    edit(
        repair,
        by=by,
        version=version,
        **{name: getattr(repair, name) for name in _FIELDS} | {"technician_id": technician_id},
    )


def take(repair: Repair, *, by: Staff, version: int) -> None:
    """Gives it to whoever asks, who finds it open and nobody's. Raises what assign does."""
    check_version(repair, version)
    if repair.closed or repair.technician_id:
        raise Refused(_("Only an open repair that nobody has taken yet can be taken."))
    assign(repair, by.id, by=by, version=version)


def let_go_of(person: Staff, *, by: Staff) -> int:
    """Takes off a person's hands the open repairs that they could not be given any more; says how many.

    In the caller's transaction: who leaves, or goes to another branch or to another job, leaves all of them at once.
    """
    theirs = select(Repair).where(Repair.technician_id == person.id, Repair.status.not_in(rules.CLOSED))
    repairs = db.session.scalars(theirs.order_by(Repair.id).with_for_update(of=Repair)).all()
    at_the_bench = person.active and person.role in rules.AT_THE_BENCH
    gone = [repair for repair in repairs if not (at_the_bench and person.sees(repair.branch_id))]
    for repair in gone:
        before = f"{_FIELDS['technician_id']} (was: {_as_text(repair, 'technician_id')})"
        repair.technician_id = None
        _record(repair, by, Kind.EDITED, new="technician_id", text=before)
    return len(gone)


def _as_text(repair: Repair, name: str) -> str:
    if name == "technician_id":
        return repair.technician.name if repair.technician else "nobody"
    value = getattr(repair, name)
    if value in (None, ""):
        return "nothing"
    return formats.plain_money(value, get_shop().currency) if name == "estimate" else value


def _move(repair, kind, to, by, *, text="", public=False) -> Status:
    if kind in {Kind.ADVANCED, Kind.JUMPED}:
        rules.demand_mover(Role(by.role), repair.stage, to)
    _record(repair, by, kind, old=repair.status, new=to, text=text, public=public)
    repair.paused_from = repair.status if kind == Kind.PAUSED else None
    repair.status = to
    repair.moved_at = repair.changed_at
    db.session.commit()
    return to


def _hold(repair: Repair) -> None:
    """Locks it until the commit, and reads it as it then is.

    By itself: PostgreSQL finds no row, joined with the customer whose it was, once it went to another while one waited.
    """
    db.session.execute(select(Repair.id).where(Repair.id == repair.id).with_for_update())
    db.session.refresh(repair)


def check_version(repair: Repair, version: int | None) -> None:
    """Raises Stale unless the form was drawn for the repair as it stands."""
    if version != repair.version:
        raise Stale


def _record(repair: Repair, by: Staff, kind: Kind, *, old=None, new=None, text="", public=False) -> None:
    """Writes the event, and raises the version that forms go by and, for what it shows, the customer's page."""
    now = utcnow()
    db.session.add(Event(repair=repair, staff_id=by.id, at=now, kind=kind, old=old, new=new, text=text, public=public))
    repair.version = (repair.version or 0) + 1
    if not rules.is_internal(kind, new):
        repair.public_version = (repair.public_version or 0) + 1
    repair.changed_at = now
