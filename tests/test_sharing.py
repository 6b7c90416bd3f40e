"""Handing the link over: the tracking card, the chats it opens, the QR code."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from app import sharing
from app.rules import Status

from .factories import make_customer, make_repair


def card(client, repair):
    return client.page(f"/repairs/{repair.code}").one("#tracking-card")


def way(found, start):
    """The address of the button that begins so."""
    (link,) = found.select(f'a[href^="{start}"]')
    return link["href"]


@pytest.fixture
def repair(shop):
    malee = make_customer(name="Malee & Söhne", phone="+66812345678", email="malee+shop@example.com")
    return make_repair(customer=malee, item="Road bike #2 (50%)")


def link(repair):
    return f"https://repairs.example.com/t/{repair.token}"


@pytest.mark.parametrize("role", ["owner", "manager", "technician", "front_desk"])
def test_the_card_holds_the_link_and_a_button_that_copies_it(request, role, repair):
    found = card(request.getfixturevalue(role), repair)
    (field,) = found.select("input[readonly]")
    assert field["value"] == link(repair)
    assert field["aria-label"]
    (button,) = [button for button in found.select("button") if button.get_text(strip=True) == "Copy"]
    assert button["type"] == "button"
    assert found.select_one(button["data-copy"]) is field
    assert found.select_one("[role=status][data-copied]"), "where a screen reader hears that it was copied"


def test_the_link_is_on_the_public_address_whatever_address_one_came_by(owner, repair):
    page = owner.get(
        f"/repairs/{repair.code}", base_url="http://localhost", headers={"X-Forwarded-Host": "evil.example"}
    )
    assert "evil.example" not in page.get_data(as_text=True)
    assert card(owner, repair).select_one("input[readonly]")["value"] == link(repair)


def test_whatsapp_opens_the_customer_s_chat_with_a_text_and_the_link(owner, repair):
    parts = urlsplit(way(card(owner, repair), "https://wa.me/"))
    assert parts.path == "/66812345678"
    text = parse_qs(parts.query)["text"][0]
    for part in ("Malee & Söhne", "Lamp & Bench", "Road bike #2 (50%)", repair.code):
        assert part in text
    assert text.endswith(f": {link(repair)}")


def test_sms_opens_the_customer_s_chat_with_a_text_and_the_link(owner, repair):
    address = way(card(owner, repair), "sms:")
    assert address.startswith("sms:+66812345678?")
    text = unquote(address.partition("body=")[2])
    assert "Lamp & Bench" in text
    assert text.endswith(f": {link(repair)}")
    assert "&" not in address.partition("body=")[2], "an & in a name must not end the text"


def test_email_is_addressed_and_has_a_subject(owner, repair):
    parts = urlsplit(way(card(owner, repair), "mailto:"))
    assert unquote(parts.path) == "malee+shop@example.com"
    fields = parse_qs(parts.query)
    assert repair.code in fields["subject"][0]
    assert "Lamp & Bench" in fields["subject"][0]
    assert link(repair) in fields["body"][0]


def test_the_page_opens_in_a_tab_of_its_own(owner, repair):
    (page,) = [a for a in card(owner, repair).select("a") if a["href"] == link(repair)]
    assert page["target"] == "_blank"
    assert "noopener" in page["rel"]


def test_a_customer_without_email_can_still_be_written_to(owner, shop):
    assert way(card(owner, make_repair()), "mailto:").startswith("mailto:?subject=")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("received", "we have taken in your Road bike."),
        ("diagnosing", "we are looking for the fault in your Road bike."),
        ("waiting_parts", "your Road bike is waiting for a part."),
        ("repairing", "your Road bike is being repaired."),
        ("testing", "your Road bike is repaired and being tested."),
        ("ready", "your Road bike is ready to be collected."),
        ("delivered", "your Road bike has been handed back to you."),
        ("cancelled", "the repair of your Road bike has been cancelled."),
    ],
)
def test_the_text_says_who_writes_and_where_the_repair_stands(shop, status, says):
    repair = make_repair(status=status, item="Road bike", customer=make_customer(name="Malee"))
    assert sharing.share(shop, repair).text == (
        f"Hello Malee, this is Lamp & Bench: {says} See where repair {repair.code} stands: {link(repair)}"
    )


@pytest.mark.parametrize("language", ["de", "en", "es", "fr"])
def test_the_shop_is_named_in_every_status_and_language(owner, shop, language):
    shop.language, shop.name = language, "Räder & Phönes"
    texts = set()
    for status in Status:
        repair = make_repair(status=status, item="Road bike")
        text = parse_qs(urlsplit(way(card(owner, repair), "https://wa.me/")).query)["text"][0]
        assert text.count("Räder & Phönes") == 1, status
        assert text.endswith(f": {link(repair)}"), status
        texts.add(text.partition("Räder & Phönes")[2].partition(repair.code)[0])
    assert len(texts) == len(Status), "each status in words of its own"


@pytest.mark.parametrize(
    ("address", "warns"),
    [
        ("http://localhost:8000", "only works on this machine"),
        ("http://127.0.0.1", "only works on this machine"),
        ("http://192.168.1.20:8000", "only works on the shop's own network"),
        ("http://readylight", "only works on the shop's own network"),
        ("https://repairs.example.com", ""),
    ],
)
def test_a_link_that_customers_cannot_open_is_warned_of(owner, shop, address, warns):
    shop.public_url = address
    found = card(owner, make_repair())
    assert len(found.select(".warning")) == bool(warns)
    assert not warns or warns in found.select_one(".warning").get_text().replace("’", "'")
    assert found.select_one("input[readonly]")["value"].startswith(address)


def test_the_qr_code_is_a_picture_that_needs_no_style_and_has_a_name(owner, repair):
    (code,) = card(owner, repair).select("svg.qr")
    assert code.select_one("title").get_text()
    assert code.select("path")
    assert not code.select("[style], style, script, image")
    assert code.has_attr("viewbox") or code.has_attr("viewBox"), "it must scale"


def test_another_link_is_another_qr_code(shop):
    first, second = make_repair(), make_repair()
    codes = {sharing.qr(sharing.share(shop, repair).url, label="") for repair in (first, second, first)}
    assert len(codes) == 2


def test_a_label_cannot_break_out_of_the_qr_code():
    assert "<b>" not in sharing.qr("https://example.com", label="</title><b>x</b>")
