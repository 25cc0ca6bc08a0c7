"""What went wrong between a hub and its signer is one of a few kinds, each with its words."""

from __future__ import annotations

import socket
import ssl

import pytest

from hub.cli.errors import explain
from hub.cli.messages import Language, speak
from hub.cli.sentences import in_words
from keys.file import KeyFileError
from keys.link import LinkRefused
from keys.link_tls import LinkBroken, NotAccepted
from keys.remote_signer import (
    RemoteSigner,
    SignerCertificateEnded,
    SignerLinkBroken,
    SignerNotTrusted,
    SignerTurnsAway,
    SignerUnreachable,
)
from keys.ways import Deadline


def verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code = code
    return error


def alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "alert")
    error.reason = reason
    return error


class Failing:
    """The port Way, to nowhere."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __str__(self) -> str:
        return "signer:8445"

    def connect(self, deadline: Deadline) -> socket.socket:
        assert deadline.left() > 0
        raise self._error


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (TimeoutError("timed out"), SignerUnreachable, "SIGNER_UNREACHABLE"),
        (verification(10), SignerCertificateEnded, "SIGNER_CERTIFICATE"),
        (verification(9), SignerCertificateEnded, "SIGNER_CERTIFICATE"),
        (verification(18), SignerNotTrusted, "SIGNER_NOT_TRUSTED"),
        (
            NotAccepted("its certificate is not one that is accepted here"),
            SignerNotTrusted,
            "SIGNER_NOT_TRUSTED",
        ),
        (alert("TLSV1_ALERT_UNKNOWN_CA"), SignerTurnsAway, "SIGNER_TURNS_AWAY"),
        (alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), SignerTurnsAway, "SIGNER_TURNS_AWAY"),
        (alert("SSLV3_ALERT_CERTIFICATE_EXPIRED"), SignerCertificateEnded, "SIGNER_CERTIFICATE"),
        (
            LinkBroken(
                "signer-link: accepts nobody; `lienthong signer link accept` lets somebody in"
            ),
            SignerLinkBroken,
            "SIGNER_LINK",
        ),
        (
            KeyFileError("certificate.pem: holds not exactly one certificate in PEM"),
            SignerLinkBroken,
            "SIGNER_LINK",
        ),
        (
            LinkRefused("this hub's certificate has ended on 2026-11-22 08:00 UTC"),
            SignerCertificateEnded,
            "SIGNER_CERTIFICATE",
        ),
    ],
)
def test_each_kind_of_failure_is_named_and_said_in_both_languages(
    error: Exception, kind: type[SignerUnreachable], reason: str
):
    with pytest.raises(SignerUnreachable) as raised:
        _ = RemoteSigner("hub.example/log", Failing(error), 1.0).keys

    assert type(raised.value) is kind
    assert str(raised.value).startswith("the signer on signer:8445: ")
    explained = explain(raised.value)
    assert explained is not None
    assert explained.reason == reason
    speak(Language.VI)
    try:
        words = in_words(str(raised.value))
    finally:
        speak(Language.EN)
    assert words.startswith("bộ ký tại signer:8445: ")
    # What it says of the reason is translated too.
    assert not set(words.split(": ")[1:]) & set(str(raised.value).split(": ")[2:])


def test_another_failure_keeps_its_own_words():
    refused = ConnectionRefusedError(111, "Connection refused")
    with pytest.raises(SignerUnreachable, match=r"^the signer on signer:8445: .*refused$"):
        _ = RemoteSigner("hub.example/log", Failing(refused), 1.0).last


def test_a_question_whose_time_is_over_waits_for_nothing():
    with pytest.raises(TimeoutError):
        Deadline(0).left()
