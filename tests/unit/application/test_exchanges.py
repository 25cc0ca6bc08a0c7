"""Submit, collect, report: what an agency gets, and what nobody else does."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from adapters.memory.faults import Fault
from hub.application.agencies import RegisterAgency
from hub.application.exchanges import AskAgain
from hub.application.intake import require_allowed
from hub.application.ports import RequestKey
from hub.application.standing import addressees_of
from hub.domain.delivery import DeliveryState
from hub.errors import (
    ContentLost,
    ExchangeUnknown,
    KeyExpired,
    KeyUnknown,
    NotAParty,
    NotCollected,
    ReceiptDelayed,
    RequestIdReused,
    RequestMalformed,
    RequestUnknown,
    SignatureInvalid,
    TooLarge,
    Unavailable,
)
from hub.proof.leaf import LEAF_BYTES_MAX, parse_leaf
from hub.proof.receipt import verify_receipt
from hub.proof.signatures import Algorithm
from hub.proof.statements import Collect, Envelope, encode_payload, read_statement
from tests.support.builders import (
    OPERATOR,
    OTHER,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    check_whole,
    header,
    instant,
    new_hub,
    new_request_id,
    request_id_of,
    run,
)
from tests.support.commands import submit_command

CONTENTS = [b"%PDF-1.7 " * 1000, b""]
sender, recipient, other = Party(SENDER), Party(RECIPIENT), Party(OTHER)


@pytest.fixture
def hub() -> MemoryHub:
    return new_hub()


# --- Submitting ---------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_document_goes_the_whole_way_whatever_its_sender_signs_with(algorithm):
    signing = Party(SENDER, algorithm)
    hub = new_hub(None, signing, recipient)
    envelope = signing.envelope(contents=CONTENTS)

    recorded = hub.submit(SENDER, envelope, CONTENTS)
    handed_over = hub.collect(RECIPIENT, recipient.collect(envelope))

    assert verify_receipt(recorded.receipt, hub.trust).event.data["sender"] == SENDER
    assert handed_over.envelope.statement == envelope
    assert handed_over.envelope.recorded == recorded
    assert handed_over.envelope.certificate == signing.certificate
    assert [hub.download(RECIPIENT, handed_over.exchange_id, n) for n in (0, 1)] == CONTENTS
    check_whole(hub)


def test_the_event_says_who_what_to_whom_and_no_words(hub):
    envelope = sender.envelope(RECIPIENT, OTHER, contents=CONTENTS, expires_at=instant(START))

    event = parse_leaf(hub.submit(SENDER, envelope, CONTENTS).receipt.leaf)

    enrolment = hub.engine.registry.signing_key(SENDER, sender.key_id, START).position
    assert event.data == {
        "sender": SENDER,
        "request_id": request_id_of(envelope),
        "statement": {
            "payload_type": Envelope.MEDIA_TYPE,
            "digest": envelope.digest.hex(),
            "key_id": sender.key_id,
            "algorithm": "ed25519",
            "signature": base64.b64encode(envelope.signature).decode(),
        },
        "enrolment": enrolment,
        "action": "new",
        "relates_to": None,
        "expires_at": "2026-11-23T08:30:00+07:00",
        "recipients": [{"agency": RECIPIENT, "inbox_seq": 1}, {"agency": OTHER, "inbox_seq": 1}],
        "attachments": [
            {"sha256": attachment["sha256"], "size": attachment["size"]}
            for attachment in json.loads(envelope.payload)["document"]["attachments"]
        ],
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("minutes", "warnings"),
    [(0, []), (10, []), (-10, []), (11, ["CLOCK_SKEW"]), (-11, ["CLOCK_SKEW"])],
)
def test_a_wrong_clock_is_warned_of_and_decides_nothing(hub, minutes, warnings):
    envelope = sender.envelope(created_at=instant(START + timedelta(minutes=minutes)))

    recorded = hub.submit(SENDER, envelope)

    assert parse_leaf(recorded.receipt.leaf).data["warnings"] == warnings
    assert parse_leaf(recorded.receipt.leaf).time == START


def test_inbox_numbers_have_no_gap_over_refusals(hub):
    for _ in range(6):
        hub.submit(SENDER, sender.envelope(RECIPIENT))
        for unknown in ("H-NOBODY", "H-NOWHERE"):
            with pytest.raises(Exception, match="not registered"):
                hub.submit(SENDER, sender.envelope(RECIPIENT, unknown))
        hub.submit(OTHER, other.envelope(SENDER, RECIPIENT))

    assert [line.seq for line, *_ in hub.views.inbox(RECIPIENT, 0, 99)] == list(range(1, 13))
    assert [line.seq for line, *_ in hub.views.inbox(SENDER, 0, 99)] == list(range(1, 7))
    check_whole(hub)


def test_a_thousand_recipients_are_one_fact(hub):
    codes = [f"000.{n // 100:02}.{n % 100:02}.H29" for n in range(1000)]
    hub.register(*codes)

    recorded = hub.submit(SENDER, sender.envelope(*codes))

    assert len(recorded.receipt.leaf) <= LEAF_BYTES_MAX
    assert [line.seq for code in codes for line, *_ in hub.views.inbox(code, 0, 9)] == [1] * 1000


def test_what_does_not_fit_into_one_leaf_is_refused_with_a_reason(hub):
    codes = [f"{n:04}." + "a" * 30 for n in range(1000)]
    hub.register(*codes)

    with pytest.raises(TooLarge, match="one entry of the log"):
        hub.submit(SENDER, sender.envelope(*codes))

    hub.submit(SENDER, sender.envelope(*codes[:800]))
    check_whole(hub)


def test_what_is_let_through_fits_into_a_leaf(hub):
    """With numbers, signature and all else as long as they get."""
    codes = [f"{n:04}." + "a" * 30 for n in range(779)]
    contents = [b"%d" % n for n in range(64)]
    signing = Party(SENDER, Algorithm.RSA_PSS_SHA256, key_name="rsa")
    hub.enrol(signing)
    hub.register(*codes)
    hub.log._tables.inbox_heads |= dict.fromkeys(codes, 9_999_999_998)
    at = instant(START + timedelta(days=30, microseconds=1))
    envelope = signing.envelope(*codes, contents=contents, expires_at=at, created_at=at)
    read = read_statement(envelope)
    require_allowed(read, addressees_of(read, hub.engine.registry))

    leaf = hub.submit(SENDER, envelope, contents).receipt.leaf

    assert LEAF_BYTES_MAX - 3072 < len(leaf) <= LEAF_BYTES_MAX


# --- The same again -----------------------------------------------------------------------


def test_a_retry_gets_the_first_answer(hub):
    envelope = sender.envelope(contents=CONTENTS)
    collect, status = recipient.collect(envelope), recipient.status(envelope, "01")
    first = hub.submit(SENDER, envelope, CONTENTS)
    handed_over, reported = hub.collect(RECIPIENT, collect), hub.report(RECIPIENT, status)

    for again in (hub, hub.restarted()):
        assert again.submit(SENDER, envelope, CONTENTS) == first
        assert again.submit(SENDER, envelope) == first, "even without its content"
        assert again.collect(RECIPIENT, collect) == handed_over
        assert again.report(RECIPIENT, status) == reported
        assert run(again.exchanges.submission(SENDER, request_id_of(envelope))) == first
    assert len(hub.events()) == 13
    check_whole(hub)


def test_a_retry_gets_the_first_answer_after_its_key_has_expired(hub):
    short = Party(SENDER, key_name="short", not_after=START + timedelta(minutes=5))
    hub.enrol(short)
    envelope = short.envelope(contents=CONTENTS)
    first = hub.submit(SENDER, envelope, CONTENTS)
    hub.clock.advance(timedelta(minutes=6))

    assert hub.submit(SENDER, envelope, CONTENTS) == first
    assert hub.submit(SENDER, envelope) == first
    with pytest.raises(KeyExpired):
        hub.submit(SENDER, short.envelope())


def test_a_retry_signed_anew_or_badly_gets_the_first_answer(hub):
    envelope = sender.envelope()
    first = hub.submit(SENDER, envelope)
    stranger = Party(SENDER, key_name="stranger")
    again = stranger.sign(envelope.payload_type, envelope.payload)

    assert hub.submit(SENDER, again) == first
    collect = recipient.collect(envelope)
    handed_over = hub.collect(RECIPIENT, collect)
    again = Party(RECIPIENT, key_name="stranger").sign(collect.payload_type, collect.payload)
    assert hub.collect(RECIPIENT, again) == handed_over


def test_a_retry_gets_the_first_answer_though_recipients_and_rules_have_changed(hub, monkeypatch):
    envelope = sender.envelope()
    first = hub.submit(SENDER, envelope)

    def refuse(*_):
        raise TooLarge("the rules have changed")

    monkeypatch.setattr("hub.application.exchanges.addressees_of", refuse)

    assert hub.submit(SENDER, envelope) == first


@pytest.mark.parametrize("say", ["submit", "collect", "status"])
def test_a_retry_of_what_is_recorded_but_not_signed_is_never_refused(hub, say):
    """Its key may have expired in between: then it is delayed, and answered later."""
    short = Party(SENDER, key_name="short", not_after=START + timedelta(minutes=5))
    hub.enrol(short)
    envelope = sender.envelope(SENDER) if say == "submit" else other.envelope(SENDER)
    if say == "submit":
        statement = short.envelope(RECIPIENT)
        ask = lambda: hub.submit(SENDER, statement)  # noqa: E731
    else:
        hub.submit(OTHER, envelope)
        statement = short.collect(envelope) if say == "collect" else short.status(envelope, "01")
        ask = lambda: (hub.collect if say == "collect" else hub.report)(SENDER, statement)  # noqa: E731
    hub.break_next("tree.publish", Fault.LOST)
    with pytest.raises(ReceiptDelayed):
        ask()
    hub.clock.advance(timedelta(minutes=6))

    hub.break_next("tree.publish", Fault.LOST)
    with pytest.raises(Unavailable):
        ask()
    answer = ask()

    assert ask() == answer
    assert "SubmissionRefused" not in hub.topics()
    check_whole(hub)


def test_asking_again_for_what_was_never_recorded_records_nothing(hub):
    (outcome,) = hub.process(AskAgain(RequestKey(SENDER, new_request_id(), bytes(32))))

    assert isinstance(outcome, Unavailable)


def test_another_statement_under_a_used_request_id_is_refused_naming_the_first(hub):
    first = sender.envelope()
    hub.submit(SENDER, first)
    second = sender.envelope(request_id=request_id_of(first))

    with pytest.raises(RequestIdReused) as refusal:
        hub.submit(SENDER, second)

    assert refusal.value.metadata["first_digest"] == first.digest.hex()


def test_request_ids_belong_to_their_caller(hub):
    first = sender.envelope(RECIPIENT)
    same = other.envelope(RECIPIENT, request_id=request_id_of(first))

    assert hub.submit(SENDER, first).position != hub.submit(OTHER, same).position
    with pytest.raises(RequestUnknown):
        run(hub.exchanges.submission(RECIPIENT, request_id_of(first)))


def test_a_refusal_binds_no_request_id(hub):
    envelope = sender.envelope("H-NOBODY")
    with pytest.raises(Exception, match="not registered"):
        hub.submit(SENDER, envelope)
    mended = sender.envelope(RECIPIENT, request_id=request_id_of(envelope))

    hub.submit(SENDER, mended)

    check_whole(hub)


def test_a_status_does_not_pass_for_a_collect_statement(hub):
    """The same bytes read as both; only what was signed as `collect` releases anything."""
    envelope = sender.envelope()
    hub.submit(SENDER, envelope)
    status = recipient.status(envelope, "01")
    hub.report(RECIPIENT, status)
    as_collect = recipient.sign(Collect.MEDIA_TYPE, status.payload)

    with pytest.raises(RequestIdReused, match="another kind"):
        hub.collect(RECIPIENT, as_collect)

    assert not hub.views.inbox(RECIPIENT, 0, 1)[0][1].collected
    check_whole(hub)


def test_an_acceptance_of_one_kind_never_answers_another(hub):
    envelope = sender.envelope(RECIPIENT)
    hub.submit(SENDER, envelope)
    hub.submit(OTHER, other.envelope(SENDER))
    about = hub.submit(RECIPIENT, recipient.envelope(SENDER))
    digest = parse_leaf(about.receipt.leaf).data["statement"]["digest"]
    members = json.loads(sender.envelope(RECIPIENT).payload)
    both = encode_payload(members | {"envelope_digest": digest, "code": "03"})
    hub.submit(SENDER, sender.sign(Envelope.MEDIA_TYPE, both))

    for say, kind in ((hub.collect, "collect"), (hub.report, "status")):
        again = sender.sign(f"application/vnd.lienthong.{kind}.v1+json", both)
        with pytest.raises(RequestIdReused, match="another kind"):
            say(SENDER, again)


# --- The registry moves on ----------------------------------------------------------------


def test_a_statement_is_judged_again_when_the_registry_has_moved_on(hub):
    short = Party(SENDER, key_name="short", not_after=START + timedelta(minutes=5))
    hub.enrol(short)
    stale = [submit_command(hub, party, party.envelope()) for party in (short, sender)]
    before = hub.engine.registry.version
    hub.register("H77")
    assert hub.engine.registry.version > before

    # The key expires between the check and the lane: now the lane looks, and finds it.
    hub.clock.advance(timedelta(minutes=6))
    outcomes = hub.process(*stale)

    assert isinstance(outcomes[0], KeyExpired)
    assert outcomes[1].position == hub.log.head().next_position - 1
    spoken = replace(stale[1].spoken, judged_at=-1, agency=OTHER)
    envelope = sender.envelope()
    moved = replace(submit_command(hub, sender, envelope), spoken=replace(spoken, signed=envelope))
    (outcome,) = hub.process(moved)
    assert isinstance(outcome, KeyUnknown)


def test_a_signature_is_not_verified_twice_while_the_registry_stands_still(hub, monkeypatch):
    commands = [submit_command(hub, sender, sender.envelope()) for _ in range(3)]
    monkeypatch.setattr("hub.application.intake.judge", lambda *_, **__: pytest.fail("twice"))

    hub.done(*commands)


def test_a_recipient_registered_in_the_same_batch_can_be_written_to(hub):
    envelope = sender.envelope("H77")
    command = submit_command(hub, sender, envelope)

    (refused,) = hub.process(command)
    registered, accepted = hub.process(
        RegisterAgency(OPERATOR, new_request_id(), "H77", "Sở Mới"), command
    )

    assert refused.reason == "RECIPIENT_UNKNOWN"
    assert accepted.position == registered.position + 1
    check_whole(hub)


def test_a_key_enrolled_in_the_same_batch_is_in_force_for_what_comes_after_it(hub):
    hub.register("H77")
    fresh = Party("H77")
    envelope = fresh.envelope(RECIPIENT)
    other_hub = new_hub(None, fresh, sender, recipient)
    command = submit_command(other_hub, fresh, envelope)
    # Judged at some hub that knew the key, and before this one ever changed.
    spoken = replace(command.spoken, judged_at=-1)
    command = replace(command, spoken=spoken, exchange_id=uuid4(), vault=hub.vault)

    before, enrolled, after = hub.process(command, hub.enrolment(fresh), command)

    assert isinstance(before, KeyUnknown)
    assert parse_leaf(after.receipt.leaf).data["enrolment"] == enrolled.position
    check_whole(hub)


# --- Content ------------------------------------------------------------------------------


def test_content_is_released_against_a_collect_statement_only(hub):
    envelope = sender.envelope(RECIPIENT, OTHER, contents=CONTENTS)
    exchange_id = parse_leaf(hub.submit(SENDER, envelope, CONTENTS).receipt.leaf).id
    hub.report(RECIPIENT, recipient.status(envelope, "03"))

    with pytest.raises(NotCollected):
        hub.download(RECIPIENT, exchange_id)
    hub.collect(RECIPIENT, recipient.collect(envelope))

    assert hub.download(RECIPIENT, exchange_id) == CONTENTS[0]
    assert hub.download(RECIPIENT, exchange_id, offset=5) == CONTENTS[0][5:]
    assert hub.download(RECIPIENT, exchange_id, offset=len(CONTENTS[0])) == b""
    with pytest.raises(NotCollected):
        hub.download(OTHER, exchange_id)
    with pytest.raises(NotAParty):
        hub.download(SENDER, exchange_id)
    for index, offset in ((2, 0), (0, len(CONTENTS[0]) + 1)):
        with pytest.raises(RequestMalformed):
            hub.download(RECIPIENT, exchange_id, index, offset)


def test_lost_content_is_never_marked_as_handed_over(hub):
    envelope = sender.envelope(contents=CONTENTS)
    exchange_id = parse_leaf(hub.submit(SENDER, envelope, CONTENTS).receipt.leaf).id
    hub.stores.content.lose(exchange_id, 1)

    with pytest.raises(ContentLost):
        hub.collect(RECIPIENT, recipient.collect(envelope))

    assert "DocumentHandedOver" not in hub.topics()


def test_a_lost_key_is_never_marked_as_handed_over(hub):
    envelope = sender.envelope()
    exchange_id = parse_leaf(hub.submit(SENDER, envelope).receipt.leaf).id
    hub.stores.document_keys.discard([exchange_id])

    with pytest.raises(ContentLost):
        hub.restarted().collect(RECIPIENT, recipient.collect(envelope))

    assert "DocumentHandedOver" not in hub.topics()


def test_refused_content_is_not_kept(hub):
    envelope = sender.envelope("H77", contents=CONTENTS)
    # Refused in the lane alone: the check before it looks at a registry that knows H77.
    behind = hub.engine.registry
    hub.register("H77")
    ahead, hub.engine._register.current = hub.engine.registry, behind
    hub.exchanges._registry = lambda: ahead

    with pytest.raises(Exception, match="not registered"):
        hub.submit(SENDER, envelope, CONTENTS)

    assert list(hub.stores.content.exchanges()) == []


def test_equal_documents_are_kept_apart(hub):
    ids = []
    for party in (sender, other):
        envelope = party.envelope(RECIPIENT, contents=CONTENTS)
        ids.append(parse_leaf(hub.submit(party.code, envelope, CONTENTS).receipt.leaf).id)
        hub.collect(RECIPIENT, recipient.collect(envelope))

    assert set(hub.stores.content.exchanges()) == set(ids)
    hub.stores.content.discard(ids[0])
    assert hub.download(RECIPIENT, ids[1]) == CONTENTS[0]


# --- Who sees what ------------------------------------------------------------------------


def test_the_sender_sees_all_recipients_and_a_recipient_itself(hub):
    envelope = sender.envelope(RECIPIENT, OTHER)
    exchange_id = parse_leaf(hub.submit(SENDER, envelope).receipt.leaf).id
    hub.report(RECIPIENT, recipient.status(envelope, "04"))

    def seen(agency):
        view = run(hub.exchanges.exchange(agency, exchange_id))
        return {row.recipient: row.state for row in view.deliveries}

    assert seen(SENDER) == {
        RECIPIENT: DeliveryState.ASSIGNED,
        OTHER: DeliveryState.CONSIGNED,
    }
    assert seen(OTHER) == {OTHER: DeliveryState.CONSIGNED}
    hub.register("H77")
    with pytest.raises(ExchangeUnknown):
        seen("H77")


def test_an_inbox_is_its_owners(hub):
    hub.submit(SENDER, sender.envelope(RECIPIENT))

    def subjects(agency):
        return [document.subject for *_, document in run(hub.exchanges.inbox(agency, 0, 10))]

    assert len(subjects(RECIPIENT)) == 1
    assert subjects(OTHER) == subjects(SENDER) == []


def test_a_statement_signed_by_another_agency_is_refused(hub):
    """The signer is the claimed sender is the authenticated caller."""
    forged = other.sign(Envelope.MEDIA_TYPE, encode_payload(header(SENDER) | _body()))

    with pytest.raises(KeyUnknown):
        hub.submit(SENDER, forged)
    with pytest.raises(SignatureInvalid):
        hub.submit(SENDER, replace(forged, key_id=sender.key_id))


def _body():
    envelope = json.loads(sender.envelope().payload)
    return {name: envelope[name] for name in ("recipients", "action", "document")}
