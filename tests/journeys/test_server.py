"""What the person who runs the server meets: a start, or one sentence that says why there is none."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from flask_migrate import downgrade, upgrade

from app.backup import locks
from app.config import ROOT
from app.db import let_go

from ..conftest import make_app

SERVE = ROOT / "script" / "serve"
pytestmark = pytest.mark.skipif(
    bool(os.environ.get("TEST_DATABASE_URL")), reason="starts are tried on SQLite, whatever the rest runs on"
)


@pytest.fixture
def environment(tmp_path):
    """An environment with an empty data folder, SQLite in it, and a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    clean = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "SECRET_KEY"}}
    return clean | {"DATA_DIR": str(tmp_path / "data"), "HOST": "127.0.0.1", "PORT": port, "WORKERS": "1"}


@contextmanager
def started(environment):
    """The server, once it answers; ended afterwards if it still runs."""
    with subprocess.Popen(
        [SERVE], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            lines = []
            while "Booting worker" not in "".join(lines[-1:]):
                line = process.stdout.readline()
                assert line, "".join(lines)
                lines.append(line)
            process.printed = "".join(lines)
            yield process
        finally:
            process.kill()


def refused(environment) -> str:
    """What a start that fails says."""
    done = subprocess.run([SERVE], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    return done.stderr


def test_a_start_prints_the_way_in_and_ends_when_it_is_told_to(environment):
    with started(environment) as server:
        address = f"http://localhost:{environment['PORT']}"
        assert re.search(rf"{address}/setup\?code=[0-9A-F]{{4}}-[0-9A-F]{{4}}-[0-9A-F]{{4}}\s", server.printed)
        with urlopen(f"{address}/healthz") as answer:
            assert answer.read() == b"ok\n"
        # What prepared the database kept none of it open for the workers to inherit.
        opened = [os.readlink(file) for file in Path(f"/proc/{server.pid}/fd").iterdir()]
        assert not [name for name in opened if "readylight.db" in name]
        # It runs as it was compiled at installation, without what only explains it.
        inherited = Path(f"/proc/{server.pid}/environ").read_text().split("\0")
        compiled_so = {"PYTHONOPTIMIZE=2", "PYTHONNODEBUGRANGES=1", f"PYTHONPYCACHEPREFIX={sys.prefix}/optimized"}
        assert compiled_so <= {*inherited}

        # New workers with the settings of the start, whatever has become of them.
        Path(environment["DATA_DIR"], "secret_key").write_text("damaged")
        server.send_signal(signal.SIGHUP)
        time.sleep(1.5)
        with urlopen(f"{address}/healthz") as answer:
            assert answer.status == 200

        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0


def test_what_a_server_runs_is_compiled_at_installation(tmp_path):
    """A service may write neither beside the program nor beside Python's own library."""
    app = {"app/web", "app/worker", "tracking/answers"}
    libraries = {"workers/gthread", "sql/sqltypes", "redis/client", "psycopg/connection", "PIL/JpegImagePlugin"}
    libraries |= {"logging/config", "encodings/idna", "multiprocessing/popen_fork"}
    venv, real = tmp_path / ".venv", Path(sys.prefix)
    venv.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (venv / name).symlink_to(real / name)
    for name in ("app", "script", "requirements.txt"):
        (tmp_path / name).symlink_to(ROOT / name)

    def looked_for(folder, names):
        return [name for name in names if _module(folder, name) in libraries]

    # To compile all libraries takes four seconds. They are there as they are here, but for those that are looked for.
    for here, there in ((real, venv), (sys.base_prefix, sys.base_prefix)):
        shutil.copytree(f"{real}/optimized{here}", f"{venv}/optimized{there}", ignore=looked_for)
    (venv / "installed-requirements.txt").write_bytes((ROOT / "requirements.txt").read_bytes())
    (venv / "translated").touch()
    assert not libraries & {_module(file.parent, file.name) for file in venv.rglob("*.opt-2.pyc")}
    subprocess.run(["bash", "-c", "set -eu; . script/environment"], cwd=tmp_path, check=True)
    assert {_module(file.parent, file.name) for file in venv.rglob("*.opt-2.pyc")} > app | libraries
    assert (venv / "optimized/templates").is_dir()


def _module(folder, name: str) -> str:
    return f"{Path(folder).name}/{name.partition('.')[0]}"


def test_a_port_in_use_is_one_sentence_and_nothing_is_left_behind(environment, tmp_path):
    (tmp_path / "temporary").mkdir()
    environment |= {"TMPDIR": str(tmp_path / "temporary"), "METRICS_TOKEN": "somebody watches this"}
    with socket.create_server(("127.0.0.1", int(environment["PORT"]))):
        said = refused(environment)
    assert not [*(tmp_path / "temporary").iterdir()]
    assert said.strip().count("\n") == 0
    assert f"Port {environment['PORT']} on 127.0.0.1 cannot be used" in said


def test_a_wrong_setting_is_one_sentence(environment):
    said = refused(environment | {"THREADS": "many"})
    assert said == "THREADS must be a whole number from 1 to 256; it is 'many'.\n"


def test_a_data_folder_that_cannot_be_is_one_sentence(environment, tmp_path):
    (tmp_path / "file").write_text("in the way")
    said = refused(environment | {"DATA_DIR": str(tmp_path / "file" / "data")})
    assert said.strip().count("\n") == 0
    assert "cannot be written" in said


def test_a_start_while_a_backup_is_being_restored_is_one_sentence(environment):
    with locks.own(Path(environment["DATA_DIR"])):
        assert refused(environment) == "A backup is being restored. Start again when that is done.\n"


def test_a_database_that_cannot_be_reached_is_one_sentence(environment):
    said = refused(environment | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    assert said.startswith("The database cannot be opened")
    assert said.strip().count("\n") == 0


def test_a_start_that_is_told_to_end_ends_what_it_has_begun(environment, tmp_path):
    environment |= {"TMPDIR": str(tmp_path), "METRICS_TOKEN": "somebody watches this"}
    file = Path(environment["DATA_DIR"]) / "readylight.db"
    file.parent.mkdir()
    with (
        closing(sqlite3.connect(file, isolation_level=None)) as database,
        subprocess.Popen([SERVE], env=environment) as server,
    ):
        database.execute("BEGIN EXCLUSIVE")  # What prepares the database waits for it.
        process, begun = Path(f"/proc/{server.pid}"), []
        while not begun:
            assert server.poll() is None
            time.sleep(0.02)
            if "serving.py" in (process / "cmdline").read_text():
                begun = (process / "task" / str(server.pid) / "children").read_text().split()
        server.terminate()
        assert server.wait(10) == 143
        # It would wait for five seconds.
        for _ in range(100):
            if not Path("/proc", *begun).exists():
                break
            time.sleep(0.02)
        else:
            raise AssertionError("what prepares the database goes on")
        assert not [*tmp_path.glob("readylight-metrics-*")]


def test_a_database_of_a_newer_version_is_left_alone(environment):
    file = Path(environment["DATA_DIR"]) / "readylight.db"
    file.parent.mkdir()
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        before = list(database.iterdump())
    said = refused(environment)
    assert said.startswith("The database is newer than this program")
    assert said.strip().count("\n") == 0
    with closing(sqlite3.connect(file)) as database:
        assert list(database.iterdump()) == before


def test_an_older_database_is_copied_before_it_is_brought_up_to_date(environment):
    data = Path(environment["DATA_DIR"])
    data.mkdir()
    with make_app(data, f"sqlite:///{data}/readylight.db").app_context():
        upgrade()
        downgrade()
        let_go()
    with started(environment):
        copies = [*data.glob("backups/before-upgrade-*/readylight.db")]
    assert len(copies) == 1
    assert copies[0].stat().st_mode & 0o777 == 0o600
