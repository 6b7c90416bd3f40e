"""far pages: what PostgreSQL skips on the way to a far page of finished repairs, it reads from the index alone

"""

from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

INDEXES = {
    'ix_repair_status_moved_at': ['status', 'moved_at'],
    'ix_repair_branch_id_status_moved_at': ['branch_id', 'status', 'moved_at'],
}


def upgrade():
    _make_anew(['id'])


def downgrade():
    _make_anew([])


def _make_anew(included):
    # SQLite has the id of the row in every index.
    if op.get_bind().dialect.name == 'postgresql':
        for name, columns in INDEXES.items():
            op.drop_index(name, 'repair')
            op.create_index(name, 'repair', columns, postgresql_include=included)
