"""More people at once than any shop has staff."""

import time

from .books import Books
from .clerks import at_work
from .stage import Shop


def run(shop: Shop, *, processes: int, people: int, seconds: float) -> dict:
    """Everybody writes as fast as they are answered; gives the figures."""
    with at_work(shop, processes=processes, people=people) as journals:
        time.sleep(seconds)
    told, engine = journals.read(), shop.engine()
    books = Books(engine)
    books.check(told)
    engine.dispose()
    seconds_taken = sorted(entry["seconds"] for entry in told if "act" in entry)
    return {
        "people": processes * people,
        "writes acknowledged": len(seconds_taken),
        "told that somebody was faster": sum(entry.get("refused") == 409 for entry in told),
        "seconds for a write: half took less than": seconds_taken[len(seconds_taken) // 2],
        "seconds for a write: the slowest": seconds_taken[-1],
        "changes overwritten or lost": sum(problem.startswith("LOST") for problem in books.wrong),
        "refused or without an answer": sum("failed" in entry or "cut" in entry for entry in told),
        "wrong": books.wrong + [str(entry) for entry in told if "failed" in entry or "cut" in entry],
    }
