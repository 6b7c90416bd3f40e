"""What people send about repairs: intake, the panels' forms, the board's query string."""

import secrets
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from flask_babel import gettext as _
from flask_babel import lazy_gettext
from flask_wtf.file import MultipleFileField
from werkzeug.datastructures import MultiDict
from wtforms import (
    BooleanField,
    EmailField,
    HiddenField,
    IntegerField,
    RadioField,
    SelectChoice,
    SelectField,
    SelectMultipleField,
    StringField,
    TelField,
    TextAreaField,
    ValidationError,
)
from wtforms import Form as QueryForm
from wtforms.validators import Length, Optional

from .. import formats, rules
from ..db import utcnow
from ..models import Repair, Shop, get_shop
from ..rules import Status
from ..seen import digest
from ..web import EMAIL, Checked, Form, Needed, Within, choices

SORTS = ("promised", "newest", "oldest", "status")
# Whose: one's own, and those that nobody has taken yet.
WHO = ("mine", "nobody")
# For how many days nobody has touched it, as the board offers it; any other number can be typed.
QUIET = (2, 5, 10)
MOST_DAYS = 365
# Whoever would leaf further searches instead.
LAST_PAGE = 200


def named(rows) -> list[SelectChoice]:
    """Rows to choose from by their names, each in the direction in which it is written."""
    return [SelectChoice(row.id, row.name, {"dir": "auto"}) for row in rows]


class PromiseFields:
    """Until when it is promised: a quick pick, or a date and time of one's own."""

    promise_pick = RadioField(lazy_gettext("Promised for"), choices=[], default="none")
    promise_at = StringField(lazy_gettext("Date and time"))

    def offer_picks(self, shop: Shop, now: datetime, *, given: bool = False) -> None:
        """Sets the choices: today's only while it lies ahead. given: whether there is a promise, to be taken back."""
        picks = [(name, label) for name, label in formats.PICKS.items() if formats.pick(name, shop.timezone, now) > now]
        picks.append(("custom", _("Pick a time")))
        # What takes something away comes last, and says so.
        picks.insert(len(picks) if given else 0, ("none", _("Take the promise back") if given else _("No promise")))
        self.promise_pick.choices = choices(picks)

    def validate_promise_at(self, field):
        if self.promise_pick.data == "custom":
            if not field.data:
                raise ValidationError(_("Choose a date and time."))
            try:
                at = formats.from_local_input(field.data, get_shop().timezone)
            except ValueError as problem:
                raise ValidationError(str(problem)) from None
            if at <= utcnow():
                raise ValidationError(_("This time has passed. Promise a time ahead."))
            if at.year > utcnow().year + 5:
                raise ValidationError(_("This is more than five years ahead."))

    def promised_at(self, shop: Shop) -> datetime | None:
        """The moment promised, in UTC; None for no promise."""
        if self.promise_pick.data == "custom":
            return formats.from_local_input(self.promise_at.data, shop.timezone)
        if self.promise_pick.data == "none":
            return None
        return formats.pick(self.promise_pick.data, shop.timezone, utcnow())


def _money(text: str, shop: Shop) -> int:
    return formats.parse_money(text, shop.currency, shop.country)


class ItemFields:
    """What was left with the shop, and who sees to it."""

    item = StringField(lazy_gettext("Item"), [Needed(lazy_gettext("What was brought in?")), Length(max=120)])
    problem = TextAreaField(lazy_gettext("Problem"), [Needed(lazy_gettext("What is wrong with it?")), Length(max=2000)])
    serial = StringField(lazy_gettext("Serial number or IMEI"), [Length(max=80)])
    accessories = StringField(lazy_gettext("Left with it"), [Length(max=200)])
    technician = SelectField(lazy_gettext("Technician"), coerce=int, default=0)
    estimate = StringField(
        lazy_gettext("Price estimate"),
        [Optional(), Length(max=20), Checked(lambda text: _money(text, get_shop()))],
    )

    def offer_technicians(self, staff) -> None:
        """Sets the choices: nobody yet, and each of staff."""
        self.technician.choices = [*choices([(0, _("Nobody yet"))]), *named(staff)]

    def details(self, shop: Shop) -> dict:
        """The fields as a repair keeps them."""
        return {
            "item": self.item.data,
            "problem": self.problem.data,
            "serial": self.serial.data,
            "accessories": self.accessories.data,
            "technician_id": self.technician.data or None,
            "estimate": _money(self.estimate.data, shop) if self.estimate.data else None,
        }


class CustomerFields:
    """Whose it is: the phone says who that is, and a new one needs a name."""

    phone = TelField(
        lazy_gettext("Phone"),
        [
            Needed(lazy_gettext("The phone number comes first: it says who the customer is.")),
            Checked(lambda text: formats.parse_phone(text, get_shop().country)),
        ],
    )
    name = StringField(lazy_gettext("Name"), [Length(max=120)])
    # The name typed before the number turned out to be somebody else's: good again once the number is corrected.
    other_name = HiddenField(filters=[formats.clean_line], validators=[Length(max=120)])
    email = EmailField(lazy_gettext("Email"), [Optional(), Length(max=254), EMAIL])


class IntakeForm(ItemFields, PromiseFields, CustomerFields, Form):
    note = TextAreaField(lazy_gettext("Internal note"), [Length(max=2000)])
    photos = MultipleFileField(lazy_gettext("Photos"))
    branch = SelectField(lazy_gettext("Branch"), coerce=int)
    # Which button was pressed: "receipt", "label" and "both" go on to the printer.
    then = StringField()
    key = HiddenField(default=lambda: secrets.token_hex(16), validators=[Length(max=32)])

    @property
    def uploads(self) -> list:
        """The files that came along; none where the form has no place for them."""
        return (self.photos and self.photos.data) or []

    def tells_of(self, repair: Repair, shop: Shop, photos: int) -> bool:
        """Whether it holds what that repair was taken in with: it was sent twice, and nothing was changed between.

        photos: how many the repair has.
        """
        told = self.details(shop) | {"branch_id": self.branch.data, "promised_at": self.promised_at(shop)}
        notes = [event.text for event in repair.events if event.kind == rules.Kind.NOTED]
        return (
            formats.parse_phone(self.phone.data, shop.country) == repair.customer.phone
            and all(getattr(repair, name) == value for name, value in told.items())
            # A known customer's is not asked for.
            and self.name.data in {"", repair.customer.name}
            and (not self.note.data or self.note.data in notes)
            and len(self.uploads) in {0, photos}
        )

    def begin_another(self, sent: Repair) -> None:
        """Makes it the form of another repair, and says that it was sent before."""
        self.key.data = secrets.token_hex(16)
        self.key.errors = [
            _(
                "This form was sent before, as %(code)s, and what you changed since is not saved there. Is this "
                "another repair? Then take it in once more.",
                code=sent.code,
            )
        ]

    def validate_photos(self, field):
        try:
            rules.demand_room(0, len(field.data or ()))
        except rules.Refused as refusal:
            raise ValidationError(str(refusal)) from None


class EditForm(ItemFields, Form):
    version = IntegerField()
    # What each field held when the form was drawn.
    drawn = HiddenField()

    def note_drawn(self, shown: dict) -> None:
        """Notes what the fields hold as they are drawn: what as_typed gave."""
        self.drawn.data = " ".join(_mark(name, value) for name, value in shown.items())

    def take_over(self, saved: dict) -> set[str]:
        """Puts what as_typed says is saved into each field that nobody has touched since the form was drawn.

        Gives the names of the others that hold something else than what somebody has saved meanwhile.
        """
        before = {*(self.drawn.data or "").split()}
        meanwhile = {name for name, value in saved.items() if _mark(name, value) not in before}
        for name in meanwhile:
            if _mark(name, self[name].data) in before:
                self[name].data = saved[name]
        self.note_drawn(saved)
        return {name for name in meanwhile if str(self[name].data) != str(saved[name])}


def _mark(name: str, value) -> str:
    return digest({name: str(value)})


def as_typed(repair: Repair, shop: Shop) -> dict:
    """A repair's details as the fields of EditForm hold them."""
    return {
        "item": repair.item,
        "problem": repair.problem,
        "serial": repair.serial,
        "accessories": repair.accessories,
        "technician": repair.technician_id or 0,
        "estimate": "" if repair.estimate is None else formats.plain_money(repair.estimate, shop.currency),
    }


def in_words(form: EditForm, saved: dict, names: set[str]) -> list[tuple[str, str]]:
    """(label, what is saved) of the fields of these names, in the form's order."""
    people = {choice.value: choice.label for choice in form.technician.choices}
    words = saved | {"technician": people[saved["technician"]]}
    return [(form[name].label.text, words[name]) for name in saved if name in names]


class VersionForm(Form):
    """A form that is one button, and the version it was drawn for."""

    version = IntegerField()


class HandOverForm(CustomerFields, VersionForm):
    """To whom a repair is given."""


class JumpForm(VersionForm):
    to = SelectField(lazy_gettext("Jump to"), choices=choices(rules.LABELS.items()))


class RevertForm(VersionForm):
    reason = StringField(lazy_gettext("Reason"), [Length(max=500)])


class CancelForm(VersionForm):
    reason = StringField(lazy_gettext("Reason"), [Length(max=500)])
    public = BooleanField(lazy_gettext("The customer sees the reason"))


class PromiseForm(PromiseFields, VersionForm):
    # Nothing unless it is chosen: what a form leaves out must not take a promise back.
    promise_pick = RadioField(lazy_gettext("Promised for"), choices=[])
    reason = StringField(lazy_gettext("Reason for the customer"), [Length(max=500)])


class TextForm(VersionForm):
    """A note or an update."""

    text = TextAreaField(lazy_gettext("Text"), [Needed(lazy_gettext("Write something first.")), Length(max=2000)])


class PhotosForm(VersionForm):
    photos = MultipleFileField(lazy_gettext("Photos"), [Needed(lazy_gettext("Choose a photo first."))])


class HistoryQuery(QueryForm):
    """Which part of a repair's history its page shows: one of rules.KIND_GROUPS; junk is all of it."""

    history = StringField(default="", filters=[lambda name: name if name in rules.KIND_GROUPS else ""])


class _BoardQuery(QueryForm):
    q = StringField(default="", filters=[formats.clean_line, lambda text: text[:100]])
    show = StringField(default="")
    who = StringField(default="")
    quiet = StringField(default="")
    # How many days, where quiet is "custom": the last choice of the board's list, with a field beside it.
    days = IntegerField()
    sort = StringField(default="")
    grouped = StringField(default="")
    branch = IntegerField()
    technician = IntegerField()
    page = IntegerField(default=1)


class BoardFilter:
    """The board's query string. Junk becomes no filter, never an error.

    held_to: the branch that whoever asks is held to, whatever they ask for; None for an owner.
    """

    def __init__(self, args, held_to: int | None = None):
        query = _BoardQuery(args)
        self.q: str = query.q.data
        self.show: str = query.show.data if query.show.data in {"late", "today", *Status} else ""
        self.who: str = query.who.data if query.who.data in WHO else ""
        self.quiet: int = _days(query.days.data if query.quiet.data == "custom" else query.quiet.data)
        self.sort: str = query.sort.data if query.sort.data in SORTS else SORTS[0]
        self.grouped: bool = query.grouped.data == "1"
        self.held_to = held_to
        self.branch: int | None = held_to or _id(query.branch.data)
        self.technician: int | None = _id(query.technician.data)
        self.page: int = min(max(query.page.data or 1, 1), LAST_PAGE)

    @classmethod
    def of(cls, query: str, held_to: int | None = None) -> "BoardFilter":
        """The same for a query string that a form carries, or that was saved."""
        return cls(MultiDict(parse_qsl(query[:2000], max_num_fields=50) if query.count("&") < 50 else ()), held_to)

    def query(self, **changes) -> dict:
        """The query string with changes, without what is the default; a change of filter goes to page 1."""
        wanted = {
            "q": self.q,
            "show": self.show,
            "who": self.who,
            "quiet": self.quiet,
            "sort": self.sort,
            "grouped": int(self.grouped),
            # Whom a branch holds anyway need not say so: a saved view would open the old one when they change over.
            "branch": None if self.held_to else self.branch,
            "technician": self.technician,
            "page": 1,
        } | changes
        if wanted["sort"] == SORTS[0]:
            wanted["sort"] = ""
        if wanted["page"] == 1:
            wanted["page"] = ""
        return {name: value for name, value in wanted.items() if value}

    @property
    def text(self) -> str:
        """The query string itself, as a form carries it."""
        return urlencode(self.query(page=self.page))


def _id(number: int | None) -> int | None:
    return number if number and 0 < number < 2**31 else None


def _days(written) -> int:
    """How many days nobody has touched it; 0 for whenever."""
    digits = str(written or "")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 and int(digits) <= MOST_DAYS else 0


class BulkForm(Form):
    """What to do with the repairs that are ticked on the board."""

    do = StringField()
    # The technician, 0 for nobody.
    to = IntegerField(validators=[Within(0, 2**31 - 1)])
    # The board's query string, to go back to.
    query = HiddenField()
    # "TH-MN-R0001:7": each repair's code, and the version that its row was drawn for.
    pick = SelectMultipleField(validate_choice=False)


class SaveFilterForm(Form):
    name = StringField(lazy_gettext("Name"), [Needed(lazy_gettext("Give this view a name.")), Length(max=40)])
    query = HiddenField()
