"""People in processes of their own, who write at random and note what they were told."""

import json
import os
import random
import secrets
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from .person import PATIENCE, Answer, Cut, NotThere, Person

ROOT = Path(__file__).resolve().parents[2]
# They may do everything. They are two, so that a repair's history tells one from the other.
ROLES = ("owner", "manager")
# So many repairs they all work on, and so many of those they took in themselves.
SHARED, OWN = 8, 16


class Journals:
    """What people were told so far; each line is noted after the whole answer was read.

    {"act": the kind of event, "code", "text", "version": the one the form carried}: a write that succeeded;
    {"refused": 409 or 422}; {"failed": what should not be}; {"cut": a request without an answer}; each with "seconds".
    """

    def __init__(self, files: list[Path]):
        self.files = files

    def read(self) -> list[dict]:
        """Every note."""
        lines = (line for file in self.files for line in file.read_text().splitlines(keepends=True))
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_for_more(self, count: int = 1) -> None:
        """Waits until people of so many processes have written again. Raises AssertionError."""
        sizes = {file: file.stat().st_size for file in self.files}
        patience = time.monotonic() + PATIENCE
        while sum(b'"act"' in file.read_bytes()[size:] for file, size in sizes.items()) < count:
            assert time.monotonic() < patience, "people write, and get no answer"
            time.sleep(0.02)


@contextmanager
def at_work(shop, *, processes: int = 4, people: int = 1):
    """So many people in each of so many processes, who write in a stage.Shop until the end; gives their journals."""
    received = [repair["code"] for repair in shop.made["repairs"] if repair["status"] == "received"]
    # The manager sees the main branch alone.
    codes = [code for code in received if "-MN-" in code][:SHARED]
    started, files = [], []
    try:
        for number in range(processes):
            files.append(shop.folder.with_name(f"{shop.folder.name}.journal-{secrets.token_hex(4)}"))
            files[-1].touch()
            sign_in = shop.email(ROLES[number % len(ROLES)]), shop.made["login"]["password"]
            work = json.dumps([shop.port, sign_in, codes, str(files[-1]), people])
            # Away from Ctrl-C: they end when the run ends.
            command = [sys.executable, "-m", "script.trouble.clerks", work]
            started.append(subprocess.Popen(command, cwd=ROOT, start_new_session=True))
        journals = Journals(files)
        journals.wait_for_more(processes)
        yield journals
    finally:
        for process in started:
            process.kill()
            process.wait()


def _work(port: int, sign_in: tuple[str, str], codes: list[str], journal: str, people: int) -> None:
    file = os.open(journal, os.O_WRONLY | os.O_APPEND)
    first = Person(port).sign_in(*sign_in)
    clerks = [Clerk(first.clone(), codes, file, f"{os.getpid()}-{number}") for number in range(people)]
    for clerk in clerks:
        threading.Thread(target=clerk.work).start()


class Clerk:
    """Somebody who takes repairs in, moves them along, and writes notes and promises, one after the other."""

    def __init__(self, person: Person, codes: list[str], journal: int, name: str):
        self._person, self._journal, self._name = person, journal, name
        # The version each repair had when it was last looked at; None: look again.
        self._shared, self._own = dict.fromkeys(codes), {}
        self._random = random.Random(name)
        self._began = 0.0

    def work(self) -> None:
        """Goes on until the process ends."""
        acts = (self._take_in, self._note, self._note, self._advance, self._promise)
        count = 0
        while True:
            count += 1
            self._random.choice(acts)(f"{self._name}, act {count}")

    def _take_in(self, marker: str) -> None:
        key = f"{self._random.getrandbits(128):032x}"
        # Without an answer the same form is sent again, as somebody who reloads the page does: it makes one repair.
        while (answer := self._ask(lambda: self._person.take_in(marker, key))) is None:
            pass
        if answer.status == 303:
            code = answer.location.rpartition("/")[2]
            self._own = dict(list(self._own.items())[1 - OWN :]) | {code: None}
            self._tell(act="received", code=code, text=marker)

    def _note(self, marker: str) -> None:
        self._change("noted", "notes", marker, text=marker)

    def _promise(self, marker: str) -> None:
        at = f"2030-{self._random.randint(1, 12):02}-{self._random.randint(1, 28):02}T12:{self._random.randint(10, 59)}"
        self._change("promised", "promise", marker, promise_pick="custom", promise_at=at, reason=marker)

    def _advance(self, marker: str) -> None:
        self._change("advanced", "advance", "")

    def _change(self, kind: str, verb: str, told: str, **form) -> None:
        repairs = self._random.choice([self._shared, self._own or self._shared])
        code = self._random.choice(list(repairs))
        version, repairs[code] = repairs[code], None
        if version is None:
            page = self._ask(lambda: self._person.get(f"/repairs/{code}"))
            version = page and page.version
        if version is None:
            return
        answer = self._ask(lambda: self._person.send(f"/repairs/{code}/{verb}", version=version, **form))
        if answer and answer.status == 409:
            repairs[code] = answer.version
        elif answer and answer.status == 303:
            repairs[code] = version + 1
            self._tell(act=kind, code=code, version=version, text=told)

    def _ask(self, ask) -> Answer | None:
        self._began = time.monotonic()
        try:
            answer = ask()
        except Cut as problem:
            self._tell(cut=str(problem))
            return None
        except NotThere:
            time.sleep(0.05)
            return None
        if answer.status in {409, 422}:
            self._tell(refused=answer.status)
        elif answer.status not in {200, 303}:
            self._tell(failed=answer.status, text=answer.text[:1000])
        return answer

    def _tell(self, **entry) -> None:
        entry["seconds"] = round(time.monotonic() - self._began, 3)
        # One write, which the system appends as a whole, whoever else writes.
        os.write(self._journal, (json.dumps(entry) + "\n").encode())


if __name__ == "__main__":
    _work(*json.loads(sys.argv[1]))
