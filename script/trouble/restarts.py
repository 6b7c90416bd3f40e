"""A new version and a restart, while people work."""

import signal
import time

from .books import Books
from .clerks import Journals, at_work
from .person import PATIENCE
from .stage import Shop


def run(shop: Shop, renewals: int, restarts: int) -> dict:
    """Renews the server's workers so many times, then ends and starts it; gives the figures."""
    away = 0.0
    with at_work(shop) as journals:
        for _ in range(renewals):
            _renew(shop, journals)
        renewed = journals.read()
        for _ in range(restarts):
            began = time.monotonic()
            shop.send(signal.SIGTERM)
            shop.ended()
            shop.start()
            away = max(away, time.monotonic() - began)
            journals.wait_for_more()
    told, engine = journals.read(), shop.engine()
    books = Books(engine)
    books.check(told)
    engine.dispose()
    return {
        "SIGHUP": renewals,
        "answers meanwhile": len(renewed),
        "SIGTERM and start": restarts,
        "seconds away, at most": round(away, 1),
        "answers in all": len(told),
        "requests that failed": len([entry for entry in told if "cut" in entry or "failed" in entry]),
        "wrong": books.wrong + [str(entry) for entry in told if "cut" in entry or "failed" in entry],
    }


def _renew(shop: Shop, journals: Journals) -> None:
    old = set(shop.workers())
    shop.send(signal.SIGHUP)
    patience = time.monotonic() + PATIENCE
    while old & set(shop.workers()):
        assert time.monotonic() < patience, "the old workers do not go"
        time.sleep(0.05)
    journals.wait_for_more()
