"""All tables of the hub's database in one place.

The migrations create them; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    false,
    text,
)

metadata = MetaData()

# SQLite gives a column its own rowid only when it is called INTEGER.
POSITION = BigInteger().with_variant(Integer(), "sqlite")
ID = LargeBinary(16)
DIGEST = LargeBinary(32)
# Compared byte by byte, as SQLite and Python do. By the language of a server order would be
# another, and would change with its libraries, under the feet of the indexes.
TEXT = String().with_variant(String(collation="C"), "postgresql")

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
    Column("topic", TEXT, nullable=False),
    Column("registry", Boolean, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Index("events_by_aggregate", "aggregate_id", "version", unique=True),
)
# The column alone, and so must a query say it: SQLAlchemy would write `registry = 1`, and SQLite
# then walks through the whole log.
IS_REGISTRY = "registry"
Index(
    "events_of_registry",
    events.c.position,
    sqlite_where=text(IS_REGISTRY),
    postgresql_where=text(IS_REGISTRY),
)
# One event in thousands is a timestamp, and jobs go from one to the next. A query must say
# the same words for the index to be used.
IS_TIMESTAMP = "topic = 'hub.Log.TimestampObtained'"
Index(
    "events_of_timestamps",
    events.c.position,
    sqlite_where=text(IS_TIMESTAMP),
    postgresql_where=text(IS_TIMESTAMP),
)

# From a position back to the lists that were the newest then.
IS_REVOCATION_EVIDENCE = "topic = 'hub.Log.RevocationEvidenceStored'"
Index(
    "events_of_revocation_evidence",
    events.c.position,
    sqlite_where=text(IS_REVOCATION_EVIDENCE),
    postgresql_where=text(IS_REVOCATION_EVIDENCE),
)

# Where the examination of documents stood when the hub was stopped.
IS_VERDICT = "topic = 'hub.Exchange.SignatureVerdictMade'"
Index(
    "events_of_verdicts",
    events.c.position,
    sqlite_where=text(IS_VERDICT),
    postgresql_where=text(IS_VERDICT),
)

# When the ledger was last held against the axis's lists.
IS_RECONCILIATION = "topic = 'hub.Relay.ReconciliationMade'"
Index(
    "events_of_reconciliation",
    events.c.position,
    sqlite_where=text(IS_RECONCILIATION),
    postgresql_where=text(IS_RECONCILIATION),
)

# A query must say the same words for the index to be used.
IS_ERASURE = "topic IN ('hub.Exchange.PayloadErased', 'hub.Relay.ArrivalErased')"
Index(
    "events_of_erasure",
    events.c.position,
    sqlite_where=text(IS_ERASURE),
    postgresql_where=text(IS_ERASURE),
)

# One row. Erasures at lower positions have been carried out in this copy of the database: so
# one that comes from a backup knows what it has yet to forget.
erasure_state = Table(
    "erasure_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("below", POSITION, nullable=False),
    CheckConstraint("id = 1", name="erasure_state_is_one_row"),
)

# One row. On a server it says which hub leads, and until when nobody else may: see `leadership`.
leadership = Table(
    "leadership",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("hub", TEXT, nullable=False),
    # Null when the last leader has given up.
    Column("beat_at", DateTime(timezone=True), nullable=True),
    # Whether the leader lets no other hub write beside it.
    Column("alone", Boolean, nullable=False, server_default=false()),
    # Why a hub that found a contradiction stopped all of them, and at which event, if at one.
    Column("frozen", TEXT, nullable=True),
    Column("frozen_position", POSITION, nullable=True),
    CheckConstraint("id = 1", name="leadership_is_one_row"),
)

requests = Table(
    "requests",
    metadata,
    # The id comes first in the key: SQLite finds many ids at once by it, but scans the
    # table for many (caller, id) pairs.
    Column("request_id", TEXT, primary_key=True),
    Column("caller", TEXT, primary_key=True),
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
    Column("agency", TEXT, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

outbox_heads = Table(
    "outbox_heads",
    metadata,
    Column("agency", TEXT, primary_key=True),
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

# The sizes of all checkpoints once more: one that was removed from there is missed here.
published = Table(
    "published",
    metadata,
    Column("size", POSITION, primary_key=True, autoincrement=False),
)

# `nth` counts the cosignatures of one checkpoint in the order they came, from 1: so the
# checkpoints that most witnesses cosigned are found without counting.
cosignatures = Table(
    "cosignatures",
    metadata,
    Column("size", POSITION, ForeignKey("checkpoints.size"), primary_key=True),
    Column("nth", SmallInteger, primary_key=True, autoincrement=False),
    Column("witness", TEXT, nullable=False),
    Column("key_id", LargeBinary(4), nullable=False),
    # As in the note: the witness's time in 8 bytes, then the signature.
    Column("signature", LargeBinary, nullable=False),
    Index("cosignatures_by_witness", "witness", "key_id", "size", unique=True),
    Index("cosignatures_by_count", "nth", "size"),
    sqlite_with_rowid=False,
)

# Those of logs that could not go on, with their cosignatures as lines of the note.
former_checkpoints = Table(
    "former_checkpoints",
    metadata,
    Column("size", POSITION, primary_key=True, autoincrement=False),
    Column("origin", TEXT, primary_key=True),
    Column("note", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
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
    Column("sender", TEXT, nullable=False),
    Column("envelope_digest", DIGEST, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("accepted_at_us", BigInteger, nullable=False),
    Column("attachment_count", Integer, nullable=False),
    Column("attachment_bytes", BigInteger, nullable=False),
    # No foreign key: both documents may come in one batch, the older one first.
    Column("replaced_by", ID, nullable=True),
    Column("priority", TEXT, nullable=False),
    Column("issued_on", Date, nullable=True),
    Column("due_on", Date, nullable=True),
    Column("erased", Boolean, nullable=False),
    Column("origin", TEXT, nullable=False, server_default=""),
    Index("view_documents_by_sender", "sender", "position"),
    sqlite_with_rowid=False,
)

# The words of documents, by the position of their submission. SQLite zeroes what it frees, but
# when it moves rows between pages it leaves copies behind. So no row here ever moves: each is
# appended with the highest number, none changes its size or is deleted, and what is erased is
# overwritten in its place, with as many spaces (docs/decisions/0020).
view_words = Table(
    "view_words",
    metadata,
    Column("position", POSITION, primary_key=True, autoincrement=False),
    Column("code", TEXT, nullable=False),
    Column("type_name", TEXT, nullable=False),
    Column("type_code", TEXT, nullable=False),
    Column("subject", TEXT, nullable=False),
    # What lists are searched by, made from the words beside it and overwritten with them.
    Column("folded_code", TEXT, nullable=False),
    Column("folded_type_name", TEXT, nullable=False),
    Column("folded_type_code", TEXT, nullable=False),
    Column("folded_subject", TEXT, nullable=False),
)

# Few deliveries have a limit and stand open, neither collected nor given back by agreement
# (recall 2): this index is small, and it is all that the search for those overdue looks at.
# A query must say the same words for it to be used.
MAY_EXPIRE = "NOT collected AND NOT expired AND recall <> 2 AND expires_at_us IS NOT NULL"

# Deliveries that somebody may be late with: not collected (state 1), or with a due date and
# neither refused (4) nor finished (8). They are few, however long an inbox has grown.
NOT_COLLECTED = "state = 1"
NOT_ANSWERED = "answer_by IS NOT NULL AND state NOT IN (4, 8)"
MAY_BE_LATE = f"{NOT_COLLECTED} OR {NOT_ANSWERED}"

view_deliveries = Table(
    "view_deliveries",
    metadata,
    Column("exchange_id", ID, ForeignKey("view_documents.exchange_id"), primary_key=True),
    Column("recipient", TEXT, primary_key=True),
    Column("inbox_seq", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("collected", Boolean, nullable=False),
    Column("recall", SmallInteger, nullable=False),
    Column("expired", Boolean, nullable=False),
    Column("expires_at_us", BigInteger, nullable=True),
    Column("position", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    Column("answer_by", Date, nullable=True),
    # Refuses a number that is another's, and is the order of what was received.
    Index("view_deliveries_by_number", "recipient", "inbox_seq", unique=True),
    Index(
        "view_deliveries_overdue",
        "expires_at_us",
        sqlite_where=text(MAY_EXPIRE),
        postgresql_where=text(MAY_EXPIRE),
    ),
    Index(
        "view_deliveries_waiting",
        "recipient",
        "inbox_seq",
        sqlite_where=text(MAY_BE_LATE),
        postgresql_where=text(MAY_BE_LATE),
    ),
    sqlite_with_rowid=False,
)

# The lines of all inboxes and outboxes; the key is the order they are read in.
view_notices = Table(
    "view_notices",
    metadata,
    Column("outbox", Boolean, primary_key=True),
    Column("agency", TEXT, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("exchange_id", ID, nullable=False),
    # Null for an erasure in an outbox, which concerns all recipients.
    Column("recipient", TEXT, nullable=True),
    Column("code", TEXT, nullable=False),
    Column("by_exchange", ID, nullable=True),
    Column("position", BigInteger, nullable=False),
    Column("recorded_at_us", BigInteger, nullable=False),
    # A line is read joined with what it concerns: without that it would be missing there.
    ForeignKeyConstraint(
        ["exchange_id", "recipient"],
        ["view_deliveries.exchange_id", "view_deliveries.recipient"],
    ),
    sqlite_with_rowid=False,
)

# What may still be sent by itself: waiting (1), queued (2), failed (3). What is over stays, and
# is not looked at. A query must say the same words for the index to be used.
MAY_BE_SENT = "NOT incoming AND state IN (1, 2, 3)"

view_relays = Table(
    "view_relays",
    metadata,
    Column("relay_id", ID, primary_key=True),
    Column("incoming", Boolean, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("exchange_id", ID, nullable=False),
    Column("agency", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("again_at_us", BigInteger, nullable=True),
    Column("reason", TEXT, nullable=False),
    Column("code", TEXT, nullable=False),
    Column("axis_id", TEXT, nullable=False),
    Column("package", LargeBinary, nullable=False),
    Column("package_bytes", BigInteger, nullable=False),
    Column("request_bytes", BigInteger, nullable=False),
    # How the sender calls a document that came, and what it says; zeros once it was erased.
    Column("document_key", LargeBinary, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Index("view_relays_by_exchange", "exchange_id"),
    Index("view_relays_by_axis_id", "axis_id"),
    Index("view_relays_by_document", "document_key"),
    Index("view_relays_by_state", "state", "position"),
    sqlite_with_rowid=False,
)
Index(
    "view_relays_open",
    view_relays.c.position,
    sqlite_where=text(MAY_BE_SENT),
    postgresql_where=text(MAY_BE_SENT),
)

NOT_APPROVED = "approved_by IS NULL"

view_orders = Table(
    "view_orders",
    metadata,
    Column("position", POSITION, primary_key=True, autoincrement=False),
    Column("digest", DIGEST, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("exchange_id", ID, nullable=True),
    Column("envelope_digest", DIGEST, nullable=True),
    Column("reason", TEXT, nullable=False),
    Column("basis", TEXT, nullable=False),
    Column("ordered_by", TEXT, nullable=False),
    Column("ordered_at_us", BigInteger, nullable=False),
    Column("lapses_at_us", BigInteger, nullable=False),
    Column("approved_by", TEXT, nullable=True),
    Column("approved_at_us", BigInteger, nullable=True),
    Column("hub_key", TEXT, nullable=True),
    Index("view_orders_by_digest", "digest", unique=True),
    Index("view_orders_by_exchange", "exchange_id"),
)
Index(
    "view_orders_open",
    view_orders.c.position,
    sqlite_where=text(NOT_APPROVED),
    postgresql_where=text(NOT_APPROVED),
)

# Who holds which edition of the trusted root: no fact, and lost without harm.
trusted_root_fetches = Table(
    "trusted_root_fetches",
    metadata,
    Column("role", TEXT, primary_key=True),
    Column("caller", TEXT, primary_key=True),
    Column("edition", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


def view_tables() -> list[Table]:
    """Every table that is made from the events, and nothing else."""
    return [table for table in metadata.sorted_tables if table.name.startswith("view_")]
