"""A place for the checkpoints of logs that ended when they were reopened.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from adapters.storage.migrations.refusals import refuse_changes

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table, with its triggers."""
    op.create_table(
        "former_checkpoints",
        sa.Column("size", POSITION, primary_key=True, autoincrement=False),
        sa.Column("origin", TEXT, primary_key=True),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    refuse_changes("former_checkpoints")
