"""What a copy of the shop is on the disk: one folder with its database, its photos and the checksums of both.

    readylight-2026-11-23-180000/    made by hand; nightly-…, before-upgrade-… and replaced-… are no different
        readylight.db                or readylight.dump, from PostgreSQL
        photos/3f/3f0c….jpg
        SHA256SUMS                   for `sha256sum -c SHA256SUMS`

Until it is whole and on the disk its name ends in .part.
"""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

SUMS = "SHA256SUMS"
PHOTOS = "photos"
_NAME = re.compile(r"(?P<kind>[a-z-]+)-(?P<stamp>\d{4}-\d\d-\d\d-\d{6})(?P<file>-\d{3}\.(db|dump))?")
_STAMP = "%Y-%m-%d-%H%M%S"
_PICTURE = r"photos/[0-9a-f]{2}/[0-9a-f]+(?:-small)?\.jpg"
_LINE = re.compile(rf"([0-9a-f]{{64}})  (readylight\.[\w-]+|{_PICTURE})")


class Unable(Exception):
    """What was asked for cannot be done, and nothing was changed. The text says why."""


class Damaged(Unable):
    """A copy is not what it was when it was made."""


class Contents(NamedTuple):
    """What a look into a copied database shows."""

    revision: str | None
    repairs: int
    photos: set[str]


@contextmanager
def being_made(parent: Path, kind: str, moment: datetime) -> Iterator[tuple[Path, dict[str, str]]]:
    """Gives a folder to fill, and a dictionary for the checksum of each file in it.

    Afterwards the folder has its name and is on the disk; if anything went wrong, there is none.
    """
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(parent)
    part = _new_part(parent, kind, moment)
    sums = {}
    try:
        with _private(part / SUMS) as file:
            # Held until the folder has its name, by which _sweep sees that somebody is still at work on it.
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield part, sums
            file.writelines(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
            file.flush()
            for place, _, names in os.walk(part):
                bring_to_disk(*(Path(place, name) for name in names), Path(place))
            part.rename(part.with_suffix(""))
        bring_to_disk(parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _new_part(parent: Path, kind: str, moment: datetime) -> Path:
    while True:
        target = parent / f"{kind}-{moment.strftime(_STAMP)}"
        moment += timedelta(seconds=1)
        part = target.with_name(f"{target.name}.part")
        with suppress(FileExistsError):
            if not target.exists():
                part.mkdir(mode=0o700)
                return part


def _private(path: Path):
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")


def bring_to_disk(*paths: Path) -> None:
    """Returns when files, and the names in folders, would outlive a power cut."""
    for path in paths:
        # What has a second name was on the disk before it got this one.
        if path.is_file() and path.stat().st_nlink > 1:
            continue
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError:
            # Not every network share lets a folder be brought to its disk.
            if path.is_file():
                raise
        finally:
            os.close(handle)


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_sums(folder: Path) -> dict[str, str]:
    """The checksum of each file in a copy, as it was when the copy was made. Raises Damaged."""
    try:
        *lines, rest = (folder / SUMS).read_text().split("\n")
    except FileNotFoundError:
        raise Damaged(f"{folder} is no copy that `flask backup` made: it has no {SUMS}.") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise Damaged(f"{folder / SUMS} cannot be read: {problem}.") from None
    found = [_LINE.fullmatch(line) for line in lines]
    if rest or not all(found):
        raise Damaged(f"{folder / SUMS} is damaged.")
    return {line[2]: line[1] for line in found}


def verify(folder: Path) -> list[str]:
    """The names of the files in a copy, every one of them as it was when the copy was made. Raises Damaged."""
    sums = read_sums(folder)
    for name, was in sums.items():
        try:
            if digest(folder / name) != was:
                raise Damaged(f"{folder / name} is damaged: its checksum is another one.")
        except OSError as problem:
            raise Damaged(f"{folder / name} cannot be read: {problem.strerror}.") from None
    for name in (*(path.name for path in folder.glob("readylight.*")), *pictures(folder / PHOTOS)):
        if name not in sums:
            raise Damaged(f"{folder / SUMS} is damaged: it does not know {name}.")
    return [*sums]


def pictures(photos: Path) -> dict[str, Path]:
    """Every picture in a folder of photos, by its name in a copy. What else somebody has put there is not ours."""
    found = {f"{PHOTOS}/{path.parent.name}/{path.name}": path for path in photos.glob("*/*.jpg")}
    return {name: path for name, path in found.items() if re.fullmatch(_PICTURE, name)}


def files_of(photos: Iterable[str]) -> list[str]:
    """The files that photos of these names have, as repairs.photos keeps them and as a copy names them."""
    return [f"{PHOTOS}/{name[:2]}/{name}{size}.jpg" for name in sorted(photos) for size in ("", "-small")]


def made(parent: Path, kind: str = "") -> list[tuple[datetime, Path]]:
    """When the copies of a kind (or of every kind) in a folder were made, and where they are, oldest first.

    Moments are the shop's time of day. Copies as version 1.0.0 made them, single files, are among them.
    """
    found = []
    with suppress(OSError):
        for path in parent.iterdir():
            name = _NAME.fullmatch(path.name)
            if not name or kind not in {"", name["kind"]} or path.is_symlink():
                continue
            if path.is_file() if name["file"] else (path / SUMS).exists():
                with suppress(ValueError):
                    found.append((datetime.strptime(name["stamp"], _STAMP), path))
    return sorted(found)


def keep_newest(parent: Path, count: int, kind: str, now: datetime) -> None:
    """Removes all but the newest copies of a kind. Raises Unable."""
    # What seems to be made after now was made when the clock was wrong. It is older than what was made since. Only that
    # copies made in the same second are named for the seconds after it.
    now += timedelta(minutes=1)
    oldest_first = sorted(made(parent, kind), key=lambda copy: (copy[0] <= now, copy))
    for _, old in oldest_first[:-count]:
        try:
            _discard(old)
        except OSError as problem:
            raise Unable(f"The copy {old} is no longer needed and cannot be removed: {problem.strerror}.") from None


def _sweep(parent: Path) -> None:
    """Removes what is left of copies whose making was broken off."""
    for part in parent.glob("*.part"):
        with suppress(OSError):
            if _NAME.fullmatch(part.stem):
                with (part / SUMS).open("r+") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _discard(part)


def _discard(copy: Path) -> None:
    if copy.is_file():
        copy.unlink()
        return
    # Half of a copy must not pass for one: it loses its name first, and last the file by which it is swept away.
    part = copy if copy.suffix == ".part" else copy.rename(copy.with_name(f"{copy.name}.part"))
    for path in part.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != SUMS:
            path.unlink()
    shutil.rmtree(part)
