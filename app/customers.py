"""Customers: found or made by their phone number, looked up, shown with their repairs, changed."""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import Select, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload
from wtforms import EmailField, IntegerField, StringField, TelField
from wtforms import Form as QueryForm
from wtforms.validators import Length, Optional

from . import auth, formats, search
from .db import db
from .models import Customer, Repair, get_shop
from .rules import Refused
from .web import EMAIL, Checked, Form, Needed

bp = Blueprint("customers", __name__, url_prefix="/customers")

PAGE_SIZE = 50


class CustomerForm(Form):
    name = StringField("Name", [Needed("Who is the customer?"), Length(max=120)])
    phone = TelField(
        "Phone",
        [Needed("A phone number is needed."), Checked(lambda text: formats.parse_phone(text, get_shop().country))],
    )
    email = EmailField("Email", [Optional(), Length(max=254), EMAIL])


class CustomerSearch(QueryForm):
    """The query string of the list. Junk becomes no filter."""

    q = StringField(default="", filters=[formats.clean_line, lambda text: text[:100]])
    page = IntegerField(default=1, filters=[lambda number: min(max(number or 1, 1), 200)])


class NameNeeded(Refused):
    """Nobody has this phone number yet, so a name is needed."""


class PhoneTaken(Refused):
    """The phone number belongs to another customer, who is in `customer`."""

    def __init__(self, customer: Customer):
        super().__init__(f"This number belongs to {customer.name}.")
        self.customer = customer


def by_phone(phone: str) -> Customer | None:
    """The customer with that number (E.164)."""
    return db.session.scalar(select(Customer).where(Customer.phone == phone))


def _seen(query: Select) -> Select:
    """Only those customers whom whoever is signed in sees: with a repair at their branch, or with none anywhere."""
    if (branch := auth.held_to()) is None:
        return query
    has_any = select(Repair.id).where(Repair.customer_id == Customer.id)
    return query.where(or_(has_any.where(Repair.branch_id == branch).exists(), ~has_any.exists()))


def _here(query: Select) -> Select:
    """Only those repairs that whoever is signed in sees."""
    return query if (branch := auth.held_to()) is None else query.where(Repair.branch_id == branch)


def matching(typed: str, country: str, limit: int = 4) -> list[Customer]:
    """Customers whose number has the digits typed so far, once there are four; the exact one alone if there is one.

    The exact one whatever branch they were at: a number is one customer's in the whole shop.
    """
    try:
        exact = by_phone(formats.parse_phone(typed, country))
    except ValueError:
        exact = None
    if exact:
        return [exact]
    number = formats.digits(typed)
    if len(number) < 4:
        return []
    query, age = search.narrowed(_seen(select(Customer)), Customer, number)
    return list(db.session.scalars(query.where(Customer.phone.contains(number)).order_by(age.desc()).limit(limit)))


def find_or_create(phone: str, name: str, email: str) -> Customer:
    """The customer with that number (E.164), made on the spot if there is none; flushes, does not commit.

    An email that was not known yet is kept. Raises NameNeeded for a new number without a name, PhoneTaken
    when the number is known under another name.
    """
    known = by_phone(phone)
    if known is None:
        if not name:
            raise NameNeeded("Who is the customer? This number is new.")
        try:
            with db.session.begin_nested():
                customer = Customer(phone=phone, name=name, email=email)
                db.session.add(customer)
            return customer
        except IntegrityError:
            # Taken at the other counter a moment ago.
            known = by_phone(phone)
    if name and name.casefold() != known.name.casefold():
        raise PhoneTaken(known)
    if email and not known.email:
        known.email = email
    return known


def change(customer: Customer, *, name: str, phone: str, email: str) -> None:
    """Changes a customer and commits. Raises PhoneTaken. phone: E.164."""
    other = by_phone(phone)
    if other is not None and other.id != customer.id:
        raise PhoneTaken(other)
    customer.name, customer.phone, customer.email = name, phone, email
    db.session.commit()


def get_customer(customer_id: int, doing: str) -> Customer:
    """The customer, for whoever may do that; else 403 or 404. Another branch's is not there."""
    auth.demand(doing)
    return db.session.scalar(_seen(select(Customer).where(Customer.id == customer_id))) or abort(404)


@bp.get("")
def index():
    """The list, searched as one types."""
    auth.demand("customers.view")
    wanted = CustomerSearch(request.args)
    theirs = _here(select(func.count(Repair.id)).where(Repair.customer_id == Customer.id))
    query = _seen(select(Customer, theirs.correlate(Customer).scalar_subquery()))
    query, _ = search.narrowed(query, Customer, wanted.q.data)
    # One more than a page holds tells whether there is another page.
    query, page = query.order_by(Customer.search, Customer.id).limit(PAGE_SIZE + 1), wanted.page.data
    rows = db.session.execute(query.offset((page - 1) * PAGE_SIZE)).all()
    if not rows and page > 1:
        rows, page = db.session.execute(query).all(), 1
    return render_template(
        "customers/index.html", rows=rows[:PAGE_SIZE], has_more=len(rows) > PAGE_SIZE, page=page, q=wanted.q.data
    )


@bp.get("/<int(max=2147483647):customer_id>")
def show(customer_id):
    """A customer and all their repairs."""
    customer = get_customer(customer_id, "customers.view")
    repairs = db.session.scalars(
        _here(select(Repair).where(Repair.customer_id == customer.id))
        .options(joinedload(Repair.technician), joinedload(Repair.branch, innerjoin=True))
        .order_by(Repair.id.desc())
        .limit(200)
    ).all()
    return render_template("customers/show.html", customer=customer, repairs=repairs)


@bp.route("/<int(max=2147483647):customer_id>/edit", methods=["GET", "POST"])
def edit(customer_id):
    """The form that changes a customer; POST changes them."""
    customer = get_customer(customer_id, "customers.edit")
    form = CustomerForm(obj=customer)
    if request.method != "POST":
        form.phone.data = formats.format_phone(customer.phone, get_shop().country)
    elif form.validate():
        phone = formats.parse_phone(form.phone.data, get_shop().country)
        try:
            change(customer, name=form.name.data, phone=phone, email=form.email.data)
        except PhoneTaken as refusal:
            form.phone.errors = [str(refusal)]
        else:
            flash("Customer saved.")
            return redirect(url_for(".show", customer_id=customer.id), 303)
    return render_template("customers/edit.html", form=form, customer=customer), 422 if form.errors else 200
