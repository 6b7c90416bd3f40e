"""Reads lists that come from elsewhere: their letters, their commas, their headings, their dates. Pure.

Whatever another program wrote is taken as far as it can be told what was meant; what cannot be told is refused with a
sentence (ValueError), never guessed.
"""

import csv
import io
import re
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from flask_babel import lazy_gettext

from .. import language
from ..formats import fold, number, parse_money
from ..rules import CLOSED, Status
from .writing import CUT, SIGNS

MOST_ROWS = 5000
MOST_BYTES = 2 * 1024 * 1024
# No field of ours holds more; a quote that is never closed would swallow the rest of the list.
LONGEST_CELL = 20_000

# What a column is called, without its spaces and marks: in our own lists first, then in others', in English, German,
# Spanish and French.
COLUMNS = {
    "code": "code number repaircode repairnumber ticket ticketnumber reference ref job jobnumber "
    "nummer auftrag auftragsnummer auftragsnr reparaturnummer referenz "
    "codigo numero orden numerodeorden referencia "
    "dossier numerodedossier numerodereparation bon",
    "status": "status state stage zustand estado statut etat",
    "item": "item device product model article equipment "
    "gerat geraet gegenstand artikel modell produkt "
    "articulo equipo aparato dispositivo modelo producto "
    "objet appareil modele produit",
    "problem": "problem fault issue defect complaint description faultdescription problemdescription "
    "fehler fehlerbeschreibung defekt mangel beschreibung problembeschreibung "
    "problema averia fallo defecto descripcion "
    "probleme panne defaut",
    "serial": "serialnumber serial sn imei serialno serialnumberorimei "
    "seriennummer seriennr seriennummeroderimei "
    "numerodeserie numeroserie numerodeserieoimei "
    "numerodeserieouimei numserie",
    "accessories": "leftwithit accessories zubehor zubehoer accesorios laisseavec accessoires",
    "name": "customer name customername client clientname fullname contact contactname "
    "kunde kundin kundenname "
    "cliente nombre nombrecompleto nombredelcliente "
    "nom nomcomplet nomduclient",
    "phone": "phone phonenumber telephone mobile mobilenumber mobilephone cell cellphone tel phoneno contactnumber "
    "telefon telefonnummer telefonnr handy handynummer mobil mobilnummer mobiltelefon rufnummer "
    "telefono numerodetelefono movil celular "
    "numerodetelephone ndetelephone portable",
    "email": "email emailaddress mail emailadresse correo correoelectronico courriel adresseemail adressemail",
    "branch": "branch location store filiale standort sucursal tienda succursale magasin",
    "technician": "technician assignedto engineer assignee "
    "techniker technikerin bearbeiter "
    "tecnico "
    "technicien technicienne",
    "received": "received receivedat receivedon datereceived datein checkedin bookedin created createdat intakedate "
    "angenommen angenommenam annahme eingang eingangsdatum datum "
    "recibida recibido fecha fechadeentrada fechaderecepcion "
    "recu recue recule recuele date datedereception depot",
    "promised": "promised promisedfor promise promiseddate due duedate dueon deadline readyby "
    "zugesagt zugesagtbis versprochen fertigbis termin fallig faellig "
    "prometida prometido fechaprometida fechadeentrega entrega "
    "promis datepromise echeance",
    "estimate": "estimate priceestimate price quote cost amount total "
    "kostenschatzung kostenschaetzung kostenvoranschlag preis betrag kosten "
    "importeestimado presupuesto precio importe coste "
    "estimation devis prix montant",
    "note": "note notes internalnote internalnotes comment comments remarks "
    "notiz notizen bemerkung bemerkungen anmerkung "
    "nota notas observaciones "
    "remarque remarques commentaire commentaires",
}
# What we call it ourselves, in the list of what was refused.
HEADINGS = {
    **{field: field.capitalize() for field in COLUMNS},
    "name": "Customer",
    "serial": "Serial number",
    "accessories": "Left with it",
}
TEMPLATE = [
    *("Name", "Phone", "Email", "Item", "Problem", "Serial", "Left with it", "Status", "Received", "Promised"),
    *("Estimate", "Technician", "Note"),
]
# A column that a list of ours has and that nothing is read from.
IGNORED = {"statussince", "lastchange", "currency", "why"}
_FIELDS = {heading: field for field, headings in COLUMNS.items() for heading in headings.split()}

_STATUSES = {
    Status.RECEIVED: "received new open bookedin checkedin intake pending todo",
    Status.DIAGNOSING: "diagnosing diagnosis indiagnosis diagnostics assessing",
    Status.WAITING_PARTS: "waitingforparts waitingparts awaitingparts partsordered onhold waitingforpart",
    Status.REPAIRING: "repairing inrepair underrepair inprogress working workinprogress",
    Status.TESTING: "testing qa qualitycheck qualitycontrol test",
    Status.READY: "ready done completed finished repaired readyforcollection readyforpickup readytocollect",
    Status.DELIVERED: "delivered collected closed pickedup returned handedback",
    Status.CANCELLED: "cancelled canceled rejected abandoned notrepaired",
}
_NAMED = {name: status for status, names in _STATUSES.items() for name in names.split()}
_REFUSED = {
    Status.DELIVERED: lazy_gettext("It is delivered. Only open repairs are imported."),
    Status.CANCELLED: lazy_gettext("It is cancelled. Only open repairs are imported."),
}


@dataclass(frozen=True)
class List:
    """What a file holds: the column of each field, headings that mean nothing here, and the rows with their lines."""

    fields: dict[str, int]
    unknown: list[str]
    rows: list[tuple[int, list[str]]]

    def cells(self, row: list[str]) -> dict[str, str]:
        """A row's cells by field, bare; "" for what it does not have."""
        return {
            field: plain(row[self.fields[field]]) if self.fields.get(field, len(row)) < len(row) else ""
            for field in COLUMNS
        }


def text(data: bytes) -> str:
    """A file's letters, whichever of the usual ways they were written in."""
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError(_("This is a workbook. In the spreadsheet choose “Save as”, CSV, and upload that."))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _decoded(data, "utf-16")
    # UTF-16 whose mark got lost: every other byte of Western text is a nought.
    head = data[:2000]
    if len(head) > 3 and head[1::2].count(0) > len(head) // 4:
        return _decoded(data, "utf-16-le")
    if len(head) > 3 and head[0::2].count(0) > len(head) // 4:
        return _decoded(data, "utf-16-be")
    if b"\x00" in data:
        raise ValueError(_("This is no text. Save the list as CSV and upload that."))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode(name).lstrip("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(_("This file breaks off in the middle of a letter. Save it as CSV once more.")) from None


def read(written: str) -> List:
    """The list in a text with commas, semicolons or tabs, whose first line says what is in each column."""
    written = written.lstrip("\ufeff")
    # Excel writes down which mark it used, on a line of its own.
    told = re.match(r"sep=(.)\r?\n", written)
    skipped = 1 if told else 0
    body = written[told.end() :] if told else written
    first = re.sub(r'"[^"]*"', "", body.lstrip("\r\n").partition("\n")[0])
    mark = told[1] if told else max(",;\t", key=first.count)
    rows = _rows(body, mark, skipped)
    if not rows:
        raise ValueError(_("This list is empty."))
    fields, unknown = _headings(rows[0][1])
    if "phone" not in fields:
        raise ValueError(
            _(
                "No column is called %(heading)s. The first line must say what is in each column, and the phone number "
                "says who a customer is.",
                heading=HEADINGS["phone"],
            )
        )
    if len(rows) == 1:
        raise ValueError(_("There is nothing below the first line."))
    if len(rows) - 1 > MOST_ROWS:
        counts = {"count": number(len(rows) - 1), "most": number(MOST_ROWS)}
        raise ValueError(_("This list has %(count)s rows. Import at most %(most)s at a time.", **counts))
    return List(fields, unknown, rows[1:])


def _rows(body: str, mark: str, skipped: int) -> list[tuple[int, list[str]]]:
    """Every row that is not empty, with the line of the file on which it begins."""
    reader, rows, line = csv.reader(io.StringIO(body, newline=""), delimiter=mark), [], 1 + skipped
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((line, row))
            line = reader.line_num + 1 + skipped
    except csv.Error:
        raise ValueError(_("Line %(line)s cannot be read: is a quotation mark missing?", line=line)) from None
    finally:
        csv.field_size_limit(before)
    return rows


def _headings(row: list[str]) -> tuple[dict[str, int], list[str]]:
    fields, unknown = {}, []
    for place, heading in enumerate(row):
        name = _bare(re.sub(r"\(.*\)", "", heading))
        field = _FIELDS.get(name)
        if field and field not in fields:
            fields[field] = place
        elif name and name not in IGNORED:
            unknown.append(heading.strip()[:40])
    return fields, unknown


def plain(cell: str) -> str:
    """A cell without the apostrophes that keep a spreadsheet from taking it, or a part of it, for a formula."""
    cell = re.sub(rf"{CUT}'(?=[{SIGNS}])", r"\1", cell.strip())
    return cell[1:].strip() if re.match(f"'[{SIGNS}]", cell) else cell


@lru_cache
def _called(spoken: str) -> dict[str, Status]:
    """The statuses by what they are called in the language that is spoken."""
    return {_bare(status.label): status for status in Status}


def status(written: str) -> Status:
    """The status that a word means; received where nothing is said. Only open repairs are brought in.

    It may be English, or what the status is called in the language spoken now.
    """
    if not written:
        return Status.RECEIVED
    if (found := _NAMED.get(_bare(written)) or _called(language.current()).get(_bare(written))) is None:
        names = ", ".join(open_labels())
        raise ValueError(_("“%(written)s” is no status. Write one of: %(names)s.", written=written[:40], names=names))
    if found in CLOSED:
        raise ValueError(str(_REFUSED[found]))
    return found


def open_labels() -> list[str]:
    """What the statuses that a repair can be brought in with are called."""
    return [status.label for status in Status if status not in CLOSED]


_DATES = [
    (re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"), "ymd"),
    (re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4})"), "dmy"),
    (re.compile(r"(\d{1,2})[-. ]+([A-Za-z]{3,9})\.?[-. ,]+(\d{4})"), "dby"),
    (re.compile(r"([A-Za-z]{3,9})\.?[-. ]+(\d{1,2})[-. ,]+(\d{4})"), "bdy"),
]
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_TIME = re.compile(r"[T, ]*(\d{1,2})[:.h](\d{2})(?:[:.]\d{2}(?:\.\d+)?)?\s*([ap])?\.?(?:m\.?)?", re.IGNORECASE)
# Where the month is written before the day: https://en.wikipedia.org/wiki/List_of_date_formats_by_country
_MONTH_FIRST = {"US", "PH", "FM", "MH", "PW", "GU", "PR"}


def moment(written: str, zone: str, country: str, *, at: time) -> datetime:
    """A date, with its time or else at that time of the day, in the shop's zone; in UTC."""
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*([+-]\d\d:?\d\d|Z)", written):
            return datetime.fromisoformat(written).astimezone(ZoneInfo("UTC"))
        for pattern, order in _DATES:
            if match := pattern.match(written):
                day = _day(dict(zip(order, match.groups(), strict=True)), country)
                here = datetime.combine(day, _time(written[match.end() :], at), ZoneInfo(zone))
                return here.astimezone(ZoneInfo("UTC"))
    except (ValueError, OverflowError):
        pass
    raise ValueError(_("“%(written)s” is no date. Write it as 2026-11-23 or 2026-11-23 18:00.", written=written[:40]))


def _day(parts: dict[str, str], country: str) -> date:
    month = _MONTHS.index(parts["b"][:3].lower()) + 1 if "b" in parts else int(parts["m"])
    day = int(parts["d"])
    if parts.keys() == {"d", "m", "y"} and len(parts["y"]) == 4 and _is_turned(parts, country):
        day, month = month, day
    return date(int(parts["y"]), month, day)


def _is_turned(parts: dict[str, str], country: str) -> bool:
    """Whether "11/23/2026" has the month first: where people write so, or where it cannot be otherwise."""
    if next(iter(parts)) == "y":
        return False
    first, second = int(parts["d"]), int(parts["m"])
    return second > 12 or (country in _MONTH_FIRST and first <= 12)


def _time(written: str, otherwise: time) -> time:
    if not written.strip():
        return otherwise
    if not (match := _TIME.fullmatch(written)):
        raise ValueError(written)
    hour = int(match[1])
    if match[3]:
        if not 1 <= hour <= 12:
            raise ValueError(written)
        hour = hour % 12 + (12 if match[3].lower() == "p" else 0)
    return time(hour, int(match[2]))


_DASHES = "-\u2010\u2011\u2012–—\u2015−－"
# With what people write around an amount: a currency, and a dash instead of the cents. "Fr. 80.-", "49,- €", "50 kr."
_AMOUNT = re.compile(r"((?:[^\W\d]/?\.|[^\d.,])*)(\d(?:[\d\s.,'’]*\d)?)(\D*)")


def amount(written: str, currency: str) -> int | None:
    """A price in minor units; None where nothing is said, or a dash."""
    if not written.strip(f" {_DASHES}"):
        return None
    if not (match := _AMOUNT.fullmatch(written)):
        if re.search(r"\d\D+\d", written):
            raise ValueError(_("“%(written)s” is more than one amount. Write one.", written=written[:40]))
        return parse_money(written, currency)
    before, figures, after = match.groups()
    if before.count("(") > before.count(")") or not {*before}.isdisjoint(_DASHES):
        raise ValueError(_("The estimate is less than nothing."))
    if after.strip().startswith((*_DASHES,)):
        # Some programs write a minus behind the figures: what is meant is not guessed.
        return parse_money(written, currency)
    return parse_money(figures.replace("’", "'"), currency)


def _bare(heading: str) -> str:
    return re.sub(r"[\W_]", "", fold(heading))
