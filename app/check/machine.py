"""The checks of the machine and the data folder: each yields what it finds, as (state, sentence)."""

import os
import platform
import pwd
import re
import resource
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from shutil import disk_usage

from limits.storage import storage_from_string
from packaging.requirements import Requirement

from .. import disk, formats, language
from ..config import ROOT
from .place import MB, OK, WARNING, WRONG, sqlite_file

ROOM_NEEDED, ROOM_WANTED = 64 * MB, 1024 * MB
BACKUP_AGE = timedelta(days=2)
TRANSLATIONS = ROOT / "app" / "translations"


def _python(place):
    # One that is too old does not come this far: script/environment looks for one that is not.
    yield OK, platform.python_version()


def _packages(place):
    wrong, pins = [], _pins((ROOT / "requirements.txt").read_text())
    for pin in pins:
        try:
            installed = metadata.version(pin.name)
        except metadata.PackageNotFoundError:
            installed = "missing"
        if installed not in pin.specifier:
            wrong.append(f"{pin.name} is {installed}, not {str(pin.specifier).lstrip('=')}")
    if wrong:
        yield WRONG, f"{', '.join(wrong)}. script/server installs what requirements.txt names."
    else:
        yield OK, f"all {len(pins)} are those that requirements.txt names"


def _pins(requirements: str) -> list[Requirement]:
    lines = requirements.replace("\\\n", " ").splitlines()
    bare = [re.split(r"(?:^|\s)(?:#|--)", line)[0].strip() for line in lines]
    pins = [Requirement(line) for line in bare if line]
    return [pin for pin in pins if not pin.marker or pin.marker.evaluate()]


def _languages(place):
    stale = []
    for code, name in language.NAMES.items():
        catalogue = TRANSLATIONS / code / "LC_MESSAGES" / "messages.po"
        compiled = catalogue.with_suffix(".mo")
        if catalogue.exists() and (not compiled.exists() or compiled.stat().st_mtime < catalogue.stat().st_mtime):
            stale.append(name)
    if stale:
        yield WARNING, f"{', '.join(stale)}: not compiled as it is now, so parts are in English. script/server does it."
    else:
        yield OK, ", ".join(language.NAMES.values())


def _sqlite(place):
    if not place.file:
        return
    version = sqlite3.sqlite_version
    try:
        with closing(sqlite3.connect(":memory:")) as memory:
            memory.execute("CREATE VIRTUAL TABLE words USING fts5(word, tokenize = 'trigram')")
        yield OK, version
    except sqlite3.OperationalError:
        yield (
            WRONG,
            f"{version} lacks what the search needs (FTS5 with trigrams). Use a Python that brings 3.34 or newer.",
        )


def _folder(place):
    data, me = place.data, _name(os.geteuid())
    if not data.is_dir():
        yield WRONG, f"{data} does not exist. script/server makes it; or DATA_DIR points to the wrong place."
        return
    owner = _name(data.stat().st_uid)
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        yield WRONG, f"{data} belongs to {owner} and cannot be written by {me}: chown -R {me} {data}"
    elif owner != me:
        yield WARNING, f"{data} belongs to {owner}, and this runs as {me}: who runs the server should own it."
    exposed = [entry.name for entry in os.scandir(data) if entry.stat().st_mode & 0o004]
    if data.stat().st_mode & 0o001 and exposed:
        yield WRONG, f"Everybody on this machine can read {', '.join(sorted(exposed))} in it: chmod -R o= {data}"
    else:
        yield OK, str(data)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _room(place):
    free = disk_usage(place.data).free
    wanted = max(ROOM_WANTED, 2 * disk.size(place.file) if place.file else 0)
    said = f"{free // MB} MB free for the data folder"
    if free < ROOM_NEEDED:
        yield WRONG, f"{said}: the shop will soon stop. Make room."
    elif free < wanted:
        yield WARNING, f"{said}; a backup and an upgrade want {wanted // MB} MB."
    else:
        yield OK, said


def _share(place):
    yield share(place.settings)


def share(settings) -> tuple[str, str]:
    """Whether the database lies where other machines may open it too: a state, and a sentence."""
    file = sqlite_file(settings)
    kind = disk.filesystem(file.parent if file else Path(settings["DATA_DIR"]))
    if file and disk.is_network(kind):
        return WRONG, (
            f"The database {file} is on a network share ({kind}), where SQLite loses data "
            "(https://www.sqlite.org/wal.html): keep it on a disk of this machine (DATA_DIR), "
            "or use PostgreSQL (DATABASE_URL)."
        )
    if file and disk.is_doubtful(kind):
        return WARNING, (
            f"The database {file} is on {kind}, which may be shared: if another machine opens it there, data is lost. "
            "Better keep it on a disk of this machine (DATA_DIR), or use PostgreSQL (DATABASE_URL)."
        )
    return OK, kind or "unknown"


def _secret_key(place):
    file, key = place.data / "secret_key", place.settings["SECRET_KEY"]
    if file.exists() and file.stat().st_mode & 0o077:
        yield WRONG, f"Others can read it, and sign in as anybody: chmod 600 {file}"
    elif len(set(key)) < 10:
        yield WRONG, "SECRET_KEY is easy to guess. Leave it out, and one is made; everybody then signs in anew."
    else:
        yield OK, f"{len(key)} characters"


def _descriptors(place):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # For each thread a socket and a file that it serves; for each connection up to three files; then all the rest.
    needed = 2 * place.settings["THREADS"] + (3 if place.file else 1) * place.connections + 64
    if limit < needed:
        yield (
            WARNING,
            f"{limit} may be open at once, and a worker may need {needed}: raise ulimit -n, or lower THREADS.",
        )
    else:
        yield OK, f"{limit} may be open at once, as seen from here"


def _limits(place):
    address = place.settings["RATELIMIT_STORAGE_URI"]
    kind = address.partition("://")[0]
    if kind == "memory" and place.settings["WORKERS"] > 1:
        yield (
            WARNING,
            "Each process counts failed sign-ins for itself: leave RATELIMIT_STORAGE_URI out to count them once.",
        )
    elif kind.startswith("redis"):
        storage = storage_from_string(address, socket_connect_timeout=5, socket_timeout=5)
        yield (OK, "Redis answers") if storage.check() else (WRONG, "Redis does not answer at RATELIMIT_STORAGE_URI.")
    else:
        yield OK, f"counted in the {kind}"


def _backups(place):
    made = disk.newest_backup(Path(place.settings["BACKUP_DIR"]))
    if made is None:
        yield (
            WARNING,
            "There is none yet. flask backup makes one; the server does every night, unless BACKUP_AT is off.",
        )
        return
    age = timedelta(seconds=max(0, time.time() - made))
    said = f"The newest is {formats.span(age.total_seconds())} old"
    yield (
        (OK, said)
        if age <= BACKUP_AGE
        else (WARNING, f"{said}. flask backup makes one; why the server made none last night is in its log.")
    )


CHECKS = {
    "Python": _python,
    "Packages": _packages,
    "Languages": _languages,
    "SQLite": _sqlite,
    "Data folder": _folder,
    "Disk": _room,
    "File system": _share,
    "Secret key": _secret_key,
    "Open files": _descriptors,
    "Limits": _limits,
    "Backups": _backups,
}
