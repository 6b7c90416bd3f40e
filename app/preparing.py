"""What comes before a shop can be served or filled: a sound place, a database that is up to date, a free port."""

import os
import socket
from pathlib import Path

import click
from flask import current_app
from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError, OperationalError

from . import auth
from .backup import copies, making
from .check.machine import share
from .check.place import WARNING, WRONG
from .config import BadSetting
from .db import MIGRATIONS, db, revisions

COPIES_KEPT = 10
_PRESENT = "SELECT version_num FROM alembic_version"


def check_port() -> None:
    """Raises BadSetting when the server could not listen where it is to."""
    host, port = current_app.config["HOST"], current_app.config["PORT"]
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as problem:
        raise BadSetting(
            f"Port {port} on {host} cannot be used ({problem.strerror}). Choose another: PORT=8001 script/server"
        ) from None


def prepare() -> None:
    """Brings the database up to date, after a copy of it if there is anything to lose. Raises BadSetting."""
    # From here on, whatever this process makes is its alone to read.
    os.umask(0o077)
    _refuse_network_share()
    known = revisions()
    try:
        with db.engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            present = connection.scalar(text(_PRESENT)) if "alembic_version" in tables else None
    except (OperationalError, DatabaseError) as problem:
        reason = str(problem.orig).splitlines()[0]
        raise BadSetting(f"The database cannot be opened: {reason}") from None
    if present == known[-1]:
        return
    if present and present not in known:
        raise BadSetting(
            f"The database is newer than this program: it is at {present}, which this version does not know. "
            "Install the newer version, or restore a backup."
        )
    if tables:
        click.echo(f"  A copy of the database is in {_copy_before_upgrade()}", err=True)
    # Alembic is a fifth of a start, and most starts have nothing for it to do.
    from flask_migrate import Migrate, upgrade

    Migrate(current_app, db, directory=str(MIGRATIONS))
    upgrade()


def announce() -> None:
    """Says where the shop is about to be, and how it is set up if it is not."""
    port = current_app.config["PORT"]
    click.echo(f"\n  Readylight is at {address(port)}")
    if not auth.is_set_up():
        click.echo(f"  Set up your shop: {address(port)}/setup?code={auth.setup_code()}")
    click.echo("  Stop it with Ctrl-C.\n")


def _copy_before_upgrade() -> Path:
    url, folder = current_app.config["SQLALCHEMY_DATABASE_URI"], local_backups()
    now = making.time_in(making.shop_zone(url))
    try:
        # Without the photos, which no upgrade touches.
        copy = making.make("before-upgrade", folder, url=url, photos=None, moment=now)
        copies.keep_newest(folder, COPIES_KEPT, "before-upgrade", now)
    except copies.Unable as problem:
        raise BadSetting(f"{problem} The database was left as it was.") from None
    return copy.folder


def local_backups() -> Path:
    """Where copies go that must not depend on a disk or a share that may be away."""
    return Path(current_app.config["DATA_DIR"]) / "backups"


def _refuse_network_share() -> None:
    """Raises BadSetting when SQLite would lie where other machines may open it too; warns when that cannot be told."""
    state, sentence = share(current_app.config)
    if state == WRONG:
        raise BadSetting(sentence)
    if state == WARNING:
        click.echo(f"  {sentence}", err=True)


def address(port: int) -> str:
    """Where the shop is for somebody at this machine."""
    return "http://localhost" + ("" if port == 80 else f":{port}")
