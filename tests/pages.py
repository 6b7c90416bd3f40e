"""Who may open what: one table for every page of the shop, and what it means for whoever asks.

Written from what the README promises (“Who does what”), not from app.rules: made from what the app does, it could not
be wrong.
tests/test_pages.py asks every page in the name of everyone in PEOPLE and compares; test_attack, test_crawl,
test_security and test_architecture take from here who may do what.

A page that is new needs a line in PAGES, or the tests fail and say which:

    "customers.merge": Page(see=LEADS, send=LEADS, of=BRANCH),

see: who may look at it (GET); send: who may send its form (POST); leave out what the page does not take. A role that is
not named gets 403, a stranger is shown the door. of: whose it is.

    SHOP      the whole shop's: a branch makes no difference
    BRANCH    a repair's or a customer's: for people of another branch it is not there (404)
    ANOTHERS  somebody's own, and here somebody else's: not there for anyone (404), whatever their role
    HALFWAY   of whoever gave a password a moment ago: everyone else is sent back to the door
    NOWHERE   over, or only for whoever holds its key: 404 for all

An address with a place in it that nobody knows yet (<int:filter_id>) also needs a real value in `values`.
"""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image
from sqlalchemy import delete, select

from app.customers import merging
from app.customers.merging import FIELDS as KEPT
from app.db import db
from app.models import Logo, Photo, SignIn, get_shop

from .factories import branch, make_customer, make_repair, make_staff

STAFF = ["owner", "manager", "technician", "front_desk"]
# Whoever has no business in the shop: never signed in, signed out, signed in and deactivated since.
STRANGERS = ["nobody", "signed out", "left"]
# The roles at the branch where everything happens, the same at the other branch, and strangers.
PEOPLE = [*STAFF, *(f"{role} elsewhere" for role in STAFF), *STRANGERS]

OWNER = frozenset({"owner"})
LEADS = OWNER | {"manager"}
BENCH = LEADS | {"technician"}
COUNTER = LEADS | {"front_desk"}
EVERYONE = frozenset(STAFF)
ANYONE = EVERYONE | {*STRANGERS}

SHOP, BRANCH, ANOTHERS, NOWHERE, HALFWAY = "shop", "branch", "another's", "nowhere", "halfway"


@dataclass(frozen=True)
class Page:
    """Who may look, who may send, and whose it is. None: it takes no such request."""

    see: frozenset | None = None
    send: frozenset | None = None
    of: str = SHOP


PAGES = {
    "static": Page(see=ANYONE),
    "activity.index": Page(see=LEADS),
    "auth.ask_code": Page(see=ANYONE, send=ANYONE, of=HALFWAY),
    "auth.login": Page(see=ANYONE, send=ANYONE),
    "auth.logout": Page(send=EVERYONE),
    "customers.edit": Page(see=COUNTER, send=COUNTER, of=BRANCH),
    "customers.erase": Page(see=OWNER, send=OWNER, of=BRANCH),
    "customers.export": Page(send=LEADS, of=BRANCH),
    "customers.index": Page(see=EVERYONE),
    "customers.merge": Page(see=LEADS, send=LEADS, of=BRANCH),
    "customers.show": Page(see=EVERYONE, of=BRANCH),
    "exchange.check": Page(send=LEADS),
    "exchange.export": Page(send=LEADS),
    "exchange.index": Page(see=LEADS),
    "exchange.refused": Page(send=LEADS),
    "exchange.run": Page(send=LEADS),
    "exchange.template": Page(see=LEADS),
    "printing.both": Page(see=EVERYONE, of=BRANCH),
    "printing.label": Page(see=EVERYONE, of=BRANCH),
    "customers.undo_merge": Page(see=LEADS, send=LEADS, of=BRANCH),
    "printing.receipt": Page(see=EVERYONE, of=BRANCH),
    "printing.sample": Page(see=OWNER),
    "printing.settings": Page(see=OWNER, send=OWNER),
    "repairs.add_photos": Page(send=BENCH, of=BRANCH),
    # These two also depend on where the move leads: test_attack.may_move.
    "repairs.advance": Page(send=EVERYONE, of=BRANCH),
    "repairs.jump": Page(send=EVERYONE, of=BRANCH),
    "repairs.cancel": Page(send=LEADS, of=BRANCH),
    "repairs.edit": Page(see=EVERYONE, send=EVERYONE, of=BRANCH),
    "repairs.find": Page(send=EVERYONE),
    "repairs.hand_over": Page(see=LEADS, send=LEADS, of=BRANCH),
    "repairs.index": Page(see=EVERYONE),
    "repairs.link": Page(send=LEADS, of=BRANCH),
    # Each repair is moved by its own rules: test_attack.may_move.
    "repairs.move_many": Page(send=EVERYONE),
    "repairs.new": Page(see=EVERYONE, send=EVERYONE),
    "repairs.new_customer": Page(send=EVERYONE),
    "repairs.notes": Page(send=EVERYONE, of=BRANCH),
    "repairs.pause": Page(send=BENCH, of=BRANCH),
    "repairs.photo": Page(see=EVERYONE, of=BRANCH),
    "repairs.promise": Page(send=EVERYONE, of=BRANCH),
    "repairs.remove_photo": Page(send=BENCH, of=BRANCH),
    "repairs.remove_view": Page(send=EVERYONE, of=ANOTHERS),
    "repairs.resume": Page(send=BENCH, of=BRANCH),
    "repairs.revert": Page(send=LEADS, of=BRANCH),
    "repairs.save_view": Page(send=EVERYONE),
    "repairs.show": Page(see=EVERYONE, of=BRANCH),
    # Whether it is one's own is asked once the form is: test_taken_back.
    "repairs.take_back": Page(send=EVERYONE, of=BRANCH),
    # Whether somebody is of the bench is asked once the form is: test_repair_page.
    "repairs.take": Page(send=EVERYONE, of=BRANCH),
    "repairs.updates": Page(send=EVERYONE, of=BRANCH),
    "shop.branches": Page(see=OWNER),
    "shop.edit_branch": Page(see=OWNER, send=OWNER),
    "health.show": Page(see=ANYONE),
    "shop.home": Page(see=ANYONE),
    "shop.logo": Page(see=ANYONE),
    "shop.new_branch": Page(see=OWNER, send=OWNER),
    "shop.page": Page(see=OWNER, send=OWNER),
    "shop.remove_logo": Page(send=OWNER),
    "shop.robots": Page(see=ANYONE),
    "shop.settings": Page(see=OWNER, send=OWNER),
    # Leads on to the shop's settings, which then say whose they are.
    "shop.settings_home": Page(see=EVERYONE),
    "shop.set_logo": Page(send=OWNER),
    "shop.setup": Page(see=ANYONE, send=ANYONE, of=NOWHERE),
    "shop.show_preview": Page(see=OWNER, send=OWNER),
    "shop.test_address": Page(send=OWNER),
    "staff.account": Page(see=EVERYONE, send=EVERYONE),
    "staff.deactivate": Page(send=OWNER),
    "staff.drop_second_step": Page(send=OWNER),
    "staff.edit": Page(see=OWNER, send=OWNER),
    "staff.end_session": Page(send=EVERYONE, of=ANOTHERS),
    "staff.index": Page(see=OWNER),
    "staff.new": Page(see=OWNER, send=OWNER),
    # Only of somebody who was deactivated, which is for its own tests.
    "staff.reactivate": Page(send=OWNER),
    "staff.recovery_codes": Page(send=EVERYONE),
    "staff.rename": Page(send=EVERYONE),
    "staff.renew_link": Page(send=OWNER),
    "staff.second_step": Page(see=EVERYONE, send=EVERYONE),
    "staff.second_step_off": Page(send=EVERYONE),
    "staff.sign_out_everywhere": Page(send=EVERYONE),
    "staff.speak": Page(send=EVERYONE),
    "staff.theme": Page(send=EVERYONE),
    # With a key that is somebody's alone.
    "staff.welcome": Page(see=ANYONE, send=ANYONE, of=NOWHERE),
    "tracking.live": Page(see=ANYONE),
    "tracking.show": Page(see=ANYONE),
}
PUBLIC = {name for name, page in PAGES.items() if ANYONE in (page.see, page.send)}
MAY_SEND = {name: page.send for name, page in PAGES.items() if page.send}

# The answer when it is theirs to look at or to send: an empty form has mistakes, or is older than what it changes.
OPEN = frozenset({200, 302, 303, 409, 422})
DOOR = frozenset({302, 401})
BACK = frozenset({302, 303})


def answers(page: Page, method: str, person: str) -> frozenset[int]:
    """The statuses that a page may answer somebody with; DOOR and BACK mean that they are asked to sign in."""
    who = page.see if method == "GET" else page.send
    role = person.removesuffix(" elsewhere")
    if who is None:
        return frozenset({405})
    if role in STRANGERS and role not in who:
        return DOOR
    if page.of == HALFWAY:
        return BACK
    if page.of in {ANOTHERS, NOWHERE}:
        return frozenset({404})
    if page.of == BRANCH and role != person and role != "owner":
        # Refused either way; which of the two is looked at first tells nothing.
        return frozenset({404}) if role in who else frozenset({403, 404})
    return OPEN if role in who else frozenset({403})


def missing(rule) -> str:
    """What to write for a page that the table does not know, or knows only half of; "" when there is nothing to."""
    page, takes = PAGES.get(rule.endpoint), rule.methods & {"GET", "POST"}
    if page and ("GET" not in takes or page.see) and ("POST" not in takes or page.send):
        return ""
    asks = [f"{name}=…" for name, method in (("see", "GET"), ("send", "POST")) if method in takes]
    of = ["of=BRANCH"] if rule.arguments & {"code", "customer_id"} else []
    return (
        f"tests/pages.py does not say who may open {rule.rule}. Add to PAGES:\n\n"
        f'    "{rule.endpoint}": Page({", ".join([*asks, *of])}),\n\n'
        "with OWNER, LEADS, BENCH, COUNTER, EVERYONE or ANYONE for each …, from the design."
    )


def values(app, *, photo: bool = True) -> dict:
    """Something real at Main for each place in an address: a repair under way, its customer, a colleague.

    photo: whether there is one too; then the test has to take `folder`, which empties the pictures' folder.
    """
    repair, colleague = make_repair(status="repairing"), make_staff("technician", name="Colleague")
    get_shop().logo = "0123456789abcdef"
    db.session.merge(Logo(id=1, picture=b""))
    made = {"code": repair.code, "customer_id": repair.customer_id, "branch_id": repair.branch_id}
    made |= {"logo": get_shop().logo, "token": repair.token, "filename": "css/tokens.css", "staff_id": colleague.id}
    made |= {"kind": "receipt", "saved_id": 1, "update_id": 1}
    kept, gone = repair.customer, make_customer()
    merge = merging.merge(kept, gone, by=colleague, seen=merging.plan(kept, gone).seen, **dict.fromkeys(KEPT, "kept"))
    made["merge_id"] = merge.id
    app.test_client().be(colleague)
    made["sign_in_id"] = db.session.scalars(select(SignIn.id).where(SignIn.staff_id == colleague.id)).first()
    db.session.commit()
    return made | (_add_photo(app, repair, colleague) if photo else {"photo_id": 1, "name": "nothing"})


def _add_photo(app, repair, by) -> dict:
    file = BytesIO()
    Image.new("RGB", (4, 3)).save(file, "PNG")
    form = {"version": repair.version, "photos": (BytesIO(file.getvalue()), "x.png")}
    app.test_client().be(by).send(f"/repairs/{repair.code}/photos", form)
    photo = db.session.scalars(select(Photo)).one()
    return {"photo_id": photo.id, "name": photo.name}


def address(app, rule, real: dict) -> str:
    """A rule's address, with something real in each of its places."""
    unknown = rule.arguments - {*real, *(rule.defaults or ())}
    assert not unknown, f"{rule.rule} needs a real value for {unknown}: add it to tests/pages.py, in `values`"
    filled = {name: real[name] for name in rule.arguments - {*(rule.defaults or ())}}
    return app.url_map.bind("localhost").build(rule.endpoint, filled | (rule.defaults or {}))


def browser_of(app, person: str):
    """The browser of one of PEOPLE."""
    browser = app.test_client()
    if person == "nobody":
        return browser
    role = person.partition(" ")[0]
    where = {"branch_id": branch("RV").id} if person.endswith("elsewhere") else {}
    somebody = make_staff(role if role in STAFF else "owner", **where)
    browser.be(somebody)
    if person == "left":
        somebody.active = False
    elif person == "signed out":
        db.session.execute(delete(SignIn).where(SignIn.staff_id == somebody.id))
    db.session.commit()
    return browser
