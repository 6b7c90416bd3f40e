"""Settings and accounts: the shop, its branches, its staff, one's own password. All but the last are the owner's."""

import re

import pytest
from sqlalchemy import func, select

from app.db import db
from app.models import Activity, Branch, Repair

from .conftest import POSTGRESQL
from .factories import branch, make_branch, make_customer, make_repair, make_staff

NEW_PASSWORD = "four louder lamps"


def count(table):
    return db.session.scalar(select(func.count()).select_from(table))


def record():
    """What the shop's own record says of its settings."""
    deeds = ("shop_changed", "branch_added", "branch_changed")
    return db.session.scalars(select(Activity).where(Activity.kind.in_(deeds)).order_by(Activity.id)).all()


def shown(page):
    """What the page's form holds, as a browser would send it."""
    form = {}
    for field in page.all("main form[method=post] [name]"):
        if field.name == "select":
            chosen = field.select_one("option[selected]")
            form[field["name"]] = chosen["value"] if chosen else ""
        elif field.name == "textarea":
            form[field["name"]] = field.get_text().replace("\r", "").removeprefix("\n")
        elif field.get("type") != "checkbox":
            form[field["name"]] = field.get("value", "")
        elif field.has_attr("checked"):
            form[field["name"]] = field["value"]
    return form


def lean(page):
    """Without the countries, currencies and time zones that were not chosen: most of the page."""
    page.html = re.sub(r'<option value="[^"]*">([^<]*</option>)?', "", page.html)
    return page


# --- who may ------------------------------------------------------------------------------------

PAGES = [
    "/settings/shop",
    "/settings/page",
    "/settings/branches",
    "/settings/branches/new",
    "/settings/branches/1",
    "/settings/staff",
    "/settings/staff/new",
    "/settings/staff/1",
]


@pytest.mark.parametrize("role", ["manager", "technician", "front_desk"])
def test_the_settings_are_the_owner_s_and_everyone_else_is_told_so(request, role):
    client = request.getfixturevalue(role)
    for url in PAGES:
        page = client.page(url, 403)
        assert "Only an owner may change the settings." in page.one("[role=alert]").get_text()
        if not url.endswith(("branches", "staff")):
            client.send(url, {"name": "Mine now", "role": "owner"}, 403)
    assert not client.page("/repairs").all('header.top a[href^="/settings"]')
    assert client.staff.role == role


def test_the_owner_finds_the_settings_in_the_menu(owner):
    page = owner.page(owner.page("/repairs").one('header.top a[href^="/settings"]')["href"])
    assert [tab["href"] for tab in page.all("#tabs a")] == [
        "/settings/shop",
        "/settings/page",
        "/settings/branches",
        "/settings/paper",
        "/settings/staff",
    ]
    assert page.one("#tabs a[aria-current=page]")["href"] == "/settings/shop"
    assert owner.page("/settings", 302).location == "/settings/shop"


# --- the shop -----------------------------------------------------------------------------------


def test_the_form_holds_the_shop_as_it_is(owner):
    form = shown(owner.page("/settings/shop"))
    assert form.keys() - {"csrf_token"} == {
        "name", "country", "currency", "timezone", "phone", "whatsapp", "address", "public_url", "link_days",
        "language", "seen",
    }  # fmt: skip
    assert (form["name"], form["phone"], form["whatsapp"]) == ("Lamp & Bench", "02 123 4567", "081 234 5678")
    assert (form["country"], form["currency"], form["timezone"]) == ("TH", "THB", "Asia/Bangkok")
    assert form["address"] == "12 Charoen Krung Road\nBangkok 10500"
    assert (form["public_url"], form["link_days"]) == ("https://repairs.example.com", "90")


def test_saving_the_shop_as_it_is_keeps_it(owner, shop):
    before = {column.name: getattr(shop, column.name) for column in shop.__table__.columns}
    form = shown(owner.page("/settings/shop"))
    assert owner.send("/settings/shop", form).location == "/settings/shop"
    after = {column.name: getattr(shop, column.name) for column in shop.__table__.columns}
    assert after == before | {"version": before["version"] + 1}


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite lets one write at a time")
def test_of_two_who_save_at_once_each_is_counted(owner, shop, meanwhile):
    """Open pages know the shop by its version: two changes must not pass for one."""
    before, form = shop.version, shown(owner.page("/settings/shop"))
    form["csrf_token"] = owner.csrf_token()
    meanwhile(["UPDATE shop SET version = version + 1"], lambda: owner.post("/settings/shop", data=form))
    db.session.expire_all()
    assert shop.version == before + 2


def test_everything_of_the_shop_but_its_code_can_be_changed(owner, shop):
    changes = {
        "name": "Lampe & Banc",
        "country": "FR",
        "currency": "EUR",
        "language": "en",
        "timezone": "Europe/Paris",
        "phone": "01 23 45 67 89",
        "whatsapp": "",
        "address": "",
        "public_url": "http://192.168.1.20:8000",
        "link_days": "0",
    }
    owner.send("/settings/shop", changes | {"code": "XX", "version": "9", "id": "2"})
    assert (shop.name, shop.country, shop.currency, shop.timezone) == ("Lampe & Banc", "FR", "EUR", "Europe/Paris")
    assert (shop.phone, shop.whatsapp, shop.address) == ("+33123456789", "", "")
    assert (shop.public_url, shop.link_days) == ("http://192.168.1.20:8000", 0)
    assert (shop.code, shop.id, shop.version) == ("TH", 1, 2)
    assert lean(owner.page("/settings/shop")).one("#shop-code").has_attr("disabled")


@pytest.mark.parametrize(
    ("address", "warns"),
    [
        ("http://localhost:8000", "this machine"),
        ("http://192.168.1.20", "own network"),
        ("http://shop.local", "own network"),
        ("https://repairs.example.com", ""),
    ],
)
def test_an_address_that_customers_cannot_open_is_warned_of(owner, shop, address, warns):
    shop.public_url = address
    warnings = lean(owner.page("/settings/shop")).all(".warning")
    assert len(warnings) == bool(warns)
    assert not warns or warns in warnings[0].get_text()


SHOP = {
    "name": "Typed",
    "country": "TH",
    "currency": "THB",
    "language": "en",
    "timezone": "Asia/Bangkok",
    "phone": "02 123 4567",
    "whatsapp": "",
    "address": "Somewhere\nelse",
    "public_url": "https://repairs.example.com",
    "link_days": "30",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", "x" * 81),
        ("country", "XX"),
        ("currency", ""),
        ("timezone", "Mars/Base"),
        ("phone", ""),
        ("phone", "123"),
        ("whatsapp", "call me"),
        ("address", "x" * 301),
        ("public_url", "repairs.example.com"),
        ("public_url", "https://repairs.example.com/x"),
        ("public_url", "//["),
        ("link_days", ""),
        ("link_days", "-1"),
        ("link_days", "3651"),
        ("link_days", "soon"),
        # As many digits as no float can hold.
        ("link_days", "9" * 400),
    ],
)
def test_a_mistake_in_the_shop_s_settings_changes_nothing_and_loses_nothing(owner, shop, name, value):
    form = SHOP | {name: value}
    page = lean(owner.send("/settings/shop", form, 422))
    also = {"phone", "whatsapp"} if name == "country" else set()
    assert [field["name"] for field in page.all("[aria-invalid=true]") if field["name"] not in also] == [name]
    assert page.one(f"#{name}-error").get_text(strip=True)
    assert page.all("[autofocus]")[0]["name"] == name
    kept = shown(page)
    for other in form.keys() - {name, "csrf_token"}:
        assert kept[other] == form[other], other
    assert shop.name == "Lamp & Bench"


# --- branches -----------------------------------------------------------------------------------


def test_the_branches_are_listed_with_their_repairs(owner):
    branch("RV").phone = "+6629999999"
    make_repair(branch="MN")
    lines = [" ".join(line.get_text(" ").split()) for line in owner.page("/settings/branches").all(".rows li")]
    assert lines == ["MN Main the shop’s phone 1 repair", "RV Riverside 02 999 9999 0 repairs"]


def test_a_branch_is_added_with_its_own_contact_and_takes_repairs_in(owner):
    form = {
        "name": "Airport",
        "code": "ap",
        "phone": "02 888 8888",
        "whatsapp": "+351 912 345 678",
        "address": "Gate 3",
    }
    assert owner.send("/settings/branches/new", form, on="/settings/branches/new").location == "/settings/branches"
    new = branch("AP")
    assert (new.name, new.phone, new.whatsapp, new.address) == ("Airport", "+6628888888", "+351912345678", "Gate 3")
    assert make_repair(branch=new).code == "TH-AP-R0001"


def test_a_branch_is_changed_but_for_its_code(owner, shop):
    river = branch("RV")
    make_repair(branch="RV")
    owner.page(f"/settings/branches/{river.id}").one("#branch-code[disabled]")
    form = {
        "name": "Pier",
        "code": "XX",
        "phone": "",
        "whatsapp": "",
        "address": "Pier 3",
        "next_number": "1",
        "id": "9",
    }
    owner.send(f"/settings/branches/{river.id}", form)
    assert (river.name, river.code, river.address, river.next_number) == ("Pier", "RV", "Pier 3", 2)
    assert shop.version == 2, "open tracking pages show the branch"


@pytest.mark.parametrize("place", ["shop", "branch"])
@pytest.mark.parametrize(
    ("before", "typed", "after"),
    [
        ("+6621234567", {}, "+6628888888"),
        ("+6621234567", {"whatsapp": "081 234 5678"}, "+66812345678"),
        ("+6621234567", {"whatsapp": ""}, ""),
        ("+66812345678", {}, "+66812345678"),
        ("+66812345678", {"whatsapp": "02 123 4567"}, "+6621234567"),
        ("", {}, ""),
    ],
)
def test_whatsapp_on_the_phone_s_number_goes_with_the_phone(owner, shop, place, before, typed, after):
    row = shop if place == "shop" else branch("RV")
    address = "/settings/shop" if place == "shop" else f"/settings/branches/{row.id}"
    row.phone, row.whatsapp = "+6621234567", before
    page = owner.page(address)
    assert "it changes with the phone" in page.one("#whatsapp-hint").get_text()
    owner.send(address, shown(page) | {"phone": "02 888 8888"} | typed)
    assert (row.phone, row.whatsapp) == ("+6628888888", after)


def test_a_branch_that_gives_up_its_phone_gives_up_the_same_number_s_whatsapp(owner):
    river = branch("RV")
    river.phone = river.whatsapp = "+6629999999"
    address = f"/settings/branches/{river.id}"
    owner.send(address, shown(owner.page(address)) | {"phone": ""})
    assert (river.phone, river.whatsapp) == ("", "")


def test_a_branch_can_give_up_its_own_contact(owner):
    river = branch("RV")
    river.phone, river.whatsapp, river.address = "+6629999999", "+66899999999", "Pier 3"
    form = shown(owner.page(f"/settings/branches/{river.id}"))
    assert (form["phone"], form["whatsapp"], form["address"]) == ("02 999 9999", "089 999 9999", "Pier 3")
    owner.send(f"/settings/branches/{river.id}", form | {"phone": "", "whatsapp": "", "address": ""})
    assert (river.phone, river.whatsapp, river.address) == ("", "", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", "Main"),
        ("name", " mAIN "),
        ("name", "x" * 81),
        ("code", ""),
        ("code", "M"),
        ("code", "M1"),
        ("code", "MN"),
        ("code", "rv"),
        ("code", "ทศ"),
        ("phone", "12"),
        ("whatsapp", "x"),
        ("address", "x" * 301),
    ],
)
def test_a_mistake_in_a_new_branch_adds_nothing_and_loses_nothing(owner, name, value):
    form = {"name": "Airport", "code": "AP", "phone": "02 888 8888", "whatsapp": "", "address": "Gate 3"} | {
        name: value
    }
    page = owner.send("/settings/branches/new", form, 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == [name]
    assert page.one(f"#{name}-error").get_text(strip=True)
    kept = shown(page)
    assert all(kept[other] == form[other] for other in form.keys() - {name})
    assert count(Branch) == 2


def test_a_branch_cannot_take_another_s_name(owner):
    page = owner.send(f"/settings/branches/{branch('RV').id}", {"name": "Main"}, 422)
    assert page.one("#name-error").get_text(strip=True)
    owner.send(f"/settings/branches/{branch('RV').id}", {"name": "Riverside"})


OFFICE = [[["09:00", "18:00"]]] * 5 + [[], []]
LUNCH = [[["09:00", "13:00"], ["14:00", "18:00"]]] * 5 + [[["10:00", "14:00"]], []]


@pytest.mark.parametrize("week", [OFFICE, LUNCH, [[["18:00", "02:00"]]] * 7, [[["00:00", "00:00"]]] * 7, [[]] * 7])
def test_the_hours_of_a_branch_are_kept_as_they_are_shown(owner, week):
    main = branch("MN")
    main.hours = week
    url = f"/settings/branches/{main.id}"
    owner.send(url, shown(owner.page(url)))
    assert main.hours == week


def test_a_branch_without_hours_is_offered_a_usual_week_and_says_nothing_until_it_is_ticked(owner):
    main = branch("MN")
    url = f"/settings/branches/{main.id}"
    form = shown(owner.page(url))
    assert "has_hours" not in form
    owner.send(url, form)
    assert main.hours == []
    owner.send(url, form | {"has_hours": "y"})
    assert main.hours == OFFICE
    form = shown(owner.page(url))
    owner.send(url, form | {"has_hours": "y", "has_break": "y", "saturday-open": "y", "saturday-closes": "12.30 pm"})
    assert main.hours == [[["09:00", "13:00"], ["14:00", "18:00"]]] * 5 + [[["09:00", "12:30"]], []], "no break by then"


def test_the_list_says_what_customers_read_of_the_hours(owner, clock):
    branch("RV").hours = [[]] * 7
    rows = owner.page("/settings/branches").all(".rows li")
    assert ["Closed at present" in row.get_text() for row in rows] == [False, True]


@pytest.mark.parametrize(
    ("changes", "wrong", "says"),
    [
        ({"monday-opens": ""}, "monday-opens", "When does it open?"),
        ({"monday-closes": "late"}, "monday-closes", "Write the time as 09:00."),
        ({"friday-closes": "09:00"}, "friday-closes", "It closes at the time it opens."),
        ({"has_break": "y", "tuesday-pauses": ""}, "tuesday-pauses", "When does the break begin?"),
        ({"has_break": "y", "tuesday-resumes": ""}, "tuesday-resumes", "When does the break end?"),
        ({"has_break": "y", "tuesday-pauses": "17:00", "tuesday-resumes": "20:00"}, "tuesday-pauses", "The break is"),
        (
            {"monday-closes": "10:00", "monday-opens": "20:00"},
            "tuesday-opens",
            "It opens before the hours",
        ),
    ],
)
def test_hours_that_cannot_be_are_told_and_nothing_is_lost(owner, changes, wrong, says):
    main = branch("MN")
    url = f"/settings/branches/{main.id}"
    form = shown(owner.page(url)) | {"has_hours": "y", "name": "Typed"} | changes
    page = owner.send(url, form, 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == [wrong]
    assert page.one(f"#{wrong}-error").get_text(strip=True).startswith(says)
    kept = shown(page)
    assert all(kept[name] == value for name, value in form.items() if name != "csrf_token")
    assert (main.name, main.hours) == ("Main", [])


def test_what_is_changed_of_the_shop_and_its_branches_is_in_the_record(owner, shop):
    main = branch("MN")
    url = f"/settings/branches/{main.id}"
    owner.send(url, shown(owner.page(url)) | {"phone": "02 888 8888", "has_hours": "y"})
    owner.send(url, shown(owner.page(url)))
    owner.send("/settings/branches/new", {"name": "Airport", "code": "AP"})
    owner.send("/settings/shop", shown(owner.page("/settings/shop")) | {"name": "Lampe & Banc", "link_days": "9"})
    assert [(line.kind, line.subject, line.branch_id, line.text, line.staff_id) for line in record()] == [
        ("branch_changed", f"branch {main.id}", main.id, "phone, opening hours", owner.staff_id),
        ("branch_added", f"branch {branch('AP').id}", branch("AP").id, "Airport", owner.staff_id),
        ("shop_changed", "", None, "name, days until links end", owner.staff_id),
    ]


def test_what_does_not_exist_is_not_found(owner):
    for number in ("99", "0", "2147483648", "99999999999999999999", "x"):
        owner.page(f"/settings/branches/{number}", 404)


# --- a shop in another country ------------------------------------------------------------------


def test_numbers_and_prices_follow_the_shop_s_country(owner, shop):
    shop.country, shop.currency = "DE", "EUR"
    make_branch(code="BE")
    customer = make_customer(phone="+4930123456")
    repair = make_repair(customer=customer, estimate=123450)
    page = owner.page(f"/repairs/{repair.code}")
    assert page.one('.page-head a[href="tel:+4930123456"]').get_text() == "030 123456"
    assert "€" in page.one("section[aria-labelledby=details-title]").get_text()


def in_currency(owner, code, status=303):
    """Saves another currency through the settings."""
    return owner.send("/settings/shop", shown(owner.page("/settings/shop")) | {"currency": code}, status)


def estimates():
    return list(db.session.scalars(select(Repair.estimate).order_by(Repair.id)))


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        ("JPY", "USD", [12000, 0, None], [1200000, 0, None]),
        ("THB", "JPY", [123449, 123450, 123550, 50, 49, None], [1234, 1235, 1236, 1, 0, None]),
        ("KWD", "USD", [12344, 12345, 5, 4], [1234, 1235, 1, 0]),
        ("USD", "KWD", [12345], [123450]),
        ("KWD", "JPY", [12499, 12500], [12, 13]),
        ("JPY", "KWD", [10**9], [10**12]),
    ],
)
def test_estimates_keep_their_figures_in_another_currency(owner, shop, old, new, before, after):
    """As the hint by the field says: 12,000 yen are no 120 dollars."""
    shop.currency = old
    for estimate in before:
        make_repair(estimate=estimate)
    version = shop.version
    in_currency(owner, new)
    assert (shop.currency, estimates()) == (new, after)
    assert shop.version == version + 1
    assert [line.text for line in record()] == ["currency"]


def test_a_price_reads_the_same_once_the_currency_is_another(owner, shop):
    shop.country, shop.currency = "US", "JPY"
    repair = make_repair(estimate=12000, status="delivered")
    pages = (f"/repairs/{repair.code}", f"/repairs/{repair.code}/receipt", f"/customers/{repair.customer_id}")
    assert all("¥12,000" in owner.page(page).text for page in pages)
    in_currency(owner, "USD")
    assert all("$12,000.00" in owner.page(page).text for page in pages)


def test_a_currency_with_as_many_decimals_writes_no_repair(owner, shop, statements):
    repair = make_repair(estimate=12345)
    version = repair.version
    statements.clear()
    in_currency(owner, "EUR")
    assert not [said for said in statements if said.startswith("UPDATE repair")]
    assert (repair.estimate, repair.version) == (12345, version)


def test_other_settings_write_no_repair(owner, shop, statements):
    make_repair(estimate=12345)
    statements.clear()
    owner.send("/settings/shop", shown(owner.page("/settings/shop")) | {"name": "Lamp"})
    owner.send("/settings/page", {"ready": "Come by!", "show": ["item"]})
    assert not [said for said in statements if said.startswith("UPDATE repair")]
    assert estimates() == [12345]


def test_all_estimates_are_written_in_one_go(owner, shop, statements):
    for estimate in (100, 200, 300):
        make_repair(estimate=estimate)
    statements.clear()
    in_currency(owner, "JPY")
    assert len([said for said in statements if said.startswith("UPDATE repair")]) == 1


def test_an_estimate_that_would_be_too_large_is_named_by_the_field_and_nothing_is_changed(owner, shop):
    shop.country, shop.currency = "JP", "JPY"
    make_repair(estimate=5)
    huge = make_repair(estimate=10**10 + 1)
    page = in_currency(owner, "USD", 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == ["currency"]
    said = page.one("#currency-error").get_text()
    assert said == f"The estimate of {huge.code} is too large for this currency: JP¥10,000,000,001. Lower it first."
    assert shown(page)["currency"] == "USD", "what was chosen stays chosen"
    assert (shop.currency, estimates(), record()) == ("JPY", [5, 10**10 + 1], [])
    huge.estimate = 10**10
    in_currency(owner, "USD")
    assert estimates() == [500, 10**12]
    # It can still be typed.
    form = shown(owner.page(f"/repairs/{huge.code}/edit")) | {"serial": "1"}
    owner.send(f"/repairs/{huge.code}/edit", form)
    assert estimates() == [500, 10**12]


def test_a_form_with_the_old_figures_in_it_is_outdated(owner, shop):
    """12.500 dinars would be read as 12,500 dollars."""
    shop.currency = "KWD"
    repair = make_repair(estimate=12500, by=make_staff("manager", name="Ana"))
    url = f"/repairs/{repair.code}/edit"
    form = shown(owner.page(url))
    assert form["estimate"] == "12.500"
    in_currency(owner, "USD")
    # Left alone it is what is saved now; typed, it is said what is.
    assert shown(owner.send(url, form, 409))["estimate"] == "12.50"
    page = owner.send(url, form | {"estimate": "13.000"}, 409)
    said = page.one("[role=alert]").get_text()
    assert "Price estimate: 12.50" in said
    assert said.startswith(f"{owner.staff.name} changed this repair"), "and not Ana, who did the last thing to it"
    assert estimates() == [1250]


def test_a_customer_s_page_does_not_change_with_the_currency_and_its_answer_is_new(owner, anyone, shop):
    repair = make_repair(estimate=12300)
    url, public = f"/t/{repair.token}", repair.public_version
    before = anyone.page(url)
    tag = {"If-None-Match": before.headers["ETag"]}
    anyone.page(url, 304, headers=tag)
    in_currency(owner, "JPY")
    assert repair.public_version == public
    after = anyone.page(url, headers=tag)
    assert (after.text, "123" in after.one("#details").get_text()) == (before.text, False)


@pytest.mark.parametrize(
    "url", ["http://[::::]", "http://exam℀ple.com", "http://a;b", "http://%41", "http://1.2.3.4.5"]
)
def test_an_address_that_no_browser_could_open_is_refused(owner, url):
    shop = owner.page("/settings/shop")
    form = {field["name"]: field.get("value", "") for field in shop.all("form.stack input[name]")}
    form |= {"country": "TH", "currency": "THB", "public_url": url}
    del form["csrf_token"]
    assert owner.send("/settings/shop", form, 422).one("#public_url-error")
    owner.page("/settings/shop")


def test_a_branch_cannot_be_named_like_another_in_capitals_of_any_alphabet(owner, shop):
    make_branch(name="Ärger")
    page = owner.send("/settings/branches/new", {"name": "ÄRGER", "code": "ZZ"}, 422)
    assert page.one("#name-error")
