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
from time import monotonic

_lock = threading.Lock()
# Whoever waits; the first one has the turn.
_line: deque[threading.Event] = deque()
# For whom that is, and the folder that is locked meanwhile: of all processes one alone can lock it.
_holder, _folder = None, -1
# Of each folder that another process has locked, who waits for it.
_errands: dict[Path, "_Errand"] = {}


def take(holder: object, database: str, patience: float, meanwhile=nullcontext) -> None:
    """Waits until it is this holder's turn to write into that file. They may have it already.

    After so many seconds they go on without: SQLite then says whether they may write. meanwhile: makes the context in
    which a thread waits.
    """
    global _holder, _folder
    until = monotonic() + patience
    if _holder is holder or not _wait(patience, meanwhile):
        return
    _holder = holder
    _folder = _lock_folder(Path(database).parent, until - monotonic(), meanwhile)


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


def _lock_folder(folder: Path, patience: float, meanwhile) -> int:
    """The folder, locked among all processes; -1 if not in time, or where it cannot be: SQLite then says who writes."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except BlockingIOError:
        with meanwhile():
            return _wait_for_lock(folder, descriptor, patience)
    except OSError:
        os.close(descriptor)
        return -1


def _wait_for_lock(folder: Path, descriptor: int, patience: float) -> int:
    with _lock:
        if errand := _errands.get(folder):
            os.close(descriptor)
            errand.is_wanted = True
        else:
            errand = _errands[folder] = _Errand(folder, descriptor)
    if not errand.is_done.wait(patience):
        with _lock:
            # The lock may have come just now.
            if not errand.is_done.is_set():
                errand.is_wanted = False
                return -1
    return errand.descriptor


class _Errand:
    """A thread that waits for a folder's lock, and lets go of it if by then nobody wants it any more.

    Only a flock that waits keeps the order of arrival, and it waits without end. However many of us have waited in
    vain meanwhile, one such thread is enough.
    """

    def __init__(self, folder: Path, descriptor: int):
        self.descriptor, self.is_wanted, self.is_done = descriptor, True, threading.Event()
        threading.Thread(target=self._run, args=(folder,), daemon=True).start()

    def _run(self, folder):
        with suppress(OSError):
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        with _lock:
            del _errands[folder]
            if self.is_wanted:
                self.is_done.set()
            else:
                os.close(self.descriptor)
