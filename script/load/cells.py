"""What is asked for. A cell is one kind of request; its load goes round through many requests of that kind."""

import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .stage import HOST, Server
from .town import ANY_POLLED, STEPS, Town, fetch_tags

# As a phone's browser sends them.
BROWSER = {"User-Agent": "Mozilla/5.0 (bench)", "Accept": "text/html", "Accept-Encoding": "gzip, deflate, br, zstd"}
HTMX = {"HX-Request": "true"}


class Request(NamedTuple):
    """One request, as wrk, the simulated pages and Flask's test client all send it."""

    method: str
    path: str
    headers: dict[str, str]
    body: str = ""

    def raw(self) -> bytes:
        """The bytes that go over the wire."""
        headers = {"Host": HOST} | self.headers | ({"Content-Length": str(len(self.body))} if self.body else {})
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode()


@dataclass(frozen=True)
class Cell:
    """One kind of request.

    requests: makes them, for a town and the server that is up. expect: the right status. seconds: of load.
    again: somebody asked for the same a moment ago (which is what its SQL statements are counted for).
    """

    name: str
    requests: Callable[[Town, Server], list[Request]]
    expect: int = 200
    seconds: int = 2
    again: bool = True
    # One by one and once: a move cannot be made twice.
    once: bool = False
    # Also measured with one user alone, or with one user alone and no more.
    alone: bool = False
    crowd: bool = True
    # Every worker has drawn all of it before, however long that takes: where it is slow, it would be most of the load.
    drawn: bool = False
    # Meanwhile somebody writes, so often that nothing which was read before is good any more.
    disturbed: bool = False


# --- customers ----------------------------------------------------------------------------------


def page_request(token: str) -> Request:
    """A customer opens the link."""
    return Request("GET", f"/t/{token}", BROWSER)


def poll_request(token: str, tag: str) -> Request:
    """A customer's open page asks whether anything has changed since."""
    return Request("GET", f"/t/{token}/live", BROWSER | HTMX | {"HX-PTag": tag})


def _pages(tokens: list[str]) -> list[Request]:
    return [page_request(token) for token in tokens]


def _polls(server: Server, tokens: list[str]) -> list[Request]:
    tags = fetch_tags(server, list(dict.fromkeys(tokens)))
    return [poll_request(token, tags[token]) for token in tokens]


# --- staff --------------------------------------------------------------------------------------


def _staff(town: Town, path: str, **query) -> Request:
    path += "?" + urllib.parse.urlencode(query) if query else ""
    return Request("GET", path, BROWSER | {"Cookie": town.cookie})


def advance_request(town: Town, code: str, version: int) -> Request:
    """The big button: the next step, as htmx sends it."""
    headers = BROWSER | HTMX | {"Cookie": town.cookie, "Content-Type": "application/x-www-form-urlencoded"}
    form = {"csrf_token": town.csrf, "version": version}
    return Request("POST", f"/repairs/{code}/advance", headers, urllib.parse.urlencode(form))


def moves(town: Town, put_back: list[tuple[str, int]]) -> list[Request]:
    """All the moves that there are to make: everyone's first step, then everyone's second, and so on."""
    return [advance_request(town, code, version + step) for step in range(STEPS) for code, version in put_back]


POLL, POLL_ANY = "poll, unchanged", "poll, unchanged, any repair"
POLL_DISTURBED = "poll, unchanged, others write"
PAGE, PAGE_ANY = "tracking page", "tracking page, any repair"
BOARD, SEARCH, FAR = "board", "search", "far page of Delivered"
MOVE = "next step (POST)"

# In the order in which they are measured.
CELLS = (
    Cell(BOARD, lambda town, server: [_staff(town, "/repairs")], alone=True),
    Cell(SEARCH, lambda town, server: [_staff(town, "/repairs", q=q) for q in town.searches], alone=True),
    Cell(
        FAR,
        lambda town, server: [_staff(town, "/repairs", show="delivered", page=page) for page in town.far_pages],
        alone=True,
        crowd=False,
    ),
    Cell("repair page", lambda town, server: [_staff(town, f"/repairs/{code}") for code in town.open_codes]),
    Cell(MOVE, lambda town, server: [], seconds=1, again=False, once=True),
    Cell(PAGE_ANY, lambda town, server: _pages(town.any_tokens), again=False),
    # From the other end of the list: of the pages above, the process that counts statements has read some already.
    Cell(
        POLL_ANY,
        lambda town, server: _polls(server, town.any_tokens[::-1][:ANY_POLLED]),
        expect=304,
        seconds=3,
        again=False,
    ),
    Cell(
        POLL_DISTURBED,
        lambda town, server: _polls(server, town.open_tokens),
        expect=304,
        seconds=3,
        again=False,
        disturbed=True,
    ),
    Cell(PAGE, lambda town, server: _pages(town.open_tokens), seconds=6, drawn=True),
    Cell(POLL, lambda town, server: _polls(server, town.open_tokens), expect=304, seconds=6),
)
