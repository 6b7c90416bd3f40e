"""What the customer was told can be taken back: their page shows it no more, and the history keeps both."""

import json

import pytest
from sqlalchemy import func, select

from app.db import db
from app.models import Event
from app.repairs import actions

from .factories import make_repair, make_staff
from .test_web import faults

SAID = "The screen is here; we fit it tomorrow."


@pytest.fixture
def repair(shop):
    return make_repair(status="repairing")


def tell(repair, by, text=SAID):
    actions.add_update(repair, text, by=by, version=repair.version)
    return last(repair).id


def last(repair):
    return db.session.scalars(select(Event).where(Event.repair_id == repair.id).order_by(Event.id.desc())).first()


def happened(repair):
    return db.session.scalar(select(func.count()).select_from(Event).where(Event.repair_id == repair.id))


def address(repair, update_id):
    return f"/repairs/{repair.code}/updates/{update_id}/take-back"


def buttons(page):
    return [form["action"] for form in page.all("#updates .said form")]


def take_back(client, repair, update_id, status=303):
    return client.send(address(repair, update_id), {"version": repair.version}, status)


# --- what the customer sees ---------------------------------------------------------------------


def test_the_customer_s_page_shows_it_no_more_and_open_pages_follow(owner, anyone, repair):
    kept, wrong = tell(repair, owner.staff, "It is on the bench."), tell(repair, owner.staff)
    page = anyone.page(f"/t/{repair.token}")
    assert SAID in page.one("#updates").get_text()
    tag, live = page.one("#live")["hx-ptag"], f"/t/{repair.token}/live"
    anyone.page(live, 304, headers={"HX-PTag": tag})
    take_back(owner, repair, wrong)
    changed = anyone.page(live, 200, headers={"HX-PTag": tag})
    assert SAID not in changed.html
    assert "It is on the bench." in changed.one("#updates").get_text()
    take_back(owner, repair, kept)
    assert not anyone.page(f"/t/{repair.token}").all("#updates")


# --- what staff sees ------------------------------------------------------------------------------


def test_the_panel_shows_it_struck_with_who_and_the_history_keeps_both(owner, repair):
    update_id = tell(repair, make_staff("front_desk", name="Ana"))
    before = happened(repair)
    page = owner.htmx(address(repair, update_id), {"version": repair.version})
    assert page.one("#updates .said s").get_text() == SAID
    assert f"Taken back by {owner.staff.name}" in page.one("#updates .said").get_text()
    assert buttons(page) == []
    assert {part["hx-target"] for part in page.all("hx-partial")} >= {"#history", "#said"}
    history = page.one("ol.history").get_text()
    assert "Took back what the customer was told" in history
    assert SAID in history
    event = last(repair)
    assert happened(repair) == before + 1
    assert (event.kind, event.old, event.new, event.text, event.public) == (
        "update_taken_back",
        str(update_id),
        None,
        "",
        False,
    )
    assert db.session.get_one(Event, update_id).text == SAID


def test_without_htmx_it_leads_back_to_the_page(owner, repair):
    assert take_back(owner, repair, tell(repair, owner.staff)).location == f"/repairs/{repair.code}"
    page = owner.page(f"/repairs/{repair.code}")
    assert "does not show it any more" in page.one("#said").get_text()
    assert [*faults(page)] == []


def test_it_is_among_what_was_said_in_the_history_and_the_shop_s_record(owner, repair):
    take_back(owner, repair, tell(repair, owner.staff))
    said = owner.page(f"/repairs/{repair.code}?history=talk").one("ol.history").get_text()
    assert "Took back" in said
    lines = owner.page("/activity?kind=talk").text
    assert f"took back what the customer of {repair.code}" in lines


def test_the_customer_s_own_data_say_what_they_cannot_read_any_more(owner, repair):
    tell(repair, owner.staff, "It is on the bench.")
    take_back(owner, repair, tell(repair, owner.staff))
    data = json.loads(owner.send(f"/customers/{repair.customer_id}/export", status=200).html)
    history = data["Repairs"][0]["History"]
    read = {line["Text"]: line["The customer can read it"] for line in history if "Text" in line}
    assert (read["It is on the bench."], read[SAID]) == (True, False)
    assert history[-1]["What"] == "Update taken back"
    assert "From" not in history[-1]


# --- who may --------------------------------------------------------------------------------------


def test_whoever_told_it_takes_it_back_whatever_their_role(technician, front_desk, repair):
    for client in (technician, front_desk):
        update_id = tell(repair, client.staff)
        assert buttons(client.page(f"/repairs/{repair.code}")) == [address(repair, update_id)]
        take_back(client, repair, update_id)
        assert last(repair).kind == "update_taken_back"


def test_what_somebody_else_told_is_a_manager_s_to_take_back(manager, technician, front_desk, repair):
    update_id = tell(repair, front_desk.staff)
    assert buttons(technician.page(f"/repairs/{repair.code}")) == []
    before = happened(repair)
    page = take_back(technician, repair, update_id, 403)
    assert page.one("#updates [role=alert]").get_text() == (
        "Only whoever told it, an owner or a manager may take it back."
    )
    assert happened(repair) == before
    assert buttons(manager.page(f"/repairs/{repair.code}")) == [address(repair, update_id)]
    take_back(manager, repair, update_id)
    assert happened(repair) == before + 1


# --- what is refused --------------------------------------------------------------------------------


def test_nothing_is_taken_back_twice(owner, repair):
    update_id = tell(repair, owner.staff)
    take_back(owner, repair, update_id)
    before = happened(repair)
    page = owner.htmx(address(repair, update_id), {"version": repair.version}, 422)
    assert page.one("#updates [role=alert]").get_text() == "This update is taken back already."
    assert happened(repair) == before


def test_only_an_update_of_this_repair_is_taken_back(owner, repair):
    other = make_repair()
    theirs = tell(other, owner.staff)
    actions.add_note(repair, "Battery at 71 %.", by=owner.staff, version=repair.version)
    note, told = last(repair).id, tell(repair, owner.staff)
    take_back(owner, repair, told)
    before = happened(repair), happened(other)
    for wrong in (theirs, note, last(repair).id, repair.events[0].id, 2147483647, 0):
        page = owner.htmx(address(repair, wrong), {"version": repair.version}, 422)
        assert page.one("#updates [role=alert]").get_text() == "This repair has no such update."
    assert (happened(repair), happened(other)) == before
    owner.send(address(repair, 2147483648), {"version": repair.version}, 404)


def test_a_button_that_is_out_of_date_takes_nothing_back(owner, repair):
    update_id, old = tell(repair, owner.staff), repair.version
    actions.add_note(repair, "The glass came.", by=make_staff("technician", name="Narin"), version=repair.version)
    before = happened(repair)
    page = owner.htmx(address(repair, update_id), {"version": old}, 409)
    assert "Narin changed this repair" in page.one("#updates [role=alert]").get_text()
    assert buttons(page) == [address(repair, update_id)]
    assert happened(repair) == before


def test_without_htmx_the_whole_page_says_why_it_is_refused(owner, repair):
    update_id = tell(repair, owner.staff)
    page = owner.send(address(repair, update_id), {"version": 0}, 409)
    assert "changed this repair" in page.one("#updates [role=alert]").get_text()
    assert page.one("#updates textarea").get_text() == ""
