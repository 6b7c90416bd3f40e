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
    for query in ("page=x", "page=99", "branch=x", "sort=zzz", "show=zzz", "q=%00", "q=+"):
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


def test_a_long_board_has_pages_that_keep_the_question(owner):
    malee, river = make_customer(name="Malee"), branch("RV").id
    first = make_repair(customer=malee, branch="RV", item="Violin")
    for number in range(2, 104):
        copy = {column.name: getattr(first, column.name) for column in Repair.__table__.columns if column.name != "id"}
        code = f"TH-RV-R{number:04d}"
        db.session.add(Repair(**copy | {"code": code, "token": f"{number:022d}", "intake_key": None}))
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
    for url in ("/repairs", "/repairs?q=iphone&sort=status&show=late&branch=1", "/repairs?q=iphone", "/customers?q=81"):
        statements.clear()
        owner.page(url)
        assert 0 < len(statements) <= 6, "\n".join(statements)


def test_the_board_keeps_itself_fresh_by_its_own_address(owner):
    make_repair(item="Violin")
    board = owner.page("/repairs?q=vio&sort=newest").one("#board")
    assert board["hx-get"] == "/repairs?q=vio&sort=newest"
    assert board["hx-select"] == "#board"
    assert "every" in board["hx-trigger"]
    assert not board.select("input, select, textarea"), "what one types in stands outside of what is replaced"


def test_the_search_is_a_plain_form_without_script(owner):
    form = owner.page("/repairs?show=late").one("form#filter")
    assert form["method"] == "get"
    assert not form.get("action")
    assert form.select_one("noscript button")
    assert form.select_one("input[type=hidden][name=show]")["value"] == "late"
    assert form.select_one("input[type=search][name=q]")["aria-label"]
    assert {select["name"] for select in form.select("select")} == {"branch", "sort"}


def test_a_look_at_the_board_has_one_shape_whoever_asks(owner):
    make_repair()
    plain, htmx = owner.page("/repairs"), owner.page("/repairs", headers={"HX-Request": "true"})
    assert htmx.one("#results li .code").get_text() == plain.one("#results li .code").get_text()
    assert bool(htmx.all("html")) == bool(plain.all("html")) is True
