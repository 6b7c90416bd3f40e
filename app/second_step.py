"""The second step at sign-in: a code that one's phone shows (RFC 6238), or one of ten that were written down."""

import secrets

import pyotp
from sqlalchemy import delete, func, select, update

from . import passwords
from .db import db, utcnow
from .models import RecoveryCode, Shop, Staff

SECONDS = 30
CODES = 10
# Without those that are taken for one another when they are read from paper.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def new_secret() -> str:
    """160 random bits in base 32, as apps take them."""
    return pyotp.random_base32()


def is_secret(text: str) -> bool:
    """Whether it could have come from new_secret."""
    return len(text) == 32 and set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")


def address(secret: str, staff: Staff, shop: Shop) -> str:
    """What an app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=staff.email, issuer_name=shop.name)


def step_of(secret: str, code: str, *, after: int = 0) -> int | None:
    """Which half minute a code is of: the present one, or one beside it, as clocks differ. None for a wrong code.

    after: the last one whose code was used, which with all before it is used up.
    """
    code, now = "".join(code.split()), int(utcnow().timestamp()) // SECONDS
    for step in (now, now - 1, now + 1):
        # Compared to the end, whatever is wrong with it.
        if secrets.compare_digest(pyotp.TOTP(secret).at(step * SECONDS).encode(), code.encode()) and step > after:
            return step
    return None


def passes(staff: Staff, *, code: str, recovery: str) -> bool:
    """Whether the recovery code is right, or without one the code; used up by that, in the caller's transaction."""
    return _use_recovery(staff, recovery) if recovery else _use(staff, code)


def _use(staff: Staff, code: str) -> bool:
    step = step_of(staff.totp_secret, code, after=staff.totp_step)
    if step is None:
        return False
    # Of two who send the same code at the same moment, one finds it used.
    mine = update(Staff).where(Staff.id == staff.id, Staff.totp_step < step).values(totp_step=step)
    return db.session.execute(mine).rowcount == 1


def _use_recovery(staff: Staff, typed: str) -> bool:
    mine = RecoveryCode.staff_id == staff.id
    known = db.session.execute(select(RecoveryCode.id, RecoveryCode.code_hash).where(mine)).all()
    # The transaction ends here: it must not hold the write lock while ten hashes are worked out.
    db.session.rollback()
    plain = _plain(typed)
    found = next((row.id for row in known if passwords.password_matches(plain, row.code_hash)), None)
    if found is None:
        return False
    return db.session.execute(delete(RecoveryCode).where(RecoveryCode.id == found)).rowcount == 1


def _plain(typed: str) -> str:
    return "".join(letter for letter in typed.casefold() if letter in _LETTERS)


def new_recovery_codes() -> tuple[list[str], list[str]]:
    """Ten codes of 59 random bits, to be shown once, and what is kept of them."""
    letters = [["".join(secrets.choice(_LETTERS) for _ in range(6)) for _ in range(2)] for _ in range(CODES)]
    # Short enough to write down, so too short to be kept as a plain hash.
    return ["-".join(pair) for pair in letters], [passwords.hash_password("".join(pair)) for pair in letters]


def keep_recovery_codes(staff: Staff, hashes: list[str]) -> None:
    """Puts codes in the place of those before, in the caller's transaction."""
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.staff_id == staff.id))
    db.session.add_all(RecoveryCode(staff_id=staff.id, code_hash=code_hash) for code_hash in hashes)


def recovery_codes_left(staff: Staff) -> int:
    """How many were not used yet."""
    return db.session.scalar(select(func.count(RecoveryCode.id)).where(RecoveryCode.staff_id == staff.id))
