"""Copies of the database and the photos that are whole even while the shop works."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import make_url


class BackupFailed(Exception):
    """No copy could be made. The text says why."""


def copy_database(url: str, folder: Path, *, name: str = "readylight") -> Path:
    """Writes a consistent copy of the database into a folder, and gives its path.

    SQLite is copied by its own backup, which a plain copy of the file would not equal
    (https://www.sqlite.org/howtocorrupt.html); PostgreSQL by pg_dump. Raises BackupFailed.
    """
    database = make_url(url)
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S-%f")[:-3]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if database.get_backend_name() == "sqlite":
            if not Path(database.database).exists():
                raise BackupFailed(f"There is no database at {database.database}.")
            return _copy_sqlite(Path(database.database), folder / f"{name}-{stamp}.db")
        return _dump_postgresql(database, folder / f"{name}-{stamp}.dump")
    except (OSError, sqlite3.Error, subprocess.CalledProcessError) as problem:
        detail = getattr(problem, "stderr", None) or problem
        raise BackupFailed(f"The database could not be copied to {folder}: {detail}") from problem


def _copy_sqlite(source: Path, target: Path) -> Path:
    part = target.with_suffix(".part")
    try:
        with closing(sqlite3.connect(source, timeout=15)) as live, closing(sqlite3.connect(part)) as copy:
            part.chmod(0o600)
            live.backup(copy)
            if copy.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("the copy is not sound")
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(target)
    return target


def _dump_postgresql(database, target: Path) -> Path:
    if shutil.which("pg_dump") is None:
        raise BackupFailed("pg_dump is needed to copy a PostgreSQL database; install the PostgreSQL client programs.")
    address = database.set(drivername="postgresql", password=None).render_as_string()
    environment = os.environ | ({"PGPASSWORD": database.password} if database.password else {})
    part = target.with_suffix(".part")
    command = ["pg_dump", "--format=custom", f"--file={part}", address]
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    part.chmod(0o600)
    part.replace(target)
    return target


def copy_photos(source: Path, beside: Path) -> Path | None:
    """Copies the folder of photos to where a copy of the database was just made; None when there are no photos.

    After the database, never before. A photo's files are there before its row and go after it, so what the copied
    rows name is there to be copied, but for a photo that was removed in between. The other way round a photo that
    was added in between would be lost. Raises BackupFailed.
    """
    if not source.is_dir():
        return None
    target = beside.with_name(f"photos-{beside.stem.partition('-')[2]}")
    part = target.with_name(f"{target.name}.part")
    try:
        part.mkdir(mode=0o700)
        for picture in source.glob("*/*.jpg"):
            (part / picture.parent.name).mkdir(mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError):
                _copy_picture(picture, part / picture.parent.name / picture.name)
    except OSError as problem:
        shutil.rmtree(part, ignore_errors=True)
        raise BackupFailed(f"The photos could not be copied to {target}: {problem}") from problem
    return part.rename(target)


def _copy_picture(source: Path, target: Path) -> None:
    # A picture never changes: on the same disk its copy is a second name for it, which takes neither time nor room.
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def keep_newest(folder: Path, count: int, *, name: str) -> None:
    """Removes all but the newest copies of that name."""
    for old in sorted(folder.glob(f"{name}-*"))[:-count]:
        old.unlink()
