"""Somebody who uses the shop over HTTP, and knows which of their requests were answered."""

import http.client
import re
import secrets
import time
from typing import NamedTuple
from urllib.parse import urlencode

HOST = "127.0.0.1"
# No answer may take longer, whatever happens.
PATIENCE = 60


class Cut(Exception):
    """A request had no answer: whether it was worked on, nobody knows."""


class NotThere(Exception):
    """Nobody listens: the request was certainly not worked on."""


class Answer(NamedTuple):
    """An answer that arrived as a whole."""

    status: int
    location: str
    text: str
    seconds: float

    @property
    def version(self) -> int | None:
        """The version that the page's forms carry."""
        found = re.search(r'name="version" value="(\d+)"', self.text)
        return int(found[1]) if found else None


class Person:
    """A browser without pictures: one connection, cookies, and the token of its forms."""

    def __init__(self, port: int):
        self._connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
        self._cookies: dict[str, str] = {}
        self.csrf_token = ""

    @property
    def cookie(self) -> str:
        """The header that says who asks."""
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())

    def get(self, path: str) -> Answer:
        """Looks at a page. Raises Cut, NotThere."""
        return self.ask("GET", path, None, {})

    def send(self, path: str, **form: object) -> Answer:
        """Sends a form. Raises Cut, NotThere."""
        body = urlencode({"csrf_token": self.csrf_token} | form)
        return self.ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})

    def ask(self, method: str, path: str, body: str | bytes | None, headers: dict) -> Answer:
        """Sends a request and reads the whole answer. Raises Cut, NotThere."""
        began = time.monotonic()
        try:
            self._connection.request(method, path, body, headers | {"Cookie": self.cookie})
            response = self._connection.getresponse()
            text = response.read().decode()
        except ConnectionRefusedError as problem:
            self._connection.close()
            raise NotThere(str(problem)) from None
        except (OSError, http.client.HTTPException) as problem:
            self._connection.close()
            raise Cut(f"{method} {path}: {problem!r}") from None
        for line in response.headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        location = response.headers.get("Location", "").removeprefix(f"http://{HOST}:{self._connection.port}")
        return Answer(response.status, location, text, time.monotonic() - began)

    def send_photo(self, path: str, version: int, picture: bytes) -> Answer:
        """Sends a picture. Raises Cut, NotThere."""
        fields = {"csrf_token": self.csrf_token, "version": version}
        parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
        parts.append(b'name="photos"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n' + picture)
        body = (
            b"".join(b"--cut\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--cut--\r\n"
        )
        return self.ask("POST", path, body, {"Content-Type": "multipart/form-data; boundary=cut"})

    def try_to_sign_in(self, email: str, password: str) -> Answer:
        """Sends the sign-in form. Raises Cut, NotThere."""
        self.csrf_token = _token(self.get("/login"))
        return self.send("/login", email=email, password=password)

    def sign_in(self, email: str, password: str) -> "Person":
        """Signs in. Raises Cut, NotThere, and AssertionError when it is refused."""
        answer = self.try_to_sign_in(email, password)
        assert answer.status == 303, f"signing in was answered {answer.status}"
        self.csrf_token = _token(self.get("/repairs/new"))
        return self

    def take_in(self, problem: str, key: str = "") -> Answer:
        """Sends the intake form, for a customer of their own. A form sent again has the same key and problem."""
        key = key or secrets.token_hex(16)
        phone = f"+6681{int(key[:12], 16) % 10**7:07d}"
        return self.send(
            "/repairs/new",
            phone=phone,
            name=f"Customer {phone[-7:]}",
            item="Lamp",
            problem=problem,
            note="From the street",
            branch=1,
            technician=0,
            promise_pick="none",
            key=key,
        )

    def clone(self) -> "Person":
        """The same person at another counter, on a connection of their own."""
        other = Person(self._connection.port)
        other._cookies, other.csrf_token = dict(self._cookies), self.csrf_token
        return other

    def close(self) -> None:
        """Hangs up."""
        self._connection.close()


def _token(page: Answer) -> str:
    return re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
