"""The staff's pages about customers: the list, the card, and what is done with one."""

import json

from flask import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _

from .. import auth, formats
from ..auth import me
from ..db import only_look
from ..models import Customer, get_shop
from ..rules import Refused
from ..seen import Changed
from . import actions, erasing, exporting, forms, merging, queries

bp = Blueprint("customers", __name__, url_prefix="/customers")


@bp.get("")
def index():
    """The list, searched as one types."""
    auth.demand("customers.view")
    wanted = forms.CustomerSearch(request.args)
    found = queries.listed(wanted.q.data, wanted.page.data)
    return render_template("customers/index.html", found=found, q=wanted.q.data)


@bp.get("/<int(max=2147483647):customer_id>")
def show(customer_id):
    """A customer, what their repairs come to, and the repairs."""
    customer, totals = queries.get_card(customer_id)
    _leave_the_merged(customer)
    wanted = forms.Paged(request.args)
    repairs, page, has_more = queries.repairs_of(customer, wanted.page.data)
    values = {"customer": customer, "totals": totals, "repairs": repairs, "page": page, "has_more": has_more}
    return render_template("customers/show.html", merges=queries.merges(customer), **values)


@bp.route("/<int(max=2147483647):customer_id>/edit", methods=["GET", "POST"])
def edit(customer_id):
    """The form that changes a customer; POST changes them."""
    customer, error = _get_customer(customer_id, "customers.edit"), ""
    form = forms.CustomerForm(customer)
    if request.method != "POST":
        form.phone.data = formats.format_phone(customer.phone, get_shop().country)
    elif form.validate():
        try:
            actions.change(customer, by=me(), seen=form.seen.data, **form.details(get_shop().country))
        except Changed as changed:
            form.show_saved(changed)
        except actions.PhoneTaken as refusal:
            form.phone.errors = [str(refusal)]
        except Refused as refusal:
            error = str(refusal)
        else:
            flash(_("Customer saved."))
            return redirect(url_for(".show", customer_id=customer.id), 303)
    if request.method == "POST":
        only_look()
    values = {"form": form, "customer": customer, "error": error}
    return render_template("customers/edit.html", **values), 422 if error else form.status


# --- merging ------------------------------------------------------------------------------------


@bp.route("/<int(max=2147483647):customer_id>/merge", methods=["GET", "POST"])
def merge(customer_id):
    """With whom to merge a customer, then what that would do; POST does it."""
    customer, form = _get_customer(customer_id, "customers.merge"), forms.MergeForm()
    wanted = forms.MergeQuery(request.args)
    other_id = (form.other.data if request.method == "POST" else wanted.other.data) or 0
    other = queries.find_customer(other_id) if other_id else None
    if other is None:
        return _choose_other(customer, wanted.q.data, _("Choose whom to merge.") if request.method == "POST" else "")
    try:
        plan = merging.plan(customer, other, auth.held_to())
    except Refused as refusal:
        return _choose_other(customer, "", str(refusal))
    form.offer(**{field: (getattr(customer, field), getattr(other, field)) for field in merging.FIELDS})
    error, status = "", 200
    if request.method == "POST":
        if form.validate():
            try:
                merging.merge(customer, other, by=me(), seen=form.seen.data, **form.chosen())
            except merging.Changed:
                only_look()
                plan, status = merging.plan(customer, other, auth.held_to()), 409
                error = _("Something about the two has changed. This is how it stands now; look once more.")
            except Refused as refusal:
                only_look()
                return _choose_other(customer, "", str(refusal))
            else:
                flash(_("Merged. %(name)s has all repairs of the two now.", name=customer.name))
                return redirect(url_for(".show", customer_id=customer.id), 303)
        else:
            error, status = form.first_error, 422
    else:
        for field in ("name", "email"):
            # What one has and the other has not is worth keeping.
            form[field].data = "kept" if getattr(customer, field) else "gone"
    form.seen.data = plan.seen
    return render_template("customers/merge.html", form=form, plan=plan, error=error), status


def _choose_other(customer, q, error):
    found = queries.search_present(q, customer) if q else []
    doubles = [] if q else queries.doubles(customer)
    values = {"customer": customer, "q": q, "found": found, "doubles": doubles, "error": error}
    return render_template("customers/choose.html", **values), 422 if error else 200


@bp.route("/merges/<int(max=2147483647):merge_id>/undo", methods=["GET", "POST"])
def undo_merge(merge_id):
    """What undoing a merge would do, or why it cannot be undone; POST undoes it."""
    made, error = queries.get_merge(merge_id), ""
    if request.method == "POST":
        kept_id, gone_id = made.kept_id, made.gone_id
        try:
            left = merging.undo(made, by=me())
        except Refused as refusal:
            only_look()
            error = str(refusal)
        else:
            flash(" ".join([_("Undone: they are two customers again."), *left]))
            # All of the other one's repairs may be at another branch.
            there = gone_id if queries.find_customer(gone_id) else kept_id
            return redirect(url_for(".show", customer_id=there), 303)
    refusal = ""
    try:
        merging.may_undo(made)
    except Refused as why:
        refusal = str(why)
    values = {"made": made, "error": error, "refusal": refusal}
    if not refusal:
        left = {field: merging.LEFT[field] for field in merging.not_restored(made)}
        values |= {"back": merging.going_back(made), "left": left}
    return render_template("customers/undo_merge.html", **values), 422 if error else 200


# --- what the law gives a customer --------------------------------------------------------------


@bp.post("/<int(max=2147483647):customer_id>/export")
def export(customer_id):
    """Everything the shop holds about a customer, as a file. A POST, because it is noted who took it."""
    customer = _get_customer(customer_id, "customers.export")
    made = exporting.export(customer, get_shop(), by=me())
    answer = Response(json.dumps(made, ensure_ascii=False, indent=2) + "\n", mimetype="application/json")
    # The name of a file shows in lists of downloads: it says no name.
    answer.headers["Content-Disposition"] = f'attachment; filename="customer-{customer_id}.json"'
    return answer


@bp.route("/<int(max=2147483647):customer_id>/erase", methods=["GET", "POST"])
def erase(customer_id):
    """What erasing a customer takes away and what it leaves; POST erases, once the name has been typed."""
    customer, form, error = _get_customer(customer_id, "customers.erase"), forms.EraseForm(), ""
    if request.method == "POST" and form.validate() and form.demand(customer.name):
        try:
            erasing.erase(customer, by=me())
        except Refused as refusal:
            only_look()
            error = str(refusal)
        else:
            flash(_("Erased. Nothing is left that says who this customer was."))
            return redirect(url_for(".show", customer_id=customer_id), 303)
    plan = erasing.plan(customer)
    nights = current_app.config["BACKUP_KEEP"] if current_app.config["BACKUP_AT"] else 0
    values = {"customer": customer, "form": form, "plan": plan, "error": error, "nights": nights}
    values["refusal"] = erasing.open_refusal(plan.open) if plan.open else ""
    return render_template("customers/erase.html", **values), 422 if error or form.errors else 200


def _get_customer(customer_id: int, doing: str) -> Customer:
    """The customer, for whoever may do that, as queries.get_customer. Instead of one who is gone: the way on."""
    customer = queries.get_customer(customer_id, doing)
    _leave_the_merged(customer)
    if customer.erased_at:
        flash(_("This customer was erased: there is nothing left to do with them."))
        abort(redirect(url_for(".show", customer_id=customer.id), 303))
    return customer


def _leave_the_merged(customer: Customer) -> None:
    """Leads on to the one who was kept; 404 for whoever does not see that one."""
    if customer.merged_at:
        kept = queries.get_customer(queries.kept(customer).id, "customers.view")
        if request.method == "POST":
            flash(_("Nothing was changed: this customer has been merged into %(name)s.", name=kept.name))
        abort(redirect(url_for(".show", customer_id=kept.id), 303))
