"""Reads the environment once, into Flask's configuration.

Every setting is a line of SETTINGS; the README's table is tested against it. Nothing else in the
code base looks at the environment.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class BadSetting(SystemExit):
    """A setting that the app cannot start with. As a SystemExit it ends any command with its one sentence."""


def _text(value):
    return value.strip()


def _number(lowest, highest):
    def convert(value):
        if not value.strip().isascii() or not value.strip().isdigit() or not lowest <= int(value) <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(value)

    return convert


def _folder(value):
    return str((ROOT / Path(value).expanduser()).resolve())


def _database_url(value):
    scheme, separator, rest = value.strip().partition("://")
    if scheme in {"postgres", "postgresql", "postgresql+psycopg"} and separator:
        return f"postgresql+psycopg://{rest}"
    if scheme == "sqlite" and rest.strip("/") and ":memory:" not in rest:
        return value.strip()
    raise ValueError("must be sqlite:/// and a file, or postgresql://user:password@host/name")


def _storage(value):
    scheme = value.strip().partition("://")[0]
    if scheme not in {"database", "memory", "redis", "rediss"}:
        raise ValueError("must start with database://, memory:// or redis://")
    return value.strip()


def _log_level(value):
    level = value.strip().upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
    return level


def _log_format(value):
    name = value.strip().lower()
    if name not in {"text", "json"}:
        raise ValueError("must be text or json")
    return name


def _secret(shortest):
    def convert(value):
        if len(value) < shortest:
            raise ValueError(f"must be {shortest} characters or longer")
        return value

    return convert


def _time_of_day(value):
    """A time, or None for "off"."""
    if value.strip().lower() == "off":
        return None
    try:
        return datetime.strptime(value.strip(), "%H:%M").time()
    except ValueError:
        raise ValueError("must be a time of day such as 03:00, or off") from None


class Setting(NamedTuple):
    """One environment variable: its default as text ("" = worked out at start) and how it is read."""

    name: str
    default: str
    read: Callable[[str], object]


SETTINGS = (
    Setting("HOST", "0.0.0.0", _text),  # noqa: S104 (a shop's phones reach the counter's machine over the LAN)
    Setting("PORT", "8000", _number(1, 65535)),
    Setting("DATA_DIR", "instance", _folder),
    Setting("DATABASE_URL", "", _database_url),
    Setting("REPLICA_URL", "", _database_url),
    Setting("SECRET_KEY", "", _secret(32)),
    Setting("TRUSTED_PROXIES", "0", _number(0, 10)),
    Setting("WORKERS", "", _number(1, 64)),
    Setting("THREADS", "64", _number(1, 256)),
    Setting("RATELIMIT_STORAGE_URI", "database://", _storage),
    Setting("BACKUP_AT", "03:00", _time_of_day),
    Setting("BACKUP_DIR", "", _folder),
    Setting("BACKUP_KEEP", "14", _number(1, 3650)),
    Setting("LOG_LEVEL", "INFO", _log_level),
    Setting("LOG_FORMAT", "text", _log_format),
    Setting("LOG_REQUESTS", "0", _number(0, 1)),
    Setting("METRICS_TOKEN", "", _secret(16)),
)
SECRETS = {"SECRET_KEY", "DATABASE_URL", "REPLICA_URL", "RATELIMIT_STORAGE_URI", "METRICS_TOKEN"}


def load(environ: Mapping[str, str] = os.environ) -> dict:
    """Settings as Flask's configuration wants them.

    Raises BadSetting, naming the variable, for a value that cannot be used.
    """
    config = {}
    for setting in SETTINGS:
        value = environ.get(setting.name, "") or setting.default
        try:
            config[setting.name] = setting.read(value) if value else None
        except ValueError as problem:
            # What may hold a password is not repeated to whoever reads the log.
            shown = "" if setting.name in SECRETS else f"; it is {value!r}"
            raise BadSetting(f"{setting.name} {problem}{shown}.") from None
    data = Path(config["DATA_DIR"])
    # gunicorn says of itself that it is the server.
    config["SERVING"] = "SERVER_SOFTWARE" in environ
    config["WORKERS"] = config["WORKERS"] or min(os.cpu_count() or 1, 8)
    config["BACKUP_DIR"] = config["BACKUP_DIR"] or str(data / "backups")
    url = config.pop("DATABASE_URL") or "sqlite:///readylight.db"
    if url.startswith("sqlite:///"):
        # A file without a folder lies in the data folder, wherever the command was started.
        url = f"sqlite:///{data / url.removeprefix('sqlite:///')}"
    config["SQLALCHEMY_DATABASE_URI"] = url
    config["SECRET_KEY"] = config["SECRET_KEY"] or _secret_key(data)
    return config


# What the server's own processes have in their environment, and no command that they start.
_OF_THE_SERVER = {
    *("SERVER_SOFTWARE", "PROMETHEUS_MULTIPROC_DIR"),
    *("PYTHONOPTIMIZE", "PYTHONNODEBUGRANGES", "PYTHONPYCACHEPREFIX"),
}


def for_commands(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for a command that the server starts, without what marks the server's own processes."""
    return {name: environ[name] for name in environ if name not in _OF_THE_SERVER}


def _secret_key(data: Path) -> str:
    """The key kept in the data folder, made the first time."""
    file = data / "secret_key"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            part = data / f"secret_key.{os.getpid()}"
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as new:
                new.write(secrets.token_urlsafe(48))
            # Of two processes that start together one puts its key there, and both read that one, whole.
            with contextlib.suppress(FileExistsError):
                os.link(part, file)
            part.unlink()
    except OSError as problem:
        raise BadSetting(f"The data folder {data} cannot be written: {problem.strerror}.") from None
    try:
        key = file.read_text().strip()
    except OSError as problem:
        raise BadSetting(f"The secret key {file} cannot be read: {problem.strerror}.") from None
    if len(key) < 32:
        raise BadSetting(f"The secret key in {file} is damaged. Remove the file to have a new one made.")
    return key
