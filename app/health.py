"""Whether the process answers and the database can be read, for whatever watches the server.

It is asked every few seconds, day and night. So it is answered at the door, before any line of a crowd, by one read,
and wakes nothing else: an idle server stays six megabytes smaller.
"""

from contextlib import suppress

from flask import Blueprint, Response
from sqlalchemy.exc import SQLAlchemyError

from . import web
from .db import db
from .reads import fetch

bp = Blueprint("health", __name__)
ADDRESS = "/healthz"
_READ = "SELECT 1 FROM shop"


def init_app(app):
    """Answers at the door, where that may be."""
    app.register_blueprint(bp)
    if web.may_answer_early(app):
        app.wsgi_app = _Door(app)


@bp.get(ADDRESS)
@web.public
def show():
    """Says "ok", or what is not."""
    status, text = _look()
    return Response(text, status, mimetype="text/plain")


def _look() -> tuple[str, str]:
    if _can_be_read(db.engine):
        return "200 OK", "ok\n"
    return "503 SERVICE UNAVAILABLE", "database: not reachable\n"


def _can_be_read(engine) -> bool:
    with suppress(SQLAlchemyError, engine.dialect.loaded_dbapi.Error):
        fetch(engine, _READ)
        return True
    # It may have died while nobody used it, and all that the pool keeps with it. The long way then empties the pool, so
    # that at the second try it is a new connection that counts.
    for _ in range(2):
        with suppress(SQLAlchemyError), engine.connect().execution_options(reads_only=True) as long_way:
            long_way.exec_driver_sql(_READ)
            return True
    return False


class _Door:
    """WSGI: answers whoever asks how things are, and lets the app answer everybody else."""

    def __init__(self, app):
        self._app, self._pages = app, app.wsgi_app

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] != ADDRESS or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return self._pages(environ, start_response)
        with self._app.app_context():
            status, text = _look()
        headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(text))}
        start_response(status, [*(web.HEADERS | headers | {"Cache-Control": "no-store"}).items()])
        return [text.encode()] if environ["REQUEST_METHOD"] == "GET" else []
