"""Where things stand on the staff's pages, measured in a real browser: whole, in order, not in each other's way."""

from datetime import timedelta
from itertools import pairwise

import pytest

from app import language
from app.db import db, utcnow

from ..factories import make_repair

NARROW, WIDE = 390, 1440


def resize(page, width):
    page.set_viewport_size({"width": width, "height": 900})


# What of the header is out of the window or over something else, how high it is, and whether the page goes sideways.
HEADER = """() => {
  const parts = [...document.querySelectorAll('.top .brand, .top nav a, .top .new, .top .account > summary')];
  const faults = parts.filter(part => {
    const a = part.getBoundingClientRect();
    return a.left < 0 || a.right > innerWidth || parts.some(other => {
      const b = other.getBoundingClientRect();
      return other !== part && a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    });
  });
  const { height } = document.querySelector('.top').getBoundingClientRect();
  const sideways = document.documentElement.scrollWidth > innerWidth;
  return [faults.map(part => part.textContent), height > 110 && height, sideways];
}"""


@pytest.mark.parametrize("role", ["owner", "manager", "technician", "front_desk"])
def test_the_menu_is_one_row_of_its_own_or_beside_the_name_in_every_language(counter, shop, speak, role):
    page, found = counter(role, at=None), {}
    # An owner's menu is the longest, and German's words are.
    for code in language.NAMES if role == "owner" else ("de",):
        speak(code)
        page.goto(f"{shop.url}/customers")
        page.locator(".brand bdi").evaluate(
            "name => name.textContent = 'Ridley, Hart & Daughters, Instruments of all Ages'"
        )
        for width in (320, 390, 736, 737, 834, 992, 993, 1152, 1153, 1440):
            resize(page, width)
            found[code, width] = page.evaluate(HEADER)
    assert {place: faults for place, faults in found.items() if faults != [[], False, False]} == {}


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_no_word_of_the_colours_is_broken(counter, shop, speak, width):
    page = counter("owner", at=None)
    resize(page, width)
    for code in language.NAMES:
        speak(code)
        page.goto(f"{shop.url}/customers")
        page.locator(".account summary").click()
        lines = page.locator(".themes button").evaluate_all("""buttons => buttons.map(button => {
          const text = document.createRange();
          text.selectNodeContents(button);
          return text.getClientRects().length;
        })""")
        assert lines == [1, 1, 1], code


# Of each line of times, where its parts stand: what the break is called, from, to.
TIMES = """[...document.querySelectorAll('.day')].filter(day => day.querySelector(':checked')).flatMap(day => {
  const [opens, closes, pauses, resumes] = day.querySelectorAll('input[type=time]');
  return [[opens, closes], [day.querySelector('.pause > .quiet'), pauses, resumes]];
}).map(line => line.map(part => {
  const { left, right, top, bottom } = part.getBoundingClientRect();
  return [left, right, top, bottom];
}))"""


def test_from_and_to_stand_on_one_line(counter):
    # Twelve hours, with their AM and PM, are the widest that a browser has.
    page = counter("owner", locale="en-US", at="/settings/branches/new")
    page.get_by_label("Show opening hours to customers").check()
    page.get_by_label("Closed for a break at midday").check()
    for width in (320, NARROW, WIDE):
        resize(page, width)
        lines = page.evaluate(TIMES)
        assert len(lines) == 10
        for line in lines:
            # Where even the shortest line is too long, what it is called stands above it.
            parts = line if width > 320 else line[-2:]
            assert max(top for _, _, top, _ in parts) < min(bottom for *_, bottom in parts), (width, line)
            assert all(one[1] < other[0] for one, other in pairwise(parts)), (width, line)
            assert parts[-1][1] <= width


PANELS = """[...document.querySelectorAll('main .panel')].map(panel => {
  const { top, left } = panel.getBoundingClientRect();
  return [panel.id, top, left];
})"""


@pytest.mark.parametrize(("width", "least"), [(NARROW, 300), (WIDE, 650)])
def test_the_problem_is_read_first_and_over_the_whole_width(counter, shop, width, least):
    with shop.inside():
        code = make_repair(
            item="Double bass of an unknown maker " * 3, problem="x" * 2000, accessories="Bow", serial="1"
        ).code
    page = counter("technician", at=None)
    resize(page, width)
    page.goto(f"{shop.url}/repairs/{code}")
    boxes = page.evaluate(PANELS)
    # What comes first with the tab key comes first to the eye: in one column on a phone, in each of two on a desktop.
    assert [name for name, *_ in boxes][:4] == ["status", "details", "promise", "tracking-card"]
    for column in {left for *_, left in boxes}:
        tops = [top for _, top, left in boxes if left == column]
        assert tops == sorted(tops)
    assert boxes[1][2] == boxes[0][2], "under the status, not beside it"
    label, problem = page.locator("#details .first").first.locator("dt, dd").all()
    assert label.inner_text() == "Problem"
    assert label.bounding_box()["x"] == problem.bounding_box()["x"]
    assert problem.bounding_box()["width"] > least
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_on_a_phone_with_letters_twice_as_large_no_page_goes_sideways(counter, shop, german):
    with shop.inside():
        waiting = make_repair(status="waiting_parts").code
    page, wide = counter("owner", at=None), {}
    resize(page, NARROW)
    for path in (f"/repairs/{waiting}", "/repairs", "/account"):
        page.goto(shop.url + path)
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
    assert wide == dict.fromkeys(wide, NARROW)


# Of each row since when it is ready, and whether that goes over the code, the status or the end.
SINCE = """[...document.querySelectorAll('#results li')].map(row => {
  const text = document.createRange();
  const [when, ...others] = ['.when', '.code', '.status'].map(part => {
    text.selectNodeContents(row.querySelector(part));
    return text.getBoundingClientRect();
  });
  const over = others.some(other =>
    when.left < other.right && other.left < when.right && when.top < other.bottom && other.top < when.bottom);
  return [row.querySelector('.when').innerText, over || when.right > row.getBoundingClientRect().right];
})"""


@pytest.mark.parametrize("width", [NARROW, 1100])
def test_since_when_a_repair_is_ready_is_said_so_and_has_room(counter, shop, speak, width):
    with shop.inside():
        for minutes in (0, 11, 60 * 24 * 21):
            make_repair(item=f"Ocarina {width}", status="ready").moved_at = utcnow() - timedelta(minutes=minutes)
            db.session.commit()
    page, said = counter("owner", at=None), {}
    resize(page, width)
    for code in language.NAMES:
        speak(code)
        page.goto(f"{shop.url}/repairs?q=ocarina+{width}&sort=oldest")
        found = page.evaluate(SINCE)
        assert [text for text, over in found if over] == []
        said[code] = {text for text, _ in found}
    assert said["en"] == {"ready just now", "ready 11 minutes ago", "ready 3 weeks ago"}
    assert said["de"] == {"gerade eben fertig", "vor 11 Minuten fertig", "vor 3 Wochen fertig"}


VIEWS = {"en": "Views and lists", "de": "Ansichten & Listen", "es": "Vistas y listas", "fr": "Vues et listes"}


def test_views_and_lists_are_called_so_and_stand_beside_the_heading_on_a_phone(counter, shop, speak):
    page = counter("owner", at=None)
    resize(page, NARROW)
    for code, name in VIEWS.items():
        speak(code)
        page.goto(f"{shop.url}/repairs")
        button = page.locator(".views summary")
        assert button.inner_text().strip() == name
        heading, box = page.locator("h1").bounding_box(), button.bounding_box()
        assert box["y"] < heading["y"] + heading["height"]
        assert box["x"] + box["width"] <= NARROW - 16
        button.click()
        sheet = page.locator(".views .sheet").bounding_box()
        assert sheet["x"] >= 0
        assert sheet["x"] + sheet["width"] <= NARROW
