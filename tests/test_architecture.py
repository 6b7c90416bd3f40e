"""The rules of the house, which no review has to remember."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from jinja2 import meta, nodes

from app.config import ROOT

from .pages import PUBLIC

# A module imports only modules of a lower rank, so views never import views, and nothing goes round in a circle.
RANKS = {
    "config": 0,
    "rules": 0,
    "formats": 0,
    "hours": 0,
    "logs": 1,
    "crowd": 0,
    "turns": 0,
    "language": 0,
    "worker": 0,
    "db": 1,
    "models": 2,
    "reads": 2,
    "found_by": 3,
    "health": 3,
    "web": 2,
    "throttle": 3,
    "passwords": 1,
    "second_step": 3,
    "seen": 3,
    "search": 3,
    "sharing": 3,
    "pictures": 3,
    "online": 3,
    "activity.record": 3,
    "activity.words": 1,
    "activity.forms": 1,
    "activity.queries": 3,
    "activity.views": 8,
    "backup.copies": 3,
    "disk": 4,
    "metrics": 5,
    "backup.locks": 4,
    "backup.sqlite": 4,
    "backup.postgresql": 4,
    "backup.making": 5,
    "backup.restoring": 6,
    "backup.nightly": 6,
    "auth": 4,
    "customers.forms": 5,
    "customers.queries": 5,
    "customers.actions": 6,
    "customers.merging": 8,
    "customers.erasing": 8,
    "customers.exporting": 8,
    "customers.views": 9,
    "exchange.reading": 1,
    "exchange.writing": 0,
    "exchange.forms": 5,
    "exchange.queries": 6,
    "exchange.planning": 6,
    "exchange.actions": 8,
    "exchange.views": 9,
    "repairs.forms": 5,
    "repairs.queries": 5,
    "repairs.photos": 5,
    "repairs.scanning": 0,
    "repairs.actions": 7,
    "repairs.bulk": 8,
    "repairs.saved": 5,
    "demo.tables": 5,
    "demo.stories": 6,
    "demo.fill": 7,
    "check.place": 1,
    "check.machine": 5,
    "check.database": 6,
    "check.shop": 6,
    "check.findings": 7,
    "repairs.views": 9,
    "shop.preview": 5,
    "shop.logo": 5,
    "shop.forms": 6,
    "shop.actions": 7,
    "shop.views": 8,
    "staff.forms": 5,
    "staff.queries": 5,
    "staff.actions": 8,
    "staff.views": 9,
    "tracking.queries": 4,
    "tracking.answers": 5,
    "tracking.views": 8,
    "printing": 8,
    "preparing": 8,
    "cli": 9,
    "__init__": 10,
}
# What a rank allows and the design does not: module, and what it may not import.
FORBIDDEN = {
    ("tracking.views", "repairs.actions"): "the public side cannot write",
    ("tracking.views", "repairs.queries"): "the public side knows no staff",
    ("printing", "repairs.actions"): "paper changes nothing",
    ("demo.fill", "web"): "no page is drawn",
    ("web", "models"): "HTTP habits know no table",
}
# The rules and the ways to write things are pure: these are all they may use. Of flask_babel, what marks a sentence and
# tells the language: where nobody is there to read, that is English.
PURE = {
    "rules": {"collections", "dataclasses", "datetime", "enum", "flask_babel"},
    "hours": {"bisect", "dataclasses", "datetime", "functools", "json", "re", "flask_babel"},
    "formats": {
        "ipaddress",
        "re",
        "secrets",
        "unicodedata",
        "datetime",
        "functools",
        "urllib",
        "zoneinfo",
        "phonenumbers",
        "babel",
        "flask_babel",
    },
}
# Partials that are no panels: macros, and what wraps or replaces panels.
SHAPELESS = {"_ui.html", "_panels.html", "_alert.html"}
# Names that every template has.
EVERYWHERE = {
    *("url_for", "get_flashed_messages", "csrf_token", "request", "session", "g", "config"),
    *("now", "theme", "labels", "role_labels", "staff", "shop"),
    *("_", "gettext", "ngettext", "pgettext", "language"),
}

APP = ROOT / "app"
TEMPLATES = ROOT / "templates"


def name_of(file: Path) -> str:
    """ "repairs.views" for app/repairs/views.py."""
    return ".".join(file.relative_to(APP).with_suffix("").parts)


SOURCES = {name_of(file): file.read_text() for file in sorted(APP.rglob("*.py")) if file.read_text().strip()}
PAGES = {str(file.relative_to(TEMPLATES)): file.read_text() for file in sorted(TEMPLATES.rglob("*.html"))}
PARTIALS = [name for name in PAGES if Path(name).name.startswith("_") and Path(name).name not in SHAPELESS]


@cache
def tree(module: str) -> ast.Module:
    """What a module of the app says, read only where these tests run: every process of a run imports this file."""
    return ast.parse(SOURCES[module])


# --- modules ------------------------------------------------------------------------------------


def imports(module: str) -> set[str]:
    """The modules of the app that a module imports, wherever in it."""
    package = ["app", *module.split(".")[:-1]]
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("app.") for alias in node.names if alias.name.startswith("app")}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            path = [*start, *(node.module.split(".") if node.module else [])]
            if path[0] != "app":
                continue
            here = ".".join(path[1:])
            inner = {".".join(filter(None, (here, alias.name))) for alias in node.names}
            found |= inner & {*RANKS} or {here or "__init__"}
    return found


def outside(module: str) -> set[str]:
    """The packages that a module imports from elsewhere."""
    nodes = list(ast.walk(tree(module)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in plain | named}


def test_every_module_has_its_rank():
    assert {*SOURCES} == {*RANKS}


@pytest.mark.parametrize("module", RANKS)
def test_a_module_imports_only_modules_of_a_lower_rank(module):
    wrong = {other for other in imports(module) if RANKS.get(other, 99) >= RANKS[module]}
    assert not wrong, f"{module} (rank {RANKS[module]}) imports {wrong}"


@pytest.mark.parametrize(("module", "other"), FORBIDDEN)
def test_what_a_rank_would_allow_and_the_design_does_not_is_not_imported(module, other):
    assert other not in imports(module), FORBIDDEN[module, other]


@pytest.mark.parametrize("module", PURE)
def test_the_rules_and_the_formats_are_pure(module):
    assert outside(module) <= PURE[module]
    assert imports(module) == set()


def test_only_config_reads_the_environment():
    for module in SOURCES:
        for node in ast.walk(tree(module)):
            for child in ast.iter_child_nodes(node):
                reads = (isinstance(child, ast.Attribute) and child.attr in {"environ", "environb", "getenv"}) or (
                    isinstance(child, ast.alias) and child.name in {"environ", "environb", "getenv"}
                )
                # It is handed on to pg_dump, whole, and nothing in it is looked at.
                hands_on = module == "backup.postgresql" and isinstance(node, ast.BinOp)
                # A request's is another one.
                of_request = reads and ast.unparse(child) == "request.environ"
                assert not reads or module == "config" or hands_on or of_request, f"{module}, line {child.lineno}"


def test_every_module_and_every_public_function_says_what_it_is_for():
    silent = [name for name in SOURCES if not ast.get_docstring(tree(name))]
    for name in SOURCES:
        functions = [node for node in tree(name).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        silent += [f"{name}.{node.name}" for node in functions if node.name[0] != "_" and not ast.get_docstring(node)]
    assert silent == []


def test_a_migration_stands_on_its_own():
    """It must still build the same tables when the models have moved on."""
    files = sorted((ROOT / "migrations" / "versions").glob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] == "app"], file.name


# --- pages --------------------------------------------------------------------------------------


def test_every_page_is_closed_unless_it_is_on_the_list_of_public_ones(app):
    is_open = {rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint == "static"}
    is_open |= {name for name, view in app.view_functions.items() if getattr(view, "is_public", False)}
    assert is_open == PUBLIC


def address(rule) -> str:
    """A rule's address, with something in each of its places."""
    text = re.sub(r"<any\((\w+).*?\):\w+>", r"\1", rule.rule)
    return re.sub(r"<.+?>", "TH-MN-R0001", re.sub(r"<int\b.*?:\w+>", "1", text))


def test_a_stranger_is_shown_the_door_at_every_closed_page(app, shop, anyone):
    tried = 0
    for rule in app.url_map.iter_rules():
        if rule.endpoint in PUBLIC:
            continue
        for method in rule.methods & {"GET", "POST", "PUT", "PATCH", "DELETE"}:
            form = {"csrf_token": anyone.csrf_token()} if method != "GET" else None
            answer = anyone.open(address(rule), method=method, data=form)
            if method == "GET":
                assert answer.status_code == 302, address(rule)
                assert answer.headers["Location"].startswith("/login"), address(rule)
            else:
                assert answer.status_code == 401, f"{method} {address(rule)}"
            tried += 1
    assert tried > 30


# A form's own page is looked at and sent at one address; whatever else changes something takes POST alone.
FORMS = {
    *("auth.ask_code", "auth.login", "customers.edit", "customers.erase", "customers.merge", "customers.undo_merge"),
    *(
        "printing.settings",
        "repairs.edit",
        "repairs.hand_over",
        "repairs.new",
        "shop.edit_branch",
        "shop.new_branch",
        "shop.page",
    ),
    *("shop.settings", "shop.setup", "shop.show_preview", "staff.account", "staff.edit", "staff.new"),
    *("staff.second_step", "staff.welcome"),
}


def test_only_a_form_s_own_page_is_both_looked_at_and_sent(app):
    methods = {}
    for rule in app.url_map.iter_rules():
        methods.setdefault(rule.endpoint, set()).update(rule.methods - {"HEAD", "OPTIONS"})
    assert {name for name, taken in methods.items() if taken == {"GET", "POST"}} == FORMS
    assert all(taken in ({"GET"}, {"POST"}) for name, taken in methods.items() if name not in FORMS)


# --- templates ----------------------------------------------------------------------------------


def bare(source: str) -> str:
    """A template's own markup, without what Jinja would put in or leave out."""
    source = re.sub(r"\{#.*?#\}", "", source, flags=re.DOTALL)
    source = re.sub(r"\{%-?\s*macro\b.*?endmacro\s*-?%\}", "", source, flags=re.DOTALL)
    source = re.sub(r"\{%.*?%\}", "", source, flags=re.DOTALL)
    return re.sub(r"\{\{.*?\}\}", "x", source, flags=re.DOTALL)


def test_there_are_templates_to_check():
    assert len(PAGES) > 20
    assert len(PARTIALS) > 5


@pytest.mark.parametrize("name", PARTIALS)
def test_a_partial_has_one_root_whose_id_is_its_name(name):
    soup = BeautifulSoup(bare(PAGES[name]), "html.parser")
    roots = [node for node in soup.contents if not isinstance(node, str) or node.strip()]
    assert len(roots) == 1, [str(root)[:80] for root in roots]
    assert roots[0].get("id") == Path(name).stem.lstrip("_").replace("_", "-")


@pytest.mark.parametrize("name", PARTIALS)
def test_a_partial_s_first_line_names_all_that_it_takes(name, app):
    first = PAGES[name].partition("\n")[0]
    takes = re.fullmatch(r"\{# takes: (.*) #\}", first)
    assert takes, first
    tree = app.jinja_env.parse(PAGES[name])
    # Jinja counts a name that is set in one branch only as taken from outside.
    its_own = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"}
    taken = meta.find_undeclared_variables(tree) - its_own - EVERYWHERE
    assert taken <= {*re.findall(r"\w+", takes[1])}


@pytest.mark.parametrize("name", PAGES)
def test_a_template_has_no_script_or_style_in_it(name):
    """The policy sent with every page would refuse them: default-src 'none'."""
    markup = re.sub(r"\{#.*?#\}", "", PAGES[name], flags=re.DOTALL)
    assert not re.search(r"<script(?![^>]*\bsrc=)", markup), "a script of its own"
    assert not re.search(r"<style\b|\sstyle\s*=", markup), "a style of its own"
    assert not re.search(r"\son[a-z]+\s*=|\bhx-on\b|javascript:", markup), "an event handler of its own"


@pytest.mark.parametrize("name", PAGES)
def test_a_template_trusts_no_text(name):
    assert not re.search(r"\|\s*safe\b|autoescape\s+false", PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_a_template_takes_nothing_from_other_hosts(name):
    """Links may lead there; scripts, styles, pictures and forms may not."""
    address = r"""["'](?:https?:)?//"""
    assert not re.search(
        rf"\b(?:src|srcset|action|hx-\w+)={address}|<(?:link|use|image)\b[^>]*href={address}", PAGES[name]
    )
