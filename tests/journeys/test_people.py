"""Somebody new: from the owner's link to a phone that shows codes. The QR codes are read by another program."""

import io
from urllib.parse import urlsplit

import pyotp
import zxingcpp
from PIL import Image

from .conftest import LAN

PASSWORD = "seven slow snails"


def qr_on(page) -> str:
    """What a phone's camera reads from the code on the page."""
    picture = Image.open(io.BytesIO(page.locator(".qr-box").screenshot()))
    # A pattern of so many squares may happen to read as a code of another kind too.
    (found,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
    return found.text


def test_somebody_is_invited_joins_and_sets_up_a_second_step(counter, browser, shop):
    owner = counter(lan=True, at="/settings/staff/new")
    owner.get_by_label("Name", exact=True).fill("Noor")
    owner.get_by_label("Email").fill("noor@example.com")
    owner.get_by_label("Branch").select_option(index=1)
    owner.get_by_role("button", name="Make the link").click()
    owner.get_by_role("button", name="Copy").wait_for()
    first = owner.get_by_label("Invitation link").input_value()
    assert qr_on(owner) == first
    owner.reload()
    assert owner.get_by_label("Invitation link").count() == 0
    # A new one, by htmx: the page stays, the panel changes.
    owner.get_by_role("button", name="Make a new link").click()
    owner.get_by_role("button", name="Copy").click()
    owner.get_by_text("Copied", exact=True).first.wait_for()
    link = owner.get_by_label("Invitation link").input_value()
    assert link != first

    noor = browser()
    noor.goto(f"{shop.lan_url}{urlsplit(link).path}")
    assert LAN in noor.url
    noor.get_by_label("New password").fill("short")
    noor.get_by_role("button", name="Sign in").click()
    noor.get_by_text("Use 12 characters or more").wait_for()
    noor.get_by_label("New password").fill(PASSWORD)
    noor.get_by_role("button", name="Sign in").click()
    noor.get_by_text("Welcome, Noor").wait_for()

    noor.goto(f"{shop.lan_url}/account/second-step")
    app = pyotp.parse_uri(qr_on(noor))
    assert app.name == "noor@example.com"
    noor.get_by_label("Code that the app shows").fill(app.now())
    noor.get_by_label("Your password").fill(PASSWORD)
    noor.get_by_role("button", name="Turn on").click()
    recovery = noor.locator(".recovery li").first.inner_text()

    again = browser()
    again.goto(f"{shop.lan_url}/login")
    again.get_by_label("Email").fill("noor@example.com")
    again.get_by_label("Password").fill(PASSWORD)
    again.get_by_label("Password").press("Enter")
    again.get_by_label("Code from your app").fill("000000")
    again.get_by_label("Code from your app").press("Enter")
    again.get_by_text("not the code that your app shows").wait_for()
    again.get_by_text("The phone is not at hand").click()
    again.get_by_label("Recovery code").fill(recovery)
    again.get_by_label("Recovery code").press("Enter")
    again.wait_for_url("**/repairs")
