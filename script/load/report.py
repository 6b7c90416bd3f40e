"""The tables, as Markdown."""

from . import paper
from .budgets import Budget
from .pages import Watch
from .rounds import HELLO, Measured, Rounds


def table(heads: list[str], rows: list[list]) -> str:
    """A Markdown table; all columns but the leading ones with words are set to the right by a reader's renderer."""
    lines = [heads, ["--"] * len(heads), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None, digits: int = 0) -> str:
    """1,234 or 12.3; a dash for what was not measured or did not end."""
    return "–" if value is None or value == float("inf") else f"{value:,.{digits}f}"


def cells(rounds: Rounds) -> str:
    """Every cell of every database."""
    heads = ["database", "repairs", "what", "requests/s", "÷ hello", "p50 ms", "p99 ms"]
    heads += ["p99 ms, one user", "SQL", "server CPU ms", "PostgreSQL CPU ms", "wrong"]
    return table(heads, [_cell(measured) for measured in rounds.measured])


def _cell(measured: Measured) -> list[str]:
    start = [measured.kind or "none", f"{measured.size:,}" if measured.size else "–", measured.cell]
    timed = ["–"] * 4
    if measured.rate:
        timed = [number(measured.rate), number(measured.ratio, 2), number(measured.p50, 1), number(measured.p99, 1)]
    return [
        *start,
        *timed,
        number(measured.alone_p99, 1),
        number(len(measured.statements) if measured.statements is not None else None),
        number(measured.cpu(measured.server_cpu), 2),
        number(measured.cpu(measured.database_cpu), 2),
        str(measured.wrong),
    ]


def memory(rounds: Rounds) -> str:
    """What the servers took, in the round in which they took most."""
    rows = []
    for (kind, size), pairs in rounds.memory.items():
        idle, used = max(pairs, key=lambda pair: pair[1]["all"])
        rows.append([kind, f"{size:,}", *(number(each[part]) for each in (idle, used) for part in ("worker", "all"))])
    return table(
        ["database", "repairs", "a worker, idle", "all, idle", "a worker, after load", "all, after load"], rows
    )


def watches(found: list[tuple[str, Watch]]) -> str:
    """Each number of open pages that was tried."""
    rows = [
        [
            kind,
            f"{seen.pages:,}",
            number(seen.p50, 1),
            number(seen.p99, 1),
            ", ".join(f"{count:,} {why}" for why, count in seen.failed.items()) or "0",
            str(seen.skipped),
            number(seen.server_cores, 2),
            number(seen.client_cores, 2),
            number(seen.lag, 1),
            "yes" if seen.holds else "no",
        ]
        for kind, seen in found
    ]
    heads = ["database", "open pages", "p50 ms", "p99 ms", "failed", "skipped", "server cores", "client cores"]
    return table([*heads, "client late, ms", "carried"], rows)


def changes(found: list[tuple[str, dict]]) -> str:
    """How soon a change was seen."""
    heads = ["database", "open pages", "changes", "watchers", "reached", "a watcher, p50 s", "all of them, p50 s"]
    keys = ("each_p50", "all_p50", "all_max")
    rows = [
        [
            kind,
            f"{seen['pages']:,}",
            seen["changes"],
            seen["watchers"],
            seen["reached"],
            *(number(seen[key], 1) for key in keys),
        ]
        for kind, seen in found
    ]
    return table([*heads, "all of them, max s"], rows)


def budgets(found: list[Budget]) -> str:
    """What was promised and what is."""
    rows = [
        [each.what, each.most, "–" if each.value is None else each.text.format(each.value), each.verdict]
        for each in found
    ]
    return table(["what", "budget", "measured", ""], rows)


def plan(steps: list[paper.Step]) -> str:
    """What more machines would carry."""
    rows = [[step.what, f"{paper.round_down(step.polls):,}", f"{step.pages:,}", f"{step.shops:,}"] for step in steps]
    lines = "\n".join(f"- {line}" for line in paper.ASSUMPTIONS)
    return (
        table(["what stands there", "polls/s", "open pages", f"shops of {paper.PAGES_A_SHOP} open pages"], rows)
        + "\n\nAssumed:\n\n"
        + lines
    )


def yardstick(rounds: Rounds) -> str:
    """The yardstick in one sentence, with how far it went up and down."""
    rates = [load.rate for each in rounds.measured if each.cell == HELLO for load in each.loads]
    if not rates:
        return "Nothing was compared with Flask's hello."
    low, high = min(rates), max(rates)
    return f"Flask's hello: {low:,.0f} to {high:,.0f} requests/s over the run; each ratio is to the one right after it."
