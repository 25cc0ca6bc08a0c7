"""A verdict on a document's own signatures, in words."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hub.cli.document_signatures import signature_as_json, signature_in_words
from hub.cli.messages import Language, speak
from hub.client.answers import DocumentSignature

SIGNATURE = DocumentSignature(
    attachment=0,
    form="pdf",
    outcome="invalid",
    reason="revoked",
    signer="person",
    signed_at=datetime(2026, 11, 22, 1, 30, tzinfo=UTC),
    name="Nguyễn Văn A",
    organisation="UBND Quận 1",
    position=7,
)


def test_it_says_who_signed_when_and_why_it_does_not_hold():
    speak(Language.EN)
    said = signature_in_words(SIGNATURE)
    for words in ("file 1", "a person (Nguyễn Văn A, UBND Quận 1)", "NOT VALID", "was revoked"):
        assert words in said


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize(
    "changes",
    [
        {"name": "", "organisation": "", "signed_at": None},
        {"outcome": "of a later version", "reason": "of-a-later-version", "signer": "robot"},
        {"name": "\x1b[31m"},
    ],
)
def test_whatever_comes_is_said_and_harmless(language, changes):
    speak(language)
    said = signature_in_words(replace(SIGNATURE, **changes))
    assert said.isprintable()
    assert signature_as_json(replace(SIGNATURE, **changes))["position"] == 7
