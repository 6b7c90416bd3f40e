"""The second step at sign-in: set up, asked for, got around with recovery codes, turned off."""

import re
from urllib.parse import urlsplit

import pyotp
import pytest
from sqlalchemy import select

from app.db import db
from app.models import Activity, Invitation, RecoveryCode, SignIn
from app.rules import Deed

from .factories import PASSWORD, make_staff
from .test_settings import count, shown
from .test_staff import deeds, link_on

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NEW_PASSWORD = "four louder lamps"


@pytest.fixture
def code(clock):
    """The code that the app shows so many seconds from now."""
    return lambda later=0, secret=SECRET: pyotp.TOTP(secret).at(int(clock.time()) + later)


@pytest.fixture
def ana(shop):
    """Somebody who has set it up, without recovery codes."""
    return make_staff("manager", name="Ana", email="ana@example.com", totp_secret=SECRET)


def gives_password(browser, staff, **more):
    """Comes as far as the second page."""
    return browser.send("/login", {"email": staff.email, "password": PASSWORD} | more)


def is_in(browser) -> bool:
    return browser.get("/account").status_code == 200


# --- set up -------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "manager", "technician", "front_desk"])
def test_everyone_sets_it_up_by_a_qr_code_or_a_key_and_gets_ten_recovery_codes(app, request, code, role):
    browser = request.getfixturevalue(role)
    other = app.test_client().sign_in(browser.staff)
    page = browser.page("/account/second-step")
    secret = page.one("input[name=secret]")["value"]
    assert len(secret) == 32
    assert page.one("code").get_text().replace(" ", "") == secret
    assert page.one(".qr-box svg title").get_text() == "QR code for the app"
    assert not browser.staff.totp_secret, "looking sets nothing up"
    form = {"secret": secret, "code": code(secret=secret), "current": PASSWORD}
    answer = browser.send("/account/second-step", form, on="/account/second-step")
    assert browser.staff.totp_secret == secret
    shown = [line.get_text() for line in browser.page(answer.location).all(".recovery li")]
    assert len({*shown}) == 10
    assert all(re.fullmatch(r"[a-z2-9]{6}-[a-z2-9]{6}", line) for line in shown)
    again = browser.page(answer.location)
    assert not again.all(".recovery"), "they are shown once"
    assert "10 recovery codes are left" in again.text
    kept = db.session.scalars(select(RecoveryCode.code_hash)).all()
    assert len(kept) == 10
    assert all(line.startswith("$argon2id$") for line in kept)
    assert is_in(browser)
    assert not is_in(other), "whoever was in showed no code"
    assert deeds(Deed.SECOND_STEP_ON) == [(browser.staff_id, f"staff {browser.staff_id}", "")]


@pytest.mark.parametrize(
    ("changes", "bad"),
    [
        ({"code": "000000"}, "code"),
        ({"code": ""}, "code"),
        ({"code": "é" * 6}, "code"),
        ({"current": "wrong"}, "current"),
        ({"current": ""}, "current"),
    ],
)
def test_nothing_is_set_up_until_code_and_password_are_right(technician, code, changes, bad):
    form = {"secret": SECRET, "code": code(), "current": PASSWORD}
    page = technician.send("/account/second-step", form | changes, 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == [bad]
    assert page.one("input[name=secret]")["value"] == SECRET, "what the app has scanned stays good"
    assert (technician.staff.totp_secret, count(RecoveryCode)) == ("", 0)


@pytest.mark.parametrize("secret", ["", "A" * 31, "a" * 32, "1" * 32, "<b>", "\x00" * 32])
def test_a_key_that_is_none_is_not_taken(technician, code, secret):
    page = technician.send("/account/second-step", {"secret": secret, "code": code(), "current": PASSWORD}, 422)
    assert len(page.one("input[name=secret]")["value"]) == 32
    assert technician.staff.totp_secret == ""


def test_the_code_that_set_it_up_is_used_up_by_that(app, technician, code):
    technician.send("/account/second-step", {"secret": SECRET, "code": code(), "current": PASSWORD})
    browser = app.test_client()
    gives_password(browser, technician.staff)
    browser.send("/login/code", {"code": code()}, 422)


# --- asked for ----------------------------------------------------------------------------------


def test_after_the_password_a_code_is_asked_for_and_only_then_is_anybody_in(anyone, ana, code):
    answer = gives_password(anyone, ana, next="/customers")
    assert answer.location == "/login/code"
    assert count(SignIn) == 0
    assert not is_in(anyone)
    page = anyone.page("/login/code")
    assert page.one("#code")["autocomplete"] == "one-time-code"
    assert page.one("#code")["inputmode"] == "numeric"
    assert not page.all("header.top")
    assert anyone.send("/login/code", {"code": code()}, on="/login/code").location == "/customers"
    assert is_in(anyone)
    assert ana.totp_step == int(pyotp.TOTP(SECRET).timecode(db.session.scalars(select(SignIn)).one().created_at))


def test_a_wrong_password_says_nothing_of_a_second_step(app, ana):
    other = make_staff("owner")
    pages = [
        app.test_client().send("/login", {"email": staff.email, "password": "wrong"}, 422) for staff in (ana, other)
    ]
    first, second = (re.sub(r'(csrf_token" value|name="email"[^>]*value)="[^"]*"', "", page.html) for page in pages)
    assert first.replace(ana.email, "") == second.replace(other.email, "")


@pytest.mark.parametrize("wrong", ["000000", "", "12345", "1234567", "abcdef", "é" * 6, "\x00", "9" * 5000])
def test_a_wrong_code_is_refused_by_the_field(anyone, ana, wrong):
    gives_password(anyone, ana)
    page = anyone.send("/login/code", {"code": wrong}, 422)
    assert page.one("#code-error").get_text(strip=True)
    assert count(SignIn) == 0
    assert not is_in(anyone)


@pytest.mark.parametrize(("later", "is_right"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_phone_whose_clock_is_off_by_half_a_minute_does(anyone, ana, code, later, is_right):
    gives_password(anyone, ana)
    spaced = f" {code(later)[:3]} {code(later)[3:]} "
    anyone.send("/login/code", {"code": spaced}, 303 if is_right else 422)


def test_a_code_works_once(app, ana, code, clock):
    for number, status in enumerate((303, 422)):
        browser = app.test_client()
        gives_password(browser, ana)
        browser.send("/login/code", {"code": code()}, status)
        assert is_in(browser) == (number == 0)
    browser.send("/login/code", {"code": code(-30)}, 422)
    clock.forward(seconds=30)
    browser.send("/login/code", {"code": code()})


def test_ten_wrong_codes_and_one_waits_however_often_one_starts_anew(app, ana, code, clock):
    for _ in range(5):
        browser = app.test_client()
        gives_password(browser, ana)
        for _ in range(2):
            browser.send("/login/code", {"code": "000000"}, 422)
    browser.send("/login/code", {"code": code()}, 429)
    clock.forward(minutes=15)
    gives_password(browser, ana)
    browser.send("/login/code", {"code": code()})


def test_tries_that_succeed_are_none(app, ana, code, clock):
    for _ in range(12):
        browser = app.test_client()
        gives_password(browser, ana)
        browser.send("/login/code", {"code": code()})
        clock.forward(seconds=30)


def test_strangers_who_know_the_password_do_not_lock_a_known_browser_out(app, ana, code, clock):
    known = app.test_client()
    gives_password(known, ana)
    known.send("/login/code", {"code": code()})
    known.send("/logout")
    stranger = app.test_client()
    gives_password(stranger, ana)
    for _ in range(11):
        stranger.post("/login/code", data={"code": "000000", "csrf_token": stranger.csrf_token()})
    clock.forward(seconds=30)
    gives_password(known, ana)
    known.send("/login/code", {"code": code()})


def test_halfway_lasts_five_minutes(anyone, ana, code, clock):
    gives_password(anyone, ana)
    clock.forward(minutes=4, seconds=59)
    anyone.page("/login/code")
    clock.forward(seconds=1)
    assert anyone.page("/login/code", 302).location == "/login"
    assert anyone.send("/login/code", {"code": code()}).location == "/login"
    assert not is_in(anyone)


@pytest.mark.parametrize("change", [{"active": False}, {"password_hash": ""}, {"password_hash": "another"}])
def test_whoever_was_halfway_in_when_their_access_ended_stays_outside(anyone, ana, code, change):
    gives_password(anyone, ana)
    for name, value in change.items():
        setattr(ana, name, value)
    assert anyone.send("/login/code", {"code": code()}).location == "/login"
    assert not is_in(anyone)


def test_the_page_of_the_code_is_nothing_to_whoever_gave_no_password(anyone, owner, code):
    assert anyone.page("/login/code", 302).location == "/login"
    assert anyone.send("/login/code", {"code": code()}).location == "/login"
    assert owner.page("/login/code", 302).location == "/login"


def test_a_wrong_code_is_written_down_as_what_it_is(app, ana, code, clock):
    browser = app.test_client()
    gives_password(browser, ana)
    browser.send("/login/code", {"code": "000000"}, 422)
    browser.send("/login/code", {"code": code()})
    assert deeds(Deed.SIGN_IN_FAILED) == [(None, f"staff {ana.id}", "right password, wrong code")]
    assert "right password, wrong code" in browser.page("/account").one(".last").get_text()


def test_a_link_to_a_new_password_does_not_get_around_the_second_step(app, owner, ana, code):
    link = link_on(owner.htmx(f"/settings/staff/{ana.id}/link", {"current": PASSWORD}))
    browser = app.test_client()
    assert browser.send(link, {"password": NEW_PASSWORD}).location == "/login/code"
    assert count(Invitation) == 0
    assert not is_in(browser)
    browser.send("/login/code", {"code": code()})
    assert is_in(browser)


# --- recovery codes -----------------------------------------------------------------------------


@pytest.fixture
def codes(technician, code):
    """The recovery codes of a technician who has just set it up."""
    technician.send("/account/second-step", {"secret": SECRET, "code": code(), "current": PASSWORD})
    return [line.get_text() for line in technician.page("/account/second-step").all(".recovery li")]


def test_a_recovery_code_lets_in_once(app, technician, codes):
    typed = [codes[0], codes[1].upper().replace("-", " "), codes[2].replace("-", "")]
    for number, text in enumerate(typed, 1):
        browser = app.test_client()
        gives_password(browser, technician.staff)
        # Even beside a code that was wrong before.
        browser.send("/login/code", {"code": "000000", "recovery": text})
        assert is_in(browser)
        assert count(RecoveryCode) == 10 - number
    browser = app.test_client()
    gives_password(browser, technician.staff)
    for text in (codes[0], "", "x", "aaaaaa-aaaaaa", "é\x00"):
        page = browser.send("/login/code", {"code": "", "recovery": text}, 422)
        assert page.one("#recovery-error" if text else "#code-error").get_text(strip=True)
    assert page.all("details[open] #recovery")
    assert not is_in(browser)
    assert len(deeds(Deed.RECOVERY_CODE_USED)) == 3


def test_a_mistyped_recovery_code_does_not_stand_in_the_way_of_the_code_that_is_typed_next(
    app, technician, codes, clock
):
    browser = app.test_client()
    gives_password(browser, technician.staff)
    page = browser.send("/login/code", {"code": "", "recovery": "aaaaaa-aaaaaa"}, 422)
    clock.forward(seconds=30)
    browser.send("/login/code", shown(page) | {"code": pyotp.TOTP(SECRET).at(int(clock.time()))})
    assert is_in(browser)


def test_nobody_s_recovery_code_is_another_s(app, ana, codes):
    browser = app.test_client()
    gives_password(browser, ana)
    browser.send("/login/code", {"recovery": codes[0]}, 422)


def test_recovery_codes_are_made_anew_with_the_password(app, technician, codes):
    for wrong in ("", "wrong"):
        page = technician.send("/account/second-step/codes", {"current": wrong}, 422)
        assert page.one("#codes-current-error")
    answer = technician.send("/account/second-step/codes", {"current": PASSWORD}, on="/account/second-step")
    fresh = [line.get_text() for line in technician.page(answer.location).all(".recovery li")]
    assert len({*fresh, *codes}) == 20
    browser = app.test_client()
    gives_password(browser, technician.staff)
    browser.send("/login/code", {"recovery": codes[0]}, 422)
    browser.send("/login/code", {"recovery": fresh[0]})
    assert len(deeds(Deed.RECOVERY_CODES_NEW)) == 1


def test_there_are_no_recovery_codes_without_a_second_step(technician):
    technician.send("/account/second-step/codes", {"current": PASSWORD})
    assert count(RecoveryCode) == 0


# --- turned off ---------------------------------------------------------------------------------


def test_turning_it_off_asks_for_the_password(app, technician, codes):
    for wrong in ("", "wrong"):
        page = technician.send("/account/second-step/off", {"current": wrong}, 422)
        assert page.one("#off-current-error")
        assert technician.staff.totp_secret
    technician.send("/account/second-step/off", {"current": PASSWORD}, on="/account/second-step")
    assert (technician.staff.totp_secret, count(RecoveryCode)) == ("", 0)
    app.test_client().sign_in(technician.staff)
    assert deeds(Deed.SECOND_STEP_OFF) == [(technician.staff_id, f"staff {technician.staff_id}", "")]


def test_an_owner_turns_off_the_second_step_of_somebody_who_lost_their_phone(app, owner, ana):
    url = f"/settings/staff/{ana.id}"
    assert "a code from their phone" in owner.page(url).one("#access").get_text()
    for wrong in ("", "wrong"):
        page = owner.htmx(f"{url}/drop-second-step", {"current": wrong}, 422)
        assert page.one("#access details[open] #drop-current-error")
    owner.send(f"{url}/drop-second-step", {"current": PASSWORD}, on=url)
    assert ana.totp_secret == ""
    assert is_in(app.test_client().sign_in(ana))
    row = db.session.scalars(select(Activity).where(Activity.kind == Deed.SECOND_STEP_OFF)).one()
    assert (row.staff_id, row.subject, row.branch_id) == (owner.staff_id, f"staff {ana.id}", None)


def test_the_next_key_is_another_and_an_old_code_does_not_come_back(technician, codes, code):
    used = technician.staff.totp_step
    technician.send("/account/second-step/off", {"current": PASSWORD})
    assert technician.staff.totp_step == used
    first, second = (technician.page("/account/second-step").one("[name=secret]")["value"] for _ in range(2))
    assert len({first, second, SECRET}) == 3


def test_of_two_who_send_the_same_code_at_once_one_is_in(anyone, ana, code, clock, monkeypatch):
    """Both may find that it was not used yet; what counts is who is first to write that it is."""
    gives_password(anyone, ana)
    step = int(clock.time()) // 30
    ana.totp_step = step
    monkeypatch.setattr("app.second_step.step_of", lambda *_, **__: step)
    anyone.send("/login/code", {"code": code()}, 422)
    assert not is_in(anyone)


# --- an owner who is locked out -----------------------------------------------------------------


def test_whoever_holds_the_server_lets_in_an_owner_who_lost_phone_and_password(app, owner, runner, code):
    owner.send("/account/second-step", {"secret": SECRET, "code": code(), "current": PASSWORD})
    done = runner.invoke(args=["owner-link", owner.staff.email.upper()])
    assert done.exit_code == 0
    link = urlsplit(done.stdout.split()[-1]).path
    assert not is_in(owner), "whoever has the phone may have the session too"
    assert count(RecoveryCode) == 0
    app.test_client().send("/login", {"email": owner.staff.email, "password": PASSWORD}, 422)
    browser = app.test_client()
    assert browser.send(link, {"password": NEW_PASSWORD}).location == "/repairs"
    assert is_in(browser)
    assert deeds(Deed.ACCESS_RESET) == [(None, f"staff {owner.staff_id}", "by flask owner-link, on the server")]
    assert "reset the access of" in browser.page("/activity").text


@pytest.mark.parametrize("who", [{"role": "manager"}, {"role": "owner", "active": False}, None])
def test_the_server_makes_a_link_for_an_owner_who_may_sign_in_alone(runner, shop, who):
    email = make_staff(**who).email if who else "nobody@example.com"
    done = runner.invoke(args=["owner-link", email])
    assert done.exit_code == 1
    assert "No owner who may sign in" in done.output
    assert count(Invitation) == 0
