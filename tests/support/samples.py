"""One event of every kind in the catalogue, the same in every run."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from adapters.memory.determinism import CountedRandomness, FixedClock
from hub.domain.agency import Agency
from hub.domain.aggregate import StatementRecord
from hub.domain.approval import Approval, approval_id
from hub.domain.audit_trail import AuditTrail
from hub.domain.axis_link import AxisLink, ListedOnAxis
from hub.domain.delivery import Delivery
from hub.domain.exchange import (
    Consignment,
    ContentRecord,
    Exchange,
    SignatureRecord,
    UnsignedRecord,
)
from hub.domain.group import Group
from hub.domain.hub_key import HubKey
from hub.domain.log import Log
from hub.domain.principal import Principal
from hub.domain.refusal import Refusal
from hub.domain.relay import Direction, Relay, RelayKind, RelayState, arrival_id, relay_id
from hub.domain.revocation_evidence import RevocationEvidence
from hub.domain.timestamp import Timestamp
from hub.domain.values import format_time, sha256_hex, uuid7

# From the fifth second of the fifth minute on: no digit of a time is like another by chance.
FIRST = FixedClock()() + timedelta(minutes=5, seconds=5, microseconds=123456)


def sample_events() -> list[Any]:
    """The events of one small history, each kind once, in the order of the log."""
    randomness = CountedRandomness("samples")
    steps = (FIRST + timedelta(seconds=n) for n in range(100))

    def new_id() -> UUID:
        return uuid7(FIRST, randomness(10))

    log = Log.open(log_id=new_id(), at=next(steps), origin="lienthong.example/2026")
    key = HubKey.announce(
        key_id=new_id(),
        at=next(steps),
        purpose="checkpoint",
        verifier_key="lienthong.example/2026+bf9e43e3+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
        by="init",
    )
    key.activate(at=next(steps), by="init")
    principal = Principal.enrol(
        principal_id=new_id(),
        at=next(steps),
        name="thanh-tra-1",
        role="auditor",
        key_id=sha256_hex(b"auditor's key"),
        certificate=sha256_hex(b"auditor's certificate"),
        not_before="2026-01-01T00:00:00.000000Z",
        not_after="2027-01-01T00:00:00.000000Z",
        by="operator",
        request_id="6f2a5c1e-0000-4000-8000-000000000100",
    )
    agency = Agency.register(
        agency_id=new_id(),
        at=next(steps),
        code="H29.1.1",
        other_codes=["000.01.01.H29"],
        name="UBND Quận 1",
        by="operator",
        request_id="6f2a5c1e-0000-4000-8000-000000000001",
    )
    agency.enrol(
        at=next(steps),
        purpose="signing",
        algorithm="ecdsa-p256-sha256",
        key_id=sha256_hex(b"agency's key"),
        certificate=sha256_hex(b"agency's certificate"),
        not_before="2026-01-01T00:00:00.000000Z",
        not_after="2027-01-01T00:00:00.000000Z",
        by="operator",
        request_id="6f2a5c1e-0000-4000-8000-000000000002",
    )
    exchange = Exchange.submit(
        exchange_id=new_id(),
        at=next(steps),
        sender="H29.1.1",
        request_id="6f2a5c1e-0000-4000-8000-000000000003",
        statement=statement("envelope"),
        enrolment=5,
        action="new",
        relates_to=None,
        expires_at="2026-12-31T17:00:00+07:00",
        recipients=[
            Consignment(agency="H29.2.7", inbox_seq=1),
            Consignment(agency="H29.2.9", inbox_seq=41),
        ],
        attachments=[ContentRecord(sha256=sha256_hex(b"%PDF-1.7"), size=8)],
        warnings=["CLOCK_SKEW"],
    )
    delivery = Delivery.begin(exchange.id, "H29.2.7", FIRST)
    delivery.hand_over(
        at=next(steps), **_said(exchange, "collect", "6f2a5c1e-0000-4000-8000-000000000004", 12)
    )
    delivery.report(
        at=next(steps),
        code="01",
        **_said(exchange, "status", "6f2a5c1e-0000-4000-8000-000000000005", 13),
    )
    exchange.supersede(
        at=next(steps),
        replaces=False,
        by_exchange=new_id(),
        by_digest=sha256_hex(b"update"),
        notices=[
            Consignment(agency="H29.2.7", inbox_seq=3),
            Consignment(agency="H29.2.9", inbox_seq=42),
        ],
    )
    exchange.supersede(
        at=next(steps),
        replaces=True,
        by_exchange=new_id(),
        by_digest=sha256_hex(b"replacement"),
        notices=[
            Consignment(agency="H29.2.7", inbox_seq=5),
            Consignment(agency="H29.2.9", inbox_seq=44),
        ],
    )
    exchange.recall(
        at=next(steps),
        request_id="6f2a5c1e-0000-4000-8000-000000000006",
        envelope_digest=exchange.envelope_digest,
        statement=statement("recall"),
        enrolment=5,
        notices=[
            Consignment(agency="H29.2.7", inbox_seq=6),
            Consignment(agency="H29.2.9", inbox_seq=45),
        ],
        warnings=[],
    )
    delivery.answer_recall(
        at=next(steps),
        code="15",
        **_said(exchange, "recall-answer", "6f2a5c1e-0000-4000-8000-000000000007", 14),
    )
    uncollected = Delivery.begin(exchange.id, "H29.2.9", FIRST)
    uncollected.expire(
        at=next(steps),
        exchange=str(exchange.id),
        agency="H29.2.9",
        sender="H29.1.1",
        inbox_seq=46,
        outbox_seq=15,
        envelope_digest=exchange.envelope_digest,
        expires_at="2026-12-31T10:00:00+00:00",
    )
    refusal = Refusal.record(
        refusal_id=new_id(),
        at=next(steps),
        agency="H29.2.7",
        reason="SIGNATURE_INVALID",
        payload_type="application/vnd.lienthong.envelope.v1+json",
        digest=sha256_hex(b"refused"),
    )
    aggregates = (log, key, principal, agency, exchange, delivery, uncollected, refusal)
    # Some facts lie between those of another aggregate; their times say where.
    events = sorted(
        (event for aggregate in aggregates for event in aggregate.collect_events()),
        key=lambda event: event.timestamp,
    )
    # Last, as each kind of event draws its nonce in this order.
    events += _of_agencies(agency, new_id(), steps)
    log.correct_calendar(
        at=next(steps),
        day=date(2026, 1, 10),
        working=True,
        basis="QĐ 123/QĐ-TTg",
        by="operator",
        request_id="6f2a5c1e-0000-4000-8000-000000000006",
    )
    witness = "witness.example/w1+d7744454+BPck7Ua4dLPhmJVWe2MJG+7FPf0ffZ5EmxoPjVCX221W"
    log.change_witnesses(at=next(steps), witnesses=[witness])
    events += log.collect_events()
    return [
        *events,
        *_timestamp(new_id(), next(steps)),
        *_of_auditors(exchange.id, steps),
        *_of_operators(principal, exchange, new_id(), steps),
        *_reopened(log, key, steps),
        *_revoked(agency, exchange, steps),
        *_examined(exchange, steps),
        *_revocation_evidence(new_id(), next(steps)),
        *_of_the_axis(new_id(), exchange, steps),
    ]


def _revocation_evidence(evidence_id: UUID, at: datetime) -> list[Any]:
    return RevocationEvidence.store(
        evidence_id=evidence_id,
        at=at,
        source="ocsp.example",
        kind="ocsp",
        issuer=sha256_hex(b"the issuer's name"),
        evidence=sha256_hex(b"answer"),
        number="",
        certificate=sha256_hex(b"certificate"),
        status="good",
        this_update="2026-11-23T00:00:00.000000Z",
        next_update="2026-11-24T00:00:00.000000Z",
    ).collect_events()


def _examined(exchange: Exchange, steps: Iterator[datetime]) -> list[Any]:
    """The document's own signatures: that of a person holds, that of the agency does not."""
    exchange.conclude(
        at=next(steps),
        document=6,
        demanded=[],
        signatures=[
            SignatureRecord(
                attachment=0,
                form="pdf",
                outcome="valid",
                reason="",
                signer="person",
                signed_at="2026-11-22T02:00:00.000000Z",
                stamp="valid",
                stamped_at="2026-11-22T02:00:05.000000Z",
                stamp_over="signature",
                stamp_reason="",
                judged_by="stamp",
                judged_at="2026-11-22T02:00:05.000000Z",
            ),
            SignatureRecord(
                attachment=0,
                form="pdf",
                outcome="invalid",
                reason="revoked",
                signer="agency",
                signed_at="2026-11-22T02:01:00.000000Z",
                stamp="",
                stamped_at="",
                stamp_over="",
                stamp_reason="",
                judged_by="arrival",
                judged_at="2026-11-23T01:35:41.123456Z",
            ),
        ],
        report=sha256_hex(b"report"),
        parties=["H29.1.1"],
        notices=[
            Consignment(agency="H29.2.7", inbox_seq=9),
            Consignment(agency="H29.2.9", inbox_seq=49),
        ],
    )
    return list(exchange.collect_events())


def _revoked(agency: Agency, exchange: Exchange, steps: Iterator[datetime]) -> list[Any]:
    """What became of a key that was stolen, and of what it signed."""
    key_id = sha256_hex(b"agency's key")
    agency.revoke(
        at=next(steps),
        key_id=key_id,
        reason="key-compromise",
        effective=FIRST,
        evidence="",
        by="operator",
        request_id="6f2a5c1e-0000-4000-8000-000000000401",
    )
    exchange.doubt(
        at=next(steps),
        position=6,
        recipient="",
        signer="H29.1.1",
        key_id=key_id,
        revocation=29,
        effective=format_time(FIRST),
        notices=[
            Consignment(agency="H29.2.7", inbox_seq=8),
            Consignment(agency="H29.2.9", inbox_seq=48),
        ],
        outbox_seq=17,
    )
    agency.review(at=next(steps), key_id=key_id, revocation=29, in_doubt=1)
    aggregates = (agency, exchange)
    return sorted(
        (event for aggregate in aggregates for event in aggregate.collect_events()),
        key=lambda event: event.timestamp,
    )


def _of_agencies(agency: Agency, group_id: UUID, steps: Iterator[datetime]) -> list[Any]:
    """What becomes of an agency after it was registered, and a group."""
    numbers = iter(range(101, 200))

    def asked() -> dict[str, str]:
        return {
            "by": "operator",
            "request_id": f"6f2a5c1e-0000-4000-8000-000000000{next(numbers)}",
        }

    agency.rename(
        at=next(steps),
        name="UBND phường Sài Gòn",
        add_codes=["H29.1.1.9"],
        remove_codes=[],
        **asked(),
    )
    agency.suspend(at=next(steps), reason="key-compromised", **asked())
    agency.reinstate(at=next(steps), **asked())
    successor = Agency.register(
        agency_id=agency.id, at=FIRST, code="H29.1.2", name="UBND Quận 2", **asked()
    )
    agency.succeed(at=next(steps), successor=successor, **asked())
    group = Group.begin(group_id, FIRST)
    group.change(
        at=next(steps),
        group="quan-huyen",
        name="UBND các quận, huyện",
        members=["H29.1.1", "H29.1.2"],
        **asked(),
    )
    return [*agency.collect_events(), *group.collect_events()]


def _of_the_axis(taken_id: UUID, exchange: Exchange, steps: Iterator[datetime]) -> list[Any]:
    """What goes over the national axis, and what comes."""
    taken = Exchange.take(
        exchange_id=taken_id,
        at=next(steps),
        sender="G12.18",
        request_id="6f2a5c1e-0000-4000-8000-000000000401",
        statement=UnsignedRecord(
            payload_type="application/vnd.lienthong.envelope.v1+json",
            digest=sha256_hex(b"hub-made envelope"),
        ),
        axis_id="0f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        package=sha256_hex(b"package"),
        package_bytes=12960,
        signed=False,
        action="new",
        relates_to=None,
        recipients=[Consignment(agency="H29.2.7", inbox_seq=8)],
        attachments=[ContentRecord(sha256=sha256_hex(b"attachment"), size=48213)],
    )
    came = {
        "relay": str(arrival_id(taken_id)),
        "axis_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "report": sha256_hex(b"report"),
    }
    taken.take_recall(
        at=next(steps),
        notices=[Consignment(agency="H29.2.7", inbox_seq=9)],
        form="13",
        **came,
    )
    delivery = Delivery.begin(exchange.id, "G12.18", FIRST)
    delivery.take_status(
        at=next(steps),
        code="03",
        exchange=str(exchange.id),
        agency="G12.18",
        sender="H29.1.1",
        outbox_seq=17,
        envelope_digest=exchange.envelope_digest,
        **came,
    )
    packages = _packages(taken_id, exchange, steps)
    link = AxisLink.begin(taken_id, FIRST)
    link.synchronise(
        at=next(steps),
        changes=[
            ListedOnAxis(
                code="G12.18", name="Cục Thuế", other_codes=["000.00.18.G12"], axis_id="1842"
            ),
            ListedOnAxis(
                code="G05.02",
                name="Cục Quản lý đấu thầu",
                other_codes=[],
                axis_id="977",
                deleted=True,
                successor="G12.21",
            ),
        ],
        listed=31207,
    )
    link.reconcile(
        at=next(steps),
        report=sha256_hex(b"reconciliation"),
        compared=412,
        differences=1,
        waiting=2,
        unsent=1,
        unanswered=1,
        by="operator",
        request_id="6f2a5c1e-0000-4000-8000-000000000403",
    )
    events = [
        event
        for aggregate in (taken, delivery, *packages, link)
        for event in aggregate.collect_events()
    ]
    taken.examine_axis(
        at=next(steps),
        position=31,
        relay=came["relay"],
        agency="G12.18",
        code="recall",
        signatures=[
            SignatureRecord(
                attachment=0,
                form="xml",
                outcome="unknown",
                reason="untrusted",
                signer="agency",
                signed_at="2026-11-22T02:00:00.000000Z",
                stamp="",
                stamped_at="",
                stamp_over="",
                stamp_reason="",
                judged_by="arrival",
                judged_at="2026-11-23T01:35:42.123456Z",
            )
        ],
        report=sha256_hex(b"another report"),
        parties=["H29.2.7"],
    )
    return [*events, *taken.collect_events()]


def _packages(taken_id: UUID, exchange: Exchange, steps: Iterator[datetime]) -> tuple[Relay, ...]:
    """A document on its way to the axis, not without trouble, and a status."""
    relay = Relay.begin(relay_id(exchange.id, RelayKind.DOCUMENT), FIRST)
    facts = {"exchange": str(exchange.id), "sender": "H29.1.1", "request_bytes": 1204}
    relay.queue(
        at=next(steps),
        agency="",
        kind="document",
        code="",
        addressed=["G12.18"],
        agencies=["G12.18"],
        package=sha256_hex(b"package"),
        package_bytes=67031,
        **facts,
    )
    relay.fail(
        at=next(steps),
        reason="AXIS_OUTCOME_UNKNOWN",
        code="",
        again_at=FIRST + timedelta(minutes=1),
    )
    relay.park(
        at=next(steps),
        exchange=exchange.id,
        sender="H29.1.1",
        direction=Direction.OUT,
        kind=RelayKind.DOCUMENT,
        reason="AXIS_REFUSED",
        code="18",
        package=sha256_hex(b"package"),
        package_bytes=67031,
    )
    relay.resume(at=next(steps), by="operator", request_id="6f2a5c1e-0000-4000-8000-000000000402")
    relay.sent(at=next(steps), axis_id="3f333df6-90a4-4fda-8dd3-9485d27cee36")
    told = Relay.begin(relay_id(taken_id, RelayKind.STATUS, "H29.2.7", "01"), FIRST)
    told.code, told.agency, told.sender = "01", "H29.2.7", "G12.18"
    told.kind, told.exchange = RelayKind.STATUS, str(taken_id)
    told.sent(at=next(steps), axis_id="6ecd8c99-4036-403d-bf84-cf8400f67836")
    recall = Relay.begin(relay_id(exchange.id, RelayKind.RECALL), FIRST)
    recall.split(
        at=next(steps),
        exchange=exchange.id,
        kind=RelayKind.RECALL,
        code="23",
        agencies=["G12.18", "G05.02"],
    )
    strange = Relay.begin(arrival_id(exchange.id), FIRST)
    strange.exchange, strange.stored = str(exchange.id), sha256_hex(b"reply")
    strange.state, strange.direction = RelayState.PARKED, Direction.IN
    strange.erase(
        at=next(steps),
        order=sha256_hex(b"order"),
        ordered_by="operator",
        approval=sha256_hex(b"approval"),
        approved_by="operator-2",
        reason="data-subject-request",
        basis="Luật 91/2025/QH15, Điều 14",
    )
    return relay, told, recall, strange


def _timestamp(timestamp_id: UUID, at: datetime) -> list[Any]:
    return Timestamp.obtain(
        timestamp_id=timestamp_id,
        at=at,
        authority="tsa.example",
        size=26,
        renews=[],
        message=sha256_hex(b"checkpoint"),
        token=sha256_hex(b"token"),
        certificates=[sha256_hex(b"signer"), sha256_hex(b"root")],
        gen_time="2026-11-23T01:35:30.000000Z",
        not_after="2031-11-23T00:00:00.000000Z",
    ).collect_events()


def _of_auditors(exchange_id: UUID, steps: Iterator[datetime]) -> list[Any]:
    """What an auditor read of the document, and took along."""
    trail = AuditTrail.begin(exchange_id, FIRST)
    facts = {"exchange": str(exchange_id), "case": "15/KL-TTTP", "by": "thanh-tra-1"}
    trail.note_access(
        at=next(steps),
        read="attachment",
        attachment=0,
        request_id="6f2a5c1e-0000-4000-8000-000000000301",
        **facts,
    )
    trail.note_export(
        at=next(steps),
        attachments=1,
        request_id="6f2a5c1e-0000-4000-8000-000000000302",
        **facts,
    )
    return list(trail.collect_events())


def _of_operators(
    principal: Principal, exchange: Exchange, order_id: UUID, steps: Iterator[datetime]
) -> list[Any]:
    """What two operators did together, and what became of a principal."""
    principal.revoke(
        at=next(steps),
        reason="left-office",
        effective=FIRST,
        by="operator",
        request_id="6f2a5c1e-0000-4000-8000-000000000201",
    )
    why = {"reason": "retention", "basis": "Luật Lưu trữ 33/2024/QH15, Điều 16"}
    approval = Approval.give(
        approval_id=approval_id(order_id),
        at=next(steps),
        by="operator-2",
        request_id="6f2a5c1e-0000-4000-8000-000000000202",
        statement=statement("approval"),
        enrolment=3,
        order=sha256_hex(b"erasure-order"),
        action="erasure",
        exchange=str(exchange.id),
        envelope_digest=exchange.envelope_digest,
        hub_key=None,
        lapses_at="2026-11-30T01:35:08.123456Z",
        warnings=[],
        **why,
    )
    exchange.erase(
        at=next(steps),
        order=sha256_hex(b"erasure-order"),
        ordered_by="operator",
        approval=sha256_hex(b"approval"),
        approved_by="operator-2",
        notices=[
            Consignment(agency="H29.2.7", inbox_seq=7),
            Consignment(agency="H29.2.9", inbox_seq=47),
        ],
        outbox_seq=16,
        **why,
    )
    return [
        *principal.collect_events(),
        *approval.collect_events(),
        *exchange.collect_events(),
    ]


def _reopened(log: Log, key: HubKey, steps: Iterator[datetime]) -> list[Any]:
    """The log goes on under another origin and key."""
    log.reopen(
        at=next(steps),
        old_origin="lienthong.example/2026",
        origin="lienthong.example/2027",
        kept_size=26,
        kept_root=sha256_hex(b"kept"),
        last_size=29,
        last_root=sha256_hex(b"last"),
        checkpoint="lienthong.example/2026\n29\nroot\n\n— lienthong.example/2026 signature\n",
        reason="events-lost",
        basis="QĐ 45/QĐ-STTTT",
        order=sha256_hex(b"order"),
        ordered_by="operator",
        approval=sha256_hex(b"approval"),
        approved_by="operator-2",
    )
    for compromised in (False, True):
        key.close(at=next(steps), compromised=compromised, size=29, by="operator")
    events = [*log.collect_events(), *key.collect_events()]
    log.freeze(
        at=next(steps),
        reason="key-stolen",
        by="operator",
        request_id="6f2a5c1e-0000-4000-8000-000000000301",
    )
    log.thaw(
        at=next(steps),
        order=sha256_hex(b"key-order"),
        ordered_by="operator",
        approval=sha256_hex(b"approval of the key-order"),
        approved_by="operator-2",
        reason="key-replaced",
        basis="QĐ 46/QĐ-STTTT",
    )
    log.publish_trusted_root(
        at=next(steps),
        edition=2,
        digest=sha256_hex(b"trusted root"),
        by="operator",
        request_id="6f2a5c1e-0000-4000-8000-000000000302",
    )
    return [*events, *log.collect_events()]


def statement(kind: str) -> StatementRecord:
    return StatementRecord(
        payload_type=f"application/vnd.lienthong.{kind}.v1+json",
        digest=sha256_hex(kind.encode()),
        key_id=sha256_hex(b"agency's key"),
        algorithm="ecdsa-p256-sha256",
        signature="MEUCIQDexample",
    )


def _said(exchange: Exchange, kind: str, request_id: str, outbox_seq: int) -> dict[str, Any]:
    return {
        "exchange": str(exchange.id),
        "agency": "H29.2.7",
        "sender": exchange.sender,
        "outbox_seq": outbox_seq,
        "request_id": request_id,
        "envelope_digest": exchange.envelope_digest,
        "statement": statement(kind),
        "enrolment": 5,
        "warnings": [],
    }
