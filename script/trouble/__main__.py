"""script/faults: what happens to a shop when things break, in a temporary folder on this machine."""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from . import crowd, full, kills, restarts, slow
from .stage import opened

PARTS = ("kills", "crowd", "restarts", "slow", "full")


def main() -> int:
    """Runs the parts that were asked for and prints their figures. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="script/faults", description=__doc__.partition(": ")[2])
    parser.add_argument("parts", nargs="*", choices=PARTS, help="what to try (everything)")
    parser.add_argument("--kills", type=int, default=200, help="how often to kill -9 (200)")
    parser.add_argument("--people", type=int, default=256, help="how many write at once (256, on 4 workers)")
    parser.add_argument("--clients", type=int, default=300, help="how many slow clients of each kind (50, then 300)")
    parser.add_argument("--postgresql", metavar="URL", help="also there, in databases of its own (TEST_POSTGRES_URL)")
    parser.set_defaults(postgresql=os.environ.get("TEST_POSTGRES_URL", ""))
    wanted = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    wrong = []
    with tempfile.TemporaryDirectory(prefix="readylight-faults-") as folder:
        for url in ("", wanted.postgresql) if wanted.postgresql else ("",):
            for part in wanted.parts or PARTS:
                title = f"{part}, {'PostgreSQL' if url else 'SQLite'}"
                for figures in _run(part, wanted, url, Path(folder)):
                    wrong += figures["wrong"]
                    _print(title, figures)
    for problem in wrong[:50]:
        print(f"WRONG: {problem}", file=sys.stderr)
    return 1 if wrong else 0


def _run(part: str, wanted: argparse.Namespace, url: str, folder: Path):
    """The figures of one part, on a shop of its own."""
    folder = folder / f"{part}-{'postgresql' if url else 'sqlite'}"
    if part == "full":
        if not url:
            try:
                yield full.run(folder)
            except full.NotAllowed as problem:
                yield {"left out, as no small disk can be made": str(problem), "wrong": []}
        return
    with opened(folder, url, WORKERS=4 if part == "crowd" else 2) as shop:
        if part == "kills":
            yield kills.run(shop, wanted.kills)
        elif part == "crowd":
            yield crowd.run(shop, processes=4, people=max(1, wanted.people // 4), seconds=10)
        elif part == "restarts":
            yield restarts.run(shop, 5, 5)
        elif not url:
            yield slow.run(shop, 50, 3)
            yield slow.run(shop, wanted.clients, 10)


def _print(title: str, figures: dict) -> None:
    print(f"\n{title}")
    for name, figure in figures.items():
        if name != "wrong":
            print(f"  {name:<60}{figure:>12}" if isinstance(figure, int | float) else f"  {name:<60}{figure}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
