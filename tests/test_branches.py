"""Who sees what of a shop with several branches: an owner all of it, everyone else their own."""

import pytest
from sqlalchemy import select, text

from app.activity import record
from app.db import db
from app.models import Activity, Event
from app.rules import Deed

from .factories import branch, make_customer, make_repair, make_staff


@pytest.fixture
def here(shop):
    """A repair at Main, of a customer whose other repair is at Riverside."""
    return make_repair(item="Violin", customer=make_customer(name="Napat", phone="+66811110001"))


@pytest.fixture
def there(here):
    """That customer's repair at Riverside."""
    return make_repair(item="Cello", branch="RV", customer=here.customer)


@pytest.fixture
def stranger(shop):
    """A customer who was at Riverside alone."""
    repair = make_repair(item="Drum", branch="RV", customer=make_customer(name="Rung", phone="+66811119999"))
    return repair.customer


STAFF = ["manager", "technician", "front_desk"]


@pytest.fixture(params=STAFF)
def somebody(request):
    """A browser at Main, of everyone in turn but the owner."""
    return request.getfixturevalue(request.param)


def test_the_board_has_one_s_own_branch_alone_whatever_is_asked_for(somebody, owner, here, there):
    river = branch("RV").id
    for query in ("", f"?branch={river}", "?q=napat", f"?q=cello&branch={river}", "?show=received"):
        rows = somebody.page(f"/repairs{query}").all("#results .code")
        assert there.code not in {row.get_text() for row in rows}, query
    assert here.code in somebody.page("/repairs").text
    assert not somebody.page("/repairs").all("select[name=branch]")
    assert {row.get_text() for row in owner.page("/repairs").all("#results li .code")} == {here.code, there.code}


def test_the_board_counts_one_s_own_branch_alone(somebody, here, there):
    assert somebody.page("/repairs").one(".filters [aria-current] b").get_text() == "1"


@pytest.mark.parametrize("page", ["", "/edit", "/receipt"])
def test_another_branch_s_repair_is_not_there(somebody, there, page):
    somebody.page(f"/repairs/{there.code}{page}", 404)


@pytest.mark.parametrize("act", ["advance", "notes", "updates", "promise", "cancel", "link", "photos"])
def test_nothing_is_done_to_another_branch_s_repair(somebody, there, act):
    before = there.version
    somebody.send(f"/repairs/{there.code}/{act}", {"version": there.version, "text": "x"}, 404)
    assert there.version == before


def test_a_customer_s_page_has_one_s_own_branch_s_repairs(somebody, owner, here, there):
    page = somebody.page(f"/customers/{here.customer_id}")
    assert here.code in page.text
    assert there.code not in page.text
    assert there.code in owner.page(f"/customers/{here.customer_id}").text


def test_a_customer_of_another_branch_is_not_there(somebody, owner, stranger):
    somebody.page(f"/customers/{stranger.id}", 404)
    assert "Rung" not in somebody.page("/customers").text
    assert "Rung" not in somebody.page("/customers?q=rung").text
    assert "Rung" in owner.page("/customers?q=rung").text


def test_whoever_has_no_branch_by_mistake_sees_what_is_no_branch_s(app, here, stranger):
    """Not everything, as an owner does, who has none either."""
    lost = app.test_client().be(make_staff("manager", branch_id=None))
    lost.page(f"/repairs/{here.code}", 404)
    lost.page(f"/customers/{stranger.id}", 404)
    for url in ("/repairs", f"/repairs?branch={here.branch_id}", "/customers", "/activity"):
        page = lost.page(url)
        assert not [word for word in (here.code, "Napat", "Rung") if word in page.text], url


def test_a_customer_without_repairs_is_anybody_s(somebody):
    make_customer(name="New")
    assert "New" in somebody.page("/customers").text


def test_a_number_typed_in_full_is_known_wherever_its_customer_was(somebody, stranger):
    """Otherwise the same person would be two customers."""
    assert "Rung" not in somebody.htmx("/repairs/new/customer", {"phone": "081 111 9"}).text
    page = somebody.htmx("/repairs/new/customer", {"phone": "081 111 9999"})
    assert "Rung" in page.text
    assert not page.all(".known a"), "a page that is not there for them"


def test_a_known_number_leads_to_its_customer_s_page(owner, somebody, stranger, here):
    for client, number in ((owner, "081 111 9999"), (owner, "081 111 0001"), (somebody, "081 111 0001")):
        client.page(client.htmx("/repairs/new/customer", {"phone": number}).one(".known a")["href"])


def test_a_repair_is_given_to_people_of_its_own_branch(manager, there, here):
    make_staff("technician", name="Near")
    make_staff("technician", name="Far", branch_id=branch("RV").id)
    names = {option.get_text() for option in manager.page(f"/repairs/{here.code}/edit").all("[name=technician] option")}
    assert "Near" in names
    assert "Far" not in names


def test_an_owner_gives_a_repair_to_nobody_who_cannot_see_it(owner, there):
    make_staff("technician", name="Near")
    page = owner.page(f"/repairs/{there.code}/edit")
    assert "Near" not in {option.get_text() for option in page.all("[name=technician] option")}


# --- history ------------------------------------------------------------------------------------


def test_what_happened_is_not_changed(app, here):
    record.note(Deed.SHOP_CHANGED, by=None, text="name")
    db.session.commit()
    for row in (db.session.scalars(select(Event)).first(), db.session.scalars(select(Activity)).first()):
        row.text = "something else"
        with pytest.raises(TypeError, match="history"):
            db.session.flush()
        db.session.rollback()
        db.session.delete(row)
        with pytest.raises(TypeError, match="history"):
            db.session.flush()
        db.session.rollback()
    assert db.session.scalar(text("SELECT count(*) FROM activity")) == 1
