"""Rows of the views, with as little as a test has to say."""

from datetime import UTC, datetime
from uuid import UUID

from hub.application.ports import DeliveryRow, DocumentRow, NoticeKind, NoticeRow, ViewChanges
from hub.domain.delivery import DeliveryState, RecallState

AT = datetime(2026, 11, 22, 1, 30, 0, 123_457, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)


def new_document(
    exchange_id: UUID, position: int = 0, *, replaced_by: UUID | None = None
) -> DocumentRow:
    return DocumentRow(
        exchange_id=exchange_id,
        sender="H01",
        envelope_digest=bytes(32),
        position=position,
        accepted_at=AT,
        code="15/QĐ-UBND",
        type_name="Quyết định",
        subject="Về …",
        attachment_count=2,
        attachment_bytes=2**33,
        replaced_by=replaced_by,
    )


def new_delivery(
    exchange_id: UUID,
    recipient: str,
    inbox_seq: int,
    position: int = 0,
    *,
    expires_at: datetime | None = None,
) -> DeliveryRow:
    return DeliveryRow(
        exchange_id=exchange_id,
        recipient=recipient,
        inbox_seq=inbox_seq,
        state=DeliveryState.CONSIGNED,
        collected=False,
        recall=RecallState.NONE,
        expired=False,
        expires_at=expires_at,
        position=position,
        updated_at=AT,
    )


def new_notice(
    exchange_id: UUID,
    recipient: str,
    seq: int,
    position: int = 0,
    *,
    kind: NoticeKind = NoticeKind.DOCUMENT,
    code: str = "",
    by_exchange: UUID | None = None,
) -> NoticeRow:
    """A line of the recipient's inbox, or of the sender's outbox; the kind says which."""
    outbox = kind >= NoticeKind.HANDED_OVER
    return NoticeRow(
        outbox=outbox,
        agency="H01" if outbox else recipient,
        seq=seq,
        kind=kind,
        exchange_id=exchange_id,
        recipient=recipient,
        code=code,
        by_exchange=by_exchange,
        position=position,
        recorded_at=AT,
    )


def submitted(exchange_id: UUID, position: int, **recipients: int) -> ViewChanges:
    """A document with a number in the inbox of each recipient."""
    return ViewChanges(
        [new_document(exchange_id, position)],
        [new_delivery(exchange_id, code, seq, position) for code, seq in recipients.items()],
        [new_notice(exchange_id, code, seq, position) for code, seq in recipients.items()],
    )


def only(*notices: NoticeRow) -> ViewChanges:
    """Lines of boxes and nothing else."""
    return ViewChanges([], [], notices)
