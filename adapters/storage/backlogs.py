"""What waits to be taken delivery of, counted in the views."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database
from adapters.storage.views import instant
from hub.application.ports import Backlog
from hub.domain.delivery import RecallState

_deliveries = schema.view_deliveries.c
_documents = schema.view_documents.c


class Backlogs:
    """The port Backlogs. Walks over what waits, by an index that holds little else."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def uncollected(self) -> Sequence[Backlog]:
        """Each agency for which something waits, by code."""
        statement = (
            sa.select(
                _deliveries.recipient, sa.func.count(), sa.func.min(_documents.accepted_at_us)
            )
            .join_from(schema.view_deliveries, schema.view_documents)
            .where(
                sa.text(f"view_deliveries.{schema.NOT_COLLECTED}"),
                sa.not_(_deliveries.expired),
                _deliveries.recall.in_((int(RecallState.NONE), int(RecallState.REFUSED))),
                sa.not_(_documents.erased),
                _documents.replaced_by.is_(None),
            )
            .group_by(_deliveries.recipient)
            .order_by(_deliveries.recipient)
        )
        with self._database.reading() as connection:
            return [
                Backlog(agency, count, instant(oldest_us))
                for agency, count, oldest_us in connection.execute(statement)
            ]
