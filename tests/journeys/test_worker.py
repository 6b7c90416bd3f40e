"""Clients that are slow, silent or gone hold nobody up, and who is merely slow gets there: on a real gunicorn."""

import os
import re
import socket
import subprocess
import sys
import time
from collections import deque
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from selectors import DefaultSelector

import pytest
from gunicorn.config import Config
from gunicorn.sock import TCPSocket

from app.config import ROOT
from app.worker import Worker

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("TEST_DATABASE_URL")), reason="no matter of the database: tried on SQLite"
)

# The product's worker in a hurry: a second where it has half a minute, for an app that says how much it was sent.
CONFIG = """
from app import worker

worker.SECONDS_TO_BEGIN = worker.SECONDS_TO_READ = 1
worker.BYTES_A_SECOND = 4_000
worker.MOST_ON_THEIR_WAY = 8
bind = "127.0.0.1:0"
worker_class = worker.Worker
threads = 4
control_socket_disable = True
sendfile = False
"""
APP = """
MUCH = b"x" * 20_000_000


def app(environ, start_response):
    received = len(environ["wsgi.input"].read())
    body = MUCH if environ["PATH_INFO"] == "/much" else str(received).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def test_a_worker_that_is_told_to_end_while_it_opens_closes_in_peace():
    worker = Worker.__new__(Worker)
    worker.poller, worker.pending_conns, worker.nr_conns, worker._accepting = DefaultSelector(), deque(), 0, False
    worker.cfg, worker.alive = Config(), False
    worker.sockets = [TCPSocket(("127.0.0.1", 0), worker.cfg, None)]
    address = worker.sockets[0].getsockname()
    with closing(worker.poller), socket.create_connection(address):
        worker.set_accept_enabled(True)
        worker.enqueue_req = lambda connection: connection.close()
        for _ in range(2):
            # Whether too many are in, or it ends: it is told so twice.
            worker.set_accept_enabled(False)
        assert worker.nr_conns == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The port of a gunicorn with one process and four threads, and what it writes."""
    folder = tmp_path_factory.mktemp("gunicorn")
    (folder / "gunicorn.conf.py").write_text(CONFIG)
    (folder / "echo.py").write_text(APP)
    command = [sys.executable, "-m", "gunicorn", "--config", folder / "gunicorn.conf.py", "--pythonpath", folder]
    log = folder / "log"
    with log.open("w") as out, subprocess.Popen([*command, "echo:app"], cwd=ROOT, stderr=out) as process:
        try:
            while not (found := re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", log.read_text())):
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
            yield int(found[1])
        finally:
            process.kill()
    # What clients do is no news.
    assert not re.search("Traceback|ERROR", log.read_text()), log.read_text()


def head(length, *more):
    """The head of a form."""
    lines = ["POST / HTTP/1.1", "Host: shop", f"Content-Length: {length}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.fixture
def line(server):
    """Opens a connection over which something is sent."""
    with ExitStack() as opened:

        def line(sent=b""):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", server), timeout=10))
            connection.sendall(sent)
            return connection

        yield line


def read_until(connection, end=None):
    """What comes until it ends so, or until the server hangs up."""
    received = b""
    with suppress(ConnectionResetError):
        while (end is None or not received.endswith(end)) and (data := connection.recv(65536)):
            received += data
    return received


def wait_for_a_page(port):
    """How long somebody else waits for an answer, in seconds."""
    began = time.monotonic()
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as browser:
        browser.request("GET", "/")
        assert browser.getresponse().read() == b"0"
    return time.monotonic() - began


HALVES = [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: shop\r\nCookie: a", head(100), head(100) + b"email=a"]


def test_half_a_request_holds_nobody_up_and_is_given_up(server, line):
    silent = [line(half) for half in HALVES]
    assert wait_for_a_page(server) < 0.9
    assert [read_until(each) for each in silent] == [b""] * len(HALVES)


def test_the_oldest_half_goes_when_there_are_too_many(line):
    oldest = line(b"GET /")
    began = time.monotonic()
    for _ in range(8):
        line(b"GET /")
    assert read_until(oldest) == b""
    assert time.monotonic() - began < 0.9


def test_a_request_in_pieces_is_answered(line):
    patient = line()
    for piece in (b"POST / HT", b"TP/1.1\r\nHost: shop\r\nContent-Le", b"ngth: 10\r\n\r", b"\n01234", b"56789"):
        patient.sendall(piece)
        time.sleep(0.05)
    assert read_until(patient, b"10").endswith(b"\r\n\r\n10")


def test_several_requests_at_once_are_answered_one_after_the_other(line):
    hasty = line(head(3) + b"one" + head(5) + b"three" + head(4))
    received = read_until(hasty, b"\r\n\r\n5")
    hasty.sendall(b"four")
    received += read_until(hasty, b"\r\n\r\n4")
    assert re.findall(rb"\r\n\r\n(\d)", received) == [b"3", b"5", b"4"]


def test_a_client_that_waits_to_be_asked_is_asked(line):
    polite = line(head(5, "Expect: 100-continue"))
    assert read_until(polite, b"\r\n\r\n").startswith(b"HTTP/1.1 100 Continue")
    polite.sendall(b"12345")
    assert read_until(polite, b"\r\n\r\n5").startswith(b"HTTP/1.1 200")


def test_a_long_body_that_comes_slowly_gets_there(line):
    for _ in range(5):
        slow, began = line(head(40_000)), time.monotonic()
        sent, longest, answer = began, 0, b""
        with suppress(ConnectionError):
            for _ in range(20):
                slow.sendall(b"x" * 2_000)
                longest, sent = max(longest, time.monotonic() - sent), time.monotonic()
                time.sleep(0.1)
            answer = read_until(slow, b"40000")
        if longest < 0.4:
            break
        # This machine was too busy to send: slow is one thing, a second of silence another.
    assert answer.startswith(b"HTTP/1.1 200")
    # Longer than one has whose rest does not come.
    assert time.monotonic() - began > 2


def test_a_long_body_that_comes_drop_by_drop_is_given_up_and_threads_remain_for_others(server, line):
    dripping = [line(head(100_000) + b"x" * 16_000) for _ in range(6)]
    assert wait_for_a_page(server) < 0.9
    ends = time.monotonic() + 20
    while dripping and time.monotonic() < ends:
        for drip in list(dripping):
            try:
                drip.sendall(b"x")
            except OSError:
                dripping.remove(drip)
        time.sleep(0.1)
    assert dripping == []


def test_clients_that_never_hang_up_keep_nobody_from_being_let_in(server, line):
    lines = [line(b"GET / HTTP/1.0\r\n\r\n") for _ in range(10)]
    assert all(each.recv(65536) for each in lines)
    assert wait_for_a_page(server) < 0.9


def test_an_answer_that_nobody_takes_is_given_up(server, line):
    for _ in range(4):
        line(b"GET /much HTTP/1.1\r\nHost: shop\r\n\r\n")
    # Four threads wait for four clients, but not for long.
    assert wait_for_a_page(server) < 5
