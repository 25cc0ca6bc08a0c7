"""Typed parts become the payload a hub reads, and bad ones are refused before signing."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from hub.client.drafting import (
    CONTENTS_BYTES_MAX,
    AttachmentDraft,
    DocumentDraft,
    Drafting,
    FileContent,
    Submission,
    to_upload,
)
from hub.errors import SecretDocument, StatementMalformed, TooLarge
from hub.proof.envelope import Action, Priority, Reply, Signer

LETTER = DocumentDraft(
    number="125",
    notation="UBND-VP",
    type_name="Công văn",
    subject="V/v thử nghiệm",
    issued_on=date(2026, 11, 22),
)


@pytest.fixture
def drafting():
    counter = iter(range(1, 100))
    return Drafting(
        "hub.test/log",
        "H29.3",
        clock=lambda: datetime(2026, 11, 22, 1, 30, tzinfo=UTC),
        random_bytes=lambda size: bytes([next(counter)]) * size,
    )


def test_time_and_chance_are_handed_in_so_the_payload_is_known_to_the_byte(drafting):
    draft = drafting.collect("ab" * 32)
    assert json.loads(draft.payload) == {
        "v": 1,
        "hub": "hub.test/log",
        "agency": "H29.3",
        "request_id": "01010101-0101-4101-8101-010101010101",
        "nonce": "AgICAgICAgICAgICAgICAg==",
        "created_at": "2026-11-22T08:30:00+07:00",
        "envelope_digest": "ab" * 32,
    }
    assert draft.request_id == "01010101-0101-4101-8101-010101010101"


def test_a_short_draft_takes_the_usual_defaults_and_leaves_the_rest_out(drafting):
    document = drafting.envelope(Submission(LETTER, [], ["H29.7"])).statement.document
    assert (document.secrecy, document.priority, document.language) == (
        "none",
        Priority.NORMAL,
        "vi",
    )
    payload = json.loads(drafting.envelope(Submission(LETTER, [], ["H29.7"])).payload)
    assert "relates_to" not in payload
    assert "summary" not in payload["document"]


def test_every_field_comes_back_as_it_was_given(drafting):
    draft = DocumentDraft(
        number="1",
        notation="QĐ-UBND",
        type_name="Quyết định",
        type_code="QD",
        subject="Về việc",
        summary="Tóm tắt",
        issued_on=date(2026, 1, 2),
        place="Hà Nội",
        signer=Signer("Nguyễn Văn A", "Chủ tịch", "TM."),
        priority=Priority.FLASH,
        due_on=date(2026, 2, 3),
        pages=4,
        in_reply_to=(Reply("H30", "7", "VP", date(2025, 1, 1)),),
        steering=1,
        to_places=("Lưu: VT",),
        paper=True,
    )
    attachment = AttachmentDraft.from_bytes("a.pdf", b"content", description="bản chính")
    submission = Submission(
        draft,
        [attachment],
        ["H29.7", "H30"],
        action=Action.REPLACE,
        relates_to="cd" * 32,
        sender_seq=5,
        expires_at=datetime(2026, 12, 1, tzinfo=UTC),
    )
    envelope = drafting.envelope(submission).statement
    document = envelope.document
    for name in DocumentDraft.__slots__:
        assert getattr(document, name) == getattr(draft, name), name
    assert document.attachments == (attachment.described,)
    assert envelope.recipients == ("H29.7", "H30")
    assert (envelope.action, envelope.relates_to, envelope.sender_seq) == (
        Action.REPLACE,
        "cd" * 32,
        5,
    )
    assert envelope.expires_at == datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda d: d.envelope(Submission(LETTER, [], [])), "recipients"),
        (lambda d: d.envelope(Submission(LETTER, [], ["H29.3"])), "recipients"),
        (lambda d: d.envelope(Submission(LETTER, [], ["H 29"])), "recipients[0]"),
        (lambda d: d.envelope(Submission(LETTER, [], ["H30"], relates_to="ab" * 32)), "relates_to"),
        (
            lambda d: d.envelope(
                Submission(LETTER, [AttachmentDraft.from_bytes("a/b", b"")], ["H30"])
            ),
            "document.attachments[0].name",
        ),
        (lambda d: d.status("ab" * 32, "02"), "reason"),
        (lambda d: d.status("ab" * 32, "07"), "code"),
        (lambda d: d.collect("AB" * 32), "envelope_digest"),
        (lambda d: d.recall("ab" * 32, ""), "reason"),
        (lambda d: d.recall_answer("ab" * 32, "16"), "reason"),
        (lambda d: d.recall_answer("ab" * 32, "14"), "code"),
    ],
)
def test_a_bad_draft_is_refused_naming_the_field(drafting, build, field):
    with pytest.raises(StatementMalformed) as caught:
        build(drafting)
    assert caught.value.metadata["field"] == field
    assert caught.value.message.startswith(field)


def test_a_secret_is_refused_before_it_is_signed(drafting):
    secret = DocumentDraft(
        number="1",
        notation="M",
        type_name="Công văn",
        subject="x",
        issued_on=date(2026, 1, 1),
        secrecy="mat",
    )
    with pytest.raises(SecretDocument):
        drafting.envelope(Submission(secret, [], ["H30"]))


def test_an_instant_without_a_zone_is_refused(drafting):
    with pytest.raises(StatementMalformed, match="time zone"):
        drafting.envelope(
            Submission(LETTER, [], ["H30"], expires_at=datetime(2026, 12, 1))  # noqa: DTZ001
        )


def test_an_attachment_is_read_from_a_file_under_its_own_name(tmp_path):
    path = tmp_path / "công văn.PDF"
    path.write_bytes(b"content")
    draft = AttachmentDraft.from_file(path)
    assert (draft.name, draft.media_type, draft.content) == (
        "công văn.PDF",
        "application/pdf",
        b"content",
    )
    unknown = AttachmentDraft.from_bytes("x.unheard-of", b"")
    assert unknown.media_type == "application/octet-stream"


def test_a_large_file_is_hashed_and_not_held(tmp_path):
    path = tmp_path / "bản đồ.pdf"
    content = bytes(range(256)) * (CONTENTS_BYTES_MAX // 256) + b"x"
    path.write_bytes(content)

    draft = AttachmentDraft.from_file(path)

    digest = hashlib.sha256(content).hexdigest()
    assert draft.content == FileContent(path, len(content), digest)
    described = draft.described
    assert (described.size, described.sha256) == (len(content), digest)
    assert (described.name, described.media_type) == ("bản đồ.pdf", "application/pdf")
    path.write_bytes(content[:-1])
    assert AttachmentDraft.from_file(path).content == content[:-1]


def test_content_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    with pytest.raises(TooLarge) as caught:
        AttachmentDraft.from_bytes("a", bytes(CONTENTS_BYTES_MAX + 1))
    assert caught.value.metadata == {"limit": str(CONTENTS_BYTES_MAX)}
    monkeypatch.setattr("hub.client.drafting.ATTACHMENT_BYTES_MAX", CONTENTS_BYTES_MAX + 10)
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(CONTENTS_BYTES_MAX + 11)
    with pytest.raises(TooLarge) as caught:
        AttachmentDraft.from_file(path)
    assert caught.value.metadata == {"limit": str(CONTENTS_BYTES_MAX + 10)}


def test_what_does_not_fit_into_the_call_is_uploaded():
    third, file = bytes(CONTENTS_BYTES_MAX // 3 + 1), FileContent(Path("x"), 5, "ab" * 32)
    assert to_upload([]) == ()
    assert to_upload([third, third]) == ()
    assert to_upload([third, file, third, third, b"small"]) == (1, 3)
    assert to_upload([bytes(CONTENTS_BYTES_MAX)]) == ()
