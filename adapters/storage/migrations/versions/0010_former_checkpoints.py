"""A place for the checkpoints of logs that ended when they were reopened.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table, with its triggers."""
    op.create_table(
        "former_checkpoints",
        sa.Column("size", POSITION, primary_key=True, autoincrement=False),
        sa.Column("origin", sa.String(), primary_key=True),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    for action in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER former_checkpoints_refuse_{action.lower()}"
            f" BEFORE {action} ON former_checkpoints"
            " BEGIN SELECT RAISE(ABORT, 'the table former_checkpoints is append-only'); END"
        )
