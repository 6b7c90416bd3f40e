"""Limits on failures: Flask-Limiter, counting in our own database unless RATELIMIT_STORAGE_URI says otherwise.

In the database the count is one for all workers and survives a restart, without another server to run.
"""

import logging
import time
from ipaddress import IPv6Network, ip_address

from flask import request
from flask_limiter import Limiter
from limits import parse
from limits.storage import Storage
from sqlalchemy import and_, bindparam, delete, insert, not_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from .db import db
from .models import Throttle

log = logging.getLogger("readylight")

# Links that open nothing, from one address. A hand that mistypes never gets there; whoever tries them all does at once.
MISSES = parse("60 per 10 minutes")


def visitor() -> str:
    """Whom a limit counts: the address the request came from, or was said to come from by a proxy that is trusted.

    Who has one IPv6 address has as many as they like, so there it is the network (/64).
    """
    address = request.remote_addr or ""
    try:
        known = ip_address(address)
    except ValueError:
        # A socket file has no address, and a proxy may write any word.
        return address[:100] or "unknown"
    if known.version == 4:
        return str(known)
    return str(known.ipv4_mapped or IPv6Network((int(known), 64), strict=False))


def _say_so(breach) -> None:
    # At the first request past the limit alone: a flood of them must not fill the log.
    if counters().get(breach.key) == breach.limit.amount + 1:
        log.warning("%s tries %s too often; for a while it is told to wait", visitor(), request.endpoint)


limiter = Limiter(visitor, headers_enabled=False, on_breach=_say_so)


@limiter.request_filter
def _is_no_post() -> bool:
    # Only posts are limited. The library's look at each request would take a tenth of what a board takes.
    return request.method != "POST"


def counters() -> Storage:
    """Where failures are counted: while Redis does not answer, in the memory of each process."""
    return limiter.limiter.storage


# In seconds. A counter that had longer to run was begun while the clock was ahead; it must not lock until then.
LONGEST = 60 * 60
_RUNS = and_(Throttle.expires_at > bindparam("now"), Throttle.expires_at <= bindparam("latest"))
_RUNNING = Throttle.key == bindparam("counter"), _RUNS
_COUNT = select(Throttle.count).where(*_RUNNING)
_EXPIRY = select(Throttle.expires_at).where(*_RUNNING)
_ADD = update(Throttle).where(*_RUNNING).values(count=Throttle.count + bindparam("amount")).returning(Throttle.count)
_SWEEP = delete(Throttle).where(not_(_RUNS))


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
        times = _times()
        for _ in range(2):
            try:
                with db.engine.execution_options(reads_only=False).begin() as connection:
                    count = connection.scalar(_ADD, {"counter": key, "amount": amount} | times)
                    if count is None:
                        connection.execute(_SWEEP, times)
                        connection.execute(
                            insert(Throttle).values(key=key, count=amount, expires_at=times["now"] + expiry)
                        )
                        count = amount
                return count
            except IntegrityError:
                # Another worker made the row in between: count on it the second time round.
                continue
        return amount

    def get(self, key: str) -> int:
        """The counter's value; 0 when it does not exist or has run out."""
        return _read(_COUNT, counter=key, **_times()) or 0

    def get_expiry(self, key: str) -> float:
        """When the counter runs out, in seconds since 1970."""
        return _read(_EXPIRY, counter=key, **_times()) or time.time()

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


def _times() -> dict[str, float]:
    now = time.time()
    return {"now": now, "latest": now + LONGEST}


def _read(query, **values):
    # The request's own transaction may hold the write lock by now: this one must not ask for it.
    with db.engine.connect().execution_options(reads_only=True) as connection:
        return connection.scalar(query, values)


def init_app(app):
    """Takes RATELIMIT_STORAGE_URI from the configuration."""
    app.config.setdefault("RATELIMIT_STRATEGY", "fixed-window")
    # Without our database nobody signs in; without Redis people do, and guessing is slowed all the same.
    is_redis = app.config["RATELIMIT_STORAGE_URI"].startswith("redis")
    app.config.setdefault("RATELIMIT_IN_MEMORY_FALLBACK_ENABLED", is_redis)
    limiter.init_app(app)


def count_miss() -> bool:
    """Counts one more link that opens nothing against the visitor; whether it is one too many.

    Past the limit it only reads, so that a flood of guesses costs no writing.
    """
    key, most = MISSES.key_for("miss", visitor()), MISSES.amount
    try:
        if counters().get(key) >= most:
            return True
        count = counters().incr(key, MISSES.get_expiry())
    except limiter.storage.base_exceptions:
        # Nothing can be saved, as on a full disk. The link opens nothing all the same.
        return False
    if count == most:
        log.warning("%s has tried %d links that open nothing; for a while it is told to wait", visitor(), most)
    return count > most
