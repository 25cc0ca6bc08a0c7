"""What an operator does with a hub: register agencies, enrol certificates, keep the calendar."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hub.client.answers import receipt_of
from hub.client.axis import Axis
from hub.client.client import consistency_of
from hub.client.directory import Directory
from hub.client.errors import ProfileInvalid, UnexpectedAnswer
from hub.client.hub_keys import HubKeys
from hub.client.line import Line
from hub.client.memory import CheckpointMemory
from hub.client.orders import Orders, named
from hub.client.profile import ClientProfile
from hub.client.retry import RetryPolicy
from hub.client.roots import follower_of
from hub.client.signing import KeySigner
from hub.client.state import StateDirectory
from hub.client.timestamps import Timestamps
from hub.client.verification import ReceiptVerifier
from hub.errors import CertificateUnsuitable, RequestMalformed, VerificationFailed
from hub.proof.evidence import ENROLMENT_TOPIC, ReceiptFile
from hub.proof.receipt import Receipt, VerifiedReceipt
from hub.proof.signatures import Algorithm
from hub.proof.strict import JsonObject
from hub.proof.trust import Purpose
from hub.v1 import exchange_pb2 as wire
from hub.v1 import registry_service_pb2 as calls
from hub.v1 import trust_pb2

REGISTERED_TOPIC = "hub.Agency.AgencyRegistered"
RENAMED_TOPIC = "hub.Agency.AgencyRenamed"
SUSPENDED_TOPIC = "hub.Agency.AgencySuspended"
REINSTATED_TOPIC = "hub.Agency.AgencyReinstated"
SUCCEEDED_TOPIC = "hub.Agency.AgencySucceededBy"
REVOKED_TOPIC = "hub.Agency.CertificateRevoked"
PRINCIPAL_REVOKED_TOPIC = "hub.Principal.PrincipalRevoked"
PRINCIPAL_TOPIC = "hub.Principal.PrincipalEnrolled"
GROUP_TOPIC = "hub.Group.GroupChanged"
CORRECTED_TOPIC = "hub.Log.CalendarCorrected"
PAGE_SIZE = 100

_ALGORITHMS = {
    Algorithm.ED25519: trust_pb2.KEY_ALGORITHM_ED25519,
    Algorithm.ECDSA_P256_SHA256: trust_pb2.KEY_ALGORITHM_ECDSA_P256_SHA256,
    Algorithm.RSA_PSS_SHA256: trust_pb2.KEY_ALGORITHM_RSA_PSS_SHA256,
    Algorithm.RSA_PKCS1_SHA256: trust_pb2.KEY_ALGORITHM_RSA_PKCS1_SHA256,
}
_PURPOSES = {
    Purpose.SIGNING: trust_pb2.CERTIFICATE_PURPOSE_SIGNING,
    Purpose.TRANSPORT: trust_pb2.CERTIFICATE_PURPOSE_TRANSPORT,
}


@dataclass(frozen=True, slots=True)
class Registered:
    """A registry fact, with the receipt that was verified on arrival.

    `key_id` is the enrolled key's, None where no certificate was enrolled.
    """

    request_id: str
    receipt: Receipt
    fact: VerifiedReceipt
    key_id: str | None = None

    def evidence(self) -> bytes:
        """The receipt file, which `python -m hub.proof` checks without the hub."""
        return ReceiptFile(self.receipt).format()


@dataclass(frozen=True, slots=True)
class CertificateRevocation:
    """That a certificate is out of force, by the hub's word: why, and from when on."""

    position: int
    effective: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class EnrolledCertificate:
    """A certificate of an agency, by the hub's word. `algorithm` is None for transport."""

    purpose: Purpose
    algorithm: Algorithm | None
    key_id: str
    digest: str
    not_before: datetime
    not_after: datetime
    position: int
    revocation: CertificateRevocation | None = None


@dataclass(frozen=True, slots=True)
class RegisteredAgency:
    """An agency, by the hub's word; `via` is `axis` for one behind the national axis."""

    code: str
    name: str
    certificates: tuple[EnrolledCertificate, ...]
    other_codes: tuple[str, ...] = ()
    suspended: bool = False
    successor: str | None = None
    via: str = ""


@dataclass(frozen=True, slots=True)
class CalendarCorrection:
    """Whether one day is a working day, by an operator's decision and the hub's word."""

    day: date
    working: bool
    basis: str
    by: str
    position: int


class RegistryClient:
    """An operator's connection to the hub; open it with `RegistryClient.open`.

    Writing calls take a `request_id`, one per intention: after HubUnreachable call again
    with the same one, which the exception names. Errors as with `HubClient`.
    """

    def __init__(self, line: Line, verifier: ReceiptVerifier, profile: ClientProfile) -> None:
        self._line = line
        self._verifier = verifier
        self._profile = profile

    @classmethod
    @asynccontextmanager
    async def open(
        cls, profile: ClientProfile, *, policy: RetryPolicy | None = None
    ) -> AsyncIterator[RegistryClient]:
        """A client with this operator's profile, until the `async with` block ends.

        Raises ProfileInvalid, StateInUse and StateDamaged.
        """
        # Before the state folder is touched: it belongs for ever to whoever opens it first.
        if profile.agency is not None:
            raise ProfileInvalid(f"the profile is that of {profile.agency}, not of an operator")
        trust = profile.read_trusted_root()
        with StateDirectory(profile.state, f"{profile.hub} operator") as state:
            memory = CheckpointMemory(state.folder("checkpoints"))
            line = Line(profile, policy or RetryPolicy())
            try:
                verifier = ReceiptVerifier(
                    trust,
                    profile.hub,
                    memory,
                    consistency_of(line),
                    follower_of(state, trust, line),
                )
                yield cls(line, verifier, profile)
            finally:
                await line.close()
                memory.close()

    async def register_agency(
        self,
        code: str,
        name: str,
        *,
        other_codes: Sequence[str] = (),
        request_id: str | None = None,
    ) -> Registered:
        """Register an agency. Raises AgencyExists, TooLarge and RequestMalformed.

        `other_codes` are further ones that documents may be addressed to.
        """
        request_id = request_id or str(uuid.uuid4())
        request = calls.RegisterAgencyRequest(
            request_id=request_id, code=code, name=name, other_codes=other_codes
        )
        with named(request_id):
            response = await self._line.call(self._line.registry.RegisterAgency, request)
            expected = {"code": code, "name": name, "request_id": request_id}
            registered = await self._recorded(response.receipt, REGISTERED_TOPIC, expected)
            _require(_codes(registered) == list(other_codes), "list of codes")
        return registered

    async def rename_agency(
        self,
        agency: str,
        *,
        name: str | None = None,
        add_codes: Sequence[str] = (),
        remove_codes: Sequence[str] = (),
        request_id: str | None = None,
    ) -> Registered:
        """Give an agency another name, or other codes; its primary code stays.

        Raises AgencyUnknown, AgencyExists, TooLarge and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        request = calls.RenameAgencyRequest(
            request_id=request_id,
            agency=agency,
            name=name or "",
            add_codes=add_codes,
            remove_codes=remove_codes,
        )
        with named(request_id):
            response = await self._line.call(self._line.registry.RenameAgency, request)
            expected = {"agency": agency, "request_id": request_id}
            if name:
                expected["name"] = name
            renamed = await self._recorded(response.receipt, RENAMED_TOPIC, expected)
            codes = set(_codes(renamed))
            _require(codes.issuperset(add_codes), "list of codes")
            _require(codes.isdisjoint(set(remove_codes) - set(add_codes)), "list of codes")
        return renamed

    async def suspend_agency(
        self, agency: str, reason: str, *, request_id: str | None = None
    ) -> Registered:
        """Keep an agency from sending and from being sent to; in force when this returns.

        `reason` is one code word of small letters, digits and hyphens: it stands in the log
        for ever. Raises AgencyUnknown, AgencySuspended and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        request = calls.SuspendAgencyRequest(request_id=request_id, agency=agency, reason=reason)
        with named(request_id):
            response = await self._line.call(self._line.registry.SuspendAgency, request)
            expected = {"agency": agency, "reason": reason, "request_id": request_id}
            return await self._recorded(response.receipt, SUSPENDED_TOPIC, expected)

    async def reinstate_agency(self, agency: str, *, request_id: str | None = None) -> Registered:
        """End a suspension. Raises AgencyUnknown and AgencyNotSuspended."""
        request_id = request_id or str(uuid.uuid4())
        request = calls.ReinstateAgencyRequest(request_id=request_id, agency=agency)
        with named(request_id):
            response = await self._line.call(self._line.registry.ReinstateAgency, request)
            expected = {"agency": agency, "request_id": request_id}
            return await self._recorded(response.receipt, REINSTATED_TOPIC, expected)

    async def succeed_agency(
        self, agency: str, successor: str, *, request_id: str | None = None
    ) -> Registered:
        """Hand all an agency has over to its successor, for good.

        Raises AgencyUnknown, AgencySucceeded and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        request = calls.SucceedAgencyRequest(
            request_id=request_id, agency=agency, successor=successor
        )
        with named(request_id):
            response = await self._line.call(self._line.registry.SucceedAgency, request)
            expected = {"agency": agency, "successor": successor, "request_id": request_id}
            return await self._recorded(response.receipt, SUCCEEDED_TOPIC, expected)

    async def set_group(
        self,
        group: str,
        name: str,
        members: Sequence[str],
        *,
        request_id: str | None = None,
    ) -> Registered:
        """Give a group its name and members, all of them; none: the group is no more.

        Members are recorded by their primary codes, in the order given. Raises
        AgencyUnknown, TooLarge and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        request = calls.SetGroupRequest(
            request_id=request_id, group=group, name=name, members=members
        )
        with named(request_id):
            response = await self._line.call(self._line.registry.SetGroup, request)
            expected = {"group": group, "name": name, "request_id": request_id}
            changed = await self._recorded(response.receipt, GROUP_TOPIC, expected)
            recorded = changed.fact.event.data.get("members")
            _require(
                isinstance(recorded, list) and len(recorded) == len(members), "list of members"
            )
        return changed

    @property
    def directory(self) -> Directory:
        """What the hub tells everybody about agencies and groups."""
        return Directory(self._line)

    @property
    def timestamps(self) -> Timestamps:
        """The timestamps of the log, and how it stands with them."""
        return Timestamps(self._line)

    @property
    def axis(self) -> Axis:
        """Packages to and from the national axis."""
        return Axis(self._line, self._verifier)

    @property
    def orders(self) -> Orders:
        """What takes two operators, signed with the key of this connection.

        Raises ProfileInvalid when that key cannot sign.
        """
        _ca, key, _certificate = self._profile.read_transport()
        signer = KeySigner.of_connection(key)
        return Orders(self._line, self._verifier, self._profile.hub, signer)

    @property
    def hub_keys(self) -> HubKeys:
        """The hub's own keys, and the editions of the trusted root."""
        return HubKeys(self._line, self._verifier)

    async def name(self) -> str:
        """The name under which the hub knows this operator. Raises OperatorUnknown."""
        _ca, _key, certificate = self._profile.read_transport()
        return await self.orders.whoami(der_of(certificate))

    async def enrol_certificate(
        self,
        agency: str,
        certificate: bytes,
        purpose: Purpose,
        algorithm: Algorithm | None = None,
        *,
        ocsp_answers: Sequence[bytes] = (),
        request_id: str | None = None,
    ) -> Registered:
        """Enrol a certificate, in PEM or DER; in force when this returns.

        `ocsp_answers` are what its issuers say of it (DER), at most 4; they must say good.
        Signing needs the one algorithm its signatures will be verified with. Raises
        AgencyUnknown, CertificateUnsuitable, KeyTaken and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        der = der_of(certificate)
        if purpose is Purpose.SIGNING and algorithm is None:
            raise RequestMalformed("a signing certificate is enrolled for one algorithm; name it")
        request = calls.EnrolCertificateRequest(
            request_id=request_id,
            agency=agency,
            purpose=_PURPOSES[purpose],
            algorithm=_ALGORITHMS[algorithm] if algorithm else trust_pb2.KEY_ALGORITHM_UNSPECIFIED,
            certificate=der,
            ocsp_answers=ocsp_answers,
        )
        with named(request_id):
            response = await self._line.call(self._line.registry.EnrolCertificate, request)
            receipt = receipt_of(response.receipt)
            expected = {
                "agency": agency,
                "purpose": purpose.value,
                "certificate": hashlib.sha256(der).hexdigest(),
                "key_id": response.key_id,
                "request_id": request_id,
            }
            fact = await self._verified(receipt, ENROLMENT_TOPIC, expected)
        return Registered(request_id, receipt, fact, response.key_id)

    async def revoke_certificate(
        self,
        agency: str,
        key_id: str,
        reason: str,
        *,
        effective: datetime | None = None,
        request_id: str | None = None,
    ) -> Registered:
        """Revoke a certificate of an agency, by its key; in force when this returns.

        `reason` is a word of RFC 5280 section 5.3.1, such as `key-compromise`. What was signed
        with the key from `effective` on (None: now) stands and is put in doubt. Raises
        AgencyUnknown, KeyUnknown, KeyRevoked and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        request = calls.RevokeCertificateRequest(
            request_id=request_id, agency=agency, key_id=key_id, reason=reason
        )
        if effective is not None:
            request.effective_time.FromDatetime(effective)
        with named(request_id):
            response = await self._line.call(self._line.registry.RevokeCertificate, request)
            expected = {
                "agency": agency,
                "key_id": key_id,
                "reason": reason,
                "request_id": request_id,
            }
            return await self._recorded(response.receipt, REVOKED_TOPIC, expected)

    async def revoke_auditor(
        self,
        name: str,
        reason: str,
        *,
        effective: datetime | None = None,
        request_id: str | None = None,
    ) -> Registered:
        """Put an auditor out, with all of its certificates; in force when this returns.

        `reason` is one code word. Since `effective` (None: now) somebody else may have acted
        with them. Raises AuditorUnknown and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        request = calls.RevokeAuditorRequest(request_id=request_id, name=name, reason=reason)
        if effective is not None:
            request.effective_time.FromDatetime(effective)
        with named(request_id):
            response = await self._line.call(self._line.registry.RevokeAuditor, request)
            expected = {
                "name": name,
                "role": "auditor",
                "reason": reason,
                "request_id": request_id,
            }
            return await self._recorded(response.receipt, PRINCIPAL_REVOKED_TOPIC, expected)

    async def enrol_auditor(
        self, name: str, certificate: bytes, *, request_id: str | None = None
    ) -> Registered:
        """Enrol an auditor's certificate, in PEM or DER; in force when this returns.

        `name` is one code word of small letters, digits and hyphens: it stands in the log for
        ever. Raises CertificateUnsuitable, KeyTaken and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        der = der_of(certificate)
        request = calls.EnrolAuditorRequest(request_id=request_id, name=name, certificate=der)
        with named(request_id):
            response = await self._line.call(self._line.registry.EnrolAuditor, request)
            expected = {
                "name": name,
                "role": "auditor",
                "certificate": hashlib.sha256(der).hexdigest(),
                "request_id": request_id,
            }
            return await self._recorded(response.receipt, PRINCIPAL_TOPIC, expected)

    async def list_agencies(self) -> AsyncIterator[RegisteredAgency]:
        """Every registered agency by rising code, page by page."""
        token = ""
        while True:
            request = calls.ListAgenciesRequest(page_size=PAGE_SIZE, page_token=token)
            page = await self._line.call(self._line.registry.ListAgencies, request)
            for agency in page.agencies:
                yield _agency(agency)
            if not page.next_page_token:
                return
            if page.next_page_token == token:
                raise UnexpectedAnswer("a page of agencies that leads to itself")
            token = page.next_page_token

    async def correct_calendar(
        self, day: date, *, working: bool, basis: str, request_id: str | None = None
    ) -> Registered:
        """Say of a day whether offices work on it; `basis` names the public decision.

        Counts for deadlines from the next call on. Raises RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        request = calls.CorrectCalendarRequest(
            request_id=request_id, day=day.isoformat(), working=working, basis=basis
        )
        with named(request_id):
            response = await self._line.call(self._line.registry.CorrectCalendar, request)
            receipt = receipt_of(response.receipt)
            expected = {"day": day.isoformat(), "basis": basis, "request_id": request_id}
            fact = await self._verified(receipt, CORRECTED_TOPIC, expected)
            if fact.event.data.get("working") is not working:
                raise VerificationFailed("the recorded fact has another working", step="fact")
        return Registered(request_id, receipt, fact)

    async def list_calendar_corrections(self) -> AsyncIterator[CalendarCorrection]:
        """Every corrected day by rising day, page by page."""
        token = ""
        while True:
            request = calls.ListCalendarCorrectionsRequest(page_size=PAGE_SIZE, page_token=token)
            page = await self._line.call(self._line.registry.ListCalendarCorrections, request)
            for correction in page.corrections:
                yield _correction(correction)
            if not page.next_page_token:
                return
            if page.next_page_token == token:
                raise UnexpectedAnswer("a page of corrections that leads to itself")
            token = page.next_page_token

    async def _recorded(
        self, message: wire.Receipt, topic: str, expected: dict[str, str]
    ) -> Registered:
        receipt = receipt_of(message)
        fact = await self._verified(receipt, topic, expected)
        return Registered(expected["request_id"], receipt, fact)

    async def _verified(
        self, receipt: Receipt, topic: str, expected: dict[str, str]
    ) -> VerifiedReceipt:
        fact = await self._verifier.verify(receipt)
        data = JsonObject(dict(fact.event.data), "the event", "fact")
        if fact.event.topic != topic:
            raise VerificationFailed("the recorded fact is of another kind", step="fact")
        for name, value in expected.items():
            _require(data.text(name) == value, name)
        return fact


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise VerificationFailed(f"the recorded fact has another {what}", step="fact")


def _codes(registered: Registered) -> list[str]:
    recorded = registered.fact.event.data.get("other_codes", [])
    return list(recorded) if isinstance(recorded, list) else []


def der_of(certificate: bytes) -> bytes:
    """A certificate in DER, from PEM or DER. Raises CertificateUnsuitable."""
    if not certificate.lstrip().startswith(b"-----BEGIN"):
        return certificate
    try:
        return x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
    except ValueError as error:
        raise CertificateUnsuitable("the certificate is not X.509 in PEM") from error


def _agency(agency: calls.Agency) -> RegisteredAgency:
    return RegisteredAgency(
        code=agency.code,
        name=agency.name,
        certificates=tuple(_certificate(item) for item in agency.certificates),
        other_codes=tuple(agency.other_codes),
        suspended=agency.suspended,
        successor=agency.successor or None,
        via=agency.via,
    )


def _certificate(certificate: calls.Certificate) -> EnrolledCertificate:
    purposes = {number: purpose for purpose, number in _PURPOSES.items()}
    algorithms = {number: algorithm for algorithm, number in _ALGORITHMS.items()}
    if certificate.purpose not in purposes:
        raise UnexpectedAnswer("a certificate for a purpose unknown here")
    return EnrolledCertificate(
        purpose=purposes[certificate.purpose],
        algorithm=algorithms.get(certificate.algorithm),
        key_id=certificate.key_id,
        digest=certificate.digest.hex(),
        not_before=certificate.not_before_time.ToDatetime(tzinfo=UTC),
        not_after=certificate.not_after_time.ToDatetime(tzinfo=UTC),
        position=certificate.position,
        revocation=CertificateRevocation(
            certificate.revocation.position,
            certificate.revocation.effective_time.ToDatetime(tzinfo=UTC),
            certificate.revocation.reason,
        )
        if certificate.HasField("revocation")
        else None,
    )


def _correction(correction: calls.CalendarCorrection) -> CalendarCorrection:
    try:
        day = date.fromisoformat(correction.day)
    except ValueError as error:
        raise UnexpectedAnswer("a date that is none") from error
    return CalendarCorrection(
        day, correction.working, correction.basis, correction.by, correction.position
    )
