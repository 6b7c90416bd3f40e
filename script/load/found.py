"""Everything that a run has found, and the second part of it: pages that poll."""

import os
import platform
import time

from . import budgets, pages, paper, report, stage
from .cells import BROWSER, POLL, POLL_ANY
from .rounds import Rounds
from .town import Town


class Found:
    """Everything that a run has found."""

    def __init__(self, rounds: Rounds, postmaster: int | None):
        self.rounds, self._postmaster = rounds, postmaster
        self.watches: list[tuple[str, pages.Watch]] = []
        self.changes: list[tuple[str, dict]] = []
        self.ceiling, self.visit, self.half_sent = None, {}, None

    @property
    def _largest(self) -> dict[str, Town]:
        """Of each kind the town with the most repairs."""
        polled = [town for town in self.rounds.towns if town.database.size != budgets.DESK_SIZE]
        return {town.database.kind: town for town in polled}

    def look_at_pages(self, quick: bool) -> None:
        """The second part: simulated pages, on the largest database of each kind, and what one visit costs."""
        for kind, town in list(self._largest.items())[: 1 if quick else None]:
            stage.say(f"pages that poll: {kind}, {town.database.size:,} repairs")
            with stage.product(town.database) as server:
                town.sign_in(server)
                if not self.visit:
                    self.visit = budgets.first_visit(server, town.open_tokens[0])
                    self.half_sent = budgets.half_sent(server, lambda: server.ask("GET", "/login", BROWSER))
                self._look_at_pages(town, server, quick)

    def _look_at_pages(self, town: Town, server: stage.Server, quick: bool) -> None:
        kind = town.database.kind
        expected = self.rounds.find(POLL, *town.database[:2]).rate
        tried = pages.carried(server, town, expected, seconds=2 if quick else 6, finer=2 if quick else 16)
        self.watches += [(kind, seen) for seen in sorted(tried, key=lambda seen: seen.pages)]
        best = max((seen.pages for seen in tried if seen.holds), default=min(seen.pages for seen in tried))
        self.changes.append((kind, pages.spread_of_changes(server, town, best // 2)))

    def look_at_postgres(self) -> None:
        """What PostgreSQL alone could answer."""
        if town := self._largest.get("PostgreSQL"):
            read = self.rounds.find(POLL_ANY, *town.database[:2]).statements[-1]
            self.ceiling = paper.postgres_ceiling(town.database, read, town.open_tokens, self._postmaster)

    @property
    def budgets(self) -> list[budgets.Budget]:
        """What was promised."""
        return budgets.budgets(self.rounds, self.visit, self.half_sent)

    @property
    def holds(self) -> bool:
        """Whether nothing fails, of what was measured."""
        return not any(measured.wrong for measured in self.rounds.measured) and all(
            budget.holds is not False for budget in self.budgets
        )

    def as_markdown(self) -> str:
        """The tables."""
        parts = [f"{machine()}. {report.yardstick(self.rounds)} The run took {_took() / 60:.0f} min."]
        parts += ["### Requests", report.cells(self.rounds)]
        parts += ["### Memory, MB PSS", report.memory(self.rounds)]
        if self.watches:
            parts += ["### Open pages", report.watches(self.watches)]
            parts += ["### A change at the counter reaches the pages", report.changes(self.changes)]
        parts += ["### Budgets", report.budgets(self.budgets)]
        if steps := paper.from_rounds(self.rounds):
            parts += ["### On paper", report.plan(steps)]
        if self.ceiling:
            parts.append(f"PostgreSQL alone answers the poll's one read {self.ceiling['rate']:,.0f} times a second.")
        return "\n\n".join(parts)

    def as_json(self) -> dict:
        """The same for a program."""
        return {
            "machine": machine(),
            "seconds": _took(),
            "cells": [measured.as_json() for measured in self.rounds.measured],
            "memory": [
                {"database": kind, "repairs": size, "idle": idle, "after_load": used}
                for (kind, size), pairs in self.rounds.memory.items()
                for idle, used in pairs
            ],
            "pages": [{"database": kind, "holds": seen.holds} | vars(seen) for kind, seen in self.watches],
            "changes": [{"database": kind} | seen for kind, seen in self.changes],
            "first_visit": self.visit,
            "postgres_ceiling": self.ceiling,
            "budgets": [vars(budget) | {"verdict": budget.verdict} for budget in self.budgets],
            "paper": [
                vars(step) | {"pages": step.pages, "shops": step.shops} for step in paper.from_rounds(self.rounds)
            ],
        }


def machine() -> str:
    """What it was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}; "
        "load, servers and databases on the same cores"
    )


def _took() -> float:
    return time.monotonic() - stage.BEGAN
