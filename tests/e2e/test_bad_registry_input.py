"""What the register refuses, and who may not use which service at all."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from adapters.system import system_clock
from hub.proof.signatures import Algorithm
from hub.v1 import exchange_service_pb2, ledger_service_pb2, trust_pb2
from hub.v1 import registry_service_pb2 as calls
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from hub.v1.registry_service_pb2_grpc import RegistryServiceStub
from keys.development_ca import DevelopmentCA
from tests.e2e.test_bad_input import require_told
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Running,
    raw_stub,
    refusal_of,
    refusal_of_stream,
)

SIGNING, TRANSPORT = (
    trust_pb2.CERTIFICATE_PURPOSE_SIGNING,
    trust_pb2.CERTIFICATE_PURPOSE_TRANSPORT,
)
ED25519 = trust_pb2.KEY_ALGORITHM_ED25519
ECDSA = trust_pb2.KEY_ALGORITHM_ECDSA_P256_SHA256
PSS = trust_pb2.KEY_ALGORITHM_RSA_PSS_SHA256


@pytest.fixture
async def registry(hub: Running):
    async with raw_stub(hub.founded.operator, hub.port, RegistryServiceStub) as stub:
        yield stub


def enrolment(certificate: bytes, **changes: Any) -> calls.EnrolCertificateRequest:
    values = {
        "request_id": str(uuid.uuid4()),
        "agency": QUAN_1,
        "purpose": SIGNING,
        "algorithm": ED25519,
        "certificate": certificate,
    }
    return calls.EnrolCertificateRequest(**{**values, **changes})


def registration(**changes: Any) -> calls.RegisterAgencyRequest:
    values = {"request_id": str(uuid.uuid4()), "code": "H29.9.9", "name": "Sở Tư pháp"}
    return calls.RegisterAgencyRequest(**{**values, **changes})


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


# --- Certificates -----------------------------------------------------------------------


def ours(hub: Running, algorithm: Algorithm = Algorithm.ED25519, **window: datetime) -> bytes:
    return der(hub.founded.authority.issue_signing("x", algorithm, **window).certificate_pem)


def of_a_stranger(hub: Running, tmp: Path) -> bytes:
    stranger = DevelopmentCA.create(tmp / "stranger", system_clock)
    return der(stranger.issue_signing("x", Algorithm.ED25519).certificate_pem)


def the_authority_itself(hub: Running, tmp: Path) -> bytes:
    return der(hub.founded.authority.certificate_pem)


def self_signed(hub: Running, tmp: Path) -> bytes:
    # The names of our authority, but not its key.
    issuer = x509.load_pem_x509_certificate(hub.founded.authority.certificate_pem).subject
    return certificate(ec.generate_private_key(ec.SECP256R1()), issuer=issuer)


def expired(hub: Running, tmp: Path) -> bytes:
    end = system_clock() - timedelta(seconds=10)
    return ours(hub, not_before=end - timedelta(days=1), not_after=end)


def by_our_authority(hub: Running, key: Any, **how: Any) -> bytes:
    folder = hub.founded.folder.development_ca
    issuer = x509.load_pem_x509_certificate(hub.founded.authority.certificate_pem).subject
    from keys.file import load_private_key

    signer = load_private_key(folder / "development-ca.key.pem")
    return certificate(key, issuer=issuer, signer=signer, **how)


def for_the_connection(hub: Running, tmp: Path) -> bytes:
    return der(hub.founded.authority.issue_client("x").certificate_pem)


def a_key_of_1024_bits(hub: Running, tmp: Path) -> bytes:
    pem = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        check=True,
        capture_output=True,
    ).stdout
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return by_our_authority(hub, load_pem_private_key(pem, password=None))


def p_384(hub: Running, tmp: Path) -> bytes:
    return by_our_authority(hub, ec.generate_private_key(ec.SECP384R1()))


def without_key_usage(hub: Running, tmp: Path) -> bytes:
    return by_our_authority(hub, ec.generate_private_key(ec.SECP256R1()), usage=None)


def for_encryption_only(hub: Running, tmp: Path) -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return by_our_authority(hub, key, usage="key_encipherment")


def certificate(
    key: Any, *, issuer: x509.Name, signer: Any = None, usage: str | None = "digital_signature"
) -> bytes:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if usage is not None:
        bits = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "key_cert_sign",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = builder.add_extension(x509.KeyUsage(**{**bits, usage: True}), critical=True)
    return builder.sign(signer or key, SHA256()).public_bytes(Encoding.DER)


UNSUITABLE = {
    "of another authority": (of_a_stranger, {}),
    "of another authority, for the connection": (of_a_stranger, {"purpose": TRANSPORT}),
    "signed by itself in our authority's name": (self_signed, {"algorithm": ECDSA}),
    "the authority's own": (the_authority_itself, {"algorithm": ECDSA}),
    "the authority's own, for the connection": (the_authority_itself, {"purpose": TRANSPORT}),
    "expired": (expired, {}),
    "for another algorithm": (lambda hub, tmp: ours(hub), {"algorithm": ECDSA}),
    "ECDSA called RSA": (
        lambda hub, tmp: ours(hub, Algorithm.ECDSA_P256_SHA256),
        {"algorithm": PSS},
    ),
    "for no algorithm": (lambda hub, tmp: ours(hub), {"algorithm": 0}),
    "RSA with 1024 bits": (a_key_of_1024_bits, {"algorithm": PSS}),
    "ECDSA on P-384": (p_384, {"algorithm": ECDSA}),
    "for signing, meant for the connection": (lambda hub, tmp: ours(hub), {"purpose": TRANSPORT}),
    "for the connection, meant for signing": (for_the_connection, {"algorithm": ECDSA}),
    "without key usage": (without_key_usage, {"algorithm": ECDSA}),
    "for encryption only": (for_encryption_only, {"algorithm": PSS}),
    "empty": (lambda hub, tmp: b"", {}),
    "no certificate": (lambda hub, tmp: b"\x30\x03\x02\x01\x01", {}),
    "cut off": (lambda hub, tmp: ours(hub)[:-1], {}),
    "with something behind it": (lambda hub, tmp: ours(hub) + b"\x00", {}),
    "PEM": (lambda hub, tmp: hub.founded.authority.issue_client("x").certificate_pem, {}),
    "over 16 KiB": (lambda hub, tmp: ours(hub) + bytes(16 * 1024), {}),
}


@pytest.mark.parametrize("name", UNSUITABLE, ids=lambda name: name.replace(" ", "-"))
async def test_an_unsuitable_certificate_is_not_enrolled(hub, registry, tmp_path, name):
    make, changes = UNSUITABLE[name]
    message = enrolment(make(hub, tmp_path), **changes)
    before = hub.trace()

    refusal = await refusal_of(registry.EnrolCertificate(message))

    require_told(refusal, "CERTIFICATE_UNSUITABLE")
    assert hub.trace() == before


async def test_a_key_belongs_to_one_agency_and_one_purpose(hub, registry):
    taken = ours(hub)
    await registry.EnrolCertificate(enrolment(taken))
    # Made for neither purpose in particular, so that only its being taken is in the way.
    for_both = by_our_authority(hub, ec.generate_private_key(ec.SECP256R1()))
    await registry.EnrolCertificate(enrolment(for_both, algorithm=ECDSA))
    connection = der(hub.founded.authority.issue_client("x").certificate_pem)
    await registry.EnrolCertificate(enrolment(connection, purpose=TRANSPORT))
    operators = der(hub.founded.operator.certificate or b"")
    before = hub.trace()

    for message in (
        enrolment(taken),
        enrolment(taken, agency=TAI_CHINH),
        enrolment(for_both, purpose=TRANSPORT),
        enrolment(connection, agency=TAI_CHINH, purpose=TRANSPORT),
        enrolment(operators, purpose=TRANSPORT),
    ):
        refusal = await refusal_of(registry.EnrolCertificate(message))
        require_told(refusal, "KEY_TAKEN")

    assert hub.trace() == before


async def test_a_certificate_of_an_unknown_agency_is_not_enrolled(hub, registry):
    before = hub.trace()

    for agency in ("X.1", "", "h29.1.1"):
        refusal = await refusal_of(registry.EnrolCertificate(enrolment(ours(hub), agency=agency)))
        require_told(refusal, "AGENCY_UNKNOWN")

    assert hub.trace() == before


async def test_an_agency_code_of_any_length_is_answered_with_a_reason(hub, registry):
    # Refusals travel in trailing metadata, and these have a limit of some kilobytes.
    before = hub.trace()

    message = enrolment(ours(hub), agency="X" * 100_000)

    require_told(await refusal_of(registry.EnrolCertificate(message)), "AGENCY_UNKNOWN")
    assert hub.trace() == before


@pytest.mark.parametrize("field", ["purpose", "algorithm"])
@pytest.mark.parametrize("number", [-1, 99, 2**31 - 1])
async def test_a_number_that_names_nothing_is_refused(hub, registry, field, number):
    before = hub.trace()

    refusal = await refusal_of(registry.EnrolCertificate(enrolment(ours(hub), **{field: number})))

    require_told(refusal, "REQUEST_MALFORMED")
    assert refusal.metadata == {"field": field}
    assert hub.trace() == before


# --- Agencies ---------------------------------------------------------------------------

BAD_REGISTRATIONS = (
    ("code", ""),
    ("code", "Quận 1"),
    ("code", "H29."),
    ("code", "H29..1"),
    ("code", "9" * 36),
    ("code", "H29\n"),
    ("code", "٣٣"),
    ("name", ""),
    ("name", "x" * 201),
    ("name", "Sở\nTư pháp"),
    ("request_id", ""),
    ("request_id", "x" * 36),
    ("request_id", "207AD816-5DCD-405E-8A5E-421E1120E2A5"),
)


@pytest.mark.parametrize(("field", "value"), BAD_REGISTRATIONS)
async def test_a_bad_registration_is_refused(hub, registry, field, value):
    before = hub.trace()

    refusal = await refusal_of(registry.RegisterAgency(registration(**{field: value})))

    require_told(refusal, "REQUEST_MALFORMED")
    assert refusal.metadata["field"] == field
    assert hub.trace() == before


async def test_a_code_is_registered_once(hub, registry):
    first = registration()
    answer = await registry.RegisterAgency(first)
    before = hub.trace()

    assert await registry.RegisterAgency(first) == answer
    refusal = await refusal_of(registry.RegisterAgency(registration(name="Another")))
    require_told(refusal, "AGENCY_EXISTS")
    other = registration(request_id=first.request_id, code="H29.9.8")
    require_told(await refusal_of(registry.RegisterAgency(other)), "REQUEST_ID_REUSED")
    certified = enrolment(ours(hub), request_id=first.request_id)
    require_told(await refusal_of(registry.EnrolCertificate(certified)), "REQUEST_ID_REUSED")

    assert hub.trace() == before


async def test_the_register_is_listed_in_pages_of_a_sensible_size(registry):
    refusal = await refusal_of(registry.ListAgencies(calls.ListAgenciesRequest(page_size=-1)))
    require_told(refusal, "REQUEST_MALFORMED")

    codes, token = [], ""
    for _ in range(4):
        page = await registry.ListAgencies(calls.ListAgenciesRequest(page_size=1, page_token=token))
        codes += [agency.code for agency in page.agencies]
        token = page.next_page_token

    assert codes == sorted(codes)
    assert (len(codes), token) == (4, "")
    beyond = await registry.ListAgencies(calls.ListAgenciesRequest(page_token="\U0010ffff" * 1000))
    assert not beyond.agencies


# --- Who may use what -------------------------------------------------------------------


async def still_open(message: Any) -> AsyncIterator[Any]:
    """A stream of which more is to come: the hub answers without waiting for its end."""
    yield message
    await asyncio.Event().wait()


async def refusals_of_every_method(stub: Any, module: Any, service: str) -> list[Any]:
    """Call each method of a service with an empty message."""
    refusals = []
    descriptor = module.DESCRIPTOR.services_by_name[service]
    for method in descriptor.methods:
        message = getattr(module, method.input_type.name)()
        if method.client_streaming:
            message = still_open(message)
        call = getattr(stub, method.name)(message)
        answer = refusal_of_stream(call) if method.server_streaming else refusal_of(call)
        refusals.append(await answer)
    assert refusals
    return refusals


async def test_an_agency_may_not_touch_the_register(hub):
    before = hub.trace()

    async with raw_stub(hub.speaker(QUAN_1).transport, hub.port, RegistryServiceStub) as stub:
        for refusal in await refusals_of_every_method(stub, calls, "RegistryService"):
            require_told(refusal, "ROLE_NOT_PERMITTED")

    assert hub.trace() == before


async def test_an_operator_may_not_act_as_an_agency(hub):
    before = hub.trace()

    async with raw_stub(hub.founded.operator, hub.port, ExchangeServiceStub) as stub:
        refusals = await refusals_of_every_method(stub, exchange_service_pb2, "ExchangeService")
        for refusal in refusals:
            require_told(refusal, "ROLE_NOT_PERMITTED")

    assert hub.trace() == before


@pytest.mark.parametrize(
    "position", [10**6, 2**63 - 1, 2**63, 2**64 - 1], ids=["far", "2^63-1", "2^63", "2^64-1"]
)
async def test_a_position_beyond_the_log_is_unknown(hub, position):
    async with raw_stub(hub.founded.operator, hub.port, LedgerServiceStub) as stub:
        ask = stub.GetReceipt(ledger_service_pb2.GetReceiptRequest(position=position))
        require_told(await refusal_of(ask), "POSITION_UNKNOWN")
        for sizes in ((0, 1), (1, position), (position, position), (2, 1)):
            proof = ledger_service_pb2.GetConsistencyProofRequest(
                old_size=sizes[0], new_size=sizes[1]
            )
            require_told(await refusal_of(stub.GetConsistencyProof(proof)), "POSITION_UNKNOWN")
