"""First run: what set-up asks, whom it lets in, and that it is gone once there is an owner."""

import re

import pytest
from sqlalchemy import func, select, update

from app import auth
from app.db import db
from app.models import Branch, Shop, SignIn, Staff, Throttle

from .factories import make_shop, make_staff

ANSWERS = {
    "name": "Lamp & Bench",
    "code": "TH",
    "country": "TH",
    "timezone": "Asia/Bangkok",
    "currency": "THB",
    "language": "en",
    "phone": "02 123 4567",
    "whatsapp": "081-234-5678",
    "address": "12 Charoen Krung Road\nBangkok 10500",
    "public_url": "https://repairs.example.com/",
    "branch_name": "Main",
    "branch_code": "MN",
    "owner_name": "Ana Souza",
    "email": "Ana@Example.com",
    "password": "three quiet lamps",
}


@pytest.fixture
def answers(app):
    """The form filled in well, with the code that the server printed."""
    return ANSWERS | {"setup_code": auth.setup_code()}


def form_again(client, form, status=422):
    """The form as it comes back, without the countries, currencies and time zones that were not chosen: the page is
    a tenth as long then, and as much quicker to read."""
    page = client.send("/setup", form, status)
    page.html = re.sub(r'<option (data-with="[^"]*" )?value="[^"]*">([^<]*</option>)?', "", page.html)
    return page


def count(table):
    return db.session.scalar(select(func.count()).select_from(table))


def typed(page):
    """What the form holds."""
    form = {}
    for field in page.one("form").find_all(["input", "select", "textarea"], attrs={"name": True}):
        if field.name == "select":
            chosen = field.find("option", selected=True)
            form[field["name"]] = chosen["value"] if chosen else ""
        elif field.name == "textarea":
            form[field["name"]] = field.get_text().replace("\r", "").removeprefix("\n")
        else:
            form[field["name"]] = field.get("value", "")
    del form["csrf_token"]
    return form


# --- the way in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["/", "/repairs", "/customers", "/settings/shop", "/login"])
def test_before_set_up_every_way_leads_to_it(anyone, url):
    seen = []
    while url != "/setup" and len(seen) < 5:
        seen.append(url)
        url = anyone.page(url, 302).location.partition("?")[0]
    assert url == "/setup", seen


def test_before_set_up_the_server_is_well_and_no_link_opens(anyone):
    anyone.page("/healthz")
    anyone.page("/robots.txt")
    anyone.page("/t/" + "a" * 22, 404)


def test_the_code_in_the_printed_address_is_filled_in(anyone):
    page = anyone.page("/setup?code=ABCD-EF01-2345")
    assert typed(page)["setup_code"] == "ABCD-EF01-2345"


@pytest.mark.parametrize(
    "address", ["http://localhost:8000", "http://192.168.1.20:8000", "http://shop.lan", "https://repairs.example.com"]
)
def test_the_address_in_use_is_proposed_as_the_public_one(anyone, address):
    assert typed(anyone.page("/setup", base_url=address))["public_url"] == address


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://localhost:8000", "Only this machine can open this address"),
        ("http://192.168.1.20:8000", "Only phones in the shop’s own network"),
        ("https://repairs.example.com", ""),
    ],
)
def test_an_address_that_customers_cannot_open_is_said_to_be_one_and_stops_nothing(anyone, answers, address, said):
    def warned(page):
        return [line for line in page.all("[data-about=public_url]") if line.get_text().strip().startswith(said)]

    assert len(warned(anyone.page("/setup", base_url=address))) == bool(said)
    assert len(warned(anyone.send("/setup", answers | {"public_url": address, "name": ""}, 422))) == bool(said)
    assert not anyone.send("/setup", answers | {"public_url": "localhost"}, 422).all("[data-about]")
    anyone.send("/setup", answers | {"public_url": address})


# --- what a country brings along ----------------------------------------------------------------

BRITAIN = ("GB", "GBP", "Europe/London")


@pytest.mark.parametrize(
    ("accepts", "proposed"),
    [
        ("de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", ("DE", "EUR", "Europe/Berlin")),
        ("de;q=0.9,de-AT;q=0.8", ("AT", "EUR", "Europe/Vienna")),
        ("en-US,en;q=0.5", ("US", "USD", "America/New_York")),
        ("pt-br", ("BR", "BRL", "America/Sao_Paulo")),
        ("zh-Hant-TW,zh;q=0.9", ("TW", "TWD", "Asia/Taipei")),
        ("sq-XK", ("XK", "EUR", "Europe/Belgrade")),
        ("dz-BT", ("BT", "BTN", "Asia/Thimphu")),
        # A browser that names no country with its own language, as Firefox's does not, says nothing by the others.
        ("de,en-US;q=0.7,en;q=0.3", BRITAIN),
        ("es-419,es;q=0.9", BRITAIN),
        ("en-XX", BRITAIN),
        ("*", BRITAIN),
        ("-,;q=x,de_DE,i-klingon", BRITAIN),
        ("", BRITAIN),
    ],
)
def test_the_country_that_the_browser_names_is_proposed_with_its_money_and_time(anyone, accepts, proposed):
    form = typed(anyone.page("/setup", headers={"Accept-Language": accepts}))
    assert (form["country"], form["currency"], form["timezone"]) == proposed


def test_every_country_brings_a_currency_and_a_time_zone_that_can_be_chosen(anyone):
    page = anyone.page("/setup")
    assert page.one("#country")["data-brings"] == "currency timezone"
    currencies = {option["value"] for option in page.all("#currency option")}
    zones = {option["value"] for option in page.all("#zones option")}
    brought = {option["value"]: option["data-with"].split(" ") for option in page.all("#country option")}
    assert len(brought) > 240
    assert {currency for currency, _ in brought.values()} <= currencies
    assert {zone for _, zone in brought.values()} <= zones
    assert brought["DE"] == ["EUR", "Europe/Berlin"]
    assert brought["ES"] == ["EUR", "Europe/Madrid"]
    assert brought["PA"] == ["PAB", "America/Panama"]
    assert sum(len(" ".join(each)) + len(' data-with=""') for each in brought.values()) < 10_000


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("Berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("SÃO PAULO", "America/Sao_Paulo"),
        # Its older name is not in the way.
        ("Buenos Aires", "America/Argentina/Buenos_Aires"),
        ("europe/lisbon", "Europe/Lisbon"),
    ],
)
def test_a_time_zone_may_be_called_by_its_town(anyone, answers, written, zone):
    assert typed(anyone.send("/setup", answers | {"timezone": written, "name": ""}, 422))["timezone"] == zone
    anyone.send("/setup", answers | {"timezone": written})
    assert db.session.get_one(Shop, 1).timezone == zone


def test_set_up_asks_for_every_field_under_its_own_label(anyone):
    page = anyone.page("/setup")
    for name in {*ANSWERS, "setup_code"}:
        field = page.one(f"form [name={name}]")
        assert page.one(f"label[for={field['id']}]").get_text(strip=True)
    assert page.one("[name=password]")["type"] == "password"
    assert page.one("[name=email]")["type"] == "email"


# --- done well ----------------------------------------------------------------------------------


def test_the_shop_opens_as_it_was_described(anyone, answers):
    assert anyone.send("/setup", answers).location == "/repairs"
    shop = db.session.get_one(Shop, 1)
    assert (shop.name, shop.code) == ("Lamp & Bench", "TH")
    assert (shop.country, shop.timezone, shop.currency) == ("TH", "Asia/Bangkok", "THB")
    assert (shop.phone, shop.whatsapp) == ("+6621234567", "+66812345678")
    assert shop.address == "12 Charoen Krung Road\nBangkok 10500"
    assert shop.public_url == "https://repairs.example.com"
    assert shop.link_days == 90
    branch = db.session.scalars(select(Branch)).one()
    assert (branch.name, branch.code, branch.phone) == ("Main", "MN", "")
    owner = db.session.scalars(select(Staff)).one()
    assert (owner.name, owner.email, owner.role, owner.active) == ("Ana Souza", "ana@example.com", "owner", True)
    assert "lamps" not in owner.password_hash


def test_the_owner_is_signed_in_at_once_and_told_what_to_do(anyone, answers):
    board = anyone.page(anyone.send("/setup", answers).location)
    assert board.one("#said").get_text(strip=True)
    assert board.one("#results .empty a")["href"] == "/repairs/new"


def test_the_owner_can_sign_in_again_later(app, anyone, answers):
    anyone.send("/setup", answers)
    app.test_client().send("/login", {"email": "ana@example.com", "password": ANSWERS["password"]})


def test_whatsapp_is_the_phone_unless_told_otherwise(anyone, answers):
    hint = anyone.page("/setup").one("#whatsapp-hint").get_text(strip=True)
    assert hint == "Empty: the same as the phone."
    anyone.send("/setup", answers | {"whatsapp": ""})
    assert db.session.get_one(Shop, 1).whatsapp == "+6621234567"


def test_a_phone_belongs_to_the_country_that_the_form_names(anyone, answers):
    anyone.send("/setup", answers | {"country": "PT", "phone": "912 345 678", "whatsapp": "+44 20 7946 0018"})
    shop = db.session.get_one(Shop, 1)
    assert (shop.phone, shop.whatsapp) == ("+351912345678", "+442079460018")


def test_codes_are_capitals_however_they_are_typed(anyone, answers):
    anyone.send("/setup", answers | {"code": "lb", "branch_code": "rV"})
    assert db.session.get_one(Shop, 1).code == "LB"
    assert db.session.scalars(select(Branch)).one().code == "RV"


@pytest.mark.parametrize("change", [str.lower, lambda code: code.replace("-", ""), lambda code: f"  {code} "])
def test_the_code_may_be_typed_in_any_way(anyone, answers, change):
    anyone.send("/setup", answers | {"setup_code": change(answers["setup_code"])})


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["", "0000-0000-0000", "ÄÖÜ", "\x00"])
def test_without_the_code_nobody_sets_up_a_shop(anyone, answers, code):
    page = form_again(anyone, answers | {"setup_code": code}, 403)
    assert page.one("#setup_code")["aria-invalid"] == "true"
    assert page.one("#setup_code-error[role=alert]").get_text(strip=True)
    assert count(Shop) == count(Staff) == count(SignIn) == 0
    held = typed(page)
    for name in ("name", "phone", "address", "email"):
        assert held[name] == ANSWERS[name]


def test_after_twenty_wrong_codes_that_address_waits(anyone, answers):
    wrong = answers | {"setup_code": "0000-0000-0000"}
    anyone.send("/setup", wrong, 403)
    db.session.execute(update(Throttle).values(count=19))
    # A mistake in the form is no wrong code.
    anyone.send("/setup", answers | {"phone": ""}, 422)
    anyone.send("/setup", wrong, 403)
    anyone.send("/setup", answers, 429)
    assert count(Shop) == 0
    anyone.send("/setup", answers, environ_base={"REMOTE_ADDR": "192.168.1.7"})


WRONG = [
    ("name", ""),
    ("name", "x" * 81),
    ("code", "T"),
    ("code", "T1"),
    ("code", "ทศ"),
    ("code", ""),
    ("country", "XX"),
    ("country", ""),
    ("timezone", "Atlantis"),
    ("timezone", "Eastern"),
    ("timezone", ""),
    ("currency", "XXX"),
    ("phone", ""),
    ("phone", "call me"),
    ("phone", "12"),
    ("whatsapp", "12"),
    ("address", "x" * 301),
    ("public_url", ""),
    ("public_url", "repairs.example.com"),
    ("public_url", "javascript:alert(1)"),
    ("public_url", "https://[example"),
    ("public_url", "https://repairs.example.com/shop"),
    ("branch_name", ""),
    ("branch_code", "123"),
    ("owner_name", ""),
    ("email", "ana"),
    ("email", ""),
    ("password", ""),
    ("password", "short"),
    ("password", "password1234"),
    ("password", "Lamp & Bench 1"),
    ("password", "ana@example.com1"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_mistake_is_said_by_its_field_and_nothing_else_is_lost(anyone, answers, name, value):
    page = form_again(anyone, answers | {name: value})
    assert count(Shop) == 0
    # Without its country, a number is none either.
    also = {"phone", "whatsapp"} if name == "country" else set()
    assert [field["name"] for field in page.all("[aria-invalid=true]") if field["name"] not in also] == [name]
    field = page.one(f"[name={name}]")
    assert page.one(f"#{name}-error").get_text(strip=True)
    assert f"{name}-error" in field["aria-describedby"].split()
    assert page.all("[autofocus]")[0]["name"] == name
    sent = answers | {name: value.upper() if name.endswith("code") else value}
    # A choice that does not exist cannot be shown again, and a password is never sent back.
    sent |= dict.fromkeys({"country", "currency"} & {name} | {"password"}, "")
    assert typed(page) == sent


def test_every_mistake_is_said_at_once_and_the_first_has_the_focus(anyone, answers):
    page = form_again(anyone, {"setup_code": answers["setup_code"]})
    invalid = [field["name"] for field in page.all("[aria-invalid=true]")]
    assert set(invalid) == ANSWERS.keys() - {"whatsapp", "address", "language"}
    assert page.all("[autofocus]")[0]["name"] == invalid[0]


# --- gone ---------------------------------------------------------------------------------------


def test_set_up_is_gone_once_the_shop_is_open(app, anyone, answers):
    anyone.send("/setup", answers)
    stranger = app.test_client()
    for browser in (anyone, stranger):
        browser.page("/setup", 404)
        browser.page(f"/setup?code={answers['setup_code']}", 404)
        browser.send("/setup", answers | {"name": "Mine now", "email": "eve@example.com"}, 404)
    assert (count(Shop), count(Branch), count(Staff)) == (1, 1, 1)
    assert db.session.get_one(Shop, 1).name == "Lamp & Bench"


def test_set_up_does_not_come_back_when_the_last_owner_is_gone(anyone, answers):
    make_shop()
    make_staff("owner", active=False)
    anyone.send("/setup", answers, 404)


def test_a_browser_without_script_is_offered_the_codes_too(anyone, answers):
    named = {"name": "Élan Vélo", "code": "", "branch_name": "Main Street", "branch_code": ""}
    page = anyone.send("/setup", answers | named, 422)
    assert [page.one(field)["placeholder"] for field in ("#code", "#branch_code")] == ["EV", "MS"]
