"""A token is believed only when every step holds; whatever is wrong has its own name."""

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from cryptography.x509.oid import ExtendedKeyUsageOID

from hub.errors import VerificationFailed
from hub.evidence.chains import Revocation, anchors_among
from hub.evidence.tokens import (
    ANSWER_BYTES_MAX,
    TOKEN_BYTES_MAX,
    build_request,
    parse_token,
    token_in,
    verify_token,
)
from tests.support.timestamping import (
    DAY,
    OTHER_POLICY,
    POLICY,
    TIME_STAMPING,
    Authority,
    OpensslAuthority,
    answer_with,
    issue,
    rejection,
)

NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
NONCE = bytes(range(16))
MESSAGE = b"a checkpoint"


@cache
def authority() -> Authority:
    return Authority.make(NOW - DAY, NOW + 365 * DAY)


def refused(step: str) -> Any:
    return pytest.raises(VerificationFailed, match=r".+", check=lambda error: error.step == step)


def verify(token: bytes, message: bytes = MESSAGE, **options: Any) -> Any:
    return verify_token(token, message, **{"anchors": [authority().root.der]} | options)


def test_a_token_says_when_and_names_its_chain():
    token = authority().stamp(MESSAGE, NOW)

    verified = verify(token)

    assert (verified.gen_time, verified.policy) == (NOW, POLICY)
    chain = (authority().signer.der, authority().middle.der, authority().root.der)
    assert verified.chain.certificates == chain
    assert verified.chain.not_after == NOW + 365 * DAY
    assert not verified.chain.revocation_checked


def test_a_request_is_answered_under_its_nonce_and_policy():
    request = build_request(MESSAGE, nonce=NONCE, policy=OTHER_POLICY)
    token = token_in(authority().answer(request, NOW))

    assert verify(token, nonce=NONCE, policy=OTHER_POLICY).policy == OTHER_POLICY
    with refused("request"):
        verify(token, nonce=bytes(16))
    with refused("request"):
        verify(token, policy=POLICY)
    with refused("request"):
        verify(authority().stamp(MESSAGE, NOW), nonce=NONCE)


def test_openssl_and_we_believe_the_same_token(tmp_path: Path):
    now = datetime.now(UTC)
    openssl = OpensslAuthority(tmp_path / "tsa", Authority.make(now - DAY, now + DAY))
    request = build_request(MESSAGE, nonce=NONCE, policy=OTHER_POLICY)

    token = token_in(openssl.answer(request))

    openssl.verify(token, MESSAGE)
    root = openssl.authority.root.der
    verified = verify(token, nonce=NONCE, policy=OTHER_POLICY, anchors=[root])
    assert abs(verified.gen_time - now) < timedelta(minutes=1)


def test_openssl_believes_a_token_of_our_tests(tmp_path: Path):
    now = datetime.now(UTC)
    made = Authority.make(now - DAY, now + DAY)
    OpensslAuthority(tmp_path / "tsa", made).verify(made.stamp(MESSAGE, now), MESSAGE)


def test_a_token_signed_with_rsa_is_believed():
    made = Authority.make(NOW - DAY, NOW + DAY, rsa_key=True)
    assert verify(made.stamp(MESSAGE, NOW), anchors=[made.root.der]).gen_time == NOW


def test_what_stands_between_signer_and_root_may_come_beside_the_token():
    alone = without_certificates(authority().stamp(MESSAGE, NOW))

    with refused("signer"):
        verify(alone)
    held = [authority().middle.der, authority().signer.der]
    assert verify(alone, others=held).gen_time == NOW


def test_another_message_is_refused():
    with refused("imprint"):
        verify(authority().stamp(MESSAGE, NOW), b"another checkpoint")


def test_a_longer_digest_than_asked_for_is_refused():
    imprint = {"hash_algorithm": {"algorithm": "sha512"}, "hashed_message": bytes(64)}
    with refused("token"):
        verify(authority().token(bytes(32), NOW, message_imprint=imprint))


def other_root() -> Authority:
    return Authority.make(NOW - DAY, NOW + DAY)


def expired() -> Authority:
    return Authority.make(NOW - 3 * DAY, NOW - DAY)


def not_yet() -> Authority:
    return Authority.make(NOW + DAY, NOW + 3 * DAY)


@pytest.mark.parametrize("make", [expired, not_yet])
def test_a_certificate_that_was_not_in_force_is_refused(make: Callable[[], Authority]):
    made = make()
    with refused("chain"):
        verify(made.stamp(MESSAGE, NOW), anchors=[made.root.der])


def test_a_chain_to_somebody_else_is_refused():
    with refused("chain"):
        verify(other_root().stamp(MESSAGE, NOW))


def test_no_anchor_is_no_trust_in_everybody():
    with refused("chain"):
        verify(authority().stamp(MESSAGE, NOW), anchors=[])


@pytest.mark.parametrize(
    "usages",
    [
        {"usages": ()},
        {"usages": (ExtendedKeyUsageOID.CODE_SIGNING,)},
        {"usages": (*TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING)},
        {"usages": TIME_STAMPING, "critical": False},
    ],
)
def test_a_certificate_not_made_for_it_alone_is_refused(usages: dict[str, Any]):
    made = Authority.make(NOW - DAY, NOW + DAY, **usages)
    with refused("chain"):
        verify(made.stamp(MESSAGE, NOW), anchors=[made.root.der])


def test_revocation_is_looked_at_where_evidence_is_given():
    with refused("chain"):
        verify(authority().stamp(MESSAGE, NOW), revocation=Revocation())


def test_a_weak_digest_is_refused():
    with refused("signer"):
        verify(authority().token(sha256(MESSAGE), NOW, digest="sha1"))


def test_a_token_that_does_not_name_its_signer_is_refused():
    with refused("signer"):
        verify(authority().token(sha256(MESSAGE), NOW, names_signer=False))


def test_a_second_certificate_of_the_same_key_is_refused():
    made = authority()
    twin = issue(
        "tsa signer",
        NOW - DAY,
        NOW + DAY,
        by=made.middle,
        usages=TIME_STAMPING,
        key=made.signer.key,
    )
    token = Authority(made.root, made.middle, twin).stamp(MESSAGE, NOW)
    content = cms.ContentInfo.load(token)
    sid = content["content"]["signer_infos"][0]["sid"].chosen
    sid["serial_number"] = made.signer.certificate.serial_number
    with refused("signer"):
        verify(content.dump(force=True), others=[made.signer.der])


@pytest.mark.parametrize("rsa_key", [False, True])
def test_no_changed_byte_of_a_token_is_believed(rsa_key: bool):
    made = Authority.make(NOW - DAY, NOW + DAY, rsa_key=rsa_key)
    token = made.stamp(MESSAGE, NOW)
    chance = random.Random(7)
    for position in chance.sample(range(len(token)), 250):
        spoiled = bytearray(token)
        spoiled[position] ^= 1 << chance.randrange(8)
        with pytest.raises(VerificationFailed):
            verify(bytes(spoiled), anchors=[made.root.der])


def test_no_cut_token_is_believed():
    token = authority().stamp(MESSAGE, NOW)
    for length in range(0, len(token), 37):
        with pytest.raises(VerificationFailed):
            verify(token[:length])
    with refused("token"):
        verify(token + b"\0")


def test_a_token_mixed_up_at_random_is_refused_as_such():
    token = authority().stamp(MESSAGE, NOW)
    chance = random.Random(11)
    for _ in range(300):
        start, end = sorted(chance.choices(range(len(token)), k=2))
        piece = chance.choice([b"", chance.randbytes(end - start), token[start:end] * 2])
        at = chance.randrange(len(token))
        mixed = chance.choice([token[:start] + piece + token[end:], token[:at] + piece])
        if mixed != token:
            with pytest.raises(VerificationFailed):
                verify(mixed)


@pytest.mark.parametrize("status", ["granted_with_mods", "waiting", "revocation_warning"])
def test_only_what_was_granted_as_asked_counts(status: str):
    with refused("answer"):
        token_in(answer_with(authority().stamp(MESSAGE, NOW), status))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage",
        rejection(),
        bytes.fromhex("30053003020100"),  # Granted, and nothing with it.
        b"\x30\x80" * 20_000,
        b"\x30" * (ANSWER_BYTES_MAX + 1),
    ],
)
def test_an_answer_that_is_none_is_refused(answer: bytes):
    with refused("answer"):
        token_in(answer)


def test_a_token_as_large_as_a_book_is_not_read():
    with refused("token"):
        parse_token(b"\x30" * (TOKEN_BYTES_MAX + 1))


def test_nests_of_brackets_are_refused():
    with refused("token"):
        parse_token(b"\x30\x80" * 30_000)


def test_anchors_are_those_that_issued_themselves():
    made = authority()
    held = [made.middle.der, made.root.der, made.signer.der]
    assert anchors_among(held) == [made.root.der]


def sha256(message: bytes) -> bytes:
    return hashlib.sha256(message).digest()


def without_certificates(token: bytes) -> bytes:
    content = cms.ContentInfo.load(token)
    del content["content"]["certificates"]
    return content.dump(force=True)
