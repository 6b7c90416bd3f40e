"""HTTP habits that every page shares: answers, errors, security headers, static files, template filters.

Knows no table.
"""

import errno
import gzip
import hashlib
import io
import logging
import re
import secrets
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from flask import (
    Flask,
    Response,
    current_app,
    flash,
    g,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.sessions import SecureCookieSessionInterface
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from flask_limiter import RateLimitExceeded
from flask_wtf import FlaskForm
from flask_wtf.csrf import CSRFError, CSRFProtect
from gunicorn.http.errors import ParseException
from itsdangerous import SignatureExpired, TimestampSigner
from jinja2 import StrictUndefined
from markupsafe import Markup, escape
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from werkzeug.datastructures import CombinedMultiDict
from werkzeug.exceptions import BadHost, HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from whitenoise import WhiteNoise
from wtforms import FileField, SelectChoice, ValidationError, i18n
from wtforms.validators import Regexp, StopValidation

from . import formats, language, logs, rules
from .activity.words import in_words
from .db import only_look, trouble, utcnow

csrf = CSRFProtect()
log = logging.getLogger("readylight")

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def policy(**changes: str) -> str:
    """The content security policy of a page; changes: what it needs besides, as frame_src="'self'"."""
    directives = _POLICY | {name.replace("_", "-"): sources for name, sources in changes.items()}
    # Who may frame it comes last, whatever else is said.
    directives["frame-ancestors"] = directives.pop("frame-ancestors")
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


HEADERS = {
    "Content-Security-Policy": policy(),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
# Addresses that are keys.
SECRET = ("/t/", "/welcome/")
# Where nobody is anybody: what customers see leaves no cookie and asks for none.
_NO_SESSION = ("/t/", "/logo/")
# Browsers heed these over https only; on a shop's plain LAN they would complain about them.
OVER_HTTPS = [("Strict-Transport-Security", "max-age=31536000"), ("Cross-Origin-Opener-Policy", "same-origin")]


class _Signer(TimestampSigner):
    """Signs cookies; one that seems to come from the future is good.

    When a server's clock is put back by a second, everyone who was answered within it would be signed out otherwise.
    """

    def unsign(self, signed_value, max_age=None, return_timestamp=False):
        try:
            return super().unsign(signed_value, max_age, return_timestamp)
        except SignatureExpired as expired:
            if not 0 < expired.date_signed.timestamp() - self.get_timestamp() <= max_age:
                raise
            return super().unsign(signed_value, None, return_timestamp)


class SessionCookie(SecureCookieSessionInterface):
    """Flask's signed cookie: marked Secure whenever the request came over https; a customer's page does without."""

    def get_cookie_name(self, app):
        return cookie_name(app.config["SESSION_COOKIE_NAME"])

    def get_cookie_secure(self, app):
        return request.is_secure

    def get_signing_serializer(self, app):
        serializer = super().get_signing_serializer(app)
        serializer.signer = _Signer
        return serializer

    def open_session(self, app, request):
        if request.path.startswith(_NO_SESSION):
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app, session, response):
        if not request.path.startswith(_NO_SESSION):
            super().save_session(app, session, response)


def cookie_name(name: str) -> str:
    """A cookie's name, over https with the prefix by which the browser lets no other host or plain http set it."""
    return f"__Host-{name}" if request.is_secure else name


def init_app(app: Flask):
    """Everything about HTTP that is decided once, before any blueprint."""
    logs.init_app(app)
    app.session_interface = SessionCookie()
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals.update(now=now, theme=theme, labels=rules.LABELS, role_labels=rules.ROLE_LABELS)
    # A double slash is an address that does not exist: the redirect to the right one would go by the request's Host.
    app.url_map.merge_slashes = False
    app.before_request(_refuse_other_sites)
    app.before_request(_allow_files)
    app.before_request(_let_others_write)
    csrf.init_app(app)
    app.after_request(_add_headers)
    app.after_request(_pack)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(SQLAlchemyError, _database_error)
    app.register_error_handler(OSError, _file_error)
    # Half of a body, or what is none: gunicorn notices while the page reads it.
    app.register_error_handler(ParseException, lambda error: error_page(400))
    app.register_error_handler(IntegrityError, _taken_error)
    app.register_error_handler(DataError, lambda error: error_page(400, text=_("Something in the form is too long.")))
    app.register_error_handler(Exception, _unexpected_error)
    _name_static(app)


def public(view):
    """Marks a view that needs no sign-in. Every other page is closed."""
    view.is_public = True
    return view


def only_looks(view):
    """Marks a view whose POST writes nothing: it waits for nobody who does, and nobody waits for it."""
    view.only_looks = True
    return view


def takes_files(most_bytes: int, most_text: int | None = None):
    """Marks a view that may be sent more than text, up to so many bytes, by whoever is signed in.

    most_text: how many of these may be the text beside the files, if it is more than any other form's.
    """

    def mark(view):
        view.most_bytes, view.most_text = most_bytes, most_text
        return view

    return mark


def wants_panel() -> bool:
    """Whether htmx asked: a POST then answers a panel, to everyone else a redirect."""
    return request.headers.get("HX-Request") == "true"


def go_to(url: str):
    """What a POST that succeeded answers when it leads to another page."""
    if not wants_panel():
        return redirect(url, 303)
    # htmx would follow a redirect by itself, and put that page in the place of the form.
    return Response(headers={"HX-Redirect": url})


def respond(panel: str, *, then: str, also: tuple[str, ...] = (), said: str = "", **values):
    """What a POST that succeeded answers.

    panel and also: partial templates whose root id is their name ("repairs/_status.html" is #status);
    the first goes where the form points, the others find their own place. then: where a browser
    without htmx goes. said: a word of confirmation.
    """
    if not wants_panel():
        if said:
            flash(said)
        return redirect(then, 303)
    return render_template("_panels.html", panel=panel, also=also, said=said, **values)


def refuse(panel: str, page: str, *, status: int, also: tuple[str, ...] = (), **values):
    """What a POST that failed answers: the panel with what was typed and why; the whole page without htmx."""
    if not wants_panel():
        return render_template(page, **values), status
    return render_template("_panels.html", panel=panel, also=also, said="", **values), status


def _refuse_other_sites():
    # Where the browser says so itself (it does over https), no page of another site sends a form here, token or not.
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        raise CSRFError("sent by another site")


def _let_others_write():
    if getattr(current_app.view_functions.get(request.endpoint), "only_looks", False):
        only_look()


def _allow_files():
    # The body is read before the gate asks the database who it is. The cookie says enough to keep strangers from
    # filling the disk with what nobody will look at.
    if "_user_id" in session:
        view = current_app.view_functions.get(request.endpoint)
        request.max_content_length = getattr(view, "most_bytes", None)
        request.max_form_memory_size = getattr(view, "most_text", None)


# --- forms --------------------------------------------------------------------------------------


@lru_cache
def _own_messages(code: str):
    """What WTForms itself says, in that language."""
    return i18n.get_translations([code])


class Form(FlaskForm):
    """A form whose token was already checked, and whose texts arrive clean."""

    class Meta(FlaskForm.Meta):
        # CSRFProtect checks every POST; a second check here would only say the same in another voice.
        csrf = False

        def get_translations(self, form):
            # Flask-WTF would read them from the disk for every request.
            return _own_messages(language.current())

        def wrap_formdata(self, form, formdata):
            # A file sent as a text field would be one: files are for the forms that ask for them.
            takes_files = any(isinstance(field, FileField) for field in form._fields.values())
            data = super().wrap_formdata(form, formdata)
            return data if takes_files or not isinstance(data, CombinedMultiDict) else request.form

        def bind_field(self, form, unbound_field, options):
            filters = unbound_field.kwargs.get("filters", ())
            kind = unbound_field.field_class.__name__
            if kind in {"StringField", "TelField", "EmailField", "URLField", "HiddenField"}:
                filters = (*filters, formats.clean_line)
            elif kind == "TextAreaField":
                filters = (*filters, formats.clean_text)
            return unbound_field.bind(form=form, filters=filters, **options)

    @property
    def first_error(self) -> str:
        """The first sentence of what is wrong, or ""."""
        return next((str(message) for messages in self.errors.values() for message in messages), "")


def choices(pairs) -> list[SelectChoice]:
    """(value, label) pairs as a field to choose from takes them."""
    return [SelectChoice(value, label) for value, label in pairs]


_FILL_IN = lazy_gettext("Please fill this in.")


class Needed:
    """The field must be filled in."""

    field_flags = {"required": True}

    def __init__(self, message=_FILL_IN):
        self.message = message

    def __call__(self, form, field):
        if not field.data:
            field.errors = []
            raise StopValidation(self.message)


class Checked:
    """The field must be readable by a function that raises ValueError with a sentence. Empty passes."""

    def __init__(self, read):
        self.read = read

    def __call__(self, form, field):
        if field.data:
            try:
                self.read(field.data)
            except ValueError as problem:
                raise ValidationError(str(problem)) from None


class Within:
    """The field must be a whole number from lowest to highest.

    WTForms' own NumberRange breaks at one that no float can hold.
    """

    def __init__(self, lowest: int, highest: int, message=""):
        self.lowest, self.highest, self.message = lowest, highest, message
        self.field_flags = {"min": lowest, "max": highest}

    def __call__(self, form, field):
        if field.data is None or not self.lowest <= field.data <= self.highest:
            raise ValidationError(self.message)


# What <input type=email> takes, near enough: https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address
EMAIL_PATTERN = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)*$"
EMAIL = Regexp(EMAIL_PATTERN, message=lazy_gettext("This is not an email address."))

# --- errors -------------------------------------------------------------------------------------

SENTENCES = {
    400: (
        lazy_gettext("That did not arrive in one piece"),
        lazy_gettext("Go back, reload the page and try once more."),
    ),
    401: (
        lazy_gettext("Please sign in again"),
        lazy_gettext("Your session has ended. Nothing you typed was lost on this page."),
    ),
    403: (lazy_gettext("That is not yours to do"), lazy_gettext("Ask the owner or a manager of the shop.")),
    404: (
        lazy_gettext("There is nothing here"),
        lazy_gettext("The address may be mistyped, or what was here is gone."),
    ),
    405: (lazy_gettext("That is not how this page works"), lazy_gettext("Go back and use the buttons on the page.")),
    409: (lazy_gettext("Someone was faster"), lazy_gettext("Reload the page to see how it stands now.")),
    413: (lazy_gettext("That is too large"), lazy_gettext("Send less at a time.")),
    429: (lazy_gettext("Too many tries"), lazy_gettext("Wait a few minutes and try again.")),
    500: (lazy_gettext("Something broke on our side"), lazy_gettext("Nothing was changed. Please try again.")),
    503: (
        lazy_gettext("Just a moment"),
        lazy_gettext("The shop's database is busy or full. Nothing was changed; please try again."),
    ),
}


def error_page(code: int, *, title: str = "", text: str = "", reference: str = ""):
    """One page for every error; a line of alert for htmx, which leaves the page and what was typed alone."""
    fallback = SENTENCES.get(code, SENTENCES[500 if code >= 500 else 400])
    values = {"code": code, "title": title or fallback[0], "text": text or fallback[1], "reference": reference}
    if wants_panel():
        answer = make_response(render_template("_alert.html", **values), code)
        answer.headers["HX-Retarget"] = "#alert"
        # A board that asks every ten seconds would have the same words read out each time, were they new.
        answer.headers["HX-Reswap"] = "innerMorph"
        answer.headers["HX-Reselect"] = ".alert"
        return answer
    # Whoever works here goes on from there. Not asked of the database, which may be what is wrong.
    board = url_for("repairs.index") if "_user_id" in session else ""
    return make_response(render_template("error.html", board=board, **values), code)


def _http_error(error: HTTPException):
    if error.code is None or error.code < 400:
        return error
    if isinstance(error, BadHost):
        # The page of an error needs addresses, and with this Host there are none.
        return Response("This is no name of a host.\n", 400, mimetype="text/plain")
    if isinstance(error, CSRFError):
        if "_user_id" in session:
            log.warning("a form for %s was refused: %s", request.endpoint, error.description)
        return error_page(400, title=_("This form is too old"), text=_("Reload the page and send it again."))
    # What Flask-Limiter says of a limit is "10 per 15 minute"; our own sentence is better.
    own_text = error.description if error.code != 429 and error.description != type(error).description else ""
    answer = error_page(error.code, text=own_text or "")
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            answer.headers[name] = value
    if isinstance(error, RateLimitExceeded):
        answer.headers["Retry-After"] = str(error.limit.limit.get_expiry())
    return answer


TROUBLES = {
    "busy": (
        lazy_gettext("Just a moment"),
        lazy_gettext("The shop is busier than it can bear. Nothing was changed; please try again."),
    ),
    "full": (
        lazy_gettext("The disk is full"),
        lazy_gettext(
            "Nothing was changed. Everything can be looked at, but nothing saved, until there is room again on the "
            "shop’s server: tell the person who runs it."
        ),
    ),
    "away": (
        lazy_gettext("The database cannot be reached"),
        lazy_gettext("Try again in a moment. Was something to be saved? Then look first whether it was."),
    ),
}


_IN_THE_LOG = {
    "busy": "the database is busy",
    "full": "the disk is full",
    "away": "the database cannot be reached",
}


def _database_error(error: SQLAlchemyError):
    return _trouble(trouble(error), error)


def _file_error(error: OSError):
    return _trouble("full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "", error)


def _trouble(kind: str, error: Exception):
    """What will pass by itself, or once somebody has made room: 503, and a line in the log. All else is unexpected."""
    if not kind:
        return _unexpected_error(error)
    title, text = TROUBLES[kind]
    log.error("%s %s: %s (%s)", request.method, logs.route(), _IN_THE_LOG[kind], getattr(error, "orig", error))
    return error_page(503, title=title, text=text)


def _taken_error(error: IntegrityError):
    """Two people saved the same name, number or address at once; the check before could not see the other yet."""
    log.warning("%s was a moment too late: %s", request.endpoint, type(error.orig).__name__)
    return error_page(409, text=_("Somebody else saved the same a moment ago. Go back and look again."))


def _unexpected_error(error: Exception):
    log.error("%s %s failed", request.method, logs.route(), exc_info=error)
    if current_app.testing:
        raise error
    return error_page(500, reference=logs.reference())


def _add_headers(response):
    own = {name for name, _ in response.headers}
    response.headers.extend((name, value) for name, value in HEADERS.items() if name not in own)
    if request.path.startswith(SECRET):
        # Whatever the answer is: the address is a secret that neither a search engine nor another site may learn.
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        response.headers["Referrer-Policy"] = "no-referrer"
    if response.status_code >= 400:
        response.headers["X-Request-ID"] = logs.request_id()
    # Pages of the shop are nobody else's: no cache keeps them, so Back after signing out shows nothing.
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def takes_gzip(accepted: str) -> bool:
    """Whether a browser that accepts these encodings takes gzip."""
    return "gzip" in accepted and not re.search(r"gzip\s*;\s*q=0(\.0*)?\s*(,|$)", accepted)


def _pack(response):
    """Compresses a page for browsers that take it; the customer's page sees to that itself."""
    if (
        response.mimetype != "text/html"
        or response.is_streamed
        or response.content_length is None
        or response.content_length < 1000
    ):
        return response
    response.vary.add("Accept-Encoding")
    if not takes_gzip(request.headers.get("Accept-Encoding", "")) or "Content-Encoding" in response.headers:
        return response
    # A name of random length, which nobody reads, so that the length of an answer does not tell whether something
    # typed is also in it (BREACH): https://ieeexplore.ieee.org/document/9754554, as Django does.
    name = secrets.token_hex(secrets.randbelow(50))
    packed = io.BytesIO()
    with gzip.GzipFile(name, "wb", 4, packed, mtime=0) as archive:
        archive.write(response.get_data())
    response.set_data(packed.getvalue())
    response.headers["Content-Encoding"] = "gzip"
    return response


# --- static files -------------------------------------------------------------------------------


def _name_static(app: Flask):
    """Gives each static file an address with its content's hash, under which it is good for ever."""
    root = Path(app.static_folder)
    hashes = {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()[:12]
        for file in root.rglob("*")
        if file.is_file() and file.suffix != ".gz"
    }
    app.config["ASSETS"] = hashes

    @app.url_defaults
    def add_hash(endpoint, values):
        if endpoint == "static" and "v" not in values:
            values["v"] = hashes.get(values["filename"], "")


def may_answer_early(app: Flask) -> bool:
    """Whether a request may be answered before it comes to the app: not where each is to be counted or logged."""
    return not app.config["METRICS_TOKEN"] and not app.config["LOG_REQUESTS"]


def stand_in_front(app: Flask):
    """What a request meets before the app: proxies to believe, what https adds, and static files out of memory."""
    root = Path(app.static_folder)
    for packed in root.rglob("*.gz"):
        # Whoever edits a file and restarts by hand sees the edit, not the copy that was packed before it.
        if packed.stat().st_mtime < packed.with_suffix("").stat().st_mtime:
            packed.unlink(missing_ok=True)
    pages = app.wsgi_app
    files = WhiteNoise(
        pages,
        root=str(root),
        prefix="static/",
        max_age=None,
        immutable_file_test=lambda path, url: True,
        allow_all_origins=False,
        add_headers_function=lambda headers, path, url: [headers.setdefault(*item) for item in HEADERS.items()],
    )

    def static_or_page(environ, start_response):
        # WhiteNoise refuses other methods in its own words, without our headers.
        answer = files if environ["REQUEST_METHOD"] in {"GET", "HEAD"} else pages
        # A part of a file nobody needs, and it refuses one that is not there in its own words too.
        environ.pop("HTTP_RANGE", None)
        if environ["wsgi.url_scheme"] != "https":
            return answer(environ, start_response)

        def stay_on_https(status, headers, *more):
            return start_response(status, [*headers, *OVER_HTTPS], *more)

        return answer(environ, stay_on_https)

    app.wsgi_app = static_or_page
    if proxies := app.config["TRUSTED_PROXIES"]:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)


# --- templates ----------------------------------------------------------------------------------


def now():
    """The moment of this request, the same wherever it is asked."""
    if "now" not in g:
        g.now = utcnow()
    return g.now


def theme() -> str:
    """ "light", "dark", or "" for what the system says."""
    choice = request.cookies.get(cookie_name("theme"), "")
    return choice if choice in {"light", "dark"} else ""


def paragraphs(text: str) -> Markup:
    """Text with its line breaks kept."""
    return Markup("<br>").join(escape(line) for line in text.splitlines())


def bdi(text: str) -> Markup:
    """A name as a sentence around it takes it: it may be written the other way."""
    return Markup("<bdi>{}</bdi>").format(text)


FILTERS = {
    "ago": lambda at: formats.ago(at, now()),
    "bdi": bdi,
    "date": lambda at, shop: formats.local_date(at, shop.timezone, shop.country),
    "full_moment": lambda at, shop: formats.full_moment(at, shop.timezone, shop.country),
    "moment": lambda at, shop: formats.local_moment(at, shop.timezone, shop.country, now()),
    "time": lambda at, shop: formats.local_time(at, shop.timezone, shop.country),
    "iso": formats.iso_utc,
    "from_iso": datetime.fromisoformat,
    "in_words": in_words,
    "money": lambda minor, shop: formats.format_money(minor, shop.currency, shop.country),
    "number": formats.number,
    "phone": lambda e164, shop: formats.format_phone(e164, shop.country) if e164 else "",
    "span": formats.span,
    "weekday": formats.weekday,
    "paragraphs": paragraphs,
}
