"""`lienthong axis`: how it stands with packages on their way, and moving those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.agency import RequestOption, repeatable
from hub.cli.console import local_time, say, say_fields, say_json, say_table, shown
from hub.cli.messages import N_, _
from hub.cli.session import JsonOption, ProfileOption, operator, run
from hub.client.answers import RelayState
from hub.client.axis import AxisReport, AxisStatus, Relay, RelayKind, RelayTally
from hub.client.orders import OperatorFact

_KINDS = {
    RelayKind.DOCUMENT: N_("document"),
    RelayKind.RECALL: N_("recall"),
    RelayKind.STATUS: N_("status"),
}
_STATES = {
    RelayState.WAITING: N_("waiting"),
    RelayState.QUEUED: N_("ready to go"),
    RelayState.FAILED: N_("failed, will be repeated"),
    RelayState.SENT: N_("sent"),
    RelayState.PARKED: N_("parked"),
    RelayState.TAKEN: N_("taken in"),
    RelayState.ERASED: N_("erased by law"),
    RelayState.SPLIT: N_("goes to each receiver by itself"),
}
_UNKNOWN = N_("unknown here")

RelaysArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="PACKAGE", help="The id of a package; repeat it for several."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every package that this is for.")]


def relay_state_in_words(state: RelayState) -> str:
    """How far a package has come, in words."""
    return _(_STATES.get(state, _UNKNOWN))


def status(
    profile: ProfileOption,
    *,
    signed: Annotated[
        bool,
        typer.Option(
            "--signed",
            help="List too what came with signatures, and what the worst of them is worth.",
        ),
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Say how it stands with the national axis, and list what is not over."""
    standing, relays = run(_status(profile, signed=signed))
    if json_:
        say_json(_status_members(standing, relays))
        return
    _show_status(standing)
    if relays:
        _show(relays)


def retry(
    relay: RelaysArgument = None,
    *,
    profile: ProfileOption,
    all_: AllOption = False,
    json_: JsonOption = False,
) -> None:
    """Repeat now what failed and waits for its next attempt; the same bytes go out."""
    _report(run(_resume(profile, relay or [], RelayState.FAILED if all_ else None)), json_)


def resume(
    relay: RelaysArgument = None,
    *,
    profile: ProfileOption,
    all_: AllOption = False,
    json_: JsonOption = False,
) -> None:
    """Let go on what is parked. A package that came is read once more.

    Do it once what it was parked for is mended; else it is parked again.
    """
    _report(run(_resume(profile, relay or [], RelayState.PARKED if all_ else None)), json_)


def park(
    relay: Annotated[str, typer.Argument(metavar="PACKAGE", help="The id of the package.")],
    *,
    reason: Annotated[
        str,
        typer.Option(metavar="WORD", help="Why, as one code word such as wrong-recipient."),
    ],
    profile: ProfileOption,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Let a package wait until it is resumed.

    What is on the wire just now may still arrive.
    """
    with repeatable():
        fact = run(_park(profile, relay, reason, request_id))
    _report([(relay, fact)], json_)


def reconcile(
    *,
    profile: ProfileOption,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the report there, and its receipt beside it."),
    ] = None,
    request_id: RequestOption = None,
    json_: JsonOption = False,
) -> None:
    """Hold the hub's ledger against the axis's lists, now. The log signs for the report."""
    with repeatable():
        done = run(_reconcile(profile, request_id))
    if report is not None:
        report.write_bytes(done.report)
        report.with_name(f"{report.name}.receipt.json").write_bytes(done.fact.evidence())
    if json_:
        say_json(
            {
                "position": done.fact.fact.position,
                "compared": done.compared,
                "differences": list(done.differences),
            }
        )
        return
    _show_report(done)


async def _status(profile: Path, *, signed: bool) -> tuple[AxisStatus, list[Relay]]:
    async with operator(profile) as registry:
        standing = await registry.axis.status()
        relays = [each async for each in registry.axis.relays()]
        if signed:
            taken = registry.axis.relays(RelayState.TAKEN)
            relays += [each async for each in taken if each.reason]
        return standing, relays


async def _resume(
    profile: Path, relays: Sequence[str], every: RelayState | None
) -> list[tuple[str, OperatorFact]]:
    async with operator(profile) as registry:
        wanted = list(relays)
        if every is not None:
            wanted += [each.relay_id async for each in registry.axis.relays(every)]
        if not wanted and every is None:
            raise typer.BadParameter(_("name a package, or say --all"))
        unique = dict.fromkeys(wanted)
        return [(each, await registry.axis.resume(each)) for each in unique]


async def _park(profile: Path, relay: str, reason: str, request_id: str | None) -> OperatorFact:
    async with operator(profile) as registry:
        return await registry.axis.park(relay, reason, request_id=request_id)


async def _reconcile(profile: Path, request_id: str | None) -> AxisReport:
    async with operator(profile) as registry:
        return await registry.axis.reconcile(request_id=request_id)


def _report(done: Sequence[tuple[str, OperatorFact]], as_json: bool) -> None:
    if as_json:
        say_json([{"relay": each, "position": fact.fact.position} for each, fact in done])
        return
    said = _("Recorded: {count} package(s).", count=len(done))
    say(said, style="bold green" if done else "")


def _show_status(standing: AxisStatus) -> None:
    fields = []
    if standing.unreachable_rounds:
        fields.append(
            (_("Axis"), _("not reached in {count} rounds", count=standing.unreachable_rounds))
        )
    for name, at in (
        (_("Oldest not sent"), standing.oldest_unsent),
        (_("Oldest not answered"), standing.oldest_unanswered),
    ):
        fields.append((name, local_time(at) if at else _("none")))
    if standing.reconciled_at:
        said = _(
            "{count} difference(s), {time}",
            count=standing.differences,
            time=local_time(standing.reconciled_at),
        )
        fields.append((_("Last comparison"), said))
    say_fields(fields)
    columns = [_("Direction"), _("Kind"), _("State"), _("Count"), _("Oldest")]
    say_table(columns, [_tally_cells(each) for each in standing.tallies])


def _tally_cells(tally: RelayTally) -> list[str]:
    return [
        _direction(tally.incoming),
        _(_KINDS.get(tally.kind, _UNKNOWN)),
        _(_STATES.get(tally.state, _UNKNOWN)),
        str(tally.count),
        local_time(tally.oldest),
    ]


def _show(relays: Sequence[Relay]) -> None:
    columns = [
        _("Package"), _("Direction"), _("Kind"), _("State"), _("Since"), _("Attempts"), _("Reason"),
    ]  # fmt: skip
    rows = [
        [
            each.relay_id,
            _direction(each.incoming),
            shown(" ".join(filter(None, (_(_KINDS.get(each.kind, _UNKNOWN)), *_whose(each))))),
            _(_STATES.get(each.state, _UNKNOWN)),
            local_time(each.since),
            str(each.attempts),
            shown(" ".join(filter(None, (each.reason, each.code)))),
        ]
        for each in relays
    ]
    say_table(columns, rows)


def _direction(incoming: bool) -> str:
    return _("from the axis") if incoming else _("to the axis")


def _show_report(done: AxisReport) -> None:
    if not done.differences:
        said = _("The books agree: {count} package(s) compared.", count=done.compared)
        say(said, style="bold green")
        return
    said = _(
        "{differences} difference(s), with {count} package(s) compared:",
        differences=len(done.differences),
        count=done.compared,
    )
    say(said, style="yellow")
    names = ("what", "kind", "axis_id", "exchange", "agency")
    rows = [[shown(str(each.get(name, ""))) for name in names] for each in done.differences]
    columns = [_("Difference"), _("Kind"), _("Id at the axis"), _("Exchange"), _("Agency")]
    say_table(columns, rows)


def _whose(relay: Relay) -> tuple[str, str]:
    """The code of a status; the one receiver of what was split."""
    return relay.status, "" if relay.status else relay.agency


def _status_members(standing: AxisStatus, relays: Sequence[Relay]) -> dict[str, Any]:
    return {
        "unreachable_rounds": standing.unreachable_rounds,
        "oldest_unsent": standing.oldest_unsent and standing.oldest_unsent.isoformat(),
        "reconciled_at": standing.reconciled_at and standing.reconciled_at.isoformat(),
        "differences": standing.differences,
        "oldest_unanswered": standing.oldest_unanswered and standing.oldest_unanswered.isoformat(),
        "tallies": [
            {
                "incoming": each.incoming,
                "kind": each.kind.name.lower(),
                "state": each.state.name.lower(),
                "count": each.count,
                "oldest": each.oldest.isoformat(),
            }
            for each in standing.tallies
        ],
        "relays": [_relay_members(each) for each in relays],
    }


def _relay_members(relay: Relay) -> dict[str, Any]:
    return {
        "relay": relay.relay_id,
        "incoming": relay.incoming,
        "kind": relay.kind.name.lower(),
        "exchange": relay.exchange_id,
        "agency": relay.agency,
        "status": relay.status,
        "state": relay.state.name.lower(),
        "position": relay.position,
        "since": relay.since.isoformat(),
        "updated_at": relay.updated_at.isoformat(),
        "attempts": relay.attempts,
        "again_at": relay.again_at and relay.again_at.isoformat(),
        "reason": relay.reason,
        "code": relay.code,
        "axis_id": relay.axis_id,
        "package_bytes": relay.package_bytes,
        "package_digest": relay.package_digest,
    }
