"""Paper: what the customer takes home, what stays on the item, and nothing on either that is the shop's business."""

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from app import printing, sharing
from app.db import db
from app.models import Activity, Repair
from app.rules import Deed

from .factories import branch, make_customer, make_repair, make_staff

KINDS = ["receipt", "label", "receipt-and-label"]


def words(element):
    return " ".join(element.get_text(" ").split())


def said(page) -> dict:
    """What stands beside each word of a receipt."""
    return {term.get_text(): words(term.find_next_sibling("dd")) for term in page.all("dt")}


def sheets(page) -> list[str]:
    """What a page would print, each by the paper that it goes on."""
    return [next(name for name in sheet["class"] if name.startswith("paper-"))[6:] for sheet in page.all(".sheet")]


def noted() -> list[Activity]:
    """What the shop's own record says that was changed of the shop."""
    return list(db.session.scalars(select(Activity).where(Activity.kind == Deed.SHOP_CHANGED)))


# --- the receipt --------------------------------------------------------------------------------


def test_the_receipt_says_where_what_and_how_to_follow_it(owner, shop):
    repair = make_repair(item="Road bike", problem="The chain jumps.\nThe brakes squeal.", branch="RV")
    page = owner.page(f"/repairs/{repair.code}/receipt")
    assert words(page.one("#receipt header .shop")) == shop.name
    address = words(page.one("#receipt header address"))
    for part in ("Riverside", "12 Charoen Krung Road", "Bangkok 10500", "02 123 4567", "081 234 5678"):
        assert part in address
    assert page.one("#receipt .code").get_text() == "TH-RV-R0001"
    assert said(page).keys() == {"Item", "Problem", "Received"}
    assert (said(page)["Item"], said(page)["Problem"]) == ("Road bike", "The chain jumps. The brakes squeal.")
    assert any(letter.isdigit() for letter in said(page)["Received"])
    assert page.one(".url").get_text() == f"https://repairs.example.com/t/{repair.token}"
    assert page.one("svg.qr").select("path")
    lines = [words(line) for line in page.all(".signatures p")]
    assert lines == ["Left by TH-RV-R0001 · date, signature", "Collected by TH-RV-R0001 · date, signature"]


def test_the_shop_s_logo_stands_over_its_name(owner, shop):
    repair = make_repair()
    assert not owner.page(f"/repairs/{repair.code}/receipt").all("img")
    shop.logo, shop.logo_width, shop.logo_height, shop.logo_tone = "0123456789abcdef", 480, 120, "light"
    page = owner.page(f"/repairs/{repair.code}/receipt")
    assert page.one("#receipt .shop img[data-tone=light]")["src"] == "/logo/0123456789abcdef.webp"
    assert words(page.one("#receipt .shop")) == shop.name
    assert not owner.page(f"/repairs/{repair.code}/label").all("img")


def test_the_receipt_says_what_was_left_what_was_promised_and_what_it_may_cost(owner, shop):
    repair = make_repair(
        serial="SN 42",
        accessories="Case, charger",
        estimate=120050,
        promised_at=datetime(2031, 3, 4, 11, 0, tzinfo=UTC),
    )
    texts = said(owner.page(f"/repairs/{repair.code}/receipt"))
    assert (texts["Serial"], texts["Left with it"], texts["Estimate"]) == ("SN 42", "Case, charger", "THB1,200.50")
    # In full: paper is read on another day, when "tomorrow" is wrong.
    assert re.fullmatch(r"Tue,? 4 Mar 2031, 18:00|Tue, Mar 4, 2031, 6:00.PM", texts["Promised for"])


def test_the_shop_s_terms_stand_above_the_signatures(owner, shop):
    repair = make_repair()
    assert not owner.page(f"/repairs/{repair.code}/receipt").all(".terms")
    shop.terms = "Back up your data.\n\nNothing is <kept> for ever."
    terms = owner.page(f"/repairs/{repair.code}/receipt").one(".terms")
    assert words(terms) == "Terms Back up your data. Nothing is <kept> for ever."
    assert terms.find_next_sibling("div")["class"] == ["signatures"]


def test_a_branch_s_own_contact_is_on_its_receipt(owner):
    river = branch("RV")
    river.phone, river.whatsapp, river.address = "+6629999999", "", "Pier 3"
    page = owner.page(f"/repairs/{make_repair(branch='RV').code}/receipt")
    address = words(page.one("#receipt header address"))
    assert "02 999 9999" in address
    assert "Pier 3" in address
    assert "Charoen Krung" not in address


def test_the_branch_s_opening_hours_are_on_its_receipt(owner):
    repair = make_repair()
    assert not owner.page(f"/repairs/{repair.code}/receipt").all(".hours")
    branch("MN").hours = [[["09:00", "13:00"], ["14:00", "18:00"]]] * 5 + [[["10:00", "14:00"]], []]
    hours = words(owner.page(f"/repairs/{repair.code}/receipt").one(".hours"))
    assert hours == "Open Mon–Fri 09:00–13:00, 14:00–18:00 Sat 10:00–14:00 Sun Closed"


def test_a_number_is_not_said_twice(front_desk, shop):
    shop.whatsapp = shop.phone
    address = words(front_desk.page(f"/repairs/{make_repair().code}/receipt").one("#receipt header address"))
    assert address.count("02 123 4567") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_internal_is_on_any_paper(front_desk, kind):
    """Nor whose it is: who finds a receipt, or walks past the bench, learns no name and no number."""
    narin = make_staff("owner", name="Secret-Technician")
    customer = make_customer(name="Secret-Name", phone="+66876543210", email="secret-mail@example.com")
    repair = make_repair(customer=customer, by=narin, note="Secret-Note", technician_id=narin.id)
    page = front_desk.page(f"/repairs/{repair.code}/{kind}")
    for secret in ("Secret", "secret", "87 654 3210", "876543210", front_desk.staff.name):
        assert secret not in page.html


# --- the label ----------------------------------------------------------------------------------


def test_the_label_says_which_it_is_and_no_more(technician, shop):
    repair = make_repair(item="Road bike", problem="Squeals", serial="SN 42", accessories="Lock", estimate=900)
    page = technician.page(f"/repairs/{repair.code}/label")
    label = page.one("#label")
    assert label.select_one(".code").get_text() == repair.code
    assert label.select_one(".item").get_text() == "Road bike"
    assert "Main" in label.select_one(".since").get_text()
    for text in ("Squeals", "SN 42", "Lock", repair.token):
        assert text not in page.html


def test_a_number_of_many_digits_is_written_smaller(technician, shop):
    branch("MN").next_number = 1234567
    repair = make_repair()
    assert technician.page(f"/repairs/{repair.code}/label").one(".code.long").get_text() == "TH-MN-R1234567"


def test_who_follows_a_label_without_signing_in_learns_nothing_at_all(anyone, shop):
    """Not even whether there is such a repair: the answers are the same but for the code that was asked for."""
    repair = make_repair(item="Road bike", branch="RV", status="repairing")
    path = printing.counter_url(shop, repair).removeprefix(shop.public_url)
    assert path == f"/repairs/{repair.code}"
    found = []
    for code in (repair.code, "TH-RV-R9999"):
        turned_away = anyone.page(f"/repairs/{code}", 302)
        door = anyone.page(turned_away.location)
        headers = [(name, value) for name, value in turned_away.headers if name not in {"Set-Cookie", "X-Request-ID"}]
        texts = (turned_away.html, str(headers), door.html)
        bare = [re.sub(r'name="csrf_token" value="[^"]*"', "", text).replace(code, "CODE") for text in texts]
        found.append(bare)
        assert not [word for word in ("Road bike", "Riverside", "epairing") if word in "".join(bare)]
    assert found[0] == found[1]


def test_whoever_is_signed_in_comes_from_the_label_to_the_repair(technician, shop):
    repair = make_repair()
    path = printing.counter_url(shop, repair).removeprefix(shop.public_url)
    assert technician.page(path).one("h1").get_text() == repair.item


# --- papers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "manager", "technician", "front_desk"])
def test_paper_is_one_tap_from_the_repair_and_one_back(request, role):
    client = request.getfixturevalue(role)
    repair = make_repair()
    for kind in ("receipt", "label"):
        link = client.page(f"/repairs/{repair.code}").one(f'.head-actions a[href$="/{kind}"]')["href"]
        page = client.page(link)
        assert page.one("#controls .back")["href"] == f"/repairs/{repair.code}"
        assert not page.all("header.top, form")
        # From one kind to each other it is one tap more.
        ways = [a["href"].rpartition("/")[2] for a in page.all("nav[aria-label='What to print'] a")]
        assert ways == KINDS


@pytest.mark.parametrize(
    ("kind", "query", "papers"),
    [
        ("receipt", "", ["a4"]),
        ("receipt", "?paper=80mm", ["80mm"]),
        ("receipt", "?paper=letter", ["letter"]),
        ("receipt", "?paper=62mm", ["a4"]),
        ("receipt", "?paper=%00'%22<b>", ["a4"]),
        ("label", "", ["62mm"]),
        ("label", "?paper=40x30", ["40x30"]),
        ("label", "?paper=a4", ["62mm"]),
        ("receipt-and-label", "", ["a4", "62mm"]),
        ("receipt-and-label", "?paper=80mm", ["80mm", "62mm"]),
    ],
)
def test_the_address_chooses_the_paper_and_junk_is_none(front_desk, kind, query, papers):
    page = front_desk.page(f"/repairs/{make_repair().code}/{kind}{query}")
    assert sheets(page) == papers
    assert page.one("nav[aria-label=Paper] a[aria-current]").get_text()


def test_the_shop_s_own_paper_comes_first(front_desk, shop):
    shop.receipt_paper, shop.label_paper = "80mm", "40x30"
    url = f"/repairs/{make_repair().code}"
    assert [sheets(front_desk.page(f"{url}/{kind}")) for kind in KINDS] == [["80mm"], ["40x30"], ["80mm", "40x30"]]
    # Each choice leads to that paper, without a script.
    for link in front_desk.page(f"{url}/receipt").all("nav[aria-label=Paper] a"):
        (name,) = sheets(front_desk.page(link["href"]))
        assert printing.paper_named(name, printing.RECEIPTS).label == link.get_text()


def test_the_dialog_opens_by_itself_only_where_somebody_asked_for_paper(front_desk):
    url = f"/repairs/{make_repair().code}/receipt"
    assert front_desk.page(f"{url}?print=now").one("[data-print-now]")
    for query in ("", "?print=", "?print=1", "?paper=80mm"):
        assert not front_desk.page(url + query).all("[data-print-now]")


def test_after_the_receipt_the_label_is_printed_with_one_tap(front_desk):
    url = f"/repairs/{make_repair().code}"
    page = front_desk.page(f"{url}/receipt?print=now")
    assert front_desk.page(page.one('#controls a[href*="/label"]')["href"]).one("[data-print-now]")
    assert "print=now" not in front_desk.page(f"{url}/receipt").html


def test_paper_of_nothing_is_not_found(front_desk):
    for kind in KINDS:
        front_desk.page(f"/repairs/TH-MN-R0099/{kind}", 404)


def test_a_stranger_cannot_print(anyone, shop):
    for kind in KINDS:
        assert anyone.page(f"/repairs/{make_repair().code}/{kind}", 302).location.startswith("/login")


def test_another_branch_s_paper_is_not_there(front_desk):
    repair = make_repair(branch="RV")
    for kind in KINDS:
        front_desk.page(f"/repairs/{repair.code}/{kind}", 404)


@pytest.mark.parametrize("paper", [*printing.RECEIPTS, *printing.LABELS], ids=lambda paper: paper.name)
@pytest.mark.parametrize(
    "host", ["https://a.io", "https://repairs.lamp-and-bench.example.com", f"https://{'a' * 60}.com"]
)
def test_a_module_of_a_qr_code_is_some_whole_dots_wide(paper, host):
    svg = sharing.printed_qr(f"{host}/t/{'x' * 22}", paper.qr, label="")
    width, scale = float(re.search(r'width="([\d.]+)mm"', svg)[1]), re.search(r"scale\(([\d.]+)\)", svg)
    module = float(scale[1]) if scale else 1
    assert module * 8 == int(module * 8) >= 3
    assert width <= paper.qr


# --- settings -----------------------------------------------------------------------------------


def test_the_owner_says_what_is_printed_on_and_below(owner, shop):
    page = owner.page("/settings/paper")
    assert page.one("#tabs [aria-current]").get_text() == "Paper"
    assert page.one("[name=receipt_paper][checked]")["value"] == "a4"
    wish = {"receipt_paper": "80mm", "label_paper": "40x30", "terms": "Back up.\r\n\r\nPay."}
    assert owner.send("/settings/paper", wish, on="/settings/paper").location == "/settings/paper"
    assert (shop.receipt_paper, shop.label_paper, shop.terms) == ("80mm", "40x30", "Back up.\n\nPay.")
    (note,) = noted()
    assert (note.kind, note.staff_id, note.text) == (
        "shop_changed",
        owner.staff_id,
        "Paper: receipt paper, label paper, terms",
    )


def test_to_save_what_stands_is_no_change(owner, shop):
    owner.send("/settings/paper", {"receipt_paper": "a4", "label_paper": "62mm", "terms": ""})
    assert noted() == []


def test_terms_that_are_too_long_are_refused_and_kept(owner, shop):
    terms = "x" * 4001
    wish = {"receipt_paper": "80mm", "label_paper": "40x30", "terms": terms}
    page = owner.send("/settings/paper", wish, 422)
    assert "4000 characters" in page.one("#terms-error").get_text()
    assert page.one("#terms").get_text().strip() == terms
    assert page.one("[name=receipt_paper][checked]")["value"] == "80mm"
    assert (shop.terms, shop.receipt_paper) == ("", "a4")
    owner.send("/settings/paper", wish | {"terms": terms[1:]})
    assert len(shop.terms) == 4000


@pytest.mark.parametrize("name", ["receipt_paper", "label_paper"])
def test_a_paper_that_there_is_not_is_refused(owner, shop, name):
    page = owner.send("/settings/paper", {"receipt_paper": "a4", "label_paper": "62mm", "terms": "", name: "a3"}, 422)
    assert page.one(f"#{name}-error").get_text() == "Choose one of these."
    assert noted() == []


@pytest.mark.parametrize("kind", ["receipt", "label", "both"])
def test_a_sample_shows_the_shop_s_own_paper_and_saves_nothing(owner, shop, kind):
    shop.receipt_paper = "80mm"
    page = owner.page(f"/settings/paper/{kind}")
    assert sheets(page) == {"receipt": ["80mm"], "label": ["62mm"], "both": ["80mm", "62mm"]}[kind]
    assert "TH-MN-R0042" in page.all(".sheet .code")[0].get_text()
    assert page.one("#controls .back")["href"] == "/settings/paper"
    assert not db.session.scalars(select(Repair)).all()


def test_only_an_owner_settles_it(manager):
    for path in ("/settings/paper", "/settings/paper/receipt"):
        manager.page(path, 403)
    manager.send("/settings/paper", {"terms": "x"}, 403)
