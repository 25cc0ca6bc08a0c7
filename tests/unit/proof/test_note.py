"""Signed notes: who signed what, and everything that is not a note."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import VerificationFailed
from hub.proof.note import (
    NOTE_BYTES_MAX,
    SIGNATURES_MAX,
    KeyType,
    Note,
    NoteSignature,
    VerifiedSignature,
    VerifierKey,
    cosignature_message,
    format_note,
    is_key_name,
    parse_note,
    verify_note,
)
from hub.proof.strict import encode_base64
from tests.unit.proof.building import COSIGNED_AT, LOG, WITNESS, Signer, private_key, sign_note

TEXT = b"a text\n\nwith an empty line\n"
SIGNED = sign_note(TEXT, LOG)

# The example in the documentation of golang.org/x/mod/sumdb/note: not made by our code.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
""".encode()  # noqa: E501
# The Go checksum database; its base64 holds two of the signs that part the fields.
GOLANG = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def refused(note_bytes, *keys):
    with pytest.raises(VerificationFailed) as refusal:
        verify_note(parse_note(note_bytes), keys or [LOG.key])
    assert refusal.value.step == "note"
    return str(refusal.value)


def line(name, data):
    return f"— {name} {encode_base64(data)}\n".encode()


def test_a_note_of_another_implementation_verifies():
    key = VerifierKey.parse(NEUMANN)
    assert verify_note(parse_note(NEUMANN_NOTE), [key]) == (VerifiedSignature(key, None),)


@pytest.mark.parametrize("vkey", [NEUMANN, GOLANG, LOG.key.format(), WITNESS.key.format()])
def test_a_verifier_key_is_written_as_it_was_read(vkey):
    assert VerifierKey.parse(vkey).format() == vkey


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        NEUMANN.replace("c74f20a3", "C74F20A3"),
        NEUMANN.replace("c74f20a3", "c74f20a4"),
        NEUMANN.replace("c74f20a3", "0c74f20a3"),
        NEUMANN.replace("PeterNeumann", "Peter Neumann"),
        NEUMANN.replace("PeterNeumann", ""),
        NEUMANN + "\n",
        NEUMANN[:-4],
        NEUMANN + "AAAA",
        "x+00000000+",
        # Type 0x02, the ECDSA of an old witness, with the id such a key would have here.
        "x+8e3f1f0a+AhpcAA==",
    ],
)
def test_a_malformed_verifier_key_is_refused(vkey):
    with pytest.raises(VerificationFailed) as refusal:
        VerifierKey.parse(vkey)
    assert refusal.value.step == "key"


def test_a_key_of_a_type_we_do_not_know_is_refused():
    raw = LOG.key.public_key
    with pytest.raises(VerificationFailed, match="unknown type"):
        VerifierKey.parse(f"x+00000000+{encode_base64(bytes([2]) + raw)}")


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\tb", "a\u00a0b", "a\u2028b", "a\x00", "\ud800"]
)
def test_a_name_that_no_line_can_carry_is_refused(name):
    assert not is_key_name(name)
    with pytest.raises(VerificationFailed):
        VerifierKey(name, KeyType.ED25519, bytes(32))


def test_a_key_of_another_length_is_refused():
    with pytest.raises(VerificationFailed):
        VerifierKey("x", KeyType.ED25519, bytes(31))


def test_a_note_keeps_its_text_with_empty_lines_and_its_lines_in_order():
    note = parse_note(sign_note(TEXT, LOG, WITNESS))
    assert note.text == TEXT
    assert [signature.name for signature in note.signatures] == [LOG.name, WITNESS.name]
    assert parse_note(format_note(note)) == note


def test_a_cosignature_tells_when_the_witness_signed():
    verified = verify_note(parse_note(sign_note(TEXT, LOG, WITNESS)), [LOG.key, WITNESS.key])
    assert verified == (
        VerifiedSignature(LOG.key, None),
        VerifiedSignature(WITNESS.key, COSIGNED_AT),
    )


def test_the_time_of_a_cosignature_is_signed():
    signature = WITNESS.sign(TEXT)
    later = (COSIGNED_AT + 1).to_bytes(8, "big") + signature.signature[8:]
    data = SIGNED + line(WITNESS.name, signature.key_id + later)
    assert "does not fit" in refused(data, LOG.key, WITNESS.key)


def test_a_cosignature_beyond_the_last_time_is_refused():
    time = 2**63
    message = b"cosignature/v1\ntime %d\n" % time + TEXT
    signature = time.to_bytes(8, "big") + private_key(WITNESS.seed).sign(message)
    data = SIGNED + line(WITNESS.name, WITNESS.key.key_id + signature)
    assert "beyond" in refused(data, WITNESS.key)
    with pytest.raises(VerificationFailed):
        cosignature_message(TEXT, time=-1)


def test_a_cosignature_is_never_a_signature_and_the_reverse():
    # The same key under the other type has another id, so the line is unknown to it...
    as_log = VerifierKey(WITNESS.name, KeyType.ED25519, WITNESS.key.public_key)
    refused(sign_note(TEXT, WITNESS), as_log)
    # ... and with that id forged, the signed bytes differ.
    forged = line(WITNESS.name, as_log.key_id + WITNESS.sign(TEXT).signature[8:])
    refused(TEXT + b"\n" + forged, as_log)


def test_lines_by_unknown_keys_are_ignored():
    stranger = Signer("stranger.example", "stranger")
    same_name = Signer(LOG.name, "another key")
    data = sign_note(TEXT, stranger, same_name, LOG)
    assert verify_note(parse_note(data), [LOG.key]) == (VerifiedSignature(LOG.key, None),)


def test_a_shared_key_id_alone_does_not_make_a_key_known():
    data = line("stranger.example", LOG.key.key_id + bytes(64)) + SIGNED.split(b"\n\n")[-1]
    assert len(verify_note(parse_note(TEXT + b"\n" + data), [LOG.key])) == 1


def test_one_bad_signature_by_a_known_key_rejects_a_note_that_others_signed_well():
    data = sign_note(TEXT, LOG) + line(WITNESS.name, WITNESS.key.key_id + bytes(72))
    assert len(verify_note(parse_note(data), [LOG.key])) == 1
    refused(data, LOG.key, WITNESS.key)


def test_a_good_line_does_not_cover_for_a_bad_one_of_the_same_key():
    refused(SIGNED + line(LOG.name, LOG.key.key_id + bytes(64)))


def test_the_same_line_twice_counts_once():
    repeated = SIGNED + line(LOG.name, LOG.key.key_id + LOG.sign(TEXT).signature)
    assert verify_note(parse_note(repeated), [LOG.key]) == (VerifiedSignature(LOG.key, None),)


def test_a_witness_that_signed_twice_counts_with_both_times():
    lines = (WITNESS.sign(TEXT, time=1), WITNESS.sign(TEXT, time=2))
    verified = verify_note(Note(TEXT, lines), [WITNESS.key])
    assert [signature.time for signature in verified] == [1, 2]


def test_a_note_that_only_strangers_signed_is_refused():
    assert "no known key" in refused(SIGNED, WITNESS.key)
    with pytest.raises(VerificationFailed):
        verify_note(parse_note(SIGNED), [])


def test_two_known_keys_with_one_name_and_id_are_refused(monkeypatch):
    monkeypatch.setattr(VerifierKey, "key_id", property(lambda self: b"same"))
    assert "share one key id" in refused(SIGNED, LOG.key, Signer(LOG.name, "other").key)


@pytest.mark.parametrize("length", [1, 63, 65, 72])
def test_a_signature_of_another_length_is_refused(length):
    assert "wrong length" in refused(TEXT + b"\n" + line(LOG.name, LOG.key.key_id + bytes(length)))


GOOD_LINE = SIGNED.split(b"\n\n")[-1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"\n\n\n",
        TEXT,
        b"no empty line\n" + GOOD_LINE,
        SIGNED[:-1],
        SIGNED + b"\n",
        SIGNED.replace(b"\n", b"\r\n"),
        SIGNED.replace(b"a text", b"a\x00text"),
        SIGNED.replace(b"a text", b"a\ttext"),
        SIGNED.replace(b"a text", b"a \xff text"),
        SIGNED.replace(b"a text", b"a \xed\xa0\x80 text"),
        SIGNED.replace("—".encode(), b"-"),
        SIGNED.replace("— ".encode(), "—".encode()),
        SIGNED.replace("— ".encode(), "—  ".encode()),
        SIGNED.replace("— ".encode(), " — ".encode()),
        SIGNED[:-1] + b" \n",
        SIGNED[:-1] + b" more\n",
        SIGNED.replace(LOG.name.encode(), b"a+b"),
        SIGNED.replace(LOG.name.encode(), "a\u00a0b".encode()),
        SIGNED.replace(b"=\n", b"\n"),
        SIGNED.replace(b"=\n", b"==\n"),
        TEXT + b"\n" + line("x", b""),
        TEXT + b"\n" + line("x", b"1234"),
        TEXT + b"\n" + "— x MTIzNDV=\n".encode(),  # spare bits that are not zero
        TEXT + b"\n" + "— x MTIzNDU_\n".encode(),  # the alphabet of URLs
    ],
)
def test_what_is_not_a_note_is_refused(data):
    with pytest.raises(VerificationFailed) as refusal:
        parse_note(data)
    assert refusal.value.step == "note"


def test_a_note_may_have_100_signatures_and_no_more():
    lines = tuple(NoteSignature(f"witness{n}", b"1234", b"s") for n in range(SIGNATURES_MAX))
    assert len(parse_note(format_note(Note(TEXT, lines))).signatures) == 100
    with pytest.raises(ValueError, match="more than 100"):
        format_note(Note(TEXT, (*lines, lines[0])))


def test_a_note_larger_than_the_limit_is_refused_unread():
    parse_note(b"x" * (NOTE_BYTES_MAX - len(SIGNED)) + SIGNED)
    with pytest.raises(VerificationFailed, match="larger"):
        parse_note(b"x" * (NOTE_BYTES_MAX - len(SIGNED) + 1) + SIGNED)


@pytest.mark.parametrize(
    "note",
    [
        Note(b"no newline", (LOG.sign(TEXT),)),
        Note(TEXT, ()),
        Note(TEXT, (NoteSignature("a b", b"1234", b"s"),)),
        Note(TEXT, (NoteSignature("x", b"123", b"s"),)),
        Note(TEXT, (NoteSignature("x", b"12345", b"s"),)),
    ],
)
def test_a_note_nobody_could_read_back_is_not_written(note):
    with pytest.raises(ValueError):
        format_note(note)


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_signed_note_is_refused(position, difference):
    changed = bytearray(SIGNED)
    changed[position] ^= difference
    refused(bytes(changed))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_hostile_bytes_fail_in_no_other_way(data):
    for candidate in (data, data + b"\n\n" + GOOD_LINE, TEXT + b"\n" + data):
        try:
            parse_note(candidate)
        except VerificationFailed:
            continue
