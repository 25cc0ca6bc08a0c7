"""Where the next edition of the trusted root ends what it lists: a witness, or an authority."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hub.errors import TrustedRootRefused
from hub.proof.trust import TrustedRoot
from hub.proof.window import Window

ENDS_MAX = 100
"""How many one draft may name."""


@dataclass(frozen=True, slots=True)
class TrustEnd:
    """The last instant at which somebody could be relied on, told in whole seconds.

    `who` is a witness's verifier key, a time-stamping authority's name, or SHA-256 of a
    certificate authority's certificate in hexadecimal.
    """

    who: str
    until: datetime


def ended(root: TrustedRoot, ends: Sequence[TrustEnd]) -> TrustedRoot:
    """The edition with these ends. Raises TrustedRootRefused.

    For somebody it does not list, and for an end after the one that is known, or before the
    beginning.
    """
    if len(ends) > ENDS_MAX:
        raise TrustedRootRefused(f"a draft ends {ENDS_MAX} at most")
    listed = _listed(root)
    for end in ends:
        if end.who not in listed:
            raise TrustedRootRefused("it does not list whom the draft is to end; see `trust show`")
        root = _ended(root, end)
    return root


def fingerprint(certificate: bytes) -> str:
    """How `who` names the authority of a certificate in DER."""
    return hashlib.sha256(certificate).hexdigest()


def _ended(root: TrustedRoot, end: TrustEnd) -> TrustedRoot:
    return replace(
        root,
        witnesses=tuple(
            replace(each, window=_until(each.window, end)) if each.key.format() == end.who else each
            for each in root.witnesses
        ),
        certificate_authorities=tuple(
            replace(each, window=_until(each.window, end))
            if fingerprint(each.certificate) == end.who
            else each
            for each in root.certificate_authorities
        ),
        timestamp_authorities=tuple(
            replace(each, not_after=_until(Window(each.not_before, each.not_after), end).not_after)
            if each.name == end.who
            else each
            for each in root.timestamp_authorities
        ),
    )


def _listed(root: TrustedRoot) -> set[str]:
    return {
        *(each.key.format() for each in root.witnesses),
        *(fingerprint(each.certificate) for each in root.certificate_authorities),
        *(each.name for each in root.timestamp_authorities),
    }


def _until(window: Window, end: TrustEnd) -> Window:
    new = replace(window, not_after=end.until.astimezone(UTC).replace(microsecond=0))
    if not window.may_become(new):
        raise TrustedRootRefused("it ended before that already; an end is only ever moved back")
    if new.not_before is not None and new.not_after is not None and new.not_after < new.not_before:
        raise TrustedRootRefused("what the draft is to end was not trusted yet at that time")
    return new
