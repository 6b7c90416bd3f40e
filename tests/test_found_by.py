"""What customers and repairs are found by: always what they are now, however many are at work on them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.util import IdentitySet

from app import found_by
from app.db import db
from app.models import Customer, Repair

from .conftest import POSTGRESQL
from .factories import make_customer, make_repair

on_postgresql = pytest.mark.skipif(not POSTGRESQL, reason="SQLite lets one write at a time")
NEW = "UPDATE customer SET name = 'New Name', search = 'new name +66811111111 '"


@pytest.fixture
def radio(shop):
    """A repair of Old Name's, a radio."""
    return make_repair(item="Radio", customer=make_customer(name="Old Name", phone="+66811111111"))


def edit(owner, repair, **changes):
    """What changes a repair at the counter."""
    form = {"version": repair.version, "item": repair.item, "problem": repair.problem, "serial": "", "accessories": ""}
    return sent(owner, f"/repairs/{repair.code}/edit", form | changes)


def rename(owner, customer):
    """What gives a customer another name at the counter."""
    return sent(owner, f"/customers/{customer.id}/edit", {"name": "New Name", "phone": customer.phone, "email": ""})


def sent(owner, url, form):
    """Sends a form when it is called, from whatever thread."""
    data = form | {"csrf_token": owner.csrf_token()}

    def send():
        answer = owner.post(url, data=data)
        assert answer.status_code == 303, answer.text

    return send


def check(repair, *words):
    """The repair is found by these words and by what is kept of it."""
    db.session.expire_all()
    assert repair.search == found_by.of_repair(repair.code, repair.item, repair.serial, repair.customer.search)
    assert {*words} <= {*repair.search.split()}


def test_a_repair_is_found_by_what_it_is_called_now(owner, radio):
    check(radio, "radio", "old")
    edit(owner, radio, item="Violin", serial="12 34")()
    check(radio, "violin", "1234", "old")
    rename(owner, radio.customer)()
    check(radio, "violin", "1234", "new")


def test_a_move_reads_and_writes_nothing_of_it(owner, radio, statements):
    statements.clear()
    owner.send(f"/repairs/{radio.code}/advance", {"version": radio.version, "to": "diagnosing"})
    assert any(said.startswith("UPDATE repair") for said in statements)
    assert not [said for said in statements if "search=" in said or said.startswith("SELECT customer.search")]


@on_postgresql
def test_who_renames_a_customer_waits_for_whoever_changes_a_repair_of_theirs(owner, radio, meanwhile):
    meanwhile([f"UPDATE repair SET item = 'Violin' WHERE id = {radio.id}"], rename(owner, radio.customer))
    check(radio, "violin", "new")


@on_postgresql
def test_who_changes_a_repair_waits_for_whoever_renames_its_customer(owner, radio, meanwhile):
    touched = f"UPDATE repair SET search = 'radio new name' WHERE id = {radio.id}"
    meanwhile([NEW, touched], edit(owner, radio, item="Violin"))
    check(radio, "violin", "new")


@on_postgresql
def test_who_takes_one_in_waits_for_whoever_renames_its_customer(owner, radio, meanwhile):
    form = {"branch": radio.branch_id, "phone": "+66811111111", "item": "Violin", "problem": "One string."}
    form |= {"key": "a" * 32, "promise_pick": "none", "technician": "0"}
    meanwhile([NEW], sent(owner, "/repairs/new", form))
    check(db.session.scalars(db.select(Repair).where(Repair.item == "Violin")).one(), "violin", "new")


@on_postgresql
def test_who_imports_an_email_waits_for_whoever_renames_its_customer(owner, radio, meanwhile):
    text = "Phone,Email\n+66811111111,old@example.com"
    page = owner.send("/settings/import", {"branch": radio.branch_id, "pasted": text}, 200)
    form = {name: page.one(f"[name={name}]")["value"] for name in ("branch", "carried", "shown")}
    meanwhile([NEW], sent(owner, "/settings/import/run", form))
    check(radio, "radio", "new", "old@example.com")


@on_postgresql
@pytest.mark.parametrize("changes", [{"name": "New Name"}, {"phone": "+66822222222"}], ids=["name", "number"])
def test_who_takes_one_in_and_who_changes_its_customer_wait_for_each_other_one_way_alone(
    app, owner, manager, radio, changes
):
    """Both at once, again and again: neither is told that the database is busy, as of two that wait in a circle."""
    ready = threading.Barrier(2)
    form = {"branch": radio.branch_id, "item": "Violin", "problem": "One string.", "promise_pick": "none"}
    form |= {"technician": "0", "csrf_token": owner.csrf_token(), "name": "Old Name"}
    customer = {"name": "Old Name", "phone": "+66811111111", "email": "", "csrf_token": manager.csrf_token()}
    url, statuses = f"/customers/{radio.customer_id}/edit", []
    db.session.commit()

    def take_in(key):
        ready.wait(5)
        statuses.append(owner.post("/repairs/new", data=form | {"phone": "+66811111111", "key": key}).status_code)

    def change(_):
        ready.wait(5)
        statuses.append(manager.post(url, data=customer | changes).status_code)
        manager.post(url, data=customer)

    for turn in range(12):
        with ThreadPoolExecutor(2) as pool:
            for done in (pool.submit(take_in, f"{turn:032}"), pool.submit(change, turn)):
                done.result(20)
    assert {*statuses} <= {303, 422}


def test_many_rows_at_once_are_looked_at_once_each(app, shop, monkeypatch):
    asked = []
    session = db.session()
    monkeypatch.setattr(type(session), "new", property(lambda self: asked.append(1) or IdentitySet(self._new.values())))
    db.session.add_all(Customer(name=f"Name {number}", phone=f"+668{number:08d}") for number in range(200))
    db.session.commit()
    assert len(asked) < 20
