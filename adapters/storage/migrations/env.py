"""How Alembic runs the migrations; it is loaded by Alembic, with a connection handed in."""

from __future__ import annotations

from typing import Any

from alembic import context

from adapters.storage.schema import metadata


def include_object(
    _object: Any, name: str | None, type_: str, reflected: bool, _compared_to: Any
) -> bool:
    """Leave alone what is not ours: a comparison would propose to drop it."""
    return not (type_ == "table" and reflected and name not in metadata.tables)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_object=include_object,
)
context.run_migrations()
