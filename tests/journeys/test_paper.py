"""Paper as it comes out of the browser: its size, what is on it, and what a scanner reads of it.

The PDF is what the printer is sent. It is drawn with the printer's own dots, black or white, and read by another
program than the one that made the code.
"""

import re
from ctypes import c_uint
from math import dist
from types import SimpleNamespace

import pypdfium2
import pytest
import segno
import zxingcpp
from pypdfium2 import raw

from app.db import db
from app.models import get_shop

from ..factories import make_customer, make_repair

# Width, height and the least white at the edges, in millimetres, and the dots to the inch that such printers have.
PAPERS = {
    "a4": (210, 297, 14, 300),
    "letter": (215.9, 279.4, 14, 300),
    "80mm": (80, 297, 3.5, 203),
    "62mm": (62, 29, 1.5, 203),
    "40x30": (40, 30, 1.5, 203),
}
RECEIPTS, LABELS = ["a4", "letter", "80mm"], ["62mm", "40x30"]
# Printers of heat have black alone.
THERMAL = {"80mm", *LABELS}
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
TERMS = "\n\n".join(
    [
        "We keep your item insured while it is with us. Back up your data before you leave a device.",
        "If the repair turns out to cost more than a tenth above the estimate, we ask you first.",
        "Ninety days of warranty on parts and labour. What nobody collects within three months may be sold.",
    ]
)
ORDINARY = {"item": "ThinkPad X1 Carbon", "problem": "Will not start since the last update.\nThe photos on it matter."}
LONG = {
    "item": "Left-handed 1962 Stratocaster reissue in sonic blue with another neck and no strap at all",
    "problem": "It hums, but only on Tuesdays. " * 64,
    "serial": "SN" + "0123456789" * 7,
    "accessories": "Case, strap, two cables, a tuner, a capo, a bag of strings, a letter that explains it all",
}
HEBREW = {"item": "שעון כיס ישן", "problem": "הקפיץ שבור"}
CHINESE = {"item": "懐中時計", "problem": "ぜんまいが切れた"}


@pytest.fixture(scope="module")
def repairs(shop):
    """Repairs of every kind that paper has trouble with, in a shop that has terms: code, item, token."""
    with shop.inside():
        the_shop = get_shop()
        before, the_shop.terms = the_shop.terms, TERMS
        promise = {"promised_at": None, "estimate": 12000}
        made = {}
        for name, details in {"ordinary": ORDINARY, "long": LONG, "hebrew": HEBREW, "chinese": CHINESE}.items():
            repair = make_repair(customer=make_customer(), **promise | details)
            made[name] = SimpleNamespace(code=repair.code, item=repair.item, token=repair.token)
        made["url"] = the_shop.public_url
        db.session.commit()
    yield SimpleNamespace(**made)
    with shop.inside():
        get_shop().terms = before
        db.session.commit()


@pytest.fixture(scope="module")
def desk(chromium, shop):
    """A window in which the front desk is signed in, for all that is only printed."""
    context = chromium.new_context()
    page, made = context.new_page(), shop.made
    page.goto(f"{shop.url}/login")
    page.locator("input[type=email]").fill(next(one["email"] for one in made["staff"] if one["role"] == "front_desk"))
    page.locator("input[type=password]").fill(made["login"]["password"])
    page.locator("input[type=password]").press("Enter")
    page.wait_for_url("**/repairs")
    yield page
    context.close()


class Sheet:
    """A page of a PDF, as its printer would print it."""

    def __init__(self, page, paper: str):
        self.page, self.paper = page, paper
        self.dpi = PAPERS[paper][3]
        # A line that ends in a hyphen might be a word that was divided: pdfium will not say which.
        self.text = " ".join(page.get_textpage().get_text_range().replace("\ufffe", "-").split())
        grey = page.render(scale=self.dpi / 72, grayscale=True).to_pil()
        # Black or white, and nothing between.
        self.dots = grey.point(lambda level: 255 if level > 127 else 0)

    @property
    def size(self) -> list[float]:
        """Width and height in millimetres."""
        return [round(points / 72 * 25.4) for points in self.page.get_size()]

    @property
    def white(self) -> float:
        """How much white there is at the edge where there is least, in millimetres."""
        left, top, right, bottom = self.dots.point(lambda level: 255 - level).getbbox()
        return min(left, top, self.dots.width - right, self.dots.height - bottom) / self.dpi * 25.4

    @property
    def codes(self) -> list:
        """What a scanner reads."""
        return zxingcpp.read_barcodes(self.dots)

    @property
    def inks(self) -> set:
        """The colours that text and lines have."""
        found = set()
        for part in self.page.get_objects():
            channels = [c_uint() for _ in range(4)]
            ask = raw.FPDFPageObj_GetFillColor if part.type == raw.FPDF_PAGEOBJ_TEXT else raw.FPDFPageObj_GetStrokeColor
            if ask(part, *channels):
                found.add(tuple(channel.value for channel in channels[:3]))
        return found


def printed(desk, url, *papers) -> list[Sheet]:
    """What comes out of the printer, from a page on papers of those kinds; the last one for all that follow."""
    desk.goto(url)
    pdf = pypdfium2.PdfDocument(desk.pdf(prefer_css_page_size=True))
    return [Sheet(one, papers[min(number, len(papers) - 1)]) for number, one in enumerate(pdf)]


def check(sheet, repair, leads_to, *, item: str):
    """What holds of every sheet that has a code on it."""
    wide, high, edge, _ = PAPERS[sheet.paper]
    assert sheet.size == [round(wide), round(high)]
    assert sheet.white >= edge
    (code,) = sheet.codes
    assert code.text == leads_to
    corners = code.position
    side = dist((corners.top_left.x, corners.top_left.y), (corners.top_right.x, corners.top_right.y))
    modules = segno.make(leads_to, error="m", micro=False).symbol_size(border=0)[0]
    assert side / modules > 2.9, "dots too few for a cheap scanner"
    flat = sheet.text.replace(" ", "")
    assert repair.code in flat
    assert item.replace(" ", "") in flat
    if sheet.paper in THERMAL:
        assert sheet.inks <= {BLACK, WHITE}


def links(repairs, repair):
    return f"{repairs.url}/t/{repair.token}", f"{repairs.url}/repairs/{repair.code}"


def test_every_paper_is_one_page_of_its_size_whose_code_leads_where_it_should(desk, shop, repairs):
    repair = repairs.ordinary
    tracking, bench = links(repairs, repair)
    for paper in RECEIPTS:
        (sheet,) = printed(desk, f"{shop.url}/repairs/{repair.code}/receipt?paper={paper}", paper)
        check(sheet, repair, tracking, item=repair.item)
        assert repair.token in sheet.text.replace(" ", "")
        for words in ("The photos on it matter.", "Estimate", "may be sold.", "Left by", "Collected by"):
            assert words in sheet.text
    for paper in LABELS:
        (sheet,) = printed(desk, f"{shop.url}/repairs/{repair.code}/label?paper={paper}", paper)
        check(sheet, repair, bench, item=repair.item)


def test_a_receipt_and_its_label_go_in_one_print_each_on_its_own_size(desk, shop, repairs):
    repair = repairs.ordinary
    url = f"{shop.url}/repairs/{repair.code}/receipt-and-label?paper=80mm"
    receipt, label = printed(desk, url, "80mm", "62mm")
    tracking, bench = links(repairs, repair)
    check(receipt, repair, tracking, item=repair.item)
    check(label, repair, bench, item=repair.item)


@pytest.fixture
def all_the_terms_that_fit(shop, repairs):
    """Terms of 4,000 characters, for one test."""

    def write(terms):
        with shop.inside():
            get_shop().terms = terms
            db.session.commit()

    write((TERMS * 20)[:3979] + "\nThese are the terms.")
    yield
    write(TERMS)


@pytest.mark.usefixtures("all_the_terms_that_fit")
def test_what_is_long_goes_on_over_the_page_and_loses_nothing(desk, shop, repairs):
    repair = repairs.long
    tracking, bench = links(repairs, repair)
    for paper, pages in (("a4", 2), ("80mm", 3)):
        first, *more = printed(desk, f"{shop.url}/repairs/{repair.code}/receipt?paper={paper}", paper)
        sheets = [first, *more]
        text = " ".join(sheet.text for sheet in sheets)
        assert len(sheets) <= pages
        assert text.count("Tuesdays") == 64
        assert "These are the terms." in text
        assert LONG["serial"] in text.replace(" ", "")
        assert text.rstrip().endswith("date, signature")
        for sheet in sheets:
            assert sheet.white >= PAPERS[paper][2]
        assert [code.text for sheet in sheets for code in sheet.codes] == [tracking]
    for paper in LABELS:
        (sheet,) = printed(desk, f"{shop.url}/repairs/{repair.code}/label?paper={paper}", paper)
        check(sheet, repair, bench, item="Left-handed")


def test_other_scripts_are_on_paper_too(desk, shop, repairs):
    for repair, papers in ((repairs.hebrew, ("80mm", *LABELS)), (repairs.chinese, ("62mm",))):
        for paper in papers:
            kind = "label" if paper in LABELS else "receipt"
            (sheet,) = printed(desk, f"{shop.url}/repairs/{repair.code}/{kind}?paper={paper}", paper)
            check(sheet, repair, links(repairs, repair)[kind == "label"], item="")
            if repair is repairs.hebrew:  # Which way round its letters come is the reader's affair.
                assert {*repair.item} <= {*sheet.text}


def test_the_dialog_opens_after_take_in_and_print_once_and_on_no_other_visit(counter, shop):
    page = counter("front_desk")
    page.add_init_script("print = () => sessionStorage.printed = +(sessionStorage.printed ?? 0) + 1")
    asked = lambda: page.evaluate("+(sessionStorage.printed ?? 0)")  # noqa: E731
    page.goto(f"{shop.url}/repairs/new")
    page.get_by_label("Phone").fill("07700 900 417")
    page.get_by_label("Name").fill("Pauline Paper")
    page.get_by_label("Item").fill("Sewing machine")
    page.get_by_label("Problem").fill("The needle jams.")
    page.get_by_role("button", name="Receipt").click()
    page.wait_for_url(re.compile(r"/receipt$"))
    assert asked() == 1
    # Whoever comes from taking in prints the label with one tap more.
    page.get_by_role("link", name="Label").click()
    page.wait_for_url(re.compile(r"/label$"))
    assert asked() == 2
    page.reload()
    page.get_by_role("link", name="40 × 30 mm").click()
    page.wait_for_url(re.compile(r"/label\?paper=40x30$"))
    page.get_by_role("link", name="Receipt").click()
    page.wait_for_url(re.compile(r"/receipt$"))
    assert asked() == 2
    page.get_by_role("button", name="Print").click()
    assert asked() == 3
