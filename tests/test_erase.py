"""A customer who asks for their data, and one who asks to be forgotten: what goes, what stays, who may."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import Text, func, select, text
from sqlalchemy.sql.sqltypes import String

from app.customers import merging, queries
from app.customers.merging import FIELDS
from app.db import db
from app.models import Activity, Event, Merge, Photo, Repair, SavedFilter
from app.repairs import actions

from .conftest import POSTGRESQL
from .factories import make_customer, make_repair
from .test_web import faults

# What is planted, and must not be found anywhere in the database afterwards.
SECRETS = {
    "name": "Xanthippe Erasmus",
    "phone": "+66899990001",
    "email": "xanthippe@private.example",
    "serial": "SERIAL-XQ77",
    "note": "NOTE-XQ77",
    "accessories": "LEFT-XQ77",
    "problem": "PROBLEM-XQ77",
    "update": "UPDATE-XQ77",
    "reason": "REASON-XQ77",
    "other name": "Xanthi Double",
    "other phone": "+66899990002",
}


def everything() -> str:
    """Every text in every table, folded."""
    texts = []
    for table in db.metadata.sorted_tables:
        columns = [
            column for column in table.columns if isinstance(column.type, String | Text) or "Json" in repr(column.type)
        ]
        for column in columns:
            values = db.session.execute(text(f'SELECT "{column.name}" FROM "{table.name}"')).scalars()
            texts += [str(value) for value in values if value]
    db.session.commit()
    return "\n".join(texts).casefold()


def found_in(said: str) -> list[str]:
    """The names of the secrets that are in a text."""
    return [name for name, secret in SECRETS.items() if secret.casefold() in said]


@pytest.fixture
def xanthippe(owner, folder):
    """A customer of whom the shop knows all that it can, with somebody merged into her."""
    customer = make_customer(**{name: SECRETS[name] for name in ("name", "phone", "email")})
    double = make_customer(name=SECRETS["other name"], phone=SECRETS["other phone"])
    private = {name: SECRETS[name] for name in ("serial", "note", "accessories", "problem")}
    by = owner.staff
    repair = make_repair(customer=customer, status="testing", estimate=120000, **private)
    actions.add_update(repair, SECRETS["update"], by=by, version=repair.version)
    actions.revert(repair, by=by, version=repair.version, reason=SECRETS["reason"])
    details = {"item": repair.item, "problem": "Other", "serial": "", "accessories": "", "technician_id": None}
    actions.edit(repair, by=by, version=repair.version, estimate=120000, **details)
    file = BytesIO()
    Image.new("RGB", (4, 3)).save(file, "PNG")
    form = {"version": repair.version, "photos": (BytesIO(file.getvalue()), "x.png")}
    owner.send(f"/repairs/{repair.code}/photos", form)
    for to in ("testing", "ready", "delivered"):
        actions.jump(repair, actions.Status(to), by=by, version=repair.version)
    make_repair(customer=double, branch="RV", status="cancelled", reason=SECRETS["reason"], public=True, **private)
    db.session.add(SavedFilter(staff_id=by.id, name="Hers", query="q=Xanthippe+Erasmus"))
    db.session.add(SavedFilter(staff_id=by.id, name="Late", query="show=late"))
    db.session.commit()
    seen = merging.plan(customer, double).seen
    merging.merge(customer, double, by=by, seen=seen, **dict.fromkeys(FIELDS, "kept"))
    return customer


def erase(client, customer, typed="ERASE", status=303):
    return client.send(f"/customers/{customer.id}/erase", {"typed": typed}, status)


# --- erasing ------------------------------------------------------------------------------------


def test_the_page_says_what_goes_and_what_stays(owner, xanthippe, statements):
    url = f"/customers/{xanthippe.id}/erase"
    statements.clear()
    page = owner.page(url)
    assert len(statements) <= 5
    for words in ("also those of 1 merged", "all 2 repairs", "1 photo", "tracking links", "after 14 nights"):
        assert words in page.text, words
    assert [*faults(page)] == []
    assert len(found_in(everything())) == len(SECRETS)


def test_nothing_of_whoever_was_erased_is_left_in_any_table(owner, xanthippe, folder):
    assert [*folder.rglob("*.jpg")]
    erase(owner, xanthippe)
    assert found_in(everything()) == []
    assert [*folder.rglob("*.jpg")] == []
    assert db.session.scalar(select(func.count()).select_from(Photo)) == 0
    assert db.session.scalars(select(SavedFilter.name)).all() == ["Late"]


def test_no_search_finds_whoever_was_erased(owner, xanthippe):
    for typed in ("xanthippe", "0899990001", "private.example", "XQ77", "xanthi double"):
        assert owner.page(f"/customers?q={typed}").all("#results li") or "XQ" in typed or "double" in typed, typed
    erase(owner, xanthippe)
    for typed in ("xanthippe", "0899990001", "private.example", "XQ77", "xanthi double", "erased"):
        for page in (f"/customers?q={typed}", f"/repairs?q={typed}", f"/repairs?q={typed}&show=delivered"):
            assert not owner.page(page).all("#results li"), page
    if db.engine.dialect.name == "sqlite":
        for table in ("repair", "customer"):
            check = f"INSERT INTO {table}_words({table}_words, rank) VALUES ('integrity-check', 1)"
            db.session.execute(text(check))
            hits = f'SELECT count(*) FROM {table}_words WHERE {table}_words MATCH \'"xan" OR "xq7" OR "8999900"\''
            assert db.session.scalar(text(hits)) == 0
        db.session.commit()


def test_what_was_erased_is_not_in_the_file_either(owner, xanthippe):
    if db.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL cleans up by itself, when it has time")
    erase(owner, xanthippe)
    files = [Path(db.engine.url.database), Path(f"{db.engine.url.database}-wal")]
    for file in files:
        assert found_in(file.read_bytes().decode("utf-8", "ignore").casefold()) == [], file


def test_the_letters_of_a_name_leave_the_search_s_index(owner, xanthippe):
    if db.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL cleans up by itself, when it has time")

    def holds_letters(table):
        blocks = db.session.scalars(text(f"SELECT block FROM {table}_words_data")).all()
        db.session.commit()
        return any(b"xan" in block for block in blocks)

    make_customer(name="Somchai")
    assert holds_letters("customer")
    erase(owner, xanthippe)
    assert not holds_letters("customer")
    assert not holds_letters("repair")
    assert owner.page("/customers?q=somchai").all("#results li")


def test_whoever_reads_at_that_moment_is_in_nobody_s_way(owner, xanthippe):
    if db.engine.dialect.name != "sqlite":
        pytest.skip("there is no log to bring home")
    with closing(sqlite3.connect(db.engine.url.database)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT name FROM customer WHERE id = ?", [xanthippe.id]).fetchone()
        erase(owner, xanthippe)
    assert found_in(everything()) == []


@pytest.mark.parametrize(
    ("name", "phone", "email", "view", "query", "goes"),
    [
        ("Anna Schmidt", "+447700900123", "", "Hers", "q=anna&show=late", True),
        ("Anna Schmidt", "+447700900123", "", "For Schmidt", "show=late", True),
        ("Anna Schmidt", "+447700900123", "", "Hers", "q=07700+900123", True),
        ("Anna Schmidt", "+447700900123", "", "Hers", "q=900123", True),
        ("Anna Doe-Smith", "+447700900123", "", "Hers", "q=smith", True),
        ("José Silva", "+447700900123", "", "Hers", "q=JOSE", True),
        ("李明", "+447700900123", "", "Hers", "q=%E6%9D%8E%E6%98%8E", True),
        ("A. S.", "+447700900123", "anna@mail.example", "Hers", "q=anna%40mail.example", True),
        ("A. S.", "+447700900123", "anna@mail.example", "Hers", "q=anna", True),
        ("Li", "+447700900123", "", "Late list", "show=late", False),
        ("Late Show", "+447700900123", "", "Mine", "show=late&mine=1", False),
        ("A. S.", "+447700900123", "", "Plan A", "q=iphone", False),
        ("Anna", "+447700900123", "anna@mail.example", "Mail", "q=hannah", False),
        ("Anna", "+447700900123", "", "Unit", "q=MN-9001", False),
        ("Anna", "+447700900123", "", "Thirteens", "q=iphone+13", False),
    ],
)
def test_views_that_name_whoever_was_erased_go_and_no_others(owner, name, phone, email, view, query, goes):
    customer = make_customer(name=name, phone=phone, email=email)
    db.session.add(SavedFilter(staff_id=owner.staff_id, name=view, query=query))
    erase(owner, customer)
    assert db.session.scalars(select(SavedFilter.name)).all() == ([] if goes else [view])


def test_the_shop_s_counts_are_true_afterwards(owner, xanthippe):
    rows = select(
        Repair.code, Repair.item, Repair.status, Repair.estimate, Repair.received_at, Repair.moved_at, Repair.branch_id
    )
    events = select(Event.id, Event.at, Event.kind, Event.old, Event.new, Event.staff_id).where(Event.kind != "erased")
    before = [db.session.execute(rows.order_by(Repair.id)).all(), db.session.execute(events.order_by(Event.id)).all()]
    erase(owner, xanthippe)
    after = [db.session.execute(rows.order_by(Repair.id)).all(), db.session.execute(events.order_by(Event.id)).all()]
    assert before == after
    page = owner.page(f"/customers/{xanthippe.id}")
    assert page.one("h1").get_text() == "Erased customer"
    assert "1,200.00" in page.one(".figures").get_text()


def test_every_page_of_what_is_left_can_be_read(owner, xanthippe):
    erase(owner, xanthippe)
    for code in db.session.scalars(select(Repair.code)):
        for page in (f"/repairs/{code}", f"/repairs/{code}/receipt", f"/repairs/{code}/edit", f"/repairs?q={code}"):
            shown = owner.page(page)
            assert "erased:" not in shown.html, page
            assert [*faults(shown)] == []
        shown = owner.page(f"/repairs/{code}")
        assert "Erased customer" in shown.text
        assert not shown.all("a[href^='tel:'], a[href^='sms:'], a[href^='https://wa.me']")
        assert "Erased whose it was" in shown.one("#history").get_text()
    page = owner.page(f"/customers/{xanthippe.id}")
    assert "erased:" not in page.html
    assert not page.all(".head-actions a, .merges")
    assert [*faults(page)] == []


def test_the_tracking_links_open_nothing_any_more(owner, anyone, xanthippe):
    tokens = db.session.scalars(select(Repair.token)).all()
    assert all(anyone.get(f"/t/{token}").status_code in {200, 410} for token in tokens)
    erase(owner, xanthippe)
    for token in tokens:
        anyone.page(f"/t/{token}", 404)


def test_it_is_noted_that_somebody_was_erased_and_not_who(owner, xanthippe):
    erase(owner, xanthippe)
    noted = db.session.scalars(select(Activity).order_by(Activity.id.desc())).first()
    assert (noted.kind, noted.subject, noted.text) == ("customer_erased", f"customer {xanthippe.id}", "")
    assert noted.staff_id == owner.staff_id


@pytest.mark.parametrize("typed", ["", "yes", "erase", "Xanthippe", "x" * 121])
def test_without_the_name_or_the_word_nothing_is_erased(owner, xanthippe, typed):
    page = erase(owner, xanthippe, typed, 422)
    assert page.one("#typed-error").get_text(strip=True)
    assert page.one("#typed").get("value", "") == typed
    assert len(found_in(everything())) == len(SECRETS)


def test_the_name_is_as_good_as_the_word(owner, xanthippe):
    erase(owner, xanthippe, " xanthippe  ERASMUS")
    assert found_in(everything()) == []


def test_whoever_has_something_in_the_shop_is_not_erased(owner, xanthippe):
    make_repair(customer=xanthippe, branch="RV")
    for page in (owner.page(f"/customers/{xanthippe.id}/erase"), erase(owner, xanthippe, status=422)):
        assert "One repair is still open" in page.one(".alert").get_text()
        assert not page.all("#typed")
    assert len(found_in(everything())) == len(SECRETS)


def test_a_merge_with_whoever_was_erased_is_neither_made_nor_undone(owner, xanthippe):
    made, malee = db.session.scalars(select(Merge)).one(), make_customer(name="Malee")
    erase(owner, xanthippe)
    assert "was erased" in owner.page(f"/customers/merges/{made.id}/undo").text
    assert "was erased" in owner.send(f"/customers/merges/{made.id}/undo", status=422).text
    page = owner.page(f"/customers/{malee.id}/merge?with={xanthippe.id}", 422)
    assert "cannot be merged" in page.one("[role=alert]").get_text()
    assert not owner.page(f"/customers/{malee.id}/merge?q=erased").all("#results li")


@pytest.mark.parametrize("page", ["edit", "merge", "erase"])
def test_nothing_more_is_done_with_whoever_was_erased(owner, xanthippe, page):
    erase(owner, xanthippe)
    assert owner.page(f"/customers/{xanthippe.id}/{page}", 303).location == f"/customers/{xanthippe.id}"
    assert "was erased" in owner.page(f"/customers/{xanthippe.id}").one("#said").get_text()
    assert owner.send(f"/customers/{xanthippe.id}/{page}").location == f"/customers/{xanthippe.id}"


@pytest.mark.parametrize(("verb", "form"), [("revert", {}), ("updates", {"text": "Hello?"}), ("link", {})])
def test_a_repair_of_whoever_was_erased_stays_closed_and_tells_nobody(owner, verb, form):
    repair = make_repair(status="cancelled")
    erase(owner, repair.customer)
    url = f"/repairs/{repair.code}"
    assert not owner.page(url).all(f'form[action="{url}/{verb}"]')
    assert "Nothing more to do" in owner.page(url).one("#status").get_text()
    token, events = repair.token, db.session.scalar(select(func.count()).select_from(Event))
    page = owner.htmx(f"{url}/{verb}", form | {"version": repair.version}, 422)
    assert "this repair stays closed" in page.one("[role=alert]").get_text()
    assert (repair.status, repair.token) == ("cancelled", token)
    assert db.session.scalar(select(func.count()).select_from(Event)) == events


def test_the_number_of_whoever_was_erased_is_new_to_the_shop(owner, front_desk, xanthippe):
    erase(owner, xanthippe)
    for phone in (SECRETS["phone"], SECRETS["other phone"]):
        assert not front_desk.htmx("/repairs/new/customer", {"phone": phone}).all(".known, .suggestions")
    assert make_repair(customer=make_customer(phone=SECRETS["phone"])).customer_id != xanthippe.id


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite lets one write after the other")
def test_who_is_merged_in_at_the_last_moment_is_erased_too(owner, xanthippe, monkeypatch):
    third = make_customer(name="Xanthia Third")
    page = owner.page(f"/customers/{xanthippe.id}/merge?with={third.id}")
    data = {field: page.one(f"[name={field}]")["value"] for field in ("with", "seen")} | dict.fromkeys(FIELDS, "kept")
    url, data["csrf_token"] = f"/customers/{xanthippe.id}/merge", owner.csrf_token()
    merges, answers = queries.merges, []

    def found(customer):
        before = merges(customer)
        if not answers:
            with ThreadPoolExecutor(1) as meanwhile:
                answers.append(meanwhile.submit(owner.post, url, data=data).result().status_code)
        return before

    monkeypatch.setattr(queries, "merges", found)
    erase(owner, xanthippe)
    assert answers == [303]
    assert found_in(everything()) == []
    assert "xanthia" not in everything()


def test_only_an_owner_erases(manager, technician, front_desk):
    customer = make_customer()
    for client in (manager, technician, front_desk):
        assert not client.page(f"/customers/{customer.id}").all("a[href$='/erase']")
        client.page(f"/customers/{customer.id}/erase", 403)
        assert "Only an owner" in erase(client, customer, status=403).text


# --- a copy of one's data -----------------------------------------------------------------------


def export(client, customer, status=200):
    return client.send(f"/customers/{customer.id}/export", status=status)


def test_a_customer_s_data_is_a_file_with_everything_about_them(owner, xanthippe):
    answer = export(owner, xanthippe)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="customer-{xanthippe.id}.json"'
    assert answer.headers["Cache-Control"] == "no-store"
    data = json.loads(answer.html)
    assert data["Customer"]["Name"] == SECRETS["name"]
    assert data["Also known as"] == [{"Name": SECRETS["other name"], "Phone": SECRETS["other phone"], "Email": ""}]
    first, second = data["Repairs"]
    assert (first["Status"], first["Price estimate"], first["Branch"]) == ("Delivered", "1200.00 THB", "Main")
    assert first["Photos"] == [f"{db.session.scalars(select(Photo.name)).one()}.jpg"]
    assert {"When", "Who", "What"} <= {*first["History"][0]}
    assert (second["Serial number or IMEI"], second["Status"]) == (SECRETS["serial"], "Cancelled")
    assert found_in(answer.html.casefold()) == [*SECRETS]
    assert "Limited to branch" not in data


def test_a_manager_s_file_has_their_own_branch_s_repairs_and_says_so(owner, manager, xanthippe):
    data = json.loads(export(manager, xanthippe).html)
    assert [repair["Branch"] for repair in data["Repairs"]] == ["Main"]
    assert data["Limited to branch"] == "Main"


def test_that_data_was_handed_out_is_noted(manager):
    customer = make_repair().customer
    export(manager, customer)
    noted = db.session.scalars(select(Activity).where(Activity.kind == "customer_exported")).one()
    assert (noted.kind, noted.subject, noted.text) == ("customer_exported", f"customer {customer.id}", "")
    assert (noted.staff_id, noted.branch_id) == (manager.staff_id, manager.staff.branch_id)


def test_the_front_desk_and_technicians_export_nobody(front_desk, technician):
    customer = make_customer()
    for client in (front_desk, technician):
        assert not client.page(f"/customers/{customer.id}").all("form[action$='/export']")
        export(client, customer, 403)


def test_another_branch_s_customer_is_not_exported(manager):
    export(manager, make_repair(branch="RV").customer, 404)
