"""A signed statement is read strictly and verified under the one algorithm of its key."""

import base64
import copy
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hub.errors import VerificationFailed
from hub.proof.dsse import SignedStatement, pre_authentication_encoding
from hub.proof.envelope import Action, Attachment, Priority
from hub.proof.fields import MalformedField
from hub.proof.ijson import parse_ijson
from hub.proof.signatures import Algorithm, PublicKey
from hub.proof.statements import (
    PAYLOAD_BYTES_MAX,
    Approval,
    Collect,
    Envelope,
    ErasureOrder,
    KeyOrder,
    Possession,
    Renewal,
    Status,
    encode_payload,
    read_certificate_statement,
    read_operator_statement,
    read_statement,
)
from tests.support.make_statement_examples import EXAMPLES, sign

README = EXAMPLES.parent / "README.md"
SIGNED = sorted(
    path for algorithm in Algorithm for path in EXAMPLES.glob(f"*.{algorithm.value}.json")
)
MEDIA_TYPES = {
    "envelope": Envelope,
    "collect": Collect,
    "status": Status,
}
READ_BY: dict[str, tuple[type, Any]] = {
    "renewal": (Renewal, read_certificate_statement),
    "possession": (Possession, read_certificate_statement),
    "erasure-order": (ErasureOrder, read_operator_statement),
    "key-order": (KeyOrder, read_operator_statement),
    "approval": (Approval, read_operator_statement),
}
KEYS: dict[Algorithm, Any] = {
    Algorithm.ED25519: ed25519.Ed25519PrivateKey.generate(),
    Algorithm.ECDSA_P256_SHA256: ec.generate_private_key(ec.SECP256R1()),
    Algorithm.RSA_PSS_SHA256: (RSA := rsa.generate_private_key(65537, 2048)),
    Algorithm.RSA_PKCS1_SHA256: RSA,  # The same key, so that only the algorithm differs.
}


def payload(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EXAMPLES / f"{name}.payload.json").read_bytes())
    return loaded


def example(path: Path) -> tuple[SignedStatement, PublicKey]:
    fields = json.loads(path.read_bytes())
    algorithm = Algorithm(path.name.split(".")[1])
    pem = (EXAMPLES / f"{algorithm.value}.certificate.pem").read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    signed = SignedStatement(
        fields["payload_type"],
        base64.b64decode(fields["payload"], validate=True),
        fields["key_id"],
        base64.b64decode(fields["signature"], validate=True),
    )
    return signed, PublicKey.from_certificate(der, algorithm)


def read(kind: str, value: Any) -> Envelope | Collect | Status:
    data = value if isinstance(value, bytes) else encode_payload(value)
    return read_statement(SignedStatement(MEDIA_TYPES[kind].MEDIA_TYPE, data, "", b""))


# --- The examples --------------------------------------------------------------------------


def test_every_payload_is_signed_with_every_algorithm():
    payloads = list(EXAMPLES.glob("*.payload.json"))
    assert len(payloads) == 10
    assert len(SIGNED) == len(payloads) * len(Algorithm)


@pytest.mark.parametrize("path", SIGNED, ids=lambda path: path.stem)
def test_an_example_parses_and_verifies(path: Path):
    signed, key = example(path)
    name = path.name.split(".")[0]
    assert signed.payload == (EXAMPLES / f"{name}.payload.json").read_bytes()
    assert signed.key_id == key.key_id
    kind, own = READ_BY.get(name) or (MEDIA_TYPES[name.split("-")[0]], read_statement)
    assert isinstance(own(signed), kind)
    for other in {read_statement, read_certificate_statement, read_operator_statement} - {own}:
        with pytest.raises(VerificationFailed, match="unknown payload type"):
            other(signed)
    key.verify(signed.pae, signed.signature)


@pytest.mark.parametrize("path", SIGNED, ids=lambda path: path.stem)
def test_an_example_bent_anywhere_no_longer_verifies(path: Path):
    signed, key = example(path)
    for pae in (
        signed.pae + b"\n",
        signed.pae.replace(b"lienthong", b"lienthonk", 1),
        pre_authentication_encoding(signed.payload_type + "x", signed.payload),
        signed.payload,
    ):
        with pytest.raises(VerificationFailed) as caught:
            key.verify(pae, signed.signature)
        assert caught.value.step == "signature"


def test_the_examples_hold_no_private_key():
    for path in EXAMPLES.iterdir():
        assert b"PRIVATE" not in path.read_bytes()


def test_an_envelope_is_read_whole():
    envelope = read("envelope", payload("envelope"))
    assert isinstance(envelope, Envelope)
    assert envelope.header.hub == "lienthong.example/2026"
    assert len(envelope.header.nonce) == 16
    assert envelope.header.created_at.isoformat() == "2026-11-22T08:30:00+07:00"
    assert envelope.recipients == ("000.00.02.H99", "000.00.03.H99")
    assert (envelope.action, envelope.relates_to, envelope.sender_seq) == (Action.NEW, None, 41)
    document = envelope.document
    assert document.code == "125/UBND-VP"
    assert (document.priority, document.pages, document.paper) == (Priority.URGENT, 3, False)
    assert document.signer is not None
    assert document.signer.competence == "KT. CHỦ TỊCH"
    assert document.in_reply_to[0].notation == "SNV"
    assert document.to_places == ("Như trên", "Lưu: VT, VP")
    assert [type(item) for item in document.attachments] == [Attachment]


def test_what_is_optional_may_be_left_out():
    envelope = read("envelope", payload("envelope-replace"))
    assert isinstance(envelope, Envelope)
    assert envelope.action is Action.REPLACE
    assert (envelope.sender_seq, envelope.expires_at) == (None, None)
    assert (envelope.document.signer, envelope.document.in_reply_to) == (None, ())


def test_any_encoding_of_the_same_statement_is_as_good():
    value = payload("envelope")
    spread = json.dumps(value, indent=4).encode()  # Spaces, and \u escapes.
    assert read("envelope", spread) == read("envelope", encode_payload(value))


def test_an_unknown_payload_type_is_refused():
    for kind in ("", "application/json", Envelope.MEDIA_TYPE.upper(), "x" * 5000):
        with pytest.raises(VerificationFailed, match="unknown payload type") as caught:
            read_statement(SignedStatement(kind, b"{}", "", b""))
        assert len(str(caught.value)) < 200


def test_one_kind_of_statement_does_not_pass_for_another():
    for kind, name in (("envelope", "collect"), ("collect", "envelope"), ("status", "collect")):
        with pytest.raises(MalformedField):
            read(kind, payload(name))


def test_the_pae_is_the_one_of_dsse():
    assert pre_authentication_encoding("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pre_authentication_encoding("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


# --- The limits of every field -------------------------------------------------------------

TEXTS = {
    "hub": 200,
    "document.number": 50,
    "document.notation": 100,
    "document.type.name": 100,
    "document.type.code": 20,
    "document.subject": 2000,
    "document.summary": 10_000,
    "document.place": 200,
    "document.signer.full_name": 200,
    "document.signer.position": 200,
    "document.signer.competence": 20,
    "document.in_reply_to.0.agency": 35,
    "document.in_reply_to.0.number": 50,
    "document.in_reply_to.0.notation": 100,
    "document.to_places.0": 200,
    "document.attachments.0.description": 1000,
}
NUMBERS = {
    "v": (1, 1),
    "sender_seq": (1, 2**53 - 1),
    "document.pages": (0, 100_000),
    "document.steering": (0, 1000),
    "document.attachments.0.size": (0, 2 * 1024**3),
}
DATES = ("document.issued_on", "document.due_on", "document.in_reply_to.0.issued_on")
INSTANTS = ("created_at", "expires_at")
DIGESTS = ("document.attachments.0.sha256",)


def put(value: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    changed: Any = copy.deepcopy(value)
    at = changed
    *parents, last = [int(name) if name.isdigit() else name for name in path.split(".")]
    for name in parents:
        at = at[name]
    at[last] = new
    return changed  # type: ignore[no-any-return]


def refused(path: str, new: Any, *, kind: str = "envelope") -> MalformedField:
    with pytest.raises(MalformedField) as caught:
        read(kind, put(payload(kind), path, new))
    return caught.value


def taken(path: str, new: Any, *, kind: str = "envelope") -> None:
    read(kind, put(payload(kind), path, new))


def test_a_complaint_names_the_field():
    assert refused("document.subject", 7).field == "document.subject"
    assert refused("document.attachments.0.size", "7").field == "document.attachments[0].size"
    assert refused("recipients.1", "a b").field == "recipients[1]"
    assert refused("document.to_places.1", 5).field == "document.to_places[1]"
    assert refused("document.in_reply_to.0", []).field == "document.in_reply_to[0]"


@pytest.mark.parametrize(("path", "chars_max"), TEXTS.items())
def test_a_text_has_its_limits(path: str, chars_max: int):
    taken(path, "ữ" * chars_max)
    taken(path, "𠀀" * chars_max)  # Outside the basic plane, and still one character each.
    taken(path, "a")
    taken(path, "a\tb" if chars_max < 20 else "a\r\n\tb")
    for bad in ("x" * (chars_max + 1), "", "a\x00b", "\x1b[31m", "\x7f", 5, True, [], {}):
        refused(path, bad)


@pytest.mark.parametrize(("path", "bounds"), NUMBERS.items())
def test_a_number_has_its_limits(path: str, bounds: tuple[int, int]):
    low, high = bounds
    taken(path, low)
    taken(path, high)
    for bad in (low - 1, True, False, 1.0, "1", [1]):
        refused(path, bad)
    if high < 2**53 - 1:
        refused(path, high + 1)


@pytest.mark.parametrize("path", DATES)
def test_a_date_exists(path: str):
    for good in ("2024-02-29", "0001-01-01", "9999-12-31"):
        taken(path, good)
    bad = ("2026-02-29", "0000-01-01", "2026-13-01", "2026-1-1", "20260101", "2026-W01-1")
    for value in (*bad, "2026-01-01\n", "٢٠٢٦-01-01", "", 20260101):
        refused(path, value)


@pytest.mark.parametrize("path", INSTANTS)
def test_an_instant_exists_and_is_in_vietnams_time(path: str):
    for good in ("00:00:00+07:00", "23:59:59+07:00", "08:30:00.1+07:00", "08:30:00.123456+07:00"):
        taken(path, f"2026-11-22T{good}")
    for time_of_day in (
        *("08:30:00Z", "08:30:00+00:00", "08:30:00+0700", "08:30:00-07:00", "08:30:00"),
        *("24:00:00+07:00", "08:60:00+07:00", "08:30:60+07:00", "08:30+07:00"),
        *("08:30:00.+07:00", "08:30:00.1234567+07:00", "08:30:00,5+07:00", "08:30:00+07:00\n"),
    ):
        refused(path, f"2026-11-22T{time_of_day}")
    for bad in ("2026-11-22 08:30:00+07:00", "2026-02-30T08:30:00+07:00", 1795000000, ""):
        refused(path, bad)


@pytest.mark.parametrize("code", ["A", "000.00.19.H29", "a-b.c", "x" * 35])
def test_an_agency_code(code: str):
    taken("agency", code)
    taken("recipients.0", code)


@pytest.mark.parametrize(
    "code", ["", "x" * 36, ".a", "a.", "a..b", "a b", "a/b", "a_b", "ă", "a\n", "٢", 5, None]
)
def test_no_agency_code(code: Any):
    refused("agency", code)
    refused("recipients.0", code)


def test_recipients_have_their_limits():
    thousand = [f"A{n}" for n in range(1000)]
    taken("recipients", thousand)
    for bad in ([], [*thousand, "B"], ["A", "B", "A"], "A", None, {}):
        refused("recipients", bad)
    assert "sender" in str(refused("recipients", ["A", payload("envelope")["agency"]]))


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "11111111-1111-4111-8111-11111111111",
        "AAAAAAAA-1111-4111-8111-111111111111",
        "{11111111-1111-4111-8111-111111111111}",
        "urn:uuid:11111111-1111-4111-8111-111111111111",
        "11111111111141118111111111111111",
        "11111111-1111-4111-8111-111111111111\n",
        "gggggggg-1111-4111-8111-111111111111",
        5,
        None,
    ],
)
def test_a_request_id_is_a_uuid_written_in_one_way(bad: Any):
    refused("request_id", bad)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        base64.b64encode(bytes(15)).decode(),
        base64.b64encode(bytes(17)).decode(),
        base64.b64encode(bytes(16)).decode().rstrip("="),
        base64.b64encode(bytes(16)).decode() + "\n",
        base64.b64encode(bytes(16)).decode().replace("A==", "B=="),
        base64.urlsafe_b64encode(b"\xff" * 16).decode(),
        "A A" + base64.b64encode(bytes(16)).decode(),
        "ữ" * 24,
        5,
    ],
)
def test_a_nonce_is_16_bytes_written_in_one_way(bad: Any):
    refused("nonce", bad)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("envelope", "document.attachments.0.sha256"),
        ("envelope-replace", "relates_to"),
        ("collect", "envelope_digest"),
        ("status", "envelope_digest"),
    ],
)
def test_a_digest_is_64_lower_case_digits(kind: str, path: str):
    for bad in ("", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", 5, []):
        with pytest.raises(MalformedField):
            read(kind.split("-", maxsplit=1)[0], put(payload(kind), path, bad))


def test_only_an_update_or_replacement_relates_to_an_envelope():
    refused("relates_to", "a" * 64)
    replacement = payload("envelope-replace")
    read("envelope", put(replacement, "action", "update"))
    for bad in (put(replacement, "relates_to", None), put(replacement, "action", "new")):
        with pytest.raises(MalformedField, match="relates_to"):
            read("envelope", bad)
    for word in ("", "NEW", "delete", None, 1):
        refused("action", word)


def test_words_come_from_closed_lists():
    for word in ("normal", "khan", "thuong_khan", "hoa_toc", "hoa_toc_hen_gio"):
        taken("document.priority", word)
    for bad in ("", "khẩn", "KHAN", None, 1, []):
        refused("document.priority", bad)
    for code in ("01", "02", "03", "04", "05", "06"):
        read("status", put(payload("status-refused"), "code", code))
    for bad in ("00", "07", "13", "1", "", None, 1):
        refused("code", bad, kind="status")


def test_a_refusal_needs_its_reason():
    refusal = payload("status-refused")
    for bad in (None, "", "x" * 2001, 5):
        with pytest.raises(MalformedField, match="reason"):
            read("status", put(refusal, "reason", bad))
    read("status", put(refusal, "reason", "x" * 2000))
    taken("reason", None, kind="status")


@pytest.mark.parametrize(
    "good", ["vi", "en", "khm", "vi-Latn-VN", "vi-" + "abcdefgh-" * 3 + "12345"]
)
def test_a_language_tag(good: str):
    taken("document.language", good)


@pytest.mark.parametrize(
    "bad", ["", "v", "Vi", "vi-", "vi_VN", "vi\n", "vi-a", "vi" + "-abcdefgh" * 4, None]
)
def test_no_language_tag(bad: Any):
    refused("document.language", bad)


def test_secrecy_is_a_word_for_the_hub_to_judge():
    for good in ("none", "mat", "toi_mat", "x" * 30):
        taken("document.secrecy", good)
    for bad in ("", "x" * 31, "None", "a b", "none\n", "mật", None, False):
        refused("document.secrecy", bad)


def test_a_file_name_is_safe_wherever_it_is_saved():
    for good in (
        "a",
        ".gitignore",
        "Công văn 1.pdf",
        "x" * 255,
        "ữ" * 85,
        "a..b",
        " a",
        "a'b",
    ):
        taken("document.attachments.0.name", good)
    bad = [
        "",
        ".",
        "..",
        "...",
        "a.",
        "a ",
        "a/b",
        "a\\b",
        "a:b",
        "a*",
        "a?",
        'a"',
        "a<",
        "a>",
        "a|",
    ]
    for name in (*bad, "a\nb", "a\n", "\x00", "a\x7f", "x" * 256, "ữ" * 86, None, 5):
        refused("document.attachments.0.name", name)


def test_a_media_type_is_in_lower_case_without_parameters():
    longest = f"a{'b' * 63}/c{'d' * 126}"
    for good in ("application/pdf", "image/svg+xml", "x/y", longest):
        taken("document.attachments.0.media_type", good)
    for bad in ("", "pdf", "Application/pdf", "text/plain; a=b", "a/b/c", "/b", "a/", "a/b\n"):
        refused("document.attachments.0.media_type", bad)
    refused("document.attachments.0.media_type", longest + "e")


def test_lists_have_their_limits():
    attachment = payload("envelope")["document"]["attachments"][0]
    many = [attachment | {"name": f"{n}.pdf"} for n in range(65)]
    taken("document.attachments", many[:64])
    taken("document.attachments", [])
    for bad in (many, [attachment, attachment], None, {}, [5]):
        refused("document.attachments", bad)
    reply = payload("envelope")["document"]["in_reply_to"][0]
    taken("document.in_reply_to", [reply] * 100)
    refused("document.in_reply_to", [reply] * 101)
    taken("document.to_places", ["x"] * 1000)
    refused("document.to_places", ["x"] * 1001)


@pytest.mark.parametrize("bad", [None, 0, 1, "true", []])
def test_paper_is_true_or_false(bad: Any):
    if bad is None:
        taken("document.paper", bad)
    else:
        refused("document.paper", bad)


def test_a_payload_of_one_mebibyte_is_read_and_no_more():
    data = encode_payload(payload("collect"))
    read("collect", data + b" " * (PAYLOAD_BYTES_MAX - len(data)))
    with pytest.raises(VerificationFailed, match="larger than 1048576 bytes") as caught:
        read("collect", data + b" " * (PAYLOAD_BYTES_MAX + 1 - len(data)))
    assert caught.value.step == "json"


# --- JSON ----------------------------------------------------------------------------------

DUBIOUS = {
    "nothing": b"",
    "two values": b"{}{}",
    "a trailing comma": b"[1,]",
    "a comment": b"{}/**/",
    "single quotes": b"{'a':1}",
    "an open string": b'{"a":"',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "bad UTF-8": b'{"a":"\xff"}',
    "overlong UTF-8": b'{"a":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "a lone high surrogate": rb'{"a":"\ud800"}',
    "a lone low surrogate": rb'{"a":"\udc00\ud800"}',
    "a lone surrogate in a name": rb'{"\udfff":1}',
    "a name twice": b'{"a":1,"a":1}',
    "a name twice, once escaped": rb'{"a":1,"\u0061":2}',
    "a name twice, deep inside": b'{"x":[{"a":1,"b":2,"a":null}]}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "-Infinity": b'{"a":-Infinity}',
    "a float too large": b'{"a":1e400}',
    "a negative float too large": b'{"a":-1e400}',
    "2^53": b'{"a":9007199254740992}',
    "-2^53": b'{"a":-9007199254740992}',
    "a thousand digits": b'{"a":' + b"9" * 1000 + b"}",
    "five thousand digits": b'{"a":' + b"9" * 5000 + b"}",
    "a leading zero": b'{"a":01}',
    "a plus sign": b'{"a":+1}',
    "a raw line feed in a string": b'{"a":"\n"}',
    "a raw NUL in a string": b'{"a":"\x00"}',
    "foreign white space": '{"a":\u00a01}'.encode(),
    "digits of another script": '{"a":٢}'.encode(),
    "17 arrays": b"[" * 17 + b"]" * 17,
    "17 objects": b'{"a":' * 17 + b"1" + b"}" * 17,
    "a hundred thousand arrays": b"[" * 100_000,
}
PLAIN = {
    "16 arrays": b"[" * 16 + b"]" * 16,
    "brackets in strings": b'{"a":"' + b"[{" * 100 + b'"}',
    "escaped quotes before brackets": rb'["\"' + b"[" * 20 + rb'\\"]',
    "many arrays side by side": b"[" + b"[]," * 50 + b"[]]",
    "2^53 - 1": b"[9007199254740991,-9007199254740991]",
    "a pair of surrogates": rb'["\ud83d\ude00"]',
    "a name again in another object": b'{"a":{"a":1}}',
    "white space": b" \t\r\n{} \n",
}


@pytest.mark.parametrize("data", DUBIOUS.values(), ids=DUBIOUS)
def test_json_that_two_parsers_could_read_differently_is_refused(data: bytes):
    with pytest.raises(VerificationFailed) as caught:
        parse_ijson(data, bytes_max=PAYLOAD_BYTES_MAX)
    assert caught.value.step == "json"


@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN)
def test_plain_json_is_read_as_anyone_reads_it(data: bytes):
    assert parse_ijson(data, bytes_max=PAYLOAD_BYTES_MAX) == json.loads(data)


@pytest.mark.parametrize("value", [[], "text", 5, True, None])
def test_a_payload_is_an_object(value: Any):
    with pytest.raises(MalformedField):
        read("collect", json.dumps(value).encode())


@pytest.mark.parametrize("unit", [rb"\"", b'"', b'\\"[', b'"\\', b"[", b"\\"])
def test_a_hostile_mebibyte_costs_little(unit: bytes):
    """An open string full of escaped quotes once took hours: each quote began a new search."""
    data = (b'"' + unit * PAYLOAD_BYTES_MAX)[:PAYLOAD_BYTES_MAX]
    began = time.process_time()
    with pytest.raises(VerificationFailed):
        parse_ijson(data, bytes_max=PAYLOAD_BYTES_MAX)
    assert time.process_time() - began < 2


# --- Signatures ----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_signature_holds_under_its_own_algorithm_and_no_other(algorithm: Algorithm):
    signature = sign(KEYS[algorithm], algorithm, b"message")
    for other, key in KEYS.items():
        public = PublicKey.of(key.public_key(), other)
        if other is algorithm:
            public.verify(b"message", signature)
        else:
            with pytest.raises(VerificationFailed) as caught:
                public.verify(b"message", signature)
            assert caught.value.step == "signature"


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_signature_bent_anywhere_is_refused(algorithm: Algorithm):
    signature = sign(KEYS[algorithm], algorithm, b"message")
    public = PublicKey.of(KEYS[algorithm].public_key(), algorithm)
    bent = [signature[:n] + bytes([signature[n] ^ 1]) + signature[n + 1 :] for n in range(64)]
    for bad in (*bent, b"", signature[:-1], signature + b"\x00", bytes(len(signature))):
        with pytest.raises(VerificationFailed):
            public.verify(b"message", bad)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_key_fits_its_own_kind_of_algorithm_only(algorithm: Algorithm):
    for other, key in KEYS.items():
        if type(key) is not type(KEYS[algorithm]):
            with pytest.raises(VerificationFailed, match="does not fit"):
                PublicKey.of(key.public_key(), algorithm)
        else:
            PublicKey.of(KEYS[other].public_key(), algorithm)


RSA_ALGORITHMS = (Algorithm.RSA_PSS_SHA256, Algorithm.RSA_PKCS1_SHA256)


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (rsa.generate_private_key(65537, 1024), RSA_ALGORITHMS),
        (rsa.generate_private_key(65537, 2040), RSA_ALGORITHMS),
        (ec.generate_private_key(ec.SECP384R1()), (Algorithm.ECDSA_P256_SHA256,)),
        (ec.generate_private_key(ec.SECP256K1()), (Algorithm.ECDSA_P256_SHA256,)),
        (ed448.Ed448PrivateKey.generate(), (Algorithm.ED25519,)),
    ],
    ids=["RSA 1024", "RSA 2040", "P-384", "secp256k1", "Ed448"],
)
def test_a_key_outside_the_closed_list_is_refused(key: Any, algorithms: tuple[Algorithm, ...]):
    for algorithm in algorithms:
        with pytest.raises(VerificationFailed) as caught:
            PublicKey.of(key.public_key(), algorithm)
        assert caught.value.step == "key"


@pytest.mark.parametrize("salt", [0, 20, 31, 33, 64])
def test_a_pss_salt_of_another_length_than_32_bytes_is_refused(salt: int):
    scheme = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=salt)
    signature = RSA.sign(b"message", scheme, SHA256())
    with pytest.raises(VerificationFailed):
        PublicKey.of(RSA.public_key(), Algorithm.RSA_PSS_SHA256).verify(b"message", signature)


def test_sha_1_is_refused_in_every_place():
    pss = padding.PSS(mgf=padding.MGF1(SHA1()), salt_length=32)
    for algorithm, scheme, digest in (
        (Algorithm.RSA_PSS_SHA256, pss, SHA256()),
        (Algorithm.RSA_PKCS1_SHA256, padding.PKCS1v15(), SHA1()),
    ):
        signature = RSA.sign(b"message", scheme, digest)
        with pytest.raises(VerificationFailed):
            PublicKey.of(RSA.public_key(), algorithm).verify(b"message", signature)


def test_an_ecdsa_signature_is_strict_der():
    key = KEYS[Algorithm.ECDSA_P256_SHA256]
    public = PublicKey.of(key.public_key(), Algorithm.ECDSA_P256_SHA256)
    der = key.sign(b"message", ec.ECDSA(SHA256()))
    r, s = utils.decode_dss_signature(der)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    long_form = b"\x30\x81" + der[1:]
    for bad in (raw, long_form, der + b"\x00", utils.encode_dss_signature(0, 0)):
        with pytest.raises(VerificationFailed):
            public.verify(b"message", bad)


def test_a_certificate_nobody_can_read_is_refused():
    for der in (b"", b"\x30\x00", b"-----BEGIN CERTIFICATE-----"):
        with pytest.raises(VerificationFailed) as caught:
            PublicKey.from_certificate(der, Algorithm.ED25519)
        assert caught.value.step == "key"


# --- The README ----------------------------------------------------------------------------


def commands(heading: str) -> str:
    """The shell block after the first line that begins with these words."""
    text = README.read_text().split(f"\n{heading}", 1)[1]
    found = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_vendor_who_follows_the_readme_makes_a_good_signature(
    algorithm: Algorithm, tmp_path: Path
):
    key = KEYS[algorithm]
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    data = encode_payload(payload("envelope"))
    (tmp_path / "payload.json").write_bytes(data)
    make_certificate = "openssl req -new -x509 -key key.pem -subj /CN=x -out certificate.pem\n"
    steps = [make_certificate, commands("## 2"), commands("## 3"), commands(f"`{algorithm.value}`")]
    subprocess.run(["sh", "-euc", "".join(steps)], cwd=tmp_path, check=True, capture_output=True)
    public = PublicKey.of(key.public_key(), algorithm)
    signed = SignedStatement(
        Envelope.MEDIA_TYPE,
        data,
        (tmp_path / "key_id").read_text().strip(),
        (tmp_path / "signature.bin").read_bytes(),
    )
    assert signed.key_id == public.key_id
    assert signed.pae == (tmp_path / "pae.bin").read_bytes()
    public.verify(signed.pae, signed.signature)
