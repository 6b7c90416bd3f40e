"""The shop's rules, against tables written from the design and not from the code."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import rules
from app.rules import Forbidden, Kind, Refused, Role, Status

# What each status lets one do: where advance leads, where jump may lead, whether it can be paused, cancelled.
FLOW = {
    "received": ("diagnosing", "diagnosing repairing testing ready delivered", "", "cancelled"),
    "diagnosing": ("repairing", "repairing testing ready delivered", "waiting_parts", "cancelled"),
    "waiting_parts": ("", "", "", "cancelled"),
    "repairing": ("testing", "testing ready delivered", "waiting_parts", "cancelled"),
    "testing": ("ready", "ready delivered", "waiting_parts", "cancelled"),
    "ready": ("delivered", "delivered", "", "cancelled"),
    "delivered": ("", "", "", ""),
    "cancelled": ("", "", "", ""),
}

STEPS = ["received", "diagnosing", "waiting_parts", "repairing", "testing", "ready", "delivered"]

# Who has which permission: Owner, Manager, Technician, Front desk.
PERMISSIONS = {
    "repairs.view": "OMTF",
    "repairs.take_in": "OMTF",
    "repairs.edit": "OMTF",
    "repairs.note": "OMTF",
    "repairs.update": "OMTF",
    "repairs.take_back": "OM",
    "repairs.promise": "OMTF",
    "repairs.advance": "OMTF",
    "repairs.jump": "OMTF",
    "repairs.pause": "OMT",
    "repairs.resume": "OMT",
    "repairs.revert": "OM",
    "repairs.cancel": "OM",
    "repairs.link": "OM",
    "repairs.hand_over": "OM",
    "repairs.photo": "OMT",
    "customers.view": "OMTF",
    "customers.edit": "OMF",
    "customers.merge": "OM",
    "customers.export": "OM",
    "customers.erase": "O",
    "activity.view": "OM",
    "exchange.export": "OM",
    "exchange.import": "OM",
    "settings": "O",
}
REFUSALS = {
    "repairs.pause": "Only an owner, a manager or a technician may pause a repair.",
    "repairs.resume": "Only an owner, a manager or a technician may resume a repair.",
    "repairs.revert": "Only an owner or a manager may undo a move.",
    "repairs.cancel": "Only an owner or a manager may cancel a repair.",
    "repairs.link": "Only an owner or a manager may replace a tracking link.",
    "repairs.hand_over": "Only an owner or a manager may give a repair to another customer.",
    "repairs.take_back": "Only whoever told it, an owner or a manager may take it back.",
    "repairs.photo": "Only an owner, a manager or a technician may add or remove photos.",
    "customers.edit": "Only an owner, a manager or the front desk may change a customer.",
    "customers.merge": "Only an owner or a manager may merge customers.",
    "customers.export": "Only an owner or a manager may export a customer's data.",
    "customers.erase": "Only an owner may erase a customer.",
    "activity.view": "Only an owner or a manager may see the shop's record.",
    "exchange.export": "Only an owner or a manager may export repairs.",
    "exchange.import": "Only an owner or a manager may import customers and repairs.",
    "settings": "Only an owner may change the settings.",
}
LETTERS = {"O": "owner", "M": "manager", "T": "technician", "F": "front_desk"}

# Who may make which move forward.
MOVERS = {
    ("received", "diagnosing"): "OMT",
    ("received", "repairing"): "OMT",
    ("received", "testing"): "OMT",
    ("received", "ready"): "OM",
    ("received", "delivered"): "OM",
    ("diagnosing", "repairing"): "OMT",
    ("diagnosing", "testing"): "OMT",
    ("diagnosing", "ready"): "OM",
    ("diagnosing", "delivered"): "OM",
    ("repairing", "testing"): "OMT",
    ("repairing", "ready"): "OM",
    ("repairing", "delivered"): "OM",
    ("testing", "ready"): "OM",
    ("testing", "delivered"): "OM",
    ("ready", "delivered"): "OMF",
}
WHO = {
    "OMT": "an owner, a manager or a technician",
    "OM": "an owner or a manager",
    "OMF": "an owner, a manager or the front desk",
}

PROGRESS = {
    "received": 0,
    "diagnosing": 17,
    "waiting_parts": 33,
    "repairing": 50,
    "testing": 67,
    "ready": 83,
    "delivered": 100,
    "cancelled": None,
}


def roles(letters):
    return {LETTERS[letter] for letter in letters}


def outcome(move, *args):
    """Where a move leads, "" when it is refused."""
    try:
        return move(*args)
    except Refused:
        return ""


# --- the flow -----------------------------------------------------------------------------------


def test_the_statuses_are_those_of_the_design():
    assert [*Status] == [*FLOW]
    assert [*rules.STEPS] == STEPS


@pytest.mark.parametrize("status", FLOW)
def test_advance_takes_the_next_step_or_is_refused(status):
    assert outcome(rules.advance, Status(status)) == FLOW[status][0]
    assert rules.next_step(Status(status)) == (FLOW[status][0] or None)


@pytest.mark.parametrize(("status", "to"), list(product(FLOW, FLOW)))
def test_a_jump_leads_to_a_later_step_or_is_refused(status, to):
    expected = to if to in FLOW[status][1].split() else ""
    assert outcome(rules.jump, Status(status), Status(to)) == expected


@pytest.mark.parametrize("status", FLOW)
def test_the_menu_of_jumps_offers_exactly_what_is_allowed(status):
    assert [*rules.later_steps(Status(status))] == FLOW[status][1].split()


@pytest.mark.parametrize("status", FLOW)
def test_only_work_on_the_bench_can_be_paused(status):
    assert outcome(rules.pause, Status(status)) == FLOW[status][2]


@pytest.mark.parametrize(("status", "held"), list(product(FLOW, [None, "diagnosing", "repairing", "testing"])))
def test_resume_leads_back_to_exactly_the_status_it_was_paused_from(status, held):
    expected = held if status == "waiting_parts" and held else ""
    assert outcome(rules.resume, Status(status), held and Status(held)) == expected


@pytest.mark.parametrize("status", FLOW)
def test_anything_but_a_closed_repair_can_be_cancelled(status):
    assert outcome(rules.cancel, Status(status)) == FLOW[status][3]


def test_a_repair_only_just_received_has_nothing_to_revert():
    with pytest.raises(Refused, match="only just received"):
        rules.revert([])


@pytest.mark.parametrize(
    ("move", "sentence"),
    [
        (lambda: rules.advance(Status.DELIVERED), "A closed repair has no next step."),
        (lambda: rules.advance(Status.CANCELLED), "A closed repair has no next step."),
        (
            lambda: rules.advance(Status.WAITING_PARTS),
            "While it waits for parts, a repair can only be resumed or cancelled.",
        ),
        (
            lambda: rules.jump(Status.WAITING_PARTS, Status.READY),
            "While it waits for parts, a repair can only be resumed or cancelled.",
        ),
        (
            lambda: rules.jump(Status.READY, Status.TESTING),
            "A repair cannot jump from Ready to Testing.",
        ),
        (lambda: rules.pause(Status.RECEIVED), "A repair cannot be paused while it is at Received."),
        (lambda: rules.resume(Status.REPAIRING, None), "Only a repair that waits for parts can be resumed."),
        (lambda: rules.cancel(Status.DELIVERED), "A delivered repair cannot be cancelled."),
        (lambda: rules.cancel(Status.CANCELLED), "This repair is cancelled already."),
    ],
)
def test_a_refusal_is_a_sentence_for_the_person_who_asked(move, sentence):
    with pytest.raises(Refused) as refusal:
        move()
    assert str(refusal.value) == sentence
    assert not isinstance(refusal.value, Forbidden)


# --- roles --------------------------------------------------------------------------------------


def test_the_permissions_are_those_of_the_design():
    assert {*rules.PERMISSIONS} == {*PERMISSIONS}


@pytest.mark.parametrize(("permission", "role"), list(product(PERMISSIONS, Role)))
def test_a_role_may_do_what_the_design_gives_it(permission, role):
    may = role in roles(PERMISSIONS[permission])
    assert rules.may(role, permission) is may
    if may:
        rules.demand(role, permission)
    else:
        with pytest.raises(Forbidden) as refusal:
            rules.demand(role, permission)
        assert str(refusal.value) == REFUSALS[permission]


def test_an_unknown_permission_is_a_mistake_in_the_program():
    with pytest.raises(KeyError):
        rules.may(Role.OWNER, "repairs.explode")


def test_every_move_forward_has_its_movers():
    assert {*MOVERS} == {(old, new) for old in FLOW for new in FLOW[old][1].split()}


@pytest.mark.parametrize(("move", "role"), list(product(MOVERS, Role)))
def test_a_move_forward_is_made_by_whose_turn_it_is(move, role):
    old, new = map(Status, move)
    letters = MOVERS[move]
    if role in roles(letters):
        rules.demand_mover(role, old, new)
    else:
        with pytest.raises(Forbidden) as refusal:
            rules.demand_mover(role, old, new)
        assert str(refusal.value) == f"Only {WHO[letters]} may move a repair from {old.label} to {new.label}."


# --- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", FLOW)
def test_progress_is_the_position_among_the_seven(status):
    assert rules.progress(Status(status)) == PROGRESS[status]


@pytest.mark.parametrize(("held", "percent"), [("diagnosing", 33), ("repairing", 50), ("testing", 67)])
def test_progress_does_not_fall_while_parts_are_awaited(held, percent):
    assert rules.progress(Status.WAITING_PARTS, Status(held)) == percent


def test_the_accent_is_blue_at_work_green_when_done_and_red_when_cancelled():
    accents = {status: rules.accent(status) for status in Status}
    green, red = {"ready": "green", "delivered": "green"}, {"cancelled": "red"}
    assert accents == dict.fromkeys(STEPS, "blue") | green | red


@pytest.mark.parametrize("status", Status)
def test_every_status_has_its_words(status):
    assert status.label
    assert str(rules.SENTENCES[status]).endswith(".")
    assert str(rules.NEXT_UP[status]).endswith(".")


# --- the timeline -------------------------------------------------------------------------------

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


@dataclass
class Happened:
    """An event as the rules read it."""

    kind: str
    old: str | None
    new: str | None
    at: datetime
    text: str = ""
    public: bool = False


class History:
    """A repair's events, an hour apart, made by the rules' own moves."""

    def __init__(self, moves=""):
        self.events = [Happened("received", None, "received", START)]
        self.status, self.held = Status.RECEIVED, None
        for move in moves.split():
            self.make(move)

    def make(self, move: str):
        """Makes a move: "advance", "jump:ready", "pause", "resume", "cancel" or "revert". Raises Refused."""
        name, _, to = move.partition(":")
        held = None
        if name == "advance":
            kind, new = Kind.ADVANCED, rules.advance(self.status)
        elif name == "jump":
            kind, new = Kind.JUMPED, rules.jump(self.status, Status(to))
        elif name == "pause":
            kind, new, held = Kind.PAUSED, rules.pause(self.status), self.status
        elif name == "resume":
            kind, new = Kind.RESUMED, rules.resume(self.status, self.held)
        elif name == "cancel":
            kind, new = Kind.CANCELLED, rules.cancel(self.status)
        else:
            kind, (new, held) = Kind.REVERTED, rules.revert(self.moves)
        at = START + timedelta(hours=len(self.events))
        self.events.append(Happened(kind, self.status, new, at))
        self.status, self.held = new, held

    @property
    def moves(self):
        return rules.standing_moves(self.events)

    @property
    def timeline(self):
        return rules.timeline(self.status, START, self.moves)

    @property
    def states(self) -> str:
        """A letter a line: Done, Current, Upcoming, Skipped; X for Cancelled itself."""
        return "".join("X" if step.status == "cancelled" else step.state[0].upper() for step in self.timeline)


TIMELINES = {
    # Received, diagnosing, waiting for parts, repairing, testing, ready, delivered.
    "": "CUUUUUU",
    "advance": "DCUUUUU",
    "advance advance": "DDSCUUU",
    "advance advance advance": "DDSDCUU",
    "advance advance advance advance": "DDSDDCU",
    "advance advance advance advance advance": "DDSDDDC",
    # Passed over.
    "jump:diagnosing": "DCUUUUU",
    "jump:repairing": "DSSCUUU",
    "jump:testing": "DSSSCUU",
    "jump:ready": "DSSSSCU",
    "jump:delivered": "DSSSSSC",
    "advance jump:ready": "DDSSSCU",
    "jump:repairing advance jump:delivered": "DSSDDSC",
    # Paused: it goes on where it was, so that step is still ahead.
    "advance pause": "DUCUUUU",
    "advance advance pause": "DDCUUUU",
    "advance advance advance pause": "DDCDUUU",
    "jump:repairing pause": "DSCUUUU",
    "jump:testing pause": "DSCSUUU",
    # Resumed: parts were awaited, once or twice.
    "advance pause resume": "DCDUUUU",
    "advance pause resume advance": "DDDCUUU",
    "advance advance pause resume": "DDDCUUU",
    "advance advance advance pause resume": "DDDDCUU",
    "advance pause resume pause": "DUCUUUU",
    "advance pause resume advance pause resume advance": "DDDDCUU",
    # Reverted: as if the move had not been.
    "advance revert": "CUUUUUU",
    "advance advance revert": "DCUUUUU",
    "jump:delivered revert": "CUUUUUU",
    "advance advance advance revert": "DDSCUUU",
    "advance pause revert": "DCUUUUU",
    "advance pause resume revert": "DUCUUUU",
    "advance pause resume revert revert": "DCUUUUU",
    "advance pause resume revert revert revert": "CUUUUUU",
    "advance revert jump:ready": "DSSSSCU",
    # Cancelled, after the last step reached; what was never reached is struck.
    "cancel": "DXSSSSSS",
    "advance cancel": "DDXSSSSS",
    "advance pause cancel": "DDDXSSSS",
    "advance advance cancel": "DDSDXSSS",
    "advance advance pause cancel": "DDDDXSSS",
    "advance advance advance cancel": "DDSDDXSS",
    "advance advance advance pause cancel": "DDDDDXSS",
    "advance advance advance advance cancel": "DDSDDDXS",
    "jump:ready cancel": "DSSSSDXS",
    "cancel revert": "CUUUUUU",
    "advance pause cancel revert": "DUCUUUU",
    "advance advance cancel revert advance": "DDSDCUU",
}


@pytest.mark.parametrize("moves", TIMELINES, ids=lambda moves: moves or "nothing yet")
def test_the_timeline_says_what_was_done_and_what_was_not(moves):
    history = History(moves)
    assert history.states == TIMELINES[moves]
    lines = [step.status for step in history.timeline if step.status != "cancelled"]
    assert lines == STEPS


@pytest.mark.parametrize("moves", TIMELINES, ids=lambda moves: moves or "nothing yet")
def test_a_step_has_a_time_when_the_repair_has_been_there_and_only_then(moves):
    for step in History(moves).timeline:
        assert (step.at is not None) is (step.state in {"done", "current"}), step


def test_the_time_of_a_step_is_when_the_repair_got_there():
    hours = [step.at and (step.at - START) / timedelta(hours=1) for step in History("advance jump:testing").timeline]
    assert hours == [0, 1, None, None, 2, None, None]


def test_a_cancelled_repair_is_cancelled_at_the_time_of_the_move():
    line = next(step for step in History("advance cancel").timeline if step.status == "cancelled")
    assert (line.state, line.at) == ("current", START + timedelta(hours=2))


def test_notes_and_promises_are_no_moves():
    history = History("advance")
    for kind in ("noted", "updated", "promised", "edited", "link_replaced"):
        history.events.append(Happened(kind, None, None, START))
    assert [move.new for move in history.moves] == ["diagnosing"]


def test_a_standing_move_keeps_its_reason_and_whether_the_customer_reads_it():
    events = [
        Happened("received", None, "received", START),
        Happened("cancelled", "received", "cancelled", START, "No part to be had.", True),
    ]
    (move,) = rules.standing_moves(events)
    assert (move.kind, move.text, move.public) == (Kind.CANCELLED, "No part to be had.", True)


# --- any walk through the shop ------------------------------------------------------------------

ANY_MOVE = st.sampled_from(
    [*["advance", "pause", "resume", "cancel", "revert"] * 3, *(f"jump:{status}" for status in Status)]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ANY_MOVE, max_size=30))
def test_whatever_is_tried_the_history_leads_to_the_status(tries):
    history, before = History(), []
    for move in tries:
        present = history.status, history.held
        try:
            history.make(move)
        except Refused:
            assert (history.status, history.held) == present
            continue
        if move == "revert":
            assert (history.status, history.held) == before.pop(), "revert leads to the status before"
        else:
            before.append(present)
        moves = history.moves
        assert len(moves) == len(before), "as many moves stand as can be undone"
        assert (moves[-1].new if moves else "received") == history.status
        assert rules.paused_from(moves) == history.held
        assert (history.held is not None) is (history.status == "waiting_parts")
        progress = rules.progress(history.status, history.held)
        assert progress is None if history.status == "cancelled" else 0 <= progress <= 100
        current = [step.status for step in history.timeline if step.state == "current"]
        assert current == [history.status]


@settings(max_examples=50, deadline=None)
@given(st.lists(ANY_MOVE, max_size=30))
def test_reverting_to_the_end_leads_back_to_received(tries):
    history = History()
    for move in tries:
        outcome(history.make, move)
    for _ in history.moves:
        history.make("revert")
    assert (history.status, history.held, history.moves) == ("received", None, [])
