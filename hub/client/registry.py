"""What an operator does with a hub: register agencies, enrol their certificates, list them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hub.client.answers import receipt_of
from hub.client.client import consistency_of
from hub.client.errors import HubUnreachable, ProfileInvalid, UnexpectedAnswer
from hub.client.line import Line
from hub.client.memory import CheckpointMemory
from hub.client.profile import ClientProfile
from hub.client.retry import RetryPolicy
from hub.client.state import StateDirectory
from hub.client.verification import ReceiptVerifier
from hub.errors import CertificateUnsuitable, RequestMalformed, VerificationFailed
from hub.proof.evidence import ENROLMENT_TOPIC, ReceiptFile
from hub.proof.receipt import Receipt, VerifiedReceipt
from hub.proof.signatures import Algorithm
from hub.proof.strict import JsonObject
from hub.proof.trust import Purpose
from hub.v1 import registry_service_pb2 as calls
from hub.v1 import trust_pb2

REGISTERED_TOPIC = "hub.Agency.AgencyRegistered"
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
class EnrolledCertificate:
    """A certificate of an agency, by the hub's word. `algorithm` is None for transport."""

    purpose: Purpose
    algorithm: Algorithm | None
    key_id: str
    digest: str
    not_before: datetime
    not_after: datetime
    position: int


@dataclass(frozen=True, slots=True)
class RegisteredAgency:
    """An agency, by the hub's word."""

    code: str
    name: str
    certificates: tuple[EnrolledCertificate, ...]


class RegistryClient:
    """An operator's connection to the hub; open it with `RegistryClient.open`.

    Writing calls take a `request_id`, one per intention: after HubUnreachable call again
    with the same one, which the exception names. Errors as with `HubClient`.
    """

    def __init__(self, line: Line, verifier: ReceiptVerifier) -> None:
        self._line = line
        self._verifier = verifier

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
                verifier = ReceiptVerifier(trust, profile.hub, memory, consistency_of(line))
                yield cls(line, verifier)
            finally:
                await line.close()
                memory.close()

    async def register_agency(
        self, code: str, name: str, *, request_id: str | None = None
    ) -> Registered:
        """Register an agency. Raises AgencyExists and RequestMalformed."""
        request_id = request_id or str(uuid.uuid4())
        request = calls.RegisterAgencyRequest(request_id=request_id, code=code, name=name)
        with _named(request_id):
            response = await self._line.call(self._line.registry.RegisterAgency, request)
            receipt = receipt_of(response.receipt)
            expected = {"code": code, "name": name, "request_id": request_id}
            fact = await self._verified(receipt, REGISTERED_TOPIC, expected)
        return Registered(request_id, receipt, fact)

    async def enrol_certificate(
        self,
        agency: str,
        certificate: bytes,
        purpose: Purpose,
        algorithm: Algorithm | None = None,
        *,
        request_id: str | None = None,
    ) -> Registered:
        """Enrol a certificate, in PEM or DER; in force when this returns.

        Signing needs the one algorithm its signatures will be verified with. Raises
        AgencyUnknown, CertificateUnsuitable, KeyTaken and RequestMalformed.
        """
        request_id = request_id or str(uuid.uuid4())
        der = _der(certificate)
        if purpose is Purpose.SIGNING and algorithm is None:
            raise RequestMalformed("a signing certificate is enrolled for one algorithm; name it")
        request = calls.EnrolCertificateRequest(
            request_id=request_id,
            agency=agency,
            purpose=_PURPOSES[purpose],
            algorithm=_ALGORITHMS[algorithm] if algorithm else trust_pb2.KEY_ALGORITHM_UNSPECIFIED,
            certificate=der,
        )
        with _named(request_id):
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

    async def _verified(
        self, receipt: Receipt, topic: str, expected: dict[str, str]
    ) -> VerifiedReceipt:
        fact = await self._verifier.verify(receipt)
        data = JsonObject(dict(fact.event.data), "the event", "fact")
        if fact.event.topic != topic:
            raise VerificationFailed("the recorded fact is of another kind", step="fact")
        for name, value in expected.items():
            if data.text(name) != value:
                raise VerificationFailed(f"the recorded fact has another {name}", step="fact")
        return fact


@contextmanager
def _named(request_id: str) -> Iterator[None]:
    try:
        yield
    except HubUnreachable as error:
        error.request_id = request_id
        raise


def _der(certificate: bytes) -> bytes:
    if not certificate.lstrip().startswith(b"-----BEGIN"):
        return certificate
    try:
        return x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
    except ValueError as error:
        raise CertificateUnsuitable("the certificate is not X.509 in PEM") from error


def _agency(agency: calls.Agency) -> RegisteredAgency:
    return RegisteredAgency(
        agency.code, agency.name, tuple(_certificate(item) for item in agency.certificates)
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
    )
