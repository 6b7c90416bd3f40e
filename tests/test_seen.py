"""Two people who have the same form open: neither undoes what the other saved without being told."""

from dataclasses import dataclass

import pytest
from sqlalchemy import func, select

from app.db import db
from app.models import Activity, Branch, Customer, Shop, Staff

from .conftest import POSTGRESQL
from .factories import PASSWORD, branch, make_customer, make_staff

OFFICE = [[["09:00", "18:00"]]] * 5 + [[], []]


@dataclass(frozen=True)
class Case:
    """A form that two have open: Max saves `other` first, then Fred `mine`. The row holds `kept`, then `ends`.

    says: what Fred reads, of each field that holds something else than he typed. noted: what the record says of him.
    """

    url: str
    table: type
    other: dict
    mine: dict
    kept: dict
    ends: dict
    says: list
    noted: str


CASES = {
    "customer": Case(
        "/customers/1/edit",
        Customer,
        {"phone": "089 999 9999"},
        {"email": "malee@example.com"},
        {"phone": "+66899999999", "email": ""},
        {"phone": "+66812345678", "email": "malee@example.com"},
        ["Phone: 089 999 9999", "Email: nothing"],
        "phone, email",
    ),
    "shop": Case(
        "/settings/shop",
        Shop,
        {"country": "DE", "currency": "EUR", "phone": "+66 2 999 9999", "whatsapp": ""},
        {"name": "Lamp", "address": "", "link_days": "30"},
        {"country": "DE", "currency": "EUR", "phone": "+6629999999", "name": "Lamp & Bench", "link_days": 90},
        {"country": "TH", "currency": "THB", "phone": "+6621234567", "name": "Lamp", "link_days": 30},
        [
            *("Shop name: Lamp & Bench", "Country: Germany", "Currency: EUR – Euro", "Phone: +66 2 999 9999"),
            *("WhatsApp number: nothing", "Address: 12 Charoen Krung Road Bangkok 10500", "Days until links end: 90"),
        ],
        "name, country, currency, phone, WhatsApp number, address, days until links end",
    ),
    "page": Case(
        "/settings/page",
        Shop,
        {"ready": "Come by!", "show": ["item", "problem"]},
        {"received": "We have it."},
        {"sentences": {"ready": "Come by!"}, "hidden": ["received", "branch", "hours", "address"]},
        {"sentences": {"received": "We have it."}, "hidden": []},
        [
            "Received: Logged and safe in the shop, waiting for a technician.",
            "Ready: Come by!",
            "Details: Item, Problem",
        ],
        "status sentences, details shown",
    ),
    "branch": Case(
        "/settings/branches/1",
        Branch,
        {"has_hours": "y", "monday-closes": "20:00", "address": "Pier 3"},
        {"has_hours": "y", "phone": "02 888 8888"},
        {"hours": [[["09:00", "20:00"]], *OFFICE[1:]], "address": "Pier 3", "phone": ""},
        {"hours": OFFICE, "address": "", "phone": "+6628888888"},
        ["Phone: nothing", "Address: Pier 3", "Monday: 09:00–20:00"],
        "phone, address, opening hours",
    ),
    "branch that says nothing of its hours any more": Case(
        "/settings/branches/2",
        Branch,
        {"has_hours": None},
        {"name": "Pier"},
        {"hours": [], "name": "Riverside"},
        {"hours": OFFICE, "name": "Pier"},
        ["Branch name: Riverside", "Opening hours: nothing"],
        "name, opening hours",
    ),
    "paper": Case(
        "/settings/paper",
        Shop,
        {"terms": "No refunds.", "label_paper": "40x30"},
        {"receipt_paper": "letter"},
        {"terms": "No refunds.", "label_paper": "40x30", "receipt_paper": "a4"},
        {"terms": "", "label_paper": "62mm", "receipt_paper": "letter"},
        ["Receipts are printed on: A4", "Labels are printed on: 40 × 30 mm", "Terms on the receipt: No refunds."],
        "Paper: receipt paper, label paper, terms",
    ),
    "person": Case(
        "/settings/staff/1",
        Staff,
        {"role": "front_desk", "branch": "2", "email": "narin@new.com", "current": PASSWORD},
        {"name": "Narin S", "current": PASSWORD},
        {"role": "front_desk", "branch_id": 2, "email": "narin@new.com", "name": "Narin"},
        {"role": "technician", "branch_id": 1, "email": "narin@example.com", "name": "Narin S"},
        ["Name: Narin", "Email: narin@new.com", "Role: Front desk", "Branch: Riverside"],
        "name (was: Narin); email (was: narin@new.com); role (was: Front desk); branch (was: Riverside)",
    ),
}


@pytest.fixture(autouse=True)
def rows(shop):
    """What the forms of the cases are about; each of them has the number 1, but for the other branch."""
    make_staff("technician", name="Narin", email="narin@example.com")
    make_customer(name="Malee", phone="+66812345678")
    branch("RV").hours = OFFICE


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def fred(app, rows):
    return app.test_client().be(make_staff("owner", name="Fred"))


@pytest.fixture
def max_(app, rows):
    return app.test_client().be(make_staff("owner", name="Max"))


def held(page):
    """What the form of a page holds, as a browser would send it; a list where several of a name are ticked."""
    form = {}
    for field in page.one("form:has([name=seen])").select("[name]"):
        name, kind = field["name"], field.get("type")
        if field.name == "button" or (kind in {"checkbox", "radio"} and not field.has_attr("checked")):
            continue
        if field.name == "select":
            form[name] = (field.select_one("option[selected]") or field.select_one("option"))["value"]
        elif field.name == "textarea":
            form[name] = field.get_text().replace("\r", "").removeprefix("\n")
        elif name == "show":
            form.setdefault(name, []).append(field["value"])
        else:
            form[name] = field.get("value", "")
    del form["csrf_token"]
    return form


def changed(form, changes):
    return {name: value for name, value in (form | changes).items() if value is not None}


def row(case):
    return db.session.get_one(case.table, int("".join(filter(str.isdigit, case.url)) or 1))


def now_holds(case, values):
    return {name: getattr(row(case), name) for name in values} == values


def noted(by):
    """What the shop's record says that somebody changed."""
    mine = Activity.staff_id == by.staff_id, Activity.kind.endswith("_changed")
    return list(db.session.scalars(select(Activity.text).where(*mine).order_by(Activity.id)))


def listed(page):
    return [" ".join(line.get_text().split()) for line in page.all("[role=alert] li")]


def test_each_form_that_changes_what_others_change_too_carries_what_it_was_drawn_with(fred, case):
    page = fred.page(case.url)
    seen = page.one("main form[method=post] input[type=hidden][name=seen]")["value"]
    assert len(seen) == 16
    assert not page.all("[role=alert]")
    assert fred.page(case.url).one("[name=seen]")["value"] == seen, "nothing has changed"


def test_whoever_is_slower_is_told_what_is_saved_and_loses_nothing(fred, max_, case):
    form = changed(held(fred.page(case.url)), case.mine)
    max_.send(case.url, changed(held(max_.page(case.url)), case.other))
    page = fred.send(case.url, form, 409)
    assert now_holds(case, case.kept), "what Max saved"
    alert = page.one("[role=alert]").get_text()
    assert alert.startswith("Somebody else changed this meanwhile. What you typed is still here")
    assert listed(page) == case.says
    again = held(page)
    assert again["seen"] != form["seen"]
    # A password is typed once more.
    kept = {name: value for name, value in again.items() if name not in {"seen", "current"}}
    assert kept == {name: value for name, value in form.items() if name not in {"seen", "current"}}
    assert noted(fred) == []
    fred.send(case.url, changed(again, {"current": form.get("current")}))
    assert now_holds(case, case.ends), "knowingly"
    assert noted(fred) == [case.noted]


def test_two_who_type_the_same_are_of_one_mind(fred, max_, case):
    mine, others = held(fred.page(case.url)), held(max_.page(case.url))
    max_.send(case.url, changed(others, case.other))
    fred.send(case.url, changed(mine, case.other))
    assert now_holds(case, case.kept)
    assert (len(noted(max_)), noted(fred)) == (1, []), "the second has changed nothing"


def test_a_form_that_carries_nothing_is_taken_as_it_is(fred, max_, case):
    form = changed(held(fred.page(case.url)), case.mine | {"seen": None})
    max_.send(case.url, changed(held(max_.page(case.url)), case.other))
    fred.send(case.url, form)
    assert now_holds(case, case.ends)
    assert noted(fred) == [case.noted]


def test_who_was_told_once_is_told_again_when_it_was_changed_again(fred, max_):
    case = CASES["customer"]
    form = changed(held(fred.page(case.url)), case.mine)
    max_.send(case.url, changed(held(max_.page(case.url)), case.other))
    again = held(fred.send(case.url, form, 409))
    max_.send(case.url, changed(held(max_.page(case.url)), {"name": "Malee S"}))
    page = fred.send(case.url, again, 409)
    assert listed(page) == ["Name: Malee S", "Phone: 089 999 9999", "Email: nothing"]


def test_a_mistake_in_between_does_not_hide_what_was_changed(fred, max_, case):
    """The form that comes back with a mistake in it is still the one that was drawn before."""
    form, mistake = held(fred.page(case.url)), {"name": "", "terms": "x" * 5000, "ready": "x" * 201}
    mistake = {name: value for name, value in mistake.items() if name in form}
    max_.send(case.url, changed(held(max_.page(case.url)), case.other))
    page = fred.send(case.url, changed(form, mistake), 422)
    fred.send(case.url, changed(held(page), {name: form[name] for name in mistake} | case.mine), 409)
    assert now_holds(case, case.kept)


def test_who_changed_something_else_of_the_shop_was_not_faster(fred, max_, shop):
    """Its settings are three pages, and none writes what another shows."""
    pages = [case for case in CASES.values() if case.table is Shop]
    forms = [held(fred.page(case.url)) for case in pages]
    for case, form in zip(pages, forms, strict=True):
        fred.send(case.url, changed(form, case.mine))
    assert (shop.name, shop.sentences, shop.receipt_paper) == ("Lamp", {"received": "We have it."}, "letter")


def test_what_others_read_of_the_shop_is_counted_and_a_refusal_is_not(fred, max_, shop):
    form = changed(held(fred.page("/settings/branches/1")), CASES["branch"].mine)
    before = shop.version
    max_.send("/settings/branches/1", changed(held(max_.page("/settings/branches/1")), {"address": "Pier 3"}))
    page = fred.send("/settings/branches/1", form, 409)
    assert shop.version == before + 1
    fred.send("/settings/branches/1", held(page))
    assert shop.version == before + 2


def test_no_password_is_asked_for_because_of_what_somebody_else_has_changed(fred, max_):
    case = CASES["person"]
    form = changed(held(fred.page(case.url)), {"name": "Narin S"})
    max_.send(case.url, changed(held(max_.page(case.url)), case.other))
    page = fred.send(case.url, form, 409)
    assert not page.all("#current-error")


def test_a_new_branch_is_nothing_that_somebody_could_have_changed(fred):
    form = held(fred.page("/settings/branches/new")) | {"name": "Airport", "code": "AP"}
    branch("MN").address = "Pier 3"
    fred.send("/settings/branches/new", form)
    assert branch("AP").name == "Airport"


def test_in_another_language_too_it_is_said_in_words_that_one_reads(fred, max_):
    case = CASES["person"]
    fred.staff.language = "de"
    form = changed(held(fred.page(case.url)), case.mine)
    max_.send(case.url, changed(held(max_.page(case.url)), case.other))
    page = fred.send(case.url, form, 409)
    assert "Jemand anderes hat das inzwischen geändert." in page.one("[role=alert]").get_text()
    assert "Rolle: Annahme" in listed(page)


FASTER = {
    "customer": "UPDATE customer SET name = 'Malee S' WHERE id = 1",
    "shop": "UPDATE shop SET name = 'Lampe', version = version + 1",
    "page": "UPDATE shop SET hidden = '[\"item\"]', version = version + 1",
    "branch": "UPDATE branch SET address = 'Pier 3' WHERE id = 1",
    "paper": "UPDATE shop SET terms = 'No refunds.'",
    "person": "UPDATE staff SET name = 'Narin T' WHERE id = 1",
}


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite lets one write at a time")
@pytest.mark.parametrize("name", FASTER)
def test_whoever_comes_while_another_is_saving_is_told_as_well(fred, meanwhile, name):
    case = CASES[name]
    form = changed(held(fred.page(case.url)), case.mine | {"csrf_token": fred.csrf_token()})
    answer = meanwhile([FASTER[name]], lambda: fred.post(case.url, data=form))
    assert answer.status_code == 409
    assert db.session.scalar(select(func.count(Activity.id)).where(Activity.kind.endswith("_changed"))) == 0
