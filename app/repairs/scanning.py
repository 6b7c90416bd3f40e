"""What a barcode gun may have meant. Pure: it knows how codes and links are written, and no repair.

A gun is a keyboard: it presses the keys on which an American one has its signs, and a computer that is set to another
language reads other signs from them. What came is therefore read once as it is, and once for each such keyboard.
"""

import re

# What other keyboards make of the American one's signs: the sign that arrives, and the one that was meant.
_QWERTZ = str.maketrans("yzYZß?-_ÖöÄä'\"", "zyZY-_/?:;\"'\\|")
_AZERTY = str.maketrans(
    "aqzwAQZW&é\"'(-è_çà)°!§M:?,.;",
    "qawzQAWZ1234567890-_/?:.M" + "m><",
)
# Spain, Italy, Portugal; and the North.
_LATIN = str.maketrans("'?-_ÑñÇç", "-_/?:;:;")
_NORDIC = str.maketrans("+?-_ÆæØøÖöÄä", "-_/?:;:;:;\"'")
_KEYBOARDS = (_QWERTZ, _AZERTY, _LATIN, _NORDIC)

_CODE = r"([A-Z]{2})-([A-Z]{2})-(R\d{4,9})"
_GAPLESS = r"([A-Z]{2})([A-Z]{2})(R\d{4,9})"
# An address of the shop's own pages ends with the code, or goes on after it.
_WHOLE = r"(?:^|.*/){}(?:$|[/?#].*)"
_TOKEN = re.compile(r"/t/([\w-]{22})(?:$|[/?#])", re.ASCII | re.IGNORECASE)


def readings(typed: str) -> list[str]:
    """The text as it is, then as other keyboards would have meant it."""
    text = typed.strip()
    return [text, *(text.translate(keyboard) for keyboard in _KEYBOARDS)]


def is_address(typed: str) -> bool:
    """Whether it is an address, which may hold a secret, and no words to look for."""
    return re.match(r"\s*https?\W", typed, re.IGNORECASE) is not None or any(
        _TOKEN.search(text) for text in readings(typed)
    )


def codes(typed: str) -> list[str]:
    """Codes of repairs that may be meant, the likeliest first, written as the shop writes them."""
    found = []
    for text in readings(typed):
        if match := re.fullmatch(_WHOLE.format(_CODE), _upper(text)):
            found.append("-".join(match.groups()))
    for text in readings(typed):
        if match := re.fullmatch(_WHOLE.format(_GAPLESS), re.sub(r"[^A-Z0-9/?#]", "", _upper(text))):
            found.append("-".join(match.groups()))
    return list(dict.fromkeys(found))


def tokens(typed: str) -> list[str]:
    """Secrets of customers' links that may be meant: as they are, and as a keyboard with its Caps Lock on has them."""
    found = []
    for text in readings(typed):
        if match := _TOKEN.search(text):
            found += [match[1], match[1].swapcase()]
    return list(dict.fromkeys(found))


def _upper(text: str) -> str:
    # Not str.upper: the ß of a German keyboard would become two letters.
    return "".join(letter.upper() if letter.isascii() else letter for letter in text)
