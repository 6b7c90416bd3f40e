"""The commands: flask check, backup, restore, owner-link, demo."""

import json
import os
import sys
from pathlib import Path

import click
from flask import current_app
from flask_migrate import Migrate

from .backup import copies, locks, making, nightly, restoring
from .check.findings import findings
from .check.place import OK, WARNING, WRONG
from .db import MIGRATIONS, db, let_go
from .demo import fill as demo
from .models import get_shop
from .preparing import address, local_backups, prepare
from .repairs import photos
from .rules import Refused
from .staff import actions as people


def init_app(app):
    """Adds the commands to `flask`, those of Flask-Migrate too."""
    Migrate(app, db, directory=str(MIGRATIONS))
    for command in (check_command, backup_command, restore_command, owner_link, demo_command):
        app.cli.add_command(command)


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
            kept = restoring.replace(found, **place, keep_in=local_backups(), moment=now)
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
        made = demo.fill(repairs, public_url=address(current_app.config["PORT"]))
    except demo.NotEmpty as problem:
        raise click.ClickException(str(problem)) from None
    click.echo(json.dumps(made) if as_json else demo.describe(made))
