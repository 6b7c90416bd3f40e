"""`flask check`: each thing that can be wrong with an installation, broken on purpose, is named with what to do."""

import json
import os
import platform
import shutil
import sqlite3
import threading
import time
from collections import namedtuple
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from flask_migrate import upgrade
from sqlalchemy import text, update
from werkzeug.serving import make_server

from app import disk
from app.check import database as check_database
from app.check import machine, shop
from app.check.place import open_database
from app.db import db, let_go
from app.models import Event, Photo, Shop, Staff
from app.repairs import photos

from . import factories
from .conftest import OVERRIDES, POSTGRESQL, make_app

sqlite_only = pytest.mark.skipif(bool(POSTGRESQL), reason="a matter of SQLite's file")
postgresql_only = pytest.mark.skipif(not POSTGRESQL, reason="a matter of PostgreSQL")


@pytest.fixture
def installation(app, monkeypatch, tmp_path, owner):
    """The shop, its owner in it, with a data folder as a server leaves it and a backup of last night."""
    data = tmp_path / "data"
    (data / "backups" / "nightly-2026-01-01-030000").mkdir(parents=True)
    (data / "backups" / "nightly-2026-01-01-030000" / "SHA256SUMS").touch()
    (data / "secret_key").write_text(OVERRIDES["SECRET_KEY"])
    (data / "secret_key").chmod(0o600)
    data.chmod(0o700)
    monkeypatch.setitem(app.config, "DATA_DIR", str(data))
    monkeypatch.setitem(app.config, "BACKUP_DIR", str(data / "backups"))
    monkeypatch.setitem(app.config, "TRUSTED_PROXIES", 1)
    monkeypatch.setitem(app.config, "HOST", "127.0.0.1")
    monkeypatch.setitem(app.config, "WORKERS", 1)
    return app


@pytest.fixture
def look(installation, runner):
    """Runs the check and gives what it says of each thing: {"Backups": [("ok", "…")]}."""

    def look(*arguments):
        done = runner.invoke(args=["check", "--json", *arguments])
        printed = json.loads(done.stdout)
        said = {}
        for finding in printed["findings"]:
            said.setdefault(finding["about"], []).append((finding["state"], finding["text"]))
        assert done.exit_code == (printed["state"] == "wrong"), done.stdout
        return said

    return look


def states(said) -> set[str]:
    return {state for findings in said.values() for state, _ in findings}


def data_of(app) -> Path:
    return Path(app.config["DATA_DIR"])


# --- what it is ---------------------------------------------------------------------------------


def test_a_sound_installation_has_nothing_against_it(look):
    factories.make_repair()
    said = look()
    assert states(said) == {"ok"}, said
    assert {"Packages", "Data folder", "Secret key", "Database", "Tables", "Photos", "Clock"} <= {*said}
    assert said["Python"] == [("ok", platform.python_version())]


def test_each_finding_is_a_line_that_begins_with_its_state(installation, runner):
    done = runner.invoke(args=["check"])
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 12
    for line in done.stdout.splitlines():
        assert line.startswith(("ok ", "warning ", "wrong ")), line


def test_the_exit_status_is_1_when_something_is_wrong(installation, runner):
    db.session.execute(update(Staff).values(active=False))
    done = runner.invoke(args=["check"])
    assert done.exit_code == 1
    assert "wrong    Shop            No owner can sign in" in done.stdout


def test_an_owner_who_has_yet_to_choose_a_password_is_none_who_can_sign_in(installation, runner):
    db.session.execute(update(Staff).values(password_hash=""))
    assert "flask owner-link EMAIL" in runner.invoke(args=["check"]).stdout


@sqlite_only
def test_it_changes_nothing_in_a_shop_that_is_closed(tmp_path):
    app = make_app(tmp_path, f"sqlite:///{tmp_path / 'readylight.db'}")
    with app.app_context():
        upgrade()
        db.session.remove()
        let_go()
        before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*")}
        done = app.test_cli_runner().invoke(args=["check", "--deep"])
        after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*")}
    assert "ok       Soundness" in done.stdout
    assert before
    assert after == before


def test_the_database_could_not_be_changed_if_one_tried(installation):
    with closing(open_database(installation.config["SQLALCHEMY_DATABASE_URI"])) as connection:
        assert connection.execute("SELECT count(*) FROM staff").fetchone() == (1,)
        with pytest.raises((sqlite3.OperationalError, psycopg.errors.ReadOnlySqlTransaction), match=r"read-?only"):
            connection.execute("DELETE FROM staff")


def test_without_the_database_all_the_rest_is_looked_at(look, installation, monkeypatch):
    monkeypatch.setitem(
        installation.config, "SQLALCHEMY_DATABASE_URI", "postgresql+psycopg://ana:hunter2@127.0.0.1:1/x"
    )
    said = look()
    [(state, sentence)] = said["Database"]
    assert state == "wrong"
    assert "Connection refused" in sentence
    assert "hunter2" not in str(said)
    assert said["Data folder"][0][0] == "ok"
    assert "Shop" not in said


def test_a_database_that_is_not_there_is_not_made(look, installation, monkeypatch, tmp_path):
    monkeypatch.setitem(installation.config, "SQLALCHEMY_DATABASE_URI", f"sqlite:///{tmp_path / 'none.db'}")
    assert look()["Database"][0][0] == "wrong"
    assert not (tmp_path / "none.db").exists()


def test_a_database_without_tables_is_told_of_line_by_line(look, installation, monkeypatch, other_database):
    if not POSTGRESQL:
        sqlite3.connect(other_database.removeprefix("sqlite:///")).close()
        Path(other_database.removeprefix("sqlite:///")).touch()
    monkeypatch.setitem(installation.config, "SQLALCHEMY_DATABASE_URI", other_database)
    said = look()
    assert [state for state, _ in said["Tables"]] == ["wrong"]
    assert "alembic_version" in said["Tables"][0][1]
    assert said["Database"][0][0] == "ok"


# --- the machine --------------------------------------------------------------------------------


def test_a_package_of_another_version_is_named(look, monkeypatch, tmp_path):
    other = tmp_path / "segno-0.0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: segno\nVersion: 0.0.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    [(state, sentence)] = look()["Packages"]
    assert state == "wrong"
    assert sentence.startswith("segno is 0.0.1, not 1.")
    assert "script/server" in sentence


def test_a_language_whose_catalogue_is_not_compiled_is_warned_of(look, monkeypatch, tmp_path):
    shutil.copytree(machine.TRANSLATIONS, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(machine, "TRANSLATIONS", tmp_path)
    assert look()["Languages"] == [("ok", "English, Deutsch, Español, Français")]
    german, french = (tmp_path / code / "LC_MESSAGES" / "messages.mo" for code in ("de", "fr"))
    german.unlink()
    os.utime(french, (0, 0))
    [(state, sentence)] = look()["Languages"]
    assert state == "warning"
    assert sentence.startswith("Deutsch, Français: not compiled")


def test_a_data_folder_that_everybody_can_read_is_wrong(look, installation):
    data = data_of(installation)
    data.chmod(0o755)
    (data / "secret_key").chmod(0o600)
    (data / "backups").chmod(0o755)
    [(state, sentence)] = look()["Data folder"]
    assert state == "wrong"
    assert sentence == f"Everybody on this machine can read backups in it: chmod -R o= {data}"


def test_a_data_folder_that_is_not_there_is_wrong(look, installation, monkeypatch, tmp_path):
    monkeypatch.setitem(installation.config, "DATA_DIR", str(tmp_path / "nowhere"))
    assert look()["Data folder"][0][0] == "wrong"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_data_folder_of_somebody_else_is_told_of(look, installation):
    os.chown(data_of(installation), 1, 1)
    [(state, sentence), _] = look()["Data folder"]
    assert state == "warning"
    assert "and this runs as root" in sentence


@pytest.mark.parametrize(("free", "state"), [(10, "wrong"), (500, "warning"), (5000, "ok")])
def test_a_disk_that_fills_up_is_told_of_in_time(look, monkeypatch, free, state):
    monkeypatch.setattr(machine, "disk_usage", lambda path: namedtuple("Usage", "free")(free * 1024 * 1024))
    assert look()["Disk"][0][0] == state


def test_a_secret_key_that_others_can_read_is_wrong(look, installation):
    (data_of(installation) / "secret_key").chmod(0o640)
    [(state, sentence)] = look()["Secret key"]
    assert state == "wrong"
    assert "chmod 600" in sentence


def test_a_secret_key_that_is_easy_to_guess_is_wrong(look, installation, monkeypatch):
    monkeypatch.setitem(installation.config, "SECRET_KEY", "changeme" * 5)
    assert look()["Secret key"][0][0] == "wrong"


def test_counting_sign_ins_in_each_process_is_warned_of(look, installation, monkeypatch):
    monkeypatch.setitem(installation.config, "RATELIMIT_STORAGE_URI", "memory://")
    assert look()["Limits"][0][0] == "ok"
    monkeypatch.setitem(installation.config, "WORKERS", 2)
    assert look()["Limits"][0][0] == "warning"


def test_a_redis_that_does_not_answer_is_wrong(look, installation, monkeypatch):
    pytest.importorskip("redis")
    monkeypatch.setitem(installation.config, "RATELIMIT_STORAGE_URI", "redis://127.0.0.1:1")
    assert look()["Limits"] == [("wrong", "Redis does not answer at RATELIMIT_STORAGE_URI.")]


def test_more_threads_than_files_may_be_open_are_warned_of(look, installation, monkeypatch):
    monkeypatch.setitem(installation.config, "THREADS", 10**8)
    assert look()["Open files"][0][0] == "warning"


def test_an_old_backup_is_warned_of_and_so_is_none(look, installation):
    [copy] = (data_of(installation) / "backups").iterdir()
    week_ago = time.time() - 7 * 24 * 3600
    os.utime(copy, (week_ago, week_ago))
    [(state, sentence)] = look()["Backups"]
    assert state == "warning"
    assert "1 week old" in sentence
    copy.rename(copy.with_name("before-upgrade-2026-01-01-030000"))
    assert look()["Backups"][0][1].startswith("There is none yet")


# --- network shares -----------------------------------------------------------------------------

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 0:50 / /srv/shop rw,relatime shared:7 - nfs4 nas:/shop rw,vers=4.2
41 40 8:17 / /srv/shop/fast rw,relatime - xfs /dev/sdb1 rw
42 27 0:51 / /mnt/the\\040office rw,relatime - cifs //nas/office rw
43 27 0:52 / /mnt/twice rw,relatime - ext4 /dev/sdc1 rw
44 43 0:53 / /mnt/twice rw,relatime - fuse.sshfs ana@nas: rw
45 27 0:54 / /host rw,relatime - virtiofs host rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/shop", "ext4"),
        ("/srv/shop", "nfs4"),
        ("/srv/shop/not/there/yet", "nfs4"),
        ("/srv/shop/fast/data", "xfs"),
        ("/srv/shopping", "ext4"),
        ("/mnt/the office/data", "cifs"),
        ("/mnt/twice/data", "fuse.sshfs"),
        ("/host/data", "virtiofs"),
    ],
)
def test_a_folder_is_on_what_is_mounted_nearest_to_it(path, kind):
    assert disk.filesystem(Path(path), MOUNTS) == kind


def test_a_system_that_does_not_say_what_is_mounted_is_taken_at_its_word(monkeypatch, tmp_path):
    monkeypatch.setattr(disk, "MOUNTS", tmp_path / "none")
    kind = disk.filesystem(tmp_path)
    assert kind == ""
    assert not disk.is_network(kind)
    assert not disk.is_doubtful(kind)


def test_this_machine_s_own_temporary_folder_is_no_share(tmp_path):
    assert not disk.is_network(disk.filesystem(tmp_path))


@pytest.fixture
def on_a(monkeypatch, tmp_path):
    """Lets everything be on a file system of that kind."""

    def on_a(kind):
        (tmp_path / "mountinfo").write_text(f"27 1 254:0 / / rw,relatime - {kind} somewhere rw\n")
        monkeypatch.setattr(disk, "MOUNTS", tmp_path / "mountinfo")

    return on_a


SHARES = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "afs")


@sqlite_only
@pytest.mark.parametrize("kind", SHARES)
def test_sqlite_on_a_network_share_does_not_start(installation, runner, on_a, kind):
    on_a(kind)
    done = runner.invoke(args=["demo"])  # It prepares the database as a server does.
    assert done.exit_code == 1
    said = str(done.exception)
    assert "\n" not in said
    assert f"is on a network share ({kind})" in said
    assert "DATABASE_URL" in said


@sqlite_only
@pytest.mark.parametrize(("kind", "state"), [("nfs4", "wrong"), ("virtiofs", "warning"), ("fuse.odd", "warning")])
def test_the_check_tells_of_a_share_too(look, on_a, kind, state):
    on_a(kind)
    [(found, sentence)] = look()["File system"]
    assert found == state
    assert kind in sentence


@sqlite_only
@pytest.mark.parametrize(
    ("kind", "warned"), [("virtiofs", True), ("fuse.odd", True), ("ext4", False), ("fuseblk", False)]
)
def test_a_start_on_what_may_be_shared_is_warned_of(installation, runner, on_a, kind, warned):
    on_a(kind)
    done = runner.invoke(args=["demo", "--repairs", "1"])  # The shop is set up: it prepares, then refuses.
    assert "already" in done.output or done.exit_code == 1
    assert (kind in done.stderr) == warned


@postgresql_only
def test_postgresql_does_not_care_where_the_data_folder_is(look, on_a):
    on_a("nfs4")
    assert look()["File system"] == [("ok", "nfs4")]


# --- the database -------------------------------------------------------------------------------


@pytest.mark.parametrize(("revision", "words"), [("0001", "script/server"), ("9999", "newer than this program")])
def test_tables_of_another_version_are_wrong(look, revision, words):
    present = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    db.session.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    try:
        [(state, sentence)] = look()["Tables"]
    finally:
        db.session.execute(text(f"UPDATE alembic_version SET version_num = '{present}'"))
        db.session.commit()
    assert state == "wrong"
    assert words in sentence


@pytest.fixture
def file(tmp_path, look, installation, monkeypatch):
    """A database in a file of its own, which the check is pointed to, and which nobody else has open."""
    file = tmp_path / "own.db"
    with closing(sqlite3.connect(db.engine.url.database)) as live, closing(sqlite3.connect(file)) as copy:
        live.backup(copy)
    monkeypatch.setitem(installation.config, "SQLALCHEMY_DATABASE_URI", f"sqlite:///{file}")
    return file


@sqlite_only
def test_a_damaged_file_is_wrong(look, file):
    assert look()["Soundness"] == [("ok", "read through, nothing damaged")]
    size = file.stat().st_size
    with file.open("r+b") as damaged:
        for page in range(4096 * 4, size, 4096):
            damaged.seek(page)
            damaged.write(b"\xff" * 200)
    said = look()
    assert "wrong" in {state for state, _ in said["Soundness"]}


@sqlite_only
def test_a_large_file_is_read_through_only_when_asked(look, file, monkeypatch):
    monkeypatch.setattr(check_database, "READ_THROUGH", 1)
    assert "flask check --deep" in look()["Soundness"][0][1]
    assert look("--deep")["Soundness"] == [("ok", "read through, nothing damaged")]


@sqlite_only
def test_a_row_that_points_to_nothing_is_wrong(look, file):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE staff SET branch_id = 99")
        connection.commit()
    [(state, sentence)] = look()["Soundness"]
    assert state == "wrong"
    assert "1 rows of staff" in sentence


@sqlite_only
def test_a_database_without_the_write_ahead_log_is_warned_of(look, file):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    assert look()["Journal"][0][0] == "warning"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert look()["Journal"][0][0] == "ok"


@postgresql_only
def test_more_connections_than_postgresql_gives_are_warned_of(look, installation, monkeypatch):
    monkeypatch.setitem(installation.config, "WORKERS", 64)
    [(state, sentence)] = look()["Connections"]
    assert state == "warning"
    assert "set WORKERS to " in sentence


@sqlite_only
def test_a_replica_that_lags_is_warned_of(look, file, installation, monkeypatch):
    monkeypatch.setitem(installation.config, "SQLALCHEMY_DATABASE_URI", f"sqlite:///{db.engine.url.database}")
    monkeypatch.setitem(installation.config, "REPLICA_URL", f"sqlite:///{file}")
    assert look()["Replica"][0][0] == "ok"
    factories.make_repair()
    [(state, sentence)] = look()["Replica"]
    assert state == "warning"
    assert "the last 1 events" in sentence
    monkeypatch.setitem(installation.config, "REPLICA_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert look()["Replica"][0][0] == "wrong"


@postgresql_only
def test_a_database_that_is_not_in_utf_8_is_wrong(look, installation, monkeypatch):
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        other = f"{db.engine.url.database}_ascii"
        connection.execute(text(f'DROP DATABASE IF EXISTS "{other}"'))
        connection.execute(
            text(f"CREATE DATABASE \"{other}\" TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
        )
        address = db.engine.url.set(database=other).render_as_string(hide_password=False)
        monkeypatch.setitem(installation.config, "SQLALCHEMY_DATABASE_URI", address)
        said = look()["Database"]
        connection.execute(text(f'DROP DATABASE "{other}"'))
    assert [state for state, _ in said] == ["wrong"]
    assert "UTF-8" in said[0][1]


# --- photos -------------------------------------------------------------------------------------


def picture(installation, name="ab" * 16):
    repair = factories.make_repair()
    staff = db.session.scalars(db.select(Staff)).first()
    db.session.add(Photo(repair_id=repair.id, staff_id=staff.id, name=name, width=1, height=1))
    db.session.commit()
    folder = data_of(installation) / "photos" / name[:2]
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}{size}.jpg" for size in photos.SIDES]
    for file in files:
        file.write_bytes(b"a picture")
    return repair, files


def test_a_photo_with_its_files_is_right(look, installation):
    picture(installation)
    assert look()["Photos"] == [("ok", "1, every one with its files")]


def test_a_photo_without_its_file_is_wrong_and_its_repair_named(look, installation):
    repair, files = picture(installation)
    files[1].unlink()
    [(state, sentence)] = look()["Photos"]
    assert state == "wrong"
    assert repair.code in sentence


def test_a_file_without_its_photo_is_warned_of_unless_it_is_just_being_taken(look, installation):
    _, files = picture(installation)
    stray = files[0].with_name("f" * 32 + ".jpg")
    stray.write_bytes(b"a picture")
    assert look()["Photos"][0][0] == "ok"
    os.utime(stray, (time.time() - 7200,) * 2)
    [(state, sentence)] = look()["Photos"]
    assert state == "warning"
    assert stray.name in sentence


# --- the shop -----------------------------------------------------------------------------------


def test_a_shop_that_is_not_set_up_is_told_of(app, runner):
    done = runner.invoke(args=["check"])
    assert "warning  Shop            None is set up here" in done.stdout


def test_a_clock_behind_what_already_happened_is_wrong(look):
    factories.make_repair()
    db.session.execute(update(Event).values(at=datetime.now(UTC) + timedelta(hours=1)))
    [(state, sentence)] = look()["Clock"]
    assert state == "wrong"
    assert "already past" in sentence


def test_a_zone_that_nobody_knows_is_wrong(look):
    db.session.execute(update(Shop).values(timezone="Mars/Olympus"))
    assert look()["Clock"][0][0] == "wrong"


@pytest.mark.parametrize(
    ("address", "proxies", "host", "words"),
    [
        ("http://localhost:8000", 0, "0.0.0.0", "opens on this machine alone"),  # noqa: S104
        ("http://192.168.1.5:8000", 0, "0.0.0.0", "opens in the shop's own network alone"),  # noqa: S104
        ("http://repairs.example.com", 0, "0.0.0.0", "is not https"),  # noqa: S104
        ("https://repairs.example.com", 0, "0.0.0.0", "TRUSTED_PROXIES is 0"),  # noqa: S104
        ("https://repairs.example.com", 1, "0.0.0.0", "set HOST=127.0.0.1"),  # noqa: S104
    ],
)
def test_an_address_that_does_not_do_is_warned_of(look, installation, monkeypatch, address, proxies, host, words):
    if "HOST" in words and shop._in_container():
        pytest.skip("in a container the port is closed from outside")
    db.session.execute(update(Shop).values(public_url=address))
    monkeypatch.setitem(installation.config, "TRUSTED_PROXIES", proxies)
    monkeypatch.setitem(installation.config, "HOST", host)
    said = look()["Public address"]
    assert [state for state, sentence in said if words in sentence] == ["warning"]


@contextmanager
def serving(app):
    """The app on a free port of this machine; gives its address and the paths that were asked for."""
    asked = []

    def note(environ, start_response):
        asked.append(environ["PATH_INFO"])
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, note, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_nobody_is_asked_unless_one_says_so(look, installation):
    with serving(installation) as (address, asked):
        db.session.execute(update(Shop).values(public_url=address))
        assert "From outside" not in look()
        assert asked == []


def test_the_public_address_is_asked_whether_it_is_this_very_shop(look, installation):
    with serving(installation) as (address, asked):
        db.session.execute(update(Shop).values(public_url=address))
        assert look("--online")["From outside"] == [("ok", f"{address} is this shop")]
        assert asked == ["/healthz", "/login"]
    assert look("--online")["From outside"][0][0] == "wrong"


def test_another_shop_at_the_public_address_is_told_apart(look, installation, tmp_path):
    other = make_app(tmp_path, installation.config["SQLALCHEMY_DATABASE_URI"])
    other.config["SECRET_KEY"] = "the key of another shop, as long as it has to be"
    with serving(other) as (address, _):
        db.session.execute(update(Shop).values(public_url=address))
        said = look("--online")["From outside"]
    with other.app_context():
        let_go()
    assert said == [("wrong", f"{address} answers, but it is not this shop: another secret key, or another site.")]
