"""The first schema: the log, its tree, what is written with it, and the views.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from adapters.storage.migrations import refusals

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ID = sa.LargeBinary(16)
DIGEST = sa.LargeBinary(32)
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create every table with its triggers, and the rows that are always there."""
    _create_log()
    _create_tree()
    _create_views()
    _create_triggers()
    _store_sealed_bytes_as_they_are()
    op.execute("INSERT INTO head (id, next_position, registry_version) VALUES (1, 0, -1)")
    op.execute("INSERT INTO view_state (id, position) VALUES (1, 0)")


def _create_log() -> None:
    op.create_table(
        "head",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("next_position", POSITION, nullable=False),
        sa.Column("registry_version", POSITION, nullable=False),
        sa.CheckConstraint("id = 1", name="head_is_one_row"),
    )
    op.create_table(
        "events",
        sa.Column("position", POSITION, primary_key=True, autoincrement=False),
        sa.Column("aggregate_id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("registry", sa.Boolean(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
    )
    op.create_index("events_by_aggregate", "events", ["aggregate_id", "version"], unique=True)
    op.create_index(
        "events_of_registry",
        "events",
        ["position"],
        sqlite_where=sa.text("registry"),
        postgresql_where=sa.text("registry"),
    )
    op.create_table(
        "requests",
        sa.Column("request_id", TEXT, primary_key=True),
        sa.Column("caller", TEXT, primary_key=True),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("position", POSITION, sa.ForeignKey("events.position"), nullable=False),
        sa.Column("exchange_id", ID, nullable=True),
        sqlite_with_rowid=False,
    )
    op.create_index("requests_by_digest", "requests", ["digest", "position"])
    op.create_table(
        "payloads",
        sa.Column("digest", DIGEST, primary_key=True),
        sa.Column("exchange_id", ID, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
    op.create_index("payloads_by_exchange", "payloads", ["exchange_id"])
    op.create_table(
        "evidence",
        sa.Column("digest", DIGEST, primary_key=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "inbox_heads",
        sa.Column("agency", TEXT, primary_key=True),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )


def _create_tree() -> None:
    op.create_table(
        "tiles",
        sa.Column("level", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "checkpoints",
        sa.Column("size", POSITION, primary_key=True, autoincrement=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
    )


def _create_views() -> None:
    op.create_table(
        "view_state",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("position", POSITION, nullable=False),
        sa.CheckConstraint("id = 1", name="view_state_is_one_row"),
    )
    op.create_table(
        "view_documents",
        sa.Column("exchange_id", ID, primary_key=True),
        sa.Column("sender", TEXT, nullable=False),
        sa.Column("envelope_digest", DIGEST, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at_us", sa.BigInteger(), nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("type_name", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("attachment_count", sa.Integer(), nullable=False),
        sa.Column("attachment_bytes", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "view_deliveries",
        sa.Column("recipient", TEXT, primary_key=True),
        sa.Column("inbox_seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("exchange_id", ID, sa.ForeignKey("view_documents.exchange_id"), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("collected", sa.Boolean(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_us", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "view_deliveries_by_exchange", "view_deliveries", ["exchange_id", "recipient"], unique=True
    )


def _create_triggers() -> None:
    refusals.prepare()
    for table in ("events", "requests", "evidence", "checkpoints"):
        refusals.refuse_changes(table)
    refuse = refusals.refuse
    refuse("DELETE", "head", "the head of the log is never removed")
    refuse(
        "UPDATE",
        "head",
        "the head of the log only moves forward",
        when="NEW.next_position < OLD.next_position OR NEW.registry_version < OLD.registry_version",
    )
    refuse("DELETE", "tiles", "tiles are never removed")
    refuse(
        "UPDATE",
        "tiles",
        "a tile only grows, and its beginning never changes",
        when="NEW.level <> OLD.level OR NEW.number <> OLD.number"
        " OR substr(NEW.data, 1, length(OLD.data)) <> OLD.data",
    )
    refuse("DELETE", "inbox_heads", "inbox numbers are never given twice")
    refuse(
        "UPDATE",
        "inbox_heads",
        "inbox numbers are never given twice",
        when="NEW.agency <> OLD.agency OR NEW.last_seq < OLD.last_seq",
    )


def _store_sealed_bytes_as_they_are() -> None:
    # PostgreSQL would try to compress what was encrypted.
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE payloads ALTER COLUMN sealed SET STORAGE EXTERNAL")
