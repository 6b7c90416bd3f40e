"""Several people move the same repairs at random, and a small model of the shop’s rules says what has to come of it.

The model knows nothing of app.rules: where the two differ, one of them is wrong. FUZZ_REQUESTS makes it longer, as in
test_attack.py.
"""

import os
import re

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select

from app.db import db
from app.models import Event, Repair

from .factories import make_customer, make_staff

# Without the phase that explains: it takes minutes.
PHASES = [phase for phase in Phase if phase != Phase.explain]
RUNS = max(1, int(os.environ.get("FUZZ_REQUESTS", "800")) // 100)

# --- the model ----------------------------------------------------------------------------------

STEPS = ["received", "diagnosing", "waiting_parts", "repairing", "testing", "ready", "delivered"]
PATH = [step for step in STEPS if step != "waiting_parts"]
LEADS = {"owner", "manager"}
BENCH = LEADS | {"technician"}
WHO = {
    **dict.fromkeys(["advance", "jump", "promise", "notes", "updates"], BENCH | {"front_desk"}),
    **dict.fromkeys(["pause", "resume"], BENCH),
    **dict.fromkeys(["revert", "cancel", "link"], LEADS),
}


class No(Exception):
    """What the counter answers instead of doing it: 403, 409 or 422."""


class Model:
    """A repair as the rules tell of it: the moves that stand, and what else was said and done."""

    def __init__(self, code, token, item):
        self.code, self.token, self.item = code, token, item
        self.moves, self.version = [], 1
        self.promise, self.replaced, self.notes, self.updates, self.reasons = None, [], [], [], []

    def __repr__(self):
        return f"<{self.code} version {self.version}: {' '.join(move[1] for move in self.moves) or 'received'}>"

    @property
    def status(self):
        return self.moves[-1][1] if self.moves else "received"

    @property
    def held(self):
        """What a waiting repair was paused from."""
        return self.moves[-1][0] if self.status == "waiting_parts" else None

    @property
    def progress(self):
        if self.status == "cancelled":
            return None
        return max(round(100 * STEPS.index(step) / 6) for step in (self.status, self.held or self.status))

    @property
    def timeline(self):
        """(status, state) of each line of the customer's page."""
        been = {"received", *(move[1] for move in self.moves)}
        if self.status == "cancelled":
            lines = [(step, "done" if step in been else "skipped") for step in STEPS]
            last = max(index for index, step in enumerate(STEPS) if step in been)
            return [*lines[: last + 1], ("cancelled", "current"), *lines[last + 1 :]]
        now = max(STEPS.index(self.status), STEPS.index(self.held or self.status))
        return [(step, self._state(step, been, now)) for step in STEPS]

    def _state(self, step, been, now):
        if step == self.status:
            return "current"
        if step == self.held:
            return "upcoming"
        return "done" if step in been else "skipped" if STEPS.index(step) < now else "upcoming"

    def do(self, verb, role, version, **typed):
        """Changes the model as the counter has to change the repair. Raises No."""
        if role not in WHO[verb]:
            raise No(403)
        if version != self.version:
            raise No(409)
        getattr(self, f"_{verb}")(role, **typed)
        self.version += 1

    def _advance(self, role):
        if self.status not in PATH[:-1]:
            raise No(422)
        self._go(role, PATH[PATH.index(self.status) + 1])

    def _jump(self, role, to):
        if self.status not in PATH or to not in PATH[PATH.index(self.status) + 1 :]:
            raise No(422)
        self._go(role, to)

    def _go(self, role, to):
        handing_over = role == "front_desk" and (self.status, to) == ("ready", "delivered")
        working = role == "technician" and PATH.index(to) <= PATH.index("testing")
        if not (role in LEADS or handing_over or working):
            raise No(403)
        self.moves.append((self.status, to, ""))

    def _pause(self, role):
        if self.status not in {"diagnosing", "repairing", "testing"}:
            raise No(422)
        self.moves.append((self.status, "waiting_parts", ""))

    def _resume(self, role):
        if self.status != "waiting_parts":
            raise No(422)
        self.moves.append((self.status, self.held, ""))

    def _revert(self, role, reason):
        if not self.moves:
            raise No(422)
        self.moves.pop()
        self.reasons.append(reason)

    def _cancel(self, role, reason, public=""):
        if self.status in {"delivered", "cancelled"}:
            raise No(422)
        self.moves.append((self.status, "cancelled", reason if public else ""))
        self.reasons.append(reason)

    def _promise(self, role, promise_pick, reason):
        pick = None if promise_pick == "none" else promise_pick
        if self.status in {"delivered", "cancelled"} or pick == self.promise or (self.promise and not reason):
            raise No(422)
        self.promise = pick

    def _notes(self, role, text):
        self._say(self.notes, text)

    def _updates(self, role, text):
        self._say(self.updates, text)

    def _say(self, where, text):
        if not text.strip():
            raise No(422)
        where.append(text)

    def _link(self, role):
        self.replaced.append(self.token)
        self.token = None

    @property
    def said_publicly(self):
        """Why it was cancelled, if the customer may know."""
        return self.moves[-1][2] if self.status == "cancelled" else ""


# --- the counter --------------------------------------------------------------------------------

PEOPLE = ["owner", "manager", "technician", "other technician", "front_desk"]
people = st.sampled_from(PEOPLE)
which = st.integers(0, 2)
# How far behind the version is that somebody's page was drawn with; -1 is one that nobody has seen yet.
behind = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, -1])
with_htmx = st.booleans()


class Counter(RuleBasedStateMachine):
    """Up to three repairs, five people, and whatever they do."""

    def __init__(self, shop):
        super().__init__()
        self.shop, self.repairs, self.said = shop, [], 0

    def words(self, kind):
        """A text that is nowhere else."""
        self.said += 1
        return f"{kind} {self.said} of {self.shop.run}"

    @initialize()
    def open_up(self):
        self.shop.run += 1
        self.take_in(who="front_desk", note="")

    @rule(who=people, note=st.booleans())
    @precondition(lambda self: len(self.repairs) < 3)
    def take_in(self, who, note):
        item, note = self.words("Item"), self.words("Private") if note else ""
        form = {"phone": self.shop.customer.phone, "item": item, "problem": "It is broken.", "serial": "Private serial"}
        location = self.shop.post(who, "/repairs/new", form | {"note": note, "branch": "1", "promise_pick": "none"})[1]
        code = location.rpartition("/")[2]
        model = Model(code, self.shop.row(code).token, item)
        if note:
            model.notes, model.version = [note], 2
        self.repairs.append(model)

    def act(self, verb, who, which, behind, htmx, **typed):
        """Somebody sends a form, and gets what the model says."""
        model = self.repairs[which % len(self.repairs)]
        version = model.version - behind
        try:
            model.do(verb, who.removeprefix("other "), version, **typed)
        except No as no:
            expected = no.args[0]
        else:
            expected = 200 if htmx else 303
        url = f"/repairs/{model.code}/{verb}"
        status, _ = self.shop.post(who, url, {"version": str(version)} | typed, htmx=htmx)
        assert status == expected, f"{who} does {verb} with {typed} to {model}, {behind} behind"
        if model.token is None:
            model.token = self.shop.row(model.code).token
            assert model.token not in model.replaced
        self.compare(model)
        return model, expected

    @rule(
        verb=st.sampled_from(["advance", "advance", "pause", "resume"]),
        who=people,
        which=which,
        behind=behind,
        htmx=with_htmx,
    )
    def move(self, verb, who, which, behind, htmx):
        self.act(verb, who, which, behind, htmx)

    @rule(to=st.sampled_from([*STEPS, "cancelled"]), who=people, which=which, behind=behind, htmx=with_htmx)
    def jump(self, to, who, which, behind, htmx):
        self.act("jump", who, which, behind, htmx, to=to)

    @rule(who=people, which=which, behind=behind, htmx=with_htmx)
    def revert(self, who, which, behind, htmx):
        self.act("revert", who, which, behind, htmx, reason=self.words("Private"))

    @rule(who=people, which=which, behind=behind, htmx=with_htmx, public=st.booleans())
    def cancel(self, who, which, behind, htmx, public):
        typed = {"reason": self.words("Reason"), "public": "y"} if public else {"reason": self.words("Private")}
        self.act("cancel", who, which, behind, htmx, **typed)

    @rule(
        pick=st.sampled_from(["none", "tomorrow", "3_days", "1_week"]),
        who=people,
        which=which,
        behind=behind,
        htmx=with_htmx,
        why=st.booleans(),
    )
    def promise(self, pick, who, which, behind, htmx, why):
        self.act("promise", who, which, behind, htmx, promise_pick=pick, reason=self.words("Because") if why else "")

    @rule(
        verb=st.sampled_from(["notes", "updates"]),
        who=people,
        which=which,
        behind=behind,
        htmx=with_htmx,
        empty=st.booleans(),
    )
    def say(self, verb, who, which, behind, htmx, empty):
        text = "" if empty else self.words("Private" if verb == "notes" else "Update")
        self.act(verb, who, which, behind, htmx, text=text)

    @rule(who=people, which=which, behind=behind, htmx=with_htmx)
    def replace_the_link(self, who, which, behind, htmx):
        self.act("link", who, which, behind, htmx)

    @rule(who=people, which=which, htmx=with_htmx)
    def click_twice(self, who, which, htmx):
        """The second click comes from the same page: where the first one moved the repair, it comes too late."""
        model = self.repairs[which % len(self.repairs)]
        before = model.version
        self.act("advance", who, which, 0, htmx)
        self.act("advance", who, which, model.version - before, htmx)

    @rule(who=people, name=st.sampled_from(["Private Malee", "Private Anong"]))
    def edit_the_customer(self, who, name):
        form = {"name": name, "phone": self.shop.customer.phone, "email": "private@example.com"}
        status, _ = self.shop.post(who, f"/customers/{self.shop.customer.id}/edit", form)
        assert status == (403 if "technician" in who else 303)

    @rule(who=people, which=which, behind=behind)
    def edit_the_repair(self, who, which, behind):
        model, item = self.repairs[which % len(self.repairs)], self.words("Item")
        version = model.version - behind
        form = {"version": str(version), "item": item, "problem": "It is broken.", "serial": "Private serial"}
        status, _ = self.shop.post(who, f"/repairs/{model.code}/edit", form | {"technician": "0"})
        assert status == (409 if behind else 303)
        if not behind:
            model.item, model.version = item, model.version + 1
        self.compare(model)

    def compare(self, model):
        """What is kept, and what the customer sees, is what the model says."""
        row = self.shop.row(model.code)
        assert (row.status, row.paused_from, row.version) == (model.status, model.held, model.version)
        assert self.shop.events(row.id) == model.version, "every change leaves one line in the history"
        page = self.shop.look(model.token)
        assert re.findall(r'<li data-status="(\w+)" data-state="(\w+)"', page) == model.timeline
        shown = re.search(r'aria-valuenow="(\d+)"', page)
        assert (shown and int(shown[1])) == model.progress
        assert re.findall(r"Update \d+ of \d+", page) == model.updates[::-1]
        assert re.findall(r"Reason \d+ of \d+", page) == ([model.said_publicly] if model.said_publicly else [])
        assert model.item in page
        assert "rivate" not in page
        assert self.shop.customer.phone not in page

    def teardown(self):
        for token in (token for model in self.repairs for token in model.replaced):
            assert self.shop.look(token, 404), "a replaced link opens nothing"


class Shop:
    """The shop's front door, for people who are signed in and for customers."""

    def __init__(self, app):
        self.app, self.run, self.looks = app, 0, 0
        roles = {name: name.removeprefix("other ") for name in PEOPLE}
        self.people = {name: app.test_client().be(make_staff(role)) for name, role in roles.items()}
        self.tokens = {name: client.csrf_token() for name, client in self.people.items()}
        self.customer = make_customer(name="Private Malee", email="private@example.com")
        self.anyone = app.test_client()

    def post(self, who, url, form, htmx=False):
        """(status, location) of what somebody's form is answered."""
        headers = {"HX-Request": "true"} if htmx else {}
        answer = self.people[who].post(url, data=form | {"csrf_token": self.tokens[who]}, headers=headers)
        return answer.status_code, answer.headers.get("Location", "")

    def look(self, token, status=200):
        """The customer's page."""
        # Each time somebody else: whoever opens too many links that are gone is told to wait.
        self.looks += 1
        answer = self.anyone.get(f"/t/{token}", environ_base={"REMOTE_ADDR": f"2001:db8:0:{self.looks:x}::1"})
        assert answer.status_code == status
        return answer.get_data(as_text=True)

    def row(self, code):
        """The repair as it is kept."""
        return db.session.scalars(select(Repair).where(Repair.code == code)).one()

    def events(self, repair_id):
        """How much has happened to it."""
        return db.session.scalar(select(func.count()).select_from(Event).where(Event.repair_id == repair_id))


@pytest.mark.journey
@pytest.mark.usefixtures("clock")
def test_whatever_people_do_at_once_the_counter_does_what_the_design_says(app, shop):
    steps = settings(
        derandomize="FUZZ_REQUESTS" not in os.environ,
        max_examples=RUNS,
        stateful_step_count=20,
        deadline=None,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )
    place = Shop(app)
    run_state_machine_as_test(lambda: Counter(place), settings=steps)
