"""The shop's pages: set-up, its settings, its branches."""

from zoneinfo import ZoneInfo

from flask import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, url_for
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from .. import auth, formats, hours
from ..db import db
from ..models import Branch, Repair, get_shop
from ..throttle import limiter, visitor
from ..web import now, public
from .actions import change_shop, open_shop, save_branch
from .forms import CODE_HINT, BranchForm, SetupForm, ShopForm

bp = Blueprint("shop", __name__)
bp.add_app_template_global(formats.timezones, "zones")
# What the script fills in while one types, said to a browser without it once the form comes back.
bp.add_app_template_global(formats.propose_code, "proposed_code")


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
    return render_template("shop/branches.html", rows=db.session.execute(query).all(), sign=_sign)


def _sign(branch) -> str:
    """What customers read about a branch's hours now; "" where nothing is said."""
    shop = get_shop()
    present = hours.state(branch.hours, now().astimezone(ZoneInfo(shop.timezone)))
    return formats.opening(present, shop.country) if present else ""


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
        form.show_hours(branch.hours or [])
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
