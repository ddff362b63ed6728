"""The coordinator's tables; `migrations/` makes them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData()

SESSION: Final = Table(
    "session",
    METADATA,
    Column("session_id", LargeBinary, primary_key=True),
    Column("phase", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("roster_hash", String(64), nullable=False),
)

SITE: Final = Table(
    "site",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("weight", BigInteger, nullable=False),
    Column("lost", Boolean, nullable=False),
)

ROUND: Final = Table(
    "round",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("phase", Integer, nullable=False),
    Column("base_state", LargeBinary, nullable=False),
    Column("plan", LargeBinary, nullable=False),  # RoundPlan, protobuf; empty while ANNOUNCING
    Column("plan_hash", LargeBinary, nullable=False),
    Column("included", Text, nullable=False),  # names, joined by spaces
    Column("aggregate", LargeBinary, nullable=False),  # AggregateInfo, protobuf; or empty
    Column("model_hash", LargeBinary, nullable=False),
    Column("transcript", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
)

PARTICIPATION: Final = Table(
    "participation",
    METADATA,
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("site", String(63), primary_key=True),
    Column("nonce", LargeBinary, nullable=False),
    Column("upload_root", LargeBinary, nullable=False),  # empty until the upload is complete
    Column("model_hash", LargeBinary, nullable=False),  # empty until acknowledged
)

HOLDER: Final = Table(
    "holder",  # what a site of the cohort did in a round whose sites make keys of their own
    METADATA,
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("site", String(63), primary_key=True),
    Column("upload_root", LargeBinary, nullable=False),  # empty until it has committed
    Column("commitment", LargeBinary, nullable=False),  # digest of its Commit envelope, or empty
    Column("certified", Boolean, nullable=False),
    Column("signed_cohort", Boolean, nullable=False),
    Column("signed_inclusion", Boolean, nullable=False),
    Column("gave_share_sum", Boolean, nullable=False),
)

DEPOSIT: Final = Table(
    "deposit",  # sealed shares or share sums of one site, see `shares`
    METADATA,
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("kind", Integer, primary_key=True, autoincrement=False),  # `shares.Kind`
    Column("sender", String(63), primary_key=True),
    Column("blob", String(64), nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("recipients", Integer, nullable=False),
    Column("sealed_bytes", Integer, nullable=False),
)

UPLOAD: Final = Table(
    "upload",
    METADATA,
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("site", String(63), primary_key=True),
    Column("manifest", LargeBinary, nullable=False),  # UploadManifest, protobuf
)

CHUNK: Final = Table(
    "chunk",
    METADATA,
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("party", String(63), primary_key=True),  # a site, or `frame.AGGREGATE`
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("blob", String(64), nullable=False),
)

KEY_EPOCH: Final = Table(
    "key_epoch",
    METADATA,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("maker", String(63), nullable=False),
    Column("first_round", Integer, nullable=False),
    Column("recipients", Text, nullable=False),  # names, joined by spaces
    Column("roster_hash", String(64), nullable=False),
)

SEALED_KEY: Final = Table(
    "sealed_key",
    METADATA,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("recipient", String(63), primary_key=True),
    Column("envelope", LargeBinary, nullable=False),  # the maker's, byte for byte
)

ENVELOPE: Final = Table(
    "envelope",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("round", Integer, nullable=False),
    Column("sender", String(63), nullable=False),
    Column("type", Integer, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Index("envelope_round", "round", "sender"),
    Index("envelope_type", "round", "type"),
)

SNAPSHOT: Final = Table(
    "snapshot",  # one row a site that has asked for one
    METADATA,
    Column("recipient", String(63), primary_key=True),
    Column("request", LargeBinary, nullable=False),  # its RequestSnapshot envelope
    Column("refused", Text, nullable=False),  # whose offers it has refused, joined by spaces
    Column("offer", LargeBinary, nullable=False),  # the OfferSnapshot envelope; empty before
    Column("complete", Boolean, nullable=False),
)

SNAPSHOT_CHUNK: Final = Table(
    "snapshot_chunk",  # of the offer in the recipient's row
    METADATA,
    Column("recipient", String(63), primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("blob", String(64), nullable=False),
)

EVENT: Final = Table(
    "event",
    METADATA,
    Column("position", Integer, primary_key=True, autoincrement=False),  # its place in the log
    Column("body", Text, nullable=False),
)
