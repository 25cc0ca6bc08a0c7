"""Organisations behind a wrapper that does not list them, from a file that operators keep.

CSV in UTF-8, with a mark or without, as a spreadsheet writes it: a first row that names the
columns, then one organisation a row. `code` and `name` must be there; `old_code` is the code of
the other system, `id` what the wrapper calls it, `deleted` is `1` for one that is gone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from hub.application.axis import AxisAgency, AxisListUnreadable
from hub.proof.statements import AGENCY_CODE

_BYTES_MAX = 16 * 1024**2
_ROWS_MAX = 100_000
_COLUMNS = ("code", "name", "old_code", "id", "deleted")


def organisations_in(path: Path) -> list[AxisAgency]:
    """The organisations in a file. Raises AxisListUnreadable, which names the row."""
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
        if len(data) > _BYTES_MAX:
            raise AxisListUnreadable(f"{path.name} has more than {_BYTES_MAX} bytes")
        return list(_agencies(path.name, data.decode("utf-8-sig")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AxisListUnreadable(f"{path.name} cannot be read: {type(error).__name__}") from error


def _agencies(name: str, text: str) -> Iterator[AxisAgency]:
    # Spreadsheets of Vietnamese settings put `;` between columns.
    first = text.split("\n", 1)[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",")
    if not {"code", "name"} <= set(rows.fieldnames or ()):
        raise AxisListUnreadable(f"the first row of {name} must name at least `code` and `name`")
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        found = {each: (row.get(each) or "").strip() for each in _COLUMNS}
        if number > _ROWS_MAX:
            raise AxisListUnreadable(f"{name} has more than {_ROWS_MAX} rows")
        if not AGENCY_CODE.fullmatch(found["code"]) or found["code"] in seen:
            raise AxisListUnreadable(f"row {number} of {name} has no code, or one that was before")
        seen.add(found["code"])
        yield AxisAgency(
            code=found["code"],
            name=found["name"],
            old_code=found["old_code"],
            axis_id=found["id"],
            deleted=found["deleted"] in {"1", "true"},
        )
