"""Search by trigrams: what is found, and that no page reads through a table that grows."""

import re

import pytest
from sqlalchemy import event, text

from app import search
from app.customers import actions as customers
from app.db import db
from app.reads import QuickRead
from app.repairs import actions

from .factories import branch, make_customer, make_repair, make_staff


def found(client, typed, **query):
    page = client.page("/repairs", query_string={"q": typed} | query)
    return {cell.get_text() for cell in page.all("#results li .code")}


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "spellings"),
    [
        ("iPhone", [{"iphone"}]),
        ("José Zoë", [{"jose"}, {"zoe"}]),
        ("35 693803-564380-9", [{"35 693803-564380-9", "356938035643809"}]),
        ("081 234 5678", [{"081 234 5678", "0812345678", "812345678"}]),
        ("+66 81 234 5678", [{"+66 81 234 5678", "+66812345678", "66812345678"}]),
        ("Łukasz Søren", [{"lukasz"}, {"soren", "soeren"}]),
        ("MÜLLER Go\u0308tz Åse", [{"muller", "mueller"}, {"gotz", "goetz"}, {"ase", "aase"}]),
        ("Mueller Goetz", [{"mueller", "muller"}, {"goetz", "gotz"}]),
        # None of these has an umlaut, or enough letters without it.
        ("blue queen Bauer Joe Oel", [{"blue"}, {"queen"}, {"bauer"}, {"joe"}, {"oel"}]),
        ("100%", [{"100%"}]),
        ("-- ana", [{"--"}, {"ana"}]),
        ("", []),
    ],
)
def test_a_word_is_looked_for_in_every_spelling_it_may_have(typed, spellings):
    assert search.words(typed) == spellings


@pytest.mark.parametrize(
    ("typed", "is_short"),
    [("a", True), ("jo an", True), ("ana", False), ("jo ana", False), ("王芳", False), ("Mü", True)],
)
def test_a_search_is_short_when_no_word_has_three_letters(typed, is_short):
    assert search.is_short(typed) is is_short


# --- what is found ------------------------------------------------------------------------------


def test_a_finished_repair_is_found_by_any_three_letters_in_a_row_of_it_or_its_customer(owner):
    malee = make_customer(name="Malee Réunion", phone="+66812345678", email="malee@example.com")
    done = make_repair(status="delivered", customer=malee, item="Nikon FM2", serial="N7 123-456")
    make_repair(status="delivered", item="Violin")
    for typed in ("iko", "MALEE", "reunion", "lee nik", "ample.c", "081 234 56", "n7 123", "N7123456", done.code):
        assert found(owner, typed) == {done.code}, typed
    assert found(owner, "malee violin") == set()


NAMES = [
    ("Łukasz Wójcik", "lukasz", "LUKASZ wojcik", "Łukasz"),
    ("Søren Ærø", "soren", "Soeren", "aero", "SØREN"),
    ("Đorđe Þór", "dorde", "thor", "þór"),
    ("Jürgen Müller", "mueller", "Juergen Mueller", "MUELLER", "muller", "müller"),
    ("Ana Mueller", "mueller", "Müller"),
    ("Aase Soerensen", "Åse", "Sørensen"),
    ("Işıl Cœur", "isil", "coeur"),
    ("Ħamrun Gŋapi", "hamrun", "gnapi"),
]


@pytest.mark.parametrize(("name", "typed"), [(name, word) for name, *words in NAMES for word in words])
def test_a_name_is_found_without_the_letters_that_a_keyboard_lacks(owner, name, typed):
    them, _somebody = make_customer(name=name), make_customer(name="Ana Souza")
    codes = {make_repair(customer=them, status=status).code for status in ("delivered", "received")}
    assert found(owner, typed) == codes
    page = owner.page("/customers", query_string={"q": typed})
    assert [row.get_text() for row in page.all("#results li b")] == [name]


@pytest.mark.parametrize("typed", ['"', '""', '" OR "nik', "nik*", "nik:", "^nik", "NEAR(nik)", "nik\\", "%", "_ik"])
def test_what_is_typed_is_never_an_operator(owner, typed):
    make_repair(status="delivered", item="Nikon FM2")
    make_repair(item="Nikon FM2")
    assert found(owner, typed) == set()


def test_two_letters_look_among_what_is_open_and_the_page_says_so(owner):
    open_one, done = make_repair(item="Zq 1"), make_repair(item="Zq 2", status="delivered")
    assert found(owner, "zq") == {open_one.code}
    assert "three letters search the finished ones too" in owner.page("/repairs?q=zq").one(".found").get_text()
    assert found(owner, "zq", show="delivered") == {done.code}
    assert "three letters" not in owner.page("/repairs?q=zq&show=delivered").one(".found").get_text()


def test_a_name_of_two_characters_is_found_among_the_finished_ones_too(owner):
    done = make_repair(status="delivered", customer=make_customer(name="王芳"))
    assert found(owner, "王芳") == {done.code}


def test_a_customer_who_changes_takes_their_repairs_along(owner):
    malee = make_customer(name="Malee")
    codes = {make_repair(customer=malee, status=status).code for status in ("delivered", "received")}
    assert found(owner, "malee") == codes
    customers.change(malee, by=make_staff(), name="Ploy Suksan", phone="+66899999999", email="")
    assert found(owner, "malee") == set()
    assert found(owner, "suksan") == found(owner, "0899999999") == codes
    assert "Ploy Suksan" in owner.page("/customers?q=suksan").text
    assert "Nobody found" in owner.page("/customers?q=malee").text


def test_an_edited_repair_is_found_by_what_it_is_now(owner):
    repair, by = make_repair(item="Violin", status="delivered"), make_staff("owner")
    details = {
        name: getattr(repair, name) for name in ("problem", "serial", "accessories", "technician_id", "estimate")
    }
    actions.edit(repair, by=by, version=repair.version, item="Viola", **details)
    assert found(owner, "violin") == set()
    assert found(owner, "viola") == {repair.code}


def test_the_index_of_words_agrees_with_the_tables(owner):
    if db.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL keeps its indexes itself")
    malee = make_customer(name="Malee")
    make_repair(customer=malee, status="ready")
    customers.change(malee, by=make_staff(), name="Ploy", phone=malee.phone, email="")
    db.session.delete(make_customer(name="Nobody's"))
    db.session.commit()
    for table in ("repair", "customer"):
        db.session.execute(text(f"INSERT INTO {table}_words({table}_words, rank) VALUES ('integrity-check', 1)"))


# --- by an index --------------------------------------------------------------------------------

PAGES = [
    "/repairs",
    "/repairs?branch=1",
    "/repairs?show=late&sort=oldest",
    "/repairs?show=today&branch=1",
    "/repairs?show=ready&sort=newest",
    "/repairs?show=delivered&page=2",
    "/repairs?show=delivered&branch=1&sort=oldest",
    "/repairs?show=cancelled",
    "/repairs?q=iphone",
    "/repairs?q=iphone+screen&branch=1",
    "/repairs?q=mueller",
    "/repairs?q=081+234+5678&sort=oldest",
    "/customers",
    "/customers?q=customer",
    "/customers?q=mueller+goetz",
    "/customers/1",
    "/repairs/{code}",
    "/t/{token}",
    "/t/{token}/live",
]
# These are read whole, and stay small: a shop has a few branches and people, a page the ids of fifty rows.
SMALL = {"shop", "branch", "staff", "customer_words", "repair_words", "page"}


@pytest.fixture
def asked(app, monkeypatch):
    """(SQL, its values) of every SELECT that was sent since it was last cleared."""
    said = []

    def listen(connection, cursor, statement, values, *_):
        if statement.startswith("SELECT"):
            said.append((statement, values))

    def read(self, **values):
        rows = all_rows(self, **values)
        sql, names, _ = self._prepared[db.engine.dialect.name]
        said.append((sql, tuple(values[name] for name in names) if names else values))
        return rows

    all_rows = QuickRead.all
    monkeypatch.setattr(QuickRead, "all", read)
    event.listen(db.engine, "before_cursor_execute", listen)
    yield said
    event.remove(db.engine, "before_cursor_execute", listen)


def plan(connection, statement, values):
    """How the database would answer: one step a line."""
    if connection.dialect.name == "sqlite":
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    return [row[0].strip(" ->") for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values)]


def read_whole(steps):
    """The tables that a plan reads from end to end."""
    scans = [re.match(r"(?:SCAN|Seq Scan on) (\w+)(.*)", step) for step in steps]
    return {scan[1] for scan in scans if scan and " USING " not in scan[2]} - SMALL


@pytest.mark.parametrize("page", PAGES)
def test_no_page_reads_through_a_table_that_grows(owner, asked, page):
    make_repair(status="delivered", branch=branch("MN"))
    repair = make_repair(status="repairing", branch=branch("MN"))
    asked.clear()
    owner.page(page.format(code=repair.code, token=repair.token))
    assert asked
    with db.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # With two rows no index pays; what counts is whether there is one that could.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for statement, values in asked:
            steps = plan(connection, statement, values)
            assert not read_whole(steps), "\n".join([statement, *steps])


def test_the_newest_finished_repairs_are_found_without_sorting_all_that_match(owner, asked):
    if db.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL decides by its statistics")
    make_repair(status="delivered")
    for url in ("/repairs?q=iphone&show=delivered", "/repairs?show=delivered", "/repairs?show=delivered&branch=1"):
        asked.clear()
        owner.page(url)
        rows = [statement for statement, _ in asked if "FROM repair" in statement and "LIMIT" in statement]
        assert len(rows) == 1, rows
        with db.engine.connect() as connection:
            steps = plan(connection, *next(each for each in asked if each[0] == rows[0]))
        # The fifty that are found are put in order once more when they are read.
        found = steps[: steps.index("SCAN page")]
        assert found
        assert not [step for step in found if "ORDER BY" in step], "\n".join(steps)


def test_the_customers_of_a_town_are_listed_by_name_along_an_index(owner, asked):
    if db.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL decides by its statistics")
    for name in ("zoe", "Amélie", "Bob"):
        make_customer(name=name)
    asked.clear()
    names = [link.get_text() for link in owner.page("/customers").all("#results li b")]
    assert names == ["Amélie", "Bob", "zoe"]
    with db.engine.connect() as connection:
        steps = [step for each in asked for step in plan(connection, *each)]
    assert not [step for step in steps if "ORDER BY" in step], "\n".join(steps)
