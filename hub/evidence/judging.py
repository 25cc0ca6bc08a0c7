"""The steps of an examination that `hub.proof` leaves open: chains, revocation, timestamps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from asn1crypto import crl
from cryptography import x509

from hub.errors import VerificationFailed
from hub.evidence.chains import (
    EvidenceMissing,
    Revocation,
    Usage,
    VerifiedChain,
    verify_chain,
)
from hub.evidence.der import UNREADABLE, load_certificate
from hub.evidence.timestamps import (
    Renewal,
    TimestampEvidence,
    TimestampToken,
    examine_timestamp,
)
from hub.proof.bundle import StoredEvidence, Timestamp, Token
from hub.proof.checks import Opinion
from hub.proof.findings import Verdict, sentence
from hub.proof.trust import CertificateAuthority, Purpose, TrustedRoot
from hub.proof.window import Window

_MOMENT = timedelta(microseconds=1)
_HELD_MAX = 4096


class Judge:
    """What only certificates and tokens can tell, by a trusted root; see `hub.proof.checks.Beyond`.

    `clock` says when "today" is, for timestamps that somebody should have renewed. Nothing is
    fetched, and nothing that a file brings along is an anchor. Not for use within a running
    event loop.
    """

    def __init__(self, trust: TrustedRoot, clock: Callable[[], datetime]) -> None:
        self._trust = trust
        self._clock = clock
        self._authorities = [
            authority
            for authority in trust.certificate_authorities
            if authority.purpose is Purpose.SIGNING
        ]
        self._held: dict[tuple[bytes, tuple[bytes, ...]], tuple[datetime, datetime]] = {}

    def chain(
        self, certificate: bytes, *, issuers: Sequence[bytes], at: Sequence[datetime]
    ) -> Opinion:
        """Whether the certificate led to an authority that was trusted at these moments."""
        if not self._authorities:
            return Opinion(
                Verdict.NOT_CHECKED, "The trusted root lists no authority for signing certificates."
            )
        try:
            for moment in at:
                self._require_chain(certificate, tuple(issuers), moment)
        except VerificationFailed as failure:
            return Opinion(Verdict.REFUTED, sentence(str(failure)))
        return Opinion(
            Verdict.PROVEN,
            "The certificate led to an authority of the trusted root, and was in force, at the"
            " time that the hub states.",
        )

    def revocation(
        self,
        certificate: bytes,
        *,
        issuers: Sequence[bytes],
        stored: Sequence[StoredEvidence],
        at: Sequence[datetime],
    ) -> Opinion:
        """Whether CRLs and OCSP answers of the time say that it was not revoked."""
        if not stored:
            return Opinion(
                Verdict.NOT_CHECKED,
                "Whether its issuer had revoked the certificate was not checked: nothing from that"
                " time is in the file.",
            )
        try:
            for moment in at:
                self._verify(certificate, issuers, _revocation(stored), moment)
        except EvidenceMissing as missing:
            return Opinion(Verdict.NOT_CHECKED, sentence(str(missing)))
        except VerificationFailed as failure:
            return Opinion(Verdict.REFUTED, sentence(str(failure)))
        return Opinion(
            Verdict.PROVEN, "Its issuer had not revoked the certificate at the time the hub states."
        )

    def timestamp(self, note: bytes, timestamp: Timestamp) -> Sequence[Opinion]:
        """Whether a time-stamping authority of the trusted root saw this checkpoint, and when."""
        renewals = tuple(Renewal(_token(each.token), each.message) for each in timestamp.renewals)
        evidence = TimestampEvidence(note, _token(timestamp.token), renewals)
        found = examine_timestamp(evidence, self._trust, at=self._clock())
        return [Opinion(finding.verdict, finding.text) for finding in found.items]

    def _require_chain(self, certificate: bytes, issuers: tuple[bytes, ...], at: datetime) -> None:
        # Many statements rest on one certificate: what held once holds for as long as every
        # certificate of that chain is in force.
        first, last = self._held.get((certificate, issuers), (at, at - _MOMENT))
        if first <= at <= last:
            return
        chain = self._verify(certificate, issuers, None, at)
        begins = (x509.load_der_x509_certificate(der) for der in chain.certificates)
        first = max(each.not_valid_before_utc for each in begins)
        last = chain.not_after
        for window in self._windows(chain):
            first = max(first, window.not_before or first)
            last = min(last, window.not_after or last)
        if len(self._held) >= _HELD_MAX:
            self._held.clear()
        self._held[certificate, issuers] = (first, last)

    def _verify(
        self,
        certificate: bytes,
        issuers: Sequence[bytes],
        revocation: Revocation | None,
        at: datetime,
    ) -> VerifiedChain:
        def chain(authorities: Sequence[CertificateAuthority]) -> VerifiedChain:
            return verify_chain(
                certificate,
                usage=Usage.DOCUMENT_SIGNING,
                at=at,
                anchors=[each.certificate for each in authorities],
                others=issuers,
                revocation=revocation,
            )

        trusted = [each for each in self._authorities if each.window.includes(at)]
        try:
            found = chain(trusted)
        except EvidenceMissing:
            raise
        except VerificationFailed:
            if len(trusted) == len(self._authorities):
                raise
            # One that was not trusted at that time may lead nearer to the reason.
            found = chain(self._authorities)
        for window in self._windows(found):
            if not window.includes(at):
                raise VerificationFailed(
                    "the certificate led to an authority of the trusted root that"
                    f" {window.why_not(at)} at the time that the hub states",
                    step="trust",
                )
        return found

    def _windows(self, chain: VerifiedChain) -> list[Window]:
        """Of all that the trusted root lists in a chain, not of its anchor only.

        Another certificate of a listed authority's key is that authority too, or whoever has
        the key could make one without a window.
        """
        listed = self._authorities
        windows: list[Window] = []
        for der in chain.certificates:
            same = [each for each in listed if each.certificate == der]
            key = _key_in(der)
            found = same or [each for each in listed if _key_in(each.certificate) == key]
            windows += [each.window for each in found]
        return windows


def _key_in(certificate: bytes) -> bytes:
    key: bytes = load_certificate(certificate).public_key.dump()
    return key


def _revocation(stored: Sequence[StoredEvidence]) -> Revocation:
    lists: list[bytes] = []
    answers: list[bytes] = []
    for one in stored:
        (lists if _is_crl(one.data) else answers).append(one.data)
    return Revocation(tuple(lists), tuple(answers))


def _is_crl(data: bytes) -> bool:
    try:
        return crl.CertificateList.load(data, strict=True)["tbs_cert_list"].native is not None
    except UNREADABLE:
        return False  # An OCSP answer, or nothing that the validator will accept either.


def _token(token: Token) -> TimestampToken:
    return TimestampToken(token.authority, token.token, token.certificates)
