"""What goes over the axis, found in the views."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database
from adapters.storage.views import RELAY, instant, microseconds, relay_of
from hub.application.ports import Place, RelayRow, RelayTally
from hub.domain.delivery import DeliveryState
from hub.domain.relay import Direction, RelayKind, RelayState

_CALLED_MAX = 100
_OVER = tuple(map(int, (RelayState.SENT, RelayState.TAKEN, RelayState.SPLIT, RelayState.ERASED)))

_relays = schema.view_relays.c
_deliveries = schema.view_deliveries.c


class RelayList:
    """The port RelayList."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, at: datetime, after: Place | None, limit: int) -> Sequence[RelayRow]:
        """Outgoing packages that may be made or sent now, by their place, beyond one.

        Along an index that holds only what is not over.
        """
        return self._found(
            sa.text(schema.MAY_BE_SENT),
            sa.or_(_relays.again_at_us.is_(None), _relays.again_at_us <= microseconds(at)),
            *_beyond(after),
            limit=limit,
        )

    def known(self, axis_id: str) -> RelayRow | None:
        """The package that came under this id of the axis."""
        found = self._found(_relays.axis_id == axis_id, _relays.incoming, limit=1)
        return found[0] if found else None

    def called(self, document_key: bytes) -> Sequence[RelayRow]:
        """Documents that came and that their sender calls so; at most 100."""
        return self._found(_relays.document_key == document_key, limit=_CALLED_MAX)

    def sent_since(self, since: datetime, after: Place | None, limit: int) -> Sequence[RelayRow]:
        """Outgoing packages the axis took at `since` or later, by their place, beyond one."""
        return self._found(
            _relays.state == int(RelayState.SENT),
            *_beyond(after),
            _relays.updated_at_us >= microseconds(since),
            limit=limit,
        )

    def listed(
        self,
        state: RelayState | None,
        direction: Direction | None,
        after: Place | None,
        limit: int,
    ) -> Sequence[RelayRow]:
        """Packages by their place, beyond one; where no state is given, all that are not over."""
        wanted = _relays.state.not_in(_OVER) if state is None else _relays.state == int(state)
        way = [] if direction is None else [_relays.incoming.is_(direction is Direction.IN)]
        return self._found(wanted, *way, *_beyond(after), limit=limit)

    def tallies(self) -> Sequence[RelayTally]:
        """All packages, counted."""
        alike = (_relays.incoming, _relays.kind, _relays.state)
        statement = (
            sa.select(*alike, sa.func.count(), sa.func.min(_relays.since_us))
            .group_by(*alike)
            .order_by(*alike)
        )
        with self._database.reading() as connection:
            return [
                RelayTally(
                    Direction.IN if incoming else Direction.OUT,
                    RelayKind(kind),
                    RelayState(state),
                    count,
                    instant(oldest_us),
                )
                for incoming, kind, state, count, oldest_us in connection.execute(statement)
            ]

    def oldest_unanswered(self) -> datetime | None:
        """When the oldest document was sent of which a recipient has said nothing yet.

        A recipient on this hub, beside those behind the axis, counts too.
        """
        statement = sa.select(sa.func.min(_relays.updated_at_us)).where(
            _relays.state == int(RelayState.SENT),
            _relays.kind == RelayKind.DOCUMENT.value,
            sa.exists().where(
                _deliveries.exchange_id == _relays.exchange_id,
                _deliveries.state == int(DeliveryState.CONSIGNED),
            ),
        )
        with self._database.reading() as connection:
            oldest_us = connection.scalar(statement)
        return None if oldest_us is None else instant(oldest_us)

    def _found(
        self, *conditions: sa.ColumnElement[bool] | sa.TextClause, limit: int
    ) -> list[RelayRow]:
        statement = (
            sa.select(*RELAY)
            .where(*conditions)
            .order_by(_relays.position, _relays.relay_id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [relay_of(row) for row in connection.execute(statement)]


def _beyond(after: Place | None) -> list[sa.ColumnElement[bool]]:
    if after is None:
        return []
    position, relay_id = after
    same = sa.and_(_relays.position == position, _relays.relay_id > relay_id.bytes)
    return [sa.or_(_relays.position > position, same)]
