"""Views by which documents are listed, filtered and searched.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
ID = sa.LargeBinary(16)
DIGEST = sa.LargeBinary(32)
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
MAY_EXPIRE = "NOT collected AND NOT expired AND recall <> 2 AND expires_at_us IS NOT NULL"
MAY_BE_LATE = "state = 1 OR answer_by IS NOT NULL AND state NOT IN (4, 8)"


def upgrade() -> None:
    """Make the views anew, to be rebuilt from the events."""
    # Nothing is lost: what the new columns say stands in the payloads, not in the old rows.
    op.drop_table("view_notices")
    op.drop_table("view_deliveries")
    op.drop_table("view_documents")
    _create_documents()
    _create_deliveries()
    _create_notices()
    op.execute("UPDATE view_state SET position = 0")


def _create_documents() -> None:
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
        sa.Column("type_code", TEXT, nullable=False),
        sa.Column("priority", TEXT, nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("folded_code", TEXT, nullable=False),
        sa.Column("folded_type_name", TEXT, nullable=False),
        sa.Column("folded_type_code", TEXT, nullable=False),
        sa.Column("folded_subject", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("view_documents_by_sender", "view_documents", ["sender", "position"])


def _create_deliveries() -> None:
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
        sa.Column("answer_by", sa.Date(), nullable=True),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "view_deliveries_by_number", "view_deliveries", ["recipient", "inbox_seq"], unique=True
    )
    _create_partial_index("view_deliveries_overdue", ["expires_at_us"], MAY_EXPIRE)
    _create_partial_index("view_deliveries_waiting", ["recipient", "inbox_seq"], MAY_BE_LATE)


def _create_partial_index(name: str, columns: list[str], condition: str) -> None:
    op.create_index(
        name,
        "view_deliveries",
        columns,
        sqlite_where=sa.text(condition),
        postgresql_where=sa.text(condition),
    )


def _create_notices() -> None:
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
