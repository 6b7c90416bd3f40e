"""Figures for Prometheus at /metrics, for whoever sends METRICS_TOKEN. Without one this module is never loaded.

Requests are counted by each worker; what is in the database is read when somebody asks.
"""

import hmac
import platform
import shutil
from pathlib import Path

from flask import Response, abort, current_app, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy import bindparam, case, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from . import disk, logs, rules
from .db import db, utcnow
from .models import Event, Repair
from .rules import Status
from .web import public

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
METHODS = {"GET", "HEAD", "POST", "OPTIONS"}

_OPEN = [status for status in Status if status not in rules.CLOSED]
_LATE = (Repair.promised_at <= bindparam("now")) & (Repair.status != Status.READY)
# Reads an index alone. What is closed is most of the table, and is not counted.
_REPAIRS = (
    select(Repair.status, func.count(), func.sum(case((_LATE, 1), else_=0)))
    .where(Repair.status.in_(_OPEN))
    .group_by(Repair.status)
)
# Events are never deleted: the number of the newest says how many there are.
_EVENTS = select(func.max(Event.id))


def init_app(app, version: str):
    """Registers the page and starts counting. Before all else, so that the time of a request is all of its time."""
    counts = Counts()
    app.before_request(logs.start_clock)
    app.after_request(counts.add)
    readers = CollectorRegistry()
    readers.register(Figures(version))
    try:
        MultiProcessCollector(readers)  # The counts of all workers, from the files that they share.
    except ValueError:
        readers.register(counts.registry)  # One process alone, such as `flask run`, has no such files.

    @app.get("/metrics", endpoint="metrics")
    @public
    def metrics():
        """All figures, for whoever has the token; to everybody else there is nothing here."""
        sent, token = request.headers.get("Authorization", ""), app.config["METRICS_TOKEN"]
        if not hmac.compare_digest(sent.encode(), f"Bearer {token}".encode()):
            abort(404)
        write, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(write(readers), content_type=content_type)


class Counts:
    """What a worker counts: requests, how long they took, and what only a stranger does.

    All with labels: without, the library would begin a file in every process that only makes the app.
    """

    def __init__(self):
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "readylight_requests",
            "Requests answered, without static files.",
            ["endpoint", "method", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "readylight_request_seconds",
            "How long an answer took to make.",
            ["endpoint"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.refusals = Counter(
            "readylight_refusals",
            "Sign-ins refused, and tracking links tried that open nothing.",
            ["what"],
            registry=self.registry,
        )

    def add(self, response):
        """Counts an answer; an after_request function."""
        # Names of pages and methods from a list: an address could hold a token, and what a stranger sends has no end.
        endpoint = request.endpoint or "(none)"
        method = request.method if request.method in METHODS else "(other)"
        self.requests.labels(endpoint, method, f"{response.status_code // 100}xx").inc()
        self.seconds.labels(endpoint).observe(logs.seconds())
        if endpoint.startswith("tracking.") and response.status_code in {404, 429}:
            self.refusals.labels("link").inc()
        elif endpoint == "auth.login" and method == "POST" and response.status_code >= 400:
            self.refusals.labels("sign_in").inc()
        return response


class Figures:
    """What the shop's database and data folder say, as a collector of prometheus_client."""

    def __init__(self, version: str):
        self.version = version

    def collect(self):
        """The figures of this moment; without the database those that do without it."""
        yield _gauge(
            "build_info", "What runs here.", {(self.version, platform.python_version()): 1}, ["version", "python"]
        )
        data = Path(current_app.config["DATA_DIR"])
        yield _gauge("disk_free_bytes", "Room left for the data folder.", {(): shutil.disk_usage(data).free})
        if made := disk.newest_backup(Path(current_app.config["BACKUP_DIR"])):
            yield _gauge("backup_timestamp_seconds", "When the newest backup was made.", {(): made})
        try:
            figures = list(_from_database())
        except SQLAlchemyError:
            figures = []
        yield _gauge("database_up", "Whether the database answers.", {(): bool(figures)})
        yield from figures


def _from_database():
    rows = {status: (number, late) for status, number, late in db.session.execute(_REPAIRS, {"now": utcnow()})}
    repairs = {(status,): rows.get(status, (0, 0))[0] for status in _OPEN}
    yield _gauge("repairs", "Open repairs by status.", repairs, ["status"])
    yield _gauge("repairs_late", "Open repairs past their promise.", {(): sum(late for _, late in rows.values())})
    yield _gauge("events", "Events ever written, near enough.", {(): db.session.scalar(_EVENTS) or 0})
    yield _gauge("database_bytes", "The size of the database.", {(): _database_bytes()})


def _database_bytes() -> int:
    if db.engine.dialect.name == "sqlite":
        return disk.size(Path(db.engine.url.database))
    return db.session.scalar(text("SELECT pg_database_size(current_database())"))


def _gauge(name: str, meaning: str, values: dict, labels=()) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(f"readylight_{name}", meaning, labels=labels)
    for label_values, value in values.items():
        gauge.add_metric(label_values, float(value))
    return gauge
