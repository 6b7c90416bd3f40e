"""Copies of the database: whole, private, and made while the shop works."""

import re
import shutil
import sqlite3
import stat
import subprocess

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from app.backup import BackupFailed, copy_database, keep_newest
from app.db import db

from .conftest import POSTGRESQL
from .factories import make_repair

only_postgresql = pytest.mark.skipif(not POSTGRESQL, reason="TEST_DATABASE_URL names no PostgreSQL database")


@pytest.fixture
def live(tmp_path):
    """A SQLite database in use: one repair in the file, one in its log, and one that is not committed."""
    file = tmp_path / "live.db"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE repair (code TEXT)")
    connection.execute("INSERT INTO repair VALUES ('in the file')")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO repair VALUES ('in the log')")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO repair VALUES ('not committed')")
    yield file
    connection.close()


def read(file, query):
    connection = sqlite3.connect(file)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_copy_of_a_database_in_use_is_sound_and_complete(live, tmp_path):
    copy = copy_database(f"sqlite:///{live}", tmp_path / "backups")
    assert read(copy, "PRAGMA integrity_check") == [("ok",)]
    assert read(copy, "SELECT code FROM repair") == [("in the file",), ("in the log",)]


def test_a_copy_is_one_file_that_nobody_else_may_read(live, tmp_path):
    copy = copy_database(f"sqlite:///{live}", tmp_path / "backups")
    assert [*copy.parent.iterdir()] == [copy]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700


def test_a_copy_is_named_for_the_moment_it_was_made(live, tmp_path):
    first = copy_database(f"sqlite:///{live}", tmp_path)
    second = copy_database(f"sqlite:///{live}", tmp_path, name="before-upgrade")
    assert re.fullmatch(r"readylight-\d{4}-\d\d-\d\d-\d{6}-\d{3}\.db", first.name)
    assert re.fullmatch(r"before-upgrade-\d{4}-\d\d-\d\d-\d{6}-\d{3}\.db", second.name)


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(live, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackupFailed, match=r"^The database could not be copied to .*/file/backups: .*Not a directory"):
        copy_database(f"sqlite:///{live}", tmp_path / "file" / "backups")


def test_a_database_that_is_not_there_is_not_copied_as_an_empty_one(tmp_path):
    """SQLite would make the file: a backup of a mistyped address must not look like one."""
    with pytest.raises(BackupFailed):
        copy_database(f"sqlite:///{tmp_path / 'mistyped.db'}", tmp_path / "backups")
    assert not (tmp_path / "mistyped.db").exists()
    assert [*(tmp_path / "backups").iterdir()] == []


def test_a_damaged_database_is_not_passed_off_as_a_backup(live, tmp_path):
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database" * 400)
    with pytest.raises(BackupFailed, match="not a database"):
        copy_database(f"sqlite:///{damaged}", tmp_path / "backups")
    assert [*(tmp_path / "backups").iterdir()] == []


def test_only_the_newest_copies_are_kept(tmp_path):
    made = [f"before-upgrade-2026-11-{day:02d}-180000-000.db" for day in range(1, 6)]
    others = ["readylight-2020-01-01-000000-000.db", "secret_key"]
    for name in made + others:
        (tmp_path / name).touch()
    keep_newest(tmp_path, 2, name="before-upgrade")
    assert {file.name for file in tmp_path.iterdir()} == {*made[-2:], *others}
    keep_newest(tmp_path, 10, name="before-upgrade")
    assert {file.name for file in tmp_path.iterdir()} == {*made[-2:], *others}


# --- the shop's own database --------------------------------------------------------------------


def counted(uri):
    """How many of each the database holds, and the codes of the repairs."""
    db.session.rollback()  # The test's own transaction may hold SQLite's one write lock.
    engine = create_engine(uri, poolclass=NullPool)
    with engine.connect() as connection:
        codes = connection.execute(text("SELECT code FROM repair ORDER BY id")).scalars().all()
        names = [*db.metadata.tables, "alembic_version"]
        return codes, {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in names}


def test_a_shop_opens_again_from_a_copy(app, shop, other_database, tmp_path):
    """The rehearsal of what the README says under Backup."""
    for status in ("received", "waiting_parts", "delivered"):
        make_repair(status=status)
    uri = app.config["SQLALCHEMY_DATABASE_URI"]
    before = counted(uri)
    copy = copy_database(uri, tmp_path / "backups")
    make_repair()
    other = make_url(other_database)
    if POSTGRESQL:
        address = other.set(drivername="postgresql").render_as_string(hide_password=False)
        subprocess.run(["pg_restore", "--no-owner", f"--dbname={address}", copy], check=True)
    else:
        shutil.copy(copy, other.database)
    assert counted(other_database) == before
    assert before[0] == ["TH-MN-R0001", "TH-MN-R0002", "TH-MN-R0003"]


@only_postgresql
def test_a_dump_is_a_file_that_nobody_else_may_read(app, tmp_path):
    copy = copy_database(app.config["SQLALCHEMY_DATABASE_URI"], tmp_path / "backups")
    assert copy.suffix == ".dump"
    assert [*copy.parent.iterdir()] == [copy]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@only_postgresql
def test_a_postgresql_database_that_is_not_there_is_said_and_its_password_is_not(tmp_path):
    url = make_url(POSTGRESQL).set(database="nothing_here", password="hunter2")
    with pytest.raises(BackupFailed, match="nothing_here") as failure:
        copy_database(url.render_as_string(hide_password=False), tmp_path)
    assert "hunter2" not in str(failure.value)


def test_without_pg_dump_it_is_said_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupFailed, match=r"^pg_dump is needed .* install the PostgreSQL client programs\.$"):
        copy_database("postgresql+psycopg://localhost/shop", tmp_path)
