"""The demo: whatever it invents must be a shop that the counter itself could have led to."""

import json
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from app import formats, found_by, passwords, rules
from app.db import db, utcnow
from app.demo import fill as demo
from app.demo import stories, tables
from app.models import Branch, Customer, Event, Repair, Shop, Staff
from app.repairs import actions
from app.rules import Kind, Role, Status

URL = "http://localhost:8000"
# An afternoon; then when a shop looks odd: at night, on a Sunday, around midnight, where summer time begins and ends.
MOMENTS = [
    datetime(2026, 11, 23, 14, 5, tzinfo=UTC),
    datetime(2026, 11, 23, 3, 0, tzinfo=UTC),
    datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
    datetime(2027, 1, 1, 0, 7, tzinfo=UTC),
    datetime(2026, 6, 30, 22, 58, 30, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
    datetime(2026, 10, 26, 9, 30, tzinfo=UTC),
]


@pytest.fixture
def made(app):
    """The demo of 60 repairs, in the database, and what the command would print about it."""
    return demo.fill(60, public_url=URL)


def book(count: int, now: datetime | None = None) -> tuple[list[dict], list[dict], list[dict]]:
    """Customers, repairs and events of a demo of that size, without a database."""
    clock = stories.Clock(now or MOMENTS[0])
    pages = list(demo.Book(stories.visits(count, clock), clock).pages())
    return tuple([row for page in pages for row in page[part]] for part in range(3))


def repairs() -> list[Repair]:
    """All repairs in the database, oldest first."""
    return list(db.session.scalars(select(Repair).order_by(Repair.id)))


def standing(repair: Repair) -> list[rules.Move]:
    """The moves that led to where the repair is."""
    return rules.standing_moves(repair.events)


# --- histories ----------------------------------------------------------------------------------


def test_every_demo_history_leads_to_its_status(made):
    assert len(repairs()) == 60
    for repair in repairs():
        moves = standing(repair)
        assert (moves[-1].new if moves else Status.RECEIVED) == repair.status, repair.code
        assert rules.paused_from(moves) == repair.paused_from, repair.code


def allowed(event: Event, status: Status, before: list[Event]) -> Status:
    """What the rules say that a move leads to."""
    moves = rules.standing_moves(before)
    if event.kind == Kind.ADVANCED:
        return rules.advance(status)
    if event.kind == Kind.JUMPED:
        return rules.jump(status, Status(event.new))
    if event.kind == Kind.PAUSED:
        return rules.pause(status)
    if event.kind == Kind.RESUMED:
        return rules.resume(status, rules.paused_from(moves))
    return rules.cancel(status) if event.kind == Kind.CANCELLED else rules.revert(moves)[0]


def test_every_demo_history_is_one_that_the_rules_allow(made):
    for repair in repairs():
        intake, *later = repair.events
        assert (intake.kind, intake.old, intake.new) == (Kind.RECEIVED, None, Status.RECEIVED)
        status = Status.RECEIVED
        for number, event in enumerate(later, start=1):
            assert event.kind != Kind.RECEIVED
            if event.kind in rules.MOVES | {Kind.REVERTED}:
                assert event.old == status, repair.code
                assert event.new == allowed(event, status, repair.events[:number]), repair.code
                status = Status(event.new)
            elif event.kind == Kind.PROMISED:
                assert status not in rules.CLOSED


def test_everyone_in_a_demo_history_may_do_what_they_did(made):
    permissions = {
        Kind.PAUSED: "repairs.pause",
        Kind.RESUMED: "repairs.resume",
        Kind.CANCELLED: "repairs.cancel",
        Kind.REVERTED: "repairs.revert",
        Kind.LINK_REPLACED: "repairs.link",
    }
    for event in db.session.scalars(select(Event)):
        if event.kind in {Kind.ADVANCED, Kind.JUMPED}:
            rules.demand_mover(Role(event.staff.role), Status(event.old), Status(event.new))
        elif event.kind in permissions:
            rules.demand(Role(event.staff.role), permissions[event.kind])
        assert event.staff.branch_id in {None, event.repair.branch_id} or event.staff.role == Role.MANAGER


def test_a_demo_repair_agrees_with_its_events(made):
    for repair in repairs():
        events = repair.events
        moves = [event for event in events if event.kind in rules.MOVES | {Kind.RECEIVED, Kind.REVERTED}]
        promises = [event for event in events if event.kind == Kind.PROMISED]
        assert repair.version == len(events)
        assert repair.received_at == events[0].at
        assert repair.moved_at == moves[-1].at
        assert repair.changed_at == events[-1].at <= utcnow()
        assert all(earlier.at < later.at for earlier, later in pairwise(events)), repair.code
        assert repair.promised_at == (promises[-1].new_promise if promises else None)
        assert [event.old for event in promises] == [None, *(event.new for event in promises)][: len(promises)]
        assert all(bool(event.text) == bool(event.old) for event in promises), "a changed promise has a reason"


def test_what_is_said_in_a_demo_history_is_said_to_the_right_people(made):
    for event in db.session.scalars(select(Event)):
        if event.kind in {Kind.NOTED, Kind.EDITED}:
            assert event.text
            assert not event.public
        if event.kind == Kind.UPDATED:
            assert event.text
            assert event.public
        if event.kind == Kind.CANCELLED and not event.text:
            assert not event.public


def test_a_story_that_could_not_happen_is_refused():
    with pytest.raises(rules.Refused):
        stories.outline("pause")
    with pytest.raises(rules.Refused):
        stories.outline("diagnosing pause ready")


# --- numbers ------------------------------------------------------------------------------------


def test_demo_codes_are_unique_and_each_branch_goes_on_counting(made):
    codes = [repair.code for repair in repairs()]
    assert len({*codes}) == 60
    for branch in db.session.scalars(select(Branch)):
        numbers = [f"TH-{branch.code}-R{number:04d}" for number in range(1, branch.next_number)]
        assert [code for code in codes if f"-{branch.code}-" in code] == numbers
        assert numbers


def test_demo_codes_rise_with_the_time_of_intake(made):
    received = [repair.received_at for repair in repairs()]
    assert received == sorted(received)


def test_after_the_demo_the_counter_takes_in_the_next_repair(made):
    """On PostgreSQL this needs the sequences to know of the ids that were given."""
    branch = db.session.scalars(select(Branch).where(Branch.code == "MN")).one()
    number = branch.next_number
    repair = actions.take_in(
        db.session.get(Shop, 1),
        branch.id,
        by=db.session.scalars(select(Staff).where(Staff.role == Role.OWNER)).one(),
        phone="+447700900099",
        name="Newcomer",
        email="",
        note="",
        promised_at=None,
        key="",
        item="Radio",
        problem="Hums.",
        serial="",
        accessories="",
        technician_id=None,
        estimate=None,
    )
    assert repair.code == f"TH-MN-R{number:04d}"
    assert repair.id > max(other.id for other in repairs() if other is not repair)


def test_demo_rows_are_found_by_the_words_that_the_counter_would_have_kept(made):
    for repair in repairs():
        assert repair.search == found_by.of_repair(repair.code, repair.item, repair.serial, repair.customer.search)
    for customer in db.session.scalars(select(Customer)):
        assert customer.search == found_by.of_customer(customer.name, customer.phone, customer.email)


def test_demo_moments_are_kept_in_the_form_in_which_the_shop_looks_for_them(made):
    for repair in repairs():
        same = select(Repair.id).where(Repair.id == repair.id, Repair.received_at == repair.received_at)
        if repair.promised_at:
            same = same.where(Repair.promised_at == repair.promised_at)
        assert db.session.scalar(same) == repair.id
        last = select(Event.id).where(Event.repair_id == repair.id, Event.at == repair.changed_at)
        assert db.session.scalar(last) == repair.events[-1].id


def test_demo_phones_are_possible_and_each_belongs_to_one_customer():
    phones = [demo._phone(number) for number in range(0, tables.PHONES, 97)]
    assert len({*phones}) == len(phones)
    assert all(formats.parse_phone(phone, "GB") == phone for phone in phones)
    fixed = [*(case.customer[1] for case in tables.CASES), tables.SHOP["whatsapp"], tables.BRANCHES[1]["whatsapp"]]
    assert len({*fixed}) == len(fixed)
    assert not {*fixed} & {demo._phone(number) for number in range(tables.MOBILES)}


def test_some_demo_customers_come_again_and_some_only_once(made):
    times = db.session.execute(select(func.count()).select_from(Repair).group_by(Repair.customer_id)).scalars().all()
    assert 1 in times
    assert max(times) > 1


@pytest.mark.parametrize("count", [1, 5, 12, 13, 59, 61, tables.BATCH, tables.BATCH + 1])
def test_the_demo_makes_as_many_repairs_as_were_asked_for(count):
    _, rows, _ = book(count)
    assert [row["id"] for row in rows] == list(range(1, count + 1))


def test_the_demo_is_the_same_every_time_but_for_the_tokens():
    once, again = book(200), book(200)
    tokens = [[row.pop("token") for row in part[1]] for part in (once, again)]
    assert once == again
    assert not {*tokens[0]} & {*tokens[1]}


# --- states -------------------------------------------------------------------------------------


def test_a_demo_of_sixty_shows_every_state(made):
    now, rows = utcnow(), repairs()
    start, end = formats.day_bounds(tables.ZONE, now)
    waiting = [repair for repair in rows if repair.status == Status.WAITING_PARTS]
    cancelled = [standing(repair)[-1] for repair in rows if repair.status == Status.CANCELLED]
    kinds = {event.kind for repair in rows for event in repair.events}
    assert {repair.status for repair in rows} == {*Status}
    assert any(repair.is_late(now) for repair in rows)
    assert {repair.promised_at is None for repair in waiting} == {True, False}
    assert any(repair.promised_at and start <= repair.promised_at < end and not repair.closed for repair in rows)
    assert {(bool(move.text), move.public) for move in cancelled} == {(True, True), (True, False), (False, False)}
    # A demo has no photos, nobody in it was merged or erased, and what it tells holds.
    left_out = {Kind.PHOTO_ADDED, Kind.PHOTO_REMOVED, Kind.CUSTOMER_CHANGED, Kind.ERASED, Kind.UPDATE_TAKEN_BACK}
    assert kinds == {*Kind} - left_out
    assert any(repair.promised_at is None and not repair.closed for repair in rows)
    assert any(len(repair.problem) > 500 for repair in rows)
    assert any(len(repair.customer.name) > 40 for repair in rows)
    assert any("\u0590" <= letter <= "\u06ff" for repair in rows for letter in repair.customer.name)
    assert {repair.branch.code for repair in rows} == {"MN", "RV"}
    assert 0.5 <= sum(not repair.closed for repair in rows) / len(rows) <= 0.7


@pytest.mark.parametrize("now", MOMENTS, ids=str)
def test_the_demo_is_believable_at_any_hour(now):
    _, rows, events = book(300, now)
    start, end = formats.day_bounds(tables.ZONE, now)
    assert all(event["at"] <= now for event in events)
    for _, story in groupby(events, key=lambda event: event["repair_id"]):
        assert all(earlier["at"] < later["at"] for earlier, later in pairwise(story))
    for row in rows:
        assert row["promised_at"] is None or row["promised_at"] > row["received_at"], row["code"]
    unfinished = [row for row in rows if row["status"] not in rules.CLOSED | {Status.READY} and row["promised_at"]]
    assert any(start <= row["promised_at"] < end and row["promised_at"] > now for row in unfinished), "due today"
    late = [row for row in unfinished if row["promised_at"] <= now]
    assert late
    assert all(row["promised_at"] > now - timedelta(days=4) for row in late)
    assert any(row["status"] == Status.READY and row["moved_at"] >= start for row in rows), "ready today"


def test_a_day_at_the_demo_s_bench_has_opening_hours():
    _, rows, events = book(2000)
    before_today = [event["at"] for event in events if event["at"].date() < MOMENTS[0].date()]
    assert all(at.weekday() != tables.SUNDAY for at in before_today)
    assert {at.astimezone(ZoneInfo(tables.ZONE)).hour for at in before_today} <= {*range(9, 19)}
    assert all(row["promised_at"] is None or row["promised_at"].weekday() != tables.SUNDAY for row in rows)


def test_of_many_demo_repairs_most_were_handed_back_long_ago():
    _, rows, _ = book(12_000)
    still = [row for row in rows if row["status"] not in rules.CLOSED]
    assert len(still) < 400
    assert all(row["received_at"] > MOMENTS[0] - timedelta(days=40) for row in still)
    assert rows[0]["received_at"] < MOMENTS[0] - timedelta(days=200)


# --- what is printed ----------------------------------------------------------------------------


def test_the_demo_s_json_says_how_to_sign_in_and_where_to_look(runner):
    answer = runner.invoke(args=["demo", "--json"])
    assert answer.exit_code == 0, answer.output
    made = json.loads(answer.output)
    assert made.keys() == {"login", "staff", "repairs"}
    assert made["login"].keys() == {"email", "password"}
    assert [person.keys() for person in made["staff"]] == [{"name", "role", "email"}] * 7
    assert {person["role"] for person in made["staff"]} == {*Role}
    assert [repair.keys() for repair in made["repairs"]] == [{"code", "status", "token", "url"}] * 50
    kept = {repair.token: repair for repair in repairs()}
    for repair in made["repairs"]:
        assert kept[repair["token"]].code == repair["code"]
        assert kept[repair["token"]].status == repair["status"]


def test_a_demo_link_is_the_one_that_the_shop_gives_out(made):
    shop = db.session.get(Shop, 1)
    assert shop.public_url == URL
    for repair in made["repairs"]:
        assert repair["url"] == f"{shop.public_url}/t/{repair['token']}"
        assert len(repair["token"]) == len(formats.new_token())


def test_everyone_of_the_demo_signs_in_with_the_password_it_names(made):
    password = made["login"]["password"]
    staff = {person.email: person for person in db.session.scalars(select(Staff))}
    assert staff[made["login"]["email"]].role == Role.OWNER
    assert staff.keys() == {person["email"] for person in made["staff"]}
    for person in staff.values():
        assert passwords.password_matches(password, person.password_hash)
        passwords.check_password(password, person.name, person.email, tables.SHOP["name"])


def test_the_demo_tells_a_person_who_to_sign_in_as_and_three_links(made):
    said = demo.describe(made)
    statuses = {repair["url"]: repair["status"] for repair in made["repairs"]}
    links = [line.split()[-1] for line in said.splitlines() if "/t/" in line]
    assert [statuses[link] for link in links] == [Status.REPAIRING, Status.WAITING_PARTS, Status.READY]
    assert made["login"]["password"] in said
    for role in Role:
        assert any(role.label in line and "@example.com" in line for line in said.splitlines())
    first = db.session.scalars(select(Repair).where(Repair.token == links[0].rpartition("/")[2])).one()
    assert first.promised_at > utcnow(), "the first link has a countdown"


def test_the_smallest_demo_can_be_described(runner):
    answer = runner.invoke(args=["demo", "--repairs", "1"])
    assert answer.exit_code == 0, answer.output
    assert answer.output.count("/t/") == 1


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        lambda: Staff(name="Ann", email="ann@example.com", password_hash="", role=Role.OWNER),
        lambda: Customer(name="Ann", phone="+447700900099", email=""),
        lambda: Shop(
            code="AB", name="A", country="GB", timezone="Europe/London", currency="GBP", phone="", public_url=""
        ),
    ],
    ids=["staff", "customer", "shop"],
)
def test_the_demo_leaves_a_database_alone_that_has_something_in_it(runner, row):
    db.session.add(row())
    db.session.commit()
    answer = runner.invoke(args=["demo"])
    assert answer.exit_code == 1
    assert "empty database" in answer.output
    assert repairs() == []
    assert db.session.scalars(select(Branch)).all() == []


def test_the_demo_does_not_go_into_a_demo(made):
    with pytest.raises(demo.NotEmpty):
        demo.fill(60, public_url=URL)
    assert len(repairs()) == 60


def test_a_demo_that_fails_leaves_nothing_behind(app, monkeypatch):
    def fail():
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(demo, "_set_sequences", fail)
    with pytest.raises(RuntimeError):
        demo.fill(60, public_url=URL)
    db.session.rollback()
    for model in (Shop, Branch, Staff, Customer, Repair, Event):
        assert db.session.scalars(select(model)).all() == []
