"""script/bench: how much Readylight carries on this machine, in one run of about half an hour."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import budgets, machine, stage
from .cells import CELLS
from .found import Found
from .rounds import Rounds, load_of
from .stage import Failed
from .town import Town

SIZES = (1_000, 100_000, budgets.DESK_SIZE, 1_000_000)


def _arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__.partition(": ")[2])
    parser.add_argument("--quick", action="store_true", help="one thousand repairs, one round of short loads")
    parser.add_argument("--sizes", type=_sizes, help="how many repairs, with commas between")
    parser.add_argument("--rounds", default=3, type=int, help="rounds of loads (3)")
    parser.add_argument("--only", default="", metavar="WORD", help="only the loads whose name has this, and no pages")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there")
    parser.add_argument("--strict", action="store_true", help="exit 1 if a budget does not hold or an answer was wrong")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the databases there, and use them next time")
    parser.add_argument("--profile", metavar="FILE", help="py-spy's speedscope of the first load that --only finds")
    wanted = parser.parse_args(given)
    wanted.sizes = wanted.sizes or (SIZES[:1] if wanted.quick else SIZES)
    wanted.rounds = 1 if wanted.quick else wanted.rounds
    wanted.cells = tuple(cell for cell in CELLS if wanted.only in cell.name)
    if not wanted.cells:
        parser.error("--only finds none of: " + ", ".join(cell.name for cell in CELLS))
    return wanted


def _sizes(text: str) -> list[int]:
    return sorted({int(size) for size in text.split(",")})


@contextmanager
def _folder(kept: Path | None):
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="readylight-bench-") as folder:
            yield Path(folder)


def _stop(number, frame):
    """Ends the run; whoever is impatient must not end the tidying up."""
    for each in machine.STOPS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> int:
    """The whole run. Gives the exit status."""
    wanted = _arguments()
    for number in machine.STOPS:
        signal.signal(number, _stop)
    with ExitStack() as undo:
        folder, server = undo.enter_context(_folder(wanted.keep)), stage.postgres_server()
        stage.say("filling the databases" + ("" if server else " (no PostgreSQL server answers: SQLite alone)"))
        made = undo.enter_context(stage.databases(wanted.sizes, folder, server, keep=bool(wanted.keep)))
        postmaster = stage.postmaster(server) if server else None
        towns = [Town(database) for database in made]
        for town in towns:
            undo.callback(town.close)
        if wanted.profile:
            return _profile(wanted, towns[0])
        rounds = Rounds(towns, wanted.cells, budgets.DESK_SIZE, postmaster)
        for number in range(1, wanted.rounds + 1):
            rounds.run(number, 1 if wanted.quick else None)
        found = Found(rounds, postmaster)
        if not wanted.only:
            found.look_at_pages(wanted.quick)
            found.look_at_postgres()
    print(found.as_markdown())
    if wanted.json:
        wanted.json.write_text(json.dumps(found.as_json(), indent=1, default=str))
    return 1 if wanted.strict and not found.holds else 0


def _profile(wanted: argparse.Namespace, town: Town) -> int:
    """One load, while py-spy looks where the time goes."""
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if spy is None:
        raise Failed("--profile needs py-spy: .venv/bin/pip install py-spy")
    with stage.product(town.database) as server:
        town.sign_in(server)
        with load_of(wanted.cells[0], town, server) as send:
            command = [spy, "record", "--subprocesses", "--pid", str(server.pid), "--output", wanted.profile]
            with machine.started([*command, "--format", "speedscope", "--duration", "8"]) as look:
                print(send(10))
                return look.wait()


if __name__ == "__main__":
    sys.exit(main())
