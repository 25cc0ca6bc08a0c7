"""The trusted root: which key was good at which size."""

import json

import pytest

from hub.errors import VerificationFailed
from hub.proof.checkpoint import Checkpoint
from hub.proof.note import KeyType, Note, format_note, parse_note
from hub.proof.trust import (
    TRUSTED_ROOT_BYTES_MAX,
    TRUSTED_ROOT_MEDIA_TYPE,
    Closing,
    ConsistencyNeeded,
    LogKey,
    TrustedLog,
    parse_trusted_root,
)
from tests.unit.proof.building import (
    LOG,
    NEXT_LOG,
    ORIGIN,
    WITNESS,
    Signer,
    plain_log,
    sign_note,
    trusted_root,
)

LEDGER = plain_log()
CLOSED_AT = Closing(7, LEDGER.checkpoint(7).root)
OPEN, CLOSED = trusted_root(), trusted_root(closed=CLOSED_AT)


def changed(change, root=CLOSED):
    """The file of a trusted root with its JSON changed in place."""
    document = json.loads(root.format())
    change(document)
    return json.dumps(document).encode()


def refused(data):
    with pytest.raises(VerificationFailed) as refusal:
        parse_trusted_root(data)
    assert refusal.value.step == "trust"
    return str(refusal.value)


@pytest.mark.parametrize("root", [OPEN, CLOSED], ids=["open", "closed"])
def test_a_trusted_root_is_read_as_it_was_written(root):
    assert parse_trusted_root(root.format()) == root
    assert parse_trusted_root(root.format()).format() == root.format()
    assert json.loads(root.format())["media_type"] == TRUSTED_ROOT_MEDIA_TYPE


def test_what_a_newer_file_adds_is_passed_over():
    def add(document):
        document["something_new"] = [{"new": 1}]
        document["logs"][0]["name"] = "new"
        document["logs"][0]["keys"][0]["note"] = "new"
        document["certificate_authorities"][0]["note"] = "new"

    assert parse_trusted_root(changed(add)) == CLOSED


@pytest.mark.parametrize("media_type", ["", "application/json", TRUSTED_ROOT_MEDIA_TYPE[:-5], None])
def test_another_media_type_is_refused(media_type):
    refused(changed(lambda document: document.update(media_type=media_type)))


WITNESS_NAMED_AS_LOG = Signer(ORIGIN, "w", KeyType.COSIGNATURE)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("media_type"),
        lambda d: d.pop("version"),
        lambda d: d.pop("logs"),
        lambda d: d.pop("witnesses"),
        lambda d: d.pop("certificate_authorities"),
        lambda d: d.update(version=0),
        lambda d: d.update(version=True),
        lambda d: d.update(logs={}),
        lambda d: d.update(logs=["x"]),
        lambda d: d.update(witnesses=[1]),
        lambda d: d.update(witnesses=["x"]),
        lambda d: d.update(witnesses=[LOG.key.format()]),
        lambda d: d.update(witnesses=[WITNESS.key.format()] * 2),
        lambda d: d.update(logs=d["logs"] * 2),
        lambda d: d["logs"][0].pop("keys"),
        lambda d: d["logs"][0].update(origin="other.example"),
        lambda d: d["logs"][0].update(keys=d["logs"][0]["keys"] * 2),
        lambda d: d["logs"][0]["keys"][0].update(vkey="x"),
        lambda d: d["logs"][0]["keys"][0].update(vkey=WITNESS_NAMED_AS_LOG.key.format()),
        lambda d: d["logs"][0]["keys"][0].update(from_size=-1),
        lambda d: d["logs"][0]["keys"][0].update(from_size=8),
        lambda d: d["logs"][0]["keys"][0].pop("closed"),
        lambda d: d["logs"][0]["keys"][0].update(closed=False),
        lambda d: d["logs"][0]["keys"][0]["closed"].update(size="7"),
        lambda d: d["logs"][0]["keys"][0]["closed"].update(root="AAAA"),
        lambda d: d["logs"][0]["keys"][0]["closed"].pop("root"),
        lambda d: d["certificate_authorities"][0].update(purpose="other"),
        lambda d: d["certificate_authorities"][0].update(certificate="%"),
    ],
    ids=range(28),
)
def test_a_malformed_trusted_root_is_refused(change):
    refused(changed(change))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"\xff", b"[" * 1_000_000, b'{"a":"' + b'\\"' * 500_000, b"[],"],
    ids=range(7),
)
def test_a_hostile_file_is_refused(data):
    refused(data)


def test_a_file_beyond_the_limit_is_refused():
    data = OPEN.format()
    parse_trusted_root(data + b" " * (TRUSTED_ROOT_BYTES_MAX - len(data)))
    refused(data + b" " * (TRUSTED_ROOT_BYTES_MAX - len(data) + 1))


def test_a_root_nobody_could_read_back_is_not_written():
    with pytest.raises(ValueError):
        trusted_root(version=0).format()
    with pytest.raises(ValueError):
        trusted_root(logs=(TrustedLog("other", (LogKey(LOG.key, 0),)),)).format()


# --- Windows -------------------------------------------------------------------------------


def opens(root, size, *signers):
    return root.open_checkpoint(LEDGER.signed_checkpoint(*signers, size=size)).checkpoint.size


def not_opened(root, note):
    with pytest.raises(VerificationFailed) as refusal:
        root.open_checkpoint(note)
    assert refusal.value.step == "trust"
    return refusal.value


@pytest.mark.parametrize("size", [0, 1, 7, 11])
def test_an_open_key_is_good_from_its_first_size_on(size):
    assert opens(OPEN, size, LOG) == size


def test_a_checkpoint_of_an_unlisted_log_is_refused():
    other = Checkpoint("other.example", 1, b"r" * 32)
    failure = not_opened(OPEN, sign_note(other.body, Signer("other.example", LOG.seed)))
    assert "does not list" in str(failure)


def test_a_closed_key_is_good_at_its_closing_checkpoint():
    assert opens(CLOSED, 7, LOG) == 7


def test_a_closed_key_is_refused_beyond_its_closing_size():
    failure = not_opened(CLOSED, LEDGER.signed_checkpoint(LOG, size=8))
    assert not isinstance(failure, ConsistencyNeeded)


def test_a_closed_key_is_refused_at_its_closing_size_with_another_root():
    forged = Checkpoint(ORIGIN, 7, b"f" * 32)
    failure = not_opened(CLOSED, sign_note(forged.body, LOG))
    assert "another root" in str(failure)
    assert not isinstance(failure, ConsistencyNeeded)


def test_below_its_closing_size_a_closed_key_proves_nothing_alone():
    failure = not_opened(CLOSED, LEDGER.signed_checkpoint(LOG, size=6))
    assert isinstance(failure, ConsistencyNeeded)
    assert "needs a consistency proof" in str(failure)


def test_a_key_is_refused_before_its_first_size():
    failure = not_opened(CLOSED, LEDGER.signed_checkpoint(NEXT_LOG, size=6))
    assert "not in use before size 7" in str(failure)


def test_the_key_that_stays_vouches_for_an_overlap():
    assert opens(CLOSED, 9, NEXT_LOG) == 9
    # The old key has no say here any more, but its line does no harm either.
    assert opens(CLOSED, 9, LOG, NEXT_LOG) == 9
    assert opens(CLOSED, 9, NEXT_LOG, LOG) == 9


def test_a_bad_line_of_a_listed_witness_rejects_the_checkpoint():
    lying = Signer(WITNESS.name, WITNESS.seed, WITNESS.key_type).sign(b"another text\n")
    note = LEDGER.signed_checkpoint(LOG)
    parsed = parse_note(note)
    with pytest.raises(VerificationFailed) as refusal:
        OPEN.open_checkpoint(format_note(Note(parsed.text, (*parsed.signatures, lying))))
    assert refusal.value.step == "note"
    assert trusted_root(witnesses=()).open_checkpoint(note).cosignatures == ()
