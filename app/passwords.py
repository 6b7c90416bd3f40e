"""Passwords: hashed, compared, and refused when others would try them first."""

import re
import secrets
import threading
from functools import lru_cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import current_app
from flask_babel import gettext as _

from .crowd import holding

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200


def init_app(app):
    """The hash's cost: OWASP's second choice for argon2id, 19 MiB, so that a small machine bears several at once.

    https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
    """
    app.config.setdefault("ARGON2", {"time_cost": 2, "memory_cost": 19456, "parallelism": 1})


# Each hash takes 19 MiB while it is worked out: however many knock at once, two at a time in each process.
_two_at_a_time = threading.BoundedSemaphore(2)


def hash_password(password: str) -> str:
    """An argon2id hash, with its cost and salt in it."""
    with holding(_two_at_a_time):
        return _hasher().hash(password)


def password_matches(password: str, password_hash: str | None) -> bool:
    """Whether it is the password. Takes as long when there is no hash to compare with."""
    known_hash = password_hash or _nobodys_hash(**current_app.config["ARGON2"])
    try:
        with holding(_two_at_a_time):
            return _hasher().verify(known_hash, password) and bool(password_hash)
    except (VerificationError, InvalidHashError):
        return False


def check_password(password: str, *known: str) -> None:
    """Refuses a password that is short or easily guessed, by raising ValueError with a sentence.

    known: words that go with the person or the shop. No rule about kinds of characters:
    https://pages.nist.gov/800-63-3/sp800-63b.html#memsecret
    """
    if len(password) < SHORTEST_PASSWORD:
        raise ValueError(
            _(
                "Use %(least)s characters or more. A few words in a row are easy to keep in mind.",
                least=SHORTEST_PASSWORD,
            )
        )
    if len(password) > LONGEST_PASSWORD:
        raise ValueError(_("Use %(most)s characters or fewer.", most=LONGEST_PASSWORD))
    plain = password.casefold()
    whole, stems = _common_passwords()
    stem = re.sub(r"[\W\d_]", "", plain)
    repeated = re.fullmatch(r"(.{1,6}?)\1+.{0,5}", plain) is not None
    row = any(plain in run * 3 or plain in (run * 3)[::-1] for run in ("1234567890", "abcdefghijklmnopqrstuvwxyz"))
    letters = _letters(plain)
    names = {_letters(word) for text in known for word in (text, text.partition("@")[0])}
    personal = any(len(name) > 3 and name in letters and len(letters) - len(name) < 6 for name in names)
    if plain in whole or stem in stems or repeated or row or personal or len(set(plain)) < 5:
        raise ValueError(_("This password is one of the first that others would try. Choose another."))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold())


def _hasher():
    return PasswordHasher(**current_app.config["ARGON2"])


@lru_cache
def _nobodys_hash(**cost):
    return PasswordHasher(**cost).hash(secrets.token_hex())


@lru_cache
def _common_passwords():
    lines = (Path(__file__).parent / "common_passwords.txt").read_text().splitlines()
    gap = lines.index("")
    return frozenset(lines[1:gap]), frozenset(lines[gap + 1 :])
