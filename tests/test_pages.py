"""Every page, every way to ask for it, in the name of everyone: does it open as pages.py says?"""

import re
from contextlib import contextmanager

import pytest
from flask import has_request_context
from sqlalchemy import event

from app.db import db

from . import pages
from .pages import BACK, DOOR, OPEN, PAGES, PEOPLE

HTMX = {"HX-Request": "true"}
WAY_OUT = re.compile(
    rb'<form[^>]* action="/logout"(?:(?!</form>).)*<button[^>]*>(?:\s*<svg.*?</svg>)?\s*Sign out\s*</button>', re.DOTALL
)


class Committed(BaseException):
    """A request came so far as to save something: it was let in."""


@contextmanager
def nothing_saved():
    """Stops a request where it would save, so that all can be asked for in any order, sign-out too."""

    def stop(session):
        if has_request_context():
            raise Committed

    event.listen(db.session, "before_commit", stop)
    try:
        yield
    finally:
        event.remove(db.session, "before_commit", stop)


def ask(browser, method, url, headers):
    """Status, where it leads, and the bytes of an answer; a form is sent empty."""
    data = {"csrf_token": browser.csrf_token()} if method == "POST" else None
    try:
        with browser.open(url, method=method, data=data, headers=headers) as answer:
            return answer.status_code, answer.headers.get("Location", ""), answer.data
    except Committed:
        assert method == "POST", f"{method} {url} saves something"
        return 303, "", b""


def is_as_expected(expected, method, status, location) -> bool:
    """Whether it is one of the answers that the table allows."""
    to_the_door = location.startswith("/login")
    if expected == DOOR:
        return status == 401 if method == "POST" else status == 302 and to_the_door
    return status in expected and to_the_door == (expected == BACK)


def test_the_table_knows_every_page_and_no_other(app):
    unsaid = [said for rule in app.url_map.iter_rules() if (said := pages.missing(rule))]
    assert not unsaid, "\n".join(unsaid)
    gone = {*PAGES} - {rule.endpoint for rule in app.url_map.iter_rules()}
    assert not gone, f"there are no such pages any more: take {gone} out of PAGES in tests/pages.py"


def requests(app, real):
    """(rule, method, address, headers) of all that the table speaks of; forms as a browser and as htmx send them."""
    for rule in app.url_map.iter_rules():
        url = pages.address(app, rule, real)
        taken = {*app.url_map.bind("localhost").allowed_methods(url)}
        for method in ("GET", "POST"):
            # What this rule does not take and another at the same address does is asked for with that one.
            if method in rule.methods or method not in taken:
                for headers in ({}, HTMX) if method == "POST" else ({},):
                    yield rule, method, url, headers


# Over a second for some: it is the whole shop, and the only place where all of it is asked for.
@pytest.mark.parametrize("person", PEOPLE)
def test_every_page_opens_to_those_whose_it_is_and_to_nobody_else(app, shop, folder, person):
    real, browser, wrong, asked = pages.values(app), pages.browser_of(app, person), [], 0
    with nothing_saved():
        for rule, method, url, headers in requests(app, real):
            expected = pages.answers(PAGES[rule.endpoint], method, person)
            status, location, page = ask(browser, method, url, headers)
            if not is_as_expected(expected, method, status, location):
                wrong.append(f"{method} {url} ({rule.endpoint}) answers {status} {location}, not {sorted(expected)}")
            elif b'<header class="top"' in page and method == "GET":
                assert WAY_OUT.search(page), url
            asked += 1
    assert not wrong, f"{person}:\n" + "\n".join(wrong)
    assert asked > 100


def test_the_table_tells_apart_all_that_the_design_does():
    """Were a line like every other, or a person, the table would show nothing."""
    asked = [(page, method) for page in PAGES.values() for method in ("GET", "POST")]
    rows = {person: [pages.answers(*what, person) for what in asked] for person in PEOPLE}
    assert rows["owner"] == rows["owner elsewhere"]
    assert rows["nobody"] == rows["left"] == rows["signed out"]
    assert len({tuple(row) for row in rows.values()}) == 8
    kinds = {answer for row in rows.values() for answer in row}
    assert kinds >= {OPEN, DOOR, frozenset({403}), frozenset({404}), frozenset({405})}
