"""Paper: the receipt that the customer takes home, the label that stays on what they left, and how they are printed."""

from dataclasses import dataclass

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import force_locale, lazy_gettext
from flask_babel import gettext as _
from markupsafe import Markup
from sqlalchemy import select
from wtforms import Form as QueryForm
from wtforms import RadioField, StringField, TextAreaField
from wtforms.validators import AnyOf, Length

from . import auth, formats, hours, sharing
from .activity import record
from .auth import me
from .db import db
from .models import Branch, Repair, Shop, contact, get_shop, tracking_url
from .repairs.queries import get_repair
from .rules import Deed
from .seen import Changed, SharedForm, demand_unchanged
from .web import choices, now

bp = Blueprint("printing", __name__)

RECEIPT, LABEL, BOTH = "receipt", "label", "both"
LONGEST_TERMS = 4000


@dataclass(frozen=True, slots=True)
class Paper:
    """Something that a printer holds. css/paper.css has its size and its margins, under the same name.

    qr: the longest side, in millimetres, that the QR code may have on it.
    """

    name: str
    label: str
    hint: str
    qr: int


RECEIPTS = (
    Paper("a4", "A4", "210 × 297 mm", 36),
    Paper("letter", "Letter", "8.5 × 11 in", 36),
    Paper("80mm", lazy_gettext("80\u00a0mm\u00a0roll"), lazy_gettext("thermal printer"), 40),
)
LABELS = (
    Paper("62mm", lazy_gettext("62\u00a0mm\u00a0roll"), "62 × 29 mm", 24),
    Paper("40x30", "40\u00a0×\u00a030\u00a0mm", lazy_gettext("small labels"), 19),
)
# By what is printed on them. On a receipt and a label together one chooses the receipt's; the label's is the shop's.
PAPERS = {RECEIPT: RECEIPTS, LABEL: LABELS, BOTH: RECEIPTS}


class PaperQuery(QueryForm):
    """Which paper, and whether to print at once. Junk is as good as nothing."""

    paper = StringField(default="")
    print = StringField(default="")


def _field(label: str, papers: tuple[Paper, ...]) -> RadioField:
    one_of = AnyOf([paper.name for paper in papers], message=lazy_gettext("Choose one of these."))
    offered = choices((paper.name, paper.label) for paper in papers)
    return RadioField(label, [one_of], choices=offered, validate_choice=False)


class PaperForm(SharedForm):
    KEEPS = ("receipt_paper", "label_paper", "terms")

    receipt_paper = _field(lazy_gettext("Receipts are printed on"), RECEIPTS)
    label_paper = _field(lazy_gettext("Labels are printed on"), LABELS)
    terms = TextAreaField(
        lazy_gettext("Terms on the receipt"),
        [
            Length(
                max=LONGEST_TERMS,
                message=lazy_gettext("Keep the terms to %(max)d characters: they go on one receipt."),
            )
        ],
    )


def paper_named(name: str, papers: tuple[Paper, ...]) -> Paper:
    """The paper with that name; the first for any other."""
    return next((paper for paper in papers if paper.name == name), papers[0])


def counter_url(shop: Shop, repair: Repair) -> str:
    """Where a label's QR code leads: to the repair for whoever is signed in, to the door for everyone else."""
    return f"{shop.public_url}/repairs/{repair.code}"


# --- actions ------------------------------------------------------------------------------------


def save_papers(shop: Shop, details: dict, seen: str) -> None:
    """Changes what the shop prints on and below, and commits. Raises Changed. seen: the form's own."""
    db.session.refresh(shop, with_for_update={"key_share": True})
    demand_unchanged(shop, details, seen)
    changed = [name for name, value in details.items() if getattr(shop, name) != value]
    for name in changed:
        setattr(shop, name, details[name])
    if changed:
        words = ", ".join(name.replace("_", " ") for name in changed)
        record.note(Deed.SHOP_CHANGED, by=me(), text=f"Paper: {words}")
    db.session.commit()


# --- pages --------------------------------------------------------------------------------------


@bp.get("/repairs/<code>/receipt")
def receipt(code):
    """The receipt: shop, code, item, problem, link, terms; nothing internal."""
    return _sheets(RECEIPT, get_repair(code, "repairs.view"))


@bp.get("/repairs/<code>/label")
def label(code):
    """The label for what was left: nothing on it tells whose it is."""
    return _sheets(LABEL, get_repair(code, "repairs.view"))


@bp.get("/repairs/<code>/receipt-and-label")
def both(code):
    """The two in one go, for a printer that takes both: each on a page of its own size."""
    return _sheets(BOTH, get_repair(code, "repairs.view"))


@bp.route("/settings/paper", methods=["GET", "POST"])
def settings():
    """What the shop prints on, and its terms."""
    auth.demand("settings")
    shop = get_shop()
    form = PaperForm(shop)
    if request.method == "POST" and form.validate():
        try:
            save_papers(shop, {name: form[name].data for name in PaperForm.KEEPS}, form.seen.data)
        except Changed as changed:
            form.show_saved(changed)
        else:
            flash(_("Paper saved."))
            return redirect(url_for(".settings"), 303)
    return render_template("printing/settings.html", form=form, papers=PAPERS), form.status


@bp.get(f"/settings/paper/<any({RECEIPT}, {LABEL}, {BOTH}):kind>")
def sample(kind):
    """How it would look: a repair that nobody brought in, on the shop's own paper."""
    auth.demand("settings")
    return _sheets(kind, _made_up_repair(), is_sample=True)


def _sheets(kind: str, repair: Repair, *, is_sample: bool = False):
    """What is printed of a repair, with the way to other papers above it."""
    shop, query = get_shop(), PaperQuery(request.args)
    default = paper_named(shop.label_paper if kind == LABEL else shop.receipt_paper, PAPERS[kind])
    paper = paper_named(query.paper.data or default.name, PAPERS[kind])
    label_paper = paper if kind == LABEL else paper_named(shop.label_paper, LABELS)
    counter = counter_url(shop, repair)
    return render_template(
        "printing/sheets.html",
        kind=kind,
        repair=repair,
        is_sample=is_sample,
        paper=paper,
        papers=PAPERS[kind],
        default=default,
        label_paper=label_paper,
        print_now=query.print.data == "now",
        receipt="" if kind == LABEL else _receipt(shop, repair, paper),
        counter_qr="" if kind == RECEIPT else sharing.printed_qr(counter, label_paper.qr, label=_("QR code for staff")),
    )


def _receipt(shop: Shop, repair: Repair, paper: Paper) -> Markup:
    """The receipt, which the customer reads: in the shop's language."""
    url = tracking_url(shop, repair)
    with force_locale(shop.language):
        html = render_template(
            "printing/_receipt.html",
            repair=repair,
            paper=paper,
            url=url,
            contact=contact(shop, repair.branch),
            week=_week(shop, repair.branch),
            qr=sharing.printed_qr(url, paper.qr, label=_("QR code of the tracking link")),
        )
    return Markup(html)  # noqa: S704 (a template's own output)


def _week(shop: Shop, branch: Branch) -> list[tuple[str, str]]:
    """A branch's opening hours as (days, times), such as ("Mon–Fri", "09:00–18:00"); none where it does not say."""
    return [
        (
            "–".join(formats.weekday(day, short=True) for day in sorted({first, last})),
            formats.opening_hours(spans, shop.country),
        )
        for first, last, spans in hours.lines(branch.hours)
    ]


def _made_up_repair() -> Repair:
    """A repair that is never saved, at the shop's first branch; what its customer would have said in its language."""
    shop, branch = get_shop(), db.session.scalars(select(Branch).order_by(Branch.id).limit(1)).one()
    with force_locale(shop.language):
        accessories, problem = _("Case, charger"), _("The screen is cracked and the battery lasts half a day.")
    return Repair(
        code=f"{shop.code}-{branch.code}-R0042",
        token="A-sample-opens-nothing",  # noqa: S106 (as long as a real one, so that the QR code is as dense)
        branch=branch,
        item="iPhone 13",
        serial="356938035643809",
        accessories=accessories,
        problem=problem,
        estimate=12000,
        received_at=now(),
        promised_at=formats.pick("3_days", shop.timezone, now()),
    )
