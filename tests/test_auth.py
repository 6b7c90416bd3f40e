"""The door: signing in, staying signed in, and every way that a session ends."""

import re
from io import BytesIO

import pytest
from flask import Flask
from sqlalchemy import delete, func, select, update

from app.db import db
from app.models import SignIn, Throttle

from .factories import PASSWORD, make_repair, make_staff

WRONG = "not the password"


@pytest.fixture
def ana(shop):
    return make_staff("owner", name="Ana", email="ana@example.com")


def sessions(staff):
    return db.session.scalar(select(func.count()).select_from(SignIn).where(SignIn.staff_id == staff.id))


def is_signed_in(client) -> bool:
    answer = client.get("/account")
    assert answer.status_code in {200, 302}
    return answer.status_code == 200


def cookie(client, name="readylight"):
    kept = client.get_cookie(name)
    return kept and kept.value


def without_token(page):
    return re.sub(r'name="csrf_token" value="[^"]*"', "", page.html)


# --- signing in ---------------------------------------------------------------------------------


def test_the_sign_in_page_asks_for_email_and_password_and_names_the_shop(anyone, shop):
    page = anyone.page("/login")
    form = page.one("form[method=post]")
    assert form.select_one("input[type=email]")["autocomplete"] == "username"
    assert form.select_one("input[type=password]")["autocomplete"] == "current-password"
    assert page.one("h1").get_text(strip=True) == shop.name
    assert not page.all("header.top"), "nothing of the counter is shown at the door"


@pytest.mark.parametrize("email", ["ana@example.com", " ANA@Example.com "])
def test_whoever_knows_the_password_comes_in(anyone, ana, email):
    assert anyone.send("/login", {"email": email, "password": PASSWORD}, on="/login").location == "/repairs"
    page = anyone.page("/repairs")
    assert "Ana" in page.one("header.top .account").get_text()


def test_a_wrong_password_is_refused_by_the_field(anyone, ana):
    for password in (PASSWORD.upper(), PASSWORD + " ", "x" * 10_000, "\x00", "ไม่ใช่", WRONG):
        page = anyone.send("/login", {"email": ana.email, "password": password}, 422)
    assert page.one("#password")["aria-invalid"] == "true"
    assert page.one("#password-error[role=alert]").get_text(strip=True) == "Email or password is wrong."
    assert page.one("#email")["value"] == ana.email
    assert not page.one("#password").get("value")
    assert sessions(ana) == 0
    assert not is_signed_in(anyone)


@pytest.mark.parametrize(
    ("form", "bad"),
    [
        ({"email": "", "password": PASSWORD}, "email"),
        ({"email": "ana@example.com", "password": ""}, "password"),
        ({"password": PASSWORD}, "email"),
        ({"email": "ana@example.com"}, "password"),
    ],
)
def test_an_empty_field_is_named(anyone, ana, form, bad):
    page = anyone.send("/login", form, 422)
    assert page.one("[aria-invalid=true]")["name"] == bad
    assert page.all("[autofocus]")[0]["name"] == bad


def test_a_wrong_email_and_a_wrong_password_get_the_same_answer(app, shop):
    form = {"email": "ana@example.com", "password": WRONG}
    nobody = app.test_client().send("/login", form, 422)
    ana = make_staff("owner", email="ana@example.com")
    wrong = app.test_client().send("/login", form, 422)
    ana.active = False
    left = app.test_client().send("/login", form | {"password": PASSWORD}, 422)
    assert without_token(nobody) == without_token(wrong) == without_token(left)
    assert {*nobody.headers.keys()} == {*wrong.headers.keys()} == {*left.headers.keys()}


def test_somebody_who_left_cannot_come_in(anyone, ana):
    ana.active = False
    anyone.send("/login", {"email": ana.email, "password": PASSWORD}, 422)


def test_an_email_that_is_none_is_only_wrong(anyone, ana):
    for email in ("\x00", "a" * 10_000, "%", "' OR 1=1 --", "\ud7ff", "@"):
        anyone.send("/login", {"email": email, "password": PASSWORD}, 422)


def test_fifty_failures_from_one_address_close_the_door_to_it_alone(app, ana):
    there = {"environ_base": {"REMOTE_ADDR": "203.0.113.9"}}
    stranger, right = app.test_client(), {"email": ana.email, "password": PASSWORD}
    stranger.send("/login", {"email": "nobody@example.com", "password": WRONG}, 422, **there)
    # Another 48, of other accounts.
    db.session.execute(update(Throttle).where(Throttle.key.contains("203.0.113.9")).values(count=49))
    stranger.send("/login", {"email": "nobody2@example.com", "password": WRONG}, 422, **there)
    page = stranger.send("/login", right, 429, **there)
    assert page.one("[role=alert]").get_text(strip=True)
    app.test_client().send("/login", right, environ_base={"REMOTE_ADDR": "203.0.113.10"})


def test_whoever_has_to_wait_is_told_so_in_a_sentence(anyone, ana):
    for _ in range(10):
        anyone.send("/login", {"email": ana.email, "password": WRONG}, 422)
    page = anyone.send("/login", {"email": ana.email, "password": PASSWORD}, 429)
    said = page.one("[role=alert]").get_text(strip=True)
    assert "wait" in said.lower()
    assert not re.search(r"\d+ per \d+", said)


def test_a_made_up_mark_of_a_known_browser_is_a_stranger_s(app, ana):
    for _ in range(10):
        app.test_client().send("/login", {"email": ana.email, "password": WRONG}, 422)
    for mark in ("", "x", "é", "\x7f", "0" * 64):
        stranger = app.test_client()
        stranger.set_cookie("known", mark)
        stranger.send("/login", {"email": ana.email, "password": PASSWORD}, 429)


def test_a_browser_known_for_one_person_is_a_stranger_for_another(app, ana):
    narin = make_staff("technician")
    browser = app.test_client().sign_in(narin)
    browser.send("/logout")
    for _ in range(10):
        app.test_client().send("/login", {"email": ana.email, "password": WRONG}, 422)
    browser.send("/login", {"email": ana.email, "password": PASSWORD}, 429)
    browser.sign_in(narin)


# --- where to -----------------------------------------------------------------------------------


def test_one_goes_on_where_the_door_was_met(anyone, ana):
    door = anyone.page("/repairs?q=lamp&show=late", 302).location
    assert door.startswith("/login?next=")
    token_page = anyone.page(door)
    following = token_page.one("input[name=next]")["value"]
    answer = anyone.send("/login", {"email": ana.email, "password": PASSWORD, "next": following}, on=door)
    assert answer.location == "/repairs?q=lamp&show=late"


def test_where_to_survives_a_wrong_password(anyone, ana):
    page = anyone.send("/login", {"email": ana.email, "password": WRONG, "next": "/customers"}, 422)
    assert page.one("input[name=next]")["value"] == "/customers"


ELSEWHERE = [
    "https://evil.example",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\x01//evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "http:evil.example",
    "//[",
    "//evil℀.example",
    "https://[evil",
    " /repairs",
    "",
]


def test_nobody_is_led_off_the_site(app, ana):
    for target in ELSEWHERE:
        browser = app.test_client()
        answer = browser.send("/login", {"email": ana.email, "password": PASSWORD, "next": target})
        assert answer.headers["Location"] == "/repairs", target
        signed_in = browser.get("/login", query_string={"next": target})
        assert (signed_in.status_code, signed_in.headers["Location"]) == (302, "/repairs"), target


def test_a_path_of_the_shop_is_followed(anyone, ana):
    for target in ("/customers", "/repairs?q=a%20b&show=late", "/repairs/TH-MN-R0001"):
        assert anyone.send("/login", {"email": ana.email, "password": PASSWORD, "next": target}).location == target
        assert anyone.page("/login", 302, query_string={"next": target}).location == target


def test_a_form_that_met_the_door_is_kept_until_somebody_is_signed_in_again(owner):
    url = "/repairs/new"
    form = {"phone": "081 234 5678", "name": "Malee", "item": "Kindle", "problem": "Frozen <b>", "branch": "1"}
    db.session.execute(delete(SignIn))
    page = owner.send(url, form | {"promise_pick": "none", "password": "not to be shown"}, 401)
    kept = {field["name"]: field["value"] for field in page.all("form input[type=hidden]")}
    assert kept.pop("csrf_token")
    assert kept == form | {"promise_pick": "none"}
    assert page.one("form")["action"] == url
    owner.sign_in(owner.staff)
    assert owner.send(url, kept).location.startswith("/repairs/TH-")


@pytest.mark.parametrize(
    ("came_from", "then"),
    [
        ("http://localhost/repairs/{code}", "/repairs/{code}"),
        ("http://localhost/repairs/{code}#photos", "/repairs/{code}"),
        ("http://localhost/repairs/{code}?from=board", "/repairs/{code}?from=board"),
        # An answer to a form: its address takes forms alone.
        ("http://localhost/repairs/{code}/photos", "/repairs"),
        ("http://localhost:8000/repairs/{code}", "/repairs"),
        ("https://evil.com/repairs/{code}", "/repairs"),
        ("http://localhost.evil.com/repairs/{code}", "/repairs"),
        ("http://localhost//evil.com", "/repairs"),
        ("http://[", "/repairs"),
        ("", "/repairs"),
    ],
)
def test_a_photo_that_met_the_door_leads_back_to_the_page_it_was_sent_from(owner, came_from, then):
    code = make_repair().code
    form = {"version": "1", "photos": (BytesIO(b"a picture"), "front.jpg")}
    came_from, then = came_from.format(code=code), then.format(code=code)
    person = owner.staff
    db.session.execute(delete(SignIn))
    door = owner.send(f"/repairs/{code}/photos", form, 302, headers={"Referer": came_from}).location
    assert door.startswith("/login")
    next_ = owner.page(door).one("form [name=next]").get("value", "")
    page = owner.send("/login", {"email": person.email, "password": PASSWORD, "next": next_})
    assert page.location == then
    owner.page(page.location)


def test_whoever_is_signed_in_does_not_see_the_door(owner):
    assert owner.page("/login", 302).location == "/repairs"


# --- the session --------------------------------------------------------------------------------


def test_the_cookie_is_kept_from_scripts_and_other_sites(app, ana):
    browser = app.test_client().sign_in(ana)
    for name in ("readylight", "known"):
        kept = browser.get_cookie(name)
        assert kept.http_only
        assert kept.same_site == "Lax"
        assert not kept.secure, "a shop's LAN speaks plain http"


def test_signing_in_starts_a_new_session_and_keeps_nothing_of_the_old(app, ana):
    browser = app.test_client()
    browser.page("/login")
    with browser.session_transaction() as planted:
        planted["planted"] = "by somebody else"
    before = cookie(browser)
    browser.sign_in(ana)
    assert cookie(browser) != before
    with browser.session_transaction() as kept:
        assert "planted" not in kept
    again = app.test_client()
    again.set_cookie("readylight", before)
    assert not is_signed_in(again)


def test_each_signing_in_is_a_session_of_its_own(app, ana):
    first, second = app.test_client().sign_in(ana), app.test_client().sign_in(ana)
    assert sessions(ana) == 2
    assert cookie(first) != cookie(second)
    first.send("/logout")
    assert not is_signed_in(first)
    assert is_signed_in(second)


def test_a_session_kept_from_before_signing_out_opens_nothing(app, ana):
    browser = app.test_client().sign_in(ana)
    stolen = cookie(browser)
    answer = browser.send("/logout", on="/repairs")
    assert answer.location == "/login"
    thief = app.test_client()
    thief.set_cookie("readylight", stolen)
    assert not is_signed_in(browser)
    assert not is_signed_in(thief)
    assert sessions(ana) == 0
    assert "signed out" in browser.page("/login").one("#said").get_text()


def test_a_forged_session_opens_nothing(app, ana):
    mine = Flask("elsewhere")
    mine.secret_key = "another secret, and as long as the shop's own is"
    forged = mine.session_interface.get_signing_serializer(mine).dumps({"_user_id": "x", "_fresh": True})
    browser = app.test_client().sign_in(ana)
    for value in (forged, cookie(browser)[:-3] + "xyz", "é", "."):
        thief = app.test_client()
        thief.set_cookie("readylight", value)
        assert not is_signed_in(thief)


def test_nobody_can_sign_out_by_following_a_link(owner):
    owner.page("/logout", 405)
    assert is_signed_in(owner)


def test_a_new_password_ends_every_other_session(app, ana):
    here, there = app.test_client().sign_in(ana), app.test_client().sign_in(ana)
    here.send("/account", {"current": PASSWORD, "password": "four louder lamps"})
    assert is_signed_in(here)
    assert not is_signed_in(there)


def test_signing_out_everywhere_ends_every_session_of_one_s_own(app, ana):
    narin = make_staff("technician")
    here, there, other = (app.test_client().sign_in(person) for person in (ana, ana, narin))
    here.send("/account/sign-out-everywhere", on="/account")
    assert not is_signed_in(here)
    assert not is_signed_in(there)
    assert is_signed_in(other)


def test_a_session_ends_by_itself_after_thirty_days(app, ana, clock):
    browser = app.test_client().sign_in(ana)
    clock.forward(days=29, hours=23)
    assert is_signed_in(browser)
    clock.forward(hours=2)
    assert not is_signed_in(browser)


def test_a_changed_role_counts_from_the_next_page_on(app, ana):
    other = make_staff("owner")
    browser = app.test_client().sign_in(other)
    browser.page("/settings/shop")
    other.role = "front_desk"
    browser.page("/settings/shop", 403)


def test_pages_behind_the_door_are_kept_by_no_cache(owner):
    make_repair()
    for url in ("/repairs", "/repairs/TH-MN-R0001", "/customers", "/account"):
        assert owner.page(url).headers["Cache-Control"] == "no-store"


# --- a session that ended under a page ----------------------------------------------------------


def end_session_of(client):
    db.session.delete(db.session.scalars(select(SignIn).where(SignIn.staff_id == client.staff_id)).one())


def test_a_panel_says_when_the_session_has_ended_and_leaves_the_page_alone(technician):
    repair = make_repair()
    page = technician.page(f"/repairs/{repair.code}")
    form = {"version": repair.version, "text": "Battery at 71 %."}
    token = page.one("#notes input[name=csrf_token]")["value"]
    end_session_of(technician)
    answer = technician.htmx(f"/repairs/{repair.code}/notes", form | {"csrf_token": token}, 401)
    assert answer.headers["HX-Retarget"] == "#alert"
    alert = answer.one("[role=alert]")
    assert alert.select_one("a[target=_blank]")["href"] == "/login"


def test_what_was_typed_can_be_sent_again_after_signing_in_in_a_new_tab(technician):
    """As the alert of an ended session advises: the page with the words in it is still the old one."""
    repair = make_repair()
    person = technician.staff
    page = technician.page(f"/repairs/{repair.code}")
    form = {"version": repair.version, "text": "Battery at 71 %."}
    form["csrf_token"] = page.one("#notes input[name=csrf_token]")["value"]
    end_session_of(technician)
    technician.htmx(f"/repairs/{repair.code}/notes", form, 401)
    technician.send("/login", {"email": person.email, "password": PASSWORD}, on="/login")
    answer = technician.htmx(f"/repairs/{repair.code}/notes", form)
    assert "Battery at 71 %." in answer.one("#notes .said").get_text()


def test_whoever_is_signed_out_while_a_form_is_at_work_is_asked_to_sign_in(owner, monkeypatch):
    """Looking at a password takes a while, in which another owner may have ended this session."""

    def meanwhile(password, known_hash):
        db.session.execute(delete(SignIn))
        db.session.commit()
        return True

    monkeypatch.setattr("app.passwords.password_matches", meanwhile)
    page = owner.send("/account", {"current": PASSWORD, "password": "four louder lamps"}, 401)
    assert "sign in again" in page.text
    assert not is_signed_in(owner)
