"""languages: what the shop's customers read, and each member of staff

"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('shop', sa.Column('language', sa.String(20), server_default='en', nullable=False))
    op.add_column('staff', sa.Column('language', sa.String(20), server_default='', nullable=False))


def downgrade():
    op.drop_column('staff', 'language')
    op.drop_column('shop', 'language')
