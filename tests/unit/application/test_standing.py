"""Who may send, who gets what is addressed to a code, and who speaks for whom."""

from __future__ import annotations

import hashlib

import pytest

from hub.application.commands import Spoken, SubmitDocument
from hub.application.intake import INLINE_BYTES_MAX, judge, require_allowed
from hub.application.registry import Caller, Role
from hub.application.standing import addressees_of
from hub.domain.values import uuid7
from hub.errors import HubError, NotCollected, PositionUnknown
from hub.proof.dsse import SignedStatement
from hub.proof.leaf import LEAF_BYTES_MAX, parse_leaf
from hub.proof.statements import Recall, RecallAnswer, read_statement
from tests.support.agencies import register, reinstate, rename, succeed, suspend
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    check_whole,
    instant,
    new_hub,
    request_id_of,
    run,
)

OLD_CODE = "000.00.02.H53"
CONTENT = [b"content"]
sender, recipient, other = Party(SENDER), Party(RECIPIENT), Party(OTHER)


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


def refused(call) -> HubError:
    with pytest.raises(HubError) as refusal:
        call()
    return refusal.value


def recall_of(party: Party, envelope: SignedStatement, **changes) -> SignedStatement:
    members = {"envelope_digest": envelope.digest.hex(), "reason": "gửi nhầm"}
    return party.say(Recall.MEDIA_TYPE, **members | changes)


def answer_of(party: Party, envelope: SignedStatement, **changes) -> SignedStatement:
    members = {"envelope_digest": envelope.digest.hex(), "code": "15"}
    return party.say(RecallAnswer.MEDIA_TYPE, **members | changes)


def consignments(recorded) -> list[dict]:
    return parse_leaf(recorded.receipt.leaf).data["recipients"]


def inbox(hub: MemoryHub, agency: str, box: str = "") -> list[str]:
    """The envelope digests in an inbox, in the order of their numbers."""
    rows = run(hub.exchanges.inbox(hub.exchanges.box(agency, box), 0, 100))
    assert [notice.seq for notice, _, _ in rows] == list(range(1, len(rows) + 1))
    return [document.envelope_digest.hex() for _, _, document in rows]


# --- Suspended ----------------------------------------------------------------------------


def test_a_suspended_agency_does_not_send(hub):
    suspend(hub, SENDER)

    refusal = refused(lambda: hub.submit(SENDER, sender.envelope()))

    assert (refusal.reason, refusal.metadata["agencies"]) == ("AGENCY_SUSPENDED", SENDER)
    assert hub.topics()[-1] == "SubmissionRefused"
    check_whole(hub)


def test_who_may_not_send_uploads_nothing_either_and_goes_on_once_it_may(hub):
    content = bytes(range(256))

    def begin(agency: str = SENDER):
        digest = hashlib.sha256(content).digest()
        return run(hub.exchanges.begin_upload(agency, len(content), digest, ""))

    begun = begin()
    suspend(hub, SENDER)
    refusal = refused(begin)
    assert (refusal.reason, refusal.metadata["agencies"]) == ("AGENCY_SUSPENDED", SENDER)
    reinstate(hub, SENDER)
    assert begin() == begun
    succeed(hub, RECIPIENT, OTHER)
    assert refused(lambda: begin(RECIPIENT)).reason == "AGENCY_SUCCEEDED"
    assert len(list(hub.stores.uploads.uploads())) == 1
    check_whole(hub)


def test_nothing_is_sent_to_anyone_while_one_recipient_is_suspended(hub):
    suspend(hub, OTHER)
    envelope = sender.envelope(RECIPIENT, OTHER)

    refusal = refused(lambda: hub.submit(SENDER, envelope))

    assert refusal.reason == "AGENCY_SUSPENDED"
    assert refusal.metadata == {"agencies": OTHER, "count": "1"}
    assert inbox(hub, RECIPIENT) == []
    reinstate(hub, OTHER)
    hub.submit(SENDER, envelope)
    assert inbox(hub, RECIPIENT) == inbox(hub, OTHER) == [envelope.digest.hex()]
    check_whole(hub)


def test_all_that_is_wrong_with_the_recipients_is_said_at_once(hub):
    codes = [f"A.{n}" for n in range(30)]
    hub.register(*codes)
    suspend(hub, OTHER)
    for code in codes:
        suspend(hub, code)

    both = refused(lambda: hub.submit(SENDER, sender.envelope("H-1", OTHER, "H-2", RECIPIENT)))
    many = refused(lambda: hub.submit(SENDER, sender.envelope(*codes, RECIPIENT)))

    assert both.reason == "RECIPIENT_UNKNOWN"
    assert both.metadata == {"recipients": "H-1, H-2", "count": "2", "suspended": OTHER}
    assert many.reason == "AGENCY_SUSPENDED"
    assert many.metadata["count"] == "30"
    assert many.metadata["agencies"] == ", ".join(codes[:20])
    assert "and 10 more" in many.message


def test_a_suspended_agency_reads_and_answers(hub):
    envelope, earlier = sender.envelope(contents=CONTENT), recipient.envelope(SENDER)
    exchange_id = parse_leaf(hub.submit(SENDER, envelope, CONTENT).receipt.leaf).id
    hub.submit(RECIPIENT, earlier)
    suspend(hub, RECIPIENT)

    assert inbox(hub, RECIPIENT) == [envelope.digest.hex()]
    hub.collect(RECIPIENT, recipient.collect(envelope))
    assert hub.download(RECIPIENT, exchange_id) == CONTENT[0]
    hub.report(RECIPIENT, recipient.status(envelope, "03"))
    run(hub.exchanges.recall(SENDER, recall_of(sender, envelope)))
    run(hub.exchanges.answer_recall(RECIPIENT, answer_of(recipient, envelope)))
    # It asks nothing of others: a recall withholds content that is not yet collected.
    recall = recall_of(recipient, earlier)
    assert refused(lambda: run(hub.exchanges.recall(RECIPIENT, recall))).reason == (
        "AGENCY_SUSPENDED"
    )
    check_whole(hub)


def test_the_first_answer_stands_whoever_was_suspended_since(hub):
    envelope = sender.envelope()
    first = hub.submit(SENDER, envelope)
    suspend(hub, SENDER)
    suspend(hub, RECIPIENT)

    assert hub.submit(SENDER, envelope) == first


@pytest.mark.parametrize("change", ["suspend sender", "suspend recipient", "succeed sender"])
def test_what_was_judged_under_an_older_register_is_judged_again(hub, change):
    """The change is decided in the same batch, before the document."""
    signed = sender.envelope()
    registry = hub.engine.registry
    judged = judge(signed, agency=SENDER, registry=registry, at=START)
    spoken = Spoken(SENDER, signed, judged, registry.version)
    exchange_id = uuid7(START, b"0123456789")
    key = hub.vault.new_key()
    command = SubmitDocument(spoken, read_statement(signed), exchange_id, key, hub.vault)
    verb, whose = change.split()
    code = SENDER if whose == "sender" else RECIPIENT
    suspend(hub, code) if verb == "suspend" else succeed(hub, code, OTHER)

    (outcome,) = hub.process(command)

    assert outcome.reason == ("AGENCY_SUSPENDED" if verb == "suspend" else "AGENCY_SUCCEEDED")
    check_whole(hub)


# --- Several codes ------------------------------------------------------------------------


def test_any_code_leads_to_the_one_inbox_and_the_fact_keeps_the_code_as_signed(hub):
    rename(hub, RECIPIENT, add=(OLD_CODE,))
    first, second = sender.envelope(OLD_CODE, OTHER), sender.envelope(RECIPIENT)

    recorded = [hub.submit(SENDER, envelope) for envelope in (first, second)]

    assert consignments(recorded[0]) == [
        {"agency": RECIPIENT, "inbox_seq": 1, "addressed": OLD_CODE},
        {"agency": OTHER, "inbox_seq": 1},
    ]
    assert consignments(recorded[1]) == [{"agency": RECIPIENT, "inbox_seq": 2}]
    assert (
        inbox(hub, RECIPIENT)
        == inbox(hub, RECIPIENT, OLD_CODE)
        == [
            first.digest.hex(),
            second.digest.hex(),
        ]
    )
    hub.collect(RECIPIENT, recipient.collect(first))
    check_whole(hub)


def test_an_agency_is_not_named_twice_by_two_codes(hub):
    rename(hub, RECIPIENT, add=(OLD_CODE, "H02.9"))
    rename(hub, SENDER, add=("H01.9",))

    for codes in ((RECIPIENT, OLD_CODE), (OLD_CODE, OTHER, "H02.9"), ("H01.9", RECIPIENT)):
        refusal = refused(lambda codes=codes: hub.submit(SENDER, sender.envelope(*codes)))
        assert (refusal.reason, refusal.metadata) == (
            "STATEMENT_MALFORMED",
            {"field": "recipients"},
        )
    check_whole(hub)


def test_statements_speak_under_the_primary_code(hub):
    rename(hub, SENDER, add=("H01.9",))

    refusal = refused(lambda: hub.submit(SENDER, sender.envelope(agency="H01.9")))

    assert refusal.reason == "AGENCY_MISMATCH"


def test_what_is_let_through_fits_into_a_leaf_whatever_codes_were_signed(hub):
    codes = [(f"{n:04}." + "a" * 30, f"{n:04}." + "b" * 30) for n in range(512)]
    for primary, another in codes:
        register(hub, primary, another)
    hub.log._tables.inbox_heads |= dict.fromkeys((one for one, _ in codes), 9_999_999_998)
    at = instant(START)
    most = [another for _, another in codes[:511]]
    envelope = sender.envelope(*most, expires_at=at, created_at=at)
    read = read_statement(envelope)
    require_allowed(read, addressees_of(read, hub.engine.registry))

    leaf = hub.submit(SENDER, envelope).receipt.leaf

    assert LEAF_BYTES_MAX - 3072 < len(leaf) <= LEAF_BYTES_MAX
    one_more = sender.envelope(*most, codes[511][1])
    assert refused(lambda: hub.submit(SENDER, one_more)).reason == "TOO_LARGE"


# --- Successors ---------------------------------------------------------------------------


def test_what_is_addressed_to_a_predecessor_goes_to_the_end_of_the_chain(hub):
    rename(hub, RECIPIENT, add=(OLD_CODE,))
    register(hub, "H77")
    succeed(hub, RECIPIENT, OTHER)
    succeed(hub, OTHER, "H77")

    for code in (RECIPIENT, OLD_CODE, OTHER):
        recorded = hub.submit(SENDER, sender.envelope(code))
        (consignment,) = consignments(recorded)
        assert (consignment["agency"], consignment["addressed"]) == ("H77", code)
    twice = refused(lambda: hub.submit(SENDER, sender.envelope(RECIPIENT, "H77")))
    assert twice.metadata == {"field": "recipients"}
    assert len(inbox(hub, "H77")) == 3
    assert inbox(hub, RECIPIENT) == []
    check_whole(hub)


def test_a_predecessor_reads_and_answers_but_does_not_send(hub):
    envelope = sender.envelope()
    hub.submit(SENDER, envelope)
    succeed(hub, RECIPIENT, OTHER)

    refusal = refused(lambda: hub.submit(RECIPIENT, recipient.envelope(SENDER)))

    assert refusal.reason == "AGENCY_SUCCEEDED"
    assert refusal.metadata == {"agency": RECIPIENT, "successor": OTHER}
    hub.collect(RECIPIENT, recipient.collect(envelope))
    assert inbox(hub, RECIPIENT) == [envelope.digest.hex()]
    check_whole(hub)


def test_a_successor_reads_the_boxes_it_took_over_and_nobody_elses(hub):
    envelope = sender.envelope()
    hub.submit(SENDER, envelope)
    hub.report(RECIPIENT, recipient.status(envelope, "01"))
    unknown = refused(lambda: hub.exchanges.box(OTHER, "H-NOBODY"))
    for whose in (RECIPIENT, SENDER):
        refusal = refused(lambda whose=whose: hub.exchanges.box(OTHER, whose))
        assert (refusal.reason, refusal.message) == ("AGENCY_UNKNOWN", unknown.message)

    succeed(hub, RECIPIENT, OTHER)
    succeed(hub, SENDER, OTHER)

    assert inbox(hub, OTHER) == []
    assert inbox(hub, OTHER, RECIPIENT) == [envelope.digest.hex()]
    outbox = run(hub.exchanges.outbox(hub.exchanges.box(OTHER, SENDER), 0, 10))
    assert [notice.code for notice, _ in outbox] == ["01"]
    assert refused(lambda: hub.exchanges.box(RECIPIENT, OTHER)).reason == "AGENCY_UNKNOWN"


def test_a_successor_signs_for_its_predecessors_deliveries(hub):
    envelope = sender.envelope(contents=CONTENT)
    exchange_id = parse_leaf(hub.submit(SENDER, envelope, CONTENT).receipt.leaf).id
    for call in (
        lambda: hub.collect(OTHER, other.collect(envelope)),
        lambda: hub.download(OTHER, exchange_id),
        lambda: run(hub.exchanges.exchange(OTHER, exchange_id)),
    ):
        assert refused(call).reason == "EXCHANGE_UNKNOWN"
    succeed(hub, RECIPIENT, OTHER)
    assert refused(lambda: hub.download(OTHER, exchange_id)).reason == "NOT_COLLECTED"

    mine = {"for_agency": RECIPIENT}
    handed_over = hub.collect(OTHER, other.collect(envelope, **mine))
    reported = hub.report(OTHER, other.status(envelope, "06", **mine))
    run(hub.exchanges.recall(SENDER, recall_of(sender, envelope)))
    answer = answer_of(other, envelope, code="16", reason="đã xử lý", **mine)
    answered = run(hub.exchanges.answer_recall(OTHER, answer))

    assert handed_over.envelope.statement.payload == envelope.payload
    assert hub.download(OTHER, exchange_id) == CONTENT[0]
    for recorded in (handed_over.recorded, reported, answered):
        data = parse_leaf(recorded.receipt.leaf).data
        assert (data["agency"], data["statement"]["by_agency"]) == (RECIPIENT, OTHER)
    view = run(hub.exchanges.exchange(OTHER, exchange_id))
    assert [(row.recipient, row.collected) for row in view.deliveries] == [(RECIPIENT, True)]
    check_whole(hub)


def test_the_same_statement_of_a_successor_gets_the_same_answer(hub):
    envelope = sender.envelope()
    hub.submit(SENDER, envelope)
    succeed(hub, RECIPIENT, OTHER)
    status = other.status(envelope, "01", for_agency=RECIPIENT)
    first = hub.report(OTHER, status)

    assert hub.report(OTHER, status) == first
    assert run(hub.exchanges.submission(OTHER, request_id_of(status))) == first


def test_a_successor_says_for_whom_it_speaks(hub):
    """Communes that got one circular each, then merged."""
    register(hub, "H77")
    third = Party("H77")
    hub.enrol(third)
    envelope = sender.envelope(RECIPIENT, OTHER)
    own = sender.envelope(RECIPIENT, "H77")
    hub.submit(SENDER, envelope)
    hub.submit(SENDER, own)
    succeed(hub, RECIPIENT, "H77")
    succeed(hub, OTHER, "H77")

    for code in (RECIPIENT, OTHER):
        said = hub.report("H77", third.status(envelope, "01", for_agency=code))
        assert parse_leaf(said.receipt.leaf).data["agency"] == code
    data = parse_leaf(hub.report("H77", third.status(own, "01")).receipt.leaf).data
    assert data["agency"] == "H77"
    assert "by_agency" not in data["statement"]
    for unsaid in (
        third.status(envelope, "01"),
        third.status(envelope, "01", for_agency=SENDER),
        third.status(own, "01", for_agency=OTHER),
    ):
        refusal = refused(lambda unsaid=unsaid: hub.report("H77", unsaid))
        assert refusal.reason == "NOT_A_PARTY"
        assert "for_agency" in refusal.message
    check_whole(hub)


def test_nobody_speaks_for_an_agency_it_did_not_succeed(hub):
    envelope = sender.envelope(RECIPIENT, OTHER)
    hub.submit(SENDER, envelope)
    succeed(hub, OTHER, SENDER)

    for party in (recipient, other):
        foreign = OTHER if party is recipient else RECIPIENT
        status = party.status(envelope, "01", for_agency=foreign)
        assert refused(lambda p=party, s=status: hub.report(p.code, s)).reason == "NOT_A_PARTY"


def test_a_successor_sees_what_became_of_what_its_predecessor_sent(hub):
    recorded = hub.submit(SENDER, sender.envelope(RECIPIENT, OTHER))
    exchange_id = parse_leaf(recorded.receipt.leaf).id
    assert [d.recipient for d in run(hub.exchanges.exchange(OTHER, exchange_id)).deliveries] == [
        OTHER
    ]
    succeed(hub, SENDER, OTHER)

    view = run(hub.exchanges.exchange(OTHER, exchange_id))

    assert [delivery.recipient for delivery in view.deliveries] == [RECIPIENT, OTHER]


def test_a_successor_recalls_and_replaces_what_its_predecessor_sent(hub):
    first, second = sender.envelope(), sender.envelope()
    hub.submit(SENDER, first)
    hub.submit(SENDER, second)
    succeed(hub, SENDER, OTHER)

    assert (
        refused(lambda: run(hub.exchanges.recall(SENDER, recall_of(sender, first)))).reason
        == "AGENCY_SUCCEEDED"
    )
    recalled = run(hub.exchanges.recall(OTHER, recall_of(other, first)))
    hub.submit(OTHER, other.envelope(action="replace", relates_to=second.digest.hex()))

    data = parse_leaf(recalled.receipt.leaf).data
    assert (data["sender"], data["statement"]["by_agency"]) == (SENDER, OTHER)
    assert hub.topics()[-2:] == ["DocumentSubmitted", "DocumentReplaced"]
    check_whole(hub)


def test_a_successor_holds_the_receipts_of_what_it_took_over(hub):
    envelope = sender.envelope()
    position = hub.submit(SENDER, envelope).position
    registered = hub.engine.registry.agencies[RECIPIENT].position
    caller = Caller(Role.AGENCY, OTHER)
    for hidden in (position, registered):
        with pytest.raises(PositionUnknown):
            run(hub.own_receipts.receipt(caller, hidden))

    succeeded = succeed(hub, RECIPIENT, OTHER)

    for shown in (position, registered, succeeded.position):
        assert run(hub.own_receipts.receipt(caller, shown)).position == shown
    # The envelope too, but like everybody else only against a collect statement.
    with pytest.raises(NotCollected):
        run(hub.exchanges.statement(OTHER, position))
    hub.collect(OTHER, other.collect(envelope, for_agency=RECIPIENT))
    assert run(hub.exchanges.statement(OTHER, position)).recorded.position == position


def test_a_successor_that_is_suspended_keeps_its_predecessors_from_being_sent_to(hub):
    succeed(hub, RECIPIENT, OTHER)
    suspend(hub, OTHER)

    refusal = refused(lambda: hub.submit(SENDER, sender.envelope(RECIPIENT)))

    assert (refusal.reason, refusal.metadata["agencies"]) == ("AGENCY_SUSPENDED", RECIPIENT)


# --- The order of the checks --------------------------------------------------------------


@pytest.mark.parametrize("standing", ["suspended", "succeeded"])
def test_a_senders_standing_is_asked_after_its_content_and_before_its_recipients(hub, standing):
    wrong = {"recipients": ["H-NOBODY"], "document": {"secrecy": "mat"}}
    if standing == "suspended":
        suspend(hub, SENDER)
    else:
        succeed(hub, SENDER, OTHER)
    reason = f"AGENCY_{standing.upper()}"
    stranger = Party(SENDER, key_name="stranger")

    def said(envelope: SignedStatement, contents=()) -> str:
        return refused(lambda: hub.submit(SENDER, envelope, contents)).reason

    assert said(stranger.envelope(**wrong)) == "KEY_UNKNOWN"
    assert said(sender.envelope(contents=CONTENT, **wrong)) == "CONTENT_MISSING"
    assert said(sender.envelope(**wrong), [bytes(INLINE_BYTES_MAX + 1)]) == "TOO_LARGE"
    assert said(sender.envelope(**wrong)) == reason


def test_a_recipients_standing_is_asked_before_the_rules_of_the_action(hub):
    suspend(hub, OTHER)
    secret = sender.envelope(RECIPIENT, OTHER, document={"secrecy": "mat"})

    assert refused(lambda: hub.submit(SENDER, secret)).reason == "AGENCY_SUSPENDED"
