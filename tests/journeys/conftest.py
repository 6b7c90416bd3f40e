"""A real server and a real browser: what a person at the counter and a customer on the bus have."""

import os
import re
import secrets
import signal
import socket
import subprocess
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psycopg
import pytest
from flask_migrate import upgrade
from playwright.sync_api import sync_playwright
from sqlalchemy import select, update

from app import create_app
from app.config import ROOT
from app.db import db, let_go
from app.demo import fill as demo
from app.models import Shop, Staff

from ..conftest import Client

POSTGRESQL = os.environ.get("TEST_DATABASE_URL", "")
# A name for this machine that is not localhost: to a browser, plain http on it is as insecure as on a shop's LAN.
LAN = "counter.example"
WHOLE_BROWSER = os.environ.get("TEST_WHOLE_BROWSER") or "/usr/bin/chromium"
BROWSER = os.environ.get("TEST_BROWSER") or WHOLE_BROWSER


# What a browser shows is the same whatever the database is. A day at the counter, with two people at one repair, and
# what servers live through is tried on each.
ON_EACH_DATABASE = {"test_counter", "test_faults", "test_server"}


def pytest_collection_modifyitems(items):
    """Marks every journey (those with the server alone too), so that `-m "not journey"` leaves them out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.journey)
            if item.path.stem not in ON_EACH_DATABASE:
                item.add_marker(pytest.mark.once)


class Server:
    """A running shop: its address, what it printed, and a way to act in it behind the browser's back."""

    def __init__(self, environment: dict, port: int):
        self.url = f"http://localhost:{port}"
        self.lan_url = f"http://{LAN}:{port}"
        self.printed = ""
        self.made: dict = {}
        self._app = create_app(
            {
                "DATA_DIR": environment["DATA_DIR"],
                "SECRET_KEY": environment["SECRET_KEY"],
                "SQLALCHEMY_DATABASE_URI": environment.get("DATABASE_URL", "").replace("sql://", "sql+psycopg://", 1)
                or f"sqlite:///{environment['DATA_DIR']}/readylight.db",
            }
        )
        self._app.test_client_class = Client

    def fill(self, repairs: int) -> None:
        """Fills it with the demo, without the command's process; test_demo is about the command."""
        with self.inside():
            upgrade()
            self.made = demo.fill(repairs, public_url=self.url)

    @contextmanager
    def inside(self):
        """An app context on the same database."""
        with self._app.app_context():
            yield
            db.session.remove()
            let_go()

    def session_of(self, role: str) -> str:
        """The cookie of a new session of somebody of that role."""
        with self.inside():
            email = next(person["email"] for person in self.made["staff"] if person["role"] == role)
            staff = db.session.scalars(select(Staff).where(Staff.email == email)).one()
            return self._app.test_client().be(staff).get_cookie("readylight").value


@contextmanager
def serving(folder: Path, *, repairs: int = 0):
    """Runs the shop as script/server does, on a free port, with so many of the demo's repairs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "PORT": str(port),
        "DATA_DIR": str(folder),
        "SECRET_KEY": "a journey's secret " * 3,
        "WORKERS": "2",
        "THREADS": "8",
        "PYTHONUNBUFFERED": "1",
        # test_backup is about the nights; the demo's shop would have one to make up for.
        "BACKUP_AT": "off",
    }
    with _fresh_postgresql() if POSTGRESQL else nullcontext("") as url:
        environment["DATABASE_URL"] = url
        server = Server(environment, port)
        if repairs:
            server.fill(repairs)
        log = folder / "server.log"
        with (
            log.open("w") as out,
            subprocess.Popen([ROOT / "script" / "serve"], env=environment, stdout=out, stderr=out) as process,
        ):
            try:
                _wait_for(port, process, log)
                server.printed = log.read_text()
                yield server
            finally:
                # At once, whoever still keeps a connection; test_server is about ending politely.
                process.send_signal(signal.SIGINT)
                process.wait(20)
    # What a journey did must not have broken anything behind its back.
    assert "Traceback" not in log.read_text(), log.read_text()


def _wait_for(port, process, log):
    for _ in range(600):
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@contextmanager
def _fresh_postgresql():
    """A database of this server's own, beside the one that the tests were given; gone afterwards."""
    address, _, name = POSTGRESQL.replace("+psycopg", "").rpartition("/")
    name = f"{name}_journey_{secrets.token_hex(4)}"
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{address}/{name}"
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A shop with sixty repairs and staff of every role, for all journeys that start at the counter."""
    with serving(tmp_path_factory.mktemp("shop"), repairs=60) as server:
        yield server


@pytest.fixture
def speak(shop):
    """Makes the shop speak another language, until the test is over."""

    def speak(language):
        with shop.inside():
            db.session.execute(update(Shop).values(language=language, version=Shop.version + 1))
            db.session.commit()

    yield speak
    speak("en")


@pytest.fixture
def german(speak):
    """The shop speaks German, until the test is over."""
    speak("de")


@pytest.fixture
def new_shop(tmp_path):
    """A server on which nobody has set anything up."""
    with serving(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def chromium():
    """Debian's browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                f"--host-resolver-rules=MAP {LAN} 127.0.0.1",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium):
    """Opens windows, each of its own browser profile; whatever a page complains about fails the test."""
    contexts, complaints = [], []

    def window(**options):
        # What moves for ever keeps a processor busy that draws every frame by itself.
        context = chromium.new_context(**({"reduced_motion": "reduce"} | options))
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield window
    for context in contexts:
        context.close()
    # A refusal is an answer with an error status, and a cut line is what some journeys are about.
    expected = re.compile(r"Failed to load resource.*(\b4\d\d\b|ERR_FAILED)|htmx:error|Failed to fetch")
    assert [text for text in complaints if not expected.search(text)] == []


@pytest.fixture
def counter(browser, shop):
    """Opens a window in which somebody of that role is signed in, at a page: the board, if none is named.

    Not by the door, which costs as much as many a journey: test_people and others come in by it.
    """

    def signed_in(role: str = "owner", *, at: str | None = "/repairs", lan: bool = False, **options):
        page, url = browser(**options), shop.lan_url if lan else shop.url
        page.context.add_cookies([{"name": "readylight", "value": shop.session_of(role), "url": url}])
        if at:
            page.goto(url + at)
        return page

    return signed_in
