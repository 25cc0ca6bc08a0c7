"""What goes over the national axis, and where documents come from.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
ID = sa.LargeBinary(16)
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
MAY_BE_SENT = "NOT incoming AND state IN (1, 2, 3)"


def upgrade() -> None:
    """Add the list of packages, and to documents their origin: none has come over an axis yet."""
    with op.batch_alter_table("view_documents", recreate="never") as documents:
        documents.add_column(sa.Column("origin", TEXT, nullable=False, server_default=""))
    op.create_table(
        "view_relays",
        sa.Column("relay_id", ID, primary_key=True),
        sa.Column("incoming", sa.Boolean(), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("exchange_id", ID, nullable=False),
        sa.Column("agency", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_us", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("again_at_us", sa.BigInteger(), nullable=True),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("axis_id", TEXT, nullable=False),
        sa.Column("package", sa.LargeBinary(), nullable=False),
        sa.Column("package_bytes", sa.BigInteger(), nullable=False),
        sa.Column("request_bytes", sa.BigInteger(), nullable=False),
        sa.Column("document_key", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("view_relays_by_exchange", "view_relays", ["exchange_id"])
    op.create_index("view_relays_by_axis_id", "view_relays", ["axis_id"])
    op.create_index("view_relays_by_document", "view_relays", ["document_key"])
    op.create_index("view_relays_by_state", "view_relays", ["state", "position"])
    op.create_index(
        "view_relays_open",
        "view_relays",
        ["position"],
        sqlite_where=sa.text(MAY_BE_SENT),
        postgresql_where=sa.text(MAY_BE_SENT),
    )
