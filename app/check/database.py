"""The checks of the database and of the photos that its rows name: each yields (state, sentence)."""

import time
from contextlib import closing

from sqlalchemy import create_engine, text

from .. import disk
from ..db import revisions
from ..repairs import photos
from .place import MB, OK, WARNING, WRONG, open_database

# A database up to this size is read through each time; a larger one when asked to.
READ_THROUGH = 256 * MB


def _server(place):
    if place.file:
        yield OK, f"SQLite, {place.file}, {disk.size(place.file) // MB} MB"
        return
    # In another encoding than UTF-8 text comes as bytes.
    version, encoding = (str(place.ask(f"SHOW {name}")[0][0]) for name in ("server_version", "server_encoding"))
    if encoding == "UTF8":
        yield OK, f"PostgreSQL {version} answers"
    else:
        yield (
            WRONG,
            "It does not keep text as UTF-8. Make another one: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        )


def _migrations(place):
    present, known = place.ask("SELECT version_num FROM alembic_version")[0][0], revisions()
    if present == known[-1]:
        yield OK, f"at {present}, the newest"
    elif present in known:
        yield (
            WRONG,
            f"They are at {present}, and this program needs {known[-1]}: start script/server, which brings them there.",
        )
    else:
        yield (
            WRONG,
            f"They are at {present}, which is newer than this program: install the newer version, or restore a backup.",
        )


def _journal(place):
    if not place.file:
        return
    with place.file.open("rb") as start:
        # Where the file itself says so: https://www.sqlite.org/fileformat.html#file_format_version_numbers
        write_ahead = start.read(20)[18:] == b"\x02\x02"
    # How the app sets up each of its connections, tried on one to nowhere.
    with create_engine("sqlite://").connect().execution_options(reads_only=True) as connection:
        synchronous, keys = (connection.scalar(text(f"PRAGMA {name}")) for name in ("synchronous", "foreign_keys"))
    if (synchronous, keys) != (2, 1):
        yield WRONG, f"synchronous is {synchronous}, not 2; foreign_keys is {keys}, not 1."
    elif not write_ahead:
        yield WARNING, "It is not the write-ahead log. The next start of script/server changes that."
    else:
        yield OK, "write-ahead log, synchronous, with foreign keys: what was saved outlives a power cut"


def _soundness(place):
    if not place.file:
        broken = [name for (name,) in place.ask("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")]
        yield (
            (WRONG, f"Indexes are broken: REINDEX INDEX {', '.join(broken)}")
            if broken
            else (OK, "every index is valid")
        )
        return
    if disk.size(place.file) > READ_THROUGH and not place.deep:
        yield OK, "not read through, as it is large; flask check --deep does"
        return
    damage = [row[0] for row in place.ask("PRAGMA integrity_check(5)") if row[0] != "ok"]
    strays = place.ask("PRAGMA foreign_key_check")
    if damage:
        yield WRONG, f"The file is damaged ({damage[0]}). Stop the server and restore the newest backup."
    if strays:
        yield (
            WRONG,
            f"{len(strays)} rows of {strays[0][0]} point to nothing. Restore a backup, or ask for help with a copy.",
        )
    if not damage and not strays:
        yield OK, "read through, nothing damaged"


def _pool(place):
    if place.file:
        return
    offered = int(place.ask("SHOW max_connections")[0][0]) - int(place.ask("SHOW superuser_reserved_connections")[0][0])
    workers, each = place.settings["WORKERS"], place.connections // (2 if place.settings["REPLICA_URL"] else 1)
    if workers * each > offered:
        yield (
            WARNING,
            (
                f"{workers} workers may ask for {workers * each}, and PostgreSQL gives {offered}: "
                f"set WORKERS to {max(1, offered // each)}, or raise max_connections."
            ),
        )
    else:
        yield OK, f"{workers * each} at most, of {offered}"


def _replica(place):
    address = place.settings["REPLICA_URL"]
    if not address:
        return
    newest = "SELECT max(id) FROM event"
    with closing(open_database(address)) as replica:
        behind = (place.ask(newest)[0][0] or 0) - (replica.execute(newest).fetchone()[0] or 0)
    if behind > 0:
        yield (
            WARNING,
            f"It lacks the last {behind} events, which customers do not see yet. Is it still being written to?",
        )
    else:
        yield OK, "as new as the database itself"


def _photos(place):
    rows = place.ask("SELECT photo.name, repair.code FROM photo JOIN repair ON repair.id = photo.repair_id")
    kept = {path.name: path for path in photos.folder().glob("*/*")}
    expected = {f"{name}{size}.jpg": code for name, code in rows for size in photos.SIDES}
    missing = sorted({code for name, code in expected.items() if name not in kept})
    # A picture's files are there a moment before its row.
    strays = [path for name, path in kept.items() if name not in expected and path.stat().st_mtime < time.time() - 3600]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        yield WRONG, f"Files are missing for {', '.join(missing[:5])}{more}: copy them from a backup's photos."
    if strays:
        yield (
            WARNING,
            f"{len(strays)} files in {photos.folder()} belong to no repair, such as {strays[0].name}; they may go.",
        )
    if not missing and not strays:
        yield OK, f"{len(rows)}, every one with its files"


CHECKS = {
    "Database": _server,
    "Tables": _migrations,
    "Journal": _journal,
    "Soundness": _soundness,
    "Connections": _pool,
    "Replica": _replica,
    "Photos": _photos,
}
