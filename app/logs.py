"""What is written down: a line or a JSON object for each thing, named for its request, without secret addresses."""

import json
import logging
import re
import secrets
import time
from datetime import UTC, datetime

from flask import Flask, current_app, g, has_request_context, request

from .crowd import CAME_AT

log = logging.getLogger("readylight")


def init_app(app: Flask):
    """Takes LOG_LEVEL, LOG_FORMAT and LOG_REQUESTS from the configuration."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(app.config["LOG_FORMAT"]))
    for logger in (log, app.logger):
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(app.config["LOG_LEVEL"])
    # What a library has to say ends here.
    logging.lastResort.setFormatter(handler.formatter)
    if app.config["LOG_REQUESTS"]:
        app.before_request(start_clock)
        app.after_request(_write_request)


# --- one request --------------------------------------------------------------------------------


def request_id() -> str:
    """The name of the request being answered: in its log lines, on its error page, in the answer's X-Request-ID.

    It is the proxy's when there is one that is trusted, else made when something first asks for it.
    """
    if "request_id" not in g:
        sent = request.headers.get("X-Request-ID", "") if current_app.config["TRUSTED_PROXIES"] else ""
        g.request_id = sent if re.fullmatch(r"[A-Za-z0-9_-]{8,64}", sent) else secrets.token_hex(16)
    return g.request_id


def reference() -> str:
    """The end of the request's name, short enough to read out on the phone; a search of the log finds it."""
    return request_id()[-8:]


def route() -> str:
    """The pattern of the page that was asked for. Never its address: that may be somebody's tracking link."""
    return request.url_rule.rule if request.url_rule else "(no page)"


def start_clock() -> None:
    """Before a request: notes when it began, for seconds(). What it waited in the line of app/crowd.py counts."""
    g.setdefault("asked_at", request.environ.get(CAME_AT, time.perf_counter()))


def seconds() -> float:
    """How long the request has taken so far."""
    return time.perf_counter() - g.asked_at


def _write_request(response):
    # Who asked is left out: neither an address nor a name is needed to see that the shop is well.
    details = {
        "method": request.method,
        "route": route(),
        "status": response.status_code,
        "ms": round(seconds() * 1000, 1),
    }
    log.info("%s %s %s %s ms", *details.values(), extra={"details": details})
    return response


# --- the form of a line -------------------------------------------------------------------------


def formatter(name: str) -> logging.Formatter:
    """How lines are written, by the value of LOG_FORMAT."""
    return JsonLines() if name == "json" else TextLines()


class TextLines(logging.Formatter):
    """Lines for people."""

    def __init__(self):
        super().__init__("%(asctime)s %(levelname)s %(name)s%(during)s: %(message)s", "%Y-%m-%d %H:%M:%S%z")

    def format(self, record):
        record.during = f" [{request_id()}]" if has_request_context() else ""
        return _redacted(super().format(record))


class JsonLines(logging.Formatter):
    """Lines for programs: one object each, whatever is in it."""

    def format(self, record):
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if has_request_context():
            entry["request"] = request_id()
        entry |= getattr(record, "details", {})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return _redacted(json.dumps(entry, ensure_ascii=False, default=str))


def _redacted(line: str) -> str:
    return re.sub(r"((?:/|%2F)(?:t|welcome)(?:/|%2F))[\w-]+", r"\1***", line, flags=re.IGNORECASE)
