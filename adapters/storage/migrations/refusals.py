"""Triggers by which the database refuses to everybody what would change history.

Whoever owns the database can drop them: against that stand the tree and the receipts. The
migrations are written with these words, so they must never come to mean anything else.
"""

from __future__ import annotations

from alembic import op


def refuse(action: str, table: str, message: str, *, when: str = "") -> None:
    """Refuse an UPDATE or DELETE of rows, or only `when` a condition on OLD and NEW holds."""
    name, condition = f"{table}_refuse_{action.lower()}", f" WHEN ({when})" if when else ""
    if op.get_context().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {action} ON {table}{condition}"
            f" BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH ROW{condition}"
        f" EXECUTE FUNCTION refuse_change('{message}')"
    )
    if action == "DELETE":
        op.execute(
            f"CREATE TRIGGER {table}_refuse_truncate BEFORE TRUNCATE ON {table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('{message}')"
        )


def refuse_changes(table: str) -> None:
    """Refuse whatever is not an INSERT."""
    for action in ("UPDATE", "DELETE"):
        refuse(action, table, f"the table {table} is append-only")


def prepare() -> None:
    """Make what the triggers call, where a database has no words for it."""
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',"
            " MESSAGE = TG_ARGV[0]; END $$"
        )
