"""What an owner does with the shop: opens it, changes it and its branches. Each commits once, last."""

from babel.numbers import get_currency_precision
from flask import abort
from flask_babel import gettext as _
from sqlalchemy import func, select, update

from .. import auth, formats, passwords
from ..activity import record
from ..auth import me
from ..db import db
from ..models import Branch, Logo, Repair, Shop, Staff, get_shop
from ..rules import Deed, Refused, Role
from ..seen import demand_unchanged
from .forms import SetupForm
from .logo import Made


def open_shop(form: SetupForm) -> Staff:
    """Makes the shop, its first branch and its owner, and commits. The owner is returned."""
    details = form.details()
    # Most shops have one number for both; it changes with the phone, and the settings can take it away.
    details["whatsapp"] = details["whatsapp"] or details["phone"]
    password_hash = passwords.hash_password(form.password.data)
    if auth.is_set_up():
        abort(404)
    branch = Branch(name=form.branch_name.data, code=form.branch_code.data)
    owner = Staff(
        name=form.owner_name.data, email=form.email.data.casefold(), password_hash=password_hash, role=Role.OWNER
    )
    db.session.add_all([Shop(code=form.code.data, **details), branch, owner])
    db.session.commit()
    return owner


# The names of what may be changed, as the record keeps them: in English, whoever changed it.
_NAMES = {
    "whatsapp": "WhatsApp number",
    "timezone": "time zone",
    "public_url": "public address",
    "link_days": "days until links end",
    "hours": "opening hours",
    "hidden": "details shown",
    "sentences": "status sentences",
}


def change_shop(shop: Shop, details: dict, seen: str) -> None:
    """Changes the shop's settings, and commits. seen: the form's own.

    Raises Changed, and Refused when the currency cannot be changed to that one.
    """
    _hold(shop)
    demand_unchanged(shop, details, seen)
    _keep_figures(shop, details.get("currency", shop.currency))
    if changed := _change(shop, details):
        record.note(Deed.SHOP_CHANGED, by=me(), text=changed)
    _raise_version(shop)
    db.session.commit()


def _keep_figures(shop: Shop, currency: str) -> None:
    """Estimates keep their figures in another currency: 12,000 yen become 12,000.00 dollars, 49.50 baht 50 yen."""
    more = get_currency_precision(currency) - get_currency_precision(shop.currency)
    if more > 0:
        _demand_room(shop, currency, 10**more)
        kept = Repair.estimate * 10**more
    elif more < 0:
        # Whole numbers divided by whole numbers, which both databases cut off: half of one is added first.
        kept = (Repair.estimate + 10**-more // 2) // 10**-more
    else:
        return
    # In the order in which others lock several: two who have each what the other wants next would wait for ever.
    priced = select(Repair.id).where(Repair.estimate.is_not(None)).order_by(Repair.id).with_for_update(key_share=True)
    db.session.scalar(select(func.count()).select_from(priced.subquery()))
    # A form in which the old figures stand open, "12.500" say, would be read as thousands: it is outdated.
    changes = {"estimate": kept, "version": Repair.version + 1}
    db.session.execute(
        update(Repair).where(Repair.estimate.is_not(None)).values(changes),
        execution_options={"synchronize_session": False},
    )


def _demand_room(shop: Shop, currency: str, factor: int) -> None:
    """Raises Refused if an estimate would be more than can be typed in that currency."""
    query = select(Repair.code, Repair.estimate).where(Repair.estimate.is_not(None))
    largest = db.session.execute(query.order_by(Repair.estimate.desc()).limit(1)).one_or_none()
    if largest is None:
        return
    try:
        formats.parse_money(formats.plain_money(largest.estimate * factor, currency), currency)
    except ValueError:
        money = formats.format_money(largest.estimate, shop.currency, shop.country)
        said = _(
            "The estimate of %(code)s is too large for this currency: %(money)s. Lower it first.",
            code=largest.code,
            money=money,
        )
        raise Refused(said) from None


def set_logo(shop: Shop, made: Made | None) -> None:
    """Gives the shop a logo, or takes it away, and commits."""
    row = db.session.get(Logo, 1)
    if made is None and row is not None:
        db.session.delete(row)
    elif made is not None:
        db.session.add(row or (row := Logo(id=1)))
        row.picture = made.picture
    shop.logo, shop.logo_width, shop.logo_height, shop.logo_tone = made[1:] if made else ("", 0, 0, "")
    _raise_version(shop)
    record.note(Deed.SHOP_CHANGED, by=me(), text="logo")
    db.session.commit()


def save_branch(branch: Branch, details: dict, seen: str = "") -> None:
    """Adds or changes a branch, and commits. Raises Changed. seen: the form's own, for one that is changed."""
    is_new = branch.id is None
    if not is_new:
        _hold(branch)
        demand_unchanged(branch, details, seen)
    changed = _change(branch, details)
    db.session.add(branch)
    db.session.flush()
    if is_new:
        record.note(Deed.BRANCH_ADDED, by=me(), subject=branch, branch_id=branch.id, text=branch.name)
    elif changed:
        record.note(Deed.BRANCH_CHANGED, by=me(), subject=branch, branch_id=branch.id, text=changed)
    # Open tracking pages show the branch's contact.
    _raise_version(get_shop())
    db.session.commit()


def _hold(row: Shop | Branch) -> None:
    # Read again once it is locked: of two who save at once, the second compares with what the first has saved.
    db.session.refresh(row, with_for_update={"key_share": True})


def _raise_version(shop: Shop) -> None:
    # By the database: of two who save at once each is counted, or an open page would take the second for the first.
    shop.version = Shop.version + 1


def _change(row: Shop | Branch, details: dict) -> str:
    """Puts new values into a row, and gives the names of those that are others than before."""
    # Who takes calls and chats on one number, and gets another, says so by the phone: customers would write to nobody.
    if row.phone and "phone" in details and row.phone == row.whatsapp == details.get("whatsapp", row.whatsapp):
        details = details | {"whatsapp": details["phone"]}
    changed = [name for name, value in details.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, details[name])
    return ", ".join(_NAMES.get(name, name) for name in changed)
