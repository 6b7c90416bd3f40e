"""What an owner decides about the customer's page: logo, sentences, details, address; and the preview that shows it."""

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import pytest
from PIL import Image, ImageDraw
from sqlalchemy import select
from werkzeug.datastructures import FileStorage
from werkzeug.serving import make_server

from app import rules
from app.db import db
from app.models import Activity, Logo
from app.rules import Refused, Status
from app.shop import logo
from app.shop.preview import STATES

from .factories import branch, make_repair
from .test_settings import shown
from .test_tracking import words
from .test_web import policy

PAGE = "/settings/page"


def page_form(page):
    """What the form of the customer's page holds; all details are ticked that are."""
    form = {
        area["name"]: area.get_text().replace("\r", "").removeprefix("\n")
        for area in page.all("#settings-form textarea")
    }
    return form | {"show": [tick["value"] for tick in page.all("#settings-form [name=show][checked]")]}


def on_page(anyone, repair):
    return anyone.page(f"/t/{repair.token}")


# --- sentences ----------------------------------------------------------------------------------


def test_every_status_has_a_field_with_our_sentence_as_its_placeholder(owner):
    page = owner.page(PAGE)
    for status in Status:
        field = page.one(f"textarea[name={status}]")
        assert field["placeholder"] == rules.SENTENCES[status]
        assert not field.get_text().strip()
        assert int(field["maxlength"]) == 200


def test_saving_the_page_as_it_is_keeps_it(owner, shop):
    owner.send(PAGE, page_form(owner.page(PAGE)))
    assert (shop.sentences, shop.hidden) == ({}, [])
    shop.sentences, shop.hidden = {"ready": "Come by!"}, ["item", "hours"]
    owner.send(PAGE, page_form(owner.page(PAGE)))
    assert (shop.sentences, shop.hidden) == ({"ready": "Come by!"}, ["item", "hours"])


def test_what_the_shop_writes_is_what_its_customers_read_within_a_poll(owner, anyone, shop):
    repair = make_repair(status="ready")
    tag = on_page(anyone, repair).headers["HX-PTag"]
    form = page_form(owner.page(PAGE)) | {
        "ready": "  Come by!\nWe close at six. ",
        "testing": rules.SENTENCES["testing"],
    }
    owner.send(PAGE, form)
    assert shop.sentences == {"ready": "Come by! We close at six."}, "ours is not kept as theirs"
    fresh = anyone.page(f"/t/{repair.token}/live", headers={"HX-PTag": tag})
    assert words(fresh.one(".sentence")) == "Come by! We close at six."


def test_the_default_is_one_tap_away(owner, shop):
    shop.sentences = {"ready": "Come by!", "testing": "Nearly."}
    page = owner.page(PAGE)
    button = page.one(".sentence[data-status=ready] button")
    owner.send(PAGE, page_form(page) | {button["name"]: button["value"]})
    assert shop.sentences == {"testing": "Nearly."}


def test_a_sentence_that_is_too_long_is_told_and_nothing_is_lost(owner, shop):
    form = page_form(owner.page(PAGE)) | {"ready": "x" * 201, "testing": "Nearly.", "show": ["item"]}
    page = owner.send(PAGE, form, 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == ["ready"]
    assert page.one("#ready-error").get_text(strip=True)
    assert page_form(page) == form
    assert (shop.sentences, shop.hidden) == ({}, [])
    owner.send(PAGE, page_form(page) | {"ready": "x" * 200})
    assert shop.sentences["ready"] == "x" * 200


def test_details_are_left_out_and_shown_again(owner, anyone, shop):
    repair = make_repair(item="Road bike")
    owner.send(PAGE, page_form(owner.page(PAGE)) | {"show": ["problem", "branch"]})
    assert shop.hidden == ["item", "received", "hours", "address"]
    assert "Road bike" not in on_page(anyone, repair).html
    owner.send(PAGE, page_form(owner.page(PAGE)) | {"show": [*rules.DETAILS]})
    assert "Road bike" in on_page(anyone, repair).html


def test_what_was_changed_of_the_page_is_in_the_record(owner):
    owner.send(PAGE, page_form(owner.page(PAGE)) | {"ready": "Come by!", "show": ["item"]})
    line = db.session.scalars(select(Activity).where(Activity.kind == "shop_changed")).one()
    assert line.text == "status sentences, details shown"


# --- the logo -----------------------------------------------------------------------------------


def picture(size=(900, 300), *, kind="PNG", colour=(20, 20, 30, 255), ground=(0, 0, 0, 0), noise=False):
    image = Image.effect_noise(size, 90).convert("RGB") if noise else Image.new("RGBA", size, ground)
    if not noise:
        ImageDraw.Draw(image).ellipse((size[0] // 4, size[1] // 4, size[0] * 3 // 4, size[1] * 3 // 4), fill=colour)
    file = BytesIO()
    (image if kind != "JPEG" else image.convert("RGB")).save(file, kind)
    return BytesIO(file.getvalue())


def send_logo(owner, file, status=303, name="logo.png", htmx=False):
    data = {"logo": (file, name)}
    return owner.htmx(f"{PAGE}/logo", data, status) if htmx else owner.send(f"{PAGE}/logo", data, status)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_logo_is_made_small_and_shown_to_customers(owner, anyone, shop, clock, kind):
    assert send_logo(owner, picture((1200, 750), kind=kind)).location == PAGE
    repair = make_repair(status="delivered")
    pages = [on_page(anyone, repair)]
    clock.forward(days=91)
    pages.append(anyone.page(f"/t/{repair.token}", 410))
    for page in pages:
        image = page.one("header.shop img")
        assert image["src"] == f"/logo/{shop.logo}.webp"
        assert (int(image["width"]), int(image["height"])) == (shop.logo_width, shop.logo_height)
        assert not page.all("header.shop .lamp")
        assert words(page.one(".shop-name")) == shop.name, "whoever cannot see the logo hears the name"
    answer = anyone.get(f"/logo/{shop.logo}.webp")
    kept = Image.open(BytesIO(answer.data))
    assert kept.size == (shop.logo_width, shop.logo_height)
    assert kept.width <= 480
    assert kept.height <= 160
    assert len(answer.data) <= 10_000
    assert (kept.mode == "RGBA") == (kind != "JPEG"), "transparency is kept"


def test_a_logo_is_served_as_a_picture_and_nothing_else(owner, anyone, shop):
    send_logo(owner, picture())
    for browser in (owner, anyone):
        answer = browser.get(f"/logo/{shop.logo}.webp")
        assert answer.content_type == "image/webp"
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in answer.headers
        assert "cookie" not in answer.headers.get("Vary", "").lower()


def test_a_new_logo_has_a_new_address_and_the_old_one_is_gone(owner, anyone, shop):
    send_logo(owner, picture())
    old = shop.logo
    tag = on_page(anyone, repair := make_repair()).headers["HX-PTag"]
    send_logo(owner, picture((300, 300), colour=(200, 0, 0, 255)))
    assert shop.logo != old
    anyone.page(f"/logo/{old}.webp", 404)
    fresh = anyone.page(f"/t/{repair.token}/live", headers={"HX-PTag": tag})
    assert shop.logo in fresh.one("header.shop img")["src"]
    owner.send(f"{PAGE}/logo/remove")
    assert (shop.logo, db.session.get(Logo, 1)) == ("", None)
    assert on_page(anyone, repair).one("header.shop .lamp")
    for name in ("", ".webp", "%00", "a" * 16):
        anyone.page(f"/logo/{name}.webp", 404)


def test_a_logo_comes_by_htmx_as_a_panel_too(owner, shop):
    panel = send_logo(owner, picture(), 200, htmx=True)
    assert shop.logo in panel.one("#logo img")["src"]
    refused = send_logo(owner, BytesIO(b"no picture"), 422, htmx=True)
    assert "not a picture" in refused.one("#logo [role=alert]").get_text()
    panel = owner.htmx(f"{PAGE}/logo/remove")
    assert not panel.all("#logo img")


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "Choose a picture first"),
        (b"GIF89a" + b"x" * 100, "not a picture that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "."),
        (picture(colour=(0, 0, 0, 0)).getvalue(), "all of it is transparent"),
    ],
)
def test_what_makes_no_logo_is_refused_and_the_old_one_stays(owner, shop, file, says):
    send_logo(owner, picture())
    before = shop.logo
    page = send_logo(owner, BytesIO(file), 422, name="" if not file else "logo.png")
    assert says in page.one("#logo [role=alert]").get_text()
    assert shop.logo == before
    assert page.one("#settings-form")


def test_a_text_is_no_logo(owner, shop):
    page = owner.send(f"{PAGE}/logo", {"logo": "Something"}, 422)
    assert "Choose a picture first" in page.one("#logo [role=alert]").get_text()
    assert shop.logo == ""


def test_a_file_that_is_too_large_is_refused():
    with pytest.raises(Refused, match=r"“logo\.png” is larger than 5 MB\."):
        logo.make(FileStorage(BytesIO(b"x" * (5 * 1024 * 1024 + 1)), "logo.png"))


def test_even_a_logo_that_is_hard_to_pack_is_light(owner, anyone, shop):
    send_logo(owner, picture((400, 400), noise=True))
    assert len(anyone.get(f"/logo/{shop.logo}.webp").data) <= 10_000


@pytest.mark.parametrize(
    ("colour", "ground", "tone"),
    [
        ((20, 20, 30, 255), (0, 0, 0, 0), "dark"),
        ((250, 250, 250, 255), (0, 0, 0, 0), "light"),
        ((60, 140, 255, 255), (0, 0, 0, 0), ""),
        ((20, 20, 30, 255), (255, 255, 255, 255), ""),
    ],
)
def test_a_dark_logo_gets_a_light_plate_on_the_dark_page(owner, anyone, shop, colour, ground, tone):
    send_logo(owner, picture(colour=colour, ground=ground))
    assert shop.logo_tone == tone
    assert on_page(anyone, make_repair()).one("header.shop img").get("data-tone", "") == tone


def test_a_margin_of_nothing_is_cut_away(owner, shop):
    send_logo(owner, picture((900, 300)))
    assert shop.logo_width / shop.logo_height == pytest.approx(3, rel=0.05)
    send_logo(owner, picture((800, 800)))
    assert (shop.logo_width, shop.logo_height) == (160, 160)


# --- the preview --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_the_preview_is_the_customer_s_page_of_a_repair_that_nobody_left(owner, shop, state):
    branch("MN").hours = [[["00:00", "00:00"]]] * 7
    page = owner.page(f"/settings/preview?state={state}")
    status = "repairing" if state == "late" else state
    assert page.one("#live")["data-status"] == status
    assert words(page.one("header.shop .shop-name")) == shop.name
    assert bool(page.all("#late")) == (state == "late")
    assert page.one("#timeline > li[aria-current=step]")["data-status"] == status
    assert words(page.one("#hours summary")) == "Open day and night"
    # It asks for nothing again, and leads nowhere.
    assert not page.all("script, noscript, [hx-get]")
    assert page.one("#contact").has_attr("inert")
    assert page.one("#details .code").get_text() == "TH-MN-R0042"


@pytest.mark.parametrize("state", STATES)
def test_the_preview_speaks_of_nothing_that_a_shop_may_never_have_seen(owner, state):
    said = words(owner.page(f"/settings/preview?state={state}").soup).casefold()
    assert "example item" in said
    assert not [word for word in ("guitar", "peg", "fret", "string", "glue", "screen", "battery") if word in said]


def test_the_preview_shows_what_is_typed_and_saves_nothing(owner, shop, statements):
    typed = shown(owner.page("/settings/shop")) | {"name": "Typed", "phone": "02 999 9999", "address": "Elsewhere"}
    page = owner.send("/settings/preview", typed | {"state": "ready"}, 200)
    assert words(page.one(".shop-name")) == "Typed"
    assert page.one('#contact a[href^="tel:"]')["href"] == "tel:+6629999999"
    assert words(page.one("#contact address")) == "Elsewhere"
    typed = page_form(owner.page(PAGE)) | {"ready": "Come by!", "show": ["item"], "state": "ready"}
    page = owner.send("/settings/preview", typed, 200)
    assert words(page.one(".sentence")) == "Come by!"
    assert [words(term) for term in page.all("#details dt")] == ["Code", "Item"]
    assert (shop.name, shop.sentences, shop.hidden, shop.version) == ("Lamp & Bench", {}, [], 1)


def test_what_cannot_be_used_as_it_is_typed_shows_as_it_was(owner, shop):
    typed = shown(owner.page("/settings/shop")) | {"name": "", "phone": "x", "country": "XX", "timezone": "Mars"}
    page = owner.send("/settings/preview", typed | {"state": "nonsense"}, 200)
    assert words(page.one(".shop-name")) == shop.name
    assert page.one('#contact a[href^="tel:"]')["href"] == f"tel:{shop.phone}"
    assert page.one("#live")["data-status"] == "repairing"


def test_the_preview_may_be_framed_by_our_own_pages_alone(owner):
    preview = owner.page("/settings/preview")
    assert policy(preview)["frame-ancestors"] == ["'self'"]
    assert "noindex" in preview.headers["X-Robots-Tag"]
    for url in ("/settings/shop", PAGE):
        page = owner.page(url)
        assert policy(page)["frame-src"] == ["'self'"]
        assert policy(page)["frame-ancestors"] == ["'none'"]
        assert page.one("#preview iframe[title][sandbox]")["src"] == "/settings/preview"
        button = page.one("#preview button")
        assert (button["formaction"], button["formtarget"]) == (
            "/settings/preview",
            page.one("#preview iframe")["name"],
        )
        assert len(page.all("#preview input[name=state]")) == len(STATES)
    assert "frame-src" not in policy(owner.page("/settings/branches"))


def test_the_settings_and_the_preview_are_cheap(owner, statements):
    for url in ("/settings/shop", PAGE, "/settings/preview"):
        statements.clear()
        owner.page(url)
        assert len(statements) <= 5, statements


# --- the public address -------------------------------------------------------------------------


@contextmanager
def serving(app):
    """The app on a free port of this machine; gives its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Elsewhere(BaseHTTPRequestHandler):
    """A site that is not the shop: "ok" to everything, but for what it sends on."""

    leads_to = ""

    def do_GET(self):
        """Answers, or sends on."""
        self.send_response(302 if self.leads_to else 200)
        if self.leads_to:
            self.send_header("Location", self.leads_to)
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        """Says nothing."""


def verdict(owner, address, status=200):
    form = shown(owner.page("/settings/shop")) | {"public_url": address, "name": "Typed"}
    panel = owner.htmx("/settings/shop/test", form, status)
    return panel.one("#public-address .verdict") if status == 200 else panel


def test_the_address_that_is_typed_is_asked_whether_it_is_this_shop(app, owner, shop):
    with serving(app) as address:
        found = verdict(owner, address)
        assert found["data-found"] == "here"
        assert "this machine" in words(found), "it answers, and yet no customer can open it"
        form = shown(owner.page("/settings/shop")) | {"public_url": address, "name": "Typed"}
        page = owner.send("/settings/shop/test", form, 200)
        assert page.one(".verdict")["data-found"] == "here"
        assert shown(page)["name"] == "Typed", "nothing typed is lost"
        assert policy(page)["frame-src"] == ["'self'"]
    assert shop.public_url == "https://repairs.example.com", "nothing is saved"


@pytest.mark.parametrize(("leads_to", "says"), [("", "not this shop"), ("http://127.0.0.2:9/x?y=1", "127.0.0.2:9")])
def test_another_site_is_told_apart_and_followed_nowhere(owner, leads_to, says):
    kind = type("Site", (Elsewhere,), {"leads_to": leads_to})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found = verdict(owner, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    assert found["data-found"] == ("elsewhere" if leads_to else "other")
    assert says in words(found)


def test_an_address_where_nothing_answers_is_told(owner):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = verdict(owner, f"http://127.0.0.1:{port}")
    assert found["data-found"] == "nothing"
    assert "nothing listens there" in words(found)


def test_what_is_no_address_is_not_asked(owner):
    for wrong in ("", "file:///etc/passwd", "https://repairs.example.com/x"):
        page = verdict(owner, wrong, 422)
        assert page.one("#public_url-error").get_text(strip=True)
        assert not page.all(".verdict")


def test_asking_is_limited(owner):
    form = shown(owner.page("/settings/shop")) | {"public_url": "http://127.0.0.1:9"}
    for _ in range(10):
        owner.htmx("/settings/shop/test", form)
    owner.htmx("/settings/shop/test", form, 429)


def test_before_set_up_there_is_no_logo(anyone):
    anyone.page("/logo/0123456789abcdef.webp", 404)
