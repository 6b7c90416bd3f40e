"""Lists that leave the shop and lists that come into it."""

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from .. import auth, formats
from ..auth import me
from ..db import only_look
from ..models import get_shop
from ..repairs.forms import BoardFilter
from ..repairs.queries import branches
from ..web import choices, now, only_looks, takes_files
from . import actions, forms, planning, queries, reading, writing

bp = Blueprint("exchange", __name__)

INDEX, FATES = "exchange/index.html", "exchange/fates.html"


@bp.post("/repairs/export.csv")
def export():
    """The repairs that the board shows, on all its pages, as CSV.

    A POST, because it is written down who took what out of the shop; and so no other site's page can set it off.
    """
    auth.demand("exchange.export")
    form = forms.ExportForm()
    wanted = BoardFilter.of(form.query.data or "", auth.held_to())
    # Looking through the whole shop takes a while, through which nobody else should wait to write.
    only_look()
    shop = get_shop()
    found = queries.Export(wanted, shop, now(), finished=form.everything.data)
    today = formats.iso_local(now(), shop.timezone)[:10]
    only_look(False)
    actions.note_export(len(found), by=me(), branch_id=wanted.branch)
    return _csv(writing.chunks(queries.HEADING, found.pages()), f"repairs-{today}.csv")


@bp.get("/settings/import")
def index():
    """Where a list is uploaded or pasted."""
    auth.demand("exchange.import")
    return _upload(forms.UploadForm(formdata=None))


@bp.get("/settings/import/template.csv")
def template():
    """A list to fill in."""
    auth.demand("exchange.import")
    return _csv(writing.chunks(reading.TEMPLATE, []), "readylight-import.csv")


@bp.post("/settings/import")
@takes_files(2 * reading.MOST_BYTES, most_text=2 * reading.MOST_BYTES)
@only_looks
def check():
    """The dry run: what would become of every row. Writes nothing."""
    auth.demand("exchange.import")
    form = forms.UploadForm()
    _offer_branches(form)
    if not form.validate():
        return _upload(form), 422
    try:
        text = form.text()
        listed, carried = reading.read(text), forms.pack(text)
    except ValueError as problem:
        form.at_fault.errors = [str(problem)]
        return _upload(form), 422
    plan = planning.plan(listed, get_shop(), form.branch.data)
    run = forms.RunForm(formdata=None, data={"branch": form.branch.data, "carried": carried, "shown": plan.digest})
    return _fates(run, plan)


@bp.post("/settings/import/run")
def run():
    """Brings the list in, exactly as it was shown; or shows how things stand now."""
    auth.demand("exchange.import")
    form, listed = _again()
    if listed is None:
        return _upload(forms.UploadForm(formdata=None), form.first_error), 422
    try:
        plan = actions.bring_in_list(listed, get_shop(), form.branch.data, by=me(), shown=form.shown.data)
    except actions.Done:
        flash(_("This list is imported already."))
        return redirect(url_for("repairs.index"), 303)
    except actions.Changed as refusal:
        form.shown.data = refusal.plan.digest
        only_look()
        return _fates(form, refusal.plan, str(refusal)), 409
    flash(_("Imported: %(what)s.", what=_said(plan)))
    return redirect(url_for("repairs.index", sort="newest"), 303)


@bp.post("/settings/import/refused.csv")
@only_looks
def refused():
    """The rows that are refused, with the reason, to mend and upload again."""
    auth.demand("exchange.import")
    form, listed = _again()
    if listed is None:
        return _upload(forms.UploadForm(formdata=None), form.first_error), 422
    plan = planning.plan(listed, get_shop(), form.branch.data)
    why = {fate.line: fate.why for fate in plan.refused}
    fields = list(listed.fields)
    rows = [[*(listed.cells(row)[name] for name in fields), why[line]] for line, row in listed.rows if line in why]
    heading = [*(reading.HEADINGS[name] for name in fields), "Why"]
    return _csv(writing.chunks(heading, [rows]), "refused.csv")


def _again() -> tuple[forms.RunForm, reading.List | None]:
    """The form after a dry run and its list; no list when it did not arrive whole."""
    form = forms.RunForm()
    _offer_branches(form)
    if not form.validate():
        return form, None
    try:
        return form, reading.read(form.text())
    except ValueError as problem:
        form.carried.errors = [str(problem)]
        return form, None


def _offer_branches(form) -> None:
    form.branch.choices = choices((branch.id, branch.name) for branch in branches())


def _upload(form, error: str = ""):
    _offer_branches(form)
    if request.method == "GET":
        form.branch.data = me().branch_id or form.branch.choices[0].value
    return render_template(INDEX, form=form, error=error, most=reading.MOST_ROWS, stages=reading.open_labels())


def _fates(form, plan: planning.Plan, error: str = ""):
    ordered = sorted(plan.fates, key=lambda fate: fate.kind != "refused")
    return render_template(FATES, form=form, plan=plan, fates=ordered, error=error)


def _said(plan: planning.Plan) -> str:
    repairs, people = plan.count(kind="repair"), plan.count(customer="new")
    said = [ngettext("%(num)d repair", "%(num)d repairs", repairs)] if repairs else []
    said += [ngettext("%(num)d new customer", "%(num)d new customers", people)] if people else []
    return ", ".join(said) or _("nothing new")


def _csv(body, name: str) -> Response:
    answer = Response(body, mimetype="text/csv")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
