"""The backup of every night: made by whichever worker of the server notices first that it is due."""

import fcntl
import logging
import os
import subprocess
import sys
import time as clock
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, time, timedelta
from pathlib import Path
from threading import Thread

from ..config import ROOT, for_commands
from . import copies
from .making import time_in

KIND, LOCK = "nightly", "nightly.lock"
# In seconds: how often a worker looks, how long it is left after a try, and how long one may take.
LOOK, REST, LONGEST = 300, 3600, 6 * 3600
log = logging.getLogger("readylight")


def is_due(now: datetime, made: Iterable[datetime], at: time) -> bool:
    """Whether the last moment that showed that time of day has passed without a backup since.

    All are times of the shop's clock. What seems to be made after now was made when that clock was wrong, and does not
    count: else a clock that was years ahead for one night would end the backups for years.
    """
    due = datetime.combine(now.date(), at)
    if due > now:
        due -= timedelta(days=1)
    return not any(due <= moment <= now for moment in made)


def watch(app) -> None:
    """Has this process look after the nightly backup, as long as it lives."""
    if app.config["BACKUP_AT"] is not None:
        Thread(target=_watch, args=(app,), name="nightly backup", daemon=True).start()


def _watch(app):
    said = ""
    while True:
        try:
            with app.app_context():
                make_if_due(app.config)
            said = ""
        except Exception as problem:
            # Whatever it is, the next look may find it gone; and it is not said at every look.
            if str(problem) != said:
                log.error("The nightly backup cannot be looked after: %s", problem)
            said = str(problem)
        clock.sleep(LOOK)


def make_if_due(config) -> None:
    """Makes the nightly backup if it is due, nobody else is making it, and the last try was not just now."""
    # The file's own time is that of the last try. A new one counts as a try: a new shop has nothing to lose yet.
    lock = os.open(Path(config["DATA_DIR"]) / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        now = clock.time()
        made = (moment for moment, _ in copies.made(Path(config["BACKUP_DIR"]), KIND))
        zone = os.pread(lock, 100, 0).decode(errors="replace")
        if abs(now - os.stat(lock).st_mtime) < REST or not is_due(time_in(zone), made, config["BACKUP_AT"]):
            return
        os.utime(lock, (now, now))
        _make(lock)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)


def note_zone(data: Path, zone: str) -> None:
    """Notes by whose clock it is night, so that idle workers need not open the database to know."""
    with suppress(OSError):
        (data / LOCK).write_text(zone)


def _make(lock: int) -> None:
    # A process of its own: it takes its memory with it when it ends, and goes on when this worker is replaced. It holds
    # the lock too, so that no other worker begins meanwhile.
    # Whoever is at the counter goes first.
    command = ["nice", sys.executable, "-m", "flask", "--app", "wsgi", "backup", "--nightly"]
    options = {"cwd": ROOT, "env": for_commands(), "capture_output": True, "text": True, "check": True}
    try:
        done = subprocess.run(command, **options, pass_fds=[lock], timeout=LONGEST)
        log.info("The nightly backup is made: %s", done.stdout.strip())
        if done.stderr.strip():
            log.warning("The nightly backup: %s", done.stderr.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        log.error("The nightly backup took more than %d hours and was ended.", LONGEST // 3600)
    except subprocess.CalledProcessError as problem:
        reason = (problem.stderr.strip().splitlines() or ["it was ended from outside."])[-1].removeprefix("Error: ")
        log.error("The nightly backup failed, and will be tried again in an hour: %s", reason)
