"""What was promised, beside what was measured."""

import gzip
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from .cells import BOARD, BROWSER, FAR, PAGE, POLL, POLL_ANY, SEARCH
from .rounds import Rounds
from .stage import HOST, Server

DESK_SIZE = 200_000
HALF_SENT = 50
OWN = r'<(?:link|script|img)\b[^>]*?(?:href|src)="(/[^"]+)"'
FOREIGN = r'<(?:link|script|img|iframe|use)\b[^>]*?(?:href|src)="(?:https?:)?//'


@dataclass(frozen=True)
class Budget:
    """One promise. value: what was measured, None if it was not; text: how to write it."""

    what: str
    most: str
    value: float | None
    holds: bool | None
    text: str = "{:.2f}"

    @classmethod
    def at_least(cls, what: str, least: float, value: float | None, text: str = "{:.2f}") -> "Budget":
        return cls(what, f"≥ {least:g}", value, None if value is None else value >= least, text)

    @classmethod
    def at_most(cls, what: str, most: float, value: float | None, text: str = "{:.1f}") -> "Budget":
        return cls(what, f"≤ {most:g}", value, None if value is None else value <= most, text)

    @property
    def verdict(self) -> str:
        """What the table says."""
        return {True: "holds", False: "FAILS", None: "not measured"}[self.holds]


def budgets(rounds: Rounds, visit: dict, half_sent: float | None) -> list[Budget]:
    """Every promise that a load can show. visit: of first_visit(); half_sent: of half_sent()."""
    found = []
    for kind in dict.fromkeys(town.database.kind for town in rounds.towns):
        found += _speeds(rounds, kind) + _desk(rounds, kind) + _memory(rounds, kind)
    return [
        *found,
        Budget.at_most("first visit, KB over the wire", 40, visit.get("bytes") and visit["bytes"] / 1024),
        Budget.at_most("first visit, requests", 6, visit.get("requests"), "{:.0f}"),
        Budget.at_most("first visit, HTML and CSS, KB", 14, visit.get("text") and visit["text"] / 1024),
        Budget.at_most("first visit, from other hosts", 0, visit.get("foreign"), "{:.0f}"),
        Budget.at_most(f"next answer beside {HALF_SENT} half-sent requests, ms", 100, half_sent),
    ]


def _speeds(rounds: Rounds, kind: str) -> list[Budget]:
    sizes = sorted({town.database.size for town in rounds.towns})
    found = []
    for name, least, cells in (("poll", 0.75, (POLL, POLL_ANY)), ("tracking page", 0.6, (PAGE,))):
        for size in sizes:
            measured = rounds.find(cells[0], kind, size)
            if measured and measured.loads:
                found.append(Budget.at_least(f"{name} ÷ hello, {kind}, {size:,}", least, measured.ratio))
        growths = [_growth(rounds, cell, kind, sizes) for cell in cells]
        growth = max((each for each in growths if each), default=None)
        found.append(Budget.at_most(f"{name}, times slower, 1,000 to 1,000,000, {kind}", 1.2, growth, "{:.2f}"))
    return found


def _growth(rounds: Rounds, cell: str, kind: str, sizes: list[int]) -> float | None:
    small, large = (rounds.find(cell, kind, size) for size in (1_000, 1_000_000))
    if not (small and large and small.loads and large.loads):
        return None
    return small.ratio / large.ratio if large.ratio else float("inf")


def _desk(rounds: Rounds, kind: str) -> list[Budget]:
    found = []
    for cell in (BOARD, SEARCH, FAR):
        measured = rounds.find(cell, kind, DESK_SIZE)
        alone, statements = (measured.alone_p99, measured.statements) if measured else (None, None)
        counted = None if statements is None else len(statements)
        found += [
            Budget.at_most(f"{cell}, p99 ms, one user, {kind}, {DESK_SIZE:,}", 100, alone),
            Budget.at_most(f"{cell}, SQL statements, {kind}", 6, counted, "{:.0f}"),
        ]
    return found


def _memory(rounds: Rounds, kind: str) -> list[Budget]:
    pairs = [pair for (of, _), pairs in rounds.memory.items() if of == kind for pair in pairs]
    return [
        Budget.at_most(f"memory idle, MB PSS, {kind}", 80, max((idle["all"] for idle, _ in pairs), default=None)),
        Budget.at_most(
            f"memory after load, MB PSS, {kind}", 160, max((used["all"] for _, used in pairs), default=None)
        ),
    ]


# --- measured here ------------------------------------------------------------------------------


def first_visit(server: Server, token: str) -> dict[str, int]:
    """What a browser that has never been here loads for a tracking page: bytes, requests, and from other hosts."""
    page, size = _load(server, f"/t/{token}")
    seen = {"bytes": size, "requests": 1, "text": size, "foreign": len(re.findall(FOREIGN, page))}
    waiting, known = re.findall(OWN, page), set()
    while waiting:
        path = waiting.pop()
        if path in known or path.startswith("/t/"):
            continue
        known.add(path)
        body, size = _load(server, path)
        style = ".css" in path
        seen = seen | {"bytes": seen["bytes"] + size, "requests": seen["requests"] + 1}
        seen["text"] += size if style else 0
        waiting += re.findall(r"url\([\"']?(/[^\"')]+)", body) if style else []
    return seen


def _load(server: Server, path: str) -> tuple[str, int]:
    """An answer's text, and its size over the wire, headers included."""
    answer = server.ask("GET", path, BROWSER)
    text = gzip.decompress(answer.body) if answer.headers["Content-Encoding"] == "gzip" else answer.body
    headers = sum(len(name) + len(value) + 4 for name, value in answer.headers.items())
    return text.decode("latin-1"), len(answer.body) + headers


def half_sent(server: Server, ask: Callable[[], object]) -> float:
    """Milliseconds of the slowest of ten answers, while so many others have begun a request and do not go on."""
    sockets = [socket.create_connection((HOST, server.port)) for _ in range(HALF_SENT)]
    try:
        for each in sockets:
            each.sendall(b"GET /healthz HTTP/1.1\r\nHost: bench\r\n")
        time.sleep(0.3)  # Until each has come to a thread.
        return max(_time(ask) for _ in range(10))
    finally:
        for each in sockets:
            each.close()


def _time(ask: Callable[[], object]) -> float:
    began = time.monotonic()
    ask()
    return 1000 * (time.monotonic() - began)
