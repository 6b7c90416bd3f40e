"""How many SQL statements an answer takes: counted in a process of its own, never while something is timed.

Takes cells on its standard input and the database from the environment, as the server does, and asks Flask's test
client. Every statement counts that the driver is given, whoever gives it; BEGIN, COMMIT and ROLLBACK do not, nor does
what a process asks for all its answers, twenty times a second at most.
"""

import json
import re
import sqlite3
import sys

import psycopg

from app.reads import PULSE

from .cells import Request
from .machine import run
from .stage import Database, Failed

# So many requests of each cell are looked at; the one that takes most counts.
LOOKED_AT = 5


def count(database: Database, cells: list[tuple[str, bool, int, list[Request]]]) -> dict[str, list[list]]:
    """By name, the statements (text, parameters) of the request that took most.

    cells: (name, again, expect, requests); again: each request is sent once before. Raises Failed.
    """
    command = [sys.executable, "-m", "script.load.statements"]
    status, output, errors = run(command, env=database.environ, input=json.dumps(cells))
    if status:
        raise Failed(f"The statements could not be counted:\n{errors[-2000:]}")
    return json.loads(output)


def _main() -> None:
    seen: list[tuple[str, object]] = []
    _listen(seen)
    from app import create_app  # Only now: nothing may connect before there is somebody to listen.

    client = create_app().test_client(use_cookies=False)
    most = {}
    for name, again, expect, requests in json.load(sys.stdin):
        requests = [Request(*request) for request in requests[: LOOKED_AT + 1]]
        _send(client, requests[0], expect)
        # What is needed once in a process's life is needed by now.
        for request in requests if len(requests) == 1 else requests[1:]:
            if again:
                _send(client, request, expect)
            seen.clear()
            _send(client, request, expect)
            most[name] = max(most.get(name, []), seen[:], key=len)
    json.dump(most, sys.stdout, default=str)


def _send(client, request: Request, expect: int) -> None:
    answer = client.open(request.path, method=request.method, headers=request.headers, data=request.body)
    if answer.status_code != expect:
        sys.exit(f"{request.method} {request.path} answered {answer.status_code}, not {expect}")
    answer.close()


def _listen(seen: list) -> None:
    """Notes every statement that reaches SQLite or psycopg in this process, by SQLAlchemy or around it."""
    connect, execute = sqlite3.connect, psycopg.Cursor.execute

    def heard(*args, **options):
        connection = connect(*args, **options)
        connection.set_trace_callback(lambda sql: _note(seen, sql, None))
        return connection

    def noted(self, query, params=None, **options):
        _note(seen, str(query), params)
        return execute(self, query, params, **options)

    sqlite3.connect = sqlite3.dbapi2.connect = heard
    psycopg.Cursor.execute = noted


def _note(seen: list, sql: str, params) -> None:
    # "--": what a statement does inside, such as a trigger.
    if not (re.match(r"\s*(BEGIN|COMMIT|ROLLBACK|--)", sql, re.IGNORECASE) or sql in PULSE.values()):
        seen.append((sql, params))


if __name__ == "__main__":
    _main()
