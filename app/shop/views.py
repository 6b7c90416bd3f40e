"""The shop's pages: set-up, its settings, its branches."""

from contextlib import suppress
from zoneinfo import ZoneInfo

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import gettext as _
from sqlalchemy import func, select

from .. import auth, formats, hours, language, online
from ..auth import me
from ..crowd import waiting
from ..db import db, only_look
from ..models import Branch, Repair, get_shop
from ..rules import Refused, Status
from ..seen import Changed
from ..throttle import limiter, visitor
from ..tracking import answers
from ..web import now, only_looks, policy, public, refuse, respond, takes_files, wants_panel
from . import actions, preview
from . import logo as logos
from .actions import change_shop, open_shop, save_branch
from .forms import CODE_HINT, BranchForm, LogoForm, PageForm, PreviewForm, SetupForm, ShopForm, our_sentences

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


@bp.route("/setup", methods=["GET", "POST"])
@public
@limiter.limit("20 per hour", key_func=visitor, methods=["POST"], deduct_when=lambda answer: answer.status_code == 403)
def setup():
    """First run: the shop, its first branch, its owner. Gone once there is an owner."""
    if auth.is_set_up():
        abort(404)
    form = SetupForm()
    form.offer_choices()
    if request.method != "POST":
        form.setup_code.data = request.args.get("code", "")
        form.propose(language.country_of_browser())
        form.language.data = language.of_browser()
        # The one time a request's own address is used: as a proposal that the owner confirms.
        form.public_url.data = request.host_url.rstrip("/")
        return _setup_page(form)
    if not auth.is_setup_code(form.setup_code.data):
        current_app.logger.warning("wrong set-up code from %s", visitor())
        form.setup_code.errors = [_("This is not the code that the server printed.")]
        return _setup_page(form), 403
    if not form.validate():
        return _setup_page(form), 422
    auth.sign_in(open_shop(form))
    current_app.logger.info("the shop has been set up")
    flash(_("Your shop is open. Take in your first repair."))
    return redirect(url_for("repairs.index"), 303)


def _setup_page(form):
    reach = "world"
    # What is no address says so itself.
    with suppress(ValueError):
        reach = formats.reach(formats.parse_address(form.public_url.data or ""))
    return render_template("shop/setup.html", form=form, reach=reach)


@bp.route("/settings/shop", methods=["GET", "POST"])
def settings():
    """The shop's settings."""
    auth.demand("settings")
    shop = get_shop()
    form = ShopForm(shop)
    form.offer_choices()
    if request.method != "POST":
        form.phone.data = formats.format_phone(shop.phone, shop.country)
        form.whatsapp.data = formats.format_phone(shop.whatsapp, shop.country) if shop.whatsapp else ""
    elif form.validate():
        try:
            change_shop(shop, form.details(), form.seen.data)
        except Changed as changed:
            form.show_saved(changed)
        except Refused as refusal:
            only_look()
            form.currency.errors = [str(refusal)]
        else:
            # In the language that was chosen just now.
            language.use(auth.language_of(me()))
            flash(_("Settings saved."))
            return redirect(url_for(".settings"), 303)
    return _framing(_settings_page(form), form.status)


def _settings_page(form, test=None):
    reach = formats.reach(get_shop().public_url)
    return render_template("shop/settings.html", form=form, reach=reach, test=test, **PREVIEW)


PREVIEW = {"states": preview.STATES, "usual_state": preview.USUAL}


def _framing(page: str, status: int = 200):
    """The answer that is a page with the preview beside it: it alone may hold a frame, and that of our own."""
    answer = make_response(page, status)
    answer.headers["Content-Security-Policy"] = policy(frame_src="'self'")
    return answer


@bp.post("/settings/shop/test")
@limiter.limit("10 per minute", key_func=lambda: f"address:{me().id}", methods=["POST"])
@only_looks
def test_address():
    """Asks the public address that is typed whether it is this shop. Saves nothing."""
    auth.demand("settings")
    form = ShopForm()
    form.offer_choices()
    test = None
    if form.public_url.validate(form):
        address = formats.parse_address(form.public_url.data)
        # No connection is kept meanwhile, and no place in the line: this very server may have to answer.
        db.session.rollback()
        with waiting():
            found = online.ask(current_app, address, patience=4)
        secure = address.startswith("https://")
        test = {"address": address, "found": found, "reach": formats.reach(address), "secure": secure}
    status = 200 if test else 422
    if wants_panel():
        return render_template("shop/_public_address.html", form=form, reach="world", test=test), status
    return _framing(_settings_page(form, test), status)


@bp.route("/settings/page", methods=["GET", "POST"])
def page():
    """What customers read and see on their pages."""
    auth.demand("settings")
    shop = get_shop()
    form = PageForm(shop)
    if request.method != "POST":
        form.show_shop(shop)
    else:
        form.take_default()
        if form.validate():
            try:
                change_shop(shop, form.details(), form.seen.data)
            except Changed as changed:
                form.show_saved(changed)
            else:
                flash(_("Saved. Customers see it on their pages now."))
                return redirect(url_for(".page"), 303)
    return _framing(_page_page(form), form.status)


def _page_page(form, error=""):
    return render_template("shop/page.html", form=form, defaults=our_sentences(), error=error, **PREVIEW)


@bp.post("/settings/page/logo")
@takes_files(logos.MOST_BYTES + 1024 * 1024)
def set_logo():
    """Takes a new logo."""
    auth.demand("settings")
    form = LogoForm()
    try:
        if not form.validate():
            raise Refused(form.first_error)
        # The picture is worked on without the lock; only the change takes it.
        db.session.rollback()
        made = logos.make(form.logo.data)
    except Refused as refusal:
        values = {"form": PageForm(get_shop(), formdata=None), "error": str(refusal)}
        values["form"].show_shop(get_shop())
        if wants_panel():
            return refuse("shop/_logo.html", "", status=422, **values)
        return _framing(_page_page(**values), 422)
    finally:
        # A large file lies on the disk until then.
        request.close()
    actions.set_logo(get_shop(), made)
    return respond("shop/_logo.html", then=url_for(".page"), said=_("The logo is on your customers’ pages."), error="")


@bp.post("/settings/page/logo/remove")
def remove_logo():
    """Takes the logo away."""
    auth.demand("settings")
    actions.set_logo(get_shop(), None)
    return respond("shop/_logo.html", then=url_for(".page"), said=_("The logo is gone."), error="")


@bp.get("/logo/<logo>.webp")
@public
def logo(logo):
    """The shop's logo."""
    return logos.serve(logo)


@bp.route("/settings/preview", methods=["GET", "POST"])
@only_looks
def show_preview():
    """The customer's page about a made-up repair; POST draws it with the settings as they are typed. Saves nothing."""
    auth.demand("settings")
    shop, branch = get_shop(), db.session.scalars(select(Branch).order_by(Branch.id).limit(1)).one()
    state = PreviewForm(request.form if request.method == "POST" else request.args).state
    typed = _as_typed(ShopForm(), PageForm()) if request.method == "POST" else {}
    view = preview.view(shop, branch, typed, state.data if state.data in preview.STATES else preview.USUAL, now())
    answer = make_response(answers.sample(view))
    # Shown in a frame of ours, and of nobody else's.
    answer.headers["Content-Security-Policy"] = policy(frame_ancestors="'self'")
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    return answer


def _as_typed(form, page) -> dict:
    """What of the two forms was sent and can be used as it is."""
    form.offer_choices()
    form.validate()
    page.validate()
    fields = ("name", "country", "timezone", "language", "address")
    typed = {name: request.form[name] for name in fields if name in request.form}
    typed = {name: form[name].data for name in typed if not form[name].errors}
    for name in ("phone", "whatsapp"):
        if name in request.form and not form[name].errors:
            typed[name] = form[name].data and formats.parse_phone(
                form[name].data, form.country.data or get_shop().country
            )
    if Status.READY in request.form:
        typed |= page.details()
    return typed


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
    return _branch_page(branch, BranchForm(branch))


def _branch_page(branch, form):
    shop, is_new = get_shop(), branch.id is None
    if request.method != "POST":
        form.phone.data = formats.format_phone(branch.phone, shop.country) if branch.phone else ""
        form.whatsapp.data = formats.format_phone(branch.whatsapp, shop.country) if branch.whatsapp else ""
        form.show_hours(branch.hours or [])
    elif form.validate() and _branch_is_unique(branch, form, is_new):
        code = {"code": form.code.data} if is_new else {}
        try:
            save_branch(branch, form.details(shop.country) | code, form.seen.data)
        except Changed as changed:
            form.show_saved(changed)
        else:
            flash(_("Branch saved."))
            return redirect(url_for(".branches"), 303)
    return render_template("shop/branch.html", form=form, branch=branch, is_new=is_new), form.status


def _branch_is_unique(branch, form, is_new) -> bool:
    """Puts a sentence by the field that another branch has already, or that a new branch lacks."""
    others = select(Branch).where(Branch.id != (branch.id or 0))
    # In Python: SQLite knows the case of English letters only, and branches are few.
    if form.name.data.casefold() in {other.name.casefold() for other in db.session.scalars(others)}:
        form.name.errors = [_("Another branch has this name.")]
    if is_new and not form.code.data:
        form.code.errors = [CODE_HINT]
    elif is_new and db.session.scalar(others.where(Branch.code == form.code.data)):
        form.code.errors = [_("Another branch has this code.")]
    return not form.errors
