"""The database: one session, one naming convention, times in UTC, SQLite made safe for several writers."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from flask import has_request_context, request
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Engine, MetaData, TypeDecorator, event
from sqlalchemy.orm import DeclarativeBase

ROOT = Path(__file__).resolve().parent.parent


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


# hide_parameters: an error must not carry a customer's data or a tracking token into a log.
db = SQLAlchemy(model_class=Base, engine_options={"hide_parameters": True}, disable_autonaming=False)
migrate = Migrate()


def utcnow() -> datetime:
    """Now, in UTC, with its zone."""
    return datetime.now(UTC)


def init_app(app):
    """Takes the app whose SQLALCHEMY_DATABASE_URI is set; opens no connection."""
    options = app.config.setdefault("SQLALCHEMY_ENGINE_OPTIONS", {})
    if app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        # The time to wait for another writer, in seconds. It must be known before the first PRAGMA.
        options.setdefault("connect_args", {"timeout": 15})
    # Fewer than threads: one that waits for a slow phone needs none, and PostgreSQL has a hundred for all.
    options.setdefault("pool_size", 8)
    options.setdefault("max_overflow", 24)
    db.init_app(app)
    migrate.init_app(app, db, directory=str(ROOT / "migrations"))


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection, record):
    if not isinstance(connection, sqlite3.Connection):
        return
    # The driver's own BEGIN is deferred; _begin_sqlite below says it instead.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


@event.listens_for(Engine, "begin")
def _begin_sqlite(connection):
    """Whoever may write takes the write lock at once.

    A request that looks only reads; so does a connection that says so (execution option reads_only).
    A transaction that reads first and writes later is refused by SQLite, without waiting, when
    another one wrote in between (https://www.sqlite.org/rescode.html#busy_snapshot).
    """
    if connection.dialect.name == "sqlite":
        safe = has_request_context() and request.method in {"GET", "HEAD", "OPTIONS"}
        reads_only = connection.get_execution_options().get("reads_only", safe)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
