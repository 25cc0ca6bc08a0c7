"""Who is let in, and as whom: mutual TLS, and the certificate's enrolment."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from adapters.system import system_clock
from hub.v1 import (
    exchange_service_pb2,
    ledger_service_pb2,
    registry_service_pb2,
    trust_pb2,
)
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceStub
from hub.v1.ledger_service_pb2_grpc import LedgerServiceStub
from hub.v1.registry_service_pb2_grpc import RegistryServiceStub
from keys.development_ca import DevelopmentCA, Issued
from tests.e2e.test_bad_input import require_told
from tests.e2e.test_bad_registry_input import der, enrolment, refusals_of_every_method
from tests.support.hubs import (
    QUAN_1,
    TAI_CHINH,
    Identity,
    Running,
    raw_channel,
    raw_stub,
    refusal_of,
    submission,
)

SERVICES = {
    "ExchangeService": (ExchangeServiceStub, exchange_service_pb2),
    "LedgerService": (LedgerServiceStub, ledger_service_pb2),
    "RegistryService": (RegistryServiceStub, registry_service_pb2),
}


def identity(hub: Running, issued: Issued) -> Identity:
    ca = hub.founded.authority.certificate_pem
    return Identity(ca, issued.certificate_pem, issued.private_key_pem)


def nobody(hub, tmp_path):
    return Identity(hub.founded.authority.certificate_pem, None, None)


def stranger(hub, tmp_path):
    authority = DevelopmentCA.create(tmp_path / "stranger", system_clock)
    return identity(hub, authority.issue_client("stranger"))


def signed_by_itself(hub, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=ubnd-quan-1", "-days", "1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return identity(hub, Issued(certificate.read_bytes(), key.read_bytes()))


def expired(hub, tmp_path):
    def last_year():
        return system_clock() - timedelta(days=400)

    authority = DevelopmentCA.open(hub.founded.folder.development_ca, last_year)
    return identity(hub, authority.issue_client("expired"))


def made_for_signing(hub, tmp_path):
    home = hub.speaker(QUAN_1).home
    pem = [(home / name).read_bytes() for name in ("signing.pem", "signing.key.pem")]
    return identity(hub, Issued(*pem))


@pytest.mark.parametrize("who", [nobody, stranger, signed_by_itself, expired, made_for_signing])
async def test_the_handshake_fails_and_nothing_is_stored(hub, tmp_path, who):
    caller = who(hub, tmp_path)
    before = hub.trace()

    async with raw_stub(caller, hub.port) as stub:
        refusal = await refusal_of(
            stub.SubmitDocument(submission(hub.speaker(QUAN_1), [TAI_CHINH], [b"x"]))
        )
    async with raw_stub(caller, hub.port, health_pb2_grpc.HealthStub) as stub:
        health = await refusal_of(stub.Check(health_pb2.HealthCheckRequest()))

    # No answer of the hub's: the connection never came about.
    assert (refusal.status, refusal.reason) == (health.status, None) == ("UNAVAILABLE", None)
    assert hub.trace() == before


async def test_a_connection_without_tls_is_not_served(hub):
    before = hub.trace()

    async with grpc.aio.insecure_channel(f"127.0.0.1:{hub.port}") as channel:
        message = submission(hub.speaker(QUAN_1), [TAI_CHINH])
        refusal = await refusal_of(ExchangeServiceStub(channel).SubmitDocument(message))

    assert (refusal.status, refusal.reason) == ("UNAVAILABLE", None)
    assert hub.trace() == before


@pytest.mark.parametrize("service", SERVICES)
async def test_a_trusted_certificate_that_nobody_enrolled_may_call_nothing(hub, service):
    issued = hub.founded.authority.issue_client("nobody knows me")
    before = hub.trace()

    stub_type, module = SERVICES[service]
    async with raw_stub(identity(hub, issued), hub.port, stub_type) as stub:
        for refusal in await refusals_of_every_method(stub, module, service):
            require_told(refusal, "PRINCIPAL_UNKNOWN")

    assert hub.trace() == before


async def test_the_name_in_a_certificate_makes_nobody_an_agency(hub):
    """Only the enrolment counts: a certificate for the same name is another's."""
    issued = hub.founded.authority.issue_client("ubnd-quan-1")
    before = hub.trace()

    async with raw_stub(identity(hub, issued), hub.port) as stub:
        refusal = await refusal_of(
            stub.SubmitDocument(submission(hub.speaker(QUAN_1), [TAI_CHINH]))
        )

    require_told(refusal, "PRINCIPAL_UNKNOWN")
    assert hub.trace() == before


async def test_a_certificate_is_good_from_its_enrolment_on_over_the_same_connection(hub):
    issued = hub.founded.authority.issue_client("second connection")
    message = submission(hub.speaker(QUAN_1), [TAI_CHINH], [b"x"])

    async with (
        raw_stub(identity(hub, issued), hub.port) as stub,
        raw_stub(hub.founded.operator, hub.port, RegistryServiceStub) as registry,
    ):
        require_told(await refusal_of(stub.SubmitDocument(message)), "PRINCIPAL_UNKNOWN")
        await registry.EnrolCertificate(
            enrolment(
                der(issued.certificate_pem),
                purpose=trust_pb2.CERTIFICATE_PURPOSE_TRANSPORT,
                algorithm=trust_pb2.KEY_ALGORITHM_UNSPECIFIED,
            )
        )

        answer = await stub.SubmitDocument(message)

    assert answer.acceptance.exchange_id


async def test_a_client_that_trusts_another_authority_does_not_talk_to_this_hub(hub, tmp_path):
    other = DevelopmentCA.create(tmp_path / "other", system_clock)
    misled = replace(hub.speaker(QUAN_1).transport, ca=other.certificate_pem)

    async with raw_stub(misled, hub.port) as stub:
        refusal = await refusal_of(
            stub.SubmitDocument(submission(hub.speaker(QUAN_1), [TAI_CHINH]))
        )

    assert refusal.status == "UNAVAILABLE"


@pytest.mark.parametrize("enrolled", [True, False], ids=["enrolled", "not-enrolled"])
async def test_health_and_reflection_answer_whoever_gets_through_the_handshake(hub, enrolled):
    issued = hub.founded.authority.issue_client("probe")
    caller = hub.speaker(QUAN_1).transport if enrolled else identity(hub, issued)
    names = {f"hub.v1.{service}" for service in SERVICES}

    async with raw_channel(caller, hub.port) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        for service in ("", *names):
            answer = await check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        unknown = await refusal_of(check(health_pb2.HealthCheckRequest(service="hub.v1.Nothing")))
        assert unknown.status == "NOT_FOUND"

        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        async for response in stub.ServerReflectionInfo(iter([ask])):
            listed = {service.name for service in response.list_services_response.service}
    assert listed >= names
