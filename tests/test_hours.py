"""Opening hours: what may be typed, and what they mean at any moment of the week."""

import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app import formats, hours

LISBON = ZoneInfo("Europe/Lisbon")
NINE_TO_SIX = [["09:00", "18:00"]]
BREAK = [["09:00", "13:00"], ["14:00", "18:00"]]
OFFICE = [NINE_TO_SIX] * 5 + [[], []]
NEVER = [[]] * 7
ALWAYS = [[["00:00", "00:00"]]] * 7
BAR = [[], [], [], [], [["18:00", "02:00"]], [["18:00", "02:00"]], []]


def said(week, text, country="GB"):
    """The sign on the door at that moment: "Mon 08:59" of a week in June."""
    day, clock = text.split()
    first = datetime.fromisoformat(f"2026-06-01T{clock}").replace(tzinfo=LISBON)
    days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].index(day)
    return formats.opening(hours.state(week, first + timedelta(days=days)), country)


@pytest.mark.parametrize(
    ("week", "moment", "sign"),
    [
        (OFFICE, "Mon 00:00", "Opens today at 09:00"),
        (OFFICE, "Mon 08:59", "Opens today at 09:00"),
        (OFFICE, "Mon 09:00", "Open until 18:00"),
        (OFFICE, "Mon 17:59", "Open until 18:00"),
        (OFFICE, "Mon 18:00", "Opens Tuesday 09:00"),
        (OFFICE, "Mon 23:59", "Opens Tuesday 09:00"),
        (OFFICE, "Fri 18:00", "Opens Monday 09:00"),
        (OFFICE, "Sat 12:00", "Opens Monday 09:00"),
        (OFFICE, "Sun 23:59", "Opens Monday 09:00"),
        ([BREAK] * 7, "Wed 12:59", "Open until 13:00"),
        ([BREAK] * 7, "Wed 13:00", "Opens today at 14:00"),
        ([BREAK] * 7, "Wed 14:00", "Open until 18:00"),
        ([BREAK] * 7, "Sun 18:00", "Opens Monday 09:00"),
        # Past midnight.
        (BAR, "Fri 17:59", "Opens today at 18:00"),
        (BAR, "Fri 23:59", "Open until 02:00"),
        (BAR, "Sat 01:59", "Open until 02:00"),
        (BAR, "Sat 02:00", "Opens today at 18:00"),
        (BAR, "Sun 01:00", "Open until 02:00"),
        (BAR, "Sun 02:00", "Opens Friday 18:00"),
        ([[]] * 6 + [[["20:00", "04:00"]]], "Mon 03:59", "Open until 04:00"),
        ([[]] * 6 + [[["20:00", "04:00"]]], "Mon 04:00", "Opens Sunday 20:00"),
        # Up to midnight, and from it.
        ([[["08:00", "00:00"]]] * 7, "Tue 23:59", "Open until 00:00"),
        ([[["08:00", "00:00"]]] * 7, "Tue 00:00", "Opens today at 08:00"),
        ([[["22:00", "00:00"]], [["00:00", "06:00"]]] + [[]] * 5, "Mon 23:00", "Open until 06:00"),
        ([[["00:00", "00:00"]]] * 5 + [[], []], "Mon 12:00", "Open until Saturday 00:00"),
        # One day alone, and none.
        ([NINE_TO_SIX] + [[]] * 6, "Mon 18:00", "Opens next Monday 09:00"),
        ([NINE_TO_SIX] + [[]] * 6, "Tue 00:00", "Opens Monday 09:00"),
        (NEVER, "Wed 12:00", "Closed at present"),
        (ALWAYS, "Wed 12:00", "Open day and night"),
    ],
)
def test_the_sign_on_the_door(week, moment, sign):
    assert said(week, moment) == sign


def test_a_week_that_says_nothing_has_no_sign():
    assert hours.state([], datetime(2026, 6, 1, tzinfo=LISBON)) is None
    assert hours.period("[]", datetime(2026, 6, 1, tzinfo=LISBON)) == 0


def test_times_are_written_as_the_country_writes_them():
    assert said(OFFICE, "Mon 10:00", "US").replace("\u202f", " ") == "Open until 6:00 PM"
    assert formats.opening_hours(BREAK, "GB") == "09:00–13:00, 14:00–18:00"
    assert formats.opening_hours([], "GB") == "Closed"
    assert formats.opening_hours([["00:00", "00:00"]], "GB") == "Day and night"


@pytest.mark.parametrize(
    ("utc", "sign"),
    [
        # Lisbon goes from 01:00 to 02:00 on 29 March 2026, and from 02:00 back to 01:00 on 25 October.
        ("2026-03-29T00:59", "Opens today at 01:30"),
        ("2026-03-29T01:00", "Open until 05:00"),
        ("2026-03-29T03:59", "Open until 05:00"),
        ("2026-03-29T04:00", "Opens Monday 01:30"),
        ("2026-10-25T00:29", "Opens today at 01:30"),
        ("2026-10-25T00:31", "Open until 05:00"),
        ("2026-10-25T01:10", "Opens today at 01:30"),
        ("2026-10-25T01:30", "Open until 05:00"),
        ("2026-10-25T05:00", "Opens Monday 01:30"),
    ],
)
def test_on_the_days_when_the_clocks_change_the_clock_on_the_wall_counts(utc, sign):
    """As the hour comes twice, what the sign says by the clock on the wall comes twice too."""
    now = datetime.fromisoformat(f"{utc}+00:00").astimezone(LISBON)
    assert formats.opening(hours.state([[["01:30", "05:00"]]] * 7, now), "GB") == sign


@pytest.mark.parametrize("week", [OFFICE, [BREAK] * 7, BAR, NEVER, ALWAYS, [NINE_TO_SIX] + [[]] * 6])
def test_the_number_changes_whenever_the_sign_does(week):
    """All but midnight, which the page's tag knows by itself."""
    raw, now = json.dumps(week), datetime(2026, 6, 1, tzinfo=LISBON)
    before = None
    for _ in range(8 * 24 * 4):
        here = (now.toordinal(), hours.period(raw, now)), hours.state(week, now)
        if before and here[1] != before[1]:
            assert here[0] != before[0], now
        before = here
        now += timedelta(minutes=15)


@pytest.mark.parametrize(
    ("typed", "time"),
    [
        *(("09:00", "09:00"), ("9", "09:00"), ("9:05", "09:05"), ("9.30", "09:30"), ("0930", "09:30")),
        *(("9h30", "09:30"), (" 9 am ", "09:00"), ("9:30 PM", "21:30"), ("12 am", "00:00"), ("12pm", "12:00")),
        *(("9 p.m.", "21:00"), ("24:00", "00:00"), ("00:00", "00:00"), ("23:59", "23:59"), ("٩", "09:00")),
    ],
)  # fmt: skip
def test_a_time_is_read_as_people_write_it(typed, time):
    assert hours.parse_time(typed) == time


@pytest.mark.parametrize("typed", ["", "x", "25", "9:60", "24:01", "-1", "13 pm", "0 am", "9:5", "09:00:00", "²"])
def test_what_is_no_time_is_refused_in_a_sentence(typed):
    with pytest.raises(ValueError, match="Write the time as"):
        hours.parse_time(typed)


@pytest.mark.parametrize("spans", [[], NINE_TO_SIX, BREAK, [["18:00", "02:00"]], [["00:00", "00:00"]]])
def test_a_day_that_can_be(spans):
    hours.check_day(spans)
    hours.check_day([["18:00", "22:00"], ["23:00", "02:00"]])


@pytest.mark.parametrize(
    "spans",
    [
        [["09:00", "09:00"]],
        [["09:00", "09:00"], ["14:00", "18:00"]],
        [["09:00", "08:00"], ["14:00", "18:00"]],
        [["09:00", "14:00"], ["13:00", "18:00"]],
        [["09:00", "14:00"], ["14:00", "18:00"]],
        [["09:00", "19:00"], ["20:00", "18:00"]],
        [["09:00", "13:00"], ["18:00", "18:00"]],
    ],
)
def test_a_day_that_cannot_be_is_refused(spans):
    with pytest.raises(ValueError, match=r"^(The break|It closes)"):
        hours.check_day(spans)


def test_a_day_that_begins_before_the_last_one_is_over_is_told():
    week = [[["18:00", "10:00"]], NINE_TO_SIX] + [[]] * 5
    assert hours.check_week(week) == {1: "It opens before the hours of the day before are over."}
    sunday = [NINE_TO_SIX] + [[]] * 5 + [[["20:00", "09:30"]]]
    assert hours.check_week(sunday) == {0: "It opens before the hours of the day before are over."}
    assert hours.check_week(BAR) == hours.check_week(ALWAYS) == hours.check_week(OFFICE) == {}


def test_days_in_a_row_that_are_alike_are_one_line():
    assert hours.lines(OFFICE) == [(0, 4, NINE_TO_SIX), (5, 6, [])]
    assert hours.lines([NINE_TO_SIX, BREAK, NINE_TO_SIX, [], [], [], []])[:3] == [
        (0, 0, NINE_TO_SIX),
        (1, 1, BREAK),
        (2, 2, NINE_TO_SIX),
    ]
