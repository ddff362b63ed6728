"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "session",
        sa.Column("session_id", sa.LargeBinary(), primary_key=True),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("roster_hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "site",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "round",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("base_state", sa.LargeBinary(), nullable=False),
        sa.Column("plan", sa.LargeBinary(), nullable=False),
        sa.Column("plan_hash", sa.LargeBinary(), nullable=False),
        sa.Column("included", sa.Text(), nullable=False),
        sa.Column("aggregate", sa.LargeBinary(), nullable=False),
        sa.Column("model_hash", sa.LargeBinary(), nullable=False),
        sa.Column("transcript", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_table(
        "participation",
        sa.Column("round", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("site", sa.String(63), primary_key=True),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("upload_root", sa.LargeBinary(), nullable=False),
        sa.Column("model_hash", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "upload",
        sa.Column("round", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("site", sa.String(63), primary_key=True),
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "chunk",
        sa.Column("round", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("party", sa.String(63), primary_key=True),
        sa.Column("index", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("blob", sa.String(64), nullable=False),
    )
    op.create_table(
        "key_epoch",
        sa.Column("epoch", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("maker", sa.String(63), nullable=False),
        sa.Column("first_round", sa.Integer(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("roster_hash", sa.String(64), nullable=False),
    )
    op.create_table(
        "sealed_key",
        sa.Column("epoch", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("recipient", sa.String(63), primary_key=True),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "envelope",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("sender", sa.String(63), nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
    )
    op.create_index("envelope_round", "envelope", ["round", "sender"])
    op.create_table(
        "event",
        sa.Column("position", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
