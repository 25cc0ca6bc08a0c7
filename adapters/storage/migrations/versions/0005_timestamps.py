"""An index of the events that record timestamps.

Revision ID: 0005
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

IS_TIMESTAMP = sa.text("topic = 'hub.Log.TimestampObtained'")


def upgrade() -> None:
    """Add the index; nothing else changes."""
    op.create_index(
        "events_of_timestamps",
        "events",
        ["position"],
        sqlite_where=IS_TIMESTAMP,
        postgresql_where=IS_TIMESTAMP,
    )
