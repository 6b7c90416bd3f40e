"""What is wrong with an installation, and what to do about it. Looks and changes nothing.

It has to work when little else does: the database is read in plain SQL, on a connection that cannot write.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from flask import Flask

from . import database, machine, shop
from .place import WRONG, Installation, first_line, open_database


class Finding(NamedTuple):
    """One thing that was looked at: what, ok, warning or wrong, and a sentence."""

    about: str
    state: str
    text: str


def findings(app: Flask, *, deep: bool = False, online: bool = False) -> Iterator[Finding]:
    """Everything there is to say, in the order in which it is best put right.

    deep: also reads through a large database. online: also asks the public address whether it is this shop.
    """
    place = Installation(app, deep=deep, online=online)
    for about, check in machine.CHECKS.items():
        yield from _look(about, check, place)
    try:
        place.database = open_database(app.config["SQLALCHEMY_DATABASE_URI"])
    except Exception as problem:  # Whatever its driver raises, which is loaded only by whoever needs it.
        yield Finding("Database", WRONG, f"{first_line(problem)}. What is in it was not looked at.")
        return
    with closing(place.database):
        for about, check in (database.CHECKS | shop.CHECKS).items():
            yield from _look(about, check, place)


def _look(about, check, place) -> Iterator[Finding]:
    try:
        for state, sentence in check(place):
            yield Finding(about, state, sentence)
    except Exception as problem:
        # A table that is not there, a file that nobody may read: whatever it is, the rest is worth looking at.
        yield Finding(about, WRONG, f"This could not be looked at: {first_line(problem)}.")
