"""Who works in a data folder: servers and backups side by side, or one restore alone.

The system lets a lock go when the last process that holds it has ended, however it ended. So nothing is ever left over.
"""

import fcntl
import os
from pathlib import Path
from typing import TextIO

from .copies import Unable

FILE = "server.lock"


def share(data: Path) -> TextIO:
    """Says that this process works in a data folder, until it closes the file that it gets. Raises Unable."""
    return _lock(data, fcntl.LOCK_SH, "A backup is being restored. Start again when that is done.")


def own(data: Path) -> TextIO:
    """The same, of a process that nobody may work beside. Raises Unable when somebody does."""
    return _lock(data, fcntl.LOCK_EX, f"The shop is open: a server or a backup works in {data}. End it first.")


def _lock(data: Path, how: int, refusal: str) -> TextIO:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.fdopen(os.open(data / FILE, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Unable(refusal) from None
    return file
