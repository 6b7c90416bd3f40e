"""Customers: the list, the card with all their repairs, and changing one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from app.customers.forms import CustomerForm
from app.db import db
from app.models import Activity, Customer

from .conftest import POSTGRESQL
from .factories import make_customer, make_repair


def names(page):
    return [name.get_text() for name in page.all("#results li b")]


def found(client, **query):
    return names(client.page("/customers", query_string=query))


def count():
    return db.session.scalar(select(func.count()).select_from(Customer))


# --- the list -----------------------------------------------------------------------------------


def test_a_shop_without_customers_says_how_the_first_is_made(front_desk):
    assert front_desk.page("/customers").one("#results .empty a")["href"] == "/repairs/new"


def test_the_list_says_who_with_which_number_and_how_many_repairs(technician):
    malee = make_customer(name="Malee", phone="+66812345678", email="malee@example.com")
    ana = make_customer(name="Ana", phone="+351912345678")
    for _ in range(2):
        make_repair(customer=malee)
    make_repair(customer=ana)
    lines = [" ".join(line.get_text(" ").split()) for line in technician.page("/customers").all("#results li")]
    assert lines == ["Ana +351 912 345 678 1 repair", "Malee 081 234 5678 malee@example.com 2 repairs"]
    assert technician.page("/customers").all("#results li a")[1]["href"] == f"/customers/{malee.id}"


IN_HAND = [
    *("malee", "SUK mal", "มาลี", "МАРИЯ", "(мария)", "MALEE@example"),
    *("081 234 5678", "+66 81 234 5678", "(081) 234-5678", "2345", "5678"),
]


def test_a_customer_is_found_by_name_number_or_email(front_desk):
    make_customer(name="Malee Suk มาลี (Мария)", phone="+66812345678", email="Malee@Example.com")
    make_customer(name="Ana", phone="+66911111111", email="ana@other.com")
    for query in IN_HAND:
        assert found(front_desk, q=query) == ["Malee Suk มาลี (Мария)"], query


def test_every_sign_is_looked_for_as_it_is(front_desk):
    make_customer(name="Fifty 50% _\\", phone="+66811111111")
    make_customer(name="Ana", phone="+66822222222")
    for query, finds in (("50%", 1), ("5_%", 0), ("_", 1), ("%", 1), ("\\", 1)):
        assert len(found(front_desk, q=query)) == finds, query


def test_a_search_that_finds_nobody_says_what_to_try(front_desk):
    make_customer()
    page = front_desk.page("/customers?q=nobody")
    assert page.one("#results .empty h2").get_text() == "Nobody found"
    assert page.one("#q")["value"] == "nobody"


def test_a_long_list_has_pages_that_keep_the_question(front_desk):
    for number in range(103):
        db.session.add(Customer(name=f"Ana {number:03d}", phone=f"+6681{number:07d}"))
    db.session.add(Customer(name="Malee", phone="+66999999999"))
    page = front_desk.page("/customers?q=ana")
    seen = names(page)
    while page.all(".pager a[rel=next]"):
        page = front_desk.page(page.one(".pager a[rel=next]")["href"])
        seen += names(page)
    assert seen == [f"Ana {number:03d}" for number in range(103)]
    assert found(front_desk, q="ana", page=99) == seen[:50], "there is no such page"


# --- the card -----------------------------------------------------------------------------------


def test_the_card_shows_all_repairs_of_a_customer_the_newest_first(technician):
    malee = make_customer(name="Malee", phone="+66812345678", email="malee@example.com")
    codes = [make_repair(customer=malee, status=status).code for status in ("delivered", "received", "cancelled")]
    make_repair()
    page = technician.page(f"/customers/{malee.id}")
    assert page.one("h1").get_text() == "Malee"
    assert page.one('a[href="tel:+66812345678"]').get_text() == "081 234 5678"
    assert page.one('a[href="mailto:malee@example.com"]')
    assert [code.get_text() for code in page.all(".rows li .code")] == codes[::-1]


def figures(page):
    return {row.dt.get_text(): row.dd.get_text() for row in page.all(".figures > div")}


def test_the_card_says_what_the_repairs_come_to(owner, manager):
    malee = make_customer(name="Malee")
    for status, estimate, place in (
        ("delivered", 120000, "MN"),
        ("delivered", None, "MN"),
        ("delivered", 5000, "RV"),
        ("ready", 700, "MN"),
        ("cancelled", 900, "MN"),
    ):
        make_repair(customer=malee, status=status, estimate=estimate, branch=place)
    make_repair(status="delivered", estimate=77700)
    whole, own = figures(owner.page(f"/customers/{malee.id}")), figures(manager.page(f"/customers/{malee.id}"))
    assert (whole["Repairs"], whole["Open"], whole["Handed back"]) == ("5", "1", "3")
    assert (own["Repairs"], own["Open"], own["Handed back"]) == ("4", "1", "2")
    assert ("1,250.00" in whole["Estimates, handed back"], "1,200.00" in own["Estimates, handed back"]) == (True, True)
    assert {"First here", "Last here"} < {*whole}


def test_many_repairs_of_one_customer_have_pages(owner):
    malee = make_customer()
    codes = [make_repair(customer=malee).code for _ in range(53)][::-1]
    first = owner.page(f"/customers/{malee.id}")
    second = owner.page(first.one(".pager a[rel=next]")["href"])
    assert [code.get_text() for page in (first, second) for code in page.all(".rows li .code")] == codes
    assert figures(second)["Repairs"] == "53"
    assert [code.get_text() for code in owner.page(f"/customers/{malee.id}?page=99").all(".rows .code")] == codes[:50]
    assert owner.page(f"/customers/{malee.id}?page=x").text == first.text


def test_what_was_changed_is_in_the_shop_s_record_and_not_what_it_was_changed_to(front_desk, malee):
    front_desk.send(f"/customers/{malee.id}/edit", {"name": "Malee S", "phone": "081 234 5678", "email": "n@new.com"})
    noted = db.session.scalars(select(Activity).where(Activity.kind == "customer_changed")).one()
    assert (noted.kind, noted.subject, noted.text) == ("customer_changed", f"customer {malee.id}", "name, email")
    assert (noted.staff_id, noted.branch_id) == (front_desk.staff_id, front_desk.staff.branch_id)
    front_desk.send(f"/customers/{malee.id}/edit", {"name": "Malee S", "phone": "081 234 5678", "email": "n@new.com"})
    assert len(db.session.scalars(select(Activity).where(Activity.kind == "customer_changed")).all()) == 1


def test_a_customer_without_repairs_has_a_card_too(technician):
    assert "None yet." in technician.page(f"/customers/{make_customer().id}").text


def test_a_customer_who_does_not_exist_is_not_found(owner):
    make_customer()
    for number in ("99", "0", "2147483648", "99999999999999999999", "-1", "x", "1.5", "%00"):
        owner.page(f"/customers/{number}", 404)
        owner.page(f"/customers/{number}/edit", 404)


# --- changing one -------------------------------------------------------------------------------


@pytest.fixture
def malee(shop):
    return make_customer(name="Malee", phone="+66812345678", email="malee@example.com")


def test_the_form_holds_the_customer_as_one_reads_them(front_desk, malee):
    page = front_desk.page(f"/customers/{malee.id}/edit")
    held = {name: page.one(f"[name={name}]")["value"] for name in ("name", "phone", "email")}
    assert held == {"name": "Malee", "phone": "081 234 5678", "email": "malee@example.com"}


def test_a_number_with_a_digit_missing_is_shown_with_its_country(front_desk, malee, shop):
    shop.country = "DE"
    form = {"name": "Malee", "phone": "0152 3334444", "email": ""}
    front_desk.send(f"/customers/{malee.id}/edit", form)
    assert "+49 1523334444" in front_desk.page(f"/customers/{malee.id}").text
    page = front_desk.page(f"/customers/{malee.id}/edit")
    assert page.one("[name=phone]")["value"] == "+49 1523334444"
    # Saved as it stands, it stays what it is.
    front_desk.send(f"/customers/{malee.id}/edit", form | {"phone": "+49 1523334444"})
    assert malee.phone == "+491523334444"
    assert found(front_desk, q="0152 333") == ["Malee"]


def test_a_customer_is_changed_and_found_under_the_new_name_and_number(front_desk, malee):
    repair = make_repair(customer=malee)
    form = {"name": "Malee Suk", "phone": "+351 912 345 678", "email": ""}
    answer = front_desk.send(f"/customers/{malee.id}/edit", form, on=f"/customers/{malee.id}/edit")
    assert answer.location == f"/customers/{malee.id}"
    assert (malee.name, malee.phone, malee.email) == ("Malee Suk", "+351912345678", "")
    for query in ("malee suk", "912 345 678"):
        assert found(front_desk, q=query) == ["Malee Suk"]
        assert repair.code in front_desk.page("/repairs", query_string={"q": query}).one("#results").get_text()
    assert found(front_desk, q="081 234") == []


def test_saving_what_was_not_changed_is_no_conflict_with_oneself(front_desk, malee):
    front_desk.send(f"/customers/{malee.id}/edit", {"name": "Malee", "phone": "081 234 5678", "email": ""})


def test_a_number_cannot_belong_to_two_customers(front_desk, malee):
    ana = make_customer(name="Ana", phone="+66911111111")
    page = front_desk.send(f"/customers/{ana.id}/edit", {"name": "Ana B", "phone": "(081) 234 5678"}, 422)
    assert "Malee" in page.one("#phone-error").get_text()
    assert page.one("[name=name]")["value"] == "Ana B"
    assert page.one("[name=phone]")["value"] == "(081) 234 5678"
    assert page.all("[autofocus]")[0]["name"] == "phone"
    assert (ana.name, ana.phone, count()) == ("Ana", "+66911111111", 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", "x" * 121),
        ("phone", ""),
        ("phone", "call me"),
        ("phone", "12"),
        ("phone", "\x00"),
        ("email", "malee"),
        ("email", "a@b c"),
    ],
)
def test_a_mistake_is_said_by_its_field_and_nothing_typed_is_lost(front_desk, malee, name, value):
    form = {"name": "Malee S", "phone": "081 999 9999", "email": "m@example.com"} | {name: value}
    page = front_desk.send(f"/customers/{malee.id}/edit", form, 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == [name]
    assert page.one(f"#{name}-error").get_text(strip=True)
    for other in form.keys() - {name}:
        assert page.one(f"[name={other}]")["value"] == form[other]
    assert (malee.name, malee.phone) == ("Malee", "+66812345678")


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite lets one write after the other")
def test_who_is_erased_while_their_form_is_on_its_way_stays_erased(owner, front_desk, malee, monkeypatch):
    check, url = CustomerForm.validate, f"/customers/{malee.id}/erase"
    data = {"csrf_token": owner.csrf_token(), "typed": "ERASE"}

    def validate(self):
        with ThreadPoolExecutor(1) as meanwhile:
            assert meanwhile.submit(owner.post, url, data=data).result().status_code == 303
        return check(self)

    monkeypatch.setattr(CustomerForm, "validate", validate)
    form = {"name": "Malee", "phone": "081 999 9999", "email": "malee@example.com"}
    page = front_desk.send(f"/customers/{malee.id}/edit", form, 422)
    assert "erased or merged this customer a moment ago" in page.one(".alert").get_text()
    assert (malee.name, malee.phone, malee.email) == ("Erased customer", f"erased:{malee.id}", "")


def test_a_technician_may_not_change_a_customer(technician, malee):
    assert not technician.page(f"/customers/{malee.id}").all('a[href$="/edit"]')
    for page in (
        technician.page(f"/customers/{malee.id}/edit", 403),
        technician.send(f"/customers/{malee.id}/edit", {"name": "X", "phone": "081 999 9999"}, 403),
    ):
        assert "an owner, a manager or the front desk" in page.one("[role=alert]").get_text()
    assert malee.name == "Malee"


def test_whoever_keeps_customers_may(owner, manager, front_desk, malee):
    for number, client in enumerate((owner, manager, front_desk)):
        assert client.page(f"/customers/{malee.id}").one('a[href$="/edit"]')
        client.send(f"/customers/{malee.id}/edit", {"name": f"Malee {number}", "phone": "081 234 5678"})
        assert malee.name == f"Malee {number}"
