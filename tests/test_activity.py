"""The record of all that happened: one stream, for those who answer for it, looked through by whatever one knows."""

import re
from datetime import timedelta

import pytest
from babel.support import NullTranslations
from flask_babel import force_locale
from sqlalchemy import delete, insert, select

from app import language
from app.activity import queries, record, words
from app.activity.words import in_words
from app.customers import merging
from app.db import db
from app.models import Activity, Branch, Event, Shop
from app.repairs import actions
from app.rules import DEED_GROUPS, KIND_GROUPS, Deed, Kind
from app.shop import actions as settings
from app.staff import actions as staff

from .factories import branch, make_customer, make_repair, make_staff
from .test_search import asked, plan, read_whole  # noqa: F401
from .test_web import faults


def lines(client, **query):
    """What the record says, line by line, without the times."""
    page = client.page("/activity", query_string=query)
    return [" ".join(line.select_one("p").get_text(" ").split()) for line in page.all(".record > li")]


def note(deed=Deed.SHOP_CHANGED, **values):
    record.note(deed, **({"by": None} | values))
    db.session.commit()


@pytest.fixture
def owner(owner):
    """An owner whose signing in is not in the record."""
    return forgotten(owner)


@pytest.fixture
def manager(manager):
    """A manager whose signing in is not in the record."""
    return forgotten(manager)


def forgotten(client):
    db.session.execute(delete(Activity.__table__))
    db.session.commit()
    return client


@pytest.fixture
def ana(shop):
    return make_staff("manager", name="Ana")


# --- what is in it ------------------------------------------------------------------------------


def test_a_new_shop_s_record_says_what_it_is_for(owner):
    assert owner.page("/activity").one("#results .empty h2").get_text() == "Nothing yet"


def test_every_line_says_who_did_what_to_what(owner, ana):
    repair = make_repair(by=ana, item="Violin", note="The bridge is loose.")
    actions.advance(repair, by=ana, version=repair.version)
    actions.revert(repair, by=ana, version=repair.version, reason="Too soon")
    actions.add_update(repair, "We have it.", by=ana, version=repair.version)
    note(Deed.SHOP_CHANGED, by=owner.staff, text="name")
    me = owner.staff.name
    assert lines(owner) == [
        f"{me} changed the shop’s settings",
        f"Ana told the customer of {repair.code} Violin",
        f"Ana undid Diagnosing of {repair.code} Violin , back to Received",
        f"Ana moved {repair.code} Violin from Received to Diagnosing",
        f"Ana wrote a note on {repair.code} Violin",
        f"Ana took in {repair.code} Violin",
    ]
    page = owner.page("/activity")
    assert page.all(".record a")[0]["href"] == f"/repairs/{repair.code}"
    assert [why.get_text() for why in page.all(".record .why")] == [
        "name",
        "We have it.",
        "Too soon",
        "The bridge is loose.",
    ]
    assert page.one(".day-of-record h2").get_text() == "today"
    assert [*faults(page)] == []


@pytest.mark.parametrize("deed", Deed)
def test_every_deed_has_words(owner, deed):
    note(deed, by=owner.staff)
    (line,) = lines(owner)
    assert line.startswith(owner.staff.name)
    assert "_" not in line


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_event_has_words(owner, kind):
    repair = make_repair()
    moves = {"old": "received", "new": "diagnosing"} if kind in KIND_GROUPS["moves"][1] else {}
    db.session.add(Event(repair=repair, staff_id=owner.staff_id, kind=kind, **moves))
    db.session.commit()
    line = lines(owner)[0]
    assert repair.code in line
    assert "_" not in line
    if kind != Kind.REVERTED:  # Of a move that there was not.
        assert [*faults(owner.page(f"/repairs/{repair.code}"))] == []


class Shouting(NullTranslations):
    """Says everything in capitals, but for the names of values."""

    def gettext(self, message):
        return re.sub(r"%\(\w+\)s|[a-z]+", lambda found: found[0] if "%" in found[0] else found[0].upper(), message)

    def ngettext(self, one, many, count):
        return self.gettext(one if count == 1 else many)

    ugettext, ungettext = gettext, ngettext


# What no form changes, and so no line names.
SILENT = {"id", "code", "created_at", "logo_height", "logo_tone", "logo_width", "next_number", "version"}
# What an event or a line of the record keeps, and what is our own in it, in capitals.
KEPT = [
    (Kind.RECEIVED, "From an imported list.", "FROM AN IMPORTED LIST."),
    (Kind.PHOTO_ADDED, "1 photo", "1 PHOTO"),
    (
        Kind.EDITED,
        "item (was: a (was: b); c); technician (was: nobody)",
        "ITEM (WAS: a (was: b); c); TECHNICIAN (WAS: NOBODY)",
    ),
    (
        Kind.EDITED,
        "problem (was: nothing\nworks); accessories (was: nothing)",
        "PROBLEM (WAS: nothing\nworks); ACCESSORIES (WAS: NOTHING)",
    ),
    (Kind.EDITED, "serial number (was: item, 3)", "SERIAL NUMBER (WAS: item, 3)"),
    (Kind.CUSTOMER_CHANGED, "Two customers were merged.", "TWO CUSTOMERS WERE MERGED."),
    (Kind.NOTED, "name", "name"),
    (Kind.CANCELLED, "1 photo", "1 photo"),
    (
        Deed.SIGN_IN_FAILED,
        "right password, wrong code, Firefox, Windows",
        "RIGHT PASSWORD, WRONG CODE, Firefox, Windows",
    ),
    (Deed.STAFF_INVITED, "Front desk", "FRONT DESK"),
    (
        Deed.STAFF_CHANGED,
        "name (was: owner); role (was: Technician); branch (was: all branches)",
        "NAME (WAS: owner); ROLE (WAS: TECHNICIAN); BRANCH (WAS: ALL BRANCHES)",
    ),
    (Deed.ACCESS_RESET, "by flask owner-link, on the server", "BY FLASK OWNER-LINK, ON THE SERVER"),
    (Deed.SHOP_CHANGED, "Paper: receipt paper, terms", "PAPER: RECEIPT PAPER, TERMS"),
    (Deed.CUSTOMER_CHANGED, "name, phone", "NAME, PHONE"),
    (Deed.CUSTOMERS_MERGED, "2 repairs went over", "2 REPAIRS WENT OVER"),
    (Deed.MERGE_UNDONE, "1 repair went back", "1 REPAIR WENT BACK"),
    (Deed.IMPORTED, "1,200 repairs, 1 new customer", "1,200 REPAIRS, 1 NEW CUSTOMER"),
    (Deed.BRANCH_ADDED, "logo", "logo"),
    (Deed.SIGNED_IN, "Firefox, Windows", "Firefox, Windows"),
]


@pytest.mark.parametrize(("kind", "kept", "said"), KEPT, ids=[f"{kind}-{kept}" for kind, kept, said in KEPT])
def test_what_is_kept_in_english_is_said_in_the_reader_s_language(app, monkeypatch, kind, kept, said):
    assert in_words(kept, kind) == kept
    monkeypatch.setattr(language.Catalogues, "get_translations", lambda self: Shouting())
    assert in_words(kept, kind) == said


def test_every_field_that_a_shop_may_change_has_words(app, shop, owner, monkeypatch):
    names = {*actions._FIELDS.values(), *staff._FIELDS.values(), *merging.FIELDS}
    for row in (Shop, Branch):
        columns = {column.name for column in row.__table__.columns} - SILENT
        names |= {settings._NAMES.get(name, name.replace("_", " ")) for name in columns}
    monkeypatch.setattr(language.Catalogues, "get_translations", lambda self: Shouting())
    assert [name for name in sorted(names) if in_words(name, Deed.SHOP_CHANGED) == name] == []


def test_a_line_leads_to_whom_it_speaks_of(owner, manager, ana):
    malee = make_customer(name="Malee")
    note(Deed.STAFF_CHANGED, by=owner.staff, subject=ana, branch_id=branch("MN").id)
    note(Deed.CUSTOMER_CHANGED, by=owner.staff, subject=malee, branch_id=branch("MN").id)
    note(Deed.BRANCH_CHANGED, by=owner.staff, subject=branch("MN"), branch_id=branch("MN").id)
    links = {link["href"] for link in owner.page("/activity").all(".record a")}
    assert links == {f"/settings/staff/{ana.id}", f"/customers/{malee.id}", f"/settings/branches/{branch('MN').id}"}
    assert [link["href"] for link in manager.page("/activity").all(".record a")] == [f"/customers/{malee.id}"]
    assert "Malee" not in owner.page("/activity").text
    assert f"{owner.staff.name} changed Ana" in lines(manager)


def test_the_record_is_open_to_owners_and_managers_alone(owner, manager, technician, front_desk):
    for client in (owner, manager):
        assert client.page("/repairs").one(".top nav a[href='/activity']")
    for client in (technician, front_desk):
        assert not client.page("/repairs").all(".top nav a[href='/activity']")
        assert "Only an owner or a manager" in client.page("/activity", 403).text


def test_a_manager_sees_their_own_branch_alone(owner, manager, ana):
    here, there = make_repair(item="Violin"), make_repair(item="Cello", branch="RV")
    note(Deed.SHOP_CHANGED, by=ana, text="whole shop")
    note(Deed.CUSTOMER_CHANGED, by=ana, subject=here.customer, branch_id=branch("MN").id)
    note(Deed.CUSTOMER_CHANGED, by=ana, subject=there.customer, branch_id=branch("RV").id)
    assert len(lines(owner)) == 5
    for query in ({}, {"branch": branch("RV").id}, {"code": there.code}):
        page = manager.page("/activity", query_string=query)
        assert there.code not in page.one("#results").get_text()
        assert "whole shop" not in page.text
        assert not page.all("select[name=branch]")
    assert len(lines(manager)) == 2
    far = make_staff("technician", name="Far", branch_id=branch("RV").id)
    offered = {option.get_text() for option in manager.page("/activity").all("#who option")}
    assert far.name not in offered
    assert {"Ana", owner.staff.name} < offered


# --- looking for something ----------------------------------------------------------------------


def test_the_record_is_looked_through_by_person_kind_branch_and_code(owner, ana):
    violin, cello = make_repair(by=ana, item="Violin", note="x"), make_repair(item="Cello", branch="RV")
    note(Deed.SIGNED_IN, by=ana, branch_id=branch("MN").id)
    assert len(lines(owner)) == 4
    assert lines(owner, who=ana.id) == [
        "Ana signed in",
        f"Ana wrote a note on {violin.code} Violin",
        f"Ana took in {violin.code} Violin",
    ]
    assert lines(owner, kind="talk") == [f"Ana wrote a note on {violin.code} Violin"]
    assert lines(owner, kind="sign_ins") == ["Ana signed in"]
    assert len(lines(owner, branch=branch("RV").id)) == 1
    assert len(lines(owner, branch=branch("MN").id)) == 3
    assert len(lines(owner, code=cello.code.lower())) == 1
    assert lines(owner, who=ana.id, code=violin.code, kind="moves") == [f"Ana took in {violin.code} Violin"]
    assert lines(owner, code="TH-MN-R9999") == []
    page = owner.page("/activity?code=TH-MN-R9999")
    assert page.one(".empty h2").get_text() == "Nothing found"
    assert page.one("#code")["value"] == "TH-MN-R9999"
    assert page.one(".found a")["href"] == "/activity"


def test_days_are_the_shop_s_days(owner, clock):
    # In Bangkok it is seven hours later: these two are on the 3rd and on the 4th of March.
    for text, at in (("third", "2027-03-03T16:59:59+00:00"), ("fourth", "2027-03-03T17:00:00+00:00")):
        clock.set(clock.moment.fromisoformat(at))
        note(text=text)
    clock.set(clock.moment.fromisoformat("2027-03-10T10:00:00+00:00"))

    def said(**query):
        return [why.get_text() for why in owner.page("/activity", query_string=query).all(".why")]

    assert said(**{"from": "2027-03-04"}) == ["fourth"]
    assert said(to="2027-03-03") == ["third"]
    assert said(**{"from": "2027-03-03", "to": "2027-03-04"}) == ["fourth", "third"]
    assert said(**{"from": "2027-03-05"}) == []
    days = [day.get_text() for day in owner.page("/activity").all(".day-of-record h2")]
    assert days == ["Thu, Mar 4", "Wed, Mar 3"] or len(days) == 2


JUNK = [
    "x",
    "-1",
    "0",
    "99999999999",
    "2027-02-30",
    "0001-01-01",
    "9999-12-31",
    "٣",
    "%00",
    "20270101T000000.000000-x1",
]
JUNK += ["99990101T000000.000000-e1", "20271301T000000.000000-e1"]


@pytest.mark.parametrize("name", ["who", "kind", "branch", "from", "to", "before"])
def test_junk_is_no_filter(owner, name):
    repair = make_repair()
    for value in JUNK:
        # An Arabic three is a three.
        if not (name in {"who", "branch"} and value == "٣"):
            page = owner.page(f"/activity?{name}={value}")
            assert repair.code in page.text, value


# --- page by page -------------------------------------------------------------------------------


def fill(count, **values):
    """So many events of one repair, two at each moment, and a line of the shop's own at every third of them."""
    repair = make_repair()
    db.session.execute(delete(Event.__table__))
    start = repair.received_at
    events = [
        {"repair_id": repair.id, "at": start + timedelta(seconds=number // 2), "kind": "noted", "text": f"e{number}"}
        for number in range(count)
    ]
    deeds = [
        {"at": event["at"], "kind": "shop_changed", "subject": "", "text": event["text"].replace("e", "a")}
        for event in events[::3]
    ]
    db.session.execute(insert(Event.__table__), [{"public": False} | event | values for event in events])
    db.session.execute(insert(Activity.__table__), deeds)
    db.session.commit()
    return repair


def leaf(client, url):
    """The lines of every page, and how many pages there are."""
    seen, pages = [], 0
    while url:
        page = client.page(url)
        seen += [why.get_text() for why in page.all(".record .why")]
        pages += 1
        url = next((link["href"] for link in page.all(".pager a[rel=next]")), None)
    return seen, pages


def test_page_after_page_every_line_is_there_once(owner):
    fill(150)
    seen, pages = leaf(owner, "/activity")
    assert len(seen) == len({*seen}) == 200
    assert pages == 4
    order = [int(re.sub("[ea]", "", text)) // 2 for text in seen]
    assert order == sorted(order, reverse=True)


def test_pages_keep_the_filter_and_lead_back_to_the_newest(owner):
    fill(150)
    second = owner.page(owner.page("/activity?kind=talk").one(".pager a")["href"])
    assert second.one("#kind option[selected]")["value"] == "talk"
    assert second.all(".found a")[0]["href"] == "/activity?kind=talk"
    assert leaf(owner, "/activity?kind=talk")[0] == [f"e{number}" for number in reversed(range(150))]


def test_what_is_rare_is_come_upon_by_going_on(owner, monkeypatch):
    fill(120)
    monkeypatch.setattr(queries, "LOOKS_AT", 30)
    repair = make_repair(branch="RV")
    oldest = db.session.scalars(select(Event.at).order_by(Event.at)).first() - timedelta(days=1)
    db.session.execute(
        insert(Event.__table__),
        {"repair_id": repair.id, "at": oldest, "kind": "noted", "text": "rare", "public": False},
    )
    db.session.commit()
    page = owner.page("/activity?kind=talk&branch=" + str(branch("RV").id))
    assert page.one(".empty h2").get_text() == "Nothing up to here"
    assert "Look further back" in page.one(".pager a").get_text()
    seen, pages = leaf(owner, "/activity?kind=talk&branch=" + str(branch("RV").id))
    assert seen == ["rare"]
    assert 3 < pages < 7
    assert leaf(owner, "/activity?kind=talk")[0] == [*(f"e{number}" for number in reversed(range(120))), "rare"]


QUERIES = [
    "",
    "?who=1",
    "?kind=moves",
    "?kind=people",
    "?branch=1",
    "?code=TH-MN-R0001",
    "?from=2026-01-01&to=2030-01-01",
]
QUERIES += ["?who=1&kind=talk&branch=1", "?before=20300101T000000.000000-e5", "?before=20300101T000000.000000-a5&who=1"]


@pytest.mark.parametrize("query", QUERIES)
def test_the_record_costs_five_statements_along_indexes_however_long_it_is(owner, statements, asked, query):  # noqa: F811
    make_repair(status="delivered")
    note()
    statements.clear()
    asked.clear()
    owner.page(f"/activity{query}")
    assert len(statements) <= 5
    with db.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, values in asked:
            steps = plan(connection, statement, values)
            assert not read_whole(steps) & {"event", "activity", "repair", "customer"}, "\n".join([statement, *steps])
            if connection.dialect.name == "sqlite" and "code=" not in query and "event" in statement:
                assert not [step for step in steps if "ORDER BY" in step], "\n".join([statement, *steps])


def test_every_kind_and_every_deed_is_in_one_group():
    for groups, every in ((KIND_GROUPS, Kind), (DEED_GROUPS, Deed)):
        found = [kind for _, kinds in groups.values() for kind in kinds]
        assert len(found) == len({*found}) == len(every)
        assert all(kinds for _, kinds in groups.values())


# --- the history of one repair ------------------------------------------------------------------


@pytest.fixture
def talked_about(shop):
    """A repair with a note, an update and two moves."""
    by = make_staff("owner")
    repair = make_repair(status="repairing", note="The bridge is loose.", by=by)
    actions.add_update(repair, "We have it.", by=by, version=repair.version)
    return repair


def history(page):
    return [" ".join(line.p.get_text(" ").split()) for line in page.all("#history li")]


def test_a_history_is_looked_through_by_what_happened(technician, talked_about):
    url = f"/repairs/{talked_about.code}"
    page = technician.page(url)
    chips = {" ".join(chip.get_text(" ").split()): chip["href"] for chip in page.all("#history .chip")}
    assert chips == {
        "All 5": f"{url}#history",
        "Moves 3": f"{url}?history=moves#history",
        "Notes and updates 2": f"{url}?history=talk#history",
    }
    assert len(history(page)) == 5
    talk = technician.page(f"{url}?history=talk")
    assert history(talk) == ["Told the customer We have it.", "Note The bridge is loose."]
    assert "Notes and updates" in talk.one("#history .chip[aria-current]").get_text()
    assert len(talk.all("#notes .said li")) == 1, "the other panels show what they always do"
    for junk in ("x", "", "sign_ins"):
        assert len(history(technician.page(f"{url}?history={junk}"))) == 5
    assert history(technician.page(f"{url}?history=promises")) == []
    assert "Nothing of this kind." in technician.page(f"{url}?history=promises").text
    assert [*faults(talk)] == []


def test_a_long_history_is_folded(owner, talked_about):
    for number in range(8):
        actions.add_note(talked_about, f"Note {number}", by=owner.staff, version=talked_about.version)
    page = owner.page(f"/repairs/{talked_about.code}")
    assert page.one("#history summary").get_text() == "3 earlier"
    assert len(history(page)) == 13
    assert history(page)[0] == "Note Note 7"
    assert not owner.page(f"/repairs/{talked_about.code}?history=moves").all("#history details")


@pytest.mark.parametrize("what", words._COUNTED)
def test_every_count_that_is_kept_can_be_said_in_another_language(app, what):
    with app.test_request_context(), force_locale("de"):
        for count in (1, 2, 1200):
            kept = words.counted(count, what)
            said = words.in_words(kept, Deed.IMPORTED)
            assert said != kept
            assert re.match(r"1\b|2\b|1\.200\b", said)
    with pytest.raises(KeyError):
        words.counted(1, "zebra")
