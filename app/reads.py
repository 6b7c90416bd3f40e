"""What customers ask for again and again: read in microseconds, and not read again while nothing has been written."""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from time import monotonic

from sqlalchemy import Engine, Select, event
from sqlalchemy.exc import SQLAlchemyError

from .db import db

# How many seconds old the database's own word may be that nothing was written: what another process has changed is seen
# by then. While somebody asks for the next one, the last one does a little longer.
FRESH, STALE = 0.05, 0.2

# What the database says in one cheap read, and says otherwise after every commit of whomsoever: a counter in the head
# of SQLite's file, as one connection sees it (https://www.sqlite.org/pragma.html#pragma_data_version); the transactions
# that PostgreSQL would show to a reader, or, on a replica, which does not know them all, how far it has come.
PULSE = {
    "sqlite": "PRAGMA data_version",
    "postgresql": "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text "
    "ELSE pg_current_snapshot()::text END",
}


def fetch(engine: Engine, sql: str, values: Sequence | Mapping = ()) -> list[tuple]:
    """The rows of a query in the driver's own words, past SQLAlchemy. Raises the driver's own errors."""
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(sql, values)
        return cursor.fetchall()
    except engine.dialect.loaded_dbapi.Error:
        connection.invalidate()
        raise
    finally:
        connection.close()


class QuickRead:
    """A SELECT that is compiled once and handed to the driver itself, on the engine "reads".

    For what is asked thousands of times a minute: on SQLite one takes 15 µs, where a session takes 150. Rows are named
    tuples, with the values that a session would give.
    """

    def __init__(self, statement: Select):
        self._statement = statement
        self._row = namedtuple("Row", statement.selected_columns.keys())
        self._prepared = {}

    def one(self, **values):
        """The first row, or None. values: the statement's parameters by name."""
        return next(iter(self.all(**values)), None)

    def all(self, **values) -> list:
        """Every row."""
        engine = db.engines["reads"]
        sql, names, readers = self._prepared.get(engine.dialect.name) or self._prepare(engine.dialect)
        try:
            rows = fetch(engine, sql, [values[name] for name in names] if names else values)
        except engine.dialect.loaded_dbapi.Error:
            # The long way says what is wrong in SQLAlchemy's words, and knows when a whole pool has died.
            with engine.connect().execution_options(reads_only=True) as long_way:
                return [self._row._make(row) for row in long_way.execute(self._statement, values)]
        return [self._read(readers, row) for row in rows]

    def _read(self, readers, row):
        return self._row._make([read(value) if read else value for read, value in zip(readers, row, strict=True)])

    def _prepare(self, dialect):
        compiled = self._statement.compile(dialect=dialect)
        types = [column.type.dialect_impl(dialect) for column in self._statement.selected_columns]
        readers = [kind.result_processor(dialect, None) for kind in types]
        self._prepared[dialect.name] = compiled.string, compiled.positiontup, readers
        return self._prepared[dialect.name]


class Remembered:
    """Values that were read, each for as long as nothing whatever has been written to the database since.

    The database is asked for its pulse once every FRESH seconds in each process, however many ask. engine: gives the
    one that the values are read on. most: so many are kept; others are read each time.
    """

    def __init__(self, engine: Callable[[], Engine], most: int):
        self._engine, self._most = engine, most
        self._asking = Lock()
        self._forget()

    def _forget(self) -> None:
        # When the pulse was last asked for, and what has been read since it was another; None if it could not be felt.
        self._latest: tuple[float, dict | None] = (float("-inf"), {})
        # The connection's own counter means nothing on another one.
        self._pulse = self._connection = None

    def get(self, key: str, read: Callable):
        """read(key), or what it gave before. None is not remembered."""
        values = self._present()
        if values is None:
            return read(key)
        value = values.get(key)
        if value is None:
            value = read(key)
            # To the values of the pulse that was felt before it was read, even if another has been felt meanwhile.
            if value is not None and len(values) < self._most:
                values[key] = value
        return value

    def _present(self) -> dict | None:
        """What is still true; None where that cannot be told."""
        asked, values = self._latest
        age = monotonic() - asked
        if age < FRESH:
            return values
        if not self._asking.acquire(blocking=False):
            # Somebody else asks already. Nobody waits for them; and if they wait for long, others read for themselves.
            return values if age < STALE else None
        try:
            asked, pulse = monotonic(), self._ask()
            if pulse is None:
                values = None
            elif pulse != self._pulse:
                values = {}
            else:
                # Not the values from above: since then somebody may have felt another pulse.
                values = self._latest[1]
            self._pulse, self._latest = pulse, (asked, values)
            return values
        finally:
            self._asking.release()

    def _ask(self):
        """The pulse; None if the database does not answer."""
        engine = self._engine()
        try:
            if self._connection is None:
                self._connection = engine.raw_connection()
                self._connection.detach()
                if not event.contains(engine, "engine_disposed", self._let_go):
                    event.listen(engine, "engine_disposed", self._let_go)
            cursor = self._connection.cursor()
            try:
                cursor.execute(PULSE[engine.dialect.name])
                return cursor.fetchone()[0]
            finally:
                cursor.close()
        except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error):
            # Whoever asked reads for themselves, and learns what is wrong.
            self._close()
            return None

    def _let_go(self, engine: Engine) -> None:
        with self._asking:
            self._close()

    def _close(self) -> None:
        connection = self._connection
        self._forget()
        if connection is not None:
            with suppress(SQLAlchemyError, self._engine().dialect.loaded_dbapi.Error):
                connection.close()
