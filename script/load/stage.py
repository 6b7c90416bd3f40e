"""The stage: databases in a temporary folder and on PostgreSQL, servers, and what these use of the machine."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import psycopg
from sqlalchemy import make_url

from app.config import SETTINGS

from . import machine
from .machine import ROOT

HOST = "127.0.0.1"
WORKERS = 2
KINDS = ("SQLite", "PostgreSQL")
# So many seconds a server may take to answer for the first time, and to go.
PATIENCE = 30
BEGAN = time.monotonic()


def say(text: str) -> None:
    """Tells whoever waits how far it has come, and after how many seconds."""
    print(f"{time.monotonic() - BEGAN:5.0f} s  {text}", file=sys.stderr, flush=True)


class Failed(SystemExit):
    """The run cannot go on. As a SystemExit it ends the command with its one sentence."""


class Database(NamedTuple):
    """A filled database; environ: the settings under which the shop finds it."""

    kind: str
    size: int
    folder: Path
    url: str

    @property
    def environ(self) -> dict[str, str]:
        # Whatever is set where the bench was started: the shop that is measured has its defaults.
        inherited = {name: value for name, value in os.environ.items() if name not in {each.name for each in SETTINGS}}
        return inherited | {
            "DATA_DIR": str(self.folder),
            "DATABASE_URL": self.url.replace("+psycopg", ""),
            "HOST": HOST,
            "WORKERS": str(WORKERS),
            "LOG_LEVEL": "WARNING",
            # A night's backup in the middle of a load would be measured too.
            "BACKUP_AT": "off",
        }

    @property
    def sign_in(self) -> dict[str, str]:
        """The owner's email and password."""
        return json.loads((self.folder / "demo.json").read_text())["login"]


# --- databases ----------------------------------------------------------------------------------


def postgres_server() -> str | None:
    """The address of a PostgreSQL server that answers, with the database "postgres"; None without one."""
    url = make_url(os.environ.get("TEST_POSTGRES_URL") or f"postgresql://postgres@{HOST}:5432/postgres")
    address = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    try:
        psycopg.connect(address, connect_timeout=3).close()
    except psycopg.OperationalError:
        return None
    return address


@contextmanager
def databases(sizes: list[int], folder: Path, server: str | None, *, keep: bool) -> Iterator[list[Database]]:
    """Databases of these sizes, of each kind that there is, filled; the ones on the server are dropped in the end."""
    found = [Database("SQLite", size, folder / f"sqlite-{size}", "") for size in sizes]
    with ExitStack() as undo:
        if server:
            admin = undo.enter_context(psycopg.connect(server, autocommit=True))
            if not admin.execute("SELECT pg_try_advisory_lock(20260801)").fetchone()[0]:
                raise Failed("Another script/bench is using this PostgreSQL server. Wait for it.")
            known = {name for (name,) in admin.execute("SELECT datname FROM pg_database")}
            for size in sizes:
                name = f"readylight_bench_{size}"
                url = make_url(server).set(drivername="postgresql+psycopg", database=name)
                made = Database("PostgreSQL", size, folder / name, url.render_as_string(hide_password=False))
                found.append(made)
                if name not in known:
                    # A run without --keep has dropped what one with it had kept.
                    shutil.rmtree(made.folder, ignore_errors=True)
                if not keep:
                    undo.callback(admin.execute, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
                if not (made.folder / "demo.json").exists():
                    admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
                    admin.execute(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'")
        _fill(found)
        yield found


def _fill(databases: list[Database]) -> None:
    """Fills those that are new, one of each kind at a time."""
    queues = [[new for new in databases if new.kind == kind and not (new.folder / "demo.json").exists()]
              for kind in KINDS]  # fmt: skip
    running: dict[int, tuple[Database, subprocess.Popen]] = {}
    try:
        while any(queues) or running:
            for number, queue in enumerate(queues):
                if number not in running and queue:
                    with machine.undisturbed():
                        running[number] = _start_filling(queue.pop(0))
            for number, (database, process) in list(running.items()):
                if process.poll() is not None:
                    _check_filled(database, process)
                    del running[number]
            time.sleep(0.1)
    finally:
        for _, process in running.values():
            process.terminate()
            process.wait()


def _start_filling(database: Database) -> tuple[Database, subprocess.Popen]:
    shutil.rmtree(database.folder, ignore_errors=True)
    database.folder.mkdir(parents=True)
    with (database.folder / "demo.part").open("w") as out, (database.folder / "fill.log").open("w") as log:
        command = [ROOT / ".venv/bin/flask", "demo", "--repairs", str(database.size), "--json"]
        return database, machine.start(command, env=database.environ, stdout=out, stderr=log)


def _check_filled(database: Database, process: subprocess.Popen) -> None:
    if process.returncode:
        raise Failed(f"flask demo failed:\n{(database.folder / 'fill.log').read_text()[-1000:]}")
    if database.url:
        # What autovacuum would do within the next minutes, while something is being measured.
        with psycopg.connect(database.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
    (database.folder / "demo.part").rename(database.folder / "demo.json")


def postmaster(server: str) -> int | None:
    """The process id of a PostgreSQL server on this machine; None for one elsewhere."""
    with psycopg.connect(server) as connection:
        backend = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
        try:
            if "postgres" in machine.read(backend, "comm"):
                return int(machine.read(backend, "stat").rpartition(")")[2].split()[1])
        except OSError:
            pass
    return None


# --- servers ------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: Message
    body: bytes


class Server:
    """A server and its workers, from start to stop."""

    def __init__(self, command: list, environ: dict[str, str], port: int, log: Path):
        self.port, self.log = port, log
        with log.open("a") as out:
            # A session of its own: Ctrl-C is for the bench, which then stops its servers itself.
            self._process = machine.start(command, env=environ, stdout=out, stderr=out, start_new_session=True)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"

    def wait(self, path: str) -> "Server":
        """Waits until it answers there. Raises Failed, with the end of its log."""
        patience = time.monotonic() + PATIENCE
        while time.monotonic() < patience and self._process.poll() is None:
            try:
                if self.ask("GET", path, {}).status == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.05)
        raise Failed(f"The server did not start.\n{self.log.read_text()[-1000:]}")

    def ask(self, method: str, path: str, headers: dict[str, str], body: str = "") -> "Answer":
        """Sends one request, over a connection of its own."""
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, body.encode() or None, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    @property
    def pid(self) -> int:
        """The process id of gunicorn's master."""
        return self._process.pid

    def memory(self) -> dict[str, float]:
        """Proportional set size in MB: of the master, of a worker on average, and of all, once all are there."""
        patience = time.monotonic() + PATIENCE
        while len(family := machine.tree(self.pid)) <= WORKERS and time.monotonic() < patience:
            # The first worker answers while the master is about to make the second one, which needs a moment to begin.
            time.sleep(1)
        master, *workers = (machine.pss(pid) for pid in family)
        return {"master": master, "worker": sum(workers) / max(1, len(workers)), "all": master + sum(workers)}

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return machine.cpu_seconds(self._process.pid)

    def stop(self) -> None:
        """Ends it and all that it started. SIGINT: gunicorn does not wait for connections that are merely kept."""
        with machine.undisturbed():
            for number in (signal.SIGINT, signal.SIGKILL):
                try:
                    os.killpg(self._process.pid, number)
                    self._process.wait(timeout=4)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    pass


@contextmanager
def product(database: Database) -> Iterator[Server]:
    """The shop itself, as script/server starts it."""
    port = free_port()
    environ = database.environ | {"PORT": str(port)}
    with _serving([ROOT / "script" / "serve"], environ, port, database.folder / "server.log", "/healthz") as server:
        yield server


@contextmanager
def yardstick(like: Server, app: str) -> Iterator[Server]:
    """hello.bare or hello.flask, under the very settings and environment of that server."""
    port = free_port()
    environ = dict(pair.split("=", 1) for pair in machine.read(like.pid, "environ").split("\0") if "=" in pair)
    settings = ROOT / "script" / "gunicorn.conf.py"
    command = [sys.executable, "-m", "gunicorn", "--config", settings, f"script.load.hello:{app}"]
    environ |= {"PORT": str(port)}
    with _serving(command, environ, port, like.log, "/") as server:
        yield server


@contextmanager
def _serving(command: list, environ: dict[str, str], port: int, log: Path, path: str) -> Iterator[Server]:
    server = None
    try:
        with machine.undisturbed():
            server = Server(command, environ, port, log)
        yield server.wait(path)
    finally:
        if server:
            server.stop()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
