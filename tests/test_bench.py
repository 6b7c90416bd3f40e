"""What script/bench says can be believed, and it leaves nothing behind."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.config import ROOT
from app.db import db
from app.rules import Status
from script.load import cells, pages, paper, report
from script.load.budgets import Budget
from script.load.cells import CELLS, PAGE_ANY, POLL_ANY, Request
from script.load.rounds import Measured
from script.load.stage import Database, Failed
from script.load.statements import LOOKED_AT
from script.load.town import COUNTING, FINDS, OPEN, Town
from script.load.wrk import Load, read

from .factories import make_repair

# --- what is counted ----------------------------------------------------------------------------


def wrk_result(**statuses):
    counted = {status.removeprefix("s"): count for status, count in statuses.items()}
    return {"statuses": counted, "lost": 0, "seconds": 2.0, "p50": 1.0, "p99": 2.0}


def test_the_pages_that_are_held_open_ask_as_often_as_a_browser():
    assert f'hx-trigger="every {pages.EVERY:g}s, ' in (ROOT / "templates/tracking/_live.html").read_text()


def test_only_the_expected_answer_is_right():
    load = read(wrk_result(s200=90, s409=6, s500=4), expect=200)
    assert (load.answers, load.wrong, load.rate) == (90, 10, 45.0)


def test_an_answer_that_never_came_is_wrong():
    assert read(wrk_result(s200=90) | {"lost": 3}, expect=200).wrong == 3


def test_a_few_polls_may_find_that_the_clock_has_changed_the_page():
    assert read(wrk_result(s304=995, s200=5), expect=304).wrong == 0


def test_many_polls_that_are_answered_with_the_page_are_wrong():
    assert read(wrk_result(s304=900, s200=100), expect=304).wrong == 100


def test_a_request_says_how_long_its_form_is():
    raw = Request("POST", "/repairs/X/advance", {"Cookie": "c"}, "version=1").raw()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /repairs/X/advance HTTP/1.1\r\nHost: ")
    assert b"\r\nContent-Length: 9" in head
    assert body == b"version=1"


# --- what is made of it -------------------------------------------------------------------------


def load(rate, **changes):
    return Load(**{"answers": rate * 2, "seconds": 2.0, "p50": 1.0, "p99": 2.0, "wrong": 0} | changes)


def test_each_load_is_compared_with_the_yardstick_right_after_it():
    measured = Measured("SQLite", 1_000, "poll", [load(800), load(400), load(100)], [1000, 500, 1000])
    assert measured.rate == 400
    assert measured.ratio == 0.8


def test_processor_time_is_that_of_an_answer():
    measured = Measured("SQLite", 1_000, "poll", [load(100), load(300)], [1000, 1000], [0.2, 0.6])
    assert measured.cpu(measured.server_cpu) == pytest.approx(1.0)
    assert measured.cpu(measured.database_cpu) is None


def test_without_a_crowd_nothing_is_compared():
    assert report.yardstick(SimpleNamespace(measured=[Measured("SQLite", 1_000, "far page")])).startswith("Nothing")


def test_what_was_not_measured_fails_no_budget():
    assert Budget.at_most("memory", 80, None).holds is None
    assert Budget.at_most("memory", 80, 81).holds is False
    assert Budget.at_least("poll", 0.75, 0.75).holds is True


def test_a_row_of_the_table_has_a_cell_for_every_head():
    rows = [line.split("|") for line in report.budgets([Budget.at_most("memory", 80, 81)]).splitlines()]
    assert len({len(row) for row in rows}) == 1
    assert [cell.strip() for cell in rows[-1][1:-1]] == ["memory", "≤ 80", "81.0", "FAILS"]


def test_the_most_pages_that_hold_are_found_in_few_tries():
    guesses = list(range(100, 1700, 100))
    most, tried = pages.most_that_hold(guesses, lambda guess: SimpleNamespace(holds=guess <= 900))
    assert most == 900
    assert len(tried) <= 5


def test_where_not_even_the_fewest_pages_hold_none_do():
    assert pages.most_that_hold([10, 20], lambda guess: SimpleNamespace(holds=False))[0] == 0


def test_a_change_has_arrived_when_the_last_who_watches_has_it():
    moved = {"a": 100.0, "b": 101.0}
    before, after = (0, "a", 99.0), (0, "a", 103.5)
    changed = [before, after, (1, "a", 101.0), (1, "a", 110.0), (2, "b", 103.0), (9, "other", 101.0)]
    seen = pages.spread_summary(moved, changed, {"a": 2, "b": 2})
    assert (seen["changes"], seen["watchers"], seen["reached"]) == (2, 4, 3)
    assert seen["all_max"] == 3.5


def test_more_web_machines_carry_no_more_than_their_database():
    steps = paper.steps(web=0.001, web_on_postgres=0.001, database=0.0004)
    pages_of = {step.what: step.pages for step in steps}
    assert pages_of["one machine, SQLite, 2 cores"] == 4_000
    assert pages_of["2 web machines, one PostgreSQL"] == 16_000
    assert pages_of["3 web machines, one PostgreSQL: it is full"] == 20_000
    assert "4 web machines, one PostgreSQL" not in pages_of


def test_without_postgresql_nothing_is_said_about_it():
    assert not [step for step in paper.steps(0.001, None, None) if "PostgreSQL" in step.what]


# --- what is asked for --------------------------------------------------------------------------


def town(tmp_path):
    db.session.commit()
    made = Town(Database("", 10, tmp_path, db.engine.url.render_as_string(hide_password=False)))
    made.close()
    return made


def test_a_small_town_has_as_many_open_pages_with_a_countdown_as_a_large_one(shop, clock, tmp_path):
    soon = clock.now() + timedelta(days=1)
    counting = [make_repair(serial=f"SN-000{number}", promised_at=soon) for number in range(2)]
    still = [make_repair(serial=f"SN-100{number}", status=status) for number, status in enumerate(Status)]
    late = make_repair(promised_at=clock.now() - timedelta(days=2))
    between = make_repair(promised_at=clock.now() + timedelta(hours=1))  # Would be late before the load is over.
    asked = Counter(town(tmp_path).open_tokens)
    assert asked.total() == OPEN
    assert [asked[repair.token] for repair in counting] == [COUNTING // 2] * 2
    assert min(asked[repair.token] for repair in (*still, late)) > 1
    assert asked[between.token] == 0


def test_nothing_is_asked_for_twice_where_a_first_time_is_counted():
    made = SimpleNamespace(any_tokens=[f"token-{number}" for number in range(60)])
    server = SimpleNamespace(port=0)
    first = {cell.name: cell for cell in CELLS if not cell.again and not cell.disturbed}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "fetch_tags", lambda server, tokens: dict.fromkeys(tokens, "tag"))
        asked = [first[name].requests(made, server)[: LOOKED_AT + 1] for name in (PAGE_ANY, POLL_ANY)]
    opened, polled = ({request.path.removesuffix("/live") for request in requests} for requests in asked)
    assert (len(opened), len(polled)) == (LOOKED_AT + 1, LOOKED_AT + 1)
    assert not opened & polled


def test_a_town_without_a_countdown_is_not_measured(shop, tmp_path):
    for number in range(FINDS):
        make_repair(serial=f"SN-000{number}")
    with pytest.raises(Failed, match="no open page with a countdown"):
        town(tmp_path)


# --- a simulated page ---------------------------------------------------------------------------


class Shop(asyncio.Protocol):
    """A server that remembers which tag each poll brought, and answers as the test says."""

    def __init__(self, answers, seen):
        self._answers, self._seen = answers, seen

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._seen.append(data.partition(b"HX-PTag: ")[2].partition(b"\r\n")[0].decode())
        answer = self._answers.pop(0) if self._answers else "304"
        if answer == "hang up":
            return self._transport.close()
        status, _, tag = answer.partition(" ")
        self._transport.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nHX-PTag: {tag}\r\n\r\n".encode())
        if tag == "and-goes":
            self._transport.close()


@pytest.fixture
def polled(monkeypatch):
    """Lets one page poll every twentieth of a second, for two thirds of a second, a shop that answers so."""
    monkeypatch.setattr(pages, "EVERY", 0.05)

    def poll(*answers):
        seen, left = [], list(answers)

        async def run():
            loop = asyncio.get_running_loop()
            server = await loop.create_server(lambda: Shop(left, seen), pages.HOST, 0)
            crowd = pages.Crowd(server.sockets[0].getsockname()[1], [("token", "first")])
            await crowd.poll(seconds=0.6, settle=0)
            server.close()
            return crowd

        # In a thread: where a browser runs, its loop has this one.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: asyncio.run(run())).result(), seen

    return poll


def test_a_page_polls_with_the_tag_that_it_was_given_last(polled, capsys):
    crowd, seen = polled("304", "200 second", "304")
    assert seen[:4] == ["first", "first", "second", "second"]
    assert [token for _, token, _ in crowd.changed] == ["token"]
    assert not crowd.failed


def test_a_page_opens_a_new_connection_when_the_old_one_was_closed(polled, capsys):
    crowd, seen = polled("200 and-goes")
    assert len(seen) > 2
    assert {*seen[1:]} == {"and-goes"}
    assert not crowd.failed


def test_a_page_asks_once_more_when_the_connection_closes_under_its_poll(polled, capsys):
    crowd, seen = polled("304", "hang up")
    assert len(seen) >= 4
    assert not crowd.failed


def test_a_page_that_is_refused_is_counted(polled, capsys):
    crowd, _ = polled("304", "500", "hang up")
    assert crowd.failed["500"] == 1


# --- the whole of it ----------------------------------------------------------------------------


def bench(folder: Path, *arguments: str) -> subprocess.Popen:
    """Starts script/bench on SQLite alone, with whatever it makes below that folder."""
    nowhere = {"TEST_POSTGRES_URL": "postgresql://postgres@127.0.0.1:1/none", "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "script.load", "--quick", "--sizes", "60", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | nowhere, text=True, **pipes)


def processes_of(folder: Path) -> list[str]:
    """The processes that were started with that folder for their temporary files."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={folder}\0" in file.read_text(errors="replace"):
                found.append(file.with_name("cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.journey
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_run_measures_prints_and_tidies_up(tmp_path):
    process = bench(tmp_path, "--only", "unchanged, any", "--json", str(tmp_path / "found.json"))
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "| SQLite | 60 | poll, unchanged, any repair |" in printed
    found = json.loads((tmp_path / "found.json").read_text())
    poll = next(cell for cell in found["cells"] if cell["cell"] == POLL_ANY)
    assert poll["rate"] > 0
    assert poll["ratio"] > 0
    assert poll["statements"] == 1
    assert all(cell["wrong"] == 0 for cell in found["cells"])
    assert found["memory"][0]["idle"]["worker"] > 1
    assert [file.name for file in tmp_path.iterdir()] == ["found.json"]
    assert processes_of(tmp_path) == []


@pytest.mark.journey
def test_a_run_that_is_interrupted_leaves_nothing_behind(tmp_path):
    process = bench(tmp_path)
    for line in process.stderr:
        if "round 1" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert [*tmp_path.iterdir()] == []
    assert processes_of(tmp_path) == []
