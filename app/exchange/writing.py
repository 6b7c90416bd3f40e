"""Writes lists for spreadsheets: RFC 4180, in UTF-8 with the mark by which Excel knows it. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Iterator

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

BOM = "\ufeff"
# Where a spreadsheet that takes semicolons or tabs for the mark begins a cell in the middle of one of ours, and whoever
# reads a line as it stands begins a row: up to the first letter there.
CUT = r"(?<![;\s\"])(?=(?:[^\S\t\r\n]|\")*+[;\t\r\n])([;\s\"]++)"
SIGNS = "=+@\t\r＝＋－＠-"


def lines(rows: Iterable[Iterable]) -> str:
    """Rows as lines, each cell as text that no spreadsheet takes for a formula."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows([safe(cell) for cell in row] for row in rows)
    return file.getvalue()


def chunks(heading: list[str], pages: Iterable[list]) -> Iterator[bytes]:
    """A whole file, piece by piece as its rows come."""
    yield (BOM + lines([heading])).encode()
    for rows in pages:
        yield lines(rows).encode()


def safe(cell) -> str:
    """A cell's text. What a spreadsheet would work out as a formula gets an apostrophe, which it shows as text.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    text = re.sub(rf"{CUT}(?=[{SIGNS}])", r"\1'", "" if cell is None else str(cell))
    # A telephone number as phone() writes it is none: figures and one gap. So its + may stay.
    if re.match(f"[{SIGNS}]", text) and not re.fullmatch(r"\+\d{1,3} \d+", text):
        return f"'{text}"
    return text


def phone(e164: str) -> str:
    """A number with its + and a gap after the country: without the gap a spreadsheet makes a sum of it."""
    for length in (1, 2, 3):
        if e164[:1] == "+" and int(e164[1 : 1 + length] or 0) in COUNTRY_CODE_TO_REGION_CODE:
            return f"{e164[: 1 + length]} {e164[1 + length :]}"
    return e164 if e164[:1] == "+" else ""
