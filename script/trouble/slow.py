"""Clients that send half a request, or do not take their answer."""

import socket
import time
from contextlib import ExitStack, closing, suppress

from .person import HOST, Cut, Person
from .stage import Shop

_FORM = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
KINDS = {
    "nothing": b"",
    "half a request line": b"GET /log",
    "half of the headers": b"GET /login HTTP/1.1\r\nHost: x\r\nCookie: a",
    "half a form": _FORM + b"Content-Length: 1000\r\n\r\nemail=a",
    "half a long form": _FORM + b"Content-Length: 100000\r\n\r\nemail=" + b"a" * 40_000,
    "half a chunk": _FORM + b"Transfer-Encoding: chunked\r\n\r\n100\r\nemail=a",
    "a request, and never hang up": b"GET /healthz HTTP/1.0\r\n\r\n",
    "many requests, and read nothing": b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n" * 100,
}


def run(shop: Shop, clients: int, seconds: float, kinds=tuple(KINDS)) -> dict:
    """So many clients of each kind, one kind after the other; gives how long somebody else waits for a page, at most.

    Each of them sends another byte every second, so that no line ever looks dead.
    """
    figures, wrong = {}, []
    for kind in kinds:
        with ExitStack() as lines:
            slow = [lines.enter_context(_line(shop.port, KINDS[kind])) for _ in range(clients)]
            worst = 0.0
            ends, drips = time.monotonic() + seconds, time.monotonic() + 1
            while time.monotonic() < ends:
                try:
                    with closing(Person(shop.port)) as anyone:
                        worst = max(worst, anyone.get("/login").seconds)
                except Cut as problem:
                    wrong.append(f"{clients} × {kind}: {problem}")
                if time.monotonic() > drips:
                    drips += 1
                    _drip(slow)
                time.sleep(0.02)
        figures[f"{clients} × {kind}: slowest answer to another, ms"] = round(worst * 1000)
    return figures | {"wrong": wrong}


def _line(port: int, beginning: bytes) -> socket.socket:
    line = socket.create_connection((HOST, port))
    line.setblocking(False)
    _send(line, beginning)
    return line


def _drip(lines: list[socket.socket]) -> None:
    for line in lines:
        _send(line, b"a")


def _send(line: socket.socket, data: bytes) -> None:
    # Given up by the server, or full: both are as they should be.
    with suppress(OSError):
        line.send(data)
