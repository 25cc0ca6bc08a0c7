"""A second list of all checkpoints, so that one that was removed is missed.

Revision ID: 0008
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from adapters.storage.migrations.refusals import refuse_changes

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Note the checkpoints that are there."""
    op.create_table(
        "published",
        sa.Column("size", POSITION, primary_key=True, autoincrement=False),
    )
    op.execute("INSERT INTO published SELECT size FROM checkpoints")
    refuse_changes("published")
