"""Who holds which edition of the trusted root, in the hub's database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from adapters.storage import schema
from adapters.storage.engine import Database, upsert
from adapters.storage.views import instant, microseconds
from hub.application.ports import TrustFetch

_fetches = schema.trusted_root_fetches.c


class TrustFetches:
    """The port TrustFetches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Clients ask at every start of theirs: what is known already must cost no write.
        self._known: dict[tuple[str, str], int] = {}

    def note(self, role: str, caller: str, edition: int, at: datetime) -> None:
        """Remember it, unless a later edition is known."""
        if self._known.get((role, caller), 0) >= edition:
            return
        newer = {"edition": edition, "at_us": microseconds(at)}
        insert = upsert(schema.trusted_root_fetches).values(role=role, caller=caller, **newer)
        with self._database.writing(by_any=True) as connection:
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["role", "caller"], set_=newer, where=_fetches.edition < edition
                )
            )
        self._known[role, caller] = edition

    def all(self) -> Sequence[TrustFetch]:
        """Everybody, by role and name."""
        table = schema.trusted_root_fetches
        statement = sa.select(*table.c).order_by(_fetches.role, _fetches.caller)
        with self._database.reading() as connection:
            return [
                TrustFetch(row.role, row.caller, row.edition, instant(row.at_us))
                for row in connection.execute(statement)
            ]
