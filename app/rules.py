"""The shop's rules, and nothing else: statuses, moves, progress, who may do what.

Pure: no request, no tables, no clock; sentences are marked for translation. The words customers read about a status are
here too, so that one file says what a status is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from flask_babel import gettext as _
from flask_babel import lazy_gettext


class Status(StrEnum):
    """Where a repair stands. The order of the first seven is the order on the customer's page."""

    RECEIVED = "received"
    DIAGNOSING = "diagnosing"
    WAITING_PARTS = "waiting_parts"
    REPAIRING = "repairing"
    TESTING = "testing"
    READY = "ready"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"

    @property
    def label(self) -> str:
        return str(LABELS[self])


class Role(StrEnum):
    """What a member of staff is employed as; one each."""

    OWNER = "owner"
    MANAGER = "manager"
    TECHNICIAN = "technician"
    FRONT_DESK = "front_desk"

    @property
    def label(self) -> str:
        return str(ROLE_LABELS[self])


class Kind(StrEnum):
    """What an event in a repair's history says happened."""

    RECEIVED = "received"
    ADVANCED = "advanced"
    JUMPED = "jumped"
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCELLED = "cancelled"
    REVERTED = "reverted"
    PROMISED = "promised"
    NOTED = "noted"
    UPDATED = "updated"
    UPDATE_TAKEN_BACK = "update_taken_back"
    EDITED = "edited"
    LINK_REPLACED = "link_replaced"
    PHOTO_ADDED = "photo_added"
    PHOTO_REMOVED = "photo_removed"
    CUSTOMER_CHANGED = "customer_changed"
    ERASED = "erased"


class Deed(StrEnum):
    """What the shop's own record says that somebody did; what was done to a repair is in its history."""

    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    SECOND_STEP_ON = "second_step_on"
    SECOND_STEP_OFF = "second_step_off"
    RECOVERY_CODE_USED = "recovery_code_used"
    RECOVERY_CODES_NEW = "recovery_codes_new"
    STAFF_INVITED = "staff_invited"
    STAFF_JOINED = "staff_joined"
    STAFF_CHANGED = "staff_changed"
    STAFF_DEACTIVATED = "staff_deactivated"
    STAFF_REACTIVATED = "staff_reactivated"
    ACCESS_RESET = "access_reset"
    SHOP_CHANGED = "shop_changed"
    BRANCH_ADDED = "branch_added"
    BRANCH_CHANGED = "branch_changed"
    CUSTOMER_CHANGED = "customer_changed"
    CUSTOMERS_MERGED = "customers_merged"
    MERGE_UNDONE = "merge_undone"
    CUSTOMER_ERASED = "customer_erased"
    CUSTOMER_EXPORTED = "customer_exported"
    REPAIRS_EXPORTED = "repairs_exported"
    IMPORTED = "imported"


class Refused(Exception):
    """A rule says no. The text is a sentence for the person who asked."""


class Forbidden(Refused):
    """The rule is about who asked."""


class NoPicture(Refused):
    """What was sent is no picture that can be kept."""


S = Status
STEPS = (S.RECEIVED, S.DIAGNOSING, S.WAITING_PARTS, S.REPAIRING, S.TESTING, S.READY, S.DELIVERED)
PATH = tuple(step for step in STEPS if step != S.WAITING_PARTS)
PAUSABLE = frozenset({S.DIAGNOSING, S.REPAIRING, S.TESTING})
CLOSED = frozenset({S.DELIVERED, S.CANCELLED})
# What can be late.
UNFINISHED = frozenset(S) - CLOSED - {S.READY}
# Enough for every side of a thing and its scratches.
MOST_PHOTOS = 12
# What a shop may leave out of the customer's page; the code and the status are always there.
DETAILS = ("item", "problem", "received", "branch", "hours", "address")
MOVES = frozenset({Kind.ADVANCED, Kind.JUMPED, Kind.PAUSED, Kind.RESUMED, Kind.CANCELLED})

# What happens to a repair, in the groups that a history is looked through by.
KIND_GROUPS = {
    "moves": (lazy_gettext("Moves"), MOVES | {Kind.RECEIVED, Kind.REVERTED}),
    "promises": (lazy_gettext("Promises"), frozenset({Kind.PROMISED})),
    "talk": (lazy_gettext("Notes and updates"), frozenset({Kind.NOTED, Kind.UPDATED, Kind.UPDATE_TAKEN_BACK})),
}
KIND_GROUPS["edits"] = (
    lazy_gettext("Edits and photos"),
    frozenset(Kind).difference(*(kinds for _, kinds in KIND_GROUPS.values())),
)
# And what happens in the shop to no single repair.
DEED_GROUPS = {
    "sign_ins": (
        lazy_gettext("Sign-ins"),
        frozenset(deed for deed in Deed if deed.startswith(("sign", "password", "second", "recovery"))),
    ),
    "people": (lazy_gettext("Staff"), frozenset(deed for deed in Deed if deed.startswith(("staff", "access")))),
    "customers": (
        lazy_gettext("Customers"),
        frozenset(deed for deed in Deed if deed.startswith(("customer", "merge"))),
    ),
}
DEED_GROUPS["shop"] = (
    lazy_gettext("Shop and files"),
    frozenset(Deed).difference(*(deeds for _, deeds in DEED_GROUPS.values())),
)

LABELS = {
    S.RECEIVED: lazy_gettext("Received"),
    S.DIAGNOSING: lazy_gettext("Diagnosing"),
    S.WAITING_PARTS: lazy_gettext("Waiting for parts"),
    S.REPAIRING: lazy_gettext("Repairing"),
    S.TESTING: lazy_gettext("Testing"),
    S.READY: lazy_gettext("Ready"),
    S.DELIVERED: lazy_gettext("Delivered"),
    S.CANCELLED: lazy_gettext("Cancelled"),
}
SENTENCES = {
    S.RECEIVED: lazy_gettext("Logged and safe in the shop, waiting for a technician."),
    S.DIAGNOSING: lazy_gettext("A technician is finding the fault."),
    S.WAITING_PARTS: lazy_gettext("Paused until a part arrives. Its place is kept."),
    S.REPAIRING: lazy_gettext("The repair is under way."),
    S.TESTING: lazy_gettext("Repaired, and now being checked."),
    S.READY: lazy_gettext("Done, and waiting to be collected."),
    S.DELIVERED: lazy_gettext("Handed back to you. This repair is closed."),
    S.CANCELLED: lazy_gettext("This will not be repaired."),
}
# The same in the timeline, for steps that lie behind and ahead.
PAST = {
    S.RECEIVED: lazy_gettext("Logged, and safe in the shop."),
    S.DIAGNOSING: lazy_gettext("A technician looked for the fault."),
    S.WAITING_PARTS: lazy_gettext("A part had to be ordered."),
    S.REPAIRING: lazy_gettext("The repair was carried out."),
    S.TESTING: lazy_gettext("Everything was checked."),
    S.READY: lazy_gettext("It was waiting for you."),
    S.DELIVERED: lazy_gettext("Handed back to you."),
}
AHEAD = {
    S.RECEIVED: lazy_gettext("It is logged and kept safe."),
    S.DIAGNOSING: lazy_gettext("A technician finds the fault."),
    S.WAITING_PARTS: lazy_gettext("Only if a part has to be ordered."),
    S.REPAIRING: lazy_gettext("The repair itself."),
    S.TESTING: lazy_gettext("A check that all is well."),
    S.READY: lazy_gettext("You can collect it."),
    S.DELIVERED: lazy_gettext("It is handed back to you."),
}
NEXT_UP = {
    S.RECEIVED: lazy_gettext("A technician takes it to the bench and looks for the fault."),
    S.DIAGNOSING: lazy_gettext("Once the fault is found, the repair begins."),
    S.WAITING_PARTS: lazy_gettext("Work goes on as soon as the part is here."),
    S.REPAIRING: lazy_gettext("When the repair is done, it is tested."),
    S.TESTING: lazy_gettext("When every check has passed, you can collect it."),
    S.READY: lazy_gettext("Come by and collect it when it suits you."),
    S.DELIVERED: lazy_gettext("Nothing more to do. Thank you for your trust."),
    S.CANCELLED: lazy_gettext("Please come by to collect it, or talk to the shop."),
}

ROLE_LABELS = {
    Role.OWNER: lazy_gettext("Owner"),
    Role.MANAGER: lazy_gettext("Manager"),
    Role.TECHNICIAN: lazy_gettext("Technician"),
    Role.FRONT_DESK: lazy_gettext("Front desk"),
}
# The same within a sentence: "Only an owner or a manager may undo a move."
_WHO = {
    Role.OWNER: lazy_gettext("an owner"),
    Role.MANAGER: lazy_gettext("a manager"),
    Role.TECHNICIAN: lazy_gettext("a technician"),
    Role.FRONT_DESK: lazy_gettext("the front desk"),
}

_EVERYONE = frozenset(Role)
_LEADS = frozenset({Role.OWNER, Role.MANAGER})
_BENCH = _LEADS | {Role.TECHNICIAN}
# Whom a repair can be given to.
AT_THE_BENCH = _BENCH
PERMISSIONS: dict[str, frozenset[Role]] = {
    "repairs.view": _EVERYONE,
    "repairs.take_in": _EVERYONE,
    "repairs.edit": _EVERYONE,
    "repairs.note": _EVERYONE,
    "repairs.update": _EVERYONE,
    # What others told; what oneself told, everyone may: see demand_taking_back().
    "repairs.take_back": _LEADS,
    "repairs.promise": _EVERYONE,
    "repairs.photo": _BENCH,
    # Whose turn it is depends on where the move leads: see movers().
    "repairs.advance": _EVERYONE,
    "repairs.jump": _EVERYONE,
    "repairs.pause": _BENCH,
    "repairs.resume": _BENCH,
    "repairs.revert": _LEADS,
    "repairs.cancel": _LEADS,
    "repairs.link": _LEADS,
    "repairs.hand_over": _LEADS,
    "customers.view": _EVERYONE,
    "customers.edit": _LEADS | {Role.FRONT_DESK},
    "customers.merge": _LEADS,
    "customers.export": _LEADS,
    "customers.erase": frozenset({Role.OWNER}),
    "activity.view": _LEADS,
    "exchange.export": _LEADS,
    "exchange.import": _LEADS,
    "settings": frozenset({Role.OWNER}),
}
_ONLY = {
    "repairs.take_back": lazy_gettext("Only whoever told it, %(people)s may take it back."),
    "repairs.photo": lazy_gettext("Only %(people)s may add or remove photos."),
    "repairs.pause": lazy_gettext("Only %(people)s may pause a repair."),
    "repairs.resume": lazy_gettext("Only %(people)s may resume a repair."),
    "repairs.revert": lazy_gettext("Only %(people)s may undo a move."),
    "repairs.cancel": lazy_gettext("Only %(people)s may cancel a repair."),
    "repairs.link": lazy_gettext("Only %(people)s may replace a tracking link."),
    "repairs.hand_over": lazy_gettext("Only %(people)s may give a repair to another customer."),
    "customers.edit": lazy_gettext("Only %(people)s may change a customer."),
    "customers.merge": lazy_gettext("Only %(people)s may merge customers."),
    "customers.export": lazy_gettext("Only %(people)s may export a customer's data."),
    "customers.erase": lazy_gettext("Only %(people)s may erase a customer."),
    "activity.view": lazy_gettext("Only %(people)s may see the shop's record."),
    "exchange.export": lazy_gettext("Only %(people)s may export repairs."),
    "exchange.import": lazy_gettext("Only %(people)s may import customers and repairs."),
    "settings": lazy_gettext("Only %(people)s may change the settings."),
}


def may(role: Role, permission: str) -> bool:
    """Whether the role has the permission at all. KeyError for a permission that does not exist."""
    return role in PERMISSIONS[permission]


def demand(role: Role, permission: str) -> None:
    """Raises Forbidden, saying who may, unless the role has the permission."""
    if why := refusal(role, permission):
        raise Forbidden(why)


def refusal(role: Role, permission: str) -> str:
    """Who may, in a sentence, where the role may not; else ""."""
    return "" if may(role, permission) else _ONLY[permission] % {"people": _people(PERMISSIONS[permission])}


def may_take_back(role: Role, *, is_own: bool) -> bool:
    """Whether the role may take back what the customer was told. is_own: by whoever asks."""
    return may(role, "repairs.update" if is_own else "repairs.take_back")


def demand_taking_back(role: Role, *, is_own: bool) -> None:
    """Raises Forbidden, saying who may, unless the role may take back what the customer was told."""
    if not may_take_back(role, is_own=is_own):
        demand(role, "repairs.take_back")


def movers(old: Status, new: Status) -> frozenset[Role]:
    """The roles that may move a repair forward from one status to another."""
    if STEPS.index(new) <= STEPS.index(S.TESTING):
        return _BENCH
    if (old, new) == (S.READY, S.DELIVERED):
        return _LEADS | {Role.FRONT_DESK}
    return _LEADS


def demand_mover(role: Role, old: Status, new: Status) -> None:
    """Raises Forbidden, saying who may, unless the role may make this move forward."""
    if role not in movers(old, new):
        raise Forbidden(
            _(
                "Only %(people)s may move a repair from %(old)s to %(new)s.",
                people=_people(movers(old, new)),
                old=old.label,
                new=new.label,
            )
        )


def _people(roles: frozenset[Role]) -> str:
    *some, last = (str(_WHO[role]) for role in Role if role in roles)
    return _("%(some)s or %(last)s", some=", ".join(some), last=last) if some else last


def next_step(status: Status) -> Status | None:
    """The next status on the path, or None where the one big button has nothing to offer."""
    if status not in PATH or status == PATH[-1]:
        return None
    return PATH[PATH.index(status) + 1]


def later_steps(status: Status) -> tuple[Status, ...]:
    """The statuses that a jump may lead to."""
    return PATH[PATH.index(status) + 1 :] if status in PATH else ()


def advance(status: Status) -> Status:
    """The status after one step on the path. Raises Refused."""
    _not_waiting(status)
    if (step := next_step(status)) is None:
        raise Refused(_("A closed repair has no next step."))
    return step


def jump(status: Status, to: Status) -> Status:
    """The later status asked for. Raises Refused."""
    _not_waiting(status)
    if to not in later_steps(status):
        raise Refused(_("A repair cannot jump from %(old)s to %(new)s.", old=status.label, new=to.label))
    return to


def pause(status: Status) -> Status:
    """Waiting for parts. Raises Refused."""
    if status not in PAUSABLE:
        raise Refused(_("A repair cannot be paused while it is at %(status)s.", status=status.label))
    return S.WAITING_PARTS


def resume(status: Status, paused_from: Status | None) -> Status:
    """Exactly the status it was paused from. Raises Refused."""
    if status != S.WAITING_PARTS or paused_from is None:
        raise Refused(_("Only a repair that waits for parts can be resumed."))
    return paused_from


def cancel(status: Status) -> Status:
    """Cancelled. Raises Refused."""
    if status == S.DELIVERED:
        raise Refused(_("A delivered repair cannot be cancelled."))
    if status == S.CANCELLED:
        raise Refused(_("This repair is cancelled already."))
    return S.CANCELLED


def _not_waiting(status: Status) -> None:
    if status == S.WAITING_PARTS:
        raise Refused(_("While it waits for parts, a repair can only be resumed or cancelled."))


def demand_room(present: int, more: int) -> None:
    """Raises Refused unless a repair with so many photos may have so many more."""
    if present + more <= MOST_PHOTOS:
        return
    if room := MOST_PHOTOS - present:
        raise Refused(
            _("A repair has %(most)s photos at most; there is room for %(room)s more.", most=MOST_PHOTOS, room=room)
        )
    raise Refused(_("A repair has %(most)s photos at most; remove one first.", most=MOST_PHOTOS))


@dataclass(frozen=True, slots=True)
class Move:
    """A change of status that still stands: not undone by a later revert."""

    kind: Kind
    old: Status
    new: Status
    at: datetime
    text: str = ""
    public: bool = False


_INTERNAL = frozenset(
    {Kind.NOTED, Kind.LINK_REPLACED, Kind.PHOTO_ADDED, Kind.PHOTO_REMOVED, Kind.CUSTOMER_CHANGED, Kind.ERASED}
)


def is_internal(kind: str, new: str | None) -> bool:
    """Whether an event changes nothing that the customer's page shows. new: as the event keeps it."""
    if kind == Kind.EDITED:
        return {"item", "problem"}.isdisjoint((new or "").split())
    return kind in _INTERNAL


def taken_back(events: Iterable) -> dict:
    """The events by which the customer was told what no longer holds, each by the number of the update it took back.

    Takes events with kind and old, which holds that number.
    """
    return {int(event.old): event for event in events if event.kind == Kind.UPDATE_TAKEN_BACK and event.old}


def standing_moves(events: Iterable) -> list[Move]:
    """The moves that led to the present status, oldest first.

    Takes events in order, each with kind, old, new, at, text and public. A revert takes away the
    move before it, so reverting may go on as long as there is a move.
    """
    moves: list[Move] = []
    for event in events:
        if event.kind in MOVES:
            moves.append(
                Move(Kind(event.kind), Status(event.old), Status(event.new), event.at, event.text, event.public)
            )
        elif event.kind == Kind.REVERTED:
            moves.pop()
    return moves


def revert(moves: list[Move]) -> tuple[Status, Status | None]:
    """What undoing the last move leads to: the status, and the status it is paused from if it waits.

    Raises Refused when there is nothing to undo.
    """
    if not moves:
        raise Refused(_("There is no move to undo: the repair was only just received."))
    return moves[-1].old, paused_from(moves[:-1])


def paused_from(moves: list[Move]) -> Status | None:
    """The status a waiting repair was paused from, or None for one that does not wait."""
    return moves[-1].old if moves and moves[-1].new == S.WAITING_PARTS else None


def progress(status: Status, paused_from: Status | None = None) -> int | None:
    """Per cent done, by the position among the seven; None when cancelled.

    While it waits for parts it is never less than that of the status it was paused from.
    """
    if status == S.CANCELLED:
        return None
    position = max(STEPS.index(step) for step in (status, paused_from or status))
    return round(100 * position / (len(STEPS) - 1))


def accent(status: Status) -> str:
    """The colour of the lamp: blue, green or red."""
    if status == S.CANCELLED:
        return "red"
    return "green" if status in {S.READY, S.DELIVERED} else "blue"


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the timeline. state: done, current, upcoming or skipped; at: when it was reached."""

    status: Status
    state: str
    at: datetime | None


def timeline(status: Status, received_at: datetime, moves: list[Move]) -> list[Step]:
    """The seven steps (and Cancelled, after the last one reached), each with its state.

    A status the repair was paused from is upcoming, not done: it goes on there.
    """
    reached = {S.RECEIVED: received_at} | {move.new: move.at for move in moves}
    held = paused_from(moves)
    if status == S.CANCELLED:
        steps = [Step(step, "done" if step in reached else "skipped", reached.get(step)) for step in STEPS]
        last = max(STEPS.index(step) for step in reached if step in STEPS)
        return [*steps[: last + 1], Step(status, "current", reached[status]), *steps[last + 1 :]]
    furthest = max(STEPS.index(step) for step in (status, held or status))
    steps = []
    for position, step in enumerate(STEPS):
        if step == status:
            state = "current"
        elif step in reached and step != held:
            state = "done"
        else:
            state = "skipped" if position < furthest and step != held else "upcoming"
        steps.append(Step(step, state, reached.get(step) if state in {"current", "done"} else None))
    return steps
