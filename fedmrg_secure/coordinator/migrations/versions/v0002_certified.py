"""Rounds whose sites make keys of their own: commitments, co-signatures, sealed shares."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; what is there stays as it is."""
    op.create_table(
        "holder",
        sa.Column("round", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("site", sa.String(63), primary_key=True),
        sa.Column("upload_root", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("certified", sa.Boolean(), nullable=False),
        sa.Column("signed_cohort", sa.Boolean(), nullable=False),
        sa.Column("signed_inclusion", sa.Boolean(), nullable=False),
        sa.Column("gave_share_sum", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "sealed_share",
        sa.Column("round", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("sender", sa.String(63), primary_key=True),
        sa.Column("recipient", sa.String(63), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_index("sealed_share_recipient", "sealed_share", ["round", "kind", "recipient"])
    op.create_index("envelope_type", "envelope", ["round", "type"])
