"""index search: a repair is found by its customer too, and both in an index of trigrams."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('repair', sa.Column('public_version', sa.Integer(), server_default='1', nullable=False))
    op.execute("UPDATE repair SET search = search || ' ' || (SELECT search FROM customer WHERE customer.id = customer_id)")
    op.drop_index('ix_repair_branch_id_status', 'repair')
    op.create_index('ix_repair_branch_id_status_promised_at', 'repair', ['branch_id', 'status', 'promised_at'])
    op.create_index('ix_repair_status_moved_at', 'repair', ['status', 'moved_at'])
    op.create_index('ix_repair_branch_id_status_moved_at', 'repair', ['branch_id', 'status', 'moved_at'])
    op.create_index('ix_customer_search', 'customer', ['search'])
    for table in ('repair', 'customer'):
        if op.get_bind().dialect.name == 'sqlite':
            index_words_sqlite(table)
        else:
            index_words_postgresql(table)


def index_words_sqlite(table):
    # The index holds no text of its own: it reads the table's, and the triggers tell it what changes.
    # https://www.sqlite.org/fts5.html#external_content_tables
    words = f'{table}_words'
    add = f'INSERT INTO {words}(rowid, search) VALUES (new.id, new.search)'
    remove = f"INSERT INTO {words}({words}, rowid, search) VALUES ('delete', old.id, old.search)"
    op.execute(
        f"CREATE VIRTUAL TABLE {words} USING fts5(search, content='{table}', content_rowid='id', "
        "columnsize=0, tokenize='trigram case_sensitive 1')"
    )
    op.execute(f'CREATE TRIGGER {words}_insert AFTER INSERT ON {table} BEGIN {add}; END')
    op.execute(f'CREATE TRIGGER {words}_delete AFTER DELETE ON {table} BEGIN {remove}; END')
    op.execute(
        f'CREATE TRIGGER {words}_update AFTER UPDATE OF search ON {table} '
        f'WHEN old.search <> new.search BEGIN {remove}; {add}; END'
    )
    op.execute(f"INSERT INTO {words}({words}) VALUES ('rebuild')")


def index_words_postgresql(table):
    op.execute('CREATE EXTENSION IF NOT EXISTS pg_trgm')
    op.execute(f'CREATE INDEX ix_{table}_words ON {table} USING gin (search gin_trgm_ops)')


def downgrade():
    for table in ('customer', 'repair'):
        if op.get_bind().dialect.name == 'sqlite':
            for event in ('insert', 'delete', 'update'):
                op.execute(f'DROP TRIGGER {table}_words_{event}')
            op.execute(f'DROP TABLE {table}_words')
        else:
            op.drop_index(f'ix_{table}_words', table)
    op.drop_index('ix_customer_search', 'customer')
    op.drop_index('ix_repair_branch_id_status_moved_at', 'repair')
    op.drop_index('ix_repair_status_moved_at', 'repair')
    op.drop_index('ix_repair_branch_id_status_promised_at', 'repair')
    op.create_index('ix_repair_branch_id_status', 'repair', ['branch_id', 'status'])
    op.execute(
        "UPDATE repair SET search = substr(search, 1, length(search) - length("
        "(SELECT search FROM customer WHERE customer.id = customer_id)) - 1)"
    )
    # Column by column: SQLite would copy the whole table, and other tables point to it.
    op.drop_column('repair', 'public_version')
