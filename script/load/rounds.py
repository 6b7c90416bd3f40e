"""The cells one after another, in rounds; what counts is the middle of the rounds.

A round goes through all databases, and starts the server anew for each. The yardstick, Flask's hello under the same
gunicorn settings, is measured for a second after each second of what is compared with it: the machine may be twice as
fast in the next minute, but the two share theirs.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection

from . import machine, stage, statements, wrk
from .cells import BROWSER, CELLS, MOVE, Cell, Request, advance_request, moves
from .stage import HOST, Database, Server
from .town import Town

POSTGRESQL = stage.KINDS[1]
HELLO, BARE = "hello, Flask", "hello, bare WSGI"
# Seconds of load: of the bare yardstick, and of one user alone.
YARDSTICK, ALONE = 3, 2
HELLO_REQUEST = Request("GET", "/", BROWSER)


@dataclass
class Measured:
    """A cell on one database, over all rounds."""

    kind: str
    size: int
    cell: str
    loads: list[wrk.Load] = field(default_factory=list)
    # Beside each load: answers a second of the yardstick, and processor seconds of servers and PostgreSQL.
    hellos: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)
    database_cpu: list[float] = field(default_factory=list)
    alone: list[wrk.Load] = field(default_factory=list)
    statements: list | None = None

    @property
    def rate(self) -> float:
        return statistics.median(load.rate for load in self.loads) if self.loads else 0

    @property
    def ratio(self) -> float:
        """To the yardstick, each load to the one right after it."""
        pairs = zip(self.loads, self.hellos, strict=True)
        return statistics.median(load.rate / hello if hello else 0 for load, hello in pairs)

    @property
    def p50(self) -> float:
        return statistics.median(load.p50 for load in self.loads)

    @property
    def p99(self) -> float:
        return statistics.median(load.p99 for load in self.loads)

    @property
    def alone_p99(self) -> float | None:
        return statistics.median(load.p99 for load in self.alone) if self.alone else None

    @property
    def wrong(self) -> int:
        return sum(load.wrong for load in (*self.loads, *self.alone))

    def cpu(self, seconds: list[float]) -> float | None:
        """Processor milliseconds an answer, of server_cpu or database_cpu."""
        answers = sum(load.answers for load in self.loads)
        return 1000 * sum(seconds) / answers if seconds and answers else None

    def as_json(self) -> dict:
        values = {"database": self.kind, "repairs": self.size, "cell": self.cell, "wrong": self.wrong}
        if self.loads:
            values |= {"rate": self.rate, "ratio": self.ratio, "p50_ms": self.p50, "p99_ms": self.p99}
        values |= {"rates": [load.rate for load in self.loads], "hellos": self.hellos}
        values |= {"cpu_ms": self.cpu(self.server_cpu), "database_cpu_ms": self.cpu(self.database_cpu)}
        values |= {"alone_p99_ms": self.alone_p99}
        counted = None if self.statements is None else len(self.statements)
        return values | {"statements": counted, "sql": self.statements}


class Rounds:
    """All the rounds of a run. memory: by (kind, size), what the servers took: a list of (idle, after load)."""

    def __init__(self, towns: list[Town], cells: tuple[Cell, ...], desk_size: int, postmaster: int | None):
        self.towns, self.cells, self._desk_size, self._postmaster = towns, cells, desk_size, postmaster
        self.memory: dict[tuple[str, int], list[tuple[dict, dict]]] = {}
        self._measured: dict[tuple[str, int, str], Measured] = {}

    @property
    def measured(self) -> list[Measured]:
        """Every cell of every database, the yardsticks first."""
        order = [BARE, HELLO, *(cell.name for cell in CELLS)]
        kinds = ["", *stage.KINDS]
        return sorted(
            self._measured.values(), key=lambda each: (kinds.index(each.kind), each.size, order.index(each.cell))
        )

    def find(self, cell: str, kind: str, size: int) -> Measured | None:
        """What was measured of a cell on a database."""
        return self._measured.get((kind, size, cell))

    def run(self, number: int, seconds: int | None) -> None:
        """One round. seconds: of each load, instead of the cell's own."""
        for town in self.towns:
            stage.say(f"round {number}: {town.database.kind}, {town.database.size:,} repairs")
            with stage.product(town.database) as server:
                idle = server.memory()
                town.sign_in(server)
                if number == 1:
                    self._count_statements(town, server)
                if town.database.size == self._size_alone:
                    self._run_alone(town, server, seconds)
                if self._is_desk(town.database):
                    continue
                if any(cell.crowd for cell in self.cells):
                    self._run_crowds(town, server, seconds)
                # Without the yardsticks' processes, which have a part of their memory in common with the server's.
                self.memory.setdefault(town.database[:2], []).append((idle, server.memory()))

    @property
    def _sizes(self) -> set[int]:
        return {town.database.size for town in self.towns}

    def _is_desk(self, database: Database) -> bool:
        """Whether it is there for the staff's pages with one user alone, and for nothing else."""
        return database.size == self._desk_size and len(self._sizes) > 1

    @property
    def _size_alone(self) -> int:
        """The size for which one user alone is measured."""
        return self._desk_size if self._desk_size in self._sizes else max(self._sizes)

    def _of(self, kind: str, size: int, cell: str) -> Measured:
        return self._measured.setdefault((kind, size, cell), Measured(kind, size, cell))

    def _run_crowds(self, town: Town, server: Server, seconds: int | None) -> None:
        with self._yardstick(server, "flask", HELLO) as hello:
            for cell in self.cells:
                if cell.crowd:
                    self._load(cell, town, server, seconds or cell.seconds, hello)
            if town is self.towns[0] and len(self.cells) == len(CELLS):
                with self._yardstick(server, "bare", BARE, beside=hello) as bare:
                    for _ in range(seconds or YARDSTICK):
                        bare()

    def _load(self, cell: Cell, town: Town, server: Server, seconds: int, hello: Callable[[], float]) -> None:
        """A cell's loads, each with the yardstick right after it.

        All but the moves go second by second, each over connections of its own: how those happen to be spread over the
        workers can halve what one second of it carries.
        """
        kept = self._of(*town.database[:2], cell.name)
        with load_of(cell, town, server) as send:
            for piece in [seconds] if cell.once else [1] * seconds:
                self._measure(kept, server, partial(send, piece), hello)

    @contextmanager
    def _yardstick(
        self, like: Server, app: str, name: str, beside: Callable[[], float] | None = None
    ) -> Iterator[Callable[[], float]]:
        """What measures a yardstick for a second, another one beside it, and gives its answers a second."""
        with stage.yardstick(like, app) as server:
            warm_up(server, [HELLO_REQUEST] * 400)
            send = partial(wrk.run, server, [HELLO_REQUEST], seconds=1)
            yield partial(self._measure, self._of("", 0, name), server, send, beside)

    def _measure(
        self, kept: Measured, server: Server, send: Callable[[], wrk.Load], hello: Callable[[], float] | None
    ) -> float:
        """One load, the processor time that it takes, and the yardstick right after it: itself, where there is none."""
        postmaster = self._postmaster if kept.kind == POSTGRESQL else None
        server_before, database_before = server.cpu(), machine.cpu_seconds(postmaster) if postmaster else 0
        load = send()
        kept.server_cpu.append(server.cpu() - server_before)
        if postmaster:
            kept.database_cpu.append(machine.cpu_seconds(postmaster) - database_before)
        kept.loads.append(load)
        kept.hellos.append(hello() if hello else load.rate)
        return load.rate

    def _run_alone(self, town: Town, server: Server, seconds: int | None) -> None:
        """The staff's pages with one user and nobody else."""
        for cell in self.cells:
            if cell.alone:
                requests = cell.requests(town, server)
                warm_up(server, requests)
                load = wrk.run(server, requests, seconds=seconds or ALONE, connections=1)
                self._of(*town.database[:2], cell.name).alone.append(load)

    def _count_statements(self, town: Town, server: Server) -> None:
        wanted = [cell for cell in self.cells if cell.alone or not self._is_desk(town.database)]
        plain = [cell for cell in wanted if cell.name != MOVE]
        asked = [(cell.name, cell.again, cell.expect, cell.requests(town, server)[:6]) for cell in plain]
        counted = statements.count(town.database, asked)
        if len(plain) < len(wanted):
            with town.put_back() as put_back:
                requests = [advance_request(town, *pair) for pair in put_back[:6]]
                counted |= statements.count(town.database, [(MOVE, False, 200, requests)])
        for name, found in counted.items():
            self._of(*town.database[:2], name).statements = found


@contextmanager
def load_of(cell: Cell, town: Town, server: Server):
    """All that a cell's load needs is ready; gives what sends it for so many seconds."""
    with town.put_back() if cell.name == MOVE else nullcontext() as put_back:
        requests = moves(town, put_back) if put_back else cell.requests(town, server)
        if not cell.once:
            warm_up(server, requests, 30 if cell.drawn else 1)

        def send(seconds: int) -> wrk.Load:
            with town.writing() if cell.disturbed else nullcontext():
                return wrk.run(server, requests, seconds=seconds, expect=cell.expect, once=cell.once)

        yield send


def warm_up(server: Server, requests: list[Request], seconds: int = 1) -> None:
    """Some hundred requests, by as many connections as the load will have; no more than go into so many seconds.

    Each is sent several times, so that nearly every worker has had it: each draws a page for itself.
    """
    until = time.monotonic() + seconds

    def ask(share: list[Request]) -> None:
        with closing(HTTPConnection(HOST, server.port, timeout=60)) as connection:
            for request in share:
                if time.monotonic() < until:
                    connection.request(request.method, request.path, headers=request.headers)
                    connection.getresponse().read()

    many = requests * max(-(-400 // len(requests)), 5)
    with ThreadPoolExecutor(wrk.CONNECTIONS) as pool:
        list(pool.map(ask, [many[number :: wrk.CONNECTIONS] for number in range(wrk.CONNECTIONS)]))
