"""On paper: what more processors and more machines would carry, computed from what one machine was seen to do."""

import multiprocessing
import time
from dataclasses import dataclass

import psycopg

from .cells import POLL_DISTURBED
from .machine import cpu_seconds
from .pages import EVERY
from .rounds import Rounds
from .stage import Database

# No machine is planned fuller than this: what is left is for the counter, for a rush, and for short waits.
BUSY = 0.5
PAGES_A_SHOP = 20
WEB_CORES = DATABASE_CORES = 4
SECONDS = 2.0

ASSUMPTIONS = (
    f"an open page asks every {EVERY:.0f} s; nearly all answers are “unchanged”",
    "somewhere somebody always writes, so that each answer costs its one read",
    f"processors are planned {BUSY:.0%} busy",
    f"a shop (or branch) has {PAGES_A_SHOP} pages open in its busiest minute; a page in the background asks nothing",
    "processor time an answer is as measured here, and a further core carries as much as the first",
    f"web machines of {WEB_CORES} cores, database machines of {DATABASE_CORES}; the network costs time, not cores",
    "a replica answers the customers' reads; it may be a moment behind, which a page shows as a later change",
)


@dataclass(frozen=True)
class Step:
    """A line of the paper: what stands there, and the polls a second that it carries."""

    what: str
    polls: float

    @property
    def pages(self) -> int:
        return round_down(self.polls * EVERY)

    @property
    def shops(self) -> int:
        return round_down(self.pages / PAGES_A_SHOP)


def round_down(number: float) -> int:
    """To two digits that count: a plan is not more exact than that."""
    number = int(number)
    unit = 10 ** max(0, len(str(number)) - 2)
    return number // unit * unit


def steps(web: float, web_on_postgres: float | None, database: float | None) -> list[Step]:
    """The lines, from processor seconds a poll: of the web server on SQLite, on PostgreSQL, and of PostgreSQL."""
    found = [Step(f"one machine, SQLite, {cores} cores", cores * BUSY / web) for cores in (2, 4, 8)]
    if web_on_postgres is None or not database:
        return found
    machine, limit = WEB_CORES * BUSY / web_on_postgres, DATABASE_CORES * BUSY / database
    found.append(Step("one machine, PostgreSQL on it, 8 cores", 8 * BUSY / (web_on_postgres + database)))
    full = max(1, -(-limit // machine))
    found += [Step(f"{count} web machines, one PostgreSQL", count * machine) for count in (2, 4) if count < full]
    found.append(Step(f"{full:.0f} web machines, one PostgreSQL: it is full", limit))
    found.append(Step(f"{2 * full:.0f} web machines, one PostgreSQL and two replicas for the public reads", 2 * limit))
    return found


def from_rounds(rounds: Rounds) -> list[Step]:
    """The lines for what was measured with the most repairs; none where the polls were not measured."""
    costs = {}
    for town in rounds.towns:
        measured = rounds.find(POLL_DISTURBED, *town.database[:2])
        if measured and (server := measured.cpu(measured.server_cpu)):
            costs[town.database.kind] = server / 1000, (measured.cpu(measured.database_cpu) or 0) / 1000
    if "SQLite" not in costs:
        return []
    web_on_postgres, database = costs.get("PostgreSQL", (None, None))
    return steps(costs["SQLite"][0], web_on_postgres, database)


# --- the ceiling of PostgreSQL ------------------------------------------------------------------


def postgres_ceiling(database: Database, statement: list, tokens: list[str], postmaster: int | None) -> dict:
    """How often PostgreSQL answers the poll's one read when nobody does anything else, two clients in a tight loop.

    statement: (text, parameters), as it was given to the driver.
    """
    before = cpu_seconds(postmaster) if postmaster else 0.0
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        counts = pool.starmap(_read_on, [(database.environ["DATABASE_URL"], *statement, tokens)] * 2)
    used = cpu_seconds(postmaster) - before if postmaster else None
    return {"rate": sum(counts) / SECONDS, "cpu_ms": used and 1000 * used / sum(counts)}


def _read_on(url: str, sql: str, parameters, tokens: list[str]) -> int:
    done, many = 0, [_with_token(parameters, token) for token in tokens]
    with psycopg.connect(url, autocommit=True) as connection:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for values in many:
                connection.execute(sql, values, prepare=True).fetchone()
            done += len(many)
    return done


def _with_token(parameters, token: str):
    """The parameters of the poll's read, for another page: of all that it takes, only a token is so long a text."""

    def swap(value):
        return token if isinstance(value, str) and len(value) == len(token) else value

    if isinstance(parameters, dict):
        return {name: swap(value) for name, value in parameters.items()}
    return [swap(value) for value in parameters]
