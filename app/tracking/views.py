"""The customer's page: a token in, where the repair stands out. Reads only."""

import hashlib
from contextlib import suppress
from pathlib import Path

from flask import Blueprint, Response, current_app, request
from flask_babel import force_locale
from flask_babel import gettext as _
from sqlalchemy.exc import SQLAlchemyError

from ..models import contact
from ..throttle import count_miss
from ..web import error_page, may_answer_early, now, public, takes_gzip
from . import answers, queries
from .answers import HEADERS, HELD, LIVE, PAGE

bp = Blueprint("tracking", __name__)


def init_app(app):
    """Registers the pages; what they are drawn with is part of every page's tag."""
    code, templates = Path(app.root_path), Path(app.root_path).parent / "templates"
    pure = [code / f"{name}.py" for name in ("rules", "formats", "hours", "sharing")]
    modules = [*pure, *sorted((code / "tracking").glob("*.py")), *sorted((code / "translations").rglob("*.po"))]
    drawn_with = [*modules, templates / "public.html", *sorted((templates / "tracking").iterdir())]
    app.config["TRACKING_BUILD"] = hashlib.sha256(
        b"".join(file.read_bytes() for file in drawn_with) + repr(sorted(app.config["ASSETS"].items())).encode()
    ).hexdigest()[:8]
    app.register_blueprint(bp)
    if may_answer_early(app):
        app.wsgi_app = answers.Front(app)


@bp.get("/t/<token>")
@public
def show(token):
    """The whole page."""
    state = answers.state(token)
    if state is not None and answers.has_ended(state, now()):
        return _gone(token)
    return _answer(state, token, PAGE) or _unknown()


@bp.get("/t/<token>/live")
@public
def live(token):
    """The part that changes. Answers 304 while the tag the page holds is the present one."""
    state = answers.state(token)
    ended = state is not None and answers.has_ended(state, now())
    if not ended and (answer := _answer(state, token, LIVE)):
        return answer
    # The page reloads itself and then says what happened.
    status = 410 if ended else 429 if count_miss() else 404
    return Response(status=status, headers=HEADERS | {"HX-Refresh": "true"})


def _answer(state, token, part):
    if state is None:
        return None
    held, packs = request.headers.get(HELD[part], ""), takes_gzip(request.headers.get("Accept-Encoding", ""))
    asked = answers.Asked(token, part, held, packs, now())
    known = answers.answer(state, asked, current_app.config["TRACKING_BUILD"], may_draw=True)
    if known is None:
        return None
    status, headers, body = known
    return Response(body, status, headers)


def _unknown():
    """One answer for every token that opens nothing: unknown, malformed and replaced look the same."""
    if count_miss():
        answer = error_page(429)
    else:
        title, text = _("This link opens nothing"), _("Check that it is complete, or ask the shop for a new one.")
        shop = _shop_to_ask()
        if shop is None:
            answer = error_page(404, title=title, text=text)
        else:
            # Never a branch's number: it would tell that there was such a repair.
            where = {"phone": shop.phone, "whatsapp": shop.whatsapp, "address": ""}
            answer = _dead_end(404, shop, title=title, text=text, contact=where, hours=None)
    answer.headers.update(HEADERS)
    return answer


def _shop_to_ask():
    """The shop that has another link; None before set-up, and while the database does not answer."""
    with suppress(SQLAlchemyError):
        return queries.SHOP.one(shop=1)
    return None


def _gone(token):
    shop, branch = queries.SHOP.one(shop=1), queries.REPAIR.one(token=token)
    where = contact(shop, branch)
    if "address" in shop.hidden:
        where["address"] = ""
    with force_locale(shop.language):
        return _dead_end(
            410,
            shop,
            title=_("This link has ended"),
            text=_("The repair was closed some time ago. For anything else, the shop is glad to hear from you."),
            contact=where,
            hours=queries.hours_of(shop, branch),
        )


def _dead_end(status: int, shop, **values) -> Response:
    """The page that shows no repair, and how to reach the shop instead."""
    template = current_app.jinja_env.get_template("tracking/dead_end.html")
    html = template.render(shop=shop, logo=queries.logo_of(shop), **values)
    return Response(html, status, headers=HEADERS, mimetype="text/html")
