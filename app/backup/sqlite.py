"""A SQLite database: copied while it is in use, looked into, and put in another one's place in one step."""

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy.engine import URL

from .copies import Contents, Damaged, Unable, bring_to_disk

FILE = "readylight.db"
# What SQLite keeps beside a database; and what is not in the database yet is in there.
_BESIDE = ("-wal", "-shm", "-journal")


def exists(url: URL) -> bool:
    """Whether there is a database."""
    return _file(url).exists()


def may_be_opened(url: URL) -> bool:
    """Whether there is a database and SQLite can have a look at it.

    It takes a file without its header for a new one, and throws away the log that lies beside it.
    """
    with suppress(FileNotFoundError), _file(url).open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"
    return False


def _file(url: URL, beside: str = "") -> Path:
    file = Path(url.database).resolve()
    return file.with_name(file.name + beside)


def copy(url: URL, target: Path) -> None:
    """Copies the database as it is at one moment, however much is written meanwhile. Raises Unable.

    A plain copy of the file would not do: https://www.sqlite.org/howtocorrupt.html
    """
    if not exists(url):
        raise Unable(f"There is no database at {url.database}.")
    try:
        with closing(sqlite3.connect(url.database, timeout=15)) as live, closing(sqlite3.connect(target)) as new:
            target.chmod(0o600)
            # In one go. In several it would begin anew whenever somebody writes, and so perhaps never end.
            live.backup(new)
    except sqlite3.Error as problem:
        raise Unable(f"The database could not be copied: {problem}.") from problem


def copy_as_it_is(url: URL, folder: Path) -> None:
    """Copies the files of a database that nobody uses and that is perhaps damaged."""
    for beside in ("", *_BESIDE):
        if _file(url, beside).exists():
            shutil.copyfile(_file(url, beside), folder / (FILE + beside))
            (folder / (FILE + beside)).chmod(0o600)


def look_into(file: Path) -> Contents:
    """What is in a copy. Raises Damaged unless it is sound."""
    try:
        # Not to read only: what checks an index of words would like to write, in some versions of SQLite.
        with closing(sqlite3.connect(file)) as database:
            if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise Damaged(f"The database {file.name} is damaged.")
            if lost := database.execute("PRAGMA foreign_key_check").fetchone():
                raise Damaged(f"The database {file.name} is damaged: a row of “{lost[0]}” points to one that is gone.")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}

            def column(name: str, table: str) -> list:
                found = database.execute(f"SELECT {name} FROM {table}") if table in tables else ()  # noqa: S608
                return [value for (value,) in found]

            revision = next(iter(column("version_num", "alembic_version")), None)
            return Contents(revision, sum(column("count(*)", "repair")), {*column("name", "photo")})
    except sqlite3.Error as problem:
        raise Damaged(f"The database {file.name} is damaged: {problem}.") from None


def stage(url: URL, source: Path) -> Path:
    """Brings a copy to where it could take the database's place."""
    staged = _file(url, ".restoring")
    staged.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unstage(staged)
    try:
        shutil.copyfile(source, staged)
    except OSError:
        unstage(staged)
        raise
    staged.chmod(0o600)
    return staged


def unstage(staged: Path) -> None:
    """Takes it away again."""
    for beside in ("", *_BESIDE):
        staged.with_name(staged.name + beside).unlink(missing_ok=True)


def demand_unused(url: URL) -> None:
    """Brings all that was written into the database's own file. Raises Unable when a program has it open."""
    if not may_be_opened(url):
        return
    try:
        with closing(sqlite3.connect(url.database, timeout=2)) as live:
            # This takes whoever does it alone; and afterwards the one file is all there is of the database.
            live.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as problem:
        if getattr(problem, "sqlite_errorcode", None) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise Unable("Another program has the database open. End it first.") from None
        # It is damaged, which is no reason to leave it where it is.


def replace(url: URL, staged: Path, *, forget: str) -> None:
    """Puts a staged copy, without the rows of the table `forget`, in the place of the database. Raises Unable."""
    try:
        with closing(sqlite3.connect(staged)) as database:
            database.execute("PRAGMA journal_mode = DELETE")
            database.execute(f"DELETE FROM {forget}")  # noqa: S608
            database.commit()
    except sqlite3.Error as problem:
        raise Unable(f"The copy could not be made ready: {problem}.") from problem
    bring_to_disk(staged)
    # SQLite would play the old one's log into the new one. If the old one is sound there is none any more.
    for beside in _BESIDE:
        _file(url, beside).unlink(missing_ok=True)
    staged.replace(_file(url))
    bring_to_disk(_file(url).parent)
