"""Restoring: what was copied comes back to the last row and the last byte, or nothing changes."""

import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from itertools import product
from pathlib import Path

import pytest
from flask_migrate import upgrade
from PIL import Image
from sqlalchemy import NullPool, create_engine, make_url, text
from werkzeug.datastructures import FileStorage

from app.backup import copies, locks, making, postgresql, sqlite
from app.config import ROOT
from app.db import db, let_go
from app.demo import fill as demo
from app.models import Photo, Repair
from app.repairs import actions, photos

from .conftest import POSTGRESQL, make_app
from .factories import make_repair, make_shop, make_staff

pytestmark = pytest.mark.usefixtures("folder")

only_postgresql = pytest.mark.skipif(not POSTGRESQL, reason="TEST_DATABASE_URL names no PostgreSQL database")
only_sqlite = pytest.mark.skipif(bool(POSTGRESQL), reason="this is about SQLite's files")
DATABASE = postgresql.FILE if POSTGRESQL else sqlite.FILE
FLASK = [sys.executable, "-m", "flask"]


class Machine:
    """A machine with a shop on it: a data folder, a database, and somebody at its terminal."""

    def __init__(self, data: Path, uri: str):
        self.data, self.uri = data, uri
        self.app = make_app(data, uri)

    def run(self, *arguments, expect=0, **options) -> str:
        """One command of `flask`; what it says."""
        result = self.app.test_cli_runner().invoke(args=[*map(str, arguments)], **options)
        assert result.exit_code == expect, result.output
        return result.output

    def back_up(self, *arguments) -> Path:
        """Where the new copy is."""
        return Path(self.run("backup", *arguments).strip())

    def restore(self, copy, *arguments, **options) -> str:
        """What `flask restore` says when nobody has to be asked."""
        return self.run("restore", copy, "--yes", *arguments, **options)

    @contextmanager
    def inside(self):
        """An app context on it."""
        with self.app.app_context():
            yield
            db.session.remove()

    def let_go(self):
        """No connection stays open."""
        with self.app.app_context():
            let_go()

    def rows(self) -> dict[str, list]:
        """Every row of every table, but for the sign-ins: everybody has to sign in again."""
        return everything(self.uri)

    def pictures(self) -> dict[str, bytes]:
        """The bytes of every picture."""
        return {str(file.relative_to(self.data)): file.read_bytes() for file in self.data.glob("photos/*/*.jpg")}

    def environment(self) -> dict[str, str]:
        """For a process of this machine."""
        url = make_url(self.uri).set(**{"drivername": "postgresql"} if POSTGRESQL else {})
        database = url.render_as_string(hide_password=False)
        return os.environ | {
            "DATA_DIR": str(self.data),
            "DATABASE_URL": database,
            "SECRET_KEY": "x" * 32,
            "HOST": "127.0.0.1",
            "WORKERS": "2",
        }

    def process(self, *arguments):
        """The same command as a process."""
        command = [*FLASK, *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, env=self.environment(), capture_output=True, text=True)


def everything(uri) -> dict[str, list]:
    engine = create_engine(uri, poolclass=NullPool)
    with engine.connect() as connection:
        tables = {*db.metadata.tables, "alembic_version"} - {"sign_in"}
        return {
            name: sorted(tuple(map(str, row)) for row in connection.execute(text(f"SELECT * FROM {name}")))
            for name in tables
        }


@pytest.fixture
def here(app) -> Machine:
    """The machine of the shop that a test arranges."""
    machine = Machine.__new__(Machine)
    machine.app, machine.uri = app, app.config["SQLALCHEMY_DATABASE_URI"]
    machine.data = Path(app.config["DATA_DIR"])
    return machine


@pytest.fixture
def there(tmp_path, other_database) -> Machine:
    """Another machine, with nothing on it."""
    data = tmp_path / "there"
    data.mkdir()
    machine = Machine(data, other_database if POSTGRESQL else f"sqlite:///{data / 'readylight.db'}")
    yield machine
    machine.let_go()


@pytest.fixture
def copy(here, shop, tmp_path) -> Path:
    """A copy of a shop with three repairs and a photo."""
    for status in ("received", "waiting_parts"):
        make_repair(status=status)
    add_photo(make_repair(status="delivered"))
    return here.back_up(tmp_path / "copies")


@pytest.fixture
def busy(there) -> Machine:
    """The other machine, with a shop of its own: one repair, two photos."""
    with there.inside():
        upgrade()
        make_shop()
        repair = make_repair()
        add_photo(repair, "blue")
        add_photo(repair, "green")
    there.let_go()
    return there


def add_photo(repair, colour="red") -> str:
    """A photo of the repair, as the counter adds one; gives its name."""
    content = BytesIO()
    Image.new("RGB", (60, 40), colour).save(content, "JPEG")
    content.seek(0)
    actions.add_photos(repair, [FileStorage(content, "IMG.jpg")], by=make_staff(), version=repair.version)
    return db.session.query(Photo).order_by(Photo.id.desc()).first().name


# --- the drill ----------------------------------------------------------------------------------


def take_in_until(done, here, known):
    """Somebody at the counter who does nothing but take repairs in, with a photo of each fifth."""
    with here.app.app_context():
        while not done.is_set():
            repair = make_repair()
            if repair.id % 5 == 0:
                add_photo(repair)
            known.append(repair.code)
        db.session.remove()


@pytest.mark.journey
def test_a_shop_that_was_copied_at_work_opens_on_an_empty_machine(here, there, tmp_path):
    demo.fill(120, public_url="https://repairs.example.com")
    add_photo(db.session.get(Repair, 1))
    db.session.remove()
    done, known = threading.Event(), []
    counter = threading.Thread(target=take_in_until, args=(done, here, known))
    counter.start()
    try:
        while len(known) < 5:
            counter.join(0.01)
        before = set(known)
        made = here.process("backup", tmp_path / "copies")
        assert made.returncode == 0, made.stderr
        after = set(known)
    finally:
        done.set()
        counter.join()
    assert len(after) > len(before), "nobody worked meanwhile"

    said = there.process("restore", made.stdout.strip(), "--yes")
    assert said.returncode == 0, said.stderr
    then, now = there.rows(), here.rows()
    codes = {row[1] for row in then["repair"]}
    assert before <= codes
    for name in now:
        # What was there at that moment, all of it, and nothing half done. A branch counts on, a repair gets a photo.
        columns = {"branch": 1, "repair": 3}.get(name)
        assert {row[:columns] for row in then[name]} <= {row[:columns] for row in now[name]}, name
    with there.inside():
        for branch in db.session.execute(text("SELECT id, next_number FROM branch")).all():
            count = text("SELECT count(*) FROM repair WHERE branch_id = :id")
            assert db.session.scalar(count, {"id": branch.id}) == branch.next_number - 1
        lone = text("SELECT count(*) FROM repair WHERE id NOT IN (SELECT repair_id FROM event)")
        assert db.session.scalar(lone) == 0
        wanted = copies.files_of(db.session.scalars(text("SELECT name FROM photo")))
    pictures = here.pictures()
    assert there.pictures() == {name: pictures[name] for name in wanted}


def test_every_row_and_every_picture_comes_back(here, there, tmp_path):
    demo.fill(200, public_url="https://repairs.example.com")
    for colour in ("red", "green", "blue"):
        add_photo(db.session.get(Repair, 7), colour)
    db.session.remove()
    said = there.restore(here.back_up(tmp_path / "copies"))
    assert "The copy is sound. Repairs: 200. Photos: 3." in said
    assert there.rows() == here.rows()
    assert len(there.pictures()) == 6
    assert there.pictures() == here.pictures()
    with there.inside():
        upgrade()
        assert make_repair(), "the shop goes on"


# --- what is damaged is refused -----------------------------------------------------------------


def flip(file: Path, at: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    # A file of its own: the shop's picture may have the same bytes.
    file.unlink()
    file.write_bytes(content)


def test_one_flipped_bit_anywhere_is_found_and_nothing_is_replaced(copy, busy):
    rows, pictures = busy.rows(), busy.pictures()
    copied = [file for file in copy.rglob("*") if file.is_file()]
    assert len(copied) == 4
    for file, at in product(copied, (0, 0.3, 0.5, 0.99, 1)):
        whole = file.read_bytes()
        flip(file, at)
        said = busy.restore(copy, expect=1)
        assert said.startswith("Error: ")
        assert said.endswith("Nothing was replaced.\n")
        assert said.count("\n") == 1
        file.write_bytes(whole)
    assert (busy.rows(), busy.pictures()) == (rows, pictures)
    assert not (busy.data / "backups").exists()
    assert "restoring" not in str([*busy.data.iterdir()])


def test_no_bit_of_the_list_of_checksums_can_flip_unnoticed(copy):
    whole = (copy / "SHA256SUMS").read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 7
        (copy / "SHA256SUMS").write_bytes(content)
        with pytest.raises(copies.Damaged):
            copies.verify(copy)


def forget_a_picture(copy):
    _, *lines = (copy / "SHA256SUMS").read_text().splitlines(keepends=True)
    (copy / "SHA256SUMS").write_text("".join(lines))


def forget_the_database(copy):
    *lines, _ = (copy / "SHA256SUMS").read_text().splitlines(keepends=True)
    (copy / "SHA256SUMS").write_text("".join(lines))


def lose_a_picture(copy):
    next(copy.glob("photos/*/*.jpg")).unlink()


def lose_the_database(copy):
    (copy / DATABASE).unlink()


def lose_the_list(copy):
    (copy / "SHA256SUMS").unlink()


def lead_elsewhere(copy):
    with (copy / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  ../../etc/passwd\n")


def test_a_copy_that_is_not_whole_is_refused(copy, busy, tmp_path):
    rows = busy.rows()
    harms = (forget_a_picture, forget_the_database, lose_a_picture, lose_the_database, lose_the_list, lead_elsewhere)
    for harm in harms:
        damaged = shutil.copytree(copy, tmp_path / harm.__name__)
        harm(damaged)
        said = busy.restore(damaged, "--despite-missing-photos", expect=1)
        assert said.endswith("Nothing was replaced.\n"), harm
    assert busy.rows() == rows


def sign_anew(copy):
    """What an attacker or a bad disk would not do: checksums that fit."""
    sums = {name: copies.digest(copy / name) for name in copies.read_sums(copy)}
    (copy / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))


def test_a_database_that_is_damaged_under_a_fitting_checksum_is_refused(copy, busy):
    rows = busy.rows()
    content = bytearray((copy / DATABASE).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = b"\xaa" * 4000
    (copy / DATABASE).write_bytes(content)
    sign_anew(copy)
    assert busy.restore(copy, expect=1).endswith("Nothing was replaced.\n")
    assert busy.rows() == rows


@only_postgresql
def test_a_dump_that_postgresql_refuses_half_way_changes_nothing(here, busy, tmp_path):
    with here.inside():
        # A row that fits into no other database: this shows when the tables have gone and most rows have come.
        name = make_url(POSTGRESQL).database
        db.session.execute(text(f"CREATE TABLE trap (id integer CHECK (current_database() = '{name}'))"))
        db.session.execute(text("INSERT INTO trap VALUES (1)"))
        db.session.execute(text("INSERT INTO throttle VALUES ('key', 1, 1)"))
        db.session.commit()
        try:
            copy = here.back_up(tmp_path / "copies")
        finally:
            db.session.execute(text("DROP TABLE trap"))
            db.session.commit()
    rows = busy.rows()
    said = busy.restore(copy, expect=1)
    assert 'The dump could not be restored: ERROR:  new row for relation "trap" violates' in said
    assert said.endswith("Nothing was replaced.\n")
    assert busy.rows() == rows


def test_a_copy_of_a_newer_version_is_refused_in_one_sentence(here, copy, busy, tmp_path):
    rows = busy.rows()
    with here.inside():
        known = db.session.scalar(text("SELECT version_num FROM alembic_version"))
        db.session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        db.session.commit()
        try:
            newer = here.back_up(tmp_path / "copies")
        finally:
            db.session.execute(text(f"UPDATE alembic_version SET version_num = '{known}'"))
            db.session.commit()
    said = busy.restore(newer, expect=1)
    assert said.startswith("Error: The copy is newer than this program: its database is at 9999")
    assert said.count("\n") == 1
    assert busy.rows() == rows


def test_a_copy_of_an_older_version_is_restored_and_then_brought_up_to_date(tmp_path, there, here):
    with there.inside():
        upgrade(revision="0002")
        db.session.execute(
            text(
                "INSERT INTO branch (name, code, phone, whatsapp, address, next_number, created_at) "
                "VALUES ('Old', 'OL', '', '', '', 1, '2025-01-01 00:00:00')"
            )
        )
        db.session.commit()
        old = there.back_up(tmp_path / "copies")
        upgrade()
    there.restore(old)
    with there.inside():
        assert db.session.scalar(text("SELECT version_num FROM alembic_version")) == "0002"
        db.session.rollback()
        upgrade()
        assert db.session.scalar(text("SELECT name FROM branch")) == "Old"


def test_a_copy_of_the_other_kind_of_database_is_refused(busy, copy):
    other = sqlite.FILE if POSTGRESQL else postgresql.FILE
    (copy / DATABASE).rename(copy / other)
    (copy / "SHA256SUMS").write_text((copy / "SHA256SUMS").read_text().replace(DATABASE, other))
    assert "This copy is of a " in busy.restore(copy, expect=1)


def test_what_is_no_copy_at_all_is_refused(busy, tmp_path):
    (tmp_path / "letters").mkdir()
    assert "is no copy that `flask backup` made" in busy.restore(tmp_path / "letters", expect=1)
    assert "does not exist" in busy.restore(tmp_path / "nothing", expect=2)


@only_sqlite
def test_a_database_of_another_program_is_refused(busy, tmp_path):
    with closing(sqlite3.connect(tmp_path / "readylight-2026-11-23-100000-000.db")) as other:
        other.execute("CREATE TABLE song (name TEXT)")
    assert "is no database of Readylight" in busy.restore(tmp_path / "readylight-2026-11-23-100000-000.db", expect=1)


def test_a_copy_that_lacks_pictures_is_restored_only_if_that_is_wanted(here, shop, there, folder, tmp_path):
    name = add_photo(make_repair())
    photos.remove(name)
    result = here.app.test_cli_runner().invoke(args=["backup", str(tmp_path)])
    copy = Path(result.stdout.strip())
    said = there.restore(copy, expect=1)
    assert f"2 files of its photos are missing, the first of them photos/{name[:2]}/{name}.jpg." in said
    there.restore(copy, "--despite-missing-photos")
    assert there.rows() == here.rows()


# --- what was there is kept ---------------------------------------------------------------------


def test_what_was_there_is_kept_and_can_be_gone_back_to(here, copy, busy):
    rows, pictures = busy.rows(), busy.pictures()
    said = busy.restore(copy)
    assert busy.rows() == here.rows()
    assert busy.pictures() == here.pictures()
    (kept,) = (busy.data / "backups").glob("replaced-*")
    assert said.endswith(f"To go back to it: flask restore {kept}\n")
    busy.restore(kept)
    assert (busy.rows(), busy.pictures()) == (rows, pictures)
    assert len([*(busy.data / "backups").glob("replaced-*")]) == 2


def test_an_empty_machine_has_nothing_to_keep(copy, there):
    assert "To go back" not in there.restore(copy)
    assert not (there.data / "backups").exists()


def test_whoever_says_no_changes_nothing(copy, busy):
    rows = busy.rows()
    said = busy.run("restore", copy, input="n\n", expect=1)
    assert "Shall it take the place of all that is in the shop now? [y/N]" in said
    assert busy.rows() == rows
    assert "restoring" not in str([*busy.data.iterdir()])
    busy.run("restore", copy, input="y\n")
    assert busy.rows() != rows


def test_a_copy_made_before_an_upgrade_leaves_the_photos_where_they_are(busy):
    with busy.inside():
        now = making.time_in(making.shop_zone(busy.uri))
        copy = making.make("before-upgrade", busy.data / "backups", url=busy.uri, photos=None, moment=now).folder
    pictures = busy.pictures()
    busy.restore(copy)
    assert busy.pictures() == pictures


def test_nobody_is_signed_in_by_a_copy(here, owner, there, tmp_path):
    """Whoever signed out since, or was shut out, must not be back in."""
    copy = here.back_up(tmp_path)
    there.restore(copy)
    with there.inside():
        assert db.session.scalar(text("SELECT count(*) FROM sign_in")) == 0
        assert db.session.scalar(text("SELECT count(*) FROM staff")) == 1
    with here.inside():
        assert db.session.scalar(text("SELECT count(*) FROM sign_in")) == 1


def test_nobody_else_may_read_what_was_restored(copy, busy):
    busy.restore(copy)
    for path in busy.data.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave files to others")
def test_what_root_restores_belongs_to_whom_the_data_folder_belongs(copy, there):
    os.chown(there.data, 65534, 65534)
    there.restore(copy)
    assert {path.stat().st_uid for path in there.data.rglob("*")} == {65534}


# --- SQLite's files -----------------------------------------------------------------------------


@only_sqlite
def test_a_damaged_database_is_kept_as_it_is_and_replaced(here, copy, busy):
    file = busy.data / "readylight.db"
    file.write_bytes(b"this is no database" * 400)
    pictures = busy.pictures()
    busy.restore(copy)
    assert busy.rows() == here.rows()
    (kept,) = (busy.data / "backups").glob("replaced-*")
    assert (kept / "readylight.db").read_bytes() == b"this is no database" * 400
    assert {name for name in copies.verify(kept) if name.startswith("photos")} == {*pictures}


@pytest.fixture
def crashed(busy, tmp_path):
    """The other machine's server was killed, and its last change is in SQLite's log only."""
    names = ("readylight.db", "readylight.db-wal")
    with closing(sqlite3.connect(busy.data / "readylight.db", isolation_level=None)) as server:
        server.execute("PRAGMA journal_mode = WAL")
        server.execute("PRAGMA wal_autocheckpoint = 0")
        server.execute("UPDATE repair SET item = 'only in the log'")
        for name in names:
            shutil.copy(busy.data / name, tmp_path / name)
    for name in names:
        shutil.copy(tmp_path / name, busy.data)
    return busy


@only_sqlite
def test_the_log_of_a_damaged_database_is_not_played_into_the_copy(here, copy, crashed):
    log = (crashed.data / "readylight.db-wal").read_bytes()
    with (crashed.data / "readylight.db").open("r+b") as file:
        file.write(b"no header any more" * 6)
    crashed.restore(copy)
    assert crashed.rows() == here.rows()
    (kept,) = (crashed.data / "backups").glob("replaced-*")
    assert (kept / "readylight.db-wal").read_bytes() == log


@only_sqlite
def test_what_is_in_the_log_of_a_server_that_was_killed_is_kept(here, copy, crashed):
    busy = crashed
    busy.restore(copy)
    assert busy.rows() == here.rows()
    (kept,) = (busy.data / "backups").glob("replaced-*")
    with closing(sqlite3.connect(kept / "readylight.db")) as database:
        assert database.execute("SELECT item FROM repair").fetchall() == [("only in the log",)]


@only_sqlite
def test_a_database_that_another_program_has_open_is_left_alone(copy, busy):
    rows = busy.rows()
    with closing(sqlite3.connect(busy.data / "readylight.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM repair").fetchone()
        said = busy.restore(copy, expect=1)
    assert said.endswith("Another program has the database open. End it first. Nothing was replaced.\n")
    assert busy.rows() == rows


@only_sqlite
def test_a_copy_that_version_1_made_is_restored(here, copy, busy, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    file = shutil.copy(copy / DATABASE, old / "readylight-2026-10-01-120000-123.db")
    shutil.copytree(copy / "photos", old / "photos-2026-10-01-120000-123")
    busy.restore(file)
    assert busy.rows() == here.rows()
    assert busy.pictures() == here.pictures()
    Path(f"{file}-wal").touch()
    assert "is not whole" in busy.restore(file, expect=1)


# --- a shop that is open ------------------------------------------------------------------------


@only_postgresql
def test_a_database_that_somebody_is_connected_to_is_left_alone(copy, busy):
    """A server on another machine has the same database, and another data folder."""
    rows = busy.rows()
    with create_engine(busy.uri, poolclass=NullPool).connect() as other:
        other.execute(text("SELECT 1"))
        said = busy.restore(copy, expect=1)
    assert "Other programs are connected to the database (1). End them first." in said
    assert busy.rows() == rows


@only_postgresql
def test_whoever_is_about_to_go_is_waited_for(here, copy, busy):
    """PostgreSQL counts a connection among its own for a moment after it was closed."""
    other = create_engine(busy.uri, poolclass=NullPool).connect()
    going = threading.Timer(0.3, other.close)
    going.start()
    busy.restore(copy)
    going.join()
    assert busy.rows() == here.rows()


def test_a_backup_and_a_restore_do_not_get_into_each_other_s_way(copy, busy):
    with locks.share(busy.data), locks.share(busy.data):
        assert "The shop is open" in busy.restore(copy, expect=1)
        busy.back_up()
    with locks.own(busy.data):
        assert "A backup is being restored" in busy.run("backup", expect=1)


@pytest.fixture
def server(busy):
    """The other machine's server, once it is up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    process = subprocess.Popen(
        [ROOT / "script" / "serve"],
        env=busy.environment() | {"PORT": port},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines = []
    while "Booting worker" not in "".join(lines[-1:]):
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.journey
def test_a_shop_that_is_open_is_not_replaced_and_one_that_was_killed_is(here, copy, busy, server):
    said = busy.restore(copy, expect=1)
    assert (
        said == f"Error: The shop is open: a server or a backup works in {busy.data}. End it first. "
        "Nothing was replaced.\n"
    )
    # The first process alone: its workers notice a moment later.
    server.kill()
    server.wait()
    os.killpg(server.pid, signal.SIGKILL)
    for line in iter(server.stdout.readline, ""):
        assert line
    busy.restore(copy)
    assert busy.rows() == here.rows()


@contextmanager
def no_room():
    """Ends every file at 100 KB, as a full disk would."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


@only_sqlite
def test_on_a_full_disk_nothing_is_replaced_and_nothing_half_done_is_left(copy, busy):
    before = busy.rows(), busy.pictures()
    with no_room():
        said = [busy.restore(copy, expect=1), busy.run("backup", busy.data, expect=1)]
    for sentence in said:
        assert sentence.startswith("Error: The ")
        assert sentence.count("\n") == 1
    assert (busy.rows(), busy.pictures()) == before
    assert [path for path in busy.data.rglob("*") if "part" in path.name or "restoring" in path.name] == []


# --- a restore that is broken off ---------------------------------------------------------------

# Restores in a process that is killed the n-th time that it touches a file of the shop, for every sixth n there is.
# For each, which takes a minute: 1.
STRIDE = 6
KILLED = """
import os, shutil, sys
from pathlib import Path
from tests.test_restore import everything
from wsgi import app

data, old, copy = map(Path, sys.argv[1:4])
uri = app.config["SQLALCHEMY_DATABASE_URI"]


def restore(kill_at=0):
    if not (child := os.fork()):
        steps = 0

        def count(event, args):
            nonlocal steps
            if str(data) in str(args):
                steps += 1
                if steps == kill_at:
                    os.kill(os.getpid(), 9)

        if kill_at:
            sys.addaudithook(count)
        os._exit(restore_here())
    return os.waitpid(child, 0)[1]


def restore_here():
    with app.app_context():
        result = app.test_cli_runner().invoke(args=["restore", str(copy), "--yes"])
    print(result.output, result.exception, file=sys.stderr, flush=True)
    return result.exit_code


def fresh():
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(old, data)


def pictures():
    return {str(file.relative_to(data)) for file in data.glob("photos/*/*.jpg")}


fresh()
rows_before, pictures_before = everything(uri), pictures()
# Here, so that every child of this process has loaded all that it takes.
assert restore_here() == 0
rows_after, pictures_after = everything(uri), pictures()
outcomes = []
for step in range(1, 1000, int(sys.argv[4])):
    fresh()
    status = restore(kill_at=step)
    if status == 0:
        break
    assert status == 9, status
    found = everything(uri)
    assert found in (rows_before, rows_after), step
    is_new = found == rows_after
    assert (pictures_after if is_new else pictures_before) <= pictures(), step
    outcomes.append(is_new)
    assert restore() == 0, step
    assert (everything(uri), pictures()) == (rows_after, pictures_after), step
assert outcomes == sorted(outcomes)
print(len(outcomes), outcomes.count(True))
"""


@pytest.mark.journey
@only_sqlite
def test_a_restore_that_is_killed_leaves_the_old_shop_or_the_new_one(copy, busy):
    # In memory where there is such a folder: each of them waits for the disk a hundred times.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        data, old = Path(scratch, "data"), Path(scratch, "old")
        shutil.copytree(busy.data, old)
        place = {"DATA_DIR": str(data), "DATABASE_URL": f"sqlite:///{data / 'readylight.db'}"}
        done = subprocess.run(
            [sys.executable, "-c", KILLED, data, old, copy, str(STRIDE)],
            cwd=ROOT,
            env=busy.environment() | place,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    killed, with_the_new = map(int, done.stdout.split())
    assert killed * STRIDE > 70
    assert 0 < with_the_new < killed
