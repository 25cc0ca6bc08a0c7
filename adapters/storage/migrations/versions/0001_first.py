"""The first schema: the log, its tree, what is written with it, and the views.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ID = sa.LargeBinary(16)
DIGEST = sa.LargeBinary(32)


def upgrade() -> None:
    """Create every table with its triggers, and the rows that are always there."""
    if op.get_context().dialect.name != "sqlite":
        raise NotImplementedError("the triggers below are written for SQLite only")
    _create_log()
    _create_tree()
    _create_views()
    for statement in _triggers():
        op.execute(statement)
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
        sa.Column("topic", sa.String(), nullable=False),
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
        sa.Column("request_id", sa.String(), primary_key=True),
        sa.Column("caller", sa.String(), primary_key=True),
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
        sa.Column("agency", sa.String(), primary_key=True),
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
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("envelope_digest", DIGEST, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at_us", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("type_name", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("attachment_count", sa.Integer(), nullable=False),
        sa.Column("attachment_bytes", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "view_deliveries",
        sa.Column("recipient", sa.String(), primary_key=True),
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


def _triggers() -> list[str]:
    """What the database refuses to everybody, our own mistakes included.

    Whoever holds the file can drop them: against that stand the tree and the receipts.
    """
    append_only = ("events", "requests", "evidence", "checkpoints")
    return [
        *(_refuse("UPDATE", table, f"the table {table} is append-only") for table in append_only),
        *(_refuse("DELETE", table, f"the table {table} is append-only") for table in append_only),
        _refuse("DELETE", "head", "the head of the log is never removed"),
        _refuse(
            "UPDATE",
            "head",
            "the head of the log only moves forward",
            when="NEW.next_position < OLD.next_position"
            " OR NEW.registry_version < OLD.registry_version",
        ),
        _refuse("DELETE", "tiles", "tiles are never removed"),
        _refuse(
            "UPDATE",
            "tiles",
            "a tile only grows, and its beginning never changes",
            when="NEW.level <> OLD.level OR NEW.number <> OLD.number"
            " OR substr(NEW.data, 1, length(OLD.data)) <> OLD.data",
        ),
        _refuse("DELETE", "inbox_heads", "inbox numbers are never given twice"),
        _refuse(
            "UPDATE",
            "inbox_heads",
            "inbox numbers are never given twice",
            when="NEW.agency <> OLD.agency OR NEW.last_seq < OLD.last_seq",
        ),
    ]


def _refuse(action: str, table: str, message: str, *, when: str = "TRUE") -> str:
    return (
        f"CREATE TRIGGER {table}_refuse_{action.lower()} BEFORE {action} ON {table}"
        f" WHEN {when} BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )
