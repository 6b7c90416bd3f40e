"""Who is asking: sign-in, the gate before every page, permissions."""

import hashlib
import hmac
import logging
import re
import secrets
from contextlib import suppress
from datetime import timedelta

from flask import (
    Blueprint,
    current_app,
    flash,
    g,
    has_request_context,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from sqlalchemy import delete, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm.exc import ObjectDeletedError
from werkzeug.local import LocalProxy
from wtforms import EmailField, HiddenField, PasswordField, StringField, ValidationError

from . import formats, language, passwords, rules, second_step
from .activity import record
from .db import db, utcnow
from .models import Shop, SignIn, Staff, get_shop
from .rules import Deed, Role
from .throttle import counters, limiter, visitor
from .web import Form, Needed, cookie_name, error_page, public, wants_panel

bp = Blueprint("auth", __name__)
login_manager = LoginManager()
log = logging.getLogger("readylight")

# However busy the counter is, everyone signs in anew after thirty days, and after a week in which nobody looked. Less
# would have people type passwords at the counter all day, with customers watching.
SIGNED_IN_FOR = timedelta(days=30)
UNUSED_FOR = timedelta(days=7)
# Between the password and the code.
HALFWAY_FOR = timedelta(minutes=5)
# Read when a template first asks: the page about a broken database must not need the database.
_SHOP = LocalProxy(get_shop)


def init_app(app):
    """The gate, the sign-in pages, and `staff` in every template that asks."""
    passwords.init_app(app)
    language.init_app(app, _language)
    # The cookie carries the time of its last use, signed.
    app.config["PERMANENT_SESSION_LIFETIME"] = UNUSED_FOR
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.config["SESSION_COOKIE_NAME"] = "readylight"
    # A form may stay open on the counter all day; it lives as long as the session.
    app.config["WTF_CSRF_TIME_LIMIT"] = None
    # Not by its init_app, which looks into every answer's session for a "remember me" that there is not.
    app.login_manager = login_manager
    app.before_request(_gate)
    app.context_processor(lambda: {"staff": current_user, "shop": _SHOP})
    app.register_error_handler(rules.Forbidden, _forbidden)
    app.register_error_handler(ObjectDeletedError, _gone_meanwhile)
    app.register_blueprint(bp)


def _language() -> str:
    """One's own, or the shop's, as _load found it; of a stranger, what the browser asks for."""
    if "language" not in g and has_request_context():
        g.language = ""
        with suppress(SQLAlchemyError):
            # On a page that anybody may see, nobody has asked yet who it is.
            return (current_user.is_authenticated and g.language) or language.of_browser()
    return g.get("language") or language.of_browser()


# --- sessions -----------------------------------------------------------------------------------


class _SignedIn(UserMixin):
    """What Flask-Login keeps in the cookie: the secret of a sign_in row."""

    def __init__(self, secret: str, row: SignIn):
        self.secret, self.row = secret, row

    def get_id(self):
        return self.secret

    def __getattr__(self, name):
        return getattr(self.row.staff, name)


def sign_in(staff: Staff) -> None:
    """Starts a session for this browser, under a new secret, and commits."""
    if current_user.is_authenticated:
        # Whoever was signed in here is so no longer, with no copy of the old cookie either.
        db.session.execute(delete(SignIn).where(SignIn.id == current_user.row.id))
    secret = secrets.token_urlsafe(32)
    row = SignIn(token_hash=digest(secret), staff=staff, agent=_browser())
    db.session.add(row)
    db.session.flush()
    who, spoken = row.staff_id, language_of(staff)
    record.note(Deed.SIGNED_IN, by=staff, text=row.agent, branch_id=staff.branch_id)
    db.session.commit()
    # Nothing of the session before goes on: an old cookie, or one planted, is worth nothing. But where somebody was
    # signed in here, the forms that stand open in other tabs stay good.
    _clear_session(keep_forms="_user_id" in session or "was_signed_in" in session)
    session.permanent = True
    login_user(_SignedIn(secret, row))
    # What is said from here on is in their language, not the browser's.
    language.use(spoken)
    log.info("staff %s signed in from %s", who, visitor())


def language_of(staff: Staff) -> str:
    """What somebody who works here reads: a name of language.NAMES; "" where there is no shop yet."""
    return staff.language or (shop.language if (shop := get_shop()) else "")


def _browser() -> str:
    return formats.browser(request.headers.get("User-Agent", ""))


def _clear_session(*, keep_forms: bool) -> None:
    csrf_token = session.get("csrf_token")
    session.clear()
    if keep_forms and csrf_token:
        session["csrf_token"] = csrf_token


def end_sessions(staff: Staff, *, but_this: bool = False) -> None:
    """Ends this person's sessions everywhere, in the caller's transaction."""
    log.info("the sessions of staff %s end%s", staff.id, " but for the present one" if but_this else "")
    rows = delete(SignIn).where(SignIn.staff_id == staff.id)
    if but_this:
        rows = rows.where(SignIn.token_hash != digest(current_user.secret))
    db.session.execute(rows)


def is_me(password: str | None) -> bool:
    """Whether it is the password of whoever is signed in, asked for once more before something that matters.

    Ends the transaction: the write lock must not be held while the hash is worked out. After ten that are wrong
    nothing is tried for a while (429): whoever finds a browser signed in must not find out the password as well.
    """
    if not password:
        # Nothing was guessed. A form that asks only when it must comes without the field the first time.
        return False
    if not _is_right(password, me().password_hash):
        log.warning("staff %s typed a wrong present password", current_user.row.staff_id)
        return False
    _give_back_try()
    return True


# One count for every form that asks so; on the way in, as at the door.
@limiter.shared_limit("10 per 15 minutes", scope="password", key_func=lambda: f"password:{me().id}")
def _is_right(password: str, known_hash: str) -> bool:
    # To count, it was read who it is: what that began ends before the hash.
    db.session.rollback()
    return passwords.password_matches(password, known_hash)


def me() -> Staff:
    """The row of whoever is signed in."""
    return current_user.row.staff


@login_manager.user_loader
def _load(secret):
    # Once a request: the page that says that the database is away must not ask it again.
    g.language = ""
    row, shop = db.session.execute(_BY_TOKEN, {"digest": digest(secret)}).one_or_none() or (None, None)
    if row is None or not row.staff.active or row.created_at < utcnow() - SIGNED_IN_FOR:
        return None
    # Kept where get_shop() looks: hardly a page of theirs does without.
    g.shop = shop
    g.language = language_of(row.staff)
    return _SignedIn(secret, row)


def digest(secret: str) -> str:
    """SHA-256 of a secret of at least 128 random bits, which is what is kept of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


_BY_TOKEN = select(SignIn, Shop).outerjoin(Shop, Shop.id == 1).where(SignIn.token_hash == db.bindparam("digest"))


# --- the gate -----------------------------------------------------------------------------------


def _gate():
    """Before every request: signed in, or a page that says it is public."""
    view = current_app.view_functions.get(request.endpoint)
    if view is None or getattr(view, "is_public", False) or request.endpoint == "static":
        return None
    if current_user.is_authenticated:
        return None
    if wants_panel():
        return error_page(401)
    if request.method == "POST" and not any(request.files.values()):
        return render_template("auth/again.html", fields=_sent_fields(), action=request.full_path.rstrip("?")), 401
    then = _page_it_came_from() if request.method == "POST" else request.full_path.rstrip("?")
    return redirect(url_for("auth.login", next=then or None))


def _page_it_came_from() -> str:
    """The page of this site that a form was sent from; "" if the browser does not say.

    Never an address that takes forms alone: whoever is signed in again would look at it in vain.
    """
    place = (request.referrer or "").partition("#")[0].removeprefix(request.host_url.rstrip("/"))
    is_page = place.startswith("/") and current_app.url_map.bind("").test(place.partition("?")[0], "GET")
    return place if is_page else ""


def _sent_fields() -> list[tuple[str, str]]:
    """What a form brought that met a closed door, but for passwords and its token."""
    hidden = ("password", "current", "csrf_token")
    return [pair for pair in request.form.items(multi=True) if not pair[0].startswith(hidden)]


def _gone_meanwhile(error: ObjectDeletedError):
    """A row went while a request was at work on it: most likely the session itself, which somebody ended."""
    db.session.rollback()
    if current_user.is_authenticated and db.session.get(SignIn, inspect(current_user.row).identity) is None:
        logout_user()
        return error_page(401)
    log.warning("%s found its row gone: %s", request.endpoint, error)
    return error_page(409)


def _forbidden(refusal: rules.Forbidden):
    note_refusal()
    return error_page(403, text=str(refusal))


def note_refusal() -> None:
    """Writes down who tried what is not theirs to do."""
    # Not its sentence, which is in the language of whoever was refused.
    log.warning("staff %s was refused %s", current_user.row.staff_id, request.endpoint)


def held_to() -> int | None:
    """The branch that whoever is signed in is held to; None for an owner, who sees all of them.

    Never None for anybody else: who has no branch, by some mistake, is held to one that does not exist. Nor 0, which a
    filter takes for no branch.
    """
    return None if me().role == Role.OWNER else me().branch_id or -1


def demand(permission: str) -> None:
    """Raises rules.Forbidden unless whoever is signed in has the permission."""
    rules.demand(Role(current_user.role), permission)


def local_path(target: str | None) -> str:
    """The address to go on to after sign-in: a path of this site, else the board."""
    # Browsers read a backslash as a slash and skip control characters: "/\\evil.com" and "/\t/evil.com" leave the site.
    return target if re.fullmatch(r"/(?!/)[^\\\x00-\x20\x7f]*", target or "") else url_for("repairs.index")


# --- pages --------------------------------------------------------------------------------------


class LoginForm(Form):
    email = EmailField(lazy_gettext("Email"), [Needed(lazy_gettext("Type your email address."))])
    password = PasswordField(lazy_gettext("Password"), [Needed(lazy_gettext("Type your password."))])
    next = HiddenField()


class CodeForm(Form):
    code = StringField(lazy_gettext("Code from your app"))
    recovery = StringField(lazy_gettext("Recovery code"))

    def validate_code(self, field):
        if not field.data and not self.recovery.data:
            raise ValidationError(_("Type the six digits that your app shows."))


def _email() -> str:
    return formats.clean_line(request.form.get("email")).casefold()[:254]


def _known_browser(email: str) -> str:
    """Sets a browser that has signed in before apart from strangers, so that these cannot lock its user out."""
    known = request.cookies.get(cookie_name("known"), "")
    return known if hmac.compare_digest(known.encode(), _browser_mark(email).encode()) else "stranger"


def _account(email: str) -> str:
    return f"{digest(email)}:{_known_browser(email)}"


def _browser_mark(email: str) -> str:
    key = current_app.config["SECRET_KEY"].encode()
    return hmac.new(key, f"known:{email}".encode(), "sha256").hexdigest()


def _give_back_try() -> None:
    """A try that succeeded is none: only failures count in the end.

    If that cannot be saved, it stays counted: what the try was for may be saved already.
    """
    with suppress(limiter.storage.base_exceptions):
        for counted in limiter.current_limits:
            counters().incr(counted.key, counted.limit.get_expiry(), -1)


@bp.route("/login", methods=["GET", "POST"])
@public
# Counted on the way in, so that many tries at once are no more than the same one after another. By account: ten
# failures, then wait; a browser that signed in before has a count of its own.
@limiter.limit(
    "10 per 15 minutes",
    key_func=lambda: f"account:{_account(_email())}",
    methods=["POST"],
)
@limiter.limit(
    "50 per 15 minutes",
    key_func=visitor,
    methods=["POST"],
    exempt_when=lambda: _known_browser(_email()) != "stranger",
)
def login():
    """The sign-in page; POST signs in."""
    if get_shop() is None:
        return redirect(url_for("shop.setup"))
    form = LoginForm()
    if request.method != "POST":
        if current_user.is_authenticated:
            return redirect(local_path(request.args.get("next")))
        form.next.data = request.args.get("next", "")
        return render_template("auth/login.html", form=form)
    if not form.validate():
        return render_template("auth/login.html", form=form), 422
    staff = db.session.scalar(select(Staff).where(Staff.email == _email()))
    password_hash = staff.password_hash if staff and staff.active else None
    staff_id = staff.id if staff else None
    # The transaction ends here: it must not hold the write lock while the hash is worked out.
    db.session.rollback()
    if not passwords.password_matches(form.password.data, password_hash):
        # Not what was typed: people type their password into the wrong field.
        log.warning("wrong email or password from %s", visitor())
        # Whoever it was meant to be or not, it takes as long.
        _note_failure(staff_id, "wrong password")
        form.password.errors = [_("Email or password is wrong.")]
        return render_template("auth/login.html", form=form), 422
    _give_back_try()
    # Read anew and locked: whoever was deactivated or given a new link in the meantime stays outside.
    staff = db.session.get(Staff, staff_id, with_for_update={"key_share": True})
    if staff is None or not staff.active or staff.password_hash != password_hash:
        form.password.errors = [_("Email or password is wrong.")]
        return render_template("auth/login.html", form=form), 422
    return let_in(staff, then=form.next.data)


def _note_failure(staff_id: int | None, what: str) -> None:
    text = ", ".join(filter(None, (what, _browser())))
    record.note(Deed.SIGN_IN_FAILED, by=None, subject=db.session.get(Staff, staff_id or 0), text=text)
    db.session.commit()


def let_in(staff: Staff, *, then: str | None = None, said: str = ""):
    """The answer to whoever has shown a password: signed in and on to where they were going, or asked for a code."""
    if not staff.totp_secret:
        return _come_in(staff, then, said)
    if said:
        flash(said)
    # Good for the next page and a few minutes alone; nobody is signed in by it.
    session["halfway"] = {
        "email": staff.email,
        "password": digest(staff.password_hash),
        "at": int(utcnow().timestamp()),
        "then": local_path(then),
    }
    return redirect(url_for("auth.ask_code"), 303)


def _come_in(staff: Staff, then: str | None, said: str = ""):
    sign_in(staff)
    if said:
        flash(said)
    answer = redirect(local_path(then), 303)
    answer.set_cookie(
        cookie_name("known"),
        _browser_mark(staff.email),
        max_age=SIGNED_IN_FOR * 12,
        httponly=True,
        samesite="Lax",
        secure=request.is_secure,
    )
    return answer


@bp.route("/login/code", methods=["GET", "POST"])
@public
# Of a million codes three are right at any time, and these are other ones every half minute: ten tries of them are few.
@limiter.limit(
    "10 per 15 minutes",
    key_func=lambda: f"code:{_account(session.get('halfway', {}).get('email', ''))}",
    methods=["POST"],
)
def ask_code():
    """The second step, for whoever gave the right password a moment ago; POST signs in."""
    staff = _halfway()
    if staff is None:
        session.pop("halfway", None)
        return redirect(url_for("auth.login"), 303 if request.method == "POST" else 302)
    form, staff_id = CodeForm(), staff.id
    if request.method == "POST" and form.validate():
        right = second_step.passes(staff, code=form.code.data, recovery=form.recovery.data)
        # Once more, because a recovery code takes a while: whoever was deactivated meanwhile stays outside.
        if right and (staff := _halfway()):
            if form.recovery.data:
                record.note(Deed.RECOVERY_CODE_USED, by=staff, branch_id=staff.branch_id)
            answer = _come_in(staff, session["halfway"]["then"])
            _give_back_try()
            return answer
        db.session.rollback()
        log.warning("wrong code for staff %s from %s", staff_id, visitor())
        _note_failure(staff_id, "right password, wrong code")
        field, wrong = (form.recovery, _NOT_ONE) if form.recovery.data else (form.code, _WRONG)
        field.errors = [wrong]
        # Neither stays: a wrong recovery code would be looked at before the right code that is typed next.
        form.code.data = form.recovery.data = ""
    return render_template("auth/code.html", form=form), 422 if form.errors else 200


_WRONG = lazy_gettext("This is not the code that your app shows now. Each works once: wait for the next one.")
_NOT_ONE = lazy_gettext("This is not one of your recovery codes that are left.")


def _halfway() -> Staff | None:
    """Whoever gave the right password in this browser a moment ago, if it still is their password."""
    mark = session.get("halfway", {})
    if not 0 <= utcnow().timestamp() - mark.get("at", 0) < HALFWAY_FOR.total_seconds():
        return None
    query = select(Staff).where(Staff.email == mark["email"]).execution_options(populate_existing=True)
    staff = db.session.scalar(query.with_for_update(key_share=True) if request.method == "POST" else query)
    is_same = staff and staff.active and staff.totp_secret and digest(staff.password_hash) == mark["password"]
    return staff if is_same else None


@bp.post("/logout")
def logout():
    """Ends this browser's session."""
    log.info("staff %s signed out", current_user.row.staff_id)
    db.session.execute(delete(SignIn).where(SignIn.id == current_user.row.id))
    db.session.commit()
    return show_out(lazy_gettext("You are signed out."))


def show_out(said):
    """The answer to whoever was just signed out: the door. The browser is told to keep nothing of what is behind it.

    said: what the door says, in the language of the door.
    """
    logout_user()
    _clear_session(keep_forms=True)
    session["was_signed_in"] = True
    language.use("")
    flash(str(said))
    answer = redirect(url_for("auth.login"), 303)
    if request.is_secure:
        # On a shop's plain LAN browsers would only complain about it.
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


# --- set-up -------------------------------------------------------------------------------------


def setup_code() -> str:
    """The code that proves, before the shop is set up, that one can read the server's output.

    It comes from the secret key, so it needs no keeping, and stays the same; once the shop is set up nothing takes it.
    """
    key = current_app.config["SECRET_KEY"].encode()
    letters = hmac.new(key, b"setup", "sha256").hexdigest()[:12].upper()
    return "-".join((letters[:4], letters[4:8], letters[8:]))


def is_setup_code(text: str) -> bool:
    """Whether it is the set-up code, however it was typed."""
    return hmac.compare_digest(re.sub(r"[^0-9A-F]", "", text.upper()), setup_code().replace("-", ""))


def is_set_up() -> bool:
    """Whether the shop has been set up."""
    return db.session.scalar(select(func.count()).select_from(Shop)) > 0
