"""From when until when a witness or an authority of the trusted root is believed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hub.errors import VerificationFailed
from hub.proof.bundle import Anchor
from hub.proof.checks import Checks
from hub.proof.evidence import ReceiptFile, examine
from hub.proof.examination import examine_bundle
from hub.proof.findings import Verdict
from hub.proof.note import KeyType, Note, format_note
from hub.proof.policy import parse_policy
from hub.proof.trust import TrustedRoot, TrustedWitness, parse_trusted_root
from hub.proof.window import ALWAYS, Window
from tests.unit.proof import bundles
from tests.unit.proof.building import (
    COSIGNED_AT,
    LOG,
    WITNESS,
    Signer,
    plain_log,
    trusted_root,
)

SECOND = timedelta(seconds=1)
AT = datetime.fromtimestamp(COSIGNED_AT, UTC)
LEDGER = plain_log()
OTHER = Signer("witness.example/w2", "witness 2", KeyType.COSIGNATURE)
ENDED, NOT_YET = Window(None, AT - SECOND), Window(AT + SECOND, None)


def with_witness(window: Window, **changes) -> TrustedRoot:
    witnesses = (TrustedWitness(WITNESS.key, window), TrustedWitness(OTHER.key))
    return trusted_root(witnesses=witnesses, **changes)


def with_authority(window: Window) -> TrustedRoot:
    root = trusted_root()
    (authority,) = root.certificate_authorities
    return replace(root, certificate_authorities=(replace(authority, window=window),))


def asking(*witnesses: Signer):
    lines = [f"witness w{n} {each.key.format()}" for n, each in enumerate(witnesses)]
    names = " ".join(f"w{n}" for n in range(len(witnesses)))
    return parse_policy("\n".join([*lines, f"group g all {names}", "quorum g", ""]).encode())


# --- The file ------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [ENDED, NOT_YET, Window(AT, AT), ALWAYS])
def test_windows_are_read_as_they_were_written(window):
    for root in (with_witness(window), with_authority(window)):
        assert parse_trusted_root(root.format()) == root


def test_a_file_from_before_there_were_windows_believes_always():
    data = with_witness(ALWAYS).format()
    assert b"witness_windows" not in data
    assert b'"until"' not in data
    assert {each.window for each in parse_trusted_root(data).witnesses} == {ALWAYS}


def test_whoever_knows_no_windows_still_reads_the_witnesses():
    document = json.loads(with_witness(ENDED).format())
    assert document["witnesses"] == [WITNESS.key.format(), OTHER.key.format()]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w, ca: w[0].pop("until"), "only one end"),
        (lambda w, ca: ca.pop("from"), "only one end"),
        (lambda w, ca: [w[0].pop(name) for name in ("from", "until")], "does not say"),
        (lambda w, ca: ca.update({"until": None}), "must be left out"),
        (lambda w, ca: ca.update({"from": "2026-11-24T00:00:00Z"}), "ends before it begins"),
        (lambda w, ca: ca.update({"until": "2026-11-23"}), "not YYYY-MM-DD"),
        (lambda w, ca: w.append(dict(w[0])), "two windows of one witness"),
        (lambda w, ca: w[0].update(vkey=LOG.key.format()), "does not list"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(change, words):
    window = Window(None, datetime(2026, 11, 23, tzinfo=UTC))
    root = replace(with_authority(window), witnesses=(TrustedWitness(WITNESS.key, window),))
    document = json.loads(root.format())
    change(document["witness_windows"], document["certificate_authorities"][0])
    with pytest.raises(VerificationFailed, match=words):
        parse_trusted_root(json.dumps(document).encode())


def test_one_authority_has_one_window():
    document = json.loads(with_authority(ENDED).format())
    (entry,) = document["certificate_authorities"]
    open_again = {"purpose": entry["purpose"], "certificate": entry["certificate"]}
    document["certificate_authorities"].append(open_again)
    with pytest.raises(VerificationFailed, match="two windows"):
        parse_trusted_root(json.dumps(document).encode())


# --- Cosignatures --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "counts"),
    [(ALWAYS, True), (Window(AT, AT), True), (ENDED, False), (NOT_YET, False)],
)
def test_a_cosignature_counts_at_a_time_inside_its_witnesss_window(window, counts):
    opened = with_witness(window).open_checkpoint(LEDGER.signed_checkpoint(LOG, WITNESS))
    aside = [each.key for each in opened.uncounted]
    assert [each.key for each in opened.cosignatures] == ([WITNESS.key] if counts else [])
    assert aside == ([] if counts else [WITNESS.key])


def test_a_time_beyond_all_calendars_is_only_late():
    body = LEDGER.checkpoint().body
    late = WITNESS.sign(body, time=(1 << 63) - 1)
    note = format_note(Note(body, (LOG.sign(body), late)))
    assert with_witness(ENDED).open_checkpoint(note).uncounted
    assert with_witness(ALWAYS).open_checkpoint(note).cosignatures


def test_of_two_cosignatures_of_a_witness_one_in_time_is_enough():
    body = LEDGER.checkpoint().body
    early = WITNESS.sign(body, time=COSIGNED_AT - 1)
    note = format_note(Note(body, (LOG.sign(body), WITNESS.sign(body), early)))
    root = with_witness(ENDED, policy=asking(WITNESS))
    assert root.uncounted(root.open_checkpoint(note)) == []


def test_a_policy_does_not_count_it_and_says_so():
    note = LEDGER.signed_checkpoint(LOG, WITNESS, OTHER)
    good = with_witness(ALWAYS, policy=asking(WITNESS, OTHER))
    assert good.open_checkpoint(note).cosignatures

    for policy, words in (
        (asking(WITNESS, OTHER), f"by {OTHER.name}, and when it did not count by {WITNESS.name}"),
        (asking(WITNESS), f"by none of them, and when it did not count by {WITNESS.name}"),
    ):
        with pytest.raises(VerificationFailed, match=words) as refusal:
            with_witness(ENDED, policy=policy).open_checkpoint(note)
        assert refusal.value.step == "policy"


@pytest.mark.parametrize(
    ("window", "words"),
    [(ENDED, "was no longer trusted."), (NOT_YET, "was not trusted yet.")],
)
def test_the_findings_of_a_receipt_say_so_plainly(window, words):
    file = ReceiptFile(LEDGER.receipt(3, LOG, WITNESS)).format()
    said = examine(file, with_witness(window)).items
    assert "cosigned by no known witness" in said[1].text
    assert said[-1].verdict is Verdict.STATED
    assert said[-1].text.startswith(f"The cosignature of {WITNESS.name} does not count")
    assert said[-1].text.endswith(words)
    assert not any(
        "does not count" in each.text for each in examine(file, with_witness(ALWAYS)).items
    )


def test_the_findings_of_a_bundle_say_so_plainly():
    story = bundles.Story()
    note = story.log().signed_checkpoint(LOG, WITNESS)
    data = story.bundle(anchors=(Anchor(note),)).format()
    trust = replace(bundles.trust(), witnesses=(TrustedWitness(WITNESS.key, ENDED),))
    said = examine_bundle(data, Checks(trust)).items
    assert "none cosigned by a known witness" in said[1].text
    assert f"The cosignature of {WITNESS.name} does not count" in said[2].text


# --- Succession ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "allowed"),
    [
        (ALWAYS, ENDED, True),
        (Window(None, AT), ENDED, True),
        (ENDED, ENDED, True),
        (ENDED, Window(None, AT), False),
        (ENDED, ALWAYS, False),
        (NOT_YET, ALWAYS, False),
        (ALWAYS, NOT_YET, False),
    ],
)
def test_an_edition_may_end_a_window_and_open_none(old, new, allowed):
    assert old.may_become(new) is allowed
