"""Whether this very installation answers at an address. The one place that asks another server anything."""

import http.cookies
import socket
import ssl
from enum import StrEnum
from http.client import HTTPException
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, build_opener

from flask import Flask
from flask_babel import gettext as _

from . import formats


class Found(StrEnum):
    """What is at an address."""

    HERE = "here"
    OTHER = "other"
    ELSEWHERE = "elsewhere"
    NOTHING = "nothing"


class Answer(NamedTuple):
    """What was found; more: why there was no answer, or where it leads."""

    found: Found
    more: str = ""


class _Stay(HTTPRedirectHandler):
    """Goes nowhere but where it was sent."""

    def redirect_request(self, *_):
        return None


def ask(app: Flask, address: str, *, patience: float = 5) -> Answer:
    """Asks an address (of formats.parse_address) whether it is this app: by what only one with its key can say.

    Reads some bytes at most, and follows no redirect.
    """
    open_address = build_opener(_Stay).open
    try:
        with open_address(f"{address}/healthz", timeout=patience) as answer:
            well = answer.read(10) == b"ok\n"
        with open_address(f"{address}/login", timeout=patience) as answer:
            cookies = http.cookies.SimpleCookie("; ".join(answer.headers.get_all("Set-Cookie") or []))
    except HTTPError as problem:
        with problem:
            return _refused(problem)
    except (OSError, HTTPException, http.cookies.CookieError, ValueError) as problem:
        return Answer(Found.NOTHING, _why(problem, patience))
    here = well and any(_is_signed_here(app, morsel.value) for morsel in cookies.values())
    return Answer(Found.HERE if here else Found.OTHER)


def _is_signed_here(app: Flask, cookie: str) -> bool:
    """Whether a session cookie carries this installation's signature."""
    try:
        return bool(app.session_interface.get_signing_serializer(app).loads(cookie))
    except Exception:
        return False


def _refused(problem: HTTPError) -> Answer:
    if problem.code not in {301, 302, 303, 307, 308}:
        return Answer(Found.OTHER, _("error %(code)s", code=problem.code))
    scheme, slashes, rest = problem.headers.get("Location", "").partition("://")
    try:
        return Answer(Found.ELSEWHERE, formats.parse_address(f"{scheme}{slashes}{rest.partition('/')[0]}"))
    except ValueError:
        return Answer(Found.OTHER, _("error %(code)s", code=problem.code))


def _why(problem: Exception, patience: float) -> str:
    """The gist of a failure, in words for the owner of a shop."""
    cause = getattr(problem, "reason", problem)
    if isinstance(cause, socket.gaierror):
        return _("the internet knows no such name")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _("its certificate is not one that browsers trust (%(why)s)", why=cause.verify_message)
    if isinstance(cause, ssl.SSLError):
        return _("it does not speak https")
    if isinstance(cause, TimeoutError):
        return _("no answer within %(seconds)s seconds", seconds=f"{patience:g}")
    if isinstance(cause, ConnectionRefusedError):
        return _("nothing listens there")
    return (str(getattr(cause, "strerror", "") or cause).strip() or type(cause).__name__).splitlines()[0].rstrip(".")
