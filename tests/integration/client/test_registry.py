"""An operator's calls, against a registry of a few lines over the fake hub's log."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from hub.client import HubClient, HubUnreachable, RegistryClient
from hub.client.errors import ProfileInvalid, UnexpectedAnswer
from hub.client.fake_pki import FakeAuthority, new_key
from hub.client.testing import FakeHub
from hub.errors import (
    AgencyExists,
    CertificateUnsuitable,
    RequestMalformed,
    VerificationFailed,
)
from hub.proof.evidence import examine
from hub.proof.findings import Verdict
from hub.proof.signatures import Algorithm, key_id_of
from hub.proof.trust import Purpose
from hub.v1 import registry_service_pb2 as calls
from hub.v1.registry_service_pb2_grpc import (
    RegistryServiceServicer,
    add_RegistryServiceServicer_to_server,
)


class Registry(RegistryServiceServicer):
    """Records what it is told, and checks little."""

    def __init__(self, fake):
        self.fake = fake
        self.agencies = []

    def RegisterAgency(self, request, context):
        def register(_, request):
            if request.code in [agency.code for agency in self.agencies]:
                raise AgencyExists("there already")
            self.agencies.append(calls.Agency(code=request.code, name=request.name))
            data = {"code": request.code, "name": request.name, "by": "operator"}
            return calls.RegisterAgencyResponse(receipt=self.record("AgencyRegistered", data))

        return self.fake.unary(request, context, "RegisterAgency", register)

    def EnrolCertificate(self, request, context):
        def enrol(_, request):
            data = {
                "agency": request.agency,
                "purpose": {1: "signing", 2: "transport"}[request.purpose],
                "certificate": hashlib.sha256(request.certificate).hexdigest(),
                "key_id": "ab" * 32,
            }
            receipt = self.record("CertificateEnrolled", data)
            return calls.EnrolCertificateResponse(receipt=receipt, key_id="ab" * 32)

        return self.fake.unary(request, context, "EnrolCertificate", enrol)

    def ListAgencies(self, request, context):
        def page(_, request):
            first = int(request.page_token or 0)
            more = len(self.agencies) > first + 2
            return calls.ListAgenciesResponse(
                agencies=self.agencies[first : first + 2],
                next_page_token=str(first + 2) if more else "",
            )

        return self.fake.unary(request, context, "ListAgencies", page)

    def record(self, name, data):
        method = "RegisterAgency" if name == "AgencyRegistered" else "EnrolCertificate"
        data["request_id"] = self.fake.received[method][-1].request_id
        exchanges = self.fake._exchanges
        return exchanges.receipt(exchanges.record(f"hub.Agency.{name}", data))


@pytest.fixture
def fake(tmp_path):
    fake = FakeHub(tmp_path)
    fake.registry = Registry(fake)
    add_RegistryServiceServicer_to_server(fake.registry, fake._server)
    with fake:
        yield fake


@pytest.fixture
async def operator(fake, policy):
    profile = replace(fake.enrol("operator"), agency=None)
    async with RegistryClient.open(profile, policy=policy) as registry:
        yield registry


@pytest.fixture(scope="module")
def certificate():
    key = new_key(Algorithm.ECDSA_P256_SHA256)
    return FakeAuthority().issue("H29.3", key), key


async def test_an_agency_is_registered_and_a_certificate_enrolled_with_receipts(
    fake, operator, certificate
):
    registered = await operator.register_agency("H29.3", "Sở Nội vụ")
    enrolled = await operator.enrol_certificate(
        "H29.3",
        certificate[0].public_bytes(Encoding.PEM),
        Purpose.SIGNING,
        Algorithm.ECDSA_P256_SHA256,
    )

    for answer in (registered, enrolled):
        findings = examine(answer.evidence(), fake.log.trusted_root())
        assert findings.verdict is Verdict.PROVEN
    [request] = fake.received["EnrolCertificate"]
    assert request.certificate == certificate[0].public_bytes(Encoding.DER)
    assert enrolled.key_id == "ab" * 32
    assert len(key_id_of(certificate[1].public_key())) == 64


async def test_agencies_are_listed_over_all_pages(operator):
    for number in range(5):
        await operator.register_agency(f"H{number}", "Sở")
    codes = [agency.code async for agency in operator.list_agencies()]
    assert codes == ["H0", "H1", "H2", "H3", "H4"]


async def test_a_page_that_leads_to_itself_ends_the_list(fake, operator):
    def lie(response):
        response.next_page_token = "7"

    fake.answer_next("ListAgencies", lie)
    fake.answer_next("ListAgencies", lie)
    with pytest.raises(UnexpectedAnswer):
        [agency async for agency in operator.list_agencies()]


async def test_a_refusal_of_the_registry_arrives_as_its_class(operator):
    await operator.register_agency("H29.3", "Sở Nội vụ")
    with pytest.raises(AgencyExists):
        await operator.register_agency("H29.3", "Sở Nội vụ")


async def test_without_an_answer_the_request_id_is_named_for_the_next_try(fake, operator):
    for _ in range(4):
        fake.fail_next("RegisterAgency", grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(HubUnreachable) as caught:
        await operator.register_agency("H29.3", "Sở Nội vụ")
    again = await operator.register_agency("H29.3", "Sở Nội vụ", request_id=caught.value.request_id)
    ids = {request.request_id for request in fake.received["RegisterAgency"]}
    assert ids == {again.request_id}


async def test_the_receipt_of_another_registration_is_refused(fake, operator):
    first = await operator.register_agency("H29.3", "Sở Nội vụ")

    def lie(response):
        response.receipt.leaf = first.receipt.leaf
        response.receipt.proof = first.receipt.proof

    fake.answer_next("RegisterAgency", lie)
    with pytest.raises(VerificationFailed, match="another code"):
        await operator.register_agency("H29.4", "Sở Tài chính")


async def test_what_cannot_be_enrolled_is_refused_here(operator, certificate):
    der = certificate[0].public_bytes(Encoding.DER)
    with pytest.raises(RequestMalformed, match="algorithm"):
        await operator.enrol_certificate("H29.3", der, Purpose.SIGNING)
    with pytest.raises(CertificateUnsuitable):
        await operator.enrol_certificate("H29.3", b"-----BEGIN nothing", Purpose.TRANSPORT)


async def test_the_profile_of_an_agency_is_refused_before_its_state_folder_is_claimed(fake, policy):
    profile = fake.enrol("H29.3")
    with pytest.raises(ProfileInvalid, match=r"H29\.3"):
        async with RegistryClient.open(profile, policy=policy):
            pass
    assert not profile.state.exists()
    async with HubClient.open(profile, policy=policy) as hub:
        await hub.checkpoint()
