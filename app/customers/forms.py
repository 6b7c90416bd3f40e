"""What people send about customers: the card's form, the list's and the card's query strings."""

from wtforms import EmailField, IntegerField, StringField, TelField
from wtforms import Form as QueryForm
from wtforms.validators import Length, Optional

from .. import formats
from ..models import get_shop
from ..web import EMAIL, Checked, Form, Needed

# Whoever would leaf further searches instead.
LAST_PAGE = 200


class CustomerForm(Form):
    name = StringField("Name", [Needed("Who is the customer?"), Length(max=120)])
    phone = TelField(
        "Phone",
        [Needed("A phone number is needed."), Checked(lambda text: formats.parse_phone(text, get_shop().country))],
    )
    email = EmailField("Email", [Optional(), Length(max=254), EMAIL])


class Paged(QueryForm):
    """The query string of what has pages. Junk becomes the first."""

    page = IntegerField(default=1, filters=[lambda number: min(max(number or 1, 1), LAST_PAGE)])


class CustomerSearch(Paged):
    """The query string of the list. Junk becomes no filter."""

    q = StringField(default="", filters=[formats.clean_line, lambda text: text[:100]])
