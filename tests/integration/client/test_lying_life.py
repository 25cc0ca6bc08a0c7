"""A hub that lies about what became of a document, or about who said so."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from hub.client import HubClient
from hub.client.errors import InboxGap, OutboxGap, UnexpectedAnswer
from hub.client.signing import KeySigner, sign_statement
from hub.errors import NotCollected, VerificationFailed
from hub.proof.leaf import encode_leaf, parse_leaf
from hub.proof.signatures import Algorithm
from hub.v1 import exchange_service_pb2 as calls


async def sent(sender, letter):
    return await sender.submit(letter, [], ["H29.7"])


def digest_of(accepted):
    return accepted.statement.digest.hex()


def record_otherwise(fake, **changed):
    """From now on the hub records other facts than were said."""
    append = fake.log.append

    def rewritten(leaf):
        event = parse_leaf(leaf)
        return append(encode_leaf(replace(event, data={**event.data, **changed})))

    fake.log.append = rewritten


# --- Recall -----------------------------------------------------------------------------


async def test_the_receipt_of_another_documents_recall_is_refused(fake, sender, letter):
    first, second = await sent(sender, letter), await sent(sender, letter)
    recalled = await sender.recall(digest_of(first), "Gửi nhầm")

    def lie(response):
        response.acceptance.exchange_id = recalled.exchange_id
        response.acceptance.receipt.leaf = recalled.receipt.leaf
        response.acceptance.receipt.proof = recalled.receipt.proof
        response.acceptance.receipt.position = recalled.position

    fake.answer_next("RequestRecall", lie)
    with pytest.raises(VerificationFailed) as caught:
        await sender.recall(digest_of(second), "Gửi nhầm")
    assert caught.value.step == "fact"
    [result] = await sender.resume()
    assert result.answer.exchange_id == second.exchange_id


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"envelope_digest": "00" * 32}, "another envelope"),
        ({"sender": "H29.7"}, "another agency"),
        ({"request_id": "x"}, "another request"),
    ],
)
async def test_a_recorded_recall_that_differs_from_what_was_signed_is_refused(
    fake, sender, letter, changed, complaint
):
    digest = digest_of(await sent(sender, letter))
    record_otherwise(fake, **changed)
    with pytest.raises(VerificationFailed, match=complaint):
        await sender.recall(digest, "Gửi nhầm")


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"envelope_digest": "00" * 32}, "another envelope"),
        ({"agency": "H29.3"}, "another agency"),
        ({"exchange": str(uuid.UUID(int=0))}, "another exchange"),
        ({"code": "15"}, "another code"),
    ],
)
async def test_a_recorded_answer_that_differs_from_what_was_signed_is_refused(
    fake, sender, recipient, letter, changed, complaint
):
    digest = digest_of(await sent(sender, letter))
    await sender.recall(digest, "Gửi nhầm")
    record_otherwise(fake, **changed)
    with pytest.raises(VerificationFailed, match=complaint):
        await recipient.answer_recall(digest, False, "Đã thực hiện")


async def test_a_recall_by_somebody_else_than_the_sender_is_not_believed(
    fake, sender, recipient, letter, policy
):
    # A hub in league with a third agency records its recall of a document that is not its own.
    first = await sent(sender, letter)
    profile = fake.enrol("H30")
    rules = fake._exchanges
    [exchange] = rules._exchanges.values()
    honest, exchange.sender = exchange.sender, rules.agencies["H30"]
    async with HubClient.open(profile, policy=policy) as third:
        await third.recall(digest_of(first), "Hãy huỷ")
    exchange.sender = honest

    item = [item async for item in recipient.inbox()][-1]
    with pytest.raises(VerificationFailed, match=r"by H30 of a document of H29\.3") as caught:
        await recipient.statement(item.position)
    assert caught.value.step == "statement"


@pytest.mark.parametrize("collected", [True, False], ids=["shown", "not-shown"])
async def test_a_recall_of_a_document_that_was_not_sent_to_us_is_not_believed(
    fake, sender, recipient, letter, collected
):
    fake.enrol("H30")
    elsewhere = await sender.submit(letter, [], ["H30"])
    recalled = await sender.recall(digest_of(elsewhere), "Gửi nhầm")
    rules = fake._exchanges
    for position in (elsewhere.position, recalled.position):
        said, parties = rules._statements[position]
        rules._statements[position] = (said, parties | {"H29.7"})
    [exchange] = rules._exchanges.values()
    exchange.deliveries["H29.7"] = exchange.deliveries["H30"]
    if collected:
        exchange.collected.add("H29.7")

    with pytest.raises(VerificationFailed, match=r"does not concern H29\.7"):
        await recipient.statement(recalled.position)
    refused = VerificationFailed if collected else NotCollected
    with pytest.raises(refused, match=r"does not concern H29\.7" if collected else "collect"):
        await recipient.statement(elsewhere.position)


# --- Statements -------------------------------------------------------------------------


@pytest.fixture
async def arrived(sender, recipient, letter):
    """A 01 of the recipient, and a 06 about another document of the sender."""
    first, second = await sent(sender, letter), await sent(sender, letter)
    status = await recipient.report_status(digest_of(first), "01")
    await recipient.report_status(digest_of(second), "06")
    return first, status


async def evidence_of(fake, caller, position):
    agency = fake._exchanges.agencies[caller]
    request = calls.GetStatementRequest(position=position)
    return fake._exchanges.statement(agency, request).evidence


async def test_the_statement_of_another_event_is_refused(fake, sender, arrived):
    _, status = arrived
    other = await evidence_of(fake, "H29.3", status.position + 1)
    fake.answer_next("GetStatement", lambda response: response.evidence.CopyFrom(other))
    with pytest.raises(VerificationFailed, match="another position"):
        await sender.statement(status.position)

    # The same under the position that was asked for, and with the right receipt.
    def relabelled(response):
        response.evidence.CopyFrom(other)
        response.evidence.receipt.position = status.position

    fake.answer_next("GetStatement", relabelled)
    with pytest.raises(VerificationFailed, match="another position"):
        await sender.statement(status.position)

    def exchanged(response):
        response.evidence.statement.CopyFrom(other.statement)

    fake.answer_next("GetStatement", exchanged)
    with pytest.raises(VerificationFailed) as caught:
        await sender.statement(status.position)
    assert caught.value.step == "fact"


def flip(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def other_payload(evidence):
    evidence.statement.payload = evidence.statement.payload.replace(b'"01"', b'"06"')


def other_signature(evidence):
    evidence.statement.signature = flip(evidence.statement.signature)


def other_certificate(evidence):
    evidence.enrolment.certificate = flip(evidence.enrolment.certificate)


def no_certificate(evidence):
    evidence.enrolment.ClearField("certificate")


def other_enrolment(evidence):
    evidence.enrolment.receipt.CopyFrom(evidence.receipt)


def broken_receipt(evidence):
    evidence.receipt.leaf = evidence.receipt.leaf.replace(b'"01"', b'"06"')


def no_receipt(evidence):
    evidence.ClearField("receipt")


def nothing(evidence):
    evidence.Clear()


@pytest.mark.parametrize(
    ("lie", "step"),
    [
        (other_payload, "fact"),
        (other_signature, "fact"),
        (other_certificate, "enrolment"),
        (no_certificate, "enrolment"),
        (other_enrolment, "enrolment"),
        (broken_receipt, "inclusion"),
        (no_receipt, "proof"),
        (nothing, "proof"),
    ],
)
async def test_a_statement_that_does_not_hold_throughout_is_refused(
    fake, sender, arrived, lie, step
):
    fake.answer_next("GetStatement", lambda response: lie(response.evidence))
    with pytest.raises(VerificationFailed) as caught:
        await sender.statement(arrived[1].position)
    assert caught.value.step == step


async def test_a_signature_the_hub_let_pass_is_found_by_the_sender(
    fake, sender, recipient, letter, profiles
):
    class Forgiving:
        algorithm = Algorithm.ED25519

        def verify(self, message, signature):
            pass

    agency = fake._exchanges.agencies["H29.7"]
    for key_id, key in agency.keys.items():
        agency.keys[key_id] = replace(key, public=Forgiving())
    speaker = recipient._speaker
    speaker._signer = type("Forged", (), {"key_id": speaker._signer.key_id})()
    speaker._signer.sign = lambda _: bytes(64)
    status = await recipient.report_status(digest_of(await sent(sender, letter)), "01")

    with pytest.raises(VerificationFailed) as caught:
        await sender.statement(status.position)
    assert caught.value.step == "signature"


async def test_a_statement_shown_with_another_documents_envelope_is_refused(
    fake, sender, arrived, letter
):
    first, status = arrived
    other = await sent(sender, letter)

    def elsewhere(response):
        response.exchange.position = other.position

    fake.answer_next("GetExchange", elsewhere)
    with pytest.raises(VerificationFailed, match="something else than its envelope"):
        await sender.statement(status.position)

    def itself(response):
        response.exchange.position = status.position

    fake.answer_next("GetExchange", itself)
    with pytest.raises(VerificationFailed, match="something else than its envelope"):
        await sender.statement(status.position)
    assert (await sender.statement(status.position)).about.position == first.position


async def test_a_status_by_an_agency_the_document_was_not_sent_to_is_not_believed(
    fake, sender, letter, policy
):
    first = await sent(sender, letter)
    profile = fake.enrol("H30")
    [exchange] = fake._exchanges._exchanges.values()
    exchange.deliveries["H30"] = exchange.deliveries["H29.7"]
    async with HubClient.open(profile, policy=policy) as third:
        status = await third.report_status(digest_of(first), "01")
    with pytest.raises(VerificationFailed, match="to whom the document was not sent"):
        await sender.statement(status.position)


async def test_a_fact_recorded_under_another_sender_is_not_believed(
    fake, sender, recipient, letter
):
    first = await sent(sender, letter)
    record_otherwise(fake, sender="H30")
    status = await recipient.report_status(digest_of(first), "01")
    with pytest.raises(VerificationFailed, match="another sender"):
        await sender.statement(status.position)


async def test_a_statement_made_for_another_hub_is_not_believed(fake, sender, arrived, profiles):
    # A hub of ours that took a statement made for another one: the same root lists both.
    _, status = arrived
    rules = fake._exchanges
    said, parties = rules._statements[status.position]
    payload = said.signed.payload.replace(fake.log.origin.encode(), b"staging.test/log")
    profile = profiles["H29.7"]
    signer = KeySigner.from_file(profile.signing_key, profile.signing_algorithm)
    foreign = replace(said, signed=sign_statement(signer, said.signed.payload_type, payload))
    event = parse_leaf(fake.log.leaves[status.position])
    facts = event.data | {"statement": foreign.facts(_Header)["statement"]}
    position = rules.record(event.topic, facts)
    rules._statements[position] = (foreign, parties)

    with pytest.raises(VerificationFailed, match="another hub"):
        await sender.statement(position)


class _Header:
    class header:
        request_id = ""


# --- The numbers ------------------------------------------------------------------------


@pytest.mark.parametrize("found", [1, 3, 9])
async def test_a_gap_or_a_double_in_the_watched_outbox_is_found(fake, sender, arrived, found):
    def lie(response):
        response.item.outbox_seq = found

    fake.answer_next("WatchOutbox", lambda response: None)
    fake.answer_next("WatchOutbox", lie)
    watch = sender.watch_outbox()
    await anext(watch)
    with pytest.raises(OutboxGap) as caught:
        await anext(watch)
    assert (caught.value.after, caught.value.found, caught.value.step) == (1, found, "outbox")


async def test_a_gap_in_a_page_of_the_outbox_is_found(fake, sender, recipient, letter):
    digest = digest_of(await sent(sender, letter))
    for code in ("01", "03", "06"):
        await recipient.report_status(digest, code)

    def lie(response):
        del response.items[1]

    fake.answer_next("ListOutbox", lie)
    with pytest.raises(OutboxGap, match="the outbox went on with number 3 after number 1"):
        [item async for item in sender.outbox()]


async def test_a_recall_that_was_left_out_of_the_inbox_is_found(fake, sender, recipient, letter):
    first = await sent(sender, letter)
    await sender.recall(digest_of(first), "Gửi nhầm")
    await sent(sender, letter)

    def lie(response):
        del response.items[1]

    fake.answer_next("ListInbox", lie)
    with pytest.raises(InboxGap):
        [item async for item in recipient.inbox()]


async def test_an_endless_page_of_nothing_is_no_outbox(fake, sender):
    def lie(response):
        response.more = True

    fake.answer_next("ListOutbox", lie)
    with pytest.raises(UnexpectedAnswer, match="outbox"):
        [item async for item in sender.outbox()]


async def test_what_a_newer_hub_says_is_unknown_and_not_misread(fake, sender, recipient, letter):
    digest = digest_of(await sent(sender, letter))
    await recipient.report_status(digest, "01")

    def newer(response):
        for item in response.items:
            item.kind = 99

    fake.answer_next("ListOutbox", newer)
    fake.answer_next("ListInbox", newer)
    assert [item.kind.name async for item in sender.outbox()] == ["UNKNOWN"]
    assert [item.kind.name async for item in recipient.inbox()] == ["UNKNOWN"]
