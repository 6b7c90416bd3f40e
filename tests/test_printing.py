"""The receipt: what the customer takes home, and nothing that is the shop's own business."""

import pytest

from .factories import branch, make_customer, make_repair, make_staff


def words(element):
    return " ".join(element.get_text(" ").split())


def test_the_receipt_says_where_what_and_how_to_follow_it(owner, shop):
    repair = make_repair(item="Road bike", problem="The chain jumps.\nThe brakes squeal.", branch="RV")
    page = owner.page(f"/repairs/{repair.code}/receipt")
    assert words(page.one("header .shop")) == shop.name
    address = words(page.one("header address"))
    for part in ("Riverside", "12 Charoen Krung Road", "Bangkok 10500", "02 123 4567", "081 234 5678"):
        assert part in address
    assert page.one("h1").get_text() == "TH-RV-R0001"
    said = {term.get_text(): words(term.find_next_sibling("dd")) for term in page.all("dt")}
    assert said.keys() == {"Item", "Problem", "Received"}
    assert (said["Item"], said["Problem"]) == ("Road bike", "The chain jumps. The brakes squeal.")
    assert any(letter.isdigit() for letter in said["Received"])
    assert page.one(".url").get_text() == f"https://repairs.example.com/t/{repair.token}"
    assert page.one("svg.qr").select("path")


def test_a_branch_s_own_contact_is_on_its_receipt(owner):
    river = branch("RV")
    river.phone, river.whatsapp, river.address = "+6629999999", "", "Pier 3"
    page = owner.page(f"/repairs/{make_repair(branch='RV').code}/receipt")
    address = words(page.one("header address"))
    assert "02 999 9999" in address
    assert "Pier 3" in address
    assert "Charoen Krung" not in address


def test_a_number_is_not_said_twice(front_desk, shop):
    shop.whatsapp = shop.phone
    address = words(front_desk.page(f"/repairs/{make_repair().code}/receipt").one("header address"))
    assert address.count("02 123 4567") == 1


def test_nothing_internal_is_on_the_receipt(front_desk):
    narin = make_staff("owner", name="Secret-Technician")
    customer = make_customer(name="Secret-Name", phone="+66876543210", email="secret-mail@example.com")
    repair = make_repair(
        customer=customer,
        by=narin,
        note="Secret-Note",
        serial="Secret-Serial",
        estimate=76543,
        technician_id=narin.id,
    )
    page = front_desk.page(f"/repairs/{repair.code}/receipt")
    for secret in ("Secret", "secret", "87 654 3210", "876543210", "765", front_desk.staff.name):
        assert secret not in page.html


@pytest.mark.parametrize("role", ["owner", "manager", "technician", "front_desk"])
def test_the_receipt_is_one_tap_from_the_repair_and_one_back(request, role):
    client = request.getfixturevalue(role)
    repair = make_repair()
    link = client.page(f"/repairs/{repair.code}").one('.head-actions a[href$="/receipt"]')["href"]
    page = client.page(link)
    back = page.one("nav.screen-only a")
    assert back["href"] == f"/repairs/{repair.code}"
    assert not page.all("header.top, form")


def test_a_receipt_of_nothing_is_not_found(front_desk):
    front_desk.page("/repairs/TH-MN-R0099/receipt", 404)


def test_a_stranger_cannot_print_a_receipt(anyone, shop):
    assert anyone.page(f"/repairs/{make_repair().code}/receipt", 302).location.startswith("/login")
