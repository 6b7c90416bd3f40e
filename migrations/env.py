"""How migrations reach the database: through the app that `flask db` or the tests made."""

from alembic import context
from flask import current_app

from app.db import Json, UtcDateTime


def render_item(kind, item, autogen_context):
    """Writes our own column types as what the database sees, so that a migration imports nothing of the app."""
    if kind == "type" and isinstance(item, UtcDateTime | Json):
        return "sa.DateTime(timezone=True)" if isinstance(item, UtcDateTime) else "sa.Text()"
    return False


db = current_app.extensions["migrate"].db
with db.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        render_item=render_item,
        # The index of trigrams is no table of the models; migration 0003 makes it.
        include_name=lambda name, kind, parents: "_words" not in (name or ""),
        # SQLite cannot change a table in place; Alembic copies it instead.
        render_as_batch=connection.dialect.name == "sqlite",
        user_module_prefix="sa.",
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
