"""A bundle is put together from what a hub gives out, and believed in nothing."""

from __future__ import annotations

import grpc
import pytest

from hub.client import bundling
from hub.client.errors import HubUnreachable
from hub.errors import ExchangeUnknown, TooLarge, VerificationFailed
from hub.proof.checks import Checks
from hub.proof.examination import examine_bundle
from hub.proof.findings import Verdict


@pytest.fixture
async def told(sender, recipient, letter, attachments):
    """A document that was collected, reported and recalled; the recall was refused."""
    sent = await sender.submit(letter, attachments, ["H29.7"])
    digest = sent.statement.digest.hex()
    await recipient.collect(digest)
    await recipient.report_status(digest, "01")
    await sender.recall(digest, "Gửi nhầm")
    await recipient.answer_recall(digest, False, "Đã xử lý")
    return sent.exchange_id


def examined(fake, data):
    return examine_bundle(data, Checks(fake.log.trusted_root()))


async def test_a_bundle_holds_the_whole_story_and_proves_it(fake, sender, recipient, told):
    for hub in (sender, recipient):
        bundle = await hub.bundle(told)
        assert [fact.statement is not None for fact in bundle.facts] == [True] * 5
        found = examined(fake, bundle.format())
        assert found.verdict is Verdict.NOT_CHECKED
        assert not [one for one in found.items if one.verdict is Verdict.REFUTED]


async def test_a_document_that_expired_says_so_without_a_statement(fake, sender, recipient, letter):
    sent = await sender.submit(letter, [], ["H29.7"])
    fake.expire(sent.exchange_id)
    for hub in (sender, recipient):
        bundle = await hub.bundle(sent.exchange_id)
        assert bundle.facts[-1].statement is None
    # The recipient never collected it: no envelope.
    assert [fact.statement for fact in bundle.facts] == [None, None]


async def test_content_comes_for_who_collected(recipient, told, tmp_path, attachments):
    bundle = await recipient.bundle(told)
    files = await recipient.content(bundle, tmp_path / "content")
    assert [path.name for path in files] == [one.name for one in attachments]


async def test_an_unknown_document_has_no_bundle(sender, told):
    with pytest.raises(ExchangeUnknown):
        await sender.bundle("01890000-0000-7000-8000-000000000000")


# --- A hub that lies ----------------------------------------------------------------------


async def test_positions_that_do_not_rise_are_refused(fake, sender, told):
    fake.answer_next("ListFacts", lambda answer: answer.positions.append(answer.positions[0]))
    with pytest.raises(VerificationFailed, match="do not rise"):
        await sender.bundle(told)


async def test_facts_of_another_document_are_refused(fake, sender, letter, told):
    other = await sender.submit(letter, [], ["H29.7"])

    def slip_in(answer):
        answer.positions.append(other.position)

    fake.answer_next("ListFacts", slip_in)
    with pytest.raises(VerificationFailed, match="another document"):
        await sender.bundle(told)


async def test_the_receipt_of_another_position_is_refused(fake, sender, told):
    earlier = fake.log.receipt(0)

    def swap(answer):
        answer.receipt.leaf, answer.receipt.proof = earlier.leaf, earlier.proof

    fake.answer_next("GetReceipt", swap)
    with pytest.raises(VerificationFailed, match="another position"):
        await sender.bundle(told)


async def test_without_the_submission_there_is_no_bundle(fake, sender, told):
    def leave_out(answer):
        del answer.positions[0]

    fake.answer_next("ListFacts", leave_out)
    with pytest.raises(VerificationFailed, match="the one submission"):
        await sender.bundle(told)


async def test_a_fact_left_out_is_not_noticed_and_the_bundle_says_as_much(fake, sender, told):
    """What a hub withholds, nothing here can tell: it is stated, never proven."""

    def leave_out(answer):
        del answer.positions[-1]

    fake.answer_next("ListFacts", leave_out)
    bundle = await sender.bundle(told)
    assert len(bundle.facts) == 4
    texts = {one.text: one.verdict for one in examined(fake, bundle.format()).items}
    stated = "That nothing else happened to the document is the hub's word."
    assert texts[stated] is Verdict.STATED


async def test_a_list_without_an_end_is_given_up(fake, sender, told, monkeypatch):
    monkeypatch.setattr(bundling, "FACTS_MAX", 3)
    with pytest.raises(TooLarge):
        await sender.bundle(told)


async def test_a_page_that_promises_more_and_gives_nothing_ends(fake, sender, told):
    def more(answer):
        del answer.positions[2:]
        answer.more = True

    def nothing(answer):
        del answer.positions[:]
        answer.more = True

    fake.answer_next("ListFacts", more)
    fake.answer_next("ListFacts", nothing)
    assert len((await sender.bundle(told)).facts) == 2


async def test_what_breaks_in_the_middle_leaves_nothing_behind(fake, sender, told):
    for _ in range(4):
        fake.fail_next("GetStatement", grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(HubUnreachable):
        await sender.bundle(told)
    assert len((await sender.bundle(told)).facts) == 5
