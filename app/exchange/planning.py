"""The dry run: what becomes of every row of a list, as things stand. Writes nothing."""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from flask_babel import force_locale
from flask_babel import gettext as _
from sqlalchemy import Row, select

from .. import formats
from ..customers.queries import by_phone, seen_among
from ..db import db, utcnow
from ..models import Branch, Customer, Repair, Shop, Staff
from ..repairs.queries import branches, technicians
from ..rules import CLOSED, Status
from ..web import EMAIL_PATTERN
from . import reading

_LONGEST = {"name": 120, "item": 120, "problem": 2000, "serial": 80, "accessories": 200, "email": 254, "note": 2000}
# A date without a time: what was promised is so until closing time, what was received came during the day.
_EVENING, _NOON = time(18), time(12)


@dataclass(frozen=True)
class Fate:
    """What becomes of one row. kind: "refused", "repair" or "customer"; customer: "new", "changed", "known" or "".

    remarks: the rest of it in words. why: why it is refused. values: what the action needs.
    """

    line: int
    kind: str
    customer: str
    who: str
    phone: str
    item: str
    status: Status | None
    remarks: tuple[str, ...] = ()
    why: str = ""
    values: dict = field(default_factory=dict, compare=False, repr=False)
    # Refused, because this very row was brought in before, and is open.
    done: bool = False


class _Done(ValueError):
    """The row was brought in before, and is open."""


@dataclass(frozen=True)
class Plan:
    """The fates of a list's rows, in its order, and the headings from which nothing was read."""

    fates: list[Fate]
    unknown: list[str]

    def count(self, **wanted) -> int:
        """How many fates are like that: count(kind="repair")."""
        return sum(all(getattr(fate, name) == value for name, value in wanted.items()) for fate in self.fates)

    @property
    def good(self) -> list[Fate]:
        """Those that write something."""
        return [fate for fate in self.fates if fate.kind == "repair" or fate.customer in {"new", "changed"}]

    @property
    def refused(self) -> list[Fate]:
        """Those that are not brought in."""
        return [fate for fate in self.fates if fate.kind == "refused"]

    @property
    def digest(self) -> str:
        """The same for the same fates: by it the import knows that it does what was shown."""
        return hashlib.sha256("\n".join(map(repr, self.fates)).encode()).hexdigest()


def plan(listed: reading.List, shop: Shop, branch_id: int) -> Plan:
    """What would become of each row, were the list imported now by whoever is signed in.

    branch_id: where those repairs go whose row names no branch.
    """
    planner = _Planner(listed, shop, branch_id)
    return Plan([planner.fate(line, row) for line, row in listed.rows], listed.unknown)


class _Planner:
    def __init__(self, listed: reading.List, shop: Shop, branch_id: int):
        self.listed, self.shop, self.now = listed, shop, utcnow()
        self.branches: list[Branch] = branches()
        self.branch = next(branch for branch in self.branches if branch.id == branch_id)
        self.people: list[Staff] = technicians()
        cells = {line: listed.cells(row) for line, row in listed.rows}
        phones = {line: self._number(each) for line, each in cells.items()}
        self.customers = self._known({number for number in phones.values() if number})
        self.seen = seen_among(row.id for row in self.customers.values() if row)
        self.codes = self._codes({each["code"].upper() for each in cells.values() if each["code"]})
        self.tickets = {line: ticket for line, each in cells.items() if (ticket := self._ticket(each, phones[line]))}
        # What each line's repair is taken in by; what it brought in before that is open, and what is closed by now.
        self.keys: dict[int, str] = {}
        self.done: dict[int, Row] = {}
        self.before: dict[int, str] = {}
        self._look_back(cells)
        # Whom and what an earlier row of this list brings: {phone: (name, email, line)}, {key: line}.
        self.brought: dict[str, tuple[str, str, int]] = {}
        self.taken: dict[str, int] = {}

    def _number(self, cells) -> str:
        try:
            return self._phone(cells["phone"])
        except ValueError:
            return ""

    def _known(self, phones: set[str]) -> dict[str, Customer]:
        query = select(Customer)
        found = {
            row.phone: row
            for part in parts(phones)
            for row in db.session.scalars(query.where(Customer.phone.in_(part)))
        }
        # Whoever was merged goes on being found by their number, as the one who was kept.
        return {phone: by_phone(phone) if row.merged_at else row for phone, row in found.items()}

    def _codes(self, codes: set[str]) -> set[str]:
        query = select(Repair.code)
        return {code for part in parts(codes) for code in db.session.scalars(query.where(Repair.code.in_(part)))}

    def _ticket(self, cells: dict[str, str], phone: str) -> tuple[int, tuple[str, str, str]] | None:
        """The branch of a repair that has another program's code; and the code, the number of whose it is, the item.

        The item, because in some programs all that somebody left has one code.
        """
        code = formats.fold(formats.clean_line(cells["code"]))
        if not phone or not re.search(r"\w", code) or not (cells["item"] or cells["problem"]):
            return None
        try:
            item = formats.fold(formats.clean_line(cells["item"]))
            return self._branch(cells["branch"]).id, (code, phone, item)
        except ValueError:
            return None

    def _look_back(self, cells: dict[int, dict[str, str]]) -> None:
        """Finds what each line's repair is taken in by, so that it is taken in once, and what was before.

        That is its ticket: while a shop changes programs, the same one comes on several days, in other words. What has
        no code is known by its row; so is what came in before tickets were minded. A list that is sent again with a few
        rows mended brings these alone. What was handed back may come again.
        """
        sought, alike = {}, Counter()
        for line, each in cells.items():
            # A browser ends pasted lines in a way of its own.
            row = tuple(cell.replace("\r\n", "\n") for cell in each.values())
            # Two rows that are alike are two things.
            sought[line, "row"] = (self.branch.id, row, alike[row])
            alike[row] += 1
            if line in self.tickets:
                sought[line, "ticket"] = (*self.tickets[line], 0)
        keys = {place: _key(*what) for place, what in sought.items()}
        found = self._taken_in({*keys.values()})
        while closed := [place for place, key in keys.items() if key in found and found[key].status in CLOSED]:
            for place in closed:
                branch_id, what, number = sought[place]
                self.before[place[0]] = found[keys[place]].code
                sought[place] = (branch_id, what, number + alike.get(what, 1))
                keys[place] = _key(*sought[place])
            found |= self._taken_in({keys[place] for place in closed})
        for (line, _kind), key in keys.items():
            # A ticket's comes after its row's, and stays.
            self.keys[line] = key
            if key in found:
                self.done[line] = found[key]

    def _taken_in(self, keys: set[str]) -> dict[str, Row]:
        """The codes and statuses of the repairs that were taken in by these keys."""
        query = select(Repair.intake_key, Repair.code, Repair.status)
        pages = (db.session.execute(query.where(Repair.intake_key.in_(part))) for part in parts(keys))
        return {row.intake_key: row for page in pages for row in page}

    def fate(self, line: int, row: list[str]) -> Fate:
        """One row's."""
        cells = self.listed.cells(row)
        who, item = formats.clean_line(cells["name"])[:120], formats.clean_line(cells["item"])[:120]
        try:
            return self._good(line, cells)
        except ValueError as problem:
            done = isinstance(problem, _Done)
            return Fate(line, "refused", "", who, cells["phone"][:40], item, None, why=str(problem), done=done)

    def _good(self, line: int, cells: dict[str, str]) -> Fate:
        if line in self.done:
            raise _Done(self._said_of(line, cells["status"]))
        texts = {name: formats.clean_line(cells[name]) for name in ("name", "email", "item", "serial", "accessories")}
        texts |= {name: formats.clean_text(cells[name]) for name in ("problem", "note")}
        for name, most in _LONGEST.items():
            if len(texts[name]) > most:
                column = reading.HEADINGS[name]
                raise ValueError(_("“%(column)s” is longer than %(most)s characters.", column=column, most=most))
        if texts["email"] and not re.fullmatch(EMAIL_PATTERN, texts["email"]):
            raise ValueError(_("“%(written)s” is not an email address.", written=texts["email"][:60]))
        phone = self._phone(cells["phone"])
        repair, says = self._repair(cells, texts) if texts["item"] or texts["problem"] else ({}, [])
        if repair:
            repair["key"] = self.keys[line]
            if line in self.before:
                says.append(_("the same was here before: %(code)s", code=self.before[line]))
            if other := self.taken.get(self.keys[line]):
                raise ValueError(_("Line %(line)s has this code too: each repair needs one of its own.", line=other))
        customer, name, about = self._customer(line, phone, texts["name"], texts["email"])
        if repair:
            self.taken[self.keys[line]] = line
        kind, status = ("repair", repair["status"]) if repair else ("customer", None)
        values = {"phone": phone, "name": texts["name"], "email": texts["email"], "repair": repair}
        remarks = (*says, about) if about else (*says,)
        return Fate(line, kind, customer, name, phone, texts["item"], status, remarks, values=values)

    def _said_of(self, line: int, listed: str) -> str:
        """Of a repair that was brought in before and is open: which it is, and whether the list has it elsewhere."""
        if line not in self.tickets:
            return _("This row was imported before.")
        code, status = self.done[line].code, Status(self.done[line].status)
        try:
            is_there = not listed or reading.status(listed) == status
        except ValueError:
            is_there = False
        if is_there:
            return _("Imported before as %(code)s.", code=code)
        return _(
            "Imported before as %(code)s, which is “%(status)s” now: move it there.", code=code, status=status.label
        )

    def _phone(self, written: str) -> str:
        if not written:
            raise ValueError(_("The phone number is missing: it says who the customer is."))
        if re.search(r"\d[eE]\+?\d", written):
            said = _(
                "The spreadsheet has cut the number off (%(written)s). Format that column as text.",
                written=written[:20],
            )
            raise ValueError(said)
        return formats.parse_phone(written[:60], self.shop.country)

    def _customer(self, line: int, phone: str, name: str, email: str) -> tuple[str, str, str]:
        """("new", "known" or "changed", their name, what there is to say)."""
        if known := self.customers.get(phone):
            # Whose page one may not see, their name is not told either by pasting numbers.
            is_seen = known.id in self.seen
            if name and formats.fold(name) != formats.fold(known.name):
                if not is_seen:
                    raise ValueError(
                        _("This number belongs to a customer of another branch, not “%(name)s”.", name=name)
                    )
                whose = known.name
                raise ValueError(_("This number belongs to %(customer)s, not “%(name)s”.", customer=whose, name=name))
            shown = known.name if is_seen else name
            if email and not known.email and phone not in self.brought:
                self.brought[phone] = (shown, email, line)
                return "changed", shown, _("the email is added")
            return "known", shown, ""
        if before := self.brought.get(phone):
            if name and formats.fold(name) != formats.fold(before[0]):
                values = {"line": before[2], "customer": before[0], "name": name}
                raise ValueError(_("Line %(line)s says that this number is %(customer)s’s, not “%(name)s”.", **values))
            return "known", before[0], _("the customer of line %(line)s", line=before[2])
        if not name:
            raise ValueError(_("The name is missing, and nobody has this number yet."))
        self.brought[phone] = (name, email, line)
        return "new", name, ""

    def _repair(self, cells: dict[str, str], texts: dict[str, str]) -> tuple[dict, list[str]]:
        if cells["code"].upper() in self.codes:
            raise ValueError(_("%(code)s is in this shop already.", code=cells["code"].upper()))
        if not texts["item"]:
            raise ValueError(_("The item is missing: what was brought in?"))
        if not texts["problem"]:
            raise ValueError(_("The problem is missing: what is wrong with it?"))
        branch, note = self._branch(cells["branch"]), texts["note"]
        technician, unknown = self._technician(cells["technician"], branch)
        if cells["code"]:
            # What it was called before is what its customer will ask by. It is kept, for whoever reads the note.
            with force_locale(self.shop.language):
                before = _("Number before: %(code)s", code=formats.clean_line(cells["code"])[:40])
            note = f"{note}\n{before}".strip()
        says = [branch.name] if branch is not self.branch else []
        says += [technician.name] if technician else []
        says += [_("unassigned, because nobody there is called “%(name)s”", name=unknown)] if unknown else []
        received, promised = self._received(cells["received"]), self._promised(cells["promised"])
        estimate = reading.amount(cells["estimate"], self.shop.currency)
        country, zone = self.shop.country, self.shop.timezone
        # As it was understood: whoever meant 4 March sees that the third of April was read.
        if received:
            says.append(_("received %(date)s", date=formats.local_date(received, zone, country)))
        if promised:
            says.append(_("promised %(moment)s", moment=formats.full_moment(promised, zone, country)))
        if estimate is not None:
            says.append(_("estimate %(money)s", money=formats.format_money(estimate, self.shop.currency, country)))
        return {
            "branch_id": branch.id,
            "status": reading.status(cells["status"]),
            "received_at": received,
            "promised_at": promised,
            "estimate": estimate,
            "technician_id": technician.id if technician else None,
            "note": note,
            **{name: texts[name] for name in ("item", "problem", "serial", "accessories")},
        }, says

    def _branch(self, written: str) -> Branch:
        if not written:
            return self.branch
        names = (formats.fold(written), written.upper())
        found = [branch for branch in self.branches if formats.fold(branch.name) == names[0] or branch.code == names[1]]
        if not found:
            raise ValueError(_("There is no branch “%(name)s” that you work at.", name=written[:40]))
        return found[0]

    def _technician(self, written: str, branch: Branch) -> tuple[Staff | None, str]:
        """Who it is, or else the name that nobody has."""
        name = formats.fold(formats.clean_line(written))
        found = [person for person in self.people if formats.fold(person.name) == name and person.sees(branch.id)]
        return (found[0], "") if len(found) == 1 else (None, formats.clean_line(written)[:40])

    def _moment(self, written: str, otherwise: time) -> datetime:
        at = reading.moment(written, self.shop.timezone, self.shop.country, at=otherwise)
        if at.year < 2000:
            raise ValueError(_("“%(written)s” lies before the year 2000: is the year right?", written=written[:40]))
        return at

    def _received(self, written: str) -> datetime | None:
        if not written:
            return None
        at = self._moment(written, _NOON)
        if at > self.now + timedelta(days=1):
            raise ValueError(_("It was received on a day that is yet to come."))
        # Noon of today may be yet to come.
        return min(at, self.now.replace(microsecond=0)) if at > self.now else at

    def _promised(self, written: str) -> datetime | None:
        if not written or formats.fold(written) in {"none", "no promise", "-"}:
            return None
        at = self._moment(written, _EVENING)
        if at > self.now + timedelta(days=5 * 366):
            raise ValueError(_("The promise is more than five years ahead."))
        return at


def _key(branch_id: int, what: tuple[str, ...], number: int) -> str:
    # The branch too: whoever chose a wrong one imports the list once more, into the right one.
    return hashlib.sha256(repr((branch_id, what, number)).encode()).hexdigest()[:32]


def parts(values: set[str], size: int = 500) -> list[list[str]]:
    """A set in parts that a statement can name: SQLite takes 32,766 values, older ones 999."""
    ordered = sorted(values)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
