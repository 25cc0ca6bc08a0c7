"""A statement with several faults gets the answer of the earliest numbered step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from hub.application.intake import INLINE_BYTES_MAX
from hub.errors import HubError
from hub.proof.dsse import SignedStatement
from hub.proof.statements import (
    PAYLOAD_BYTES_MAX,
    Collect,
    Envelope,
    Recall,
    RecallAnswer,
    Status,
    encode_payload,
)
from tests.support.builders import (
    OTHER,
    RECIPIENT,
    SENDER,
    START,
    MemoryHub,
    Party,
    document,
    header,
    new_hub,
    request_id_of,
)

CONTENTS = [b"the first", b"the second"]
EXPIRED = Party(
    SENDER,
    key_name="expired",
    not_before=START - timedelta(days=9),
    not_after=START + timedelta(seconds=1),
)
EARLY = Party(SENDER, key_name="early", not_before=START + timedelta(days=9))
STRANGER = Party(SENDER, key_name="stranger")


@dataclass
class Draft:
    """A submission in the making, to be spoilt in any way before it is sent."""

    caller: str
    members: dict[str, Any]
    payload_type: str = Envelope.MEDIA_TYPE
    party: Party = field(default_factory=lambda: Party(SENDER))
    contents: list[bytes] = field(default_factory=lambda: list(CONTENTS))
    changes: list[Callable[[SignedStatement], SignedStatement]] = field(default_factory=list)
    used_request_id: str = ""
    call: str = "submit"

    def signed(self) -> SignedStatement:
        signed = self.party.sign(self.payload_type, encode_payload(self.members))
        for change in self.changes:
            signed = change(signed)
        return signed


# --- The faults, by step ------------------------------------------------------------------


def too_large(draft: Draft) -> None:
    draft.members["x"] = "a" * PAYLOAD_BYTES_MAX


def long_signature(draft: Draft) -> None:
    draft.changes.append(lambda signed: replace(signed, signature=bytes(1025)))


def another_type(draft: Draft) -> None:
    draft.payload_type = "application/vnd.lienthong.possession.v1+json"


def no_nonce(draft: Draft) -> None:
    del draft.members["nonce"]


def not_json(draft: Draft) -> None:
    draft.changes.append(lambda signed: replace(signed, payload=b"{" + signed.payload))


def another_hub(draft: Draft) -> None:
    draft.members["hub"] = "staging.example/2026"


def for_another(draft: Draft) -> None:
    draft.members["agency"] = "H99"


def reused_request(draft: Draft) -> None:
    draft.members["request_id"] = draft.used_request_id


def stranger(draft: Draft) -> None:
    draft.party = replace(STRANGER, code=draft.caller)


def expired(draft: Draft) -> None:
    draft.party = EXPIRED


def early(draft: Draft) -> None:
    draft.party = EARLY


def bad_signature(draft: Draft) -> None:
    draft.changes.append(lambda signed: replace(signed, signature=signed.signature[::-1]))


def nothing_sent(draft: Draft) -> None:
    draft.contents = []


def one_too_many(draft: Draft) -> None:
    draft.contents = [*CONTENTS, b""]


def other_bytes(draft: Draft) -> None:
    draft.contents = [CONTENTS[0], CONTENTS[1].upper()]


def other_size(draft: Draft) -> None:
    draft.contents = [CONTENTS[0], CONTENTS[1] + b"!"]


def too_much_at_once(draft: Draft) -> None:
    draft.contents = [CONTENTS[0], bytes(INLINE_BYTES_MAX)]


def nobody(draft: Draft) -> None:
    draft.members["recipients"] = [RECIPIENT, "H-NOBODY"]


def secret(draft: Draft) -> None:
    draft.members["document"]["secrecy"] = "mat"


def update(draft: Draft) -> None:
    draft.members |= {"action": "update", "relates_to": "00" * 32}


def replacement(draft: Draft) -> None:
    draft.members |= {"action": "replace", "relates_to": "00" * 32}


SUBMITTING = [
    (1, too_large, "TOO_LARGE"),
    (1, long_signature, "TOO_LARGE"),
    (2, another_type, "STATEMENT_MALFORMED"),
    (2, no_nonce, "STATEMENT_MALFORMED"),
    (2, not_json, "STATEMENT_MALFORMED"),
    (3, another_hub, "WRONG_HUB"),
    (4, for_another, "AGENCY_MISMATCH"),
    (5, reused_request, "REQUEST_ID_REUSED"),
    (6, stranger, "KEY_UNKNOWN"),
    (6, expired, "KEY_EXPIRED"),
    (6, early, "KEY_NOT_YET_VALID"),
    (7, bad_signature, "SIGNATURE_INVALID"),
    (8, nothing_sent, "CONTENT_MISSING"),
    (8, one_too_many, "CONTENT_MISSING"),
    (8, other_bytes, "DIGEST_MISMATCH"),
    (8, other_size, "DIGEST_MISMATCH"),
    (8, too_much_at_once, "TOO_LARGE"),
    (9, nobody, "RECIPIENT_UNKNOWN"),
    (10, secret, "SECRET_DOCUMENT"),
    (10, update, "EXCHANGE_UNKNOWN"),
    (10, replacement, "EXCHANGE_UNKNOWN"),
]
SPEAKING = [fault for fault in SUBMITTING if fault[0] <= 7 and fault[1] not in {expired, early}]


def pairs(faults: list[Any]) -> list[Any]:
    """Every two faults of different steps."""
    return [
        pytest.param(one, other, id=f"{one[0]}-{one[1].__name__}-{other[0]}-{other[1].__name__}")
        for one, other in itertools.combinations(faults, 2)
        if one[0] != other[0]
    ]


@pytest.fixture(scope="module")
def hub() -> MemoryHub:
    hub = new_hub()
    hub.enrol(EXPIRED)
    hub.enrol(EARLY)
    hub.clock.advance(timedelta(minutes=1))
    return hub


@pytest.fixture(scope="module")
def envelope(hub: MemoryHub) -> SignedStatement:
    """A document that was accepted for RECIPIENT."""
    envelope = Party(SENDER).envelope(RECIPIENT)
    hub.submit(SENDER, envelope)
    return envelope


@pytest.fixture
def submission(hub: MemoryHub, envelope: SignedStatement) -> Draft:
    members = {"recipients": [RECIPIENT], "action": "new", "document": document(CONTENTS)}
    draft = Draft(SENDER, header(SENDER) | members)
    draft.used_request_id = request_id_of(envelope)
    return draft


def refused(hub: MemoryHub, draft: Draft, say: Callable[[], Any]) -> str:
    before = hub.log.request_count()
    with pytest.raises(HubError) as refusal:
        say()
    assert hub.log.request_count() == before, "a refusal binds no request id"
    return refusal.value.reason


def test_a_submission_without_a_fault_is_accepted(hub: MemoryHub, submission: Draft):
    assert hub.submit(SENDER, submission.signed(), submission.contents).position > 10


@pytest.mark.parametrize(("step", "spoil", "reason"), SUBMITTING)
def test_one_fault_gets_its_reason(hub: MemoryHub, submission: Draft, step, spoil, reason):
    spoil(submission)
    signed = submission.signed()

    given = refused(hub, submission, lambda: hub.submit(SENDER, signed, submission.contents))

    assert given == reason


@pytest.mark.parametrize(("one", "other"), pairs(SUBMITTING))
def test_of_two_faults_the_earlier_step_answers(hub: MemoryHub, submission: Draft, one, other):
    for _, spoil, _ in (other, one):
        spoil(submission)
    signed = submission.signed()

    given = refused(hub, submission, lambda: hub.submit(SENDER, signed, submission.contents))

    assert given == one[2]


def test_with_a_fault_at_every_step_they_come_up_one_after_the_other(
    hub: MemoryHub, submission: Draft
):
    last_of_step = {step: (spoil, reason) for step, spoil, reason in SUBMITTING}
    for first in sorted(last_of_step):
        draft = Draft(
            SENDER,
            header(SENDER)
            | {
                name: value
                for name, value in submission.members.items()
                if name in {"recipients", "action", "document"}
            },
        )
        draft.members["document"] = document(CONTENTS)
        draft.used_request_id = submission.used_request_id
        for step in sorted(last_of_step, reverse=True):
            if step >= first:
                last_of_step[step][0](draft)
        signed, contents = draft.signed(), draft.contents

        given = refused(hub, draft, lambda s=signed, c=contents: hub.submit(SENDER, s, c))

        assert given == last_of_step[first][1]


# --- What is said of an envelope ------------------------------------------------------------------


SPEECHES = {
    "collect": (RECIPIENT, Collect, {}),
    "report": (RECIPIENT, Status, {"code": "03"}),
    "answer": (RECIPIENT, RecallAnswer, {"code": "16", "reason": "đã xử lý"}),
    "recall": (SENDER, Recall, {"reason": "ban hành nhầm"}),
}


def spoken(call: str, envelope: SignedStatement) -> Draft:
    """Something that may be said of the envelope, in the making."""
    caller, kind, more = SPEECHES[call]
    members = header(caller) | {"envelope_digest": envelope.digest.hex()} | more
    return Draft(caller, members, payload_type=kind.MEDIA_TYPE, party=Party(caller), call=call)


@pytest.fixture(params=SPEECHES)
def speech(request: pytest.FixtureRequest, hub: MemoryHub, envelope: SignedStatement) -> Draft:
    draft = spoken(request.param, envelope)
    if draft.caller == SENDER:
        draft.used_request_id = request_id_of(envelope)
    else:
        said = Party(RECIPIENT).status(envelope, "01")
        hub.report(RECIPIENT, said)
        draft.used_request_id = request_id_of(said)
    return draft


def say(hub: MemoryHub, draft: Draft) -> Any:
    return getattr(hub, draft.call)(draft.caller, draft.signed())


@pytest.mark.parametrize(("one", "other"), pairs(SPEAKING))
def test_whoever_speaks_of_an_envelope_hears_of_the_earlier_fault_too(
    hub: MemoryHub, speech: Draft, one, other
):
    for _, spoil, _ in (other, one):
        spoil(speech)

    assert refused(hub, speech, lambda: say(hub, speech)) == one[2]


@pytest.mark.parametrize(("step", "spoil", "reason"), SPEAKING)
def test_a_faulty_statement_learns_nothing_of_the_exchange_it_names(
    hub: MemoryHub, speech: Draft, step, spoil, reason
):
    speech.members["envelope_digest"] = "00" * 32
    spoil(speech)

    assert refused(hub, speech, lambda: say(hub, speech)) == reason


def test_who_takes_no_part_gets_the_answer_of_what_does_not_exist(hub: MemoryHub, speech: Draft):
    def message(draft: Draft) -> str:
        with pytest.raises(HubError) as refusal:
            say(hub, draft)
        assert refusal.value.reason == "EXCHANGE_UNKNOWN"
        return str(refusal.value) + str(refusal.value.metadata)

    stranger = replace(speech, caller=OTHER, party=Party(OTHER))
    stranger.members = speech.members | header(OTHER)
    first = message(stranger)
    stranger.members |= {"envelope_digest": "00" * 32, "request_id": header(OTHER)["request_id"]}

    assert message(stranger) == first


def test_a_party_in_the_other_role_is_told_so(hub: MemoryHub, speech: Draft):
    """The sender neither collects, reports nor answers; a recipient recalls nothing."""
    speech.caller = RECIPIENT if speech.caller == SENDER else SENDER
    speech.party = Party(speech.caller)
    speech.members |= header(speech.caller)

    assert refused(hub, speech, lambda: say(hub, speech)) == "NOT_A_PARTY"


# --- The rules of recall and release come last ------------------------------------------------


def nowhere(draft: Draft) -> None:
    draft.members["envelope_digest"] = "00" * 32


def recalled_and_answered(hub: MemoryHub) -> SignedStatement:
    """A document whose recall was asked for and agreed to: nothing more is open."""
    envelope = Party(SENDER).envelope(RECIPIENT)
    hub.submit(SENDER, envelope)
    hub.recall(SENDER, Party(SENDER).recall(envelope))
    hub.answer(RECIPIENT, Party(RECIPIENT).recall_answer(envelope, "15"))
    return envelope


RULES = {
    "collect": "CONTENT_WITHHELD",
    "answer": "RECALL_NOT_OPEN",
    "recall": "RECALL_ASKED_ALREADY",
}


@pytest.mark.parametrize("call", RULES)
def test_a_rule_of_the_action_is_the_last_to_answer(hub: MemoryHub, call: str):
    envelope = recalled_and_answered(hub)
    draft = spoken(call, envelope)
    assert refused(hub, draft, lambda: say(hub, draft)) == RULES[call]

    for _, spoil, reason in [*SPEAKING, (8, nowhere, "EXCHANGE_UNKNOWN")]:
        draft = spoken(call, envelope)
        draft.used_request_id = request_id_of(envelope)
        if draft.caller == RECIPIENT:
            said = Party(RECIPIENT).status(envelope, "01")
            hub.report(RECIPIENT, said)
            draft.used_request_id = request_id_of(said)
        spoil(draft)

        assert refused(hub, draft, lambda d=draft: say(hub, d)) == reason


def test_content_comes_before_the_document_an_update_relates_to(hub: MemoryHub, submission: Draft):
    """Whoever guesses at digests learns nothing, and stores nothing."""
    update(submission)
    submission.members["relates_to"] = recalled_and_answered(hub).digest.hex()
    submission.contents = []

    given = refused(hub, submission, lambda: hub.submit(SENDER, submission.signed(), []))

    assert given == "CONTENT_MISSING"
