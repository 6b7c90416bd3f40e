"""Habits of every answer: security headers, error pages, refused forms, static files, cookies over https."""

import gzip
import logging
import re
import sqlite3
from io import BytesIO

import pytest
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import select, update

from app.config import ROOT
from app.db import db, let_go
from app.models import Repair, Throttle
from app.web import HEADERS

from .conftest import CONNECT_ARGS, OVERRIDES, POSTGRESQL, Page, make_app
from .factories import PASSWORD, make_repair, make_shop, make_staff

HTMX = {"HX-Request": "true"}


def policy(answer):
    """The content security policy: what may come from where."""
    parts = answer.headers["Content-Security-Policy"].split(";")
    return {name: sources for name, *sources in (part.split() for part in parts)}


def assert_guarded(answer):
    rules = policy(answer)
    assert rules["default-src"] in (["'none'"], ["'self'"])
    assert rules["frame-ancestors"] == ["'none'"]
    assert rules["form-action"] == ["'self'"]
    assert rules["base-uri"] == ["'none'"]
    assert not [source for sources in rules.values() for source in sources if "unsafe" in source or "*" in source]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] in {"same-origin", "no-referrer"}
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Permissions-Policy"] == HEADERS["Permissions-Policy"]
    assert answer.headers["Cache-Control"]


@pytest.fixture
def broken(tmp_path, other_database, loggers):
    """The shop's app on a database that has no tables, as it is outside of tests."""
    app = make_app(tmp_path, other_database)
    app.testing = False
    yield app.test_client()
    with app.app_context():
        let_go()


# --- headers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/login", 200),
        ("GET", "/", 302),
        ("GET", "/repairs", 302),
        ("GET", "/nowhere", 404),
        ("GET", "/t/" + "a" * 22, 404),
        ("GET", "/setup", 404),
        ("GET", "/logout", 405),
        ("PUT", "/login", 405),
        ("POST", "/login", 400),
        ("GET", "/robots.txt", 200),
        ("GET", "/healthz", 200),
        ("GET", "/static/css/nowhere.css", 404),
        ("GET", "/static/../app/auth.py", 404),
        ("POST", "/static/css/tokens.css", 405),
        ("GET", "/static/css/tokens.css", 200),
        ("HEAD", "/static/css/tokens.css", 200),
        ("HEAD", "/login", 200),
        ("OPTIONS", "/login", 200),
    ],
)
def test_every_answer_to_a_stranger_is_guarded(anyone, shop, method, url, status):
    with anyone.open(url, method=method) as answer:
        assert answer.status_code == status
        assert_guarded(answer)


def test_every_answer_to_the_staff_is_guarded(technician):
    repair = make_repair()
    url = f"/repairs/{repair.code}"
    note = {"version": repair.version, "text": "A note"}
    answers = [
        technician.page(url),
        technician.page(f"{url}/receipt"),
        technician.htmx(f"{url}/notes", note),
        technician.htmx(f"{url}/notes", note, 409),
        technician.send(f"{url}/notes", {"version": repair.version, "text": ""}, 422),
        technician.send(f"{url}/advance", {"version": repair.version}),
        technician.page("/settings/shop", 403),
        technician.page("/repairs/nothing", 404),
        technician.page(f"/t/{repair.token}"),
    ]
    for answer in answers:
        assert_guarded(answer)


def test_nothing_of_the_staff_s_pages_is_kept_or_sent_elsewhere(technician):
    page = technician.page("/repairs")
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert "camera=()" in page.headers["Permissions-Policy"]


# --- error pages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [("GET", "/nowhere", 404), ("GET", "/logout", 405), ("POST", "/login", 400), ("GET", "/repairs/x", 404)],
)
def test_an_error_is_a_page_with_a_sentence_for_people(owner, method, url, status):
    answer = owner.open(url, method=method)
    text = answer.get_data(as_text=True)
    assert answer.status_code == status
    assert answer.mimetype == "text/html"
    assert text.startswith("<!doctype html>")
    page = owner.page(url, status) if method == "GET" else None
    if page:
        assert page.one("h1").get_text(strip=True)
        assert page.one("[role=alert]").get_text(strip=True)


def test_an_error_leads_whoever_works_here_back_to_the_board_and_nobody_else(owner, front_desk, anyone):
    assert owner.page("/repairs/TH-MN-R9999", 404).one("main a")["href"] == "/repairs"
    assert front_desk.page("/settings/shop", 403).one("main a")["href"] == "/repairs"
    for url in ("/nowhere", "/t/nothing"):
        assert anyone.page(url, 404).all("a[href='/repairs']") == []
    # A customer's page knows nobody.
    assert owner.page("/t/nothing", 404).all("a[href='/repairs']") == []


def test_an_error_is_a_line_for_htmx_and_leaves_the_page_alone(owner):
    repair = make_repair()
    for page in (
        owner.htmx("/repairs/nothing/advance", status=404),
        owner.htmx("/settings/nothing", status=404),
        owner.htmx("/repairs", status=405),
        owner.htmx(f"/repairs/{repair.code}/advance", {"csrf_token": "x"}, status=400),
    ):
        assert page.headers["HX-Retarget"] == "#alert"
        assert page.headers["HX-Reswap"] == "innerMorph"
        assert not page.all("html")
        assert page.one(".alert[role=alert]").get_text(strip=True)


def test_a_wrong_method_says_which_is_right(owner):
    assert "POST" in owner.page("/logout", 405).headers["Allow"]


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", "csrf_token={}&text={}"),
        (
            "multipart/form-data; boundary=x",
            '--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n{}{}\r\n--x--\r\n',
        ),
    ],
)
def test_what_is_too_large_is_refused_before_it_fills_the_memory(owner, anyone, headers, kind, body):
    repair = make_repair()
    version = repair.version
    for client, url in ((owner, f"/repairs/{repair.code}/notes"), (anyone, "/login")):
        data = body.format(client.csrf_token(), "x" * (2 * 1024 * 1024))
        answer = client.post(url, data=data, headers=headers, content_type=kind)
        assert answer.status_code == 413
        assert_guarded(answer)
        assert "large" in answer.get_data(as_text=True)
    assert repair.version == version


@pytest.mark.parametrize("body", [b"\xff\xfe=\xff", b"a" * 10_000, b"&" * 10_000, b"=", b"%", b"csrf_token=%ff%00"])
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json", ""]
)
def test_a_form_that_is_none_is_refused(anyone, shop, body, kind):
    assert anyone.post("/login", data=body, content_type=kind).status_code == 400


def everything():
    """Every row of the shop, but for the count of links that open nothing."""
    tables = [table for table in db.metadata.sorted_tables if table.name != "throttle"]
    rows = {table.name: db.session.execute(select(table)).all() for table in tables}
    db.session.commit()
    return rows


def test_nothing_is_changed_by_looking_however_one_looks(app, owner):
    """Not by those who only want to know whether a page is there, either: HEAD, as link checkers send it."""
    repair = make_repair()
    values = {"code": repair.code, "token": repair.token, "staff_id": owner.staff_id}
    values |= {"customer_id": repair.customer_id, "branch_id": repair.branch_id}
    door = app.url_map.bind("localhost")
    before, strange = everything(), []
    for rule in app.url_map.iter_rules():
        if "GET" not in rule.methods or rule.endpoint == "static" or rule.arguments - values.keys():
            continue
        url = door.build(rule.endpoint, {name: values[name] for name in rule.arguments})
        page, head = owner.get(url).status_code, owner.head(url).status_code
        if head != page:
            strange.append(f"{url}: {head}, as a page {page}")
        if everything() != before:
            strange.append(f"{url} changed something")
            before = everything()
    assert strange == [], "\n".join(strange)


def test_a_fault_is_a_page_with_a_reference_and_a_line_in_the_log_without_the_token(broken, capfd):
    token = "t0ken-t0ken-t0ken-t0ke"
    for url in (f"/t/{token}", f"/t/{token}/live", "/login"):
        answer = broken.get(url)
        text = answer.get_data(as_text=True)
        assert answer.status_code == 500
        assert_guarded(answer)
        reference = re.search(r'<b class="code">(\w+)</b>', text)[1]
        written = logging.getLogger("readylight").handlers[0]
        assert token not in text
        assert written.formatter.format(logging.makeLogRecord({"msg": f"GET /t/{token} {reference}"})).endswith(
            f"GET /t/*** {reference}"
        )
    assert token not in capfd.readouterr().err


def test_a_fault_tells_htmx_its_reference_in_a_line(broken):
    answer = broken.get("/login", headers=HTMX)
    assert answer.status_code == 500
    assert answer.headers["HX-Retarget"] == "#alert"
    assert "Reference" in answer.get_data(as_text=True)


def test_whoever_watches_the_server_learns_of_a_broken_database(broken, anyone, monkeypatch):
    for ask in (broken.get, broken.head):
        assert ask("/healthz").status_code == 503
    page = anyone.page("/healthz")
    assert page.text == "ok"
    assert page.headers["Content-Type"].startswith("text/plain")
    head = anyone.head("/healthz")
    assert ({*head.headers.items()}, head.data) == ({*page.headers.items()}, b"")
    # Where requests are counted or logged, the app itself answers: the same.
    monkeypatch.setattr(anyone.application, "wsgi_app", Flask.wsgi_app.__get__(anyone.application))
    for kind in ("GET", "HEAD"):
        whole = anyone.open("/healthz", method=kind)
        assert {*whole.headers.items()} == {*page.headers.items(), ("Vary", "Cookie")}
        assert whole.data == (b"ok\n" if kind == "GET" else b"")


@pytest.mark.skipif(bool(POSTGRESQL), reason="SQLite has one writer at a time")
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_database_that_is_busy_for_long_asks_for_patience(tmp_path, loggers, monkeypatch, headers):
    monkeypatch.setitem(CONNECT_ARGS, "timeout", 0.05)
    file = tmp_path / "busy.db"
    app = make_app(tmp_path, f"sqlite:///{file}")
    app.testing = False
    with app.app_context():
        upgrade()
        make_shop()
        ana = make_staff("owner")
        client = app.test_client().sign_in(ana)
        db.session.remove()
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            token = client.csrf_token()
            answer = client.post("/account/sign-out-everywhere", data={"csrf_token": token}, headers=headers)
        finally:
            other.close()
        assert answer.status_code == 503
        assert "try again" in answer.get_data(as_text=True)
        let_go()


def test_search_engines_are_sent_away(anyone, app):
    page = anyone.page("/robots.txt")
    assert page.html.splitlines() == ["User-agent: *", "Disallow: /"]


# --- forms from elsewhere -----------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "x", "other"])
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_form_without_the_page_s_own_token_is_refused(app, owner, token, headers):
    if token == "other":
        token = app.test_client().csrf_token()
    data = {"csrf_token": token} if token is not None else {}
    for url in ("/logout", "/account/theme", "/repairs/new", "/settings/shop"):
        answer = owner.post(url, data=data, headers=headers)
        assert answer.status_code == 400, url
        assert "too old" in answer.get_data(as_text=True)
    owner.page("/account")


def test_the_token_is_in_every_form_that_changes_something(owner):
    repair = make_repair(status="repairing")
    urls = ["/repairs", "/repairs/new", f"/repairs/{repair.code}", f"/repairs/{repair.code}/edit", "/account"]
    urls += ["/settings/branches/new", "/settings/staff/new", f"/customers/{repair.customer_id}/edit"]
    for url in urls:
        for form in owner.page(url).all("form[method=post]"):
            assert form.select_one("input[name=csrf_token]")["value"], url


def test_a_form_may_stay_open_all_day(owner, clock):
    repair = make_repair()
    page = owner.page(f"/repairs/{repair.code}")
    token = page.one("#notes input[name=csrf_token]")["value"]
    clock.forward(hours=12)
    form = {"version": repair.version, "text": "Late shift", "csrf_token": token}
    owner.htmx(f"/repairs/{repair.code}/notes", form)


# --- static files -------------------------------------------------------------------------------


def assets(page):
    """The addresses of every style, script and picture that a page takes from this server."""
    found = [tag.get("src") or tag.get("href") for tag in page.all("script[src], link[rel=stylesheet], img[src]")]
    return [address for address in found if not address.startswith("data:")]


def test_every_page_names_its_files_by_what_is_in_them(owner, anyone):
    repair = make_repair()
    pages = [owner.page(url) for url in ("/repairs", f"/repairs/{repair.code}/receipt")]
    pages += [anyone.page(f"/t/{repair.token}"), anyone.page("/nowhere", 404)]
    for address in {address for page in pages for address in assets(page)}:
        assert re.fullmatch(r"/static/[\w./-]+\?v=[0-9a-f]{12}", address)
        with anyone.get(address) as answer:
            assert answer.status_code == 200
            assert "immutable" in answer.headers["Cache-Control"]
            assert "public" in answer.headers["Cache-Control"]
            assert int(re.search(r"max-age=(\d+)", answer.headers["Cache-Control"])[1]) >= 365 * 86400
            assert "Set-Cookie" not in answer.headers
            assert answer.data


def test_two_files_never_share_an_address(app):
    hashes = app.config["ASSETS"]
    files = {name: (ROOT / "static" / name).read_bytes() for name in hashes if not name.endswith(".gz")}
    assert len(files) >= 5
    assert len({hashes[name] for name in files}) == len(set(files.values()))


def test_a_file_that_a_page_names_is_served_packed_and_the_same(anyone, shop):
    read = set()
    for address in assets(anyone.page("/login")):
        with anyone.get(address) as plain, anyone.get(address, headers={"Accept-Encoding": "gzip"}) as packed:
            if packed.headers.get("Content-Encoding") == "gzip":
                assert gzip.decompress(packed.data) == plain.data
                assert "Accept-Encoding" in packed.headers["Vary"]
                read.add(address.partition("?")[0])
    # script/environment has packed them; what is too small to gain by it stays as it is.
    assert read >= {f"/static/{name}" for name in ("css/tokens.css", "css/staff.css", "js/staff.js")}


def test_nothing_outside_of_its_folder_is_served(anyone, shop):
    for path in ("../app/auth.py", "..%2fapp%2fauth.py", "%2e%2e/requirements.txt", "/etc/passwd", "css", "css/", ""):
        with anyone.get(f"/static/{path}") as answer:
            # 308: the address with one slash less, where there is nothing either.
            assert answer.status_code in {404, 308}, path


# --- colours ------------------------------------------------------------------------------------


def test_the_colours_are_the_system_s_until_one_says_otherwise(owner):
    assert "data-theme" not in owner.page("/repairs").one("html").attrs
    for choice in ("dark", "light"):
        answer = owner.send("/account/theme", {"theme": choice, "back": "/customers?q=a"}, on="/repairs")
        assert answer.location == "/customers?q=a"
        page = owner.page("/repairs")
        assert page.one("html")["data-theme"] == choice
        assert page.one(".themes button[aria-pressed=true]")["value"] == choice
    owner.send("/account/theme", {"theme": ""})
    assert "data-theme" not in owner.page("/repairs").one("html").attrs


@pytest.mark.parametrize("choice", ["pink", '"><b>', "\x00", "dark "])
def test_a_colour_that_is_none_is_not_kept(owner, choice):
    owner.send("/account/theme", {"theme": choice})
    assert owner.get_cookie("theme") is None
    owner.set_cookie("theme", "pink")
    assert "data-theme" not in owner.page("/repairs").one("html").attrs


@pytest.mark.parametrize("back", ["https://evil.example", "//evil.example", "/\\evil.example", "//[", ""])
def test_a_change_of_colours_leads_nobody_off_the_site(owner, back):
    assert owner.send("/account/theme", {"theme": "dark", "back": back}).headers["Location"] == "/repairs"


# --- https behind a proxy -----------------------------------------------------------------------


@pytest.fixture
def proxied(app, shop, tmp_path, loggers, monkeypatch):
    """The same shop, behind a proxy that it trusts, or not: proxied(1), proxied(0)."""
    made = []

    def start(trusted):
        monkeypatch.setitem(OVERRIDES, "TRUSTED_PROXIES", trusted)
        made.append(make_app(tmp_path, app.config["SQLALCHEMY_DATABASE_URI"]))
        return made[-1].test_client()

    yield start
    for other in made:
        with other.app_context():
            let_go()


FORWARDED = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "repairs.example.com",
    "X-Forwarded-For": "203.0.113.9",
    "Referer": "https://repairs.example.com/login",
}


@pytest.mark.parametrize(("trusted", "secure"), [(1, True), (0, False)])
def test_cookies_are_secure_over_https_and_only_a_trusted_proxy_says_so(proxied, trusted, secure):
    ana = make_staff("owner")
    client = proxied(trusted)
    page = client.page("/login", headers=FORWARDED)
    form = {"email": ana.email, "password": PASSWORD, "csrf_token": page.one("[name=csrf_token]")["value"]}
    answer = client.post("/login", data=form, headers=FORWARDED)
    assert answer.status_code == 303
    given = answer.headers.getlist("Set-Cookie")
    prefix = "__Host-" if secure else ""
    assert {value.partition("=")[0] for value in given} == {f"{prefix}readylight", f"{prefix}known"}
    for value in given:
        assert ("Secure" in value) == secure
        assert "HttpOnly" in value
        assert "SameSite=Lax" in value


def fail(client, visitor, status=422):
    """A wrong password from an address, as a proxy tells it."""
    form = {"email": "nobody@example.com", "password": "x", "csrf_token": client.csrf_token()}
    assert client.post("/login", data=form, headers={"X-Forwarded-For": visitor}).status_code == status


def test_a_proxy_that_nobody_trusts_cannot_say_whose_failures_count(proxied):
    client = proxied(0)
    fail(client, "203.0.113.1")
    db.session.execute(update(Throttle).where(Throttle.key.contains("127.0.0.1")).values(count=50))
    fail(client, "203.0.113.2", 429)


def test_a_trusted_proxy_tells_visitors_apart(proxied):
    client = proxied(1)
    fail(client, "203.0.113.9")
    db.session.execute(update(Throttle).where(Throttle.key.contains("203.0.113.9")).values(count=50))
    for visitor, status in (("203.0.113.9", 429), ("203.0.113.10", 422), ("6.6.6.6, 203.0.113.9", 429)):
        fail(client, visitor, status)


# --- what every page owes its reader ------------------------------------------------------------


def faults(page):
    """What a browser or a screen reader would stumble over."""
    ids = [element["id"] for element in page.all("[id]")]
    yield from {f"two elements are #{id}" for id in ids if ids.count(id) > 1}
    for attribute in ("for", "aria-describedby", "aria-labelledby", "aria-controls", "list"):
        for element in page.all(f"[{attribute}]"):
            yield from (f"{attribute}={id} points nowhere" for id in element[attribute].split() if id not in ids)
    for use in page.all("use[href]"):
        if f'id="{use["href"].removeprefix("#")}"' not in page.html:
            yield f"the icon {use['href']} is not on the page"
    for field in page.all("input:not([type=hidden]), select, textarea"):
        labels = page.all(f"label[for='{field.get('id')}']") or field.find_parents("label")
        if not labels and not field.get("aria-label") and field.get("aria-hidden") != "true":
            yield f"{field.get('name')} has no label"
    for button in page.all("button, a[href]"):
        if not button.get_text(strip=True) and not button.get("aria-label"):
            yield f"{button} says nothing"
    if len(page.all("h1")) != 1 or len(page.all("main")) != 1 or not page.one("head > title").get_text(strip=True):
        yield "not one title, one main and one heading"
    if page.one("html").get("lang") != "en" or not page.all("meta[name=viewport]"):
        yield "no language or no viewport"


def test_every_page_is_sound(owner, anyone):
    repairs = {
        status: make_repair(status=status) for status in ("repairing", "waiting_parts", "cancelled", "delivered")
    }
    urls = [
        "/repairs",
        "/repairs?q=x",
        "/repairs/new",
        "/customers",
        "/settings/shop",
        "/settings/branches",
        "/account",
    ]
    urls += ["/settings/branches/new", "/settings/branches/1", "/settings/staff", "/settings/staff/new"]
    repair = repairs["repairing"]
    urls += [
        f"/customers/{repair.customer_id}",
        f"/customers/{repair.customer_id}/edit",
        f"/repairs/{repair.code}/edit",
    ]
    urls += [f"/repairs/{repair.code}/{paper}" for paper in ("receipt", "label", "receipt-and-label")]
    urls += ["/settings/paper", "/settings/paper/both", *(f"/repairs/{repair.code}" for repair in repairs.values())]
    pages = {url: owner.page(url) for url in urls}
    pages |= {repair.status: anyone.page(f"/t/{repair.token}") for repair in repairs.values()}
    pages["the door"] = anyone.page("/login")
    pages["nothing"] = anyone.page("/nowhere", 404)
    pages["a refusal"] = owner.send("/repairs/new", {"phone": "x", "promise_pick": "custom"}, 422)
    url = f"/repairs/{repair.code}/promise"
    pages["a late refusal"] = owner.send(
        url, {"version": repair.version, "promise_pick": "custom", "promise_at": "x"}, 422
    )
    pages["a stale one"] = owner.send(f"/repairs/{repair.code}/cancel", {"version": 1, "reason": "x"}, 409)
    found = {url: problems for url, page in pages.items() if (problems := sorted(faults(page)))}
    assert found == {}


# --- what people write --------------------------------------------------------------------------

MARK = '"><i class="pwned">&amp;</i>'


def assert_harmless(page):
    assert not page.all(".pwned"), "a text became markup"


def test_what_people_write_is_never_markup_on_any_page(owner, anyone, shop, clock):
    shop.name, shop.address = f"Shop {MARK}", f"Street {MARK}\n{MARK}"
    person = owner.staff
    person.name = f"Ana {MARK}"
    narin = make_staff("technician", name=f"Narin {MARK}")
    branches = owner.page("/settings/branches").all(".rows a")
    url = branches[0]["href"]
    owner.send(url, {"name": f"Main {MARK}", "address": MARK})
    intake = {
        "phone": "081 234 5678",
        "name": f"Malee {MARK}",
        "email": '"><i/class="pwned">@example.com',
        "item": f"Item {MARK}",
        "problem": f"Problem {MARK}\n{MARK}",
        "serial": f"Serial {MARK}",
        "accessories": f"Left {MARK}",
        "note": f"Note {MARK}",
        "technician": str(narin.id),
        "branch": url.rpartition("/")[2],
        "promise_pick": "tomorrow",
    }
    repair_url = owner.send("/repairs/new", intake).location
    repair = repair_behind(repair_url)

    def post(verb, status=200, **form):
        return owner.htmx(f"{repair_url}/{verb}", {"version": repair.version} | form, status)

    panels = [
        post("notes", text=f"Note {MARK}"),
        post("updates", text=f"Update {MARK}"),
        post("promise", promise_pick="1_week", reason=f"Reason {MARK}"),
        post("promise", 422, promise_pick="custom", promise_at=MARK, reason=MARK),
        post("notes", 422, text=MARK + "x" * 2001),
        post("advance"),
        post("revert", reason=f"Revert {MARK}"),
        post("cancel", 409, version="1", reason=f"Cancel {MARK}"),
        owner.send(f"{repair_url}/edit", intake | {"version": "1"}, 409),
        owner.send("/repairs/new", intake | {"item": "", "key": "b" * 32}, 422),
        owner.send("/repairs/new", intake | {"name": f"Other {MARK}", "key": "b" * 32}, 422),
        owner.send(f"/customers/{repair.customer_id}/edit", intake | {"phone": MARK}, 422),
        owner.send("/settings/branches/new", {"name": MARK, "code": "X"}, 422),
        owner.send("/settings/staff/new", {"name": MARK, "email": MARK, "role": MARK}, 422),
        post("cancel", reason=f"Cancel {MARK}", public="y"),
    ]
    urls = ["/repairs?show=cancelled", f"/repairs?q={MARK}", "/repairs/new", repair_url, f"{repair_url}/edit"]
    urls += [
        f"{repair_url}/receipt",
        f"{repair_url}/label",
        "/settings/paper",
        "/customers",
        f"/customers?q={MARK}",
        f"/customers/{repair.customer_id}",
    ]
    urls += [f"/customers/{repair.customer_id}/edit", "/settings/shop", "/settings/branches", url, "/settings/staff"]
    urls += [
        f"/settings/staff/{narin.id}",
        "/account",
    ]
    pages = {url: owner.page(url) for url in urls}
    for page in panels:
        assert_harmless(page)
    for page in pages.values():
        assert_harmless(page)
    assert pages[repair_url].one("h1").get_text() == f"Item {MARK}"
    assert pages[f"/customers/{repair.customer_id}"].one("h1").get_text() == f"Malee {MARK}"
    customer_s = [anyone.page(f"/t/{repair.token}"), anyone.page(f"/t/{repair.token}/live")]
    customer_s.append(anyone.page(f"/login?next=/{MARK}".replace(" ", "%20")))
    clock.forward(days=91)
    customer_s.append(anyone.page(f"/t/{repair.token}", 410))
    for page in customer_s:
        assert_harmless(page)
        assert f"Shop {MARK}" in page.soup.get_text()
    assert customer_s[0].one(".reason bdi").get_text() == f"Cancel {MARK}"
    assert f"Update {MARK}" in customer_s[0].one("#updates").get_text()


def repair_behind(url):
    """The row behind a repair's page."""
    return db.session.scalars(select(Repair).where(Repair.code == url.rpartition("/")[2])).one()


def test_a_file_that_is_sent_as_a_text_is_no_text(anyone, shop):
    form = {"csrf_token": anyone.csrf_token(), "email": (BytesIO(b"x"), "x.txt"), "password": "x"}
    page = Page(anyone.post("/login", data=form, content_type="multipart/form-data"))
    assert page.status == 422
    assert page.one("#email-error")


def test_an_alert_finds_its_place_whatever_the_page_selects(owner):
    answer = owner.htmx("/repairs/nothing/notes", status=404)
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Reselect"]) == ("#alert", ".alert")
    assert answer.one(".alert[role=alert]")


# --- packed -------------------------------------------------------------------------------------


def test_a_staff_page_is_packed_for_a_browser_that_can_unpack(owner):
    plain = owner.get("/repairs")
    packed = owner.get("/repairs", headers={"Accept-Encoding": "gzip, br"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 2
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["Vary"]
    same = [
        re.sub(rb'name="csrf_token" value="[^"]+"', b"", html) for html in (plain.data, gzip.decompress(packed.data))
    ]
    assert same[0] == same[1]


def test_the_length_of_a_packed_page_tells_nothing_of_what_is_in_it(owner):
    lengths = {len(owner.get("/repairs", headers={"Accept-Encoding": "gzip"}).data) for _ in range(20)}
    assert max(lengths) - min(lengths) > 20


def test_what_is_short_or_packed_already_is_left_as_it_is(owner, anyone):
    assert "Content-Encoding" not in anyone.get("/robots.txt", headers={"Accept-Encoding": "gzip"}).headers
    page = anyone.get(f"/t/{make_repair().token}", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(page.data).startswith(b"<!doctype html>")


def test_a_part_of_a_file_that_is_not_there_is_answered_with_the_whole_and_its_headers(anyone):
    with anyone.get("/static/js/staff.js", headers={"Range": "bytes=5-1"}) as answer:
        assert answer.status_code == 200
        assert_guarded(answer)
