"""What the load needs of a filled shop: links, codes, what people look for, and a member of staff at the counter."""

import http.client
import http.cookiejar
import random
import re
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle, islice

from sqlalchemy import create_engine, delete, func, select, update
from sqlalchemy.orm import Session, joinedload

from app.db import utcnow
from app.models import Customer, Event, Repair, Shop
from app.repairs.queries import PAGE_SIZE
from app.rules import CLOSED, UNFINISHED, Status

from .stage import HOST, Database, Failed, Server

# Links that are open in the town at the same time, and how many of their pages have a countdown, which is more work. In
# a small town as many, the few that it has several times each, so that towns can be compared.
OPEN, COUNTING = 300, 200
# Links picked from all repairs there are, to look at and to poll.
ANY, ANY_POLLED = 10_000, 500
# Repairs that are put back to their first step, for the load to move along: each gives STEPS moves.
MOVED = 1000
STEPS = 5
FINDS = 5


class Town:
    """A filled shop and those who use it."""

    def __init__(self, database: Database):
        self.database = database
        url = database.url or f"sqlite:///{database.folder / 'readylight.db'}"
        self._engine = create_engine(url)
        self._rng = random.Random(8)  # noqa: S311
        with Session(self._engine) as session:
            # Links that never end, so that every repair's page can be asked for.
            session.execute(update(Shop).values(link_days=0))
            session.commit()
            self.open_codes = list(session.scalars(_newest(Repair.code)))
            self.open_tokens = self._open_tokens(session)
            self.any_tokens = self._any_tokens(session)
            self.searches = self._searches(session)
            delivered = session.scalar(select(func.count()).where(Repair.status == Status.DELIVERED))
        far = delivered * 4 // 5 // PAGE_SIZE
        self.far_pages = [far - number for number in range(5) if far > number] or [1]
        self.cookie = self.csrf = ""

    def close(self) -> None:
        """Lets go of the database."""
        self._engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Somebody writes something that nobody sees, fifty times a second, until the block ends."""
        stop = threading.Event()

        def write() -> None:
            with self._engine.connect() as connection:
                while not stop.wait(0.02):
                    connection.execute(update(Shop).values(link_days=0))
                    connection.commit()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            yield
        finally:
            stop.set()
            writer.join()

    # --- what is asked for ----------------------------------------------------------------------

    def _open_tokens(self, session: Session) -> list[str]:
        promised = Repair.promised_at
        # Neither changes before the last round is over: a page counts down, or has nothing to count.
        counting = Repair.status.in_(UNFINISHED) & (promised > utcnow() + timedelta(hours=2))
        still = Repair.status.not_in(UNFINISHED) | promised.is_(None) | (promised < utcnow() - timedelta(days=1))
        chosen = []
        for what, many, which in (("with", COUNTING, counting), ("without", OPEN - COUNTING, still)):
            found = session.scalars(_newest(Repair.token).where(which)).all()
            if not found:
                raise Failed(f"There is no open page {what} a countdown in {self.database.folder}: fill it anew.")
            chosen += islice(cycle(found), many)
        self._rng.shuffle(chosen)
        return chosen

    def _any_tokens(self, session: Session) -> list[str]:
        most = session.scalar(select(func.max(Repair.id)))
        ids = self._rng.sample(range(1, most + 1), min(ANY, most))
        chosen = []
        for start in range(0, len(ids), 500):
            chosen += session.scalars(select(Repair.token).where(Repair.id.in_(ids[start : start + 500])))
        return chosen

    def _searches(self, session: Session) -> list[str]:
        """As people search: a name, the end of a phone number, a code, a brand, some of a serial number, two words."""
        most = session.scalar(select(func.max(Repair.id)))
        with_serial = (
            select(Repair)
            .join(Customer)
            .where(Repair.id > self._rng.randint(0, most // 2), Repair.serial != "", Customer.phone != "")
            .options(joinedload(Repair.customer))
            .limit(FINDS * 40)
        )
        found = []
        for repair in self._rng.sample(session.scalars(with_serial).all(), FINDS):
            name, brand = repair.customer.name.split()[-1], repair.item.split()[0]
            found += [name, repair.customer.phone[-6:], repair.code, brand, repair.serial[1:7], f"{brand} {name}"]
        return found

    def busy_codes(self, count: int) -> list[tuple[str, str, int]]:
        """(code, token, version) of repairs that are under way and have a next step."""
        under_way = [Status.RECEIVED, Status.DIAGNOSING, Status.REPAIRING, Status.TESTING]
        query = select(Repair.code, Repair.token, Repair.version).where(Repair.status.in_(under_way))
        with Session(self._engine) as session:
            return [tuple(row) for row in session.execute(query.order_by(Repair.id.desc()).limit(count))]

    def tokens(self, count: int) -> list[str]:
        """The newest repairs' tokens."""
        with Session(self._engine) as session:
            return list(session.scalars(select(Repair.token).order_by(Repair.id.desc()).limit(count)))

    # --- work for the counter -------------------------------------------------------------------

    @contextmanager
    def put_back(self) -> Iterator[list[tuple[str, int]]]:
        """(code, version) of repairs that are at their first step for as long as the block lasts.

        Afterwards each is as it was, so that every round begins with the same database.
        """
        columns = [column for column in Repair.__table__.columns if column.name != "search"]
        with Session(self._engine) as session:
            rows = session.execute(select(*columns).order_by(Repair.id.desc()).limit(MOVED)).all()
            last_event = session.scalar(select(func.max(Event.id)))
            session.execute(
                update(Repair)
                .where(Repair.id >= rows[-1].id)
                .values(status=Status.RECEIVED, paused_from=None)
                .execution_options(synchronize_session=False)
            )
            session.commit()
            try:
                yield [(row.code, row.version) for row in rows]
            finally:
                session.execute(delete(Event).where(Event.id > last_event))
                session.execute(update(Repair), [row._asdict() for row in rows])
                session.commit()

    # --- through the front door -----------------------------------------------------------------

    def sign_in(self, server: Server) -> None:
        """Signs the owner in, once: cookie and form token stay good as long as the database is there."""
        if self.cookie:
            return
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        page = browser.open(server.address + "/login").read().decode()
        form = self.database.sign_in | {"csrf_token": _csrf(page)}
        page = browser.open(server.address + "/login", urllib.parse.urlencode(form).encode()).read().decode()
        page = browser.open(f"{server.address}/repairs/{self.open_codes[0]}").read().decode()
        self.cookie, self.csrf = "; ".join(f"{each.name}={each.value}" for each in jar), _csrf(page)


def _newest(column):
    """That column of the newest repairs, the open ones first."""
    return select(column).order_by(Repair.status.in_(CLOSED), Repair.id.desc()).limit(OPEN)


def fetch_tags(server: Server, tokens: list[str]) -> dict[str, str]:
    """Each page's present HX-PTag. Raises Failed for a page without one."""

    def ask(share: list[str]) -> list[tuple[str, str]]:
        connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
        tags = []
        for token in share:
            connection.request("GET", f"/t/{token}/live", headers={"HX-Request": "true", "Accept-Encoding": "gzip"})
            answer = connection.getresponse()
            answer.read()
            tags.append((token, answer.headers["HX-PTag"]))
        connection.close()
        return tags

    shares = [share for share in (tokens[number::4] for number in range(4)) if share]
    with ThreadPoolExecutor(4) as pool:
        tags = {token: tag for share in pool.map(ask, shares) for token, tag in share}
    if not all(tags.values()):
        raise Failed(f"{sum(not tag for tag in tags.values())} of {len(tags)} tracking pages have no HX-PTag.")
    return tags


def _csrf(page: str) -> str:
    return re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
