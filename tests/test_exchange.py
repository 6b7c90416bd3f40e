"""Lists that leave the shop, and lists that come into it from another program."""

import csv
import io
import re
import zlib
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256

import pytest
from flask_babel import force_locale, gettext
from sqlalchemy import func, select

from app import language
from app.db import db
from app.exchange import queries, reading, writing
from app.models import Activity, Branch, Customer, Event, Repair
from app.rules import LABELS, Status

from .factories import branch, make_customer, make_repair, make_staff

# A Monday, ten in the morning in Bangkok.
MORNING = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def export(client, query="", status=200, **data):
    return client.send("/repairs/export.csv", {"query": query, **data}, status)


def rows_of(page):
    """The list, as a spreadsheet reads it: one dictionary a row."""
    assert page.html.startswith("\ufeff"), "without it Excel reads another alphabet"
    return list(csv.DictReader(io.StringIO(page.html[1:], newline=""), strict=True))


def last_deed():
    return db.session.scalars(select(Activity).order_by(Activity.id.desc()).limit(1)).one()


# --- export -------------------------------------------------------------------------------------


def test_what_the_board_shows_leaves_the_shop_as_a_list(owner, clock):
    clock.set(MORNING)
    narin = make_staff("technician", name="Narin")
    malee = make_customer(name="มาลี, “Mali”", phone="+66812345678", email="malee@example.com")
    details = {"item": 'Screen 6"', "problem": "Cracked.\nTwice.", "serial": "00123", "accessories": "Case"}
    repair = make_repair(
        customer=malee,
        technician_id=narin.id,
        promised_at=MORNING + timedelta(days=1),
        estimate=49950,
        status="testing",
        **details,
    )
    page = export(owner)
    assert page.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert page.headers["Content-Disposition"] == 'attachment; filename="repairs-2026-11-23.csv"'
    assert rows_of(page) == [
        {
            "Code": repair.code,
            "Status": "Testing",
            "Item": 'Screen 6"',
            "Problem": "Cracked.\nTwice.",
            "Serial number": "00123",
            "Left with it": "Case",
            "Customer": "มาลี, “Mali”",
            "Phone": "+66 812345678",
            "Email": "malee@example.com",
            "Branch": "Main",
            "Technician": "Narin",
            "Received": "2026-11-23 10:00",
            "Promised": "2026-11-24 10:00",
            "Status since": "2026-11-23 10:00",
            "Last change": "2026-11-23 10:00",
            "Estimate": "499.50",
            "Currency": "THB",
        }
    ]
    assert page.html.count("\r\n") == 2, "a line ends as RFC 4180 has it"
    assert repair.token not in page.html
    deed = last_deed()
    assert (deed.kind, deed.text, deed.staff_id) == ("repairs_exported", "1 repair", owner.staff_id)


def test_the_file_is_called_after_the_shops_day(owner, clock):
    # Half past two at night in Bangkok.
    clock.set(datetime(2026, 11, 23, 19, 30, tzinfo=UTC))
    assert export(owner).headers["Content-Disposition"] == 'attachment; filename="repairs-2026-11-24.csv"'


def test_the_list_has_what_the_filters_show_and_nothing_else(owner, technician, clock):
    clock.set(MORNING)
    mine = make_repair(technician_id=technician.staff_id, status="testing")
    late = make_repair(promised_at=MORNING - timedelta(hours=1), item="Violin")
    done = make_repair(status="delivered", item="Violin")
    for query in (
        "",
        "show=late",
        "show=testing",
        "show=delivered",
        "who=nobody",
        "q=violin",
        "q=vi",
        "q=violin&show=late",
    ):
        shown = {code.get_text() for code in owner.page(f"/repairs?{query}").all("#results li .code")}
        assert shown
        assert {row["Code"] for row in rows_of(export(owner, query))} == shown, query
    assert {row["Code"] for row in rows_of(export(owner, everything="y"))} == {mine.code, late.code, done.code}
    assert rows_of(export(owner, "show=cancelled")) == []


def test_a_manager_s_list_ends_at_their_branch(manager, technician, front_desk):
    theirs, mine = make_repair(branch="RV"), make_repair()
    for query in ("", f"branch={branch('RV').id}", f"q={theirs.code}"):
        assert theirs.code not in export(manager, query, everything="y").html
    assert [row["Code"] for row in rows_of(export(manager))] == [mine.code]
    assert last_deed().branch_id == branch("MN").id
    for client in (technician, front_desk):
        export(client, status=403)
        assert not client.page("/repairs").all("#export, #board input[form=export]")


def test_a_long_list_comes_in_pieces_and_a_cut_line_stops_it(owner, monkeypatch):
    monkeypatch.setattr(queries, "PAGE", 2)
    made = [make_repair().code for _ in range(5)]
    assert [row["Code"] for row in rows_of(export(owner))] == made
    read, reading_one = [], queries.Export._read
    monkeypatch.setattr(queries.Export, "_read", lambda self, ids: read.append(ids) or reading_one(self, ids))
    answer = owner.post("/repairs/export.csv", data={"csrf_token": owner.csrf_token()})
    assert answer.is_streamed
    pieces = iter(answer.response)
    assert made[0] in (next(pieces) + next(pieces)).decode()
    answer.close()
    assert len(read) == 1, "nothing more is read for whoever has gone"


FORMULAS = [
    ("=1+1", "'=1+1"),
    ("+1+1", "'+1+1"),
    ("-2", "'-2"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "'\t'=1"),
    ("\r=1", "'\r'=1"),
    ("＝1", "'＝1"),
    ("+66 81 =1", "'+66 81 =1"),
    ("+66 812345678", "+66 812345678"),
    ("a=1", "a=1"),
    ("a - b; c", "a - b; c"),
    ('a";=1;b ; +1', "a\";'=1;b ; '+1"),
    ('a;"=1', "a;\"'=1"),
    ("a\n-2\n＝1", "a\n'-2\n'＝1"),
    ("a;'b", "a;'b"),
    ("a" + "\t;" * 10_000 + "b", "a" + "\t;" * 10_000 + "b"),
    ("'quoted", "'quoted"),
    ("", ""),
    (None, ""),
    (0, "0"),
]


@pytest.mark.parametrize(("cell", "written"), FORMULAS)
def test_no_cell_is_a_formula(cell, written):
    assert writing.safe(cell) == written
    assert reading.plain(written) == str(cell or ("0" if cell == 0 else "")).strip()


PHONES = [
    ("+66812345678", "+66 812345678"),
    ("+14155550100", "+1 4155550100"),
    ("+351912345678", "+351 912345678"),
    ("+79161234567", "+7 9161234567"),
    ("", ""),
    ("erased:4", ""),
]


@pytest.mark.parametrize(("e164", "written"), PHONES)
def test_a_phone_number_keeps_its_plus_and_is_no_sum(e164, written):
    assert writing.phone(e164) == written
    assert writing.safe(written) == written


# --- reading ------------------------------------------------------------------------------------

LETTERS = "Name;Phone\r\nZoë Müller – Ångström;081 234 5678\r\n"


@pytest.mark.parametrize("kind", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_a_file_is_read_whatever_its_letters_are(kind):
    assert reading.text(LETTERS.encode(kind)) == LETTERS


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04rest", b"\xd0\xcf\x11\xe0rest", b"abcdef\x00gh" * 99, b"\xff\xfea", b"a\x00b\x00c"]
)
def test_what_is_no_text_is_refused_with_a_sentence(data):
    with pytest.raises(ValueError, match=r"\.$"):
        reading.text(data)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_list_is_read_with_any_of_the_usual_marks(mark):
    listed = reading.read(
        f'Phone{mark}"Left, with it"{mark}Name\n1{mark}"a{mark}""b"""{mark}Ana\n\n  \n2{mark}x{mark}Bo'
    )
    assert [line for line, _ in listed.rows] == [2, 5]
    assert listed.cells(listed.rows[0][1])["name"] == "Ana"
    assert listed.unknown == []


def test_the_line_is_the_one_that_an_editor_shows():
    listed = reading.read('sep=;\r\nPhone;Problem\r\n1;"two\r\nlines"\r\n\r\n2;x\r\n')
    assert [line for line, _ in listed.rows] == [3, 6]
    assert listed.cells(listed.rows[0][1])["problem"] == "two\r\nlines"


HEADINGS = [
    ("MOBILE NUMBER", "phone"),
    ("Phone No.", "phone"),
    ("e-mail address", "email"),
    ("Customer Name", "name"),
    ("Device", "item"),
    ("Fault Description", "problem"),
    ("IMEI", "serial"),
    ("S/N", "serial"),
    ("due_date", "promised"),
    ("Received (Asia/Bangkok)", "received"),
    ("Assigned to", "technician"),
    ("Price estimate", "estimate"),
    ("Gerät", "item"),
    ("GERAET", "item"),
    ("Tel.", "phone"),
    ("Número de teléfono", "phone"),
    ("N° de téléphone", "phone"),
    ("Reçue le", "received"),
]
# What a form calls these, in every language.
CALLED = {
    "Name": "name",
    "Phone": "phone",
    "Email": "email",
    "Item": "item",
    "Problem": "problem",
    "Serial number or IMEI": "serial",
    "Left with it": "accessories",
    "Status": "status",
    "Received": "received",
    "Promised": "promised",
    "Estimate": "estimate",
    "Technician": "technician",
    "Branch": "branch",
    "Note": "note",
    "Code": "code",
}


@pytest.mark.parametrize(("heading", "field"), HEADINGS)
def test_columns_are_known_by_what_others_call_them(heading, field):
    listed = reading.read(f"x,{heading}" + ("" if field == "phone" else ",Phone") + "\na,b,c")
    assert listed.fields[field] == 1
    assert listed.unknown == ["x"]


@pytest.mark.parametrize("spoken", language.NAMES)
def test_columns_are_known_by_what_a_form_calls_them_in_every_language(app, spoken):
    with force_locale(spoken):
        listed = reading.read(",".join(gettext(label) for label in CALLED) + "\nx")
    assert [*listed.fields] == [*CALLED.values()]
    assert listed.unknown == []


def test_no_heading_stands_for_two_columns():
    named = " ".join(reading.COLUMNS.values()).split()
    assert len(named) == len({*named})


@pytest.mark.parametrize(
    "written", ["", "\n\n", "Name,Email\nAna,a@b", "Phone", 'Phone\n"' + "x" * 30_000, "Phone\n" + "1\n" * 5001]
)
def test_what_is_no_list_is_refused_with_a_sentence(written):
    with pytest.raises(ValueError, match=r"[.?]"):
        reading.read(written)


DATES = [
    ("2026-11-23", "2026-11-23 18:00"),
    ("2026-11-23 09:05", "2026-11-23 09:05"),
    ("2026-11-23T09:05:59", "2026-11-23 09:05"),
    ("2026-11-23T09:05:00Z", "2026-11-23 16:05"),
    ("23.11.2026", "2026-11-23 18:00"),
    ("3/11/2026", "2026-11-03 18:00"),
    ("11/23/2026 6:30 PM", "2026-11-23 18:30"),
    ("11/23/2026, 12:10 a.m.", "2026-11-23 00:10"),
    ("23 Nov 2026", "2026-11-23 18:00"),
    ("November 23, 2026 9:05", "2026-11-23 09:05"),
]


@pytest.mark.parametrize(("written", "here"), DATES)
def test_a_date_is_read_as_it_is_written(written, here):
    at = reading.moment(written, "Asia/Bangkok", "TH", at=time(18))
    assert at.tzinfo
    assert (at + timedelta(hours=7)).strftime("%Y-%m-%d %H:%M") == here


def test_where_people_write_the_month_first_it_is_read_so():
    assert reading.moment("3/11/2026", "UTC", "US", at=time(0)).month == 3
    assert reading.moment("3/11/2026", "UTC", "GB", at=time(0)).month == 11


@pytest.mark.parametrize(
    "written", ["soon", "2026-02-30", "31.31.2026", "45000", "2026-11-23 25:00", "1 Foo 2026", "2026-11-23 x"]
)
def test_what_is_no_date_is_refused_with_a_sentence(written):
    with pytest.raises(ValueError, match="is no date"):
        reading.moment(written, "UTC", "TH", at=time(0))


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("", "received"),
        ("In Progress", "repairing"),
        ("WAITING FOR PARTS", "waiting_parts"),
        ("ready for pick-up", "ready"),
    ],
)
def test_a_status_is_known_by_what_others_call_it(written, status):
    assert reading.status(written) == status


def test_a_status_is_known_by_what_the_reader_calls_it_too(monkeypatch):
    monkeypatch.setitem(LABELS, Status.READY, "Zur Abholung bereit")
    assert reading.status("zur Abholung bereit") == reading.status("Ready") == Status.READY
    with pytest.raises(ValueError, match="Testing, Zur Abholung bereit"):
        reading.status("Abholbereit")


AMOUNTS = [
    ("1,200.50", 120050),
    ("49,- €", 4900),
    ("49.-", 4900),
    ("49.–", 4900),
    ("49,--", 4900),
    ("CHF 80.-", 8000),
    ("Fr. 1’200.—", 120000),
    ("1.200,- EUR", 120000),
    ("1\u202f200,50 €", 120050),
    ("50 kr.", 5000),
    ("Rs.500", 50000),
    ("S/. 50", 5000),
    ("49.90 (incl. VAT)", 4990),
    ("", None),
    ("-", None),
    ("–", None),
]


@pytest.mark.parametrize(("written", "minor"), AMOUNTS)
def test_a_price_is_read_as_people_write_it(written, minor):
    assert reading.amount(written, "CHF") == minor


@pytest.mark.parametrize("written", ["-5", "−5,00 €", "– 5.00", "€ -5", "EUR-5", "(49.90)", "CHF (49.-)"])
def test_a_price_below_nothing_is_refused(written):
    with pytest.raises(ValueError, match=r"^The estimate is less than nothing\.$"):
        reading.amount(written, "CHF")


@pytest.mark.parametrize(
    "written", ["80-100", "80–100 €", "80 € - 100 €", "80.- – 100.-", "80/100", "80 to 100", "49€90", "49 (19 %)"]
)
def test_of_two_prices_one_is_asked_for(written):
    with pytest.raises(ValueError, match=rf"^“{re.escape(written)}” is more than one amount"):
        reading.amount(written, "CHF")


@pytest.mark.parametrize("written", ["cheap", ".50", "49.00-", "5-", "-.-"])
def test_what_is_no_price_is_refused_with_a_sentence(written):
    with pytest.raises(ValueError, match=r"^Write the amount in figures"):
        reading.amount(written, "CHF")


# --- the dry run --------------------------------------------------------------------------------


def check(client, text, status=200, **data):
    return client.send("/settings/import", {"branch": branch("MN").id, "pasted": text, **data}, status)


def fates(page):
    """{line: what becomes of it}"""
    return {
        int(row.th.get_text()): " ".join(
            row.select("td")[-1].get_text(" ").replace(" ,", ",").replace(" ;", ";").split()
        )
        for row in page.all(".fates tbody tr")
    }


def go_on(client, page, status=303):
    """Presses the button of the dry run."""
    form = next(form for form in page.all("form") if form["action"] == "/settings/import/run")
    return client.send(form["action"], {field["name"]: field["value"] for field in form.select("input")}, status)


def everything():
    return [db.session.scalar(select(func.count()).select_from(model)) for model in (Repair, Customer, Event, Activity)]


LIST = """Name,Phone,Email,Item,Problem,Status,Promised,Estimate,Note,Received,Technician,Code,Colour
Ana,081 000 0001,a@example.com,Violin,Buzzes,Waiting for parts,2026-11-25,"1,200.50",Be gentle,2026-11-01,Narin,OLD7,red
Ana,081 000 0001,,Viola,Hums,,,,,,Nobody,,
Bo,081 000 0002,,,,,,,,,,,
Malee,081 234 5678,malee@example.com,Phone,Dead,Ready,,,,,,,
Somchai,081 234 5678,,Phone,Dead,,,,,,,,
,081 000 0009,,Phone,Dead,,,,,,,,
Cy,12,,Phone,Dead,,,,,,,,
Di,081 000 0003,nonsense,Phone,Dead,,,,,,,,
Ed,081 000 0004,,Phone,,,,,,,,,
Flo,081 000 0005,,Phone,Dead,Delivered,,,,,,,
Gus,6.68E+10,,Phone,Dead,,,,,,,,
Hal,081 000 0006,,Phone,Dead,,,cheap,,,,,
Ivy,081 000 0007,,Phone,Dead,,,,,2031-01-01,,,
Jo,081 000 0001,,Phone,Dead,,,,,,,,
"""


@pytest.fixture
def narin(shop):
    """A technician at Main."""
    make_customer(name="Malee", phone="+66812345678")
    return make_staff("technician", name="Narin")


def test_the_dry_run_says_what_becomes_of_every_row_and_writes_nothing(owner, narin, clock):
    clock.set(MORNING)
    before = everything()
    page = check(owner, LIST)
    assert fates(page) == {
        2: "Taken in as Waiting for parts, Narin, received 1 Nov 2026, promised Wed, 25 Nov 2026, 18:00, "
        "estimate THB1,200.50; new customer",
        3: "Taken in as Received, unassigned, because nobody there is called “Nobody”, the customer of line 2; "
        "known customer",
        4: "new customer",
        5: "Taken in as Ready, the email is added; known customer, changed",
        6: "Refused. This number belongs to Malee, not “Somchai”.",
        7: "Refused. The name is missing, and nobody has this number yet.",
        8: "Refused. This is not a phone number.",
        9: "Refused. “nonsense” is not an email address.",
        10: "Refused. The problem is missing: what is wrong with it?",
        11: "Refused. It is delivered. Only open repairs are imported.",
        12: "Refused. The spreadsheet has cut the number off (6.68E+10). Format that column as text.",
        13: "Refused. Write the amount in figures, such as 1200 or 49.90.",
        14: "Refused. It was received on a day that is yet to come.",
        15: "Refused. Line 2 says that this number is Ana’s, not “Jo”.",
    }
    lines = [int(row.th.get_text()) for row in page.all(".fates tbody tr")]
    assert lines == [*range(6, 16), 2, 3, 4, 5], "what is refused comes first"
    tally = [" ".join(item.get_text(" ").split()) for item in page.all(".tally li")]
    assert tally == [
        "3 repairs taken in",
        "2 new customers",
        "1 customer changed",
        "1 row of a known customer",
        "10 rows refused",
    ]
    assert "Colour" in page.one(".warning").get_text()
    assert page.one("form[action='/settings/import/run'] button").get_text() == "Import 4 rows"
    assert everything() == before


def test_the_import_does_exactly_what_was_shown(owner, narin, clock):
    clock.set(MORNING)
    answer = go_on(owner, check(owner, LIST))
    assert "Imported: 3 repairs, 2 new customers." in owner.page(answer.location).text
    violin, viola, phone = db.session.scalars(select(Repair).order_by(Repair.id))
    assert [repair.code for repair in (violin, viola, phone)] == ["TH-MN-R0001", "TH-MN-R0002", "TH-MN-R0003"]
    assert db.session.scalar(select(Branch.next_number).where(Branch.code == "MN")) == 4
    assert violin.customer is viola.customer
    assert (violin.customer.name, violin.customer.phone) == ("Ana", "+66810000001")
    assert (violin.status, violin.paused_from, violin.technician) == ("waiting_parts", "diagnosing", narin)
    assert violin.estimate == 120050
    assert violin.promised_at == datetime(2026, 11, 25, 11, 0, tzinfo=UTC)
    assert violin.received_at == datetime(2026, 11, 1, 5, 0, tzinfo=UTC)
    assert [event.kind for event in violin.events] == ["received", "promised", "noted", "advanced", "paused"]
    assert violin.events[2].text == "Be gentle\nNumber before: OLD7"
    assert {event.at for event in violin.events} == {MORNING}, "history says when it was written down"
    assert [event.kind for event in phone.events] == ["received", "jumped"]
    assert phone.customer.email == "malee@example.com"
    assert db.session.scalar(select(Customer).where(Customer.name == "Bo")).repairs == []
    deed = last_deed()
    assert (deed.kind, deed.text, deed.branch_id) == ("imported", "3 repairs, 2 new customers", branch("MN").id)
    assert owner.page("/repairs?q=violin").all("#results .code")
    owner.send(f"/repairs/{violin.code}/resume", {"version": violin.version})
    owner.page(f"/t/{violin.token}")


def test_an_import_sent_twice_is_done_once(owner, narin):
    page = check(owner, LIST)
    go_on(owner, page)
    before = everything()
    answer = go_on(owner, page)
    assert "imported already" in owner.page(answer.location).text
    assert everything() == before


def test_the_same_list_uploaded_once_more_makes_nothing_twice(owner, narin):
    go_on(owner, check(owner, LIST))
    before = everything()
    # This time as a file, whose lines end otherwise.
    page = check(owner, "", file=(io.BytesIO(LIST.encode()), "x.csv"))
    shown = fates(page)
    assert shown[2] == "Refused. Imported before as TH-MN-R0001."
    assert {shown[line] for line in (3, 5)} == {"Refused. This row was imported before."}
    assert shown[4] == "known customer"
    assert "nothing to import" in page.text
    assert everything() == before


def test_what_was_refused_comes_in_when_the_same_list_is_uploaded_after_the_reason_is_gone(owner, narin):
    go_on(owner, check(owner, LIST))
    make_customer(name="Nok", phone="+66810000009")
    page = check(owner, LIST)
    assert fates(page)[7] == "Taken in as Received; known customer"
    go_on(owner, page)
    assert db.session.scalar(select(func.count()).select_from(Repair)) == 4
    assert "imported already" in owner.page(go_on(owner, page).location).text
    assert fates(check(owner, LIST, branch=branch("RV").id))[2].startswith("Taken in"), "the wrong branch was chosen"


def test_a_list_that_is_mended_brings_only_what_was_mended(owner, narin):
    go_on(owner, check(owner, LIST))
    lines = LIST.splitlines()
    mended = [lines[0], *reversed(lines[1:]), "Ana,081 000 0001,,Kettle,Leaks"]
    before = everything()
    shown = fates(check(owner, "\n".join(mended)))
    assert sum("mported before" in fate for fate in shown.values()) == 3, shown
    assert everything() == before


def test_two_things_that_are_alike_are_two_repairs_and_stay_two(owner):
    rows = "Name,Phone,Item,Problem\n" + "Ana,081 000 0001,Bicycle,Flat tyre\n" * 2
    go_on(owner, check(owner, rows))
    assert db.session.scalar(select(func.count()).select_from(Repair)) == 2
    third = fates(check(owner, rows + "Ana,081 000 0001,Bicycle,Flat tyre\n"))
    assert [text.startswith("Taken in") for text in third.values()] == [False, False, True]


def test_what_was_handed_back_may_come_again(owner):
    row = "Name,Phone,Item,Problem\nAna,081 000 0001,Bike 7,Yearly service\n"
    for visit in range(3):
        page = check(owner, row)
        assert ("the same was here before" in fates(page)[2]) == (visit > 0)
        go_on(owner, page)
        assert "imported before" in fates(check(owner, row))[2]
        for repair in db.session.scalars(select(Repair)):
            repair.status = "delivered"
        db.session.commit()
    assert db.session.scalar(select(func.count()).select_from(Repair)) == 3


TICKETS = "Ticket,Name,Phone,Device,Fault,Status\n"


def test_a_ticket_that_comes_again_in_another_state_makes_no_second_repair(owner):
    go_on(owner, check(owner, TICKETS + "T-881,Ana,081 000 0001,Violin,Buzzes,Diagnosis\n"))
    before = everything()
    # The next day's list of the other program: moved on, in other words, a phone number written otherwise.
    for status, said in [
        ("Ready", "Imported before as TH-MN-R0001, which is “Diagnosing” now: move it there."),
        ("Delivered", "Imported before as TH-MN-R0001, which is “Diagnosing” now: move it there."),
        ("Diagnosing", "Imported before as TH-MN-R0001."),
        ("", "Imported before as TH-MN-R0001."),
    ]:
        page = check(owner, TICKETS + f" t-881 ,Ana,+66 81 000 0001,Violin,Buzzes and hums,{status}\n")
        assert fates(page) == {2: f"Refused. {said}"}
        assert "nothing to import" in page.text
    assert everything() == before


def test_the_same_code_at_another_customers_or_branch_is_another_ticket(owner):
    row = "881,{},Violin,Buzzes,\n"
    go_on(owner, check(owner, TICKETS + row.format("Ana,081 000 0001")))
    others = TICKETS + row.format("Bo,081 000 0002") + "882,Ana,081 000 0001,Violin,Buzzes,\n"
    assert all(fate.startswith("Taken in") for fate in fates(check(owner, others)).values())
    assert fates(check(owner, TICKETS + row.format("Ana,081 000 0001"), branch=branch("RV").id))[2].startswith("Taken")
    # A row that names its branch goes there, and is known there, whatever is chosen for the others.
    named = "Ticket,Name,Phone,Device,Fault,Branch\n883,Ana,081 000 0001,Viola,Hums,{}\n"
    go_on(owner, check(owner, named.format("RV")))
    for name, chosen in (("Riverside", "MN"), ("", "RV")):
        again = fates(check(owner, named.format(name), branch=branch(chosen).id))
        assert again == {2: "Refused. Imported before as TH-RV-R0001."}


def test_of_two_rows_with_one_code_the_second_is_refused_if_the_first_comes_in(owner):
    page = check(
        owner,
        TICKETS
        + "T-1,Ana,081 000 0001,Violin,Buzzes,\n"
        + "t-1,Ana,081 000 0001,violin,Bent,\n"
        + "T-2,Ana,081 000 0001,Viola,,\n"
        + "T-2,Ana,081 000 0001,Viola,Hums,\n"
        # No codes: a dash, and the numbers of two rows that bring a customer alone.
        + "-,Ana,081 000 0001,Cello,Growls,\n"
        + "-,Ana,081 000 0001,Cello,Growls,\n"
        + "7,Bo,081 000 0002,,,\n"
        + "7,Bo,081 000 0002,,,\n"
        # All that somebody left has one code.
        + "T-1,Ana,081 000 0001,Bow,Bent,\n",
    )
    shown = fates(page)
    assert shown[3] == "Refused. Line 2 has this code too: each repair needs one of its own."
    assert shown[4] == "Refused. The problem is missing: what is wrong with it?"
    assert all(shown[line].startswith("Taken in") for line in (2, 5, 6, 7, 10))
    assert shown[9].startswith("known customer")
    go_on(owner, page)
    assert db.session.scalar(select(func.count()).select_from(Repair)) == 5


def test_a_ticket_that_was_handed_back_may_come_again(owner):
    row = TICKETS + "T-881,Ana,081 000 0001,Violin,Buzzes,{}\n"
    for visit, status in enumerate(("Diagnosing", "Testing", "Ready")):
        page = check(owner, row.format(status))
        assert ("the same was here before" in fates(page)[2]) == (visit > 0)
        go_on(owner, page)
        assert fates(check(owner, row.format("")))[2] == f"Refused. Imported before as TH-MN-R000{visit + 1}."
        for repair in db.session.scalars(select(Repair)):
            repair.status = "delivered"
        db.session.commit()


def test_what_was_imported_before_codes_were_minded_is_known_by_its_row(owner):
    text = TICKETS + "T-881,Ana,081 000 0001,Violin,Buzzes,Testing\n"
    go_on(owner, check(owner, text))
    listed = reading.read(text)
    cells = tuple(listed.cells(listed.rows[0][1]).values())
    repair = db.session.scalars(select(Repair)).one()
    repair.intake_key = sha256(repr((branch("MN").id, cells, 0)).encode()).hexdigest()[:32]
    db.session.commit()
    assert fates(check(owner, text)) == {2: "Refused. Imported before as TH-MN-R0001."}
    repair.status = "delivered"
    db.session.commit()
    assert "the same was here before: TH-MN-R0001" in fates(check(owner, text))[2]
    go_on(owner, check(owner, text))
    assert fates(check(owner, text)) == {2: "Refused. Imported before as TH-MN-R0002."}


def test_customers_alone_sent_twice_are_said_to_be_here(owner):
    page = check(owner, "Name,Phone\nAna,081 000 0001\nBo,081 000 0002\n")
    go_on(owner, page)
    before = everything()
    again = go_on(owner, page, 409)
    assert again.one("[role=alert]").get_text() == "Nothing new to import: all of it is here already."
    assert everything() == before


def test_a_price_as_germans_write_it_comes_in_and_a_range_does_not(owner):
    page = check(
        owner,
        "Name,Phone,Item,Problem,Estimate\n"
        'Ana,081 000 0001,Violin,Buzzes,"49,- €"\n'
        "Bo,081 000 0002,Violin,Buzzes,80-100\n"
        "Cy,081 000 0003,Violin,Buzzes,-5\n",
    )
    assert fates(page) == {
        2: "Taken in as Received, estimate THB49.00; new customer",
        3: "Refused. “80-100” is more than one amount. Write one.",
        4: "Refused. The estimate is less than nothing.",
    }
    go_on(owner, page)
    assert db.session.scalar(select(Repair.estimate)) == 4900


@pytest.mark.parametrize("column", ["Received", "Promised"])
def test_a_year_that_nobody_meant_is_refused(owner, column):
    page = check(owner, f"Name,Phone,Item,Problem,{column}\nAna,081 000 0001,Violin,Buzzes,3.11.1926\n")
    assert fates(page) == {2: "Refused. “3.11.1926” lies before the year 2000: is the year right?"}


def test_pasted_numbers_tell_a_manager_no_names_of_another_branch(owner, manager):
    theirs, nobodys = make_customer(name="Malee", phone="+66812345678"), make_customer(phone="+66812345679", name="Nok")
    make_repair(customer=theirs, branch="RV")
    text = (
        "Name,Phone,Email\n,081 234 5678,\nx,081 234 5678,\nmalee,081 234 5678,m@example.com\nx,081 234 5678,\n"
        "x,081 234 5679,\n"
    )
    page = check(manager, text)
    assert "Malee" not in page.html
    assert fates(page) == {
        2: "known customer",
        3: "Refused. This number belongs to a customer of another branch, not “x”.",
        4: "known customer, changed, the email is added",
        5: "Refused. This number belongs to a customer of another branch, not “x”.",
        6: f"Refused. This number belongs to {nobodys.name}, not “x”.",
    }
    assert fates(check(owner, text))[3] == "Refused. This number belongs to Malee, not “x”."


def test_when_the_shop_has_changed_meanwhile_the_new_fates_are_shown_and_nothing_is_written(owner, narin):
    page = check(owner, LIST)
    make_customer(name="Somebody else", phone="+66810000002")
    before = everything()
    again = go_on(owner, page, 409)
    assert "changed meanwhile" in again.one("[role=alert]").get_text()
    assert fates(again)[4] == "Refused. This number belongs to Somebody else, not “Bo”."
    assert everything() == before
    go_on(owner, again)


def test_refused_rows_come_back_with_the_reason(owner, narin):
    page = check(owner, LIST)
    form = next(form for form in page.all("form") if form["action"].endswith("refused.csv"))
    back = owner.send(form["action"], {field["name"]: field["value"] for field in form.select("input")}, 200)
    rows = rows_of(back)
    assert len(rows) == 10
    assert rows[0]["Why"] == "This number belongs to Malee, not “Somchai”."
    assert (rows[0]["Customer"], rows[0]["Item"], rows[0]["Problem"]) == ("Somchai", "Phone", "Dead")
    assert fates(check(owner, back.html)).keys() == {*range(2, 12)}, "mended, it can be uploaded as it is"


def test_a_file_is_uploaded_and_what_an_export_wrote_can_be_read(owner, clock):
    clock.set(MORNING)
    repair = make_repair(item="=Violin", estimate=1200)
    exported = export(owner).html
    page = owner.send(
        "/settings/import", {"branch": branch("MN").id, "file": (io.BytesIO(exported.encode("utf-16")), "x.csv")}, 200
    )
    assert fates(page) == {2: f"Refused. {repair.code} is in this shop already."}
    page = check(owner, exported.replace(repair.code, "XX-1"))
    assert fates(page) == {2: "Taken in as Received, received 23 Nov 2026, estimate THB12.00; known customer"}
    go_on(owner, page)
    copy = db.session.scalars(select(Repair).order_by(Repair.id.desc()).limit(1)).one()
    assert (copy.item, copy.estimate) == ("=Violin", 1200)


def test_a_manager_imports_into_their_own_branch_alone(manager, technician, front_desk):
    text = (
        "Phone,Name,Item,Problem,Branch\n081 000 0001,Ana,Violin,Buzzes,Riverside\n081 000 0002,Bo,Violin,Buzzes,mn\n"
    )
    page = check(manager, text)
    assert fates(page)[2] == "Refused. There is no branch “Riverside” that you work at."
    go_on(manager, page)
    assert [repair.code for repair in db.session.scalars(select(Repair))] == ["TH-MN-R0001"]
    check(manager, text, 422, branch=branch("RV").id)
    for client in (technician, front_desk):
        client.page("/settings/import", 403)
        assert not client.page("/repairs").all("a[href='/settings/import']")
    assert manager.page("/repairs").all("a[href='/settings/import']")


def test_a_row_may_name_another_branch(owner):
    pim = make_staff("technician", name="Pim", branch_id=branch("RV").id)
    page = check(owner, "Phone,Name,Item,Problem,Branch,Technician\n081 000 0001,Ana,Violin,Buzzes,RV,pim\n")
    assert fates(page) == {2: "Taken in as Received, Riverside, Pim; new customer"}
    go_on(owner, page)
    repair = db.session.scalars(select(Repair)).one()
    assert (repair.code, repair.technician) == ("TH-RV-R0001", pim)


BROKEN = [
    "",
    "x",
    "====",
    urlsafe_b64encode(b"x").decode(),
    urlsafe_b64encode(zlib.compress(b"a" * 20_000_000)).decode(),
]


@pytest.mark.parametrize("carried", BROKEN)
@pytest.mark.parametrize("page", ["run", "refused.csv"])
def test_a_list_that_did_not_arrive_whole_is_asked_for_again(owner, carried, page):
    form = {"branch": branch("MN").id, "carried": carried, "shown": "x"}
    assert owner.send(f"/settings/import/{page}", form, 422).one("[role=alert]").get_text()


def test_a_list_that_cannot_be_read_says_why_by_its_field_and_is_kept(owner, monkeypatch):
    page = check(owner, "Name\nAna", 422)
    assert "No column is called Phone" in page.one("#pasted-error").get_text()
    assert page.one("textarea[name=pasted]").get_text().strip() == "Name\nAna"
    page = check(owner, "", 422)
    assert "Choose a file" in page.one("#file-error").get_text()
    monkeypatch.setattr(reading, "MOST_BYTES", 1000)
    big = io.BytesIO(b"Phone\n" + b"1" * 1000)
    page = owner.send("/settings/import", {"branch": branch("MN").id, "file": (big, "x.csv")}, 422)
    assert "2 MB" in page.one("#file-error").get_text()


def test_a_pasted_list_may_be_as_large_as_a_file(owner):
    for length, too_large in ((reading.MOST_BYTES - 100, False), (reading.MOST_BYTES + 100, True)):
        form = {"branch": branch("MN").id, "pasted": "Phone\n".ljust(length, "1")}
        said = owner.send("/settings/import", form, 422).one("#pasted-error").get_text()
        assert ("2 MB" in said) == too_large
    owner.send("/settings/import", {"pasted": "1" * (2 * reading.MOST_BYTES)}, 413)


def test_the_empty_list_to_fill_in_is_one_that_is_understood(owner):
    page = owner.page("/settings/import/template.csv")
    heading = page.html[1:].strip()
    assert reading.read(f"{heading}\n{',' * heading.count(',')}x").unknown == []
