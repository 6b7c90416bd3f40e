"""An owner makes the customer's page their own, and sees what customers see while doing so."""

import pytest
from PIL import Image, ImageDraw

from app.db import db
from app.models import get_shop

from ..factories import make_repair

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def ready(shop):
    """The path of a page whose repair is ready."""
    with shop.inside():
        return f"/t/{make_repair(item='Hofner bass', status='ready').token}"


@pytest.fixture
def as_before(shop):
    """Gives the shop its own page back afterwards."""
    yield
    with shop.inside():
        row = get_shop()
        row.sentences, row.hidden, row.logo, row.version = {}, [], "", row.version + 1
        db.session.commit()


def save(owner):
    """Saves the page's settings, and waits until they are."""
    with owner.expect_response(
        lambda answer: answer.request.method == "POST" and answer.url.endswith("/settings/page")
    ):
        owner.get_by_role("button", name="Save").last.click()


@pytest.mark.usefixtures("as_before")
def test_the_preview_shows_what_is_typed_and_an_open_page_what_is_saved(counter, browser, shop, ready):
    customer = browser(**PHONE)
    customer.clock.install()
    customer.goto(shop.url + ready)
    owner = counter("owner", viewport={"width": 1440, "height": 900}, at="/settings/page")
    frame = owner.frame_locator("#preview iframe").first
    frame.locator("h1", has_text="Repairing").wait_for()
    before = owner.evaluate("history.length")
    # Whoever writes about what is ready sees a repair that is.
    owner.get_by_label("Ready", exact=True).and_(owner.locator("textarea")).fill("Come by, we close at six.")
    frame.locator(".sentence", has_text="Come by, we close at six.").wait_for()
    frame.locator("#details dt", has_text="Problem").wait_for()
    frame.locator("html").evaluate("() => scrollTo(0, 300)")
    owner.get_by_label("Problem").uncheck()
    frame.locator("#details").filter(has_not_text="Problem").wait_for()
    assert frame.locator("html").evaluate("() => scrollY") == 300
    assert owner.evaluate("history.length") == before, "Back leads to where one came from"
    assert customer.locator(".sentence").inner_text() == "Done, and waiting to be collected."
    save(owner)
    customer.clock.fast_forward(4_000)
    customer.locator(".sentence", has_text="Come by, we close at six.").wait_for()
    assert customer.locator("#details dt", has_text="Problem").count() == 0
    owner.get_by_role("button", name="Use the default for Ready").click()
    frame.locator(".sentence", has_text="Done, and waiting to be collected.").wait_for()
    save(owner)
    customer.clock.fast_forward(4_000)
    customer.locator(".sentence", has_text="Done, and waiting to be collected.").wait_for()


@pytest.mark.usefixtures("as_before")
def test_without_javascript_the_preview_is_a_button_away(counter):
    owner = counter("owner", java_script_enabled=False, at="/settings/page")
    owner.locator("textarea[name=testing]").fill("Nearly there.")
    owner.locator("#preview").get_by_text("Testing").click()
    owner.get_by_role("button", name="Preview").click()
    owner.frame_locator("#preview iframe").first.locator(".sentence", has_text="Nearly there.").wait_for()
    assert owner.locator("textarea[name=testing]").input_value() == "Nearly there.", "it is not saved, and still here"


@pytest.mark.usefixtures("as_before")
def test_a_first_visit_stays_small_with_the_heaviest_of_logos(counter, browser, shop, ready, tmp_path):
    image = Image.effect_noise((900, 300), 80).convert("RGB")
    ImageDraw.Draw(image).text((20, 20), "A shop", fill="white")
    image.save(tmp_path / "logo.png")
    owner = counter("owner", viewport={"width": 1440, "height": 900}, at="/settings/page")
    owner.locator("input[name=logo]").set_input_files(tmp_path / "logo.png")
    owner.locator("#logo img").wait_for()
    owner.frame_locator("#preview iframe").first.locator(".shop img").wait_for()
    customer = browser(**PHONE)
    requests = []
    customer.on("request", lambda request: requests.append(request))
    customer.goto(shop.url + ready, wait_until="networkidle")
    fetched = [request for request in requests if not request.url.startswith("data:")]
    sizes = [request.sizes() for request in fetched]
    assert [request.url for request in fetched if "/logo/" in request.url]
    assert len(fetched) <= 6
    assert sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes) <= 40_000
    moved = "performance.getEntriesByType('layout-shift').length"
    assert customer.evaluate(moved) == 0


@pytest.mark.parametrize(("name", "mistake"), [("phone", "12"), ("link_days", "9999")])
def test_a_mistake_is_in_sight_on_a_phone_once_the_form_comes_back(counter, name, mistake):
    owner = counter(**PHONE, at="/settings/shop")
    field = owner.locator(f"[name={name}]")
    field.fill(mistake)
    # The browser would say by itself that the number is too large.
    field.evaluate("field => { field.form.noValidate = true }")
    owner.get_by_role("button", name="Save").click()
    error = owner.locator(f"#{name}-error")
    error.wait_for()
    owner.wait_for_load_state("load")
    place = error.bounding_box()
    assert 0 <= place["y"] <= PHONE["viewport"]["height"] - place["height"]


def test_the_present_one_of_many_tabs_is_in_sight_on_a_phone(counter, shop):
    owner = counter(**PHONE, at=None)
    for address, beyond in (("/settings/shop", False), ("/settings/staff", True)):
        owner.goto(f"{shop.url}{address}")
        place = owner.locator(".tabs [aria-current]").bounding_box()
        assert 0 <= place["x"] <= PHONE["viewport"]["width"] - place["width"]
        assert (owner.locator(".tabs").evaluate("tabs => tabs.scrollLeft") > 0) == beyond
