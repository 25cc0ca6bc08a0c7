"""Indexes of the events that store what issuers say of revocation, and of verdicts.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

IS_VERDICT = sa.text("topic = 'hub.Exchange.SignatureVerdictMade'")
IS_REVOCATION_EVIDENCE = sa.text("topic = 'hub.Log.RevocationEvidenceStored'")


def upgrade() -> None:
    """Add the indexes; nothing else changes."""
    op.create_index(
        "events_of_revocation_evidence",
        "events",
        ["position"],
        sqlite_where=IS_REVOCATION_EVIDENCE,
        postgresql_where=IS_REVOCATION_EVIDENCE,
    )
    op.create_index(
        "events_of_verdicts",
        "events",
        ["position"],
        sqlite_where=IS_VERDICT,
        postgresql_where=IS_VERDICT,
    )
