"""Passwords: which are refused, and how one is compared."""

import pytest
from argon2 import extract_parameters

from app import passwords
from app.passwords import check_password, hash_password, password_matches

KNOWN = ("Somchai Jaidee", "somchai.j@example.com", "Lamp & Bench")


@pytest.mark.parametrize(
    "password",
    [
        "three quiet lamps",
        "correct horse battery staple",
        "xK9#mQ2$vL7p",
        "my dog eats 12 apples",
        "แมวสามตัวบนหลังคา",
        "somchai walks his dog at noon",
        "a" * 12 + "bcde and so on, and so on",
        "one two three four five six seven eight nine ten " * 4,
    ],
)
def test_a_password_of_twelve_characters_that_nobody_would_try_is_taken(password):
    check_password(password, *KNOWN)


@pytest.mark.parametrize("password", ["", "short", "elevenchars", "xK9#mQ2$vL7"])
def test_a_short_password_is_refused(password):
    with pytest.raises(ValueError, match=r"^Use 12 characters or more\."):
        check_password(password)


def test_a_password_that_is_a_book_is_refused():
    with pytest.raises(ValueError, match=r"^Use 200 characters or fewer\.$"):
        check_password("quiet lamps " * 17)


@pytest.mark.parametrize(
    "password",
    [
        # Common as they stand, or a common word made longer with figures and marks.
        "qazwsxedcrfv",
        "QAZWSXEDCRFV",
        "finalfantasy",
        "password1234",
        "Password!2026",
        "p_a_s_s_w_o_r_d",
        "qwerty123456",
        # The same again and again.
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "lamp lamp lamp ",
        "121212121212",
        "aabbaabbaabb",
        "abcdacbdbadc",
        # A row of the keyboard or the alphabet.
        "123456789012",
        "098765432109",
        "abcdefghijkl",
        "lkjihgfedcba",
        # Their own name, address or shop, with a little around it.
        "Lamp & Bench",
        "lamp&bench2026",
        "Lamp & Bench!!",
        "Somchai Jaidee",
        "somchaijaidee1",
        "somchai.j@example.com",
        "somchai.j.2026",
    ],
)
def test_a_password_that_others_would_try_first_is_refused(password):
    with pytest.raises(ValueError, match=r"^This password is one of the first that others would try\."):
        check_password(password, *KNOWN)


@pytest.mark.parametrize("word", ["", "A", "Ana"])
def test_a_short_name_forbids_nothing(word):
    check_password("Ana walks at noon", word)


# --- comparing ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("app")
def test_the_right_password_matches_and_no_other():
    kept = hash_password("three quiet lamps")
    assert kept.startswith("$argon2id$")
    assert password_matches("three quiet lamps", kept)
    for wrong in ("three quiet lamp", "Three quiet lamps", "three quiet lamps ", "", "\x00"):
        assert not password_matches(wrong, kept)


@pytest.mark.usefixtures("app")
def test_the_same_password_is_kept_differently_each_time():
    assert hash_password("three quiet lamps") != hash_password("three quiet lamps")


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("kept", ["damaged", "$argon2id$v=19$m=8,t=1,p=1$broken", "$2b$12$of.another.kind"])
def test_a_damaged_hash_matches_nothing(kept):
    assert not password_matches("three quiet lamps", kept)


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("kept", [None, ""])
def test_nobody_s_password_matches_nothing(kept):
    assert password_matches("three quiet lamps", kept) is False


def test_it_takes_as_much_work_to_refuse_somebody_who_does_not_exist(app):
    nobody = passwords._nobodys_hash(**app.config["ARGON2"])
    assert extract_parameters(nobody) == extract_parameters(hash_password("three quiet lamps"))
