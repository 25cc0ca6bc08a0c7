"""Since when a checkpoint provably exists: tokens over it, renewed for as long as it takes.

A timestamp proves that a checkpoint, and so every event it covers, existed at a time by a
clock that is not the hub's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from hub.errors import VerificationFailed
from hub.evidence.chains import EvidenceMissing, anchors_among
from hub.evidence.renewals import Renewed, parse_renewal
from hub.evidence.tokens import VerifiedToken, parse_token, verify_token
from hub.proof.findings import Finding, Findings, Verdict
from hub.proof.timestamp_authority import TimestampAuthority
from hub.proof.trust import TrustedRoot

RENEWALS_MAX = 64
"""How often a timestamp may have been renewed: with certificates of a year, for a lifetime."""


@dataclass(frozen=True, slots=True)
class TimestampToken:
    """A token as it is kept: who is said to have made it, in DER, and certificates beside it.

    None of it is believed: the name selects the entry of the trusted root to hold it against.
    """

    authority: str
    token: bytes
    certificates: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Renewal:
    """A token over earlier tokens, with the bytes it is over (`hub.evidence.renewals`)."""

    timestamp: TimestampToken
    message: bytes


@dataclass(frozen=True, slots=True)
class TimestampEvidence:
    """A token over a checkpoint (the exact bytes of its signed note) and its renewals.

    Each renewal, oldest first, renews the token before it.
    """

    checkpoint: bytes
    timestamp: TimestampToken
    renewals: tuple[Renewal, ...] = ()


@dataclass(frozen=True, slots=True)
class ProvenTime:
    """The checkpoint existed at `time`, by the clock of `authority`.

    `good_until` is the end of the chain behind the newest token: after it, this evidence
    alone no longer proves anything.
    """

    time: datetime
    authority: str
    good_until: datetime


def verify_timestamp(
    evidence: TimestampEvidence, trust: TrustedRoot, *, at: datetime
) -> ProvenTime:
    """What the evidence proves to somebody who looks at it at the moment `at`.

    For the token, and again for each renewal: 1. It can be read, the trusted root lists its
    authority, and trusted it at the token's time. 2. It is over these bytes; the bytes of a
    renewal name the token before it, and it was made while that one's chain was in force.
    3. The certificate that signed it was issued for time-stamping by that authority, and in
    force. 4. Its signature holds. At the end: 5. the newest token's chain is in force at `at`.

    Whether the checkpoint itself is one to trust, `TrustedRoot.open_checkpoint` says. A
    revoked authority is for the trusted root: its window ends.

    Raises VerificationFailed; EvidenceMissing where nothing speaks against it, but the trusted
    root does not list the authority (step "trust") or nobody renewed (step "renewal").
    """
    _require_few(evidence)
    first, *_ = tokens = list(_verified(evidence, trust))
    _require_in_force(tokens[-1], at)
    return ProvenTime(first.gen_time, evidence.timestamp.authority, tokens[-1].chain.not_after)


def examine_timestamp(
    evidence: TimestampEvidence, trust: TrustedRoot, *, at: datetime, first_step: int = 1
) -> Findings:
    """The same in numbered findings, counted from `first_step`; a refuted one is the last.

    One finding for the token, one for each renewal, one for today. Never raises for anything
    in the evidence.
    """
    found: list[Finding] = []

    def add(verdict: Verdict, text: str) -> None:
        found.append(Finding(first_step + len(found), verdict, text))

    try:
        for text in _steps(evidence, trust, at):
            add(Verdict.PROVEN, text)
    except EvidenceMissing as unknown:
        add(Verdict.NOT_CHECKED, _sentence(str(unknown)))
    except VerificationFailed as failure:
        add(Verdict.REFUTED, _sentence(str(failure)))
    return Findings(tuple(found))


def _steps(evidence: TimestampEvidence, trust: TrustedRoot, at: datetime) -> Iterator[str]:
    _require_few(evidence)
    tokens = _verified(evidence, trust)
    newest = next(tokens)
    yield (
        f"By the clock of the time-stamping authority {evidence.timestamp.authority} the"
        f" checkpoint existed on {_time(newest.gen_time)}."
    )
    for renewal, newest in zip(evidence.renewals, tokens, strict=True):
        by = renewal.timestamp.authority
        yield f"{by} renewed that timestamp on {_time(newest.gen_time)}, in time."
    _require_in_force(newest, at)
    yield (
        "The certificate behind the newest of these timestamps is in force until"
        f" {_time(newest.chain.not_after)}."
    )


def _verified(evidence: TimestampEvidence, trust: TrustedRoot) -> Iterator[VerifiedToken]:
    """The token and each renewal, once steps 1 to 4 hold for it."""
    held, message = evidence.timestamp, evidence.checkpoint
    newest = _verify_one(held, message, trust)
    yield newest
    for renewal in evidence.renewals:
        newest = _verify_renewal(renewal, held, message, newest, trust)
        held, message = renewal.timestamp, renewal.message
        yield newest


def _verify_one(held: TimestampToken, message: bytes, trust: TrustedRoot) -> VerifiedToken:
    # (1) The trusted root lists the authority, and trusted it then.
    authority = _authority(held.authority, trust)
    authority.vouch(parse_token(held.token).gen_time)
    # (2) to (4) It is over these bytes, by a certificate of that authority, and it holds.
    known = authority.certificates
    return verify_token(
        held.token, message, anchors=anchors_among(known), others=(*known, *held.certificates)
    )


def _verify_renewal(
    renewal: Renewal,
    held: TimestampToken,
    message: bytes,
    before: VerifiedToken,
    trust: TrustedRoot,
) -> VerifiedToken:
    if Renewed.of(message, held.token) not in parse_renewal(renewal.message).renewed:
        raise VerificationFailed("the renewal is of another timestamp", step="renewal")
    verified = _verify_one(renewal.timestamp, renewal.message, trust)
    if not before.gen_time <= verified.gen_time <= before.chain.not_after:
        raise VerificationFailed(
            "the renewal was not made while the renewed timestamp was in force", step="renewal"
        )
    return verified


def _require_few(evidence: TimestampEvidence) -> None:
    if len(evidence.renewals) > RENEWALS_MAX:
        raise VerificationFailed(f"more than {RENEWALS_MAX} renewals", step="renewal")


def _require_in_force(newest: VerifiedToken, at: datetime) -> None:
    if at > newest.chain.not_after:
        raise EvidenceMissing(
            f"the certificate behind the newest timestamp ended on {_time(newest.chain.not_after)}"
            " and no later renewal is here, so nothing tells whether its key was misused since",
            step="renewal",
        )


def _authority(name: str, trust: TrustedRoot) -> TimestampAuthority:
    authority = trust.timestamp_authority(name)
    if authority is None:
        raise EvidenceMissing(
            "the trusted root does not list the time-stamping authority that is named", step="trust"
        )
    return authority


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."
