"""gunicorn's threaded worker, taught not to wait for slow or silent clients. Knows nothing of the shop.

gunicorn gives a thread to whoever connects and lets it wait there, without a limit, for the rest of what has begun to
arrive; its own guide therefore asks for a proxy in front. This one stands by itself.
"""

import errno
import re
import socket
import struct
import threading
import time
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ

from gunicorn import util
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

# A request gets a thread when so many bytes of it have arrived, or all of it; it has so many seconds for that.
BEGINNING = 16 * 1024
SECONDS_TO_BEGIN = 30
# What is longer may come as slowly as this, on average. The worst of mobile lines is four times as fast.
BYTES_A_SECOND = 500
# How many may be on their way at the same time, in each process; for one more, the oldest has to go.
MOST_ON_THEIR_WAY = 400
# How large a part of the threads may wait for clients at the same time; the others go on with what has arrived.
WAITING_PART = 3 / 4
# How long a client may take no more of its answer, and leave the connection open after its last one.
SECONDS_TO_READ = 15
SECONDS_TO_CLOSE = 1


class Worker(ThreadWorker):
    """Threads work on requests that have arrived; what is on its way waits in the poller, where it costs no thread."""

    def init_process(self):
        """Begins."""
        self.waiting = threading.Semaphore(max(1, int(self.cfg.threads * WAITING_PART)))
        super().init_process()

    def enqueue_req(self, connection):
        """Gives a connection to a thread, or back to the poller as long as its request is on its way."""
        if not hasattr(connection, "due"):
            connection.due, connection.arrived = time.monotonic() + SECONDS_TO_BEGIN, 0
        if self._has_arrived(connection):
            del connection.due
            # Without this the thread would first wait for what is there.
            connection.data_ready = True
            super().enqueue_req(connection)
        elif time.monotonic() > connection.due:
            self._give_up(connection)
        else:
            self._wait_for_more(connection)

    def _has_arrived(self, connection) -> bool:
        if connection.parser and connection.parser.unreader.buf.getvalue():
            # It came along with the request before it.
            return True
        try:
            beginning = connection.sock.recv(BEGINNING, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        # Woken without anything new: the client has gone. A thread finds that out without waiting.
        gone = len(beginning) <= connection.arrived
        connection.arrived = len(beginning)
        return gone or len(beginning) >= _enough(beginning)

    def _wait_for_more(self, connection) -> None:
        # The poller wakes for more than there is, not for what there is.
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, connection.arrived + 1)
        connection.timeout = connection.due
        self.pending_conns.append(connection)
        self.poller.register(connection.sock, EVENT_READ, partial(self.on_pending_socket_readable, connection))
        if len(self.pending_conns) > MOST_ON_THEIR_WAY:
            oldest = self.pending_conns.popleft()
            self.poller.unregister(oldest.sock)
            self._give_up(oldest)

    def on_pending_socket_readable(self, connection, client):
        """Looks at what has arrived, unless the connection had to go a moment ago, for one more that came with it."""
        if client.fileno() >= 0:
            super().on_pending_socket_readable(connection, client)

    def _give_up(self, connection) -> None:
        self.nr_conns -= 1
        connection.close()

    def handle(self, connection):
        """Works on a request, in a thread."""
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        if not connection.initialized:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SECONDS_TO_READ, 0))
            connection.init()
        connection.parser.unreader.sock = _Arriving(connection.sock, self.waiting)
        goes_on = super().handle(connection)
        if not goes_on:
            self._say_goodbye(connection.sock)
        return goes_on

    def _say_goodbye(self, sock) -> None:
        """Waits for the client to close; gunicorn would do so in the main thread, which accepts nobody meanwhile."""
        if self.waiting.acquire(blocking=False):
            try:
                util.close_graceful(sock.dup(), timeout=SECONDS_TO_CLOSE)
            finally:
                self.waiting.release()
        with suppress(OSError):
            # To the main thread it has closed, whatever it does.
            sock.shutdown(socket.SHUT_RDWR)

    def handle_request(self, request, connection):
        """Answers a request."""
        try:
            return super().handle_request(request, connection)
        except BlockingIOError:
            raise ConnectionResetError(errno.ECONNRESET, "the client does not take its answer") from None

    def set_accept_enabled(self, enabled):
        """Opens or closes the door. Before a worker stops, it lets in whoever stands at the door."""
        super().set_accept_enabled(enabled)
        # It may be told to end while it opens: then it closes in its turn.
        if self.alive or enabled:
            return
        while self.sockets:
            listener, before = self.sockets.pop(), None
            while self.nr_conns != before:
                before = self.nr_conns
                self.accept(listener)
            # Whoever comes from now on is refused at once, or goes to another worker.
            listener.close()
        for connection in self.pending_conns:
            connection.due = connection.timeout = min(connection.due, time.monotonic() + STOP_KEEPALIVE_LINGER)


class _Arriving:
    """A socket to read the rest of a request from, which gives up when that comes too slowly."""

    def __init__(self, sock, waiting: threading.Semaphore):
        self._socket, self._waiting = sock, waiting
        self._due = time.monotonic() + SECONDS_TO_BEGIN

    def recv(self, size):
        """What has arrived since, at least a byte; nothing at the end. Raises TimeoutError."""
        try:
            data = self._socket.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            data = self._wait(size)
        self._due += len(data) / BYTES_A_SECOND
        return data

    def _wait(self, size):
        if not self._waiting.acquire(blocking=False):
            raise TimeoutError(errno.ECONNRESET, "too many requests come slowly")
        try:
            self._socket.settimeout(max(self._due - time.monotonic(), 0.001))
            return self._socket.recv(size)
        except TimeoutError:
            # By the number gunicorn takes it for a client that is gone, and keeps it out of the log.
            raise TimeoutError(errno.ECONNRESET, "the request comes too slowly") from None
        finally:
            self._socket.settimeout(None)
            self._waiting.release()


def _enough(beginning: bytes) -> int:
    """How many bytes of a request that begins so a thread can begin to work with."""
    head, end, _ = beginning.partition(b"\r\n\r\n")
    if not end:
        return BEGINNING
    if re.search(rb"(?im)^expect:", head):
        # The client waits to be asked for the rest.
        return len(head)
    length = re.search(rb"(?im)^content-length:[ \t]*(\d{1,15})[ \t]*\r?$", head)
    return min(len(head) + len(end) + int(length[1] if length else 0), BEGINNING)
