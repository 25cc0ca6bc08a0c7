"""Timestamps over signatures in documents: whether one proves that a signature existed, and when.

As ETSI EN 319 102-1 has it (5.5 and 5.6.3): a token counts where it and all that it rests on
held at a time at which the token itself provably existed. That is when the document arrived here,
or the time of a later timestamp over the document that the token stands in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from asn1crypto import cms
from cryptography import x509
from cryptography.x509.oid import NameOID

from hub.errors import VerificationFailed
from hub.evidence.chains import WrongUsage, anchors_among
from hub.evidence.der import UNREADABLE, load_certificate
from hub.evidence.found import (
    STAMPS_TOLD_MAX,
    Authorities,
    FoundSignature,
    Outcome,
    Stamp,
    Standing,
)
from hub.evidence.tokens import (
    ANY_STRONG,
    VerifiedToken,
    WeakToken,
    parse_token,
    verify_token,
)

SIGNATURE, DOCUMENT = "signature", "document"
TOKENS_MAX = 4
"""How many timestamps over one signature are looked at, and as many over a file."""

_CLOCKS_DIFFER_MAX = timedelta(minutes=10)
_NAME_CHARS_MAX = 200
_REASONS = {"imprint": "other-bytes", "signature": "broken", "token": "unreadable"}


@dataclass(frozen=True, slots=True)
class Proof:
    """Since when something provably exists, and the certificates on which that rests."""

    at: datetime
    rests_on: tuple[bytes, ...] = ()


def tokens_of(info: cms.SignerInfo) -> list[bytes]:
    """The timestamps over one signer's signature (RFC 3161, appendix A), at most `TOKENS_MAX`."""
    return [
        value.dump()
        for attribute in info["unsigned_attrs"] or ()
        if attribute["type"].native == "signature_time_stamp_token"
        for value in attribute["values"]
    ][:TOKENS_MAX]


def examine_token(
    token: bytes, message: bytes, authorities: Authorities, proofs: Sequence[Proof], over: str
) -> Stamp:
    """What a token over `message` proves, by the first of `proofs` that it exists itself.

    1. It is over these bytes, and holds (`verify_token`). 2. The authority is one of ours:
    listed, or below an anchor for signers. 3. It was made before the proof, give or take the
    clocks. 4. The chain of its certificate was in force at that time too, and the authority
    was still relied on: whoever got hold of its key later could date back.
    """
    stamp = Stamp(over, Outcome.UNKNOWN, "unreadable")
    try:
        stamp = replace(
            stamp, time=parse_token(token, ANY_STRONG).gen_time, authority=_signed_by(token)
        )
        verified = _verified(token, message, authorities)
    except VerificationFailed as failure:
        return _refused(stamp, failure)
    reasons = [_why_not(verified, authorities, proof) for proof in proofs]
    if "" not in reasons:
        return replace(stamp, reason=reasons[0])
    proof = proofs[reasons.index("")]
    rests_on = (*verified.chain.certificates, *proof.rests_on)
    return replace(stamp, outcome=Outcome.VALID, reason="", rests_on=tuple(dict.fromkeys(rests_on)))


def proven(stamps: Iterable[Stamp], proof: Proof) -> Proof:
    """The earliest of these proofs, and of the timestamps that are valid."""
    for stamp in stamps:
        if stamp.outcome is Outcome.VALID and stamp.time is not None and stamp.time < proof.at:
            proof = Proof(stamp.time, stamp.rests_on)
    return proof


def stamped(
    found: FoundSignature,
    stamps: Sequence[Stamp],
    at: datetime,
    then: Callable[[datetime], FoundSignature],
) -> FoundSignature:
    """A signature with the timestamps that tell most, and what is to be said of it as of them.

    `at` is when the document arrived; a time that is not before adds nothing. `then` judges the
    signature as of another moment.
    """
    told = sorted(stamps, key=lambda each: (each.outcome is not Outcome.VALID, each.time or at))
    return replace(
        found, stamps=tuple(_with_standing(each, at, then) for each in told[:STAMPS_TOLD_MAX])
    )


def _with_standing(stamp: Stamp, at: datetime, then: Callable[[datetime], FoundSignature]) -> Stamp:
    if stamp.outcome is not Outcome.VALID or stamp.time is None or stamp.time >= at:
        return stamp
    judged = then(stamp.time)
    return replace(stamp, then=Standing(judged.outcome, judged.reason, judged.chain))


def _verified(token: bytes, message: bytes, authorities: Authorities) -> VerifiedToken:
    listed = [each for stamper in authorities.stampers for each in stamper.certificates]
    return verify_token(
        token,
        message,
        anchors=tuple(dict.fromkeys((*anchors_among(listed), *authorities.anchors))),
        others=tuple(dict.fromkeys((*listed, *authorities.others))),
        digests=ANY_STRONG,
    )


def _why_not(verified: VerifiedToken, authorities: Authorities, proof: Proof) -> str:
    if verified.gen_time > proof.at + _CLOCKS_DIFFER_MAX:
        return "later"
    if verified.chain.not_after < proof.at or any(
        until < max(proof.at, verified.gen_time) for until in _ends(verified, authorities)
    ):
        return "ended"
    return ""


def _ends(verified: VerifiedToken, authorities: Authorities) -> Iterator[datetime]:
    """Of all that is listed in the chain, by its key: another certificate of it is it too."""
    keys = {_key(each) for each in verified.chain.certificates}
    for stamper in authorities.stampers:
        if stamper.until is not None and not keys.isdisjoint(map(_key, stamper.certificates)):
            yield stamper.until


def _key(der: bytes) -> bytes:
    key: bytes = load_certificate(der).public_key.dump()
    return key


def _refused(stamp: Stamp, failure: VerificationFailed) -> Stamp:
    if isinstance(failure, WeakToken):
        return replace(stamp, outcome=Outcome.INVALID, reason="weak")
    if isinstance(failure, WrongUsage):
        return replace(stamp, reason="usage")
    reason = _REASONS.get(failure.step, "untrusted")
    # A chain that leads nowhere, or bytes that nobody can read, speak neither way.
    speaks = failure.step in {"imprint", "signature"}
    return replace(stamp, outcome=Outcome.INVALID if speaks else Outcome.UNKNOWN, reason=reason)


def _signed_by(token: bytes) -> str:
    """The name in the certificate that the token says it was signed with; "" for none."""
    try:
        signed = cms.ContentInfo.load(token)["content"]
        serial = signed["signer_infos"][0]["sid"].chosen["serial_number"].native
        for each in signed["certificates"] or ():
            certificate = x509.load_der_x509_certificate(each.chosen.dump())
            if certificate.serial_number == serial:
                names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
                return str(names[0].value)[:_NAME_CHARS_MAX] if names else ""
    except UNREADABLE:
        pass
    return ""
