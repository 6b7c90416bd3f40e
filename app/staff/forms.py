"""What is asked about a person, by the owner and by the person."""

from flask_babel import gettext as _
from flask_babel import lazy_gettext
from wtforms import EmailField, HiddenField, PasswordField, SelectField, StringField, ValidationError
from wtforms.validators import Length

from .. import language, passwords, second_step
from ..auth import me
from ..models import get_shop
from ..rules import ROLE_LABELS, Role
from ..seen import SharedForm
from ..web import EMAIL, Form, Needed, choices


def _safe_password(field, *known):
    try:
        passwords.check_password(field.data, *known, get_shop().name)
    except ValueError as problem:
        raise ValidationError(str(problem)) from None


class PersonForm(SharedForm):
    KEEPS = ("name", "email", "role", "branch_id")

    name = StringField(lazy_gettext("Name"), [Needed(lazy_gettext("What is this person called?")), Length(max=80)])
    email = EmailField(lazy_gettext("Email"), [Needed(lazy_gettext("They sign in with it.")), Length(max=254), EMAIL])
    role = SelectField(lazy_gettext("Role"), choices=choices(ROLE_LABELS.items()), default=Role.TECHNICIAN)
    branch = SelectField(lazy_gettext("Branch"), coerce=int, default=0)
    current = PasswordField(lazy_gettext("Your own password"))

    def __init__(self, branches, person=None, **kwargs):
        about = {name: getattr(person, name) for name in ("name", "email", "role")} if person else {}
        # Where there is but one branch, that is where people work.
        usual = branches[0].id if len(branches) == 1 else 0
        about["branch"] = person.branch_id or 0 if person else usual
        super().__init__(person, obj=None, data=about, **kwargs)
        self.branch.choices = choices(
            [(0, _("All branches: owners only")), *((branch.id, branch.name) for branch in branches)]
        )

    def validate_branch(self, field):
        if not field.data and self.role.data != Role.OWNER:
            raise ValidationError(_("Only an owner works at all branches. Choose the one where this person works."))

    def details(self) -> dict:
        """The fields as they are kept."""
        return {
            "name": self.name.data,
            "email": self.email.data.casefold(),
            "role": self.role.data,
            "branch_id": self.branch.data or None,
        }

    def in_words(self, kept: dict) -> list[tuple[str, str]]:
        """Name, email, role and branch."""
        rest = {name: value for name, value in kept.items() if name != "branch_id"}
        return super().in_words(rest | {"branch": kept["branch_id"] or 0})


class ConfirmForm(Form):
    """Asks once more for the password of whoever is signed in, before something that matters."""

    current = PasswordField(
        lazy_gettext("Your own password"), [Needed(lazy_gettext("Type your own password, to show that it is you."))]
    )

    def __init__(self, what: str, **kwargs):
        super().__init__(**kwargs)
        # A page may have several such forms.
        self.current.id = f"{what}-current"


class WelcomeForm(Form):
    password = PasswordField(lazy_gettext("New password"), [Needed(lazy_gettext("Choose a password."))])

    def __init__(self, person):
        super().__init__()
        self._person = person

    def validate_password(self, field):
        if field.data:
            _safe_password(field, self._person.name, self._person.email)


class SecondStepForm(Form):
    secret = HiddenField()
    code = StringField(
        lazy_gettext("Code that the app shows"), [Needed(lazy_gettext("Type the six digits that the app shows."))]
    )
    current = PasswordField(
        lazy_gettext("Your password"), [Needed(lazy_gettext("Type the password you sign in with."))]
    )

    def validate_secret(self, field):
        if not second_step.is_secret(field.data):
            raise ValidationError(_("Load the page again."))


class NameForm(Form):
    name = StringField(lazy_gettext("Name"), [Needed(lazy_gettext("What are you called?")), Length(max=80)])


class LanguageForm(Form):
    language = SelectField(lazy_gettext("Language"))

    def __init__(self, shop, **kwargs):
        super().__init__(**kwargs)
        shops = _("As the shop: %(language)s", language=language.NAMES[shop.language])
        self.language.choices = choices([("", shops), *language.NAMES.items()])


class PasswordForm(Form):
    current = PasswordField(lazy_gettext("Present password"), [Needed(lazy_gettext("Type the password you have now."))])
    password = PasswordField(lazy_gettext("New password"), [Needed(lazy_gettext("Choose a password."))])

    def validate_password(self, field):
        if field.data:
            _safe_password(field, me().name, me().email)
