"""What becomes of a document after it was sent: recall, replacement, expiry, and who said what."""

from __future__ import annotations

import grpc
import pytest

from hub.client import (
    HubUnreachable,
    InboxItemKind,
    OutboxItemKind,
    RecallState,
    SyncHubClient,
)
from hub.client.answers import DeliveryState
from hub.errors import (
    ContentWithheld,
    ExchangeUnknown,
    NotAParty,
    NotCollected,
    PositionUnknown,
    RecallAskedAlready,
    RecallNotOpen,
    RequestMalformed,
    StatementMalformed,
)
from hub.proof.envelope import Action
from hub.proof.evidence import examine, parse_receipt_file
from hub.proof.findings import Verdict
from hub.proof.statements import Collect, Envelope, Recall, RecallAnswer, Status


async def everything(items):
    return [item async for item in items]


def digest_of(accepted):
    return accepted.statement.digest.hex()


# --- Recall -----------------------------------------------------------------------------


async def test_a_recall_reaches_the_recipient_with_its_reason_and_the_answer_comes_back(
    fake, sender, recipient, letter
):
    sent = await sender.submit(letter, [], ["H29.7"])
    recalled = await sender.recall(digest_of(sent), "Sai số liệu")
    assert recalled.exchange_id == sent.exchange_id

    document, recall = await everything(recipient.inbox())
    assert (document.kind, recall.kind) == (InboxItemKind.DOCUMENT, InboxItemKind.RECALL)
    assert document.recall == recall.recall == RecallState.ASKED
    assert recall.position == recalled.position
    read = await recipient.statement(recall.position)
    assert isinstance(read.payload, Recall)
    assert (read.author, read.payload.reason) == ("H29.3", "Sai số liệu")
    # The reason is for everybody it was sent to; the envelope is not, before it is collected.
    assert read.about is None
    with pytest.raises(ContentWithheld):
        await recipient.collect(document.envelope_digest)

    await recipient.answer_recall(document.envelope_digest, agreed=True)
    [item] = await everything(sender.outbox())
    assert (item.kind, item.code, item.recipient) == (OutboxItemKind.RECALL_ANSWER, "15", "H29.7")
    answer = await sender.statement(item.position)
    assert isinstance(answer.payload, RecallAnswer)
    assert answer.author == "H29.7"
    [seen] = (await sender.exchange(sent.exchange_id)).deliveries
    assert seen.recall is RecallState.AGREED
    assert [line.subject for line in await everything(recipient.inbox())] == ["", ""]


async def test_a_refused_recall_needs_a_reason_and_releases_the_document(sender, recipient, letter):
    sent = digest_of(await sender.submit(letter, [], ["H29.7"]))
    await sender.recall(sent, "Gửi nhầm")
    with pytest.raises(StatementMalformed, match="reason"):
        await recipient.answer_recall(sent, agreed=False)

    await recipient.answer_recall(sent, False, "Đã thực hiện")

    [item] = await everything(sender.outbox())
    assert item.code == "16"
    assert (await sender.statement(item.position)).payload.reason == "Đã thực hiện"
    with pytest.raises(NotCollected):
        await recipient.statement((await recipient.exchange(item.exchange_id)).position)
    assert (await recipient.collect(sent)).document.subject == letter.subject
    recall = (await everything(recipient.inbox()))[-1]
    assert (await recipient.statement(recall.position)).about.statement.digest.hex() == sent


async def test_what_was_collected_before_the_recall_stays_until_it_is_agreed(
    sender, recipient, letter, attachments, tmp_path
):
    sent = digest_of(await sender.submit(letter, attachments, ["H29.7"]))
    document = await recipient.collect(sent)
    await sender.recall(sent, "Gửi nhầm")
    assert len(await recipient.download(document, tmp_path / "before")) == 2
    assert (await recipient.collect(sent)).exchange_id == document.exchange_id
    await recipient.answer_recall(sent, agreed=True)
    with pytest.raises(ContentWithheld):
        await recipient.download(document, tmp_path / "after")


async def test_a_recall_is_asked_once_and_answered_once(sender, recipient, letter):
    sent = digest_of(await sender.submit(letter, [], ["H29.7"]))
    with pytest.raises(RecallNotOpen):
        await recipient.answer_recall(sent, agreed=True)
    with pytest.raises(NotAParty):
        await recipient.recall(sent, "Không phải của tôi")
    await sender.recall(sent, "Gửi nhầm")
    with pytest.raises(RecallAskedAlready):
        await sender.recall(sent, "Gửi nhầm")
    with pytest.raises(NotAParty):
        await sender.answer_recall(sent, agreed=True)
    await recipient.answer_recall(sent, agreed=True)
    with pytest.raises(RecallNotOpen):
        await recipient.answer_recall(sent, False, "Không")
    assert await sender.resume() == []  # A refusal settles the statement.


@pytest.mark.parametrize("kept", [False, True], ids=["lost", "kept"])
async def test_a_recall_and_its_answer_are_repeated_byte_for_byte(
    fake, sender, recipient, letter, kept
):
    sent = digest_of(await sender.submit(letter, [], ["H29.7"]))
    for _ in range(4):
        fake.fail_next("RequestRecall", grpc.StatusCode.UNAVAILABLE, kept=kept)
        fake.fail_next("AnswerRecall", grpc.StatusCode.UNAVAILABLE, kept=kept)
    with pytest.raises(HubUnreachable):
        await sender.recall(sent, "Gửi nhầm")
    [recalled] = await sender.resume()
    with pytest.raises(HubUnreachable):
        await recipient.answer_recall(sent, agreed=True)
    [answered] = await recipient.resume()

    assert recalled.answer.exchange_id == answered.answer.exchange_id
    for method in ("RequestRecall", "AnswerRecall"):
        assert len({request.SerializeToString() for request in fake.received[method]}) == 1
    assert [item.outbox_seq for item in await everything(sender.outbox())] == [1]


async def test_the_answer_to_a_status_is_found_again_without_the_statement(
    sender, recipient, letter
):
    sent = digest_of(await sender.submit(letter, [], ["H29.7"]))
    status = await recipient.report_status(sent, "03")
    status.receipt_file.unlink()
    again = await recipient.submission(status.request_id)
    assert (again.position, again.statement) == (status.position, None)


# --- The outbox, and who said what ------------------------------------------------------


async def test_the_sender_proves_the_01_of_the_recipient(
    fake, sender, recipient, letter, attachments, tmp_path
):
    sent = await sender.submit(letter, attachments, ["H29.7"])
    fetched = await recipient.fetch(digest_of(sent), tmp_path / "in")
    assert [path.read_bytes() for path in fetched.files] == [item.content for item in attachments]
    assert fetched.document.document.subject == letter.subject

    handed_over, arrived = await everything(sender.outbox())
    assert (handed_over.kind, handed_over.code) == (OutboxItemKind.HANDED_OVER, None)
    assert (arrived.kind, arrived.code) == (OutboxItemKind.STATUS, "01")
    assert arrived.envelope_digest == digest_of(sent)
    assert arrived.position == fetched.arrived.position

    said = await sender.statement(arrived.position)
    assert isinstance(said.payload, Status)
    assert (said.author, said.payload.code, said.position) == ("H29.7", "01", arrived.position)
    assert said.about.statement == sent.statement
    for proven in (said, said.about):
        verdicts = {
            item.verdict for item in examine(proven.evidence(), fake.log.trusted_root()).items
        }
        assert Verdict.REFUTED not in verdicts
        assert parse_receipt_file(proven.evidence()).enrolment is not None
    assert isinstance((await sender.statement(handed_over.position)).payload, Collect)
    own = await recipient.statement(sent.position)
    assert isinstance(own.payload, Envelope)
    assert own.about is None


async def test_fetch_reports_nothing_where_that_is_switched_off(
    sender, recipient, letter, tmp_path
):
    sent = digest_of(await sender.submit(letter, [], ["H29.7"]))
    fetched = await recipient.fetch(sent, tmp_path / "in", arrived=False)
    assert (fetched.files, fetched.arrived) == ([], None)
    assert [item.kind for item in await everything(sender.outbox())] == [OutboxItemKind.HANDED_OVER]


async def test_fetch_reports_no_arrival_of_what_it_could_not_download(
    fake, sender, recipient, letter, attachments, tmp_path
):
    sent = digest_of(await sender.submit(letter, attachments, ["H29.7"]))
    fake.fail_next("DownloadAttachment", "CONTENT_LOST")
    with pytest.raises(Exception, match="injected"):
        await recipient.fetch(sent, tmp_path / "in")
    assert not fake.received["ReportStatus"]
    assert (await recipient.fetch(sent, tmp_path / "in")).arrived is not None


async def test_the_outbox_is_read_over_all_pages(fake, sender, recipient, letter, monkeypatch):
    monkeypatch.setattr("hub.client.boxes.PAGE_SIZE", 2)
    sent = digest_of(await sender.submit(letter, [], ["H29.7"]))
    for code in ("01", "03", "04", "05", "06"):
        await recipient.report_status(sent, code)
    assert [item.code async for item in sender.outbox()] == ["01", "03", "04", "05", "06"]
    assert [item.outbox_seq async for item in sender.outbox(3)] == [4, 5]
    assert len(fake.received["ListOutbox"]) == 4


async def test_a_watched_outbox_goes_on_after_every_break(fake, sender, recipient, letter):
    sent = digest_of(await sender.submit(letter, [], ["H29.7"]))
    for code in ("01", "03"):
        await recipient.report_status(sent, code)
    fake.fail_next("WatchOutbox", grpc.StatusCode.UNAVAILABLE, after=1)
    fake.fail_next("WatchOutbox", grpc.StatusCode.UNAVAILABLE)

    watch = sender.watch_outbox()
    seen = [await anext(watch), await anext(watch)]
    await recipient.report_status(sent, "06")
    seen.append(await anext(watch))
    await watch.aclose()

    assert [item.code for item in seen] == ["01", "03", "06"]
    assert [request.after for request in fake.received["WatchOutbox"]] == [0, 1, 1]


async def test_a_statement_of_no_concern_or_none_at_all_is_unknown(fake, sender, recipient, letter):
    fake.enrol("H30")
    sent = digest_of(await sender.submit(letter, [], ["H29.7", "H30"]))
    await recipient.report_status(sent, "01")
    with pytest.raises(PositionUnknown):
        await sender.statement(0)  # An enrolment.
    with pytest.raises(PositionUnknown):
        await sender.statement(10_000)
    with pytest.raises(RequestMalformed):
        await sender.statement(-1)


async def test_what_one_recipient_said_is_not_shown_to_another(fake, sender, recipient, letter):
    profile = fake.enrol("H30")
    sent = digest_of(await sender.submit(letter, [], ["H29.7", "H30"]))
    status = await recipient.report_status(sent, "01")
    with SyncHubClient(profile) as other, pytest.raises(PositionUnknown):
        other.statement(status.position)


# --- Update, replacement, expiry --------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "kind"),
    [(Action.UPDATE, InboxItemKind.UPDATED), (Action.REPLACE, InboxItemKind.REPLACED)],
)
async def test_who_got_a_document_is_told_what_took_its_place(
    fake, sender, recipient, letter, action, kind
):
    fake.enrol("H30")
    first = await sender.submit(letter, [], ["H29.7"])
    # The newer one goes to somebody else; the older one's recipient is told all the same.
    second = await sender.submit(letter, [], ["H30"], action=action, relates_to=digest_of(first))

    document, news = await everything(recipient.inbox())
    assert (news.kind, news.exchange_id) == (kind, first.exchange_id)
    assert news.by_exchange == second.exchange_id
    replaced_by = second.exchange_id if action is Action.REPLACE else None
    assert document.replaced_by == news.replaced_by == replaced_by
    assert document.by_exchange is None
    assert (await sender.exchange(first.exchange_id)).replaced_by == replaced_by


async def test_only_ones_own_document_is_replaced(sender, recipient, letter):
    sent = digest_of(await sender.submit(letter, [], ["H29.7"]))
    with pytest.raises(ExchangeUnknown):
        await recipient.submit(letter, [], ["H29.3"], action=Action.REPLACE, relates_to=sent)


async def test_what_expired_is_withheld_and_both_sides_are_told(fake, sender, recipient, letter):
    sent = await sender.submit(letter, [], ["H29.7"])
    fake.expire(sent.exchange_id)
    fake.expire(sent.exchange_id)

    document, expired = await everything(recipient.inbox())
    assert (expired.kind, document.expired) == (InboxItemKind.EXPIRED, True)
    with pytest.raises(ContentWithheld):
        await recipient.collect(digest_of(sent))
    [item] = await everything(sender.outbox())
    assert (item.kind, item.code) == (OutboxItemKind.EXPIRED, None)
    with pytest.raises(PositionUnknown):  # Nobody signed it: the hub observed it.
        await sender.statement(item.position)
    assert (await sender.exchange(sent.exchange_id)).deliveries[0].expired
    await recipient.report_status(digest_of(sent), "02", "Đã hết hạn")


async def test_a_status_alone_releases_no_content(fake, sender, recipient, letter, attachments):
    sent = await sender.submit(letter, attachments, ["H29.7"])
    document = await recipient.collect(digest_of(sent))
    other = digest_of(await sender.submit(letter, attachments, ["H29.7"]))
    status = await recipient.report_status(other, "06")
    stranger = type(document)(
        **{name: getattr(document, name) for name in document.__slots__}
        | {"exchange_id": status.exchange_id}
    )
    with pytest.raises(NotCollected):
        await recipient.download(stranger, document.receipt_file.parent / "in")


def test_the_blocking_client_follows_a_document_too(fake, profiles, policy, letter, tmp_path):
    with (
        SyncHubClient(profiles["H29.3"], policy=policy) as sender,
        SyncHubClient(profiles["H29.7"], policy=policy) as recipient,
    ):
        sent = digest_of(sender.submit(letter, [], ["H29.7"]))
        assert recipient.fetch(sent, tmp_path / "in").arrived is not None
        sender.recall(sent, "Gửi nhầm")
        recipient.answer_recall(sent, False, "Đã thực hiện")
        assert [item.code for item in sender.outbox()] == [None, "01", "16"]
        watch = sender.watch_outbox(1)
        position = next(watch).position
        watch.close()
        assert sender.statement(position).payload.code == "01"
        state = sender.exchange(sender.statement(position).exchange_id).deliveries[0].state
        assert state is DeliveryState.ARRIVED
