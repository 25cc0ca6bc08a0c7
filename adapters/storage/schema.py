"""All tables of the hub's database in one place.

The migrations create them; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    text,
)

metadata = MetaData()

# SQLite gives a column its own rowid only when it is called INTEGER.
POSITION = BigInteger().with_variant(Integer(), "sqlite")
ID = LargeBinary(16)
DIGEST = LargeBinary(32)

# One row. Whoever appends locks and moves it, so positions have no gaps and become visible
# in their order; a database sequence promises neither.
head = Table(
    "head",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("next_position", POSITION, nullable=False),
    # The position of the last registry event, or -1.
    Column("registry_version", POSITION, nullable=False),
    CheckConstraint("id = 1", name="head_is_one_row"),
)

events = Table(
    "events",
    metadata,
    Column("position", POSITION, primary_key=True, autoincrement=False),
    Column("aggregate_id", ID, nullable=False),
    Column("version", Integer, nullable=False),
    Column("topic", String, nullable=False),
    Column("registry", Boolean, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Index("events_by_aggregate", "aggregate_id", "version", unique=True),
)
Index(
    "events_of_registry",
    events.c.position,
    sqlite_where=text("registry"),
    postgresql_where=text("registry"),
)

requests = Table(
    "requests",
    metadata,
    # The id comes first in the key: SQLite finds many ids at once by it, but scans the
    # table for many (caller, id) pairs.
    Column("request_id", String, primary_key=True),
    Column("caller", String, primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("position", POSITION, ForeignKey("events.position"), nullable=False),
    Column("exchange_id", ID, nullable=True),
    # Not unique: two operators may well ask for the same thing in the same bytes.
    Index("requests_by_digest", "digest", "position"),
    sqlite_with_rowid=False,
)

payloads = Table(
    "payloads",
    metadata,
    Column("digest", DIGEST, primary_key=True),
    Column("exchange_id", ID, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    # Erasing a document removes all payloads of its exchange.
    Index("payloads_by_exchange", "exchange_id"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("digest", DIGEST, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

inbox_heads = Table(
    "inbox_heads",
    metadata,
    Column("agency", String, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

tiles = Table(
    "tiles",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", POSITION, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
)

# --- Views: disposable, rebuilt from the events ------------------------------------------

view_state = Table(
    "view_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", POSITION, nullable=False),
    CheckConstraint("id = 1", name="view_state_is_one_row"),
)

# Instants are microseconds since 1970 in UTC: SQLite has no type that keeps a zone.
view_documents = Table(
    "view_documents",
    metadata,
    Column("exchange_id", ID, primary_key=True),
    Column("sender", String, nullable=False),
    Column("envelope_digest", DIGEST, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("accepted_at_us", BigInteger, nullable=False),
    Column("code", String, nullable=False),
    Column("type_name", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("attachment_count", Integer, nullable=False),
    Column("attachment_bytes", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

view_deliveries = Table(
    "view_deliveries",
    metadata,
    Column("recipient", String, primary_key=True),
    Column("inbox_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("exchange_id", ID, ForeignKey("view_documents.exchange_id"), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("collected", Boolean, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    Index("view_deliveries_by_exchange", "exchange_id", "recipient", unique=True),
    sqlite_with_rowid=False,
)
