"""Handing the link over: addresses that open the customer's chat, what they say, the QR code."""

import io
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

import segno
from flask_babel import force_locale, lazy_gettext
from flask_babel import gettext as _
from markupsafe import Markup

from . import formats
from .models import Repair, Shop, Staff, tracking_url
from .rules import Status

# Each names who writes: from a number that nobody knows, a text with a link in it is otherwise taken for a fraud.
_NEWS = {
    Status.RECEIVED: lazy_gettext("Hello %(name)s, this is %(shop)s: we have taken in your %(item)s."),
    Status.DIAGNOSING: lazy_gettext("Hello %(name)s, this is %(shop)s: we are looking for the fault in your %(item)s."),
    Status.WAITING_PARTS: lazy_gettext("Hello %(name)s, this is %(shop)s: your %(item)s is waiting for a part."),
    Status.REPAIRING: lazy_gettext("Hello %(name)s, this is %(shop)s: your %(item)s is being repaired."),
    Status.TESTING: lazy_gettext("Hello %(name)s, this is %(shop)s: your %(item)s is repaired and being tested."),
    Status.READY: lazy_gettext("Hello %(name)s, this is %(shop)s: your %(item)s is ready to be collected."),
    Status.DELIVERED: lazy_gettext("Hello %(name)s, this is %(shop)s: your %(item)s has been handed back to you."),
    Status.CANCELLED: lazy_gettext("Hello %(name)s, this is %(shop)s: the repair of your %(item)s has been cancelled."),
}


@dataclass(frozen=True, slots=True)
class Share:
    """All the ways out of the shop for one link."""

    url: str
    text: str
    whatsapp: str
    sms: str
    email: str
    warning: str


def share(shop: Shop, repair: Repair) -> Share:
    """The tracking card's content for a repair, addressed to its customer in the shop's language."""
    url = tracking_url(shop, repair)
    with force_locale(shop.language):
        news = _NEWS[repair.stage] % {"name": repair.customer.name, "shop": shop.name, "item": repair.item}
        # Short, as an SMS is paid for by its length; and the link last, where nothing of a sentence gets into it.
        link = _("See where repair %(code)s stands: %(url)s", code=repair.code, url=url)
        subject = _("Your repair %(code)s at %(shop)s", code=repair.code, shop=shop.name)
    text = f"{news} {link}"
    return Share(
        url=url,
        text=text,
        whatsapp=whatsapp_url(repair.customer.phone, text),
        sms=f"sms:{repair.customer.phone}?&body={quote(text)}",
        email=f"mailto:{quote(repair.customer.email, safe='@')}?subject={quote(subject)}&body={quote(text)}",
        warning=_warning(shop.public_url),
    )


@dataclass(frozen=True, slots=True)
class Invitation:
    """The ways to hand somebody the link by which they choose a password."""

    url: str
    whatsapp: str
    email: str
    qr: Markup
    warning: str


def invitation(shop: Shop, person: Staff, token: str) -> Invitation:
    """The link of an invitation, in the words of whom it is for. It is a secret: whoever has it is that person."""
    url = f"{shop.public_url}/welcome/{token}"
    with force_locale(person.language or shop.language):
        subject = _("Your way into %(shop)s", shop=shop.name)
        text = _(
            "Hello %(name)s, this link lets you choose your password for %(shop)s. "
            "It works once, within 72 hours: %(url)s",
            name=person.name,
            shop=shop.name,
            url=url,
        )
    return Invitation(
        url=url,
        # To nobody in particular: the shop does not keep its people's numbers.
        whatsapp=f"https://wa.me/?text={quote(text)}",
        email=f"mailto:{quote(person.email, safe='@')}?subject={quote(subject)}&body={quote(text)}",
        qr=secret_qr(url, label=_("QR code of the invitation")),
        warning=_warning(shop.public_url),
    )


def whatsapp_url(phone: str, text: str) -> str:
    """Opens a WhatsApp chat with a number (E.164). https://faq.whatsapp.com/5913398998672934"""
    return f"https://wa.me/{phone.lstrip('+')}?text={quote(text)}"


@lru_cache(maxsize=128)
def qr(url: str, *, label: str) -> Markup:
    """A QR code as inline SVG in the text's colour; it needs no style, so a strict policy lets it show."""
    out = io.BytesIO()
    # Two modules of quiet zone: the page around it is plain, and the code is read from closer by.
    # A fixed mask: trying all eight takes five times as long, and a phone reads any of them.
    code = segno.make(url, error="m", micro=False, mask=4)
    code.save(
        out,
        kind="svg",
        xmldecl=False,
        omitsize=True,
        border=2,
        svgclass="qr",
        lineclass=None,
        light="#fff",
        title=label,
    )
    return Markup(out.getvalue().decode())  # noqa: S704 (segno's own markup; the label is escaped by it)


# A thermal printer's: 203 to the inch, which is 8 to the millimetre.
_DOTS = 8


@lru_cache(maxsize=32)
def printed_qr(url: str, millimetres: int, *, label: str) -> Markup:
    """The same for paper, at most so many millimetres wide: each module so many whole dots of a thermal printer.

    Three dots at least where there is any way: what is less, cheap scanners do not read from a worn print head.
    """
    for error in "ml":
        code = segno.make(url, error=error, micro=False, mask=4)
        dots = millimetres * _DOTS // code.symbol_size(border=2)[0]
        if dots > 2:
            break
    out = io.BytesIO()
    code.save(
        out,
        kind="svg",
        xmldecl=False,
        unit="mm",
        scale=max(dots, 1) / _DOTS,
        border=2,
        svgclass="qr",
        lineclass=None,
        title=label,
    )
    return Markup(out.getvalue().decode())  # noqa: S704 (segno's own markup; the label is escaped by it)


def secret_qr(text: str, *, label: str) -> Markup:
    """The same for what nobody may find later: nothing keeps it."""
    return qr.__wrapped__(text, label=label)


_WARNINGS = {
    "machine": lazy_gettext("This link only works on this machine. Set the public address in the shop's settings."),
    "network": lazy_gettext(
        "This link only works on the shop's own network. Set a public address in the shop's settings."
    ),
}


def _warning(public_url: str) -> str:
    return str(_WARNINGS.get(formats.reach(public_url), ""))
