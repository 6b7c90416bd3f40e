"""Limits on failures: the counters in the database, and what they hold up at the door."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from app.db import db
from app.models import Throttle
from app.throttle import DatabaseStorage

from . import factories


@pytest.fixture
def storage(app):
    return DatabaseStorage()


def rows():
    count = db.session.scalar(select(func.count()).select_from(Throttle))
    db.session.rollback()  # The counters are written on connections of their own.
    return count


# --- counters -----------------------------------------------------------------------------------


def test_a_counter_that_nobody_touched_is_at_nothing(storage, clock):
    assert storage.get("door") == 0
    assert storage.get_expiry("door") == clock.time()


def test_a_counter_counts(storage):
    assert [storage.incr("door", 60) for _ in range(3)] == [1, 2, 3]
    assert storage.incr("door", 60, 5) == 8
    assert storage.get("door") == 8


def test_two_counters_count_apart(storage):
    storage.incr("front", 60)
    storage.incr("front", 60)
    storage.incr("back", 60)
    assert (storage.get("front"), storage.get("back")) == (2, 1)


def test_a_window_ends_when_the_first_failure_said(storage, clock):
    storage.incr("door", 60)
    ends = clock.time() + 60
    clock.forward(seconds=45)
    storage.incr("door", 60)
    assert storage.get_expiry("door") == ends


def test_a_counter_that_has_run_out_starts_again(storage, clock):
    storage.incr("door", 60, 9)
    clock.forward(seconds=59)
    assert storage.get("door") == 9
    clock.forward(seconds=1)
    assert storage.get("door") == 0
    assert storage.incr("door", 60) == 1
    assert storage.get_expiry("door") == clock.time() + 60


def test_counters_that_have_run_out_are_swept_when_another_starts(storage, clock):
    for number in range(5):
        storage.incr(f"door {number}", 60)
    storage.incr("long", 600)
    clock.forward(seconds=61)
    storage.incr("new", 60)
    assert rows() == 2
    assert storage.get("long") == 1


def test_a_counter_can_be_forgotten(storage):
    storage.incr("front", 60)
    storage.incr("back", 60)
    storage.clear("front")
    storage.clear("never was")
    assert (storage.get("front"), storage.get("back")) == (0, 1)


def test_all_counters_can_be_forgotten(storage):
    storage.incr("front", 60)
    storage.incr("back", 60)
    assert storage.reset() == 2
    assert rows() == 0
    assert storage.reset() == 0


def test_the_counters_can_be_read(storage):
    assert storage.check() is True


@pytest.mark.parametrize("before", ["never was", "ran out", "runs"])
def test_failures_at_the_same_moment_are_all_counted(before, app, storage, clock):
    if before != "never was":
        storage.incr("door", 60)
    if before == "ran out":
        clock.forward(seconds=61)
    ready, counts = threading.Barrier(6), []

    def fail():
        with app.app_context():
            ready.wait(5)
            counts.append(storage.incr("door", 60))

    threads = [threading.Thread(target=fail) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    first = 2 if before == "runs" else 1
    assert sorted(counts) == list(range(first, first + 6))


# --- at the door --------------------------------------------------------------------------------


def fail_to_sign_in(client, email, times, status=422):
    for _ in range(times):
        client.send("/login", {"email": email, "password": "not the password"}, status)


def test_a_wrong_password_is_counted_and_answered_at_once(shop, anyone):
    """The counter is written while the request's own transaction may still hold SQLite's one write lock."""
    fail_to_sign_in(anyone, "ana@example.com", 1)
    assert rows() == 2, "one counter for the account, one for the address"


def test_after_ten_wrong_passwords_an_account_waits_a_quarter_of_an_hour(app, shop, anyone, clock):
    ana = factories.make_staff("owner", email="ana@example.com")
    narin = factories.make_staff("technician")
    fail_to_sign_in(anyone, "ana@example.com", 10)
    right = {"email": "ana@example.com", "password": factories.PASSWORD}
    anyone.send("/login", right, 429)
    anyone.send("/login", right | {"email": " ANA@example.com "}, 429)
    app.test_client().sign_in(narin)
    clock.forward(minutes=15)
    anyone.sign_in(ana)


def test_signing_in_well_is_never_too_often(app, shop):
    ana = factories.make_staff("owner")
    for _ in range(12):
        app.test_client().sign_in(ana)
    assert db.session.scalar(select(func.sum(Throttle.count))) == 0


def test_many_tries_at_once_are_no_more_than_one_after_another(app, shop):
    email = factories.make_staff("owner").email
    clients = [app.test_client() for _ in range(20)]
    forms = [{"csrf_token": client.csrf_token(), "email": email, "password": "wrong"} for client in clients]
    db.session.rollback()
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda pair: pair[0].post("/login", data=pair[1]).status_code, zip(clients, forms, strict=True))
        )
    assert (answers.count(422), answers.count(429)) == (10, 10)


def test_nor_are_many_tries_at_once_at_the_password_of_whoever_is_signed_in(app, owner):
    form = {
        "csrf_token": owner.csrf_token(),
        "current": "wrong",
        "password": "a new one for me",
        "again": "a new one for me",
    }
    cookie = owner.get_cookie(app.config["SESSION_COOKIE_NAME"]).value
    db.session.rollback()

    def guess(_):
        copy = app.test_client()
        copy.set_cookie(app.config["SESSION_COOKIE_NAME"], cookie)
        return copy.post("/account", data=form).status_code

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(guess, range(20)))
    assert (answers.count(422), answers.count(429)) == (10, 10)


def test_a_present_password_that_was_right_or_left_out_is_no_try(owner):
    passwords = [factories.PASSWORD, "seven other lamps"]
    for _ in range(6):
        for present, new in (passwords, passwords[::-1]):
            owner.send("/account", {"current": "", "password": new}, 422)
            owner.send("/account", {"current": present, "password": new})
    assert db.session.scalar(select(func.sum(Throttle.count))) == 0


def test_a_try_that_cannot_be_given_back_is_no_reason_to_say_that_nothing_was_saved(owner, monkeypatch):
    incr = DatabaseStorage.incr

    def busy(self, key, expiry, amount=1):
        if amount < 0:
            raise OperationalError("UPDATE throttle", {}, sqlite3.OperationalError("database is locked"))
        return incr(self, key, expiry, amount)

    monkeypatch.setattr(DatabaseStorage, "incr", busy)
    owner.send("/account", {"current": factories.PASSWORD, "password": "seven other lamps"})
    owner.send("/logout")
    owner.sign_in(owner.staff, "seven other lamps")
    assert db.session.scalar(select(func.sum(Throttle.count))) > 0


def test_strangers_cannot_lock_out_a_browser_that_has_signed_in_before(app, shop, anyone):
    right = {"email": factories.make_staff("owner", email="ana@example.com").email, "password": factories.PASSWORD}
    counter = app.test_client()
    counter.send("/login", right)
    counter.send("/logout")
    fail_to_sign_in(anyone, "ana@example.com", 10)
    anyone.send("/login", right, 429)
    counter.send("/login", right)
