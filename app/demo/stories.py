"""Repairs as they happen: stories played by the rules and laid on the shop's opening hours."""

import heapq
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import NamedTuple
from zoneinfo import ZoneInfo

from .. import formats, rules
from ..rules import Kind, Role, Status
from .tables import (
    BRANCHES,
    CASES,
    CLOSED,
    CLOSES,
    GOODS,
    OPEN,
    OPEN_DAY,
    OPENS,
    PACE,
    SAYINGS,
    STAFF,
    STAFF_IDS,
    SUNDAY,
    YEARS,
    ZONE,
    Plan,
)

# --- time ---------------------------------------------------------------------------------------


class Clock:
    """Turns "so many open seconds ago" into moments of the shop's opening hours, Sundays left out."""

    def __init__(self, now: datetime):
        self.now = now
        self._here = here = now.astimezone(ZoneInfo(ZONE))
        midnight = formats.day_bounds(ZONE, now)[0]
        opened = datetime.combine(here.date(), OPENS, here.tzinfo).astimezone(UTC)
        # Who tries the demo at night or on a Sunday finds the shop open for two hours all the same.
        self._today = int((now - max(midnight, min(opened, now - timedelta(hours=2)))).total_seconds())
        days = (here.date() - timedelta(days=back) for back in range(1, (YEARS + 1) * 366))
        self._closings = [
            datetime.combine(day, CLOSES, here.tzinfo).astimezone(UTC) for day in days if day.weekday() != SUNDAY
        ]

    def at(self, ago: int) -> datetime:
        """The moment so many open seconds ago."""
        if ago <= self._today:
            return self.now - timedelta(seconds=ago)
        day, seconds = divmod(ago - self._today, OPEN_DAY)
        return self._closings[day] - timedelta(seconds=seconds)

    def evening(self, days: int) -> datetime:
        """Closing time in so many days, or on the next one if that is a Sunday. Today's is still ahead at any hour."""
        if days and (self._here + timedelta(days=days)).weekday() == SUNDAY:
            days += 1 if days > 0 else -1
        evening = formats.pick("today", ZONE, self._here + timedelta(days=days)).astimezone(UTC)
        if days or evening > self.now + timedelta(hours=1):
            return evening
        later = (self.now + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
        return min(later, formats.day_bounds(ZONE, self.now)[1].astimezone(UTC) - timedelta(seconds=1))


def span(count: int) -> int:
    """How long the shop has been open, in open seconds: five weeks for a small one, years for a large one."""
    return min(YEARS * 300, 30 + count // 40) * OPEN_DAY


# --- stories ------------------------------------------------------------------------------------


class Beat(NamedTuple):
    """A word of a story, played: the event it becomes, but for when, who and what is said."""

    word: str
    kind: str
    old: str | None
    new: str | None
    role: str
    public: bool = False
    # Nothing yet, but the rules read them.
    at: None = None
    text: str = ""


class Outline(NamedTuple):
    """A story, played: its events and where it leads. pace: how long each takes, beside the others."""

    beats: tuple[Beat, ...]
    status: str
    paused_from: str | None
    pace: tuple[float, ...]
    promises: int


# The words that move nothing: what they become, who says them, whether the customer reads them.
WORDS = {
    "promise": (Kind.PROMISED, Role.FRONT_DESK, False),
    "slip": (Kind.PROMISED, Role.FRONT_DESK, True),
    "remark": (Kind.NOTED, Role.FRONT_DESK, False),
    "note": (Kind.NOTED, Role.TECHNICIAN, False),
    "tell": (Kind.UPDATED, Role.TECHNICIAN, True),
    "part": (Kind.UPDATED, Role.FRONT_DESK, True),
    "edit": (Kind.EDITED, Role.FRONT_DESK, False),
    "link": (Kind.LINK_REPLACED, Role.MANAGER, False),
}


@cache
def outline(story: str) -> Outline:
    """Plays a story, from intake on. Its words: those of WORDS, statuses to go to, pause, resume, undo, cancel…

    Raises rules.Refused for a story that could not happen.
    """
    beats = [Beat("received", Kind.RECEIVED.value, None, Status.RECEIVED.value, Role.FRONT_DESK.value)]
    status, held = Status.RECEIVED, None
    for word in story.split():
        if word in WORDS:
            kind, role, public = WORDS[word]
            beats.append(Beat(word, kind.value, None, None, role.value, public))
            continue
        kind, new, role = _turn(word, status, held, beats)
        beats.append(Beat(word, kind.value, status.value, new.value, role.value, word == "cancel_told"))
        status, held = new, rules.paused_from(rules.standing_moves(beats))
    return Outline(
        beats=tuple(beats),
        status=status.value,
        paused_from=held.value if held else None,
        pace=tuple(PACE.get(beat.word, 1) for beat in beats),
        promises=sum(beat.kind == Kind.PROMISED for beat in beats),
    )


def _turn(word, status, held, beats) -> tuple[Kind, Status, Role]:
    if word == "undo":
        return Kind.REVERTED, rules.revert(rules.standing_moves(beats))[0], Role.MANAGER
    if word == "pause":
        return Kind.PAUSED, rules.pause(status), Role.TECHNICIAN
    if word == "resume":
        return Kind.RESUMED, rules.resume(status, held), Role.TECHNICIAN
    if word.startswith("cancel"):
        return Kind.CANCELLED, rules.cancel(status), Role.MANAGER
    to = Status(word)
    role = next(r for r in (Role.TECHNICIAN, Role.FRONT_DESK, Role.MANAGER) if r in rules.movers(status, to))
    if to == rules.next_step(status):
        return Kind.ADVANCED, rules.advance(status), role
    return Kind.JUMPED, rules.jump(status, to), role


# --- visits -------------------------------------------------------------------------------------


class Visit(NamedTuple):
    """A repair before it has its number. ages: each event, in open seconds ago; texts: what each says."""

    ages: list[int]
    texts: list[str]
    story: str
    promises: list[datetime]
    branch: int
    technician_id: int | None
    goods: dict
    # The position in CASES, for one of those.
    case: int | None = None


def visits(count: int, clock: Clock) -> Iterator[Visit]:
    """That many visits, in the order in which they came in. About 60 of 100 are open; of many, far fewer."""
    rng = random.Random(7)
    by_hand = [_by_hand(number, clock) for number in range(min(count, len(CASES)))]
    wanted = min(3000, round(0.6 * min(count, 60) + 0.02 * max(count - 60, 0)))
    still = max(0, wanted - sum(outline(visit.story).status not in rules.CLOSED for visit in by_hand))
    still = min(still, count - len(by_hand))
    now = [_open(rng, clock) for _ in range(still)]
    recent = sorted(by_hand + now, key=_age)
    yield from heapq.merge(_closed(rng, clock, count - len(recent), span(count)), recent, key=_age)


def _age(visit: Visit) -> int:
    return -visit.ages[0]


def _by_hand(number: int, clock: Clock) -> Visit:
    case = CASES[number]
    return Visit(
        # A second from one event to the next, where the table has them at the same time.
        ages=[int(entry[0] * 3600) - second for second, entry in enumerate(case.story)],
        texts=[entry[2] if len(entry) > 2 else "" for entry in case.story],
        story=" ".join(entry[1] for entry in case.story[1:]),
        promises=[clock.evening(days) for days in case.due],
        branch=case.branch,
        technician_id=STAFF_IDS.get(case.technician),
        goods={name: getattr(case, name) for name in ("item", "problem", "serial", "accessories", "estimate")},
        case=number,
    )


def _open(rng: random.Random, clock: Clock) -> Visit:
    """A repair that is in the shop."""
    plan = rng.choice(_OPEN)
    start = int(rng.uniform(*plan.days) * OPEN_DAY)
    end = max(300, int(start * rng.uniform(0.05, 0.6)))
    days = rng.randint(*plan.due)
    promises = outline(plan.story).promises
    return _invent(rng, plan, start, end, [clock.evening(days - 2 * more) for more in reversed(range(promises))])


def _closed(rng: random.Random, clock: Clock, count: int, span: int) -> Iterator[Visit]:
    """Repairs that are over, spread evenly over the shop's years."""
    newest = 2 * OPEN_DAY
    for left in range(count, 0, -1):
        plan = rng.choice(_CLOSED)
        start = newest + int((span - newest) * (left - rng.random()) / count)
        days = rng.uniform(*plan.days)
        end = start - min(int(days * OPEN_DAY), start * 9 // 10)
        yield _invent(rng, plan, start, end, _promises(clock.at(start), days, outline(plan.story).promises))


def _promises(received: datetime, days: float, count: int) -> list[datetime]:
    """What the desk would have promised on that day; each further promise is a week later."""
    pick = "tomorrow" if days < 1.5 else "3_days" if days < 3 else "1_week"
    first = formats.pick(pick, ZONE, received)
    if first.weekday() == SUNDAY:
        first = formats.pick("tomorrow", ZONE, first)
    return [first.astimezone(UTC) + timedelta(weeks=week) for week in range(count)]


def _invent(rng: random.Random, plan: Plan, start: int, end: int, promises: list[datetime]) -> Visit:
    """A visit from start to end, in open seconds ago, with one of the things that people bring."""
    played = outline(plan.story)
    marks = list(accumulate(pace * (0.5 + rng.random()) for pace in played.pace))
    per_mark = (start - end) / (marks[-1] or 1)
    goods = rng.choice(_GOODS)
    fault = rng.choice(goods.faults)
    said = {
        "note": fault.found,
        "tell": fault.told,
        "part": f"We have ordered {fault.part} and go on as soon as it is here.",
    }
    prefix, figures = goods.serial
    branch = int(rng.random() < 0.35)
    technician = rng.choice(_BENCH[branch])
    return Visit(
        ages=[start - int(mark * per_mark) - second for second, mark in enumerate(marks)],
        texts=[
            said[beat.word] if beat.word in said else rng.choice(SAYINGS[beat.word]) if beat.word in SAYINGS else ""
            for beat in played.beats
        ],
        story=plan.story,
        promises=promises,
        branch=branch,
        # What has not been looked at may not be anybody's yet.
        technician_id=None if played.status == Status.RECEIVED and rng.random() < 0.6 else technician,
        goods={
            "item": rng.choice(goods.items),
            "problem": fault.problem,
            "serial": f"{prefix}{rng.randrange(10**figures):0{figures}d}" if rng.random() < 0.8 else "",
            "accessories": rng.choice(goods.accessories),
            "estimate": rng.randint(*fault.price) * 100 if rng.random() < 0.85 else None,
        },
    )


_GOODS = [goods for goods in GOODS for _ in range(goods.parts)]
_OPEN = [plan for plan in OPEN for _ in range(plan.parts)]
_CLOSED = [plan for plan in CLOSED for _ in range(plan.parts)]
_BENCH = [
    [STAFF_IDS[who.name] for who in STAFF if who.role == Role.TECHNICIAN and who.branch == branch]
    for branch in range(len(BRANCHES))
]
