"""Many repairs at once: each by the same action as its own button, and a reason for each that could not be moved."""

import re
from collections import Counter
from dataclasses import dataclass, field

from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.exceptions import NotFound

from .. import auth, rules
from ..auth import me
from ..db import db
from ..rules import Refused, Status
from . import actions, queries

# As many as a page of the board holds: of a search, so many open ones and as many finished ones.
MOST = 2 * queries.PAGE_SIZE


@dataclass
class Outcome:
    """How many were done, how many of these moved to each status, and [(code, why not)] of the others."""

    done: int = 0
    moved: Counter[Status] = field(default_factory=Counter)
    refused: list[tuple[str, str]] = field(default_factory=list)

    @property
    def steps(self) -> str:
        """The steps that were taken, in words: how many to which status, in the order of the flow."""
        reached = [status for status in Status if self.moved[status]]
        if len(reached) == 1:
            (status,) = reached
            return ngettext(
                "%(num)d repair moved on to %(status)s.",
                "%(num)d repairs moved on to %(status)s.",
                self.done,
                status=status.label,
            )
        each = (_("%(count)s to %(status)s", count=self.moved[to], status=to.label) for to in reached)
        return ngettext(
            "%(num)d repair moved on: %(steps)s.",
            "%(num)d repairs moved on: %(steps)s.",
            self.done,
            steps=", ".join(each),
        )


def read(picks: list[str]) -> list[tuple[str, int]]:
    """[(code, version)] of what was ticked, each once. Raises Refused for none, or for more than a page has."""
    found = {}
    for pick in picks[: MOST + 1]:
        if match := re.fullmatch(r"([\w-]{1,20}):(\d{1,9})", pick, re.ASCII):
            found.setdefault(match[1].upper(), int(match[2]))
    if not found:
        raise Refused(_("Tick the repairs first."))
    if len(picks) > MOST:
        raise Refused(_("At most %(most)s repairs at once.", most=MOST))
    return list(found.items())


def step(picks: list[tuple[str, int]]) -> Outcome:
    """The next step of each: what its one big button does."""
    return _each(picks, "repairs.view", _step)


def assign(picks: list[tuple[str, int]], technician_id: int | None) -> Outcome:
    """Gives each to a technician, or to nobody."""

    def give(repair, version):
        actions.assign(repair, technician_id, by=me(), version=version)

    return _each(picks, "repairs.edit", give)


def _step(repair, version):
    if repair.stage == Status.WAITING_PARTS:
        auth.demand("repairs.resume")
        return actions.resume(repair, by=me(), version=version)
    auth.demand("repairs.advance")
    return actions.advance(repair, by=me(), version=version)


def _each(picks, doing, act) -> Outcome:
    outcome = Outcome()
    for code, version in picks:
        try:
            to = act(queries.get_repair(code, doing), version)
        except NotFound:
            reason = _("It is not there any more.")
        except actions.Stale:
            reason = _("Somebody changed it meanwhile; look again.")
        except rules.Forbidden as refusal:
            auth.note_refusal()
            reason = str(refusal)
        except Refused as refusal:
            reason = str(refusal)
        else:
            outcome.done += 1
            if to:
                outcome.moved[to] += 1
            continue
        # What the next one does must not stand on a refused one's rows, nor hold them locked.
        db.session.rollback()
        outcome.refused.append((code, reason))
    return outcome
