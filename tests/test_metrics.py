"""/metrics: the figures, for whoever has the token; for everybody else there is no such page."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from app import __version__, create_app
from app.config import ROOT
from app.db import db, let_go
from app.models import Event
from app.rules import Status

from . import factories
from .conftest import OVERRIDES

TOKEN = "a token for the one who watches"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def watched(app, tmp_path):
    """A browser of the same shop, run with METRICS_TOKEN."""
    (tmp_path / "backups").mkdir()
    made = create_app(
        OVERRIDES
        | {
            "DATA_DIR": str(tmp_path),
            "BACKUP_DIR": str(tmp_path / "backups"),
            "SQLALCHEMY_DATABASE_URI": app.config["SQLALCHEMY_DATABASE_URI"],
            "METRICS_TOKEN": TOKEN,
            "RATELIMIT_STORAGE_URI": "memory://",
        }
    )
    made.testing = False
    yield made.test_client()
    with made.app_context():
        let_go()


def figures(browser) -> dict:
    """What /metrics says: {("readylight_repairs", "ready"): 1.0}, the name and then the labels' values."""
    db.session.commit()
    answer = browser.get("/metrics", headers=BEARER)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.get_data(as_text=True))
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


# --- who may ------------------------------------------------------------------------------------


def test_without_a_token_in_the_settings_there_is_no_such_page(anyone, app):
    assert "metrics" not in app.view_functions
    assert anyone.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer None"},
        {"Authorization": f"Bearer {TOKEN} "[:-2]},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer tökén".encode().decode("latin-1")},
    ],
)
def test_whoever_has_not_the_token_finds_what_is_at_any_address_where_nothing_is(watched, sent):
    here, nowhere = watched.get("/metrics", headers=sent), watched.get("/nowhere", headers=sent)
    assert here.status_code == nowhere.status_code == 404
    assert here.get_data() == nowhere.get_data()
    assert {*here.headers.keys()} == {*nowhere.headers.keys()}


@pytest.mark.journey
def test_the_library_is_loaded_only_with_a_token(tmp_path):
    program = """
import sys, app
app.create_app()
assert "prometheus_client" not in sys.modules
app.create_app({"METRICS_TOKEN": "sixteen letters!"})
assert "prometheus_client" in sys.modules
"""
    environment = {"DATA_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)


# --- what is counted ----------------------------------------------------------------------------


def test_requests_are_counted_by_page_method_and_outcome_never_by_address(watched):
    factories.make_shop()
    token = factories.make_repair().token
    db.session.commit()
    for url in (f"/t/{token}", f"/t/{token}", "/t/unknown-unknown-unknow", "/login", "/no/such/page", "/repairs"):
        watched.get(url)
    watched.open("/login", method="BREW")
    said = figures(watched)
    assert said["readylight_requests_total", "tracking.show", "GET", "2xx"] == 2
    assert said["readylight_requests_total", "tracking.show", "GET", "4xx"] == 1
    assert said["readylight_requests_total", "(none)", "GET", "4xx"] == 1
    assert said["readylight_requests_total", "repairs.index", "GET", "3xx"] == 1
    assert not [key for key in said if token in str(key) or "BREW" in key or "such" in str(key)]
    assert said["readylight_request_seconds_count", "tracking.show"] == 3
    assert said["readylight_request_seconds_bucket", "tracking.show", "+Inf"] == 3
    assert 0 < said["readylight_request_seconds_sum", "tracking.show"] < 30


def test_what_strangers_try_is_counted(watched):
    factories.make_shop()
    db.session.commit()
    for _ in range(3):
        watched.get("/t/unknown-unknown-unknow")
    form = watched.get("/login").get_data(as_text=True)
    token = form.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]
    watched.post("/login", data={"csrf_token": token, "email": "ana@example.com", "password": "a wrong password"})
    said = figures(watched)
    assert said["readylight_refusals_total", "link"] == 3
    assert said["readylight_refusals_total", "sign_in"] == 1


def test_the_shop_s_figures_are_those_of_the_board(watched, tmp_path):
    factories.make_shop()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for status in (Status.RECEIVED, Status.RECEIVED, Status.READY, Status.DELIVERED, Status.CANCELLED):
        factories.make_repair(status=status)
    factories.make_repair(status=Status.REPAIRING, promised_at=yesterday)
    factories.make_repair(status=Status.READY, promised_at=yesterday)  # Ready is not late.
    copy = tmp_path / "backups" / "nightly-2026-01-01-030000"
    copy.mkdir()
    (copy / "SHA256SUMS").touch()
    said = figures(watched)
    statuses = {key[1]: value for key, value in said.items() if key[0] == "readylight_repairs"}
    assert statuses == {
        "received": 2, "diagnosing": 0, "waiting_parts": 0, "repairing": 1, "testing": 0, "ready": 2
    }  # fmt: skip
    assert said["readylight_repairs_late",] == 1
    assert said["readylight_events",] == db.session.query(Event).count()
    assert said["readylight_database_bytes",] > 10_000
    assert said["readylight_disk_free_bytes",] > 0
    assert said["readylight_database_up",] == 1
    assert said["readylight_backup_timestamp_seconds",] == pytest.approx(copy.stat().st_mtime, abs=0.01)
    assert [key for key in said if key[0] == "readylight_build_info" and __version__ in key]


def test_without_the_database_the_rest_is_told_all_the_same(tmp_path):
    made = create_app(
        OVERRIDES
        | {
            "DATA_DIR": str(tmp_path),
            "SQLALCHEMY_DATABASE_URI": "postgresql+psycopg://nobody@127.0.0.1:1/none",
            "METRICS_TOKEN": TOKEN,
        }
    )
    made.testing = False
    answer = made.test_client().get("/metrics", headers=BEARER).get_data(as_text=True)
    assert "readylight_database_up 0.0" in answer
    assert "readylight_disk_free_bytes" in answer
    assert "readylight_repairs{" not in answer


def test_a_scrape_is_a_few_statements(watched):
    factories.make_shop()
    factories.make_repair()
    db.session.commit()
    said = []
    with watched.application.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *sent: said.append(sent[2]))
    figures(watched)
    asked = [statement for statement in said if statement.startswith("SELECT")]
    assert 2 <= len(asked) <= 3


def test_a_newer_prometheus_is_answered_in_its_own_format(watched):
    answer = watched.get("/metrics", headers=BEARER | {"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.get_data(as_text=True).endswith("# EOF\n")
