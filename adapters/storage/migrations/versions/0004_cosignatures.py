"""What witnesses signed under the log's checkpoints.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from adapters.storage.migrations.refusals import refuse_changes

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the cosignatures, which are never changed or removed."""
    op.create_table(
        "cosignatures",
        sa.Column("size", POSITION, sa.ForeignKey("checkpoints.size"), primary_key=True),
        sa.Column("nth", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("witness", TEXT, nullable=False),
        sa.Column("key_id", sa.LargeBinary(4), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "cosignatures_by_witness", "cosignatures", ["witness", "key_id", "size"], unique=True
    )
    op.create_index("cosignatures_by_count", "cosignatures", ["nth", "size"])
    refuse_changes("cosignatures")
