"""Two customers who turn out to be one: shown first, merged, found by either number, and made two again."""

import pytest
from sqlalchemy import func, select

from app.customers import actions, queries
from app.db import db
from app.models import Activity, Customer, Event, Merge, Repair
from app.rules import Kind

from .factories import branch, make_customer, make_repair, make_staff
from .test_web import faults


@pytest.fixture
def malee(shop):
    """Who stays."""
    return make_customer(name="Malee Suk", phone="+66812345678")


@pytest.fixture
def double(shop):
    """The same person, as somebody else wrote her down."""
    return make_customer(name="Malee S.", phone="+66899999999", email="malee@example.com")


def merge(client, kept, gone, status=303, **chosen):
    """What somebody does who looks at the page and presses its button."""
    page = client.page(f"/customers/{kept.id}/merge?with={gone.id}")
    form = {field["name"]: field["value"] for field in page.all("form[method=post].stack input[type=hidden]")}
    form |= {field["name"]: field["value"] for field in page.all("form.stack input[type=radio][checked]")}
    return client.send(f"/customers/{kept.id}/merge", form | chosen, status)


def undo(client, made=None, status=303):
    made = made or db.session.scalars(select(Merge).order_by(Merge.id.desc())).first()
    return client.send(f"/customers/merges/{made.id}/undo", status=status)


def owners(*repairs):
    return [repair.customer_id for repair in repairs]


# --- choosing -----------------------------------------------------------------------------------


def test_who_has_the_same_name_or_email_is_offered_first(manager, malee, double):
    same_name = make_customer(name="MALÉE SUK")
    malee.email = "Malee@Example.com"
    make_customer(name="Malee Sukhumvit")
    gone = make_customer(name="Malee Suk")
    gone.merged_at = gone.created_at
    page = manager.page(f"/customers/{malee.id}/merge")
    assert {link["href"].partition("=")[2] for link in page.all("#results a")} == {str(same_name.id), str(double.id)}
    assert [*faults(page)] == []


def test_a_name_is_the_same_without_the_letters_that_a_keyboard_lacks(manager, shop):
    lukasz, plain = make_customer(name="Łukasz Sørensen"), make_customer(name="Lukasz Sorensen")
    for one, other in ((lukasz, plain), (plain, lukasz)):
        found = manager.page(f"/customers/{one.id}/merge").one("#results a")
        assert found["href"].partition("=")[2] == str(other.id)


def test_anybody_else_is_found_by_search_but_not_oneself(manager, malee, double):
    page = manager.page(f"/customers/{malee.id}/merge?q=malee")
    assert [link.b.get_text() for link in page.all("#results a")] == ["Malee S."]
    assert "Nobody found" in manager.page(f"/customers/{malee.id}/merge?q=nobody").text


@pytest.mark.parametrize("other", ["99", "x", "-1", "99999999999", "", "%00"])
def test_nobody_is_merged_with_nobody(manager, malee, other):
    assert manager.page(f"/customers/{malee.id}/merge?with={other}").one("h1").get_text() == "Who is the same person?"
    page = manager.send(f"/customers/{malee.id}/merge", {"with": other}, 422)
    assert page.one("[role=alert]").get_text() == "Choose whom to merge."


def test_one_is_not_merged_with_oneself(manager, malee):
    page = manager.page(f"/customers/{malee.id}/merge?with={malee.id}", 422)
    assert "one and the same" in page.one("[role=alert]").get_text()


def test_a_technician_and_the_front_desk_may_not_merge(technician, front_desk, malee, double):
    for client in (technician, front_desk):
        assert not client.page(f"/customers/{malee.id}").all("a[href$='/merge']")
        for page in (
            client.page(f"/customers/{malee.id}/merge?with={double.id}", 403),
            client.send(f"/customers/{malee.id}/merge", {"with": double.id}, 403),
        ):
            assert page.one("[role=alert]").get_text().count("an owner or a manager")


def test_a_manager_does_not_see_whom_to_merge_at_another_branch(manager, malee):
    elsewhere = make_repair(branch="RV", customer=make_customer(name="Malee Suk", email="m@example.com")).customer
    assert not manager.page(f"/customers/{malee.id}/merge").all("#results a")
    page = manager.send(f"/customers/{malee.id}/merge", {"with": elsewhere.id}, 422)
    assert page.one("[role=alert]").get_text() == "Choose whom to merge."
    manager.page(f"/customers/{elsewhere.id}/merge?with={malee.id}", 404)


# --- merging ------------------------------------------------------------------------------------


def test_the_page_says_what_will_happen_and_nothing_happens(owner, malee, double, statements):
    make_repair(customer=malee)
    make_repair(customer=double)
    make_repair(customer=double, branch="RV")
    url = f"/customers/{malee.id}/merge?with={double.id}"
    statements.clear()
    page = owner.page(url)
    assert len(statements) <= 5
    assert "2 repairs go over. The customer who stays then has 3 repairs." in page.text
    assert "081 234 5678 and 089 999 9999 , go on finding" in page.text.replace("9999,", "9999 ,")
    assert [*faults(page)] == []
    assert db.session.scalar(select(func.count()).select_from(Merge)) == 0
    # Both have a name and a number; only one has an email, which is proposed.
    assert [field["value"] for field in page.all("input[type=radio][checked]")] == ["kept", "kept", "gone"]


def test_a_manager_reads_how_many_go_over_at_branches_they_do_not_see(manager, malee, double):
    make_repair(customer=double)
    make_repair(customer=double, branch="RV")
    page = manager.page(f"/customers/{malee.id}/merge?with={double.id}")
    assert "2 repairs go over (1 of them at another branch)." in page.text


def test_all_repairs_go_over_and_say_so_in_their_history(manager, malee, double):
    own, theirs = make_repair(customer=malee), make_repair(customer=double, status="ready")
    versions = theirs.version, theirs.public_version, own.version
    answer = merge(manager, malee, double)
    assert answer.location == f"/customers/{malee.id}"
    assert owners(own, theirs) == [malee.id, malee.id]
    assert (theirs.version, theirs.public_version, own.version) == (versions[0] + 1, *versions[1:])
    last = theirs.events[-1]
    assert (last.kind, last.old, last.new) == (Kind.CUSTOMER_CHANGED, str(double.id), str(malee.id))
    assert last.staff_id == manager.staff_id
    assert "Went over to another customer" in manager.page(f"/repairs/{theirs.code}").one("#history").get_text()
    assert (malee.name, malee.phone, malee.email) == ("Malee Suk", "+66812345678", "malee@example.com")
    noted = db.session.scalars(select(Activity).where(Activity.kind == "customers_merged")).one()
    assert (noted.kind, noted.text) == ("customers_merged", "1 repair went over")
    assert noted.subject == f"merge {db.session.scalars(select(Merge)).one().id}"


def test_whoever_went_is_in_no_list_and_their_page_leads_on(owner, malee, double):
    make_repair(customer=double)
    merge(owner, malee, double)
    assert [name.get_text() for name in owner.page("/customers").all("#results b")] == ["Malee Suk"]
    assert "Malee S." not in owner.page("/customers?q=malee").one("#results").get_text()
    for page in ("", "/edit", "/merge", "/erase"):
        assert owner.page(f"/customers/{double.id}{page}", 303).location == f"/customers/{malee.id}"
    form = {"name": "X", "phone": "081 000 0000"}
    assert owner.send(f"/customers/{double.id}/edit", form).location == f"/customers/{malee.id}"
    assert "has been merged into Malee Suk" in owner.page(f"/customers/{malee.id}").one("#said").get_text()
    assert double.name == "Malee S."


def test_both_numbers_find_whoever_stayed(front_desk, owner, malee, double):
    merge(owner, malee, double)
    for number in ("081 234 5678", "089 999 9999"):
        page = front_desk.htmx("/repairs/new/customer", {"phone": number})
        assert "Malee Suk" in page.one(".known").get_text()
        form = {"phone": number, "item": "Lamp", "problem": "Dark", "branch": branch("MN").id, "technician": 0}
        answer = front_desk.send("/repairs/new", form | {"promise_pick": "none"})
        code = answer.location.rpartition("/")[2]
        assert db.session.scalars(select(Repair).where(Repair.code == code)).one().customer_id == malee.id
    assert not front_desk.htmx("/repairs/new/customer", {"phone": "089 999"}).all(".suggestions")


def found(client, url, typed):
    """What a list has for whoever types that."""
    return [link["href"] for link in client.page(url, query_string={"q": typed}).all("#results .rows a")]


def test_every_number_finds_the_repairs_of_whoever_stayed(manager, malee, double):
    third = make_customer(name="Malee", phone="+66877777777")
    theirs = [f"/repairs/{make_repair(customer=customer).code}" for customer in (malee, double, third)][::-1]
    merge(manager, double, third)
    merge(manager, malee, double)
    # Whoever calls is looked up by the number they call from, or the end of it.
    for typed in ("081 234 5678", "089 999 9999", "087 777 7777", "7777"):
        assert sorted(found(manager, "/repairs", typed)) == sorted(theirs), typed
        assert found(manager, "/customers", typed) == [f"/customers/{malee.id}"], typed
    manager.send(f"/customers/{malee.id}/edit", {"name": "Malee", "phone": "089 999 9999"})
    assert found(manager, "/customers", "081 234 5678") == [f"/customers/{malee.id}"]
    later = f"/repairs/{make_repair(customer=malee).code}"
    assert later in found(manager, "/repairs", "7777")
    undo(manager)
    assert sorted(found(manager, "/repairs", "7777")) == sorted(theirs[:2])
    assert later in found(manager, "/repairs", "081 234 5678")
    assert later not in found(manager, "/repairs", "089 999 9999")


def test_name_number_and_email_are_taken_from_either(owner, malee, double):
    merge(owner, malee, double, name="gone", phone="gone", email="kept")
    assert (malee.name, malee.phone, malee.email) == ("Malee S.", "+66899999999", "")
    assert double.phone == "+66812345678"
    assert queries.by_phone("+66812345678") == queries.by_phone("+66899999999") == malee
    repair = make_repair(customer=malee)
    assert repair.code in owner.page("/repairs?q=0899999999").one("#results").get_text()


def test_whoever_stayed_may_take_the_other_number_later(owner, malee, double):
    merge(owner, malee, double)
    owner.send(f"/customers/{malee.id}/edit", {"name": "Malee", "phone": "089 999 9999"})
    assert (malee.phone, double.phone) == ("+66899999999", "+66812345678")


def test_a_merge_goes_by_what_was_shown(owner, malee, double):
    page = owner.page(f"/customers/{malee.id}/merge?with={double.id}")
    form = {"with": double.id, "seen": page.one("[name=seen]")["value"]}
    form |= {"name": "kept", "phone": "kept", "email": "kept"}
    make_repair(customer=double)
    page = owner.send(f"/customers/{malee.id}/merge", form, 409)
    assert "has changed" in page.one("[role=alert]").get_text()
    assert "1 repair goes over" in page.text
    owner.send(f"/customers/{malee.id}/merge", form | {"seen": page.one("[name=seen]")["value"]})


def test_a_choice_that_is_none_is_refused(owner, malee, double):
    merge(owner, malee, double, 422, name="both")
    assert double.merged_at is None


def test_two_people_who_merge_the_same_two_at_once_merge_them_once(owner, manager, malee, double):
    pages = [owner.page(f"/customers/{a.id}/merge?with={b.id}") for a, b in ((malee, double), (double, malee))]
    forms = [{field: page.one(f"[name={field}]")["value"] for field in ("with", "seen")} for page in pages]
    chosen = {"name": "kept", "phone": "kept", "email": "kept"}
    owner.send(f"/customers/{malee.id}/merge", forms[0] | chosen)
    answer = manager.send(f"/customers/{double.id}/merge", forms[1] | chosen)
    assert answer.location == f"/customers/{malee.id}"
    answer = manager.send(f"/customers/{malee.id}/merge", forms[0] | chosen, 422)
    assert "has been merged into Malee Suk already" in answer.one("[role=alert]").get_text()
    assert db.session.scalar(select(func.count()).select_from(Merge)) == 1


# --- chains -------------------------------------------------------------------------------------


def test_a_chain_of_merges_leads_to_the_last(owner, malee, double):
    third = make_customer(name="M. Suk", phone="+66877777777")
    repair = make_repair(customer=double)
    merge(owner, malee, double)
    merge(owner, third, malee)
    assert owners(repair) == [third.id]
    for number in ("+66812345678", "+66899999999", "+66877777777"):
        assert queries.by_phone(number) == third
    assert owner.page(f"/customers/{double.id}", 303).location == f"/customers/{third.id}"
    page = owner.page(f"/customers/{third.id}")
    assert [row.b.get_text() for row in page.all(".merges li")] == ["Malee Suk", "Malee S."]


def test_an_earlier_merge_of_a_chain_is_undone_after_the_later_one(owner, malee, double):
    third = make_customer(name="M. Suk")
    repair = make_repair(customer=double)
    merge(owner, malee, double)
    merge(owner, third, malee)
    first, second = db.session.scalars(select(Merge).order_by(Merge.id)).all()
    for page in (owner.page(f"/customers/merges/{first.id}/undo", 200), undo(owner, first, 422)):
        assert "Undo that merge first" in page.text
    undo(owner, second)
    assert owners(repair) == [malee.id]
    undo(owner, first)
    assert owners(repair) == [double.id]


# --- undoing ------------------------------------------------------------------------------------


def test_undoing_gives_back_what_went_over_and_what_was_changed(owner, malee, double):
    own, theirs = make_repair(customer=malee), make_repair(customer=double)
    merge(owner, malee, double, name="gone", phone="gone", email="gone")
    since = make_repair(customer=malee)
    page = owner.page(owner.page(f"/customers/{malee.id}").one(".merges a")["href"])
    assert "1 repair goes back to Malee S." in page.text
    assert "again 081 234 5678" in page.text
    assert [*faults(page)] == []
    assert undo(owner).location == f"/customers/{double.id}"
    assert "two customers again" in owner.page(f"/customers/{double.id}").one("#said").get_text()
    assert owners(own, theirs, since) == [malee.id, double.id, malee.id]
    assert (malee.name, malee.phone, malee.email) == ("Malee Suk", "+66812345678", "")
    assert (double.name, double.phone, double.merged_at) == ("Malee S.", "+66899999999", None)
    made = db.session.scalars(select(Merge)).one()
    assert (made.undone_at is not None, made.before) == (True, {})
    assert theirs.events[-1].text == "A merge of two customers was undone."
    assert db.session.scalars(select(Activity.text).order_by(Activity.id.desc())).first() == "1 repair went back"
    assert theirs.code in owner.page("/repairs?q=0899999999").one("#results").get_text()


def test_what_was_changed_since_is_left_and_said(owner, malee, double):
    merge(owner, malee, double, name="gone", phone="gone", email="gone")
    by = make_staff("owner")
    actions.change(malee, by=by, name="Malee New", phone="+66855555555", email="malee@example.com")
    page = owner.page(f"/customers/merges/{db.session.scalars(select(Merge.id)).one()}/undo")
    assert "The name stays as it is" in page.text
    undo(owner)
    said = owner.page(f"/customers/{double.id}").one("#said").get_text()
    for field in ("name", "phone"):
        assert f"The {field} stays as it is: it was changed since the merge." in said
    assert "The email" not in said
    assert (malee.name, malee.phone, malee.email) == ("Malee New", "+66855555555", "")
    assert double.phone == "+66899999999"


def test_numbers_that_were_exchanged_since_the_merge_go_back_to_whose_they_were(owner, malee, double):
    merge(owner, malee, double)
    owner.send(f"/customers/{malee.id}/edit", {"name": "Malee Suk", "phone": "089 999 9999"})
    undo(owner)
    assert (malee.phone, double.phone) == ("+66812345678", "+66899999999")


def test_a_number_that_is_somebody_else_s_by_now_stays_there(owner, malee, double):
    merge(owner, malee, double, phone="gone")
    by = make_staff("owner")
    actions.change(malee, by=by, name=malee.name, phone="+66855555555", email="")
    make_customer(name="Rung", phone="+66899999999")
    undo(owner)
    assert "The number of Malee S. is somebody else’s by now" in owner.page(f"/customers/{double.id}").text
    assert (malee.phone, double.phone) == ("+66855555555", "+66812345678")


def test_a_merge_is_undone_once(owner, malee, double):
    merge(owner, malee, double)
    undo(owner)
    made = db.session.scalars(select(Merge)).one()
    for page in (undo(owner, made, 422), owner.page(f"/customers/merges/{made.id}/undo")):
        assert "has been undone" in page.text
    assert not owner.page(f"/customers/{malee.id}").all(".merges")
    merge(owner, double, malee)
    assert queries.by_phone("+66812345678") == double


def test_a_merge_of_another_branch_s_customers_is_not_there(manager, owner, malee, double):
    make_repair(customer=malee, branch="RV")
    make_repair(customer=double, branch="RV")
    merge(owner, malee, double)
    made = db.session.scalars(select(Merge.id)).one()
    manager.page(f"/customers/merges/{made}/undo", 404)
    manager.send(f"/customers/merges/{made}/undo", status=404)
    manager.page(f"/customers/{double.id}", 404)


def test_whoever_was_merged_at_another_branch_is_named_to_nobody_here(manager, owner, malee, double):
    third = make_customer(name="M. Suk")
    make_repair(customer=double, branch="RV")
    merge(owner, malee, double)
    merge(owner, third, malee)
    mine = make_repair().customer
    page = manager.page(f"/customers/{mine.id}/merge?with={double.id}")
    assert page.one("h1").get_text() == "Who is the same person?"
    first, second = db.session.scalars(select(Merge.id).order_by(Merge.id)).all()
    for made in (first, second):
        manager.page(f"/customers/merges/{made}/undo", 404)
    make_repair(customer=third)
    page = manager.page(f"/customers/{mine.id}/merge?with={double.id}", 422)
    assert "Malee S. has been merged into M. Suk already" in page.text
    assert "Undo that merge first" in manager.page(f"/customers/merges/{first}/undo").text


def test_a_merge_that_was_undone_names_nobody_of_another_branch(manager, owner, malee, double):
    make_repair(customer=malee)
    make_repair(customer=double, branch="RV")
    merge(owner, malee, double)
    made = db.session.scalars(select(Merge)).one()
    assert "Malee S." in manager.page(f"/customers/merges/{made.id}/undo").text
    undo(owner)
    manager.page(f"/customers/merges/{made.id}/undo", 404)
    manager.send(f"/customers/merges/{made.id}/undo", status=404)


def test_a_repair_s_move_to_another_customer_is_nothing_that_customers_see(owner, anyone, malee, double):
    repair = make_repair(customer=double)
    before = anyone.page(f"/t/{repair.token}").text
    merge(owner, malee, double)
    assert anyone.page(f"/t/{repair.token}").text == before


def test_nothing_is_lost_by_merging_and_undoing(owner, malee, double):
    for number in range(3):
        make_repair(customer=double, note=f"Note {number}")
    events = db.session.scalars(select(Event.id)).all()
    merge(owner, malee, double)
    undo(owner)
    assert {*events} < {*db.session.scalars(select(Event.id))}
    assert db.session.scalar(select(func.count()).select_from(Customer)) == 2


def test_the_list_of_customers_finds_who_was_kept_by_the_number_of_who_was_merged(manager, malee, double):
    third = make_customer(name="Malee", phone="+66877777777")
    merge(manager, double, third)
    merge(manager, malee, double)
    for typed in ("0899999999", "+66899999999", "087 777 7777"):
        found = manager.page("/customers", query_string={"q": typed}).all("#results a")
        assert [link["href"] for link in found] == [f"/customers/{malee.id}"], typed
    assert manager.page("/customers?q=0888888888").all("#results a") == []
    undo(manager)
    found = manager.page("/customers?q=0899999999").all("#results a")
    assert [link["href"] for link in found] == [f"/customers/{double.id}"]
