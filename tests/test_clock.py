"""A server's clock that is put right, or wrong: nobody is locked out, nothing loses its order."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.db import db
from app.models import Event, SignIn
from app.rules import Kind

from .factories import PASSWORD, make_repair, make_staff

JUMPS = {"a second back": -1, "an hour back": -3600, "a day ahead": 86400}


@pytest.fixture
def jump(clock, monkeypatch):
    """Moves the clock by so many seconds, cookies' clock included."""
    monkeypatch.setattr("itsdangerous.timed.time", clock)
    return lambda seconds: clock.forward(seconds=seconds)


@pytest.fixture(params=JUMPS.values(), ids=JUMPS)
def jumped(request, jump):
    """Moves the clock in each of these ways."""
    return lambda: jump(request.param)


def fail_to_sign_in(browser, staff, times):
    for _ in range(times):
        browser.send("/login", {"email": staff.email, "password": "wrong"}, status=422)


# --- at the counter -----------------------------------------------------------------------------


def test_whoever_is_signed_in_stays_so_and_their_forms_stay_good(owner, jumped):
    repair = make_repair()
    page = owner.page(f"/repairs/{repair.code}")
    token = page.one("#notes input[name=csrf_token]")["value"]
    jumped()
    owner.page("/repairs")
    answer = owner.post(
        f"/repairs/{repair.code}/notes", data={"csrf_token": token, "version": repair.version, "text": "Dented."}
    )
    assert answer.status_code == 303


def test_a_history_keeps_its_order(owner, jumped):
    repair = make_repair()
    owner.send(f"/repairs/{repair.code}/advance", {"version": repair.version})
    jumped()
    owner.send(f"/repairs/{repair.code}/advance", {"version": repair.version})
    owner.send(f"/repairs/{repair.code}/notes", {"version": repair.version, "text": "Dented."})
    kinds = db.session.scalars(select(Event.kind).order_by(Event.id)).all()
    assert kinds == [Kind.RECEIVED, Kind.ADVANCED, Kind.ADVANCED, Kind.NOTED]
    assert repair.status == "repairing"
    page = owner.page(f"/repairs/{repair.code}")
    assert page.one("#status")["data-status"] == "repairing"
    owner.send(f"/repairs/{repair.code}/revert", {"version": repair.version})
    assert repair.status == "diagnosing"


def test_every_page_is_drawn(owner, anyone, jumped, clock):
    repair = make_repair(status="ready", promised_at=clock.now() + timedelta(hours=2))
    closed = make_repair(status="delivered")
    jumped()
    for url in ("/repairs", "/repairs?show=late", "/repairs/new", f"/repairs/{repair.code}", "/customers", "/account"):
        owner.page(url)
    for token in (repair.token, closed.token):
        anyone.page(f"/t/{token}")
        anyone.page(f"/t/{token}/live")


# --- customers ----------------------------------------------------------------------------------


def test_a_countdown_follows_the_clock(anyone, shop, clock, jump):
    repair = make_repair(status="repairing", promised_at=clock.now() + timedelta(hours=2))
    assert anyone.page(f"/t/{repair.token}").one("#countdown [data-unit=h]").text == "02"
    jump(-3600)
    assert anyone.page(f"/t/{repair.token}").one("#countdown [data-unit=h]").text == "03"
    jump(86400)
    page = anyone.page(f"/t/{repair.token}")
    page.one("#late")
    assert not page.all("#countdown")
    jump(-86400)
    page = anyone.page(f"/t/{repair.token}")
    page.one("#countdown")
    assert not page.all("#late")


# --- the door -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-3600, 86400, 3650 * 86400], ids=["an hour", "a day", "ten years"])
def test_whoever_has_to_wait_at_the_door_waits_no_longer_than_an_hour_more(app, shop, jump, seconds):
    ana = make_staff("owner")
    if seconds > 0:
        jump(seconds)
    fail_to_sign_in(app.test_client(), ana, 10)
    app.test_client().send("/login", {"email": ana.email, "password": PASSWORD}, status=429)
    jump(-abs(seconds))
    jump(75 * 60)
    app.test_client().sign_in(ana)


def test_a_wait_counts_from_anew_when_it_has_to(app, shop, jump):
    ana = make_staff("owner")
    jump(3650 * 86400)
    fail_to_sign_in(app.test_client(), ana, 5)
    jump(-3650 * 86400)
    fail_to_sign_in(app.test_client(), ana, 10)
    app.test_client().send("/login", {"email": ana.email, "password": PASSWORD}, status=429)


def test_a_session_that_began_in_a_wrong_future_does_not_last_until_then(app, shop, jump):
    ana = make_staff("owner")
    jump(3650 * 86400)
    browser = app.test_client().sign_in(ana)
    jump(-3650 * 86400)
    browser.page("/repairs", status=302)
    assert db.session.scalars(select(SignIn)).one()
    browser.sign_in(ana)
    browser.page("/repairs")
