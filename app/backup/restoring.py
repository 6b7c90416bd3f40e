"""Brings a copy back: all of it is verified before anything is replaced, and what was there is kept.

Photos are added first. They never change, so the shop's present rows do not mind; then the database is replaced, in one
step; then the photos go that it does not know. So wherever it is broken off, the shop is the old one or the new one.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.engine import make_url

from ..db import revisions
from . import copies, postgresql, sqlite
from .copies import PHOTOS, Contents, Damaged, Unable
from .making import kind_of_database, link_or_copy, make, make_of_ruins

# Sign-ins that were ended since the copy was made must not come back with it.
FORGET = "sign_in"


class Found(NamedTuple):
    """A copy that can be restored: its database where it can take the present one's place, and what its rows name."""

    database: Path
    contents: Contents
    photos: dict[str, Path]
    # What is neither in the copy nor in the shop.
    missing: list[str]


@contextmanager
def reading(copy: Path, *, url: str, photos: Path) -> Iterator[Found]:
    """Verifies a copy and gives what is in it. Raises Unable, or Damaged.

    copy: a folder that `make` made, or the single file of a database, as version 1.0.0 made it.
    """
    database = kind_of_database(url)
    file, pictures = _read_file(copy) if copy.is_file() else _read_folder(copy)
    if file.suffix != Path(database.FILE).suffix:
        other = postgresql if database is sqlite else sqlite
        name = {sqlite: "SQLite", postgresql: "PostgreSQL"}
        raise Unable(f"This copy is of a {name[other]} database, and the shop's is {name[database]}.")
    try:
        staged = database.stage(make_url(url), file)
    except OSError as problem:
        raise Unable(f"The copy cannot be brought to the data folder: {problem.strerror}.") from problem
    try:
        contents = database.look_into(staged)
        _demand_known(contents.revision, file)
        needed = copies.files_of(contents.photos)
        missing = [name for name in needed if name not in pictures and not (photos.parent / name).exists()]
        yield Found(staged, contents, {name: pictures[name] for name in needed if name in pictures}, missing)
    finally:
        database.unstage(staged)


def _read_folder(copy: Path) -> tuple[Path, dict[str, Path]]:
    names = copies.verify(copy)
    databases = [name for name in names if name in {sqlite.FILE, postgresql.FILE}]
    if not databases:
        raise Damaged(f"There is no database in {copy}.")
    return copy / databases[0], {name: copy / name for name in names if name.startswith(f"{PHOTOS}/")}


def _read_file(copy: Path) -> tuple[Path, dict[str, Path]]:
    if copy.with_name(f"{copy.name}-wal").exists():
        raise Unable(f"{copy} was copied from a shop in use and is not whole: {copy.name}-wal lies beside it.")
    beside = copy.with_name(f"{PHOTOS}-{copy.stem.partition('-')[2]}")
    return copy, copies.pictures(beside)


def _demand_known(revision: str | None, file: Path) -> None:
    known = revisions()
    if revision is None:
        raise Unable(f"{file} is no database of Readylight.")
    if revision not in known:
        raise Unable(
            f"The copy is newer than this program: its database is at {revision}, which this version does not know. "
            "Install the newer version first."
        )


def replace(found: Found, *, url: str, photos: Path, keep_in: Path, moment: datetime) -> Path | None:
    """Puts a copy in the place of the present database and photos, and gives where these are kept, if there were any.

    Raises Unable; then the shop is as it was.
    """
    database = kind_of_database(url)
    database.demand_unused(make_url(url))
    kept = _keep(url=url, photos=photos, keep_in=keep_in, moment=moment)
    try:
        for name, source in found.photos.items():
            _add_photo(source, photos.parent / name)
        copies.bring_to_disk(*{(photos.parent / name).parent for name in found.photos}, photos.parent)
        database.replace(make_url(url), found.database, forget=FORGET)
    except OSError as problem:
        raise Unable(f"The copy could not be put in its place: {problem.strerror or problem}.") from problem
    needed = {*copies.files_of(found.contents.photos)}
    for name, picture in copies.pictures(photos).items():
        if name not in needed:
            with suppress(OSError):
                picture.unlink()
    return kept


def _keep(*, url: str, photos: Path, keep_in: Path, moment: datetime) -> Path | None:
    database = kind_of_database(url)
    if not database.exists(make_url(url)) and not copies.pictures(photos):
        return None
    if database.may_be_opened(make_url(url)):
        try:
            return make("replaced", keep_in, url=url, photos=photos, moment=moment).folder
        except Unable:
            if database is not sqlite:
                raise
    # It may well be because it is damaged that it is replaced.
    return make_of_ruins(keep_in, url=url, photos=photos, moment=moment).folder


def _add_photo(source: Path, target: Path) -> None:
    if target.exists() and (target.samefile(source) or copies.digest(target) == copies.digest(source)):
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    link_or_copy(source, part)
    copies.bring_to_disk(part)
    part.replace(target)
