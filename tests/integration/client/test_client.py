"""An agency does its work against the fake hub, over mutual TLS on loopback."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from hub.client import ClientProfile, HubClient, HubUnreachable, RetryPolicy, SyncHubClient
from hub.client.answers import DeliveryState
from hub.client.errors import StateInUse, UnexpectedAnswer
from hub.client.memory import CheckpointMemory
from hub.client.testing import FakeHub
from hub.errors import (
    AgencyMismatch,
    DigestMismatch,
    ExchangeUnknown,
    KeyUnknown,
    LogFrozen,
    RecipientUnknown,
    RequestIdReused,
    RequestUnknown,
    SignatureInvalid,
    StatementMalformed,
)
from hub.proof.evidence import examine, parse_receipt_file
from hub.proof.findings import Verdict
from hub.proof.signatures import Algorithm
from hub.proof.trust import parse_trusted_root


async def first_item(hub, after=0):
    async for item in hub.inbox(after):
        return item
    return None


async def test_a_document_goes_from_sender_to_recipient_with_proof_at_every_step(
    sender, recipient, letter, attachments, tmp_path
):
    accepted = await sender.submit(letter, attachments, ["H29.7"])

    item = await first_item(recipient)
    assert (item.inbox_seq, item.sender, item.code) == (1, "H29.3", "125/UBND-VP")
    assert item.exchange_id == accepted.exchange_id
    document = await recipient.collect(item.envelope_digest)
    assert document.sender == "H29.3"
    assert document.document.subject == letter.subject
    paths = await recipient.download(document, tmp_path / "in")
    assert [path.read_bytes() for path in paths] == [item.content for item in attachments]
    status = await recipient.report_status(item.envelope_digest, "01")
    assert status.exchange_id == accepted.exchange_id

    seen = await sender.exchange(accepted.exchange_id)
    assert [delivery.state for delivery in seen.deliveries] == [DeliveryState.ARRIVED]


async def test_every_receipt_file_stands_without_the_hub(
    fake, sender, recipient, letter, attachments
):
    accepted = await sender.submit(letter, attachments, ["H29.7"])
    document = await recipient.collect((await first_item(recipient)).envelope_digest)

    trust = fake.log.trusted_root()
    for answer in (accepted, document.handover, document):
        assert answer.receipt_file.read_bytes() == answer.evidence()
        findings = examine(answer.evidence(), trust)
        assert Verdict.REFUTED not in {finding.verdict for finding in findings.items}
    assert parse_receipt_file(document.evidence()).enrolment is not None


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_every_algorithm_signs_what_the_hub_and_the_recipient_accept(
    fake, recipient, letter, algorithm, policy
):
    profile = fake.enrol("H30", algorithm=algorithm)
    async with HubClient.open(profile, policy=policy) as hub:
        await hub.submit(letter, [], ["H29.7"])
    document = await recipient.collect((await first_item(recipient)).envelope_digest)
    assert document.sender == "H30"


async def test_a_lost_answer_is_asked_for_again_with_the_very_same_bytes(
    fake, sender, letter, attachments, pauses
):
    fake.fail_next("SubmitDocument", grpc.StatusCode.UNAVAILABLE, kept=True)
    fake.fail_next("SubmitDocument", "RECEIPT_DELAYED", kept=True)
    fake.fail_next("SubmitDocument", "OVERLOADED", retry_after_s=7.5)

    await sender.submit(letter, attachments, ["H29.7"])

    requests = [request.SerializeToString() for request in fake.received["SubmitDocument"]]
    assert len(requests) == 4
    assert len(set(requests)) == 1
    assert len(pauses) == 3
    assert pauses[2] >= 7.5
    assert [item async for item in sender.inbox()] == []


async def test_a_refusal_is_never_repeated_and_settles_the_statement(fake, sender, letter):
    with pytest.raises(RecipientUnknown, match="H99") as caught:
        await sender.submit(letter, [], ["H99"])

    assert caught.value.metadata["recipients"] == "H99"
    assert len(fake.received["SubmitDocument"]) == 1
    assert await sender.resume() == []


@pytest.mark.parametrize(
    "reason", ["DIGEST_MISMATCH", "SIGNATURE_INVALID", "KEY_UNKNOWN", "REQUEST_ID_REUSED"]
)
async def test_each_refusal_arrives_as_its_own_class(fake, sender, letter, reason):
    kinds = {
        "DIGEST_MISMATCH": DigestMismatch,
        "SIGNATURE_INVALID": SignatureInvalid,
        "KEY_UNKNOWN": KeyUnknown,
        "REQUEST_ID_REUSED": RequestIdReused,
    }
    fake.fail_next("SubmitDocument", reason)
    with pytest.raises(kinds[reason]):
        await sender.submit(letter, [], ["H29.7"])


@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept"])
async def test_after_the_last_attempt_the_statement_waits_for_resume(
    fake, sender, recipient, letter, attachments, kept
):
    for _ in range(4):
        fake.fail_next("SubmitDocument", grpc.StatusCode.UNAVAILABLE, kept=kept)
    with pytest.raises(HubUnreachable) as caught:
        await sender.submit(letter, attachments, ["H29.7"])

    [result] = await sender.resume()

    assert result.request_id == caught.value.request_id
    assert result.answer.warnings == ()
    assert [item.inbox_seq async for item in recipient.inbox()] == [1]
    requests = {request.SerializeToString() for request in fake.received["SubmitDocument"]}
    assert len(requests) == 1
    assert await sender.resume() == []


async def test_a_client_that_died_repeats_what_it_had_signed(fake, profiles, letter, policy):
    class Died(BaseException):
        pass

    async def die(_seconds):
        raise Died

    dying = type(policy)(attempts_max=4, sleep=die)
    fake.fail_next("SubmitDocument", grpc.StatusCode.UNAVAILABLE, kept=True)
    with pytest.raises(Died):
        async with HubClient.open(profiles["H29.3"], policy=dying) as hub:
            await hub.submit(letter, [], ["H29.7"])

    async with HubClient.open(profiles["H29.3"], policy=policy) as hub:
        [result] = await hub.resume()
        assert (await hub.submission(result.request_id)).position == result.answer.position
    first, second = fake.received["SubmitDocument"]
    assert first.SerializeToString() == second.SerializeToString()


async def test_a_collect_that_lost_its_answer_is_resumed_to_the_document(
    fake, sender, recipient, letter
):
    await sender.submit(letter, [], ["H29.7"])
    item = await first_item(recipient)
    for _ in range(4):
        fake.fail_next("CollectDocument", grpc.StatusCode.UNAVAILABLE, kept=True)
    with pytest.raises(HubUnreachable):
        await recipient.collect(item.envelope_digest)

    [result] = await recipient.resume()

    assert result.answer.document.subject == letter.subject


@pytest.mark.parametrize("reason", ["LOG_FROZEN", "PRINCIPAL_UNKNOWN"])
async def test_a_refusal_that_says_nothing_about_the_statement_leaves_it_pending(
    fake, sender, letter, reason
):
    fake.fail_next("SubmitDocument", reason)
    with pytest.raises(Exception, match="injected"):
        await sender.submit(letter, [], ["H29.7"])
    [result] = await sender.resume()
    assert result.answer is not None


async def test_a_bare_internal_error_is_an_unexpected_answer_and_leaves_it_pending(
    fake, sender, letter
):
    fake.fail_next("SubmitDocument", grpc.StatusCode.INTERNAL, kept=True)
    with pytest.raises(UnexpectedAnswer, match="INTERNAL"):
        await sender.submit(letter, [], ["H29.7"])
    [result] = await sender.resume()
    assert result.answer is not None


async def test_resume_reports_a_refusal_and_goes_on_with_the_rest(fake, sender, letter):
    for _ in range(2):
        fake.fail_next("SubmitDocument", "LOG_FROZEN")
        with pytest.raises(LogFrozen):
            await sender.submit(letter, [], ["H29.7"])
    fake.fail_next("SubmitDocument", "KEY_EXPIRED")

    refused, accepted = await sender.resume()

    assert refused.error.reason == "KEY_EXPIRED"
    assert accepted.answer is not None
    assert await sender.resume() == []


async def test_a_bad_draft_is_refused_before_anything_is_sent(fake, sender, letter):
    with pytest.raises(StatementMalformed, match="recipients") as caught:
        await sender.submit(letter, [], ["H29.3"])
    assert caught.value.metadata["field"] == "recipients"
    assert not fake.received


async def test_the_inbox_is_read_over_all_pages(fake, sender, recipient, letter, monkeypatch):
    monkeypatch.setattr("hub.client.boxes.PAGE_SIZE", 2)
    for _ in range(5):
        await sender.submit(letter, [], ["H29.7"])
    assert [item.inbox_seq async for item in recipient.inbox()] == [1, 2, 3, 4, 5]
    assert [item.inbox_seq async for item in recipient.inbox(3)] == [4, 5]
    assert len(fake.received["ListInbox"]) == 4


async def test_a_watch_goes_on_after_every_break_without_missing_or_doubling(
    fake, sender, recipient, letter
):
    for _ in range(5):
        await sender.submit(letter, [], ["H29.7"])
    fake.fail_next("WatchInbox", grpc.StatusCode.UNAVAILABLE, after=2)
    fake.fail_next("WatchInbox", grpc.StatusCode.UNAVAILABLE)
    fake.fail_next("WatchInbox", grpc.StatusCode.DEADLINE_EXCEEDED, after=1)

    seen = []
    watch = recipient.watch_inbox()
    async for item in watch:
        seen.append(item.inbox_seq)
        if len(seen) == 5:
            break
    await watch.aclose()

    assert seen == [1, 2, 3, 4, 5]
    assert [request.after for request in fake.received["WatchInbox"]] == [0, 2, 2, 3]


async def test_a_watch_sees_what_comes_later(sender, recipient, letter):
    watch = recipient.watch_inbox()
    await sender.submit(letter, [], ["H29.7"])
    assert (await anext(watch)).inbox_seq == 1
    await sender.submit(letter, [], ["H29.7"])
    assert (await anext(watch)).inbox_seq == 2
    await watch.aclose()


async def test_a_watch_ends_with_the_refusal_of_the_hub(fake, recipient):
    fake.fail_next("WatchInbox", "PRINCIPAL_UNKNOWN")
    with pytest.raises(Exception, match="injected"):
        await anext(recipient.watch_inbox())


async def test_unknown_things_are_refused_by_name(sender):
    with pytest.raises(ExchangeUnknown):
        await sender.exchange("9f0c1b9e-98a6-4f7b-9c61-3a4f4c7f0a11")
    with pytest.raises(ExchangeUnknown):
        await sender.collect("ab" * 32)
    with pytest.raises(RequestUnknown):
        await sender.submission("9f0c1b9e-98a6-4f7b-9c61-3a4f4c7f0a11")


async def test_the_newest_checkpoint_is_verified_and_remembered(fake, sender, letter):
    await sender.submit(letter, [], ["H29.7"])
    checkpoint = await sender.checkpoint()
    assert checkpoint.size == fake.log.size


async def test_two_clients_do_not_share_a_state_directory(sender, profiles):
    with pytest.raises(StateInUse):
        async with HubClient.open(profiles["H29.3"]):
            pass


async def test_a_certificate_of_another_authority_never_reaches_the_hub(
    fake, profiles, policy, tmp_path
):
    with FakeHub(tmp_path / "other") as other:
        other.enrol("H29.3")
    stranger = tmp_path / "other" / "H29.3"
    home = tmp_path / "H29.3"
    for name in ("transport.pem", "transport-key.pem"):
        (home / name).write_bytes((stranger / name).read_bytes())
    async with HubClient.open(profiles["H29.3"], policy=policy) as hub:
        with pytest.raises(HubUnreachable):
            await hub.checkpoint()
    assert not fake.received


async def test_a_statement_for_another_agency_is_refused(fake, profiles, policy, letter, tmp_path):
    home, other = tmp_path / "H29.3", tmp_path / "H29.7"
    for name in ("transport.pem", "transport-key.pem"):
        (home / name).write_bytes((other / name).read_bytes())
    async with HubClient.open(profiles["H29.3"], policy=policy) as hub:
        with pytest.raises(AgencyMismatch):
            await hub.submit(letter, [], ["H29.7"])


async def test_many_calls_at_once_are_each_answered_and_numbered(
    fake, sender, recipient, letter, profiles
):
    answers = await asyncio.gather(*[sender.submit(letter, [], ["H29.7"]) for _ in range(30)])

    assert len({answer.position for answer in answers}) == 30
    assert [item.inbox_seq async for item in recipient.inbox()] == list(range(1, 31))
    largest = max(answer.fact.checkpoint.size for answer in answers)
    memory = CheckpointMemory(profiles["H29.3"].state / "checkpoints")
    assert memory.largest(fake.log.origin)[0].size == largest


async def test_a_cancelled_call_leaves_its_statement_pending(fake, sender, letter, pauses):
    entered, for_ever = asyncio.Event(), asyncio.Event()

    async def wait(_seconds):
        entered.set()
        await for_ever.wait()

    sender._line.policy = RetryPolicy(sleep=wait)
    fake.fail_next("SubmitDocument", "OVERLOADED")
    call = asyncio.create_task(sender.submit(letter, [], ["H29.7"]))
    await entered.wait()
    assert await sender.resume() == []  # It is on its way already.
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    [result] = await sender.resume()
    assert result.answer is not None


def test_the_blocking_client_does_the_same(fake, profiles, policy, letter, attachments, tmp_path):
    with SyncHubClient(profiles["H29.3"], policy=policy) as hub:
        accepted = hub.submit(letter, attachments, ["H29.7"])
        assert hub.submission(accepted.request_id).position == accepted.position
        assert hub.checkpoint().size == fake.log.size
        assert hub.resume() == []
    with SyncHubClient(profiles["H29.7"], policy=policy) as hub:
        [item] = hub.inbox()
        watch = hub.watch_inbox()
        assert next(watch) == item
        watch.close()
        document = hub.collect(item.envelope_digest)
        assert [path.name for path in hub.download(document, tmp_path / "in")] == [
            "công văn.pdf",
            "phụ lục.txt",
        ]
        hub.report_status(item.envelope_digest, "02", "Sai nơi nhận")
        assert hub.exchange(item.exchange_id).deliveries[0].state == DeliveryState.REFUSED


def test_the_profile_of_the_fake_hub_can_be_loaded_from_its_file(fake, profiles, tmp_path):
    loaded = ClientProfile.load(tmp_path / "H29.3" / "profile.toml")
    assert loaded == profiles["H29.3"]
    assert parse_trusted_root(loaded.trusted_root.read_bytes()) == fake.log.trusted_root()


async def test_a_document_from_the_axis_has_a_sender_that_nobody_proves(
    fake, recipient, letter, attachments, tmp_path
):
    exchange_id = fake.arrive_over_axis("G12.18", ["H29.7"], letter, attachments)

    item = await first_item(recipient)
    assert (item.exchange_id, item.sender, item.origin) == (exchange_id, "G12.18", "axis")
    document = await recipient.collect(item.envelope_digest)
    assert (document.sender, document.sender_proven) == ("G12.18", False)
    paths = await recipient.download(document, tmp_path / "in")
    assert [path.read_bytes() for path in paths] == [each.content for each in attachments]
    await recipient.report_status(item.envelope_digest, "03")
    seen = await recipient.exchange(exchange_id)
    assert [each.state for each in seen.deliveries] == [DeliveryState.ACCEPTED]
    statement = await recipient.statement(item.position)
    assert statement.enrolment is None
