"""Requests that no browser sends, over the whole URL map: whatever comes, nothing breaks, leaks, or changes unbidden.

FUZZ_REQUESTS says how many, of which five in eight look and three send. FUZZ_REQUESTS=20000 is the full run.
"""

import contextvars
import io
import os
import re
import shutil
from dataclasses import dataclass
from inspect import unwrap
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlencode

import pytest
from gunicorn.http.errors import InvalidChunkSize, NoMoreData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import delete, event, insert, select
from werkzeug.test import run_wsgi_app
from wtforms.fields.core import UnboundField

from app.customers import merging
from app.db import db
from app.models import Event, Invitation, Photo, Repair, Shop, SignIn, Staff, Throttle
from app.repairs import actions
from app.web import Form

from .factories import PASSWORD, branch, make_customer, make_repair, make_staff
from .pages import BENCH, LEADS, MAY_SEND, PAGES, STAFF, STRANGERS

# Werkzeug leaves the file of a part that it refuses half-way to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning")

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "800"))

METHODS = [
    *["GET"] * 8,
    *["HEAD", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "BREW", "get", "G\xcbT"],
]

# Planted where only staff may look: what a stranger or a customer is answered has none of it.
PRIVATE = {
    "name": "Xanthippe Private",
    "phone": "+66899990001",
    "email": "xanthippe@private.example",
    "serial": "SERIAL-PRIVATE",
    "note": "NOTE-PRIVATE",
    "accessories": "LEFT-PRIVATE",
    "reason": "REASON-PRIVATE",
    "colleague": "BENCH-PRIVATE",
}
LEAKS = [text.encode() for text in (*PRIVATE.values(), "089 999 0001", "89 999 0001", "899990001")]
# Planted at the other branch: only an owner, who sees all of them, is answered any of it. Nobody types that number in:
# whoever does reads the name that goes with it, as SECURITY.md says, and by an intake makes them a customer here.
ELSEWHERE = {
    "name": "Rhiannon Elsewhere",
    "phone": "+66899990002",
    "email": "rhiannon@elsewhere.example",
    "serial": "SERIAL-ELSEWHERE",
    "note": "NOTE-ELSEWHERE",
    "accessories": "LEFT-ELSEWHERE",
    "problem": "PROBLEM-ELSEWHERE",
}
LEAKS_ELSEWHERE = [text.encode() for text in (*ELSEWHERE.values(), "089 999 0002", "89 999 0002", "899990002")]

PATH = ["received", "diagnosing", "repairing", "testing", "ready", "delivered"]

# What somebody types, or has a program type, where something else was asked for.
JUNK = [
    *["", " ", "0", "-1", "1", "00", "1.5", "1e309", "NaN", "-inf", "0x10", "1_000", "٣", "²", "½", "True", "None"],
    *["2147483647", "2147483648", str(2**63), str(-(2**64)), "9" * 400, "9" * 5000],
    *[
        "\x00",
        "a\x00b",
        "\ud800",
        "\udfff\ud800",
        "\ufeff",
        "\u202egnp.exe",
        "مرحبا",
        "👩🏽‍🔧",
        "é" * 300,
        "\x1b[2J",
        "\x7f",
    ],
    *["../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "file:///etc/passwd", "C:\\", ".", "..", "%2e%2e%2f", "%"],
    *[
        "' OR 1=1 --",
        '" OR ""="',
        "1; DROP TABLE repair",
        "%' ESCAPE '",
        "\\",
        "_%_",
        "{{7*7}}",
        "${7*7}",
        "%s%n",
        "{0}",
    ],
    *["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "data:text/html,x"],
    *["//evil.example", "https://evil.example/", "/\\evil.example", "/\t/evil", "\r\nSet-Cookie: x=1", "a\r\n\r\nb"],
    *["0000-01-01T00:00", "0001-01-01T00:00", "9999-12-31T23:59", "2026-02-30T25:61", "2027-01-01", "now", "24:00"],
    *["[]", "{}", '{"$gt": ""}', "a[]=1", "=", "&", ";", "a" * 255, "a" * 20_000, "ab " * 7000, "x" * 1_000_000],
]
# For addresses, as they are sent: half a letter, a letter longer than it need be, nothing, a slash that is none.
BAD_BYTES = [
    "%ff",
    "%00",
    "%c0%af",
    "%e0%80%af",
    "%ed%a0%80",
    "%f0%9f%98",
    "%2f",
    "%5c",
    "%0d%0a",
    "%25",
    "%2e%2e",
    ";a=b",
]

# What a form holds that was filled in well. Without it no junk gets past the first field.
WELL = {
    "phone": ["081 234 5678", "+66 89 999 0001", "112"],
    "email": ["malee@example.com", PRIVATE["email"], ELSEWHERE["email"], "owner@example.com", "technician@example.com"],
    "promise_pick": ["none", "custom", "today", "tomorrow", "1_week"],
    "promise_at": ["2030-01-01T10:00", "2026-11-01T10:00"],
    "to": [*PATH, "waiting_parts", "cancelled"],
    "branch": ["1", "2", "0"],
    "technician": ["1", "3", "0"],
    "estimate": ["1200", "49.90"],
    "role": STAFF,
    "active": ["y", ""],
    "public": ["y", ""],
    "country": ["TH", "PT"],
    "timezone": ["Asia/Bangkok", "Europe/Lisbon"],
    "currency": ["THB", "EUR"],
    "whatsapp": ["", "081 234 5678"],
    # Where nobody listens: the shop asks it when it is told to.
    "public_url": ["http://127.0.0.1:9"],
    "link_days": ["90", "0"],
    "code": ["AB", "MN"],
    "password": [PASSWORD, "four louder lamps"],
    "current": [PASSWORD, "wrong"],
    "theme": ["dark", "light"],
    "back": ["/customers"],
    "next": ["/customers"],
    "key": ["a" * 32, "b" * 32],
    "then": ["receipt", "label", "both", ""],
    "paper": ["80mm", "40x30"],
    "receipt_paper": ["a4", "80mm"],
    "label_paper": ["62mm", "40x30"],
    "sort": ["newest", "status"],
    "show": ["late", "today", "ready", "cancelled"],
    "page": ["1", "2"],
    "q": [
        "lamp",
        "xanthippe",
        "rhiannon",
        "089 999",
        "TH-MN-R0001",
        "https://repairs.example.com/t/aaaaaaaaaaaaaaaaaaaaaa",
    ],
    "who": ["mine", "nobody"],
    "quiet": ["2", "custom"],
    "days": ["3"],
    "grouped": ["1"],
    "do": ["next", "assign"],
    "pick": [f"TH-MN-R000{number}:{version}" for number in range(1, 9) for version in range(1, 7)],
    "query": ["who=mine&quiet=2", "show=late&page=2", ""],
}
# What no form class names, because it is read straight from the request; and what nobody asks for.
LOOSE = ["q", "show", "sort", "page", "branch", "next", "back", "theme", "code", "v", "paper", "print"]
LOOSE += ["who", "quiet", "days", "grouped", "query"]
STRANGE_NAMES = [
    "",
    "csrf_token",
    "_method",
    "id",
    "role",
    "staff_id",
    "token",
    "a[0]",
    "__class__",
    "x" * 2000,
    "\x00",
]

TWISTS = {
    "HTTP_ACCEPT_ENCODING": ["gzip", "gzip;q=x, *", "\xff"],
    "HTTP_ACCEPT_LANGUAGE": ["th", "x" * 5000],
    "HTTP_HX_REQUEST": ["false", "TRUE", "true, true"],
    "HTTP_HX_PTAG": ["", "1.1.1", "\xe9", "x" * 9000],
    "HTTP_HX_CURRENT_URL": ["//evil.example", "\xff"],
    "HTTP_IF_NONE_MATCH": ["*", 'W/"1.1"', '"', ",,,", 'W/"' + "x" * 9000],
    "HTTP_IF_MODIFIED_SINCE": ["yesterday", "Mon, 99 Foo 0000 99:99:99 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"],
    "HTTP_RANGE": ["bytes=0-1", "bytes=5-1", "bytes=-99999999999999999999", "lines=1", "bytes=0-,0-,0-,0-"],
    "HTTP_HOST": ["", "evil.example", "a b", "[::1", "x" * 3000, "localhost:99999", "\xe9.example", "a/../b", "a\\b@c"],
    "HTTP_COOKIE": [
        "",
        "=",
        "readylight",
        "readylight=",
        "readylight=.",
        "readylight=\xff; theme=\xe9",
        "a=" + "b" * 30_000,
    ],
    "HTTP_X_FORWARDED_FOR": ["1.2.3.4, 5.6.7.8", "\xff", "x" * 999],
    "HTTP_X_FORWARDED_PROTO": ["https", "gopher"],
    "HTTP_X_FORWARDED_HOST": ["evil.example"],
    "HTTP_X_HTTP_METHOD_OVERRIDE": ["DELETE"],
    "HTTP_ORIGIN": ["null", "https://evil.example"],
    "HTTP_REFERER": ["https://evil.example/", "//[", "\xff"],
    "HTTP_SEC_FETCH_SITE": ["cross-site", "same-site", "none"],
    "HTTP_TRANSFER_ENCODING": ["chunked", "gzip, chunked"],
    "HTTP_CONTENT_ENCODING": ["gzip"],
    "HTTP_EXPECT": ["100-continue", "200-ok"],
    "HTTP_AUTHORIZATION": ["Basic eA==", "Bearer x", "\xff", "Digest ="],
    "HTTP_USER_AGENT": ["", "x" * 60_000],
    "wsgi.url_scheme": ["https"],
    "REMOTE_ADDR": ["2001:db8::1", "fe80::1%eth0", "", "unix:", "x"],
    "CONTENT_LENGTH": ["", "-1", "0", "5", "99999", "9" * 30, "x", "1e3", "\xb2"],
    "CONTENT_TYPE": [
        *[
            "",
            "/",
            "text/plain",
            "application/json",
            "application/x-www-form-urlencoded; charset=x",
            "multipart/form-data",
        ],
        *["multipart/form-data; boundary=", 'multipart/form-data; boundary="\xff"', "multipart/mixed; boundary=b"],
    ],
}

# --- bodies -------------------------------------------------------------------------------------


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(file, "PNG")
    return file.getvalue()


PICTURE = _picture()
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"


def raw(text: str) -> bytes:
    """A text as a hostile program would send it: what is no letter too."""
    return text.encode("utf-8", "surrogatepass")


def form(fields) -> bytes:
    """The fields as a form without files sends them."""
    return urlencode([(raw(name), raw(value)) for name, value in fields]).encode()


def parts(fields, *, files=("photos",), boundary=b"b", end=b"--b--\r\n") -> bytes:
    """The fields as a form with files sends them; files: which of them are one, or "all"."""
    body = b""
    for name, value in fields:
        is_file = files == "all" or name in files
        more = b'; filename="x.png"\r\nContent-Type: image/png' if is_file else b""
        content = PICTURE if name == "photos" and value != "" else raw(value)
        header = b'Content-Disposition: form-data; name="' + raw(name).replace(b'"', b"%22") + b'"' + more
        body += b"--" + boundary + b"\r\n" + header + b"\r\n\r\n" + content + b"\r\n"
    return body + end


# The kind of body that is announced, and the body: bytes, or what goes wrong while the server reads them.
BODIES = {
    "form": lambda fields: (URLENCODED, form(fields)),
    "parts": lambda fields: (MULTIPART, parts(fields)),
    "files where texts are expected": lambda fields: (MULTIPART, parts(fields, files="all")),
    "parts without an end": lambda fields: (MULTIPART, parts(fields, end=b"")),
    "parts with another boundary": lambda fields: (MULTIPART, parts(fields, boundary=b"c")),
    "a part without a head": lambda fields: (MULTIPART, b"--b\r\n\r\n--b--"),
    "JSON": lambda fields: ("application/json", b'{"version": 1, "text": ' + b"[" * 3000),
    "XML": lambda fields: ("text/xml", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'),
    "a form that says it is parts": lambda fields: (MULTIPART, form(fields)),
    "a form that is none": lambda fields: (URLENCODED, b"\xff\xfe&%&=&%zz=%\x00" * 50),
    "too large": lambda fields: (URLENCODED, b"a=" + b"b" * 1_100_000),
    "too many": lambda fields: (MULTIPART, parts([("a", "b")] * 1200)),
    "breaks off": lambda fields: (URLENCODED, NoMoreData()),
    "a chunk that is none": lambda fields: (URLENCODED, InvalidChunkSize(b"zz")),
}


class Broken:
    """A body that cannot be read to its end, as gunicorn tells of it."""

    def __init__(self, problem: Exception):
        self.problem = problem

    def read(self, size=-1):
        raise self.problem


# --- requests -----------------------------------------------------------------------------------


@dataclass
class Ask:
    """A request, in a form that can be read when it failed."""

    method: str
    endpoint: str
    path: str
    role: str
    htmx: bool = False
    query: tuple = ()
    twists: tuple = ()
    csrf: str = "right"
    body: str = "form"
    fields: tuple = ()


@dataclass
class Answer:
    """What came back, and which tables were written meanwhile."""

    status: int
    headers: dict
    body: bytes
    wrote: set


def forms_by_endpoint(app) -> dict[str, list[str]]:
    """The fields that each view reads: those of the forms that its code names, else the words in it."""
    classes, todo = {}, [Form]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        classes[kind.__name__] = [name for name in dir(kind) if isinstance(getattr(kind, name), UnboundField)]
    found = {}
    for endpoint, view in app.view_functions.items():
        code = unwrap(view).__code__
        fields = {field for name in code.co_names for field in classes.get(name, ())}
        loose = {text for text in code.co_consts if isinstance(text, str) and text.isidentifier()}
        found[endpoint] = sorted(fields or loose | {*LOOSE})
    return found


def asks(shop, *, sending: bool):
    """Requests to any page of the shop; sending: forms, to those pages that take them."""
    rules = [rule for rule in shop.app.url_map.iter_rules() if not sending or "POST" in rule.methods]
    if not sending:
        # Twice as often what can be looked at: everywhere else the answer is a 405.
        rules += 2 * [rule for rule in rules if "GET" in rule.methods]
    unknown = {name for rule in rules for name in rule.arguments - {*(rule.defaults or ())}} - shop.real.keys()
    assert not unknown, f"addresses with {unknown} need real values in Target.real"
    fields = forms_by_endpoint(shop.app)
    # The kind of request shrinks; what is in it comes from a seed, which is ten times as fast.
    kinds = st.tuples(
        st.sampled_from(rules),
        st.sampled_from(["POST"] if sending else METHODS),
        st.sampled_from([*STAFF, *STAFF, *STRANGERS]),
        st.booleans(),
        st.sampled_from([*[""] * 2 * len(TWISTS), *sorted(TWISTS)]),
        st.sampled_from([*["right"] * 17, "absent", "wrong", "somebody's"]),
        st.sampled_from([*["form"] * 60, *sorted(BODIES)]),
        st.randoms(use_true_random=True),
    )

    def ask(kind):
        rule, method, role, htmx, twist, csrf, body, die = kind
        path = re.sub(r"<(?:[^<>:]*(?:\([^)]*\))?:)?(\w+)>", lambda place: part(die, place[1]), rule.rule)
        query = tuple((name, value(die, name)) for name in die.choices(LOOSE, k=die.randrange(4)))
        made = Ask(method, rule.endpoint, path, role, htmx)
        made.query = query if not sending or die.random() < 0.2 else ()
        made.twists = ((twist, die.choice(TWISTS[twist])),) if twist else ()
        if sending:
            made.csrf, made.body, made.fields = csrf, body, tuple(filled(die, fields[rule.endpoint]))
        return made

    def part(die, name):
        if die.random() < 0.85:
            return str(die.choice(shop.real[name]))
        return die.choice([die.choice(BAD_BYTES), quote_from_bytes(raw(junk(die))[:5000])])

    return kinds.map(ask)


def junk(die) -> str:
    """What nobody would want in a field."""
    if die.random() < 0.7:
        return die.choice(JUNK)
    return "".join(chr(die.randrange(die.choice([32, 127, 0xFFFF, 0x110000]))) for _ in range(die.randrange(12)))


def value(die, name) -> str:
    """What may be in a field of that name, well meant or not."""
    return die.choice(WELL[name]) if name in WELL and die.random() < 0.6 else junk(die)


def filled(die, names):
    """The fields of a form, filled in well but for one of them, and now and then one that is not on it."""
    spoilt = die.choice([*names, "version"]) if die.random() < 0.5 else ""
    for name in (*names, "version"):
        if name == spoilt:
            yield name, junk(die)
        elif name == "version":
            yield name, "as it stands"
        else:
            yield name, die.choice(WELL.get(name, ["Something"]))
    if die.random() < 0.1:
        yield die.choice(STRANGE_NAMES), junk(die)
    if die.random() < 0.1:
        yield die.choice(names), junk(die)


# --- the shop under attack ----------------------------------------------------------------------


class Target:
    """The shop under attack: its people's cookies, what its addresses may hold, and every write it makes."""

    def __init__(self, app):
        self.app = app
        self.people, self.cookies, self.tokens = {}, {}, {}
        self._open_browser("nobody", app.test_client())
        for role in (*STAFF, "left", "signed out"):
            name, email = f"{PRIVATE['colleague']} {role}", f"{role.replace(' ', '')}@example.com"
            self.people[role] = make_staff(role if role in STAFF else "owner", name=name, email=email)
            self._open_browser(role, app.test_client().be(self.people[role]))
        self.people["left"].active = False
        db.session.execute(delete(SignIn).where(SignIn.staff_id == self.people["signed out"].id))
        self._fill()
        self._fill_elsewhere()
        db.session.commit()
        self.elsewhere = self.repairs_elsewhere()
        self._kept = {model: db.session.execute(select(model.__table__)).mappings().all() for model in MENDED}
        db.session.commit()
        self._wrote = set()
        event.listen(db.engine, "before_cursor_execute", self._before)
        event.listen(db.engine, "commit", self._commit)
        event.listen(db.engine, "rollback", self._rollback)

    def _open_browser(self, role, client):
        self.tokens[role] = client.csrf_token()
        self.cookies[role] = f"readylight={client.get_cookie('readylight').value}"

    def close(self):
        """Listens no longer."""
        event.remove(db.engine, "before_cursor_execute", self._before)
        event.remove(db.engine, "commit", self._commit)
        event.remove(db.engine, "rollback", self._rollback)

    def _fill(self):
        by = self.people["owner"]
        customer = make_customer(**{name: PRIVATE[name] for name in ("name", "phone", "email")})
        private = {name: PRIVATE[name] for name in ("serial", "note", "accessories")} | {"customer": customer, "by": by}
        repairs = [make_repair(status=status, **private) for status in (*PATH, "waiting_parts")]
        repairs.append(make_repair(status="cancelled", reason=PRIVATE["reason"], **private))
        old = repairs[1].token
        actions.replace_link(repairs[1], by=by, version=repairs[1].version)
        actions.add_update(repairs[1], "The part is here.", by=by, version=repairs[1].version)
        with_photo = {"version": repairs[0].version, "photos": (io.BytesIO(PICTURE), "x.png")}
        self.app.test_client().be(by).send(f"/repairs/{repairs[0].code}/photos", with_photo)
        photo = db.session.scalar(select(Photo))
        double = make_customer(name=PRIVATE["name"])
        seen = merging.plan(customer, double).seen
        merge = merging.merge(customer, double, by=by, seen=seen, name="kept", phone="kept", email="kept")
        self.real = {
            "code": [repair.code for repair in repairs],
            "token": [old, *(repair.token for repair in repairs)],
            "customer_id": [customer.id],
            "branch_id": [1, 2],
            "merge_id": [merge.id],
            "staff_id": [person.id for person in self.people.values()],
            "photo_id": [photo.id],
            "saved_id": [1, 2],
            "update_id": [event.id for event in repairs[1].events][-2:],
            "kind": ["receipt", "label"],
            "name": [photo.name],
            "filename": ["css/tokens.css", "js/staff.js"],
            "sign_in_id": list(db.session.scalars(select(SignIn.id))),
            "logo": ["0123456789abcdef"],
        }

    def _fill_elsewhere(self):
        customer = make_customer(**{name: ELSEWHERE[name] for name in ("name", "phone", "email")})
        private = {name: ELSEWHERE[name] for name in ("serial", "note", "accessories", "problem")}
        for status in ("received", "ready"):
            repair = make_repair(status=status, branch="RV", customer=customer, by=self.people["owner"], **private)
            self.real["code"].append(repair.code)
        self.real["customer_id"].append(customer.id)

    def repairs_elsewhere(self) -> list:
        """The other branch's repairs, as they are now."""
        rows = db.session.execute(select(Repair.__table__).where(Repair.branch_id == branch("RV").id)).all()
        db.session.rollback()
        return rows

    def _before(self, connection, cursor, statement, *_):
        if found := re.match(r"(?:INSERT INTO|UPDATE|DELETE FROM) \"?(\w+)", statement):
            connection.info.setdefault("wrote", set()).add(found[1])

    def _commit(self, connection):
        self._wrote |= connection.info.pop("wrote", set())

    def _rollback(self, connection):
        connection.info.pop("wrote", None)

    def send(self, ask: Ask) -> Answer:
        """One request, through the whole app, in a context of its own."""
        self._wrote.clear()
        body, status, headers = contextvars.Context().run(run_wsgi_app, self.app, self._environ(ask), True)
        answer = Answer(int(status[:3]), headers, b"".join(body), self._wrote.copy())
        body.close() if hasattr(body, "close") else None
        return answer

    def _environ(self, ask):
        kind, body = BODIES[ask.body](self._fields(ask)) if ask.method == "POST" else ("", b"")
        length = str(len(body)) if isinstance(body, bytes) and ask.method == "POST" else ""
        environ = {
            "REQUEST_METHOD": ask.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(ask.path).decode("latin-1"),
            "QUERY_STRING": form(ask.query).decode("latin-1"),
            "RAW_URI": ask.path,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "HTTP_COOKIE": self.cookies[ask.role],
            "CONTENT_TYPE": kind,
            "CONTENT_LENGTH": length,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else Broken(body),
            "wsgi.input_terminated": True,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        if ask.htmx:
            environ["HTTP_HX_REQUEST"] = "true"
        return environ | dict(ask.twists)

    def _fields(self, ask):
        token = {"right": self.tokens[ask.role], "wrong": "x", "somebody's": self.tokens["manager"]}.get(ask.csrf)
        fields = [("csrf_token", token)] if token is not None else []
        for name, value in ask.fields:
            fields.append((name, self._version(ask) if value == "as it stands" else value))
        return fields

    def _version(self, ask):
        code = ask.path.split("/")[2] if ask.path.startswith("/repairs/") else ""
        version = (
            db.session.scalar(select(Repair.version).where(Repair.code == code)) if code in self.real["code"] else 1
        )
        db.session.rollback()
        return str(version)

    def mend(self, wrote: set) -> None:
        """Gives everyone back their session, role and shop, whatever was done to them; forgets failures."""
        if wrote & {"shop", "staff", "sign_in", "invitation"}:
            known = [row["id"] for row in self._kept[Staff]]
            db.session.execute(delete(SignIn))
            db.session.execute(delete(Invitation))
            for model in (Shop, Staff):
                for row in self._kept[model]:
                    db.session.execute(model.__table__.update().where(model.id == row["id"]).values(**row))
            unused = ~Staff.id.in_(select(Event.staff_id).where(Event.staff_id.is_not(None)))
            db.session.execute(delete(Staff).where(Staff.id.not_in(known), unused))
            db.session.execute(insert(SignIn.__table__), [dict(row) for row in self._kept[SignIn]])
        if "throttle" in wrote:
            db.session.execute(delete(Throttle))
        db.session.commit()


MENDED = (Shop, Staff, SignIn)


@pytest.fixture
def target(app, shop):
    """The shop, with people of every role and private texts in every field."""
    target = Target(app)
    yield target
    target.close()
    shutil.rmtree(Path(app.config["DATA_DIR"]) / "photos", ignore_errors=True)


# --- what holds of every answer -----------------------------------------------------------------

GUARDS = {
    "Content-Security-Policy": r"default-src 'none';.*frame-ancestors 'none'|default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin|no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": r"camera=\(\).*",
    "Cache-Control": ".+",
}
STATUSES = {200, 206, 302, 303, 304, 400, 401, 403, 404, 405, 409, 410, 413, 416, 422, 429}
COOKIES = {"readylight", "known", "theme", "__Host-readylight", "__Host-known", "__Host-theme"}


def check_sound(ask: Ask, answer: Answer) -> None:
    """An answer that was meant: no fault, guarded, and leading nowhere else."""
    assert answer.status in STATUSES
    framed = ask.endpoint == "shop.show_preview" and answer.status == 200 and ask.method != "OPTIONS"
    for name, pattern in GUARDS.items():
        # A page of ours that our own settings show in a frame, and nobody else.
        pattern = pattern.replace("frame-ancestors 'none'", "frame-ancestors 'self'") if framed else pattern
        assert re.fullmatch(pattern, answer.headers.get(name, "")), name
    kind = answer.headers.get("Content-Type", "")
    assert "charset" in kind or "text/" not in kind
    assert kind or not answer.body
    assert ask.method != "HEAD" or not answer.body
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]
    assert re.match(r"/(?![/\\])", answer.headers.get("Location", "/"))
    assert {value.partition("=")[0] for value in answer.headers.getlist("Set-Cookie")} <= COOKIES


def check_private(ask: Ask, answer: Answer) -> None:
    """Nobody is answered any of what was planted for others."""
    sent = {raw(value) for _, value in (*ask.fields, *ask.query)}
    leaks = []
    if ask.role in STRANGERS or ask.endpoint.startswith("tracking."):
        leaks += LEAKS
    if ask.role != "owner":
        leaks += LEAKS_ELSEWHERE
    assert not [text for text in leaks if text in answer.body and not any(text in value for value in sent)]


def check_seen(target: "Target", ask: Ask, answer: Answer) -> None:
    """A page is shown to those alone whose it is."""
    if ask.method in {"GET", "HEAD"} and answer.status in {200, 206}:
        # Not the one that was meant: another may have the same address, or this one once it has junk in it.
        endpoint, _ = target.app.url_map.bind("localhost").match(unquote_to_bytes(ask.path).decode("utf-8", "replace"))
        assert ask.role in PAGES[endpoint].see, f"{ask.role} saw {endpoint}"


def check_allowed(ask: Ask, answer: Answer) -> None:
    """Nothing was written but by somebody who may, and with their own form."""
    wrote = answer.wrote - {"throttle"}
    if not wrote:
        return
    assert ask.method == "POST", f"{ask.method} wrote {wrote}"
    assert ask.csrf == "right" or (ask.csrf, ask.role) == ("somebody's", "manager"), "a form from elsewhere was taken"
    assert ask.role in MAY_SEND[ask.endpoint], f"{ask.role} wrote {wrote}"
    if ask.endpoint == "repairs.take":
        assert ask.role in BENCH, f"{ask.role} took a repair"
    if ask.endpoint in {"repairs.advance", "repairs.jump", "repairs.move_many"} and "event" in wrote:
        last = db.session.scalars(select(Event).order_by(Event.id.desc()).limit(1)).one()
        if last.kind == "resumed":
            assert ask.role in BENCH
        elif last.kind != "edited":
            assert may_move(ask.role, last.old, last.new), f"{ask.role} moved a repair from {last.old} to {last.new}"


def may_move(role: str, old: str, new: str) -> bool:
    """Whether the README (“Who does what”) lets the role move a repair forward so."""
    if role in LEADS:
        return True
    if role == "technician":
        return new in PATH[:4]
    return (old, new) == ("ready", "delivered")


def check(target: Target, ask: Ask) -> None:
    """Sends a request and looks at what came of it."""
    answer = target.send(ask)
    check_sound(ask, answer)
    check_private(ask, answer)
    check_seen(target, ask, answer)
    check_allowed(ask, answer)
    if answer.wrote:
        target.mend(answer.wrote)
        before, target.elsewhere = target.elsewhere, target.repairs_elsewhere()
        assert ask.role == "owner" or before == target.elsewhere, f"{ask.role} changed the other branch's repairs"


def attack(target: Target, *, sending: bool) -> None:
    """The share of FUZZ_REQUESTS that looks, or that sends."""
    share = REQUESTS * (3 if sending else 5) // 8
    # The same requests each time, so that a change is to blame for what it breaks; the full run looks for new ones.
    settled = "FUZZ_REQUESTS" not in os.environ
    hurried = settings(
        max_examples=share, deadline=None, suppress_health_check=list(HealthCheck), derandomize=settled, database=None
    )
    hurried(given(asks(target, sending=sending))(lambda ask: check(target, ask)))()


def everything() -> dict:
    """Every row of the shop, but for what the door itself keeps."""
    tables = [table for table in db.metadata.sorted_tables if table.name not in {"throttle", "sign_in"}]
    rows = {table.name: db.session.execute(select(table).order_by(*table.primary_key)).all() for table in tables}
    db.session.commit()
    return rows


@pytest.mark.journey
def test_whatever_is_asked_for_nothing_breaks_leaks_or_changes(target):
    before = everything()
    attack(target, sending=False)
    assert everything() == before


@pytest.mark.journey
def test_whatever_is_sent_nothing_breaks_or_leaks_and_nobody_does_what_is_not_theirs(target):
    attack(target, sending=True)


# --- what it has found --------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["breaks off", "a chunk that is none"])
@pytest.mark.parametrize("role", ["nobody", "owner"])
def test_a_body_that_cannot_be_read_to_its_end_is_refused(target, body, role):
    for endpoint, path in (("auth.login", "/login"), ("repairs.notes", "/repairs/TH-MN-R0001/notes")):
        answer = target.send(Ask("POST", endpoint, path, role, body=body))
        assert answer.status == 400
        assert not answer.wrote
