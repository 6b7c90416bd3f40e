"""fold more letters: what is found by a name with ł, ø or æ is found by one with l, o or ae too"""

from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

LETTERS = {'ł': 'l', 'ø': 'o', 'đ': 'd', 'ð': 'd', 'þ': 'th', 'æ': 'ae', 'œ': 'oe', 'ı': 'i', 'ŋ': 'n', 'ħ': 'h'}


def upgrade():
    folded = 'search'
    for letter, plain in LETTERS.items():
        folded = f"REPLACE({folded}, '{letter}', '{plain}')"
    for table in ('customer', 'repair'):
        # The others stay as they are, and so does the index of their words.
        op.execute(f'UPDATE {table} SET search = {folded} WHERE search <> {folded}')


def downgrade():
    # Which letters were folded is not known any more. The program before finds these rows by the plain ones until they
    # are saved again.
    pass
