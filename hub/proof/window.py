"""From when until when something that the trusted root lists is to be believed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.errors import VerificationFailed
from hub.proof.strict import JsonObject
from hub.proof.timestamp_authority import format_instant, parse_instant


@dataclass(frozen=True, slots=True)
class Window:
    """From `not_before` to `not_after`, both included and whole seconds; None has no end there.

    Ends are only ever found out later: an edition may say one, or an earlier one, and no edition
    after it takes that back.
    """

    not_before: datetime | None = None
    not_after: datetime | None = None

    def includes(self, at: datetime) -> bool:
        """Whether what was made at that time counts."""
        return not self.begins_after(at) and (self.not_after is None or at <= self.not_after)

    def begins_after(self, at: datetime) -> bool:
        """Whether that time was too early."""
        return self.not_before is not None and at < self.not_before

    def why_not(self, at: datetime) -> str:
        """Words for a time that is not included."""
        return "was not trusted yet" if self.begins_after(at) else "was no longer trusted"

    def may_become(self, later: Window) -> bool:
        """Whether the next edition may say `later`: the same beginning, and no later end."""
        if later.not_before != self.not_before:
            return False
        return self.not_after is None or (
            later.not_after is not None and later.not_after <= self.not_after
        )

    def members(self) -> dict[str, Any]:
        """The JSON members that `parse_window` reads; none for what is always believed."""
        if self == ALWAYS:
            return {}
        ends = {"from": self.not_before, "until": self.not_after}
        return {name: None if at is None else format_instant(at) for name, at in ends.items()}


ALWAYS = Window()


def parse_window(fields: JsonObject, whose: str) -> Window:
    """Read `from` and `until` of an entry: neither, or both and one of them not null.

    Raises VerificationFailed(step="trust").
    """
    given = {"from", "until"} & fields.members.keys()
    if not given:
        return ALWAYS
    # A missing end must not mean an open window: the word may have been cut away.
    if len(given) < 2:
        raise _bad(f"the trusted root says only one end of the window of {whose}")
    window = Window(_instant(fields, "from"), _instant(fields, "until"))
    if window == ALWAYS:
        raise _bad(f"the window of {whose} in the trusted root has no end; it must be left out")
    if window.not_before and window.not_after and window.not_after < window.not_before:
        raise _bad(f"the window of {whose} in the trusted root ends before it begins")
    return window


def _instant(fields: JsonObject, name: str) -> datetime | None:
    return None if fields.members[name] is None else parse_instant(fields.text(name))


def _bad(why: str) -> VerificationFailed:
    return VerificationFailed(why, step="trust")
