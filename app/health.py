"""Whether the process answers and the database can be read, for whatever watches the server.

It is asked every few seconds, day and night. So it is answered at the door, before any line of a crowd, by one read,
and wakes nothing else: an idle server stays ten megabytes smaller.
"""

from flask import Blueprint, Response
from sqlalchemy.exc import SQLAlchemyError

from . import web
from .db import db

bp = Blueprint("health", __name__)
ADDRESS = "/healthz"


def init_app(app):
    """Answers at the door; where every request is to be counted or logged, it goes all the way."""
    app.register_blueprint(bp)
    if not app.config["METRICS_TOKEN"] and not app.config["LOG_REQUESTS"]:
        app.wsgi_app = _Door(app)


@bp.get(ADDRESS)
@web.public
def show():
    """Says "ok", or what is not."""
    status, text = _look()
    return Response(text, status, mimetype="text/plain")


def _look() -> tuple[str, str]:
    engine = db.engine
    try:
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("SELECT 1 FROM shop").fetchone()
        except engine.dialect.loaded_dbapi.Error:
            connection.invalidate()
            raise
        finally:
            connection.close()
    except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error):
        return "503 SERVICE UNAVAILABLE", "database: not reachable\n"
    return "200 OK", "ok\n"


class _Door:
    """WSGI: answers whoever asks how things are, and lets the app answer everybody else."""

    def __init__(self, app):
        self._app, self._pages = app, app.wsgi_app

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] != ADDRESS or environ["REQUEST_METHOD"] != "GET":
            return self._pages(environ, start_response)
        with self._app.app_context():
            status, text = _look()
        headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(text))}
        start_response(status, [*(web.HEADERS | headers | {"Cache-Control": "no-store"}).items()])
        return [text.encode()]
