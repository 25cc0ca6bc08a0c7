"""A hub that lies: every way it could is found on arrival, and nothing kept is given up."""

from __future__ import annotations

import json

import pytest

from hub.client import HubClient
from hub.client.errors import ForkDetected, InboxGap
from hub.client.memory import CheckpointMemory
from hub.client.testing import ORIGIN, FakeHub
from hub.errors import VerificationFailed
from hub.proof.leaf import encode_leaf, parse_leaf


def flip(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


async def collectable(sender, recipient, letter, attachments=()):
    await sender.submit(letter, list(attachments), ["H29.7"])
    async for item in recipient.inbox():
        return item.envelope_digest


def kept(profile):
    return CheckpointMemory(profile.state / "checkpoints").largest(ORIGIN)


# --- Receipts -------------------------------------------------------------------------


def break_leaf(response):
    receipt = response.acceptance.receipt
    receipt.leaf = receipt.leaf.replace(b"H29.7", b"H29.8")


def break_position(response):
    response.acceptance.receipt.position += 1


def break_exchange_id(response):
    response.acceptance.exchange_id = "9f0c1b9e-98a6-4f7b-9c61-3a4f4c7f0a11"


def break_proof(response):
    response.acceptance.receipt.proof = b"c2sp.org/tlog-proof@v2\n"


def break_checkpoint(response):
    receipt = response.acceptance.receipt
    receipt.proof = flip(receipt.proof, -10)


def drop_receipt(response):
    response.acceptance.ClearField("receipt")


@pytest.mark.parametrize(
    ("lie", "step"),
    [
        (break_leaf, "inclusion"),
        (break_position, "fact"),
        (break_exchange_id, "fact"),
        (break_proof, "proof"),
        (break_checkpoint, "note"),
        (drop_receipt, "proof"),
    ],
)
async def test_a_receipt_that_does_not_hold_is_refused_and_the_statement_stays_pending(
    fake, sender, letter, lie, step
):
    fake.answer_next("SubmitDocument", lie)
    with pytest.raises(VerificationFailed) as caught:
        await sender.submit(letter, [], ["H29.7"])
    assert caught.value.step == step

    [result] = await sender.resume()
    assert result.answer is not None


async def test_the_receipt_of_another_statement_is_refused(fake, sender, letter):
    first = await sender.submit(letter, [], ["H29.7"])

    def replay(response):
        acceptance = response.acceptance
        acceptance.exchange_id = first.exchange_id
        acceptance.receipt.leaf = first.receipt.leaf
        acceptance.receipt.proof = first.receipt.proof
        acceptance.receipt.position = first.position

    fake.answer_next("SubmitDocument", replay)
    with pytest.raises(VerificationFailed, match="another request"):
        await sender.submit(letter, [], ["H29.7"])


RECORDED = {
    "topic": (lambda event: {"topic": "hub.Exchange.DocumentUpdated"}, "another kind"),
    "sender": (lambda event: data(event, sender="H29.9"), "another agency"),
    "request_id": (lambda event: data(event, request_id="x"), "another request"),
    "digest": (lambda event: statement(event, digest="00" * 32), "another payload"),
    "payload_type": (lambda event: statement(event, payload_type="x"), "payload type"),
    "key_id": (lambda event: statement(event, key_id="00" * 32), "another key"),
    "signature": (lambda event: statement(event, signature="AA=="), "another signature"),
    "recipients": (lambda event: data(event, recipients=[]), "other recipients"),
    "attachments": (
        lambda event: data(event, attachments=[{"sha256": "00", "size": 1}]),
        "other attachments",
    ),
    "action": (lambda event: data(event, action="replace"), "another action"),
    "relates_to": (lambda event: data(event, relates_to="00" * 32), "another envelope"),
}


def data(event, **changed):
    return {"data": {**event.data, **changed}}


def statement(event, **changed):
    return data(event, statement={**event.data["statement"], **changed})


@pytest.mark.parametrize("name", RECORDED)
async def test_a_recorded_fact_that_differs_from_what_was_signed_is_refused(
    fake, sender, letter, name
):
    change, complaint = RECORDED[name]
    append = fake.log.append

    def record_otherwise(leaf):
        event = parse_leaf(leaf)
        fields = {slot: getattr(event, slot) for slot in event.__slots__}
        return append(encode_leaf(type(event)(**(fields | change(event)))))

    fake.log.append = record_otherwise
    with pytest.raises(VerificationFailed, match=complaint) as caught:
        await sender.submit(letter, [], ["H29.7"])
    assert caught.value.step == "fact"


@pytest.mark.parametrize("name", ["envelope_digest", "code", "exchange"])
async def test_a_recorded_status_that_differs_from_what_was_signed_is_refused(
    fake, sender, recipient, letter, name
):
    digest = await collectable(sender, recipient, letter)
    append = fake.log.append

    def record_otherwise(leaf):
        event = parse_leaf(leaf)
        fields = {slot: getattr(event, slot) for slot in event.__slots__}
        return append(encode_leaf(type(event)(**(fields | data(event, **{name: "03"})))))

    fake.log.append = record_otherwise
    with pytest.raises(VerificationFailed) as caught:
        await recipient.report_status(digest, "01")
    assert caught.value.step == "fact"


async def test_a_log_the_trusted_root_does_not_list_is_not_believed(
    profiles, letter, policy, tmp_path
):
    with FakeHub(tmp_path / "impostor") as impostor:
        profile = impostor.enrol("H29.3")
        profile.trusted_root.write_bytes(profiles["H29.3"].trusted_root.read_bytes())
        async with HubClient.open(profile, policy=policy) as hub:
            with pytest.raises(VerificationFailed):
                await hub.checkpoint()


# --- History ----------------------------------------------------------------------------


async def test_a_rewritten_history_is_a_fork_and_the_old_checkpoint_is_kept(
    fake, sender, profiles, letter
):
    first = await sender.submit(letter, [], ["H29.7"])
    before = kept(profiles["H29.3"])
    event = parse_leaf(fake.log.leaves[0])
    fields = {slot: getattr(event, slot) for slot in event.__slots__}
    fake.log.rewrite(0, encode_leaf(type(event)(**(fields | {"nonce": bytes(16)}))))

    with pytest.raises(ForkDetected) as caught:
        await sender.submit(letter, [], ["H29.7"])

    assert caught.value.step == "consistency"
    assert kept(profiles["H29.3"]) == before
    assert caught.value.kept == before[1]
    [written] = (profiles["H29.3"].state / "checkpoints").glob("contradiction-*.json")
    assert set(json.loads(written.read_bytes())) == {"kept", "shown"}
    with pytest.raises(ForkDetected):
        await sender.checkpoint()
    assert first.receipt_file.exists()


async def test_another_tree_of_the_same_size_is_a_fork(fake, sender, letter):
    await sender.submit(letter, [], ["H29.7"])
    fake.log.rewrite(0, fake.log.leaves[1])
    with pytest.raises(ForkDetected):
        await sender.checkpoint()


async def test_a_hub_that_went_back_is_found(fake, sender, letter, profiles):
    await sender.submit(letter, [], ["H29.7"])
    before = kept(profiles["H29.3"])
    fake.log.leaves.pop()
    with pytest.raises(ForkDetected):
        await sender.checkpoint()
    assert kept(profiles["H29.3"]) == before


async def test_a_wrong_consistency_proof_is_not_believed(fake, sender, letter, profiles):
    await sender.submit(letter, [], ["H29.7"])
    before = kept(profiles["H29.3"])

    def lie(response):
        del response.hashes[-1]

    fake.answer_next("GetConsistencyProof", lie)
    with pytest.raises(ForkDetected):
        await sender.submit(letter, [], ["H29.7"])
    assert kept(profiles["H29.3"]) == before
    [result] = await sender.resume()
    assert result.answer is not None


async def test_an_older_receipt_is_proven_the_other_way_round(
    fake, sender, recipient, letter, profiles
):
    first = await sender.submit(letter, [], ["H29.7"])
    await sender.submit(letter, [], ["H29.7"])
    largest = kept(profiles["H29.3"])

    again = await sender.submission(first.request_id)

    assert again.receipt == first.receipt
    assert kept(profiles["H29.3"]) == largest
    request = fake.received["GetConsistencyProof"][-1]
    assert request.old_size == first.fact.checkpoint.size
    assert request.new_size == largest[0].size


async def test_the_largest_checkpoint_outlives_the_client(fake, profiles, letter, policy):
    async with HubClient.open(profiles["H29.3"], policy=policy) as hub:
        await hub.submit(letter, [], ["H29.7"])
    fake.log.rewrite(0, fake.log.leaves[1])
    async with HubClient.open(profiles["H29.3"], policy=policy) as hub:
        with pytest.raises(ForkDetected):
            await hub.checkpoint()


# --- The inbox --------------------------------------------------------------------------


@pytest.mark.parametrize("found", [1, 3, 9])
async def test_a_gap_or_a_double_in_the_watched_inbox_is_found(
    fake, sender, recipient, letter, found
):
    for _ in range(2):
        await sender.submit(letter, [], ["H29.7"])

    def lie(response):
        response.item.inbox_seq = found

    fake.answer_next("WatchInbox", lambda response: None)
    fake.answer_next("WatchInbox", lie)
    watch = recipient.watch_inbox()
    await anext(watch)
    with pytest.raises(InboxGap) as caught:
        await anext(watch)
    assert (caught.value.after, caught.value.found) == (1, found)


async def test_a_gap_in_a_page_of_the_inbox_is_found(fake, sender, recipient, letter):
    for _ in range(3):
        await sender.submit(letter, [], ["H29.7"])

    def lie(response):
        del response.items[1]

    fake.answer_next("ListInbox", lie)
    with pytest.raises(InboxGap, match="number 3 after number 1"):
        [item async for item in recipient.inbox()]


# --- What is handed over ----------------------------------------------------------------


def other_payload(response):
    envelope = response.document.envelope
    envelope.payload = envelope.payload.replace(b"H29.7", b"H29.8")


def other_signature(response):
    envelope = response.document.envelope
    envelope.signature = flip(envelope.signature)


def other_key(response):
    response.document.envelope.key_id = "00" * 32


def other_certificate(response):
    enrolment = response.document.sender_enrolment
    enrolment.certificate = flip(enrolment.certificate)


def no_certificate(response):
    response.document.sender_enrolment.certificate = b""


def other_enrolment(response):
    response.document.sender_enrolment.receipt.CopyFrom(response.document.submission)


def broken_enrolment(response):
    receipt = response.document.sender_enrolment.receipt
    receipt.leaf = flip(receipt.leaf, 20)


def broken_submission(response):
    receipt = response.document.submission
    receipt.leaf = flip(receipt.leaf, 20)


def handover_as_submission(response):
    response.document.submission.CopyFrom(response.acceptance.receipt)


def no_document(response):
    response.ClearField("document")


@pytest.mark.parametrize(
    ("lie", "step"),
    [
        (other_payload, "fact"),
        (other_signature, "fact"),
        (other_key, "fact"),
        (other_certificate, "enrolment"),
        (no_certificate, "enrolment"),
        (other_enrolment, "enrolment"),
        (broken_enrolment, "inclusion"),
        (broken_submission, "inclusion"),
        (handover_as_submission, "fact"),
        (no_document, "proof"),
    ],
)
async def test_a_document_that_is_not_what_the_sender_signed_is_refused(
    fake, sender, recipient, letter, lie, step
):
    digest = await collectable(sender, recipient, letter)
    fake.answer_next("CollectDocument", lie)
    with pytest.raises(VerificationFailed) as caught:
        await recipient.collect(digest)
    assert caught.value.step == step

    [result] = await recipient.resume()
    assert result.answer.sender == "H29.3"


async def test_another_document_than_the_one_asked_for_is_refused(fake, sender, recipient, letter):
    first = await collectable(sender, recipient, letter)
    await recipient.collect(first)
    await sender.submit(letter, [], ["H29.7"])
    other = [item async for item in recipient.inbox()][1].envelope_digest
    fake_answer = []
    fake.answer_next("CollectDocument", fake_answer.append)
    await recipient.collect(other)

    def swap(response):
        response.document.CopyFrom(fake_answer[0].document)

    fake.answer_next("CollectDocument", swap)
    with pytest.raises(VerificationFailed):
        await recipient.collect(first)


async def test_a_signature_by_a_key_the_sender_never_held_is_refused(
    fake, sender, recipient, letter
):
    # The hub itself accepts a bad signature: only the recipient's own check finds it.
    agency = fake._exchanges.agencies["H29.3"]
    agency.keys = {
        key_id: type(key)(ForgivingKey(key.public), key.certificate, key.position)
        for key_id, key in agency.keys.items()
    }
    sender._speaker._signer = ForgetfulSigner(sender._speaker._signer.key_id)
    digest = await collectable(sender, recipient, letter)
    with pytest.raises(VerificationFailed) as caught:
        await recipient.collect(digest)
    assert caught.value.step == "signature"


class ForgivingKey:
    def __init__(self, public):
        self.algorithm = public.algorithm

    def verify(self, message, signature):
        pass


class ForgetfulSigner:
    def __init__(self, key_id):
        self.key_id = key_id

    def sign(self, message):
        return bytes(64)


# --- Content ----------------------------------------------------------------------------


async def test_content_that_does_not_hash_to_the_envelope_is_refused_and_forgotten(
    fake, sender, recipient, letter, attachments, tmp_path
):
    digest = await collectable(sender, recipient, letter, attachments)
    document = await recipient.collect(digest)

    def lie(response):
        response.data = flip(response.data)

    fake.answer_next("DownloadAttachment", lie)
    with pytest.raises(VerificationFailed, match="does not hash") as caught:
        await recipient.download(document, tmp_path / "in")
    assert caught.value.step == "content"
    assert list((tmp_path / "in").iterdir()) == []

    paths = await recipient.download(document, tmp_path / "in")
    assert [path.read_bytes() for path in paths] == [item.content for item in attachments]


def too_long(response):
    response.data = response.data * 5


def too_short(response):
    response.data = response.data[:-1]


@pytest.mark.parametrize("lie", [too_long, too_short])
async def test_content_of_another_size_is_refused(
    fake, sender, recipient, letter, attachments, tmp_path, lie
):
    digest = await collectable(sender, recipient, letter, attachments)
    document = await recipient.collect(digest)
    fake.answer_next("DownloadAttachment", lie)
    with pytest.raises(VerificationFailed, match="signed"):
        await recipient.download(document, tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []
