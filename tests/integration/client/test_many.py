"""Many documents at once: each by itself, in few messages, with nothing lost or doubled."""

from __future__ import annotations

import asyncio
import hashlib

import grpc
import pytest

from hub.client import (
    Accepted,
    AttachmentDraft,
    HubClient,
    HubUnreachable,
    RetryPolicy,
    Submission,
    SyncHubClient,
)
from hub.client.errors import JournalFull, UnexpectedAnswer
from hub.errors import (
    AgencySuspended,
    AgencyUnknown,
    DigestMismatch,
    LogFrozen,
    RecipientUnknown,
    SecretDocument,
    StatementMalformed,
    VerificationFailed,
)
from hub.proof.evidence import parse_receipt_file
from hub.proof.statements import read_statement

MIB = 1024**2


@pytest.fixture
def one(letter):
    return Submission(letter, [], ["H29.7"])


async def numbers(recipient):
    return [item.inbox_seq async for item in recipient.inbox()]


def envelopes(fake):
    """Every envelope that was sent in batches, message by message."""
    return [
        [document.envelope for document in request.documents]
        for request in fake.received["SubmitDocuments"]
    ]


async def test_every_document_of_a_batch_gets_its_own_verified_answer(
    fake, sender, recipient, letter, attachments
):
    batch = [Submission(letter, attachments, ["H29.7"], sender_seq=n) for n in range(1, 6)]
    results = await sender.submit_many(batch)

    assert [type(result) for result in results] == [Accepted] * 5
    said = [read_statement(result.statement).sender_seq for result in results]
    assert said == [1, 2, 3, 4, 5]
    for result in results:
        assert parse_receipt_file(result.receipt_file.read_bytes()).statement == result.statement
    assert len(fake.received["SubmitDocuments"]) == 1
    assert not fake.received["SubmitDocument"]
    assert await numbers(recipient) == [1, 2, 3, 4, 5]
    assert await sender.resume() == []


async def test_nothing_to_send_sends_nothing(fake, sender):
    assert await sender.submit_many([]) == []
    assert not fake.received


async def test_one_failure_does_not_touch_the_others(fake, sender, recipient, letter, one):
    secret = type(letter)(
        **{name: getattr(letter, name) for name in letter.__slots__} | {"secrecy": "mat"}
    )
    results = await sender.submit_many(
        [
            one,
            Submission(letter, [], ["H99"]),
            Submission(letter, [], []),
            Submission(secret, [], ["H29.7"]),
            one,
        ]
    )

    kinds = [Accepted, RecipientUnknown, StatementMalformed, SecretDocument, Accepted]
    assert [type(result) for result in results] == kinds
    assert results[1].metadata["recipients"] == "H99"
    assert [len(batch) for batch in envelopes(fake)] == [3]
    assert await numbers(recipient) == [1, 2]
    assert await sender.resume() == []


async def test_a_message_has_at_most_a_hundred_documents(fake, sender, one):
    results = await sender.submit_many([one] * 205)
    assert all(isinstance(result, Accepted) for result in results)
    assert len({result.position for result in results}) == 205
    assert [len(batch) for batch in envelopes(fake)] == [100, 100, 5]


async def test_a_message_has_at_most_twelve_mebibytes(fake, sender, letter):
    large = [AttachmentDraft.from_bytes("a.bin", bytes(3 * MIB))]
    results = await sender.submit_many([Submission(letter, large, ["H29.7"])] * 5)
    assert all(isinstance(result, Accepted) for result in results)
    assert [len(batch) for batch in envelopes(fake)] == [3, 2]
    sizes = [request.ByteSize() for request in fake.received["SubmitDocuments"]]
    assert max(sizes) < 12 * MIB


@pytest.mark.parametrize("reason", ["OVERLOADED", "RECEIPT_DELAYED", "UNAVAILABLE"])
@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept"])
async def test_what_is_refused_for_the_moment_is_sent_again_alone_with_the_same_bytes(
    fake, sender, recipient, one, pauses, reason, kept
):
    fake.fail_next("SubmitDocument", reason, kept=kept, retry_after_s=7.5)

    results = await sender.submit_many([one, one, one])

    assert [type(result) for result in results] == [Accepted] * 3
    [alone] = fake.received["SubmitDocument"]
    assert alone.envelope == envelopes(fake)[0][0]
    assert pauses[0] >= 7.5
    assert sorted(await numbers(recipient)) == [1, 2, 3]
    assert await sender.resume() == []


async def test_a_lost_answer_to_a_batch_is_asked_for_again_with_the_very_same_bytes(
    fake, sender, recipient, one
):
    fake.fail_next("SubmitDocuments", grpc.StatusCode.UNAVAILABLE, kept=True)
    results = await sender.submit_many([one, one])
    assert [type(result) for result in results] == [Accepted] * 2
    first, second = fake.received["SubmitDocuments"]
    assert first.SerializeToString() == second.SerializeToString()
    assert await numbers(recipient) == [1, 2]


@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept"])
async def test_without_an_answer_all_wait_for_resume_and_the_rest_is_not_tried(
    fake, sender, recipient, one, kept, monkeypatch
):
    monkeypatch.setattr("hub.client.speaking.BATCH_MAX", 2)
    for _ in range(4):
        fake.fail_next("SubmitDocuments", grpc.StatusCode.UNAVAILABLE, kept=kept)

    results = await sender.submit_many([one] * 5)

    assert [type(result) for result in results] == [HubUnreachable] * 5
    assert len(envelopes(fake)) == 4
    resumed = await sender.resume()
    assert [done.request_id for done in resumed] == [lost.request_id for lost in results]
    assert all(isinstance(done.answer, Accepted) for done in resumed)
    assert sorted(await numbers(recipient)) == [1, 2, 3, 4, 5]


async def test_a_client_that_died_in_a_batch_repeats_all_that_it_had_signed(
    fake, profiles, policy, one
):
    class Died(BaseException):
        pass

    async def die(_seconds):
        raise Died

    dying = type(policy)(attempts_max=4, sleep=die)
    fake.fail_next("SubmitDocuments", grpc.StatusCode.UNAVAILABLE, kept=True)
    with pytest.raises(Died):
        async with HubClient.open(profiles["H29.3"], policy=dying) as hub:
            await hub.submit_many([one, one, one])

    async with HubClient.open(profiles["H29.3"], policy=policy) as hub:
        assert len(await hub.resume()) == 3
    again = [request.envelope for request in fake.received["SubmitDocument"]]
    assert again == envelopes(fake)[0]


async def test_a_refusal_of_the_whole_batch_says_nothing_about_its_documents(fake, sender, one):
    fake.fail_next("SubmitDocuments", "TOO_LARGE")
    results = await sender.submit_many([one, one])
    assert [type(result) for result in results] == [Accepted] * 2
    assert len(fake.received["SubmitDocument"]) == 2

    fake.fail_next("SubmitDocuments", grpc.StatusCode.INTERNAL, kept=True)
    results = await sender.submit_many([one])
    assert [type(result) for result in results] == [Accepted]

    fake.fail_next("SubmitDocuments", "LOG_FROZEN")
    results = await sender.submit_many([one, one])
    assert [type(result) for result in results] == [LogFrozen] * 2
    assert len(await sender.resume()) == 2


async def test_a_refusal_that_says_nothing_about_the_document_leaves_it_pending(fake, sender, one):
    fake.fail_next("SubmitDocument", "LOG_FROZEN")
    fake.fail_next("SubmitDocument", grpc.StatusCode.INTERNAL)
    frozen, unexpected, accepted = await sender.submit_many([one, one, one])
    assert isinstance(frozen, LogFrozen)
    assert isinstance(unexpected, UnexpectedAnswer)
    assert isinstance(accepted, Accepted)
    assert len(await sender.resume()) == 2


async def test_when_the_hub_goes_away_in_between_the_rest_is_not_tried(fake, sender, one):
    for _ in range(3):
        fake.fail_next("SubmitDocument", "OVERLOADED")
    for _ in range(4):
        fake.fail_next("SubmitDocument", grpc.StatusCode.UNAVAILABLE)
    results = await sender.submit_many([one, one, one])
    assert [type(result) for result in results] == [HubUnreachable] * 3
    assert len({result.request_id for result in results}) == 3
    assert len(fake.received["SubmitDocument"]) == 4
    assert len(await sender.resume()) == 3


async def test_what_the_journal_has_no_room_for_is_not_sent(fake, sender, one, monkeypatch):
    monkeypatch.setattr("hub.client.journal.PENDING_MAX", 2)
    results = await sender.submit_many([one, one, one])
    assert [type(result) for result in results] == [Accepted, Accepted, JournalFull]
    assert [len(batch) for batch in envelopes(fake)] == [2]


async def test_content_that_was_damaged_meanwhile_holds_up_nothing_else(
    fake, sender, letter, one, monkeypatch, profiles
):
    send = sender._speaker._settle_batch

    async def damage(batch, progress):
        for path in (profiles["H29.3"].state / "contents").iterdir():
            path.write_bytes(b"xyz")
        return await send(batch, progress)

    monkeypatch.setattr(sender._speaker, "_settle_batch", damage)
    with_content = Submission(letter, [AttachmentDraft.from_bytes("a.txt", b"abc")], ["H29.7"])
    damaged, accepted = await sender.submit_many([with_content, one])
    assert "not the content that was signed" in str(damaged)
    assert isinstance(accepted, Accepted)


@pytest.fixture
def large(tmp_path, letter):
    """A document with two files of which the larger is uploaded first."""
    path = tmp_path / "bản đồ.bin"
    path.write_bytes(bytes(range(256)) * (4 * MIB // 256) + b"end")
    drafts = [AttachmentDraft.from_bytes("a.txt", b"abc"), AttachmentDraft.from_file(path)]
    return Submission(letter, drafts, ["H29.7"])


async def test_what_must_be_uploaded_goes_by_itself_in_its_turn(
    fake, sender, recipient, one, large, tmp_path
):
    told = []

    results = await sender.submit_many(
        [one, one, large, one, large], lambda *each: told.append(each)
    )

    assert [type(result) for result in results] == [Accepted] * 5
    assert [len(batch) for batch in envelopes(fake)] == [2, 1]
    assert [bool(text) for each in fake.received["SubmitDocument"] for text in each.upload_ids] == [
        False,
        True,
    ] * 2
    positions = [result.position for result in results]
    assert positions == sorted(positions)
    assert told[-1] == ("bản đồ.bin", 4 * MIB + 3, 4 * MIB + 3)
    assert await numbers(recipient) == [1, 2, 3, 4, 5]
    for result in (results[2], results[4]):
        document = await recipient.collect(result.statement.digest.hex())
        paths = await recipient.download(document, tmp_path / result.exchange_id)
        contents = [draft.described.sha256 for draft in large.attachments]
        assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == contents
    assert await sender.resume() == []


async def test_a_refused_upload_settles_its_own_document_and_no_other(
    fake, sender, recipient, one, large
):
    fake.fail_next("BeginUpload", "AGENCY_SUSPENDED")

    results = await sender.submit_many([one, large, one])

    assert [type(result) for result in results] == [Accepted, AgencySuspended, Accepted]
    assert await numbers(recipient) == [1, 2]
    assert await sender.resume() == []


async def test_a_line_that_breaks_in_an_upload_leaves_the_rest_to_resume(
    fake, sender, recipient, one, large
):
    for _ in range(4):
        fake.fail_next("UploadContent", grpc.StatusCode.UNAVAILABLE)

    results = await sender.submit_many([one, large, one])

    assert [type(result) for result in results] == [Accepted, HubUnreachable, HubUnreachable]
    assert [result.error for result in await sender.resume()] == [None, None]
    assert await numbers(recipient) == [1, 2, 3]


async def test_a_file_that_changed_before_it_was_copied_holds_up_nothing_else(
    fake, sender, recipient, one, large, tmp_path
):
    (tmp_path / "bản đồ.bin").write_bytes(bytes(4 * MIB + 3))

    results = await sender.submit_many([large, one])

    assert [type(result) for result in results] == [DigestMismatch, Accepted]
    assert not fake.received["BeginUpload"]
    assert await sender.resume() == []


async def test_resume_leaves_a_batch_on_its_way_alone_and_finds_it_when_cancelled(
    fake, sender, recipient, one
):
    entered, for_ever = asyncio.Event(), asyncio.Event()

    async def wait(_seconds):
        entered.set()
        await for_ever.wait()

    sender._line.policy = RetryPolicy(sleep=wait)
    fake.fail_next("SubmitDocuments", "OVERLOADED")
    call = asyncio.create_task(sender.submit_many([one, one]))
    await entered.wait()
    assert await sender.resume() == []
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(await sender.resume()) == 2
    assert await numbers(recipient) == [1, 2]


async def test_two_resumes_at_once_send_nothing_twice(fake, sender, letter):
    attachment = AttachmentDraft.from_bytes("a.txt", b"abc")
    fake.fail_next("SubmitDocuments", "LOG_FROZEN")
    await sender.submit_many([Submission(letter, [attachment], ["H29.7"])] * 5)
    first, second = await asyncio.gather(sender.resume(), sender.resume())
    assert len(first) + len(second) == 5
    assert all(done.answer is not None for done in first + second)
    assert len(fake.received["SubmitDocument"]) == 5


# --- A hub that lies --------------------------------------------------------------------


def swap(response):
    first, second, *rest = list(response.results)
    del response.results[:]
    response.results.extend([second, first, *rest])


async def test_a_batch_answered_in_another_order_is_found(fake, sender, recipient, one):
    fake.answer_next("SubmitDocuments", swap)
    results = await sender.submit_many([one, one, one])

    assert [type(result) for result in results] == [
        VerificationFailed,
        VerificationFailed,
        Accepted,
    ]
    assert results[0].step == "fact"
    resumed = await sender.resume()
    assert all(isinstance(done.answer, Accepted) for done in resumed)
    assert await numbers(recipient) == [1, 2, 3]


async def test_a_refusal_in_the_place_of_an_acceptance_settles_nothing(
    fake, sender, recipient, letter, one
):
    fake.answer_next("SubmitDocuments", swap)
    accepted, refused = await sender.submit_many([one, Submission(letter, [], ["H99"])])

    # The refusal was shown for the first document; asked by itself, the truth comes out.
    assert isinstance(accepted, Accepted)
    assert isinstance(refused, VerificationFailed)
    [result] = await sender.resume()
    assert isinstance(result.error, RecipientUnknown)
    assert await numbers(recipient) == [1]


def too_few(response):
    del response.results[-1]


def too_many(response):
    response.results.append(response.results[0])


@pytest.mark.parametrize("lie", [too_few, too_many])
async def test_another_number_of_results_than_documents_settles_nothing_by_itself(
    fake, sender, recipient, one, lie
):
    fake.answer_next("SubmitDocuments", lie)
    results = await sender.submit_many([one, one])
    assert [type(result) for result in results] == [Accepted] * 2
    assert len(fake.received["SubmitDocument"]) == 2
    assert await numbers(recipient) == [1, 2]


async def test_a_result_that_says_nothing_leaves_its_document_pending(fake, sender, one):
    def lie(response):
        response.results[0].Clear()

    fake.answer_next("SubmitDocuments", lie)
    nothing, accepted = await sender.submit_many([one, one])
    assert isinstance(nothing, UnexpectedAnswer)
    assert isinstance(accepted, Accepted)
    [result] = await sender.resume()
    assert result.answer is not None


def test_the_blocking_client_sends_many_too(profiles, policy, one):
    with SyncHubClient(profiles["H29.3"], policy=policy) as hub:
        assert [type(result) for result in hub.submit_many([one, one])] == [Accepted] * 2


async def test_the_fake_hub_shows_nobody_the_boxes_of_another(sender, recipient):
    for read in (sender.inbox, sender.outbox, sender.watch_inbox, sender.watch_outbox):
        with pytest.raises(AgencyUnknown):
            await anext(read(agency="H-OTHER"))
    for search in (sender.received, sender.sent):
        with pytest.raises(AgencyUnknown):
            await anext(search(agency="H-OTHER"))
    own = [item async for item in sender.inbox(agency=sender._agency)]
    assert own == []
