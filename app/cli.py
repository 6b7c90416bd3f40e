"""The commands: flask serve, check, backup, restore, owner-link, demo."""

import json
import os
import socket
import sys
import tempfile
from pathlib import Path

import click
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from flask_migrate import Migrate, upgrade
from sqlalchemy import inspect
from sqlalchemy.exc import DatabaseError, OperationalError

from . import auth
from .backup import copies, locks, making, nightly, restoring
from .check.findings import findings
from .check.machine import share
from .check.place import OK, WARNING, WRONG
from .config import ROOT, BadSetting
from .db import db, let_go
from .demo import fill as demo
from .models import get_shop
from .repairs import photos
from .rules import Refused
from .staff import actions as people

COPIES_KEPT = 10


def init_app(app):
    """Adds the commands to `flask`, those of Flask-Migrate too."""
    Migrate(app, db, directory=str(ROOT / "migrations"))
    for command in (serve, check_command, backup_command, restore_command, owner_link, demo_command):
        app.cli.add_command(command)


@click.command("serve")
def serve():
    """Prepare the data folder and the database, then serve the shop."""
    try:
        # The server and all its workers inherit it: as long as one of them lives, nothing is restored.
        lock = locks.share(Path(current_app.config["DATA_DIR"]))
        os.set_inheritable(lock.fileno(), True)
    except copies.Unable as problem:
        raise BadSetting(str(problem)) from None
    prepare()
    host, port = current_app.config["HOST"], current_app.config["PORT"]
    _check_port(host, port)
    click.echo(f"\n  Readylight is at {_address(port)}")
    if not auth.is_set_up():
        click.echo(f"  Set up your shop: {_address(port)}/setup?code={auth.setup_code()}")
    click.echo("  Stop it with Ctrl-C.\n")
    sys.stdout.flush()
    # The workers must not share this process's connections, so it lets go of them and becomes the server.
    let_go()
    gunicorn = Path(sys.executable).with_name("gunicorn")
    if current_app.config["METRICS_TOKEN"]:
        # Where the workers keep their counts, for any of them to add up. gunicorn removes it when it ends.
        os.putenv("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="readylight-metrics-"))
    # Large blocks, such as a password hash or a page takes, go back to the system instead of staying with each thread.
    os.putenv("MALLOC_MMAP_THRESHOLD_", str(32 * 1024))
    # And what is left is shared by all threads, which Python lets work one at a time anyway.
    os.putenv("MALLOC_ARENA_MAX", "2")
    if (compiled := Path(sys.prefix) / "optimized").is_dir():
        # What explains the code to its readers stays out of the memory, six megabytes in each process; so does where in
        # its line each part of it stands. script/environment has compiled it so, Python's own library too, which a
        # service may seldom write beside.
        os.putenv("PYTHONOPTIMIZE", "2")
        os.putenv("PYTHONNODEBUGRANGES", "1")
        os.putenv("PYTHONPYCACHEPREFIX", str(compiled))
    os.execv(gunicorn, [str(gunicorn), *_gunicorn_arguments(current_app.config)])


def prepare() -> None:
    """Brings the database up to date, after a copy of it if there is anything to lose. Raises BadSetting."""
    # From here on, whatever this process and the server make is theirs alone to read.
    os.umask(0o077)
    _refuse_network_share()
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
        click.echo(f"  A copy of the database is in {_copy_before_upgrade()}", err=True)
    upgrade(str(ROOT / "migrations"))


def _copy_before_upgrade() -> Path:
    url, folder = current_app.config["SQLALCHEMY_DATABASE_URI"], _local_backups()
    now = making.time_in(making.shop_zone(url))
    try:
        # Without the photos, which no upgrade touches.
        copy = making.make("before-upgrade", folder, url=url, photos=None, moment=now)
        copies.keep_newest(folder, COPIES_KEPT, "before-upgrade", now)
    except copies.Unable as problem:
        raise BadSetting(f"{problem} The database was left as it was.") from None
    return copy.folder


def _local_backups() -> Path:
    """Where copies go that must not depend on a disk or a share that may be away."""
    return Path(current_app.config["DATA_DIR"]) / "backups"


def _refuse_network_share() -> None:
    """Raises BadSetting when SQLite would lie where other machines may open it too; warns when that cannot be told."""
    state, sentence = share(current_app.config)
    if state == WRONG:
        raise BadSetting(sentence)
    if state == WARNING:
        click.echo(f"  {sentence}", err=True)


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


@click.command("check")
@click.option("--deep", is_flag=True, help="Read through the whole database, however large.")
@click.option("--online", is_flag=True, help="Ask the public address whether it is this shop.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check_command(deep, online, as_json):
    """Say what is wrong with this installation and what to do about it. Changes nothing."""
    found = list(findings(current_app, deep=deep, online=online))
    worst = max((finding.state for finding in found), key=[OK, WARNING, WRONG].index)
    if as_json:
        click.echo(json.dumps({"state": worst, "findings": [finding._asdict() for finding in found]}))
    else:
        for finding in found:
            click.echo(f"{finding.state:8} {finding.about:15} {finding.text}")
    sys.exit(worst == WRONG)


@click.command("backup")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option(
    "--nightly", "is_nightly", is_flag=True, help="Of those made so, keep the newest BACKUP_KEEP and no more."
)
def backup_command(folder, is_nightly):
    """Copy database and photos into a new folder in FOLDER (default: BACKUP_DIR) while the shop works."""
    os.umask(0o077)
    config = current_app.config
    folder = (folder or Path(config["BACKUP_DIR"])).resolve()
    url = config["SQLALCHEMY_DATABASE_URI"]
    zone = making.shop_zone(url)
    now = making.time_in(zone)
    try:
        with locks.share(Path(config["DATA_DIR"])):
            kind = nightly.KIND if is_nightly else "readylight"
            copy = making.make(kind, folder, url=url, photos=photos.folder(), moment=now)
            if is_nightly:
                nightly.note_zone(Path(config["DATA_DIR"]), zone)
                copies.keep_newest(folder, config["BACKUP_KEEP"], kind, now)
    except copies.Unable as problem:
        raise click.ClickException(str(problem)) from None
    finally:
        _give_to_owner(Path(config["DATA_DIR"]))
    click.echo(copy.folder)
    if copy.missing:
        click.echo(f"These files of photos were missing in the shop already: {', '.join(copy.missing)}", err=True)


@click.command("restore")
@click.argument("copy", type=click.Path(exists=True, resolve_path=True, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--despite-missing-photos", is_flag=True, help="Restore a copy that lacks pictures.")
def restore_command(copy, yes, despite_missing_photos):
    """Put COPY, a folder that `flask backup` made, in the place of database and photos, and keep what was there."""
    os.umask(0o077)
    config = current_app.config
    place = {"url": config["SQLALCHEMY_DATABASE_URI"], "photos": photos.folder()}
    try:
        with locks.own(Path(config["DATA_DIR"])), restoring.reading(copy, **place) as found:
            repairs, pictures = found.contents.repairs, len(found.contents.photos)
            click.echo(f"The copy is sound. Repairs: {repairs:,}. Photos: {pictures:,}.")
            if found.missing and not despite_missing_photos:
                raise copies.Unable(
                    f"{len(found.missing)} files of its photos are missing, the first of them {found.missing[0]}. "
                    "To restore it all the same: --despite-missing-photos."
                )
            if not yes:
                click.confirm("Shall it take the place of all that is in the shop now?", abort=True)
            now = making.time_in(making.shop_zone(place["url"]))
            let_go()
            kept = restoring.replace(found, **place, keep_in=_local_backups(), moment=now)
    except copies.Unable as problem:
        raise click.ClickException(f"{problem} Nothing was replaced.") from None
    finally:
        _give_to_owner(Path(config["DATA_DIR"]))
    click.echo("It is restored. Everybody has to sign in again.")
    if kept:
        click.echo(f"What was there before is kept. To go back to it: flask restore {kept}")


def _give_to_owner(data: Path) -> None:
    """What root makes in somebody's data folder is that somebody's, or their server could not write it."""
    owner = data.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for folder, folders, files in os.walk(data):
            for name in (*folders, *files):
                os.chown(Path(folder, name), owner.st_uid, owner.st_gid, follow_symlinks=False)


@click.command("owner-link")
@click.argument("email")
def owner_link(email):
    """Let an owner in who lost password or phone: EMAIL's ends, and a link to choose a new one is printed."""
    try:
        person, token = people.owner_link(email)
    except Refused as refusal:
        raise click.ClickException(str(refusal)) from None
    click.echo(f"{person.name} chooses a new password here, once, within 72 hours; the second step is off:")
    click.echo(f"{get_shop().public_url}/welcome/{token}")


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
