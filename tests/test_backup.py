"""Backups: whole, private, and made while the shop works; every night, and not more of them than are wanted."""

import contextvars
import fcntl
import logging
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import make_url, select
from werkzeug.datastructures import FileStorage

from app.backup import copies, making, nightly, postgresql, sqlite
from app.backup.copies import Damaged, Unable
from app.config import ROOT
from app.db import db
from app.models import Photo, Repair
from app.repairs import actions, photos

from .conftest import POSTGRESQL
from .factories import make_repair, make_staff

pytestmark = pytest.mark.usefixtures("folder")

only_postgresql = pytest.mark.skipif(not POSTGRESQL, reason="TEST_DATABASE_URL names no PostgreSQL database")
DATABASE = postgresql.FILE if POSTGRESQL else sqlite.FILE
# The morning of a Monday in Bangkok, and how a copy of then is named.
MORNING, MORNING_S = datetime(2026, 11, 23, 3, 0, 4, tzinfo=UTC), "2026-11-23-100004"


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


def add_photo(repair, colour="red"):
    """A photo of the repair, as the counter adds one; gives its row."""
    content = BytesIO()
    Image.new("RGB", (60, 40), colour).save(content, "JPEG")
    content.seek(0)
    actions.add_photos(repair, [FileStorage(content, "IMG.jpg")], by=make_staff(), version=repair.version)
    return db.session.scalars(select(Photo).order_by(Photo.id.desc())).first()


def back_up(runner, *arguments) -> Path:
    """Where `flask backup` says that the new copy is."""
    result = runner.invoke(args=["backup", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return Path(result.output.strip())


def files(folder):
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def make(parent, url, kind="readylight"):
    return making.make(kind, parent, url=str(url), photos=None, moment=datetime(2026, 11, 23, 10, 0, 4))


# --- the database -------------------------------------------------------------------------------


def test_a_copy_of_a_database_in_use_is_sound_and_complete(live, tmp_path):
    copy = make(tmp_path / "backups", f"sqlite:///{live}").folder / sqlite.FILE
    with sqlite3.connect(copy) as read:
        assert read.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert read.execute("SELECT code FROM repair").fetchall() == [("in the file",), ("in the log",)]
    read.close()


def test_a_database_that_is_not_there_is_not_copied_as_an_empty_one(tmp_path):
    """SQLite would make the file: a backup of a mistyped address must not look like one."""
    with pytest.raises(Unable, match=r"^There is no database at .*mistyped\.db\.$"):
        make(tmp_path / "backups", f"sqlite:///{tmp_path / 'mistyped.db'}")
    assert not (tmp_path / "mistyped.db").exists()
    assert [*(tmp_path / "backups").iterdir()] == []


def test_a_damaged_database_is_not_passed_off_as_a_backup(tmp_path):
    (tmp_path / "damaged.db").write_bytes(b"this is no database" * 400)
    with pytest.raises(Unable, match="not a database"):
        make(tmp_path / "backups", f"sqlite:///{tmp_path / 'damaged.db'}")
    assert [*(tmp_path / "backups").iterdir()] == []


def test_a_row_that_points_to_nothing_is_found_when_the_backup_is_made(tmp_path):
    """Not first when it is needed."""
    with sqlite3.connect(tmp_path / "shop.db") as shop:
        shop.execute("CREATE TABLE branch (id INTEGER PRIMARY KEY)")
        shop.execute("CREATE TABLE repair (branch_id INTEGER REFERENCES branch)")
        shop.execute("INSERT INTO repair VALUES (7)")
    shop.close()
    with pytest.raises(Damaged, match="a row of “repair” points to one that is gone"):
        make(tmp_path / "backups", f"sqlite:///{tmp_path / 'shop.db'}")


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(shop, runner, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = runner.invoke(args=["backup", str(tmp_path / "file" / "backups")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: The copy could not be written to")
    assert result.output.endswith("Not a directory.\n")


@only_postgresql
def test_a_postgresql_database_that_is_not_there_is_said_and_its_password_is_not(tmp_path):
    url = make_url(POSTGRESQL).set(database="nothing_here", password="hunter2")
    with pytest.raises(Unable, match="nothing_here") as failure:
        make(tmp_path, url.render_as_string(hide_password=False))
    assert "hunter2" not in str(failure.value)


def test_without_pg_dump_it_is_said_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unable, match=r"^pg_dump is needed .* install the PostgreSQL client programs\.$"):
        make(tmp_path, "postgresql+psycopg://localhost/shop")


# --- the folder ---------------------------------------------------------------------------------


def test_a_backup_is_a_folder_that_anybody_can_verify(shop, runner, folder, tmp_path, clock):
    clock.set(MORNING)
    photo = add_photo(make_repair())
    copy = back_up(runner, tmp_path)
    assert copy == tmp_path / f"readylight-{MORNING_S}", "named for the shop's time of day"
    assert [*tmp_path.iterdir()] == [copy]
    pictures = {f"photos/{photo.name[:2]}/{photo.name}{size}.jpg" for size in photos.SIDES}
    assert files(copy) == {DATABASE, "SHA256SUMS", *pictures}
    for name in pictures:
        assert (copy / name).read_bytes() == (folder.parent / name).read_bytes()
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=copy, capture_output=True)
    assert checked.returncode == 0
    assert checked.stdout.count(b": OK\n") == 3


def test_nobody_else_may_read_a_backup(shop, runner, tmp_path):
    add_photo(make_repair())
    copy = back_up(runner, tmp_path / "new" / "backups")
    for path in (copy.parent, copy, *copy.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if path.is_file() else 0o700), path


def test_a_backup_goes_where_the_settings_say(app, shop, runner, tmp_path, monkeypatch):
    monkeypatch.setitem(app.config, "BACKUP_DIR", str(tmp_path / "elsewhere"))
    assert back_up(runner).parent == tmp_path / "elsewhere"


def test_the_secret_key_is_in_no_backup(app, shop, runner, tmp_path):
    (Path(app.config["DATA_DIR"]) / "secret_key").write_text("x" * 64)
    assert files(back_up(runner, tmp_path)) == {DATABASE, "SHA256SUMS"}


def test_two_backups_within_a_second_are_two(shop, runner, tmp_path, clock):
    first, second = back_up(runner, tmp_path), back_up(runner, tmp_path)
    assert first != second
    assert first.exists()


def test_a_picture_takes_no_room_on_the_same_disk_and_outlives_the_photo(shop, runner, folder):
    photo = add_photo(make_repair())
    copy = back_up(runner, folder.parent / "backups")
    try:
        name = f"{photo.name[:2]}/{photo.name}.jpg"
        assert (copy / "photos" / name).samefile(folder / name)
        photos.remove(photo.name)
        with Image.open(copy / "photos" / name) as picture:
            assert picture.size == (60, 40)
    finally:
        shutil.rmtree(copy.parent)


def test_backups_on_another_disk_share_their_pictures(shop, runner, folder, tmp_path):
    photo = add_photo(make_repair())
    if folder.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk here")
    first, second = back_up(runner, tmp_path), back_up(runner, tmp_path)
    name = f"photos/{photo.name[:2]}/{photo.name}.jpg"
    assert (first / name).samefile(second / name)
    assert not (first / name).samefile(folder.parent / name)


def test_a_picture_whose_checksum_is_known_is_not_read_again(shop, runner, folder, tmp_path):
    photo = add_photo(make_repair())
    first = back_up(runner, tmp_path)
    name = f"photos/{photo.name[:2]}/{photo.name}.jpg"
    real, made_up = copies.read_sums(first)[name], "0" * 64
    (first / "SHA256SUMS").write_text((first / "SHA256SUMS").read_text().replace(real, made_up))
    second = back_up(runner, tmp_path)
    assert copies.read_sums(second)[name] == made_up

    (first / name).unlink()
    (first / name).write_bytes(b"of another size")
    (second / name).unlink()
    third = back_up(runner, tmp_path)
    assert copies.read_sums(third)[name] == real, "one that cannot be the same is read"
    assert (third / name).read_bytes() == (folder.parent / name).read_bytes()


def test_a_copy_without_photos_in_between_does_not_make_them_read_again(shop, runner, tmp_path, app):
    photo = add_photo(make_repair())
    first = back_up(runner, tmp_path)
    make(tmp_path, app.config["SQLALCHEMY_DATABASE_URI"], "before-upgrade")
    second = back_up(runner, tmp_path)
    name = f"photos/{photo.name[:2]}/{photo.name}.jpg"
    assert (first / name).samefile(second / name)


def test_what_is_only_half_written_or_not_ours_is_not_copied(shop, runner, folder, tmp_path):
    (folder / "ab").mkdir(parents=True)
    (folder / "ab" / "abc.part").write_bytes(b"half")
    (folder / "ab" / "._abc.jpg").write_bytes(b"what a Macintosh leaves behind")
    assert files(back_up(runner, tmp_path)) == {DATABASE, "SHA256SUMS"}


def test_a_photo_that_is_added_just_before_the_database_is_copied_has_its_pictures(app, shop, runner, tmp_path):
    number, begun = make_repair().id, []

    def add_one(event, arguments):
        # What Python tells of itself (https://peps.python.org/pep-0578/): the database is about to be copied.
        if event in {"sqlite3.connect", "subprocess.Popen"} and ".part/readylight" in str(arguments) and not begun:
            begun.append(event)
            contextvars.Context().run(add_apart)

    def add_apart():
        with app.app_context():
            add_photo(db.session.get(Repair, number))
            db.session.remove()

    sys.addaudithook(add_one)
    copy = back_up(runner, tmp_path)
    (photo,) = db.session.scalars(select(Photo))
    assert {*copies.files_of([photo.name])} < files(copy)
    assert begun


def test_a_picture_that_the_shop_has_lost_is_told(shop, runner, folder, tmp_path):
    photo = add_photo(make_repair())
    lost = folder / photo.name[:2] / f"{photo.name}-small.jpg"
    lost.unlink()
    result = runner.invoke(args=["backup", str(tmp_path)])
    assert result.exit_code == 0
    assert f"missing in the shop already: photos/{photo.name[:2]}/{lost.name}" in result.stderr


def test_what_a_backup_that_was_killed_left_over_is_cleared_away_and_one_under_way_is_not(shop, runner, tmp_path):
    for name in ("killed", "working"):
        part = tmp_path / f"readylight-2026-11-23-0{len(name)}0000.part"
        (part / "photos").mkdir(parents=True)
        (part / "SHA256SUMS").touch()
    others = tmp_path / "holiday.part"
    others.mkdir()
    with (part / "SHA256SUMS").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        copy = back_up(runner, tmp_path)
        assert {*tmp_path.iterdir()} == {copy, part, others}


# --- how many are kept --------------------------------------------------------------------------


def night(day, kind="nightly"):
    return f"{kind}-2026-11-{day:02d}-030000"


def lay(parent, *names):
    """Folders that look like copies."""
    for name in names:
        (parent / name).mkdir()
        (parent / name / "SHA256SUMS").touch()
        (parent / name / sqlite.FILE).touch()


def names(folder):
    return {path.name for path in folder.iterdir()}


def keep(folder, count, kind="nightly", now=datetime(2026, 11, 23)):
    copies.keep_newest(folder, count, kind, now)


def test_only_the_newest_nightly_backups_are_kept(app, shop, runner, tmp_path, clock, monkeypatch):
    clock.set(MORNING)
    monkeypatch.setitem(app.config, "BACKUP_KEEP", 3)
    lay(tmp_path, *map(night, range(10, 20)), night(2, "readylight"), night(3, "before-upgrade"), night(4, "replaced"))
    copy = back_up(runner, tmp_path, "--nightly")
    assert copy.name == f"nightly-{MORNING_S}"
    by_hand = {night(2, "readylight"), night(3, "before-upgrade"), night(4, "replaced")}
    assert names(tmp_path) == {copy.name, night(18), night(19), *by_hand}


def test_a_backup_made_by_hand_removes_nothing(app, shop, runner, tmp_path, monkeypatch):
    monkeypatch.setitem(app.config, "BACKUP_KEEP", 1)
    lay(tmp_path, *map(night, range(1, 4)), *(night(day, "readylight") for day in range(1, 4)))
    back_up(runner, tmp_path)
    assert len(names(tmp_path)) == 7


def test_nothing_is_removed_for_a_backup_that_failed(app, shop, runner, tmp_path, monkeypatch):
    monkeypatch.setitem(app.config, "BACKUP_KEEP", 1)
    monkeypatch.setitem(app.config, "SQLALCHEMY_DATABASE_URI", f"sqlite:///{tmp_path / 'gone.db'}")
    nights = [*map(night, range(1, 4))]
    lay(tmp_path, *nights)
    assert runner.invoke(args=["backup", str(tmp_path), "--nightly"]).exit_code == 1
    assert names(tmp_path) == {*nights}


def test_what_only_looks_like_a_nightly_backup_is_not_removed(tmp_path):
    lay(tmp_path, *map(night, range(1, 4)))
    (tmp_path / night(5)).mkdir()
    (tmp_path / night(6)).symlink_to(tmp_path / night(1))
    (tmp_path / "nightly-2026-13-45-999999").mkdir()
    (tmp_path / "nightly-accounts").mkdir()
    (tmp_path / night(7)).touch()
    before = names(tmp_path)
    keep(tmp_path, 2)
    assert names(tmp_path) == before - {night(1)}


def test_backups_from_when_the_clock_was_ahead_are_the_first_to_go(tmp_path):
    ahead = ["nightly-2040-01-01-030000", "nightly-2040-01-02-030000"]
    lay(tmp_path, *ahead, night(21), night(22))
    keep(tmp_path, 3)
    assert names(tmp_path) == {ahead[1], night(21), night(22)}
    keep(tmp_path, 1)
    assert names(tmp_path) == {night(22)}


def test_the_copies_of_version_1_count_among_those_before_an_upgrade(tmp_path):
    old = [f"before-upgrade-2026-10-{day:02d}-180000-000.db" for day in range(1, 4)]
    for name in (*old, "before-upgrade-2026-10-09-180000-000.dump", "readylight-2020-01-01-000000-000.db"):
        (tmp_path / name).touch()
    lay(tmp_path, night(1, "before-upgrade"))
    keep(tmp_path, 3, "before-upgrade")
    assert names(tmp_path) == {
        old[2],
        "before-upgrade-2026-10-09-180000-000.dump",
        night(1, "before-upgrade"),
        "readylight-2020-01-01-000000-000.db",
    }


# --- every night --------------------------------------------------------------------------------


def moment(text):
    return datetime.fromisoformat(f"2026-11-{text}")


@pytest.mark.parametrize(
    ("now", "made", "is_due"),
    [
        ("23 02:59", ["22 03:00"], False),
        ("23 03:00", ["22 03:00"], True),
        ("23 03:00", ["23 03:00"], False),
        ("23 03:01", ["22 03:00", "23 03:00"], False),
        ("23 03:05", [], True),
        ("23 02:00", [], True),
        # The machine was off at three; then for days.
        ("23 09:30", ["22 03:00"], True),
        ("23 01:00", ["19 03:00"], True),
        ("23 09:35", ["23 09:31"], False),
        ("24 02:59", ["23 09:31"], False),
        ("24 03:00", ["23 09:31"], True),
        # The clock goes back an hour, or somebody puts it back.
        ("23 02:10", ["22 03:00", "23 03:00"], False),
        ("23 03:00", ["22 03:00", "23 03:20"], True),
        # It was years ahead when the last one was made.
        ("23 03:00", ["22 03:00", "30 03:00"], True),
        ("23 03:05", ["23 03:00", "30 03:00"], False),
        ("22 09:00", ["23 03:00", "30 03:00"], True),
    ],
)
def test_a_backup_is_due_when_three_o_clock_has_passed_since_the_last(now, made, is_due):
    at = datetime(1, 1, 1, 3).time()
    assert nightly.is_due(moment(now), map(moment, made), at) == is_due


def test_a_clock_that_jumps_about_neither_ends_the_backups_nor_makes_them_without_end():
    at, made, now = datetime(1, 1, 1, 3).time(), [], datetime(2026, 11, 23)
    jumps = {30: -timedelta(days=900), 60: timedelta(days=4000), 61: -timedelta(days=4000), 90: timedelta(hours=-5)}
    for day in range(200):
        now += jumps.get(day, timedelta())
        here = len(made)
        for _ in range(48):
            if nightly.is_due(now, made, at):
                made.append(now)
            now += timedelta(minutes=30)
        assert len(made) - here <= 2, day
    assert 190 <= len(made) <= 210


@pytest.mark.parametrize("zone", ["Asia/Bangkok", "America/New_York", "nowhere/at all"])
def test_the_time_of_day_is_the_shop_s(app, shop, clock, zone):
    clock.set(MORNING)
    shop.timezone = zone
    db.session.commit()
    here = clock.now(None).replace(tzinfo=None)
    shown = {"Asia/Bangkok": datetime(2026, 11, 23, 10, 0, 4), "America/New_York": datetime(2026, 11, 22, 22, 0, 4)}
    known = making.shop_zone(app.config["SQLALCHEMY_DATABASE_URI"])
    assert making.time_in(known) == shown.get(zone, here)


@pytest.mark.parametrize(("zone", "is_due"), [("America/New_York", False), ("Asia/Bangkok", True)])
def test_night_is_when_it_is_night_in_the_shop(app, shop, runner, tmp_path, clock, monkeypatch, zone, is_due):
    """At eight in the evening in Greenwich it is three in the afternoon in New York, and in Bangkok three at night."""
    shop.timezone = zone
    clock.set(datetime(2026, 11, 22, 23, 30, tzinfo=UTC))
    monkeypatch.setitem(app.config, "DATA_DIR", str(tmp_path))
    back_up(runner, tmp_path, "--nightly")
    clock.set(datetime(2026, 11, 23, 20, 0, tzinfo=UTC))
    os.utime(tmp_path / "nightly.lock", (0, 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    # Where there are no programs, a try ends at once.
    with pytest.raises(FileNotFoundError) if is_due else nullcontext():
        nightly.make_if_due(app.config | {"BACKUP_DIR": str(tmp_path), "BACKUP_AT": datetime(1, 1, 1, 18).time()})
    assert (os.stat(tmp_path / "nightly.lock").st_mtime > 0) == is_due


def test_a_worker_leaves_a_backup_alone_that_another_one_is_making(app, shop, tmp_path):
    lock = tmp_path / "nightly.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    settings = app.config | {"DATA_DIR": str(tmp_path), "BACKUP_DIR": str(tmp_path / "none")}
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        nightly.make_if_due(settings)
    assert lock.stat().st_mtime == 0, "it was tried"


@pytest.fixture
def environment(app, tmp_path):
    """For processes on the test's database, in a data folder of their own, in which the last try was hours ago."""
    db.session.commit()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "nightly.lock").touch()
    os.utime(tmp_path / "data" / "nightly.lock", (0, 0))
    url = make_url(app.config["SQLALCHEMY_DATABASE_URI"])
    if POSTGRESQL:
        url = url.set(drivername="postgresql")
    return {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "SECRET_KEY": "x" * 32,
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "WORKERS": "2",
        "BACKUP_AT": "00:00",
    }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.journey
@pytest.mark.skipif(bool(POSTGRESQL), reason="starts are tried on SQLite, whatever the rest runs on")
def test_a_server_that_was_off_at_night_makes_up_for_it_and_its_workers_make_one_backup(shop, environment, tmp_path):
    log, data = tmp_path / "log", tmp_path / "data"
    with (
        log.open("w") as out,
        subprocess.Popen([ROOT / "script" / "serve"], env=os.environ | environment, stdout=out, stderr=out) as server,
    ):
        try:
            for _ in range(2400):
                if "nightly backup" in log.read_text() or server.poll() is not None:
                    break
                time.sleep(0.05)
        finally:
            server.terminate()
    (copy,) = (data / "backups").iterdir()
    assert f"The nightly backup is made: {copy}" in log.read_text()
    assert copies.verify(copy) == [DATABASE]


@pytest.mark.journey
def test_a_nightly_backup_that_fails_is_said_once_and_tried_again_in_an_hour(
    app, shop, environment, tmp_path, monkeypatch
):
    (tmp_path / "in the way").touch()
    environment["BACKUP_DIR"] = str(tmp_path / "in the way" / "backups")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said, settings = [], app.config | {**environment, "BACKUP_AT": datetime.min.time()}
    listener = logging.Handler()
    listener.emit = lambda record: said.append(record.getMessage())
    nightly.log.addHandler(listener)
    try:
        for _ in range(3):
            nightly.make_if_due(settings)
    finally:
        nightly.log.removeHandler(listener)
    (sentence,) = said
    assert "failed, and will be tried again in an hour: The copy could not be written to" in sentence
    lock = tmp_path / "data" / "nightly.lock"
    os.utime(lock, (time.time() - 3601, time.time() - 3601))
    (tmp_path / "in the way").unlink()
    nightly.make_if_due(settings)
    assert len([*(tmp_path / "in the way" / "backups").glob("nightly-*")]) == 1
