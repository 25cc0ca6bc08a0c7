"""What an agency says, decided in the lane: each command records its facts or refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from hub.application import intake
from hub.application.lane import NothingRecorded
from hub.application.ports import RequestKey, SealedPayload
from hub.application.session import Session
from hub.application.standing import (
    Addressee,
    addressees_of,
    delivery_meant,
    require_may_send,
)
from hub.application.vault import Vault
from hub.application.verdicts import Demand, Verdict, conclude
from hub.domain.aggregate import StatementRecord
from hub.domain.delivery import Delivery, RecallState
from hub.domain.exchange import Consignment, ContentRecord, Exchange
from hub.domain.relay import RelayKind, RelayState, relay_id
from hub.domain.values import time_of
from hub.errors import ExchangeUnknown, Unavailable
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import Action
from hub.proof.statements import Collect, Envelope, Recall, RecallAnswer, Statement, Status

# Half of what others wait before they take content without an event for nobody's: it is decided
# under the lock of the log, where a hub that stands still is cut off after seconds.
RECENT = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A statement that passed its checks under one version of the registry.

    Where nothing was judged yet, `judged` is None and `judged_at` is -1.
    """

    agency: str
    signed: SignedStatement
    judged: intake.Judged | None
    judged_at: int  # registry version
    policy: intake.StalePolicy = intake.WARNING_ONLY

    def judge_again(self, session: Session) -> intake.Judged:
        """The judgement under the newest registry; the old one while nothing has changed."""
        if self.judged is not None and session.registry.version == self.judged_at:
            return self.judged
        return intake.judge(
            self.signed,
            agency=self.agency,
            registry=session.registry,
            at=session.at,
            policy=self.policy,
        )


@dataclass(frozen=True, slots=True)
class SubmitDocument:
    """Accept one envelope for all its recipients, or for none."""

    spoken: Spoken
    envelope: Envelope
    exchange_id: UUID
    document_key: bytes
    vault: Vault = field(repr=False)
    demanded: Demand | None = None
    verdict: Verdict | None = None

    @property
    def request(self) -> RequestKey:
        """Bound to the sender and the digest of the envelope."""
        return _request_key(self.spoken, self.envelope)

    def decide(self, session: Session) -> None:
        """Record `DocumentSubmitted`, with a number in each recipient's inbox.

        An update or replacement is recorded at the older document too.
        """
        if self.envelope.document.attachments:
            require_recent(self.exchange_id, session.at)
        judged = self.spoken.judge_again(session)
        envelope, signed = self.envelope, self.spoken.signed
        require_may_send(self.spoken.agency, session.registry)
        addressees = addressees_of(envelope, session.registry)
        intake.require_allowed(envelope, addressees)
        older = self._older(session)
        exchange = Exchange.submit(
            exchange_id=self.exchange_id,
            at=session.at,
            sender=self.spoken.agency,
            request_id=envelope.header.request_id,
            statement=judged.record,
            enrolment=judged.key.position,
            action=envelope.action.value,
            relates_to=envelope.relates_to,
            expires_at=envelope.expires_at.isoformat() if envelope.expires_at else None,
            recipients=_consigned(session, addressees),
            attachments=[
                ContentRecord(sha256=attachment.sha256, size=attachment.size)
                for attachment in envelope.document.attachments
            ],
            warnings=[
                *intake.warnings_for(envelope.header.created_at, session.at),
                *judged.warnings,
            ],
        )
        session.add_document_key(exchange.id, self.document_key)
        session.add_payload(
            self.vault.seal_payload(exchange.id, signed.digest, signed.payload, self.document_key)
        )
        if self.verdict is not None:
            conclude(
                session,
                exchange,
                self.verdict,
                vault=self.vault,
                key=self.document_key,
                document=None,
                demand=self.demanded,
            )
        session.record(exchange, self.request, exchange.id)
        if older is not None:
            older.supersede(
                at=session.at,
                replaces=envelope.action is Action.REPLACE,
                by_exchange=exchange.id,
                by_digest=signed.digest.hex(),
                notices=numbered(session, older.recipients),
            )
            session.record(older)

    def _older(self, session: Session) -> Exchange | None:
        if self.envelope.relates_to is None:
            return None
        return own_exchange(session, self.spoken.agency, self.envelope.relates_to)


@dataclass(frozen=True, slots=True)
class SpeakAsRecipient:
    """Record what a recipient says about an envelope."""

    spoken: Spoken
    statement: Collect | Status | RecallAnswer
    exchange_id: UUID
    vault: Vault = field(repr=False)

    @property
    def request(self) -> RequestKey:
        """Bound to the recipient and the digest of the statement."""
        return _request_key(self.spoken, self.statement)

    def decide(self, session: Session) -> None:
        """Record `DocumentHandedOver`, `StatusReported` or `RecallAnswered`."""
        judged = self.spoken.judge_again(session)
        statement = self.statement
        exchange = session.history.exchange(self.exchange_id)
        agency = delivery_meant(statement, exchange.recipients, session.registry)
        delivery = session.history.delivery(self.exchange_id, agency, session.at)
        self._require_possible(exchange, delivery, agency)
        sealed = _sealed(self.vault, self.exchange_id, self.spoken.signed)
        facts = _facts(self.spoken, judged, statement, session.at, of=agency) | {
            "exchange": str(self.exchange_id),
            "agency": agency,
            "sender": exchange.sender,
            "outbox_seq": session.next_outbox_seq(exchange.sender),
        }
        match statement:
            case Collect():
                delivery.hand_over(at=session.at, **facts)
            case Status(code=code):
                delivery.report(at=session.at, code=code, **facts)
            case RecallAnswer(code=code):
                delivery.answer_recall(at=session.at, code=code, **facts)
        session.add_payload(sealed)
        session.record(delivery, self.request, self.exchange_id)

    def _require_possible(self, exchange: Exchange, delivery: Delivery, agency: str) -> None:
        exchange.require_words()
        match self.statement:
            case Collect():
                delivery.require_released(recalled=exchange.is_recalled_at(agency))
            case RecallAnswer():
                delivery.require_recall_open(recalled=exchange.is_recalled_at(agency))


@dataclass(frozen=True, slots=True)
class RecallDocument:
    """Record that the sender asks for its document back."""

    spoken: Spoken
    statement: Recall
    vault: Vault = field(repr=False)

    @property
    def request(self) -> RequestKey:
        """Bound to the sender and the digest of the statement."""
        return _request_key(self.spoken, self.statement)

    def decide(self, session: Session) -> None:
        """Record `RecallRequested`, with a number in each recipient's inbox."""
        judged = self.spoken.judge_again(session)
        require_may_send(self.spoken.agency, session.registry)
        exchange = own_exchange(session, self.spoken.agency, self.statement.envelope_digest)
        exchange.require_words()
        exchange.require_recallable()
        sealed = _sealed(self.vault, exchange.id, self.spoken.signed)
        exchange.recall(
            at=session.at,
            notices=numbered(session, exchange.recipients, exchange.via),
            **_facts(self.spoken, judged, self.statement, session.at, of=exchange.sender),
        )
        session.add_payload(sealed)
        session.record(exchange, self.request, exchange.id)


@dataclass(frozen=True, slots=True)
class ExpireDelivery:
    """Record that a document was not collected in time. Asked for by the hub's own clock."""

    exchange_id: UUID
    recipient: str
    expires_at: datetime

    @property
    def request(self) -> RequestKey | None:
        """None: it depends on nothing but the state it finds."""
        return None

    def decide(self, session: Session) -> None:
        """Record `DeliveryExpired`, unless the document was collected or recalled meanwhile."""
        exchange = session.history.exchange(self.exchange_id)
        delivery = session.history.delivery(self.exchange_id, self.recipient, session.at)
        over = delivery.collected or delivery.expired or delivery.recall is RecallState.AGREED
        if exchange.erased or over or session.at < self.expires_at:
            raise NothingRecorded("the document is not waited for, or its time has not come")
        if self.recipient in exchange.via and is_at_axis(session, self.exchange_id, self.recipient):
            # Nobody could withhold it there, so nobody may say that it was.
            raise NothingRecorded("the axis has the document, or is being sent it")
        (inbox_seq,) = session.next_inbox_seqs([self.recipient])
        delivery.expire(
            at=session.at,
            exchange=str(self.exchange_id),
            agency=self.recipient,
            sender=exchange.sender,
            inbox_seq=inbox_seq,
            outbox_seq=session.next_outbox_seq(exchange.sender),
            envelope_digest=exchange.envelope_digest,
            expires_at=self.expires_at.isoformat(),
        )
        session.record(delivery)


def is_at_axis(session: Session, exchange_id: UUID, recipient: str) -> bool:
    """Whether the axis may have a document for a recipient: from when its package is made."""
    relay = session.history.relay(relay_id(exchange_id, RelayKind.DOCUMENT), session.at)
    if relay.state is RelayState.SPLIT:
        own = relay_id(exchange_id, RelayKind.DOCUMENT, recipient)
        relay = session.history.relay(own, session.at)
    return relay.package_bytes >= 0


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Get the answer to a request that is recorded: only the lane knows when it is covered."""

    request: RequestKey

    def decide(self, session: Session) -> None:
        """Record nothing: the lane answers a recorded request without asking the command."""
        raise Unavailable("the outcome is not known; repeat the very same call")


def require_recent(exchange_id: UUID, at: datetime) -> None:
    """Refuse an exchange whose content was stored so long ago that it may be swept.

    So a hub that stood still does not record what another one has given up. Raises Unavailable.
    """
    if at - time_of(exchange_id) > RECENT:
        raise Unavailable("this took too long; repeat the very same call")


def own_exchange(session: Session, agency: str, envelope_digest: str) -> Exchange:
    """The exchange that an agency, or one it succeeded, opened with this envelope.

    Raises ExchangeUnknown.
    """
    senders = session.registry.represented(agency)
    accepted = session.request_of(bytes.fromhex(envelope_digest))
    if accepted is not None and accepted.exchange_id is not None and accepted.caller in senders:
        exchange = session.history.exchange(accepted.exchange_id)
        # The digest may be that of another statement about the same exchange.
        if exchange.sender in senders and exchange.envelope_digest == envelope_digest:
            return exchange
    raise unknown_exchange()


def unknown_exchange() -> ExchangeUnknown:
    """One answer for what does not exist, is not published and is not the caller's."""
    return ExchangeUnknown("no such exchange among those this agency takes part in")


def numbered(
    session: Session, agencies: Sequence[str], via: Mapping[str, str] | None = None
) -> list[Consignment]:
    """The next number in the inbox of each of these agencies; `via` as with the document."""
    noted = via or {}
    numbers = session.next_inbox_seqs(agencies)
    return [
        Consignment(agency=agency, inbox_seq=number, via=noted[agency])
        if agency in noted
        else Consignment(agency=agency, inbox_seq=number)
        for agency, number in zip(agencies, numbers, strict=True)
    ]


def _consigned(session: Session, addressees: Sequence[Addressee]) -> list[Consignment]:
    numbers = session.next_inbox_seqs([addressee.agency for addressee in addressees])
    return [
        addressee.consigned(number) for addressee, number in zip(addressees, numbers, strict=True)
    ]


def _facts(
    spoken: Spoken,
    judged: intake.Judged,
    statement: Collect | Status | Recall | RecallAnswer,
    at: datetime,
    *,
    of: str,
) -> dict[str, object]:
    """What every event about an earlier envelope records of its statement.

    `of` is the agency whose part in the exchange it is; its successor may have spoken.
    """
    record = judged.record
    if spoken.agency != of:
        record = StatementRecord(**record, by_agency=spoken.agency)
    return {
        "request_id": statement.header.request_id,
        "envelope_digest": statement.envelope_digest,
        "statement": record,
        "enrolment": judged.key.position,
        "warnings": [*intake.warnings_for(statement.header.created_at, at), *judged.warnings],
    }


def _sealed(vault: Vault, exchange_id: UUID, signed: SignedStatement) -> SealedPayload:
    key = vault.key_of(exchange_id)
    return vault.seal_payload(exchange_id, signed.digest, signed.payload, key)


def _request_key(spoken: Spoken, statement: Statement) -> RequestKey:
    return RequestKey(spoken.agency, statement.header.request_id, spoken.signed.digest)
