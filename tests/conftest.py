"""The stage of every test: one app per run, a database of its own per test, and the people of the shop.

A test may hold an app context of its own; a request never sees it, because the client runs each one in a fresh
contextvars.Context. What a request forgot to commit is therefore lost, as it would be in the shop.
"""

import contextvars
import gc
import logging
import os
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from bs4 import BeautifulSoup
from flask import g, has_app_context, session
from flask.testing import FlaskClient, FlaskCliRunner
from flask_migrate import upgrade
from flask_wtf.csrf import generate_csrf
from sqlalchemy import NullPool, create_engine, event, make_url, text, update
from sqlalchemy.orm import make_transient_to_detached
from xdist.scheduler import LoadFileScheduling

from app import auth, create_app, reads
from app.config import SETTINGS
from app.db import db, let_go
from app.models import Shop, SignIn, Staff
from app.reads import QuickRead
from app.rules import Role
from app.throttle import limiter
from app.tracking import answers

from . import factories

OVERRIDES = {
    "TESTING": True,
    "SECRET_KEY": "not a secret, but as long as a real one has to be",
    # One hash in well under a millisecond; what it costs in the shop is auth's to say.
    "ARGON2": {"time_cost": 1, "memory_cost": 8, "parallelism": 1},
}
# Several processes run the tests at once (pytest-xdist), each in a database of its own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
POSTGRESQL = os.environ.get("TEST_DATABASE_URL", "").replace("postgresql://", "postgresql+psycopg://")
if POSTGRESQL and WORKER:
    POSTGRESQL += f"_{WORKER}"
# PostgreSQL: what is committed here need not outlive a power cut. SQLite: a lock that nobody lets go is soon noticed.
CONNECT_ARGS = {"options": "-c synchronous_commit=off"} if POSTGRESQL else {"timeout": 5}

# Files whose tests are the same whatever the database is: where there are two, they run on the first. Of the journeys
# their own conftest says it.
ONCE = {"architecture", "bench", "config", "deployment", "formats", "logs", "passwords", "requirements", "rules"}

# What is tried in a browser, in two bundles that take as long: each starts a browser and a shop, which takes seconds.
BROWSERS = (
    tuple(f"journeys/{name}" for name in ("tracking", "board", "layout")),
    tuple(f"journeys/{name}" for name in ("counter", "private", "settings", "paper", "people", "record")),
)
# Files that take longest, which are begun first: several go at once, and none should be waited for at the end. A
# browser is mostly waited for, so the others have the processors meanwhile.
FIRST = (*BROWSERS[0], *BROWSERS[1], "journeys/faults", "attack", "restore", "journeys/server", "bench", "backup")
FIRST += ("security", "crawl", "pages", "counter_model", "journeys/worker", "deployment")


def _file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0].removeprefix("tests/").removesuffix(".py").replace("test_", "")


class Bundles(LoadFileScheduling):
    """pytest-xdist's "loadfile", but for the files in a browser: those of a bundle go to the same process."""

    def _split_scope(self, nodeid):
        bundles = (str(bundle) for bundle in BROWSERS if _file_of(nodeid) in bundle)
        return next(bundles, super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Which tests go to the same process."""
    return Bundles(config, log)


def pytest_collection_modifyitems(items):
    """Puts the longest files first, and marks what need not run once more on another database."""
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(_file_of(item.nodeid), len(places)))
    for item in items:
        if item.path.stem.removeprefix("test_") in ONCE:
            item.add_marker(pytest.mark.once)


# What is made until the tests begin is for ever, and need not be looked through while it is made.
gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    """Lets the garbage collector leave alone what is for ever, and come less often: a fifth of the time was its."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


class Page:
    """An answer, read as its reader sees it."""

    def __init__(self, response):
        self.status: int = response.status_code
        self.headers = response.headers
        self.html: str = response.get_data(as_text=True)
        self._soup = None
        response.close()

    def __repr__(self):
        return f"<Page {self.status}, {len(self.html)} characters>"

    @property
    def soup(self) -> BeautifulSoup:
        """The whole document."""
        if self._soup is None:
            # The icons are most of a page's elements, and no test reads them.
            page = re.sub(r'<svg class="sprite".*?</svg>', "", self.html, flags=re.DOTALL)
            self._soup = BeautifulSoup(page, "html.parser")
        return self._soup

    @property
    def text(self) -> str:
        """The words, with single spaces."""
        return " ".join(self.soup.get_text(" ").split())

    @property
    def location(self) -> str:
        """Where a redirect leads: path and query."""
        parts = urlsplit(self.headers["Location"])
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def all(self, css: str) -> list:
        """Every element that the selector finds."""
        return self.soup.select(css)

    def one(self, css: str):
        """The only element that the selector finds; AssertionError, saying what is there, for none or several."""
        found = self.all(css)
        if len(found) == 1:
            return found[0]
        if found:
            raise AssertionError(f"{len(found)} × {css}:\n" + "\n".join(str(element)[:200] for element in found))
        there = ", ".join(f"#{element['id']}" for element in self.all("[id]")) or "no element with an id"
        raise AssertionError(f"no {css} in this answer ({self.status}). There is: {there}.\n{self.text[:400]}")


class Client(FlaskClient):
    """A browser. `page` looks, `send` posts a form, `htmx` posts one as htmx does; each checks the status first."""

    staff_id: int | None = None
    _token = _token_of = ""

    def open(self, *args, **kwargs):
        """One request, which sees of the test only what is committed."""
        return _apart(super().open, *args, **kwargs)

    def page(self, url: str, status: int = 200, **kwargs) -> Page:
        """GETs a page."""
        return _expect(status, "GET", url, Page(self.get(url, **kwargs)))

    def send(self, url: str, data: dict | None = None, status: int = 303, *, on: str = "", **kwargs) -> Page:
        """POSTs a form with a CSRF token: the one in the page `on`, else one made for this browser's session."""
        token = self.page(on).all("input[name=csrf_token]")[0]["value"] if on else self.csrf_token()
        answer = self.post(url, data={"csrf_token": token} | (data or {}), **kwargs)
        return _expect(status, "POST", url, Page(answer))

    def htmx(self, url: str, data: dict | None = None, status: int = 200, **kwargs) -> Page:
        """POSTs a form as htmx does."""
        return self.send(url, data, status, headers={"HX-Request": "true"}, **kwargs)

    def sign_in(self, staff: Staff, password: str = factories.PASSWORD) -> "Client":
        """Signs in through the front door."""
        self.send("/login", {"email": staff.email, "password": password})
        self.staff_id = staff.id
        return self

    def be(self, staff: Staff) -> "Client":
        """Signs in as POST /login does once the password is right; 3 ms instead of 7."""
        self.staff_id = staff.id
        _apart(self._be)
        self._token_of = self.get_cookie("readylight").value
        return self

    def _be(self):
        with (
            self.session_transaction() as cookie,
            self.application.test_request_context(environ_base=self.environ_base),
        ):
            auth.sign_in(self.staff)
            self._token = generate_csrf()
            cookie.update(session)

    @property
    def signed_in(self) -> tuple[int, str, str]:
        """Who is signed in, by which cookie and with which token: another browser may go on with it."""
        return self.staff_id, self._token_of, self._token

    @signed_in.setter
    def signed_in(self, whoever: tuple[int, str, str]):
        self.staff_id, self._token_of, self._token = whoever
        self.set_cookie("readylight", self._token_of)

    @property
    def staff(self) -> Staff:
        """The row of whoever is signed in."""
        return db.session.get_one(Staff, self.staff_id)

    def csrf_token(self) -> str:
        """A token for this browser's session, as any of its forms would have; the same one as long as that stays."""
        cookie = self.get_cookie("readylight")
        if cookie is None or cookie.value != self._token_of:
            # In a context of its own, because Flask-WTF keeps the token in g, where another browser would find it.
            self._token = contextvars.Context().run(self._csrf_token)
            self._token_of = self.get_cookie("readylight").value
        return self._token

    def _csrf_token(self) -> str:
        with self.session_transaction() as cookie, self.application.test_request_context():
            session.update(cookie)
            token = generate_csrf()
            cookie["csrf_token"] = session["csrf_token"]
        return token


class Runner(FlaskCliRunner):
    """A terminal: each command has an app context of its own, as in the shop."""

    def invoke(self, *args, **kwargs):
        """One command, which sees of the test only what is committed."""
        return _apart(self._invoke, *args, **kwargs)

    def _invoke(self, *args, **kwargs):
        with self.app.app_context():
            return super().invoke(*args, **kwargs)


def _apart(act, *args, **kwargs):
    if not has_app_context():  # Apart already: a redirect that is followed.
        return act(*args, **kwargs)
    db.session.commit()
    try:
        return contextvars.Context().run(act, *args, **kwargs)
    finally:
        db.session.expire_all()
        for name in list(g):
            g.pop(name)


def _expect(status: int, method: str, url: str, page: Page) -> Page:
    assert page.status == status, f"{method} {url} answered {page.status}, not {status}:\n{page.text[:1000]}"
    return page


def make_app(folder: Path, uri: str):
    """An app that keeps its data in that folder and its tables in that database; it looks at no environment."""
    with pytest.MonkeyPatch.context() as environment:
        for setting in SETTINGS:
            environment.delenv(setting.name, raising=False)
        environment.setenv("DATA_DIR", str(folder))
        options = {"connect_args": CONNECT_ARGS.copy()}
        app = create_app(OVERRIDES | {"SQLALCHEMY_DATABASE_URI": uri, "SQLALCHEMY_ENGINE_OPTIONS": options})
    app.test_client_class, app.test_cli_runner_class = Client, Runner
    return app


class Stage:
    """The app of this run, and its database as a test finds it: empty, or with the shop and those who work there.

    On SQLite each such beginning is made once and kept as a file: half of the tests begin with an owner.
    """

    def __init__(self, app):
        self.app = app
        # What the present test asks for, and how the people among it are signed in.
        self.asked_for: tuple[str, ...] = ()
        self.people: dict[str, tuple[int, str, str]] = {}
        self._kept: dict[tuple[str, ...], tuple[bytes, dict]] = {}
        if POSTGRESQL and WORKER:
            _make_database()
        with app.app_context():
            if POSTGRESQL:
                _reset_schema()
            upgrade()
            db.session.remove()
            if not POSTGRESQL:
                self._keep()

    def set(self, asked_for: tuple[str, ...]) -> None:
        """Sets it for a test. asked_for: "shop" and names of roles, or nothing."""
        self.asked_for = asked_for
        if POSTGRESQL:
            _delete_all()
            self._fill()
        else:
            if asked_for not in self._kept:
                _write_back(self._kept[()][0])
                self._fill()
                self._keep()
            content, self.people = self._kept[asked_for]
            _write_back(content)
        # Whether it was made now or kept, the test's own session begins with nothing in it.
        db.session.remove()

    def _fill(self) -> None:
        self.people = {}
        if self.asked_for:
            factories.make_shop()
        for role in Role:
            if role in self.asked_for:
                self.people[role] = self.app.test_client().be(factories.make_staff(role)).signed_in

    def _keep(self) -> None:
        db.session.remove()
        let_go()  # The last connection to go brings the write-ahead log home.
        self._kept[self.asked_for] = Path(db.engine.url.database).read_bytes(), self.people


@pytest.fixture(scope="session")
def stage():
    """The app of this run and its database."""
    # In memory where there is such a folder: a commit waits for the disk, and a test makes a dozen.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix="readylight-", dir=memory))
    # A test looks right after a change, sooner than any customer.
    reads.FRESH = reads.STALE = 0
    stage = Stage(make_app(folder, POSTGRESQL or f"sqlite:///{folder / 'readylight.db'}"))
    yield stage
    with stage.app.app_context():
        let_go()
    shutil.rmtree(folder)


def _make_database():
    address, _, name = POSTGRESQL.replace("+psycopg", "").rpartition("/")
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')


def _reset_schema():
    with db.engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))


def _delete_all():
    # TRUNCATE ... RESTART IDENTITY does the same in 26 ms; this takes 1 ms.
    with db.engine.begin() as connection:
        # Rather a failure than a test that waits for ever for one before it.
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        for table in reversed(db.metadata.sorted_tables):
            connection.execute(table.delete())
        restart = "setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)"
        connection.execute(text(f"SELECT {restart} FROM pg_sequences WHERE schemaname = 'public'"))


def _write_back(content: bytes):
    in_use = {name: engine.pool.checkedout() for name, engine in db.engines.items()}
    assert not any(in_use.values()), f"a test before this one has not given connections back: {in_use}"
    let_go()
    file = Path(db.engine.url.database)
    # A new file, not the old one with other bytes: a cursor that an exception's traceback still holds keeps its
    # connection open.
    for rest in ("", "-wal", "-shm"):
        file.with_name(file.name + rest).unlink(missing_ok=True)
    file.write_bytes(content)


@pytest.fixture
def app(stage, request):
    """The app, and an app context for the test's own reading and arranging.

    Its database is migrated, and empty but for the shop and the people that the test asks for.
    """
    with stage.app.app_context():
        stage.set(tuple(name for name in ("shop", *Role) if name in request.fixturenames))
        answers.forget()
        # One for all apps, it counts where the last one that was made wants it to.
        limiter.init_app(stage.app)
        yield stage.app


@pytest.fixture
def statements(app, monkeypatch):
    """The SQL statements that were sent since it was last cleared, but for those that begin and end transactions."""
    said = []

    def listen(connection, cursor, statement, *_):
        if not statement.startswith(("BEGIN", "PRAGMA")):
            said.append(statement)

    def read(self, **values):
        said.append(str(self._statement))
        return all_rows(self, **values)

    # What goes straight to the driver passes by SQLAlchemy's events.
    all_rows = QuickRead.all
    monkeypatch.setattr(QuickRead, "all", read)
    event.listen(db.engine, "before_cursor_execute", listen)
    yield said
    event.remove(db.engine, "before_cursor_execute", listen)


@pytest.fixture
def loggers():
    """Another app writes the same logs: the first gets its own hands back afterwards."""
    kept = {name: logging.getLogger(name).handlers[:] for name in ("readylight", "app")}
    yield
    for name, handlers in kept.items():
        logging.getLogger(name).handlers[:] = handlers


@pytest.fixture
def folder(app) -> Path:
    """Where the shop's pictures are: empty, and gone afterwards."""
    folder = Path(app.config["DATA_DIR"]) / "photos"
    shutil.rmtree(folder, ignore_errors=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def runner(app) -> Runner:
    """Runs commands of `flask`."""
    return app.test_cli_runner()


@pytest.fixture
def shop(app, stage) -> Shop:
    """A shop in Bangkok that has been set up, with the branches Main (MN) and Riverside (RV)."""
    if "shop" not in stage.asked_for:  # The test asks for a fixture by its name, in its course; so it may for people.
        return factories.make_shop()
    # Read when the test looks at it, which most do not; a test that reads holds the lock for writing.
    shop = Shop(id=1)
    make_transient_to_detached(shop)
    db.session.add(shop)
    return shop


@pytest.fixture
def anyone(app) -> Client:
    """A browser in which nobody is signed in: a customer's, or a stranger's."""
    return app.test_client()


def _browser_of(role: Role):
    @pytest.fixture(name=role.value)
    def browser(app, shop, stage) -> Client:
        client = app.test_client()
        if role not in stage.asked_for:
            return client.be(factories.make_staff(role))
        client.signed_in = stage.people[role]
        return client

    return browser


# Browsers in which somebody of that role is signed in.
owner, manager, technician, front_desk = map(_browser_of, Role)


@pytest.fixture
def elsewhere(app):
    """Somebody else's connection to the shop's database, as of another process."""
    engine = create_engine(db.engine.url, isolation_level="AUTOCOMMIT" if POSTGRESQL else None)
    with engine.connect().execution_options(reads_only=True) as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def meanwhile(elsewhere):
    """meanwhile(statements, act): act() while another process has done these statements, and commits once act waits.

    For PostgreSQL, where two can be at work on a row. Gives what act() gave.
    """
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    def meanwhile(statements, act):
        db.session.commit()
        elsewhere.exec_driver_sql("BEGIN")
        for statement in statements:
            elsewhere.exec_driver_sql(statement)
        with ThreadPoolExecutor(1) as pool:
            acting = pool.submit(act)
            while not elsewhere.exec_driver_sql(waiting).all():
                assert not acting.done(), f"it waited for nobody: {acting.result()}"
            elsewhere.exec_driver_sql("COMMIT")
            return acting.result(10)

    return meanwhile


@pytest.fixture
def other_database(tmp_path):
    """The address of an empty database, of the kind that the tests run on, for one test alone."""
    if not POSTGRESQL:
        yield f"sqlite:///{tmp_path / 'other.db'}"
        return
    url = make_url(POSTGRESQL)
    other = f"{url.database}_other"
    admin = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{other}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{other}" TEMPLATE template0'))
        yield url.set(database=other).render_as_string(hide_password=False)
        connection.execute(text(f'DROP DATABASE "{other}" WITH (FORCE)'))


class Clock:
    """The shop's clock. It stands still from the moment a test asks for it."""

    def __init__(self):
        self.moment = datetime.now(UTC).replace(microsecond=0)

    def now(self, zone=UTC) -> datetime:
        """What the clock shows."""
        return self.moment.astimezone(zone)

    def time(self) -> float:
        """The same in seconds since 1970."""
        return self.moment.timestamp()

    def set(self, moment: datetime) -> None:
        """Lets the test happen at that moment. Whoever is signed in has just done so."""
        self.moment = moment
        db.session.execute(update(SignIn).values(created_at=moment))
        db.session.commit()

    def forward(self, **by) -> None:
        """Lets time pass: forward(days=1)."""
        self.moment += timedelta(**by)


@pytest.fixture
def clock(app, monkeypatch) -> Clock:
    """The shop's clock, to set and to move.

    It takes the place of what utcnow() itself asks, not of the name utcnow, which modules have imported and
    columns hold as their default.
    """
    clock = Clock()
    monkeypatch.setattr("app.db.datetime", clock)
    monkeypatch.setattr("app.throttle.time", clock)
    clock.set(clock.moment)
    return clock
