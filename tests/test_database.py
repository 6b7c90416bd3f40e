"""The database in trouble: crowded, locked, full, away. What people are told, and that it passes."""

import fcntl
import json
import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from functools import partial

import pytest
from sqlalchemy import event, func, select

from app import create_app, turns
from app.db import PATIENCE, db, let_go
from app.models import Event

from .conftest import OVERRIDES, POSTGRESQL
from .factories import make_customer, make_repair, make_staff

HTMX = {"HX-Request": "true"}
on_sqlite = pytest.mark.skipif(bool(POSTGRESQL), reason="this is about SQLite")
on_postgresql = pytest.mark.skipif(not POSTGRESQL, reason="this is about PostgreSQL")


@pytest.fixture
def in_earnest(app):
    """The app as it is outside of tests: a fault becomes a page."""
    app.testing = False
    yield app
    app.testing = True


def note(browser, repair, words="Dented."):
    """The address and the form of a note that is about to be sent."""
    form = {"csrf_token": browser.csrf_token(), "version": repair.version, "text": words}
    url = f"/repairs/{repair.code}/notes"
    db.session.commit()
    return {"path": url, "data": form}


def notes():
    """How many notes there are."""
    count = db.session.scalar(select(func.count()).where(Event.kind == "noted"))
    db.session.rollback()
    return count


def new_connections():
    """Ends every connection that waits for its next use."""
    let_go()


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_a_process_has_no_more_connections_than_its_threads_need(tmp_path, threads):
    file = {"DATA_DIR": str(tmp_path), "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'shop.db'}"}
    app = create_app(OVERRIDES | file | {"THREADS": threads})
    options = app.config["SQLALCHEMY_ENGINE_OPTIONS"]
    assert options["max_overflow"] >= 0, "less than none would be any number"
    assert options["pool_size"] + options["max_overflow"] == 2 * threads


# --- many at once -------------------------------------------------------------------------------


def test_of_many_who_change_the_same_repair_at_once_one_is_first_and_the_others_are_told(in_earnest, owner):
    repair = make_repair()
    version, start = repair.version, threading.Barrier(8)
    browsers = [in_earnest.test_client().be(make_staff("owner")) for _ in range(8)]
    forms = [{"csrf_token": browser.csrf_token(), "version": version} for browser in browsers]
    code = repair.code
    db.session.commit()

    def advance(browser, form):
        start.wait()
        return browser.post(f"/repairs/{code}/advance", data=form).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(advance, browsers, forms))
    assert statuses == [303] + [409] * 7
    db.session.refresh(repair)
    assert (repair.status, repair.version) == ("diagnosing", version + 1)


@on_sqlite
def test_everyone_writes_in_the_order_in_which_they_came(app, shop):
    order, people = [], []
    begun = db.engine.begin()
    begun.__enter__()

    def write(number):
        with db.engine.begin():
            order.append(number)

    def work(number):
        with app.app_context():
            write(number)

    for number in range(6):
        people.append(threading.Thread(target=work, args=(number,)))
        people[-1].start()
        while len(turns._line) < number + 2 and people[-1].is_alive():
            people[-1].join(0.001)
    begun.__exit__(None, None, None)
    for person in people:
        person.join(10)
    assert order == [0, 1, 2, 3, 4, 5]
    assert not turns._line


@pytest.fixture
def another_process(tmp_path):
    """Another process's turn to write into a database in that folder; ends it when it is called."""
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    return partial(os.close, folder)


def test_nobody_waits_without_end_for_a_process_that_stands_still(tmp_path, another_process):
    database, begun, threads = str(tmp_path / "shop.db"), time.monotonic(), threading.active_count()
    for _ in range(3):
        turns.take("late", database, 0.2)
        turns.end("late")
    assert 0.6 <= time.monotonic() - begun < 3
    assert threading.active_count() == threads + 1, "one waits for all of them"
    another_process()
    # What was asked for in vain holds nobody up once it comes.
    turns.take("next", database, 5)
    assert turns._folder >= 0
    turns.end("next")


def test_a_thread_that_cannot_be_started_leaves_the_line_as_it_was(tmp_path, another_process, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            turns.take("one", str(tmp_path / "shop.db"), 0.2)
    turns.end("one")
    assert not turns._line
    assert tmp_path not in turns._errands


def test_the_turn_comes_when_the_other_process_is_done(tmp_path, another_process):
    with ThreadPoolExecutor(1) as pool:
        turn = pool.submit(turns.take, "next", str(tmp_path / "shop.db"), 10)
        assert not wait([turn], 0.1).done
        another_process()
        turn.result(5)
    assert turns._folder >= 0
    turns.end("next")


def test_whoever_waits_has_an_answer_before_the_browser_gives_up(owner):
    config = json.loads(owner.page("/repairs").one("meta[name=htmx-config]")["content"])
    assert config["defaultTimeout"] > PATIENCE * 1000


ANSWERS = {
    "done": ("/repairs/{code}/notes", {"version": "{version}", "text": "Dented."}, 200),
    "refused": ("/repairs/{code}/notes", {"version": "{version}", "text": ""}, 422),
    "many done": ("/repairs/bulk", {"do": "next", "pick": "{code}:{version}"}, 200),
    "many refused": ("/repairs/bulk", {"do": "next", "pick": "{code}:0"}, 422),
    "a view without a name": ("/repairs/views", {"name": ""}, 422),
    "taken in with a mistake": ("/repairs/new", {"phone": "081"}, 422),
    "edited with a mistake": ("/repairs/{code}/edit", {"version": "{version}", "item": ""}, 422),
    "edited too late": ("/repairs/{code}/edit", {"version": "0", "item": "Radio"}, 409),
    "a customer without a name": ("/customers/{customer}/edit", {"name": "", "phone": "081 234 5678"}, 422),
    "a customer with another's number": ("/customers/{customer}/edit", {"name": "Ana", "phone": "081 111 1111"}, 422),
    "a colleague without a name": ("/settings/staff/new", {"name": ""}, 422),
}


@on_sqlite
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_drawn_while_others_write(owner, answer):
    repair, _ = make_repair(), make_customer(phone="+66811111111")
    url, form, status = ANSWERS[answer]
    known = {"code": repair.code, "version": repair.version, "customer": repair.customer_id}
    begins = []

    def listen(connection, cursor, statement, *rest):
        begins.extend([statement] if statement.startswith("BEGIN") else [])

    event.listen(db.engine, "before_cursor_execute", listen)
    try:
        owner.htmx(url.format(**known), {name: value.format(**known) for name, value in form.items()}, status)
    finally:
        event.remove(db.engine, "before_cursor_execute", listen)
    assert begins == ["BEGIN IMMEDIATE", "BEGIN"]


# --- locked by somebody else --------------------------------------------------------------------


@contextmanager
def impatient(monkeypatch):
    """Connections that wait a moment for a lock, where those of a shop wait for seconds."""
    monkeypatch.setattr("app.db.PATIENCE", 0.2)

    def hurry(connection, record):
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA busy_timeout = 200")
        else:
            connection.execute("SET lock_timeout = 200")
            connection.commit()

    new_connections()
    event.listen(db.engine, "connect", hurry)
    try:
        yield
    finally:
        event.remove(db.engine, "connect", hurry)
        new_connections()


def lock(elsewhere):
    """Holds every repair, as a change does that is not finished."""
    if POSTGRESQL:
        elsewhere.exec_driver_sql("BEGIN")
        elsewhere.exec_driver_sql("SELECT 1 FROM repair FOR UPDATE")
    else:
        elsewhere.exec_driver_sql("ROLLBACK")
        elsewhere.exec_driver_sql("BEGIN IMMEDIATE")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_whoever_waits_too_long_for_others_is_asked_to_try_again_and_then_can(
    in_earnest, owner, elsewhere, monkeypatch, headers
):
    waiting = note(owner, make_repair())
    with impatient(monkeypatch):
        lock(elsewhere)
        answer = owner.post(**waiting, headers=headers)
        owner.page("/repairs")
        elsewhere.exec_driver_sql("ROLLBACK")
        assert answer.status_code == 503
        assert "try again" in answer.get_data(as_text=True)
        assert owner.post(**waiting).status_code == 303
    assert notes() == 1


# --- no room ------------------------------------------------------------------------------------


@contextmanager
def full(elsewhere):
    """No room in the database: SQLite may not grow, and PostgreSQL says what it says when its disk is full."""
    if POSTGRESQL:
        elsewhere.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
        )
        elsewhere.exec_driver_sql("CREATE TRIGGER no_room BEFORE INSERT ON event EXECUTE FUNCTION no_room()")
        try:
            yield
        finally:
            elsewhere.exec_driver_sql("DROP FUNCTION no_room CASCADE")
        return

    def limit(connection, record):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    new_connections()
    event.listen(db.engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(db.engine, "connect", limit)
        new_connections()


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "htmx"])
def test_a_full_disk_is_said_nothing_is_changed_and_everything_can_be_read(
    in_earnest, owner, anyone, elsewhere, headers, caplog
):
    repair = make_repair()
    code, token, saved = repair.code, repair.token, 0
    with full(elsewhere):
        # Some room may be left in what is the database's already.
        while (answer := owner.post(**note(owner, repair, "я" * 1990))).status_code == 303:
            saved += 1
        last = note(owner, repair, "я" * 1990)
        answer = owner.post(**last, headers=headers)
        assert answer.status_code == 503
        said = answer.get_data(as_text=True)
        assert "The disk is full" in said
        assert "Nothing was changed" in said
        for url in ("/repairs", f"/repairs/{code}", f"/repairs?q={code}"):
            owner.page(url)
        anyone.page(f"/t/{token}")
        anyone.page("/t/" + "a" * 22, status=404)
        assert notes() == saved
    assert owner.post(**last).status_code == 303
    assert notes() == saved + 1
    assert "POST /repairs/<code>/notes: the disk is full" in caplog.text


# --- it comes and goes --------------------------------------------------------------------------


@pytest.mark.parametrize("logs", ["", "1"], ids=["answered early", "answered by the app"])
def test_while_no_connection_can_be_had_every_page_says_so(tmp_path, logs):
    nowhere = "postgresql+psycopg://ana@127.0.0.1:1/x" if POSTGRESQL else f"sqlite:///{tmp_path / 'no folder' / 'x.db'}"
    app = create_app({"SQLALCHEMY_DATABASE_URI": nowhere, "DATA_DIR": str(tmp_path), "LOG_REQUESTS": logs})
    browser = app.test_client()
    for _ in range(2):
        asked = [browser.get(url) for url in ("/healthz", f"/t/{'x' * 22}", f"/t/{'x' * 22}/live", "/login")]
        assert [answer.status_code for answer in asked] == [503] * 4
        assert asked[0].text == "database: not reachable\n"
        assert all("cannot be reached" in answer.text for answer in asked[1:])


END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"


@on_postgresql
def test_after_the_database_was_restarted_the_next_request_is_answered(in_earnest, owner, anyone, elsewhere):
    repair = make_repair()
    code, token = repair.code, repair.token
    owner.page("/repairs")
    anyone.page(f"/t/{token}")
    for look in (
        lambda: owner.page(f"/repairs/{code}"),
        lambda: anyone.page(f"/t/{token}"),
        lambda: anyone.page("/healthz"),
    ):
        db.session.commit()
        elsewhere.exec_driver_sql(f"{END} AND pid <> pg_backend_pid()")
        look()
    dented = note(owner, repair)
    elsewhere.exec_driver_sql(f"{END} AND pid <> pg_backend_pid()")
    assert owner.post(**dented).status_code == 303


@on_postgresql
def test_a_database_that_ends_in_the_middle_of_a_request_is_no_fault_of_the_shop(in_earnest, owner, elsewhere):
    dented = note(owner, make_repair())
    lock(elsewhere)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(owner.post, **dented)
        while not elsewhere.exec_driver_sql(f"{END} AND wait_event_type = 'Lock'").all():
            assert not waiting.done()
        answer = waiting.result(10)
    elsewhere.exec_driver_sql("ROLLBACK")
    assert answer.status_code == 503
    assert "cannot be reached" in answer.get_data(as_text=True)
    assert notes() == 0
    assert owner.post(**dented).status_code == 303


@on_sqlite
@pytest.mark.parametrize(
    ("url", "status"), [("/repairs/find", 303), ("/repairs/new/customer", 200), ("/settings/import", 422)]
)
def test_a_form_that_changes_nothing_waits_for_nobody_who_writes(owner, url, status):
    with closing(sqlite3.connect(db.engine.url.database, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        owner.send(url, {"q": "lamp", "phone": "081"}, status, headers={"HX-Request": "true"})
        somebody.execute("ROLLBACK")
