"""What is typed about the shop and its branches, and how it is read."""

import re

from flask_babel import force_locale, lazy_gettext
from flask_babel import gettext as _
from flask_wtf.file import FileField
from wtforms import (
    BooleanField,
    EmailField,
    FormField,
    IntegerField,
    PasswordField,
    SelectField,
    SelectMultipleField,
    StringField,
    TelField,
    TextAreaField,
    URLField,
    ValidationError,
)
from wtforms.validators import InputRequired, Length, Optional
from wtforms.widgets import CheckboxInput, ListWidget, TextArea

from .. import formats, hours, language, passwords, rules
from ..models import Shop, get_shop
from ..rules import Status
from ..seen import SharedForm
from ..web import EMAIL, Checked, Form, Needed, Within, choices
from . import preview

CODE_HINT = lazy_gettext("Two capital letters, such as MN.")
USUAL_WEEK = [[["09:00", "18:00"]]] * 5 + [[], []]


def _phone(form, field):
    """A number of the country that the same form names, or the shop's."""
    if field.data:
        country = form.country.data if hasattr(form, "country") else get_shop().country
        try:
            formats.parse_phone(field.data, country)
        except ValueError as problem:
            raise ValidationError(str(problem)) from None


def _code(form, field):
    field.data = field.data.upper()
    if not re.fullmatch("[A-Z]{2}", field.data):
        raise ValidationError(CODE_HINT)


def _zone(form, field):
    try:
        field.data = formats.find_timezone(field.data)
    except ValueError as problem:
        raise ValidationError(str(problem)) from None


class ShopFields:
    """What set-up asks about the shop, and its settings change."""

    name = StringField(lazy_gettext("Shop name"), [Needed(lazy_gettext("What is the shop called?")), Length(max=80)])
    country = SelectField(lazy_gettext("Country"))
    timezone = StringField(lazy_gettext("Time zone"), [Needed(lazy_gettext("Which time zone is the shop in?")), _zone])
    currency = SelectField(lazy_gettext("Currency"))
    language = SelectField(lazy_gettext("Language"), choices=choices(language.NAMES.items()), default="en")
    phone = TelField(lazy_gettext("Phone"), [Needed(lazy_gettext("Customers call this number.")), _phone])
    whatsapp = TelField(lazy_gettext("WhatsApp number"), [_phone])
    address = TextAreaField(lazy_gettext("Address"), [Length(max=300)])
    public_url = URLField(
        lazy_gettext("Public address"),
        [Needed(lazy_gettext("Customers' links begin with it.")), Length(max=200), Checked(formats.parse_address)],
    )

    def offer_choices(self) -> None:
        """Sets the choices of country and currency."""
        self.country.choices = choices(formats.countries())
        self.currency.choices = choices(formats.currencies())

    def details(self) -> dict:
        """The fields as the shop keeps them."""
        country = self.country.data
        return {
            "name": self.name.data,
            "country": country,
            "timezone": self.timezone.data,
            "currency": self.currency.data,
            "language": self.language.data,
            "phone": formats.parse_phone(self.phone.data, country),
            "whatsapp": formats.parse_phone(self.whatsapp.data, country) if self.whatsapp.data else "",
            "address": self.address.data,
            "public_url": formats.parse_address(self.public_url.data),
        }


class SetupForm(ShopFields, Form):
    setup_code = StringField(
        lazy_gettext("Set-up code"), [Needed(lazy_gettext("The server printed it when it started."))]
    )
    code = StringField(lazy_gettext("Shop code"), [Needed(CODE_HINT), _code])
    branch_name = StringField(
        lazy_gettext("First branch"), [Needed(lazy_gettext("A shop has at least one branch.")), Length(max=80)]
    )
    branch_code = StringField(lazy_gettext("Branch code"), [Needed(CODE_HINT), _code])
    owner_name = StringField(lazy_gettext("Your name"), [Needed(lazy_gettext("What is your name?")), Length(max=80)])
    email = EmailField(
        lazy_gettext("Your email"), [Needed(lazy_gettext("You sign in with it.")), Length(max=254), EMAIL]
    )
    password = PasswordField(lazy_gettext("Password"), [Needed(lazy_gettext("Choose a password."))])

    def offer_choices(self) -> None:
        """Sets the choices of country and currency, and what goes with each country."""
        super().offer_choices()
        for choice in self.country.choices:
            choice.render_kw["data-with"] = " ".join(formats.usual_in(choice.value))

    def propose(self, country: str) -> None:
        """Fills in a country with what goes with it; Britain if it is none of those to choose from."""
        known = [choice.value for choice in self.country.choices]
        self.country.data = country if country in known else "GB"
        self.currency.data, self.timezone.data = formats.usual_in(self.country.data)

    def validate_password(self, field):
        try:
            passwords.check_password(field.data, self.email.data, self.owner_name.data, self.name.data)
        except ValueError as problem:
            raise ValidationError(str(problem)) from None


class ShopForm(ShopFields, SharedForm):
    KEEPS = (
        *("name", "country", "timezone", "currency", "language", "phone", "whatsapp", "address", "public_url"),
        "link_days",
    )

    link_days = IntegerField(
        lazy_gettext("Days until links end"),
        [
            InputRequired(lazy_gettext("How many days? 0 means never.")),
            Within(0, 3650, lazy_gettext("From 0 (never) to 3650 days.")),
        ],
    )

    def details(self) -> dict:
        return super().details() | {"link_days": self.link_days.data}


DETAIL_LABELS = {
    "item": lazy_gettext("Item"),
    "problem": lazy_gettext("Problem"),
    "received": lazy_gettext("Date received"),
    "branch": lazy_gettext("Branch"),
    "hours": lazy_gettext("Opening hours"),
    "address": lazy_gettext("Address"),
}


def our_sentences() -> dict[Status, str]:
    """What customers read where the shop says nothing of its own, in its language."""
    with force_locale(get_shop().language):
        return {status: str(sentence) for status, sentence in rules.SENTENCES.items()}


def _sentence(status: Status) -> StringField:
    # One line, however many it is wrapped to.
    return StringField(rules.LABELS[status], [Length(max=200)], widget=TextArea())


class PageForm(SharedForm):
    """What the shop says and shows on its customers' pages."""

    KEEPS = ("sentences", "hidden")

    received = _sentence(Status.RECEIVED)
    diagnosing = _sentence(Status.DIAGNOSING)
    waiting_parts = _sentence(Status.WAITING_PARTS)
    repairing = _sentence(Status.REPAIRING)
    testing = _sentence(Status.TESTING)
    ready = _sentence(Status.READY)
    delivered = _sentence(Status.DELIVERED)
    cancelled = _sentence(Status.CANCELLED)
    show = SelectMultipleField(
        lazy_gettext("Details"),
        choices=choices((name, DETAIL_LABELS[name]) for name in rules.DETAILS),
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    # Whose sentence is to be ours again: the button by it.
    default = SelectField(choices=choices([("", ""), *((status.value, status.value) for status in Status)]), default="")

    def show_shop(self, shop: Shop) -> None:
        """Fills in the page as it is kept."""
        for status in Status:
            self[status].data = shop.sentences.get(status, "")
        self.show.data = [name for name in rules.DETAILS if name not in shop.hidden]

    def take_default(self) -> None:
        """Empties the sentence whose button was pressed, and what is wrong with it."""
        if self.default.data in set(Status):
            self[self.default.data].data = ""

    def details(self) -> dict:
        """The fields as the shop keeps them: what differs from ours, and what is left out."""
        typed, ours = {status.value: self[status].data for status in Status}, our_sentences()
        return {
            "sentences": {name: text for name, text in typed.items() if text and text != ours[Status(name)]},
            "hidden": [name for name in rules.DETAILS if name not in (self.show.data or [])],
        }

    def in_words(self, kept: dict) -> list[tuple[str, str]]:
        """Each status with its sentence, and the details that are shown."""
        ours, shown = our_sentences(), [DETAIL_LABELS[name] for name in rules.DETAILS if name not in kept["hidden"]]
        sentences = [(str(rules.LABELS[status]), kept["sentences"].get(status, ours[status])) for status in Status]
        return [*sentences, (str(self.show.label.text), ", ".join(map(str, shown)))]


class LogoForm(Form):
    # Flask-WTF's field takes files alone: a text of that name is none.
    logo = FileField(lazy_gettext("Logo"), [Needed(lazy_gettext("Choose a picture first."))])


class PreviewForm(Form):
    state = SelectField(choices=choices(preview.STATES.items()), default=preview.USUAL)


class DayForm(Form):
    """A day's opening hours, with the break in them."""

    open = BooleanField()
    opens = StringField(default="09:00")
    closes = StringField(default="18:00")
    pauses = StringField(default="13:00")
    resumes = StringField(default="14:00")

    def show(self, spans: list[list[str]], *, breaks: bool) -> None:
        """Fills in the day as it is kept. breaks: whether any day has one."""
        self.open.data = bool(spans)
        if spans:
            self.opens.data, self.closes.data = spans[0][0], spans[-1][1]
        if len(spans) == 2:
            self.pauses.data, self.resumes.data = spans[0][1], spans[1][0]
        elif breaks:
            self.pauses.data = self.resumes.data = ""

    def spans(self, *, breaks: bool) -> list[list[str]]:
        """The day as it is kept; puts a sentence by what is wrong with it."""
        if not self.open.data:
            return []
        opens, closes = self._time(self.opens), self._time(self.closes)
        if not breaks or not (self.pauses.data or self.resumes.data):
            spans = [[opens, closes]]
        else:
            pauses, resumes = self._time(self.pauses), self._time(self.resumes)
            spans = [[opens, pauses], [resumes, closes]]
            # The midday break of the other days means nothing to one that is over by then.
            if pauses < resumes and opens < closes and (closes <= pauses or resumes <= opens):
                spans = [[opens, closes]]
        if not self.errors:
            try:
                hours.check_day(spans)
            except ValueError as problem:
                wrong = self.closes if len(spans) == 1 else self.pauses
                wrong.errors = [str(problem)]
        return spans

    def _time(self, field) -> str:
        try:
            return hours.parse_time(field.data or "")
        except ValueError as problem:
            field.errors = [str(problem)] if field.data else [_MISSING[field.short_name]]
            return ""


_MISSING = {
    "opens": lazy_gettext("When does it open?"),
    "closes": lazy_gettext("When does it close?"),
    "pauses": lazy_gettext("When does the break begin?"),
    "resumes": lazy_gettext("When does the break end?"),
}


class BranchForm(SharedForm):
    KEEPS = ("name", "phone", "whatsapp", "address", "hours")

    name = StringField(
        lazy_gettext("Branch name"), [Needed(lazy_gettext("What is the branch called?")), Length(max=80)]
    )
    code = StringField(lazy_gettext("Branch code"), [Optional(), _code])
    phone = TelField(lazy_gettext("Phone"), [_phone])
    whatsapp = TelField(lazy_gettext("WhatsApp number"), [_phone])
    address = TextAreaField(lazy_gettext("Address"), [Length(max=300)])
    has_hours = BooleanField(lazy_gettext("Show opening hours to customers"))
    has_break = BooleanField(lazy_gettext("Closed for a break at midday"))
    monday = FormField(DayForm)
    tuesday = FormField(DayForm)
    wednesday = FormField(DayForm)
    thursday = FormField(DayForm)
    friday = FormField(DayForm)
    saturday = FormField(DayForm)
    sunday = FormField(DayForm)

    @property
    def days(self) -> list[FormField]:
        """The seven days, Monday first."""
        return [self.monday, self.tuesday, self.wednesday, self.thursday, self.friday, self.saturday, self.sunday]

    def show_hours(self, week: hours.Week) -> None:
        """Fills in the week as it is kept; one from nine to six where none is."""
        self.has_hours.data = bool(week)
        self.has_break.data = any(len(spans) == 2 for spans in week)
        for day, spans in zip(self.days, week or USUAL_WEEK, strict=True):
            day.form.show(spans, breaks=self.has_break.data)

    def week(self) -> hours.Week:
        """The week as it is kept; puts a sentence by what is wrong with it."""
        if not self.has_hours.data:
            return []
        week = [day.form.spans(breaks=self.has_break.data) for day in self.days]
        if not any(day.errors for day in self.days):
            for day, problem in hours.check_week(week).items():
                self.days[day].form.opens.errors = [problem]
        return week

    def validate(self, extra_validators=None) -> bool:
        """Whether all of it can be kept, the hours too."""
        super().validate(extra_validators)
        self.week()
        return not self.errors

    def details(self, country: str) -> dict:
        """The fields as a branch keeps them; the code is set once, elsewhere."""
        return {
            "name": self.name.data,
            "phone": formats.parse_phone(self.phone.data, country) if self.phone.data else "",
            "whatsapp": formats.parse_phone(self.whatsapp.data, country) if self.whatsapp.data else "",
            "address": self.address.data,
            "hours": self.week(),
        }

    def in_words(self, kept: dict) -> list[tuple[str, str]]:
        """The week day by day."""
        rest = {name: value for name, value in kept.items() if name != "hours"}
        spoken = [formats.opening_hours(spans, get_shop().country) for spans in kept["hours"]]
        week = [(formats.weekday(day), times) for day, times in enumerate(spoken)] or [(_("Opening hours"), "")]
        return [*super().in_words(rest), *week]
