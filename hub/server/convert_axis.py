"""Packages of the national axis on the wire: what `convert` is for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from hub.application.ports import Place, RelayRow, RelayTally
from hub.application.reconciliation import Reconciled
from hub.application.relays import AxisStanding
from hub.domain.relay import Direction, RelayKind, RelayState
from hub.errors import RequestMalformed
from hub.server import convert
from hub.v1 import axis_pb2, registry_service_pb2

_KINDS = {
    RelayKind.DOCUMENT: axis_pb2.RELAY_KIND_DOCUMENT,
    RelayKind.RECALL: axis_pb2.RELAY_KIND_RECALL,
    RelayKind.STATUS: axis_pb2.RELAY_KIND_STATUS,
}
_POSITION_DIGITS_MAX = 18


def state(number: int) -> RelayState | None:
    """The state that is asked for; None for all that are not over."""
    if number == axis_pb2.RELAY_STATE_UNSPECIFIED:
        return None
    try:
        return RelayState(number)
    except ValueError as error:
        raise RequestMalformed("state is none of the known ones", field="state") from error


def place_of_token(token: str) -> Place | None:
    """Where the page before ended; None for the first."""
    if not token:
        return None
    position, _, relay = token.partition(" ")
    if not (position.isascii() and position.isdigit() and len(position) <= _POSITION_DIGITS_MAX):
        raise RequestMalformed("page_token is not one of ours", field="page_token")
    return int(position), convert.uuid(relay, "page_token")


def relay_id(text: str) -> UUID:
    """The package that is meant."""
    return convert.uuid(text, "relay_id")


def axis_status_response(
    standing: AxisStanding,
) -> registry_service_pb2.GetAxisStatusResponse:
    """How it stands with the axis."""
    unsent, unanswered = standing.ages.unsent, standing.ages.unanswered
    last = standing.last
    return registry_service_pb2.GetAxisStatusResponse(
        tallies=[_tally(each) for each in standing.tallies],
        oldest_unsent_time=convert.timestamp(unsent) if unsent else None,
        oldest_unanswered_time=convert.timestamp(unanswered) if unanswered else None,
        unreachable_rounds=standing.unreachable_rounds,
        reconcile_time=convert.timestamp(last.at) if last else None,
        differences=last.differences if last else 0,
    )


def list_relays_response(
    rows: Sequence[RelayRow], size: int
) -> registry_service_pb2.ListRelaysResponse:
    """A page of packages from one row more than the page holds."""
    last = rows[size - 1] if len(rows) > size else None
    return registry_service_pb2.ListRelaysResponse(
        relays=[_relay(row) for row in rows[:size]],
        next_page_token=f"{last.position} {last.relay_id}" if last else "",
    )


def reconcile_response(done: Reconciled) -> registry_service_pb2.ReconcileAxisResponse:
    """A report, and what signs it."""
    return registry_service_pb2.ReconcileAxisResponse(
        receipt=convert.receipt(done.recorded), report=done.report
    )


def _relay(row: RelayRow) -> axis_pb2.Relay:
    return axis_pb2.Relay(
        relay_id=str(row.relay_id),
        incoming=row.direction is Direction.IN,
        kind=_KINDS[row.kind],
        exchange_id=str(row.exchange_id),
        agency=row.agency,
        status=row.status,
        state=axis_pb2.RelayState.ValueType(row.state.value),
        position=row.position,
        since_time=convert.timestamp(row.since),
        update_time=convert.timestamp(row.updated_at),
        attempts=row.attempts,
        again_time=convert.timestamp(row.again_at) if row.again_at else None,
        reason=row.reason,
        code=row.code,
        axis_id=row.axis_id,
        package_bytes=max(row.package_bytes, 0),
        package_digest=row.package,
    )


def _tally(tally: RelayTally) -> axis_pb2.RelayTally:
    return axis_pb2.RelayTally(
        incoming=tally.direction is Direction.IN,
        kind=_KINDS[tally.kind],
        state=axis_pb2.RelayState.ValueType(tally.state.value),
        count=tally.count,
        oldest_time=convert.timestamp(tally.oldest),
    )
