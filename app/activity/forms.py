"""What people look for in the record: its query string. Junk becomes no filter, never an error."""

import re
from datetime import UTC, date, datetime, timedelta

from wtforms import Form as QueryForm
from wtforms import IntegerField, StringField

from .. import formats, rules

GROUPS = {**rules.KIND_GROUPS, **rules.DEED_GROUPS}


class _ActivityQuery(QueryForm):
    who = IntegerField()
    kind = StringField(default="")
    branch = IntegerField()
    code = StringField(default="", filters=[formats.clean_line, lambda text: text[:20]])
    since = StringField(name="from", default="")
    until = StringField(name="to", default="")
    before = StringField(default="")


class ActivityFilter:
    """The record's query string. held_to: the branch that whoever asks is held to; None for an owner.

    since, until: days, as dates; start, end: the moments that these begin and are over, in the shop's zone.
    before: where the page before this one ended, as a Place.
    """

    def __init__(self, args, zone: str, held_to: int | None = None):
        query = _ActivityQuery(args)
        self.who: int | None = _number(query.who.data)
        self.kind: str = query.kind.data if query.kind.data in GROUPS else ""
        self.branch: int | None = held_to or _number(query.branch.data)
        self.code: str = query.code.data.upper()
        self.since, self.until = _day(query.since.data), _day(query.until.data)
        self.start: datetime | None = self.since and _midnight(self.since, zone)
        self.end: datetime | None = self.until and _midnight(self.until + timedelta(days=1), zone)
        self.before: Place | None = Place.read(query.before.data)
        self._held_to = held_to

    @property
    def is_any(self) -> bool:
        """Whether something is looked for."""
        chosen = None if self._held_to else self.branch
        return any((self.who, self.kind, chosen, self.code, self.since, self.until))

    def query(self, **changes) -> dict:
        """The query string with changes, without what is no filter."""
        branch = None if self._held_to else self.branch
        wanted = {"who": self.who, "kind": self.kind, "branch": branch, "code": self.code}
        wanted |= {"from": self.since, "to": self.until} | changes
        return {name: str(value) for name, value in wanted.items() if value}


class Place:
    """A place in the record: right after a line of it. Lines of one moment go by their source, then by their number."""

    def __init__(self, at: datetime, source: str, number: int):
        self.at, self.source, self.number = at, source, number

    def __str__(self):
        return f"{self.at.astimezone(UTC):%Y%m%dT%H%M%S.%f}-{self.source}{self.number}"

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """The place that a text names; None for any other text."""
        parts = re.fullmatch(r"(\d{8}T\d{6}\.\d{6})-([ea])(\d{1,10})", text or "", re.ASCII)
        try:
            return parts and cls(datetime.strptime(f"{parts[1]}+0000", "%Y%m%dT%H%M%S.%f%z"), parts[2], int(parts[3]))
        except ValueError:
            return None


def _number(number: int | None) -> int | None:
    return number if 0 < (number or 0) < 2**31 else None


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # No shop is older, and neither database takes every year that a date can have.
    return day if 2000 <= day.year <= 2100 else None


def _midnight(day: date, zone: str) -> datetime:
    return formats.from_local_input(f"{day}T00:00", zone)
