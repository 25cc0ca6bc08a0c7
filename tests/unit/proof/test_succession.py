"""From the trusted root one holds to the newest: each edition is signed by the one before it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hub.errors import VerificationFailed
from hub.proof.note import KeyType, VerifierKey
from hub.proof.succession import (
    SIGNED_ROOT_BYTES_MAX,
    RootSignature,
    SignedRoot,
    bytes_to_sign,
    follow,
    is_signed_root,
    parse_signed_root,
    read_trusted_root,
)
from hub.proof.timestamp_authority import TimestampAuthority
from hub.proof.trust import (
    CertificateAuthority,
    Closing,
    LogKey,
    Purpose,
    RootKeys,
    TrustedLog,
    TrustedRoot,
    TrustedWitness,
    parse_trusted_root,
)
from hub.proof.window import Window
from tests.unit.proof.building import LOG, NEXT_LOG, ORIGIN, WITNESS

AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LATER = datetime(2031, 1, 1, tzinfo=UTC)


def holder(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))


def key_of(name: str) -> VerifierKey:
    public = holder(name).public_key().public_bytes_raw()
    return VerifierKey(f"root/{name}", KeyType.ED25519, public)


def root_keys(*names: str, threshold: int = 2) -> RootKeys:
    return RootKeys(threshold, tuple(map(key_of, names)))


FIRST = TrustedRoot(
    version=1,
    logs=(TrustedLog(ORIGIN, (LogKey(LOG.key, 0),)),),
    witnesses=(TrustedWitness(WITNESS.key),),
    certificate_authorities=(CertificateAuthority(Purpose.SIGNING, b"ca"),),
    timestamp_authorities=(TimestampAuthority("tsa", (b"tsa",), AT),),
    root_keys=root_keys("an", "binh", "chi"),
    expires=LATER,
)
CLOSED = Closing(7, bytes(32))
SECOND = replace(
    FIRST,
    version=2,
    logs=(TrustedLog(ORIGIN, (LogKey(LOG.key, 0, CLOSED), LogKey(NEXT_LOG.key, 5))),),
)


def signed(root: TrustedRoot, *names: str) -> bytes:
    payload = root.format()
    return SignedRoot(
        payload,
        tuple(
            RootSignature(key_of(name), holder(name).sign(bytes_to_sign(payload))) for name in names
        ),
    ).format()


def refused(*editions: bytes, held: TrustedRoot = FIRST, at: datetime = AT) -> str:
    with pytest.raises(VerificationFailed) as refusal:
        follow(held, editions, at=at)
    assert refusal.value.step == "trust"
    return str(refusal.value)


def test_a_signed_edition_is_read_as_it_was_written():
    data = signed(SECOND, "an", "chi")

    assert is_signed_root(data)
    assert read_trusted_root(data) == SECOND
    assert parse_signed_root(data).format() == data
    assert json.loads(data)["media_type"].endswith("signed-trusted-root.v1+json")


def test_the_threshold_of_the_old_and_of_the_new_edition_leads_on():
    assert follow(FIRST, [signed(SECOND, "an", "binh")], at=AT) == SECOND
    third = replace(SECOND, version=3)
    editions = [signed(SECOND, "an", "binh"), signed(third, "binh", "chi")]
    assert follow(FIRST, editions, at=AT) == third
    assert follow(FIRST, [], at=AT) == FIRST


def test_root_keys_are_changed_by_the_old_and_the_new_holders_together():
    new = replace(SECOND, root_keys=root_keys("chi", "dung", "em"))

    assert follow(FIRST, [signed(new, "an", "chi", "dung")], at=AT).root_keys == new.root_keys
    assert "edition 1, and needs 2" in refused(signed(new, "chi", "dung", "em"))
    assert "its own, and needs 2" in refused(signed(new, "an", "binh", "chi"))


def test_too_few_signatures_lead_nowhere():
    assert "signed by 1 root keys" in refused(signed(SECOND, "an"))
    assert "signed by 0 root keys" in refused(signed(SECOND))
    assert "signed by 1 root keys" in refused(signed(SECOND, "an", "an", "stranger", "other"))


def test_one_bad_signature_of_a_root_key_refutes_an_edition():
    data = parse_signed_root(signed(SECOND, "an", "binh", "chi"))
    bad = replace(data.signatures[2], signature=bytes(64))
    assert "does not hold" in refused(
        replace(data, signatures=(*data.signatures[:2], bad)).format()
    )


def test_no_edition_is_left_out_and_none_comes_back():
    third = replace(SECOND, version=3)
    assert "does not follow edition 1" in refused(signed(third, "an", "binh"))
    assert "does not follow edition 3" in refused(signed(SECOND, "an", "binh"), held=third)
    assert "does not follow edition 2" in refused(signed(SECOND, "an", "binh"), held=SECOND)


def test_an_edition_that_has_ended_is_not_the_newest():
    ended = replace(SECOND, expires=AT - timedelta(seconds=1))
    assert "ended on 2026-11-22" in refused(signed(ended, "an", "binh"))
    # It may stand on the way to one that has not.
    third = replace(SECOND, version=3)
    editions = [signed(ended, "an", "binh"), signed(third, "an", "binh")]
    assert follow(FIRST, editions, at=AT) == third
    # Nor is one that is held, when nothing follows it.
    assert "ended on" in refused(at=LATER + timedelta(days=1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"logs": ()}, "leaves out a log key"),
        ({"logs": (TrustedLog(ORIGIN, (LogKey(NEXT_LOG.key, 5),)),)}, "leaves out a log key"),
        ({"logs": (TrustedLog(ORIGIN, (LogKey(LOG.key, 1),)),)}, "window of a log key"),
        ({"witnesses": ()}, "leaves out a witness"),
        ({"certificate_authorities": ()}, "leaves out a certificate authority"),
        ({"timestamp_authorities": ()}, "leaves out a time-stamping authority"),
        (
            {"timestamp_authorities": (TimestampAuthority("tsa", (b"tsa",), LATER),)},
            "changes when an authority is trusted",
        ),
    ],
)
def test_an_edition_takes_nothing_away(changes: dict[str, object], words: str):
    edition = replace(FIRST, version=2, **changes)
    assert words in refused(signed(edition, "an", "binh"))


ENDED = Window(None, AT)


def ended(root: TrustedRoot, window: Window) -> TrustedRoot:
    return replace(
        root,
        version=root.version + 1,
        witnesses=tuple(replace(each, window=window) for each in root.witnesses),
    )


def test_a_witness_may_be_ended_and_ended_earlier_but_never_opened_again():
    second = ended(FIRST, ENDED)
    earlier = Window(None, AT - timedelta(days=1))
    editions = [signed(second, "an", "binh"), signed(ended(second, earlier), "an", "binh")]
    assert follow(FIRST, editions, at=AT).witnesses[0].window == earlier

    for window in (Window(), Window(None, LATER)):
        edition = signed(ended(second, window), "an", "binh")
        assert "opens the window of a witness" in refused(edition, held=second)


def test_an_authority_that_ended_stays_ended():
    (authority,) = FIRST.certificate_authorities
    (clock,) = FIRST.timestamp_authorities
    held = replace(
        FIRST,
        certificate_authorities=(replace(authority, window=ENDED),),
        timestamp_authorities=(replace(clock, not_after=AT),),
    )
    third = replace(held, version=2, certificate_authorities=FIRST.certificate_authorities)
    assert "opens the window of a certificate" in refused(signed(third, "an", "binh"), held=held)
    longer = (replace(clock, not_after=LATER),)
    third = replace(held, version=2, timestamp_authorities=longer)
    assert "changes when an authority" in refused(signed(third, "an", "binh"), held=held)


def test_a_closed_key_stays_closed_where_it_was():
    for log_key in (LogKey(LOG.key, 0), LogKey(LOG.key, 0, Closing(8, bytes(32)))):
        logs = (TrustedLog(ORIGIN, (log_key, LogKey(NEXT_LOG.key, 5))),)
        edition = replace(SECOND, version=3, logs=logs)
        assert "window of a log key" in refused(signed(edition, "an", "binh"), held=SECOND)


def test_nothing_follows_an_edition_without_root_keys():
    plain = replace(FIRST, root_keys=None)
    assert "names no root keys" in refused(signed(SECOND, "an", "binh"), held=plain)


def test_a_signed_file_must_carry_the_signatures_it_asks_for():
    assert read_trusted_root(FIRST.format()) == FIRST  # It came by a way of its own.
    with pytest.raises(VerificationFailed, match="needs 2"):
        read_trusted_root(signed(SECOND, "an"))


def test_every_changed_byte_of_the_payload_is_noticed():
    data = parse_signed_root(signed(SECOND, "an", "binh"))
    step = max(1, len(data.payload) // 200)
    for n in range(0, len(data.payload), step):
        payload = data.payload[:n] + bytes([data.payload[n] ^ 1]) + data.payload[n + 1 :]
        with pytest.raises(VerificationFailed):
            follow(FIRST, [_unread(payload, data.signatures)], at=AT)


def _unread(payload: bytes, signatures: tuple[RootSignature, ...]) -> bytes:
    import base64

    return json.dumps(
        {
            "media_type": "application/vnd.lienthong.signed-trusted-root.v1+json",
            "payload": base64.b64encode(payload).decode(),
            "signatures": [
                {
                    "key": each.key.format(),
                    "signature": base64.b64encode(each.signature).decode(),
                }
                for each in signatures
            ],
        }
    ).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        FIRST.format(),
        signed(SECOND, "an").replace(b"signed-trusted-root", b"another"),
        signed(SECOND, "an").replace(b'"key": "root', b'"key": "ro ot'),
        b" " * (SIGNED_ROOT_BYTES_MAX + 1),
    ],
    ids=["empty", "list", "object", "plain", "type", "key", "large"],
)
def test_what_is_no_signed_edition_is_refused(data: bytes):
    with pytest.raises(VerificationFailed) as refusal:
        parse_signed_root(data)
    assert refusal.value.step == "trust"


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0, "keys": []},
        {"threshold": 2, "keys": [key_of("an").format()]},
        {"threshold": 1, "keys": [key_of("an").format()] * 2},
        {"threshold": 1, "keys": [WITNESS.key.format()]},
        {"threshold": 1},
    ],
)
def test_root_keys_that_make_no_sense_are_refused(change: dict[str, object]):
    document = json.loads(FIRST.format()) | {"root_keys": change}
    with pytest.raises(VerificationFailed):
        parse_trusted_root(json.dumps(document).encode())
