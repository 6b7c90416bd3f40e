"""A repair that was taken in for the wrong customer is given to the right one, with a new link."""

import pytest
from sqlalchemy import func, select

from app.db import db
from app.models import Customer, Event, Merge, Repair
from app.repairs import actions

from .factories import branch, make_customer, make_repair, make_staff
from .test_actions import at_once
from .test_merge import merge, undo
from .test_web import faults


@pytest.fixture
def malee(shop):
    """For whom it was taken in."""
    return make_customer(name="Malee Suk", phone="+66812345678", email="malee@example.com")


@pytest.fixture
def somchai(shop):
    """Whose it is."""
    return make_customer(name="Somchai Dee", phone="+66899999999")


@pytest.fixture
def repair(malee):
    return make_repair(customer=malee, item="Road bike", serial="WTU 123", status="diagnosing")


def address(repair):
    return f"/repairs/{repair.code}/customer"


def give(client, repair, status=303, **typed):
    """What somebody sends who opened the page just now."""
    return client.send(address(repair), {"version": repair.version, "phone": "", **typed}, status, on=address(repair))


def mistake(page, name):
    """What stands by a field."""
    return page.one(f"#{name}-error").get_text()


def kinds(repair):
    query = select(Event.kind).where(Event.repair_id == repair.id).order_by(Event.id)
    return list(db.session.scalars(query))


def untouched(repair, malee, token):
    return (repair.customer_id, repair.token, "customer_changed" in kinds(repair)) == (malee.id, token, False)


# --- the page -----------------------------------------------------------------------------------


def test_the_edit_page_says_whose_it_is_and_leads_to_who_else(manager, repair):
    whose = manager.page(f"/repairs/{repair.code}/edit").one(".whose")
    assert "Malee Suk" in whose.get_text()
    page = manager.page(whose.a["href"])
    assert "taken in for Malee Suk, 081 234 5678" in page.one("main").get_text()
    assert "The old link stops working" in page.text
    assert page.one("#phone").get("value", "") == ""
    assert [*faults(page)] == []


def test_whoever_may_not_is_not_offered_it_and_told_who_may(technician, front_desk, repair, malee):
    token = repair.token
    for client in (technician, front_desk):
        assert not client.page(f"/repairs/{repair.code}/edit").all(".whose")
        assert "Only an owner or a manager" in client.page(address(repair), 403).text
        client.send(address(repair), {"version": repair.version, "phone": "0899999999", "name": "X"}, 403)
    assert untouched(repair, malee, token)


def test_the_page_looks_numbers_up_as_intake_does(manager, repair, somchai):
    page = manager.page(address(repair))
    assert page.one("#phone")["hx-post"] == "/repairs/new/customer"
    assert page.one("#phone")["hx-target"] == "#customer"
    form = {field["name"]: field.get("value", "") for field in page.all("form.stack input")}
    answer = manager.htmx("/repairs/new/customer", form | {"phone": "0899999999"})
    assert "Somchai Dee" in answer.one("#customer .known").get_text()


# --- giving it ----------------------------------------------------------------------------------


def test_a_known_customer_gets_it_with_a_new_link(manager, anyone, repair, malee, somchai):
    token = repair.token
    assert give(manager, repair, phone="089 999 9999").location == f"/repairs/{repair.code}"
    assert repair.customer_id == somchai.id
    assert repair.token != token
    anyone.page(f"/t/{token}", 404)
    anyone.page(f"/t/{repair.token}")
    page = manager.page(f"/repairs/{repair.code}")
    assert "It is Somchai Dee’s now." in page.one("#said").get_text()
    assert page.one(f'.page-head a[href="/customers/{somchai.id}"]')
    assert kinds(repair)[-2:] == ["customer_changed", "link_replaced"]
    changed = db.session.scalars(select(Event).where(Event.kind == "customer_changed")).one()
    assert (changed.staff_id, changed.old, changed.new) == (manager.staff_id, str(malee.id), str(somchai.id))
    history = page.one("#history").get_text()
    assert "Went over to another customer" in history
    assert "Taken in for the wrong customer." in history


def test_it_is_found_by_whose_it_is_and_no_more_by_whose_it_was(owner, repair, somchai):
    give(owner, repair, phone="0899999999")

    def finds(words):
        return repair.code in owner.page("/repairs", query_string={"q": words}).one("#results").get_text()

    assert [finds(words) for words in ("somchai", "0899999999", "bike", "wtu123")] == [True] * 4
    assert not finds("malee")
    assert not finds("0812345678")


def test_a_new_number_needs_a_name_and_is_a_new_customer(owner, repair, malee):
    token = repair.token
    page = give(owner, repair, 422, phone="081 000 0001")
    assert mistake(page, "name") == "Who is the customer? This number is new."
    assert page.one("#phone")["value"] == "081 000 0001"
    assert untouched(repair, malee, token)
    give(owner, repair, phone="081 000 0001", name="Preeda", email="preeda@example.com")
    customer = repair.customer
    assert (customer.name, customer.phone, customer.email) == ("Preeda", "+66810000001", "preeda@example.com")
    assert repair.code in owner.page("/repairs?q=preeda").one("#results").get_text()


def test_a_name_typed_before_the_number_was_complete_is_good_for_a_new_number(owner, repair):
    give(owner, repair, phone="081 000 0001", other_name="Preeda")
    assert repair.customer.name == "Preeda"


def test_another_name_than_the_number_s_is_asked_about_once(owner, repair, malee, somchai):
    token = repair.token
    page = give(owner, repair, 422, phone="0899999999", name="Preeda")
    assert "belongs to Somchai Dee, not “Preeda”" in mistake(page, "phone")
    assert untouched(repair, malee, token)
    again = {field["name"]: field.get("value", "") for field in page.all("form.stack input")}
    owner.send(address(repair), again)
    assert repair.customer_id == somchai.id


def test_a_known_customer_s_missing_email_is_kept(owner, repair, somchai):
    give(owner, repair, phone="0899999999", email="somchai@example.com")
    assert somchai.email == "somchai@example.com"
    assert "somchai@example.com" in repair.search


@pytest.mark.parametrize(("typed", "said"), [("", "comes first"), ("12", ""), ("nobody", "")])
def test_what_is_no_number_is_said_by_the_field_and_kept(owner, repair, malee, typed, said):
    token = repair.token
    page = give(owner, repair, 422, phone=typed, name="Preeda")
    assert said in mistake(page, "phone")
    assert page.one("#phone").get("value", "") == typed
    assert page.one("#name")["value"] == "Preeda"
    assert untouched(repair, malee, token)


# --- what is refused ----------------------------------------------------------------------------


def test_whose_it_is_already_is_not_given_it_again(owner, repair, malee):
    token = repair.token
    assert mistake(give(owner, repair, 422, phone="0812345678"), "phone") == "This repair belongs to Malee Suk already."
    assert untouched(repair, malee, token)


def test_the_number_of_somebody_merged_means_whoever_was_kept(owner, repair, malee, somchai):
    gone = make_customer(name="S. Dee", phone="+66870000000")
    merge(owner, somchai, gone)
    give(owner, repair, phone="0870000000")
    assert repair.customer_id == somchai.id
    merge(owner, somchai, malee)
    page = give(owner, repair, 422, phone="0812345678")
    assert "belongs to Somchai Dee already" in mistake(page, "phone")


def test_a_repair_whose_customer_was_erased_is_nobody_s(owner, malee, somchai):
    repair = make_repair(customer=malee, status="delivered")
    owner.send(f"/customers/{malee.id}/erase", {"typed": "ERASE"})
    token = repair.token
    page = owner.page(address(repair))
    assert not page.all("main form")
    assert "nobody knows any more" in page.text
    assert not owner.page(f"/repairs/{repair.code}/edit").all(".whose")
    form = {"version": repair.version, "phone": "0899999999"}
    assert "nobody knows any more" in owner.send(address(repair), form, 422).text
    assert (repair.customer_id, repair.token) == (malee.id, token)


def test_a_form_that_is_out_of_date_gives_nothing_away_and_keeps_what_was_typed(owner, repair, malee):
    token, old = repair.token, repair.version
    narin = make_staff("technician", name="Narin")
    actions.add_note(repair, "The chain is new.", by=narin, version=repair.version)
    page = owner.send(address(repair), {"version": old, "phone": "081 000 0001", "name": "Preeda"}, 409)
    assert "Narin changed this repair" in page.one(".alert").get_text()
    assert (page.one("#phone")["value"], page.one("#name")["value"]) == ("081 000 0001", "Preeda")
    assert page.one("form.stack [name=version]")["value"] == str(repair.version)
    assert untouched(repair, malee, token)
    assert not db.session.scalar(select(func.count()).select_from(Customer).where(Customer.name == "Preeda"))
    owner.send(address(repair), {"version": repair.version, "phone": "081 000 0001", "name": "Preeda"})
    assert repair.customer.name == "Preeda"


def test_a_repair_of_another_branch_is_not_there(manager, somchai):
    there = make_repair(branch="RV")
    manager.page(address(there), 404)
    manager.send(address(there), {"version": there.version, "phone": "0899999999"}, 404)


def test_a_customer_known_at_another_branch_gets_it_as_at_intake(manager, repair, somchai):
    make_repair(customer=somchai, branch="RV")
    give(manager, repair, phone="0899999999")
    assert repair.customer_id == somchai.id
    assert branch("MN").id == repair.branch_id


# --- merges, and two at once ----------------------------------------------------------------------


def test_undoing_a_merge_leaves_alone_what_was_given_to_somebody_else_since(owner, malee, somchai):
    double = make_customer(name="Malee S.")
    stays, goes_on = make_repair(customer=double), make_repair(customer=double)
    merge(owner, malee, double)
    give(owner, goes_on, phone="0899999999")
    made = db.session.scalars(select(Merge)).one()
    assert {*made.repairs} == {stays.id, goes_on.id}
    undo(owner, made)
    assert [stays.customer_id, goes_on.customer_id] == [double.id, somchai.id]
    assert "somchai" in goes_on.search


def test_of_two_who_give_it_away_at_once_one_does(app, owner, manager, repair, malee):
    forms = [{"version": repair.version, "phone": f"081 000 000{n}", "name": f"Preeda {n}"} for n in (1, 2)]

    place = address(repair)
    tokens = [client.csrf_token() for client in (owner, manager)]
    jobs = [
        lambda client=client, form=form, token=token: client.post(place, data=form | {"csrf_token": token}).status_code
        for client, form, token in zip((owner, manager), forms, tokens, strict=True)
    ]
    assert sorted(at_once(app, *jobs)) == [303, 409]
    db.session.expire_all()
    assert kinds(repair).count("customer_changed") == 1
    assert len(db.session.scalars(select(Customer).where(Customer.name.startswith("Preeda"))).all()) == 1


def test_merging_and_giving_away_at_once_leave_every_repair_with_somebody(app, owner, manager, repair, malee, somchai):
    double = make_customer(name="M. Suk", phone="+66870000000")
    page = owner.page(f"/customers/{double.id}/merge?with={malee.id}")
    asked = {field["name"]: field["value"] for field in page.all("form[method=post].stack input[type=hidden]")}
    asked |= {field["name"]: field["value"] for field in page.all("form.stack input[type=radio][checked]")}
    given = {"version": repair.version, "phone": "0870000000", "csrf_token": manager.csrf_token()}
    place, code = f"/customers/{double.id}/merge", address(repair)
    answers = at_once(
        app,
        lambda: owner.post(place, data=asked).status_code,
        lambda: manager.post(code, data=given).status_code,
    )
    assert answers[0] in {303, 409}
    assert answers[1] in {303, 409}
    db.session.expire_all()
    assert db.session.get_one(Repair, repair.id).customer.merged_at is None


def test_whoever_writes_a_note_at_that_moment_still_finds_the_repair(app, owner, manager, repair, somchai):
    given = {"version": repair.version, "phone": "0899999999", "csrf_token": owner.csrf_token()}
    note = {"version": repair.version, "text": "The chain is new.", "csrf_token": manager.csrf_token()}
    place, notes = address(repair), f"/repairs/{repair.code}/notes"
    answers = at_once(
        app,
        lambda: owner.post(place, data=given).status_code,
        lambda: manager.post(notes, data=note).status_code,
    )
    assert sorted(answers) == [303, 409]
