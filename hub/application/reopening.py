"""Go on with a log under a new origin and key, as two operators have signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from hub.application import intake
from hub.application.dual_control import require_second
from hub.application.ports import RequestKey
from hub.application.registry import Registry, operator_key_owner
from hub.application.session import Session
from hub.application.vault import Vault
from hub.domain.approval import Approval as Word
from hub.domain.approval import approval_id
from hub.domain.hub_key import HubKey
from hub.domain.values import format_time
from hub.errors import AgencyMismatch, StatementMalformed, WrongHub
from hub.proof.dsse import SignedStatement
from hub.proof.reopening import Reopening, ReopenOrder, read_reopen_order
from hub.proof.statements import Approval, Header, read_operator_statement

REOPENING = "reopening"
COMPROMISED = "log-key-compromised"


@dataclass(frozen=True, slots=True)
class Authorised:
    """An order and its approval, both signed by operators in force who count as two."""

    order: ReopenOrder
    approval: Approval
    ordered: SignedStatement
    approved: SignedStatement
    judged: tuple[intake.Judged, intake.Judged]

    @property
    def reopening(self) -> Reopening:
        """What was ordered."""
        return self.order.reopening


def authorise(
    ordered: SignedStatement, approved: SignedStatement, registry: Registry, at: datetime
) -> Authorised:
    """Check what two operators signed, by the register as the log has it.

    1. An order to reopen and an approval, both made for the log that ends. 2. The approval
    names exactly this order. 3. Both operators are in force, and count as two. 4. Their keys
    are in force and their signatures hold. Raises VerificationFailed and HubError.
    """
    # (1) What they are.
    order, approval = read_reopen_order(ordered), read_operator_statement(approved)
    if not isinstance(approval, Approval):
        raise StatementMalformed("this is no approval", field="payload_type")
    if approval.header.hub != order.header.hub:
        raise WrongHub("the approval was made for another hub", hub=order.header.hub)
    # (2) Exactly this order.
    if approval.order_digest != ordered.digest.hex():
        raise StatementMalformed("the approval is of another order", field="order_digest")
    # (3) Two operators.
    for header in (order.header, approval.header):
        if header.agency not in registry.operators:
            raise AgencyMismatch(f"{header.agency} is no operator", agency=header.agency)
    require_second(registry, order.header.agency, approval.header.agency)
    # (4) Their keys and signatures.
    judged = (
        _judge(ordered, order.header, registry, at),
        _judge(approved, approval.header, registry, at),
    )
    return Authorised(order, approval, ordered, approved, judged)


@dataclass(frozen=True, slots=True)
class ReopenLog:
    """Record the first facts of a reopened log."""

    while_frozen: ClassVar = True

    authorised: Authorised
    old_keys: Sequence[UUID]
    vault: Vault = field(repr=False)

    @property
    def request(self) -> RequestKey | None:
        """None: it happens once."""
        return None

    def decide(self, session: Session) -> None:
        """Record `LogReopened`, both operators' words, and the keys that end and begin."""
        self._reopen(session)
        self._record_words(session)
        self._change_keys(session)

    def _reopen(self, session: Session) -> None:
        order, what = self.authorised.order, self.authorised.reopening
        log = session.history.log()
        log.reopen(
            at=session.at,
            old_origin=what.old_origin,
            origin=what.origin,
            kept_size=what.kept.size,
            kept_root=what.kept.root.hex(),
            last_size=what.last.size,
            last_root=what.last.root.hex(),
            checkpoint=what.note,
            reason=what.reason,
            basis=what.basis,
            order=self.authorised.ordered.digest.hex(),
            ordered_by=order.header.agency,
            approval=self.authorised.approved.digest.hex(),
            approved_by=self.authorised.approval.header.agency,
        )
        session.record(log)

    def _record_words(self, session: Session) -> None:
        both = self.authorised
        order_id = session.new_id()
        words = (
            (order_id, both.order.header, both.ordered, both.judged[0]),
            (approval_id(order_id), both.approval.header, both.approved, both.judged[1]),
        )
        for word_id, header, signed, judged in words:
            word = Word.give(
                approval_id=word_id,
                at=session.at,
                by=header.agency,
                request_id=header.request_id,
                statement=judged.record,
                enrolment=judged.key.position,
                warnings=intake.warnings_for(header.created_at, session.at),
                order=both.ordered.digest.hex(),
                action=REOPENING,
                exchange=None,
                envelope_digest=None,
                hub_key=None,
                reason=both.reopening.reason,
                basis=both.reopening.basis,
                lapses_at=format_time(session.at),
            )
            self._keep(session, signed)
            owner = operator_key_owner(header.agency)
            session.record(word, RequestKey(owner, header.request_id, signed.digest))

    def _keep(self, session: Session, signed: SignedStatement) -> None:
        words_id, key = session.new_id(), self.vault.new_key()
        session.add_document_key(words_id, key)
        session.add_payload(self.vault.seal_payload(words_id, signed.digest, signed.payload, key))

    def _change_keys(self, session: Session) -> None:
        what, by = self.authorised.reopening, self.authorised.order.header.agency
        for key_id in self.old_keys:
            old = session.history.hub_key(key_id)
            compromised = what.reason == COMPROMISED
            old.close(at=session.at, compromised=compromised, size=what.last.size, by=by)
            session.record(old)
        new = HubKey.announce(
            key_id=session.new_id(),
            at=session.at,
            purpose="checkpoint",
            verifier_key=what.log_key,
            by=by,
        )
        new.activate(at=session.at, by=by)
        session.record(new)


def _judge(
    signed: SignedStatement, header: Header, registry: Registry, at: datetime
) -> intake.Judged:
    return intake.judge(signed, agency=operator_key_owner(header.agency), registry=registry, at=at)
