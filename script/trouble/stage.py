"""A shop in a temporary folder, that can be started, killed and started again."""

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import Engine, create_engine

from app.config import SETTINGS

from .person import HOST, PATIENCE, Cut, NotThere, Person

ROOT = Path(__file__).resolve().parents[2]


class Shop:
    """A shop: its folder, its database, and its server as script/server starts it."""

    def __init__(self, folder: Path, url: str = "", **settings: object):
        self.folder, self.port = folder, _free_port()
        # Whatever is set where this was started: the shop has its defaults.
        inherited = {name: value for name, value in os.environ.items() if name not in {each.name for each in SETTINGS}}
        self._environ = inherited | {
            "DATA_DIR": str(folder),
            "DATABASE_URL": url,
            "HOST": HOST,
            "PORT": str(self.port),
            **{name: str(value) for name, value in settings.items()},
        }
        self._url = url.replace("postgresql://", "postgresql+psycopg://") or f"sqlite:///{folder / 'readylight.db'}"
        self._process: subprocess.Popen | None = None
        self.log = folder.with_name(f"{folder.name}.log")
        self.made: dict = {}

    def fill(self, repairs: int = 40) -> "Shop":
        """Fills it with people and repairs."""
        command = [sys.executable, "-m", "flask", "demo", "--repairs", str(repairs), "--json"]
        done = subprocess.run(command, cwd=ROOT, env=self._environ, check=True, capture_output=True, text=True)
        self.made = json.loads(done.stdout)
        return self

    def start(self) -> "Shop":
        """Starts the server, and waits until it answers."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [ROOT / "script" / "serve"], env=self._environ, stdout=log, stderr=log, start_new_session=True
            )
        self.wait()
        return self

    def wait(self) -> None:
        """Waits until it answers; nobody helps it."""
        patience = time.monotonic() + PATIENCE
        while time.monotonic() < patience:
            try:
                with closing(Person(self.port)) as anyone:
                    if anyone.get("/healthz").status == 200:
                        return
            except (Cut, NotThere):
                assert self._process.poll() is None, f"the server has ended:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.02)
        raise AssertionError(f"the server does not answer:\n{self.log.read_text()[-3000:]}")

    def send(self, number: int) -> None:
        """Sends a signal to the server."""
        self._process.send_signal(number)

    def ended(self) -> int:
        """Waits for the server to end, and gives its exit status."""
        return self._process.wait(PATIENCE)

    def workers(self) -> list[int]:
        """The processes that answer requests."""
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill_worker(self) -> None:
        """Kills one of the processes that answer requests. The server is to replace it."""
        os.kill(random.choice(self.workers()), signal.SIGKILL)

    def kill(self) -> None:
        """Kills everything there is of the server."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def email(self, role: str) -> str:
        """Who has that role."""
        return next(person["email"] for person in self.made["staff"] if person["role"] == role)

    def staff(self, role: str) -> Person:
        """Somebody of that role, signed in."""
        return Person(self.port).sign_in(self.email(role), self.made["login"]["password"])

    def engine(self) -> Engine:
        """A way to look into its database behind its back."""
        return create_engine(self._url)


@contextmanager
def opened(folder: Path, postgresql: str = "", **settings: object):
    """A shop that is filled and running, until the end. postgresql: it gets a database of its own beside that one."""
    with _database(postgresql) as url:
        folder.mkdir(parents=True, exist_ok=True)
        shop = Shop(folder, url, **settings).fill().start()
        try:
            yield shop
        finally:
            if shop._process.poll() is None:
                shop.kill()


@contextmanager
def _database(postgresql: str):
    if not postgresql:
        yield ""
        return
    address = postgresql.replace("+psycopg", "").rpartition("/")[0]
    name = f"readylight_faults_{secrets.token_hex(4)}"
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{address}/{name}"
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _free_port() -> int:
    """A port that nobody listens on, and that the system gives to no client while the server is away."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex((HOST, port)) and not probe.bind((HOST, port)):
                return port
