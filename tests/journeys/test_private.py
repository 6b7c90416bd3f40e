"""What a browser keeps and what it runs: nothing of the counter after signing out, and no script but the shop's own."""

import re
from contextlib import suppress
from itertools import count
from types import SimpleNamespace

import pytest
from playwright.sync_api import Error
from sqlalchemy import select

from app.db import db
from app.models import Repair, Staff
from app.repairs import actions

from ..factories import make_customer, make_repair
from .conftest import LAN, WHOLE_BROWSER

_numbers = count(700)

# All that a page can leave behind in a browser, as one text.
KEPT = """async () => {
  const kept = globalThis.caches ? await caches.keys() : [];
  const databases = globalThis.indexedDB?.databases ? await indexedDB.databases() : [];
  const workers = await (navigator.serviceWorker?.getRegistrations() ?? []);
  return [{ ...localStorage }, { ...sessionStorage }, kept, databases, workers.length, document.cookie, window.name,
    history.state];
}"""
NOTHING = [{}, {}, [], [], 0, "", ""]
# Written down before the page's own scripts run, and kept from page to page by the test.
WATCH = """document.addEventListener("securitypolicyviolation", (event) =>
  console.error("CSP", event.violatedDirective, event.blockedURI, event.sourceFile));"""


@pytest.fixture
def private(shop):
    """A repair, and what nobody but staff may read of it."""
    number = next(_numbers)
    name, serial, note = f"Xanthippe Private {number}", f"SERIAL-PRIVATE-{number}", f"NOTE-PRIVATE-{number}"
    with shop.inside():
        customer = make_customer(name=name, phone=f"+447700900{number}")
        repair = make_repair(customer=customer, item=f"Leica M{number}", serial=serial, note=note)
        texts = (name, f"07700 900{number}", f"+447700900{number}", serial, note)
        return SimpleNamespace(
            code=repair.code, token=repair.token, item=repair.item, name=name, phone=texts[1], texts=texts
        )


def kept(page) -> list:
    """What the browser keeps, the addresses of its history aside; htmx notes there which of them are its own."""
    return [what for what in page.evaluate(KEPT) if what not in ({"htmx": True}, None)]


@pytest.fixture(scope="module")
def keeping_pages(chromium, shop):
    """A browser that keeps pages whole to go back to, as people's do; one for tests alone does not."""
    browser = chromium.browser_type.launch(
        executable_path=WHOLE_BROWSER,
        args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--host-resolver-rules=MAP {LAN} 127.0.0.1"],
        ignore_default_args=["--disable-back-forward-cache"],
    )
    page = browser.new_page()
    page.goto(f"{shop.url}/t/{shop.made['repairs'][0]['token']}")
    page.evaluate("window.mark = 'kept'")
    page.goto(shop.url + "/login")
    page.go_back(wait_until="commit")
    for _ in range(40):
        page.wait_for_timeout(50)
        # A page that comes back has none to ask for a moment.
        with suppress(Error):
            if page.evaluate("window.mark") == "kept":
                break
    else:
        raise AssertionError("this browser draws every page anew: nothing could be seen in it")
    page.close()
    yield browser
    browser.close()


def sign_out(page):
    page.locator(".account summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")


@pytest.mark.parametrize("lan", [False, True])
def test_after_signing_out_no_way_back_shows_anything(counter, keeping_pages, shop, private, lan):
    """On plain http too, where no browser heeds Clear-Site-Data: no page of the counter is kept to begin with."""
    context = keeping_pages.new_context(storage_state=counter("front_desk", lan=lan, at=None).context.storage_state())
    page, url = context.new_page(), shop.lan_url if lan else shop.url
    page.goto(f"{url}/repairs")
    page.locator("#q").press_sequentially(private.item, delay=10)
    page.locator("#results a", has_text=private.code).click()
    page.locator("h1", has_text=private.item).wait_for()
    page.locator("#notes textarea").fill("Typed and sent")
    page.get_by_role("button", name="Add note").click()
    page.locator("#notes li", has_text="Typed and sent").wait_for()
    page.get_by_role("link", name=private.name).click()
    page.locator("h1", has_text=private.name).wait_for()
    sign_out(page)
    for _ in range(3):
        # A page that was kept whole is there at once, and never loads.
        page.go_back(wait_until="commit")
        page.wait_for_url(re.compile("/login"))
        shown = page.content()
        assert not [text for text in private.texts if text in shown]
    for rest in ("", "/receipt"):
        page.goto(f"{url}/repairs/{private.code}{rest}")
        assert "/login" in page.url


def test_a_page_of_the_counter_leaves_nothing_in_the_browser(counter, shop, private):
    page, code = counter(), private.code
    for path in (f"/repairs/{code}", "/customers", "/repairs/new", f"/repairs/{code}/edit", "/account"):
        page.goto(shop.url + path)
        assert kept(page) == NOTHING, path
    page.goto(f"{shop.url}/repairs")
    page.locator("#q").press_sequentially(private.item, delay=10)
    page.locator("#results a", has_text=code).wait_for()
    page.wait_for_url(re.compile("q=Leica"))
    assert kept(page) == NOTHING
    page.goto(f"{shop.url}/repairs/{code}")
    page.locator("#status form button").first.click()
    page.locator("#status h2", has_text="Diagnosing").wait_for()
    assert kept(page) == NOTHING


def test_the_counter_and_the_customer_s_page_work_without_a_single_breach_of_the_policy(counter, shop, private):
    """The browser fixture fails for every complaint; here every page and every kind of htmx request has the chance."""
    page, code, token = counter(), private.code, private.token
    complaints = []
    page.context.on("console", lambda message: "CSP" in message.text and complaints.append(message.text))
    page.context.add_init_script(WATCH)
    page.goto(f"{shop.url}/repairs")
    page.locator("#q").press_sequentially(private.item, delay=10)
    page.locator("#results a", has_text=code).wait_for()
    page.goto(f"{shop.url}/repairs/new")
    page.get_by_label("Phone").press_sequentially(private.phone, delay=10)
    page.locator(".known").get_by_text(private.name).wait_for()
    page.goto(f"{shop.url}/repairs/{code}")
    page.locator("#status form button").first.click()
    page.locator("#status h2", has_text="Diagnosing").wait_for()
    page.locator("#tracking-card").get_by_role("button", name="Copy").click()
    page.goto(f"{shop.url}/repairs/{code}/receipt")
    page.goto(f"{shop.url}/t/{token}")
    with shop.inside():
        repair = db.session.scalars(select(Repair).where(Repair.code == code)).one()
        actions.advance(repair, by=db.session.scalars(select(Staff)).first(), version=repair.version)
    page.locator("#live[data-status=repairing]").wait_for()
    assert complaints == []


def test_the_policy_is_in_force_on_the_counter_and_on_the_customer_s_page(counter, chromium, shop, private):
    """What it is for: markup that got into a page would run nothing, load nothing and send nothing."""
    # A window that may complain: that is what the journey is about.
    context = chromium.new_context(storage_state=counter(at=None).context.storage_state())
    page = context.new_page()
    for path in (f"/repairs/{private.code}", f"/t/{private.token}"):
        page.goto(shop.url + path)
        ran, refused = page.evaluate(BREAK_IN)
        assert ran is None
        assert {rule.partition("-")[0] for rule in refused} >= {"script", "style", "img", "frame", "object"}
        assert {*refused} >= {"connect-src", "form-action"}
        # Later, because what Playwright itself begins may use eval.
        page.evaluate(
            """setTimeout(() => {
              try { (0, eval)("1") } catch (refusal) { document.body.id = refusal.name }
            })"""
        )
        page.locator("#EvalError").wait_for()
    context.close()


BREAK_IN = """async () => {
  const refused = new Set();
  document.addEventListener("securitypolicyviolation", (event) => refused.add(event.violatedDirective));
  document.body.insertAdjacentHTML("beforeend", `
    <p onclick="globalThis.ran = 1" id="trap" style="color: red"></p>
    <img src="https://evil.example/x.png"><iframe src="https://evil.example/"></iframe>
    <object data="https://evil.example/x.swf"></object>
    <form action="https://evil.example/" id="away" target="_blank"></form>`);
  document.getElementById("trap").click();
  const script = document.createElement("script");
  script.textContent = "globalThis.ran = 2";
  document.body.append(script);
  await fetch("https://evil.example/").catch(() => {});
  document.getElementById("away").submit();
  const open = () => !all.every((rule) => refused.has(rule));
  const all = ["img-src", "frame-src", "object-src", "connect-src", "form-action", "script-src-elem", "style-src-attr"];
  for (let tries = 0; open() && tries < 100; tries++) await new Promise((go) => setTimeout(go, 20));
  return [globalThis.ran ?? null, [...refused]];
}"""
