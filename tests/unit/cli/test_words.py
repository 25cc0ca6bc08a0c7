"""Whatever a hub says of a document has words, also what this version does not know."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest

from hub.cli import inbox, outbox
from hub.cli.messages import Language, speak
from hub.cli.session import code_in_words, standing_in_words, state_in_words
from hub.client.answers import (
    DeliveryState,
    InboxItem,
    InboxItemKind,
    OutboxItem,
    OutboxItemKind,
    RecallState,
)

AT = datetime(2026, 11, 22, 5, tzinfo=UTC)
LINE = InboxItem(
    inbox_seq=5,
    exchange_id="01a201a2-305f-7438-8d14-29b9ee58373b",
    sender="H29.1.1",
    envelope_digest="00" * 32,
    accepted_at=AT,
    position=22,
    state=DeliveryState.CONSIGNED,
    code="125/UBND-VP",
    type_name="Công văn",
    subject="V/v thử nghiệm",
    attachment_count=1,
    attachment_bytes=12,
    kind=InboxItemKind.DOCUMENT,
    recall=RecallState.NONE,
    by_exchange=None,
    replaced_by=None,
    expired=False,
)
FACT = OutboxItem(
    outbox_seq=4,
    exchange_id=LINE.exchange_id,
    envelope_digest=LINE.envelope_digest,
    recipient="H29.2.7",
    kind=OutboxItemKind.STATUS,
    code="01",
    recorded_at=AT,
    position=16,
    document_code="125/UBND-VP",
    subject="Về việc thử nghiệm",
)


@pytest.mark.parametrize("language", Language)
def test_every_standing_has_words(language):
    speak(language)
    standings = {
        standing_in_words(state, recall, expired=expired, replaced=replaced)
        for state, recall, expired, replaced in product(
            DeliveryState, RecallState, (True, False), (True, False)
        )
    }
    assert len(standings) == len(DeliveryState) * len(RecallState) * 4


def test_nothing_is_added_to_a_document_nothing_happened_to():
    plain = standing_in_words(
        DeliveryState.ARRIVED, RecallState.NONE, expired=False, replaced=False
    )
    assert plain == state_in_words(DeliveryState.ARRIVED) == code_in_words("01") == "01 arrived"


@pytest.mark.parametrize("kind", InboxItemKind)
def test_every_line_of_an_inbox_has_words(kind):
    _number, _received, _sender, words, files, _state = inbox._row(replace(LINE, kind=kind))
    assert "125/UBND-VP" in words
    # News of a document carries no files of its own.
    assert bool(files) is (kind is InboxItemKind.DOCUMENT)


def test_a_cancelled_document_keeps_its_name():
    cancelled = replace(LINE, recall=RecallState.AGREED, subject="")
    assert inbox._row(cancelled)[3:] == [
        "Công văn 125/UBND-VP", "1 (12 B)", "not collected, 15 recall agreed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (OutboxItemKind.HANDED_OVER, None, "collected"),
        (OutboxItemKind.STATUS, "06", "06 finished"),
        (OutboxItemKind.RECALL_ANSWER, "15", "15 recall agreed"),
        (OutboxItemKind.EXPIRED, None, "expired before it was collected"),
        (OutboxItemKind.UNKNOWN, None, "unknown here"),
        (OutboxItemKind.UNKNOWN, "99", "unknown here"),
        (OutboxItemKind.STATUS, None, "unknown here"),
    ],
)
def test_every_line_of_an_outbox_has_words(kind, code, words):
    assert outbox._cells(replace(FACT, kind=kind, code=code)) == [
        "4", "2026-11-22 12:00", "H29.2.7", words, "position 16",
    ]  # fmt: skip
