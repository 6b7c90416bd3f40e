"""The pages about people: all of them, one of them, the way in for who is new, and one's own account."""

from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from flask_babel import force_locale, lazy_gettext, ngettext
from flask_babel import gettext as _
from flask_login import current_user
from flask_wtf.csrf import CSRFError, validate_csrf
from wtforms import ValidationError

from .. import auth, language, passwords, sharing
from .. import second_step as codes_of
from ..auth import me
from ..db import db, only_look
from ..models import Staff, get_shop
from ..rules import Refused, Role
from ..seen import Changed, demand_unchanged
from ..throttle import count_miss
from ..web import cookie_name, csrf, error_page, public, refuse, respond, wants_panel
from . import actions, forms, queries

bp = Blueprint("staff", __name__)


# --- everyone -----------------------------------------------------------------------------------


@bp.get("/settings/staff")
def index():
    """Everyone who signs in, or did."""
    auth.demand("settings")
    return render_template("staff/index.html", people=queries.people())


@bp.route("/settings/staff/new", methods=["GET", "POST"])
def new():
    """The form for a new person; POST invites them."""
    auth.demand("settings")
    form = forms.PersonForm(queries.branches())
    if request.method == "POST" and form.validate() and _is_unique(form, Staff()) and _may_save(form, Staff()):
        person, token = actions.invite(by=me(), **form.details())
        _keep_for_once(person, token)
        flash(_("%(name)s is invited. Send them the link below.", name=person.name))
        return redirect(url_for(".edit", staff_id=person.id), 303)
    if request.method == "POST":
        only_look()
    return render_template("staff/new.html", form=form), 422 if form.errors else 200


def _is_unique(form, person) -> bool:
    if queries.email_is_taken(form.email.data, person):
        form.email.errors = [_("Somebody signs in with this address already.")]
    return not form.errors


# --- one of them --------------------------------------------------------------------------------


@bp.route("/settings/staff/<int(max=2147483647):staff_id>", methods=["GET", "POST"])
def edit(staff_id):
    """A person; POST changes name, email, role and branch."""
    person = _get_person(staff_id)
    form = forms.PersonForm(queries.branches(), person)
    if request.method != "POST":
        return render_template("staff/edit.html", **_about(person, form=form, token=_kept_for_once(person)))
    error = ""
    try:
        if form.validate():
            # Before a password is asked for because of what somebody else has changed.
            demand_unchanged(person, form.details(), form.seen.data)
            if _is_unique(form, person) and _may_save(form, person):
                count = actions.change(person, by=me(), seen=form.seen.data, **form.details())
                flash(_with_nobodys(_("%(name)s is saved.", name=form.name.data), count))
                # Who has just stepped down does not see the others any more.
                return redirect(url_for(".index" if me().may("settings") else "repairs.index"), 303)
    except Changed as changed:
        form.show_saved(changed)
    except Refused as refusal:
        error = str(refusal)
    only_look()
    return render_template("staff/edit.html", **_about(person, form=form, error=error)), 422 if error else form.status


def _may_save(form, person) -> bool:
    """A stolen session must not be enough to sign in as somebody else, nor to have an owner of one's own."""
    if form.role.data == Role.OWNER != person.role:
        what = _("To make somebody an owner, type your own password.")
    elif person.email and form.email.data.casefold() != person.email:
        what = _("To change what somebody signs in with, type your own password.")
    else:
        return True
    if not auth.is_me(form.current.data):
        form.current.errors = [what]
    return not form.errors


def _with_nobodys(said: str, count: int) -> str:
    """A sentence, and another one about the repairs that it left without anybody, if any."""
    if not count:
        return said
    nobodys = ngettext(
        "%(num)d repair is nobody’s now: give it to someone.",
        "%(num)d repairs are nobody’s now: give them to someone.",
        count,
    )
    return f"{said} {nobodys}"


@bp.post("/settings/staff/<int(max=2147483647):staff_id>/link")
def renew_link(staff_id):
    """Makes a new link for somebody. That asks for the owner's own password if they lose theirs, or are an owner."""
    person = _get_person(staff_id)
    form = forms.ConfirmForm("reset")
    if (person.password_hash or person.role == Role.OWNER) and not _is_confirmed(form):
        return _refuse_access(person, reset=form)
    try:
        token = actions.renew_link(person, by=me())
    except Refused as refusal:
        only_look()
        return _refuse_access(person, failed=str(refusal))
    return _show_link(person, token)


@bp.post("/settings/staff/<int(max=2147483647):staff_id>/drop-second-step")
def drop_second_step(staff_id):
    """Lets somebody who lost their phone in with their password alone; asks for the owner's own."""
    person = _get_person(staff_id)
    form = forms.ConfirmForm("drop")
    if not _is_confirmed(form):
        return _refuse_access(person, drop=form)
    actions.turn_off_second_step(person, by=me())
    said = _("%(name)s signs in with a password alone.", name=person.name)
    there = url_for(".edit", staff_id=person.id)
    return respond("staff/_access.html", then=there, said=said, **_about(person))


@bp.post("/settings/staff/<int(max=2147483647):staff_id>/reactivate")
def reactivate(staff_id):
    """Lets somebody in again, by a new link; an owner with one's own password alone."""
    person = _get_person(staff_id)
    form = forms.ConfirmForm("back")
    if person.role == Role.OWNER and not _is_confirmed(form):
        return _refuse_access(person, back=form)
    try:
        token = actions.reactivate(person, by=me())
    except Refused as refusal:
        only_look()
        return _refuse_access(person, failed=str(refusal))
    return _show_link(person, token)


@bp.post("/settings/staff/<int(max=2147483647):staff_id>/deactivate")
def deactivate(staff_id):
    """Lets somebody in no longer."""
    person = _get_person(staff_id)
    try:
        count = actions.deactivate(person, by=me())
    except Refused as refusal:
        only_look()
        return _refuse_access(person, failed=str(refusal))
    if person.id == me().id:
        return auth.show_out(lazy_gettext("You have left. The shop’s history keeps your name."))
    flash(_with_nobodys(_("%(name)s may no longer sign in.", name=person.name), count))
    return redirect(url_for(".edit", staff_id=person.id), 303)


def _is_confirmed(form) -> bool:
    if form.validate() and not auth.is_me(form.current.data):
        form.current.errors = [_("This is not your password.")]
    return not form.errors


def _get_person(staff_id: int) -> Staff:
    auth.demand("settings")
    return queries.get_person(staff_id)


def _show_link(person, token):
    there = url_for(".edit", staff_id=person.id)
    if not wants_panel():
        _keep_for_once(person, token)
    return respond("staff/_access.html", then=there, said=_("A new link is made."), **_about(person, token=token))


def _refuse_access(person, **more):
    return refuse("staff/_access.html", "staff/edit.html", status=422, **_about(person, **more))


def _about(person, *, form=None, error="", token="", reset=None, drop=None, back=None, failed="") -> dict:
    """What the page of a person shows. token: the secret of the link that was just made; it is nowhere else."""
    invitation, in_hand = queries.standing(person)
    return {
        "person": person,
        "form": form or forms.PersonForm(queries.branches(), person, formdata=None),
        "error": error,
        "failed": failed,
        "back": back or forms.ConfirmForm("back", formdata=None),
        "drop": drop or forms.ConfirmForm("drop", formdata=None),
        "reset": reset or forms.ConfirmForm("reset", formdata=None),
        "link": sharing.invitation(get_shop(), person, token) if token else None,
        "invitation": invitation,
        "in_hand": in_hand,
        "is_me": person.id == me().id,
    }


def _keep_for_once(person, token) -> None:
    """Takes a link over to the next page, in the browser that made it; the shop keeps its hash alone."""
    session["new_link"] = [person.id, token]


def _kept_for_once(person) -> str:
    staff_id, token = session.pop("new_link", (0, ""))
    invitation = queries.invitation_of(person) if staff_id == person.id else None
    return token if invitation and invitation.token_hash == auth.digest(token) else ""


# --- the way in for who is new ------------------------------------------------------------------


@bp.route("/welcome/<token>", methods=["GET", "POST"])
@csrf.exempt
@public
def welcome(token):
    """Where somebody chooses a password, for the first time or anew. Looking uses nothing: mail programs look."""
    if request.method == "POST":
        _check_form()
    invitation = queries.open_invitation(auth.digest(token))
    if invitation is None:
        return _unknown()
    form = forms.WelcomeForm(invitation.staff)
    if request.method == "POST" and form.validate():
        # Not within the transaction, which would hold the write lock while the hash is worked out.
        db.session.rollback()
        password_hash = passwords.hash_password(form.password.data)
        person = actions.join(auth.digest(token), password_hash)
        if person is None:
            return _unknown()
        # They read it on a page of their own, or on the one that asks for a code.
        with force_locale(language.current() if person.totp_secret else auth.language_of(person)):
            said = _(
                "Welcome, %(name)s. From now on you sign in with %(email)s and the password you chose.",
                name=person.name,
                email=person.email,
            )
        return auth.let_in(person, said=said)
    values = {"form": form, "person": invitation.staff, "somebody": me() if current_user.is_authenticated else None}
    return render_template("staff/welcome.html", **values), 422 if form.errors else 200


def _check_form() -> None:
    """What every other form is checked for by itself, but for the Referer, which no browser sends from here."""
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValidationError as problem:
        raise CSRFError(problem.args[0]) from None


def _unknown():
    """One answer for a link that was never made, was used, has ended or was replaced."""
    if count_miss():
        return error_page(429)
    text = _("It may have been used already, or have ended. Ask the owner of the shop for a new one.")
    return error_page(404, title=_("This link opens nothing"), text=text)


# --- one's own account --------------------------------------------------------------------------


@bp.route("/account", methods=["GET", "POST"])
def account():
    """One's own account; POST changes the password, and ends all other sessions."""
    form = forms.PasswordForm()
    if request.method == "POST" and form.validate():
        if auth.is_me(form.current.data):
            # Before the row is read again: the write lock must not be held while the hash is worked out.
            password_hash = passwords.hash_password(form.password.data)
            actions.change_password(me(), password_hash)
            flash(_("Password changed. You are signed out everywhere else."))
            return redirect(url_for(".account"), 303)
        form.current.errors = [_("This is not your present password.")]
    return _account(password=form), 422 if form.errors else 200


@bp.post("/account/name")
def rename():
    """Changes one's own name."""
    form = forms.NameForm()
    if not form.validate():
        return _account(name=form), 422
    actions.rename(me(), form.name.data)
    flash(_("Your name is saved."))
    return redirect(url_for(".account"), 303)


@bp.post("/account/language")
def speak():
    """Changes the language of one's own pages."""
    form = forms.LanguageForm(get_shop())
    if not form.validate():
        return _account(spoken=form), 422
    actions.speak(me(), form.language.data)
    language.use(auth.language_of(me()))
    # Translators: name your own language here, not English: it is the one that was just chosen.
    flash(_("Your pages are in English now."))
    return redirect(url_for(".account"), 303)


@bp.route("/account/second-step", methods=["GET", "POST"])
def second_step():
    """The code that is asked for after the password; POST turns it on."""
    if me().totp_secret and request.method == "POST":
        return redirect(url_for(".second_step"), 303)
    if request.method != "POST":
        return _second_step(codes=session.pop("recovery_codes", None))
    form = forms.SecondStepForm()
    if form.validate():
        step = codes_of.step_of(form.secret.data, form.code.data)
        if step is None:
            form.code.errors = [_("The app shows another code by now, or was not given the key on this page.")]
        elif not auth.is_me(form.current.data):
            form.current.errors = [_("This is not your password.")]
        else:
            return _show_codes(lambda hashes: actions.turn_on_second_step(me(), form.secret.data, step, hashes))
    return _second_step(form), 422


@bp.post("/account/second-step/codes")
def recovery_codes():
    """Makes new recovery codes; those before are worth nothing any more."""
    form = forms.ConfirmForm("codes")
    if not me().totp_secret:
        return redirect(url_for(".second_step"), 303)
    if not _is_confirmed(form):
        return _second_step(renew=form), 422
    return _show_codes(lambda hashes: actions.renew_recovery_codes(me(), hashes))


@bp.post("/account/second-step/off")
def second_step_off():
    """Turns one's own second step off."""
    form = forms.ConfirmForm("off")
    if not _is_confirmed(form):
        return _second_step(off=form), 422
    actions.turn_off_second_step(me(), by=me())
    flash(_("From now on your password is enough."))
    return redirect(url_for(".account"), 303)


def _show_codes(keep):
    """Makes recovery codes, lets keep(hashes) commit, and shows them on the next page of this browser, once."""
    db.session.rollback()
    codes, hashes = codes_of.new_recovery_codes()
    keep(hashes)
    session["recovery_codes"] = codes
    return redirect(url_for(".second_step"), 303)


def _second_step(form=None, *, renew=None, off=None, codes=None):
    if form is None:
        form = forms.SecondStepForm(formdata=None, secret=codes_of.new_secret())
    elif form.secret.errors:
        form.secret.data = codes_of.new_secret()
    is_on = bool(me().totp_secret)
    address = codes_of.address(form.secret.data, me(), get_shop())
    return render_template(
        "staff/second_step.html",
        form=form,
        renew=renew or forms.ConfirmForm("codes", formdata=None),
        off=off or forms.ConfirmForm("off", formdata=None),
        codes=codes,
        is_on=is_on,
        left=codes_of.recovery_codes_left(me()) if is_on else 0,
        qr=None if is_on else sharing.secret_qr(address, label=_("QR code for the app")),
    )


@bp.post("/account/sessions/<int(max=2147483647):sign_in_id>/end")
def end_session(sign_in_id):
    """Ends one of one's own sessions."""
    if sign_in_id == current_user.row.id:
        return redirect(url_for(".account"), 303)
    if not actions.end_session(me(), sign_in_id):
        abort(404)
    flash(_("That browser is signed out."))
    return redirect(url_for(".account"), 303)


@bp.post("/account/sign-out-everywhere")
def sign_out_everywhere():
    """Ends every session of one's own, this one too."""
    actions.end_all_sessions(me())
    return auth.show_out(lazy_gettext("You are signed out everywhere."))


def _account(*, password=None, name=None, spoken=None):
    return render_template(
        "staff/account.html",
        form=password or forms.PasswordForm(formdata=None),
        name_form=name or forms.NameForm(formdata=None, name=me().name),
        language_form=spoken or forms.LanguageForm(get_shop(), formdata=None, language=me().language),
        signed_in=queries.signed_in(me()),
        last=queries.last_sign_ins(me()),
        here=current_user.row.id,
        codes_left=codes_of.recovery_codes_left(me()) if me().totp_secret else 0,
    )


@bp.post("/account/theme")
def theme():
    """Light, dark, or as the system says; kept in this browser."""
    choice = request.form.get("theme", "")
    back = auth.local_path(request.form.get("back"))
    answer = redirect(back, 303)
    if choice in {"light", "dark"}:
        name, year = cookie_name("theme"), 365 * 86400
        answer.set_cookie(name, choice, max_age=year, samesite="Lax", httponly=True, secure=request.is_secure)
    else:
        answer.delete_cookie(cookie_name("theme"), secure=request.is_secure)
    return answer
