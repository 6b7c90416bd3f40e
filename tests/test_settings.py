"""Settings and accounts: the shop, its branches, its staff, one's own password. All but the last are the owner's."""

import re

import pytest
from sqlalchemy import func, select

from app.db import db
from app.models import Activity, Branch, Staff

from .factories import PASSWORD, branch, make_branch, make_customer, make_repair, make_staff

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


def test_everything_of_the_shop_but_its_code_can_be_changed(owner, shop):
    changes = {
        "name": "Lampe & Banc",
        "country": "FR",
        "currency": "EUR",
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
        ("link_days", "9" * 30),
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
        ({"monday-closes": "10:00", "monday-opens": "20:00"}, "tuesday-opens", "It opens before Monday’s hours"),
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
        owner.page(f"/settings/staff/{number}", 404)


# --- staff --------------------------------------------------------------------------------------

NEW = {"name": "Narin", "email": "Narin@Example.com", "role": "technician", "branch": "0", "password": NEW_PASSWORD}


def person(email="narin@example.com"):
    return db.session.scalars(select(Staff).where(Staff.email == email)).one()


def test_everyone_is_listed_with_role_and_branch(owner):
    make_staff("technician", name="Narin", branch_id=branch("RV").id)
    make_staff("manager", name="Left", active=False)
    lines = [" ".join(line.get_text(" ").split()) for line in owner.page("/settings/staff").all(".rows li")]
    assert lines[-1].startswith("Left")
    assert "Manager, may not sign in" in lines[-1]
    narin = next(line for line in lines if line.startswith("Narin"))
    assert narin.endswith("Technician Riverside")


@pytest.mark.parametrize("role", ["owner", "manager", "technician", "front_desk"])
def test_a_person_is_added_with_a_first_password_and_can_sign_in(app, owner, role):
    form = NEW | {"role": role, "branch": str(branch("RV").id)}
    assert owner.send("/settings/staff/new", form, on="/settings/staff/new").location == "/settings/staff"
    narin = person()
    assert (narin.name, narin.role, narin.branch.code, narin.active) == ("Narin", role, "RV", True)
    app.test_client().sign_in(narin, NEW_PASSWORD).page("/repairs")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("name", "x" * 81),
        ("email", ""),
        ("email", "narin"),
        ("email", "TAKEN@example.com"),
        ("role", "boss"),
        ("role", ""),
        ("branch", "99"),
        ("branch", "x"),
        ("branch", "0"),
        ("password", ""),
        ("password", "short"),
        ("password", "narin@example.com"),
        ("password", "password12345"),
        ("password", "Lamp & Bench 1"),
    ],
)
def test_a_mistake_in_a_new_person_adds_nobody_and_loses_nothing(owner, name, value):
    make_staff("manager", email="taken@example.com")
    form = NEW | {"branch": str(branch("RV").id)}
    before = count(Staff)
    page = owner.send("/settings/staff/new", form | {name: value}, 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == [name]
    assert page.one(f"#{name}-error").get_text(strip=True)
    kept = shown(page)
    assert all(kept[other] == form[other] for other in form.keys() - {name, "password"})
    assert kept["password"] == "", "a password is never sent back"
    assert count(Staff) == before


def as_it_is(client, staff):
    return shown(client.page(f"/settings/staff/{staff.id}"))


def test_saving_a_person_as_they_are_keeps_them_and_their_session(app, owner):
    narin = make_staff("technician", branch_id=branch("RV").id)
    browser = app.test_client().sign_in(narin)
    before = {column.name: getattr(narin, column.name) for column in Staff.__table__.columns}
    owner.send(f"/settings/staff/{narin.id}", as_it_is(owner, narin))
    assert {column.name: getattr(narin, column.name) for column in Staff.__table__.columns} == before
    browser.page("/account")


def test_a_person_s_name_email_role_and_branch_can_be_changed(owner):
    narin = make_staff("technician")
    changes = {"name": "Narin S", "email": "NS@example.com", "role": "manager", "branch": str(branch("MN").id)}
    owner.send(f"/settings/staff/{narin.id}", as_it_is(owner, narin) | changes)
    assert (narin.name, narin.email, narin.role, narin.branch.code) == ("Narin S", "ns@example.com", "manager", "MN")


def test_a_password_set_by_the_owner_ends_that_person_s_sessions(app, owner):
    narin = make_staff("technician")
    browsers = [app.test_client().sign_in(narin) for _ in range(2)]
    owner.send(f"/settings/staff/{narin.id}", as_it_is(owner, narin) | {"password": NEW_PASSWORD})
    for browser in browsers:
        browser.page("/account", 302)
    app.test_client().send("/login", {"email": narin.email, "password": PASSWORD}, 422)
    app.test_client().sign_in(narin, NEW_PASSWORD)
    owner.page("/account")


def test_an_owner_who_sets_their_own_password_stays_signed_in_here_alone(app, owner):
    there = app.test_client().sign_in(owner.staff)
    owner.send(f"/settings/staff/{owner.staff_id}", as_it_is(owner, owner.staff) | {"password": NEW_PASSWORD})
    owner.page("/account")
    there.page("/account", 302)


@pytest.mark.parametrize("changes", [{"role": "manager"}, {"active": None}, {"role": "front_desk", "active": None}])
def test_the_last_owner_cannot_give_the_shop_away(owner, changes):
    changes = {"branch": str(branch("MN").id)} | changes
    make_staff("owner", active=False)
    form = as_it_is(owner, owner.staff) | changes
    page = owner.send(f"/settings/staff/{owner.staff_id}", {k: v for k, v in form.items() if v is not None}, 422)
    assert "needs an owner" in page.one(".alert[role=alert]").get_text()
    assert (owner.staff.role, owner.staff.active) == ("owner", True)


def test_one_of_two_owners_can_step_down_and_then_no_more(owner):
    ana = make_staff("owner")
    form = {k: v for k, v in as_it_is(owner, ana).items() if k != "active"}
    owner.send(f"/settings/staff/{ana.id}", form)
    assert not ana.active
    owner.send(f"/settings/staff/{owner.staff_id}", as_it_is(owner, owner.staff) | {"role": "manager"}, 422)


def test_an_owner_who_steps_down_is_out_of_the_settings_at_once(owner):
    make_staff("owner")
    changes = {"role": "technician", "branch": str(branch("MN").id)}
    owner.send(f"/settings/staff/{owner.staff_id}", as_it_is(owner, owner.staff) | changes)
    owner.page("/settings/shop", 403)


def test_somebody_who_left_keeps_their_name_in_the_history(owner):
    narin = make_staff("owner", name="Narin")
    repair = make_repair(by=narin)
    owner.send(f"/settings/staff/{narin.id}", {k: v for k, v in as_it_is(owner, narin).items() if k != "active"})
    assert "Narin" in owner.page(f"/repairs/{repair.code}").one("#history").get_text()


# --- one's own account --------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "manager", "technician", "front_desk"])
def test_everyone_changes_their_own_password(app, request, role):
    client = request.getfixturevalue(role)
    form = {"current": PASSWORD, "password": NEW_PASSWORD}
    answer = client.send("/account", form, on="/account")
    assert "Password changed" in client.page(answer.location).one("#said").get_text()
    app.test_client().send("/login", {"email": client.staff.email, "password": PASSWORD}, 422)
    app.test_client().sign_in(client.staff, NEW_PASSWORD)


@pytest.mark.parametrize(
    ("form", "bad"),
    [
        ({"current": "wrong", "password": NEW_PASSWORD}, "current"),
        ({"current": "", "password": NEW_PASSWORD}, "current"),
        ({"current": PASSWORD, "password": ""}, "password"),
        ({"current": PASSWORD, "password": "short"}, "password"),
        ({"current": PASSWORD, "password": "password12345"}, "password"),
        ({"current": PASSWORD, "password": "x" * 201}, "password"),
    ],
)
def test_a_password_that_cannot_be_changed_stays(app, technician, form, bad):
    page = technician.send("/account", form, 422)
    assert page.one("[aria-invalid=true]")["name"] == bad
    assert page.one(f"#{bad}-error").get_text(strip=True)
    assert not [field for field in page.all("input[type=password]") if field.get("value")]
    app.test_client().sign_in(technician.staff, PASSWORD)


def test_the_account_lists_where_one_is_signed_in_and_marks_this_browser(app, technician):
    app.test_client().sign_in(technician.staff)
    lines = technician.page("/account").all("section[aria-labelledby=sessions-title] li")
    assert len(lines) == 2
    assert ["this browser" in line.get_text() for line in lines] == [False, True]


# --- a shop in another country ------------------------------------------------------------------


def test_numbers_and_prices_follow_the_shop_s_country(owner, shop):
    shop.country, shop.currency = "DE", "EUR"
    make_branch(code="BE")
    customer = make_customer(phone="+4930123456")
    repair = make_repair(customer=customer, estimate=123450)
    page = owner.page(f"/repairs/{repair.code}")
    assert page.one('.page-head a[href="tel:+4930123456"]').get_text() == "030 123456"
    assert "€" in page.one("section[aria-labelledby=details-title]").get_text()


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
