"""The customer's page: what it says in every state, what it never says, and how it stays fresh at next to no cost."""

import gzip
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from app import rules
from app.db import utcnow
from app.repairs import actions
from app.rules import Status
from app.tracking import answers, queries

from .conftest import POSTGRESQL
from .factories import branch, make_customer, make_repair, make_staff

# A Monday, ten in the morning in Bangkok.
MORNING = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
BANGKOK = ZoneInfo("Asia/Bangkok")

LONG = "A very long description that goes on and on without an end in sight. " * 25


@pytest.fixture
def by(shop):
    """Whoever moves the repair in the shop."""
    return make_staff("owner", name="Staff-of-the-shop")


def address(repair):
    return f"/t/{repair.token}"


def live(client, repair, tag="", status=200):
    """What an open page gets when it asks again."""
    return client.page(f"/t/{repair.token}/live", status, headers={"HX-Request": "true", "HX-PTag": tag})


def again(client, repair, page, status=304):
    """What a browser gets that comes back with the copy it kept."""
    return client.page(address(repair), status, headers={"If-None-Match": page.headers["ETag"]})


def states(page):
    return {line["data-status"]: line["data-state"] for line in page.all("#timeline > li")}


def words(element):
    return " ".join(element.get_text(" ").split())


# --- every status -------------------------------------------------------------------------------

STATES = {
    "received": ("0", "blue"),
    "diagnosing": ("17", "blue"),
    "waiting_parts": ("50", "blue"),
    "repairing": ("50", "blue"),
    "testing": ("67", "blue"),
    "ready": ("83", "green"),
    "delivered": ("100", "green"),
    "cancelled": (None, "red"),
}


@pytest.mark.parametrize("promised", [None, "ahead", "passed"])
@pytest.mark.parametrize("status", STATES)
def test_the_page_says_where_the_repair_stands(anyone, shop, clock, status, promised):
    clock.set(MORNING)
    at = {None: None, "ahead": MORNING + timedelta(days=2), "passed": MORNING - timedelta(days=2)}[promised]
    page = anyone.page(address(make_repair(status=status, promised_at=at)))
    percent, accent = STATES[status]
    region = page.one("#live")
    assert (region["data-status"], region["data-accent"]) == (status, accent)
    assert page.one("#live h1.status").get_text() == Status(status).label
    assert str(rules.SENTENCES[Status(status)]) in page.one("#live [role=status]").get_text()
    assert str(rules.NEXT_UP[Status(status)]) in page.one("#next").get_text()
    if percent is None:
        assert not page.all("#progress, .percent")
    else:
        bar = page.one("#progress[role=progressbar]")
        assert (bar["aria-valuemin"], bar["aria-valuenow"], bar["aria-valuemax"]) == ("0", percent, "100")
        assert words(page.one(".percent")) == f"{percent} %"
    unfinished = status not in {"ready", "delivered", "cancelled"}
    assert len(page.all("#countdown")) == (promised == "ahead" and unfinished)
    assert len(page.all("#late")) == (promised == "passed" and unfinished)
    assert len(page.all("#ready")) == (status == "ready")
    assert page.one("#timeline > li[aria-current=step]")["data-status"] == status


@pytest.mark.parametrize("status", STATES)
def test_the_live_region_is_the_one_in_the_page(anyone, shop, clock, status):
    repair = make_repair(status=status, promised_at=MORNING + timedelta(days=1))
    page, region = anyone.page(address(repair)), live(anyone, repair)
    assert [element["id"] for element in region.soup.children if element.name] == ["live"]
    assert str(region.one("#live")) == str(page.one("#live"))
    assert "ETag" not in region.headers, "a browser would hand htmx its own copy for every 304"
    assert region.headers["HX-PTag"] == page.one("#live")["hx-ptag"]


def test_the_page_reads_in_the_order_of_the_design(anyone, by, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING + timedelta(days=1))
    actions.add_update(repair, "The glass is here.", by=by, version=repair.version)
    page = anyone.page(address(repair))
    order = [element["id"] for element in page.all("#live [id]") if not element["id"].endswith("-title")]
    assert order == ["progress", "next", "countdown", "updates", "timeline", "details", "contact", "updated"]
    clock.forward(days=2)
    assert anyone.page(address(repair)).all("#live [id]")[0]["id"] == "late", "late comes first"


def test_the_details_are_what_the_customer_brought(anyone, shop, clock):
    clock.set(MORNING)
    repair = make_repair(item="Road bike", problem="The chain jumps.\nThe brakes squeal.", branch="RV")
    page = anyone.page(address(repair))
    said = {words(term): term.find_next_sibling("dd") for term in page.all("#details dt")}
    assert said.keys() == {"Code", "Item", "Problem", "Received", "Branch"}
    assert (words(said["Code"]), words(said["Item"]), words(said["Branch"])) == (
        "TH-RV-R0001",
        "Road bike",
        "Riverside",
    )
    assert words(said["Problem"]) == "The chain jumps. The brakes squeal."
    assert said["Problem"].select_one("br")
    assert said["Received"].select_one("time")["datetime"] == "2026-11-23T03:00:00Z"


def test_the_page_says_when_something_last_changed_for_the_customer(anyone, by, clock):
    clock.set(MORNING)
    repair = make_repair(by=by)
    clock.forward(hours=1)
    actions.advance(repair, by=by, version=repair.version)
    clock.forward(hours=1)
    actions.add_note(repair, "Between us", by=by, version=repair.version)
    assert anyone.page(address(repair)).one("#updated")["datetime"] == "2026-11-23T04:00:00Z"
    details = {"item": repair.item, "problem": repair.problem, "accessories": "", "technician_id": None}
    actions.edit(repair, by=by, version=repair.version, serial="S-1", estimate=99, **details)
    assert anyone.page(address(repair)).one("#updated")["datetime"] == "2026-11-23T04:00:00Z", "no invented activity"


# --- the timeline -------------------------------------------------------------------------------


def test_steps_behind_are_done_and_steps_ahead_are_upcoming(anyone, shop):
    page = anyone.page(address(make_repair(status="testing")))
    assert states(page) == {
        "received": "done",
        "diagnosing": "done",
        "waiting_parts": "skipped",
        "repairing": "done",
        "testing": "current",
        "ready": "upcoming",
        "delivered": "upcoming",
    }
    for line in page.all("#timeline > li"):
        assert bool(line.select("time")) == (line["data-state"] in {"done", "current"})
        assert bool(line.select(".node svg")) == (line["data-state"] == "done"), "a tick is for what was done alone"
        assert words(line.select_one("h3")).removesuffix(" – done") == Status(line["data-status"]).label
        assert line.has_attr("aria-current") == (line["data-state"] == "current")
    assert "Not needed." in words(page.one("#timeline > li[data-status=waiting_parts]"))


def test_a_step_passed_over_is_never_ticked(anyone, by):
    repair = make_repair()
    actions.jump(repair, Status.READY, by=by, version=repair.version)
    assert states(anyone.page(address(repair))) == {
        "received": "done",
        "diagnosing": "skipped",
        "waiting_parts": "skipped",
        "repairing": "skipped",
        "testing": "skipped",
        "ready": "current",
        "delivered": "upcoming",
    }


@pytest.mark.parametrize(("held", "percent"), [("diagnosing", "33"), ("repairing", "50"), ("testing", "67")])
def test_waiting_for_parts_keeps_the_place_and_the_progress(anyone, shop, held, percent):
    page = anyone.page(address(make_repair(status="waiting_parts", paused_from=held)))
    assert page.one("#progress")["aria-valuenow"] == percent
    assert states(page)["waiting_parts"] == "current"
    assert states(page)[held] == "upcoming"


def test_a_cancelled_repair_keeps_what_was_done_and_strikes_the_rest(anyone, shop):
    page = anyone.page(address(make_repair(status="cancelled", cancelled_from="repairing")))
    assert states(page) == {
        "received": "done",
        "diagnosing": "done",
        "waiting_parts": "skipped",
        "repairing": "done",
        "cancelled": "current",
        "testing": "skipped",
        "ready": "skipped",
        "delivered": "skipped",
    }
    struck = {line["data-status"] for line in page.all("#timeline > li") if line.select("h3 s")}
    assert struck == {"waiting_parts", "testing", "ready", "delivered"}


def test_a_move_that_was_undone_is_gone_from_the_page(anyone, by):
    repair = make_repair(status="ready")
    actions.revert(repair, by=by, version=repair.version, reason="Undone-between-us")
    page = anyone.page(address(repair))
    assert states(page)["testing"] == "current"
    assert states(page)["ready"] == "upcoming"
    assert "Undone-between-us" not in page.html


# --- cancelled ----------------------------------------------------------------------------------


REASONS = [("No part.", True, True), ("No part.", False, False), ("", True, False)]


@pytest.mark.parametrize(("reason", "public", "seen"), REASONS)
def test_the_reason_of_a_cancellation_is_read_only_where_the_shop_says_so(anyone, shop, reason, public, seen):
    page = anyone.page(address(make_repair(status="cancelled", reason=reason, public=public)))
    assert len(page.all(".reason")) == seen
    if seen:
        assert page.one(".reason bdi").get_text() == "No part."
    else:
        assert "No part." not in page.html


def test_a_repair_opened_again_says_nothing_of_its_cancellation(anyone, by):
    repair = make_repair(status="cancelled", cancelled_from="repairing", reason="No part.", public=True)
    actions.revert(repair, by=by, version=repair.version, reason="")
    page = anyone.page(address(repair))
    assert page.one("#live")["data-status"] == "repairing"
    assert "No part." not in page.html


# --- the promise --------------------------------------------------------------------------------


def test_the_countdown_ends_at_the_promise(anyone, shop, clock):
    clock.set(MORNING)
    at = MORNING + timedelta(days=2, hours=3, minutes=4, seconds=5)
    page = anyone.page(address(make_repair(promised_at=at)))
    countdown = page.one("#countdown")
    assert countdown["data-deadline"] == "2026-11-25T06:04:05Z"
    assert {unit["data-unit"]: unit.get_text() for unit in countdown.select("[data-unit]")} == {
        "d": "2",
        "h": "03",
        "m": "04",
        "s": "05",
    }
    assert countdown["data-now"] == "2026-11-23T03:00:00Z"
    assert page.one(".promise h2 time")["datetime"] == "2026-11-25T06:04:05Z"


def test_a_promise_that_passed_is_owned_up_to(anyone, by, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING + timedelta(hours=2))
    at = MORNING + timedelta(hours=5)
    actions.promise(repair, at, by=by, version=repair.version, reason="The wrong part came.")
    page = anyone.page(address(repair))
    assert page.one("#countdown")["data-deadline"] == "2026-11-23T08:00:00Z"
    assert "The wrong part came." in page.one(".promise").get_text()
    clock.set(at)
    page = anyone.page(address(repair))
    assert not page.all("#countdown")
    assert page.one("#late time")["datetime"] == "2026-11-23T08:00:00Z"
    assert "The wrong part came." in page.one("#late").get_text()


def test_a_promise_that_passed_without_a_reason_has_none_made_up(anyone, shop, clock):
    clock.set(MORNING)
    late = anyone.page(address(make_repair(promised_at=MORNING - timedelta(days=1)))).one("#late")
    assert "says" not in late.get_text()


def test_a_new_time_takes_the_place_of_a_late_one(anyone, by, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING - timedelta(hours=2))
    actions.promise(repair, MORNING + timedelta(days=1), by=by, version=repair.version, reason="One more day.")
    page = anyone.page(address(repair))
    assert not page.all("#late")
    assert "One more day." in words(page.one(".promise"))


def test_a_promise_taken_back_is_neither_counted_down_nor_late(anyone, by, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING + timedelta(hours=2))
    actions.promise(repair, None, by=by, version=repair.version, reason="Nobody knows yet.")
    clock.forward(days=1)
    assert not anyone.page(address(repair)).all("#countdown, #late")


def test_what_is_ready_says_since_when(anyone, shop, clock):
    clock.set(MORNING)
    repair = make_repair(status="ready", promised_at=MORNING - timedelta(days=3))
    clock.forward(days=2)
    page = anyone.page(address(repair))
    assert page.one("#ready time")["datetime"] == "2026-11-23T03:00:00Z"
    assert repair.code in page.one("#ready").get_text()


# --- updates ------------------------------------------------------------------------------------


def test_updates_are_there_the_newest_first(anyone, by):
    repair = make_repair()
    for text in ("The glass is ordered.", "The glass is here.\nWe fit it tomorrow."):
        actions.add_update(repair, text, by=by, version=repair.version)
    page = anyone.page(address(repair))
    assert [words(line) for line in page.all("#updates li p")] == [
        "The glass is here. We fit it tomorrow.",
        "The glass is ordered.",
    ]
    assert len(page.all("#updates li time")) == 2


def test_a_shop_that_said_nothing_has_no_place_for_it(anyone, shop):
    assert not anyone.page(address(make_repair())).all("#updates")


# --- long and right-to-left ---------------------------------------------------------------------


def test_long_and_right_to_left_words_are_shown_whole_and_kept_apart(anyone, shop, by):
    shop.name = "محل الإصلاح"
    shop.address = "شارع الملك 12\nالرياض"
    repair = make_repair(item="גיטרה חשמלית", problem=LONG[:2000])
    actions.add_update(repair, "القطعة وصلت", by=by, version=repair.version)
    page = anyone.page(address(repair))
    assert page.one("bdi.shop-name").get_text() == "محل الإصلاح"
    said = {words(term): term.find_next_sibling("dd") for term in page.all("#details dt")}
    assert said["Item"].get_text() == "גיטרה חשמלית"
    assert words(said["Problem"]) == LONG[:2000].strip()
    for element in (said["Item"], said["Problem"], said["Branch"], page.one("#updates li p"), page.one("address span")):
        assert element["dir"] == "auto"


# --- contact ------------------------------------------------------------------------------------


def contact(page):
    """The numbers behind the buttons, and the address."""
    found = page.one("#contact")
    whatsapp = found.select_one('a[href^="https://wa.me/"]')
    place = found.select_one("address")
    return (
        found.select_one('a[href^="tel:+"]')["href"].removeprefix("tel:"),
        whatsapp and urlsplit(whatsapp["href"]).path,
        place and words(place),
    )


SHOP = {"phone": "+6621234567", "whatsapp": "+66812345678", "address": "12 Charoen Krung Road"}
BRANCH = {"phone": "+6629999999", "whatsapp": "+66899999999", "address": "Pier 3"}


@pytest.mark.parametrize(
    ("own", "ended"),
    [
        *(((), False), (("phone",), False), (("whatsapp",), True), (("address",), False)),
        *((("phone", "whatsapp", "address"), ended) for ended in (False, True)),
    ],
)
def test_a_branch_s_own_contact_goes_before_the_shop_s_field_by_field(anyone, shop, clock, own, ended):
    for name, value in SHOP.items():
        setattr(shop, name, value)
    for name in own:
        setattr(branch("RV"), name, BRANCH[name])
    repair = make_repair(branch="RV", status="delivered")
    if ended:
        clock.forward(days=91)
    expected = SHOP | {name: BRANCH[name] for name in own}
    page = anyone.page(address(repair), 410 if ended else 200)
    assert contact(page) == (expected["phone"], f"/{expected['whatsapp'][1:]}", expected["address"])


def test_the_whatsapp_button_opens_the_shop_s_chat_with_the_code(anyone, shop):
    link = anyone.page(address(make_repair())).one('#contact a[href^="https://wa.me/"]')
    parts = urlsplit(link["href"])
    assert parts.path.removeprefix("/").isdigit()
    assert "TH-MN-R0001" in parse_qs(parts.query)["text"][0]
    assert "noreferrer" in link["rel"]


def test_a_shop_without_whatsapp_and_address_has_no_button_for_them(anyone, shop, clock):
    shop.whatsapp = shop.address = ""
    repair = make_repair(status="delivered")
    assert contact(anyone.page(address(repair))) == ("+6621234567", None, None)
    clock.forward(days=91)
    assert contact(anyone.page(address(repair), 410)) == ("+6621234567", None, None)


# --- opening hours ------------------------------------------------------------------------------

NINE_TO_SIX = [["09:00", "18:00"]]
OFFICE = [NINE_TO_SIX] * 5 + [[], []]


def test_the_page_says_whether_the_branch_is_open(anyone, shop, clock):
    clock.set(MORNING)
    branch("MN").hours = [[["09:00", "13:00"], ["14:00", "18:00"]]] * 5 + [[], []]
    repair = make_repair()
    found = anyone.page(address(repair)).one("#contact #hours")
    assert words(found.select_one("summary")) == "Open until 13:00"
    assert [words(line) for line in found.select("dl > div")] == [
        "Monday – Friday 09:00–13:00, 14:00–18:00",
        "Saturday – Sunday Closed",
    ]
    assert not anyone.page(address(make_repair(branch="RV"))).all("#hours"), "each branch has its own, or none"


def test_times_are_written_as_in_the_shop_s_country(anyone, shop, clock):
    clock.set(MORNING)
    shop.country = "US"
    branch("MN").hours = OFFICE
    found = anyone.page(address(make_repair())).one("#hours")
    assert words(found.select_one("summary")) == "Open until 6:00 PM"


def test_the_page_of_a_link_that_has_ended_says_when_the_shop_opens(anyone, shop, clock):
    clock.set(MORNING)
    branch("MN").hours = OFFICE
    repair = make_repair(status="delivered")
    clock.forward(days=96)
    page = anyone.page(address(repair), 410)
    assert words(page.one("#contact #hours summary")) == "Opens Monday 09:00"
    shop.hidden = ["hours", "address"]
    assert not anyone.page(address(repair), 410).all("#hours, address")


def test_an_open_page_hears_when_the_branch_opens_and_closes(anyone, shop, clock):
    clock.set(MORNING)
    branch("MN").hours = OFFICE
    repair = make_repair()
    page = anyone.page(address(repair))
    tag = page.headers["HX-PTag"]
    for forward, sign in (
        ({"hours": 7, "minutes": 59}, None),
        ({"minutes": 1}, "Opens Tuesday 09:00"),
        ({"hours": 7}, "Opens today at 09:00"),
        ({"hours": 8}, "Open until 18:00"),
        ({"hours": 1}, None),
    ):
        clock.forward(**forward)
        fresh = live(anyone, repair, tag, 200 if sign else 304)
        if sign:
            assert words(fresh.one("#hours summary")) == sign
            tag = fresh.headers["HX-PTag"]
    again(anyone, repair, page, 200)


# --- what the shop writes and leaves out --------------------------------------------------------


@pytest.mark.parametrize("status", STATES)
def test_a_sentence_of_the_shop_s_own_stands_for_ours_wherever_the_status_is_the_present_one(anyone, shop, status):
    shop.sentences = {status: "Own words & <more>."}
    page = anyone.page(address(make_repair(status=status)))
    assert words(page.one("#live [role=status] .sentence")) == "Own words & <more>."
    assert words(page.one("#timeline > li[aria-current=step] p")) == "Own words & <more>."
    assert str(rules.SENTENCES[Status(status)]) not in page.one("#live").get_text()


def test_a_sentence_is_for_its_own_status_alone(anyone, shop):
    shop.sentences = {"ready": "Come and get it."}
    page = anyone.page(address(make_repair(status="delivered")))
    assert "Come and get it." not in page.html
    assert words(page.one(".sentence")) == rules.SENTENCES[Status.DELIVERED]


DETAILS = {
    "item": ["Road bike"],
    "problem": ["The chain jumps."],
    "received": ["Received 23 Nov 2026"],
    "branch": ["Main"],
    "hours": ["Open until"],
    "address": ["Charoen Krung"],
}


@pytest.mark.parametrize("hidden", [*DETAILS, "all"])
def test_what_the_shop_leaves_out_is_nowhere_on_the_page(anyone, shop, clock, hidden):
    clock.set(MORNING)
    branch("MN").hours = OFFICE
    left_out = [*DETAILS] if hidden == "all" else [hidden]
    shop.hidden = left_out
    repair = make_repair(item="Road bike", problem="The chain jumps.", status="repairing")
    for page in (anyone.page(address(repair)), live(anyone, repair)):
        told = words(page.one("#live"))
        for detail, texts in DETAILS.items():
            assert all((text in told) == (detail not in left_out) for text in texts), detail
        assert repair.code in words(page.one("#details"))
        assert words(page.one("h1.status")) == "Repairing"


# --- what nobody else may know ------------------------------------------------------------------

SECRETS = [
    *(
        "Secret-Name",
        "+66876543210",
        "876543210",
        "secret-mail",
        "Secret-Serial",
        "Secret-Accessory",
        "76543",
        "765.43",
    ),
    *("Secret-Note", "Secret-Revert", "Secret-Cancel", "Secret-Technician", "Staff-of-the-shop", "secret-staff-mail"),
]


@pytest.mark.parametrize("status", STATES)
def test_nothing_of_the_customer_and_nothing_internal_is_anywhere_on_the_page(anyone, by, clock, status):
    by.email = "secret-staff-mail@example.com"
    narin = make_staff("technician", name="Secret-Technician")
    customer = make_customer(name="Secret-Name", phone="+66876543210", email="secret-mail@example.com")
    details = {
        "serial": "Secret-Serial",
        "accessories": "Secret-Accessory",
        "estimate": 76543,
        "technician_id": narin.id,
    }
    repair = make_repair(
        customer=customer, by=by, note="Secret-Note", reason="Secret-Cancel", status="diagnosing", **details
    )
    actions.add_note(repair, "Secret-Note-2", by=by, version=repair.version)
    actions.revert(repair, by=by, version=repair.version, reason="Secret-Revert")
    details |= {"item": "iPad", "problem": "Dark.", "serial": "Secret-Serial-2", "accessories": "", "estimate": 0}
    actions.edit(repair, by=by, version=repair.version, **details)
    if status == "cancelled":
        actions.cancel(repair, by=by, version=repair.version, reason="Secret-Cancel", public=False)
    elif status == "waiting_parts":
        actions.advance(repair, by=by, version=repair.version)
        actions.pause(repair, by=by, version=repair.version)
    elif status != "received":
        actions.jump(repair, Status(status), by=by, version=repair.version)
    pages = [anyone.page(address(repair)), live(anyone, repair)]
    if status in {"delivered", "cancelled"}:
        clock.forward(days=91)
        pages.append(anyone.page(address(repair), 410))
    for page in pages:
        told = page.html + str(page.headers)
        assert [secret for secret in SECRETS if secret in told] == []


def test_a_chat_s_preview_names_the_shop_and_nothing_of_the_repair(anyone, shop):
    repair = make_repair(item="Engagement ring", problem="Too small.", status="testing")
    page = anyone.page(address(repair))
    card = {meta["property"]: meta["content"] for meta in page.all("meta[property^=og]")}
    assert card["og:site_name"] == "Lamp & Bench"
    assert card["og:title"] == "Repair status"
    head = page.one("head")
    for word in ("Engagement", "small", "testing", "Testing", repair.code, repair.token, "67"):
        assert word not in " ".join([head.get_text(), *(meta.get("content", "") for meta in head.select("meta"))])
    assert "Lamp & Bench" in page.one("title").get_text()


# --- headers, cookies, no script ----------------------------------------------------------------


def assert_private(answer):
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in answer.headers
    assert "cookie" not in answer.headers.get("Vary", "").lower(), "the session was read"


def test_every_answer_to_a_customer_is_private_and_leaves_no_cookie(anyone, shop, clock):
    repair = make_repair(status="delivered")
    page, region = anyone.page(address(repair)), live(anyone, repair)
    answers = [page, region, again(anyone, repair, page), live(anyone, repair, region.headers["HX-PTag"], 304)]
    clock.forward(days=91)
    answers += [anyone.page(address(repair), 410), live(anyone, repair, status=410)]
    answers += [anyone.page("/t/" + "a" * 22, 404), anyone.page("/t/" + "a" * 22 + "/live", 404)]
    for answer in answers:
        assert_private(answer)


def test_a_person_of_the_shop_who_looks_gets_what_the_customer_gets(owner, anyone):
    repair = make_repair()
    seen = owner.page(address(repair))
    assert_private(seen)
    assert seen.one("body").get_text() == anyone.page(address(repair)).one("body").get_text()


def test_without_script_the_page_comes_again_by_itself(anyone, shop):
    page = anyone.page(address(make_repair()))
    assert page.one("head noscript meta[http-equiv=refresh]")["content"] == "60"


def test_the_page_asks_for_its_live_region_and_takes_all_from_here(anyone, shop):
    repair = make_repair()
    page = anyone.page(address(repair))
    region = page.one("#live")
    assert region["hx-get"] == f"/t/{repair.token}/live"
    every = next(part for part in region["hx-trigger"].split(",") if part.strip().startswith("every"))
    assert int(every.split()[1].rstrip("s")) <= 5
    assert region["hx-swap"] == "outerMorph"
    sources = [tag["src"] for tag in page.all("[src]")] + [tag["href"] for tag in page.all("link[href]")]
    assert all(source.startswith(("/static/", "data:")) for source in sources)
    assert len([source for source in sources if source.startswith("/static/")]) <= 5
    assert page.one("h1")


def test_nothing_can_be_sent_to_a_customer_s_page(anyone, shop):
    repair = make_repair()
    for url in (address(repair), f"{address(repair)}/live"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert anyone.open(url, method=method).status_code == 405


@pytest.mark.parametrize("hours", [None, 5, 50])
def test_a_browser_that_can_unpack_gets_the_page_packed(anyone, shop, clock, hours):
    """With a countdown, which is written into what is packed already, and without."""
    repair = make_repair(promised_at=hours and clock.moment + timedelta(hours=hours))
    for url in (address(repair), f"{address(repair)}/live"):
        plain = anyone.get(url)
        packed = anyone.get(url, headers={"Accept-Encoding": "gzip, br"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Content-Encoding" not in plain.headers
        assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 2
        assert "accept-encoding" in packed.headers["Vary"].lower()
        assert gzip.decompress(packed.data) == plain.data
        assert (b"data-deadline" in plain.data) == bool(hours)


# --- unchanged, and changed ---------------------------------------------------------------------


def test_an_unchanged_page_is_a_304_after_one_read_or_none(anyone, shop, statements):
    url = address(make_repair(status="repairing"))
    page = anyone.page(url)
    for asked, header in (
        (url, {"If-None-Match": page.headers["ETag"]}),
        (f"{url}/live", {"HX-PTag": page.headers["HX-PTag"]}),
    ):
        # Whatever is written, it may concern this page.
        make_customer()
        for reads in (1, 0):
            statements.clear()
            assert anyone.page(asked, 304, headers=header).html == ""
            # To its PostgreSQL server other tests write meanwhile.
            assert len(statements) == reads or (POSTGRESQL and len(statements) == 1), statements


def test_an_unchanged_page_needs_nothing_of_the_app(anyone, shop, app, monkeypatch):
    """Neither a session nor a row of SQLAlchemy's nor a template: it is answered in front of all that."""
    url = address(make_repair(status="repairing"))
    page = anyone.page(url)
    make_customer()
    monkeypatch.setattr(app, "request_context", None)
    monkeypatch.setattr("sqlalchemy.orm.Session.execute", None)
    assert anyone.page(f"{url}/live", 304, headers={"HX-PTag": page.headers["HX-PTag"]}).html == ""
    with pytest.raises(TypeError):
        anyone.page("/login")


def test_a_whole_page_costs_few_reads_however_long_its_history(anyone, by, statements):
    repair = make_repair(status="testing")
    for number in range(10):
        actions.add_update(repair, f"Update {number}", by=by, version=repair.version)
    page = address(repair)
    for url in (page, f"{page}/live"):
        statements.clear()
        anyone.page(url)
        assert 1 <= len(statements) <= 5, statements


def test_a_page_is_drawn_once_for_all_who_look_at_it(anyone, shop, statements):
    repair = make_repair(promised_at=datetime.now(UTC) + timedelta(days=1))
    for url in (address(repair), f"{address(repair)}/live"):
        first = anyone.page(url)
        statements.clear()
        again = anyone.page(url)
        assert len(statements) <= (1 if POSTGRESQL else 0), statements
        clock = re.compile(r"data-now=[^>]*>|<b data-unit.*?</b>")
        assert clock.sub("", again.html) == clock.sub("", first.html)


def test_what_is_answered_in_front_of_the_app_is_what_the_app_would_answer(app, anyone, shop, tmp_path):
    repair = make_repair(status="ready")
    url = address(repair)
    tag = anyone.page(url).headers["HX-PTag"]
    front = app.wsgi_app
    for asked, headers in (
        (url, {}),
        (url, {"Accept-Encoding": "gzip"}),
        (url, {"If-None-Match": f'W/"{tag}"'}),
        (f"{url}/live", {"HX-PTag": "another"}),
        (f"{url}/live", {"HX-PTag": tag}),
    ):
        anyone.get(asked)
        quick = anyone.get(asked, headers=headers)
        try:
            app.wsgi_app = lambda environ, start: Flask.wsgi_app(app, environ, start)
            slow = anyone.get(asked, headers=headers)
        finally:
            app.wsgi_app = front
        assert (quick.status, quick.data) == (slow.status, slow.data)
        assert dict(quick.headers) == dict(slow.headers), asked


def test_a_token_that_opens_nothing_costs_little_and_is_counted(anyone, shop, statements):
    # Read once in front of the app, and once in it.
    # And once more whom to ask for another link.
    for token, reads in (("a" * 22, 3), ("short", 1), ("a" * 500, 1)):
        statements.clear()
        anyone.page(f"/t/{token}", 404)
        assert len([sql for sql in statements if "throttle" not in sql]) == reads, statements


CHANGES = {
    "move": lambda repair, by: actions.advance(repair, by=by, version=repair.version),
    "promise": lambda repair, by: actions.promise(
        repair, MORNING + timedelta(days=2), by=by, version=repair.version, reason="Later"
    ),
    "update": lambda repair, by: actions.add_update(repair, "News", by=by, version=repair.version),
    "cancel": lambda repair, by: actions.cancel(repair, by=by, version=repair.version, reason="", public=False),
    "revert": lambda repair, by: actions.revert(repair, by=by, version=repair.version, reason=""),
    "edit": lambda repair, by: actions.edit(
        repair, by=by, version=repair.version, item="iPad", problem="Dark.", serial="", accessories="",
        technician_id=None, estimate=None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_in_the_shop_reaches_an_open_page(anyone, by, clock, change):
    clock.set(MORNING)
    repair = make_repair(status="diagnosing", promised_at=MORNING + timedelta(days=1))
    page = anyone.page(address(repair))
    tag = page.headers["HX-PTag"]
    live(anyone, repair, tag, 304)
    CHANGES[change](repair, by)
    fresh = live(anyone, repair, tag)
    again(anyone, repair, page, 200)
    assert fresh.headers["HX-PTag"] != tag
    assert str(fresh.one("#live")) != str(page.one("#live"))
    live(anyone, repair, fresh.headers["HX-PTag"], 304)


def test_a_change_of_the_shop_or_of_a_branch_reaches_an_open_page(owner, anyone):
    repair = make_repair()
    page = anyone.page(address(repair))
    form = {"name": "Main", "phone": "02 999 9999", "whatsapp": "", "address": ""}
    owner.send(f"/settings/branches/{branch('MN').id}", form)
    fresh = live(anyone, repair, page.headers["HX-PTag"])
    assert contact(fresh)[0] == "+6629999999"
    settings = owner.page("/settings/shop")
    form = {
        name: settings.one(f"[name={name}]").get("value", "")
        for name in ("timezone", "phone", "public_url", "link_days")
    }
    form |= {"name": "New name", "country": "TH", "currency": "THB", "whatsapp": "", "address": "Elsewhere"}
    owner.send("/settings/shop", form)
    newer = live(anyone, repair, fresh.headers["HX-PTag"])
    assert newer.one(".shop-name").get_text() == "New name"
    again(anyone, repair, page, 200)


def test_an_open_page_hears_when_the_promise_passes(anyone, shop, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING + timedelta(minutes=10))
    page = anyone.page(address(repair))
    clock.forward(minutes=9, seconds=59)
    assert not live(anyone, repair).all("#late")
    clock.forward(seconds=1)
    fresh = live(anyone, repair, page.headers["HX-PTag"])
    assert fresh.one("#late")
    assert not fresh.all("#countdown")
    again(anyone, repair, page, 200)


def test_tomorrow_becomes_today_on_a_page_that_stays_open_over_midnight(anyone, shop, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING + timedelta(days=1, hours=8))
    page = anyone.page(address(repair))
    assert "tomorrow" in words(page.one(".promise h2"))
    # Midnight in the shop, not in UTC.
    clock.forward(hours=14, minutes=1)
    fresh = live(anyone, repair, page.headers["HX-PTag"])
    assert "today" in words(fresh.one(".promise h2"))
    again(anyone, repair, page, 200)


def test_what_was_undone_changes_nothing_of_since_when_it_is_ready(anyone, by, clock):
    clock.set(MORNING)
    repair = make_repair(status="ready")
    before = [anyone.page(address(repair)).one(css).get_text(" ", strip=True) for css in ("#ready", ".timeline")]
    clock.forward(hours=5)
    actions.advance(repair, by=by, version=repair.version)
    actions.revert(repair, by=by, version=repair.version, reason="")
    assert [
        anyone.page(address(repair)).one(css).get_text(" ", strip=True) for css in ("#ready", ".timeline")
    ] == before


def test_ready_since_today_becomes_yesterday(anyone, shop, clock):
    clock.set(MORNING)
    repair = make_repair(status="ready")
    page = anyone.page(address(repair))
    assert "today" in words(page.one("#ready"))
    clock.forward(days=1)
    assert "yesterday" in words(live(anyone, repair, page.headers["HX-PTag"]).one("#ready"))


def test_how_late_it_is_goes_on_being_said_truly(anyone, shop, clock):
    """On a page that stays open, and on one that a browser without script asks for again with the copy it kept."""
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING - timedelta(minutes=5))
    page = anyone.page(address(repair))
    clock.forward(hours=3)
    for later in (
        anyone.get(f"{address(repair)}/live", headers={"HX-PTag": page.headers["HX-PTag"]}),
        anyone.get(address(repair), headers={"If-None-Match": page.headers["ETag"]}),
    ):
        if later.status_code == 304:
            assert "5 minutes" not in words(page.one("#late")), "three hours later the page still says five minutes"
        else:
            assert "5 minutes" not in later.get_data(as_text=True)


def test_an_open_page_is_drawn_anew_when_the_words_about_its_lateness_change_and_only_then(anyone, shop, clock):
    # From midnight in the shop, so that nothing else changes meanwhile.
    clock.set(datetime(2026, 11, 22, 17, 0, tzinfo=UTC))
    repair = make_repair(promised_at=clock.moment)
    page, said = anyone.page(address(repair)), []
    for minutes in (1, 2, 3, 59, 60, 91, 119, 120, 121, 179, 180):
        clock.set(repair.promised_at + timedelta(minutes=minutes, seconds=-1))
        for _ in range(2):
            tag = page.one("#live")["hx-ptag"]
            answer = anyone.get(f"{address(repair)}/live", headers={"HX-PTag": tag})
            answers.forget()
            fresh = anyone.page(address(repair))
            same = words(fresh.one("#late")) == words(page.one("#late"))
            assert (answer.status_code == 304) is same, minutes
            page = fresh
            clock.forward(seconds=1)
        said.append(words(page.one("#late")).partition(", ")[2].partition(" ago")[0])
    assert said == [
        *("1 minute", "2 minutes", "3 minutes", "59 minutes", "1 hour", "1 hour"),
        *("1 hour", "2 hours", "2 hours", "2 hours", "3 hours"),
    ]


def test_a_week_late_is_drawn_once_a_day(anyone, shop, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING - timedelta(days=11))
    page = anyone.page(address(repair))
    assert "1 week ago" in words(page.one("#late"))
    clock.forward(hours=5)
    live(anyone, repair, page.headers["HX-PTag"], 304)


def test_the_time_left_is_not_read_from_an_old_copy(anyone, shop, clock):
    """Without script the page comes again each minute; what it says is left must then be what is left."""
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING + timedelta(hours=5))
    page = anyone.page(address(repair))
    clock.forward(minutes=30)
    later = again(anyone, repair, page, 200)
    assert later.one("[data-unit=h]").get_text() == "04"
    assert later.one("[data-unit=m]").get_text() == "30"


def test_a_page_of_another_version_of_the_program_is_drawn_anew(anyone, shop, app):
    repair = make_repair()
    page = anyone.page(address(repair))
    before = app.config["TRACKING_BUILD"]
    app.config["TRACKING_BUILD"] = "another"
    try:
        live(anyone, repair, page.headers["HX-PTag"])
        again(anyone, repair, page, 200)
    finally:
        app.config["TRACKING_BUILD"] = before


# --- links that open nothing --------------------------------------------------------------------

NO_TOKENS = [
    "a" * 22,
    "_" * 22,
    "%25" * 22,
    "a",
    "a" * 21,
    "a" * 23,
    "a" * 5000,
    "%00" * 22,
    "a" * 21 + "%00",
    "%C3%A9" * 22,
    "%ff" * 22,
    "..",
    "'%20OR%201=1;--aaaaaaa",
    "favicon.ico",
    "%F0%9F%8E%BB",
]


@pytest.mark.parametrize("more", ["", "/live"])
def test_a_link_that_opens_nothing_says_nothing_of_why(anyone, shop, by, more):
    repair = make_repair()
    old = repair.token
    actions.replace_link(repair, by=by, version=repair.version)
    replaced = anyone.page(f"/t/{old}{more}", 404)
    assert repair.code not in replaced.html
    for token in NO_TOKENS:
        unknown = anyone.page(f"/t/{token}{more}", 404)
        assert unknown.html == replaced.html, token
        ids = unknown.headers.pop("X-Request-ID", None), replaced.headers.pop("X-Request-ID", None)
        assert ids[0] != ids[1] or more
        assert list(unknown.headers.items()) == list(replaced.headers.items()), token


@pytest.mark.parametrize("whatsapp", ["+66812345678", ""])
def test_a_link_that_opens_nothing_says_whom_to_ask_for_another(anyone, shop, by, whatsapp):
    shop.whatsapp, shop.address = whatsapp, "12 Charoen Krung Road"
    river = branch("RV")
    river.phone, river.whatsapp = BRANCH["phone"], BRANCH["whatsapp"]
    repair = make_repair(branch="RV")
    old = repair.token
    actions.replace_link(repair, by=by, version=repair.version)
    for token in (old, "a" * 22, "mistyped"):
        page = anyone.page(f"/t/{token}", 404)
        assert page.one("h1").get_text(strip=True) == "This link opens nothing"
        assert page.one("[role=alert]").get_text(strip=True).startswith("Check that it is complete")
        assert page.one(".shop-name").get_text(strip=True) == shop.name
        assert contact(page) == ("+6621234567", (whatsapp and f"/{whatsapp[1:]}") or None, None), token


def test_a_link_that_opens_nothing_is_so_in_the_language_of_the_browser(anyone, shop):
    page = anyone.page("/t/mistyped", 404, headers={"Accept-Language": "de"})
    assert page.one("h1").get_text(strip=True) == "Dieser Link öffnet nichts"
    assert page.one("#contact a[href^='tel:']").get_text(strip=True) == "02 123 4567 anrufen"


def test_before_set_up_and_without_a_database_a_link_that_opens_nothing_says_so_all_the_same(anyone, shop, monkeypatch):
    def away(**values):
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(queries.SHOP, "one", away)
    page = anyone.page("/t/mistyped", 404)
    assert page.one("[role=alert]").get_text(strip=True).startswith("Check that it is complete")
    assert not page.all("#contact")
    monkeypatch.setattr(queries.SHOP, "one", lambda **values: None)
    assert anyone.page("/t/mistyped", 404).html == page.html


def test_a_token_is_itself_to_the_letter(anyone, shop):
    repair = make_repair()
    for other in (repair.token.swapcase(), repair.token[:-1], repair.token + "a", repair.token[::-1]):
        anyone.page(f"/t/{other}", 404)


def test_the_number_on_the_receipt_opens_nothing(anyone, shop):
    repair = make_repair()
    for guess in (repair.code, str(repair.id), repair.customer.phone):
        anyone.page(f"/t/{guess}", 404)


# --- links that have ended ----------------------------------------------------------------------


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
@pytest.mark.parametrize("days", [1, 3650])
def test_a_link_ends_some_days_after_the_repair_was_closed(anyone, shop, clock, status, days):
    clock.set(MORNING)
    shop.link_days = days
    repair = make_repair(status=status)
    tag = anyone.page(address(repair)).headers["HX-PTag"]
    clock.forward(days=days)
    live(anyone, repair)
    clock.forward(seconds=1)
    page = anyone.page(address(repair), 410)
    assert page.one("h1").get_text() == "This link has ended"
    assert contact(page)[0] == shop.phone
    assert page.one(".shop-name").get_text() == shop.name
    told = page.text
    for word in (repair.code, repair.item, repair.problem, Status(status).label):
        assert word not in told
    gone = live(anyone, repair, tag, 410)
    assert gone.headers["HX-Refresh"] == "true", "an open page must learn of it, and say so"


def test_a_link_never_ends_where_the_shop_says_so(anyone, shop, clock):
    shop.link_days = 0
    repair = make_repair(status="delivered")
    clock.forward(days=4000)
    anyone.page(address(repair))


@pytest.mark.parametrize("status", ["received", "waiting_parts", "ready"])
def test_the_link_of_an_open_repair_does_not_end(anyone, shop, clock, status):
    repair = make_repair(status=status)
    clock.forward(days=4000)
    anyone.page(address(repair))


def test_a_repair_opened_again_has_its_link_again(anyone, by, clock):
    repair = make_repair(status="delivered")
    clock.forward(days=91)
    anyone.page(address(repair), 410)
    actions.revert(repair, by=by, version=repair.version, reason="It broke again.")
    assert anyone.page(address(repair)).one("#live")["data-status"] == "ready"


def test_an_open_page_of_a_replaced_link_learns_of_it(anyone, by):
    repair = make_repair()
    tag, old = anyone.page(address(repair)).headers["HX-PTag"], repair.token
    actions.replace_link(repair, by=by, version=repair.version)
    answer = anyone.page(f"/t/{old}/live", 404, headers={"HX-PTag": tag})
    assert answer.headers["HX-Refresh"] == "true"


def test_a_promise_that_is_taken_back_is_not_silently_gone(anyone, by):
    repair = make_repair(promised_at=utcnow() + timedelta(days=3))
    actions.promise(repair, None, by=by, version=repair.version, reason="The maker has none left.")
    page = anyone.page(address(repair))
    assert "The maker has none left." in page.one("#withdrawn").get_text()
    assert not page.all("#countdown")


def test_a_first_promise_is_no_change_of_one(anyone, by):
    repair = make_repair()
    actions.promise(repair, utcnow() + timedelta(days=3), by=by, version=repair.version, reason="As agreed.")
    said = anyone.page(address(repair)).one(".promise").get_text(" ", strip=True)
    assert "was changed" not in said
    assert "What the shop says: As agreed." in said


def test_the_reason_of_a_promise_after_one_that_was_taken_back_is_read(anyone, by):
    repair = make_repair(promised_at=utcnow() + timedelta(days=1))
    for at, reason in ((None, "The part broke."), (utcnow() + timedelta(days=3), "A new part comes on Thursday.")):
        actions.promise(repair, at, by=by, version=repair.version, reason=reason)
    said = anyone.page(address(repair)).one(".promise").get_text(" ", strip=True)
    assert "What the shop says: A new part comes on Thursday." in said
    assert "The part broke" not in said


def test_a_page_open_in_the_last_second_of_a_promise_says_so_in_the_next(anyone, shop, clock):
    clock.set(MORNING)
    repair = make_repair(promised_at=MORNING + timedelta(hours=1))
    clock.set(MORNING + timedelta(minutes=59, seconds=59.7))
    page = anyone.page(address(repair))
    assert not page.all("#late")
    clock.forward(seconds=0.5)
    assert live(anyone, repair, page.one("#live")["hx-ptag"]).one("#late")
