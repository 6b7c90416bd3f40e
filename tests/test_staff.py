"""The people of the shop: invited, changed, deactivated and let in again by an owner; and everyone's own account."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import func, select, update

from app import passwords, rules
from app.db import db
from app.models import Activity, Event, Invitation, SignIn, Staff
from app.rules import Deed, Kind, Role
from app.throttle import MISSES

from .conftest import Page
from .factories import PASSWORD, branch, make_repair, make_staff
from .test_actions import at_once
from .test_settings import count, shown

NEW_PASSWORD = "four louder lamps"
HTMX = {"HX-Request": "true"}


def person(email="narin@example.com"):
    return db.session.scalars(select(Staff).where(Staff.email == email)).one()


def new(**changes):
    """What the owner fills in about somebody new."""
    form = {"name": "Narin", "email": "Narin@Example.com", "role": "technician", "branch": str(branch("RV").id)}
    return form | ({"current": PASSWORD} if changes.get("role") == "owner" else {}) | changes


def as_it_is(client, staff):
    """The details of somebody's page, as a browser would send them."""
    page = client.page(f"/settings/staff/{staff.id}")
    page.html = str(page.one("section[aria-labelledby=details-title]"))
    page.html, page._soup = f"<main>{page.html}</main>", None
    return shown(page)


def link_on(page) -> str:
    """The path of the invitation that a page shows."""
    return urlsplit(page.one("#access input[readonly]")["value"]).path


@pytest.fixture
def invite(owner):
    """Invites somebody; the path of their link."""

    def invite(**changes):
        answer = owner.send("/settings/staff/new", new(**changes), on="/settings/staff/new")
        return link_on(owner.page(answer.location))

    return invite


def deeds(*kinds):
    """What the shop's own record has of these kinds, oldest first: who did it, whom it speaks of, and the text."""
    rows = db.session.scalars(select(Activity).where(Activity.kind.in_(kinds)).order_by(Activity.id))
    return [(row.staff_id, row.subject, row.text) for row in rows]


# --- everyone -----------------------------------------------------------------------------------


def test_everyone_is_listed_with_role_and_branch(owner):
    make_staff("technician", name="Narin", branch_id=branch("RV").id)
    make_staff("manager", name="Left", active=False)
    make_staff("manager", name="New", password_hash="")
    lines = [" ".join(line.get_text(" ").split()) for line in owner.page("/settings/staff").all(".rows li")]
    assert lines[-1].startswith("Left")
    assert "Manager, may not sign in" in lines[-1]
    assert next(line for line in lines if line.startswith("Narin")).endswith("Technician Riverside")
    assert "Their link has ended" in next(line for line in lines if line.startswith("New"))


@pytest.mark.parametrize("number", ["99", "0", "2147483648", "99999999999999999999", "x"])
def test_who_does_not_exist_is_not_found(owner, number):
    owner.page(f"/settings/staff/{number}", 404)
    for act in ("link", "deactivate", "reactivate"):
        owner.send(f"/settings/staff/{number}/{act}", {}, 404)


# --- invited ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "manager", "technician", "front_desk"])
def test_whoever_is_invited_chooses_a_password_and_is_in(app, invite, anyone, role):
    link = invite(role=role)
    assert re.fullmatch(r"/welcome/[\w-]{22}", link)
    page = anyone.page(link)
    assert page.one("h1").get_text() == "Hello Narin"
    assert page.one("input[type=email]")["value"] == "narin@example.com"
    assert page.one("input[type=password]")["autocomplete"] == "new-password"
    assert not page.all("header.top"), "nothing of the counter is shown before"
    assert anyone.send(link, {"password": NEW_PASSWORD}, on=link).location == "/repairs"
    assert "Welcome, Narin" in anyone.page("/repairs").one("#said").get_text()
    narin = person()
    assert (narin.name, narin.role, narin.branch.code, narin.active) == ("Narin", role, "RV", True)
    app.test_client().sign_in(narin, NEW_PASSWORD).page("/repairs")


def test_the_record_keeps_the_role_in_english_whatever_the_owner_speaks(owner, monkeypatch):
    monkeypatch.setitem(rules.ROLE_LABELS, Role.FRONT_DESK, "Empfang")
    monkeypatch.setitem(rules.ROLE_LABELS, Role.MANAGER, "Leitung")
    there = owner.send("/settings/staff/new", new(role="front_desk")).location
    owner.send(there, as_it_is(owner, person()) | {"role": "manager"})
    kept = db.session.scalars(select(Activity.text).where(Activity.subject == f"staff {person().id}"))
    assert list(kept) == ["Front desk", "role (was: Front desk)"]


def test_nobody_can_sign_in_before_a_password_is_chosen(app, invite):
    invite()
    assert person().password_hash == ""
    for password in ("", " ", PASSWORD, "none"):
        app.test_client().send("/login", {"email": "narin@example.com", "password": password}, 422)


def test_the_link_is_shown_once_with_every_way_to_hand_it_over(owner, shop):
    answer = owner.send("/settings/staff/new", new())
    page = owner.page(answer.location)
    url = page.one("#access input[readonly]")["value"]
    assert url.startswith("https://repairs.example.com/welcome/")
    assert page.one("#access [data-copy]").get_text(strip=True) == "Copy"
    whatsapp = urlsplit(page.one('#access a[href^="https://wa.me/?"]')["href"])
    assert url in parse_qs(whatsapp.query)["text"][0]
    mail = urlsplit(page.one('#access a[href^="mailto:"]')["href"])
    assert mail.path == "narin@example.com"
    assert url in parse_qs(mail.query)["body"][0]
    assert page.one("#access svg.qr title").get_text() == "QR code of the invitation"
    again = owner.page(answer.location)
    assert url.rpartition("/")[2] not in again.html
    assert "not used yet and ends" in again.one("#access").get_text()
    assert again.one("#access form[action$='/link'] button").get_text(strip=True) == "Make a new link"


def test_a_link_that_was_just_made_is_shown_to_its_own_browser_alone(app, owner):
    answer = owner.send("/settings/staff/new", new())
    other = app.test_client().be(owner.staff)
    assert not other.page(answer.location).all("#access input[readonly]")
    make_staff("technician")
    assert not owner.page(f"/settings/staff/{owner.staff_id}").all("#access input[readonly]")


def test_what_the_database_has_of_a_link_opens_nothing(app, invite, anyone):
    token = invite().rpartition("/")[2]
    row = db.session.scalars(select(Invitation)).one()
    assert token not in {str(value) for value in vars(row).values()}
    anyone.page(f"/welcome/{row.token_hash}", 404)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", "x" * 81),
        ("email", ""),
        ("email", "narin"),
        ("email", "TAKEN@example.com"),
        ("role", "boss"),
        ("role", ""),
        ("branch", "99"),
        ("branch", "x"),
        ("branch", "0"),
    ],
)
def test_a_mistake_in_a_new_person_adds_nobody_and_loses_nothing(owner, name, value):
    make_staff("manager", email="taken@example.com")
    form, before = new(), count(Staff)
    page = owner.send("/settings/staff/new", form | {name: value}, 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == [name]
    assert page.one(f"#{name}-error").get_text(strip=True)
    kept = shown(page)
    assert all(kept[other] == form[other] for other in form.keys() - {name})
    assert (count(Staff), count(Invitation)) == (before, 0)


def test_an_owner_types_nobody_s_password(owner):
    page = owner.page("/settings/staff/new")
    assert not page.all("input[type=password]")
    owner.send("/settings/staff/new", new(password=PASSWORD))
    assert person().password_hash == ""


# --- the link -----------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["", "short", "narin@example.com", "password12345", "Lamp & Bench 1", "x" * 201])
def test_a_password_that_will_not_do_is_refused_by_the_field_and_the_link_still_works(invite, anyone, password):
    link = invite()
    page = anyone.send(link, {"password": password}, 422)
    assert page.one("#password-error").get_text(strip=True)
    assert page.one("#password")["aria-invalid"] == "true"
    assert not page.one("#password").get("value"), "a password is never sent back"
    assert person().password_hash == ""
    anyone.send(link, {"password": NEW_PASSWORD})


def test_looking_at_a_link_uses_nothing(invite, app):
    link = invite()
    for _ in range(3):
        app.test_client().page(link)
        app.test_client().head(link)
    app.test_client().send(link, {"password": NEW_PASSWORD})


@pytest.fixture
def dead_links(owner, invite, clock):
    """Links that open nothing, by the reason why."""
    used, replaced = invite(), invite(email="b@example.com")
    owner.application.test_client().send(used, {"password": NEW_PASSWORD})
    owner.send(f"/settings/staff/{person('b@example.com').id}/link")
    ended, left = invite(email="c@example.com"), invite(email="d@example.com")
    owner.send(f"/settings/staff/{person('d@example.com').id}/deactivate")
    long_ago = Invitation.staff_id == person("c@example.com").id
    db.session.execute(update(Invitation).where(long_ago).values(created_at=clock.now() - timedelta(hours=72)))
    malformed = {
        text: f"/welcome/{text}" for text in ("x", "x" * 23, "x" * 5000, "%00" * 22, "é" * 22, "%ff", "a" * 22)
    }
    return {"used": used, "replaced": replaced, "ended": ended, "deactivated": left} | malformed


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_opens_nothing_does_not_say_why(app, dead_links, statements, method):
    told = {}
    for why, link in dead_links.items():
        browser = app.test_client()
        data = {"csrf_token": browser.csrf_token(), "password": NEW_PASSWORD} if method == "POST" else None
        statements.clear()
        where = {"REMOTE_ADDR": f"203.0.113.{len(told)}"}
        answer = browser.open(link, method=method, data=data, environ_base=where)
        text = re.sub(rb'name="csrf_token" value="[^"]*"', b"", answer.data)
        headers = {name for name, _ in answer.headers if name != "X-Request-ID"}
        told[why] = answer.status_code, text, headers, statements.copy()
        assert "Ask the owner" in Page(answer).text
    assert told["used"][0] == 404
    for why, answer in told.items():
        assert answer == told["used"], why


def test_a_link_lives_seventy_two_hours(invite, anyone, clock):
    link = invite()
    clock.forward(hours=71, minutes=59)
    anyone.page(link)
    clock.forward(minutes=1)
    anyone.page(link, 404)


def test_whoever_tries_out_links_waits(invite, anyone, app):
    link = invite()
    for number in range(MISSES.amount):
        anyone.page(f"/welcome/{number:022}" if number % 2 else f"/t/{number:022}", 404)
    anyone.page("/welcome/" + "a" * 22, 429)
    anyone.page("/t/" + "a" * 22, 429)
    anyone.page(link)


def test_neither_search_engines_nor_other_sites_learn_of_a_link(invite, anyone):
    link = invite()
    for answer in (anyone.page(link), anyone.page("/welcome/x", 404), anyone.send(link, {"password": "x"}, 422)):
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert answer.headers["Cache-Control"] == "no-store"


def test_over_https_the_form_of_a_link_needs_no_referer_which_no_browser_sends_from_there(invite, app):
    link = invite()
    browser, https = app.test_client(), {"base_url": "https://localhost"}
    token = browser.page(link, **https).one("[name=csrf_token]")["value"]
    form = {"password": NEW_PASSWORD, "csrf_token": token}
    for wrong in ({"csrf_token": ""}, {"csrf_token": app.test_client().csrf_token()}):
        assert browser.post(link, data=form | wrong, **https).status_code == 400
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert browser.post(link, data=form, headers=elsewhere, **https).status_code == 400
    assert person().password_hash == ""
    assert browser.post(link, data=form, **https).status_code == 303


def test_whoever_is_signed_in_with_the_browser_is_told_that_they_will_be_out(owner, invite):
    link = invite()
    assert owner.staff.name in owner.page(link).one(".warning").get_text()
    owner.send(link, {"password": NEW_PASSWORD})
    assert "Narin" in owner.page("/repairs").one(".account").get_text()
    assert db.session.scalar(select(func.count()).select_from(SignIn).where(SignIn.staff_id == owner.staff_id)) == 0


# --- changed ------------------------------------------------------------------------------------


def test_saving_a_person_as_they_are_keeps_them_and_their_session(app, owner):
    narin = make_staff("technician", branch_id=branch("RV").id)
    browser = app.test_client().sign_in(narin)
    before = {column.name: getattr(narin, column.name) for column in Staff.__table__.columns}
    owner.send(f"/settings/staff/{narin.id}", as_it_is(owner, narin))
    assert {column.name: getattr(narin, column.name) for column in Staff.__table__.columns} == before
    browser.page("/account")


def test_a_person_s_name_email_role_and_branch_can_be_changed(owner):
    narin = make_staff("technician", name="Narin", email="n@example.com")
    changes = {"name": "Narin S", "email": "NS@example.com", "role": "manager", "branch": str(branch("RV").id)}
    owner.send(f"/settings/staff/{narin.id}", as_it_is(owner, narin) | changes | {"current": PASSWORD})
    assert (narin.name, narin.email, narin.role, narin.branch.code) == ("Narin S", "ns@example.com", "manager", "RV")
    text = "name (was: Narin); email (was: n@example.com); role (was: Technician); branch (was: Main)"
    assert deeds(Deed.STAFF_CHANGED) == [(owner.staff_id, f"staff {narin.id}", text)]


@pytest.mark.parametrize("password", ["", "wrong"])
def test_an_email_is_changed_with_the_owner_s_own_password_alone(owner, password):
    narin = make_staff("technician", email="n@example.com")
    form = as_it_is(owner, narin) | {"email": "other@example.com", "name": "Other", "current": password}
    page = owner.send(f"/settings/staff/{narin.id}", form, 422)
    assert page.one("#current-error").get_text(strip=True)
    assert page.one("#email")["value"] == "other@example.com"
    assert narin.email == "n@example.com"
    assert narin.name != "Other"


@pytest.mark.parametrize("password", ["", "wrong"])
def test_nobody_is_made_an_owner_without_an_owner_s_password(owner, password):
    """Whoever finds a browser signed in would be an owner for good."""
    page = owner.send("/settings/staff/new", new(role="owner", current=password), 422)
    assert "To make somebody an owner" in page.one("#current-error").get_text()
    assert shown(page)["email"] == "Narin@Example.com"
    assert count(Invitation) == 0
    narin = make_staff("technician")
    form = as_it_is(owner, narin) | {"role": "owner"}
    page = owner.send(f"/settings/staff/{narin.id}", form | {"current": password}, 422)
    assert "To make somebody an owner" in page.one("details[open] #current-error").get_text()
    assert narin.role == "technician"
    owner.send(f"/settings/staff/{narin.id}", form | {"current": PASSWORD})
    assert narin.role == "owner"


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.parametrize(("act", "field"), [("reactivate", "back"), ("link", "reset")])
def test_no_owner_is_let_in_by_a_new_link_without_an_owner_s_password(owner, act, field, password):
    ana = make_staff("owner", active=act == "link", password_hash="")
    url = f"/settings/staff/{ana.id}"
    assert owner.page(url).one(f"#access form[action$='/{act}'] #{field}-current")
    page = owner.htmx(f"{url}/{act}", {"current": password}, 422)
    assert page.one(f"#{field}-current-error").get_text(strip=True)
    assert (ana.active, count(Invitation)) == (act == "link", 0)
    link_on(owner.htmx(f"{url}/{act}", {"current": PASSWORD}))
    assert (ana.active, count(Invitation)) == (True, 1)


def test_whoever_guesses_the_password_of_a_browser_that_is_signed_in_has_to_wait(owner):
    narin = make_staff("technician")
    for number in range(10):
        url, form = (
            ("/account", {"password": NEW_PASSWORD}),
            (f"/settings/staff/{narin.id}/link", {}),
            ("/settings/staff/new", new(role="owner")),
        )[number % 3]
        owner.send(url, form | {"current": "guess"}, 422)
    owner.send(f"/settings/staff/{narin.id}/link", {"current": PASSWORD}, 429)
    owner.send("/account", {"current": PASSWORD, "password": NEW_PASSWORD}, 429)


@pytest.mark.parametrize("changes", [{"role": "manager"}, {"role": "front_desk"}])
def test_the_last_owner_cannot_give_the_shop_away(owner, changes):
    changes = {"branch": str(branch("MN").id)} | changes
    make_staff("owner", active=False)
    page = owner.send(f"/settings/staff/{owner.staff_id}", as_it_is(owner, owner.staff) | changes, 422)
    assert "needs an owner" in page.one("main > .alert[role=alert]").get_text()
    assert (owner.staff.role, owner.staff.active) == ("owner", True)


def test_an_owner_who_has_not_joined_yet_is_none_who_could_get_in(owner, invite):
    invite(role="owner")
    steps_down = {"role": "manager", "branch": str(branch("MN").id)}
    owner.send(f"/settings/staff/{owner.staff_id}", as_it_is(owner, owner.staff) | steps_down, 422)
    owner.send(f"/settings/staff/{owner.staff_id}/deactivate", {}, 422)
    assert (owner.staff.role, owner.staff.active) == ("owner", True)


def test_one_of_two_owners_can_step_down_and_then_no_more(owner):
    ana = make_staff("owner")
    owner.send(f"/settings/staff/{ana.id}/deactivate")
    assert not ana.active
    steps_down = {"role": "manager", "branch": str(branch("MN").id)}
    owner.send(f"/settings/staff/{owner.staff_id}", as_it_is(owner, owner.staff) | steps_down, 422)
    page = owner.send(f"/settings/staff/{owner.staff_id}/deactivate", {}, 422)
    assert "needs an owner" in page.one("#access [role=alert]").get_text()


def test_an_owner_who_steps_down_is_out_of_the_settings_at_once(owner):
    make_staff("owner")
    changes = {"role": "technician", "branch": str(branch("MN").id)}
    answer = owner.send(f"/settings/staff/{owner.staff_id}", as_it_is(owner, owner.staff) | changes)
    assert answer.location == "/repairs", "the list of people is no longer theirs to see"
    assert f"{owner.staff.name} is saved." in owner.page(answer.location).one("#said").get_text()
    owner.page("/settings/shop", 403)


def test_whoever_goes_to_another_branch_or_job_leaves_their_repairs_behind(owner):
    narin = make_staff("technician", name="Narin")
    repair = make_repair(technician_id=narin.id)
    moved = as_it_is(owner, narin) | {"branch": str(branch("RV").id)}
    answer = owner.send(f"/settings/staff/{narin.id}", moved)
    assert repair.technician_id is None
    assert "1 repair is nobody’s now" in owner.page(answer.location).one("#said").get_text()
    there = make_repair(technician_id=narin.id, branch="RV")
    owner.send(f"/settings/staff/{narin.id}", as_it_is(owner, narin) | {"name": "Narin S"})
    assert there.technician_id == narin.id
    owner.send(f"/settings/staff/{narin.id}", as_it_is(owner, narin) | {"role": "front_desk"})
    assert there.technician_id is None


# --- a new link ---------------------------------------------------------------------------------


def test_a_reset_ends_password_and_sessions_at_once_and_gives_a_link(app, owner):
    narin = make_staff("technician", name="Narin")
    browsers = [app.test_client().sign_in(narin) for _ in range(2)]
    answer = owner.send(f"/settings/staff/{narin.id}/link", {"current": PASSWORD})
    for browser in browsers:
        browser.page("/account", 302)
    app.test_client().send("/login", {"email": narin.email, "password": PASSWORD}, 422)
    link = link_on(owner.page(answer.location))
    app.test_client().send(link, {"password": NEW_PASSWORD})
    app.test_client().sign_in(narin, NEW_PASSWORD)
    assert deeds(Deed.ACCESS_RESET, Deed.STAFF_JOINED) == [
        (owner.staff_id, f"staff {narin.id}", ""),
        (narin.id, "", ""),
    ]


@pytest.mark.parametrize("password", ["", "wrong"])
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_reset_asks_for_the_owner_s_own_password(app, owner, password, headers):
    narin = make_staff("technician")
    page = owner.send(f"/settings/staff/{narin.id}/link", {"current": password}, 422, headers=headers)
    assert page.one("#access #reset-current-error").get_text(strip=True)
    assert page.one("#access details[open] #reset-current")["aria-invalid"] == "true"
    assert count(Invitation) == 0
    app.test_client().sign_in(narin)


def test_a_new_link_for_somebody_invited_ends_the_one_before(app, owner, invite):
    first = invite()
    page = owner.htmx(f"/settings/staff/{person().id}/link")
    second = link_on(page)
    app.test_client().page(first, 404)
    app.test_client().send(second, {"password": NEW_PASSWORD})
    assert not owner.page(f"/settings/staff/{person().id}").all("#access input[readonly]")


def test_an_owner_resets_others_and_not_themselves(owner):
    make_staff("owner")
    page = owner.send(f"/settings/staff/{owner.staff_id}/link", {"current": PASSWORD}, 422)
    assert "in your account" in page.one("#access [role=alert]").get_text()
    assert not owner.page(f"/settings/staff/{owner.staff_id}").all("#access form[action$='/link']")


def test_whoever_typed_the_right_password_while_it_was_reset_stays_outside(app, owner, monkeypatch):
    """Between the look at the password and the new session there is time, in which the owner ends all of them."""
    narin = make_staff("technician")
    browser, who = app.test_client(), Staff.id == narin.id
    form = {"email": narin.email, "password": PASSWORD, "csrf_token": browser.csrf_token()}

    def meanwhile(password, known_hash):
        monkeypatch.undo()
        db.session.execute(update(Staff).where(who).values(password_hash=""))
        db.session.commit()
        return True

    monkeypatch.setattr("app.passwords.password_matches", meanwhile)
    assert browser.post("/login", data=form).status_code == 422
    assert count(SignIn) == 1, "the owner's"


# --- deactivated --------------------------------------------------------------------------------


def test_whoever_is_deactivated_is_out_at_once_with_their_link_and_password(app, owner):
    narin = make_staff("technician", name="Narin")
    browser = app.test_client().sign_in(narin)
    owner.send(f"/settings/staff/{narin.id}/deactivate")
    browser.page("/account", 302)
    app.test_client().send("/login", {"email": narin.email, "password": PASSWORD}, 422)
    page = owner.page(f"/settings/staff/{narin.id}")
    assert "may not sign in" in page.one("#access").get_text()
    link = link_on(owner.htmx(f"/settings/staff/{narin.id}/reactivate"))
    # An ended session does not come back.
    browser.page("/account", 302)
    app.test_client().send("/login", {"email": narin.email, "password": PASSWORD}, 422)
    app.test_client().send(link, {"password": NEW_PASSWORD})
    app.test_client().sign_in(narin, NEW_PASSWORD)
    about = f"staff {narin.id}"
    assert [row[1:] for row in deeds(Deed.STAFF_DEACTIVATED, Deed.STAFF_REACTIVATED)] == [(about, "")] * 2


def test_the_repairs_of_whoever_leaves_are_nobody_s_and_say_so(owner):
    narin = make_staff("technician", name="Narin")
    open_ones = [
        make_repair(technician_id=narin.id, status=status) for status in ("received", "waiting_parts", "ready")
    ]
    closed = [make_repair(technician_id=narin.id, status=status) for status in ("delivered", "cancelled")]
    versions, public = [repair.version for repair in open_ones], [repair.public_version for repair in open_ones]
    assert "3 open repairs become nobody’s" in owner.page(f"/settings/staff/{narin.id}").one("#access").get_text()
    answer = owner.send(f"/settings/staff/{narin.id}/deactivate")
    assert "3 repairs are nobody’s now" in owner.page(answer.location).one("#said").get_text()
    assert [repair.technician_id for repair in open_ones] == [None] * 3
    assert [repair.version for repair in open_ones] == [version + 1 for version in versions]
    assert [repair.public_version for repair in open_ones] == public, "no customer sees it"
    for repair in open_ones:
        last = db.session.scalars(select(Event).where(Event.repair_id == repair.id).order_by(Event.id.desc())).first()
        assert (last.kind, last.new, last.text) == (Kind.EDITED, "technician_id", "technician (was: Narin)")
        assert last.staff_id == owner.staff_id
    assert [repair.technician_id for repair in closed] == [narin.id] * 2, "the history keeps their name"


def test_somebody_who_left_keeps_their_name_in_the_history(owner):
    narin = make_staff("owner", name="Narin")
    repair = make_repair(by=narin)
    owner.send(f"/settings/staff/{narin.id}/deactivate")
    assert "Narin" in owner.page(f"/repairs/{repair.code}").one("#history").get_text()


def test_an_owner_who_leaves_to_another_is_shown_out(owner):
    make_staff("owner")
    assert owner.send(f"/settings/staff/{owner.staff_id}/deactivate").location == "/login"
    owner.page("/account", 302)


def test_what_was_done_already_is_not_done_again(owner):
    narin = make_staff("technician")
    owner.send(f"/settings/staff/{narin.id}/reactivate", {}, 422)
    owner.send(f"/settings/staff/{narin.id}/deactivate")
    owner.send(f"/settings/staff/{narin.id}/deactivate")
    assert len(deeds(Deed.STAFF_DEACTIVATED)) == 1
    owner.send(f"/settings/staff/{narin.id}/link", {}, 422)
    assert count(Invitation) == 0


# --- at once ------------------------------------------------------------------------------------


def test_of_two_owners_who_let_each_other_go_at_the_same_moment_one_stays(app, owner):
    ana = make_staff("owner")
    other = app.test_client().be(ana)

    def lets_go(client, staff_id):
        data = {"csrf_token": client.csrf_token()}
        return client.post(f"/settings/staff/{staff_id}/deactivate", data=data).status_code

    jobs = [(owner, ana.id), (other, owner.staff_id)]
    answers = at_once(app, *(lambda client=client, gone=gone: lets_go(client, gone) for client, gone in jobs))
    # Whoever comes second is told why not, or is no owner any more by then.
    assert sorted(answers)[0] == 303
    assert sorted(answers)[1] in {401, 422}
    db.session.expire_all()
    assert db.session.scalar(select(func.count(Staff.id)).where(Staff.role == "owner", Staff.active)) == 1


def test_of_two_who_use_a_link_at_the_same_moment_one_is_in(app, invite):
    link = invite()
    browsers = [app.test_client() for _ in range(2)]

    def joins(browser, password):
        return browser.post(link, data={"csrf_token": browser.csrf_token(), "password": password}).status_code

    words = ("four louder lamps", "five louder lamps")
    jobs = zip(browsers, words, strict=True)
    answers = at_once(app, *(lambda browser=browser, word=word: joins(browser, word) for browser, word in jobs))
    assert sorted(answers) == [303, 404]
    assert len(deeds(Deed.STAFF_JOINED)) == 1


# --- one's own account --------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "manager", "technician", "front_desk"])
def test_everyone_changes_their_own_password(app, request, role):
    client = request.getfixturevalue(role)
    form = {"current": PASSWORD, "password": NEW_PASSWORD}
    answer = client.send("/account", form, on="/account")
    assert "Password changed" in client.page(answer.location).one("#said").get_text()
    app.test_client().send("/login", {"email": client.staff.email, "password": PASSWORD}, 422)
    app.test_client().sign_in(client.staff, NEW_PASSWORD)
    assert deeds(Deed.PASSWORD_CHANGED) == [(client.staff_id, "", "")]


def test_the_shop_does_not_wait_while_the_hash_of_a_new_password_is_worked_out(technician, monkeypatch):
    held, work_out = [], passwords.hash_password

    def look(password):
        held.append(db.session().in_transaction())
        return work_out(password)

    monkeypatch.setattr(passwords, "hash_password", look)
    technician.send("/account", {"current": PASSWORD, "password": NEW_PASSWORD})
    assert held == [False]


@pytest.mark.parametrize(
    ("form", "bad"),
    [
        ({"current": "wrong", "password": NEW_PASSWORD}, "current"),
        ({"current": "", "password": NEW_PASSWORD}, "current"),
        ({"current": PASSWORD, "password": ""}, "password"),
        ({"current": PASSWORD, "password": "short"}, "password"),
        ({"current": PASSWORD, "password": "password12345"}, "password"),
        ({"current": PASSWORD, "password": "x" * 201}, "password"),
    ],
)
def test_a_password_that_cannot_be_changed_stays(app, technician, form, bad):
    page = technician.send("/account", form, 422)
    assert page.one("[aria-invalid=true]")["name"] == bad
    assert page.one(f"#{bad}-error").get_text(strip=True)
    assert not [field for field in page.all("input[type=password]") if field.get("value")]
    app.test_client().sign_in(technician.staff, PASSWORD)


def test_everyone_changes_their_own_name(technician):
    assert technician.page("/account").one("#name")["value"] == technician.staff.name
    technician.send("/account/name", {"name": "  Narin   S "}, on="/account")
    assert technician.staff.name == "Narin S"
    for bad in ("", "x" * 81):
        page = technician.send("/account/name", {"name": bad}, 422)
        assert page.one("#name-error").get_text(strip=True)
        assert page.one("#name")["value"] == bad
    assert technician.staff.name == "Narin S"


WITH = {"Firefox, Windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"}
WITH |= {"Safari, iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"}


def test_the_account_lists_where_one_is_signed_in_and_ends_one_of_them(app, technician):
    other = app.test_client()
    form = {"email": technician.staff.email, "password": PASSWORD}
    other.send("/login", form, headers={"User-Agent": WITH["Firefox, Windows"]})
    page = technician.page("/account")
    lines = page.all(".sessions li")
    assert ["this browser" in line.get_text() for line in lines] == [False, True]
    assert "Firefox, Windows" in lines[0].get_text()
    assert not lines[1].select("form"), "this one signs out in the menu"
    technician.send(lines[0].select_one("form")["action"], on="/account")
    other.page("/account", 302)
    technician.page("/account")


def test_nobody_ends_the_session_of_another(app, technician, owner):
    theirs = db.session.scalars(select(SignIn).where(SignIn.staff_id == owner.staff_id)).one()
    technician.send(f"/account/sessions/{theirs.id}/end", {}, 404)
    technician.send("/account/sessions/2147483647/end", {}, 404)
    mine = db.session.scalars(select(SignIn).where(SignIn.staff_id == technician.staff_id)).one()
    technician.send(f"/account/sessions/{mine.id}/end")
    technician.page("/account")
    owner.page("/account")


def test_the_account_shows_the_last_sign_ins_and_what_failed(app, technician):
    email = technician.staff.email
    phone = {"User-Agent": WITH["Safari, iPhone"]}
    app.test_client().send("/login", {"email": email, "password": "wrong"}, 422, headers=phone)
    other = app.test_client().sign_in(technician.staff)
    other.send("/logout")
    make_staff("owner")
    app.test_client().send("/login", {"email": "nobody@example.com", "password": "wrong"}, 422)
    lines = [line.get_text(" ", strip=True) for line in technician.page("/account").all(".last li")]
    assert len(lines) == 3
    assert lines[1].endswith("wrong password, Safari, iPhone")
    assert not [line for line in (lines[0], lines[2]) if "wrong password" in line]


def test_a_sign_in_that_failed_is_written_down_without_what_was_typed(app, shop):
    ana = make_staff("owner", email="ana@example.com")
    for email in ("ana@example.com", "nobody@example.com"):
        app.test_client().send("/login", {"email": email, "password": "my other password"}, 422)
    assert deeds(Deed.SIGN_IN_FAILED) == [(None, f"staff {ana.id}", "wrong password"), (None, "", "wrong password")]


def test_an_owner_invited_by_a_form_that_did_not_ask_yet_is_asked_for_and_nothing_is_lost(owner):
    form = {"name": "Mo Ortega", "email": "mo@example.com", "role": "owner", "branch": "0"}
    page = owner.send("/settings/staff/new", form, 422)
    assert page.one("input[name=current][aria-invalid=true]")
    assert page.one("input[name=name]")["value"] == "Mo Ortega"
    for staff_id in (owner.staff_id, make_staff("technician").id):
        owner.send(f"/settings/staff/{staff_id}", form, 422)
