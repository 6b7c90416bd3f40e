"""Two people at one form: it carries what it was drawn with, so that neither undoes what the other saved unawares."""

import hashlib
import json

from flask_babel import gettext as _
from wtforms import HiddenField, TelField

from . import formats
from .db import only_look
from .models import get_shop
from .rules import Refused
from .web import Form


class Changed(Refused):
    """Somebody else changed the row since the form was drawn: it holds `saved`, where `typed` was to go."""

    def __init__(self, typed: dict, saved: dict):
        super().__init__(
            _(
                "Somebody else changed this meanwhile. What you typed is still here: save again, and it takes the "
                "place of what they saved."
            )
        )
        self.typed, self.saved = typed, saved


def demand_unchanged(row, typed: dict, seen: str | None) -> None:
    """Raises Changed if the row, locked by whoever writes, is not what the form was drawn with, nor what is typed.

    typed: what the form would write, by the names of the row. seen: the form's own; one without it is not asked.
    """
    saved = {name: getattr(row, name) for name in typed}
    if seen and seen != digest(saved) and saved != typed:
        raise Changed(typed, saved)


class SharedForm(Form):
    """A form about a row that others may be changing too."""

    # What of the row it shows and writes.
    KEEPS: tuple[str, ...] = ()
    # Why it was not saved, if somebody was faster; and (label, what is saved) of each field that holds something else.
    conflict: str = ""
    saved: list[tuple[str, str]] = []
    # Stands for what of the row there was when the form was drawn.
    seen = HiddenField()

    def __init__(self, row=None, **kwargs):
        if row is not None:
            kwargs = {"obj": row, "seen": digest({name: getattr(row, name) for name in self.KEEPS})} | kwargs
        super().__init__(**kwargs)

    def show_saved(self, changed: Changed) -> None:
        """Will be drawn with what is saved beside what was typed, to be sent once more; the transaction ends."""
        only_look()
        typed = self.in_words(changed.typed)
        self.saved = [line for line in self.in_words(changed.saved) if line not in typed]
        self.conflict, self.seen.data = str(changed), digest(changed.saved)

    @property
    def status(self) -> int:
        """What the page that holds it answers."""
        return 409 if self.conflict else 422 if self.errors else 200

    def in_words(self, kept: dict) -> list[tuple[str, str]]:
        """(label, value) of what a row keeps, as people read it."""
        return [(str(self[name].label.text), _value(self[name], value)) for name, value in kept.items()]


def _value(field, value) -> str:
    if isinstance(field, TelField):
        return formats.format_phone(value, get_shop().country)
    labels = {choice.value: choice.label for choice in getattr(field, "choices", ())}
    return str(labels.get(value, value))


def digest(kept: dict) -> str:
    """What stands for these values in a form that shows them."""
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]
