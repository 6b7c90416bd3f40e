"""The shop's record: everything that anybody did, in words, for those who answer for it. It only reads."""

from itertools import groupby

from flask import Blueprint, render_template, request
from flask_babel import gettext as _

from .. import auth, formats
from ..models import get_shop
from ..rules import DEED_GROUPS, KIND_GROUPS
from ..web import now
from . import forms, queries

bp = Blueprint("activity", __name__, url_prefix="/activity")


@bp.get("")
def index():
    """A page of the record, by days."""
    auth.demand("activity.view")
    shop = get_shop()
    wanted = forms.ActivityFilter(request.args, shop.timezone, auth.held_to())
    stream = queries.stream(wanted)
    days = groupby(stream.lines, lambda line: formats.local_day(line.at, shop.timezone, shop.country, now()))
    return render_template(
        "activity/index.html",
        wanted=wanted,
        stream=stream,
        days=[(day, list(lines)) for day, lines in days],
        choices=queries.choices(auth.held_to()),
        groups=[(_("Repairs"), KIND_GROUPS), (_("The shop"), DEED_GROUPS)],
    )
