"""What an examination finds: numbered steps, each with a verdict in a plain sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a finding says about its step."""

    PROVEN = "proven"  # By mathematics, given the trusted root.
    STATED = "stated"  # The hub's word: fixed in the log, but nobody else vouches for it.
    NOT_CHECKED = "not checked"  # This file, or this program, cannot tell.
    REFUTED = "refuted"  # It does not hold; nothing after it was looked at.


@dataclass(frozen=True, slots=True)
class Finding:
    """One step of an examination, counted from 1, with its verdict in a plain sentence."""

    step: int
    verdict: Verdict
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings about one file, in the order of the steps; at least one."""

    items: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The file as a whole: refuted before not checked before proven, never stated."""
        verdicts = {finding.verdict for finding in self.items}
        for verdict in (Verdict.REFUTED, Verdict.NOT_CHECKED):
            if verdict in verdicts:
                return verdict
        return Verdict.PROVEN


def worse(one: Verdict, other: Verdict) -> Verdict:
    """Of two files' verdicts the one that stands for both."""
    order = (Verdict.PROVEN, Verdict.NOT_CHECKED, Verdict.REFUTED)
    return max(one, other, key=order.index)


def sentence(message: str) -> str:
    """A bare message as a sentence."""
    return f"{message[:1].upper()}{message[1:]}."
