"""What people send about customers: the card's form, the list's and the card's query strings."""

from flask_babel import gettext as _
from flask_babel import lazy_gettext
from wtforms import EmailField, HiddenField, IntegerField, RadioField, StringField, TelField
from wtforms import Form as QueryForm
from wtforms.validators import Length, Optional

from .. import formats
from ..models import get_shop
from ..seen import SharedForm
from ..web import EMAIL, Checked, Form, Needed, choices

# Whoever would leaf further searches instead.
LAST_PAGE = 200


class CustomerForm(SharedForm):
    KEEPS = ("name", "phone", "email")

    name = StringField(lazy_gettext("Name"), [Needed(lazy_gettext("Who is the customer?")), Length(max=120)])
    phone = TelField(
        lazy_gettext("Phone"),
        [
            Needed(lazy_gettext("A phone number is needed.")),
            Checked(lambda text: formats.parse_phone(text, get_shop().country)),
        ],
    )
    email = EmailField(lazy_gettext("Email"), [Optional(), Length(max=254), EMAIL])

    def details(self, country: str) -> dict:
        """The fields as a customer keeps them."""
        phone = formats.parse_phone(self.phone.data, country)
        return {"name": self.name.data, "phone": phone, "email": self.email.data}


class EraseForm(Form):
    """What has to be typed before a customer is erased."""

    # The same in every language.
    WORD = "ERASE"

    typed = StringField(lazy_gettext("To erase, type the name"), [Length(max=120)], render_kw={"required": True})

    def demand(self, name: str) -> bool:
        """Whether it is that name, or the word; says what is missing by the field."""
        if self.typed.data and (self.typed.data == self.WORD or formats.fold(self.typed.data) == formats.fold(name)):
            return True
        if self.typed.data:
            said = _("This is neither “%(name)s” nor the word %(word)s.", name=name, word=self.WORD)
        else:
            said = _("Type the customer’s name, or the word %(word)s.", word=self.WORD)
        self.typed.errors = [said]
        return False


class Paged(QueryForm):
    """The query string of what has pages. Junk becomes the first."""

    page = IntegerField(default=1, filters=[lambda number: min(max(number or 1, 1), LAST_PAGE)])


class CustomerSearch(Paged):
    """The query string of the list. Junk becomes no filter."""

    q = StringField(default="", filters=[formats.clean_line, lambda text: text[:100]])


def _customer_number(name: str) -> IntegerField:
    return IntegerField(name=name, filters=[lambda number: number if 0 < (number or 0) < 2**31 else None])


class MergeQuery(QueryForm):
    """The query string of the page that merges: with whom, or what to find them by. Junk is nobody."""

    other = _customer_number("with")
    q = CustomerSearch.q


class MergeForm(Form):
    """Who goes, whose name, phone and email stay, and what the two were when the page was drawn."""

    other = _customer_number("with")
    seen = HiddenField()
    name = RadioField(lazy_gettext("Name"), default="kept")
    phone = RadioField(lazy_gettext("Phone"), default="kept")
    email = RadioField(lazy_gettext("Email"), default="kept")

    def offer(self, **values) -> None:
        """Sets the choices of each field: (what the one who is kept has, what the other has)."""
        for field, (kept, gone) in values.items():
            self[field].choices = choices([("kept", kept), ("gone", gone)])

    def chosen(self) -> dict[str, str]:
        """Whose: {field: "kept" or "gone"}."""
        return {field: self[field].data for field in ("name", "phone", "email")}
