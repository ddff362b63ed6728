"""Sealed shares as one blob a deposit instead of one row a recipient.

Shares of a round that is open meanwhile are gone: it is aborted in time, the next one works.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of deposits in the place of that of shares."""
    op.drop_index("sealed_share_recipient", "sealed_share")
    op.drop_table("sealed_share")
    op.create_table(
        "deposit",
        sa.Column("round", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sender", sa.String(63), primary_key=True),
        sa.Column("blob", sa.String(64), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("recipients", sa.Integer(), nullable=False),
        sa.Column("sealed_bytes", sa.Integer(), nullable=False),
    )
