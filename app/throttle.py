"""Limits on failures: Flask-Limiter, counting in our own database unless RATELIMIT_STORAGE_URI says otherwise.

In the database the count is one for all workers and survives a restart, without another server to run.
"""

import time

from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits.storage import Storage
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from .db import db
from .models import Throttle

limiter = Limiter(get_remote_address, headers_enabled=False)


class DatabaseStorage(Storage):
    """Fixed windows in the throttle table, each change in a short transaction of its own."""

    STORAGE_SCHEME = ["database"]

    @property
    def base_exceptions(self):
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Adds to a counter; one that has run out starts again and ends expiry seconds from now."""
        # The request is over by now: what it still reads must not keep the write lock from this connection.
        db.session.rollback()
        now = time.time()
        running = (
            update(Throttle)
            .where(Throttle.key == key, Throttle.expires_at > now)
            .values(count=Throttle.count + amount)
            .returning(Throttle.count)
        )
        for _ in range(2):
            try:
                with db.engine.begin() as connection:
                    count = connection.scalar(running)
                    if count is None:
                        connection.execute(delete(Throttle).where(Throttle.expires_at <= now))
                        connection.execute(insert(Throttle).values(key=key, count=amount, expires_at=now + expiry))
                        count = amount
                return count
            except IntegrityError:
                # Another worker made the row in between: count on it the second time round.
                continue
        return amount

    def get(self, key: str) -> int:
        """The counter's value; 0 when it does not exist or has run out."""
        return _read(_running(Throttle.count, key)) or 0

    def get_expiry(self, key: str) -> float:
        """When the counter runs out, in seconds since 1970."""
        return _read(_running(Throttle.expires_at, key)) or time.time()

    def check(self) -> bool:
        """Whether the table can be read."""
        _read(select(Throttle.key).limit(1))
        return True

    def reset(self) -> int:
        """Forgets everything; says how many counters there were."""
        with db.engine.begin() as connection:
            return connection.execute(delete(Throttle)).rowcount

    def clear(self, key: str) -> None:
        """Forgets one counter."""
        with db.engine.begin() as connection:
            connection.execute(delete(Throttle).where(Throttle.key == key))


def _read(query):
    # The request's own transaction may hold the write lock by now: this one must not ask for it.
    with db.engine.connect().execution_options(reads_only=True) as connection:
        return connection.scalar(query)


def _running(column, key):
    return select(column).where(Throttle.key == key, Throttle.expires_at > time.time())


def init_app(app):
    """Takes RATELIMIT_STORAGE_URI from the configuration."""
    app.config.setdefault("RATELIMIT_STRATEGY", "fixed-window")
    limiter.init_app(app)
