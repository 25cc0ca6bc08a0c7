"""Several hubs serve at once: whether the leader is alone, and what stops all of them.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Nobody is alone, and nothing is frozen."""
    op.add_column(
        "leadership",
        sa.Column("alone", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("leadership", sa.Column("frozen", TEXT, nullable=True))
    op.add_column("leadership", sa.Column("frozen_position", POSITION, nullable=True))
