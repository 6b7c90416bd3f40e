"""The board: what waits for whom, found by whatever one has in hand."""

from datetime import UTC, datetime, timedelta

import pytest

from app.db import db
from app.models import Repair

from .factories import branch, make_customer, make_repair, make_staff

# A Monday, ten in the morning in Bangkok.
MORNING = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)

OPEN = ["received", "diagnosing", "waiting_parts", "repairing", "testing", "ready"]
CLOSED = ["delivered", "cancelled"]


def codes(page):
    """The codes of the rows, from top to bottom."""
    return [code.get_text(strip=True) for code in page.all("#results li .code")]


def found(client, **query):
    return codes(client.page("/repairs", query_string=query))


def counts(page):
    """What each filter says: its words, and how many there are. What is finished is not counted."""
    chips = page.all("#board nav.filters a:has(b)")
    return {chip.get_text(" ", strip=True).rpartition(" ")[0]: int(chip.select_one("b").get_text()) for chip in chips}


def row(page, repair):
    return page.one(f'#results li a[href="/repairs/{repair.code}"]')


def words(element, css):
    return " ".join(element.select_one(css).get_text(" ").split())


# --- what is on it ------------------------------------------------------------------------------


def test_an_empty_board_says_what_to_do_first(front_desk):
    page = front_desk.page("/repairs")
    assert page.one("#results .empty a.primary")["href"] == "/repairs/new"
    assert set(counts(page).values()) == {0}


def test_a_row_says_what_whose_where_and_until_when(owner, clock):
    clock.set(MORNING)
    narin = make_staff("technician", name="Narin")
    malee = make_customer(name="Malee", phone="+66812345678")
    repair = make_repair(
        customer=malee,
        item="Road bike",
        problem="The chain jumps.",
        technician_id=narin.id,
        promised_at=MORNING + timedelta(days=1, hours=8),
        status="diagnosing",
    )
    line = row(owner.page("/repairs"), repair)
    assert words(line, ".code") == "TH-MN-R0001"
    assert words(line, ".what") == "Road bike The chain jumps."
    assert words(line, ".who") == "Malee 081 234 5678"
    assert words(line, ".status[data-status=diagnosing]") == "Diagnosing"
    assert words(line, ".when").startswith("tomorrow")
    assert words(line, ".hands") == "Narin"


def test_every_role_sees_the_board(manager, technician, front_desk):
    make_repair()
    for client in (manager, technician, front_desk):
        assert found(client) == ["TH-MN-R0001"]


# --- filters ------------------------------------------------------------------------------------


@pytest.fixture
def one_of_each(shop):
    """A repair in every status, by status."""
    return {status: make_repair(status=status) for status in OPEN + CLOSED}


def test_what_is_finished_is_out_of_the_way_unless_asked_for(owner, one_of_each):
    assert set(found(owner)) == {one_of_each[status].code for status in OPEN}
    for status in CLOSED:
        assert found(owner, show=status) == [one_of_each[status].code]


def test_each_filter_says_how_many_it_shows_and_shows_these(owner, one_of_each):
    make_repair(status="testing")
    page = owner.page("/repairs")
    assert page.one("nav.filters a[aria-current]").get_text(" ", strip=True) == "Open 7"
    for chip in page.all("nav.filters a"):
        shown = owner.page(chip["href"])
        count = chip.select_one("b")
        assert count is None or len(codes(shown)) == int(count.get_text()), chip["href"]
        assert shown.one("nav.filters a[aria-current]").get_text() == chip.get_text()
        assert counts(shown) == counts(page), "a filter changes no count"
    assert counts(page)["Testing"] == 2


def test_a_filter_with_nothing_in_it_says_so(owner):
    make_repair()
    assert owner.page("/repairs?show=ready").one("#results .empty h2").get_text() == "Nothing here"


LATE_AND_TODAY = [
    # hours from ten in the morning, status, late, due today
    (-1, "received", True, True),
    (-1, "waiting_parts", True, True),
    (-11, "testing", True, False),
    (-240, "repairing", True, False),
    (0, "received", True, True),
    (1, "received", False, True),
    (13.99, "diagnosing", False, True),
    (14, "diagnosing", False, False),
    (-1, "ready", False, True),
    (-240, "ready", False, False),
    (-1, "delivered", False, False),
    (-1, "cancelled", False, False),
    (None, "received", False, False),
]


def test_what_is_late_and_what_is_due_today_is_called_out(owner, clock):
    clock.set(MORNING)
    repairs = []
    for hours, status, late, today in LATE_AND_TODAY:
        promised_at = None if hours is None else MORNING + timedelta(hours=hours)
        repairs.append((make_repair(status=status, promised_at=promised_at), late, today))
    page = owner.page("/repairs")
    assert counts(page)["Late"] == sum(late for _, late, _ in repairs)
    assert counts(page)["Due today"] == sum(today for _, _, today in repairs)
    assert set(found(owner, show="late")) == {repair.code for repair, late, _ in repairs if late}
    assert set(found(owner, show="today")) == {repair.code for repair, _, today in repairs if today}
    for repair, late, _ in repairs:
        if repair.status in OPEN:
            line = row(page, repair)
            assert line.has_attr("data-late") == late
            assert words(line, ".when").startswith("Late") == late


def test_a_late_row_says_how_late(owner, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING - timedelta(hours=2))
    assert words(row(owner.page("/repairs"), repair), ".late") == "Late 2 hours"


# --- whose, and since when ----------------------------------------------------------------------


def test_one_sees_one_s_own_or_what_nobody_has_taken(technician):
    other = make_staff("technician")
    mine = make_repair(technician_id=technician.staff_id, status="testing")
    free, theirs = make_repair(), make_repair(technician_id=other.id)
    assert {*found(technician)} == {mine.code, free.code, theirs.code}
    page = technician.page("/repairs?who=mine")
    assert codes(page) == [mine.code]
    assert (counts(page)["Open"], counts(page)["Testing"], counts(page)["Received"]) == (1, 1, 0)
    assert page.one("input[name=who][checked]")["value"] == "mine"
    assert found(technician, who="nobody") == [free.code]
    assert found(technician, who="nobody", show="testing") == []
    for chip in page.all("nav.filters a"):
        assert "who=mine" in chip["href"]


def test_one_technician_s_repairs_are_seen_by_everybody(owner, front_desk, technician):
    tim = make_staff("technician", name="Tim")
    theirs = make_repair(technician_id=tim.id, status="testing")
    make_repair(technician_id=technician.staff_id)
    make_repair()
    for client in (owner, front_desk):
        option = next(o for o in client.page("/repairs").all("#technician option") if o.get_text() == "Tim")
        page = client.page("/repairs", query_string={"technician": option["value"]})
        assert codes(page) == [theirs.code]
        assert (counts(page)["Open"], counts(page)["Received"]) == (1, 0)
        assert page.one("#technician option[selected]").get_text() == "Tim"
        assert page.one("#board .on a").get_text(strip=True) == "Tim"
        assert page.one("#board .on a")["href"] == "/repairs"
        for chip in page.all("nav.filters a"):
            assert f"technician={tim.id}" in chip["href"]


def test_a_filter_for_whoever_left_since_can_be_taken_off(owner):
    ben = make_staff("technician", name="Ben")
    mine = make_repair(technician_id=ben.id)
    ben.active = False
    db.session.commit()
    page = owner.page("/repairs", query_string={"technician": ben.id})
    assert codes(page) == [mine.code]
    assert page.one("#technician option[selected]")["value"] == str(ben.id)
    assert page.one("#board .on a").get_text(strip=True) == "Another technician"


def test_what_nobody_has_touched_for_days_is_found(owner, clock):
    clock.set(MORNING)
    old = make_repair()
    clock.forward(days=3)
    young = make_repair()
    clock.forward(days=2)
    assert {*found(owner, quiet=2)} == {old.code, young.code}
    assert found(owner, quiet=5) == [old.code]
    assert found(owner, quiet="custom", days=4) == [old.code]
    owner.send(f"/repairs/{old.code}/notes", {"version": old.version, "text": "Looked at it."})
    assert found(owner, quiet=5) == [], "a note is a touch"
    page = owner.page("/repairs?quiet=4")
    assert page.one("input[name=quiet][checked]")["value"] == "custom"
    assert page.one("input[name=days]")["value"] == "4"


def test_what_is_on_is_shown_and_can_be_taken_off(owner):
    river = branch("RV").id
    page = owner.page(f"/repairs?who=nobody&quiet=5&branch={river}&sort=newest&show=received")
    on = {chip.get_text(" ", strip=True): chip["href"] for chip in page.all("#board .on a")}
    assert on == {
        "Unassigned": f"/repairs?show=received&quiet=5&sort=newest&branch={river}",
        "Untouched for 5 days": f"/repairs?show=received&who=nobody&sort=newest&branch={river}",
        "Riverside": "/repairs?show=received&who=nobody&quiet=5&sort=newest",
    }
    assert not owner.page("/repairs?show=received&sort=newest&grouped=1").all("#board .on")


def test_a_technician_s_own_branch_is_no_filter_to_take_off(technician):
    assert not technician.page("/repairs?branch=1").all("#board .on, #branch")


# --- groups -------------------------------------------------------------------------------------


def groups(page):
    """[(heading, codes)] from top to bottom."""
    heads = page.all("#results .group-head")
    return [
        (head.get_text(" ", strip=True), [code.get_text() for code in head.find_next("ul").select(".code")])
        for head in heads
    ]


def test_repairs_are_grouped_in_the_order_of_the_flow_with_counts(owner, clock):
    clock.set(MORNING)
    ready, waits = make_repair(status="ready"), make_repair(status="waiting_parts")
    soon = make_repair(promised_at=MORNING + timedelta(hours=1))
    late = make_repair(promised_at=MORNING - timedelta(hours=1))
    assert groups(owner.page("/repairs?grouped=1")) == [
        ("Received 2", [late.code, soon.code]),
        ("Waiting for parts 1", [waits.code]),
        ("Ready 1", [ready.code]),
    ]
    assert groups(owner.page("/repairs?grouped=1&show=late")) == [("Received 1", [late.code])]
    assert groups(owner.page("/repairs?grouped=1&q=iphone&sort=newest"))[0] == ("Received 2", [late.code, soon.code])
    assert groups(owner.page("/repairs")) == []


def test_a_search_groups_what_is_finished_after_what_is_not(owner, one_of_each):
    answer = owner.page("/repairs?grouped=1&q=iphone")
    labels = ["Received", "Diagnosing", "Waiting for parts", "Repairing", "Testing", "Ready", "Delivered", "Cancelled"]
    assert [head for head, _ in groups(answer)] == [f"{label} 1" for label in labels]


# --- branches -----------------------------------------------------------------------------------


def test_the_branch_filter_narrows_rows_and_counts(owner):
    main, river = make_repair(branch="MN"), make_repair(branch="RV", status="testing")
    page = owner.page("/repairs")
    choices = {option.get_text(): option["value"] for option in page.all("#branch option")}
    assert list(choices) == ["All branches", "Main", "Riverside"]
    assert set(codes(page)) == {main.code, river.code}
    page = owner.page(f"/repairs?branch={choices['Riverside']}")
    assert codes(page) == [river.code]
    assert (counts(page)["Open"], counts(page)["Received"], counts(page)["Testing"]) == (1, 0, 1)
    assert page.one("#branch option[selected]").get_text() == "Riverside"
    for chip in page.all("nav.filters a"):
        assert f"branch={choices['Riverside']}" in chip["href"]


def test_a_shop_with_one_branch_is_not_asked_which(owner):
    db.session.delete(branch("RV"))
    assert not owner.page("/repairs").all("#branch")


# --- search -------------------------------------------------------------------------------------


IN_HAND = [
    *("TH-MN-R0001", "th-mn-r0001", "r0001", "  R0001  "),
    *("Mueller", "müller", "MÜLLER", "jörg mü", "müller jörg", "joerg@example", "müller iphone 5678"),
    *("081 234 5678", "0812345678", "(081) 234-5678", "+66812345678", "+66 81 234 5678", "2345", "5678"),
    # As people write it on a card, and as one types when one knows both.
    *("+66 (0)81 234 5678", "jörg 081 234 5678"),
    *("iphone", "13 PRO", "pro iphone", "ÉCRAN", "C39XK1", "c39xk1ABCDEF"),
]


def test_a_repair_is_found_by_whatever_one_has_in_hand(owner):
    joerg = make_customer(name="Jörg Müller (Mueller)", phone="+66812345678", email="Joerg@Example.com")
    mine = make_repair(customer=joerg, item="iPhone 13 Pro écran", serial="C39XK1abcdef")
    make_repair(customer=make_customer(name="Ana", phone="+66911111111"), item="Violin", serial="V-77")
    for query in IN_HAND:
        assert found(owner, q=query) == [mine.code], query


ALPHABETS = [
    ("Мария", "МАРИЯ"),
    ("МАРИЯ", "мария"),
    ("Ångström", "ÅNGSTRÖM"),
    ("Straße", "STRASSE"),
    ("Ελένη", "ΕΛΈΝΗ"),
    ("มาลี", "มาลี"),
    ("محمد", "محمد"),
    ("O'Brien", "o'brien"),
    ("Jose\u0301", "José"),
    ("José", "JOSE\u0301"),
]


def test_a_name_in_any_alphabet_is_found_however_it_is_typed(owner):
    codes = {name: make_repair(customer=make_customer(name=name)).code for name, _ in ALPHABETS}
    other = make_repair().code
    for name, query in ALPHABETS:
        answer = found(owner, q=query)
        assert codes[name] in answer, query
        assert other not in answer, query


def test_every_sign_is_looked_for_as_it_is(owner):
    mine = make_repair(item="100%_\\ charged", customer=make_customer(phone="+66811111111"))
    make_repair(item="100 charged", customer=make_customer(phone="+66822222222"))
    for query, finds in (("100%", 1), ("100_", 0), ("0%_", 1), ("%", 1), ("_", 1), ("\\", 1)):
        assert found(owner, q=query) == [mine.code] * finds, query


def test_a_search_looks_at_finished_repairs_too_after_the_open_ones(owner):
    done, waits = make_repair(item="Violin", status="delivered"), make_repair(item="Violin")
    assert found(owner, q="violin") == [waits.code, done.code]
    assert found(owner, q="violin", show="delivered") == [done.code]


def test_a_search_stays_in_its_filter_and_its_branch(owner):
    make_repair(item="Violin", branch="RV")
    mine = make_repair(item="Violin", branch="RV", status="testing")
    make_repair(item="Violin", branch="MN", status="testing")
    assert found(owner, q="violin", show="testing", branch=branch("RV").id) == [mine.code]


def test_a_search_says_how_many_it_found_and_how_to_leave_it(owner):
    make_repair(item="Violin")
    page = owner.page("/repairs?q=vio&sort=newest")
    assert page.one("#q")["value"] == "vio"
    assert page.one(".found").get_text(" ", strip=True).startswith("1 found")
    assert page.one(".found a")["href"] == "/repairs?sort=newest"


def test_a_search_that_finds_nothing_says_what_to_try(owner):
    make_repair()
    page = owner.page("/repairs?q=zither")
    assert page.one("#results .empty h2").get_text() == "Nothing found"
    assert codes(page) == []


# --- the address --------------------------------------------------------------------------------

JUNK = [
    "who=zzz",
    "who=",
    "quiet=x",
    "quiet=-1",
    "quiet=0",
    "quiet=²",
    "quiet=366",
    "quiet=custom",
    "quiet=custom&days=x",
    "quiet=" + "9" * 5000,
    "days=5",
    "grouped=x",
    "page=x",
    "page=-1",
    "page=0",
    "page=1.5",
    "page=",
    "page=99999999999999999999",
    "page=" + "9" * 5000,
    "page=²",
    "branch=x",
    "branch=-1",
    "branch=0",
    "branch=99999999999999999999",
    "sort=zzz",
    "sort[]=newest",
    "show=zzz",
    "show=open",
    "show=%00",
    "q=%00",
    "q=" + "x" * 10_000,
    "q=" + "%E0%B8%81" * 2_000,
    "q=%ff%fe",
    "q=" + "a+" * 5_000,
    "q=%27%22%3C",
    "page=2&page=x",
    "branch=1&branch=x",
    "&&&=&=x&q",
    "utm_source=mail",
]


@pytest.mark.parametrize("url", ["/repairs", "/customers"])
def test_junk_in_the_address_is_no_filter_and_never_a_fault(owner, url):
    make_repair()
    for query in JUNK:
        owner.page(f"{url}?{query}")


def test_what_the_board_cannot_read_it_shows_as_if_unsaid(owner):
    repair = make_repair()
    junk = (
        "page=x",
        "page=99",
        "branch=x",
        "sort=zzz",
        "show=zzz",
        "q=%00",
        "q=+",
        "who=zzz",
        "quiet=x",
        "grouped=x",
        "technician=x",
    )
    for query in junk:
        assert codes(owner.page(f"/repairs?{query}")) == [repair.code], query


# --- order and pages ----------------------------------------------------------------------------


def test_the_most_pressing_comes_first_and_what_only_waits_for_its_customer_last(owner, clock):
    clock.set(MORNING)
    later = make_repair(promised_at=MORNING + timedelta(days=3))
    none = make_repair()
    ready = make_repair(status="ready", promised_at=MORNING - timedelta(days=1))
    late = make_repair(promised_at=MORNING - timedelta(hours=1), status="testing")
    soon = make_repair(promised_at=MORNING + timedelta(hours=1))
    assert found(owner) == [repair.code for repair in (late, soon, later, none, ready)]


def test_the_board_can_be_put_in_another_order(owner):
    first, second, third = make_repair(status="testing"), make_repair(), make_repair(status="diagnosing")
    assert found(owner, sort="newest") == [third.code, second.code, first.code]
    assert found(owner, sort="oldest") == [first.code, second.code, third.code]
    assert found(owner, sort="status") == [second.code, third.code, first.code]
    assert owner.page("/repairs?sort=oldest").one("#sort option[selected]")["value"] == "oldest"


def copy(repair, numbers):
    """More of the same, with these numbers."""
    values = {column.name: getattr(repair, column.name) for column in Repair.__table__.columns if column.name != "id"}
    for number in numbers:
        own = {"code": f"{repair.code[:7]}{number:04d}", "token": f"{number:022d}", "intake_key": None}
        db.session.add(Repair(**values | own))
    db.session.commit()


def test_a_long_board_has_pages_that_keep_the_question(owner):
    malee, river = make_customer(name="Malee"), branch("RV").id
    copy(make_repair(customer=malee, branch="RV", item="Violin"), range(2, 104))
    make_repair(item="Violin")
    query = {"q": "violin", "show": "received", "branch": river, "sort": "oldest"}
    page = owner.page("/repairs", query_string=query)
    seen = codes(page)
    assert len(seen) == 50
    assert not page.all(".pager a[rel=prev]")
    while page.all(".pager a[rel=next]"):
        page = owner.page(page.one(".pager a[rel=next]")["href"])
        seen += codes(page)
    assert seen == [f"TH-RV-R{number:04d}" for number in range(1, 104)]
    assert page.one(".pager span").get_text() == "Page 3"
    back = owner.page(page.one(".pager a[rel=prev]")["href"])
    assert codes(back) == seen[50:100]
    assert codes(owner.page("/repairs", query_string=query | {"page": 99})) == seen[:50], "there is no such page"
    for chip in back.all("nav.filters a"):
        assert "page=" not in chip["href"], "another filter begins on its first page"


# --- habits -------------------------------------------------------------------------------------


def test_the_board_costs_no_more_than_six_statements(owner, statements):
    for number in range(6):
        code = "MN" if number % 2 else "RV"
        narin = make_staff("technician", branch_id=branch(code).id)
        make_repair(branch=code, technician_id=narin.id, status=OPEN[number])
    urls = ("/repairs", "/repairs?q=iphone&sort=status&show=late&branch=1", "/repairs?q=iphone", "/customers?q=81")
    for url in (*urls, "/repairs?who=mine&quiet=2", "/repairs?grouped=1&q=iphone&who=nobody"):
        statements.clear()
        owner.page(url)
        assert 0 < len(statements) <= 6, "\n".join(statements)


def test_the_board_keeps_itself_fresh_by_its_own_address(owner):
    make_repair(item="Violin")
    board = owner.page("/repairs?q=vio&sort=newest").one("#board")
    assert board["hx-get"] == "/repairs?q=vio&sort=newest"
    assert board["hx-select"] == "#board"
    assert "every" in board["hx-trigger"]
    typed_in = board.select("input:not([type=hidden], [type=checkbox]), select, textarea")
    assert not typed_in, "what one types in stands outside of what is replaced"


def test_the_search_is_a_plain_form_without_script(owner):
    form = owner.page("/repairs?show=late").one("form#filter")
    assert (form["method"], form["action"]) == ("post", "/repairs/find")
    assert form.select_one("noscript button")
    assert form.select_one("input[type=hidden][name=show]")["value"] == "late"
    assert form.select_one("input[type=search][name=q]")["aria-label"]
    assert {select["name"] for select in form.select("select")} == {"branch", "sort"}
    repair = make_repair(item="Violin", promised_at=datetime(2020, 1, 1, tzinfo=UTC))
    asked = owner.send("/repairs/find", {"q": "vio", "show": "late", "who": "", "quiet": "", "sort": "newest"})
    assert asked.location == "/repairs?q=vio&show=late&sort=newest"
    assert codes(owner.page(asked.location)) == [repair.code]


def test_the_search_while_one_types_sends_no_form_s_token_in_an_address(owner):
    live = owner.page("/repairs").one("#live-filter")
    assert live["hx-get"] == "/repairs"
    assert "not([name=csrf_token])" in live["hx-include"]


def test_a_look_at_the_board_has_one_shape_whoever_asks(owner):
    make_repair()
    plain, htmx = owner.page("/repairs"), owner.page("/repairs", headers={"HX-Request": "true"})
    assert htmx.one("#results li .code").get_text() == plain.one("#results li .code").get_text()
    assert bool(htmx.all("html")) == bool(plain.all("html")) is True


# --- many at once -------------------------------------------------------------------------------


def ticks(*repairs):
    return [f"{repair.code}:{repair.version}" for repair in repairs]


def refusals(page):
    """What the bar says of each repair that was not moved."""
    said = {}
    for line in page.all("#bulk .alert li"):
        code = line.select_one(".code").get_text()
        said[code] = line.get_text(" ", strip=True).removeprefix(code).strip()
    return said


def ticked(page):
    return [box["value"].partition(":")[0] for box in page.all("#results input[name=pick][checked]")]


def statuses(*repairs):
    for repair in repairs:
        db.session.refresh(repair)
    return [repair.status for repair in repairs]


def test_each_row_can_be_ticked_and_stays_a_link(owner):
    repair = make_repair()
    page = owner.page("/repairs")
    box = page.one("#results .rows input[type=checkbox][name=pick]")
    assert (box["value"], box["form"]) == (f"{repair.code}:{repair.version}", "bulk")
    assert box["aria-label"] == f"Select {repair.code}"
    assert row(page, repair)
    assert page.one("form#bulk")["method"] == "post"


def test_all_that_are_ticked_take_their_next_step(owner):
    new, waits = make_repair(), make_repair(status="waiting_parts", paused_from="testing")
    tests, other = make_repair(status="testing"), make_repair()
    before = tests.public_version
    answer = owner.send(
        "/repairs/bulk", {"do": "next", "pick": ticks(new, waits, tests), "query": "sort=newest&page=1"}
    )
    assert answer.location == "/repairs?sort=newest"
    said = owner.page(answer.location).one("#said p").get_text()
    assert said == "3 repairs moved on: 1 to Diagnosing, 1 to Testing, 1 to Ready."
    assert statuses(new, waits, tests, other) == ["diagnosing", "testing", "ready", "received"]
    assert tests.public_version == before + 1, "the customer's page follows"
    assert [event.kind for event in tests.events][-1] == "advanced"


def test_what_could_not_be_moved_says_why_and_stays_ticked(technician):
    stale, fine, theirs = make_repair(), make_repair(), make_repair(branch="RV")
    ready, done = make_repair(status="ready"), make_repair(status="delivered")
    old = ticks(stale)
    technician.send(f"/repairs/{stale.code}/advance", {"version": stale.version})
    db.session.refresh(stale)
    picks = [*old, *ticks(ready, theirs, done, fine), "TH-MN-R9999:1"]
    page = technician.send("/repairs/bulk", {"do": "next", "pick": picks}, 422)
    assert refusals(page) == {
        stale.code: "Somebody changed it meanwhile; look again.",
        ready.code: "Only an owner, a manager or the front desk may move a repair from Ready to Delivered.",
        theirs.code: "It is not there any more.",
        done.code: "A closed repair has no next step.",
        "TH-MN-R9999": "It is not there any more.",
    }
    assert "1 repair moved on to Diagnosing." in page.one("#bulk .alert").get_text()
    assert not page.all("#bulk .done"), "what was done is said once"
    assert {*ticked(page)} == {stale.code, ready.code}
    assert statuses(stale, fine, ready, theirs) == ["diagnosing", "diagnosing", "ready", "received"]


def test_what_a_bulk_step_did_is_there_to_see_and_is_said_aloud_once(owner):
    first, second = make_repair(), make_repair()
    page = owner.htmx("/repairs/bulk", {"do": "next", "pick": ticks(first, second)})
    seen = page.one("form#bulk p.done")
    assert seen.get_text(strip=True) == "2 repairs moved on to Diagnosing."
    assert not seen.find_parent(class_="unseen")
    assert page.one("hx-partial[hx-target='#said']").get_text(strip=True) == seen.get_text(strip=True)
    assert not page.all("#bulk [role=alert], #bulk [role=status]")
    assert not page.all("#board .done"), "the board's own refresh leaves it alone"
    given = owner.htmx("/repairs/bulk", {"do": "assign", "to": owner.staff_id, "pick": ticks(first)})
    assert given.one("#bulk .done").get_text(strip=True) == "1 repair assigned."
    refused = owner.htmx("/repairs/bulk", {"do": "next"}, 422)
    assert not refused.all("#bulk .done")
    assert not owner.page("/repairs").all("#bulk .done")


def test_the_front_desk_hands_over_what_is_ready_and_moves_nothing_else(front_desk):
    ready, waits = make_repair(status="ready"), make_repair(status="waiting_parts")
    page = front_desk.htmx("/repairs/bulk", {"do": "next", "pick": ticks(ready, waits)}, 422)
    assert refusals(page) == {waits.code: "Only an owner, a manager or a technician may resume a repair."}
    assert statuses(ready, waits) == ["delivered", "waiting_parts"]
    assert not page.all("html")
    assert page.one("hx-partial #board")


def test_ticked_repairs_are_given_to_a_technician_or_to_nobody(manager):
    narin = make_staff("technician", name="Narin")
    first, second = make_repair(), make_repair(status="testing")
    options = [option.get_text() for option in manager.page("/repairs").all("#bulk option")]
    assert (options[0], options[-1]) == ("Assign to …", "Nobody")
    assert "Narin" in options
    manager.htmx("/repairs/bulk", {"do": "assign", "to": narin.id, "pick": ticks(first, second)})
    assert statuses(first, second) == ["received", "testing"]
    assert first.technician == second.technician == narin
    assert first.events[-1].text == "technician (was: nobody)"
    manager.send("/repairs/bulk", {"do": "assign", "to": 0, "pick": ticks(first)})
    db.session.refresh(first)
    assert first.technician is None


def test_nobody_is_given_what_they_would_not_see(owner):
    river = make_staff("technician", name="Pim", branch_id=branch("RV").id)
    desk, gone = make_staff("front_desk"), make_staff("technician", active=False)
    repair = make_repair()
    for person, why in ((river, "Pim does not work at Main."), (desk, "takes no repairs"), (gone, "takes no repairs")):
        page = owner.send("/repairs/bulk", {"do": "assign", "to": person.id, "pick": ticks(repair)}, 422)
        assert why in refusals(page)[repair.code]
    for junk in ("", "x", "-1", "99999999999999", "9" * 400):
        owner.send("/repairs/bulk", {"do": "assign", "to": junk, "pick": ticks(repair)}, 422)
    db.session.refresh(repair)
    assert repair.technician is None


def test_a_bulk_step_needs_ticks_and_has_an_end(owner):
    repair = make_repair()
    for picks in ([], ["x"], [":"], [f"{repair.code}:x"], [f"TH-MN-R{number:04d}:1" for number in range(101)]):
        page = owner.send("/repairs/bulk", {"do": "next", "pick": picks}, 422)
        assert page.one("#bulk [role=alert]").get_text(strip=True)
    assert owner.send("/repairs/bulk", {"do": "zzz", "pick": ticks(repair)}, 422)
    assert statuses(repair) == ["received"]


def test_all_of_a_search_s_page_are_ticked_and_moved_finished_ones_too(owner):
    copy(make_repair(item="Violin", status="delivered"), range(10, 39))
    copy(make_repair(item="Violin"), range(50, 100))
    page = owner.page("/repairs?q=violin")
    picks = [box["value"] for box in page.all("#results .rows input[name=pick]")]
    assert len(picks) == 80, "fifty open ones and thirty that are finished"
    form = {"pick": picks, "query": "q=violin"}
    given = owner.htmx("/repairs/bulk", form | {"do": "assign", "to": owner.staff_id})
    assert given.one("#bulk .done").get_text(strip=True) == "80 repairs assigned."
    picks = [box["value"] for box in given.all("#results .rows input[name=pick]")]
    page = owner.htmx("/repairs/bulk", form | {"do": "next", "pick": picks}, 422)
    assert "50 repairs moved on to Diagnosing." in page.one("#bulk .alert").get_text()
    assert [*refusals(page).values()] == ["A closed repair has no next step."] * 30


# --- saved views --------------------------------------------------------------------------------


def saved(page):
    return {link.get_text(): link["href"] for link in page.all(".saved a")}


def test_a_view_is_saved_under_a_name_and_opens_as_a_link(owner, manager):
    query = owner.page("/repairs?who=mine&quiet=5&grouped=1&utm=x").one("#board input[form=save-view]")["value"]
    answer = owner.send("/repairs/views", {"name": "My old ones", "query": query})
    assert answer.location == "/repairs?who=mine&quiet=5&grouped=1"
    assert saved(owner.page("/repairs")) == {"My old ones": answer.location}
    assert owner.page(answer.location).one("input[name=who][checked]")["value"] == "mine"
    assert saved(manager.page("/repairs")) == {}, "each person has their own"


def test_a_view_of_the_same_name_takes_the_other_s_place(owner):
    for show in ("late", "today"):
        owner.send("/repairs/views", {"name": "Now" if show == "late" else "now", "query": f"show={show}"})
        owner.send("/repairs/views", {"name": "Ärger" if show == "late" else "ärger", "query": f"show={show}"})
    assert saved(owner.page("/repairs")) == {"now": "/repairs?show=today", "ärger": "/repairs?show=today"}


def test_a_view_needs_a_name_that_fits_and_a_dozen_are_enough(owner):
    for name in ("", "  ", "x" * 41):
        page = owner.send("/repairs/views", {"name": name, "query": "show=late"}, 422)
        assert page.one("#save-view .error").get_text()
        assert page.one("nav.filters a[aria-current]").get_text(" ", strip=True) == "Late 0"
    assert page.one("#save-view input[name=name]")["value"] == "x" * 41, "nothing typed is lost"
    for number in range(12):
        owner.send("/repairs/views", {"name": f"View {number}", "query": "x" * 9000})
    page = owner.send("/repairs/views", {"name": "One more", "query": "&" * 500}, 422)
    assert "Remove one first" in page.one("#save-view .error").get_text()
    assert len(saved(page)) == 12
    assert owner.page("/repairs").all("#save-view input[name=name]") == []


def test_a_view_is_removed_by_whoever_saved_it(owner, manager):
    owner.send("/repairs/views", {"name": "Late ones", "query": "show=late"})
    form = owner.page("/repairs?who=mine").one(".saved form")
    manager.send(form["action"], status=404)
    answer = owner.send(form["action"], {"query": form.select_one("[name=query]")["value"]})
    assert answer.location == "/repairs?who=mine", "the board stays as it was"
    assert "Late ones" in owner.page(answer.location).one("#said").get_text()
    assert saved(owner.page("/repairs")) == {}


# --- a scan -------------------------------------------------------------------------------------


def scan(client, typed):
    return client.send("/repairs/find", {"q": typed}).location


def other_keyboard(text, layout):
    """What a computer set to another language makes of an American keyboard's keys."""
    table = {
        "German": ("yzYZ-_/:", "zyZYß?-Ö"),
        "French": ("qawzQAWZ1234567890-_/:.mM", "aqzwAQZW&é\"'(-è_çà)°!M:,?"),
        "Spanish": ("-_/:", "'?-Ñ"),
        "Swedish": ("-_/:", "+?-Ö"),
    }[layout]
    return text.translate(str.maketrans(*table))


LAYOUTS = ("German", "French", "Spanish", "Swedish")


def test_a_scan_opens_its_repair_however_the_gun_types_it(front_desk):
    repair = make_repair()
    make_repair()
    code, token = repair.code, repair.token
    scans = [code, code.lower(), f"  {code} ", code.replace("-", ""), code.replace("-", " "), code.replace("-", "_")]
    scans += [f"https://repairs.example.com/repairs/{code}", f"HTTP://192.168.1.5:8000/REPAIRS/{code}?label"]
    scans += [f"https://repairs.example.com/t/{token}", f"https://repairs.example.com/t/{token.swapcase()}"]
    scans += [f"HTTPS://REPAIRS.EXAMPLE.COM/T/{token.upper()}"]
    for layout in LAYOUTS:
        scans += [other_keyboard(code, layout), other_keyboard(f"https://repairs.example.com/t/{token}", layout)]
        scans += [other_keyboard(f"https://repairs.example.com/repairs/{code}", layout)]
    for typed in scans:
        assert scan(front_desk, typed) == f"/repairs/{code}", typed


def test_a_scan_of_another_branch_s_repair_or_of_nothing_opens_the_board(front_desk):
    theirs, mine = make_repair(branch="RV"), make_repair()
    assert scan(front_desk, theirs.code) == f"/repairs?q={theirs.code}"
    assert scan(front_desk, "TH-MN-R9999") == "/repairs?q=TH-MN-R9999"
    assert scan(front_desk, "iphone") == "/repairs?q=iphone"
    assert scan(front_desk, "") == "/repairs"
    assert scan(front_desk, mine.code + "x") != f"/repairs/{mine.code}"


def test_the_secret_of_a_link_never_lands_in_an_address(front_desk):
    theirs = make_repair(branch="RV")
    for typed in (f"https://x.example/t/{theirs.token}", "https://x.example/t/" + "a" * 22, f"x/t/{theirs.token}"):
        for layout in ("", *LAYOUTS):
            answer = front_desk.send("/repairs/find", {"q": other_keyboard(typed, layout) if layout else typed})
            assert answer.location == "/repairs"
            assert "No repair here has this link" in front_desk.page(answer.location).one("#said").get_text()
    front_desk.page("/repairs/find", 404)


def test_the_keys_can_be_read_without_script(owner):
    page = owner.page("/repairs")
    assert page.one("a[data-open]")["href"] == "#keys"
    assert {key.get_text() for key in page.all("dialog#keys kbd")} >= {"j", "k", "x", "/", "n", "?", "Enter", "Esc"}
