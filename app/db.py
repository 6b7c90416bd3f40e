"""The database: one session, one naming convention, times in UTC, SQLite made safe for several writers."""

import json
import sqlite3
from datetime import UTC, datetime
from select import POLLIN, poll

from flask import g, has_request_context, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Engine, MetaData, Pool, Text, TypeDecorator, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError, SQLAlchemyError, TimeoutError
from sqlalchemy.orm import DeclarativeBase

from . import turns
from .config import ROOT
from .crowd import waiting

MIGRATIONS = ROOT / "migrations"

# How many seconds to wait for others who write: less than a browser waits for its answer. On SQLite the last of them
# are for a program that stands in no line, as many as Litestream asks for (https://litestream.io/tips/#busy-timeout).
PATIENCE, AT_THE_LOCK = 15, 5


class Base(DeclarativeBase):
    """Every constraint has a name, so that a migration can drop it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(TypeDecorator):
    """A moment. Takes and gives aware datetimes in UTC; a naive one is a bug and raises ValueError."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value, dialect):
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime reached the database: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value, dialect):
        if value is None:
            return None
        # SQLite keeps no zone; what process_bind_param wrote was UTC.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(TypeDecorator):
    """Lists and dictionaries of plain values, kept as text. To change one, assign a new one."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)

    def process_result_value(self, value, dialect):
        return None if value is None else json.loads(value)


# hide_parameters: an error must not carry a customer's data or a tracking token into a log.
db = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True}, disable_autonaming=False)


def utcnow() -> datetime:
    """Now, in UTC, with its zone."""
    return datetime.now(UTC)


def init_app(app):
    """Takes the app whose SQLALCHEMY_DATABASE_URI is set; opens no connection."""
    options = app.config.setdefault("SQLALCHEMY_ENGINE_OPTIONS", {})
    if app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        # It must be known before the first PRAGMA.
        options.setdefault("connect_args", {"timeout": AT_THE_LOCK, "cached_statements": 12})
        # Those who wait for their turn to write keep no reader from a connection; some need a second one for a counter.
        # Few stay open after a rush: one takes half a megabyte, and is made anew in half a millisecond.
        most, wanted = 2 * app.config["THREADS"], 3
    else:
        options.setdefault("connect_args", {"connect_timeout": PATIENCE})
        # PostgreSQL has a hundred for all, and each worker two pools. Who finds none there waits for one.
        most, wanted = max(2, 80 // 2 // app.config["WORKERS"]), 8
    kept = min(most, wanted)
    options.setdefault("pool_size", kept)
    options.setdefault("max_overflow", most - kept)
    options.setdefault("pool_timeout", PATIENCE)
    # The one that was used last is warm; those that only a rush needs stay cold, and small.
    options.setdefault("pool_use_lifo", True)
    # What customers ask for again and again goes over connections of its own: no transaction, hence nothing to undo
    # when one goes back into the pool; and, where there is one, to a replica.
    reads = options | {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
    url = app.config["REPLICA_URL"] or app.config["SQLALCHEMY_DATABASE_URI"]
    app.config["SQLALCHEMY_BINDS"] = {"reads": {"url": url, **reads}}
    db.init_app(app)


@event.listens_for(Engine, "connect")
def _prepare(connection, record):
    if isinstance(connection, sqlite3.Connection):
        # The driver's own BEGIN is deferred; _begin_sqlite below says it instead.
        connection.isolation_level = None
        # The system has the file in its memory anyway. Two megabytes more of it for each of a hundred connections, as
        # SQLite would keep, made no query faster.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-128"):
            connection.execute(f"PRAGMA {pragma}")
    else:
        # A web machine that lost its power in the middle of a change must not lock everyone else out of the repair.
        for limit in ("lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(f"SET {limit} = '{PATIENCE}s'")
        connection.commit()


@event.listens_for(Engine, "begin")
def _begin_sqlite(connection):
    """Whoever may write takes the write lock at once.

    A request that looks only reads; so does a connection that says so (execution option reads_only).
    A transaction that reads first and writes later is refused by SQLite, without waiting, when
    another one wrote in between (https://www.sqlite.org/rescode.html#busy_snapshot).
    """
    if connection.dialect.name == "sqlite":
        safe = has_request_context() and (request.method in {"GET", "HEAD", "OPTIONS"} or g.get("only_looks", False))
        reads_only = connection.get_execution_options().get("reads_only", safe)
        if not reads_only:
            turns.take(connection.info, connection.engine.url.database, PATIENCE - AT_THE_LOCK, waiting)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def only_look(looks: bool = True) -> None:
    """Ends the transaction. From here on this request writes nothing, so that others may; with False, it does again."""
    db.session.rollback()
    g.only_looks = looks


@event.listens_for(Pool, "checkin")
def _end_turn(connection, record):
    turns.end(record.info)


@event.listens_for(Pool, "checkout")
def _leave_the_dead(connection, record, proxy):
    """A PostgreSQL server that ends says goodbye on every connection: there is something to read that nobody asked for.

    The pool then makes new ones. To ask the server each time whether it is there would cost an answer's time.
    """
    if not isinstance(connection, sqlite3.Connection):
        unread = poll()
        unread.register(connection.fileno(), POLLIN)
        if unread.poll(0):
            raise DisconnectionError


def revisions() -> list[str]:
    """The states of the tables that this program knows, the newest last. Without Alembic, which costs 20 MB."""
    return sorted(file.name.partition("_")[0] for file in MIGRATIONS.glob("versions/*.py"))


def let_go() -> None:
    """Closes every connection that is not in use."""
    for engine in db.engines.values():
        engine.dispose()


def trouble(error: SQLAlchemyError) -> str:
    """Why the database did not do what it was asked, when that will pass: "busy", "full", "away"; else ""."""
    if isinstance(error, TimeoutError):
        # All connections were in use for too long.
        return "busy"
    if not isinstance(error, DBAPIError):
        return ""
    name = getattr(error.orig, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "busy"
    if name in {"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"}:
        return "full"
    if name.startswith("SQLITE_CANTOPEN"):
        return "away"
    # https://www.postgresql.org/docs/current/errcodes-appendix.html
    state = getattr(error.orig, "sqlstate", "") or ""
    if state == "53100":
        return "full"
    if state.startswith("53") or state in {"55P03", "40P01", "40001", "57014"}:
        return "busy"
    # Without a state the server has said nothing: there was no connection, or there is none any more.
    if state.startswith(("08", "57P", "25P03")) or (isinstance(error, OperationalError) and not name and not state):
        return "away"
    return ""
