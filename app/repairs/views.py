"""The staff's pages about repairs: fetch, form, action, answer."""

import re
from urllib.parse import urlencode

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext, ngettext

from .. import auth, formats, rules, sharing
from ..auth import me
from ..customers import actions as customers
from ..customers import queries as known_customers
from ..db import only_look
from ..models import Customer, Repair, get_shop
from ..rules import Refused, Role, Status
from ..web import go_to, now, only_looks, refuse, respond, takes_files, wants_panel
from . import actions, bulk, forms, photos, queries, saved, scanning

bp = Blueprint("repairs", __name__, url_prefix="/repairs")

PAGE = "repairs/show.html"
INTAKE, INTAKE_PAGE = "repairs/_intake.html", "repairs/new.html"
STATUS, PROMISE, HISTORY = "repairs/_status.html", "repairs/_promise.html", "repairs/_history.html"
NOTES, UPDATES, PHOTOS = "repairs/_notes.html", "repairs/_updates.html", "repairs/_photos.html"
CARD, DETAILS = "sharing/_tracking_card.html", "repairs/_details.html"
# What the intake form goes on to print: pages of printing.
PAPER = ("receipt", "label", "both")


@bp.get("")
def index():
    """The board."""
    auth.demand("repairs.view")
    wanted = forms.BoardFilter(request.args, auth.held_to())
    return render_template("repairs/index.html", **_board_values(wanted))


@bp.post("/find")
@only_looks
def find():
    """Where the search field goes on Enter: to the one repair that was scanned, else to the board with what was typed.

    A POST although it changes nothing: a gun may have read a customer's link, and its secret belongs into no address,
    neither in a log nor in the browser's history. The search while one types leaves such a link alone (staff.js).
    """
    auth.demand("repairs.view")
    wanted, typed = forms.BoardFilter(request.form, auth.held_to()), request.form.get("q", "")[:500]
    if repair := queries.meant(typed):
        return redirect(url_for(".show", code=repair.code), 303)
    if scanning.is_address(typed):
        flash(_("No repair here has this link or address."))
        return redirect(url_for(".index", **wanted.query(q="")), 303)
    return redirect(url_for(".index", **wanted.query()), 303)


@bp.post("/bulk")
def move_many():
    """The next step of all that are ticked, or a technician for them. What cannot be done stays ticked."""
    auth.demand("repairs.view")
    form = forms.BulkForm()
    wanted = forms.BoardFilter.of(form.query.data, auth.held_to())
    refused, said, error, status = [], "", "", 200
    try:
        picks = bulk.read(form.pick.data)
        if form.do.data == "next":
            outcome = bulk.step(picks)
            said = outcome.steps
        elif form.do.data == "assign":
            if not form.validate():
                raise Refused(_("Choose a technician first, or nobody."))
            outcome = bulk.assign(picks, form.to.data or None)
            said = ngettext("%(num)d repair assigned.", "%(num)d repairs assigned.", outcome.done)
        else:
            raise Refused(_("Press one of the buttons."))
    except Refused as refusal:
        error, status = str(refusal), 422
    else:
        refused, status = outcome.refused, 422 if outcome.refused else 200
        said = said if outcome.done else ""
    only_look()
    ticked = {code for code, reason in refused} or (
        {pick.partition(":")[0] for pick in form.pick.data} if error else set()
    )
    values = {"error": error, "refused": refused, "done": said, "ticked": ticked}
    panel, also = "repairs/_bulk.html", ("repairs/_board.html",)
    if status == 200:
        then = url_for(".index", **wanted.query(page=wanted.page))
        return respond(panel, then=then, also=also, said=said, **_board_values(wanted, **values))
    return refuse(panel, "repairs/index.html", status=status, also=also, **_board_values(wanted, **values))


@bp.post("/views")
def save_view():
    """Keeps the board as it is shown under a name."""
    auth.demand("repairs.view")
    form = forms.SaveFilterForm()
    wanted = forms.BoardFilter.of(form.query.data, auth.held_to())
    if form.validate():
        try:
            saved.keep(form.name.data, urlencode(wanted.query()), by=me())
        except Refused as refusal:
            form.name.errors = [str(refusal)]
        else:
            flash(_("“%(view)s” is kept under Views and lists.", view=form.name.data))
            return redirect(url_for(".index", **wanted.query()), 303)
    only_look()
    return render_template("repairs/index.html", **_board_values(wanted, save_form=form)), 422


@bp.post("/views/<int(max=2147483647):saved_id>/remove")
def remove_view(saved_id):
    """Takes a saved view away."""
    auth.demand("repairs.view")
    wanted = forms.BoardFilter.of(request.form.get("query", ""), auth.held_to())
    flash(_("“%(view)s” is gone.", view=saved.remove(saved_id, by=me())))
    return redirect(url_for(".index", **wanted.query()), 303)


def _board_values(wanted, *, save_form=None, error="", refused=(), done="", ticked=frozenset()) -> dict:
    """What the board and its panels take. error, refused, done and ticked: what became of a bulk step."""
    board, names = queries.board(wanted, get_shop(), now()), queries.names_around()
    return {
        "board": board,
        "wanted": wanted,
        "names": names,
        "statuses": list(Status),
        "days": forms.QUIET,
        "is_new": all(branch.number == 1 for branch in names["branch"]),
        "save_form": save_form or forms.SaveFilterForm(formdata=None),
        "most_saved": saved.MOST,
        "error": error,
        "refused": refused,
        "done": done,
        "ticked": ticked,
    }


# --- intake -------------------------------------------------------------------------------------


@bp.route("/new", methods=["GET", "POST"])
@takes_files(photos.MOST_BYTES)
def new():
    """The intake form; POST takes the repair in."""
    auth.demand("repairs.take_in")
    shop, form = get_shop(), forms.IntakeForm()
    form.offer_technicians(queries.technicians(auth.held_to()))
    form.offer_picks(shop, now())
    form.branch.choices = forms.named(queries.branches())
    if not me().may("repairs.photo"):
        del form.photos
    if request.method != "POST":
        form.branch.data = me().branch_id or form.branch.choices[0].value
        customer = _come_from(request.args.get("customer", ""))
        if customer:
            form.phone.data = formats.format_phone(customer.phone, shop.country)
        return render_template(INTAKE_PAGE, **_intake_values(form, customer))
    if form.validate():
        try:
            repair = _take_in(form, shop)
        except actions.TakenIn as twin:
            if form.tells_of(twin.repair, shop, photos=len(queries.photos(twin.repair))):
                return go_to(url_for(".show", code=twin.repair.code))
            form.begin_another(twin.repair)
        except (customers.NameNeeded, customers.PhoneTaken) as refusal:
            _say_whose(form, refusal)
        except actions.WorksElsewhere as refusal:
            form.technician.errors = [str(refusal)]
        except actions.OtherCurrency as refusal:
            form.estimate.errors = [str(refusal)]
        except rules.NoPicture as refusal:
            form.photos.errors = [str(refusal)]
        except Refused as refusal:
            form.branch.errors = [str(refusal)]
        else:
            flash(_("%(code)s is taken in.", code=repair.code))
            if form.then.data in PAPER:
                return go_to(url_for(f"printing.{form.then.data}", code=repair.code, print="now"))
            return go_to(url_for(".show", code=repair.code))
    only_look()
    return refuse(INTAKE, INTAKE_PAGE, status=422, **_intake_values(form))


def _come_from(customer_id: str) -> Customer | None:
    """The customer from whose page one comes, if any whom whoever is signed in sees."""
    customer = known_customers.find_customer(int(customer_id)) if re.fullmatch("[0-9]{1,9}", customer_id) else None
    return None if customer is None or customer.erased_at or customer.merged_at else customer


def _take_in(form, shop) -> Repair:
    return actions.take_in(
        shop,
        form.branch.data,
        by=me(),
        **_whose(form, shop),
        note=form.note.data,
        promised_at=form.promised_at(shop),
        key=form.key.data,
        uploads=form.uploads,
        **form.details(shop),
    )


def _whose(form, shop) -> dict:
    """The customer's fields as actions take them. A name typed for another number is good for a new one too."""
    phone = formats.parse_phone(form.phone.data, shop.country)
    name = form.name.data or (form.other_name.data if known_customers.by_phone(phone) is None else "")
    return {"phone": phone, "name": name, "email": form.email.data}


def _say_whose(form, refusal: Refused) -> None:
    """Says by the field that is meant why it is nobody's yet: the number is new, or somebody else's."""
    if isinstance(refusal, customers.NameNeeded):
        form.name.errors = [str(refusal)]
        return
    form.phone.errors = [
        _(
            "This number belongs to %(name)s, not “%(other)s”. Save again to use %(name)s, or correct the number.",
            name=refusal.customer.name,
            other=form.name.data,
        )
    ]


def _intake_values(form, customer=None) -> dict:
    return {"form": form, **_customer_part(form, form.phone.data, customer)}


@bp.post("/new/customer")
@only_looks
def new_customer():
    """The customer's part of the form of intake, or of handing over, for the phone typed so far.

    A POST although it changes nothing: a name and a number that are typed do not belong into an address.
    """
    auth.demand("repairs.take_in")
    if not wants_panel():
        return redirect(url_for(".new"), 303)
    form = forms.IntakeForm()
    return render_template("repairs/_customer.html", form=form, **_customer_part(form, form.phone.data[:40]))


def _customer_part(form, typed, seen_one=None):
    """Known (the number is complete and somebody's), or whom the digits so far could mean.

    seen_one: the customer from whose page one comes. name: what was typed as the name, whoever the number belongs to.
    is_another: that it is not the known customer's.
    """
    name = form.name.data or form.other_name.data or ""
    if known := seen_one or known_customers.known(typed or "", get_shop().country):
        seen, other = known is seen_one or known_customers.is_seen(known), customers.is_another(name, known)
        return {"known": known, "may_open": seen, "suggestions": [], "name": name, "is_another": other}
    found = known_customers.matching(typed or "")
    return {"known": None, "may_open": False, "suggestions": found, "name": name, "is_another": False}


# --- one repair ---------------------------------------------------------------------------------


@bp.get("/<code>")
def show(code):
    """Everything about one repair."""
    repair = queries.get_repair(code, "repairs.view")
    return render_template(PAGE, **_page_values(repair))


@bp.route("/<code>/edit", methods=["GET", "POST"])
def edit(code):
    """The form that changes what was written down at intake; POST changes it."""
    repair, shop = queries.get_repair(code, "repairs.edit"), get_shop()
    form = forms.EditForm(data=forms.as_typed(repair, shop))
    people = queries.technicians(repair.branch_id)
    if repair.technician and repair.technician not in people:
        people.append(repair.technician)
    form.offer_technicians(people)
    error, status, saved = "", 200, []
    if request.method == "POST":
        try:
            actions.check_version(repair, form.version.data)
            if form.validate():
                actions.edit(repair, by=me(), version=form.version.data, **form.details(shop))
                flash(_("Saved."))
                return redirect(url_for(".show", code=repair.code), 303)
            only_look()
            status = 422
        except actions.Stale:
            only_look()
            error, status = _who_was_faster(repair), 409
            now_saved = forms.as_typed(repair, shop)
            saved = forms.in_words(form, now_saved, form.take_over(now_saved))
    else:
        form.note_drawn(forms.as_typed(repair, shop))
    return render_template("repairs/edit.html", form=form, repair=repair, error=error, saved=saved), status


@bp.route("/<code>/customer", methods=["GET", "POST"])
def hand_over(code):
    """The form that gives a repair to whom it belongs, when it was taken in for somebody else; POST gives it."""
    repair, shop = queries.get_repair(code, "repairs.hand_over"), get_shop()
    form, error, status = forms.HandOverForm(), "", 200
    if request.method == "POST":
        try:
            actions.check_version(repair, form.version.data)
            if form.validate():
                actions.give_to(repair, by=me(), version=form.version.data, **_whose(form, shop))
                name = repair.customer.name
                flash(_("It is %(name)s’s now. The old link stopped working: send the new one.", name=name))
                return redirect(url_for(".show", code=repair.code), 303)
            status = 422
        except actions.Stale:
            only_look()
            error, status = _who_was_faster(repair), 409
        except (customers.NameNeeded, customers.PhoneTaken) as refusal:
            _say_whose(form, refusal)
            status = 422
        except Refused as refusal:
            form.phone.errors, status = [str(refusal)], 422
        only_look()
    values = {"form": form, "repair": repair, "error": error, **_customer_part(form, form.phone.data)}
    return render_template("repairs/customer.html", **values), status


@bp.post("/<code>/take")
def take(code):
    """Gives it to whoever is signed in."""
    return _change(code, "repairs.edit", forms.VersionForm(), DETAILS, actions.take)


@bp.post("/<code>/advance")
def advance(code):
    """The next step."""
    form = forms.VersionForm()
    return _change(code, "repairs.advance", form, STATUS, actions.advance)


@bp.post("/<code>/jump")
def jump(code):
    """A later step."""
    form = forms.JumpForm()
    return _change(code, "repairs.jump", form, STATUS, actions.jump, lambda: {"to": Status(form.to.data)})


@bp.post("/<code>/pause")
def pause(code):
    """Waits for parts."""
    return _change(code, "repairs.pause", forms.VersionForm(), STATUS, actions.pause)


@bp.post("/<code>/resume")
def resume(code):
    """Goes on where it was paused."""
    return _change(code, "repairs.resume", forms.VersionForm(), STATUS, actions.resume)


@bp.post("/<code>/revert")
def revert(code):
    """Undoes the last move."""
    form = forms.RevertForm()
    return _change(code, "repairs.revert", form, STATUS, actions.revert, lambda: {"reason": form.reason.data})


@bp.post("/<code>/cancel")
def cancel(code):
    """Ends it unrepaired."""
    form = forms.CancelForm()
    return _change(
        code,
        "repairs.cancel",
        form,
        STATUS,
        actions.cancel,
        lambda: {"reason": form.reason.data, "public": form.public.data},
    )


@bp.post("/<code>/promise")
def promise(code):
    """Sets, changes or withdraws the promise."""
    form, shop = forms.PromiseForm(), get_shop()
    form.offer_picks(shop, now())
    return _change(
        code,
        "repairs.promise",
        form,
        PROMISE,
        actions.promise,
        lambda: {"at": form.promised_at(shop), "reason": form.reason.data},
    )


@bp.post("/<code>/notes")
def notes(code):
    """Adds an internal note."""
    form = forms.TextForm()
    return _change(code, "repairs.note", form, NOTES, actions.add_note, lambda: {"text": form.text.data})


@bp.post("/<code>/updates")
def updates(code):
    """Adds a sentence for the customer."""
    form = forms.TextForm()
    return _change(code, "repairs.update", form, UPDATES, actions.add_update, lambda: {"text": form.text.data})


@bp.post("/<code>/updates/<int(max=2147483647):update_id>/take-back")
def take_back(code, update_id):
    """Takes an update back."""
    form = forms.VersionForm()
    return _change(code, "repairs.update", form, UPDATES, actions.take_back, lambda: {"update_id": update_id})


@bp.post("/<code>/link")
def link(code):
    """Replaces the tracking link."""
    return _change(code, "repairs.link", forms.VersionForm(), CARD, actions.replace_link)


@bp.post("/<code>/photos")
@takes_files(photos.MOST_BYTES)
def add_photos(code):
    """Adds photos, several at once."""
    form = forms.PhotosForm()
    return _change(code, "repairs.photo", form, PHOTOS, actions.add_photos, lambda: {"uploads": form.photos.data})


@bp.post("/<code>/photos/<int(max=2147483647):photo_id>/remove")
def remove_photo(code, photo_id):
    """Removes a photo."""
    form = forms.VersionForm()
    return _change(code, "repairs.photo", form, PHOTOS, actions.remove_photo, lambda: {"photo_id": photo_id})


@bp.get("/<code>/photos/<name>.jpg", defaults={"size": photos.FULL})
@bp.get("/<code>/photos/<name>-small.jpg", defaults={"size": photos.SMALL})
def photo(code, name, size):
    """The picture itself."""
    repair = queries.get_repair(code, "repairs.view")
    photo = queries.get_photo(repair, name)
    return photos.serve(photo.name, size, called=f"{repair.code}-{photo.id}{size}.jpg")


_PANELS = (STATUS, PROMISE, UPDATES, NOTES, CARD, DETAILS, PHOTOS, HISTORY)
# Which other panels a change shows in, beside its own and the history.
_ALSO = {STATUS: (PROMISE, CARD, DETAILS), PROMISE: (STATUS,)}
_SAID = {
    actions.take: lazy_gettext("It is yours now."),
    actions.promise: lazy_gettext("Promise saved."),
    actions.add_note: lazy_gettext("Note added."),
    actions.add_update: lazy_gettext("The customer can read it now."),
    actions.take_back: lazy_gettext("Taken back: the customer’s page does not show it any more."),
    actions.replace_link: lazy_gettext("New link made."),
    actions.add_photos: lazy_gettext("Photos added."),
    actions.remove_photo: lazy_gettext("Photo removed."),
}


def _change(code, doing, form, panel, action, values=dict):
    """What every POST to a repair does: fetch with permission, form, action, and one of four answers.

    panel: where the form stands. values: gives the action's own arguments, once the form is valid.
    """
    repair = queries.get_repair(code, doing)
    error, status, also = "", 200, (*_ALSO.get(panel, ()), HISTORY)
    try:
        # Before the form itself: the answer to a form out of date would bring the new version along, and so hide it.
        actions.check_version(repair, form.version.data)
        if form.validate():
            action(repair, by=me(), version=form.version.data, **values())
        else:
            error, status = form.first_error, 422
    except actions.Stale:
        # Somebody changed something: every panel shows how it stands, the form's own keeps what was typed.
        error, status = _who_was_faster(repair, typed=panel != PHOTOS), 409
        also = tuple(other for other in _PANELS if other != panel)
    except rules.Forbidden as refusal:
        auth.note_refusal()
        error, status = str(refusal), 403
    except Refused as refusal:
        error, status = str(refusal), 422
    only_look()
    if error:
        stem = panel.split("/_")[1].removesuffix(".html")
        failed = {"panel": stem, "action": request.endpoint, "text": error, "typed": _homeless_text(repair, form)}
        return refuse(panel, PAGE, status=status, also=also, **_page_values(repair, form, failed))
    said = _what_was_done(action, repair)
    return respond(panel, then=url_for(".show", code=repair.code), also=also, said=said, **_page_values(repair))


def _what_was_done(action, repair: Repair) -> str:
    if action is actions.promise and not repair.promised_at:
        return _("The promise is taken back.")
    return str(_SAID.get(action, "")) or _("Now %(status)s.", status=repair.stage.label)


_FASTER = {
    True: lazy_gettext(
        "%(who)s changed this repair at %(time)s. This is how it stands now; what you typed is still here."
    ),
    False: lazy_gettext(
        "%(who)s changed this repair at %(time)s. This is how it stands now; no photo was added or removed."
    ),
}


def _who_was_faster(repair: Repair, *, typed: bool = True) -> str:
    """What to say to whoever was slower. typed: whether they had typed something, which is still there."""
    (staff, at), shop = queries.last_change(repair), get_shop()
    who = staff.name if staff else _("Somebody")
    return _FASTER[typed] % {"who": who, "time": formats.local_time(at, shop.timezone, shop.country)}


def _page_values(repair: Repair, form=None, failed=None) -> dict:
    """What the repair page and each of its panels take.

    form and failed: the form that was refused, and which panel says why; that panel shows what was typed.
    """
    shop, events, role = get_shop(), queries.history(repair), Role(me().role)
    pictures = queries.photos(repair)
    promise_form = form if isinstance(form, forms.PromiseForm) else forms.PromiseForm(formdata=None)
    promise_form.offer_picks(shop, now(), given=repair.promised_at is not None)
    if promise_form is not form:
        # Whoever changes a promise begins with the one that was given.
        promise_form.promise_pick.data = "custom" if repair.promised_at else "none"
        promise_form.promise_at.data = repair.promised_at and formats.to_local_input(repair.promised_at, shop.timezone)
    step = rules.next_step(repair.stage)
    return {
        "repair": repair,
        "events": events,
        "taken_back": rules.taken_back(events),
        "may_take_back": {event.id for event in events if rules.may_take_back(role, is_own=event.staff_id == me().id)},
        "history": queries.part_of_history(events, forms.HistoryQuery(request.args).history.data),
        "photos": pictures,
        "photo_room": rules.MOST_PHOTOS - len(pictures) if me().may("repairs.photo") else 0,
        "moves": rules.standing_moves(events),
        "progress": rules.progress(repair.stage, repair.paused_from and Status(repair.paused_from)),
        "next_step": step,
        "next_refusal": _next_refusal(role, repair.stage, step),
        "undo_refusal": rules.refusal(role, "repairs.revert"),
        "jumps": [to for to in rules.later_steps(repair.stage)[1:] if role in rules.movers(repair.stage, to)],
        "may_pause": repair.stage in rules.PAUSABLE and me().may("repairs.pause"),
        "may_take": repair.technician_id is None and not repair.closed and role in rules.AT_THE_BENCH,
        "may_cancel": repair.status not in rules.CLOSED and me().may("repairs.cancel"),
        "promise_form": promise_form,
        "typed": form,
        "failed": failed or {"panel": "", "action": "", "text": "", "typed": ""},
        "share": sharing.share(shop, repair),
        "qr": sharing.qr(sharing.tracking_url(shop, repair), label=_("QR code of the tracking link")),
    }


def _homeless_text(repair: Repair, form) -> str:
    """What was typed into a form that the panel, as it stands now, does not have any more; else ""."""
    gone = {
        forms.CancelForm: repair.closed,
        forms.RevertForm: repair.status == Status.RECEIVED,
        forms.PromiseForm: repair.closed,
    }
    return (form.reason.data or "") if gone.get(type(form)) else ""


def _next_refusal(role: Role, status: Status, step: Status | None) -> str:
    """Why the one big button is not this person's; "" when it is."""
    if status == Status.WAITING_PARTS:
        return rules.refusal(role, "repairs.resume")
    try:
        if step:
            rules.demand_mover(role, status, step)
    except rules.Forbidden as refusal:
        return str(refusal)
    return ""
