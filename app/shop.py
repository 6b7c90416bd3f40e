"""The shop itself: set-up, its settings, its branches."""

import re

from flask import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError
from wtforms import (
    EmailField,
    IntegerField,
    PasswordField,
    SelectField,
    StringField,
    TelField,
    TextAreaField,
    URLField,
    ValidationError,
)
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from . import auth, formats
from .db import db
from .models import Branch, Repair, Shop, Staff, get_shop
from .rules import Role
from .throttle import limiter, visitor
from .web import EMAIL, Checked, Form, Needed, choices, public

bp = Blueprint("shop", __name__)
bp.add_app_template_global(formats.timezones, "zones")
# What the script fills in while one types, said to a browser without it once the form comes back.
bp.add_app_template_global(formats.propose_code, "proposed_code")

CODE_HINT = "Two capital letters, such as MN."


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
    if field.data not in formats.timezones():
        raise ValidationError("Choose a time zone from the list, such as Europe/Lisbon.")


class ShopFields:
    """What set-up asks about the shop, and its settings change."""

    name = StringField("Shop name", [Needed("What is the shop called?"), Length(max=80)])
    country = SelectField("Country")
    timezone = StringField("Time zone", [Needed("Which time zone is the shop in?"), _zone])
    currency = SelectField("Currency")
    phone = TelField("Phone", [Needed("Customers call this number."), _phone])
    whatsapp = TelField("WhatsApp number", [_phone])
    address = TextAreaField("Address", [Length(max=300)])
    public_url = URLField(
        "Public address", [Needed("Customers' links begin with it."), Length(max=200), Checked(formats.parse_address)]
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
            "phone": formats.parse_phone(self.phone.data, country),
            "whatsapp": formats.parse_phone(self.whatsapp.data, country) if self.whatsapp.data else "",
            "address": self.address.data,
            "public_url": formats.parse_address(self.public_url.data),
        }


class SetupForm(ShopFields, Form):
    setup_code = StringField("Set-up code", [Needed("The server printed it when it started.")])
    code = StringField("Shop code", [Needed(CODE_HINT), _code])
    branch_name = StringField("First branch", [Needed("A shop has at least one branch."), Length(max=80)])
    branch_code = StringField("Branch code", [Needed(CODE_HINT), _code])
    owner_name = StringField("Your name", [Needed("What is your name?"), Length(max=80)])
    email = EmailField("Your email", [Needed("You sign in with it."), Length(max=254), EMAIL])
    password = PasswordField("Password", [Needed("Choose a password.")])

    def validate_password(self, field):
        try:
            auth.check_password(field.data, self.email.data, self.owner_name.data, self.name.data)
        except ValueError as problem:
            raise ValidationError(str(problem)) from None


class ShopForm(ShopFields, Form):
    link_days = IntegerField(
        "Days until links end",
        [InputRequired("How many days? 0 means never."), NumberRange(0, 3650, "From 0 (never) to 3650 days.")],
    )


class BranchForm(Form):
    name = StringField("Branch name", [Needed("What is the branch called?"), Length(max=80)])
    code = StringField("Branch code", [Optional(), _code])
    phone = TelField("Phone", [_phone])
    whatsapp = TelField("WhatsApp number", [_phone])
    address = TextAreaField("Address", [Length(max=300)])

    def details(self, country: str) -> dict:
        """The fields as a branch keeps them; the code is set once, elsewhere."""
        return {
            "name": self.name.data,
            "phone": formats.parse_phone(self.phone.data, country) if self.phone.data else "",
            "whatsapp": formats.parse_phone(self.whatsapp.data, country) if self.whatsapp.data else "",
            "address": self.address.data,
        }


# --- actions ------------------------------------------------------------------------------------


def open_shop(form: SetupForm) -> Staff:
    """Makes the shop, its first branch and its owner, and commits. The owner is returned."""
    details = form.details()
    # "Same as phone" is what an empty WhatsApp number means here; the settings can empty it again.
    details["whatsapp"] = details["whatsapp"] or details["phone"]
    password_hash = auth.hash_password(form.password.data)
    if auth.owner_exists():
        abort(404)
    branch = Branch(name=form.branch_name.data, code=form.branch_code.data)
    owner = Staff(
        name=form.owner_name.data, email=form.email.data.casefold(), password_hash=password_hash, role=Role.OWNER
    )
    db.session.add_all([Shop(code=form.code.data, **details), branch, owner])
    db.session.commit()
    return owner


def change_shop(shop: Shop, details: dict) -> None:
    """Changes the shop's settings, and commits."""
    for name, value in details.items():
        setattr(shop, name, value)
    shop.version += 1
    db.session.commit()


def save_branch(branch: Branch, details: dict) -> None:
    """Adds or changes a branch, and commits."""
    for name, value in details.items():
        setattr(branch, name, value)
    db.session.add(branch)
    # Locked and raised: open tracking pages show the branch's contact.
    get_shop().version += 1
    db.session.commit()


# --- pages --------------------------------------------------------------------------------------


@bp.get("/")
@public
def home():
    """The way in: the board, or set-up."""
    return redirect(url_for("repairs.index"))


@bp.get("/robots.txt")
@public
def robots():
    """Search engines have no business here."""
    return Response("User-agent: *\nDisallow: /\n", mimetype="text/plain")


@bp.get("/healthz")
@public
def healthz():
    """Whether the process answers and the database can be read, for whatever watches the server."""
    try:
        db.session.execute(text("SELECT 1 FROM shop"))
    except SQLAlchemyError:
        return Response("database: not reachable\n", 503, mimetype="text/plain")
    return Response("ok\n", mimetype="text/plain")


@bp.route("/setup", methods=["GET", "POST"])
@public
@limiter.limit("20 per hour", key_func=visitor, methods=["POST"], deduct_when=lambda answer: answer.status_code == 403)
def setup():
    """First run: the shop, its first branch, its owner. Gone once there is an owner."""
    if auth.owner_exists():
        abort(404)
    form = SetupForm()
    form.offer_choices()
    if request.method != "POST":
        form.setup_code.data = request.args.get("code", "")
        form.country.data, form.timezone.data, form.currency.data = "GB", "Europe/London", "GBP"
        # The one time a request's own address is used: as a proposal that the owner confirms.
        form.public_url.data = request.host_url.rstrip("/")
        return render_template("shop/setup.html", form=form)
    if not auth.is_setup_code(form.setup_code.data):
        current_app.logger.warning("wrong set-up code from %s", visitor())
        form.setup_code.errors = ["This is not the code that the server printed."]
        return render_template("shop/setup.html", form=form), 403
    if not form.validate():
        return render_template("shop/setup.html", form=form), 422
    auth.sign_in(open_shop(form))
    current_app.logger.info("the shop has been set up")
    flash("Your shop is open. Take in your first repair.")
    return redirect(url_for("repairs.index"), 303)


@bp.route("/settings/shop", methods=["GET", "POST"])
def settings():
    """The shop's settings."""
    auth.demand("settings")
    shop = get_shop()
    form = ShopForm(obj=shop)
    form.offer_choices()
    if request.method != "POST":
        form.phone.data = formats.format_phone(shop.phone, shop.country)
        form.whatsapp.data = formats.format_phone(shop.whatsapp, shop.country) if shop.whatsapp else ""
    elif form.validate():
        change_shop(shop, form.details() | {"link_days": form.link_days.data})
        flash("Settings saved.")
        return redirect(url_for(".settings"), 303)
    reach = formats.reach(shop.public_url)
    return render_template("shop/settings.html", form=form, reach=reach), 422 if form.errors else 200


@bp.get("/settings")
def settings_home():
    """The settings begin with the shop."""
    return redirect(url_for(".settings"))


@bp.get("/settings/branches")
def branches():
    """All branches."""
    auth.demand("settings")
    query = select(Branch, func.count(Repair.id)).outerjoin(Repair).group_by(Branch.id).order_by(Branch.name)
    return render_template("shop/branches.html", rows=db.session.execute(query).all())


@bp.route("/settings/branches/new", methods=["GET", "POST"])
def new_branch():
    """The form for a new branch; POST adds it."""
    auth.demand("settings")
    return _branch_page(Branch(), BranchForm())


@bp.route("/settings/branches/<int(max=2147483647):branch_id>", methods=["GET", "POST"])
def edit_branch(branch_id):
    """The form that changes a branch; POST changes it."""
    auth.demand("settings")
    branch = db.session.get(Branch, branch_id) or abort(404)
    return _branch_page(branch, BranchForm(obj=branch))


def _branch_page(branch, form):
    shop, is_new = get_shop(), branch.id is None
    if request.method != "POST":
        form.phone.data = formats.format_phone(branch.phone, shop.country) if branch.phone else ""
        form.whatsapp.data = formats.format_phone(branch.whatsapp, shop.country) if branch.whatsapp else ""
    elif form.validate() and _branch_is_unique(branch, form, is_new):
        code = {"code": form.code.data} if is_new else {}
        save_branch(branch, form.details(shop.country) | code)
        flash("Branch saved.")
        return redirect(url_for(".branches"), 303)
    return render_template("shop/branch.html", form=form, branch=branch, is_new=is_new), 422 if form.errors else 200


def _branch_is_unique(branch, form, is_new) -> bool:
    """Puts a sentence by the field that another branch has already, or that a new branch lacks."""
    others = select(Branch).where(Branch.id != (branch.id or 0))
    # In Python: SQLite knows the case of English letters only, and branches are few.
    if form.name.data.casefold() in {other.name.casefold() for other in db.session.scalars(others)}:
        form.name.errors = ["Another branch has this name."]
    if is_new and not form.code.data:
        form.code.errors = [CODE_HINT]
    elif is_new and db.session.scalar(others.where(Branch.code == form.code.data)):
        form.code.errors = ["Another branch has this code."]
    return not form.errors
