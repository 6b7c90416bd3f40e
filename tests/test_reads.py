"""What is remembered of the database, and for how long: never beyond the next write of whomsoever."""

import sqlite3
import threading
from contextlib import closing

import pytest
from sqlalchemy import create_engine, select

from app import create_app, reads
from app.db import db, let_go
from app.models import Shop, Staff
from app.reads import QuickRead, Remembered

from .conftest import OVERRIDES, POSTGRESQL, Client
from .factories import make_repair

on_sqlite = pytest.mark.skipif(bool(POSTGRESQL), reason="other tests write to the same PostgreSQL server meanwhile")


@pytest.fixture
def asked():
    """Each name that was read for, in order."""
    return []


@pytest.fixture
def name(shop, asked):
    """Reads the shop's name, for a key."""

    def read(key):
        asked.append(key)
        with db.engines["reads"].connect() as connection:
            return connection.scalar(select(Shop.name))

    return read


@pytest.fixture
def remembered(shop):
    """It remembers ten values."""
    return Remembered(lambda: db.engines["reads"], most=10)


@pytest.fixture
def elsewhere(shop):
    """What another process may do to the database."""
    engine = create_engine(db.engine.url)
    yield engine
    engine.dispose()


def rename(engine, to):
    with engine.begin() as connection:
        connection.execute(Shop.__table__.update().values(name=to))


@on_sqlite
def test_a_value_is_read_once_while_nothing_is_written(remembered, name, asked):
    assert {remembered.get("a", name) for _ in range(5)} == {"Lamp & Bench"}
    remembered.get("b", name)
    assert asked == ["a", "b"]


@pytest.mark.parametrize("by", ["this process", "another process"])
def test_whoever_writes_it_is_seen(remembered, name, elsewhere, by):
    remembered.get("a", name)
    for number in range(3):
        rename(db.engine if by == "this process" else elsewhere, f"Name {number}")
        assert remembered.get("a", name) == f"Name {number}"


def test_what_is_not_committed_is_not_seen_and_then_is(remembered, name, elsewhere):
    before = remembered.get("a", name)
    with elsewhere.begin() as connection:
        connection.execute(Shop.__table__.update().values(name="Soon"))
        assert remembered.get("a", name) == before
    assert remembered.get("a", name) == "Soon"


def test_of_two_that_write_at_once_the_one_that_ends_last_is_seen_too(remembered, name, elsewhere):
    if not POSTGRESQL:
        pytest.skip("on SQLite one writes at a time")
    with elsewhere.begin() as slow:
        slow.execute(Shop.__table__.update().values(name="Slow"))
        with db.engine.begin() as quick:
            # It begins later and ends sooner.
            quick.exec_driver_sql("CREATE TEMPORARY TABLE quick (id integer) ON COMMIT DROP")
        remembered.get("a", name)
    assert remembered.get("a", name) == "Slow"


@on_sqlite
def test_the_database_is_not_asked_again_at_once(remembered, name, asked, elsewhere, monkeypatch):
    monkeypatch.setattr(reads, "FRESH", 60)
    before = remembered.get("a", name)
    rename(elsewhere, "Another")
    assert remembered.get("a", name) == before
    monkeypatch.setattr(reads, "FRESH", 0)
    assert remembered.get("a", name) == "Another"


def test_a_value_that_was_out_of_date_when_it_came_is_not_kept(remembered, name, elsewhere):
    def slowly(key):
        value = name(key)
        rename(elsewhere, "Meanwhile")
        assert remembered.get("b", name) == "Meanwhile", "somebody else has felt the new pulse by now"
        return value

    assert remembered.get("a", slowly) == "Lamp & Bench"
    assert remembered.get("a", name) == "Meanwhile"


def test_of_two_who_ask_at_once_the_slower_one_does_not_bring_back_what_was(remembered, name, elsewhere, monkeypatch):
    remembered.get("a", name)
    time, between = reads.monotonic, []

    def look_at_the_clock():
        if not between:
            between.append("somebody is faster")
            rename(elsewhere, "Meanwhile")
            remembered.get("b", name)
        return time()

    monkeypatch.setattr(reads, "monotonic", look_at_the_clock)
    assert remembered.get("a", name) == "Meanwhile"


def test_nobody_waits_for_somebody_else_s_question(app, name, asked, monkeypatch):
    engine, asking, answered = db.engines["reads"], threading.Event(), threading.Event()

    def slow():
        if threading.current_thread() is first:
            asking.set()
            answered.wait(10)
        return engine

    remembered = Remembered(slow, most=10)
    first = threading.Thread(target=remembered.get, args=("first", lambda key: key))
    remembered.get("a", name)
    first.start()
    asking.wait(10)
    try:
        assert [remembered.get("a", name) for _ in range(2)] == ["Lamp & Bench"] * 2
        assert asked == ["a"] * 3, "it is too old by now, and what is read meanwhile is not remembered"
        monkeypatch.setattr(reads, "STALE", 60)
        assert [remembered.get("a", name) for _ in range(2)] == ["Lamp & Bench"] * 2
        assert asked == ["a"] * 3
    finally:
        answered.set()
        first.join()


def test_nothing_is_remembered_of_what_was_not_there(remembered, asked):
    for _ in range(2):
        assert remembered.get("a", asked.append) is None
    assert asked == ["a", "a"]


@on_sqlite
def test_so_many_are_remembered_and_the_others_read(remembered, name, asked):
    keys = [str(number) for number in range(12)]
    for key in keys * 2:
        remembered.get(key, name)
    assert asked == [*keys, "10", "11"]


def test_a_database_that_does_not_answer_is_asked_again_by_the_next_one(remembered, name, asked, monkeypatch):
    remembered.get("a", name)
    with monkeypatch.context() as broken:
        broken.setattr(reads, "PULSE", dict.fromkeys(reads.PULSE, "SELECT nothing FROM nowhere"))
        assert [remembered.get("a", name) for _ in range(2)] == ["Lamp & Bench"] * 2
    assert asked == ["a"] * 3
    remembered.get("a", name)
    rename(db.engine, "Back")
    assert remembered.get("a", name) == "Back"


def test_a_database_that_cannot_tell_is_not_asked_at_every_turn(name, asked, monkeypatch):
    engines = []

    def engine():
        engines.append(db.engines["reads"])
        return engines[-1]

    monkeypatch.setattr(reads, "PULSE", dict.fromkeys(reads.PULSE, "SELECT nothing FROM nowhere"))
    monkeypatch.setattr(reads, "FRESH", 60)
    remembered = Remembered(engine, most=10)
    remembered.get("a", name)
    tried = len(engines)
    assert [remembered.get("a", name) for _ in range(3)] == ["Lamp & Bench"] * 3
    assert len(engines) == tried
    assert asked == ["a"] * 4


def test_a_quick_read_that_takes_the_long_way_gives_the_same(shop, monkeypatch):
    read = QuickRead(select(Shop.name, Shop.created_at))
    quick = read.one()
    prepared = read._prepared[db.engine.dialect.name]
    monkeypatch.setitem(read._prepared, db.engine.dialect.name, ("SELECT nothing FROM nowhere", *prepared[1:]))
    slow = read.one()
    assert slow == quick
    assert type(slow) is type(quick)


def test_it_lets_go_of_the_database_with_everyone_else(remembered, name, asked):
    for _ in range(2):
        remembered.get("a", name)
        let_go()
        assert remembered._connection is None
    remembered.get("a", name)
    assert asked == ["a"] * 3


@pytest.mark.skipif(bool(POSTGRESQL), reason="a copy of SQLite's file is a replica that stands still")
def test_customers_read_from_the_replica_and_the_counter_from_the_database(shop, tmp_path, loggers):
    repair = make_repair(item="Violin")
    code, page = repair.code, f"/t/{repair.token}"
    copy = tmp_path / "replica.db"
    with closing(sqlite3.connect(db.engine.url.database)) as connection:
        connection.execute(f"VACUUM INTO '{copy}'")
    repair.item = "Viola"
    db.session.commit()
    settings = {"SQLALCHEMY_DATABASE_URI": db.engine.url.render_as_string(), "REPLICA_URL": f"sqlite:///{copy}"}
    db.session.remove()
    app = create_app(OVERRIDES | settings | {"DATA_DIR": str(tmp_path)})
    app.test_client_class = Client
    with app.app_context():
        assert "Violin" in app.test_client().page(page).text
        owner = db.session.scalars(select(Staff).where(Staff.role == "owner")).one()
        assert "Viola" in app.test_client().be(owner).page(f"/repairs/{code}").text
        let_go()
