"""people, papers and records: invitations, a second step, opening hours, a logo, merges, the shop's own record."""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

TEXT, WORD, MOMENT = sa.Text(), sa.String(20), sa.DateTime(timezone=True)
# Table, column, type, and what rows have that are there already: None for nothing.
COLUMNS = [
    ('shop', 'sentences', TEXT, '{}'),
    ('shop', 'hidden', TEXT, '[]'),
    ('shop', 'logo', sa.String(16), ''),
    ('shop', 'logo_width', sa.Integer(), '0'),
    ('shop', 'logo_height', sa.Integer(), '0'),
    ('shop', 'logo_tone', WORD, ''),
    ('shop', 'terms', TEXT, ''),
    ('shop', 'receipt_paper', WORD, 'a4'),
    ('shop', 'label_paper', WORD, '62mm'),
    ('branch', 'hours', TEXT, '[]'),
    ('staff', 'totp_secret', sa.String(64), ''),
    ('staff', 'totp_step', sa.BigInteger(), '0'),
    ('sign_in', 'agent', sa.String(40), ''),
    ('customer', 'merged_at', MOMENT, None),
    ('customer', 'erased_at', MOMENT, None),
]
TABLES = ('logo', 'recovery_code', 'invitation', 'merge', 'activity', 'saved_filter')


def upgrade():
    for table, name, kind, present in COLUMNS:
        op.add_column(table, sa.Column(name, kind, server_default=present, nullable=present is None))
    op.create_table(
        'logo',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('picture', sa.LargeBinary(), nullable=False),
        sa.CheckConstraint('id = 1', name=op.f('ck_logo_single')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_logo')),
    )
    op.create_table(
        'recovery_code',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('staff_id', sa.Integer(), nullable=False),
        sa.Column('code_hash', sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(['staff_id'], ['staff.id'], name=op.f('fk_recovery_code_staff_id_staff')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_recovery_code')),
    )
    op.create_index('ix_recovery_code_staff_id', 'recovery_code', ['staff_id'])
    op.create_table(
        'invitation',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('token_hash', sa.String(64), nullable=False),
        sa.Column('staff_id', sa.Integer(), nullable=False),
        sa.Column('invited_by_id', sa.Integer(), nullable=False),
        sa.Column('created_at', MOMENT, nullable=False),
        sa.ForeignKeyConstraint(['staff_id'], ['staff.id'], name=op.f('fk_invitation_staff_id_staff')),
        sa.ForeignKeyConstraint(['invited_by_id'], ['staff.id'], name=op.f('fk_invitation_invited_by_id_staff')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_invitation')),
        sa.UniqueConstraint('token_hash', name=op.f('uq_invitation_token_hash')),
        sa.UniqueConstraint('staff_id', name=op.f('uq_invitation_staff_id')),
    )
    op.create_table(
        'merge',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('kept_id', sa.Integer(), nullable=False),
        sa.Column('gone_id', sa.Integer(), nullable=False),
        sa.Column('staff_id', sa.Integer(), nullable=False),
        sa.Column('at', MOMENT, nullable=False),
        sa.Column('repairs', TEXT, nullable=False),
        sa.Column('before', TEXT, nullable=False),
        sa.Column('undone_at', MOMENT),
        sa.ForeignKeyConstraint(['kept_id'], ['customer.id'], name=op.f('fk_merge_kept_id_customer')),
        sa.ForeignKeyConstraint(['gone_id'], ['customer.id'], name=op.f('fk_merge_gone_id_customer')),
        sa.ForeignKeyConstraint(['staff_id'], ['staff.id'], name=op.f('fk_merge_staff_id_staff')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_merge')),
    )
    op.create_index('ix_merge_kept_id', 'merge', ['kept_id'])
    op.create_index('ix_merge_gone_id', 'merge', ['gone_id'])
    op.create_table(
        'activity',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('at', MOMENT, nullable=False),
        sa.Column('staff_id', sa.Integer()),
        sa.Column('kind', WORD, nullable=False),
        sa.Column('branch_id', sa.Integer()),
        sa.Column('subject', sa.String(40), nullable=False),
        sa.Column('text', TEXT, nullable=False),
        sa.ForeignKeyConstraint(['staff_id'], ['staff.id'], name=op.f('fk_activity_staff_id_staff')),
        sa.ForeignKeyConstraint(['branch_id'], ['branch.id'], name=op.f('fk_activity_branch_id_branch')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_activity')),
    )
    op.create_index('ix_activity_at', 'activity', ['at'])
    op.create_index('ix_activity_staff_id_at', 'activity', ['staff_id', 'at'])
    op.create_table(
        'saved_filter',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('staff_id', sa.Integer(), nullable=False),
        sa.Column('name', sa.String(40), nullable=False),
        sa.Column('query', TEXT, nullable=False),
        sa.ForeignKeyConstraint(['staff_id'], ['staff.id'], name=op.f('fk_saved_filter_staff_id_staff')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_saved_filter')),
    )
    op.create_index('ix_saved_filter_staff_id', 'saved_filter', ['staff_id'])
    op.create_index('ix_event_at', 'event', ['at'])
    op.create_index('ix_event_staff_id_at', 'event', ['staff_id', 'at'])
    # From now on whoever is no owner sees one branch. Who had none, and so saw all, is given the shop's first; with more
    # than one branch the owner looks through the list of staff after the upgrade, as the changes say.
    op.execute(
        "UPDATE staff SET branch_id = (SELECT min(id) FROM branch) WHERE branch_id IS NULL AND role <> 'owner'"
    )


def downgrade():
    op.drop_index('ix_event_staff_id_at', 'event')
    op.drop_index('ix_event_at', 'event')
    for table in reversed(TABLES):
        op.drop_table(table)
    # Column by column: SQLite would copy the whole table, and other tables point to it.
    for table, name, _, _ in reversed(COLUMNS):
        op.drop_column(table, name)
