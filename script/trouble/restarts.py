"""Workers that are renewed and a server that is restarted, while people work and customers look."""

import signal
import threading
import time
from contextlib import closing, contextmanager

from .books import Books
from .clerks import Journals, at_work
from .person import PATIENCE, Cut, NotThere, Person
from .stage import Shop

CUSTOMERS = 8


def run(shop: Shop, renewals: int, restarts: int) -> dict:
    """Renews the server's workers so many times, then ends and starts it; gives the figures."""
    away = 0.0
    with at_work(shop) as journals, _customers(shop) as (seen, failed, refused):
        for _ in range(renewals):
            _renew(shop, journals)
        # Somebody listens all the while: here it is a failure, below it is not.
        failed += refused
        renewed = len(seen) + len(journals.read())
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
    failed += [str(entry) for entry in told if "cut" in entry or "failed" in entry]
    return {
        "SIGHUP": renewals,
        "answers meanwhile": renewed,
        "SIGTERM and start": restarts,
        "seconds away, at most": round(away, 1),
        "answers in all": len(seen) + len(told),
        "requests that failed": len(failed),
        "wrong": books.wrong + failed,
    }


@contextmanager
def _customers(shop: Shop):
    """Customers who look at their page, each time over a new connection: seen, failed, and not let in."""
    token, seen, failed, refused, gone = shop.made["repairs"][0]["token"], [], [], [], threading.Event()

    def look():
        while not gone.wait(0.01):
            try:
                with closing(Person(shop.port)) as customer:
                    status = customer.get(f"/t/{token}").status
                (seen if status == 200 else failed).append(f"a customer's page was answered {status}")
            except Cut as problem:
                failed.append(str(problem))
            except NotThere as problem:
                # Refused, not lost: a browser or a proxy tries again.
                refused.append(f"nobody let a customer in: {problem}")
                time.sleep(0.05)

    threads = [threading.Thread(target=look) for _ in range(CUSTOMERS)]
    for thread in threads:
        thread.start()
    try:
        yield seen, failed, refused
    finally:
        gone.set()
        for thread in threads:
            thread.join()


def _renew(shop: Shop, journals: Journals) -> None:
    old = set(shop.workers())
    shop.send(signal.SIGHUP)
    patience = time.monotonic() + PATIENCE
    while old & set(shop.workers()):
        assert time.monotonic() < patience, "the old workers do not go"
        time.sleep(0.05)
    journals.wait_for_more()
