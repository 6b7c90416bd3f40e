"""Days at the counter: set-up, intake, the link, two people at once, and all of it without JavaScript."""

import contextlib
import re

import pytest
from PIL import Image
from playwright.sync_api import Error

from app.models import Repair

from ..factories import make_customer, make_repair


@pytest.fixture
def repair(shop):
    """A repair just taken in, as its code."""
    with shop.inside():
        return make_repair(item="Casio CZ-101").code


def test_an_owner_sets_the_shop_up_and_takes_the_first_repair_in(browser, new_shop):
    page = browser(locale="pl-PL")
    page.goto(re.search(r"http://localhost:\d+/setup\?code=\S+", new_shop.printed)[0])
    held = {name: page.get_by_label(name) for name in ("Country", "Currency", "Time zone")}
    assert [field.input_value() for field in held.values()] == ["PL", "PLN", "Europe/Warsaw"]
    held["Country"].select_option("CH")
    assert [field.input_value() for field in held.values()] == ["CH", "CHF", "Europe/Zurich"]
    held["Time zone"].fill("lisbon")
    held["Country"].select_option("PT")
    assert [field.input_value() for field in held.values()] == ["PT", "EUR", "lisbon"], "what is typed stays"
    warning, public_address = page.get_by_text("Only this machine can open"), page.get_by_label("Public address")
    assert warning.is_visible()
    own_address = public_address.input_value()
    public_address.fill("https://repairs.harbour.example")
    assert not warning.is_visible()
    public_address.fill(own_address)
    assert warning.is_visible()
    page.get_by_label("Shop name").fill("Harbour Bikes")
    assert page.get_by_label("Shop code").input_value() == "HB"
    page.get_by_label("Phone").first.fill("21 342 0000")
    page.get_by_label("First branch").fill("Alfama")
    assert page.get_by_label("Branch code").input_value() == "AL"
    page.get_by_label("Your name").fill("Inês Duarte")
    page.get_by_label("Your email").fill("ines@harbour.example")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Open the shop").click()
    page.get_by_text("Use 12 characters or more").wait_for()
    assert page.get_by_label("Shop name").input_value() == "Harbour Bikes"
    assert held["Time zone"].input_value() == "Europe/Lisbon"
    assert page.evaluate("document.activeElement.name") == "password"

    page.get_by_label("Password").fill("three gulls on a mast")
    page.get_by_role("button", name="Open the shop").click()
    page.get_by_text("No repairs yet").wait_for()
    page.get_by_role("link", name="New repair").last.click()
    page.get_by_label("Phone").fill("912 345 678")
    page.get_by_label("Name").fill("Rui")
    page.get_by_label("Item").fill("Orbea Gain")
    page.get_by_label("Problem").fill("Motor stutters")
    page.get_by_role("button", name="Take in", exact=True).click()
    page.wait_for_url("**/repairs/HB-AL-R0001")
    page.get_by_text("only works on this machine").wait_for()


def test_a_repair_is_taken_in_with_the_keyboard_alone(counter):
    page = counter("front_desk")
    keys = page.keyboard

    def tab_to(label):
        for _ in range(12):
            keys.press("Tab")
            if page.evaluate("document.activeElement.labels?.[0]?.innerText ?? ''").startswith(label):
                return
        raise AssertionError(f"Tab does not lead to {label}")

    page.goto(page.url + "/new")
    keys.type("07700 900 199")
    tab_to("Name")
    keys.type("Nadia Ferrante")
    tab_to("Item")
    keys.type("Pixel 9")
    tab_to("Problem")
    keys.type("Does not charge")
    tab_to("Price estimate")
    keys.type("49.90")
    tab_to("No promise")
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    keys.press("Enter")
    page.wait_for_url(re.compile(r"/repairs/TH-\w\w-R\d{4}$"))
    assert page.locator("h1").inner_text() == "Pixel 9"
    assert "18:00" in page.locator("#promise").inner_text()
    assert page.evaluate("document.querySelector('#status form button').textContent").strip().startswith("Next: Diag")


def test_a_refused_intake_loses_neither_words_nor_photos(counter, tmp_path):
    picture = tmp_path / "cello.png"
    Image.new("RGB", (40, 30), "peru").save(picture)
    page = counter("technician", at="/repairs/new")
    looked_up = []
    page.on("request", lambda request: looked_up.append(request.post_data) if "/new/customer" in request.url else None)
    page.get_by_label("Photos").set_input_files([picture])
    with page.expect_response("**/repairs/new/customer"):
        page.get_by_label("Phone").press_sequentially("07700 900 1", delay=15)
    page.get_by_label("Item").fill("Cello")
    page.get_by_label("Problem").fill("A crack in the top")
    page.get_by_role("button", name="Take in", exact=True).click()
    page.locator("#name-error").wait_for()
    assert page.evaluate("document.activeElement.id") == "name"
    assert page.evaluate("document.getElementById('photos').files.length") == 1
    assert looked_up
    assert not any("PNG" in sent for sent in looked_up), "the photos go along with the form alone"
    page.get_by_label("Name").fill("Nadia Ferrante")
    page.get_by_role("button", name="Take in", exact=True).click()
    page.wait_for_url(re.compile(r"/repairs/TH-\w\w-R\d{4}$"))
    assert page.locator("h1").inner_text() == "Cello"
    assert page.locator("#photos img").count() == 1
    assert page.get_by_text("is taken in").first.is_visible()


def test_a_customer_who_is_still_looked_up_wipes_no_answer_away(counter):
    page = counter(at="/repairs/new")
    page.get_by_label("Item").fill("Cello")
    page.get_by_label("Problem").fill("A crack in the top")
    page.clock.install()
    # What is typed last is asked for after the form is on its way, and what was asked for before is answered late.
    held = []
    page.route("**/repairs/new/customer", lambda route: held.append(route))
    page.get_by_label("Phone").press_sequentially("07700 900 1")
    page.clock.run_for(300)
    page.get_by_label("Phone").press_sequentially("1")
    with page.expect_request_finished(lambda request: request.url.endswith("/repairs/new")):
        page.get_by_role("button", name="Take in", exact=True).click()
        page.clock.run_for(300)
    page.locator("#name-error").wait_for()
    for route in held:
        with contextlib.suppress(Error):
            route.continue_()
    page.clock.run_for(1000)
    page.wait_for_timeout(300)
    assert page.locator("#name-error").is_visible()

    # Nor does one that is asked for after the answer, for the number that was sent.
    page.unroute("**/repairs/new/customer")
    page.get_by_label("Phone").press("Backspace")
    with page.expect_response(lambda answer: answer.url.endswith("/repairs/new")):
        page.get_by_role("button", name="Take in", exact=True).click()
    page.locator("#name-error").wait_for()
    page.clock.run_for(1000)
    page.wait_for_timeout(300)
    assert page.locator("#name-error").is_visible()


def test_a_known_customer_is_offered_while_the_number_is_typed(counter, shop):
    with shop.inside():
        known = make_repair(customer=make_customer(name="Grace Mbeki", phone="+447700900321")).customer.name
    page = counter(at="/repairs/new")
    page.get_by_label("Phone").press_sequentially("07700 9003", delay=15)
    page.get_by_role("button", name=known).click()
    page.locator(".known").get_by_text(known).wait_for()
    page.get_by_label("Item").fill("Kindle")
    page.get_by_label("Problem").fill("Frozen")
    page.get_by_role("button", name="Take in", exact=True).dblclick()
    page.wait_for_url(re.compile(r"/repairs/TH-"))
    page.get_by_role("link", name=known).click()
    page.get_by_role("heading", name="2 repairs").wait_for()


def test_a_name_typed_before_the_number_is_never_lost(counter, shop):
    with shop.inside():
        make_customer(name="Jörg Müller", phone="+447700900777")
    page = counter(at="/repairs/new")
    page.get_by_label("Name").fill("Anna Müller")
    page.get_by_label("Phone").press_sequentially("07700 900777", delay=15)
    warning = page.locator("#customer .warning")
    warning.get_by_text("belongs to Jörg Müller, not “Anna Müller”").wait_for()
    assert page.get_by_label("Name").count() == 0
    page.get_by_label("Phone").press("Backspace")
    page.get_by_label("Name").wait_for()
    assert page.get_by_label("Name").input_value() == "Anna Müller"
    assert warning.count() == 0

    page.get_by_label("Phone").press_sequentially("7", delay=15)
    warning.wait_for()
    page.get_by_label("Item").fill("Kobo Libra")
    page.get_by_label("Problem").fill("Frozen")
    page.get_by_role("button", name="Take in", exact=True).click()
    page.wait_for_url(re.compile(r"/repairs/TH-"))
    assert page.get_by_role("link", name="Jörg Müller").is_visible()


def test_the_link_is_copied(counter, shop, repair):
    page = counter(permissions=["clipboard-read", "clipboard-write"], at=None)
    page.clock.install()
    page.goto(f"{shop.url}/repairs/{repair}")
    link = page.locator("#tracking-card input[readonly]").input_value()
    page.locator("#tracking-card").get_by_role("button", name="Copy").press("Enter")
    page.locator("#tracking-card").get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == link
    page.clock.fast_forward(3_000)
    page.get_by_role("button", name="Copy", exact=True).wait_for()


def test_the_link_is_copied_over_plain_http_too(counter, repair):
    page = counter(lan=True, at=f"/repairs/{repair}")
    assert page.evaluate("isSecureContext") is False
    link = page.locator("#tracking-card input[readonly]").input_value()
    page.locator("#tracking-card").get_by_role("button", name="Copy").click()
    page.locator("#tracking-card").get_by_role("button", name="Copied").wait_for()
    page.locator("#notes textarea").focus()
    page.keyboard.press("Control+V")
    assert page.locator("#notes textarea").input_value() == link


def test_two_people_at_once_lose_nothing(counter, shop, repair):
    first, second = (counter(role, at=f"/repairs/{repair}") for role in ("owner", "technician"))
    first.locator("#status form button").first.click()
    first.locator("#status h2", has_text="Diagnosing").wait_for()

    second.locator("#updates textarea").fill("We look at it this afternoon.")
    second.get_by_role("button", name="Tell the customer").click()
    second.locator("#updates [role=alert]", has_text="changed this repair").wait_for()
    assert second.locator("#updates textarea").input_value() == "We look at it this afternoon."
    second.locator("#status h2", has_text="Diagnosing").wait_for()
    second.get_by_role("button", name="Tell the customer").click()
    second.locator("#updates li", has_text="We look at it this afternoon.").wait_for()
    assert second.locator("#updates textarea").input_value() == ""
    assert second.locator("#history li").count() == 3


def test_what_is_typed_in_one_panel_outlives_a_change_in_another(counter, repair):
    page = counter(at=f"/repairs/{repair}")
    page.locator("#notes textarea").fill("half a thought")
    page.locator("#status form button").first.click()
    page.locator("#status h2", has_text="Diagnosing").wait_for()
    assert page.locator("#notes textarea").input_value() == "half a thought"
    page.get_by_role("button", name="Add note").click()
    page.locator("#notes li", has_text="half a thought").wait_for()


def test_moves_of_every_kind_are_made_in_place(counter, repair):
    page = counter(at=f"/repairs/{repair}")
    status = page.locator("#status")
    status.get_by_text("Jump ahead").click()
    status.get_by_role("button", name="Testing").click()
    status.locator("h2", has_text="Testing").wait_for()
    status.get_by_role("button", name="Wait for parts").click()
    status.get_by_role("button", name="resume Testing").click()
    status.locator("h2", has_text="Testing").wait_for()
    status.get_by_text("Undo", exact=True).click()
    status.get_by_role("button", name="Undo the last move").click()
    status.locator("h2", has_text="Waiting for parts").wait_for()
    status.get_by_text("Cancel repair").click()
    status.get_by_label("Why?").fill("The part is not made any more")
    status.get_by_role("button", name="Cancel this repair").click()
    status.locator("h2", has_text="Cancelled").wait_for()
    assert page.url.endswith(repair)


def test_a_lost_connection_is_said_and_loses_nothing(counter, repair):
    page = counter(at=f"/repairs/{repair}")
    page.locator("#notes textarea").fill("Written in a tunnel")
    page.route("**/notes", lambda route: route.abort())
    page.get_by_role("button", name="Add note").click()
    page.locator("#alert [role=alert]", has_text="does not answer").wait_for()
    assert page.locator("#notes textarea").input_value() == "Written in a tunnel"
    page.unroute("**/notes")
    page.get_by_role("button", name="Add note").click()
    page.locator("#notes li", has_text="Written in a tunnel").wait_for()


def test_the_board_searches_while_one_types_and_keeps_itself_fresh(counter, shop):
    page = counter()
    page.clock.install()
    page.reload()
    page.locator("#q").press_sequentially("theremin", delay=20)
    page.get_by_role("heading", name="Nothing found").wait_for()
    page.wait_for_url(re.compile("q=theremin"))
    with shop.inside():
        code = make_repair(item="Moog Theremin").code
    page.clock.fast_forward(10_000)
    page.locator("#results a", has_text=code).wait_for()
    assert page.locator("#q").input_value() == "theremin"
    assert page.evaluate("document.activeElement.id") == "q"


def test_after_signing_out_back_shows_nothing(counter):
    page = counter()
    page.locator(".account summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.go_back()
    page.wait_for_url(re.compile("/login"))
    assert page.locator("#results").count() == 0
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_a_day_at_the_counter_without_javascript(counter, shop):
    page = counter(java_script_enabled=False)
    page.get_by_role("link", name="New repair").click()
    page.get_by_label("Phone").fill("07700 900444")
    page.get_by_label("Item").fill("Brompton Electric P-Line")
    page.get_by_role("button", name="Take in", exact=True).click()
    assert page.get_by_label("Item").input_value() == "Brompton Electric P-Line"
    page.get_by_label("Problem").fill("Does not fold")
    page.get_by_label("Name").fill("Jonas")
    page.get_by_role("button", name="Take in", exact=True).click()
    page.locator("h1", has_text="Brompton Electric").wait_for()
    code = page.url.rsplit("/", 1)[1]

    page.locator("#status form button").first.click()
    page.locator("#status h2", has_text="Diagnosing").wait_for()
    page.locator("#notes textarea").fill("Hinge bent")
    page.get_by_role("button", name="Add note").click()
    page.locator("#notes li", has_text="Hinge bent").wait_for()

    elsewhere = counter(java_script_enabled=False, at=f"/repairs/{code}")
    elsewhere.get_by_role("button", name="Wait for parts").click()
    page.locator("#notes textarea").fill("typed too late")
    page.get_by_role("button", name="Add note").click()
    page.locator("#notes [role=alert]", has_text="changed this repair").wait_for()
    assert page.locator("#notes textarea").input_value() == "typed too late"
    assert page.locator("#status h2").inner_text() == "Waiting for parts"

    page.get_by_role("link", name="Repairs", exact=True).first.click()
    page.locator("#q").fill("brompton electric")
    page.locator("#q").press("Enter")
    page.locator("#results a", has_text=code).wait_for()
    assert page.locator("#results a").count() == 1
    with shop.inside():
        assert Repair.query.filter_by(code=code).one().status == "waiting_parts"
