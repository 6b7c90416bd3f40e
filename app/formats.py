"""How things are written: phones, money, dates, codes, tokens. Pure: text in, text out, in the language spoken now."""

import ipaddress
import re
import secrets
import unicodedata
from datetime import datetime, time, timedelta
from functools import lru_cache
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
from babel import Locale, UnknownLocaleError, localedata
from babel.core import get_global
from babel.dates import format_date, format_skeleton, format_time, format_timedelta
from babel.languages import get_official_languages
from babel.numbers import (
    format_currency,
    format_decimal,
    get_currency_precision,
    get_currency_symbol,
    get_territory_currencies,
)
from flask_babel import get_locale, lazy_gettext
from flask_babel import gettext as _
from phonenumbers import PhoneNumber, PhoneNumberFormat

# --- phones -------------------------------------------------------------------------------------


def parse_phone(text: str, country: str) -> str:
    """A phone number as E.164 ("+66812345678").

    Takes what people write; country (ISO 3166, two letters) is where a number without + belongs.
    Raises ValueError with a sentence for the person who typed it.
    """
    readings = _readings(text, country)
    sure = [number for number in readings if phonenumbers.is_valid_number(number)]
    if len(sure) > 1 and sure[1].country_code == phonenumbers.country_code_for_region(country):
        # A few countries have numbers of their own that begin with 00.
        one, other = (phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL) for number in sure)
        raise ValueError(_("This may be %(one)s or %(other)s: write it as one of these.", one=one, other=other))
    if found := sure or readings:
        return phonenumbers.format_number(found[0], PhoneNumberFormat.E164)
    if len(re.sub(r"\D", "", text)) < 3:
        raise ValueError(_("This is not a phone number."))
    raise ValueError(_("This phone number has too few or too many digits. Start with + for another country."))


def _readings(text: str, country: str) -> list[PhoneNumber]:
    """The numbers that a text may mean there and that have as many digits as they need, the likeliest first."""
    figures = "".join(str(unicodedata.decimal(letter, letter)) for letter in text)
    # Most of the world dials 00 for +, and people write it so in countries too that dial something else. Taken for what
    # is dialled there, it is often somebody else's number: in Thailand 0091 is 009, and then a 1.
    readings = []
    for written in dict.fromkeys((re.sub(r"^[^\d+＋]*00", "+", figures), figures)):
        try:
            number = phonenumbers.parse(written, country)
        except phonenumbers.NumberParseException:
            continue
        is_whole = phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE
        if is_whole and number not in readings:
            readings.append(number)
    return readings


@lru_cache(4096)
def format_phone(e164: str, country: str = "") -> str:
    """E.164 as people read it: national for a number of that country, international otherwise.

    A number that is not valid there, because a digit is missing say, would be written without the zero that was typed:
    it is shown as an international one. What is no number, as an erased customer has instead of one, is nothing to
    read: "".
    """
    if not e164.startswith("+"):
        return ""
    number = phonenumbers.parse(e164)
    if number.country_code == phonenumbers.country_code_for_region(country):
        national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        if re.sub(r"\D", "", national) != str(number.national_number) or phonenumbers.is_valid_number(number):
            return national
    return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)


def digits(text: str) -> str:
    """The digits of a text, without the trunk zeros that E.164 does not have."""
    return re.sub(r"\(0\)|\D", "", text).lstrip("0")


# Letters that are no other letter with an accent, as people without them on their keyboard write them. What is stored
# is folded too: whoever adds one has a migration fold again what is stored with it.
_WITHOUT = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ŋ": "n", "ħ": "h"}
)


def fold(text: str) -> str:
    """A text as search compares it: in lower case, without accents, so that "jose" finds "José" however it is spelt."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.sub("[\u0300-\u036f]", "", plain).translate(_WITHOUT)


def compact(text: str) -> str:
    """A serial number without the gaps that people write into it."""
    return re.sub(r"[\s()./-]", "", text)


def search_words(text: str) -> list[str]:
    """What to look for, folded: the words, where a telephone number typed in groups is one."""
    words = []
    for part in re.findall(r"(?<!\S)\+?[\d(][\d\s()./-]*\d(?!\S)|\S+", fold(text)):
        whole = len(digits(part)) >= 7 or "-" in part
        words += [part] if whole else part.split()
    return words


# --- places -------------------------------------------------------------------------------------


def countries() -> list[tuple[str, str]]:
    """(code, name) of every country that has phone numbers, by name."""
    return _countries(_language())


@lru_cache
def _countries(language: str) -> list[tuple[str, str]]:
    names = Locale(language).territories
    known = ((code, names[code]) for code in phonenumbers.SUPPORTED_REGIONS if code in names)
    return sorted(known, key=lambda country: fold(country[1]))


def currencies() -> list[tuple[str, str]]:
    """(code, "code – name") of the currencies that some country pays with today, by code."""
    return _currencies(_language())


@lru_cache
def _currencies(language: str) -> list[tuple[str, str]]:
    names = Locale(language).currencies
    used = {currency for country, _ in _countries(language) for currency in get_territory_currencies(country)}
    return [(code, f"{code} – {names[code]}") for code in sorted(used) if code in names]


@lru_cache
def timezones() -> list[str]:
    """The names of time zones that are places, by name."""
    return sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "SystemV/")))


def find_timezone(text: str) -> str:
    """The time zone that is called so, or whose last part alone is: "Europe/Berlin", "berlin", "New York".

    Raises ValueError with a sentence.
    """
    wanted = fold(text).replace(" ", "_")
    found = [zone for zone in timezones() if f"/{fold(zone)}".endswith(f"/{wanted}")]
    if len(found) > 1:
        # Some have an older name besides, which no country goes by.
        found = [zone for zone in found if zone in get_global("zone_territories")]
    if len(found) != 1:
        raise ValueError(_("Choose a time zone from the list, such as Europe/Lisbon."))
    return found[0]


# Of countries with several time zones, the one in which most people live.
_MAIN_ZONES = {
    *("Africa/Kinshasa", "America/Argentina/Buenos_Aires", "America/Guayaquil", "America/Mexico_City"),
    *("America/New_York", "America/Nuuk", "America/Santiago", "America/Sao_Paulo", "America/Toronto"),
    *("Asia/Almaty", "Asia/Hebron", "Asia/Jakarta", "Asia/Kuala_Lumpur", "Asia/Nicosia", "Asia/Shanghai"),
    *("Asia/Tashkent", "Asia/Ulaanbaatar", "Australia/Sydney", "Europe/Berlin", "Europe/Kyiv", "Europe/Lisbon"),
    *("Europe/Madrid", "Europe/Moscow", "Pacific/Auckland", "Pacific/Majuro", "Pacific/Pohnpei"),
    *("Pacific/Port_Moresby", "Pacific/Tahiti", "Pacific/Tarawa"),
}
# Of those to which CLDR gives none.
_BORROWED_ZONES = {"AC": "Atlantic/St_Helena", "TA": "Atlantic/St_Helena", "XK": "Europe/Belgrade"}


def usual_in(country: str) -> tuple[str, str]:
    """What a shop in that country most likely has: its currency, its time zone."""
    # Where people pay with a neighbour's money too, their own is called after the country.
    money = min(get_territory_currencies(country), key=lambda currency: not currency.startswith(country))
    zones = get_global("territory_zones").get(country) or [_BORROWED_ZONES[country]]
    return money, next((zone for zone in zones if zone in _MAIN_ZONES), zones[0])


def _language() -> str:
    return (get_locale() or Locale("en")).language


def locale(country: str) -> Locale:
    """The language spoken now as that country writes dates and numbers.

    English is British where nobody settled it; another language is then as in the country that it is named for.
    """
    return _locale(_language(), country)


@lru_cache
def _locale(language: str, country: str) -> Locale:
    try:
        return Locale.parse(f"{language}_{country}")
    except (UnknownLocaleError, ValueError):
        return Locale("en", "GB") if language == "en" else Locale(language)


# --- money --------------------------------------------------------------------------------------


def parse_money(text: str, currency: str, country: str = "") -> int:
    """An amount as minor units (cents). Takes "1200", "1,200.50", "1.200,50" or "1 200,50".

    The currency's own sign or code may stand before it or after it, as format_money writes it or as that country's own
    languages do. Raises ValueError with a sentence.
    """
    places = get_currency_precision(currency)
    bare = re.sub(r"[\s'’\u200e\u200f]", "", text).casefold()
    signs = () if re.fullmatch(r"[\d.,]*", bare) else _signs(currency, country, _language())
    bare = _without_sign(bare, signs)
    # Three figures after the last mark are thousands, but for the currencies that have three decimals.
    decimals = rf"(?:[.,](\d{{1,{places}}}))?" if places else "()"
    match = re.fullmatch(rf"(\d{{1,3}}(?:[.,]\d{{3}})+?|\d+){decimals}", bare)
    if places == 3:
        match = re.fullmatch(rf"(\d+){decimals}", bare) or match
    if len(bare) > 18 or (not match and bare.isdigit()):
        raise ValueError(_("This amount is too large."))
    if not match and _has_foreign_sign(bare, signs):
        raise ValueError(_("This amount is in another currency. Write it in %(currency)s.", currency=currency))
    if not match:
        raise ValueError(_("Write the amount in figures, such as 1200 or 49.90."))
    amount = int(re.sub(r"\D", "", match[1])) * 10**places + int((match[2] or "").ljust(places, "0") or 0)
    if amount > 10**12:
        raise ValueError(_("This amount is too large."))
    return amount


@lru_cache
def _signs(currency: str, country: str, language: str) -> tuple[str, ...]:
    """What stands for a currency in that language, in English, and in the languages of that country; longest first."""
    signs = {currency}
    native = [spoken for spoken in get_official_languages(country) if localedata.exists(spoken)]
    for spoken in (language, "en", *native):
        symbol = re.sub(r"[\s\u200e\u200f]", "", get_currency_symbol(currency, _locale(spoken, country)))
        # "$" of "US$": in a shop that has no other money it is no other dollar. And "¥" of the wide one of Japanese.
        narrow = "".join(char for char in symbol if unicodedata.category(char) == "Sc")
        signs |= {symbol, narrow, unicodedata.normalize("NFKC", narrow)}
    return tuple(sorted((sign.casefold() for sign in signs if sign), key=len, reverse=True))


def _without_sign(bare: str, signs: tuple[str, ...]) -> str:
    for sign in signs:
        if bare.startswith(sign):
            return bare[len(sign) :]
        # "5k" is five thousand to most people, and five to nobody but who pays in kwacha.
        if bare.endswith(sign) and sign not in {"k", "m"}:
            return bare[: -len(sign)]
    return bare


def _has_foreign_sign(bare: str, signs: tuple[str, ...]) -> bool:
    """Whether an amount has the sign or the code of a currency other than that of those signs."""
    rest = re.sub(r"[\d.,]", "", bare)
    others = [char for char in rest if unicodedata.category(char) == "Sc" and char not in "".join(signs)]
    is_code = rest not in signs and rest.upper() in Locale("en").currencies
    return bool((others or is_code) and re.search(r"\d", bare))


def format_money(minor: int, currency: str, country: str) -> str:
    """Minor units as that country writes the currency."""
    return format_currency(minor / 10 ** get_currency_precision(currency), currency, locale=locale(country))


def plain_money(minor: int, currency: str) -> str:
    """Minor units as parse_money reads them back, for an input field."""
    places = get_currency_precision(currency)
    return f"{minor / 10**places:.{places}f}"


def number(count: int) -> str:
    """A count with its thousands set off: "5,000"."""
    return format_decimal(count, locale=_language())


# --- time ---------------------------------------------------------------------------------------


def local_date(at: datetime, zone: str, country: str) -> str:
    """ "23 Nov 2026" in the shop's zone."""
    return format_date(at.astimezone(ZoneInfo(zone)), "medium", locale=locale(country))


def local_time(at: datetime, zone: str, country: str) -> str:
    """ "14:05" in the shop's zone."""
    return format_time(at.astimezone(ZoneInfo(zone)), "short", locale=locale(country))


def time_of_day(minutes: int, country: str) -> str:
    """Minutes past midnight as that country writes a time: "18:00" or "6:00 PM"."""
    return _time_of_day(minutes, locale(country))


@lru_cache(maxsize=2000)
def _time_of_day(minutes: int, locale: Locale) -> str:
    return format_time(time(minutes // 60, minutes % 60), "short", locale=locale)


def weekday(day: int, *, short: bool = False) -> str:
    """The day of the week, Monday being 0: "Monday", "Mon"."""
    return Locale(_language()).days["stand-alone"]["abbreviated" if short else "wide"][day]


def opening(state, country: str) -> str:
    """What hours.state() says, as a sign on the door: "Open until 18:00", "Opens Monday 09:00"."""
    if state.at is None:
        return _("Open day and night") if state.open else _("Closed at present")
    at, day = time_of_day(state.at, country), weekday(state.weekday)
    if state.open:
        # Until two at night is still today to whoever asks in the evening.
        near = state.days == 0 or (state.days == 1 and state.at <= 12 * 60)
        return _("Open until %(time)s", time=at) if near else _("Open until %(day)s %(time)s", day=day, time=at)
    if state.days == 0:
        return _("Opens today at %(time)s", time=at)
    if state.days == 7:
        return _("Opens next %(day)s %(time)s", day=day, time=at)
    return _("Opens %(day)s %(time)s", day=day, time=at)


def opening_hours(spans: list[list[str]], country: str) -> str:
    """A day's hours as one reads them: "09:00–13:00, 14:00–18:00"."""
    if spans == [["00:00", "00:00"]]:
        return _("Day and night")
    times = [[time_of_day(int(text[:2]) * 60 + int(text[3:]), country) for text in span] for span in spans]
    return ", ".join(f"{opens}–{closes}" for opens, closes in times) or _("Closed")


def local_day(at: datetime, zone: str, country: str, now: datetime) -> str:
    """A day as one says it: "today", "yesterday", "Mon 23 Nov"; the year if another."""
    here, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    return str(_NEAR.get((here.date() - today.date()).days, "")) or _date(here, today, country)


def _date(here: datetime, today: datetime, country: str) -> str:
    return format_skeleton("MMMEd" if here.year == today.year else "yMMMd", here, locale=locale(country))


_NEAR = {-1: lazy_gettext("yesterday"), 0: lazy_gettext("today"), 1: lazy_gettext("tomorrow")}


def local_moment(at: datetime, zone: str, country: str, now: datetime) -> str:
    """A moment as one says it: "today 14:05", "tomorrow 09:00", "Mon 23 Nov, 14:05"; the year if another."""
    here, today = at.astimezone(ZoneInfo(zone)), now.astimezone(ZoneInfo(zone))
    clock = format_time(here, "short", locale=locale(country))
    if day := _NEAR.get((here.date() - today.date()).days):
        # Translators: "today 14:05"
        return _("%(day)s %(time)s", day=day, time=clock)
    return f"{_date(here, today, country)}, {clock}"


def full_moment(at: datetime, zone: str, country: str) -> str:
    """ "Mon 23 Nov 2026, 14:05" in the shop's zone: for paper, which is read on another day."""
    here = at.astimezone(ZoneInfo(zone))
    day = format_skeleton("yMMMEd", here, locale=locale(country))
    return f"{day}, {format_time(here, 'short', locale=locale(country))}"


def ago(at: datetime, now: datetime) -> str:
    """ "3 hours ago"; "just now" for the last minute."""
    passed = (now - at).total_seconds()
    if passed < 60:
        return _("just now")
    return format_timedelta(-timedelta(seconds=whole(passed)), add_direction=True, locale=_language(), threshold=1)


def span(seconds: float) -> str:
    """A length of time in its largest unit: "2 days", "5 hours", "1 minute"."""
    return format_timedelta(timedelta(seconds=whole(seconds)), locale=_language(), threshold=1)


# A year, a month, a week, a day, an hour and a minute, as Babel counts them: it would round, and say of an hour and a
# half that it is two.
_UNITS = [86400 * 365, 86400 * 30, 86400 * 7, 86400, 3600, 60]


def whole(seconds: float) -> int:
    """A length of time as span() says it, in seconds: a minute or more, without what is over in its largest unit."""
    length = max(60, int(abs(seconds)))
    return length - length % next(unit for unit in _UNITS if length >= unit)


def iso_utc(at: datetime) -> str:
    """ISO 8601 in UTC to the second, with a Z, for <time datetime> and data attributes."""
    return at.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_local(at: datetime, zone: str) -> str:
    """ISO 8601 in the shop's zone to the second, with what it is ahead of UTC, for files that people may read."""
    return at.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")


def to_local_input(at: datetime, zone: str) -> str:
    """A moment as <input type=datetime-local> holds it, in the shop's zone."""
    return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M")


def from_local_input(text: str, zone: str) -> datetime:
    """The moment a <input type=datetime-local> means in the shop's zone, in UTC. Raises ValueError."""
    try:
        at = datetime.fromisoformat(text.strip())
        if at.tzinfo:
            raise ValueError("a zone of its own")
        return at.replace(tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))
    except (ValueError, OverflowError):
        raise ValueError(_("Write the date and time as 2026-11-23 18:00.")) from None


PICKS = {
    "today": lazy_gettext("Today 18:00"),
    "tomorrow": lazy_gettext("Tomorrow"),
    "3_days": lazy_gettext("In 3 days"),
    "1_week": lazy_gettext("In 1 week"),
}


def pick(name: str, zone: str, now: datetime) -> datetime:
    """The moment a quick pick stands for: 18:00 in the shop's zone on that day, in UTC."""
    days = {"today": 0, "tomorrow": 1, "3_days": 3, "1_week": 7}[name]
    day = now.astimezone(ZoneInfo(zone)) + timedelta(days=days)
    return day.replace(hour=18, minute=0, second=0, microsecond=0).astimezone(ZoneInfo("UTC"))


def day_bounds(zone: str, now: datetime) -> tuple[datetime, datetime]:
    """The start and the end of today in the shop's zone, in UTC."""
    # fold: where the clocks go back over midnight, the day begins with the first of the two.
    start = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return start.astimezone(ZoneInfo("UTC")), (start + timedelta(days=1)).astimezone(ZoneInfo("UTC"))


# --- codes, tokens, addresses -------------------------------------------------------------------


def repair_code(shop: str, branch: str, number: int) -> str:
    """ "TH-MN-R0001": shop code, branch code, counter of at least four digits."""
    return f"{shop}-{branch}-R{number:04d}"


def propose_code(name: str) -> str:
    """Two capitals that stand for a name: the initials of its first two words, or its first two letters."""
    plain = unicodedata.normalize("NFD", name.upper().replace("'", ""))
    words = re.findall(r"[A-Z]+", "".join(letter for letter in plain if not unicodedata.combining(letter)))
    letters = "".join(word[0] for word in words[:2]) if len(words) > 1 else "".join(words)[:2]
    return letters if len(letters) == 2 else ""


def new_token() -> str:
    """The secret part of a tracking address: 128 bits, 22 URL-safe characters."""
    return secrets.token_urlsafe(16)


def reach(address: str) -> str:
    """Who can open a public address: "machine", "network" or "world"."""
    host = (urlsplit(address).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return "machine"
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return "network" if "." not in host or host.endswith((".local", ".lan", ".internal", ".home.arpa")) else "world"
    if ip.is_loopback or ip.is_unspecified:
        return "machine"
    return "world" if ip.is_global else "network"


def parse_address(text: str) -> str:
    """A web address without its trailing slash: scheme and host, port if any. Raises ValueError with a sentence."""
    match = re.fullmatch(r"(https?)://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(?::(\d{1,5}))?/?", text.strip().lower())
    if not match or not _is_host(match[2]):
        raise ValueError(_("Write the address as https://repairs.example.com, without a path."))
    if match[3] and not 0 < int(match[3]) < 65536:
        raise ValueError(_("The port in this address is not one."))
    return f"{match[1]}://{match[2]}" + (f":{int(match[3])}" if match[3] else "")


def _is_host(host: str) -> bool:
    """Whether it is an IP address, or a name that the web's name service could know."""
    try:
        if host.startswith("[") or re.fullmatch(r"[\d.]+", host):
            return bool(ipaddress.ip_address(host.strip("[]")))
        return re.fullmatch(r"[a-z\d]([a-z\d-]*[a-z\d])?(\.[a-z\d]([a-z\d-]*[a-z\d])?)*\.?", _ascii(host)) is not None
    except ValueError:
        return False


def _ascii(host: str) -> str:
    return host.encode("idna").decode()


def clean_line(text: str | None) -> str:
    """One line of text without control characters and doubled spaces."""
    return " ".join(
        "".join(c if c.isprintable() or c in "\u200c\u200d\u200e\u200f" else " " for c in text or "").split()
    )


def clean_text(text: str | None) -> str:
    """Several lines of text without control characters; at most one empty line between two lines."""
    lines = (clean_line(line) for line in (text or "").splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


# The first that is named in what a browser says of itself: each names those before it as well.
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox/", "Firefox"))
_BROWSERS += (("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_MACHINES = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "Chromebook"))
_MACHINES += (("Windows", "Windows"), ("Mac OS X", "Mac"), ("Linux", "Linux"))


def browser(user_agent: str) -> str:
    """Roughly which browser it is, as its owner knows it: "Firefox, Windows". "" when it does not say."""
    program = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    machine = next((name for mark, name in _MACHINES if mark in user_agent), "")
    return ", ".join(filter(None, (program, machine)))
