"""The verbs of the counter: what each changes, writes down and refuses, and what happens when two are at it."""

import threading
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import func, select, update

from app import rules
from app.customers import actions as customers
from app.db import db, utcnow
from app.models import Branch, Customer, Event, Repair
from app.repairs import actions
from app.rules import Forbidden, Refused, Role, Status

from . import factories
from .conftest import POSTGRESQL
from .factories import make_branch, make_customer, make_repair, make_staff

pytestmark = pytest.mark.usefixtures("shop")

DETAILS = {
    "item": "iPhone 13",
    "problem": "The screen is cracked.",
    "serial": "",
    "accessories": "",
    "technician_id": None,
    "estimate": None,
}


@pytest.fixture
def ana(shop):
    """The owner, who may do everything."""
    return make_staff(Role.OWNER, name="Ana")


def stored(repair):
    """The row as another browser finds it: what was not committed is gone."""
    db.session.rollback()
    db.session.expire_all()
    return repair


def last_event(repair):
    return db.session.scalars(select(Event).where(Event.repair_id == repair.id).order_by(Event.id.desc())).first()


def in_the_evening(days=1):
    """A moment to promise, days ahead."""
    return utcnow().replace(second=0, microsecond=0) + timedelta(days=days)


# Every verb: the status it starts from, the act, and the event that it writes: kind, old, new, text, public.
VERBS = {
    "advance": (
        {"status": "received"},
        lambda repair, **who: actions.advance(repair, **who),
        ("advanced", "received", "diagnosing", "", False),
    ),
    "jump": (
        {"status": "received"},
        lambda repair, **who: actions.jump(repair, Status.READY, **who),
        ("jumped", "received", "ready", "", False),
    ),
    "pause": (
        {"status": "testing"},
        lambda repair, **who: actions.pause(repair, **who),
        ("paused", "testing", "waiting_parts", "", False),
    ),
    "resume": (
        {"status": "waiting_parts", "paused_from": "testing"},
        lambda repair, **who: actions.resume(repair, **who),
        ("resumed", "waiting_parts", "testing", "", False),
    ),
    "cancel": (
        {"status": "diagnosing"},
        lambda repair, **who: actions.cancel(repair, reason="No part to be had.", public=True, **who),
        ("cancelled", "diagnosing", "cancelled", "No part to be had.", True),
    ),
    "revert": (
        {"status": "testing"},
        lambda repair, **who: actions.revert(repair, reason="Wrong button.", **who),
        ("reverted", "testing", "repairing", "Wrong button.", False),
    ),
    "promise": (
        {"status": "received"},
        lambda repair, **who: actions.promise(repair, in_the_evening(), reason="", **who),
        ("promised", None, ..., "", True),
    ),
    "add_note": (
        {"status": "delivered"},
        lambda repair, **who: actions.add_note(repair, "Sent by courier.", **who),
        ("noted", None, None, "Sent by courier.", False),
    ),
    "add_update": (
        {"status": "waiting_parts"},
        lambda repair, **who: actions.add_update(repair, "The part is on its way.", **who),
        ("updated", None, None, "The part is on its way.", True),
    ),
    "replace_link": (
        {"status": "ready"},
        lambda repair, **who: actions.replace_link(repair, **who),
        ("link_replaced", None, None, "", False),
    ),
    "edit": (
        {"status": "received"},
        lambda repair, **who: actions.edit(repair, **DETAILS | {"item": "iPhone 12"}, **who),
        ("edited", None, "item", "item (was: iPhone 13)", False),
    ),
}


def repair_for(verb, **changes):
    """A repair that the verb can be done to, and the act."""
    start, act, _ = VERBS[verb]
    return make_repair(**start | changes), act


# --- every verb ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_a_change_is_written_down_with_who_and_when_and_kept(verb, ana, clock):
    repair, act = repair_for(verb)
    before, number = repair.version, len(repair.events)
    clock.forward(hours=3)
    act(repair, by=ana, version=before)
    repair = stored(repair)
    event = last_event(repair)
    kind, old, new, text, public = VERBS[verb][2]
    assert (event.kind, event.old, event.text, event.public) == (kind, old, text, public)
    assert new is ... or event.new == new
    assert (event.staff_id, event.at) == (ana.id, clock.moment)
    assert len(repair.events) == number + 1, "one event for one act"
    assert repair.version == before + 1
    assert repair.changed_at == clock.moment


@pytest.mark.parametrize("verb", VERBS)
def test_a_form_that_is_out_of_date_changes_nothing(verb, ana):
    repair, act = repair_for(verb)
    old = repair.version
    actions.add_note(repair, "Somebody was here.", by=ana, version=old)
    before = snapshot(repair)
    for version in (old, repair.version + 1, None):
        with pytest.raises(actions.Stale):
            act(repair, by=ana, version=version)
        assert snapshot(stored(repair)) == before


@pytest.mark.parametrize(
    ("start", "verb"),
    [
        ({"status": "ready"}, "advance"),
        ({"status": "testing"}, "jump"),
        ({"status": "testing"}, "pause"),
        ({"status": "waiting_parts"}, "resume"),
        ({"status": "testing"}, "cancel"),
        ({"status": "diagnosing"}, "revert"),
    ],
)
def test_who_was_slower_is_told_so_even_when_the_move_is_no_longer_possible(start, verb, ana):
    """Both tapped the same button: the second one must read that someone was faster, not that a rule says no."""
    repair, act = make_repair(**start), VERBS[verb][1]
    version = repair.version
    act(repair, by=ana, version=version)
    with pytest.raises(actions.Stale):
        act(repair, by=ana, version=version)


def snapshot(repair):
    """Everything that is kept about a repair."""
    columns = {column.name: getattr(repair, column.name) for column in Repair.__table__.columns}
    return columns, [(event.kind, event.text) for event in repair.events]


# --- moves --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), list(pairwise(rules.PATH)))
def test_a_repair_goes_step_by_step(old, new, ana):
    repair = make_repair(status=old)
    actions.advance(repair, by=ana, version=repair.version)
    assert stored(repair).status == new


@pytest.mark.parametrize("status", ["waiting_parts", "delivered", "cancelled"])
def test_a_repair_that_is_closed_or_waits_cannot_advance(status, ana):
    repair = make_repair(status=status)
    with pytest.raises(Refused):
        actions.advance(repair, by=ana, version=repair.version)
    assert stored(repair).status == status


@pytest.mark.parametrize(
    ("status", "to"),
    [
        ("repairing", "received"),
        ("repairing", "repairing"),
        ("repairing", "waiting_parts"),
        ("repairing", "cancelled"),
        ("waiting_parts", "testing"),
        ("delivered", "delivered"),
        ("cancelled", "ready"),
    ],
)
def test_a_jump_that_does_not_lead_ahead_is_refused(status, to, ana):
    repair = make_repair(status=status)
    with pytest.raises(Refused):
        actions.jump(repair, Status(to), by=ana, version=repair.version)
    assert stored(repair).status == status


@pytest.mark.parametrize("status", ["received", "waiting_parts", "ready", "delivered", "cancelled"])
def test_only_a_repair_on_the_bench_can_be_paused(status, ana):
    repair = make_repair(status=status)
    with pytest.raises(Refused):
        actions.pause(repair, by=ana, version=repair.version)
    assert stored(repair).status == status


@pytest.mark.parametrize("status", [status for status in Status if status != "waiting_parts"])
def test_only_a_repair_that_waits_can_be_resumed(status, ana):
    repair = make_repair(status=status)
    with pytest.raises(Refused):
        actions.resume(repair, by=ana, version=repair.version)
    assert stored(repair).status == status


@pytest.mark.parametrize("held", ["diagnosing", "repairing", "testing"])
def test_a_paused_repair_goes_on_exactly_where_it_was(held, ana):
    repair = make_repair(status="waiting_parts", paused_from=held)
    assert stored(repair).paused_from == held
    actions.resume(repair, by=ana, version=repair.version)
    assert (stored(repair).status, repair.paused_from) == (held, None)


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
def test_a_closed_repair_cannot_be_cancelled(status, ana):
    repair = make_repair(status=status)
    with pytest.raises(Refused):
        actions.cancel(repair, by=ana, version=repair.version, reason="", public=False)
    assert stored(repair).status == status


@pytest.mark.parametrize(
    ("reason", "public", "shown"), [("Too dear.", True, True), ("Too dear.", False, False), ("", True, False)]
)
def test_the_customer_reads_why_it_was_cancelled_when_there_is_a_reason_meant_for_them(reason, public, shown, ana):
    repair = make_repair()
    actions.cancel(repair, by=ana, version=repair.version, reason=reason, public=public)
    event = last_event(stored(repair))
    assert (event.text, event.public) == (reason, shown)


def test_a_move_sets_when_it_moved_and_a_note_does_not(ana, clock):
    repair = make_repair()
    clock.forward(hours=1)
    actions.advance(repair, by=ana, version=repair.version)
    moved = clock.moment
    clock.forward(hours=1)
    actions.add_note(repair, "Looks easy.", by=ana, version=repair.version)
    assert (stored(repair).moved_at, repair.changed_at) == (moved, moved + timedelta(hours=1))


# --- undoing ------------------------------------------------------------------------------------


def test_what_is_undone_never_moved_it(ana, clock):
    repair, times = make_repair(), []
    received = repair.received_at
    for _ in range(2):
        clock.forward(hours=1)
        actions.advance(repair, by=ana, version=repair.version)
        times.append(clock.moment)
    for expected in (times[0], received):
        clock.forward(hours=1)
        undo(repair, ana)
        assert (repair.moved_at, repair.changed_at) == (expected, clock.moment)


def undo(repair, by):
    actions.revert(repair, by=by, version=repair.version, reason="")
    return stored(repair).status


def test_moves_are_undone_one_by_one_back_to_the_door(ana):
    repair = make_repair(status="delivered")
    assert [undo(repair, ana) for _ in range(5)] == ["ready", "testing", "repairing", "diagnosing", "received"]
    with pytest.raises(Refused, match="no move to undo"):
        undo(repair, ana)


def test_a_repair_only_just_received_has_no_move_to_undo(ana):
    repair = make_repair(note="Came with a case.", promised_at=in_the_evening())
    with pytest.raises(Refused, match="no move to undo"):
        undo(repair, ana)


def test_undoing_a_resume_waits_again_for_the_same_step(ana):
    repair = make_repair(status="waiting_parts", paused_from="diagnosing")
    actions.resume(repair, by=ana, version=repair.version)
    assert (undo(repair, ana), repair.paused_from) == ("waiting_parts", "diagnosing")
    actions.resume(repair, by=ana, version=repair.version)
    assert (stored(repair).status, repair.paused_from) == ("diagnosing", None)


def test_undoing_a_pause_goes_on_as_if_it_had_not_been(ana):
    repair = make_repair(status="waiting_parts", paused_from="testing")
    assert (undo(repair, ana), repair.paused_from) == ("testing", None)
    assert undo(repair, ana) == "repairing"


def test_a_cancelled_repair_is_reopened_where_it_was(ana):
    repair = make_repair(status="cancelled", cancelled_from="testing")
    assert undo(repair, ana) == "testing"
    actions.advance(repair, by=ana, version=repair.version)
    assert stored(repair).status == "ready"


def test_a_repair_cancelled_while_it_waited_waits_again_when_reopened(ana):
    repair = make_repair(status="waiting_parts", paused_from="testing")
    actions.cancel(repair, by=ana, version=repair.version, reason="", public=False)
    assert stored(repair).paused_from is None
    assert (undo(repair, ana), repair.paused_from) == ("waiting_parts", "testing")
    actions.resume(repair, by=ana, version=repair.version)
    assert stored(repair).status == "testing"


def test_undoing_goes_past_moves_that_were_undone_before(ana):
    repair = make_repair(status="diagnosing")
    actions.jump(repair, Status.READY, by=ana, version=repair.version)
    assert undo(repair, ana) == "diagnosing"
    actions.advance(repair, by=ana, version=repair.version)
    assert [undo(repair, ana), undo(repair, ana)] == ["diagnosing", "received"]


def test_nothing_that_happened_is_taken_out_of_the_history(ana):
    repair = make_repair(status="testing")
    before = [event.id for event in repair.events]
    undo(repair, ana)
    assert [event.id for event in stored(repair).events][: len(before)] == before


# --- roles --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "status", "to"),
    [
        ("front_desk", "received", "diagnosing"),
        ("front_desk", "testing", "ready"),
        ("technician", "testing", "ready"),
        ("technician", "ready", "delivered"),
    ],
)
def test_a_step_that_is_somebody_else_s_is_refused_and_says_whose(role, status, to):
    repair = make_repair(status=status)
    with pytest.raises(Forbidden, match=r"^Only an owner.* may move a repair from "):
        actions.advance(repair, by=make_staff(role), version=repair.version)
    with pytest.raises(Forbidden):
        actions.jump(repair, Status(to), by=make_staff(role), version=repair.version)
    assert stored(repair).status == status


@pytest.mark.parametrize(
    ("role", "status", "to"),
    [
        ("technician", "received", "testing"),
        ("front_desk", "ready", "delivered"),
        ("manager", "received", "delivered"),
        ("owner", "testing", "delivered"),
    ],
)
def test_a_step_of_one_s_own_is_made(role, status, to):
    repair = make_repair(status=status)
    actions.jump(repair, Status(to), by=make_staff(role), version=repair.version)
    assert stored(repair).status == to


MAY_NOT = {
    "technician": "revert cancel link",
    "front_desk": "pause resume revert cancel link",
}


@pytest.mark.parametrize(("role", "verb"), [(role, verb) for role, verbs in MAY_NOT.items() for verb in verbs.split()])
def test_a_verb_that_is_somebody_else_s_is_refused_at_the_counter_too(role, verb, request):
    client = request.getfixturevalue(role)
    repair = make_repair(status="waiting_parts" if verb == "resume" else "repairing")
    before = snapshot(repair)
    answer = client.htmx(f"/repairs/{repair.code}/{verb}", {"version": repair.version}, status=403)
    assert "Only an owner or a manager" in answer.text or "Only an owner, a manager or a technician" in answer.text
    assert snapshot(stored(repair)) == before


@pytest.mark.parametrize(
    ("status", "verb", "form", "after"),
    [
        ("received", "advance", {}, "diagnosing"),
        ("received", "jump", {"to": "ready"}, "ready"),
        ("testing", "pause", {}, "waiting_parts"),
        ("waiting_parts", "resume", {}, "repairing"),
        ("testing", "revert", {"reason": "Wrong button."}, "repairing"),
        ("ready", "cancel", {"reason": "Too dear.", "public": "y"}, "cancelled"),
        ("ready", "promise", {"promise_pick": "tomorrow"}, "ready"),
        ("ready", "notes", {"text": "On the shelf."}, "ready"),
        ("ready", "updates", {"text": "Come by."}, "ready"),
        ("ready", "link", {}, "ready"),
    ],
)
def test_every_verb_is_done_at_the_counter_with_one_form(status, verb, form, after, owner):
    repair = make_repair(status=status)
    number = len(repair.events)
    url = f"/repairs/{repair.code}"
    answer = owner.send(f"{url}/{verb}", form | {"version": repair.version})
    assert answer.location == url
    assert (stored(repair).status, len(repair.events)) == (after, number + 1)
    assert last_event(repair).staff_id == owner.staff_id


# --- taking in ----------------------------------------------------------------------------------


def take_in(shop, by, *, branch="MN", phone="+66812345678", name="Somchai", **changes):
    """The intake form as it is most often filled in."""
    values = {"email": "", "note": "", "promised_at": None, "key": "", **DETAILS, **changes}
    return actions.take_in(shop, factories.branch(branch).id, by=by, phone=phone, name=name, **values)


def test_each_branch_counts_its_own_repairs(shop, ana):
    codes = [take_in(shop, ana, branch=branch).code for branch in ("MN", "RV", "MN", "MN", "RV")]
    assert codes == ["TH-MN-R0001", "TH-RV-R0001", "TH-MN-R0002", "TH-MN-R0003", "TH-RV-R0002"]


def test_a_code_is_not_used_again_after_a_form_that_failed(shop, ana):
    take_in(shop, ana)
    with pytest.raises(customers.NameNeeded):
        take_in(shop, ana, phone="+66899999999", name="")
    db.session.rollback()
    assert take_in(shop, ana).code == "TH-MN-R0002"


def test_a_busy_branch_counts_beyond_four_digits(shop, ana):
    branch = make_branch(name="Night Market", code="NM", next_number=10000)
    assert take_in(shop, ana, branch="NM").code == "TH-NM-R10000"
    assert branch.next_number == 10001


def test_what_was_written_down_at_the_counter_is_kept(shop, ana):
    technician = make_staff(Role.TECHNICIAN)
    details = {
        "item": "Canon AE-1",
        "problem": "The shutter sticks.",
        "serial": "123456",
        "accessories": "Lens cap",
        "technician_id": technician.id,
        "estimate": 120050,
    }
    repair = stored(take_in(shop, ana, **details))
    assert {name: getattr(repair, name) for name in details} == details
    assert (repair.status, repair.paused_from, repair.branch.code) == ("received", None, "MN")
    assert len(repair.token) == 22
    (event,) = repair.events
    assert (event.kind, event.old, event.new, event.staff_id) == ("received", None, "received", ana.id)


def test_two_repairs_have_two_links(shop, ana):
    assert take_in(shop, ana).token != take_in(shop, ana).token


def test_a_promise_and_a_note_at_the_counter_are_in_the_history(shop, ana):
    evening = in_the_evening()
    repair = stored(take_in(shop, ana, note="Knows the owner.", promised_at=evening))
    assert repair.promised_at == evening
    assert [event.kind for event in repair.events] == ["received", "promised", "noted"]
    _, promised, noted = repair.events
    assert (promised.old_promise, promised.new_promise) == (None, evening)
    assert (noted.text, noted.public) == ("Knows the owner.", False)


def test_a_form_sent_twice_makes_one_repair(shop, ana):
    first = take_in(shop, ana, key="a" * 32)
    with pytest.raises(actions.TakenIn) as twin:
        take_in(shop, ana, key="a" * 32)
    assert twin.value.repair.code == first.code
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(Repair)) == 1
    assert take_in(shop, ana, key="b" * 32).code == "TH-MN-R0002"


def test_forms_without_a_key_are_not_each_other_s_twins(shop, ana):
    assert take_in(shop, ana, key="").code != take_in(shop, ana, key="").code


def test_a_new_customer_is_made_on_the_spot(shop, ana):
    repair = stored(take_in(shop, ana, phone="+66811111111", name="Somchai", email="somchai@example.com"))
    customer = repair.customer
    assert (customer.name, customer.phone, customer.email) == ("Somchai", "+66811111111", "somchai@example.com")


@pytest.mark.parametrize("name", ["", "Somchai", "SOMCHAI"])
def test_a_known_customer_is_found_by_the_number_and_keeps_their_name(name, shop, ana):
    known = make_customer(name="Somchai", phone="+66811111111")
    repair = stored(take_in(shop, ana, phone="+66811111111", name=name))
    assert (repair.customer_id, repair.customer.name) == (known.id, "Somchai")
    assert db.session.scalar(select(func.count()).select_from(Customer)) == 1


@pytest.mark.parametrize(("before", "after"), [("", "new@example.com"), ("old@example.com", "old@example.com")])
def test_an_email_that_was_not_known_yet_is_kept(before, after, shop, ana):
    known = make_customer(phone="+66811111111", email=before)
    take_in(shop, ana, phone="+66811111111", name="", email="new@example.com")
    assert stored(known).email == after


def test_a_number_that_is_somebody_else_s_is_refused_and_says_whose(shop, ana):
    known = make_customer(name="Somchai", phone="+66811111111")
    with pytest.raises(customers.PhoneTaken, match=r"^This number belongs to Somchai\.$") as refusal:
        take_in(shop, ana, phone="+66811111111", name="Malee")
    assert refusal.value.customer.id == known.id
    assert_nothing_taken_in()


def test_a_new_number_needs_a_name(shop, ana):
    with pytest.raises(customers.NameNeeded, match="This number is new"):
        take_in(shop, ana, name="")
    assert_nothing_taken_in()


def test_nothing_is_taken_in_at_a_branch_that_is_gone(shop, ana):
    with pytest.raises(Refused, match="branch does not exist"):
        actions.take_in(
            shop,
            999,
            by=ana,
            phone="+66812345678",
            name="Somchai",
            email="",
            note="",
            promised_at=None,
            key="",
            **DETAILS,
        )
    assert_nothing_taken_in()


def assert_nothing_taken_in():
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(Repair)) == 0
    assert factories.branch("MN").next_number == 1


# --- the promise --------------------------------------------------------------------------------


def promise(repair, at, by, reason=""):
    actions.promise(repair, at, by=by, version=repair.version, reason=reason)
    return last_event(stored(repair))


def test_a_first_promise_needs_no_reason(ana):
    repair, evening = make_repair(), in_the_evening()
    event = promise(repair, evening, ana)
    assert repair.promised_at == evening
    assert (event.old_promise, event.new_promise, event.text) == (None, evening, "")


def test_a_change_of_promise_is_kept_with_its_reason(ana):
    repair = make_repair(promised_at=in_the_evening(1))
    event = promise(repair, in_the_evening(3), ana, "The part is late.")
    assert repair.promised_at == in_the_evening(3)
    assert (event.old_promise, event.new_promise) == (in_the_evening(1), in_the_evening(3))
    assert (event.text, event.public) == ("The part is late.", True)


def test_a_promise_is_taken_back_with_a_reason(ana):
    repair = make_repair(promised_at=in_the_evening())
    event = promise(repair, None, ana, "The maker does not answer.")
    assert repair.promised_at is None
    assert (event.old_promise, event.new_promise) == (in_the_evening(), None)


@pytest.mark.parametrize("days", [3, None], ids=["another", "none"])
def test_a_promise_already_given_cannot_change_without_a_reason(days, ana):
    repair = make_repair(promised_at=in_the_evening())
    with pytest.raises(Refused, match="Give a reason"):
        promise(repair, days and in_the_evening(days), ana)
    assert stored(repair).promised_at == in_the_evening()


@pytest.mark.parametrize("seconds", [0, 45, -45])
def test_the_same_minute_again_is_no_change(seconds, ana):
    evening = in_the_evening()
    repair = make_repair(promised_at=evening)
    with pytest.raises(Refused, match="promised already"):
        promise(repair, evening + timedelta(seconds=seconds), ana, "Because.")
    assert stored(repair).promised_at == evening


def test_a_promise_that_was_never_given_cannot_be_taken_back(ana):
    with pytest.raises(Refused, match="no promise to take back"):
        promise(make_repair(), None, ana, "Because.")


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
def test_a_closed_repair_has_nothing_left_to_promise(status, ana):
    repair = make_repair(status=status)
    with pytest.raises(Refused, match=f"^A {status} repair has nothing left to promise"):
        promise(repair, in_the_evening(), ana)


def test_a_promise_outlives_every_move(ana):
    repair = make_repair(promised_at=in_the_evening(), status="waiting_parts")
    assert stored(repair).promised_at == in_the_evening()


# --- what was written down ----------------------------------------------------------------------


def test_an_edit_says_what_was_changed_and_what_it_was(shop, ana):
    narin = make_staff(Role.TECHNICIAN, name="Narin")
    repair = make_repair(serial="123", technician_id=narin.id, estimate=120050)
    changes = {
        "item": "iPhone 12",
        "problem": "The battery is weak.",
        "serial": "",
        "accessories": "Case",
        "technician_id": None,
        "estimate": 90000,
    }
    actions.edit(repair, by=ana, version=repair.version, **changes)
    assert {name: getattr(stored(repair), name) for name in changes} == changes
    assert last_event(repair).text == (
        "item (was: iPhone 13); problem (was: The screen is cracked.); serial number (was: 123); "
        "accessories (was: nothing); technician (was: Narin); price estimate (was: 1200.50)"
    )


def test_what_was_empty_was_nothing_and_nobody(ana):
    repair = make_repair()
    actions.edit(repair, by=ana, version=repair.version, **DETAILS | {"technician_id": ana.id, "estimate": 0})
    assert last_event(stored(repair)).text == "technician (was: nobody); price estimate (was: nothing)"


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"item": "Nikon FM2"}, True),
        ({"problem": "It fell."}, True),
        ({"serial": "N7", "problem": "It fell."}, True),
        ({"serial": "N7"}, False),
        ({"accessories": "Case"}, False),
        ({"estimate": 100}, False),
    ],
)
def test_an_edit_counts_for_the_customer_when_it_changes_what_their_page_shows(change, seen, ana):
    repair = make_repair()
    actions.edit(repair, by=ana, version=repair.version, **DETAILS | change)
    fields = set(last_event(stored(repair)).new.split())
    assert fields == set(change)
    assert (not fields.isdisjoint({"item", "problem"})) is seen


def test_an_edit_that_changes_nothing_leaves_no_trace(ana):
    repair = make_repair()
    before = snapshot(repair)
    actions.edit(repair, by=ana, version=repair.version, **DETAILS)
    assert snapshot(stored(repair)) == before


def test_an_edited_repair_is_found_by_what_it_says_now(ana):
    repair = make_repair()
    actions.edit(repair, by=ana, version=repair.version, **DETAILS | {"item": "Nikon FM2", "serial": "N7"})
    assert stored(repair).search.startswith(f"{repair.code} nikon fm2 n7 ".casefold())


def test_a_new_link_takes_the_place_of_the_old_one(ana):
    repair = make_repair()
    old = repair.token
    actions.replace_link(repair, by=ana, version=repair.version)
    assert stored(repair).token != old
    assert len(repair.token) == 22
    assert old not in str(snapshot(repair)), "not even the history knows it"


# --- two at once --------------------------------------------------------------------------------


def at_once(app, *jobs):
    """What each job returned; all start together, each in a thread and an app context of its own."""
    ready, answers, problems = threading.Barrier(len(jobs)), {}, []

    def run(number, job):
        try:
            with app.app_context():
                ready.wait(5)
                answers[number] = job()
        except BaseException as problem:
            problems.append(problem)

    db.session.commit()  # What is arranged is there for all, and no lock is held.
    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if problems:
        raise problems[0]
    return [answers[number] for number in range(len(jobs))]


def intake_form(**changes):
    """What the intake form sends."""
    form = {"branch": factories.branch("MN").id, "promise_pick": "none", "technician": 0, "estimate": ""}
    return form | {"item": "iPhone 13", "problem": "The screen is cracked.", "name": "Somchai", **changes}


def test_repairs_taken_in_at_the_same_moment_get_different_codes(app, owner, manager, technician, front_desk):
    clients = [owner, manager, technician, front_desk]
    forms = [
        [intake_form(phone=f"081 000 00{desk}{number}", key=f"{desk}-{number}") for number in range(3)]
        for desk in range(len(clients))
    ]
    at_once(
        app,
        *(
            lambda client=client, form=form: [client.send("/repairs/new", one) for one in form]
            for client, form in zip(clients, forms, strict=True)
        ),
    )
    codes = db.session.scalars(select(Repair.code).order_by(Repair.code)).all()
    assert codes == [f"TH-MN-R{number:04d}" for number in range(1, 13)]
    assert factories.branch("MN").next_number == 13


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite lets nobody write while this transaction is open")
def test_a_number_that_was_seen_before_another_desk_took_it_is_not_given_again(shop, ana):
    seen = factories.branch("MN")
    assert seen.next_number == 1
    with db.engine.begin() as another_desk:
        another_desk.execute(update(Branch).where(Branch.id == seen.id).values(next_number=7))
    assert take_in(shop, ana).code == "TH-MN-R0007"


def test_a_double_click_makes_one_repair(app, owner):
    form = intake_form(phone="081 000 0000", key="twice")
    twin = app.test_client().sign_in(owner.staff)
    answers = at_once(app, *(lambda client=client: client.send("/repairs/new", form) for client in (owner, twin)))
    assert [answer.location for answer in answers] == ["/repairs/TH-MN-R0001"] * 2
    assert db.session.scalar(select(func.count()).select_from(Repair)) == 1


def test_the_same_new_customer_at_two_counters_is_one_customer(app, owner):
    desk = app.test_client().be(factories.make_staff("front_desk", branch_id=factories.branch("RV").id))
    form = intake_form(phone="081 000 0000")
    branches = [factories.branch(code).id for code in ("MN", "RV")]
    at_once(
        app,
        *(
            lambda client=client, branch=branch: client.send(
                "/repairs/new", form | {"branch": branch, "key": str(branch)}
            )
            for client, branch in zip((owner, desk), branches, strict=True)
        ),
    )
    assert db.session.scalar(select(func.count()).select_from(Repair)) == 2
    assert db.session.scalar(select(func.count()).select_from(Customer)) == 1


def test_of_two_who_advance_the_same_repair_one_wins_and_the_other_is_told(app, owner, manager):
    repair = make_repair()
    url, form = f"/repairs/{repair.code}/advance", {"version": repair.version}

    def tap(client):
        return client.post(url, data=form | {"csrf_token": client.csrf_token()}).status_code

    answers = at_once(app, *(lambda client=client: tap(client) for client in (owner, manager)))
    assert sorted(answers) == [303, 409]
    repair = stored(repair)
    assert repair.status == "diagnosing"
    assert [event.kind for event in repair.events] == ["received", "advanced"]
