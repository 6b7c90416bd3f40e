"""A shop to which things happen: killed, crowded, restarted, out of room. Nothing that was acknowledged is lost.

script/faults does the same for longer, and prints figures.
"""

import os
import signal
import socket
from contextlib import closing

import pytest

from script.trouble import crowd, full, kills, restarts, slow
from script.trouble.person import HOST
from script.trouble.stage import opened

POSTGRESQL = os.environ.get("TEST_DATABASE_URL", "")
on_sqlite = pytest.mark.skipif(bool(POSTGRESQL), reason="no matter of the database: tried on SQLite")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop at work, with four processes that answer."""
    with opened(tmp_path_factory.mktemp("faults") / "shop", POSTGRESQL, WORKERS=4) as shop:
        yield shop
        assert "Traceback" not in shop.log.read_text(), shop.log.read_text()


def test_ten_kills_lose_nothing(shop):
    figures = kills.run(shop, 10)
    assert figures["wrong"] == []
    assert figures["writes acknowledged"] > 10


def test_many_write_at_once_and_nobody_is_refused_or_overwritten(shop):
    figures = crowd.run(shop, processes=4, people=4, seconds=3)
    assert figures["wrong"] == []
    assert figures["writes acknowledged"] > 10


@on_sqlite
def test_no_request_fails_while_the_server_is_renewed_or_restarted(shop):
    figures = restarts.run(shop, 2, 1)
    assert figures["wrong"] == []
    assert figures["answers in all"] > 10


@on_sqlite
def test_clients_that_send_half_a_request_stop_nobody(shop):
    figures = slow.run(shop, 50, 0.3) | slow.run(shop, 300, 0.3, ["half of the headers", "half a long form"])
    assert figures.pop("wrong") == []
    # Less than a tenth of a second on a machine that does nothing else.
    assert max(figures.values()) < 2000, figures


@on_sqlite
@pytest.mark.parametrize("body", [b"5\r\nemailX", b"zz\r\nemail\r\n0\r\n\r\n", b"5\r\nem", b"0\r\nhalf"])
def test_a_body_in_broken_chunks_is_told_so(shop, body):
    head = f"POST /login HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    with closing(socket.create_connection((HOST, shop.port), timeout=10)) as line:
        line.sendall(head.encode() + body)
        line.shutdown(socket.SHUT_WR)
        assert line.recv(65536).startswith(b"HTTP/1.1 400 ")


@on_sqlite
def test_a_server_that_is_told_to_end_first_answers_whoever_has_begun_to_ask(shop):
    with (
        closing(shop.staff("owner")) as owner,
        closing(socket.create_connection((HOST, shop.port), timeout=10)) as line,
    ):
        path = owner.take_in("The screen is cracked.").location
        version = owner.get(path).version
        body = f"csrf_token={owner.csrf_token}&version={version}&text=word&{'&' * 20_000}".encode()
        head = f"POST {path}/notes HTTP/1.1\r\nHost: {HOST}\r\nCookie: {owner.cookie}\r\n"
        head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        line.sendall(head.encode() + body[:18_000])
        shop.send(signal.SIGTERM)
        while "Handling signal: term" not in shop.log.read_text().rpartition("Listening")[2]:
            pass
        line.sendall(body[18_000:])
        assert line.recv(65536).startswith(b"HTTP/1.1 303 ")
    assert shop.ended() == 0
    shop.start()
    with closing(shop.staff("owner")) as owner:
        assert owner.get(path).version == version + 1


@on_sqlite
def test_a_full_disk_is_said_loses_nothing_and_passes(tmp_path):
    try:
        figures = full.run(tmp_path / "disk")
    except full.NotAllowed as problem:
        pytest.skip(f"no small disk can be made here: {problem}")
    assert figures["wrong"] == []
    assert figures["writes refused"] > 8
