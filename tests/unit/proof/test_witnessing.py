"""What a log and a witness say to each other, to the byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import VerificationFailed
from hub.proof.merkle import leaf_hash
from hub.proof.note import KeyType, NoteSignature, parse_note, verify_note
from hub.proof.strict import encode_base64
from hub.proof.witnessing import (
    ADD_CHECKPOINT_BYTES_MAX,
    PROOF_LINES_MAX,
    AddCheckpoint,
    cosignature_in,
    parse_add_checkpoint,
    parse_size,
    with_cosignatures,
)
from tests.unit.proof.building import LOG, WITNESS, Signer, consistency_path, plain_log

LEDGER = plain_log()
NOTE = LEDGER.signed_checkpoint(LOG)
BODY = LEDGER.checkpoint().body
OTHER = Signer("other.example", "other", KeyType.COSIGNATURE)
HASH = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw="

# The example of the specification, word for word.
EXAMPLE = """old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
""".encode()  # noqa: E501


def lines(*signers: Signer, text: bytes = BODY) -> bytes:
    signed = (signer.sign(text) for signer in signers)
    return "".join(
        f"— {line.name} {encode_base64(line.key_id + line.signature)}\n" for line in signed
    ).encode()


def test_the_example_of_the_specification_is_read_and_written():
    request = parse_add_checkpoint(EXAMPLE)
    assert request.old_size == 20_852_014
    assert len(request.proof) == 4
    assert len(parse_note(request.checkpoint).signatures) == 2
    assert request.format() == EXAMPLE


def test_a_request_is_read_as_it_was_written():
    hashes = [leaf_hash(entry) for entry in LEDGER.entries]
    for size in range(12):
        proof = tuple(consistency_path(hashes, size)) if size else ()
        request = AddCheckpoint(size, proof, NOTE)
        assert parse_add_checkpoint(request.format()) == request


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0\n\n",
        b"old 0\n" + NOTE,
        b"\n\n" + NOTE,
        b"old\n\n" + NOTE,
        b"old  1\n\n" + NOTE,
        b"old 01\n\n" + NOTE,
        b"old -1\n\n" + NOTE,
        b"old 1 \n\n" + NOTE,
        b"old 9223372036854775808\n\n" + NOTE,
        b"OLD 1\n\n" + NOTE,
        b"old 1\r\n\n" + NOTE,
        b"old 1\n\xff\n\n" + NOTE,
        f"old 1\n{HASH} \n\n".encode() + NOTE,
        f"old 1\n{HASH[:-4]}\n\n".encode() + NOTE,
        f"old 1\n{HASH.replace('w=', 'x=')}\n\n".encode() + NOTE,
        f"{HASH}\nold 1\n\n".encode() + NOTE,
        b"old 1\n" + f"{HASH}\n".encode() * (PROOF_LINES_MAX + 1) + b"\n" + NOTE,
        b"old 1\n\n" + b"x" * ADD_CHECKPOINT_BYTES_MAX,
    ],
    ids=range(19),
)
def test_a_malformed_request_is_refused(body):
    with pytest.raises(VerificationFailed) as refusal:
        parse_add_checkpoint(body)
    assert refusal.value.step == "witness"


@given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda tail: b"old 1\n" + tail))
def test_whatever_comes_is_a_request_or_refused(body):
    try:
        request = parse_add_checkpoint(body)
    except VerificationFailed:
        return
    assert request.format() == body


@pytest.mark.parametrize(("body", "size"), [(b"0\n", 0), (b"50\n", 50)])
def test_a_size_is_one_line(body, size):
    assert parse_size(body) == size


@pytest.mark.parametrize(
    "body", [b"", b"\n", b"50", b"050\n", b"50\n\n", b"-1\n", b"\xff\n", b"1" * 1000 + b"\n"]
)
def test_another_size_is_refused(body):
    with pytest.raises(VerificationFailed):
        parse_size(body)


def test_the_cosignature_of_the_witness_is_found_among_others():
    found = cosignature_in(lines(OTHER, WITNESS), NOTE, WITNESS.key)
    assert found == WITNESS.sign(BODY)
    assert with_cosignatures(NOTE, [found]) == LEDGER.signed_checkpoint(LOG, WITNESS)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\n",
        b"junk\n",
        lines(OTHER),
        lines(WITNESS)[:-1],
        lines(WITNESS, text=b"another text\n"),
        lines(WITNESS) + lines(WITNESS, text=b"another text\n"),
        # With an empty line it would be a note of its own, over a text of its choice.
        b"\n" + lines(WITNESS),
        b"more text\n\n" + lines(WITNESS, text=NOTE + b"more text\n"),
        lines(Signer(WITNESS.name, WITNESS.seed)),
        lines(WITNESS) * 100,
        b"x" * (1 << 20),
    ],
    ids=range(12),
)
def test_an_answer_that_is_no_cosignature_of_the_witness_is_refused(answer):
    with pytest.raises(VerificationFailed) as refusal:
        cosignature_in(answer, NOTE, WITNESS.key)
    assert refusal.value.step in ("note", "witness")


def test_a_key_of_a_log_is_no_witness():
    with pytest.raises(VerificationFailed):
        cosignature_in(lines(LOG), NOTE, LOG.key)


def test_too_many_cosignatures_are_not_put_below_a_checkpoint():
    many = [NoteSignature(f"w{n}", b"\0" * 4, b"\0" * 72) for n in range(100)]
    with pytest.raises(ValueError, match="more than 100"):
        with_cosignatures(NOTE, many)
    assert len(verify_note(parse_note(with_cosignatures(NOTE, many[:99])), [LOG.key])) == 1
