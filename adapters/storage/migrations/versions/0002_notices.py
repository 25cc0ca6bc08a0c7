"""Outbox numbers, and views that hold every line of an inbox and an outbox.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from adapters.storage.migrations.refusals import refuse

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
ID = sa.LargeBinary(16)
DIGEST = sa.LargeBinary(32)
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
MAY_EXPIRE = "NOT collected AND NOT expired AND expires_at_us IS NOT NULL"


def upgrade() -> None:
    """Add the outbox numbers; make the views anew, to be rebuilt from the events."""
    _create_outbox_heads()
    # Nothing is lost: what the new columns say stands in the events, not in the old rows.
    op.drop_table("view_deliveries")
    op.drop_table("view_documents")
    _create_views()
    op.execute("UPDATE view_state SET position = 0")


def _create_outbox_heads() -> None:
    op.create_table(
        "outbox_heads",
        sa.Column("agency", TEXT, primary_key=True),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    message = "outbox numbers are never given twice"
    refuse("DELETE", "outbox_heads", message)
    goes_back = "NEW.agency <> OLD.agency OR NEW.last_seq < OLD.last_seq"
    refuse("UPDATE", "outbox_heads", message, when=goes_back)


def _create_views() -> None:
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
        sa.Column("replaced_by", ID, nullable=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "view_deliveries",
        sa.Column("exchange_id", ID, sa.ForeignKey("view_documents.exchange_id"), primary_key=True),
        sa.Column("recipient", TEXT, primary_key=True),
        sa.Column("inbox_seq", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("collected", sa.Boolean(), nullable=False),
        sa.Column("recall", sa.SmallInteger(), nullable=False),
        sa.Column("expired", sa.Boolean(), nullable=False),
        sa.Column("expires_at_us", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_us", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "view_deliveries_by_number", "view_deliveries", ["recipient", "inbox_seq"], unique=True
    )
    op.create_index(
        "view_deliveries_overdue",
        "view_deliveries",
        ["expires_at_us"],
        sqlite_where=sa.text(MAY_EXPIRE),
        postgresql_where=sa.text(MAY_EXPIRE),
    )
    op.create_table(
        "view_notices",
        sa.Column("outbox", sa.Boolean(), primary_key=True),
        sa.Column("agency", TEXT, primary_key=True),
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("exchange_id", ID, nullable=False),
        sa.Column("recipient", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("by_exchange", ID, nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["exchange_id", "recipient"],
            ["view_deliveries.exchange_id", "view_deliveries.recipient"],
        ),
        sqlite_with_rowid=False,
    )
