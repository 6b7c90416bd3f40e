"""What a check looks at: the settings, the data folder, the database. Reads only."""

import sqlite3
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask
from sqlalchemy import make_url

if TYPE_CHECKING:
    import psycopg

OK, WARNING, WRONG = "ok", "warning", "wrong"
MB = 1024 * 1024


@dataclass
class Installation:
    """What the checks look at."""

    app: Flask
    database: "sqlite3.Connection | psycopg.Connection | None" = None
    deep: bool = False
    online: bool = False

    @property
    def settings(self):
        return self.app.config

    @property
    def data(self) -> Path:
        return Path(self.settings["DATA_DIR"])

    @property
    def file(self) -> Path | None:
        """SQLite's file; None for PostgreSQL."""
        return sqlite_file(self.settings)

    @property
    def connections(self) -> int:
        """How many connections a worker may have open at once: two pools, and the one that feels the pulse."""
        options = self.settings["SQLALCHEMY_ENGINE_OPTIONS"]
        return 2 * (options["pool_size"] + options["max_overflow"]) + 1

    @cached_property
    def shop(self) -> tuple | None:
        """(name, zone, public address); None before set-up."""
        return next(iter(self.ask("SELECT name, timezone, public_url FROM shop")), None)

    def ask(self, query: str) -> list[tuple]:
        """Rows of the database."""
        return self.database.execute(query).fetchall()


def first_line(problem: Exception) -> str:
    """The gist of an error, without its full stop."""
    return (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")


def sqlite_file(settings) -> Path | None:
    """Where the database lies; None for PostgreSQL."""
    url = make_url(settings["SQLALCHEMY_DATABASE_URI"])
    return Path(url.database) if url.get_backend_name() == "sqlite" else None


def open_database(address: str) -> "sqlite3.Connection | psycopg.Connection":
    """A connection that can only read. Raises OSError, sqlite3.Error or psycopg.Error, saying why there is none."""
    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        if not Path(url.database).exists():
            raise FileNotFoundError(f"There is none at {url.database}: script/server makes it, or DATA_DIR is wrong")
        # Where nobody has it open, a reader would leave the files of the write-ahead log behind, as its own user's.
        how = "mode=ro" if Path(f"{url.database}-wal").exists() else "mode=ro&immutable=1"
        return sqlite3.connect(f"{Path(url.database).as_uri()}?{how}", uri=True, timeout=5)
    import psycopg  # A tenth of a second for every command, and this one alone needs it.

    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(
        plain,
        connect_timeout=5,
        autocommit=True,
        options="-c default_transaction_read_only=on -c statement_timeout=5min",
    )
