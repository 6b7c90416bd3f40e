"""A crowd at the counter: a process works on a few requests at a time, and the others wait in a line.

Python computes for one of them at a time, and a few more keep it busy while some wait for the disk or the database. If
all took turns, each a few milliseconds long, all would be done later, and hold their memory until then. Measured on two
processors, with a hundred people who ask for the board: 84 pages a second instead of 62, the slowest of a hundred in
1.7 s instead of 4.1, in 143 MB instead of 203.
"""

import threading
import time
from collections import deque
from contextlib import contextmanager

# So many at a time. What takes so many seconds is not computed: it waits for something, and takes up no place from then
# on. Those in the line look for such ones from time to time.
MOST, LONG, LOOK = 4, 2, 0.5
# Where a request says when it came, by time.perf_counter(): what it waited here belongs to its time.
CAME_AT = "readylight.came_at"

_here = threading.local()


class FewAtATime:
    """WSGI: lets a few requests at a time into an app, whoever came first. Of an answer in pieces, until the first."""

    def __init__(self, app, most: int = MOST, long: float = LONG, look: float = LOOK):
        self._app, self._most, self._long, self._look = app, most, long, look
        self._lock = threading.Lock()
        # Those who take up a place, and those who wait for one.
        self._inside: set[_Visit] = set()
        self._line: deque[_Visit] = deque()

    def __call__(self, environ, start_response):
        """Lets the app answer when it is this request's turn."""
        environ[CAME_AT] = time.perf_counter()
        environ["wsgi.input"] = _Input(environ["wsgi.input"])
        before = getattr(_here, "visit", None)
        visit = _Visit(self)
        try:
            self._enter(visit)
            _here.visit = visit
            return self._app(environ, start_response)
        finally:
            _here.visit = before
            self._leave(visit)

    def _enter(self, visit: "_Visit") -> None:
        with self._lock:
            self._line.append(visit)
            self._admit()
        while not visit.turn.wait(self._look):
            with self._lock:
                began = time.monotonic() - self._long
                self._inside = {each for each in self._inside if each.since > began}
                self._admit()

    def _admit(self) -> None:
        while self._line and len(self._inside) < self._most:
            self._take_up(self._line.popleft())

    def _take_up(self, visit: "_Visit") -> None:
        visit.since = time.monotonic()
        self._inside.add(visit)
        visit.turn.set()

    def _leave(self, visit: "_Visit") -> None:
        with self._lock:
            self._inside.discard(visit)
            if not visit.turn.is_set():
                # It could not even wait.
                self._line.remove(visit)
            self._admit()

    @contextmanager
    def _away(self, visit: "_Visit"):
        self._leave(visit)
        try:
            yield
        finally:
            # Not in the line again: somebody there may wait for what this one holds.
            with self._lock:
                self._take_up(visit)


class _Visit:
    """A request, from when it comes until it goes."""

    def __init__(self, door: FewAtATime):
        self.door, self.turn, self.since = door, threading.Event(), 0.0


@contextmanager
def waiting():
    """Around what waits for somebody: meanwhile another request is worked on."""
    visit = getattr(_here, "visit", None)
    if visit is None:
        yield
    else:
        with visit.door._away(visit):
            yield


@contextmanager
def holding(lock):
    """A lock or semaphore, held for the block. Whoever has it may need it for long."""
    if not lock.acquire(blocking=False):
        with waiting():
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Input:
    """What a request brings along, which may be on its way for minutes."""

    def __init__(self, stream):
        self._stream = stream

    def read(self, *size):
        """As a file does."""
        with waiting():
            return self._stream.read(*size)

    def readline(self, *size):
        """As a file does."""
        with waiting():
            return self._stream.readline(*size)

    def readlines(self, *hint):
        """As a file does."""
        with waiting():
            return self._stream.readlines(*hint)

    def __iter__(self):
        return iter(self.readline, b"")
