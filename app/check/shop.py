"""The checks of the shop as it was set up: each yields what it finds, as (state, sentence)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .. import formats, online
from ..config import ROOT
from ..online import Found
from .place import OK, WARNING, WRONG


def _shop(place):
    if not place.shop:
        yield (
            WARNING,
            "None is set up here: open the address that script/server prints. If there was one, DATA_DIR is wrong.",
        )
        return
    owners = place.ask("SELECT count(*) FROM staff WHERE role = 'owner' AND active AND password_hash <> ''")[0][0]
    yield (
        (OK, place.shop[0])
        if owners
        else (
            WRONG,
            "No owner can sign in, so nobody can change its settings: flask owner-link EMAIL makes one a new link.",
        )
    )


def _clock(place):
    now = datetime.now(UTC)
    events = [_moment(at) for (at,) in place.ask("SELECT at FROM event ORDER BY id DESC LIMIT 1")]
    program = max(file.stat().st_mtime for file in (ROOT / "migrations" / "versions").glob("*.py"))
    newest = max([*events, datetime.fromtimestamp(program, UTC)])
    if now < newest - timedelta(minutes=2):
        yield (
            WRONG,
            f"It shows {now:%Y-%m-%d %H:%M} UTC, which is before {newest:%Y-%m-%d %H:%M}, already past: set it right.",
        )
        return
    zone = place.shop[1] if place.shop else "UTC"
    try:
        yield OK, f"{now.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} in the shop ({zone})"
    except ZoneInfoNotFoundError:
        yield WRONG, f"Nothing is known of the time zone {zone}: script/server installs tzdata."


def _moment(value) -> datetime:
    """SQLite gives text without a zone, PostgreSQL a moment."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _address(place):
    if not place.shop:
        return
    address = place.shop[2]
    reach = formats.reach(address)
    secure = address.startswith("https://")
    if reach == "machine":
        yield WARNING, f"{address} opens on this machine alone: customers cannot follow their links."
    elif reach == "network":
        yield WARNING, f"{address} opens in the shop's own network alone: customers outside cannot follow their links."
    elif not secure:
        yield WARNING, f"{address} is not https: put a proxy in front, as the README says."
    else:
        yield OK, address
    proxies, host = place.settings["TRUSTED_PROXIES"], place.settings["HOST"]
    if secure and not proxies:
        yield (
            WARNING,
            "It is https, but TRUSTED_PROXIES is 0: cookies are not marked secure, and all visitors count as one.",
        )
    if proxies and host not in {"127.0.0.1", "::1", "localhost"} and not _in_container():
        yield (
            WARNING,
            f"TRUSTED_PROXIES is {proxies}, but HOST={host} lets others pass the proxy by: set HOST=127.0.0.1.",
        )


def _in_container() -> bool:
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))


def _online(place):
    if not (place.online and place.shop):
        return
    address = place.shop[2]
    found, more = online.ask(place.app, address)
    if found == Found.HERE:
        yield OK, f"{address} is this shop"
    elif found == Found.NOTHING:
        yield WRONG, f"{address} does not answer this machine: {more}."
    elif found == Found.ELSEWHERE:
        yield WRONG, f"{address} sends everyone on to {more}: make that the public address."
    else:
        yield WRONG, f"{address} answers, but it is not this shop: another secret key, or another site."


CHECKS = {
    "Shop": _shop,
    "Clock": _clock,
    "Public address": _address,
    "From outside": _online,
}
