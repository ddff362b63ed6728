"""Snapshots on their way from one site to another."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; what is there stays as it is."""
    op.create_table(
        "snapshot",
        sa.Column("recipient", sa.String(63), primary_key=True),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=False),
        sa.Column("offer", sa.LargeBinary(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "snapshot_chunk",
        sa.Column("recipient", sa.String(63), primary_key=True),
        sa.Column("index", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("blob", sa.String(64), nullable=False),
    )
