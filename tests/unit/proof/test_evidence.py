"""Receipt files: what each step finds, and that a refuted step is the last."""

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import VerificationFailed
from hub.proof.dsse import SignedStatement
from hub.proof.evidence import (
    RECEIPT_FILE_BYTES_MAX,
    RECEIPT_FILE_MEDIA_TYPE,
    Enrolment,
    ReceiptFile,
    examine,
    parse_receipt_file,
)
from hub.proof.findings import Finding, Findings, Verdict
from hub.proof.trust import Closing, TrustedLog
from tests.unit.proof.building import (
    LOG,
    NEXT_LOG,
    ORIGIN,
    WITNESS,
    Case,
    Signer,
    SmallLog,
    certificate,
    plain_log,
    recorded,
    statement,
    trusted_root,
)

TRUST = trusted_root()
LEDGER = plain_log()
FACT = ReceiptFile(LEDGER.receipt(3))
FULL = Case().file()
SIGNED = ReceiptFile(FULL.receipt, FULL.statement)

PROVEN, STATED = Verdict.PROVEN, Verdict.STATED
NOT_CHECKED, REFUTED = Verdict.NOT_CHECKED, Verdict.REFUTED


def verdicts(file, trust=TRUST):
    data = file if isinstance(file, bytes) else file.format()
    findings = examine(data, trust)
    assert [finding.step for finding in findings.items] == [*range(1, len(findings.items) + 1)]
    for finding in findings.items:
        assert finding.text[0].isupper()
        assert finding.text.endswith(".")
    return [finding.verdict for finding in findings.items]


def refuted_at(file, step, word="", trust=TRUST):
    """The examination ends at this step, refuted, and its sentence has this word."""
    found = verdicts(file, trust)
    assert len(found) == step
    assert [verdict for verdict in found if verdict is REFUTED] == found[-1:]
    text = examine(file if isinstance(file, bytes) else file.format(), trust).items[-1].text
    assert word in text, text


def changed(change, file=FULL):
    """Another file in the form such files are written in, as far as what is in it allows."""
    document = json.loads(file.format())
    change(document)
    try:
        return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(document, indent=2).encode() + b"\n"


# --- What is found -------------------------------------------------------------------------


def test_a_fact_alone_is_proven_but_for_its_time():
    assert verdicts(FACT) == [PROVEN, PROVEN, PROVEN, STATED]
    assert examine(FACT.format(), TRUST).verdict is PROVEN


def test_a_statement_is_proven_to_be_the_recorded_one():
    assert verdicts(SIGNED) == [PROVEN, PROVEN, PROVEN, STATED, PROVEN]
    assert "does not let one check" in examine(SIGNED.format(), TRUST).items[4].text


def test_an_enrolment_proves_the_signature_and_leaves_the_chain_open():
    assert verdicts(FULL) == [PROVEN] * 3 + [STATED] + [PROVEN] * 3 + [NOT_CHECKED] * 3
    findings = examine(FULL.format(), TRUST)
    assert findings.verdict is NOT_CHECKED
    assert "chain" in findings.items[7].text
    assert "issuer had revoked" in findings.items[8].text
    assert "between positions 2 and 5" in findings.items[9].text


def test_the_findings_say_which_log_event_and_witness():
    texts = [finding.text for finding in examine(Case().file(LOG, WITNESS).format(), TRUST).items]
    assert f"the checkpoint of {ORIGIN} at size 9, cosigned by {WITNESS.name}." in texts[1]
    assert "position 5" in texts[2]
    assert "hub.Exchange.DocumentSubmitted" in texts[3]
    assert "2026-11-22 01:30:05.123456 UTC" in texts[3]
    assert "cosigned by no known witness" in examine(FULL.format(), TRUST).items[1].text


def test_an_enrolment_under_an_earlier_checkpoint_is_as_good():
    log = Case().log()
    enrolment = Enrolment(log.receipt(2, size=4), FULL.enrolment.certificate)
    assert verdicts(replace(FULL, enrolment=enrolment))[-1] is NOT_CHECKED


def test_the_verdict_of_a_file_is_its_worst_step():
    def of(*steps):
        return Findings(tuple(Finding(1, step, "") for step in steps)).verdict

    assert of(PROVEN, STATED) is PROVEN
    assert of(STATED) is PROVEN
    assert of(PROVEN, NOT_CHECKED) is NOT_CHECKED
    assert of(NOT_CHECKED, REFUTED) is REFUTED


# --- (1) The file --------------------------------------------------------------------------


@pytest.mark.parametrize("file", [FACT, SIGNED, FULL], ids=["fact", "signed", "full"])
def test_a_file_is_read_as_it_was_written(file):
    assert parse_receipt_file(file.format()) == file
    assert json.loads(file.format())["media_type"] == RECEIPT_FILE_MEDIA_TYPE


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("media_type"),
        lambda d: d.update(media_type="application/json"),
        lambda d: d.update(media_type=RECEIPT_FILE_MEDIA_TYPE.replace("v1", "v2")),
        lambda d: d.pop("leaf"),
        lambda d: d.update(leaf=None),
        lambda d: d.update(leaf=d["leaf"].rstrip("=") + "*"),
        lambda d: d.pop("proof"),
        lambda d: d.update(proof=1),
        lambda d: d.update(proof="\ud800"),
        lambda d: d.pop("statement"),
        lambda d: d.update(statement=None),
        lambda d: d.update(timestamps=[]),
        lambda d: d["statement"].pop("key_id"),
        lambda d: d["statement"].update(payload="%"),
        lambda d: d["statement"].update(signature=7),
        lambda d: d["statement"].update(more=1),
        lambda d: d.update(enrolment=[]),
        lambda d: d["enrolment"].pop("certificate"),
        lambda d: d["enrolment"].pop("leaf"),
        lambda d: d["enrolment"].update(more=1),
    ],
    ids=range(20),
)
def test_a_malformed_file_is_refuted_at_once(change):
    data = changed(change)
    with pytest.raises(VerificationFailed) as refusal:
        parse_receipt_file(data)
    assert refusal.value.step == "file"
    refuted_at(data, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"\xff" * 100,
        b"[" * 10_000_000,
        b'{"leaf":' * 1_000_000,
        b'{"leaf":"' + b'\\"' * 5_000_000,
        b'{"leaf":[' + b"[]," * 4_000_000,
        b'"' * RECEIPT_FILE_BYTES_MAX,
    ],
    ids=range(8),
)
def test_a_hostile_file_is_refuted_at_once(data):
    refuted_at(data, 1)


def test_a_file_beyond_16_mib_is_refuted():
    padding = b" " * (RECEIPT_FILE_BYTES_MAX - len(FACT.format()))
    refuted_at(FACT.format() + padding, 1, "not written in the one form")
    refuted_at(FACT.format() + padding + b" ", 1, "larger")


def test_a_file_nobody_could_read_back_is_not_written():
    with pytest.raises(ValueError):
        replace(FULL, statement=None).format()
    with pytest.raises(ValueError):
        ReceiptFile(replace(FACT.receipt, proof=b"\xff")).format()


# --- (2) to (4) The receipt ------------------------------------------------------------------


def test_a_checkpoint_of_a_key_nobody_trusts_is_refuted():
    refuted_at(ReceiptFile(LEDGER.receipt(3, Signer(ORIGIN, "stranger"))), 2, "No known key")


def test_a_checkpoint_of_an_unlisted_log_is_refuted():
    refuted_at(FACT, 2, "does not list", trust=trusted_root(logs=()))


def test_a_proof_that_cannot_be_read_is_refuted():
    refuted_at(changed(lambda d: d.update(proof="x"), FACT), 2)


def test_a_closed_key_leaves_earlier_receipts_unchecked_and_later_ones_refuted():
    trust = trusted_root(closed=Closing(7, LEDGER.checkpoint(7).root))
    earlier, last = ReceiptFile(LEDGER.receipt(3, size=5)), ReceiptFile(LEDGER.receipt(3, size=7))
    assert verdicts(earlier, trust) == [PROVEN, NOT_CHECKED]
    assert verdicts(last, trust) == [PROVEN, PROVEN, PROVEN, STATED]
    refuted_at(FACT, 2, "closed at size 7", trust=trust)
    assert verdicts(ReceiptFile(LEDGER.receipt(3, NEXT_LOG)), trust)[-1] is STATED


def test_a_leaf_of_another_place_is_refuted():
    refuted_at(ReceiptFile(replace(FACT.receipt, leaf=LEDGER.entries[4])), 3)


def test_a_leaf_that_is_no_event_is_refuted():
    refuted_at(ReceiptFile(SmallLog([b"{}"]).receipt(0)), 4)


# --- (5) The statement -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("digest", hashlib.sha256(b"another").hexdigest()),
        ("digest", FULL.statement.digest.hex().upper()),
        ("payload_type", "application/json"),
        ("key_id", "00" * 32),
        ("signature", "AAAA"),
    ],
)
def test_a_statement_that_the_event_does_not_record_is_refuted(name, value):
    other = recorded(FULL.statement) | {name: value}
    refuted_at(Case(submitted={"statement": other}).file(), 5, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("payload", FULL.statement.payload + b" "),
        ("payload_type", FULL.statement.payload_type + "x"),
        ("key_id", FULL.statement.key_id.upper()),
        ("signature", FULL.statement.signature + b"\0"),
    ],
)
def test_a_statement_changed_in_the_file_is_refuted(name, value):
    refuted_at(replace(FULL, statement=replace(FULL.statement, **{name: value})), 5)


@pytest.mark.parametrize("recorded_as", [None, "x", {}, {"digest": 1}])
def test_an_event_that_records_no_statement_refutes_it(recorded_as):
    refuted_at(Case(submitted={"statement": recorded_as}).file(), 5)
    refuted_at(ReceiptFile(FACT.receipt, FULL.statement), 5)


# --- (6) The enrolment -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "word"),
    [
        (Case(topic="hub.Agency.AgencyRegistered"), "another kind"),
        (Case(submitted={"enrolment": 3}), "another enrolment"),
        (Case(submitted={"enrolment": None}), "whole number"),
        (Case(submitted={"enrolment": "2"}), "whole number"),
        (Case(enrolled_at=7), "before"),
        (Case(enrolled={"agency": "000.00.02.H26"}), "another agency"),
        (Case(enrolled={"agency": None}), "no text 'agency'"),
        (Case(signed=statement(agency="000.00.02.H26")), "another agency"),
        (Case(signed=statement(agency=7)), "no text 'agency'"),
        (Case(signed=statement(hub="staging.example")), "another hub"),
        (Case(signed=statement(hub=None)), "no text 'hub'"),
        (Case(enrolled={"purpose": "transport"}), "for signing"),
        (Case(enrolled={"certificate": "00" * 32}), "nother certificate"),
        (Case(enrolled={"key_id": "00" * 32}), "another key"),
        (Case(signed=replace(statement(), key_id="00" * 32)), "another key"),
        (Case(signed=statement(seed="another key")), "another key"),
        (Case(der=certificate("Sở Nội vụ", "other")), "another key"),
        (Case(der=b"no certificate"), "nreadable"),
        (Case(enrolled={"algorithm": "ecdsa-p256-sha256"}), "does not fit"),
        (Case(enrolled={"algorithm": "rsa-pkcs1-sha1"}), "not one of ours"),
        (Case(enrolled={"algorithm": None}), "no text 'algorithm'"),
    ],
    ids=range(21),
)
def test_an_enrolment_that_does_not_carry_the_statement_is_refuted(case, word):
    refuted_at(case.file(), 6, word)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"\xff", b'{"agency":"a","agency":"b"}', b"[" * 99]
)
def test_a_payload_that_cannot_be_read_is_refuted(payload):
    refuted_at(Case(signed=replace(FULL.statement, payload=payload)).file(), 6, "payload")


def test_a_certificate_exchanged_in_the_file_is_refuted():
    other = replace(FULL.enrolment, certificate=certificate("Another", "agency"))
    refuted_at(replace(FULL, enrolment=other), 6, "nother certificate")


def test_an_enrolment_that_is_not_in_the_log_is_refuted():
    forged = replace(FULL.enrolment.receipt, leaf=LEDGER.entries[2])
    refuted_at(replace(FULL, enrolment=replace(FULL.enrolment, receipt=forged)), 6, "root")


def test_an_enrolment_in_another_trusted_log_is_refuted():
    other = Signer("other.example", "other")
    logs = (*TRUST.logs, TrustedLog(other.name, (replace(TRUST.logs[0].keys[0], key=other.key),)))
    elsewhere = SmallLog(Case().log().entries, other.name).receipt(2, other)
    file = replace(FULL, enrolment=replace(FULL.enrolment, receipt=elsewhere))
    refuted_at(file, 6, "another log", trust=trusted_root(logs=logs))


def test_two_trees_of_one_size_are_refuted():
    log = Case().log()
    log.entries[8] = LEDGER.entries[9]
    forked = replace(FULL.enrolment, receipt=log.receipt(2))
    refuted_at(replace(FULL, enrolment=forked), 6, "two trees")


def test_an_enrolment_that_only_a_consistency_proof_could_anchor_is_not_checked():
    log = Case().log()
    trust = trusted_root(closed=Closing(9, log.checkpoint().root))
    enrolment = replace(FULL.enrolment, receipt=log.receipt(2, size=4))
    assert verdicts(FULL, trust)[-1] is NOT_CHECKED
    found = verdicts(replace(FULL, enrolment=enrolment), trust)
    assert found == [PROVEN] * 3 + [STATED, PROVEN, NOT_CHECKED]


# --- (7) The signature -----------------------------------------------------------------------


@pytest.mark.parametrize("signature", [b"", b"short", bytes(64), FULL.statement.signature[::-1]])
def test_a_signature_that_does_not_hold_is_refuted(signature):
    refuted_at(Case(signed=replace(FULL.statement, signature=signature)).file(), 7)


def test_a_signature_over_another_type_is_refuted():
    signed = replace(statement(), payload_type="application/vnd.lienthong.recall.v1+json")
    refuted_at(Case(signed=signed).file(), 7)


# --- Nothing escapes -------------------------------------------------------------------------

DOCUMENT = json.loads(FULL.format())
PLACES = [
    ("leaf",),
    ("proof",),
    ("statement", "payload_type"),
    ("statement", "payload"),
    ("statement", "key_id"),
    ("statement", "signature"),
    ("enrolment", "leaf"),
    ("enrolment", "proof"),
    ("enrolment", "certificate"),
]


@given(st.sampled_from(PLACES), st.data())
def test_any_changed_character_of_a_file_is_refuted(place, data):
    document = json.loads(FULL.format())
    *outer, last = place
    holder = document[outer[0]] if outer else document
    position = data.draw(st.integers(0, len(holder[last]) - 1))
    sign = data.draw(st.characters(codec="utf-8", exclude_characters=holder[last][position]))
    holder[last] = holder[last][:position] + sign + holder[last][position + 1 :]
    assert verdicts(json.dumps(document).encode())[-1] is REFUTED


@given(st.binary(max_size=200), st.integers(0, len(FULL.format())))
def test_an_examination_never_raises(junk, position):
    data = FULL.format()
    verdicts(junk)
    verdicts(data[:position] + junk + data[position:])
    verdicts(data[:position] + junk)


@given(st.text(max_size=20), st.binary(max_size=60), st.text(max_size=20), st.binary(max_size=70))
def test_nonsense_that_the_log_recorded_is_refuted_without_an_error(kind, payload, key, signature):
    signed = SignedStatement(kind, payload, key, signature)
    assert verdicts(Case(signed=signed).file())[-1] is REFUTED
