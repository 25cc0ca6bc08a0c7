"""Checkpoints: exactly three lines, signed by their own log."""

import pytest

from hub.errors import VerificationFailed
from hub.proof.checkpoint import (
    Checkpoint,
    open_checkpoint,
    open_cosigned_checkpoint,
    parse_checkpoint_body,
)
from hub.proof.merkle import EMPTY_ROOT
from tests.unit.proof.building import (
    COSIGNED_AT,
    LOG,
    NEXT_LOG,
    ORIGIN,
    WITNESS,
    Signer,
    plain_log,
    sign_note,
)

CHECKPOINT = plain_log().checkpoint()


def test_the_body_is_three_lines():
    # The example of c2sp.org/tlog-checkpoint.
    body = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    checkpoint = parse_checkpoint_body(body)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.body == body


@pytest.mark.parametrize("size", [0, 1, 2**63 - 1])
def test_a_size_up_to_2_63_is_read(size):
    root = EMPTY_ROOT if size == 0 else b"r" * 32
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert parse_checkpoint_body(checkpoint.body) == checkpoint


BODY = CHECKPOINT.body.decode()
SIZE = f"\n{CHECKPOINT.size}\n"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n\n\n",
        BODY[:-1],
        BODY + "\n",
        BODY + "an extension line\n",
        BODY.replace(ORIGIN, ""),
        BODY.replace(ORIGIN, "a\x7f\x01"),
        *(
            BODY.replace(SIZE, f"\n{size}\n")
            for size in ["", "-1", "+1", "01", "00", " 1", "1 ", "1.0", "1_0", "0x1", "١", 2**63]
        ),
        BODY.replace(SIZE, "\n" + "9" * 5000 + "\n"),
        BODY.replace("=\n", "\n"),
        BODY.replace(SIZE, SIZE + "AAAA"),
        BODY.replace(SIZE, "\n0\n"),
    ],
)
def test_what_is_not_a_checkpoint_is_refused(body):
    with pytest.raises(VerificationFailed) as refusal:
        parse_checkpoint_body(body.encode())
    assert refusal.value.step == "checkpoint"


def test_bytes_that_are_not_utf_8_are_refused():
    with pytest.raises(VerificationFailed):
        parse_checkpoint_body(b"\xff" + CHECKPOINT.body)


def test_a_checkpoint_signed_by_its_log_opens():
    note = sign_note(CHECKPOINT.body, LOG)
    assert open_checkpoint(note, log_keys=[LOG.key], origin=ORIGIN) == CHECKPOINT
    assert open_checkpoint(note, log_keys=[NEXT_LOG.key, LOG.key], origin=ORIGIN) == CHECKPOINT


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [NEXT_LOG.key],
        [WITNESS.key],
        # The right key under another name, and a witness's key under the log's name.
        [Signer("other.example", LOG.seed).key],
        [Signer(ORIGIN, WITNESS.seed, WITNESS.key_type).key],
    ],
)
def test_a_checkpoint_without_a_key_of_its_log_is_refused(keys):
    witness_as_log = Signer(ORIGIN, WITNESS.seed, WITNESS.key_type)
    note = sign_note(CHECKPOINT.body, LOG, WITNESS, witness_as_log)
    with pytest.raises(VerificationFailed):
        open_checkpoint(note, log_keys=keys, origin=ORIGIN)


def test_a_cosignature_alone_does_not_make_a_checkpoint():
    note = sign_note(CHECKPOINT.body, WITNESS)
    with pytest.raises(VerificationFailed, match="no key of the log"):
        open_cosigned_checkpoint(
            note, log_keys=[LOG.key], witness_keys=[WITNESS.key], origin=ORIGIN
        )


def test_a_checkpoint_of_another_log_is_refused():
    other = Checkpoint("staging.example", CHECKPOINT.size, CHECKPOINT.root)
    with pytest.raises(VerificationFailed, match="not of the log"):
        open_checkpoint(sign_note(other.body, LOG), log_keys=[LOG.key], origin=ORIGIN)


def test_a_log_may_not_sign_extension_lines():
    note = sign_note(CHECKPOINT.body + b"more\n", LOG)
    with pytest.raises(VerificationFailed, match="exactly three lines"):
        open_checkpoint(note, log_keys=[LOG.key], origin=ORIGIN)


def test_opening_tells_who_signed_and_who_cosigned_when():
    note = sign_note(CHECKPOINT.body, LOG, NEXT_LOG, WITNESS)
    opened = open_cosigned_checkpoint(
        note, log_keys=[LOG.key, NEXT_LOG.key], witness_keys=[WITNESS.key], origin=ORIGIN
    )
    assert opened.checkpoint == CHECKPOINT
    assert opened.signed_by == (LOG.key, NEXT_LOG.key)
    assert [(c.key, c.time) for c in opened.cosignatures] == [(WITNESS.key, COSIGNED_AT)]


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("", 1, b"r" * 32),
        ("a\nb", 1, b"r" * 32),
        (ORIGIN, -1, b"r" * 32),
        (ORIGIN, 2**63, b"r" * 32),
        (ORIGIN, 1, b"r" * 31),
        (ORIGIN, 0, b"r" * 32),
    ],
)
def test_an_impossible_checkpoint_cannot_be_made(origin, size, root):
    with pytest.raises(VerificationFailed):
        Checkpoint(origin, size, root)
