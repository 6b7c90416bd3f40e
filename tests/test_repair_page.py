"""The repair page: every button of every panel, with htmx and without, for each role, and when two are at it."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from app.db import db, utcnow
from app.models import Event
from app.repairs import actions

from .factories import make_repair, make_staff

# A Monday, ten in the morning in Bangkok.
MORNING = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
BANGKOK = ZoneInfo("Asia/Bangkok")


class Verb(NamedTuple):
    """What a button does: to a repair in that state, with that form, in that panel; and what comes of it."""

    start: dict
    form: dict
    panel: str
    also: set
    becomes: str
    event: tuple


WORKING = {"status": "diagnosing"}
WAITING = {"status": "waiting_parts", "paused_from": "diagnosing"}
ITS_OWN = {"#history"}
FAR = {"#promise", "#tracking-card", "#details", "#history"}
NO_PART, WRONG_BUTTON = {"reason": "No part to be had.", "public": "y"}, {"reason": "Wrong button."}
LATER = {"promise_pick": "tomorrow", "reason": "The part is late."}
NOTE, NEWS = {"text": "Battery at 71 %."}, {"text": "The glass is here."}
VERBS = {
    "advance": Verb(WORKING, {}, "status", FAR, "repairing", ("advanced", "", False)),
    "jump": Verb(WORKING, {"to": "ready"}, "status", FAR, "ready", ("jumped", "", False)),
    "pause": Verb(WORKING, {}, "status", FAR, "waiting_parts", ("paused", "", False)),
    "resume": Verb(WAITING, {}, "status", FAR, "diagnosing", ("resumed", "", False)),
    "revert": Verb(WORKING, WRONG_BUTTON, "status", FAR, "received", ("reverted", "Wrong button.", False)),
    "cancel": Verb(WORKING, NO_PART, "status", FAR, "cancelled", ("cancelled", "No part to be had.", True)),
    "promise": Verb(
        WORKING, LATER, "promise", {"#status", "#history"}, "diagnosing", ("promised", LATER["reason"], True)
    ),
    "notes": Verb(WORKING, NOTE, "notes", ITS_OWN, "diagnosing", ("noted", "Battery at 71 %.", False)),
    "updates": Verb(WORKING, NEWS, "updates", ITS_OWN, "diagnosing", ("updated", "The glass is here.", True)),
    "link": Verb(WORKING, {}, "tracking-card", ITS_OWN, "diagnosing", ("link_replaced", "", False)),
    "take": Verb(WORKING, {}, "details", ITS_OWN, "diagnosing", ("edited", "technician (was: nobody)", False)),
}
PANELS = {"status", "promise", "notes", "updates", "tracking-card", "details", "history"}


def address(repair, verb=""):
    return f"/repairs/{repair.code}" + (f"/{verb}" if verb else "")


def form_for(repair, verb, **changes):
    return {"version": repair.version} | VERBS[verb].form | changes


def happened(repair):
    return db.session.scalar(select(func.count()).select_from(Event).where(Event.repair_id == repair.id))


def last_event(repair):
    return db.session.scalars(select(Event).where(Event.repair_id == repair.id).order_by(Event.id.desc())).first()


def partials(page):
    """Where the other panels of an answer to htmx go."""
    return {part["hx-target"] for part in page.all("hx-partial")}


def root(page):
    """The id of the panel that goes where the form stood: the first element of the answer."""
    return next(element for element in page.soup.children if element.name)["id"]


def words(element):
    return " ".join(element.get_text(" ").split())


def typed_is_kept(page, verb):
    """Whether the panel still holds what was typed, in fields that one sees."""
    form = VERBS[verb].form
    panel = page.one(f"#{VERBS[verb].panel}")
    own = next(form for form in panel.select("form") if form["action"].endswith(f"/{verb}"))
    if "text" in form:
        assert own.select_one("textarea[name=text]").get_text().strip() == form["text"]
    if "reason" in form:
        assert own.select_one("[name=reason]")["value"] == form["reason"]
        assert own.find_parent("details").has_attr("open")
    if "public" in form:
        assert own.select_one("[name=public]").has_attr("checked")
    if "promise_pick" in form:
        assert own.select_one("[name=promise_pick][checked]")["value"] == form["promise_pick"]
    return True


# --- the page -----------------------------------------------------------------------------------


def test_the_page_says_everything_about_the_repair(owner):
    narin = make_staff("technician", name="Narin")
    repair = make_repair(
        item="Road bike",
        problem="The chain jumps.\nThe brakes squeal.",
        serial="WTU123",
        accessories="Bottle, lock",
        estimate=125050,
        technician_id=narin.id,
    )
    page = owner.page(address(repair))
    assert page.one("h1").get_text() == "Road bike"
    details = page.one("section[aria-labelledby=details-title]")
    said = {term.get_text(): words(term.find_next_sibling("dd")) for term in details.select("dt")}
    assert said["Problem"] == "The chain jumps. The brakes squeal."
    assert (said["Serial"], said["Left with it"]) == ("WTU123", "Bottle, lock")
    assert "1,250.50" in said["Estimate"]
    assert (said["Technician"], said["Branch"]) == ("Narin", "Main")
    customer = repair.customer
    assert page.one(f'.page-head a[href="/customers/{customer.id}"]').get_text() == customer.name
    assert page.one(f'.page-head a[href="tel:{customer.phone}"]')
    assert page.one(f'a[href="{address(repair)}/receipt"]')
    assert page.one(f'a[href="{address(repair)}/edit"]')
    for panel in PANELS:
        page.one(f"#{panel}")


def test_every_role_sees_the_page(manager, technician, front_desk):
    repair = make_repair()
    for client in (manager, technician, front_desk):
        client.page(address(repair))


NO_CODES = ["TH-MN-R0002", "x", "%00", "TH-MN-R0001%00", "ß", "x" * 5000, "TH-MN-R0001x", "' OR 1=1", "%25"]


def test_a_code_that_nothing_has_is_not_found(owner):
    make_repair()
    for code in NO_CODES:
        owner.page(f"/repairs/{code}", 404)
        owner.page(f"/repairs/{code}/receipt", 404)
        owner.send(f"/repairs/{code}/advance", {"version": 2}, 404)


def test_a_code_may_be_typed_in_small_letters(owner):
    make_repair()
    assert owner.page("/repairs/th-mn-r0001").one("#status")


NEXT = {
    "received": ("advance", "Diagnosing"),
    "diagnosing": ("advance", "Repairing"),
    "waiting_parts": ("resume", "Repairing"),
    "repairing": ("advance", "Testing"),
    "testing": ("advance", "Ready"),
    "ready": ("advance", "Delivered"),
}


@pytest.mark.parametrize("status", NEXT)
def test_the_first_form_of_the_status_panel_is_the_next_step(owner, status):
    repair = make_repair(status=status)
    verb, label = NEXT[status]
    panel = owner.page(address(repair)).one(f"#status[data-status={status}]")
    form = panel.select("form")[0]
    assert form["action"] == form["hx-post"] == address(repair, verb)
    assert form["method"] == "post"
    button = form.select_one("button.primary")
    assert label in words(button)
    assert not button.has_attr("disabled")
    assert len(panel.select("button.primary")) == 1, "one primary button"


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
def test_a_closed_repair_offers_no_next_step(owner, status):
    panel = owner.page(address(make_repair(status=status))).one("#status")
    assert not panel.select("button.primary")
    assert {form["action"].rpartition("/")[2] for form in panel.select("form")} == {"revert"}


OFFERED = [
    # role, status, forms beside the next step
    ("owner", "received", {"jump", "cancel"}),
    ("owner", "repairing", {"jump", "pause", "revert", "cancel"}),
    ("manager", "waiting_parts", {"revert", "cancel"}),
    ("technician", "received", {"jump"}),
    ("technician", "diagnosing", {"jump", "pause"}),
    ("technician", "testing", {"pause"}),
    ("technician", "ready", set()),
    ("front_desk", "received", set()),
    ("front_desk", "testing", set()),
    ("front_desk", "delivered", set()),
]


@pytest.mark.parametrize(("role", "status", "offered"), OFFERED)
def test_only_what_one_may_do_is_offered(request, role, status, offered):
    client = request.getfixturevalue(role)
    panel = client.page(address(make_repair(status=status))).one("#status")
    forms = {form["action"].rpartition("/")[2] for form in panel.select("form")}
    assert forms - {"advance", "resume"} == offered


def test_the_button_for_a_step_that_is_not_one_s_own_says_whose_it_is(technician, front_desk):
    repair = make_repair(status="testing")
    for client, who in ((technician, "an owner or a manager"), (front_desk, "an owner or a manager")):
        button = client.page(address(repair)).one("#status form button.primary")
        assert button.has_attr("disabled")
        hint = client.page(address(repair)).one("#" + button["aria-describedby"])
        assert who in hint.get_text()


def test_the_button_that_resumes_says_whose_it_is_too(front_desk):
    page = front_desk.page(address(make_repair(status="waiting_parts")))
    button = page.one("#status form button.primary")
    assert button.has_attr("disabled")
    assert "technician" in page.one("#" + button.get("aria-describedby", "missing")).get_text()


@pytest.mark.parametrize(("role", "leads"), [("owner", ["testing", "ready", "delivered"]), ("technician", ["testing"])])
def test_the_jump_menu_leads_to_later_steps_only(request, role, leads):
    page = request.getfixturevalue(role).page(address(make_repair(status="diagnosing")))
    assert [button["value"] for button in page.all("#status [name=to]")] == leads


PERCENT = [("received", "0"), ("waiting_parts", "50"), ("ready", "83"), ("delivered", "100")]


@pytest.mark.parametrize(("status", "percent"), PERCENT)
def test_the_progress_is_the_customer_s(owner, status, percent):
    assert owner.page(address(make_repair(status=status))).one("#status progress")["value"] == percent


def test_a_reason_that_need_not_be_given_says_so(owner):
    page = owner.page(address(make_repair(status="repairing")))
    for name in ("cancel-reason", "revert-reason", "promise-reason"):
        assert page.one(f"label[for={name}] .optional").get_text() == "optional", name
    promised = owner.page(address(make_repair(promised_at=utcnow() + timedelta(days=1))))
    assert not promised.all("label[for=promise-reason] .optional"), "the customer was told another time"


def test_a_cancelled_repair_shows_no_progress(owner):
    assert not owner.page(address(make_repair(status="cancelled"))).all("#status progress")


# --- each button --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VERBS)
def test_with_htmx_a_button_answers_its_panel_and_all_that_changed_with_it(owner, clock, name):
    clock.set(MORNING)
    verb = VERBS[name]
    repair = make_repair(**verb.start)
    before = repair.version
    page = owner.htmx(address(repair, name), form_for(repair, name))
    assert root(page) == verb.panel
    assert partials(page) == verb.also | {"#said", "#alert"}
    assert not page.all("html, main, [role=alert]")
    assert page.one("hx-partial[hx-target='#said']").get_text(strip=True)
    for panel in {verb.panel, *(target[1:] for target in verb.also)}:
        for version in page.all(f"#{panel} [name=version]"):
            assert version["value"] == str(repair.version)
    assert repair.version == before + 1
    assert repair.status == verb.becomes
    event = last_event(repair)
    assert (event.kind, event.text, event.public) == verb.event
    assert event.staff_id == owner.staff_id


@pytest.mark.parametrize("name", VERBS)
def test_without_htmx_a_button_leads_back_to_the_page(owner, name):
    repair = make_repair(**VERBS[name].start)
    answer = owner.send(address(repair, name), form_for(repair, name))
    assert answer.location == address(repair)
    assert repair.status == VERBS[name].becomes
    page = owner.page(answer.location)
    assert page.one("#said").get_text(strip=True)
    assert not page.all("[role=alert]")


def test_every_form_of_the_page_works_with_and_without_htmx(owner):
    for start in (WORKING, WAITING):
        repair = make_repair(**start)
        page = owner.page(address(repair))
        for name, verb in VERBS.items():
            if verb.start != start:
                continue
            (form,) = page.all(f'form[action="{address(repair, name)}"]')
            assert form["method"] == "post"
            assert form["hx-post"] == form["action"]
            assert form["hx-target"] == f"#{verb.panel}"
            assert form.select_one("[name=version]")["value"] == str(repair.version)
            assert form.select_one("[name=csrf_token]")["value"]
            assert verb.form.keys() <= {field["name"] for field in form.select("[name]")}


def test_a_button_without_the_page_s_token_does_nothing(owner):
    repair = make_repair(status="repairing")
    before = repair.version
    for name in VERBS:
        assert owner.post(address(repair, name), data=form_for(repair, name)).status_code == 400
        owner.page(address(repair, name), 405)
    assert repair.version == before


def test_the_whole_way_can_be_walked_with_the_big_button_alone(owner):
    repair = make_repair()
    for status in ("diagnosing", "repairing", "testing", "ready", "delivered"):
        form = owner.page(address(repair)).all("#status form")[0]
        owner.send(form["action"], {"version": form.select_one("[name=version]")["value"]})
        assert repair.status == status


def test_a_move_costs_as_many_statements_whoever_is_at_the_repair(owner, statements):
    for technician_id in (None, make_staff("technician").id):
        repair = make_repair(technician_id=technician_id)
        where, version = address(repair, "advance"), {"version": repair.version}
        owner.csrf_token()
        statements.clear()
        owner.htmx(where, version)
        assert len(statements) == 9, "\n".join(statements)


def test_whoever_may_not_undo_reads_who_may(technician, front_desk, manager):
    repair = make_repair()
    said = "Only an owner or a manager may undo a move."
    assert said not in words(technician.page(address(repair)).one("#status")), "there is nothing to undo yet"
    technician.htmx(address(repair, "advance"), {"version": repair.version})
    for client in (technician, front_desk):
        assert said in words(client.page(address(repair)).one("#status"))
    assert said not in words(manager.page(address(repair)).one("#status"))


# --- two people at once -------------------------------------------------------------------------


@pytest.fixture
def somchai(shop):
    """Whoever was faster."""
    return make_staff("manager", name="Somchai")


def meanwhile(repair, by):
    """Something that somebody else does while the page is open."""
    actions.add_note(repair, "I was here first.", by=by, version=repair.version)


@pytest.mark.parametrize("name", VERBS)
def test_whoever_is_slower_is_told_who_was_faster_and_loses_nothing(owner, somchai, clock, name):
    clock.set(MORNING)
    repair = make_repair(**VERBS[name].start)
    form = form_for(repair, name)
    clock.forward(minutes=7)
    meanwhile(repair, somchai)
    clock.forward(minutes=1)
    before, status = happened(repair), repair.status
    page = owner.htmx(address(repair, name), form, 409)
    assert root(page) == VERBS[name].panel
    alert = page.one(f"#{VERBS[name].panel} [role=alert]").get_text()
    assert "Somchai" in alert
    assert "10:07" in alert
    assert partials(page) >= {f"#{panel}" for panel in PANELS - {VERBS[name].panel}}
    assert "I was here first." in page.one("#history").get_text()
    assert typed_is_kept(page, name)
    assert (happened(repair), repair.status) == (before, status)
    # Once more, from the panel as it now stands.
    (version,) = {version["value"] for version in page.all("[name=version]")}
    owner.htmx(address(repair, name), form | {"version": version})
    assert repair.status == VERBS[name].becomes


@pytest.mark.parametrize("name", VERBS)
def test_without_htmx_the_whole_page_says_who_was_faster(owner, somchai, name):
    repair = make_repair(**VERBS[name].start)
    form = form_for(repair, name)
    meanwhile(repair, somchai)
    page = owner.send(address(repair, name), form, 409)
    assert "Somchai" in page.one(f"#{VERBS[name].panel} [role=alert]").get_text()
    assert page.one("h1").get_text() == repair.item
    assert len(page.all("[role=alert]")) == 1
    assert typed_is_kept(page, name)


@pytest.mark.parametrize(("name", "start"), [("cancel", "ready"), ("promise", "ready"), ("revert", "repairing")])
def test_what_was_typed_stays_even_where_it_cannot_be_sent_any_more(owner, somchai, clock, name, start):
    """Somebody else closed the repair, or took back the only move, while one wrote the reason."""
    clock.set(MORNING)
    repair = make_repair(status=start)
    form = form_for(repair, name)
    if name == "revert":
        while repair.status != "received":
            actions.revert(repair, by=somchai, version=repair.version, reason="")
    else:
        actions.advance(repair, by=somchai, version=repair.version)
    page = owner.htmx(address(repair, name), form, 409)
    panel = page.one(f"#{VERBS[name].panel}")
    seen = words(panel) + " ".join(field.get("value", "") for field in panel.select("input:not([type=hidden])"))
    assert form["reason"] in seen


def test_a_version_that_no_page_had_changes_nothing(owner):
    repair = make_repair()
    for form in ({}, *({"version": version} for version in ("", "x", "-1", "0", "99999999999999999999"))):
        answer = owner.post(address(repair, "advance"), data=form | {"csrf_token": owner.csrf_token()})
        assert answer.status_code in {409, 422}, form
        assert repair.status == "received", form


def test_a_double_click_takes_one_step(owner):
    repair = make_repair()
    form = form_for(repair, "advance")
    owner.htmx(address(repair, "advance"), form)
    owner.htmx(address(repair, "advance"), form, 409)
    assert repair.status == "diagnosing"


# --- who may ------------------------------------------------------------------------------------

FORBIDDEN = [
    # role, verb, status, who may, as the refusal names them
    ("technician", "advance", "testing", "an owner or a manager"),
    ("technician", "advance", "ready", "an owner, a manager or the front desk"),
    ("technician", "jump", "repairing", "an owner or a manager"),
    ("technician", "revert", "repairing", "an owner or a manager"),
    ("technician", "cancel", "repairing", "an owner or a manager"),
    ("front_desk", "advance", "received", "an owner, a manager or a technician"),
    ("front_desk", "pause", "repairing", "an owner, a manager or a technician"),
    ("front_desk", "resume", "waiting_parts", "an owner, a manager or a technician"),
    ("front_desk", "link", "ready", "an owner or a manager"),
]


@pytest.mark.parametrize(("role", "name", "status", "who"), FORBIDDEN)
def test_a_move_that_is_not_one_s_own_is_refused_and_says_whose_it_is(request, role, name, status, who):
    client = request.getfixturevalue(role)
    repair = make_repair(status=status)
    before = happened(repair)
    for post in (client.htmx, client.send):
        page = post(address(repair, name), form_for(repair, name), 403)
        assert who in page.one("[role=alert]").get_text()
    assert (happened(repair), repair.status) == (before, status)


ALLOWED = [
    ("technician", "advance", "received"),
    ("technician", "pause", "testing"),
    ("technician", "resume", "waiting_parts"),
    ("front_desk", "advance", "ready"),
    ("manager", "advance", "testing"),
    ("manager", "revert", "delivered"),
    ("manager", "link", "ready"),
    *[(role, name, "received") for role in ("technician", "front_desk") for name in ("promise", "notes", "updates")],
]


@pytest.mark.parametrize(("role", "name", "status"), ALLOWED)
def test_everyone_does_their_part(request, role, name, status):
    client = request.getfixturevalue(role)
    repair = make_repair(status=status)
    before = happened(repair)
    client.htmx(address(repair, name), form_for(repair, name))
    assert happened(repair) == before + 1


def test_whoever_may_not_replace_the_link_is_not_offered_it(technician):
    repair = make_repair()
    assert not technician.page(address(repair)).all(f'form[action="{address(repair, "link")}"]')


# --- refused by a rule --------------------------------------------------------------------------

REFUSED = [
    ("advance", "delivered", {}),
    ("advance", "cancelled", {}),
    ("advance", "waiting_parts", {}),
    ("jump", "repairing", {"to": "waiting_parts"}),
    ("jump", "repairing", {"to": "nowhere"}),
    ("jump", "repairing", {"to": ""}),
    ("pause", "received", {}),
    ("resume", "repairing", {}),
    ("revert", "received", {}),
    ("cancel", "delivered", {}),
    ("promise", "delivered", {}),
    ("promise", "repairing", {"promise_pick": "none"}),
    ("promise", "repairing", {"promise_pick": "yesterday"}),
    ("promise", "repairing", {"promise_pick": "custom", "promise_at": ""}),
    ("promise", "repairing", {"promise_pick": "custom", "promise_at": "2020-01-01T10:00"}),
    ("notes", "repairing", {"text": ""}),
    ("notes", "repairing", {"text": " \r\n\t "}),
    ("updates", "repairing", {"text": ""}),
]


@pytest.mark.parametrize(("name", "status", "changes"), REFUSED)
def test_what_a_rule_forbids_is_refused_in_its_panel_and_changes_nothing(owner, name, status, changes):
    repair = make_repair(status=status)
    before = happened(repair)
    panel = owner.htmx(address(repair, name), form_for(repair, name, **changes), 422)
    assert root(panel) == VERBS[name].panel
    assert panel.one(".alert[role=alert]").get_text(strip=True)
    assert (happened(repair), repair.status) == (before, status)


@pytest.mark.parametrize(("name", "status", "changes"), REFUSED[::4])
def test_without_htmx_a_refusal_is_the_whole_page(owner, name, status, changes):
    repair = make_repair(status=status)
    page = owner.send(address(repair, name), form_for(repair, name, **changes), 422)
    assert page.one(f"#{VERBS[name].panel} .alert[role=alert]").get_text(strip=True)
    assert page.one("h1").get_text() == repair.item


TOO_LONG = [("notes", "text"), ("updates", "text"), ("cancel", "reason"), ("promise", "reason")]


@pytest.mark.parametrize(("name", "field"), TOO_LONG)
def test_a_text_that_is_too_long_is_kept(owner, name, field):
    repair = make_repair(status="repairing")
    text = "a word " * 400
    panel = owner.htmx(address(repair, name), form_for(repair, name, **{field: text}), 422).one(f"#{VERBS[name].panel}")
    (own,) = panel.select(f'form[action="{address(repair, name)}"] [name={field}]')
    assert (own.get("value") or own.get_text()).strip() == text.strip()


# --- promise ------------------------------------------------------------------------------------


def promise(client, repair, status=200, **form):
    return client.htmx(address(repair, "promise"), {"version": repair.version} | form, status)


def test_a_promise_is_made_changed_and_taken_back(front_desk, clock):
    clock.set(MORNING)
    repair = make_repair()
    made = promise(front_desk, repair, promise_pick="today")
    assert made.one("hx-partial[hx-target='#said']").get_text(strip=True) == "Promise saved."
    assert repair.promised_at == datetime(2026, 11, 23, 18, 0, tzinfo=BANGKOK)
    panel = promise(
        front_desk, repair, promise_pick="custom", promise_at="2026-11-25T12:30", reason="The part is late."
    )
    assert repair.promised_at == datetime(2026, 11, 25, 12, 30, tzinfo=BANGKOK)
    assert panel.one("#promise header time")["datetime"] == "2026-11-25T05:30:00Z"
    panel = promise(front_desk, repair, promise_pick="none", reason="Nobody knows yet.")
    assert repair.promised_at is None
    assert panel.one("hx-partial[hx-target='#said']").get_text(strip=True) == "The promise is taken back."
    assert "None given" in panel.one("#promise header").get_text()
    told = panel.one("#history").get_text()
    assert "The part is late." in told
    assert "Nobody knows yet." in told


def test_changing_a_promise_asks_for_the_reason(front_desk, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING + timedelta(hours=5))
    panel = promise(front_desk, repair, 422, promise_pick="tomorrow", reason=" ")
    assert "reason" in panel.one("#promise [role=alert]").get_text().lower()
    assert panel.one("#promise [name=promise_pick][checked]")["value"] == "tomorrow"
    assert repair.promised_at == MORNING + timedelta(hours=5)


def test_the_time_that_could_not_be_promised_is_still_in_its_field(front_desk, clock):
    clock.set(MORNING)
    panel = promise(
        front_desk, make_repair(), 422, promise_pick="custom", promise_at="2026-11-22T10:00", reason="Sorry."
    )
    assert panel.one("#promise [name=promise_at]")["value"] == "2026-11-22T10:00"
    assert panel.one("#promise [name=promise_at]")["aria-invalid"] == "true"
    assert panel.one("#promise [name=reason]")["value"] == "Sorry."


def test_a_promise_that_passed_is_called_late(front_desk, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING - timedelta(hours=3))
    assert "late 3 hours" in words(front_desk.page(address(repair)).one("#promise .late"))


# --- notes and updates --------------------------------------------------------------------------


def test_notes_and_updates_are_apart_the_newest_first(owner):
    repair = make_repair()
    for verb, text in (("notes", "Note one"), ("updates", "Update one"), ("notes", "Note two\nin two lines")):
        owner.send(address(repair, verb), {"version": repair.version, "text": text})
    page = owner.page(address(repair))
    name = owner.staff.name
    assert [words(p) for p in page.all("#notes .said li p:first-child")] == ["Note two in two lines", "Note one"]
    assert [words(p) for p in page.all("#updates .said li p:first-child")] == ["Update one"]
    assert page.all("#notes .said li p br")
    assert all(name in words(p) for p in page.all("#notes .said li .quiet, #updates .said li .quiet"))
    assert "staff" in page.one("#notes header").get_text()
    assert "customer" in page.one("#updates header").get_text()


def test_the_customer_reads_the_update_and_not_the_note(owner, anyone):
    repair = make_repair()
    owner.htmx(address(repair, "notes"), {"version": repair.version, "text": "Between us"})
    owner.htmx(address(repair, "updates"), {"version": repair.version, "text": "For you"})
    page = anyone.page(f"/t/{repair.token}")
    assert "For you" in page.one("#updates").get_text()
    assert "Between us" not in page.html


# --- history ------------------------------------------------------------------------------------


def test_the_history_says_who_did_what_and_when_the_newest_first(owner, clock):
    clock.set(MORNING)
    repair = make_repair(by=owner.staff)
    for verb, form in (("advance", {}), ("pause", {}), ("resume", {}), ("jump", {"to": "ready"})):
        clock.forward(minutes=10)
        owner.htmx(address(repair, verb), {"version": repair.version} | form)
    owner.htmx(address(repair, "revert"), {"version": repair.version, "reason": "Too early."})
    owner.htmx(address(repair, "cancel"), {"version": repair.version, "reason": "No part."})
    lines = [words(line) for line in owner.page(address(repair)).all("#history li")]
    assert [line.partition(f" {owner.staff.name}")[0] for line in lines] == [
        "Diagnosing → Cancelled No part.",
        "Undid Ready , back to Diagnosing Too early.",
        "Diagnosing → Ready (jumped)",
        "Waiting for parts → Diagnosing",
        "Diagnosing → Waiting for parts",
        "Received → Diagnosing",
        "Taken in",
    ]
    times = [time["datetime"] for time in owner.page(address(repair)).all("#history li > p:last-child time")]
    assert times[-2:] == ["2026-11-23T03:10:00Z", "2026-11-23T03:00:00Z"]


# --- the link -----------------------------------------------------------------------------------


def test_a_replaced_link_opens_nothing_and_the_new_one_does(manager, anyone):
    repair = make_repair()
    old = repair.token
    anyone.page(f"/t/{old}")
    card = manager.htmx(address(repair, "link"), {"version": repair.version}).one("#tracking-card")
    assert repair.token != old
    assert card.select_one("input[readonly]")["value"] == f"https://repairs.example.com/t/{repair.token}"
    anyone.page(f"/t/{old}", 404)
    anyone.page(f"/t/{old}/live", 404)
    anyone.page(f"/t/{repair.token}")


# --- take it ------------------------------------------------------------------------------------


def taking(client, repair):
    """The button that takes a repair, if it is there."""
    return [form.select_one("button") for form in client.page(address(repair)).all('form[action$="/take"]')]


def test_whoever_may_have_a_repair_takes_it_with_one_tap(technician, manager, owner):
    for client in (technician, manager, owner):
        repair = make_repair()
        (button,) = taking(client, repair)
        assert words(button) == "Take it"
        assert "Technician" in words(button.find_parent("dd").find_previous_sibling("dt"))
        panel = client.htmx(address(repair, "take"), {"version": repair.version})
        assert repair.technician_id == client.staff_id
        assert client.staff.name in words(panel.one("#details"))
        assert not panel.all('form[action$="/take"]')
        assert panel.one("hx-partial[hx-target='#said']").get_text(strip=True) == "It is yours now."
        assert last_event(repair).new == "technician_id"


def test_without_htmx_the_page_says_whose_it_is_now(technician):
    repair = make_repair()
    page = technician.page(technician.send(address(repair, "take"), {"version": repair.version}).location)
    assert page.one("#said").get_text(strip=True) == "It is yours now."
    assert technician.staff.name in words(page.one("#details"))


def test_what_is_somebody_s_or_finished_or_not_of_one_s_work_is_not_offered(technician, front_desk, somchai):
    theirs, done, free = make_repair(technician_id=somchai.id), make_repair(status="delivered"), make_repair()
    cancelled = make_repair(status="cancelled")
    assert not [repair for repair in (theirs, done, cancelled) if taking(technician, repair)]
    assert not taking(front_desk, free)
    for client, repair, why in (
        (technician, theirs, "that nobody has taken yet"),
        (technician, done, "Only an open repair"),
        (front_desk, free, "takes no repairs"),
    ):
        before, whose = happened(repair), repair.technician_id
        page = client.send(address(repair, "take"), {"version": repair.version}, 422)
        assert why in page.one("#details [role=alert]").get_text()
        assert (happened(repair), repair.technician_id) == (before, whose)


def test_of_two_who_take_it_the_slower_one_is_told_whose_it_is(technician, somchai):
    repair = make_repair()
    seen = repair.version
    actions.take(repair, by=somchai, version=seen)
    for post in (technician.htmx, technician.send):
        details = post(address(repair, "take"), {"version": seen}, 409).one("#details")
        assert "Somchai changed this repair" in details.select_one("[role=alert]").get_text()
        assert "Somchai" in words(details.select_one("dl"))
        assert not details.select("form")
    assert repair.technician_id == somchai.id


def test_a_repair_that_is_closed_meanwhile_is_not_offered_any_more(owner):
    repair = make_repair(status="ready")
    assert taking(owner, repair)
    panel = owner.htmx(address(repair, "advance"), {"version": repair.version})
    assert not panel.one("hx-partial[hx-target='#details']").select("form")


# --- edit ---------------------------------------------------------------------------------------


def as_shown(page):
    """What the edit form holds, as a browser would send it."""
    form = {}
    for field in page.all("form[method=post].stack [name]"):
        if field.name == "select":
            form[field["name"]] = field.select_one("option[selected]")["value"]
        elif field.name == "textarea":
            form[field["name"]] = field.get_text().replace("\r", "").removeprefix("\n")
        else:
            form[field["name"]] = field.get("value", "")
    return form


@pytest.fixture
def rich(shop):
    """A repair with something in every field."""
    narin = make_staff("technician", name="Narin")
    return make_repair(serial="WTU123", accessories="Lock", estimate=125050, technician_id=narin.id)


def test_the_edit_form_holds_what_was_written_down(front_desk, rich):
    form = as_shown(front_desk.page(address(rich, "edit")))
    assert (form["item"], form["problem"]) == ("iPhone 13", "The screen is cracked.")
    assert (form["serial"], form["accessories"], form["estimate"]) == ("WTU123", "Lock", "1250.50")
    assert form["technician"] == str(rich.technician_id)
    assert form["version"] == str(rich.version)


def test_saving_what_was_not_changed_changes_nothing(front_desk, rich):
    before = (rich.version, happened(rich))
    answer = front_desk.send(address(rich, "edit"), as_shown(front_desk.page(address(rich, "edit"))))
    assert answer.location == address(rich)
    assert (rich.version, happened(rich)) == before


def test_what_was_written_down_can_be_changed_and_the_history_says_so(front_desk, rich):
    form = as_shown(front_desk.page(address(rich, "edit")))
    changes = {"item": "iPhone 12", "estimate": "99.90", "technician": "0", "serial": ""}
    front_desk.send(address(rich, "edit"), form | changes)
    assert (rich.item, rich.estimate, rich.technician_id, rich.serial) == ("iPhone 12", 9990, None, "")
    assert rich.accessories == "Lock"
    told = words(front_desk.page(address(rich)).all("#history li")[0])
    for part in ("iPhone 13", "1250.50", "Narin", "WTU123", front_desk.staff.name):
        assert part in told
    assert "Lock" not in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("item", ""),
        ("problem", " "),
        ("item", "x" * 121),
        ("estimate", "a lot"),
        ("technician", "99"),
        ("serial", "x" * 81),
    ],
)
def test_a_mistake_in_the_edit_form_loses_nothing(front_desk, rich, name, value):
    form = as_shown(front_desk.page(address(rich, "edit"))) | {"accessories": "Lock, bottle"} | {name: value}
    page = front_desk.send(address(rich, "edit"), form, 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == [name]
    assert page.all("[autofocus]")[0]["name"] == name
    assert page.one(f"#{name}-error").get_text(strip=True)
    assert page.one("[name=accessories]")["value"] == "Lock, bottle"
    assert rich.accessories == "Lock"


def test_editing_over_somebody_else_s_change_is_refused_and_nothing_typed_is_lost(front_desk, somchai, rich):
    form = as_shown(front_desk.page(address(rich, "edit"))) | {"item": "iPhone 12", "problem": "Typed at length."}
    meanwhile(rich, somchai)
    page = front_desk.send(address(rich, "edit"), form, 409)
    assert "Somchai" in page.one("[role=alert]").get_text()
    again = as_shown(page)
    assert (again["item"], again["problem"], again["version"]) == ("iPhone 12", "Typed at length.", str(rich.version))
    assert rich.item == "iPhone 13"
    front_desk.send(address(rich, "edit"), again)
    assert rich.item == "iPhone 12"


def test_what_was_left_alone_is_as_somebody_else_saved_it_when_the_form_comes_back(front_desk, somchai, rich):
    first = as_shown(front_desk.page(address(rich, "edit")))
    theirs = {"item": "iPhone 14", "problem": "It fell.\r\nTwice.", "technician": "0", "estimate": "99.00"}
    front_desk.send(address(rich, "edit"), first | theirs)
    page = front_desk.send(address(rich, "edit"), first | {"accessories": "Lock, charger", "estimate": "80"}, 409)
    again = as_shown(page)
    assert (again["item"], again["problem"], again["technician"]) == ("iPhone 14", "It fell.\nTwice.", "0")
    assert (again["accessories"], again["estimate"]) == ("Lock, charger", "80")
    # Only where both wrote something is it said what is saved.
    assert [words(line) for line in page.all("[role=alert] li")] == ["Price estimate: 99.00"]
    front_desk.send(address(rich, "edit"), again)
    assert (rich.item, rich.technician_id) == ("iPhone 14", None)
    assert (rich.accessories, rich.estimate) == ("Lock, charger", 8000)


@pytest.mark.parametrize("junk", ["", "item", "item:x ::: \x00", "x" * 5000])
def test_an_edit_that_does_not_say_what_it_was_drawn_with_keeps_all_that_was_typed(front_desk, somchai, rich, junk):
    form = as_shown(front_desk.page(address(rich, "edit"))) | {"item": "iPhone 12", "drawn": junk}
    meanwhile(rich, somchai)
    assert as_shown(front_desk.send(address(rich, "edit"), form, 409))["item"] == "iPhone 12"


def test_a_technician_who_left_stays_until_somebody_else_is_chosen(front_desk, rich):
    rich.technician.active = False
    db.session.commit()
    form = as_shown(front_desk.page(address(rich, "edit")))
    assert form["technician"] == str(rich.technician_id)
    front_desk.send(address(rich, "edit"), form | {"accessories": "Nothing"})
    assert rich.technician.name == "Narin"


def test_a_forged_field_changes_nothing(owner, rich):
    before = {column.name: getattr(rich, column.name) for column in rich.__table__.columns}
    form = as_shown(owner.page(address(rich, "edit")))
    for field in ("code", "token", "status", "branch", "customer", "received_at", "intake_key", "paused_from"):
        form |= {field: "ready", f"{field}_id": "2"}
    owner.send(address(rich, "edit"), form)
    assert {column.name: getattr(rich, column.name) for column in rich.__table__.columns} == before


# --- after a refusal without script ------------------------------------------------------------


def test_the_colours_can_be_changed_on_a_page_that_answered_a_refusal(owner):
    """The form that changes them comes back to where one was; a POST's own address is no page."""
    repair = make_repair(status="repairing")
    page = owner.send(address(repair, "notes"), {"version": repair.version, "text": ""}, 422)
    back = page.one(".themes input[name=back]")["value"]
    answer = owner.send("/account/theme", {"theme": "dark", "back": back})
    owner.page(answer.location)


# --- forms that are out of date -----------------------------------------------------------------


def test_an_empty_form_that_is_out_of_date_does_not_hide_that_it_is(owner, technician):
    """Its answer carries the new version: had it been a 422, the next move would have passed for one of today."""
    repair = make_repair()
    seen = repair.version
    owner.htmx(address(repair, "advance"), {"version": seen})
    panel = technician.htmx(address(repair, "notes"), {"version": seen, "text": ""}, 409)
    assert "changed this repair" in panel.one("#notes [role=alert]").get_text()
    assert panel.one("#status")["data-status"] == "diagnosing"


def test_an_edit_that_is_out_of_date_shows_what_the_other_one_saved(owner, technician):
    repair = make_repair()
    form = {"version": repair.version, "item": "Kindle", "problem": "Frozen", "technician": "0"}
    owner.send(address(repair, "edit"), form | {"problem": "It was dropped"})
    page = technician.send(address(repair, "edit"), form | {"item": ""}, 409)
    assert "It was dropped" in page.one(".alert").get_text()
    assert page.one("#problem").get_text().strip() == "Frozen"
    assert db.session.get_one(type(repair), repair.id).problem == "It was dropped"


def test_changing_a_promise_begins_with_the_one_that_was_given(owner):
    repair = make_repair(promised_at=datetime(2031, 5, 4, 9, 30, tzinfo=UTC))
    panel = owner.page(address(repair)).one("#promise")
    assert panel.select_one("[name=promise_pick][checked]")["value"] == "custom"
    assert panel.select_one("[name=promise_at]")["value"] == "2031-05-04T16:30"
    last = panel.select("label.chip")[-1]
    assert (words(last), last.select_one("input")["value"]) == ("Take the promise back", "none")
    assert "No promise" not in panel.get_text()


def test_without_a_promise_there_is_none_to_take_back(owner):
    panel = owner.page(address(make_repair())).one("#promise")
    assert panel.select_one("[name=promise_pick][checked]")["value"] == "none"
    assert not panel.select_one("[name=promise_at]").get("value")
    assert words(panel.select("label.chip")[0]) == "No promise"


@pytest.mark.parametrize("left_out", [[], ["promise_pick"], ["promise_pick", "promise_at"]])
def test_a_reason_alone_takes_no_promise_back(front_desk, clock, left_out):
    """As the form opens, and as a browser would send it if it had lost a part."""
    clock.set(MORNING)
    at = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
    repair = make_repair(promised_at=at)
    panel = front_desk.page(address(repair)).one("#promise")
    form = {"promise_at": panel.select_one("[name=promise_at]")["value"], "reason": "The part is late."}
    form["promise_pick"] = panel.select_one("[name=promise_pick][checked]")["value"]
    again = promise(front_desk, repair, 422, **{name: form[name] for name in form if name not in left_out})
    said = again.one("#promise .alert").get_text()
    assert said == "This is the time promised already." or left_out
    assert again.one("#promise [name=reason]")["value"] == "The part is late."
    assert repair.promised_at == at


def test_a_time_that_was_not_filled_in_is_asked_for_and_one_that_cannot_be_read_is_shown_how(front_desk):
    repair = make_repair()
    for written, said in (
        ("", "Choose a date and time."),
        ("  ", "Choose a date and time."),
        ("soon", "Write the date and time as 2026-11-23 18:00."),
    ):
        panel = promise(front_desk, repair, 422, promise_pick="custom", promise_at=written)
        assert panel.one("#promise_at-error").get_text() == said


def test_without_htmx_taking_a_promise_back_is_said(front_desk):
    repair = make_repair(promised_at=datetime(2031, 5, 4, 9, 30, tzinfo=UTC))
    form = {"version": repair.version, "promise_pick": "none", "reason": "Nobody knows yet."}
    answer = front_desk.send(address(repair, "promise"), form)
    assert front_desk.page(answer.location).one("#said").get_text(strip=True) == "The promise is taken back."
    assert repair.promised_at is None
