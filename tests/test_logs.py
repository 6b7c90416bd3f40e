"""What is written down about requests: enough to find a fault, nothing that opens a customer's page."""

import json
import logging
import re
import subprocess
import sys
import time

import pytest

from app import create_app, logs
from app.config import ROOT
from app.crowd import FewAtATime
from app.db import let_go

from . import factories
from .conftest import OVERRIDES

TOKEN = "t0ken-t0ken-t0ken-t0ke"


@pytest.fixture
def writing(app, tmp_path, capsys):
    """Makes an app that writes logs as its settings say; gives its browser, and what it wrote since one last asked."""
    loggers = [logging.getLogger(name) for name in ("readylight", "app")]
    kept = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    last_resort = logging.lastResort.formatter
    apps = []

    def writing(**settings):
        values = {"DATA_DIR": str(tmp_path), "SQLALCHEMY_DATABASE_URI": app.config["SQLALCHEMY_DATABASE_URI"]}
        made = create_app(OVERRIDES | values | settings)
        made.testing = False
        apps.append(made)
        return made.test_client(), lambda: capsys.readouterr().err.splitlines()

    yield writing
    for made in apps:
        with made.app_context():
            let_go()
    for logger, handlers, level in kept:
        logger.handlers[:] = handlers
        logger.setLevel(level)
    logging.lastResort.setFormatter(last_resort)


@pytest.fixture
def nothing(other_database):
    """Settings with which every page fails: a database without tables."""
    return {"SQLALCHEMY_DATABASE_URI": other_database}


# --- the name of a request ----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_fault_has_one_name_in_the_log_on_the_page_and_in_the_answer(writing, nothing, form):
    browser, written = writing(LOG_FORMAT=form, **nothing)
    answer = browser.get("/login")
    assert answer.status_code == 500
    name = answer.headers["X-Request-ID"]
    reference = re.search(r'<b class="code">(\w+)</b>', answer.get_data(as_text=True))[1]
    assert len(reference) == 8
    assert name.endswith(reference)
    assert [line for line in written() if name in line and "GET /login failed" in line]


def test_two_requests_have_two_names(writing):
    browser, _ = writing()
    assert browser.get("/nothing").headers["X-Request-ID"] != browser.get("/nothing").headers["X-Request-ID"]


def test_the_trusted_proxy_s_name_for_a_request_is_taken(writing):
    browser, _ = writing(TRUSTED_PROXIES=1)
    answer = browser.get("/nothing", headers={"X-Request-ID": "proxy-2026_0001"})
    assert answer.headers["X-Request-ID"] == "proxy-2026_0001"


def test_without_a_trusted_proxy_nobody_else_names_a_request(writing):
    browser, _ = writing()
    answer = browser.get("/nothing", headers={"X-Request-ID": "mine-all-mine"})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize("name", ["short", "x" * 65, "a name with spaces", "<b>not a name</b>", "näme-näme-näme", ""])
def test_what_is_no_name_is_not_taken_from_a_proxy_either(writing, name):
    browser, _ = writing(TRUSTED_PROXIES=1)
    answer = browser.get("/nothing", headers={"X-Request-ID": name.encode().decode("latin-1")})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_an_answer_that_is_well_has_no_name_and_none_is_made(writing, monkeypatch):
    factories.make_shop()
    link = factories.make_repair().token
    monkeypatch.setattr(logs.secrets, "token_hex", lambda *_: pytest.fail("a name was made for nothing"))
    browser, _ = writing()
    for url in ("/login", f"/t/{link}", f"/t/{link}/live", "/healthz", "/"):
        answer = browser.get(url)
        assert answer.status_code < 400, url
        assert "X-Request-ID" not in answer.headers, url


@pytest.mark.parametrize(
    ("method", "url", "status"), [("GET", "/x", 404), ("PUT", "/login", 405), ("POST", "/login", 400)]
)
def test_every_refusal_has_its_name(writing, method, url, status):
    browser, _ = writing()
    answer = browser.open(url, method=method)
    assert answer.status_code == status
    assert answer.headers["X-Request-ID"]


# --- lines --------------------------------------------------------------------------------------


def test_every_line_of_json_is_an_object_with_the_whole_exception_in_it(writing, nothing):
    browser, written = writing(LOG_FORMAT="json", **nothing)
    answer = browser.get(f"/t/{TOKEN}")
    lines = [json.loads(line) for line in written()]
    [fault] = [line for line in lines if line["level"] == "ERROR"]
    assert fault["message"] == "GET /t/<token> failed"
    assert fault["logger"] == "readylight"
    assert fault["request"] == answer.headers["X-Request-ID"]
    assert fault["exception"].startswith("Traceback")
    assert fault["exception"].count("\n") > 5
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", fault["time"])


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "address", [f"/t/{TOKEN}", f"/T/{TOKEN}", f"/login?next=%2Ft%2F{TOKEN}%2Flive", f'"/t/{TOKEN}"']
)
def test_no_line_has_a_tracking_address_in_it_wherever_it_comes_from(writing, form, address):
    _, written = writing(LOG_FORMAT=form)
    log = logging.getLogger("readylight")
    log.warning("somebody opened %s", address)
    try:
        raise ValueError(address)
    except ValueError:
        log.exception("it broke")
    lines = written()
    assert "somebody opened" in lines[0]
    assert TOKEN not in "\n".join(lines)


def test_a_line_outside_of_a_request_has_no_name_in_it(writing):
    _, written = writing(LOG_FORMAT="json")
    logging.getLogger("readylight").warning("the night is quiet")
    [line] = [json.loads(line) for line in written()]
    assert "request" not in line


@pytest.mark.journey
def test_what_a_library_says_has_the_same_form(tmp_path):
    """In a process of its own: while tests run, what libraries say goes to pytest."""
    program = "import logging, app; app.create_app(); logging.getLogger('library').warning('/t/%s', 't0ken-t0ken')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"DATA_DIR": str(tmp_path), "LOG_FORMAT": "json"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stderr)["message"] == "/t/***"


# --- a line for every request -------------------------------------------------------------------


def test_requests_are_not_written_down_unless_one_says_so(writing):
    browser, written = writing()
    browser.get("/healthz")
    assert written() == []


def test_a_request_is_written_down_without_saying_who_or_whose(writing):
    factories.make_shop()
    token = factories.make_repair().token
    browser, written = writing(LOG_REQUESTS=1, LOG_FORMAT="json")
    browser.get(f"/t/{token}?from=chat", environ_base={"REMOTE_ADDR": "203.0.113.9"})
    [line] = written()
    assert token not in line
    assert "203.0.113.9" not in line
    assert "chat" not in line
    entry = json.loads(line)
    assert (entry["method"], entry["route"], entry["status"]) == ("GET", "/t/<token>", 200)
    assert 0 < entry["ms"] < 10_000
    assert entry["request"]


def test_what_a_request_waits_in_the_line_is_part_of_its_time(writing, monkeypatch):
    enter = FewAtATime._enter
    monkeypatch.setattr(FewAtATime, "_enter", lambda self, visit: time.sleep(0.2) or enter(self, visit))
    browser, written = writing(LOG_REQUESTS=1, LOG_FORMAT="json")
    browser.get("/robots.txt")
    assert json.loads(written()[0])["ms"] >= 200


def test_every_answer_is_a_line_refusals_and_faults_too(writing, nothing):
    browser, written = writing(LOG_REQUESTS=1, **nothing)
    for url in ("/no/such/page", "/repairs", "/login"):
        browser.get(url)
    text = "\n".join(written())
    assert re.search(r" \[[0-9a-f]{32}\]: GET \(no page\) 404 [\d.]+ ms", text)
    assert re.search(r"GET /repairs 302 [\d.]+ ms", text)
    assert re.search(r"GET /login 500 [\d.]+ ms", text)
