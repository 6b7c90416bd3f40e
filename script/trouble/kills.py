"""kill -9 at random moments, while people write."""

import random
import time

from .books import Books
from .clerks import at_work
from .stage import Shop


def run(shop: Shop, kills: int) -> dict:
    """Kills a worker three times, then everything, and so on; gives the figures."""
    engine = shop.engine()
    books = Books(engine)
    of_everything = longest = 0
    with at_work(shop) as journals:
        for number in range(kills):
            time.sleep(random.uniform(0.05, 0.5))
            began = time.monotonic()
            if number % 4 == 3:
                of_everything += 1
                shop.kill()
                shop.start()
            else:
                shop.kill_worker()
            told = journals.read()
            journals.wait_for_more()
            longest = max(longest, time.monotonic() - began)
            books.check(told)
            if books.wrong:
                break
    told = journals.read()
    books.check(told)
    engine.dispose()
    lost = [problem for problem in books.wrong if problem.startswith("LOST")]
    return {
        "kills of a worker": number + 1 - of_everything,
        "kills of everything": of_everything,
        "seconds until people write again, at most": round(longest, 1),
        "writes acknowledged": sum("act" in entry for entry in told),
        "requests cut off": sum("cut" in entry for entry in told),
        "acknowledged writes lost": len(lost),
        "other things unsound": len(books.wrong) - len(lost),
        "wrong": books.wrong + [str(entry) for entry in told if "failed" in entry],
    }
