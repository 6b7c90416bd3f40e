"""The staff's pages about customers: the list, the card, and what is done with one."""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for

from .. import auth, formats
from ..auth import me
from ..models import Customer, get_shop
from . import actions, forms, queries

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
    return render_template(
        "customers/show.html", customer=customer, totals=totals, repairs=repairs, page=page, has_more=has_more
    )


@bp.route("/<int(max=2147483647):customer_id>/edit", methods=["GET", "POST"])
def edit(customer_id):
    """The form that changes a customer; POST changes them."""
    customer = _get_customer(customer_id, "customers.edit")
    form = forms.CustomerForm(obj=customer)
    if request.method != "POST":
        form.phone.data = formats.format_phone(customer.phone, get_shop().country)
    elif form.validate():
        phone = formats.parse_phone(form.phone.data, get_shop().country)
        try:
            actions.change(customer, by=me(), name=form.name.data, phone=phone, email=form.email.data)
        except actions.PhoneTaken as refusal:
            form.phone.errors = [str(refusal)]
        else:
            flash("Customer saved.")
            return redirect(url_for(".show", customer_id=customer.id), 303)
    return render_template("customers/edit.html", form=form, customer=customer), 422 if form.errors else 200


def _get_customer(customer_id: int, doing: str) -> Customer:
    """The customer, for whoever may do that, as queries.get_customer. Instead of one who is gone: the way on."""
    customer = queries.get_customer(customer_id, doing)
    _leave_the_merged(customer)
    if customer.erased_at:
        flash("This customer was erased: there is nothing left to do with them.")
        abort(redirect(url_for(".show", customer_id=customer.id), 303))
    return customer


def _leave_the_merged(customer: Customer) -> None:
    """Leads on to the one who was kept; 404 for whoever does not see that one."""
    if customer.merged_at:
        kept = queries.get_customer(queries.kept(customer).id, "customers.view")
        if request.method == "POST":
            flash(f"Nothing was changed: this customer has been merged into {kept.name}.")
        abort(redirect(url_for(".show", customer_id=kept.id), 303))
