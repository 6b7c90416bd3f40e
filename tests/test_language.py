"""In which language a page is, and that nothing on it is left in English."""

import ast
import re
import tomllib
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest
from babel.messages import extract, frontend, pofile
from babel.support import NullTranslations
from bs4 import BeautifulSoup
from flask_babel import force_locale
from sqlalchemy.exc import OperationalError

from app import formats, language, web
from app.config import ROOT
from app.db import db

from .conftest import Page
from .factories import make_customer, make_repair, make_staff
from .pages import address, values
from .test_architecture import SOURCES, tree
from .test_settings import shown

CATALOGUES = [code for code in language.NAMES if code != "en"]

# --- nothing is left out ------------------------------------------------------------------------

# What its writer wrote is marked as such, for its direction, or is a moment, a code, an address.
WRITTEN = (
    "bdi, [dir=auto], time, .code, code, textarea, script, style, svg, #zones, #country, #currency, [lang]:not(html)"
)
# What stays as it is in every language, and what Babel writes.
SAME = re.compile(
    r"Lamp & Bench|Customer \d+|Colleague|iPhone 13|Main|Riverside|WhatsApp|SMS|QR|CSV|JSON|PDF|A4|Letter|IMEI"
    r"|Readylight|English|Deutsch|Español|Français"
    r"|TH-MN-R\d+|[A-Z]{2}|\S+@\S+|https?://\S+|/[\w/{}-]+|mm|in|Enter|Esc|Ctrl\+C"
    r"|(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)(day)?|Tue|Wed|Thu|Sat|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
    r"|\d+ (second|minute|hour|day|week|month|year)s?( ago)?|[ap]m|[AP]M"
)
SAID = ["aria-label", "placeholder", "title", "alt", "content"]
# What the script shows.
SAID += ["data-copied", "data-press", "data-press-aloud", "data-unsaved", "data-outdated", "data-one", "data-many"]


class Marked(NullTranslations):
    """Stands each sentence that is marked for translation between brackets."""

    def gettext(self, message):
        return f"⟦{message}⟧"

    def ngettext(self, one, many, count):
        return f"⟦{one if count == 1 else many}⟧"

    def pgettext(self, context, message):
        return f"⟦{message}⟧"

    def npgettext(self, context, one, many, count):
        return f"⟦{one if count == 1 else many}⟧"

    ugettext, ungettext, upgettext, unpgettext = gettext, ngettext, pgettext, npgettext


@pytest.fixture
def marked(app, monkeypatch):
    """The app, saying everything between brackets."""
    monkeypatch.setattr(language.Catalogues, "get_translations", lambda self: Marked())
    # What WTForms says itself comes with its own catalogues.
    monkeypatch.setattr(web.Form.Meta, "get_translations", lambda self, form: Marked())


def unmarked(page: Page) -> set[str]:
    """What a page says that no catalogue could translate."""
    soup = BeautifulSoup(page.html, "html.parser")
    for element in soup.select(WRITTEN):
        element.decompose()
    # A sentence may have tags in it: its brackets are looked for through the whole page.
    said = outside("\0".join(soup.stripped_strings)).split("\0")
    said += [element[name] for name in SAID for element in soup.select(f"[{name}]:not(meta[name=viewport])")]
    said += [element["value"] for element in soup.select("input[type=submit][value]")]
    said = [text for text in said if not text.startswith(("{", "noindex", "website", "light", "dark"))]
    left = [outside(re.sub(r"\s+", " ", text)) for text in said]
    return {text.strip() for text in left if re.search(r"[A-Za-z]{2}", SAME.sub("", text))}


def outside(text: str) -> str:
    """A text without what stands between brackets."""
    depth, kept = 0, []
    for character in text:
        depth += (character == "⟦") - (character == "⟧")
        kept.append("" if depth or character == "⟧" else character)
    return "".join(kept)


# What draws no page.
NO_PAGES = {"static", "shop.logo", "shop.robots", "health.show", "repairs.photo"}
NO_PAGES |= {"exchange.template", "exchange.export"}


def addresses(app, method, real) -> dict[str, str]:
    """By name, every page that can be asked for so."""
    found = [rule for rule in app.url_map.iter_rules() if method in rule.methods and rule.endpoint not in NO_PAGES]
    return {rule.endpoint: address(app, rule, real) for rule in found}


def test_everything_a_page_says_can_be_translated(app, marked, owner, folder):
    left = {}
    for endpoint, url in addresses(app, "GET", values(app)).items():
        page = Page(owner.get(url, follow_redirects=True))
        assert page.status in {200, 404}, endpoint
        left[endpoint] = unmarked(page)
    assert len(left) > 35
    assert {endpoint: said for endpoint, said in left.items() if said} == {}


def test_everything_a_form_answers_can_be_translated(app, marked, owner, folder):
    left = {}
    for endpoint, url in addresses(app, "POST", values(app)).items():
        # Each with a browser of its own: some of these sign it out.
        browser = app.test_client().be(owner.staff)
        answer = browser.post(url, data={"csrf_token": browser.csrf_token()}, follow_redirects=True)
        left[endpoint] = unmarked(Page(answer))
    assert len(left) > 45
    assert {endpoint: said for endpoint, said in left.items() if said} == {}


# --- in the code --------------------------------------------------------------------------------

# What is handed a sentence for people: calls of these, and a field's list of errors.
SAYS = {"flash", "Refused", "Forbidden", "ValidationError", "StopValidation", "Needed"}
# The owner's terminal speaks English.
TERMINAL = ("cli", "config", "logs", "worker", "check.", "backup.", "demo.")


def sentences(root):
    """(line, text) of every sentence that the code hands to people as it stands."""
    for node in ast.walk(root):
        given = []
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            given = node.args if name in SAYS else node.args[:1] if name.endswith("Field") else []
            given = [*given, *(each.value for each in node.keywords if each.arg in {"message", "said", "title"})]
        elif isinstance(node, ast.Assign) and any(getattr(each, "attr", "") == "errors" for each in node.targets):
            given = getattr(node.value, "elts", [])
        for each in given:
            plain = isinstance(each, ast.Constant) and isinstance(each.value, str) and re.search(r"[a-z]", each.value)
            if plain or isinstance(each, ast.JoinedStr):
                yield each.lineno, ast.unparse(each)


@pytest.mark.parametrize("module", [name for name in SOURCES if not name.startswith(TERMINAL)])
def test_every_sentence_in_the_code_is_marked(module):
    assert [*sentences(tree(module))] == []


def test_what_is_translated_later_takes_no_values():
    """They would get into a page unescaped: flask_babel's LazyString calls itself markup."""
    for module in SOURCES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy_gettext":
                assert len(node.args) == 1, f"{module}, line {node.lineno}"
                assert node.keywords == [], f"{module}, line {node.lineno}"


# --- the catalogues -----------------------------------------------------------------------------


def catalogue(code):
    with (ROOT / "app/translations" / code / "LC_MESSAGES/messages.po").open("rb") as file:
        return pofile.read_po(file, locale=code)


@pytest.mark.parametrize("code", CATALOGUES)
def test_a_catalogue_is_whole(code):
    messages = [message for message in catalogue(code) if message.id]
    assert messages
    assert [message.id for message in messages if not all(forms(message.string))] == []
    assert [message.id for message in messages if message.fuzzy] == []


@pytest.fixture(scope="module")
def extracted():
    """(context, sentence) of all that the code and the templates say."""
    mappings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    methods = [(each["pattern"], each["method"]) for each in mappings]
    options = {each["pattern"]: {"silent": "false"} for each in mappings}
    keywords = frontend.parse_keywords(["lazy_gettext"]) | extract.DEFAULT_KEYWORDS
    found = extract.extract_from_dir(ROOT, methods, options, keywords, directory_filter=lambda path: "/." not in path)
    return {(context, message) for _, _, message, _, context in found}


@pytest.mark.parametrize("code", CATALOGUES)
def test_a_catalogue_has_what_the_app_says_and_nothing_else(code, extracted):
    assert {(message.context, message.id) for message in catalogue(code) if message.id} == extracted


@pytest.mark.parametrize("code", CATALOGUES)
def test_a_translation_has_the_values_of_its_sentence_and_the_same_markup(code):
    for message in catalogue(code):
        for string in forms(message.string) if message.id else ():
            assert found(string) == found(forms(message.id)[-1]), message.id


def forms(text) -> tuple:
    """One, or the singular and the plurals."""
    return text if isinstance(text, tuple) else (text,)


def found(text) -> Counter:
    """Its values and tags, each as often as it is there."""
    return Counter(re.findall(r"%\(\w+\)[sd]|%%|<[^>]+>", text))


# --- who reads what -----------------------------------------------------------------------------

GERMAN = {"Accept-Language": "de-CH,de;q=0.9,en;q=0.5"}


def lang(page) -> str:
    return page.one("html")["lang"]


def test_everyone_reads_the_shop_s_language_until_they_choose_another(app, shop, owner, technician):
    shop.language = "de"
    db.session.commit()
    for browser in (owner, technician):
        page = browser.page("/repairs")
        assert lang(page) == "de"
        assert "Reparaturen" in page.one("header nav").get_text()
    said = technician.send("/account/language", {"language": "fr"})
    page = technician.page(said.location)
    assert lang(page) == "fr"
    assert page.one("#said").get_text() == "Vos pages sont maintenant en français."
    assert lang(owner.page("/repairs")) == "de"
    technician.send("/account/language", {"language": ""})
    assert lang(technician.page("/repairs")) == "de"


def test_a_language_that_nobody_speaks_is_refused_and_nothing_changes(technician):
    answer = technician.send("/account/language", {"language": "tlh"}, 422)
    assert answer.one("#language")["aria-invalid"] == "true"
    assert technician.staff.language == ""


def test_a_stranger_is_met_in_their_browser_s_language(anyone, shop):
    assert lang(anyone.page("/login", headers=GERMAN)) == "de"
    assert lang(anyone.page("/login", headers={"Accept-Language": "ja, th"})) == "en"
    assert lang(anyone.page("/login")) == "en"
    wrong = anyone.send("/login", {"email": "", "password": ""}, 422, headers=GERMAN)
    assert "Anmelden" in wrong.one("main").get_text()


def test_set_up_speaks_and_proposes_the_browser_s_language(app, anyone):
    page = anyone.page("/setup", headers=GERMAN)
    assert lang(page) == "de"
    assert page.one("#language option[selected]")["value"] == "de"


def test_customers_read_the_shop_s_language_whatever_their_browser_and_the_staff_prefer(app, shop, anyone, owner):
    repair = make_repair(status="repairing")
    assert lang(anyone.page(f"/t/{repair.token}", headers=GERMAN)) == "en"
    owner.send("/account/language", {"language": "fr"})
    owner.send("/settings/shop", shown(owner.page("/settings/shop")) | {"language": "de"})
    page = anyone.page(f"/t/{repair.token}")
    assert lang(page) == "de"
    assert page.one(".status").get_text() == "In Reparatur"
    # And the shop's own words stay as they are.
    shop.sentences = {"repairing": "On the bench."}
    shop.version += 1
    db.session.commit()
    assert anyone.page(f"/t/{repair.token}").one(".sentence").get_text() == "On the bench."


def test_paper_and_messages_for_the_customer_are_in_the_shop_s_language(shop, owner):
    repair = make_repair(status="ready", item="Gitarre")
    shop.language = "de"
    db.session.commit()
    owner.send("/account/language", {"language": "en"})
    sheet = owner.page(f"/repairs/{repair.code}/receipt")
    assert lang(sheet) == "en"
    assert sheet.one("#receipt")["lang"] == "de"
    assert sheet.one("#receipt .kind").get_text() == "Reparaturbeleg"
    page = owner.page(f"/repairs/{repair.code}")
    assert lang(page) == "en"
    assert "abgeholt werden" in unquote(page.one("#tracking-card a[href^='https://wa.me']")["href"])


def test_a_refusal_is_said_in_the_language_of_who_is_refused(shop, technician):
    repair = make_repair(status="testing")
    technician.send("/account/language", {"language": "de"})
    refused = technician.htmx(f"/repairs/{repair.code}/cancel", {"version": repair.version}, 403)
    assert refused.one("[role=alert]").get_text().startswith("Das ")
    assert "Filialleitung" in refused.text


def test_dates_and_money_are_written_as_the_language_writes_them(app, shop, technician):
    make_repair(status="delivered", estimate=120000)
    shop.country, shop.currency = "DE", "EUR"
    db.session.commit()
    technician.send("/account/language", {"language": "de"})
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    with app.test_request_context(), force_locale("de"):
        assert formats.format_money(120050, "EUR", "DE") == "1.200,50\u00a0€"
        assert formats.local_date(noon, "Europe/Berlin", "DE") == "23.11.2026"
        assert formats.ago(noon - timedelta(hours=3), noon) == "vor 3 Stunden"
        assert formats.weekday(0) == "Montag"
    with app.test_request_context(), force_locale("en"):
        assert formats.weekday(0) == "Monday"


def test_what_somebody_s_name_holds_stays_text_in_a_translated_sentence(owner, shop):
    make_repair(customer=make_customer(name="<b>Ann</b>"))
    owner.send("/account/language", {"language": "de"})
    for page in ("/repairs", "/customers", "/activity"):
        assert "<b>Ann</b>" not in owner.page(page).html


def test_a_page_about_a_database_that_is_away_asks_it_no_second_time(app, shop, technician, monkeypatch):
    asked = []

    def away(*_):
        asked.append(1)
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    monkeypatch.setattr(db.session, "execute", away)
    answer = Page(technician.get("/repairs", headers=GERMAN))
    assert (answer.status, lang(answer), len(asked)) == (503, "de", 1)


def test_what_is_said_after_saving_asks_nobody_for_the_language_once_more(technician, statements):
    technician.page("/account")
    token = {"csrf_token": technician.csrf_token()}
    statements.clear()
    technician.post("/account/name", data={"name": "Nok"} | token)
    kept = next(place for place, text in enumerate(statements) if text.startswith("UPDATE staff"))
    assert [text for text in statements[kept:] if text.startswith("SELECT")] == []


def test_an_invitation_is_in_the_words_of_whom_it_is_for(shop, owner):
    owner.send("/account/language", {"language": "fr"})
    person = make_staff(password_hash="", language="es")
    answer = owner.htmx(f"/settings/staff/{person.id}/link")
    link = next(a["href"] for a in answer.all("a") if "wa.me" in a["href"])
    assert "contraseña" in unquote(link)


def test_the_door_says_good_bye_in_the_door_s_language(shop, owner):
    owner.send("/account/language", {"language": "fr"})
    owner.send("/logout")
    page = owner.page("/login", headers=GERMAN)
    assert page.one("#said").get_text() == "You are signed out."


def test_what_is_still_ahead_is_not_said_to_have_happened(shop, anyone):
    repair = make_repair(status="received")
    for code, words in {"en": "It is handed back to you.", "fr": "Vous la récupérez."}.items():
        shop.language, shop.version = code, shop.version + 1
        db.session.commit()
        last = anyone.page(f"/t/{repair.token}").one("#timeline [data-status=delivered]")
        assert words in last.get_text()
