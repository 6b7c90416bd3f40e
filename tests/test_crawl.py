"""A walk through the whole shop: every link and every form that asks lead to a page that is whole and cheap to make."""

import re
import shutil
from collections import Counter, deque
from html import unescape
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import pytest
from PIL import Image
from sqlalchemy import func, select

from app.customers import merging
from app.db import db
from app.demo import fill as demo
from app.models import Customer, Repair, Staff

from . import pages
from .conftest import Page
from .test_web import faults

# How many SQL statements a page may cost, however many repairs there are. One says who asks, and what the shop is like.
BUDGET = {"repairs.index": 5, "tracking.show": 5, "tracking.live": 5}
OTHERS = 4
PUBLIC_URL = "http://localhost"
# Where a link may lead besides: the customer's chat, telephone and mail.
AWAY = re.compile(r"(https://wa\.me/\d+\?text=|tel:\+\d+$|sms:\+\d+\?|mailto:)")


class Walk:
    """Everything that one browser can reach from an address."""

    def __init__(self, client, said):
        self.client, self.said = client, said
        self.door = client.application.url_map.bind("localhost")
        self.wrong, self.pages, self.static, self.visited = [], Counter(), set(), Counter()
        self.repairs = set()

    def start(self, *urls) -> "Walk":
        """Follows every link from there until there is none that is new."""
        self.todo, self.known = deque(urls), {*urls}
        while self.todo:
            self._visit(self.todo.popleft())
        self.wrong += [f"{address} is no file under its hash" for address in self.static if not self._is_file(address)]
        return self

    def _is_file(self, address):
        with self.client.get(address) as answer:
            return answer.status_code == 200 and re.search(r"\?v=[0-9a-f]{12}$", address)

    def _visit(self, url):
        self.said.clear()
        answer = self.client.get(url)
        endpoint, cost = self._endpoint(url), len(self.said)
        self.pages[endpoint] += 1
        if endpoint == "repairs.show":
            self.repairs.add(urlsplit(url).path.rpartition("/")[2])
        if cost > BUDGET.get(endpoint, OTHERS):
            self.wrong.append(f"{url} costs {cost} statements")
        if answer.status_code in {301, 302, 303, 308}:
            self._remember(url, answer.headers["Location"])
        elif answer.status_code != 200:
            self.wrong.append(f"{url} answers {answer.status_code}")
        elif answer.mimetype == "text/html":
            self._read(url, endpoint, Page(answer))
        answer.close()

    def _endpoint(self, url):
        return self.door.match(urlsplit(url).path, "GET")[0]

    def _read(self, url, endpoint, page):
        for link in re.findall(r'(?:href|src)="([^"]*)"', page.html):
            self._remember(url, unescape(link), page)
        # The second one of a kind has the same faults as the first.
        if self.pages[endpoint] <= 2 and endpoint != "tracking.live":
            self.wrong += [f"{url}: {fault}" for fault in faults(page)]
            for form in page.all("form:not([method=post])"):
                for query in asked(form):
                    self._remember(url, f"{form.get('action') or urlsplit(url).path}?{urlencode(query)}")

    def _remember(self, here, link, page=None):
        link = link.removeprefix(PUBLIC_URL)
        parts = urlsplit(link)
        if link.startswith("#"):
            # The live region finds its icons in the page around it.
            if page and "<body" in page.html and f'id="{link[1:]}"' not in page.html:
                self.wrong.append(f"{here} has no {link}")
        elif parts.path.startswith("/static/"):
            self.static.add(link)
        elif parts.scheme or parts.netloc:
            if not AWAY.match(link) and not link.startswith("data:"):
                self.wrong.append(f"{here} leads away to {link}")
        else:
            self._queue(urljoin(here, link.partition("#")[0]))

    def _queue(self, url):
        # Of the many ways to combine filters a few of each kind are enough.
        names = tuple(sorted(name for name, _ in parse_qsl(urlsplit(url).query)))
        kind = (urlsplit(url).path, names)
        if url not in self.known and not (len(names) > 1 and self.visited[kind] >= 3):
            self.visited[kind] += 1
            self.known.add(url)
            self.todo.append(url)


def asked(form):
    """What a form that asks would send: as it stands, with something typed, and with each choice of each list."""
    fields = {field["name"]: field.get("value", "") for field in form.select("input[name]")}
    yield fields
    for name in fields:
        yield fields | {name: "a"}
    for field in form.select("select[name]"):
        for option in field.select("option"):
            yield fields | {field["name"]: option.get("value", "")}


@pytest.fixture
def town(app):
    """A small shop in full swing, with a photo at each branch."""
    made = demo.fill(9, public_url=PUBLIC_URL)
    file = BytesIO()
    Image.new("RGB", (4, 3)).save(file, "PNG")
    owner = person("owner")
    firsts = select(func.min(Repair.id)).group_by(Repair.branch_id)
    for repair in db.session.scalars(select(Repair).where(Repair.id.in_(firsts))).all():
        form = {"version": repair.version, "photos": (BytesIO(file.getvalue()), "x.png")}
        app.test_client().be(owner).send(f"/repairs/{repair.code}/photos", form)
    app.test_client().be(owner).send("/settings/page/logo", {"logo": (BytesIO(file.getvalue()), "x.png")})
    here = select(Repair.customer_id).where(Repair.branch_id == person("manager").branch_id)
    kept, gone = db.session.scalars(select(Customer).where(Customer.id.in_(here)).order_by(Customer.id).limit(2))
    chosen = dict.fromkeys(merging.FIELDS, "kept")
    merging.merge(kept, gone, by=owner, seen=merging.plan(kept, gone).seen, **chosen)
    yield made
    shutil.rmtree(Path(app.config["DATA_DIR"]) / "photos", ignore_errors=True)


def person(role) -> Staff:
    """Somebody of that role."""
    return db.session.scalars(select(Staff).where(Staff.role == role).order_by(Staff.id).limit(1)).one()


# No link leads there: for machines, for whoever is not in yet, or only from where one was sent.
UNLINKED = {"auth.login", "health.show", "shop.robots", "shop.setup", "shop.settings_home", "static", "tracking.live"}


def theirs(role) -> set:
    """The pages that somebody of that role is to find."""
    there = {
        name: page.see or () for name, page in pages.PAGES.items() if page.of not in {pages.NOWHERE, pages.HALFWAY}
    }
    return {name for name, see in there.items() if role in see} - UNLINKED


@pytest.mark.journey
@pytest.mark.parametrize("role", pages.STAFF)
def test_whoever_works_here_finds_every_page_that_is_theirs_and_no_dead_end(app, town, statements, role):
    walk = Walk(app.test_client().be(person(role)), statements).start("/")
    assert walk.wrong == []
    assert {*walk.pages} - {"tracking.show"} == theirs(role) - {"tracking.show"}
    branch_id = person(role).branch_id
    seen = select(Repair.code).where(branch_id is None or Repair.branch_id == branch_id)
    # However many ways there are to look at each.
    assert walk.repairs == {*db.session.scalars(seen)}


def test_a_customer_finds_nothing_but_the_way_to_the_shop(town, anyone, statements):
    links = [urlsplit(repair["url"]).path for repair in town["repairs"]]
    walk = Walk(anyone, statements).start(*links, *(f"{link}/live" for link in links))
    assert walk.wrong == []
    assert {*walk.pages} == {"tracking.show", "tracking.live", "shop.logo"}
    assert len(walk.pages) <= len(links)


def test_a_stranger_finds_nothing_but_the_door(town, anyone, statements):
    walk = Walk(anyone, statements).start("/", "/login", "/repairs", "/settings/staff")
    assert walk.wrong == []
    assert {*walk.pages} == {"shop.home", "auth.login", "repairs.index", "staff.index"}
