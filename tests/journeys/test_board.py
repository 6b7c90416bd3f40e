"""Along the board without a mouse: what keys, a scan and the board's own refresh do together in a real browser."""

import re
from urllib.parse import unquote_plus

import pytest

from app.db import db
from app.models import Repair, Staff
from app.repairs import actions, scanning

from ..factories import make_repair


@pytest.fixture
def violins(shop):
    """Three repairs that a search for "Guarneri" finds, as their codes in the order of the board."""
    with shop.inside():
        made = [make_repair(item="Guarneri violin").code for _ in range(3)]
    return made[::-1]


def focused(page):
    """The code of the row that has the focus; "" for none."""
    return page.evaluate("document.activeElement.closest('#results li')?.querySelector('.code').innerText ?? ''")


def status_of(shop, *codes):
    with shop.inside():
        return [db.session.query(Repair.status).filter_by(code=code).scalar() for code in codes]


def a_colleague_moves(shop, code):
    """Somebody else presses the big button of that repair."""
    with shop.inside():
        repair = db.session.query(Repair).filter_by(code=code).one()
        owner = db.session.query(Staff).filter_by(role="owner").first()
        actions.advance(repair, by=owner, version=repair.version)


def test_the_board_is_worked_with_the_keyboard_alone_through_its_own_refresh(counter, shop, violins):
    page, (first, second, third) = counter("manager"), violins
    page.clock.install()
    keys = page.keyboard
    keys.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    keys.type("guarneri jkx?n", delay=10)
    page.get_by_role("heading", name="Nothing found").wait_for()
    assert page.locator("dialog[open]").count() == 0, "a letter typed into a field is a letter"
    for _ in range(6):
        keys.press("Backspace")
    page.locator("#results li").nth(2).wait_for()
    keys.press("Escape")
    keys.press("Escape")
    page.goto(f"{shop.url}/repairs?q=guarneri")

    keys.press("j")
    assert focused(page) == first
    keys.press("x")
    keys.press("ArrowDown")
    keys.press("j")
    keys.press("j")
    assert focused(page) == third, "the last row is the last"
    keys.press("x")
    keys.press("k")
    assert focused(page) == second
    keys.press("Control+k")
    assert focused(page) == second, "what the browser's own keys do is the browser's"
    assert page.locator(".picked").inner_text() == "2 selected"

    # Another counter moves one and takes a new one in; the board comes anew, and neither focus nor ticks are lost.
    with shop.inside():
        new = make_repair(item="Guarneri viola").code
    with page.expect_response(lambda answer: "/repairs?" in answer.url):
        page.clock.fast_forward(10_000)
    page.locator("#results li", has_text=new).wait_for()
    assert focused(page) == second
    assert page.locator("#results :checked").count() == 2

    keys.press("?")
    page.locator("dialog#keys").wait_for()
    keys.press("j")
    keys.press("Escape")
    page.locator("dialog#keys").wait_for(state="hidden")
    assert focused(page) == second

    page.locator("#bulk button.primary").focus()
    keys.press("Enter")
    page.locator("#results li", has_text=first).get_by_text("Diagnosing").wait_for()
    assert status_of(shop, first, second, third) == ["diagnosing", "received", "diagnosing"]
    assert page.locator("#results :checked").count() == 0
    assert not page.locator(".bulk-bar").is_visible()

    page.locator("#results .rows a").first.focus()
    keys.press("Enter")
    page.wait_for_url(re.compile(r"/repairs/TH-\w\w-R\d+$"))
    keys.press("/")
    page.wait_for_url(re.compile(r"/repairs#q$"))
    assert page.evaluate("document.activeElement.id") == "q"
    page.locator("h1").click()
    keys.press("n")
    page.wait_for_url("**/repairs/new")


def test_the_bar_says_where_the_next_step_leads(counter, shop, violins):
    first, second, third = violins
    a_colleague_moves(shop, first)
    page = counter("owner", at="/repairs?q=guarneri")
    leads = page.locator("#bulk .leads")
    for code, said in ((second, "1 → Diagnosing"), (third, "2 → Diagnosing")):
        page.get_by_label(f"Select {code}").check()
        assert leads.inner_text() == said
    page.get_by_label(f"Select {first}").check()
    assert {*leads.inner_text().split(", ")} == {"2 → Diagnosing", "1 → Repairing"}
    page.get_by_label(f"Select {first}").uncheck()
    assert leads.inner_text() == "2 → Diagnosing"


def test_what_a_bulk_step_did_stays_in_sight_until_the_next_thing_is_done(counter, shop, violins):
    page, (first, second, third) = counter("owner", at=None), violins
    page.clock.install()
    page.goto(f"{shop.url}/repairs?q=guarneri&sort=newest")
    page.get_by_label(f"Select {first}").check()
    row = page.locator("#results li", has_text=second)
    before = row.bounding_box()
    page.get_by_role("button", name="Next step").click()
    done = page.locator("#bulk .done")
    done.get_by_text("1 repair moved on to Diagnosing.").wait_for()
    assert row.bounding_box() == before, "nothing moves under the pointer"
    with page.expect_response(lambda answer: "/repairs?" in answer.url):
        page.clock.fast_forward(10_000)
    page.locator("#results li", has_text=first).get_by_text("Diagnosing").wait_for()
    assert done.is_visible()
    page.get_by_label(f"Select {third}").check()
    assert done.count() == 0
    page.get_by_role("button", name="Next step").click()
    done.wait_for()
    page.locator("#q").press("End")
    page.keyboard.type(" violin", delay=10)
    page.clock.fast_forward(1_000)
    page.wait_for_url(re.compile("violin"))
    assert done.count() == 0


@pytest.mark.parametrize("refreshed", [False, True])
def test_what_a_bulk_step_could_not_move_stays_ticked_and_says_why(counter, shop, violins, refreshed):
    page, (first, second, _) = counter("owner", at=None), violins
    page.clock.install()
    page.goto(f"{shop.url}/repairs?q=guarneri")
    for code in (first, second):
        page.get_by_label(f"Select {code}").check()
    a_colleague_moves(shop, first)
    if refreshed:
        # It was ticked as it stood before, whatever the board shows of it now.
        page.clock.fast_forward(10_000)
        page.locator("#results li", has_text=first).get_by_text("Diagnosing").wait_for()

    page.get_by_role("button", name="Next step").click()
    page.locator("#bulk [role=alert] li", has_text=first).get_by_text("Somebody changed it").wait_for()
    assert page.get_by_label(f"Select {first}").is_checked()
    assert not page.get_by_label(f"Select {second}").is_checked()
    page.get_by_role("button", name="Next step").click()
    page.locator("#results li", has_text=first).get_by_text("Repairing").wait_for()
    assert page.locator("#bulk [role=alert]").count() == 0
    assert status_of(shop, first, second) == ["repairing", "diagnosing"]


def test_what_is_ticked_anew_is_meant_as_it_stands_now(counter, shop, violins):
    page, (first, *_) = counter("owner", at=None), violins
    page.clock.install()
    page.goto(f"{shop.url}/repairs?q=guarneri")
    tick = page.get_by_label(f"Select {first}")
    tick.check()
    a_colleague_moves(shop, first)
    page.clock.fast_forward(10_000)
    page.locator("#results li", has_text=first).get_by_text("Diagnosing").wait_for()
    tick.uncheck()
    tick.check()
    page.get_by_role("button", name="Next step").click()
    page.locator("#results li", has_text=first).get_by_text("Repairing").wait_for()
    assert page.locator("#bulk [role=alert]").count() == 0


def test_whoever_signs_in_again_elsewhere_is_no_longer_told_to(counter, shop):
    page = counter("owner", at=None)
    page.clock.install()
    page.goto(f"{shop.url}/repairs")
    cookies = page.context.cookies()
    page.context.clear_cookies()
    alert = page.locator("#alert [role=alert]")
    page.clock.fast_forward(10_000)
    alert.get_by_text("Please sign in again").wait_for()
    # Said once, however often the board asks.
    page.evaluate("alert = document.querySelector('#alert [role=alert]')")
    with page.expect_response(lambda answer: answer.status == 401):
        page.clock.fast_forward(10_000)
    page.wait_for_timeout(200)
    assert page.evaluate("alert.isConnected")
    page.context.add_cookies(cookies)
    page.clock.fast_forward(10_000)
    alert.wait_for(state="detached")


def test_a_gun_opens_a_repair_and_leaves_its_secret_in_no_address(counter, shop, violins):
    page, asked = counter("owner"), []
    with shop.inside():
        token = db.session.query(Repair.token).filter_by(code=violins[0]).scalar()
    page.on("request", lambda request: asked.append(request.url))
    link = f"https://repairs.example.com/t/{token}"
    # As a computer in France reads it from the same keys.
    french = link.translate({meant: arrives for arrives, meant in scanning._AZERTY.items()})
    assert french.startswith("httpsM!!")
    for typed in (violins[0].lower(), f"{shop.url}/repairs/{violins[0]}", link, french):
        page.goto(f"{shop.url}/repairs")
        page.keyboard.press("/")
        # A gun that is slow: the search while one types would long have sent it.
        page.keyboard.type(typed, delay=5)
        page.wait_for_timeout(400)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/repairs/{violins[0]}")
    assert asked
    assert not [url for url in asked if token in url or french[-22:] in unquote_plus(url)]


def test_many_are_moved_without_javascript(counter, shop, violins):
    page = counter("owner", java_script_enabled=False)
    page.locator("#q").fill("guarneri")
    page.locator("#q").press("Enter")
    page.get_by_label(f"Select {violins[1]}").check()
    page.get_by_role("button", name="Next step").click()
    page.locator("#said", has_text="1 repair moved on to Diagnosing.").wait_for()
    assert "q=guarneri" in page.url
    page.locator(".views summary").click()
    page.get_by_role("link", name="Keys").click()
    assert page.locator("dialog#keys kbd").first.is_visible()


# Of each row its customer, whether the number stands beside the name, and how far it goes over the end.
NUMBERS = """[...document.querySelectorAll('#results .who')].map(who => {
  const [row, number] = [who, who.querySelector('small')].map(each => each.getBoundingClientRect());
  return [who.firstChild.textContent, number.top < row.bottom, number.right - row.right];
})"""


def test_a_customers_number_is_there_whole_or_not_at_all(counter):
    page = counter("owner")
    for width in (390, 1100, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        numbers = page.evaluate(NUMBERS)
        assert len(numbers) > 20
        assert [name for name, beside, over in numbers if beside and over > 0] == [], width
    # On a desktop there is room for it, unless a name is so long that nothing fits beside it.
    assert [name for name, beside, _ in numbers if not beside and len(name) <= 15] == []


LABELS = "dt, .field > label"


@pytest.mark.usefixtures("german")
def test_a_label_is_not_broken_inside_a_word(counter, shop):
    with shop.inside():
        code = make_repair(item="Cello", estimate=12000, serial="1").code
    page = counter("owner", at=None)
    lines = "(text.selectNodeContents(one), text.getClientRects().length)"
    for path, word in ((f"/repairs/{code}", "Kostenschätzung"), ("/settings/shop", "Werkstattkürzel")):
        page.goto(shop.url + path)
        page.evaluate("window.text = document.createRange()")
        for width in (320, 390, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            labels = page.evaluate(f"[...document.querySelectorAll('{LABELS}')].map(one => [one.textContent, {lines}])")
            words = {label: lines for label, lines in labels if " " not in label}
            assert words[word] == 1
            assert [label for label, lines in words.items() if lines > 1] == [], width
