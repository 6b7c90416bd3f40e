"""A disk without room."""

import io
import os
import subprocess
from contextlib import closing, contextmanager
from pathlib import Path

from PIL import Image
from sqlalchemy import Engine, select

from app.models import Photo

from .books import Books
from .person import Answer, Person
from .stage import Shop, opened

ROOM = "16m"


class NotAllowed(Exception):
    """No small disk can be made here. The text says why."""


def run(folder: Path) -> dict:
    """Fills the disk of a shop, tries everything, restarts it, and makes room again; gives the figures."""
    with _small_disk(folder), opened(folder / "shop", WORKERS=2) as shop:
        with Day(shop) as day:
            day.save_everything(303)
            with _filled(folder):
                day.save_everything(503)
                day.look_at_everything()
                shop.kill()
                shop.start()
                day.save_everything(503)
                day.look_at_everything()
            day.save_everything(303)
        engine = shop.engine()
        books = Books(engine)
        books.check(day.told)
        stray = _stray_files(shop, engine)
        engine.dispose()
    return {
        "writes refused": day.refused,
        "pages looked at meanwhile": day.seen,
        "acknowledged writes lost": sum(problem.startswith("LOST") for problem in books.wrong),
        "stray files": len(stray),
        "wrong": day.wrong + books.wrong + stray,
    }


class Day:
    """What people do in the shop, and what they are told."""

    def __init__(self, shop: Shop):
        self._owner, self._customer = shop.staff("owner"), Person(shop.port)
        self._shop, self._sign_in = shop, (shop.email("manager"), shop.made["login"]["password"])
        repair = next(each for each in shop.made["repairs"] if each["status"] == "received")
        self._path, self._code, self._token = f"/repairs/{repair['code']}", repair["code"], repair["token"]
        self._count = self.refused = self.seen = 0
        self.told: list[dict] = []
        self.wrong: list[str] = []

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self._owner.close()
        self._customer.close()

    def save_everything(self, status: int) -> None:
        """Saves something in every way there is; each is to be answered with this status."""
        # The server may have been away since.
        self._owner.close()
        self._customer.close()
        self._count += 1
        answer = self._owner.take_in(f"Repair {self._count}")
        if self._is("intake", answer, status):
            self.told.append({"act": "received", "code": answer.location[9:], "text": f"Repair {self._count}"})
        text = f"Note {self._count} {'and more ' * 100}".strip()
        self._change("noted", text, status, lambda version: self._send("notes", version, text=text))
        self._change("advanced", "", status, lambda version: self._send("advance", version))
        picture = _picture()
        photo = f"{self._path}/photos"
        self._change("photo_added", "1 photo", status, lambda v: self._owner.send_photo(photo, v, picture))
        with closing(Person(self._shop.port)) as colleague:
            self._is("sign-in", colleague.try_to_sign_in(*self._sign_in), status)

    def look_at_everything(self) -> None:
        """Reads what staff, customers and strangers read."""
        for path in ("/repairs", self._path, "/repairs?q=lamp", "/repairs/new", "/customers", "/account"):
            self._is(path, self._owner.get(path), 200)
        for path in (f"/t/{self._token}", f"/t/{self._token}/live", "/login", "/static/css/tokens.css", "/healthz"):
            self._is(path, self._customer.get(path), 200)
        self._is("an unknown link", self._customer.get("/t/" + "a" * 22), 404)
        self.seen += 12

    def _change(self, kind: str, text: str, status: int, send) -> None:
        version = self._owner.get(self._path).version
        if self._is(kind, send(version), status):
            self.told.append({"act": kind, "code": self._code, "text": text, "version": version})

    def _send(self, verb: str, version: int, **form) -> Answer:
        return self._owner.send(f"{self._path}/{verb}", version=version, **form)

    def _is(self, what: str, answer: Answer, status: int) -> bool:
        """Notes what is not as it should be; whether something was saved."""
        if answer.status != status:
            self.wrong.append(f"{what} was answered {answer.status}, not {status}: {answer.text[-300:]}")
        if answer.status == 503:
            self.refused += 1
            if "The disk is full" not in answer.text or "Nothing was changed" not in answer.text:
                self.wrong.append(f"{what} was refused without the reason: {answer.text[-300:]}")
        return answer.status == 303


def _picture() -> bytes:
    """A photo that no compression makes small."""
    file = io.BytesIO()
    Image.effect_noise((1600, 1200), 90).save(file, "JPEG", quality=90)
    return file.getvalue()


def _stray_files(shop: Shop, engine: Engine) -> list[str]:
    with engine.connect().execution_options(reads_only=True) as connection:
        names = connection.scalars(select(Photo.name)).all()
    kept = {f"{name}{size}.jpg" for name in names for size in ("", "-small")}
    there = {file.name for file in (shop.folder / "photos").rglob("*") if file.is_file()}
    return [f"{name} is nobody's" for name in there - kept] + [f"{name} is missing" for name in kept - there]


@contextmanager
def _small_disk(folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "readylight-faults", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotAllowed(done.stderr.strip() or "mount failed")
    try:
        yield
    finally:
        # Lazily: whoever still has a file open there keeps it until then.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def _filled(folder: Path):
    """Leaves no room on the disk, not even for a byte."""
    file = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT)
    try:
        for size in (64 * 1024, 4096, 1):
            try:
                while True:
                    os.write(file, b"x" * size)
            except OSError:
                continue
        yield
    finally:
        os.close(file)
        (folder / "filler").unlink()
