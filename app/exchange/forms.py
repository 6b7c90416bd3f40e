"""What people send about lists: what to export, a file or a pasted list, and the go-ahead after the dry run."""

import base64
import binascii
import zlib

from flask_babel import gettext as _
from flask_babel import lazy_gettext
from flask_wtf.file import FileField
from wtforms import BooleanField, HiddenField, SelectField, TextAreaField
from wtforms.validators import Length

from ..web import Form
from . import reading

# A list is carried through the dry run in the page itself, so that nothing of it stays behind when nobody goes on.
LONGEST_CARRIED = 900_000


class ExportForm(Form):
    # The board's query string.
    query = HiddenField()
    # What is finished too, whatever the filters say.
    everything = BooleanField()


class _Pasted(TextAreaField):
    """A text whose tabs matter: it is taken as it is."""


class UploadForm(Form):
    branch = SelectField(lazy_gettext("Branch"), coerce=int)
    file = FileField(lazy_gettext("File"))
    pasted = _Pasted(lazy_gettext("Or paste the list"))

    def text(self) -> str:
        """The list's text. Raises ValueError with a sentence for the field that `at_fault` names."""
        data = b""
        if self.file.data:
            data = self.file.data.read()
            self.file.data.close()
        if len(data) > reading.MOST_BYTES or len(self.pasted.data or "") > reading.MOST_BYTES:
            raise ValueError(_("This list is larger than 2 MB. Import it in parts."))
        if data:
            return reading.text(data)
        if (self.pasted.data or "").strip():
            return self.pasted.data
        raise ValueError(_("Choose a file, or paste a list below."))

    @property
    def at_fault(self):
        """The field that the list came from."""
        return self.pasted if (self.pasted.data or "").strip() and not self.file.data else self.file


class RunForm(Form):
    branch = SelectField(lazy_gettext("Branch"), coerce=int)
    # The list, and the fates that were shown for it.
    carried = HiddenField(validators=[Length(max=LONGEST_CARRIED)])
    shown = HiddenField(validators=[Length(max=64)])

    def text(self) -> str:
        """The list's text again. Raises ValueError when it is not what pack() made."""
        try:
            unpacker = zlib.decompressobj()
            # A little file can unpack to a very large one: no more is unpacked than was let in.
            data = unpacker.decompress(base64.urlsafe_b64decode(self.carried.data or ""), 4 * reading.MOST_BYTES)
            if not unpacker.eof:
                raise ValueError("more than was let in")
            return data.decode()
        except (binascii.Error, zlib.error, ValueError):
            raise ValueError(_("The list did not arrive in one piece. Upload it once more.")) from None


def pack(text: str) -> str:
    """A list's text as the page carries it. Raises ValueError for one that is too long for that."""
    packed = base64.urlsafe_b64encode(zlib.compress(text.encode("utf-8", "replace"), 6)).decode()
    if len(packed) > LONGEST_CARRIED:
        raise ValueError(_("This list is too long. Import it in parts."))
    return packed
