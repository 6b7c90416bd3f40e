"""The people who sign in: added, changed and deactivated by the owner; everyone's own account."""

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask_login import current_user
from sqlalchemy import func, select
from sqlalchemy.orm import joinedload
from wtforms import BooleanField, EmailField, PasswordField, SelectField, StringField, ValidationError
from wtforms.validators import Length

from . import auth
from .auth import me
from .db import db
from .models import Branch, SignIn, Staff, get_shop
from .rules import Refused, Role
from .throttle import limiter
from .web import EMAIL, Form, Needed, choices, cookie_name

bp = Blueprint("staff", __name__)


def _safe_password(field, *known):
    try:
        auth.check_password(field.data, *known, get_shop().name)
    except ValueError as problem:
        raise ValidationError(str(problem)) from None


class StaffForm(Form):
    name = StringField("Name", [Needed("What is this person called?"), Length(max=80)])
    email = EmailField("Email", [Needed("They sign in with it."), Length(max=254), EMAIL])
    role = SelectField("Role", choices=choices((role.value, role.label) for role in Role), default=Role.TECHNICIAN)
    branch = SelectField("Branch", coerce=int, default=0)
    password = PasswordField("Password")
    active = BooleanField("May sign in", default=True)

    def validate_password(self, field):
        if field.data:
            _safe_password(field, self.name.data, self.email.data)

    def validate_branch(self, field):
        if not field.data and self.role.data != Role.OWNER:
            raise ValidationError("Only an owner works at all branches. Choose the one where this person works.")


class PasswordForm(Form):
    current = PasswordField("Present password", [Needed("Type the password you have now.")])
    password = PasswordField("New password", [Needed("Choose a password.")])

    def validate_password(self, field):
        if field.data:
            _safe_password(field, me().name, me().email)


# --- actions ------------------------------------------------------------------------------------


def save(person: Staff, *, name, email, role, branch_id, active, password_hash: str | None) -> None:
    """Adds or changes a person, and commits; a new password or an end of access ends their sessions.

    Raises Refused when the shop would be left without an owner.
    """
    loses_owner = person.role == Role.OWNER and person.active and (role != Role.OWNER or not active)
    if loses_owner and _owners() == 1:
        raise Refused("The shop needs an owner: make somebody else one first.")
    if person.id and (password_hash or not active):
        auth.end_sessions(person, but_this=person.id == me().id)
    person.name, person.email, person.role = name, email, role
    person.branch_id, person.active = branch_id, active
    person.password_hash = password_hash or person.password_hash
    db.session.add(person)
    db.session.commit()


def _owners() -> int:
    # Locked, so that two owners cannot each take the other's role away.
    rows = select(Staff.id).where(Staff.role == Role.OWNER, Staff.active).with_for_update()
    return len(db.session.execute(rows).all())


# --- pages --------------------------------------------------------------------------------------


@bp.get("/settings/staff")
def index():
    """Everyone who signs in."""
    auth.demand("settings")
    people = select(Staff).options(joinedload(Staff.branch)).order_by(Staff.active.desc(), Staff.name)
    return render_template("staff/index.html", people=db.session.scalars(people).all())


@bp.route("/settings/staff/new", methods=["GET", "POST"])
def new():
    """The form for a new person; POST adds them."""
    auth.demand("settings")
    return _page(Staff(), StaffForm())


@bp.route("/settings/staff/<int(max=2147483647):staff_id>", methods=["GET", "POST"])
def edit(staff_id):
    """The form that changes a person; POST changes them."""
    auth.demand("settings")
    person = db.session.get(Staff, staff_id) or abort(404)
    form = StaffForm(obj=person)
    if request.method != "POST":
        form.branch.data = person.branch_id or 0
    return _page(person, form)


def _page(person, form):
    is_new = person.id is None
    branches = db.session.scalars(select(Branch).order_by(Branch.name))
    form.branch.choices = choices([(0, "All branches"), *((branch.id, branch.name) for branch in branches)])
    error = ""
    if request.method == "POST" and form.validate() and _is_unique(person, form, is_new):
        try:
            save(
                person,
                name=form.name.data,
                email=form.email.data.casefold(),
                role=form.role.data,
                branch_id=form.branch.data or None,
                active=form.active.data or is_new,
                password_hash=auth.hash_password(form.password.data) if form.password.data else None,
            )
        except Refused as refusal:
            db.session.rollback()
            error = str(refusal)
        else:
            flash(f"{form.name.data} is saved.")
            return redirect(url_for(".index"), 303)
    status = 422 if form.errors or error else 200
    return render_template("staff/edit.html", form=form, person=person, is_new=is_new, error=error), status


def _is_unique(person, form, is_new) -> bool:
    email = func.lower(Staff.email) == form.email.data.casefold()
    if db.session.scalar(select(Staff.id).where(email, Staff.id != (person.id or 0))):
        form.email.errors = ["Somebody signs in with this address already."]
    if is_new and not form.password.data:
        form.password.errors = ["A new person needs a first password."]
    return not form.errors


@bp.route("/account", methods=["GET", "POST"])
@limiter.limit(
    "10 per 15 minutes",
    key_func=lambda: f"password:{me().id}",
    methods=["POST"],
    deduct_when=lambda answer: answer.status_code == 422,
)
def account():
    """One's own account; POST changes the password, and ends all other sessions."""
    form = PasswordForm()
    if request.method == "POST" and form.validate():
        if auth.password_matches(form.current.data, me().password_hash):
            me().password_hash = auth.hash_password(form.password.data)
            auth.end_sessions(me(), but_this=True)
            db.session.commit()
            flash("Password changed. You are signed out everywhere else.")
            return redirect(url_for(".account"), 303)
        current_app.logger.warning("staff %s typed a wrong present password", me().id)
        form.current.errors = ["This is not your present password."]
    signed_in = db.session.scalars(
        select(SignIn).where(SignIn.staff_id == me().id).order_by(SignIn.id.desc()).limit(20)
    ).all()
    return render_template("staff/account.html", form=form, signed_in=signed_in, here=current_user.row.id), (
        422 if form.errors else 200
    )


@bp.post("/account/sign-out-everywhere")
def sign_out_everywhere():
    """Ends every session of one's own, this one too."""
    auth.end_sessions(me())
    db.session.commit()
    return auth.show_out("You are signed out everywhere.")


@bp.post("/account/theme")
def theme():
    """Light, dark, or as the system says; kept in this browser."""
    choice = request.form.get("theme", "")
    back = auth.local_path(request.form.get("back"))
    answer = redirect(back, 303)
    if choice in {"light", "dark"}:
        name, year = cookie_name("theme"), 365 * 86400
        answer.set_cookie(name, choice, max_age=year, samesite="Lax", httponly=True, secure=request.is_secure)
    else:
        answer.delete_cookie(cookie_name("theme"), secure=request.is_secure)
    return answer
