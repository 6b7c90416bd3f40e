"""A PostgreSQL database: dumped, looked into, and restored in one transaction, by PostgreSQL's own programs."""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen, run

from sqlalchemy import NullPool, create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from .copies import Contents, Damaged, Unable

FILE = "readylight.dump"
# So many seconds a program that has ended, a server a moment ago, may still be counted among those that are connected.
LEAVING = 1
_EMPTY = """\
\\set ON_ERROR_STOP on
BEGIN;
SET LOCAL lock_timeout = '10s';
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
"""


def exists(url: URL) -> bool:
    """Whether there is anything in the database."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        return bool(inspect(connection).get_table_names())


def may_be_opened(url: URL) -> bool:
    """A server takes care of itself."""
    return True


def copy(url: URL, target: Path) -> None:
    """Copies the database as it is at one moment, however much is written meanwhile. Raises Unable."""
    command = [_program("pg_dump"), "--format=custom", f"--file={target}", _address(url)]
    done = run(command, env=_environment(url), capture_output=True, text=True)
    if done.returncode:
        raise Unable(f"The database could not be copied: {_reason(done.stderr)}")
    target.chmod(0o600)


def look_into(file: Path) -> Contents:
    """What is in a dump. Raises Damaged when it cannot be read; the rest PostgreSQL says in `replace`."""
    revisions = _column(file, "alembic_version", "version_num")
    repairs, photos = _column(file, "repair", "id"), _column(file, "photo", "name")
    return Contents(next(iter(revisions), None), len(repairs), {*photos})


def _column(file: Path, table: str, column: str) -> list[str]:
    """A column's values as text, out of the COPY by which a dump fills a table."""
    command = [_program("pg_restore"), "--data-only", f"--table={table}", "--file=-", file]
    with Popen(command, stdout=PIPE, stderr=PIPE, encoding="utf-8", errors="replace") as reading:
        found, place = [], None
        for line in reading.stdout:
            if line.startswith("COPY "):
                place = line.partition("(")[2].partition(")")[0].split(", ").index(column)
            elif line == "\\.\n":
                place = None
            elif place is not None:
                found.append(line.rstrip("\n").split("\t")[place])
        problem = reading.stderr.read()
    if reading.returncode:
        raise Damaged(f"The dump {file.name} cannot be read: {_reason(problem)}")
    return found


def stage(url: URL, source: Path) -> Path:
    """A dump is restored from where it is."""
    return source


def unstage(staged: Path) -> None:
    """There is nothing to take away."""


def demand_unused(url: URL) -> None:
    """Raises Unable when anybody else is connected to the database, from whatever machine."""
    others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    look = text(f"SELECT count(*) FROM pg_stat_activity WHERE {others}")  # noqa: S608
    patience = time.monotonic() + LEAVING
    try:
        # Each look in a transaction of its own: within one, PostgreSQL says the same again.
        with create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
            while (count := connection.scalar(look)) and time.monotonic() < patience:
                time.sleep(0.05)
    except SQLAlchemyError as problem:
        raise Unable(f"The database cannot be opened: {_reason(str(getattr(problem, 'orig', problem)))}") from None
    if count:
        raise Unable(f"Other programs are connected to the database ({count}). End them first.")


def replace(url: URL, dump: Path, *, forget: str) -> None:
    """Puts a dump, without the rows of the table `forget`, in the place of what is in the database. Raises Damaged.

    All of it, or nothing: a connection that ends before COMMIT leaves the database as it was.
    """
    command = [_program("psql"), "--no-psqlrc", "--quiet", "--output=/dev/null", _address(url)]
    read = None
    with (
        tempfile.TemporaryFile("w+") as said,
        Popen(command, env=_environment(url), stdin=PIPE, stderr=said, text=True) as psql,
    ):
        # It stops reading at the first error, and says which.
        with suppress(BrokenPipeError):
            psql.stdin.write(_EMPTY)
            psql.stdin.flush()
            read = _read(dump, psql.stdin)
            if read.returncode == 0:
                psql.stdin.write(f"DELETE FROM public.{forget};\nCOMMIT;\n")  # noqa: S608
                psql.stdin.flush()
        psql.communicate()
        said.seek(0)
        problem = said.read() or (read.stderr if read else "")
    if psql.returncode or not read or read.returncode:
        raise Damaged(f"The dump could not be restored: {_reason(problem)}")


def _read(dump: Path, into) -> CompletedProcess:
    # Who owns it and who else may read it is the business of the database that it comes to.
    command = [_program("pg_restore"), "--no-owner", "--no-privileges", "--no-comments", "--file=-", dump]
    return run(command, stdout=into, stderr=PIPE, text=True)


def _program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise Unable(f"{name} is needed for a PostgreSQL database; install the PostgreSQL client programs.")
    return program


def _address(url: URL) -> str:
    # Whoever lists the processes must not read the password.
    return f"--dbname={url.set(drivername='postgresql', password=None).render_as_string()}"


def _environment(url: URL) -> dict[str, str]:
    return os.environ | ({"PGPASSWORD": url.password} if url.password else {})


def _reason(said: str) -> str:
    """What a program says is wrong, without all that it says about it, as a sentence."""
    lines = said.strip().splitlines() or ["it does not say why"]
    return next((line for line in lines if "error:" in line.lower()), lines[0]).strip().removesuffix(".") + "."
