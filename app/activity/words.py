"""What a history and the record keep in English words of our own, in the language of whoever reads it.

What is kept does not depend on who did it. So these words are looked up where they are shown, each by itself; what
people wrote stays as they wrote it.
"""

import re

from flask_babel import format_decimal, lazy_gettext, ngettext
from flask_babel import gettext as _

from ..rules import ROLE_LABELS, Deed, Kind

# What is changed: of a repair, a customer, a person, the shop, a branch.
_FIELDS = {
    "accessories": lazy_gettext("accessories"),
    "address": lazy_gettext("address"),
    "branch": lazy_gettext("branch"),
    "code": lazy_gettext("code"),
    "country": lazy_gettext("country"),
    "currency": lazy_gettext("currency"),
    "days until links end": lazy_gettext("days until links end"),
    "details shown": lazy_gettext("details shown"),
    "email": lazy_gettext("email"),
    "item": lazy_gettext("item"),
    "label paper": lazy_gettext("label paper"),
    "language": lazy_gettext("language"),
    "logo": lazy_gettext("logo"),
    "name": lazy_gettext("name"),
    "opening hours": lazy_gettext("opening hours"),
    "phone": lazy_gettext("phone"),
    "price estimate": lazy_gettext("price estimate"),
    "problem": lazy_gettext("problem"),
    "public address": lazy_gettext("public address"),
    "receipt paper": lazy_gettext("receipt paper"),
    "role": lazy_gettext("role"),
    "serial number": lazy_gettext("serial number"),
    "status sentences": lazy_gettext("status sentences"),
    "technician": lazy_gettext("technician"),
    "terms": lazy_gettext("terms"),
    "time zone": lazy_gettext("time zone"),
    "WhatsApp number": lazy_gettext("WhatsApp number"),
}
_ROLES = {role.value: label for role, label in ROLE_LABELS.items()}
# What a field held that held nothing that anybody wrote.
_HELD = {
    "accessories": {"nothing": lazy_gettext("nothing")},
    "branch": {"all branches": lazy_gettext("all branches")},
    "price estimate": {"nothing": lazy_gettext("nothing")},
    "serial number": {"nothing": lazy_gettext("nothing")},
    "technician": {"nobody": lazy_gettext("nobody")},
}
_WHOLE = {
    "A merge of two customers was undone.": lazy_gettext("A merge of two customers was undone."),
    "by flask owner-link, on the server": lazy_gettext("by flask owner-link, on the server"),
    "From an imported list.": lazy_gettext("From an imported list."),
    "Taken in for the wrong customer.": lazy_gettext("Taken in for the wrong customer."),
    "Two customers were merged.": lazy_gettext("Two customers were merged."),
    "right password": lazy_gettext("right password"),
    "wrong code": lazy_gettext("wrong code"),
    "wrong password": lazy_gettext("wrong password"),
}
_COUNTED = {
    "photo": lambda count, number: ngettext("%(number)s photo", "%(number)s photos", count, number=number),
    "repair": lambda count, number: ngettext("%(number)s repair", "%(number)s repairs", count, number=number),
    "new customer": lambda count, number: ngettext(
        "%(number)s new customer", "%(number)s new customers", count, number=number
    ),
    "repair went over": lambda count, number: ngettext(
        "%(number)s repair went over", "%(number)s repairs went over", count, number=number
    ),
    "repair went back": lambda count, number: ngettext(
        "%(number)s repair went back", "%(number)s repairs went back", count, number=number
    ),
}
# Where all of a text is ours, but for what a field held before.
_OURS = {Kind.RECEIVED, Kind.PHOTO_ADDED, Kind.EDITED, Kind.CUSTOMER_CHANGED}
_OURS |= frozenset(Deed) - {Deed.SIGNED_IN, Deed.BRANCH_ADDED}
_NEXT_FIELD = re.compile(rf"; (?=(?:{'|'.join(_FIELDS)}) \(was: )")


def counted(count: int, what: str) -> str:
    """How a count is kept, which in_words reads again: "1 photo", "3 repairs went over".

    what: in the singular, one of those that in_words can say; KeyError for another.
    """
    if what not in _COUNTED:
        raise KeyError(what)
    return f"{count:,} " + (what if count == 1 else re.sub(r"photo|repair|customer", r"\g<0>s", what))


def in_words(text: str, kind: str) -> str:
    """The text of an event or of a line of the record, which is of that kind."""
    if kind not in _OURS:
        return text
    if kind == Deed.STAFF_INVITED:
        return _role(text)
    return "; ".join(_part(part) for part in _NEXT_FIELD.split(text))


def _part(text: str) -> str:
    if text in _WHOLE:
        return str(_WHOLE[text])
    if (match := re.fullmatch(r"([\w ]+?) \(was: (.*)\)", text, re.DOTALL)) and match[1] in _FIELDS:
        field, value = match.groups()
        held = _role(value) if field == "role" else str(_HELD.get(field, {}).get(value, value))
        return _("%(field)s (was: %(value)s)", field=_FIELDS[field], value=held)
    if text.startswith("Paper: "):
        return _("Paper: %(fields)s", fields=_listed(text.removeprefix("Paper: ")))
    return _listed(text)


def _listed(text: str) -> str:
    return ", ".join(_counted(word) or str(_FIELDS.get(word) or _WHOLE.get(word, word)) for word in text.split(", "))


def _counted(text: str) -> str:
    """ "3 repairs" and the like; "" for anything else."""
    match = re.fullmatch(r"([\d,]+) (photo|repair|new customer)s?( went over| went back)?", text)
    count = int(match[1].replace(",", "")) if match else 0
    say = _COUNTED.get(match[2] + (match[3] or "")) if match else None
    return say(count, format_decimal(count)) if say else ""


def _role(text: str) -> str:
    """A role by its value, or by what it is called in English."""
    return str(_ROLES.get(text.lower().replace(" ", "_"), text))
