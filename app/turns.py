"""Turns at writing into an SQLite database: in a line, the threads of a process first, then the processes.

SQLite has no line. Who finds the database locked asks again after a while, up to a tenth of a second later, and the
lock goes to whoever asks at the right moment: with 120 people writing at once it was free most of the time, and some
of them waited for fifteen seconds.
"""

import fcntl
import os
import threading
from collections import deque
from contextlib import nullcontext, suppress
from pathlib import Path

_lock = threading.Lock()
# Whoever waits; the first one has the turn.
_line: deque[threading.Event] = deque()
# For whom that is, and the folder that is locked meanwhile: of all processes one alone can lock it.
_holder, _folder = None, -1


def take(holder: object, database: str, patience: float, meanwhile=nullcontext) -> None:
    """Waits until it is this holder's turn to write into that file. They may have it already.

    After so many seconds they go on without: SQLite then says whether they may write. meanwhile: makes the context in
    which a thread waits.
    """
    global _holder, _folder
    if _holder is holder or not _wait(patience, meanwhile):
        return
    # Where a folder cannot be locked, processes find their way as SQLite lets them.
    with suppress(OSError):
        _folder = os.open(Path(database).parent, os.O_RDONLY)
        try:
            fcntl.flock(_folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with meanwhile():
                fcntl.flock(_folder, fcntl.LOCK_EX)
    _holder = holder


def end(holder: object) -> None:
    """Lets the next one write, if it was this holder's turn."""
    global _holder, _folder
    if _holder is not holder:
        return
    if _folder >= 0:
        os.close(_folder)
    _holder, _folder = None, -1
    with _lock:
        _line.popleft()
        if _line:
            _line[0].set()


def _wait(patience: float, meanwhile) -> bool:
    turn = threading.Event()
    with _lock:
        _line.append(turn)
        if _line[0] is turn:
            turn.set()
    if not turn.is_set():
        with meanwhile():
            turn.wait(patience)
    with _lock:
        # Their turn may have come just now.
        if not turn.is_set():
            _line.remove(turn)
    return turn.is_set()
