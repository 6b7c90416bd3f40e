"""The packages: what pyproject.toml names is what requirements.txt locks, every file of it by its hash."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.config import ROOT

GROUPS = {"app": "requirements.txt", "tests": "tests/requirements.txt"}


def named(group):
    """{package: version} of a group in pyproject.toml."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    packages = [Requirement(line) for line in groups[group]]
    return {canonicalize_name(package.name): str(package.specifier) for package in packages}


def locked(file):
    """{package: (versions, hashes)} of a requirements file; another Python may need another version."""
    found = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / file).read_text()):
        if entry.startswith("#"):
            continue
        package = Requirement(entry.partition("\\")[0].strip())
        versions, hashes = found.setdefault(canonicalize_name(package.name), (set(), set()))
        versions.add(str(package.specifier))
        hashes.update(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry))
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_the_lock_holds_what_the_project_names(group):
    lock = locked(GROUPS[group])
    for package, version in named(group).items():
        assert version.startswith("=="), f"{package} is not pinned"
        assert lock[package][0] == {version}, f"{package}: run script/lock"


@pytest.mark.parametrize("file", GROUPS.values())
def test_every_package_is_pinned_and_known_by_its_hashes(file):
    for package, (versions, hashes) in locked(file).items():
        assert all(re.fullmatch(r"==[\w.]+", version) for version in versions), package
        assert hashes, package


def test_the_tests_run_with_the_shop_s_own_versions():
    shop, tests = locked(GROUPS["app"]), locked(GROUPS["tests"])
    assert {package: shop[package][0] for package in shop.keys() & tests} == {
        package: tests[package][0] for package in shop.keys() & tests
    }
