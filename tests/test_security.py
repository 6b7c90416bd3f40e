"""What SECURITY.md promises and no other file shows: limits, links, forms from elsewhere, sessions, hosts, logs."""

import ast
import logging
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import SimpleNamespace

import pyotp
import pytest
from itsdangerous import TimestampSigner
from sqlalchemy import func, select, text

from app import create_app
from app.auth import setup_code
from app.config import ROOT
from app.db import db, let_go
from app.models import SignIn, Staff, Throttle
from app.repairs import actions
from app.throttle import MISSES

from . import pages
from .conftest import OVERRIDES, Page
from .factories import PASSWORD, make_repair, make_staff
from .test_web import assert_guarded

HTMX = {"HX-Request": "true"}
HTTPS = {"base_url": "https://localhost", "headers": {"Referer": "https://localhost/login"}}


@pytest.fixture
def machine(app, tmp_path, capsys):
    """Starts the shop's app as another process would have it: a browser for it, and what it has written since."""
    loggers = [logging.getLogger(name) for name in ("readylight", "app")]
    kept = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    last_resort, started = logging.lastResort.formatter, []

    def machine(**settings):
        values = {"DATA_DIR": str(tmp_path), "SQLALCHEMY_DATABASE_URI": app.config["SQLALCHEMY_DATABASE_URI"]}
        made = create_app(OVERRIDES | values | settings)
        made.test_client_class = app.test_client_class
        made.testing = False
        started.append(made)
        return SimpleNamespace(app=made, browser=made.test_client(), written=lambda: capsys.readouterr().err)

    yield machine
    for made in started:
        with made.app_context():
            let_go()
    for logger, handlers, level in kept:
        logger.handlers[:] = handlers
        logger.setLevel(level)
    logging.lastResort.setFormatter(last_resort)


def everything():
    """Every row of the shop, but for the door's own book-keeping."""
    tables = [table for table in db.metadata.sorted_tables if table.name not in {"throttle", "sign_in"}]
    rows = {table.name: db.session.execute(select(table)).all() for table in tables}
    db.session.commit()
    return rows


def counters() -> int:
    """How many failures are being counted."""
    count = db.session.scalar(select(func.count()).select_from(Throttle))
    db.session.rollback()
    return count


# --- the page itself ----------------------------------------------------------------------------

NAMED = re.compile(r"`((?:journeys/)?test_\w+\.py)::(\w+)`")


def test_every_test_that_security_md_names_is_there():
    named = NAMED.findall((ROOT / "SECURITY.md").read_text())
    assert len(named) > 50
    for file in {file for file, _ in named}:
        tree = ast.parse((ROOT / "tests" / file).read_text())
        there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert {test for other, test in named if other == file} <= there, file


@pytest.mark.parametrize("name", ["SECURITY.md", "README.md"])
def test_a_link_from_the_papers_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text()):
        if target.startswith(("https://", "mailto:")):
            continue
        file, _, place = target.partition("#")
        assert (ROOT / (file or name)).exists(), target
        titles = re.findall(r"^#+ (.+)$", (ROOT / (file or name)).read_text(), flags=re.MULTILINE) if place else []
        assert place in {"", *(re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles)}, target


# --- who sees what ------------------------------------------------------------------------------


def addresses(app, owner, method, *, public=False):
    """(endpoint, address) of every page that takes the method, on a repair in the works; public: anyone's too."""
    real = pages.values(app, photo=False) | {"staff_id": owner.staff_id}
    for rule in app.url_map.iter_rules():
        if method in rule.methods and (public or rule.endpoint not in pages.PUBLIC):
            yield rule.endpoint, pages.address(app, rule, real)


@pytest.mark.parametrize("role", ["manager", "technician", "front_desk"])
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_what_is_not_one_s_own_to_do_is_refused_wherever_it_is_sent(app, owner, request, role, headers):
    browser, refused = request.getfixturevalue(role), 0
    for endpoint, url in list(addresses(app, owner, "POST")):
        if role not in pages.MAY_SEND[endpoint]:
            before = everything()
            browser.send(url, {"version": "5", "to": "ready", "reason": "x"}, 403, headers=headers)
            assert everything() == before, url
            refused += 1
    assert refused >= 5


# --- forms from elsewhere -----------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize(
    "sent", ["no token", "a wrong token", "a stranger's token", "from another site", "from a neighbour"]
)
def test_no_form_from_elsewhere_is_taken_at_any_address(app, owner, headers, sent):
    token = {"no token": None, "a wrong token": "x", "a stranger's token": app.test_client().csrf_token()}
    data = {"version": "5", "reason": "x", "text": "x", "csrf_token": token.get(sent, owner.csrf_token())}
    more = {"from another site": "cross-site", "from a neighbour": "same-site"}
    headers = headers | ({"Sec-Fetch-Site": more[sent]} if sent in more else {"Origin": "https://evil.example"})
    data = {name: value for name, value in data.items() if value is not None}
    urls = {url for _, url in addresses(app, owner, "POST", public=True)}
    assert urls > {"/login", "/login/code", "/setup"}
    before, sessions = everything(), db.session.scalar(select(func.count()).select_from(SignIn))
    for url in urls:
        answer = owner.post(url, data=data, headers=headers)
        assert answer.status_code == 400, url
        assert_guarded(answer)
    assert len(urls) > 20
    assert everything() == before
    assert db.session.scalar(select(func.count()).select_from(SignIn)) == sessions


def test_a_form_of_the_shop_s_own_page_is_taken(owner):
    for where in ("same-origin", "none"):
        owner.send("/account/theme", {"theme": "dark"}, headers={"Sec-Fetch-Site": where})


def test_over_https_a_form_has_to_come_from_the_same_host(app, shop):
    ana = make_staff("owner")
    browser = app.test_client()
    page = browser.page("/login", base_url="https://localhost")
    form = {"email": ana.email, "password": PASSWORD, "csrf_token": page.one("[name=csrf_token]")["value"]}
    for referer in ("https://evil.example/login", "http://localhost/login", ""):
        headers = {"Referer": referer} if referer else {}
        assert browser.post("/login", data=form, base_url="https://localhost", headers=headers).status_code == 400
    assert browser.post("/login", data=form, **HTTPS).status_code == 303


# --- https --------------------------------------------------------------------------------------


def signed_in_over_https(app):
    """A browser that signed in over https."""
    browser = app.test_client()
    page = browser.page("/login", base_url="https://localhost")
    form = {"email": make_staff("owner").email, "password": PASSWORD}
    form["csrf_token"] = page.one("[name=csrf_token]")["value"]
    assert browser.post("/login", data=form, **HTTPS).status_code == 303
    return browser


def test_over_https_every_answer_tells_the_browser_to_stay_there(app, shop):
    browser = signed_in_over_https(app)
    token = make_repair().token
    asked = [("GET", "/repairs", 200), ("GET", "/nowhere", 404), ("PUT", "/login", 405), ("POST", "/logout", 400)]
    asked += [("GET", f"/t/{token}", 200), ("GET", "/t/x", 404), ("GET", "/", 302), ("GET", "/static/nothing.css", 404)]
    asked += [("GET", "/static/css/tokens.css", 200), ("GET", "/healthz", 200), ("GET", "/settings/staff/999", 404)]
    for method, url, status in asked:
        with browser.open(url, method=method, base_url="https://localhost") as answer:
            assert answer.status_code == status, url
            kept_for = re.fullmatch(r"max-age=(\d+)", answer.headers["Strict-Transport-Security"])
            assert int(kept_for[1]) >= 365 * 86400
        with browser.open(url, method=method) as answer:
            assert "Strict-Transport-Security" not in answer.headers, "a browser on the shop's LAN would complain"


def test_over_https_no_other_host_can_give_the_browser_a_cookie_of_the_shop(app, shop):
    browser = signed_in_over_https(app)
    page = browser.get("/repairs", base_url="https://localhost")
    form = {
        "theme": "dark",
        "csrf_token": re.search(r'name="csrf_token" value="([^"]+)"', page.get_data(as_text=True))[1],
    }
    given = page.headers.getlist("Set-Cookie")
    given += browser.post("/account/theme", data=form, **HTTPS).headers.getlist("Set-Cookie")
    assert len(given) >= 2
    for cookie in given:
        assert cookie.startswith("__Host-")
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= {*cookie.split("; ")}
        assert "Domain" not in cookie
    # What a neighbour's page, or a page without https, could plant has the bare name.
    other = app.test_client()
    other.set_cookie("readylight", browser.get_cookie("__Host-readylight").value)
    assert other.get("/repairs", base_url="https://localhost").status_code == 302


# --- methods and expressions --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "BREW"])
def test_no_method_but_those_of_a_page_does_anything(app, owner, method):
    urls = {url for _, url in addresses(app, owner, "GET")} | {url for _, url in addresses(app, owner, "POST")}
    before = everything()
    for url in urls | {"/login", "/static/css/tokens.css"}:
        answer = owner.open(url, method=method, headers={"X-Told": "only to the server"}, data={"x": "1"})
        assert answer.status_code == 405, url
        assert b"only to the server" not in answer.data, url
    assert everything() == before


def test_no_template_has_an_expression_that_htmx_would_evaluate():
    """htmx makes functions of hx-on, of js: values and of [conditions] on triggers; nothing else of it needs eval."""
    for file in (ROOT / "templates").rglob("*.html"):
        markup = re.sub(r"\{[{%#].*?[#%}]\}", "", file.read_text(), flags=re.DOTALL)
        assert not re.search(r"hx-on|hx-live|\bjs:|javascript:", markup), file.name
        assert not re.search(r"hx-trigger=[\"'][^\"']*\[", markup), file.name


# --- hosts --------------------------------------------------------------------------------------


def test_no_address_is_ever_made_from_the_name_that_a_request_came_by(app, owner, anyone):
    repair = make_repair(status="ready")
    urls = [url for _, url in addresses(app, owner, "GET")] + [f"/t/{repair.token}", "/t/x", "/nowhere", "/", "/login"]
    lies = {"Host": "wicked.example", "X-Forwarded-Host": "wicked.example", "X-Forwarded-Prefix": "//wicked.example"}
    form = {"csrf_token": owner.csrf_token()}
    owner.set_cookie("readylight", owner.get_cookie("readylight").value, domain="wicked.example")
    for browser in (owner, anyone):
        for url in urls:
            answer = browser.get(url, headers=lies)
            assert "wicked" not in answer.get_data(as_text=True), url
            assert "wicked" not in str(answer.headers), url
    answer = owner.post("/account/theme", data=form, headers=lies)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/repairs")


@pytest.mark.parametrize("path", ["/repairs//new", "/repairs/", "//evil.example/..", "/static//css/tokens.css"])
def test_an_address_that_is_nearly_right_leads_nowhere(app, owner, path):
    """The redirect that would mend it is an address with the request's own Host in it."""
    answer = owner.open("/", environ_overrides={"PATH_INFO": path, "HTTP_HOST": "evil.example"})
    assert answer.status_code == 404
    assert "Location" not in answer.headers


@pytest.mark.parametrize("host", ["x" * 64, f"{'x' * 70}.example", "x" * 3000])
def test_a_host_that_no_host_can_be_called_is_refused_in_a_line(anyone, shop, host):
    answer = anyone.get("/login", headers={"Host": host})
    assert answer.status_code == 400
    assert_guarded(answer)


# --- links that open nothing --------------------------------------------------------------------


@pytest.fixture
def dead_links(shop):
    """Tokens that open nothing, by the reason why."""
    repair = make_repair()
    replaced = repair.token
    actions.replace_link(repair, by=db.session.scalars(select(Staff)).first(), version=repair.version)
    malformed = [
        "x",
        "x" * 21,
        "x" * 23,
        "x" * 5000,
        "%00" * 22,
        "%ff" * 22,
        "é" * 22,
        "a" * 21 + "!",
        "a" * 21 + "%0a",
    ]
    return {"unknown": "a" * 22, "replaced": replaced} | dict(enumerate(malformed))


def counted(statements):
    """Those that count a miss."""
    return [sql for sql in statements if "throttle" in sql]


@pytest.mark.parametrize(("rest", "headers"), [("", {}), ("/live", HTMX), ("/live", {})])
def test_a_link_that_opens_nothing_does_not_say_why(anyone, dead_links, statements, rest, headers):
    told = {}
    for why, token in dead_links.items():
        db.session.commit()
        statements.clear()
        answer = anyone.get(
            f"/t/{token}{rest}", headers=headers, environ_base={"REMOTE_ADDR": f"203.0.113.{len(told)}"}
        )
        shown = {name: value for name, value in answer.headers.items() if name != "X-Request-ID"}
        told[why] = answer.status_code, answer.data, shown, statements.copy()
    assert told["unknown"][0] == 404
    assert told["replaced"] == told["unknown"], "to the last statement, and so in the time it takes"
    # What a token looks like is no secret: one that cannot be one may be told without looking for it.
    for why, answer in told.items():
        assert answer[:3] == told["unknown"][:3], why
        assert counted(answer[3]) == counted(told["unknown"][3]), why


def test_after_sixty_links_that_open_nothing_an_address_waits_ten_minutes(anyone, shop, clock, capsys):
    for number in range(MISSES.amount):
        anyone.page(f"/t/{'a' * 18}{number:04}", 404)
    page = anyone.page(f"/t/{'b' * 22}", 429)
    assert "wait" in page.one("[role=alert]").get_text().lower()
    assert (page.headers["Referrer-Policy"], page.headers["X-Robots-Tag"]) == ("no-referrer", "noindex, nofollow")
    anyone.page(f"/t/{'b' * 22}/live", 429)
    clock.forward(minutes=9, seconds=59)
    anyone.page(f"/t/{'b' * 22}", 429)
    clock.forward(seconds=1)
    anyone.page(f"/t/{'b' * 22}", 404)


def test_a_shop_whose_customers_share_an_address_is_never_shut_out(anyone, owner, shop):
    links = [f"/t/{make_repair().token}" for _ in range(3)]
    tags = {link: anyone.page(link).headers["HX-PTag"] for link in links}
    for _ in range(40):
        for link in links:
            anyone.page(f"{link}/live", 304, headers=HTMX | {"HX-PTag": tags[link]})
    assert counters() == 0, "whoever only polls is not even counted"
    for _ in range(MISSES.amount):
        anyone.page("/t/mistyped", 404)
    anyone.page("/t/mistyped", 429)
    for link in links:
        anyone.page(link)
        anyone.page(f"{link}/live", 304, headers=HTMX | {"HX-PTag": tags[link]})
    owner.page("/repairs")


def test_past_the_limit_nothing_more_is_written(anyone, shop, statements):
    for _ in range(MISSES.amount):
        anyone.get("/t/nothing")
    statements.clear()
    anyone.page("/t/nothing", 429)
    assert [sql for sql in statements if not sql.startswith("SELECT")] == []


def test_crossing_the_limit_is_written_down_once_and_without_the_token(machine, shop):
    other = machine()
    for _ in range(MISSES.amount + 20):
        other.browser.get("/t/" + "s3cret" * 4, environ_base={"REMOTE_ADDR": "203.0.113.7"})
    lines = [line for line in other.written().splitlines() if "WARNING" in line]
    assert len(lines) == 1
    assert "203.0.113.7" in lines[0]
    assert "s3cret" not in lines[0]


@pytest.mark.parametrize(
    ("addresses_used", "rows"),
    [
        ([f"2001:db8:1:2::{number:x}" for number in range(1, 9)], 1),
        ([f"2001:db8:1:{number:x}::1" for number in range(1, 9)], 8),
        (["198.51.100.7", "::ffff:198.51.100.7"], 1),
        ([f"198.51.100.{number}" for number in range(1, 9)], 8),
    ],
)
def test_whoever_has_a_network_of_addresses_is_one_visitor(anyone, shop, addresses_used, rows):
    for address in addresses_used:
        anyone.get("/t/nothing", environ_base={"REMOTE_ADDR": address})
    assert counters() == rows
    anyone.send("/login", {"email": "nobody@example.com", "password": "x"}, 422, environ_base={"REMOTE_ADDR": address})
    assert counters() == rows + 2, "one for the account and one for the visitor, of sign-in's own"


def test_what_is_kept_of_visitors_goes_with_time(anyone, shop, clock):
    for number in range(30):
        anyone.get("/t/nothing", environ_base={"REMOTE_ADDR": f"198.51.100.{number}"})
    assert counters() == 30
    clock.forward(minutes=10)
    anyone.get("/t/nothing", environ_base={"REMOTE_ADDR": "203.0.113.1"})
    assert counters() == 1


# --- a thousand tries ---------------------------------------------------------------------------


def forged(number: int, trusted: int) -> dict:
    """What an attacker sends who changes address each time; through a proxy, it adds where it comes from."""
    lie = f"198.{number % 199}.{number % 251}.{number % 241}"
    return {"X-Forwarded-For": f"{lie}, 203.0.113.9" if trusted else lie, "X-Real-IP": lie, "Forwarded": f"for={lie}"}


def swarm(machine, trusted: int, tries: int):
    """(number, browser) of so many tries that meet two processes in turn, which are started anew half-way."""
    browsers = []
    for number in range(tries):
        if number in {0, tries // 2}:
            browsers = [machine(TRUSTED_PROXIES=trusted).browser for _ in range(2)]
        yield number, browsers[number % 2]


@pytest.mark.journey
@pytest.mark.parametrize(("trusted", "tries"), [(0, 1000), (1, 100)])
def test_a_thousand_guessed_links_are_throttled_whatever_address_they_claim(machine, shop, trusted, tries):
    statuses = [
        browser.get(f"/t/{number:022}", headers=forged(number, trusted)).status_code
        for number, browser in swarm(machine, trusted, tries)
    ]
    assert statuses == [404] * MISSES.amount + [429] * (tries - MISSES.amount)
    assert counters() == 1


@pytest.mark.journey
@pytest.mark.parametrize(("trusted", "tries"), [(0, 1000), (1, 100)])
def test_a_thousand_guessed_passwords_are_throttled_whatever_address_they_claim(machine, shop, trusted, tries):
    statuses = []
    for number, browser in swarm(machine, trusted, tries):
        if not browser.get_cookie("readylight"):
            browser.token = browser.csrf_token()
        form = {"email": f"guess{number}@example.com", "password": "guess", "csrf_token": browser.token}
        statuses.append(browser.post("/login", data=form, headers=forged(number, trusted)).status_code)
    assert statuses == [422] * 50 + [429] * (tries - 50)
    assert counters() <= 52, "past the limit no email leaves a trace"


def test_a_proxy_s_visitors_are_told_apart_by_what_it_says_of_them(machine, shop):
    browser = machine(TRUSTED_PROXIES=1).browser
    for _ in range(MISSES.amount + 1):
        answer = browser.get("/t/nothing", headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.9"})
    assert answer.status_code == 429
    assert browser.get("/t/nothing", headers={"X-Forwarded-For": "203.0.113.10"}).status_code == 404


def test_many_machines_that_guess_one_person_s_password_do_not_lock_that_person_out(app, machine, shop):
    """ASVS 6.1.1: the limit on an account must not be a way to keep its owner from it."""
    ana = make_staff("owner")
    counter = app.test_client().sign_in(ana)
    counter.send("/logout")
    attacker, statuses = machine().browser, []
    token = attacker.csrf_token()
    for number in range(40):
        form = {"email": ana.email, "password": f"guess {number}", "csrf_token": token}
        where = {"REMOTE_ADDR": f"198.51.100.{number}"}
        statuses.append(attacker.post("/login", data=form, environ_base=where).status_code)
    assert statuses == [422] * 10 + [429] * 30, "forty machines have no more tries than one"
    counter.sign_in(ana)


GUESSING = """
import sys
from flask_migrate import upgrade
from app import create_app
from app.db import db
from tests.conftest import OVERRIDES, Client
from tests.factories import PASSWORD, make_shop, make_staff

folder, redis = sys.argv[1:]
settings = {"DATA_DIR": folder, "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder}/x.db"}
app = create_app(OVERRIDES | settings | {"TESTING": False, "RATELIMIT_STORAGE_URI": redis})
app.test_client_class = Client
with app.app_context():
    upgrade()
    make_shop()
    email = make_staff("owner").email
    db.session.remove()
browser = app.test_client()
form = {"email": email, "password": PASSWORD, "csrf_token": browser.csrf_token()}
print(browser.get("/t/nothing").status_code, browser.post("/login", data=form).status_code)
stranger = app.test_client()
form = {"email": email, "password": "guess", "csrf_token": stranger.csrf_token()}
print(*(stranger.post("/login", data=form).status_code for _ in range(12)))
"""


def guessing(folder, redis) -> list[str]:
    """How a machine with a database of its own answers a stranger's link, a sign-in, and twelve guesses."""
    # In a process of its own: the library keeps one place to count in for all apps of a process.
    folder.mkdir()
    command = [sys.executable, "-c", GUESSING, str(folder), redis]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_while_redis_does_not_answer_people_sign_in_and_guessing_is_slowed_all_the_same(tmp_path):
    nobody_listens = "redis://127.0.0.1:1"
    assert guessing(tmp_path / "one", nobody_listens) == ["404 303", "422 " * 10 + "429 429"]


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no Redis here")
def test_several_machines_count_guesses_together_in_redis(tmp_path):
    # Not at a port, which somebody else may have.
    door = tmp_path / "door"
    command = ["redis-server", "--port", "0", "--unixsocket", str(door), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as redis:
        try:
            for _ in range(200):
                if door.exists():
                    break
                time.sleep(0.02)
            assert guessing(tmp_path / "one", f"redis+unix://{door}") == ["404 303", "422 " * 10 + "429 429"]
            assert guessing(tmp_path / "two", f"redis+unix://{door}")[1] == "429 " * 11 + "429"
        finally:
            redis.terminate()


# --- sessions -----------------------------------------------------------------------------------


class LongAgo(TimestampSigner):
    """Signs as the shop did some days ago."""

    days = 0

    def get_timestamp(self):
        return super().get_timestamp() - int(self.days * 86400)


def used_days_ago(app, browser, days) -> bool:
    """Whether a browser that was last used so many days ago is still signed in."""
    serializer = app.session_interface.get_signing_serializer(app)
    with browser.session_transaction() as present:
        kept = dict(present)
    serializer.signer = type("Then", (LongAgo,), {"days": days})
    other = app.test_client()
    other.set_cookie("readylight", serializer.dumps(kept))
    return other.get("/account").status_code == 200


def test_a_session_that_nobody_uses_for_a_week_is_over(app, owner):
    assert used_days_ago(app, owner, 6.9)
    assert not used_days_ago(app, owner, 7.1)


def test_every_use_of_a_session_is_a_new_start_of_its_week(owner):
    renewed = owner.page("/account").headers["Set-Cookie"]
    left = parsedate_to_datetime(re.search("Expires=([^;]+)", renewed)[1]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


def test_signing_in_again_ends_the_session_that_was(app, owner):
    thief = app.test_client()
    thief.set_cookie("readylight", owner.get_cookie("readylight").value)
    thief.page("/account")
    owner.sign_in(owner.staff)
    owner.page("/account")
    thief.page("/account", 302)
    assert db.session.scalar(select(func.count()).select_from(SignIn)) == 1


@pytest.mark.parametrize("way_out", ["/logout", "/account/sign-out-everywhere"])
def test_whoever_signs_out_leaves_nothing_in_the_browser(app, shop, owner, way_out):
    browser = signed_in_over_https(app)
    page = Page(browser.get("/account", base_url="https://localhost"))
    token = page.all("[name=csrf_token]")[0]["value"]
    answer = browser.post(way_out, data={"csrf_token": token}, **HTTPS)
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert browser.get("/account", base_url="https://localhost").status_code == 302
    # Over plain http no browser heeds it, and each complains: there it is no-store that does it.
    assert "Clear-Site-Data" not in owner.send(way_out).headers


def test_a_session_is_known_by_a_secret_that_the_database_does_not_have(owner):
    with owner.session_transaction() as kept:
        secret = kept["_user_id"]
    assert len(secret) >= 22, "128 bits"
    row = db.session.scalars(select(SignIn)).one()
    assert secret not in {str(value) for value in vars(row).values()}


# --- logs ---------------------------------------------------------------------------------------


def test_who_signs_in_fails_is_refused_and_leaves_is_written_down(machine, shop):
    ana, narin = make_staff("owner"), make_staff("technician")
    shop_s = machine()
    browser = shop_s.browser
    browser.send("/login", {"email": ana.email, "password": "my other password"}, 422)
    browser.send("/login", {"email": ana.email, "password": PASSWORD})
    browser.post("/account/theme", data={"csrf_token": "x"})
    browser.send("/account", {"current": "wrong", "password": "four louder lamps"}, 422)
    browser.send("/logout")
    browser.send("/login", {"email": narin.email, "password": PASSWORD})
    browser.page("/settings/staff", 403)
    repair = make_repair()
    browser.send(f"/repairs/{repair.code}/cancel", {"version": "1"}, 403)
    for _ in range(12):
        stranger = shop_s.app.test_client()
        form = {"email": "typed@example.com", "password": "x", "csrf_token": stranger.csrf_token()}
        stranger.post("/login", data=form)
    said = [line.partition("]: ")[2] for line in shop_s.written().splitlines()]
    assert said[:8] == [
        "wrong email or password from 127.0.0.1",
        f"staff {ana.id} signed in from 127.0.0.1",
        "a form for staff.theme was refused: The CSRF session token is missing.",
        f"staff {ana.id} typed a wrong present password",
        f"staff {ana.id} signed out",
        f"staff {narin.id} signed in from 127.0.0.1",
        f"staff {narin.id} was refused staff.index",
        f"staff {narin.id} was refused repairs.cancel",
    ]
    assert said[8:18] == ["wrong email or password from 127.0.0.1"] * 10
    assert said[18:] == ["127.0.0.1 tries auth.login too often; for a while it is told to wait"], "once"


@pytest.mark.journey
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_of_a_day_at_the_counter_is_in_any_log(machine, form):
    """Everything is written that can be, on a day on which everything happens; then each secret of it is looked for."""
    shop_s = machine(LOG_LEVEL="DEBUG", LOG_REQUESTS=True, LOG_FORMAT=form)
    day = Day(shop_s.app)
    day.opens(), day.works(), day.goes_wrong(), day.ends()
    written = shop_s.written()
    assert written.count("\n") > 40
    for what in ("signed in from", "was refused", "wrong email or password", "Traceback", "links that open nothing"):
        assert what in written
    assert len(day.secrets) > 15
    assert {name for name, secret in day.secrets.items() if secret in written} == set()


class Day:
    """A day at the counter, from set-up to sign-out, and what nobody may read in a log afterwards."""

    def __init__(self, app):
        self.app, self.owner, self.customer = app, app.test_client(), app.test_client()
        self.secrets = {"secret key": app.config["SECRET_KEY"], "her name": "Xanthippe", "her note": "Her PIN is 4711"}
        self.secrets |= {
            "password": "seven slow snails",
            "next password": "eight slow snails",
            "guess": "five fast foxes",
        }

    def keep(self, browser, name):
        """Whatever of a browser's session would let somebody else in."""
        with browser.session_transaction() as session:
            self.secrets |= {f"{name} of {key}": session[key] for key in ("_user_id", "csrf_token") if key in session}
        for cookie in ("readylight", "known"):
            if kept := browser.get_cookie(cookie):
                self.secrets[f"{name}, cookie {cookie}"] = kept.value

    def opens(self):
        with self.app.app_context():
            code = setup_code()
        self.secrets["set-up code"] = code
        form = {"name": "Lamp & Bench", "code": "TH", "country": "TH", "timezone": "Asia/Bangkok", "currency": "THB"}
        form |= {"phone": "02 123 4567", "public_url": "https://repairs.example.com", "branch_name": "Main"}
        form |= {"branch_code": "MN", "owner_name": "Ana", "email": "ana@example.com"}
        self.owner.page(f"/setup?code={code}")
        self.owner.send("/setup", form | {"setup_code": "AAAA-AAAA-AAAA"}, 403)
        self.owner.send("/setup", form | {"setup_code": code, "password": self.secrets["password"]})
        page = self.owner.page("/account")
        self.secrets["form's token"] = page.all("[name=csrf_token]")[0]["value"]
        self.keep(self.owner, "after set-up")
        self.owner.send("/account", {"current": self.secrets["password"], "password": self.secrets["next password"]})

    def works(self):
        intake = {"phone": "081 234 5678", "name": "Xanthippe", "item": "Phone", "problem": "Dead", "branch": "1"}
        intake |= {"promise_pick": "none", "technician": "0", "note": self.secrets["her note"]}
        self.url = self.owner.send("/repairs/new", intake).location
        self.owner.page("/repairs?q=Xanthippe")
        page = self.owner.page(self.url)
        token = page.one("#tracking-card input[readonly]")["value"].rpartition("/")[2]
        self.secrets["link"] = token
        self.customer.page(f"/t/{token}")
        self.customer.page(f"/t/{token}/live")
        self.customer.page(f"/login?next=/t/{token}")
        self.owner.send(f"{self.url}/link", {"version": page.all("[name=version]")[0]["value"]})
        self.customer.page(f"/t/{token}", 404)
        card = self.owner.page(self.url).one("#tracking-card input[readonly]")
        self.secrets["next link"] = card["value"].rpartition("/")[2]

    def goes_wrong(self):
        self.customer.send("/login", {"email": "ana@example.com", "password": self.secrets["guess"]}, 422)
        self.customer.send("/login", {"email": self.secrets["guess"], "password": "x"}, 422, on="/login")
        self.keep(self.customer, "a stranger's")
        self.owner.post("/logout", data={"csrf_token": self.secrets["form's token"][:-1]})
        for number in range(MISSES.amount + 1):
            self.secrets["last guess"] = f"guessed-guessed-{number:06}"
            self.customer.get(f"/t/{self.secrets['last guess']}")
        with self.app.app_context(), db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE event RENAME TO gone"))
        for url in (self.url, f"/t/{self.secrets['next link']}", f"/t/{self.secrets['next link']}/live"):
            (self.owner if url == self.url else self.customer).page(url, 500)
        self.owner.send(f"{self.url}/notes", {"version": "2", "text": self.secrets["her note"]}, 500)
        with self.app.app_context(), db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO event"))

    def ends(self):
        form = {"name": "Narin", "email": "n@example.com", "role": "technician", "branch": "1"}
        page = self.owner.page(self.owner.send("/settings/staff/new", form).location)
        link = page.one("#access input[readonly]")["value"].replace("https://repairs.example.com", "")
        self.secrets["invitation"] = link.rpartition("/")[2]
        narin = self.app.test_client()
        narin.page(link)
        narin.page(f"/login?next={link}")
        narin.send(link, {"password": "short"}, 422)
        narin.send(link, {"password": self.secrets["password"]})
        # This address has tried too many links by now.
        narin.page(link, 429)
        narin.send("/logout")
        narin.send("/login", {"email": "n@example.com", "password": self.secrets["password"]})
        self.keep(narin, "Narin's")
        narin.page("/settings/shop", 403)
        key = narin.page("/account/second-step").one("[name=secret]")["value"]
        self.secrets |= {"key of the second step": key, "code": pyotp.TOTP(key).now()}
        form = {"secret": key, "code": self.secrets["code"], "current": self.secrets["password"]}
        narin.send("/account/second-step", form)
        self.secrets["recovery code"] = narin.page("/account/second-step").all(".recovery code")[0].get_text()
        narin.send("/logout")
        narin.send("/login", {"email": "n@example.com", "password": self.secrets["password"]})
        self.keep(narin, "half of Narin's")
        narin.send("/login/code", {"code": self.secrets["code"]}, 422)
        narin.send("/login/code", {"recovery": self.secrets["recovery code"]})
        with self.app.app_context(), db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE invitation RENAME TO gone"))
        self.customer.page(link, 500)
        with self.app.app_context(), db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO invitation"))
        self.owner.send("/account/sign-out-everywhere")
