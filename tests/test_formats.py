"""How things are written, and what people type."""

import re
from datetime import UTC, datetime, timedelta

import phonenumbers
import pytest
from flask_babel import force_locale
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from app import formats

MONDAY = datetime(2026, 11, 23, 7, 5, tzinfo=UTC)  # 14:05 in Bangkok.


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- phones -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "country", "phone"),
    [
        ("081 234 5678", "TH", "+66812345678"),
        ("0812345678", "TH", "+66812345678"),
        ("081-234-5678", "TH", "+66812345678"),
        (" +66 (0)81 234 5678 ", "TH", "+66812345678"),
        ("๐๘๑๒๓๔๕๖๗๘", "TH", "+66812345678"),
        ("02 123 4567", "TH", "+6621234567"),
        ("(212) 555-0123", "US", "+12125550123"),
        ("1 212 555 0123", "US", "+12125550123"),
        ("212.555.0123", "US", "+12125550123"),
        ("912 345 678", "PT", "+351912345678"),
        ("00351 912345678", "PT", "+351912345678"),
        ("21 345 6789", "PT", "+351213456789"),
        ("+44 20 7946 0958", "PT", "+442079460958"),
        ("+351 912 345 678", "TH", "+351912345678"),
    ],
)
def test_a_phone_number_is_understood_however_it_is_typed(typed, country, phone):
    assert formats.parse_phone(typed, country) == phone


# In these one dials something else than 00, or something more.
AWKWARD = ["AU", "BR", "CO", "HK", "ID", "JP", "KH", "KR", "MN", "NG", "SG", "TH", "TJ", "TW", "TZ", "UG", "US"]


@pytest.mark.parametrize("country", AWKWARD)
@pytest.mark.parametrize(
    ("typed", "phone"),
    [
        ("0086 138 0013 8000", "+8613800138000"),
        ("0049 1511 2345678", "+4915112345678"),
        ("0091 98765 43210", "+919876543210"),
        ("(0091) 81234 56789", "+918123456789"),
        ("๐๐๓๓ 6 12 34 56 78", "+33612345678"),
        # Given to nobody, for films and examples.
        ("0044 7700 900123", "+447700900123"),
    ],
)
def test_a_foreign_number_with_00_is_understood_whatever_is_dialled_there(typed, phone, country):
    assert formats.parse_phone(typed, country) == phone


def understood(typed, country):
    """The number, or why it is refused."""
    try:
        return formats.parse_phone(typed, country)
    except ValueError as refusal:
        return str(refusal)


def test_no_number_is_taken_for_another():
    """Every country's numbers, typed as at home and from abroad; and those of all the others, typed with 00."""
    kinds = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    numbers = {
        region: [found for kind in kinds if (found := phonenumbers.example_number_for_type(region, kind))]
        for region in phonenumbers.SUPPORTED_REGIONS
    }
    for region, own in numbers.items():
        for number in own:
            phone = phonenumbers.format_number(number, PhoneNumberFormat.E164)
            national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
            for typed in (national, re.sub(r"\D", "", national), phone, phone.replace("+", "00")):
                assert formats.parse_phone(typed, region) == phone, (typed, region)
    one_each = {own[0].country_code: own[0] for own in numbers.values() if own}
    mobiles = [phonenumbers.format_number(number, PhoneNumberFormat.E164) for number in one_each.values()]
    for place, country in enumerate(AWKWARD):
        # A quarter of them for each country, which takes a quarter of the time.
        for phone in mobiles[place % 4 :: 4]:
            answer = understood(phone.replace("+", "00"), country)
            assert answer == phone or "write it as one of these" in answer, (phone, country)


@pytest.mark.parametrize(
    ("typed", "country", "phone"),
    [
        ("001 49 1511 2345678", "TH", "+4915112345678"),
        ("0011 49 1511 2345678", "AU", "+4915112345678"),
        ("010 49 1511 2345678", "JP", "+4915112345678"),
        ("009 49 1511 2345678", "NG", "+4915112345678"),
        ("002 49 1511 2345678", "KR", "+4915112345678"),
        ("011 49 1511 2345678", "US", "+4915112345678"),
        # Numbers of the country itself, some of which begin with 00.
        ("0077 75 12", "JP", "+8100777512"),
        ("00 123 4567", "TJ", "+992001234567"),
        ("07700 900123", "GB", "+447700900123"),
    ],
)
def test_what_is_dialled_in_a_country_is_understood_there(typed, country, phone):
    assert formats.parse_phone(typed, country) == phone


def test_a_number_that_may_be_two_is_refused_and_both_are_named():
    with pytest.raises(ValueError, match=r"^This may be \+66 81 234 5678 or \+81 0066812345678: "):
        formats.parse_phone("0066 81 234 5678", "JP")


@pytest.mark.parametrize("typed", ["", "   ", "abc", "+", "-", "ask Anna", "9" * 300, "081 234\x00", "💡"])
@pytest.mark.parametrize("country", ["TH", "US", "PT"])
def test_what_is_no_phone_number_is_refused_with_a_sentence(typed, country):
    with pytest.raises(ValueError, match=r"^This .*\.$"):
        formats.parse_phone(typed, country)


@pytest.mark.parametrize(
    ("typed", "country"),
    [
        ("123", "TH"),
        ("081 234 5678 90123", "TH"),
        ("112", "PT"),
        ("912 345", "PT"),
        ("212 555 0123 456", "US"),
        # Without its area code nobody outside that town can call it.
        ("555-1234", "US"),
    ],
)
def test_a_number_with_too_few_or_too_many_digits_is_refused(typed, country):
    with pytest.raises(ValueError, match="too few or too many digits"):
        formats.parse_phone(typed, country)


@pytest.mark.parametrize(
    ("phone", "country", "read"),
    [
        ("+66812345678", "TH", "081 234 5678"),
        ("+66812345678", "PT", "+66 81 234 5678"),
        ("+66812345678", "", "+66 81 234 5678"),
        ("+351912345678", "PT", "912 345 678"),
        ("+12125550123", "US", "(212) 555-0123"),
        ("+14165550123", "CA", "(416) 555-0123"),
        # A digit short: "1523334444" is what nobody typed and nobody can dial.
        ("+491523334444", "DE", "+49 1523334444"),
        ("+4915233344445", "DE", "01523 3344445"),
        # Given to nobody, for films and examples, but written as all are.
        ("+447700900638", "GB", "07700 900638"),
    ],
)
def test_a_phone_number_is_read_as_at_home_or_with_its_country(phone, country, read):
    assert formats.format_phone(phone, country) == read


@pytest.mark.parametrize(
    "phone",
    ["+66812345678", "+12125550123", "+351912345678", "+14165550123", "+442079460958", "+491523334444"],
)
@pytest.mark.parametrize("country", ["TH", "US", "PT", "CA", "GB", "DE"])
def test_a_phone_number_as_it_is_read_is_understood_again(phone, country):
    assert formats.parse_phone(formats.format_phone(phone, country), country) == phone


@pytest.mark.parametrize(
    ("typed", "digits"),
    [("081 234-5678", "812345678"), ("+66 81 234", "6681234"), ("0066 81", "6681"), ("Anna", ""), ("", "")],
)
def test_the_digits_of_a_number_are_those_that_every_way_to_write_it_shares(typed, digits):
    assert formats.digits(typed) == digits


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("Anna R0001", ["anna", "r0001"]),
        ("  ANNA ", ["anna"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("TH-MN-R0001", ["th-mn-r0001"]),
        ("สมชาย iPhone", ["สมชาย", "iphone"]),
        ("081 234 5678", ["081 234 5678"]),
        ("+66 (81) 234", ["+66 (81) 234"]),
        ("", []),
        ("   ", []),
    ],
)
def test_a_search_looks_for_words_or_for_one_number_typed_in_groups(typed, words):
    assert formats.search_words(typed) == words


# --- places -------------------------------------------------------------------------------------


def test_the_lists_to_choose_from_hold_the_world():
    assert ("TH", "Thailand") in formats.countries()
    assert ("THB", "THB – Thai Baht") in formats.currencies()
    assert {"Asia/Bangkok", "Europe/Lisbon", "America/New_York"} <= {*formats.timezones()}
    assert "DEM" not in dict(formats.currencies()), "a currency that is no longer in use"
    names = [name for _, name in formats.countries()]
    assert names == sorted(names, key=formats.fold)


def test_a_country_where_english_is_not_settled_writes_like_britain():
    assert str(formats.locale("US")) == "en_US"
    assert str(formats.locale("TH")) == "en_GB"
    assert {str(formats.locale(code)) for code in ("FR", "JP", "AQ", "")} <= {"en_GB", "en_FR", "en_JP"}


# --- money --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "currency", "minor"),
    [
        ("1200", "THB", 120000),
        ("1200.5", "THB", 120050),
        ("1200.50", "THB", 120050),
        ("1,200.50", "THB", 120050),
        ("1,200", "THB", 120000),
        ("1.200,50", "EUR", 120050),
        ("1.200", "EUR", 120000),
        ("1200,50", "EUR", 120050),
        ("1 200,50", "EUR", 120050),
        ("1\u202f200,50", "EUR", 120050),
        ("1'200.50", "CHF", 120050),
        ("1,234,567.89", "USD", 123456789),
        ("0.05", "USD", 5),
        ("0", "USD", 0),
        ("๑๒๐๐", "THB", 120000),
        # No decimals at all.
        ("1200", "JPY", 1200),
        ("1,200", "JPY", 1200),
        # Three decimals.
        ("1200", "KWD", 1200000),
        ("1.5", "KWD", 1500),
        ("0.500", "KWD", 500),
        ("1.200", "KWD", 1200),
        ("120.500", "KWD", 120500),
        ("1,200.500", "KWD", 1200500),
        ("1234.567", "KWD", 1234567),
    ],
)
def test_an_amount_is_understood_in_the_ways_the_world_writes_it(typed, currency, minor):
    assert formats.parse_money(typed, currency) == minor


@pytest.mark.parametrize(
    ("typed", "currency"),
    [
        *(
            (typed, "EUR")
            for typed in [
                "",
                " ",
                "abc",
                "-5",
                "+5",
                "1e5",
                "€",
                "€70€",
                "70€€",
                "€-5",
                "EUR",
                "5 k",
                "70 kr",
                "1,2,3",
                "12.3.4",
                "1.",
                ".",
                "½",
                "0x1f",
            ]
        ),
        ("1200.5", "JPY"),
        ("12.34", "JPY"),
        ("12.3456", "KWD"),
        ("5k", "ZMW"),
    ],
)
def test_what_is_no_amount_is_refused_with_a_sentence(typed, currency):
    with pytest.raises(ValueError, match=r"^Write the amount in figures"):
        formats.parse_money(typed, currency)


@pytest.mark.parametrize(
    ("typed", "currency", "country", "minor"),
    [
        *(
            (typed, "EUR", "DE", 7000)
            for typed in ["70,00\xa0€", "€70", "€ 70.00", "70 EUR", "70eur", "EUR\u202f70,00"]
        ),
        ("1.200,50 €", "EUR", "DE", 120050),
        ("1.200 €", "EUR", "DE", 120000),
        ("THB 1,200", "THB", "TH", 120000),
        ("฿1,200", "THB", "TH", 120000),
        ("$1,200.50", "USD", "US", 120050),
        ("US$ 70", "USD", "EC", 7000),
        ("£49.90", "GBP", "GB", 4990),
        ("1’200.50 CHF", "CHF", "CH", 120050),
        ("￥1,200", "JPY", "JP", 1200),
        ("¥1200", "JPY", "JP", 1200),
        ("1 200,50 zł", "PLN", "PL", 120050),
        ("K70", "ZMW", "ZM", 7000),
        ("70 EUR", "EUR", "", 7000),
    ],
)
def test_an_amount_may_have_the_shop_s_own_sign(typed, currency, country, minor):
    assert formats.parse_money(typed, currency, country) == minor


@pytest.mark.parametrize("language", ["de", "en", "es", "fr"])
def test_an_amount_is_read_back_as_the_page_prints_it_in_every_country(app, language):
    with app.test_request_context(), force_locale(language):
        for country, _ in formats.countries():
            currency, _ = formats.usual_in(country)
            printed = formats.format_money(120000, currency, country)
            assert formats.parse_money(printed, currency, country) == 120000, (country, printed)


@pytest.mark.parametrize("typed", ["$70", "70 $", "US$ 70", "70 USD", "gbp 70", "£70", "70 ₽", "70 € $"])
def test_an_amount_in_another_currency_is_refused_with_a_sentence(typed):
    with pytest.raises(ValueError, match=r"^This amount is in another currency\. Write it in EUR\.$"):
        formats.parse_money(typed, "EUR", "DE")


@pytest.mark.parametrize("typed", ["10,000,000,000.01", "999999999999999", "9" * 5000])
def test_an_amount_that_no_repair_costs_is_refused(typed):
    with pytest.raises(ValueError, match=r"^This amount is too large\.$"):
        formats.parse_money(typed, "EUR")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**12), st.sampled_from(["THB", "EUR", "USD", "JPY", "KWD", "CLF"]))
def test_an_amount_in_a_field_is_read_back_as_what_it_was(minor, currency):
    assert formats.parse_money(formats.plain_money(minor, currency), currency) == minor


@pytest.mark.parametrize(
    ("minor", "currency", "country", "read"),
    [
        (120050, "THB", "TH", "THB1,200.50"),
        (120050, "USD", "US", "$1,200.50"),
        (120050, "EUR", "PT", "1\xa0200,50\xa0€"),
        (1200, "JPY", "US", "¥1,200"),
        (1200500, "KWD", "US", "KWD1,200.500"),
    ],
)
def test_an_amount_is_read_as_the_country_writes_it(minor, currency, country, read):
    assert formats.format_money(minor, currency, country) == read


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2026-11-23 07:05", "today 14:05"),
        ("2026-11-23 16:59", "today 23:59"),
        ("2026-11-23 17:00", "tomorrow 00:00"),
        ("2026-11-24 02:00", "tomorrow 09:00"),
        ("2026-11-22 17:00", "today 00:00"),
        ("2026-11-22 16:59", "yesterday 23:59"),
        ("2026-11-30 07:05", "Mon 30 Nov, 14:05"),
        ("2026-11-21 07:05", "Sat 21 Nov, 14:05"),
        ("2027-01-04 07:05", "4 Jan 2027, 14:05"),
        ("2026-12-31 17:00", "1 Jan 2027, 00:00"),
    ],
)
def test_a_moment_is_said_in_the_shop_s_own_day(moment, said):
    assert formats.local_moment(at(moment), "Asia/Bangkok", "TH", MONDAY) == said


def test_a_moment_is_said_as_the_country_says_it():
    moment = at("2026-11-30 19:05")
    assert formats.local_moment(moment, "America/New_York", "US", MONDAY) == "Mon, Nov 30, 2:05\u202fPM"
    assert formats.local_date(moment, "Asia/Bangkok", "TH") == "1 Dec 2026"
    assert formats.local_time(moment, "Asia/Bangkok", "TH") == "02:05"


def test_tomorrow_is_tomorrow_on_the_night_when_the_clocks_change():
    now = at("2026-10-24 22:30")  # 23:30 in Lisbon, two hours before the clocks go back.
    assert formats.local_moment(at("2026-10-25 23:45"), "Europe/Lisbon", "PT", now) == "tomorrow 23:45"
    assert formats.local_moment(at("2026-10-26 00:15"), "Europe/Lisbon", "PT", now) == "Mon, 26 Oct, 00:15"


@pytest.mark.parametrize(
    ("since", "said"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=0), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(hours=3), "3 hours ago"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(minutes=91), "1 hour ago"),
        (timedelta(days=11), "1 week ago"),
    ],
)
def test_how_long_ago_is_said_in_one_unit(since, said):
    assert formats.ago(MONDAY - since, MONDAY) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((0, "1 minute"), (90, "1 minute"), (-7200, "2 hours"), (3 * 86400, "3 days")),
        # What has begun is not over.
        *((91 * 60, "1 hour"), (2 * 3600 - 0.1, "1 hour"), (24 * 3600 - 1, "23 hours"), (7 * 86400, "1 week")),
        *((11 * 86400, "1 week"), (29 * 86400, "4 weeks"), (30 * 86400, "1 month"), (365 * 86400, "1 year")),
        *((364 * 86400, "12 months"), (700 * 86400, "1 year")),
    ],
)
def test_a_length_of_time_is_said_in_its_largest_unit(seconds, said):
    assert formats.span(seconds) == said


def test_a_machine_reads_a_moment_in_utc():
    bangkok = datetime.fromisoformat("2026-11-23T14:05:09.75+07:00")
    assert formats.iso_utc(bangkok) == "2026-11-23T07:05:09Z"


@pytest.mark.parametrize(
    ("now", "name", "zone", "moment"),
    [
        ("2026-11-23 07:05", "today", "Asia/Bangkok", "2026-11-23 11:00"),
        ("2026-11-23 07:05", "tomorrow", "Asia/Bangkok", "2026-11-24 11:00"),
        ("2026-11-23 07:05", "3_days", "Asia/Bangkok", "2026-11-26 11:00"),
        ("2026-11-23 07:05", "1_week", "Asia/Bangkok", "2026-11-30 11:00"),
        # Already Tuesday in Bangkok.
        ("2026-11-23 17:30", "tomorrow", "Asia/Bangkok", "2026-11-25 11:00"),
        # The clocks go back on 25 October and forward on 29 March: still 18:00 on the wall.
        ("2026-10-24 12:00", "today", "Europe/Lisbon", "2026-10-24 17:00"),
        ("2026-10-24 12:00", "tomorrow", "Europe/Lisbon", "2026-10-25 18:00"),
        ("2026-10-24 12:00", "1_week", "Europe/Lisbon", "2026-10-31 18:00"),
        ("2026-03-28 12:00", "tomorrow", "Europe/Lisbon", "2026-03-29 17:00"),
        ("2026-10-31 16:00", "tomorrow", "America/New_York", "2026-11-01 23:00"),
        # Asked in the hour that comes twice.
        ("2026-11-01 06:30", "today", "America/New_York", "2026-11-01 23:00"),
    ],
)
def test_a_quick_pick_is_six_in_the_evening_on_that_day(now, name, zone, moment):
    assert formats.pick(name, zone, at(now)) == at(moment)


def test_every_quick_pick_can_be_picked():
    assert all(formats.pick(name, "Asia/Bangkok", MONDAY) for name in formats.PICKS)


@pytest.mark.parametrize(
    ("zone", "now", "start", "end"),
    [
        ("Asia/Bangkok", "2026-11-23 07:05", "2026-11-22 17:00", "2026-11-23 17:00"),
        ("Europe/Lisbon", "2026-10-25 12:00", "2026-10-24 23:00", "2026-10-26 00:00"),
        ("Europe/Lisbon", "2026-03-29 12:00", "2026-03-29 00:00", "2026-03-29 23:00"),
        # Midnight itself comes twice in Havana; the day begins with the first.
        ("America/Havana", "2026-11-01 05:30", "2026-11-01 04:00", "2026-11-02 05:00"),
    ],
)
def test_today_is_as_long_as_the_clocks_make_it(zone, now, start, end):
    assert formats.day_bounds(zone, at(now)) == (at(start), at(end))


def test_a_date_field_holds_the_shop_s_own_time():
    assert formats.to_local_input(MONDAY, "Asia/Bangkok") == "2026-11-23T14:05"
    assert formats.from_local_input("2026-11-23T14:05", "Asia/Bangkok") == MONDAY
    assert formats.from_local_input(" 2026-11-23 14:05 ", "Asia/Bangkok") == MONDAY


@settings(max_examples=50, deadline=None)
@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)), st.sampled_from(["Asia/Bangkok", "Asia/Kathmandu"]))
def test_a_date_field_is_read_back_as_what_it_was(moment, zone):
    moment = moment.replace(second=0, microsecond=0, tzinfo=UTC)
    assert formats.from_local_input(formats.to_local_input(moment, zone), zone) == moment


@pytest.mark.parametrize(
    "typed", ["", "soon", "23/11/2026 18:00", "2026-13-01T10:00", "2026-11-23T25:00", "0001-01-01T00:00"]
)
def test_what_is_no_date_and_time_is_refused_with_a_sentence(typed):
    with pytest.raises(ValueError, match=r"^Write the date and time as 2026-11-23 18:00\.$"):
        formats.from_local_input(typed, "Asia/Bangkok")


# --- codes, tokens, addresses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"),
    [(1, "TH-MN-R0001"), (9999, "TH-MN-R9999"), (10000, "TH-MN-R10000"), (1234567, "TH-MN-R1234567")],
)
def test_a_code_has_at_least_four_digits(number, code):
    assert formats.repair_code("TH", "MN", number) == code


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Main", "MA"),
        ("Riverside Bench", "RB"),
        ("Lamp & Bench Repairs", "LB"),
        ("O'Brien", "OB"),
        ("iFix", "IF"),
        ("3M Repairs", "MR"),
        ("São Paulo", "SP"),
        ("Évora", "EV"),
        ("A", ""),
        ("", ""),
        ("42", ""),
        ("ร้านซ่อม", ""),
    ],
)
def test_a_code_is_proposed_from_the_name_where_its_letters_allow(name, code):
    assert formats.propose_code(name) == code


def test_a_token_is_22_characters_that_nobody_can_guess():
    tokens = {formats.new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {22}
    assert all(token.replace("-", "").replace("_", "").isalnum() and token.isascii() for token in tokens)


REACH = {
    "machine": """
        http://localhost:8000 http://localhost http://127.0.0.1 http://127.8.8.8:80 http://[::1]:8000
        http://0.0.0.0:8000 http://shop.localhost http://LOCALHOST
    """,
    "network": """
        http://192.168.1.5 http://192.168.1.5:8000 http://10.0.0.1 http://172.16.0.1 http://100.64.0.1
        http://169.254.1.1 http://[fd00::1] http://[fe80::1] http://shop http://shop:8000 http://shop.local
        http://shop.lan http://shop.internal http://shop.home.arpa
    """,
    "world": """
        https://repairs.example.com https://repairs.example.com. https://repairs.example.com:8443 http://8.8.8.8
        http://[2001:4860:4860::8888] http://172.32.0.1 https://localhost.example.com
    """,
}


@pytest.mark.parametrize(
    ("address", "reach"), [(address, reach) for reach, addresses in REACH.items() for address in addresses.split()]
)
def test_it_is_known_who_can_open_an_address(address, reach):
    assert formats.reach(address) == reach


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("https://repairs.example.com", "https://repairs.example.com"),
        (" https://repairs.example.com/ ", "https://repairs.example.com"),
        ("HTTPS://Repairs.Example.COM", "https://repairs.example.com"),
        ("http://192.168.1.5:8000/", "http://192.168.1.5:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://shop", "http://shop"),
        ("https://ร้าน.ไทย", "https://ร้าน.ไทย"),
    ],
)
def test_an_address_is_kept_without_its_trailing_slash(typed, address):
    assert formats.parse_address(typed) == address


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "repairs.example.com",
        "//repairs.example.com",
        "ftp://repairs.example.com",
        "javascript:alert(1)",
        "https://",
        "https://repairs.example.com/track",
        "https://repairs.example.com?a=b",
        "https://repairs.example.com:99999",
        "https://repairs.example.com:port",
        "https://repairs example.com",
        'https://repairs"example.com',
        "https://<repairs>",
        "http://[::1",
    ],
)
def test_what_no_link_can_begin_with_is_refused_with_a_sentence(typed):
    with pytest.raises(ValueError, match=r"^(Write the address as|The port in this address) .*\.$"):
        formats.parse_address(typed)


# --- text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  iPhone   13 ", "iPhone 13"),
        ("one\ttwo\r\nthree", "one two three"),
        ("nul\x00byte\x1b[31m", "nul byte [31m"),
        ("turned\u202eround", "turned round"),
        ("hard\xa0space", "hard space"),
        ("👩\u200d🔧", "👩\u200d🔧"),
        ("ร้านซ่อม", "ร้านซ่อม"),
        ("half \ud800 a letter", "half a letter"),
        (None, ""),
        ("", ""),
    ],
)
def test_a_line_is_kept_without_what_cannot_be_seen(typed, kept):
    assert formats.clean_line(typed) == kept


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("one\r\ntwo", "one\ntwo"),
        ("\n\none\n\n\n\n\ntwo\n\n", "one\n\ntwo"),
        ("  one  two \n three\x00", "one two\nthree"),
        (None, ""),
        (" \n \n", ""),
    ],
)
def test_a_text_keeps_its_lines_and_at_most_one_empty_line_between_two(typed, kept):
    assert formats.clean_text(typed) == kept


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_a_text_that_is_clean_stays_as_it_is(text):
    once = formats.clean_text(text)
    assert formats.clean_text(once) == once
    assert "\x00" not in once
