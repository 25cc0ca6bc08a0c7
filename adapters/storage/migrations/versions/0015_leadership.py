"""One row that says which of several hubs leads.

Revision ID: 0015
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from adapters.storage.migrations.refusals import refuse

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the row: nobody leads."""
    op.create_table(
        "leadership",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("hub", TEXT, nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id = 1", name="leadership_is_one_row"),
    )
    op.execute("INSERT INTO leadership (id, epoch, hub) VALUES (1, 0, '')")
    refuse("DELETE", "leadership", "an epoch is never given twice")
    went_back = "NEW.epoch < OLD.epoch"
    refuse("UPDATE", "leadership", "an epoch is never given twice", when=went_back)
