"""Which language a page is in: its reader's own, where we know it; what customers read of a repair, the shop's.

Sentences are marked where they are written: _() where they are said at once, lazy_gettext() where a module has them
before anybody asks, and then without values: what is put into a lazy one would get into a page unescaped.
"""

import re

from babel import parse_locale
from flask import g, has_request_context, request
from flask_babel import Babel, Domain, get_locale, refresh

# Each by its own name. Sentences are written in English; the others have a catalogue in app/translations.
NAMES = {"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français"}


class Catalogues(Domain):
    """Flask-Babel's, each looked for once and not once a sentence: that was a tenth of the board's time."""

    known = {}

    def get_translations(self):
        code = current()
        if code not in self.known:
            self.known[code] = super().get_translations()
        return self.known[code]


_catalogues = Catalogues()


class _Babel(Babel):
    domain_instance = _catalogues


_babel = _Babel()


def init_app(app, chosen) -> None:
    """Sentences in the language that chosen() gives, for code and templates. `language()` in every template."""
    _babel.init_app(app, locale_selector=chosen)
    # Straight to the catalogue: a page says hundreds of sentences, and at each Flask-Babel would ask for its domain,
    # and Jinja for what `_` is another name of. A tenth of the board's time.
    app.jinja_env.install_gettext_callables(
        gettext=lambda sentence: _catalogues.get_translations().ugettext(sentence),
        ngettext=lambda one, many, number: _catalogues.get_translations().ungettext(one, many, number),
        pgettext=lambda context, sentence: _catalogues.get_translations().upgettext(context, sentence),
        npgettext=lambda context, *forms: _catalogues.get_translations().unpgettext(context, *forms),
        newstyle=True,
    )
    app.jinja_env.globals |= {"language": current, "_": app.jinja_env.globals["gettext"]}


def current() -> str:
    """The language that is spoken now: a name of NAMES. English where nobody is there to read."""
    locale = get_locale()
    return locale.language if locale else "en"


def use(code: str) -> None:
    """Speaks that language for the rest of this request; "" the browser's."""
    g.language = code
    refresh()


def country_of_browser() -> str:
    """The country that the browser names with the language it likes best, as "de-AT" does; "" if it names none."""
    liked = [parse_locale(tag, sep="-")[:2] for tag in request.accept_languages.values() if _TAG.fullmatch(tag)]
    return next((country for code, country in liked if country and code == liked[0][0]), "")


# A language, perhaps its script, perhaps a country: https://www.rfc-editor.org/rfc/rfc5646#section-2.1
_TAG = re.compile("[A-Za-z]{2,3}(-[A-Za-z]{4})?(-[A-Za-z]{2})?")


def of_browser() -> str:
    """What the browser prefers of what we speak."""
    return (has_request_context() and request.accept_languages.best_match([*NAMES])) or "en"
