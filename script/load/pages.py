"""Customers' open pages, simulated: each polls as the browser does, in one process of its own.

A page asks every four seconds over a connection that it keeps. When the server has closed it, the page opens another;
when the server closes it under a poll, the page asks once more, as browsers do. Whatever a 200 brings is what the page
holds from then on. A poll's time counts from the moment at which it was due, not from when this process came to it.
"""

import asyncio
import gc
import json
import resource
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from dataclasses import dataclass

from .cells import advance_request, poll_request
from .machine import started
from .stage import HOST, Failed, Server
from .town import Town, fetch_tags

EVERY = 4.0
SLOWEST = 100
# Moves at the counter while pages watch, so many seconds apart, and for so many at most; so many pages watch each.
CHANGES, APART, MOVING, WATCHERS = 20, 0.25, 8, 25


# --- one page -----------------------------------------------------------------------------------


class Page(asyncio.Protocol):
    """One open page, and what it has seen."""

    def __init__(self, crowd: "Crowd", number: int, token: str, tag: str):
        self.number, self.token = number, token
        self._crowd, self._transport, self._due = crowd, None, None
        self._asked_before = self._retried = False
        self._bytes, self._request = b"", poll_request(token, tag).raw()

    def ask(self, due: float) -> None:
        """Polls. A page that still waits for its last answer lets this one be."""
        if self._due is not None:
            self._crowd.skipped += 1
            return
        self._due, self._retried = due, False
        self._send()

    def _send(self) -> None:
        if self._transport is None:
            self._asked_before = False
            self._crowd.connect(self)
        else:
            self._transport.write(self._request)

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._send()

    def give_up(self, why: str) -> None:
        """This poll brings nothing."""
        self._due = None
        self._crowd.fail(why)

    def connection_lost(self, problem) -> None:
        self._transport, self._bytes = None, b""
        if self._due is None:
            return
        if self._asked_before and not self._retried:
            self._retried = True
            self._send()
        else:
            self.give_up("closed")

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        head, separator, body = self._bytes.partition(b"\r\n\r\n")
        if not separator:
            return
        status, headers = int(head[9:12]), {} if head[9:12] == b"304" else _headers(head)
        if len(body) < int(headers.get("content-length", 0)):
            return
        self._bytes, self._asked_before = b"", True
        due, self._due = self._due, None
        self._crowd.answered(self, status, due)
        if tag := headers.get("hx-ptag"):
            self._request = poll_request(self.token, tag).raw()

    def close(self) -> None:
        """The customer closes the page."""
        if self._transport:
            self._transport.abort()


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n"))
    return {name.lower(): value.strip() for name, _, value in pairs}


# --- all pages (this is what runs in the process of its own) ------------------------------------


class Crowd:
    """All the pages, and their polls spread evenly over the interval."""

    def __init__(self, port: int, pages: list[tuple[str, str]]):
        self._port = port
        self._pages = [Page(self, number, *pair) for number, pair in enumerate(pages)]
        self._opening = set()
        self.start_counting()

    def start_counting(self) -> None:
        """Forgets what has been seen so far."""
        self.times, self.lags, self.changed = [], [], []
        self.failed, self.skipped = {}, 0

    def connect(self, page: Page) -> None:
        """Opens a connection for the page."""
        task = asyncio.ensure_future(self._connect(page))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, page: Page) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: page, HOST, self._port)
        except OSError:
            page.give_up("refused")

    def answered(self, page: Page, status: int, due: float) -> None:
        """A page has its answer."""
        now = time.monotonic()
        self.times.append(now - due)
        if status == 200:
            self.changed.append((page.number, page.token, now))
        elif status != 304:
            self.fail(str(status))

    def fail(self, why: str) -> None:
        """A poll has failed."""
        self.failed[why] = self.failed.get(why, 0) + 1

    async def poll(self, seconds: float, settle: float) -> None:
        """Lets them poll; what happens in the first seconds, until it has settled, does not count."""
        start, count, number, settled = time.monotonic(), len(self._pages), 0, False
        while True:
            # At first they open one after another, and slower: people do not come all at once.
            due = start + (number + min(number, count)) * EVERY / count
            if due > start + settle + seconds:
                break
            if not settled and due > start + settle:
                settled = True
                self.start_counting()
                print("settled", flush=True)
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            self.lags.append(time.monotonic() - due)
            self._pages[number % count].ask(due)
            number += 1
            if number % 20 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0.5)
        for page in self._pages:
            page.close()


def _main() -> None:
    asked = json.load(sys.stdin)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = Crowd(asked["port"], asked["pages"])
    gc.freeze()
    began = time.process_time()
    asyncio.run(crowd.poll(asked["seconds"], asked["settle"]))
    seen = {"times": crowd.times, "lags": crowd.lags, "changed": crowd.changed}
    seen |= {"failed": crowd.failed, "skipped": crowd.skipped, "cpu": time.process_time() - began}
    json.dump(seen, sys.stdout)


# --- what the bench does with them --------------------------------------------------------------


@dataclass(frozen=True)
class Watch:
    """What so many pages saw. Times in milliseconds; lag: how late the client itself was; cores: busy on average."""

    pages: int
    p50: float
    p99: float
    lag: float
    failed: dict[str, int]
    skipped: int
    server_cores: float
    client_cores: float
    changed: list | tuple = ()

    @property
    def holds(self) -> bool:
        """Whether so many are carried."""
        return self.p99 <= SLOWEST and not self.failed and not self.skipped


def watch(server: Server, tags: list[tuple[str, str]], seconds: float, meanwhile=None) -> Watch:
    """Lets a page for each (token, tag) poll for so long. meanwhile: what to do once they all do."""
    command, settle = [sys.executable, "-m", "script.load.pages"], 2 * EVERY + 1
    asked = {"port": server.port, "pages": tags, "seconds": seconds, "settle": settle}
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        json.dump(asked, process.stdin)
        process.stdin.close()
        if process.stdout.readline() != "settled\n":
            raise Failed("The simulated pages could not begin.")
        before, began = server.cpu(), time.monotonic()
        helper = threading.Thread(target=meanwhile or (lambda: None))
        helper.start()
        rest = process.stdout.read()
        took, used = time.monotonic() - began, server.cpu() - before
        helper.join()
    return _summary(len(tags), json.loads(rest), used / took, seconds + settle)


def _summary(pages: int, seen: dict, server_cores: float, lasted: float) -> Watch:
    times, lags = sorted(seen["times"]), sorted(seen["lags"])
    return Watch(
        pages,
        1000 * percentile(times, 50),
        1000 * percentile(times, 99),
        1000 * percentile(lags, 99),
        seen["failed"],
        seen["skipped"],
        server_cores,
        seen["cpu"] / lasted,
        seen["changed"],
    )


def percentile(ordered: list[float], percent: int) -> float:
    """Of numbers in order; infinite for none: nothing came back."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else float("inf")


def most_that_hold(guesses: list[int], try_out) -> tuple[int, list]:
    """The largest of the ascending guesses for which try_out(guess).holds, or 0, and all that was tried."""
    tried = []

    def fails(guess: int) -> bool:
        tried.append(try_out(guess))
        return not tried[-1].holds

    at = bisect_left(guesses, True, key=fails)
    return (guesses[at - 1] if at else 0), tried


def carried(server: Server, town: Town, expected: float, seconds: float, finer: int) -> list[Watch]:
    """Tries out how many pages the server carries. expected: polls a second that it gave under full load."""
    most = max(20, round(expected * EVERY * 1.1))
    guesses = [most * number // finer for number in range(1, finer + 1)]
    tokens = town.tokens(guesses[-1])
    tags = list(fetch_tags(server, tokens).items())
    many = tags * -(-most // len(tags))
    return most_that_hold(guesses, lambda pages: watch(server, many[:pages], seconds))[1]


def spread_of_changes(server: Server, town: Town, pages: int) -> dict:
    """How long a move at the counter takes to reach all who watch that repair, in seconds, with so many pages open."""
    busy = town.busy_codes(CHANGES)
    crowd = max(1, pages // len(busy) // 2)
    watched = [token for _, token, _ in busy for _ in range(min(WATCHERS, crowd))]
    others = town.tokens(pages)
    tokens = (watched + others * -(-pages // len(others)))[: max(pages, len(watched))]
    tags = fetch_tags(server, list(dict.fromkeys(tokens)))
    moved: dict[str, float] = {}
    seen = watch(
        server,
        [(token, tags[token]) for token in tokens],
        MOVING + EVERY + 2,
        lambda: _move(server, town, busy, moved),
    )
    return spread_summary(moved, seen.changed, {token: tokens.count(token) for token in moved}) | {"pages": pages}


def _move(server: Server, town: Town, busy: list[tuple[str, str, int]], moved: dict[str, float]) -> None:
    until = time.monotonic() + MOVING
    for code, token, version in busy:
        if time.monotonic() > until:
            break
        sent = time.monotonic()
        if server.ask(*advance_request(town, code, version)).status == 200:
            moved[token] = sent
        time.sleep(APART)


def spread_summary(moved: dict[str, float], changed: list, watchers: dict[str, int]) -> dict:
    """moved: when each token's move was sent; changed: (page, token, when) for each time a page was drawn anew."""
    waits: dict[str, dict[int, float]] = {token: {} for token in moved}
    for page, token, at in changed:
        if token in moved and at >= moved[token]:
            waits[token].setdefault(page, at - moved[token])
    reached = [max(seen.values()) for token, seen in waits.items() if len(seen) == watchers[token]]
    return {
        "changes": len(moved),
        "watchers": sum(watchers.values()),
        "reached": sum(len(seen) for seen in waits.values()),
        "each_p50": percentile(sorted(wait for seen in waits.values() for wait in seen.values()), 50),
        "all_p50": percentile(sorted(reached), 50),
        "all_max": max(reached, default=float("inf")),
    }


if __name__ == "__main__":
    _main()
