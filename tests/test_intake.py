"""Intake: one page, phone first; nothing typed is lost, nobody is made twice, a double click makes one repair."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from app.db import db, utcnow
from app.models import Customer, Event, Repair

from .factories import branch, make_customer, make_repair, make_staff

# A Monday, ten in the morning in Bangkok.
MORNING = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
BANGKOK = ZoneInfo("Asia/Bangkok")

TYPED = {
    "phone": "081 234 5678",
    "name": "Malee Suk",
    "email": "malee@example.com",
    "item": "iPhone 13",
    "problem": "The screen is cracked.\nThe battery is weak.",
    "serial": "C39XK1ABCDEF",
    "accessories": "Charger, case",
    "note": "Speaks only Thai.",
    "estimate": "1,250.50",
    "promise_pick": "none",
    "promise_at": "",
    "technician": "0",
}


@pytest.fixture
def form(shop):
    """The intake form, filled in as at the counter."""
    return TYPED | {"branch": str(branch("MN").id), "key": "a" * 32}


def count(table):
    return db.session.scalar(select(func.count()).select_from(table))


def only_repair():
    return db.session.scalars(select(Repair)).one()


def typed(page):
    """What the form holds, as a browser would send it."""
    form = {}
    for field in page.one("#intake").find_all(["input", "select", "textarea"], attrs={"name": True}):
        if field.name == "select":
            chosen = field.find("option", selected=True)
            form[field["name"]] = chosen["value"] if chosen else ""
        elif field.name == "textarea":
            # The first line break of a textarea is HTML's, and a form's line breaks are CR LF.
            form[field["name"]] = field.get_text().replace("\r", "").removeprefix("\n")
        elif field.get("type") != "file" and (field.get("type") != "radio" or field.has_attr("checked")):
            form[field["name"]] = field.get("value", "")
    form.pop("csrf_token")
    return form


def chosen(page, name):
    return page.one(f"#intake [name={name}] option[selected]").get_text()


# --- the page -----------------------------------------------------------------------------------


def test_the_phone_comes_first_and_has_the_focus(front_desk):
    page = front_desk.page("/repairs/new")
    fields = [f for f in page.one("#intake").select("input, textarea, select") if f.get("type") != "hidden"]
    assert fields[0]["name"] == "phone"
    assert [field["name"] for field in page.all("[autofocus]")] == ["phone"]
    assert fields[0]["inputmode"] == "tel"


def test_every_field_has_its_label_and_no_field_needs_the_mouse(front_desk):
    page = front_desk.page("/repairs/new")
    for name in TYPED.keys() - {"promise_pick"}:
        field = page.one(f"#intake [name={name}]")
        assert page.one(f"label[for={field['id']}]").get_text(strip=True), name
        assert field.get("tabindex", "0") == "0"
    for pick in page.all("#intake [name=promise_pick]"):
        assert pick.find_parent("label").get_text(strip=True)


def test_every_role_may_take_in(app, owner, manager, technician, front_desk, form):
    for number, client in enumerate((owner, manager, technician, front_desk)):
        client.send("/repairs/new", form | {"key": f"{number}" * 32}, on="/repairs/new")
    assert count(Repair) == 4


def test_the_branch_proposed_is_one_s_own(app, shop):
    river = make_staff("front_desk", branch_id=branch("RV").id)
    page = app.test_client().sign_in(river).page("/repairs/new")
    assert page.one("#intake input[type=hidden][name=branch]")["value"] == str(river.branch_id)


def test_an_owner_s_own_branch_is_proposed_among_all(app, shop):
    ana = make_staff("owner", branch_id=branch("RV").id)
    assert chosen(app.test_client().sign_in(ana).page("/repairs/new"), "branch") == "Riverside"


def test_nobody_takes_in_at_a_branch_that_is_not_theirs(front_desk, form):
    page = front_desk.send("/repairs/new", form | {"branch": str(branch("RV").id)}, 422)
    assert page.one("#branch-error").get_text(strip=True)
    assert count(Repair) == 0


def test_a_repair_is_not_given_to_somebody_who_cannot_see_it(owner, form):
    river = make_staff("technician", name="Narin", branch_id=branch("RV").id)
    page = owner.send("/repairs/new", form | {"technician": str(river.id)}, 422)
    assert page.one("#technician-error").get_text(strip=True) == "Narin does not work at Main."
    assert count(Repair) == 0


def test_a_shop_with_one_branch_does_not_ask_which(front_desk, form):
    db.session.delete(branch("RV"))
    field = front_desk.page("/repairs/new").one("#intake [name=branch]")
    assert (field["type"], field["value"]) == ("hidden", str(branch("MN").id))
    front_desk.send("/repairs/new", form)


def test_a_repair_is_given_to_people_of_the_bench_who_are_here(front_desk):
    make_staff("technician", name="Narin")
    make_staff("technician", name="Left", active=False)
    make_staff("front_desk", name="Desk")
    make_staff("manager", name="Manop")
    names = [option.get_text() for option in front_desk.page("/repairs/new").all("[name=technician] option")]
    assert names == ["Nobody yet", "Manop", "Narin"]


# --- taken in -----------------------------------------------------------------------------------


def test_everything_that_was_typed_is_kept(front_desk, form):
    narin = make_staff("technician", name="Narin")
    answer = front_desk.send("/repairs/new", form | {"technician": str(narin.id)}, on="/repairs/new")
    repair = only_repair()
    assert answer.location == f"/repairs/{repair.code}" == "/repairs/TH-MN-R0001"
    assert (repair.item, repair.serial, repair.accessories) == ("iPhone 13", "C39XK1ABCDEF", "Charger, case")
    assert repair.problem == "The screen is cracked.\nThe battery is weak."
    assert (repair.estimate, repair.technician_id, repair.branch.code) == (125050, narin.id, "MN")
    assert (repair.status, repair.promised_at) == ("received", None)
    malee = repair.customer
    assert (malee.name, malee.phone, malee.email) == ("Malee Suk", "+66812345678", "malee@example.com")
    happened = {event.kind: event for event in repair.events}
    assert happened.keys() == {"received", "noted"}
    assert {event.staff_id for event in repair.events} == {front_desk.staff_id}
    assert (happened["noted"].text, happened["noted"].public) == ("Speaks only Thai.", False)


def test_the_way_leads_on_to_the_repair_its_link_and_its_receipt(front_desk, form):
    page = front_desk.page(front_desk.send("/repairs/new", form).location)
    assert "TH-MN-R0001" in page.one("#said").get_text()
    assert page.one("#tracking-card input[readonly]")["value"].endswith(only_repair().token)
    assert page.one('.head-actions a[href$="/receipt"]')


def test_it_is_one_tap_from_the_form_to_the_paper(front_desk, form):
    ways = front_desk.page("/repairs/new").one("#intake [role=group][aria-label='Take in and print']")
    paths = {"Receipt": "receipt", "Label": "label", "Both": "receipt-and-label"}
    assert [button.get_text() for button in ways.select("button[name=then]")] == [*paths]
    for number, button in enumerate(ways.select("button[name=then]"), 1):
        answer = front_desk.send("/repairs/new", form | {"then": button["value"], "key": f"{number}" * 32})
        assert answer.location == f"/repairs/TH-MN-R000{number}/{paths[button.get_text()]}?print=now"
        assert front_desk.page(answer.location).one("#controls [role=status]").get_text().endswith("is taken in.")
    assert front_desk.send("/repairs/new", form | {"then": "https://evil.example"}).location.startswith("/repairs/")


def test_as_little_as_a_phone_a_name_an_item_and_a_problem_will_do(front_desk, form):
    short = {name: form[name] for name in ("phone", "name", "item", "problem", "branch")}
    front_desk.send("/repairs/new", short)
    repair = only_repair()
    assert (repair.estimate, repair.technician_id, repair.promised_at) == (None, None, None)
    assert [event.kind for event in repair.events] == ["received"]


def test_each_branch_counts_its_own_codes(owner, form):
    for number, code in enumerate(("MN", "RV", "MN", "MN")):
        owner.send("/repairs/new", form | {"branch": str(branch(code).id), "key": f"{number}" * 32})
    made = db.session.scalars(select(Repair.code).order_by(Repair.id)).all()
    assert made == ["TH-MN-R0001", "TH-RV-R0001", "TH-MN-R0002", "TH-MN-R0003"]


def test_a_refused_form_uses_up_no_code(front_desk, form):
    front_desk.send("/repairs/new", form | {"item": ""}, 422)
    front_desk.send("/repairs/new", form | {"name": ""}, 422)
    front_desk.send("/repairs/new", form)
    assert only_repair().code == "TH-MN-R0001"


# --- twice --------------------------------------------------------------------------------------


def test_the_same_form_sent_twice_makes_one_repair(front_desk, form):
    form["key"] = front_desk.page("/repairs/new").one("#intake [name=key]")["value"]
    first, second = (front_desk.send("/repairs/new", form) for _ in range(2))
    assert first.location == second.location
    assert (count(Repair), count(Customer), count(Event)) == (1, 1, 2)


CHANGES = [
    *({"item": "iPhone 12"}, {"problem": "Mute."}, {"serial": ""}, {"estimate": "2"}, {"phone": "081 234 5679"}),
    *({"promise_pick": "tomorrow"}, {"accessories": "Case"}, {"note": "Knows us."}),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_a_form_sent_again_after_going_back_and_changing_it_asks_whether_it_is_another_repair(front_desk, form, change):
    front_desk.send("/repairs/new", form)
    page = front_desk.send("/repairs/new", form | change, 422)
    assert "as TH-MN-R0001" in page.one("#intake [role=alert]").get_text()
    assert only_repair().item == "iPhone 13"
    again = typed(page)
    assert again.items() >= change.items()
    assert front_desk.send("/repairs/new", again).location == "/repairs/TH-MN-R0002"
    assert count(Repair) == 2


def test_each_empty_form_has_a_key_of_its_own(front_desk):
    keys = {front_desk.page("/repairs/new").one("#intake [name=key]")["value"] for _ in range(3)}
    assert len(keys) == 3
    assert min(map(len, keys)) >= 16


def test_a_refused_form_keeps_its_key(front_desk, form):
    assert typed(front_desk.send("/repairs/new", form | {"item": ""}, 422))["key"] == form["key"]


def test_two_phones_of_one_customer_s_kind_bring_two_things(front_desk, form):
    front_desk.send("/repairs/new", form)
    front_desk.send("/repairs/new", form | {"key": "b" * 32, "item": "iPad"})
    assert (count(Repair), count(Customer)) == (2, 1)


# --- the customer -------------------------------------------------------------------------------

SAME = [
    "0812345678",
    "081-234-5678",
    "(081) 234 5678",
    "+66812345678",
    "+66 81 234 5678",
    "๐๘๑๒๓๔๕๖๗๘",
]


@pytest.mark.parametrize(
    ("phone", "name"), [*((phone, "") for phone in SAME), (SAME[0], "Malee Suk"), (SAME[0], "MALEE suk")]
)
def test_a_known_customer_is_found_by_the_phone_however_it_is_typed(front_desk, form, phone, name):
    malee = make_customer(name="Malee Suk", phone="+66812345678")
    front_desk.send("/repairs/new", form | {"phone": phone, "name": name})
    assert only_repair().customer_id == malee.id
    assert count(Customer) == 1


def test_an_email_that_was_not_known_is_kept_and_a_known_one_stays(front_desk, form):
    malee = make_customer(name="Malee Suk", phone="+66812345678")
    front_desk.send("/repairs/new", form)
    assert malee.email == "malee@example.com"
    front_desk.send("/repairs/new", form | {"email": "other@example.com", "key": "b" * 32})
    assert malee.email == "malee@example.com"


def test_a_number_of_another_country_starts_with_its_plus(front_desk, form):
    front_desk.send("/repairs/new", form | {"phone": "+351 912 345 678"})
    assert only_repair().customer.phone == "+351912345678"


def test_a_new_number_needs_a_name(front_desk, form):
    page = front_desk.send("/repairs/new", form | {"name": ""}, 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == ["name"]
    assert count(Customer) == count(Repair) == 0


def test_a_number_known_under_another_name_is_asked_about(front_desk, form):
    malee = make_customer(name="Malee Suk", phone="+66812345678")
    page = front_desk.send("/repairs/new", form | {"name": "Somchai"}, 422)
    said = page.one("#phone-error").get_text()
    assert "Malee Suk" in said
    assert "Somchai" in said
    assert count(Repair) == 0
    assert (malee.name, count(Customer)) == ("Malee Suk", 1)


def test_saving_once_more_takes_the_customer_that_was_offered(front_desk, form):
    malee = make_customer(name="Malee Suk", phone="+66812345678")
    page = front_desk.send("/repairs/new", form | {"name": "Somchai"}, 422)
    front_desk.send("/repairs/new", typed(page))
    assert only_repair().customer_id == malee.id


def test_correcting_the_number_keeps_the_name_and_the_email_that_were_typed(front_desk, form):
    """Without script the form comes back once: what it holds then is all that is left of what was typed."""
    make_customer(name="Malee Suk", phone="+66812345678")
    page = front_desk.send("/repairs/new", form | {"name": "Somchai"}, 422)
    sent = typed(page) | {"phone": "081 999 9999"}
    page = front_desk.post("/repairs/new", data=sent | {"csrf_token": front_desk.csrf_token()})
    if page.status_code == 422:
        assert "Somchai" in page.text, "the name that was typed is gone"
        sent |= {"name": "Somchai", "email": form["email"]}
        front_desk.send("/repairs/new", sent)
    somchai = only_repair().customer
    assert (somchai.name, somchai.phone, somchai.email) == ("Somchai", "+66819999999", "malee@example.com")


def test_an_email_typed_for_a_known_customer_outlives_another_mistake(front_desk, form):
    malee = make_customer(name="Malee Suk", phone="+66812345678")
    page = front_desk.send("/repairs/new", form | {"item": ""}, 422)
    front_desk.send("/repairs/new", typed(page) | {"item": "iPhone 13"})
    assert malee.email == "malee@example.com"


# --- the customer's part, while one types -------------------------------------------------------


def part(client, phone):
    return client.htmx("/repairs/new/customer", {"phone": phone})


@pytest.mark.parametrize("phone", ["", "0", "081", "081 9", "call me", "+", "\x00", "9" * 300, "081 234 56789012345"])
def test_a_number_that_nobody_has_leaves_room_for_a_name(front_desk, phone):
    make_customer(name="Malee Suk", phone="+66812345678")
    page = part(front_desk, phone)
    assert not page.all("html")
    page.one("#customer input[name=name]")
    page.one("#customer input[name=email]")
    assert not page.all("#customer .known, #customer .suggestions")


def test_from_the_fourth_digit_on_the_known_are_offered(front_desk):
    malee = make_customer(name="Malee Suk", phone="+66812345678")
    make_customer(name="Ana", phone="+66899999999")
    page = part(front_desk, "081 23")
    (offer,) = page.all("#customer .suggestions button")
    assert offer["data-fill"] == "#phone"
    assert offer["data-value"] == "081 234 5678"
    assert malee.name in offer.get_text()
    page.one("#customer input[name=name]")


def test_no_more_are_offered_than_one_can_take_in(front_desk):
    for number in range(7):
        make_customer(phone=f"+6681234567{number}")
    assert len(part(front_desk, "0812345").all(".suggestions button")) == 4


@pytest.mark.parametrize("phone", SAME)
def test_a_whole_number_that_is_known_says_whose_it_is(front_desk, phone):
    malee = make_customer(name="Malee Suk", phone="+66812345678", email="malee@example.com")
    page = part(front_desk, phone)
    assert page.one("#customer .known b").get_text() == "Malee Suk"
    assert page.one("#customer .known a")["href"] == f"/customers/{malee.id}"
    assert not page.all("#customer input:not([type=hidden])")
    assert page.one("#customer")["aria-live"] == "polite"


def test_of_another_branch_s_customer_the_name_is_said_and_nothing_more(front_desk):
    malee = make_customer(name="Malee Suk", phone="+66812345678", email="malee@example.com")
    make_repair(customer=malee, branch="RV")
    page = part(front_desk, "081 234 5678")
    assert page.one("#customer .known b").get_text() == "Malee Suk"
    assert "malee@example.com" not in page.html
    assert not page.all("#customer .known a")
    make_repair(customer=malee)
    assert "malee@example.com" in part(front_desk, "081 234 5678").html


def test_a_name_typed_before_the_number_turned_out_to_be_known_comes_back_when_it_is_corrected(front_desk, shop):
    make_customer(name="Malee Suk", phone="+66812345678")
    known = front_desk.htmx("/repairs/new/customer", {"phone": "081 234 5678", "name": "Somchai"})
    kept = known.one("[name=other_name]")["value"]
    corrected = front_desk.htmx("/repairs/new/customer", {"phone": "081 234 5679", "other_name": kept})
    assert corrected.one("[name=name]")["value"] == "Somchai"


def warning(page):
    """What the customer's part says about the name that was typed; "" for nothing."""
    return " ".join(line.get_text(" ", strip=True) for line in page.all("#customer .warning"))


def test_a_name_that_is_not_the_known_customer_s_is_not_dropped_in_silence(front_desk, form):
    joerg = make_customer(name="Jörg Müller", phone="+66812345678")
    known = front_desk.htmx("/repairs/new/customer", {"phone": "081 234 5678", "name": "Anna Müller"})
    said = warning(known).replace(" ,", ",")
    assert "belongs to Jörg Müller, not “ Anna Müller ”" in said
    assert "correct the number" in said
    assert known.one("#customer")["aria-live"] == "polite", "who sees nothing hears it"
    # The next digit asks again, with what the panel has kept.
    again = front_desk.htmx("/repairs/new/customer", {"phone": "081 234 5678", "other_name": "Anna Müller"})
    assert warning(again) == warning(known)
    # Whoever goes on knows for whom: nothing is asked once more.
    sent = form | {"other_name": "Anna Müller"}
    sent.pop("name")
    front_desk.send("/repairs/new", sent)
    assert only_repair().customer_id == joerg.id
    assert count(Customer) == 1


@pytest.mark.parametrize("name", ["", "Jörg Müller", "JÖRG müller", "  Jörg   Müller "])
def test_the_known_customer_s_own_name_is_no_reason_to_warn(front_desk, name):
    make_customer(name="Jörg Müller", phone="+66812345678")
    assert warning(front_desk.htmx("/repairs/new/customer", {"phone": "081 234 5678", "name": name})) == ""


def test_a_form_that_comes_back_says_it_too_and_says_it_once(front_desk, form):
    make_customer(name="Malee Suk", phone="+66812345678")
    page = front_desk.send("/repairs/new", form | {"item": "", "name": "Somchai"}, 422)
    assert "Somchai" in warning(page)
    assert "Somchai" in warning(front_desk.send("/repairs/new", typed(page), 422))
    page = front_desk.send("/repairs/new", form | {"name": "Somchai"}, 422)
    assert "Somchai" in page.one("#phone-error").get_text()
    assert warning(page) == ""


def test_the_phone_field_asks_for_its_part(front_desk):
    field = front_desk.page("/repairs/new").one("#phone")
    assert (field["hx-post"], field["hx-target"]) == ("/repairs/new/customer", "#customer")


def test_a_form_that_comes_back_knows_the_customer_too(front_desk, form):
    make_customer(name="Malee Suk", phone="+66812345678")
    page = front_desk.send("/repairs/new", form | {"item": "", "name": ""}, 422)
    assert page.one("#customer .known b").get_text() == "Malee Suk"


# --- mistakes -----------------------------------------------------------------------------------

WRONG = [
    ("phone", ""),
    ("phone", "call me"),
    ("phone", "081"),
    ("phone", "\x00"),
    ("name", "x" * 121),
    ("email", "malee"),
    ("email", "malee@@example.com"),
    ("email", "x" * 250 + "@a.com"),
    ("item", ""),
    ("item", "   "),
    ("item", "x" * 121),
    ("problem", ""),
    ("problem", "x" * 2001),
    ("serial", "x" * 81),
    ("accessories", "x" * 201),
    ("note", "x" * 2001),
    ("estimate", "a lot"),
    ("estimate", "-5"),
    ("estimate", "1.2.3"),
    ("estimate", "9" * 20),
    ("technician", "x"),
    ("technician", "99999999999999999999"),
    ("branch", "x"),
    ("branch", "99"),
    ("branch", ""),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_mistake_is_said_by_its_field_and_nothing_that_was_typed_is_lost(owner, form, name, value):
    page = owner.send("/repairs/new", form | {name: value}, 422)
    assert count(Repair) == count(Customer) == 0
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == [name]
    assert page.all("[autofocus]")[0]["name"] == name, "a browser goes to the first that asks"
    assert page.one(f"#{name}-error[role=alert]").get_text(strip=True)
    assert f"{name}-error" in page.one(f"[name={name}]")["aria-describedby"].split()
    held, sent = typed(page), form | {name: value.strip(" \x00")}
    # A choice that does not exist cannot be shown again.
    for choice in {"technician", "branch"} & {name}:
        del held[choice], sent[choice]
    assert held == sent


def test_several_mistakes_are_all_said_and_the_first_has_the_focus(front_desk, form):
    page = front_desk.send("/repairs/new", form | {"item": "", "problem": "", "estimate": "x"}, 422)
    assert [field["name"] for field in page.all("[aria-invalid=true]")] == ["item", "problem", "estimate"]
    assert page.all("[autofocus]")[0]["name"] == "item"


def test_an_empty_form_is_refused_in_one_go(front_desk):
    page = front_desk.send("/repairs/new", {}, 422)
    assert {"phone", "item", "problem"} <= {field["name"] for field in page.all("[aria-invalid=true]")}


@pytest.mark.parametrize("key", ["\x00", "x" * 33, "é", "' OR 1=1"])
def test_a_key_that_the_form_did_not_make_is_no_fault(front_desk, form, key):
    answer = front_desk.post("/repairs/new", data=form | {"key": key, "csrf_token": front_desk.csrf_token()})
    assert answer.status_code in {303, 422}


def test_a_branch_that_is_gone_is_said(front_desk, form):
    db.session.delete(branch("RV"))
    page = front_desk.send("/repairs/new", form | {"branch": "99"}, 422)
    assert page.all("[role=alert]"), "with one branch left its field is hidden; the refusal must not be"


# --- price --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "minor"),
    [
        *(("1200", 120000), ("1,200.50", 120050), ("1.200,50", 120050), ("1 200,5", 120050), ("0", 0), ("49.90", 4990)),
        *(("THB 1,200", 120000), ("1,200.50\xa0฿", 120050), ("1200 thb", 120000)),
    ],
)
def test_a_price_is_understood_in_the_ways_the_world_writes_it(front_desk, form, written, minor):
    front_desk.send("/repairs/new", form | {"estimate": written})
    assert only_repair().estimate == minor


def test_a_price_in_another_currency_is_told_which_one_the_shop_has(front_desk, form):
    page = front_desk.send("/repairs/new", form | {"estimate": "€70"}, 422)
    said = page.one("#estimate-error").get_text(strip=True)
    assert said == "This amount is in another currency. Write it in THB."
    assert page.one("#estimate")["value"] == "€70"


# --- promise ------------------------------------------------------------------------------------


def picks(page):
    return [pick["value"] for pick in page.all("#intake [name=promise_pick]")]


def test_no_promise_is_the_first_choice_and_a_time_of_one_s_own_the_last(front_desk, clock):
    clock.set(MORNING)
    page = front_desk.page("/repairs/new")
    assert picks(page) == ["none", "today", "tomorrow", "3_days", "1_week", "custom"]
    assert typed(page)["promise_pick"] == "none"


@pytest.mark.parametrize(("pick", "days"), [("today", 0), ("tomorrow", 1), ("3_days", 3), ("1_week", 7)])
def test_a_quick_pick_promises_six_in_the_evening(front_desk, form, clock, pick, days):
    clock.set(MORNING)
    front_desk.send("/repairs/new", form | {"promise_pick": pick})
    assert only_repair().promised_at == datetime(2026, 11, 23 + days, 18, 0, tzinfo=BANGKOK)
    assert {event.kind for event in only_repair().events} == {"received", "noted", "promised"}


def test_in_the_evening_today_is_no_choice_any_more(front_desk, form, clock):
    clock.set(MORNING + timedelta(hours=8))
    assert "today" not in picks(front_desk.page("/repairs/new"))
    page = front_desk.send("/repairs/new", form | {"promise_pick": "today"}, 422)
    assert page.one("#promise_pick-error").get_text(strip=True)


def test_a_time_of_one_s_own_is_the_shop_s(front_desk, form, clock):
    clock.set(MORNING)
    front_desk.send("/repairs/new", form | {"promise_pick": "custom", "promise_at": "2026-11-25T12:30"})
    assert only_repair().promised_at == datetime(2026, 11, 25, 12, 30, tzinfo=BANGKOK)


@pytest.mark.parametrize(
    "at",
    [
        "",
        "soon",
        "2026-11-23T10:00",
        "2026-11-22T18:00",
        "0001-01-01T00:00",
        "9999-12-31T23:59",
        "2033-01-01T00:00",
        "2026-13-45T99:99",
        "2026-02-30T12:00",
    ],
)
def test_a_time_that_cannot_be_promised_is_refused_and_kept(front_desk, form, clock, at):
    clock.set(MORNING)
    page = front_desk.send("/repairs/new", form | {"promise_pick": "custom", "promise_at": at}, 422)
    assert count(Repair) == 0
    assert (typed(page)["promise_pick"], typed(page)["promise_at"]) == ("custom", at)
    assert page.one("[name=promise_at]")["aria-invalid"] == "true"
    assert page.one("#promise_at-error").get_text(strip=True)
    assert page.all("[autofocus]")[0]["name"] == "promise_at"


def test_a_time_that_was_not_picked_does_not_count(front_desk, form, clock):
    clock.set(MORNING)
    front_desk.send("/repairs/new", form | {"promise_pick": "none", "promise_at": "2020-01-01T00:00"})
    assert only_repair().promised_at is None


def test_a_promise_made_up_is_refused(front_desk, form):
    front_desk.send("/repairs/new", form | {"promise_pick": "yesterday"}, 422)
    assert count(Repair) == 0


# --- what people write --------------------------------------------------------------------------


def test_stray_spaces_and_signs_nobody_sees_are_left_out(front_desk, form):
    front_desk.send("/repairs/new", form | {"item": "  iPhone\x00 \u200b 13\t", "name": "Malee\r\n  Suk"})
    repair = only_repair()
    assert repair.item == "iPhone 13"
    assert repair.customer.name == "Malee Suk"


def test_what_people_write_in_their_own_script_stays(front_desk, form):
    front_desk.send("/repairs/new", form | {"name": "محمد علي", "item": "กีตาร์", "problem": "Ünïcødé 🎻 עברית"})
    repair = only_repair()
    assert (repair.customer.name, repair.item, repair.problem) == ("محمد علي", "กีตาร์", "Ünïcødé 🎻 עברית")
    page = front_desk.page(f"/repairs/{repair.code}")
    assert page.one("h1").get_text() == "กีตาร์"
    assert page.one("h1")["dir"] == "auto"


def test_the_search_finds_what_was_just_taken_in(front_desk, form):
    front_desk.send("/repairs/new", form)
    make_repair()
    for query in ("malee", "2345678", "C39XK1", "R0001"):
        page = front_desk.page(f"/repairs?q={query}")
        assert [code.get_text() for code in page.all("#results li .code")] == ["TH-MN-R0001"], query


def test_a_repair_is_begun_on_its_customer_s_page(front_desk):
    malee = make_customer(name="Malee", phone="+66812345678")
    (link,) = [link for link in front_desk.page(f"/customers/{malee.id}").all(".head-actions a") if "New" in link.text]
    page = front_desk.page(link["href"])
    assert page.one("[name=phone]")["value"] == "081 234 5678"
    assert page.one(".known bdi").get_text() == "Malee"


@pytest.mark.parametrize("customer", ["another branch's", "erased", "0", "-1", "x", "9" * 30])
def test_nobody_else_is_begun_with(front_desk, customer):
    somebody = make_customer()
    if customer == "another branch's":
        make_repair(customer=somebody, branch="RV")
    elif customer == "erased":
        somebody.erased_at = utcnow()
        db.session.commit()
    known = {"another branch's": somebody.id, "erased": somebody.id}
    page = front_desk.page("/repairs/new", query_string={"customer": known.get(customer, customer)})
    assert not page.one("[name=phone]").get("value")
    assert not page.all(".known")
