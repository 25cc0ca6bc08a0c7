"""Suspension, several codes, groups and successions, over the wire and on the command line."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from datetime import date

import pytest

from hub.client import AttachmentDraft, DocumentDraft, HubClient, RegistryClient
from hub.errors import (
    AgencyExists,
    AgencyNotSuspended,
    AgencySucceeded,
    AgencySuspended,
    AgencyUnknown,
    NotAParty,
    RequestIdReused,
    RequestMalformed,
    RoleNotPermitted,
    StatementMalformed,
)
from hub.proof.leaf import parse_leaf
from hub.v1 import directory_service_pb2, exchange_service_pb2, registry_service_pb2
from hub.v1.directory_service_pb2_grpc import DirectoryServiceStub
from hub.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.e2e.test_bad_input import require_told
from tests.e2e.test_cli import FINANCE_CODE, HEALTH_CODE, SENDER, new_site
from tests.support.hubs import (
    NOI_VU,
    QUAN_1,
    TAI_CHINH,
    Y_TE,
    raw_stub,
    refusal_of,
    refusal_of_stream,
)

OLD_CODE = "000.02.07.H29"
FILE = AttachmentDraft.from_bytes("công văn.pdf", b"%PDF-1.7 " + bytes(2000))


def letter(number: int = 125) -> DocumentDraft:
    return DocumentDraft(
        number=str(number),
        notation="UBND-VP",
        type_name="Công văn",
        subject="V/v sắp xếp đơn vị hành chính",
        issued_on=date(2026, 11, 22),
    )


@pytest.fixture
async def open_as(hub):
    """Clients of agencies by code, all closed at the end."""
    async with AsyncExitStack() as stack:

        async def client(code: str) -> HubClient:
            return await stack.enter_async_context(
                HubClient.open(hub.speaker(code).profile(hub.port))
            )

        yield client


@pytest.fixture
async def registry(hub):
    async with RegistryClient.open(hub.founded.operator_profile(hub.port)) as registry:
        yield registry


async def items(client: HubClient, agency: str = "") -> list:
    return [item async for item in client.inbox(agency=agency)]


# --- Suspension ---------------------------------------------------------------------------


async def test_a_suspended_agency_reads_and_answers_until_it_is_reinstated(open_as, registry):
    sender, recipient = await open_as(QUAN_1), await open_as(TAI_CHINH)
    await sender.submit(letter(), [FILE], [TAI_CHINH])
    suspended = await registry.suspend_agency(TAI_CHINH, "by-order")

    (item,) = await items(recipient)
    document = await recipient.collect(item.envelope_digest)
    await recipient.report_status(document.envelope_digest, "03")
    with pytest.raises(AgencySuspended) as refusal:
        await sender.submit(letter(), [], [Y_TE, TAI_CHINH])
    assert refusal.value.metadata["agencies"] == TAI_CHINH
    with pytest.raises(AgencySuspended):
        await recipient.submit(letter(), [], [Y_TE])
    with pytest.raises(AgencySuspended):
        await registry.suspend_agency(TAI_CHINH, "by-order")

    await registry.reinstate_agency(TAI_CHINH)
    with pytest.raises(AgencyNotSuspended):
        await registry.reinstate_agency(TAI_CHINH)
    await sender.submit(letter(), [], [TAI_CHINH])
    assert [item.inbox_seq for item in await items(recipient)] == [1, 2]
    assert suspended.fact.event.data["reason"] == "by-order"


async def test_an_operators_calls_are_answered_once(registry):
    request_id = str(uuid.uuid4())
    first = await registry.suspend_agency(Y_TE, "dissolved", request_id=request_id)

    again = await registry.suspend_agency(Y_TE, "dissolved", request_id=request_id)

    assert again.receipt == first.receipt
    with pytest.raises(RequestIdReused):
        await registry.suspend_agency(Y_TE, "by-order", request_id=request_id)
    with pytest.raises(RequestMalformed):
        await registry.suspend_agency(Y_TE, "Vì ông A")


@pytest.mark.parametrize(
    "method", ["RenameAgency", "SuspendAgency", "ReinstateAgency", "SucceedAgency", "SetGroup"]
)
async def test_the_register_is_for_operators_and_calls_carry_a_request_id(hub, method):
    request = getattr(registry_service_pb2, f"{method}Request")()
    async with raw_stub(hub.speaker(QUAN_1).transport, hub.port, RegistryServiceStub) as stub:
        require_told(await refusal_of(getattr(stub, method)(request)), "ROLE_NOT_PERMITTED")
    async with raw_stub(hub.founded.operator, hub.port, RegistryServiceStub) as stub:
        refusal = await refusal_of(getattr(stub, method)(request))
    require_told(refusal, "REQUEST_MALFORMED")


# --- Codes --------------------------------------------------------------------------------


async def test_an_agency_is_written_to_under_any_of_its_codes(open_as, registry):
    sender, recipient = await open_as(QUAN_1), await open_as(TAI_CHINH)
    await registry.rename_agency(TAI_CHINH, name="Sở Tài chính mới", add_codes=[OLD_CODE])
    with pytest.raises(AgencyExists):
        await registry.register_agency("H77", "Sở Mới", other_codes=[OLD_CODE])

    accepted = await sender.submit(letter(), [FILE], [OLD_CODE, Y_TE])

    assert parse_leaf(accepted.receipt.leaf).data["recipients"] == [
        {"agency": TAI_CHINH, "inbox_seq": 1, "addressed": OLD_CODE},
        {"agency": Y_TE, "inbox_seq": 1},
    ]
    (item,) = await items(recipient)
    document = await recipient.collect(item.envelope_digest)
    assert document.envelope.recipients == (OLD_CODE, Y_TE)
    with pytest.raises(StatementMalformed) as refusal:
        await sender.submit(letter(), [], [OLD_CODE, TAI_CHINH])
    assert refusal.value.metadata["field"] == "recipients"
    [agency] = [one async for one in registry.list_agencies() if one.code == TAI_CHINH]
    assert (agency.name, agency.other_codes) == ("Sở Tài chính mới", (OLD_CODE,))


# --- The directory ------------------------------------------------------------------------


async def test_agencies_are_found_and_groups_expanded_before_signing(open_as, registry):
    sender = await open_as(QUAN_1)
    await registry.rename_agency(TAI_CHINH, add_codes=[OLD_CODE])
    await registry.set_group("cac-so", "Các sở", [OLD_CODE, Y_TE, QUAN_1])
    await registry.set_group("hai", "Hai sở", [Y_TE, NOI_VU])

    found = [one.code async for one in sender.directory.search("so tai chinh")]
    assert found == [TAI_CHINH]
    assert (await sender.directory.agency(OLD_CODE)).code == TAI_CHINH
    groups = [one.group async for one in registry.directory.groups()]
    assert groups == ["cac-so", "hai"]

    recipients = await sender.directory.expand([OLD_CODE], ["cac-so", "hai"])
    assert recipients == [OLD_CODE, Y_TE, NOI_VU]
    await sender.submit(letter(), [], recipients)
    with pytest.raises(RequestMalformed):
        await sender.directory.expand([], ["cac-huyen"])
    with pytest.raises(AgencyUnknown):
        await registry.set_group("cac-so", "Các sở", ["H-NOBODY"])


async def test_the_directory_comes_page_by_page(hub):
    async with raw_stub(hub.speaker(Y_TE).transport, hub.port, DirectoryServiceStub) as stub:
        found, token = [], ""
        while True:
            request = directory_service_pb2.SearchAgenciesRequest(page_size=3, page_token=token)
            page = await stub.SearchAgencies(request)
            found += [entry.code for entry in page.agencies]
            if not (token := page.next_page_token):
                break
        assert found == sorted({QUAN_1, TAI_CHINH, Y_TE, NOI_VU})
        long = directory_service_pb2.SearchAgenciesRequest(query="a" * 201)
        require_told(await refusal_of(stub.SearchAgencies(long)), "REQUEST_MALFORMED")
        nobody = directory_service_pb2.GetAgencyRequest(code="H-NOBODY")
        require_told(await refusal_of(stub.GetAgency(nobody)), "AGENCY_UNKNOWN")


# --- Succession ---------------------------------------------------------------------------


async def test_a_successor_takes_over_everything(hub, open_as, registry, tmp_path):
    sender, old, new = [await open_as(code) for code in (QUAN_1, TAI_CHINH, Y_TE)]
    before = await sender.submit(letter(1), [FILE], [TAI_CHINH])
    await old.submit(letter(2), [], [NOI_VU])
    with pytest.raises(AgencyUnknown):
        await items(new, TAI_CHINH)

    await registry.succeed_agency(TAI_CHINH, Y_TE)
    await sender.submit(letter(3), [], [TAI_CHINH])

    (own,), (taken,) = await items(new), await items(new, TAI_CHINH)
    assert taken.exchange_id == before.exchange_id
    await new.collect(own.envelope_digest)
    with pytest.raises(NotAParty):
        await new.collect(taken.envelope_digest)
    document = await new.collect(taken.envelope_digest, for_agency=TAI_CHINH)
    (file,) = await new.download(document, tmp_path)
    assert file.read_bytes() == FILE.content
    reported = await new.report_status(taken.envelope_digest, "06", for_agency=TAI_CHINH)
    data = reported.fact.event.data
    assert (data["agency"], data["statement"]["by_agency"]) == (TAI_CHINH, Y_TE)
    assert (await new.submission(reported.request_id)).receipt == reported.receipt

    with pytest.raises(AgencySucceeded) as refusal:
        await old.submit(letter(4), [], [QUAN_1])
    assert refusal.value.metadata["successor"] == Y_TE
    with pytest.raises(AgencySucceeded):
        await registry.succeed_agency(Y_TE, TAI_CHINH)
    received = [one.document.exchange_id async for one in new.received(agency=TAI_CHINH)]
    assert received == [before.exchange_id]
    assert [one.recipient_count async for one in new.sent(agency=TAI_CHINH)] == [1]
    listed = await new.directory.agency(TAI_CHINH)
    assert listed.successor == listed.receiver == Y_TE


async def test_boxes_of_others_answer_as_those_of_nobody(hub):
    async with raw_stub(hub.speaker(QUAN_1).transport, hub.port) as stub:
        said = set()
        for agency in (TAI_CHINH, "H-NOBODY"):
            for method in ("ListInbox", "ListOutbox", "ListReceived", "ListSent"):
                request = getattr(exchange_service_pb2, f"{method}Request")(agency=agency)
                refusal = await refusal_of(getattr(stub, method)(request))
                require_told(refusal, "AGENCY_UNKNOWN")
                said.add(refusal.message)
            for method in ("WatchInbox", "WatchOutbox"):
                request = getattr(exchange_service_pb2, f"{method}Request")(agency=agency)
                refusal = await refusal_of_stream(getattr(stub, method)(request))
                said.add(refusal.message)
        assert len(said) == 1


async def test_an_operator_reads_the_directory_but_no_boxes(hub):
    async with RegistryClient.open(hub.founded.operator_profile(hub.port)) as registry:
        assert [one.code async for one in registry.directory.search("nội vụ")] == [NOI_VU]
    async with raw_stub(hub.founded.operator, hub.port) as stub:
        refusal = await refusal_of(stub.ListInbox(exchange_service_pb2.ListInboxRequest()))
    assert refusal.reason == RoleNotPermitted.reason


# --- The command line ---------------------------------------------------------------------


@pytest.fixture
def site(tmp_path):
    site = new_site(tmp_path / "hub")
    site.serve()
    yield site
    assert site.stop().status == 0
    checked = site.type("ledger", "fsck", site.folder)
    assert checked.status == 0, checked.out


def test_an_operator_types_it(site, tmp_path):
    def operate(*words, language=""):
        return site.type("agency", *words, profile="operator", language=language)

    renamed = operate("rename", FINANCE_CODE, "--name", "Sở Mới", "--add-code", OLD_CODE, "--json")
    assert renamed.json["agency"] == FINANCE_CODE
    group = operate("group", "set", "cac-so", "Các sở", OLD_CODE, HEALTH_CODE, "--json")
    assert group.json["members"] == [FINANCE_CODE, HEALTH_CODE]
    (listed,) = operate("group", "list", "--json").json
    assert listed == {
        "group": "cac-so",
        "name": "Các sở",
        "members": [FINANCE_CODE, HEALTH_CODE],
    }
    (found,) = site.type("agency", "search", "so", "moi", "--json", profile=SENDER).json
    assert (found["code"], found["other_codes"]) == (FINANCE_CODE, [OLD_CODE])

    file = tmp_path / "thư.pdf"
    file.write_bytes(b"%PDF-1.7")
    letter = ["--subject", "V/v", "--number", "1", "--notation", "VP", "--type", "Công văn"]
    sent = site.type("send", file, "--group", "cac-so", *letter, "--json", profile=SENDER)
    assert sent.json["recipients"] == [FINANCE_CODE, HEALTH_CODE]
    nobody = site.type("send", file, *letter, profile=SENDER)
    assert nobody.status == 2

    assert operate("suspend", HEALTH_CODE, "--reason", "by-order", "--json").json["position"]
    refused = site.type("send", file, "--to", HEALTH_CODE, *letter, profile=SENDER, language="vi")
    assert (refused.status, "[AGENCY_SUSPENDED]" in refused.err) == (1, True)
    assert "tạm đình chỉ" in refused.err
    assert "tạm đình chỉ" in operate("search", HEALTH_CODE, language="vi").out
    assert operate("reinstate", HEALTH_CODE).status == 0
    assert operate("succeed", HEALTH_CODE, FINANCE_CODE).status == 0
    assert f"succeeded by {FINANCE_CODE}" in operate("search", HEALTH_CODE).out
