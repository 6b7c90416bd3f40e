"""The migrations: together they build what the models describe, and each can be taken back."""

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import current_app
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, update

from app.config import ROOT
from app.db import db, let_go, revisions, utcnow
from app.models import Merge

from .conftest import make_app
from .factories import make_customer, make_repair, make_shop, make_staff

SCRIPT = ScriptDirectory(str(ROOT / "migrations"))


@pytest.fixture
def empty(tmp_path, other_database):
    """An app on an empty database of its own."""
    with make_app(tmp_path, other_database).app_context():
        yield
        db.session.remove()
        let_go()


def is_described(name, kind, parents):
    """Whether the models say anything of it. The index of trigrams they leave to the migrations."""
    return "_words" not in (name or "")


def differences():
    with db.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_name": is_described}
        return compare_metadata(MigrationContext.configure(connection, opts=options), db.metadata)


def tables():
    names = inspect(db.engine).get_table_names()
    return {name for name in names if is_described(name, "table", {})} - {"alembic_version"}


@pytest.mark.usefixtures("empty")
def test_the_migrations_build_what_the_models_describe():
    upgrade()
    assert differences() == []


@pytest.mark.usefixtures("empty")
def test_every_migration_can_be_taken_back_and_made_again():
    upgrade()
    for _ in SCRIPT.walk_revisions():
        downgrade()
    assert tables() == set()
    for _ in SCRIPT.walk_revisions():
        upgrade(revision="+1")
    assert differences() == []


@pytest.mark.usefixtures("empty")
def test_an_empty_database_has_no_tables_until_it_is_upgraded():
    assert tables() == set()
    upgrade()
    assert tables() == {*db.metadata.tables}


@pytest.mark.usefixtures("empty")
def test_a_name_that_was_stored_before_is_found_by_the_letters_that_are_folded_now():
    upgrade()
    make_shop()
    repair = make_repair(customer=make_customer(name="Łukasz Sørensen"), item="Ærø")
    plain = make_repair(customer=make_customer(name="Ana Souza"))
    other = plain.search
    # As the program before wrote it.
    for row, search in ((repair.customer, "łukasz sørensen "), (repair, "th-mn-r0001 ærø łukasz sørensen")):
        db.session.execute(update(type(row)).where(type(row).id == row.id).values(search=search))
    db.session.commit()
    downgrade(revision="0006")
    staff = current_app.test_client().be(make_staff("owner"))
    assert "Łukasz" not in staff.page("/customers?q=lukasz").text
    upgrade()
    assert "Łukasz Sørensen" in staff.page("/customers?q=lukasz").text
    for typed in ("lukasz", "sorensen aero", "Łukasz"):
        rows = staff.page("/repairs", query_string={"q": typed}).all("#results li .code")
        assert [row.get_text() for row in rows] == [repair.code], typed
    assert plain.search == other


@pytest.mark.usefixtures("empty")
def test_whoever_was_merged_before_is_found_by_their_number():
    upgrade()
    make_shop()
    malee, double, third = (make_customer(phone=f"+6681000000{number}") for number in range(3))
    repair = make_repair(customer=malee)
    owner = make_staff("owner")
    db.session.add_all([Merge(kept=double, gone=third, staff=owner), Merge(kept=malee, gone=double, staff=owner)])
    double.merged_at = third.merged_at = utcnow()
    db.session.commit()
    downgrade(revision="0007")
    staff = current_app.test_client().be(owner)
    for _ in range(2):
        upgrade()
        for typed in ("081 000 0001", "081 000 0002"):
            assert [row.get_text() for row in staff.page(f"/repairs?q={typed}").all("#results li .code")] == [
                repair.code
            ]
            assert len(staff.page(f"/customers?q={typed}").all("#results .rows a")) == 1
        downgrade(revision="0007")
    assert malee.search.count("+66810000001") == 1


def test_the_migrations_are_one_numbered_line():
    line = [migration.revision for migration in SCRIPT.walk_revisions()][::-1]
    assert line == [f"{number:04d}" for number in range(1, len(line) + 1)]
    # A start goes by the names of their files alone.
    assert line == revisions()
    for migration in SCRIPT.walk_revisions():
        name = migration.path.rpartition("/")[2]
        assert re.fullmatch(rf"{migration.revision}_[a-z_]+\.py", name), name
        assert migration.doc, name
