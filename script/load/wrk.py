"""The load of one cell, by wrk on two threads (rotate.lua sends the requests)."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import machine
from .cells import Request
from .stage import Failed, Server

THREADS, CONNECTIONS = 2, 16
ROTATE = Path(__file__).with_name("rotate.lua")
# A poll is answered with the page when the clock has changed its words ("3 hours ago") since its tag was fetched.
# So many may be.
TURNED = 0.01


@dataclass(frozen=True)
class Load:
    """What came of a load. p50 and p99 in milliseconds; wrong: answers that were not the expected one, or none."""

    answers: int
    seconds: float
    p50: float
    p99: float
    wrong: int

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.answers / self.seconds


def run(
    server: Server,
    requests: list[Request],
    *,
    seconds: int,
    expect: int = 200,
    connections: int = CONNECTIONS,
    once: bool = False,
) -> Load:
    """Sends the requests round and round (once: one by one, never twice). Raises Failed when wrk does."""
    threads = min(THREADS, connections)
    with tempfile.NamedTemporaryFile(prefix="readylight-bench-") as file:
        file.write(b"".join(request.raw() + b"\0" for request in spread(requests, threads)))
        file.flush()
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["--script", str(ROTATE), server.address, "--", file.name, str(threads), str(int(once))]
        _, output, errors = machine.run(command)
    result = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
    if result is None:
        raise Failed(f"wrk failed:\n{output}{errors}")
    return read(json.loads(result.removeprefix("RESULT ")), expect)


def spread(requests: list[Request], threads: int) -> list[Request]:
    """The requests, as many times as every thread needs to have one."""
    return requests * -(-threads // len(requests))


def read(result: dict, expect: int) -> Load:
    """What rotate.lua printed, judged by the status that was expected."""
    statuses = {int(status): count for status, count in result["statuses"].items()}
    answers = sum(statuses.values())
    right = statuses.get(expect, 0)
    if expect == 304 and statuses.get(200, 0) <= answers * TURNED:
        right += statuses.get(200, 0)
    return Load(right, result["seconds"], result["p50"], result["p99"], answers - right + result["lost"])
