"""Makes copies: of the database and of the photos, whole even while the shop works."""

import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from ..db import db, utcnow
from ..models import Shop
from . import copies, postgresql, sqlite
from .copies import PHOTOS, Unable


class Copy(NamedTuple):
    """A copy that was made: where, and which files of its photos the shop itself does not have any more."""

    folder: Path
    missing: list[str]


def kind_of_database(url: str):
    """The module that knows databases of that kind: sqlite or postgresql."""
    return sqlite if make_url(url).get_backend_name() == "sqlite" else postgresql


def shop_zone(url: str) -> str:
    """The name of the shop's time zone, or "" where there is no shop."""
    # A look must not make the database that is not there, nor make it worse.
    with suppress(SQLAlchemyError):
        if kind_of_database(url).may_be_opened(make_url(url)):
            with db.engine.connect().execution_options(reads_only=True) as connection:
                return connection.scalar(select(Shop.timezone)) or ""
    return ""


def time_in(zone: str) -> datetime:
    """Now, as a clock in that zone shows it; this machine's clock for a zone that is not known."""
    known = None
    with suppress(ZoneInfoNotFoundError, ValueError):
        known = ZoneInfo(zone) if zone else None
    return utcnow().astimezone(known).replace(tzinfo=None, microsecond=0)


def make(kind: str, parent: Path, *, url: str, photos: Path | None, moment: datetime) -> Copy:
    """Copies the database, and the photos unless that is None, into a new folder within a folder. Raises Unable."""
    database = kind_of_database(url)
    try:
        with copies.being_made(parent, kind, moment) as (part, sums):
            earlier = _newest_with_photos(parent)
            # A photo has its files before its row and loses them after it. Those that are there before the database is
            # copied and those that are there afterwards are together all that its rows name.
            if photos:
                _copy_photos(photos, part, sums, earlier)
            database.copy(make_url(url), part / database.FILE)
            if photos:
                _copy_photos(photos, part, sums, earlier)
            contents = database.look_into(part / database.FILE)
            sums[database.FILE] = copies.digest(part / database.FILE)
            missing = [name for name in copies.files_of(contents.photos) if photos and name not in sums]
        return Copy(part.with_suffix(""), missing)
    except OSError as problem:
        raise Unable(f"The copy could not be written to {parent}: {problem.strerror or problem}.") from problem


def make_of_ruins(parent: Path, *, url: str, photos: Path, moment: datetime) -> Copy:
    """Copies the files of a database that nobody uses as they are, and the photos. Raises Unable."""
    try:
        with copies.being_made(parent, "replaced", moment) as (part, sums):
            _copy_photos(photos, part, sums, _newest_with_photos(parent))
            sqlite.copy_as_it_is(make_url(url), part)
            sums.update({file.name: copies.digest(file) for file in part.glob(f"{sqlite.FILE}*")})
        return Copy(part.with_suffix(""), [])
    except OSError as problem:
        raise Unable(f"What is there now could not be kept in {parent}: {problem.strerror or problem}.") from problem


class _Earlier(NamedTuple):
    folder: Path
    sums: dict[str, str]


def _newest_with_photos(parent: Path) -> _Earlier:
    for _, folder in reversed(copies.made(parent)):
        with suppress(Unable):
            sums = copies.read_sums(folder)
            if any(name.startswith(PHOTOS) for name in sums):
                return _Earlier(folder, sums)
    return _Earlier(parent, {})


def _copy_photos(source: Path, part: Path, sums: dict[str, str], earlier: _Earlier) -> None:
    """Copies the pictures that are not in the copy yet.

    A picture never changes, and its name is never used again. On the same disk its copy is a second name for it, which
    takes neither time nor room; so it is on another disk that an earlier copy is on, and its checksum is known.
    """
    for name, picture in copies.pictures(source).items():
        if name in sums:
            continue
        target = part / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Removed a moment ago.
        with suppress(FileNotFoundError):
            if name in earlier.sums and _is_like(picture, earlier.folder / name):
                link_or_copy(earlier.folder / name, target)
                sums[name] = earlier.sums[name]
            else:
                link_or_copy(picture, target)
                sums[name] = copies.digest(target)


def _is_like(picture: Path, copied: Path) -> bool:
    try:
        return picture.stat().st_size == copied.stat().st_size
    except FileNotFoundError:
        return False


def link_or_copy(source: Path, target: Path) -> None:
    """Gives a file a second name, or a copy where that cannot be. Raises FileNotFoundError when it is gone."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o600)
