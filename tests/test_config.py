"""What the environment says, and what a wrong value is answered with."""

import os
import re
import stat
from datetime import time
from pathlib import Path

import pytest

from app import config
from app.config import BadSetting, load

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def environ(tmp_path):
    """An environment that says no more than where the data is and what the key is."""
    return {"DATA_DIR": str(tmp_path), "SECRET_KEY": SECRET}


def test_the_defaults_run_on_a_laptop(tmp_path):
    settings = load({"DATA_DIR": str(tmp_path)})
    assert settings == {
        "HOST": "0.0.0.0",  # noqa: S104 (what the design says: a shop's phones reach it)
        "PORT": 8000,
        "DATA_DIR": str(tmp_path),
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'readylight.db'}",
        "REPLICA_URL": None,
        "SERVING": False,
        "SECRET_KEY": (tmp_path / "secret_key").read_text(),
        "TRUSTED_PROXIES": 0,
        "WORKERS": min(os.cpu_count(), 8),
        "THREADS": 64,
        "RATELIMIT_STORAGE_URI": "database://",
        "BACKUP_AT": time(3),
        "BACKUP_DIR": str(tmp_path / "backups"),
        "BACKUP_KEEP": 14,
        "LOG_LEVEL": "INFO",
        "LOG_FORMAT": "text",
        "LOG_REQUESTS": 0,
        "METRICS_TOKEN": None,
    }


def test_the_data_is_in_the_instance_folder_unless_told_otherwise():
    assert load({"SECRET_KEY": SECRET})["DATA_DIR"] == str(config.ROOT / "instance")


@pytest.mark.parametrize(
    ("folder", "meant"),
    [("shop-data", str(config.ROOT / "shop-data")), ("/srv/shop", "/srv/shop"), ("~/shop", str(Path.home() / "shop"))],
)
def test_a_folder_is_the_same_wherever_a_command_is_started(environ, folder, meant):
    assert load(environ | {"DATA_DIR": folder})["DATA_DIR"] == meant


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("HOST", " 127.0.0.1 ", "127.0.0.1"),
        ("PORT", "80", 80),
        ("PORT", " 65535 ", 65535),
        ("TRUSTED_PROXIES", "2", 2),
        ("WORKERS", "3", 3),
        ("THREADS", "1", 1),
        ("RATELIMIT_STORAGE_URI", "memory://", "memory://"),
        ("RATELIMIT_STORAGE_URI", "redis://localhost:6379", "redis://localhost:6379"),
        ("REPLICA_URL", "postgres://ana@copy/shop", "postgresql+psycopg://ana@copy/shop"),
        ("BACKUP_AT", " 23:30 ", time(23, 30)),
        ("BACKUP_AT", "Off", None),
        ("BACKUP_DIR", "/mnt/nas/readylight", "/mnt/nas/readylight"),
        ("BACKUP_KEEP", "30", 30),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("LOG_FORMAT", "JSON", "json"),
        ("LOG_REQUESTS", "1", 1),
        ("METRICS_TOKEN", "sixteen letters!", "sixteen letters!"),
        ("SECRET_KEY", SECRET, SECRET),
    ],
)
def test_a_setting_is_read_from_the_environment(environ, name, value, read):
    assert load(environ | {name: value})[name] == read


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("postgres://ana:pw@db.example.com/shop", "postgresql+psycopg://ana:pw@db.example.com/shop"),
        ("postgresql://ana:pw@db.example.com/shop", "postgresql+psycopg://ana:pw@db.example.com/shop"),
        ("postgresql+psycopg://localhost/shop", "postgresql+psycopg://localhost/shop"),
        ("sqlite:////srv/shop.db", "sqlite:////srv/shop.db"),
    ],
)
def test_a_database_is_named_in_any_of_the_usual_ways(environ, url, used):
    settings = load(environ | {"DATABASE_URL": url})
    assert settings["SQLALCHEMY_DATABASE_URI"] == used
    assert "DATABASE_URL" not in settings


def test_a_sqlite_file_without_a_folder_lies_in_the_data_folder_for_everybody(environ, tmp_path):
    """For the app, which would put it there anyway, and for the backup, which would look where it was started."""
    settings = load(environ | {"DATABASE_URL": "sqlite:///shop.db"})
    assert settings["SQLALCHEMY_DATABASE_URI"] == f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "eighty"),
        ("PORT", "-1"),
        ("PORT", "８０"),
        ("PORT", "80.5"),
        ("TRUSTED_PROXIES", "11"),
        ("TRUSTED_PROXIES", "yes"),
        ("WORKERS", "0"),
        ("WORKERS", "65"),
        ("THREADS", "257"),
        ("DATABASE_URL", "mysql://localhost/shop"),
        ("DATABASE_URL", "shop.db"),
        ("DATABASE_URL", "postgresql"),
        # In memory: every worker would have a shop of its own, and none tomorrow.
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("SECRET_KEY", "too short"),
        ("RATELIMIT_STORAGE_URI", "memcached://localhost"),
        ("RATELIMIT_STORAGE_URI", "yes"),
        ("BACKUP_AT", "24:00"),
        ("BACKUP_AT", "at night"),
        ("BACKUP_KEEP", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("LOG_REQUESTS", "yes"),
        ("METRICS_TOKEN", "too short"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_sentence_that_names_the_variable(environ, name, value):
    with pytest.raises(BadSetting) as refusal:
        load(environ | {name: value})
    sentence = str(refusal.value)
    assert sentence.startswith(f"{name} must ")
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [("SECRET_KEY", "hunter2hunter2", "hunter2"), ("DATABASE_URL", "mysql://ana:hunter2@localhost/shop", "hunter2")],
)
def test_a_wrong_value_that_holds_a_secret_is_not_repeated(environ, name, value, secret):
    with pytest.raises(BadSetting) as refusal:
        load(environ | {name: value})
    assert secret not in str(refusal.value)


@pytest.mark.parametrize("setting", config.SETTINGS, ids=lambda setting: setting.name)
def test_an_empty_value_means_the_default(environ, setting):
    assert load(environ | {setting.name: ""}) == load({**environ, setting.name: setting.default})


def test_a_bad_setting_ends_a_command_like_any_failure():
    assert issubclass(BadSetting, SystemExit)


# --- the secret key -----------------------------------------------------------------------------


def test_the_secret_key_is_made_once_and_read_by_nobody_else(tmp_path):
    first = load({"DATA_DIR": str(tmp_path / "new" / "data")})["SECRET_KEY"]
    file = tmp_path / "new" / "data" / "secret_key"
    assert len(first) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load({"DATA_DIR": str(tmp_path / "new" / "data")})["SECRET_KEY"] == first


def test_two_shops_have_two_secret_keys(tmp_path):
    assert (
        load({"DATA_DIR": str(tmp_path / "one")})["SECRET_KEY"]
        != load({"DATA_DIR": str(tmp_path / "two")})["SECRET_KEY"]
    )


def test_a_secret_key_of_one_s_own_makes_no_file(environ, tmp_path):
    assert load(environ)["SECRET_KEY"] == SECRET
    assert not (tmp_path / "secret_key").exists()


@pytest.mark.parametrize("content", ["", "short", "\n"])
def test_a_damaged_secret_key_stops_the_start(tmp_path, content):
    (tmp_path / "secret_key").write_text(content)
    with pytest.raises(BadSetting, match=r"secret_key is damaged\. Remove the file"):
        load({"DATA_DIR": str(tmp_path)})


def test_a_secret_key_that_cannot_be_read_stops_the_start(tmp_path):
    (tmp_path / "secret_key").mkdir()
    with pytest.raises(BadSetting, match=r"secret_key cannot be read: .*\.$"):
        load({"DATA_DIR": str(tmp_path)})


def test_a_data_folder_that_cannot_be_made_stops_the_start(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadSetting, match=r"^The data folder .*/file/data cannot be written: .*\.$"):
        load({"DATA_DIR": str(tmp_path / "file" / "data")})


# --- the README ---------------------------------------------------------------------------------


def test_the_readme_s_table_is_the_settings():
    text = (config.ROOT / "README.md").read_text()
    section = re.search(r"^#+ Settings$(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, "the README has no heading Settings"
    rows = re.findall(r"^\| *`(\w+)` *\| *(.*?) *\| *(.*?) *\|$", section[1], re.MULTILINE)
    assert [name for name, _, _ in rows] == [setting.name for setting in config.SETTINGS]
    for (name, default, meaning), setting in zip(rows, config.SETTINGS, strict=True):
        assert meaning, name
        # A default worked out at start is told in words.
        assert default.strip("`") == setting.default if setting.default else default, name
