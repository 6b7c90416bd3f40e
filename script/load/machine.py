"""Processes of this machine (Linux): started, stopped, and what they use of it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
# What ends a run.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What would end the run waits until the block is done, so that nothing is started that nobody stops."""
    waiting = []
    before = {each: signal.signal(each, lambda *args: waiting.append(args)) for each in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for args in waiting[:1]:
            before[args[0]](*args)


def start(command: list, **options) -> subprocess.Popen:
    """Starts one of the bench's own commands, in the project's folder."""
    return subprocess.Popen(command, cwd=ROOT, text=True, **options)  # noqa: S603


@contextmanager
def started(command: list, **options) -> Iterator[subprocess.Popen]:
    """The same for as long as the block lasts."""
    process = None
    try:
        with undisturbed():
            process = start(command, **options)
        yield process
    finally:
        if process:
            process.kill()
            process.wait()


def run(command: list, **options) -> tuple[int, str, str]:
    """Runs one to its end. Gives its exit status, output and errors."""
    typed = options.pop("input", None)
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with started(command, **pipes, **options) as process:
        output, errors = process.communicate(typed)
        return process.returncode, output, errors


def tree(pid: int) -> list[int]:
    """A process and all that come from it, parents first."""
    try:
        children = [int(child) for child in read(pid, f"task/{pid}/children").split()]
    except OSError:
        return []
    return [pid, *(each for child in children for each in tree(child))]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and all that come from it, those that have ended included."""
    total = 0
    for each in tree(pid):
        try:
            total += sum(int(field) for field in read(each, "stat").rpartition(")")[2].split()[11:15])
        except OSError:
            continue
    return total / TICKS


def pss(pid: int) -> float:
    """Memory of a process in MB, what it shares with others in equal parts."""
    line = next(line for line in read(pid, "smaps_rollup").splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) / 1024


def read(pid: int, name: str) -> str:
    """A file that the kernel keeps about a process."""
    return Path(f"/proc/{pid}/{name}").read_text()
