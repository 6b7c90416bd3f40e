"""The commands: flask serve, backup, demo."""

import json
import os
import socket
import sys
from pathlib import Path

import click
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from flask_migrate import upgrade
from sqlalchemy import inspect
from sqlalchemy.exc import DatabaseError, OperationalError

from . import auth, backup
from .config import ROOT, BadSetting
from .db import db
from .demo import fill as demo
from .repairs import photos

COPIES_KEPT = 10


def init_app(app):
    """Adds the commands to `flask`."""
    for command in (serve, backup_command, demo_command):
        app.cli.add_command(command)


@click.command("serve")
def serve():
    """Prepare the data folder and the database, then serve the shop."""
    prepare()
    host, port = current_app.config["HOST"], current_app.config["PORT"]
    _check_port(host, port)
    click.echo(f"\n  Readylight is at {_address(port)}")
    if not auth.owner_exists():
        click.echo(f"  Set up your shop: {_address(port)}/setup?code={auth.setup_code()}")
    click.echo("  Stop it with Ctrl-C.\n")
    sys.stdout.flush()
    # The workers must not share this process's connections, so it lets go of them and becomes the server.
    db.engine.dispose()
    gunicorn = Path(sys.executable).with_name("gunicorn")
    # Large blocks, such as a password hash takes, go back to the system instead of staying with each thread.
    os.putenv("MALLOC_MMAP_THRESHOLD_", str(1024 * 1024))
    os.execv(gunicorn, [str(gunicorn), *_gunicorn_arguments(current_app.config)])


def prepare() -> None:
    """Brings the database up to date, after a copy of it if there is anything to lose. Raises BadSetting."""
    # From here on, whatever this process and the server make is theirs alone to read.
    os.umask(0o077)
    script = ScriptDirectory(str(ROOT / "migrations"))
    head = script.get_current_head()
    try:
        with db.engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
            has_tables = bool(inspect(connection).get_table_names())
    except (OperationalError, DatabaseError) as problem:
        reason = str(problem.orig).splitlines()[0]
        raise BadSetting(f"The database cannot be opened: {reason}") from None
    if present == head:
        return
    if present is not None and present not in {revision.revision for revision in script.walk_revisions()}:
        raise BadSetting(
            f"The database is newer than this program: it is at {present}, which this version does not know. "
            "Install the newer version, or restore a backup."
        )
    if has_tables:
        folder = Path(current_app.config["DATA_DIR"]) / "backups"
        try:
            copy = backup.copy_database(current_app.config["SQLALCHEMY_DATABASE_URI"], folder, name="before-upgrade")
        except backup.BackupFailed as problem:
            raise BadSetting(f"{problem} The database was left as it is.") from None
        backup.keep_newest(folder, COPIES_KEPT, name="before-upgrade")
        click.echo(f"  A copy of the database is in {copy}", err=True)
    upgrade(str(ROOT / "migrations"))


def _check_port(host: str, port: int) -> None:
    """Raises BadSetting when the server could not listen there."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as problem:
        raise BadSetting(
            f"Port {port} on {host} cannot be used ({problem.strerror}). Choose another: PORT=8001 script/server"
        ) from None


def _address(port: int) -> str:
    return "http://localhost" + ("" if port == 80 else f":{port}")


def _gunicorn_arguments(config) -> list[str]:
    host = f"[{config['HOST']}]" if ":" in config["HOST"] else config["HOST"]
    return [
        "--config", str(ROOT / "script" / "gunicorn.conf.py"),
        "--bind", f"{host}:{config['PORT']}",
        "--workers", str(config["WORKERS"]),
        "--threads", str(config["THREADS"]),
        "wsgi:app",
    ]  # fmt: skip


@click.command("backup")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)
def backup_command(folder):
    """Copy database and photos to FOLDER (default: backups in the data folder) while the shop works."""
    folder = folder or Path(current_app.config["DATA_DIR"]) / "backups"
    try:
        copy = backup.copy_database(current_app.config["SQLALCHEMY_DATABASE_URI"], folder)
        click.echo(copy)
        if pictures := backup.copy_photos(photos.folder(), beside=copy):
            click.echo(pictures)
    except backup.BackupFailed as problem:
        raise click.ClickException(str(problem)) from None


@click.command("demo")
@click.option("--repairs", default=60, type=click.IntRange(1, 5_000_000), help="How many repairs.")
@click.option("--json", "as_json", is_flag=True, help="Print sign-in details and the first 50 repairs as JSON.")
def demo_command(repairs, as_json):
    """Fill an empty database with a believable shop."""
    prepare()
    try:
        made = demo.fill(repairs, public_url=_address(current_app.config["PORT"]))
    except demo.NotEmpty as problem:
        raise click.ClickException(str(problem)) from None
    click.echo(json.dumps(made) if as_json else demo.describe(made))
