"""Opening hours: a week of them, what is typed for it, and what they mean at a moment. Pure.

A week is seven days, Monday first, each a list of at most two spans: [["09:00", "13:00"], ["14:00", "18:00"]]. A span
that ends at or before its beginning goes on past midnight; 00:00 to 00:00 is the whole day. An empty week says nothing.
Everything goes by the shop's clock on the wall, so that a day of 23 or 25 hours opens and closes as any other.
"""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from flask_babel import gettext as _

_DAY = 24 * 60
_WEEK = 7 * _DAY

Week = list[list[list[str]]]


@dataclass(frozen=True, slots=True)
class State:
    """Whether it is open. at: when that changes, as minutes past midnight; None if it never does.

    days: how many days away that is, 0 for today; weekday: which that is, 0 for Monday.
    """

    open: bool
    at: int | None
    days: int
    weekday: int


# --- what is typed ------------------------------------------------------------------------------


def parse_time(text: str) -> str:
    """A time of day as "09:00". Takes what people write: "9", "9:00", "9.30", "0930", "9:30 pm". Raises ValueError."""
    match = re.fullmatch(r"(\d{1,2})(?:[:.h]?(\d{2}))?\s*(?:([ap])\.?m?\.?)?", text.strip().lower())
    if match:
        hour, minute, half = int(match[1]), int(match[2] or 0), match[3]
        if half and 1 <= hour <= 12:
            hour = hour % 12 + (12 if half == "p" else 0)
        elif half:
            hour = 99
        if (hour, minute) == (24, 0):
            hour = 0
        if hour < 24 and minute < 60:
            return f"{hour:02d}:{minute:02d}"
    raise ValueError(_("Write the time as 09:00."))


def check_day(spans: list[list[str]]) -> None:
    """Refuses a day that cannot be, by raising ValueError with a sentence."""
    if len(spans) == 1 and spans[0][0] == spans[0][1] != "00:00":
        raise ValueError(_("It closes at the time it opens."))
    if len(spans) == 2:
        (opens, pauses), (resumes, closes) = ([_minutes(text) for text in span] for span in spans)
        # Who closes past midnight closes before opening again.
        ends = closes if closes > opens else closes + _DAY
        if not opens < pauses < resumes < ends:
            raise ValueError(_("The break is not between opening and closing."))


def check_week(week: Week) -> dict[int, str]:
    """What is wrong between one day and the next: a sentence for each day that is opened before the last one closed."""
    wrong = {}
    for day, spans in enumerate(week):
        after = week[(day + 1) % 7]
        if spans and after and _minutes(spans[-1][1]) <= _minutes(spans[-1][0]):
            overlap = _minutes(spans[-1][1]) - _minutes(after[0][0])
            if overlap > 0:
                wrong[(day + 1) % 7] = _("It opens before the hours of the day before are over.")
    return wrong


# --- what it means ------------------------------------------------------------------------------


def state(week: Week, now: datetime) -> State | None:
    """How it stands at that moment of the shop's own clock; None for a week that says nothing."""
    if not week:
        return None
    edges = _edges(week)
    here = _minute_of(now)
    if not edges:
        always = any(week)
        return State(always, None, 0, 0)
    position = bisect_right(edges, here)
    at = edges[position % len(edges)] + (_WEEK if position == len(edges) else 0)
    days = at // _DAY - here // _DAY
    # Edges take turns: it opens at the first and closes at the second, or the other way round.
    is_open = _is_open(week, here)
    return State(is_open, at % _DAY, days, at // _DAY % 7)


def period(raw: str, now: datetime) -> int:
    """A number that is another whenever what state() says is, but for midnight. raw: the week as it is kept.

    It is asked for at every poll of every open page, so the week is read once.
    """
    return bisect_right(_kept_edges(raw), _minute_of(now))


@lru_cache(maxsize=1000)
def _kept_edges(raw: str) -> tuple[int, ...]:
    week = json.loads(raw)
    return tuple(_edges(week)) if week else ()


def _edges(week: Week) -> list[int]:
    """The minutes of the week, from Monday's midnight, at which it opens or closes."""
    changes = set()
    for start, end in _spans(week):
        # Where one ends as the next begins, nothing changes.
        changes ^= {start % _WEEK}
        changes ^= {end % _WEEK}
    return sorted(changes)


def _spans(week: Week):
    for day, spans in enumerate(week):
        for opens, closes in spans:
            start, end = _minutes(opens), _minutes(closes)
            yield day * _DAY + start, day * _DAY + (end if end > start else end + _DAY)


def _is_open(week: Week, minute: int) -> bool:
    return any(start <= minute < end or start <= minute + _WEEK < end for start, end in _spans(week))


def _minutes(text: str) -> int:
    hour, _, minute = text.partition(":")
    return int(hour) * 60 + int(minute)


def _minute_of(now: datetime) -> int:
    return now.weekday() * _DAY + now.hour * 60 + now.minute


def lines(week: Week) -> list[tuple[int, int, list[list[str]]]]:
    """The week for people: (first day, last day, spans), where days in a row that are alike are one line."""
    found = []
    for day, spans in enumerate(week):
        if found and found[-1][2] == spans:
            found[-1] = (found[-1][0], day, spans)
        else:
            found.append((day, day, spans))
    return found
