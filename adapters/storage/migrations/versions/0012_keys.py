"""Orders about keys, and who holds which edition of the trusted root."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: what this step did must never change again.
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("view_orders", sa.Column("hub_key", TEXT, nullable=True))
    op.create_table(
        "trusted_root_fetches",
        sa.Column("role", TEXT, primary_key=True),
        sa.Column("caller", TEXT, primary_key=True),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
