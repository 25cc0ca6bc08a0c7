"""Packages from the axis that were parked can be erased by law; comparisons with it are found.

Revision ID: 0017
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None

IS_ERASURE = "topic IN ('hub.Exchange.PayloadErased', 'hub.Relay.ArrivalErased')"

IS_RECONCILIATION = "topic = 'hub.Relay.ReconciliationMade'"


def upgrade() -> None:
    """Let the index over what was erased hold these, too, and add one of comparisons."""
    op.drop_index("events_of_erasure", "events")
    op.create_index(
        "events_of_erasure",
        "events",
        ["position"],
        sqlite_where=sa.text(IS_ERASURE),
        postgresql_where=sa.text(IS_ERASURE),
    )
    op.create_index(
        "events_of_reconciliation",
        "events",
        ["position"],
        sqlite_where=sa.text(IS_RECONCILIATION),
        postgresql_where=sa.text(IS_RECONCILIATION),
    )
