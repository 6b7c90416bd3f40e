"""However many come at once, few are worked on at a time; and nobody waits for somebody who only waits."""

import io
import threading
import time

import pytest

from app.crowd import FewAtATime, holding, waiting

from .factories import make_repair

SOON = 5


def stay(may_go, environ):
    """Works until it may go."""
    assert may_go.wait(SOON)


class Counter:
    """A door that lets in so many at a time, and whoever comes, each in a thread."""

    def __init__(self, most: int, long: float = SOON):
        self.door = FewAtATime(self._work, most, long, look=0.01)
        self.came, self.people, self.may_go, self.broken = [], {}, {}, []

    def _work(self, environ, start_response):
        self.came.append(environ["name"])
        return environ["does"](self.may_go[environ["name"]], environ)

    def ask(self, name, does=stay, body=None):
        """Somebody comes, and is let in or waits in the line."""
        environ = {"name": name, "does": does, "wsgi.input": body or io.BytesIO()}
        self.may_go[name] = threading.Event()
        self.people[name] = threading.Thread(target=self._ask, args=[environ])
        before = len(self.door._line)
        self.people[name].start()
        until(lambda: name in self.came or len(self.door._line) > before)

    def _ask(self, environ):
        try:
            self.door(environ, None)
        except Exception as problem:
            self.broken.append(problem)

    def go(self, *names):
        """These finish."""
        for name in names:
            self.may_go[name].set()
            self.people[name].join(SOON)

    def sees(self, names: str):
        """Whether these have come in, and nobody else has; of two who were let in at once, either may be quicker."""
        until(lambda: len(self.came) >= len(names))
        assert sorted(self.came) == sorted(names)


def until(holds):
    """Waits for it."""
    ends = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.001)


@pytest.fixture
def counter():
    """Opens counters, and sends everybody home in the end."""
    opened = []
    yield lambda *limits: opened.append(Counter(*limits)) or opened[-1]
    for each in opened:
        each.go(*each.people)
        assert each.broken == []


def test_two_are_worked_on_and_the_others_come_in_one_by_one_in_their_order(counter):
    few = counter(2)
    for name in "abcde":
        few.ask(name)
    few.sees("ab")
    few.go("b")
    few.sees("abc")
    few.go("a")
    few.sees("abcd")
    few.go("c", "d", "e")
    # As many places as before.
    for name in "fgh":
        few.ask(name)
    few.sees("abcdefg")


def test_whoever_breaks_something_leaves_as_well(counter):
    few = counter(1)
    few.ask("a", does=lambda may_go, environ: 1 / 0)
    few.ask("b")
    few.sees("ab")
    assert [*map(type, few.broken)] == [ZeroDivisionError]
    few.broken.clear()


def test_whoever_takes_long_takes_up_no_place_and_gives_none_back(counter):
    few = counter(2)
    for name in "abcd":
        few.ask(name)
    few.sees("ab")
    for visit in few.door._inside.copy():
        visit.since -= SOON
    # Two who wait for something else do not stop the others, who still come two by two.
    few.sees("abcd")
    few.ask("e")
    few.go("a", "b")
    time.sleep(0.05)
    few.sees("abcd")
    few.go("c")
    few.sees("abcde")


def test_a_long_line_is_no_reason_to_let_everybody_in(counter):
    few = counter(1, 1)
    for name in "abcdefgh":
        few.ask(name)
    for name in "abcdefg":
        # Each is soon done, but the last one has waited longer than what is too long inside.
        time.sleep(0.15)
        assert len(few.came) - len([done for done in few.may_go.values() if done.is_set()]) == 1
        few.go(name)
    few.sees("abcdefgh")


def test_whoever_waits_for_somebody_makes_room_and_does_not_line_up_again(counter):
    few, answer = counter(1), threading.Event()

    def wait(may_go, environ):
        with waiting():
            assert answer.wait(SOON)
        stay(may_go, environ)

    few.ask("a", does=wait)
    for name in "bcd":
        few.ask(name)
    few.sees("ab")
    answer.set()
    until(lambda: len(few.door._inside) == 2)
    # Of the two that are inside now, both have to go before the next one comes.
    few.go("b")
    few.sees("ab")
    few.go("a")
    few.sees("abc")


def test_a_body_that_is_on_its_way_keeps_nobody_waiting(counter):
    few, arrived = counter(1), threading.Event()

    class Slow(io.BytesIO):
        def read(self, *size):
            assert arrived.wait(SOON)
            return super().read(*size)

        readline = readlines = read

    read = {}

    def by(way):
        return lambda may_go, environ: read.update({way: getattr(environ["wsgi.input"], way)()})

    few.ask("a", does=by("read"), body=Slow(b"word"))
    few.ask("b", does=by("readline"), body=Slow(b"word"))
    few.ask("c", does=by("readlines"), body=Slow(b"word"))
    few.ask("d", does=lambda may_go, environ: read.update(lines=[*environ["wsgi.input"]]), body=io.BytesIO(b"a\nb"))
    few.sees("abcd")
    arrived.set()
    few.go("a", "b", "c", "d")
    assert read == {"read": b"word", "readline": b"word", "readlines": b"word", "lines": [b"a\n", b"b"]}


def test_a_lock_that_somebody_else_holds_is_waited_for_outside(counter):
    few, lock = counter(1), threading.Lock()

    def need(may_go, environ):
        with holding(lock):
            stay(may_go, environ)

    with lock:
        few.ask("a", does=need)
        few.ask("b")
        few.sees("ab")
    few.go("a")
    assert not lock.locked()
    # One that is free is taken without making room.
    few.go("b")
    few.ask("c", does=need)
    few.ask("d")
    few.sees("abc")


def test_open_pages_and_whoever_watches_the_server_stand_in_no_line(anyone, shop, monkeypatch):
    address = f"/t/{make_repair().token}"
    page = anyone.page(address)
    tag = anyone.page(f"{address}/live").headers["HX-PTag"]

    def stand(self):
        raise InterruptedError

    monkeypatch.setattr(FewAtATime, "_admit", stand)
    assert anyone.page(address).one("h1").text == page.one("h1").text
    anyone.page(f"{address}/live", status=304, headers={"HX-PTag": tag})
    assert anyone.page("/healthz").text == "ok"
    with pytest.raises(InterruptedError):
        anyone.page("/login")


def test_outside_of_any_request_one_simply_waits():
    lock = threading.Lock()
    with waiting(), holding(lock):
        assert lock.locked()
    assert not lock.locked()
