"""What the hub refuses, in which words, and that a refusal leaves nothing behind.

Everything here is sent past the SDK, which would have refused it first.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from adapters.system import system_clock
from hub.application.refusals import RECORDED_REASONS, REFUSALS_PER_MINUTE_MAX
from hub.bootstrap import core
from hub.bootstrap.folder import DataFolder
from hub.errors import hub_errors
from hub.proof.signatures import Algorithm
from hub.proof.statements import Collect, Envelope, Status
from hub.server.errors import DOMAIN, STATUS_OF
from hub.v1 import exchange_pb2 as wire
from hub.v1 import exchange_service_pb2 as calls
from keys.development_ca import Issued
from tests.e2e.conftest import MovedClock
from tests.support.hubs import (
    CALL_DEADLINE_S,
    NOI_VU,
    ORIGIN,
    QUAN_1,
    SAMPLES,
    TAI_CHINH,
    Y_TE,
    Founded,
    Refusal,
    Running,
    Speaker,
    collect,
    collection,
    described,
    digest_of,
    encoded,
    envelope,
    raw_channel,
    raw_method,
    raw_stub,
    refusal_of,
    refusal_of_stream,
    report,
    request_id_of,
    serving,
    signed,
    status,
    submission,
)
from tests.support.patience import PATIENCE_S

CONTENT = b"%PDF-1.7 " + bytes(range(256))
MIB = 1 << 20
SUBMIT = "/hub.v1.ExchangeService/SubmitDocument"


@pytest.fixture
def sender(hub: Running) -> Speaker:
    return hub.speaker(QUAN_1)


@pytest.fixture
def recipient(hub: Running) -> Speaker:
    return hub.speaker(TAI_CHINH)


@pytest.fixture
async def exchange(hub, sender):
    async with raw_stub(sender.transport, hub.port) as stub:
        yield stub


def require_told(refusal: Refusal, reason: str) -> None:
    """The refusal has this reason, in our domain, and the status that belongs to it."""
    assert (refusal.reason, refusal.domain) == (reason, DOMAIN), refusal
    assert refusal.status == STATUS_OF[hub_errors()[reason]].name
    assert refusal.message


# --- Submissions ------------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    """A submission that is refused: how it is made, for which reason, about which field."""

    name: str
    reason: str
    make: Callable[[Running, Speaker], calls.SubmitDocumentRequest]
    metadata: tuple[tuple[str, str], ...] = ()


def request(statement: wire.SignedStatement, *contents: bytes) -> calls.SubmitDocumentRequest:
    return calls.SubmitDocumentRequest(envelope=statement, contents=contents)


def good(sender: Speaker, **more: Any) -> dict[str, Any]:
    return envelope(sender, [TAI_CHINH, Y_TE], [CONTENT], **more)


def said(payload: Callable[[dict[str, Any]], Any]) -> Callable[..., calls.SubmitDocumentRequest]:
    """A well-signed submission of an envelope that was changed, or replaced, before signing."""

    def make(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
        members = good(sender)
        changed = payload(members)
        return request(signed(sender, members if changed is None else changed), CONTENT)

    return make


def member(name: str, value: Any) -> Callable[..., calls.SubmitDocumentRequest]:
    """A well-signed submission with one member, dotted if it lies deeper, set to something."""

    def put(members: dict[str, Any]) -> None:
        *path, last = name.split(".")
        for part in path:
            members = members[part]
        members[last] = value

    return said(put)


def without(name: str) -> Callable[..., calls.SubmitDocumentRequest]:
    """A well-signed submission with one member left out."""

    def drop(members: dict[str, Any]) -> None:
        *path, last = name.split(".")
        for part in path:
            members = members[part]
        del members[last]

    return said(drop)


def raw(change: Callable[[bytes], bytes]) -> Callable[..., calls.SubmitDocumentRequest]:
    """A well-signed submission whose JSON text was changed before signing."""
    return said(lambda members: change(encoded(members)))


def enclosing(*contents: bytes, **attachment: Any) -> Callable[..., calls.SubmitDocumentRequest]:
    """A good envelope about CONTENT, or with its attachment changed, sent with other content."""

    def make(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
        members = good(sender)
        members["document"]["attachments"][0].update(attachment)
        return request(signed(sender, members), *contents)

    return make


def signed_otherwise(**how: Any) -> Callable[..., calls.SubmitDocumentRequest]:
    def make(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
        return request(signed(sender, good(sender), **how), CONTENT)

    return make


def signed_before_it_was_changed(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
    members = good(sender)
    signature = signed(sender, members).signature
    members["recipients"].reverse()
    return request(signed(sender, members, signature=signature), CONTENT)


def signed_without_its_type(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
    members = good(sender)
    signature = signed(sender, members, Status.MEDIA_TYPE).signature
    return request(signed(sender, members, signature=signature), CONTENT)


def signed_by_another_agency(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
    other = hub.speaker(TAI_CHINH)
    statement = signed(other, good(sender), key_id=sender.key_id)
    return request(statement, CONTENT)


def signed_as_another_agency(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
    return request(signed(hub.speaker(TAI_CHINH), good(sender)), CONTENT)


def signed_with_the_connection_key(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
    assert sender.transport.key is not None
    transport = Issued(sender.transport.certificate or b"", sender.transport.key)
    other = sender.with_key(transport, Algorithm.ECDSA_P256_SHA256)
    return request(signed(other, good(sender)), CONTENT)


def signed_with_a_new_key(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
    issued = hub.founded.authority.issue_signing("new", Algorithm.ED25519)
    other = sender.with_key(issued, Algorithm.ED25519)
    return request(signed(other, good(sender)), CONTENT)


def for_another_agency(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
    other = hub.speaker(NOI_VU)
    return request(signed(other, good(other)), CONTENT)


def nested(depth: int) -> dict[str, Any]:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return {"x": value}


def two_contents_swapped(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
    one, two = CONTENT, CONTENT[::-1]
    statement = signed(sender, envelope(sender, [TAI_CHINH], [one, two]))
    return request(statement, two, one)


def too_much_content(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
    # Above 4 MiB too, where gRPC's own limit usually lies: the answer must still be ours.
    contents = [bytes(3 * MIB), bytes(2 * MIB)]
    return submission(sender, [TAI_CHINH], contents)


def an_oversized_statement(hub: Running, sender: Speaker) -> calls.SubmitDocumentRequest:
    return request(signed(sender, good(sender, x_note="x" * MIB)), CONTENT)


ATTACHMENT = described(0, CONTENT)
FIELD = "field"

BAD: tuple[Bad, ...] = (
    # Size, before anything is parsed.
    Bad("a statement over 1 MiB", "TOO_LARGE", an_oversized_statement, (("limit", str(MIB)),)),
    Bad("a signature over 1 KiB", "TOO_LARGE", signed_otherwise(signature=bytes(1025))),
    # The JSON.
    Bad("no payload at all", "STATEMENT_MALFORMED", raw(lambda _: b"")),
    Bad("not JSON", "STATEMENT_MALFORMED", raw(lambda text: text[:-1])),
    Bad("something behind the JSON", "STATEMENT_MALFORMED", raw(lambda text: text + b"{}")),
    Bad("not UTF-8", "STATEMENT_MALFORMED", raw(lambda text: text.replace(b"normal", b"\xff"))),
    Bad("a byte order mark", "STATEMENT_MALFORMED", raw(lambda text: b"\xef\xbb\xbf" + text)),
    Bad("a lone surrogate", "STATEMENT_MALFORMED", member("x_note", "\ud800")),
    Bad("a name twice", "STATEMENT_MALFORMED", raw(lambda text: text[:-1] + b',"v":1}')),
    Bad(
        "a name twice, deeper",
        "STATEMENT_MALFORMED",
        raw(lambda text: text.replace(b'"secrecy"', b'"secrecy":"none","secrecy"')),
    ),
    Bad("not a number", "STATEMENT_MALFORMED", member("x_note", float("nan"))),
    Bad("an integer beyond 2^53", "STATEMENT_MALFORMED", member("sender_seq", 2**53)),
    Bad("nested 17 deep", "STATEMENT_MALFORMED", member("x_note", nested(15))),
    Bad("nested 100,000 deep", "STATEMENT_MALFORMED", raw(lambda _: b"[" * 100_000)),
    Bad("an array", "STATEMENT_MALFORMED", said(lambda members: encoded(b"[]"))),
    # Fields.
    *(
        Bad(f"without {name}", "STATEMENT_MALFORMED", without(name), ((FIELD, name),))
        for name in (
            "v",
            "hub",
            "agency",
            "request_id",
            "nonce",
            "created_at",
            "recipients",
            "action",
            "document",
            "document.number",
            "document.secrecy",
            "document.subject",
            "document.attachments",
        )
    ),
    *(
        Bad(f"{name} = {value!r:.30}", "STATEMENT_MALFORMED", member(name, value), ((FIELD, name),))
        for name, value in (
            ("v", "1"),
            ("v", True),
            ("v", 1.0),
            ("v", 2),
            ("hub", 7),
            ("agency", "../etc"),
            ("request_id", "207AD816-5DCD-405E-8A5E-421E1120E2A5"),
            ("request_id", "not a uuid"),
            ("nonce", base64.b64encode(bytes(15)).decode()),
            ("created_at", "2026-11-22T08:30:00Z"),
            ("created_at", "2026-02-30T08:30:00+07:00"),
            ("recipients", TAI_CHINH),
            ("recipients", []),
            ("recipients", [TAI_CHINH, Y_TE, TAI_CHINH]),
            ("recipients", [TAI_CHINH, QUAN_1]),
            ("action", "delete"),
            ("document", []),
            ("document.subject", ""),
            ("document.subject", "x" * 2001),
            ("document.subject", "a\x00b"),
            ("document.issued_on", "22/11/2026"),
            ("document.attachments", [ATTACHMENT, ATTACHMENT]),
            ("document.attachments", [{**ATTACHMENT, "name": str(n)} for n in range(65)]),
        )
    ),
    *(
        Bad(
            f"attachment with {name} = {value!r:.30}",
            "STATEMENT_MALFORMED",
            enclosing(CONTENT, **{name: value}),
            ((FIELD, f"document.attachments[0].{name}"),),
        )
        for name, value in (
            ("name", "../../etc/passwd"),
            ("name", "a/b"),
            ("name", ".."),
            ("size", -1),
            ("size", 2**31 + 1),
            ("sha256", "ab"),
            ("sha256", ATTACHMENT["sha256"].upper()),
        )
    ),
    # The call takes exactly one type.
    Bad(
        "an envelope called a collect statement",
        "STATEMENT_MALFORMED",
        lambda hub, sender: request(signed(sender, good(sender), Collect.MEDIA_TYPE), CONTENT),
        ((FIELD, "payload_type"),),
    ),
    Bad(
        "a collect statement",
        "STATEMENT_MALFORMED",
        lambda hub, sender: request(
            signed(sender, collect(sender, bytes(32)), Collect.MEDIA_TYPE), CONTENT
        ),
        ((FIELD, "payload_type"),),
    ),
    Bad(
        "a type nobody knows",
        "STATEMENT_MALFORMED",
        lambda hub, sender: request(signed(sender, good(sender), "text/" + "x" * MIB), CONTENT),
        ((FIELD, "payload_type"),),
    ),
    Bad(
        "nothing filled in",
        "STATEMENT_MALFORMED",
        lambda hub, sender: calls.SubmitDocumentRequest(),
        ((FIELD, "payload_type"),),
    ),
    # Where it is, and who speaks.
    Bad("made for another hub", "WRONG_HUB", member("hub", "staging/log"), (("hub", ORIGIN),)),
    Bad("speaking for another agency", "AGENCY_MISMATCH", for_another_agency),
    # The key.
    Bad("an unknown key", "KEY_UNKNOWN", signed_with_a_new_key),
    Bad("another agency's key, named", "KEY_UNKNOWN", signed_as_another_agency),
    Bad("the connection's own key", "KEY_UNKNOWN", signed_with_the_connection_key),
    Bad("no key named", "KEY_UNKNOWN", signed_otherwise(key_id="")),
    Bad("a key id of 1 MiB", "KEY_UNKNOWN", signed_otherwise(key_id="é" * MIB)),
    # The signature.
    Bad("unsigned", "SIGNATURE_INVALID", signed_otherwise(signature=b"")),
    Bad("a signature of zeros", "SIGNATURE_INVALID", signed_otherwise(signature=bytes(64))),
    Bad("changed after it was signed", "SIGNATURE_INVALID", signed_before_it_was_changed),
    Bad("signed as another type", "SIGNATURE_INVALID", signed_without_its_type),
    Bad("another agency's key, not named", "SIGNATURE_INVALID", signed_by_another_agency),
    # The content.
    Bad("content that did not come", "CONTENT_MISSING", enclosing(), (("expected", "1"),)),
    Bad("too many contents", "CONTENT_MISSING", enclosing(CONTENT, b""), (("expected", "1"),)),
    Bad("content that is another", "DIGEST_MISMATCH", enclosing(CONTENT[::-1])),
    Bad("a wrong digest", "DIGEST_MISMATCH", enclosing(CONTENT, sha256="ab" * 32)),
    Bad("a size too small", "DIGEST_MISMATCH", enclosing(CONTENT, size=len(CONTENT) - 1)),
    Bad("a size too large", "DIGEST_MISMATCH", enclosing(CONTENT, size=len(CONTENT) + 1)),
    Bad("contents in another order", "DIGEST_MISMATCH", two_contents_swapped),
    Bad("5 MiB of attachments", "TOO_LARGE", too_much_content, (("limit", str(3 * MIB)),)),
    # The recipients, and the rules of the action.
    Bad(
        "two recipients of three unknown",
        "RECIPIENT_UNKNOWN",
        member("recipients", ["X.1", TAI_CHINH, "X.2"]),
        (("recipients", "X.1, X.2"), ("count", "2")),
    ),
    Bad(
        "a thousand unknown recipients",
        "RECIPIENT_UNKNOWN",
        member("recipients", [f"X{'9' * 30}.{n}" for n in range(1000)]),
        (("count", "1000"),),
    ),
    Bad("a secret document", "SECRET_DOCUMENT", member("document.secrecy", "mat")),
    Bad(
        "an update of nothing",
        "EXCHANGE_UNKNOWN",
        said(lambda members: {**members, "action": "update", "relates_to": "ab" * 32}),
    ),
    Bad(
        "a replacement of nothing",
        "EXCHANGE_UNKNOWN",
        said(lambda members: {**members, "action": "replace", "relates_to": "ab" * 32}),
    ),
    Bad(
        "an update that names nothing",
        "STATEMENT_MALFORMED",
        said(lambda members: {**members, "action": "update"}),
        (("field", "relates_to"),),
    ),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(
    newly_founded: Founded, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Running, MovedClock]]:
    """One hub for all that is refused, since that leaves nothing behind; and its clock."""
    clock, root = MovedClock(), tmp_path_factory.mktemp("lasting") / "hub"
    shutil.copytree(newly_founded.folder.root, root)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(core, "system_clock", clock)
        async with serving(Founded(DataFolder(root))) as hub:
            yield hub, clock


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name.replace(" ", "-"))
async def test_a_bad_submission_is_refused_and_leaves_nothing_but_its_refusal(lasting, bad):
    hub, clock = lasting
    clock.ahead += timedelta(minutes=1)  # In each some refusals are recorded.
    sender = hub.speaker(QUAN_1)
    message = bad.make(hub, sender)
    before = hub.trace()

    async with raw_stub(sender.transport, hub.port) as exchange:
        refusal = await refusal_of(exchange.SubmitDocument(message))

    require_told(refusal, bad.reason)
    assert dict(bad.metadata).items() <= refusal.metadata.items()
    if bad.reason in RECORDED_REASONS:
        before = before.with_refusal(QUAN_1, bad.reason, digest_of(message.envelope))
    assert hub.trace() == before


def test_every_recorded_reason_has_a_submission_that_meets_it():
    met = {bad.reason for bad in BAD}

    # The first two need a key that is enrolled for another time; they are tested below. The
    # others need an operator to change an agency: see test_agencies and test_revocation.
    elsewhere = {
        *("KEY_NOT_YET_VALID", "KEY_EXPIRED", "KEY_REVOKED"),
        *("AGENCY_SUSPENDED", "AGENCY_SUCCEEDED"),
    }
    assert met >= RECORDED_REASONS - elsewhere


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("code", [sample.code for sample in SAMPLES])
@pytest.mark.parametrize("signature", [b"", b"\x00", bytes(64), bytes(256)], ids=len)
async def test_no_algorithm_takes_a_signature_that_is_none(lasting, code, signature):
    hub, _ = lasting
    speaker = hub.speaker(code)
    statement = signed(speaker, envelope(speaker, [other_than(code)]), signature=signature)

    async with raw_stub(speaker.transport, hub.port) as stub:
        require_told(await refusal_of(stub.SubmitDocument(request(statement))), "SIGNATURE_INVALID")


def other_than(code: str) -> str:
    return TAI_CHINH if code != TAI_CHINH else QUAN_1


async def test_a_key_is_refused_before_its_time_and_after_it(hub, clock, sender, exchange):
    begin, end = (system_clock() + timedelta(hours=hours) for hours in (1, 2))
    early = await enrolled_for(hub, sender, begin, end)
    before = hub.trace()

    for ahead, reason in ((0, "KEY_NOT_YET_VALID"), (3, "KEY_EXPIRED")):
        clock.ahead = timedelta(hours=ahead)
        message = submission(early, [TAI_CHINH], [CONTENT])
        require_told(await refusal_of(exchange.SubmitDocument(message)), reason)
        before = before.with_refusal(QUAN_1, reason, digest_of(message.envelope))
        assert hub.trace() == before


async def test_a_key_is_good_within_its_time(hub, clock, sender, exchange):
    begin, end = (system_clock() + timedelta(hours=hours) for hours in (1, 3))
    early = await enrolled_for(hub, sender, begin, end)
    clock.ahead = timedelta(hours=2)

    await exchange.SubmitDocument(submission(early, [TAI_CHINH], [CONTENT]))


async def enrolled_for(hub, sender, begin, end):
    """The sender with another key, enrolled for this time."""
    from hub.client import RegistryClient
    from hub.proof.trust import Purpose

    issued = hub.founded.authority.issue_signing("early", Algorithm.ED25519, begin, end)
    async with RegistryClient.open(hub.founded.operator_profile(hub.port)) as registry:
        await registry.enrol_certificate(
            sender.code, issued.certificate_pem, Purpose.SIGNING, Algorithm.ED25519
        )
    return sender.with_key(issued, Algorithm.ED25519)


async def test_of_a_hundred_refusals_in_a_minute_ten_are_recorded(hub, clock, sender, exchange):
    before = hub.trace()
    unsigned = signed(sender, envelope(sender, [TAI_CHINH]), signature=b"")

    for _ in range(100):
        refusal = await refusal_of(exchange.SubmitDocument(request(unsigned)))
        require_told(refusal, "SIGNATURE_INVALID")

    assert hub.trace().events == before.events + REFUSALS_PER_MINUTE_MAX == before.events + 10
    clock.ahead = timedelta(seconds=61)
    await refusal_of(exchange.SubmitDocument(request(unsigned)))
    assert hub.trace().events == before.events + 11


async def test_one_agencys_refusals_do_not_use_up_anothers_minute(hub, sender, exchange):
    for _ in range(REFUSALS_PER_MINUTE_MAX + 1):
        unsigned = signed(sender, envelope(sender, [TAI_CHINH]), signature=b"")
        await refusal_of(exchange.SubmitDocument(request(unsigned)))
    other = hub.speaker(Y_TE)
    before = hub.trace()

    unsigned = signed(other, envelope(other, [TAI_CHINH]), signature=b"")
    async with raw_stub(other.transport, hub.port) as stub:
        await refusal_of(stub.SubmitDocument(request(unsigned)))

    digest = digest_of(unsigned)
    assert hub.trace() == before.with_refusal(Y_TE, "SIGNATURE_INVALID", digest)


@pytest.mark.parametrize("contents", [(), (CONTENT,)], ids=["without-content", "with-content"])
async def test_a_request_id_carries_one_statement_only(hub, sender, exchange, contents):
    first = submission(sender, [TAI_CHINH], contents)
    await exchange.SubmitDocument(first)
    before = hub.trace()
    request_id = request_id_of(first.envelope)

    other = submission(sender, [Y_TE], contents, request_id=request_id)
    refusal = await refusal_of(exchange.SubmitDocument(other))

    require_told(refusal, "REQUEST_ID_REUSED")
    assert refusal.metadata["first_digest"] == digest_of(first.envelope).hex()
    assert hub.trace() == before


async def test_a_reused_request_id_is_named_before_a_bad_signature(hub, sender, exchange):
    first = submission(sender, [TAI_CHINH])
    await exchange.SubmitDocument(first)
    before = hub.trace()

    members = envelope(sender, [Y_TE], request_id=request_id_of(first.envelope))
    refusal = await refusal_of(
        exchange.SubmitDocument(request(signed(sender, members, signature=b"")))
    )

    require_told(refusal, "REQUEST_ID_REUSED")
    assert hub.trace() == before


async def test_a_refused_request_id_can_be_mended_and_sent_again(hub, sender, exchange):
    bad = submission(sender, ["X.1"], [CONTENT])
    require_told(await refusal_of(exchange.SubmitDocument(bad)), "RECIPIENT_UNKNOWN")

    mended = submission(sender, [TAI_CHINH], [CONTENT], request_id=request_id_of(bad.envelope))
    answer = await exchange.SubmitDocument(mended)

    assert json.loads(answer.acceptance.receipt.leaf)["data"]["sender"] == QUAN_1


async def test_another_agency_may_use_the_same_request_id(hub, sender, recipient, exchange):
    first = submission(sender, [Y_TE])
    one = await exchange.SubmitDocument(first)

    async with raw_stub(recipient.transport, hub.port) as stub:
        request_id = request_id_of(first.envelope)
        two = await stub.SubmitDocument(submission(recipient, [Y_TE], request_id=request_id))

    assert one.acceptance.exchange_id != two.acceptance.exchange_id


async def test_a_message_beyond_the_transport_limit_never_reaches_the_hub(hub, sender, exchange):
    before = hub.trace()

    refusal = await refusal_of(
        exchange.SubmitDocument(submission(sender, [TAI_CHINH], [bytes(17 * MIB)]))
    )

    assert (refusal.status, refusal.reason) == ("RESOURCE_EXHAUSTED", None)
    assert hub.trace() == before


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\x0a\x05"]
)
async def test_what_is_no_message_at_all_is_refused_without_a_trace(hub, sender, garbage):
    before = hub.trace()

    async with raw_channel(sender.transport, hub.port) as channel:
        refusal = await refusal_of(raw_method(channel, SUBMIT)(garbage))

    assert refusal.reason is None
    assert "Traceback" not in refusal.message
    assert hub.trace() == before


async def test_after_all_that_the_hub_serves_on(hub, sender, exchange):
    for bad in BAD:
        await refusal_of(exchange.SubmitDocument(bad.make(hub, sender)))

    await exchange.SubmitDocument(submission(sender, [TAI_CHINH, Y_TE], [CONTENT]))


# --- Collecting and reporting -----------------------------------------------------------


@pytest.fixture
async def sent(sender, exchange) -> bytes:
    """The digest of an envelope from Quận 1 to Tài chính."""
    message = submission(sender, [TAI_CHINH], [CONTENT])
    await exchange.SubmitDocument(message)
    return digest_of(message.envelope)


def about(hub: Running, code: str, method: str, digest: bytes) -> tuple[Any, Speaker]:
    """A good statement about an envelope: the message, and who says it."""
    speaker = hub.speaker(code)
    make = {"CollectDocument": collection, "ReportStatus": report}[method]
    return make(speaker, digest), speaker


BOTH = pytest.mark.parametrize("method", ["CollectDocument", "ReportStatus"])


@BOTH
async def test_anothers_exchange_is_answered_like_one_that_does_not_exist(hub, sent, method):
    answers = []
    before = hub.trace()
    for digest in (sent, bytes(32)):
        message, stranger = about(hub, Y_TE, method, digest)
        async with raw_stub(stranger.transport, hub.port) as stub:
            answers.append(await refusal_of(getattr(stub, method)(message)))

    require_told(answers[0], "EXCHANGE_UNKNOWN")
    assert answers[0] == answers[1]
    assert hub.trace() == before


@BOTH
async def test_the_sender_cannot_speak_as_a_recipient(hub, sent, method):
    message, sender = about(hub, QUAN_1, method, sent)
    before = hub.trace()

    async with raw_stub(sender.transport, hub.port) as stub:
        require_told(await refusal_of(getattr(stub, method)(message)), "NOT_A_PARTY")

    assert hub.trace() == before


@BOTH
async def test_a_statement_about_something_other_than_an_envelope_is_answered_as_unknown(
    hub, sent, method
):
    first, recipient = about(hub, TAI_CHINH, "CollectDocument", sent)
    async with raw_stub(recipient.transport, hub.port) as stub:
        await stub.CollectDocument(first)
        before = hub.trace()
        message, _ = about(hub, TAI_CHINH, method, digest_of(first.collect))
        require_told(await refusal_of(getattr(stub, method)(message)), "EXCHANGE_UNKNOWN")

    assert hub.trace() == before


def bad_statements(speaker: Speaker, sent: bytes, kind: str) -> Iterator[tuple[str, Any]]:
    """Reason and statement, for what goes wrong with a collect or status statement."""
    media_type = {"collect": Collect.MEDIA_TYPE, "status": Status.MEDIA_TYPE}[kind]
    members = status(speaker, sent) if kind == "status" else collect(speaker, sent)

    def said_as(**changes: Any) -> wire.SignedStatement:
        return signed(speaker, {**members, **changes}, media_type)

    yield "SIGNATURE_INVALID", signed(speaker, members, media_type, signature=b"")
    yield "KEY_UNKNOWN", signed(speaker, members, media_type, key_id="ab" * 32)
    yield "WRONG_HUB", said_as(hub="staging/log")
    yield "AGENCY_MISMATCH", said_as(agency=Y_TE)
    yield "STATEMENT_MALFORMED", said_as(envelope_digest="ab")
    yield "STATEMENT_MALFORMED", said_as(request_id="1")
    yield "STATEMENT_MALFORMED", signed(speaker, members, Envelope.MEDIA_TYPE)
    yield "TOO_LARGE", said_as(x_note="x" * MIB)
    if kind == "status":
        yield "STATEMENT_MALFORMED", said_as(code="07")
        yield "STATEMENT_MALFORMED", said_as(code=1)
        yield "STATEMENT_MALFORMED", said_as(code="02")
        yield "STATEMENT_MALFORMED", said_as(code="02", reason="")


@pytest.mark.parametrize("kind", ["collect", "status"])
async def test_a_bad_statement_of_a_recipient_is_refused_without_a_trace(
    hub, recipient, sent, kind
):
    before = hub.trace()

    async with raw_stub(recipient.transport, hub.port) as stub:
        for reason, statement in bad_statements(recipient, sent, kind):
            if kind == "collect":
                call = stub.CollectDocument(calls.CollectDocumentRequest(collect=statement))
            else:
                call = stub.ReportStatus(calls.ReportStatusRequest(status=statement))
            require_told(await refusal_of(call), reason)

    assert hub.trace() == before


async def test_a_request_id_of_a_collect_statement_cannot_carry_a_status(hub, recipient, sent):
    first = collection(recipient, sent)
    members = {**status(recipient, sent), "request_id": request_id_of(first.collect)}
    second = calls.ReportStatusRequest(status=signed(recipient, members, Status.MEDIA_TYPE))

    async with raw_stub(recipient.transport, hub.port) as stub:
        await stub.CollectDocument(first)
        before = hub.trace()
        require_told(await refusal_of(stub.ReportStatus(second)), "REQUEST_ID_REUSED")

    assert hub.trace() == before


# --- Content ----------------------------------------------------------------------------


@pytest.fixture
async def exchange_id(sent, recipient, hub) -> str:
    async with raw_stub(recipient.transport, hub.port) as stub:
        (item,) = (await stub.ListInbox(calls.ListInboxRequest())).items
    return str(item.exchange_id)


def download(stub: Any, exchange_id: str, index: int = 0, offset: int = 0) -> Any:
    message = calls.DownloadAttachmentRequest(
        exchange_id=exchange_id, attachment_index=index, offset=offset
    )
    return stub.DownloadAttachment(message, timeout=CALL_DEADLINE_S)


async def test_content_is_withheld_until_it_was_signed_for(hub, recipient, exchange_id):
    before = hub.trace()

    async with raw_stub(recipient.transport, hub.port) as stub:
        require_told(await refusal_of_stream(download(stub, exchange_id)), "NOT_COLLECTED")

    assert hub.trace() == before


async def test_reporting_a_status_is_not_signing_for_the_content(hub, recipient, sent, exchange_id):
    async with raw_stub(recipient.transport, hub.port) as stub:
        await stub.ReportStatus(report(recipient, sent, "06"))

        require_told(await refusal_of_stream(download(stub, exchange_id)), "NOT_COLLECTED")


async def test_content_ends_where_it_ends(hub, recipient, sent, exchange_id):
    async with raw_stub(recipient.transport, hub.port) as stub:
        await stub.CollectDocument(collection(recipient, sent))
        before = hub.trace()

        for offset in (0, 1, len(CONTENT)):
            pieces = [piece.data async for piece in download(stub, exchange_id, 0, offset)]
            assert b"".join(pieces) == CONTENT[offset:]
        for index, offset in ((0, len(CONTENT) + 1), (0, 2**64 - 1), (1, 0), (2**32 - 1, 0)):
            refusal = await refusal_of_stream(download(stub, exchange_id, index, offset))
            require_told(refusal, "REQUEST_MALFORMED")

    assert hub.trace() == before


async def test_content_is_released_to_nobody_else(hub, sender, recipient, sent, exchange_id):
    async with raw_stub(recipient.transport, hub.port) as stub:
        await stub.CollectDocument(collection(recipient, sent))

    async with raw_stub(sender.transport, hub.port) as stub:
        require_told(await refusal_of_stream(download(stub, exchange_id)), "NOT_A_PARTY")
    async with raw_stub(hub.speaker(Y_TE).transport, hub.port) as stub:
        anothers = await refusal_of_stream(download(stub, exchange_id))
        unknown = await refusal_of_stream(download(stub, "01a20167-0000-7000-8000-000000000000"))
    require_told(anothers, "EXCHANGE_UNKNOWN")
    assert anothers == unknown


async def test_an_exchange_is_shown_to_its_parties_only(hub, exchange_id):
    async with raw_stub(hub.speaker(Y_TE).transport, hub.port) as stub:
        answers = [
            await refusal_of(stub.GetExchange(calls.GetExchangeRequest(exchange_id=wanted)))
            for wanted in (exchange_id, "01a20167-0000-7000-8000-000000000000")
        ]

    require_told(answers[0], "EXCHANGE_UNKNOWN")
    assert answers[0] == answers[1]


# --- Fields beside the statement --------------------------------------------------------

NO_UUIDS = ("", "1", "x" * MIB, "01A20167-0000-7000-8000-000000000000", "{}", "0" * 32, "\x00")


@pytest.mark.parametrize("text", NO_UUIDS, ids=lambda text: repr(text[:40]))
async def test_what_is_no_uuid_is_refused(hub, exchange, text):
    before = hub.trace()

    ask = exchange.GetExchange(calls.GetExchangeRequest(exchange_id=text))
    require_told(await refusal_of(ask), "REQUEST_MALFORMED")
    require_told(await refusal_of_stream(download(exchange, text)), "REQUEST_MALFORMED")
    ask = exchange.GetSubmission(calls.GetSubmissionRequest(request_id=text))
    require_told(await refusal_of(ask), "REQUEST_UNKNOWN")

    assert hub.trace() == before


async def test_anothers_request_id_is_unknown(hub, sender, recipient, exchange):
    message = submission(sender, [TAI_CHINH])
    await exchange.SubmitDocument(message)
    wanted = calls.GetSubmissionRequest(request_id=request_id_of(message.envelope))

    async with raw_stub(recipient.transport, hub.port) as stub:
        require_told(await refusal_of(stub.GetSubmission(wanted)), "REQUEST_UNKNOWN")


@pytest.mark.parametrize("size", [-1, -(2**31)])
async def test_a_negative_page_size_is_refused(exchange, size):
    refusal = await refusal_of(exchange.ListInbox(calls.ListInboxRequest(page_size=size)))

    require_told(refusal, "REQUEST_MALFORMED")
    assert refusal.metadata == {"field": "page_size"}


@pytest.mark.parametrize("after", [2**63 - 1, 2**63, 2**64 - 1])
async def test_a_cursor_beyond_the_last_number_is_refused(hub, recipient, sent, after):
    async with raw_stub(recipient.transport, hub.port) as stub:
        listing = calls.ListInboxRequest(after=after, page_size=2**31 - 1)
        listed = await refusal_of(stub.ListInbox(listing))
        watched = await refusal_of_stream(
            stub.WatchInbox(calls.WatchInboxRequest(after=after), timeout=PATIENCE_S)
        )

    for refusal in (listed, watched):
        assert (refusal.status, refusal.reason) == ("OUT_OF_RANGE", "NUMBER_UNKNOWN")
        assert int(refusal.metadata["last"]) >= 1


async def test_a_method_that_does_not_exist_is_unimplemented(hub, sender):
    async with raw_channel(sender.transport, hub.port) as channel:
        refusal = await refusal_of(raw_method(channel, "/hub.v1.ExchangeService/Erase")(b""))

    assert refusal.status == "UNIMPLEMENTED"
