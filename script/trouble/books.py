"""What must be true of a shop's database, whatever happened to it."""

from collections import Counter, defaultdict
from typing import NamedTuple

from sqlalchemy import Engine, Row, select, text

from app.models import Branch, Customer, Event, Repair
from app.rules import Kind

# The events that say a status, the one after them.
_SAY_STATUS = {Kind.RECEIVED, Kind.ADVANCED, Kind.JUMPED, Kind.PAUSED, Kind.RESUMED, Kind.CANCELLED, Kind.REVERTED}


class Snapshot(NamedTuple):
    """All of it at one moment; events by the id of their repair, in order."""

    repairs: dict[str, Row]
    events: dict[int, list[Row]]
    customers: set[int]
    branches: dict[int, Row]


class Books:
    """A database, looked at again and again while people write. `wrong` is what was found."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._seen: dict[str, str] = {}
        self.wrong: list[str] = []

    def check(self, told: list[dict]) -> None:
        """Compares the database with itself, and with what people were told before this begins (see Journals)."""
        now = self._look()
        for code, repair in now.repairs.items():
            self._check_repair(repair, now)
            if self._seen.setdefault(code, repair.token) != repair.token:
                self.wrong.append(f"{code} was another repair before")
        self.wrong += [f"{code} was there and is gone" for code in self._seen.keys() - now.repairs.keys()]
        forms = Counter(repair.problem for repair in now.repairs.values() if repair.intake_key)
        self.wrong += [f"one form made {count} repairs: {problem}" for problem, count in forms.items() if count > 1]
        acts = [entry for entry in told if "act" in entry]
        for act in acts:
            self._check_act(act, now)
        met = Counter((act["code"], act["version"]) for act in acts if "version" in act)
        self.wrong += [f"LOST: {count} changes met version {each}" for each, count in met.items() if count > 1]

    def _look(self) -> Snapshot:
        with self._engine.connect().execution_options(reads_only=True) as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            else:
                self._check_file(connection)
            rows = connection.execute(select(Repair.__table__)).all()
            codes = Counter(row.code for row in rows)
            self.wrong += [f"{code} was given {count} times" for code, count in codes.items() if count > 1]
            events = defaultdict(list)
            for row in connection.execute(select(Event.__table__).order_by(Event.id)):
                events[row.repair_id].append(row)
            customers = set(connection.scalars(select(Customer.id)))
            branches = {row.id: row for row in connection.execute(select(Branch.__table__))}
        return Snapshot({row.code: row for row in rows}, events, customers, branches)

    def _check_file(self, connection) -> None:
        for line in connection.execute(text("PRAGMA integrity_check")).scalars():
            if line != "ok":
                self.wrong.append(f"integrity check: {line}")
        for row in connection.execute(text("PRAGMA foreign_key_check")):
            self.wrong.append(f"foreign key check: {row}")

    def _check_repair(self, repair: Row, now: Snapshot) -> None:
        events, branch = now.events[repair.id], now.branches.get(repair.branch_id)
        said = [event.new for event in events if event.kind in _SAY_STATUS]
        whole = {
            "no received event": bool(events) and events[0].kind == Kind.RECEIVED,
            "no customer": repair.customer_id in now.customers,
            "no branch": branch is not None,
            f"version {repair.version} after {len(events)} events": repair.version == len(events),
            f"status {repair.status} after {said[-1:]}": said[-1:] == [repair.status],
        }
        self.wrong += [f"{repair.code} is half-made: {problem}" for problem, right in whole.items() if not right]
        if branch and int(repair.code.rpartition("R")[2]) >= branch.next_number:
            self.wrong.append(f"{repair.code} will be given again: {branch.code} goes on at {branch.next_number}")

    def _check_act(self, act: dict, now: Snapshot) -> None:
        repair = now.repairs.get(act["code"])
        history = now.events[repair.id] if repair else []
        if act["act"] == Kind.RECEIVED:
            kept = repair is not None and repair.problem == act["text"]
        else:
            # Each event raises the version by one: the act that met version 7 is the eighth event.
            event = history[act["version"]] if len(history) > act["version"] else None
            kept = event is not None and (event.kind, event.text) == (act["act"], act["text"])
        if not kept:
            self.wrong.append(f"LOST: {act}")
