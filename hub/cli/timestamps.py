"""`lienthong ledger timestamps`: whose clocks vouch for a hub's log, and what still waits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hub.cli.console import local_time, say, say_json, say_table, shown
from hub.cli.messages import _
from hub.cli.sentences import in_words
from hub.cli.session import JsonOption, ProfileOption, operator, run
from hub.client.timestamps import AuthorityStanding, TimestampsStanding


def timestamps(profile: ProfileOption, json_: JsonOption = False) -> None:
    """List the time-stamping authorities: the newest timestamp of each, and what waits for one."""
    standing = run(_standing(profile))
    if json_:
        say_json(_members(standing))
    elif not standing.authorities:
        say(_("This hub asks no time-stamping authority."))
    else:
        _show(standing)


async def _standing(profile: Path) -> TimestampsStanding:
    async with operator(profile) as registry:
        return await registry.timestamps.standing()


def _show(standing: TimestampsStanding) -> None:
    now = datetime.now(UTC)
    say_table(
        [_("Authority"), _("Newest timestamp"), _("Covers"), _("Ends"), _("Waiting")],
        [
            [
                each.name,
                _time(each.newest),
                str(each.newest_size),
                _time(each.newest_not_after),
                _waiting(each, now),
            ]
            for each in standing.authorities
        ],
    )
    for each in standing.authorities:
        if each.last_failure:
            said = shown(in_words(each.last_failure))
            say(f"{each.name}: {said}", style="yellow")
    if standing.next_end is not None:
        say(_("To be renewed before {time}.", time=local_time(standing.next_end)))
    if standing.renewal_failure:
        said = shown(in_words(standing.renewal_failure))
        say(_("Renewing failed: {reason}", reason=said), style="yellow")


def _waiting(authority: AuthorityStanding, now: datetime) -> str:
    if authority.waiting_since is None:
        return _("nothing")
    minutes = max(0, round((now - authority.waiting_since).total_seconds() / 60))
    return _("{count} events, {minutes} min", count=authority.waiting_events, minutes=minutes)


def _time(at: datetime | None) -> str:
    return "–" if at is None else local_time(at)


def _members(standing: TimestampsStanding) -> dict[str, Any]:
    return {
        "authorities": [
            {
                "name": each.name,
                "newest": _text(each.newest),
                "newest_size": each.newest_size,
                "newest_not_after": _text(each.newest_not_after),
                "waiting_since": _text(each.waiting_since),
                "waiting_events": each.waiting_events,
                "failures": each.failures,
                "last_failure": each.last_failure,
                "next_attempt": _text(each.next_attempt),
            }
            for each in standing.authorities
        ],
        "next_end": _text(standing.next_end),
        "renewal_failure": standing.renewal_failure,
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
