"""What a bundle proves: every step, and that a refuted step is the last."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise

import pytest

from hub.errors import VerificationFailed
from hub.proof.bundle import Anchor, Link, StoredEvidence, Timestamp, Token, parse_bundle
from hub.proof.canonical import encode_canonical
from hub.proof.checks import Checks, Opinion
from hub.proof.evidence import ReceiptFile
from hub.proof.examination import examine_bundle, examine_file
from hub.proof.findings import Verdict
from hub.proof.leaf import encode_leaf
from hub.proof.policy import parse_policy
from hub.proof.statements import Collect, Envelope, Status
from hub.proof.trust import Closing
from tests.unit.proof.building import (
    LOG,
    NEXT_LOG,
    ORIGIN,
    WITNESS,
    Signer,
    certificate,
    event,
    recorded,
    trusted_root,
)
from tests.unit.proof.bundles import (
    ANSWERED_AT,
    ARRIVED_AT,
    COLLECTED_AT,
    CONTENT,
    ENROLLED,
    ENROLLED_TOO,
    EXCHANGE,
    EXPIRED_AT,
    OTHER,
    RECALLED_AT,
    RECIPIENT,
    SENDER,
    SUBMITTED_AT,
    Story,
    about,
    bent,
    envelope,
    link,
    signed,
)
from tests.unit.proof.logs import MemoryLog

TRUST = trusted_root()
STORY = Story()
WHOLE = STORY.bundle()
PROVEN, STATED = Verdict.PROVEN, Verdict.STATED
NOT_CHECKED, REFUTED = Verdict.NOT_CHECKED, Verdict.REFUTED


def examined(bundle, checks=None):
    data = bundle if isinstance(bundle, bytes) else bundle.format()
    findings = examine_bundle(data, checks or Checks(TRUST))
    assert [finding.step for finding in findings.items] == [*range(1, len(findings.items) + 1)]
    for finding in findings.items:
        assert finding.text[0].isupper()
        assert finding.text.endswith(".")
    return findings.items


def refuted(bundle, word, checks=None):
    """The examination ends with a refuted step that says why."""
    items = examined(bundle, checks)
    assert [item.verdict for item in items].count(REFUTED) == 1
    assert items[-1].verdict is REFUTED
    assert word in items[-1].text, items[-1].text
    return items


def said(items, word):
    """The verdict of the one finding with this word."""
    [found] = [item.verdict for item in items if word in item.text]
    return found


# --- What is found ----------------------------------------------------------------------


def test_everything_but_the_hubs_word_and_the_certificates_is_proven():
    items = examined(WHOLE)
    assert not [item for item in items if item.verdict is REFUTED]
    left_open = [item.text for item in items if item.verdict is NOT_CHECKED]
    assert len(left_open) == 6
    words = ("chain", "revoked the key", "revoked the certificate")
    assert all(any(word in text for word in words) for text in left_open)
    stated = [item.text for item in items if item.verdict is STATED]
    assert len(stated) == 7
    assert all("own clock" in text or "hub's word" in text for text in stated)
    assert said(items, "one that grew") is PROVEN
    assert said(items, f"All facts are about one document of {SENDER}") is PROVEN
    assert said(items, "The log records 2 events about itself") is PROVEN


def test_the_file_is_named_by_its_digest():
    digest = hashlib.sha256(WHOLE.format()).hexdigest()
    assert digest in examined(WHOLE)[0].text


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (SUBMITTED_AT, f"statement of {SENDER}: the document, to 2 recipients"),
        (COLLECTED_AT, f"statement of {RECIPIENT}: it takes delivery"),
        (ARRIVED_AT, f"statement of {RECIPIENT}: status 01"),
        (RECALLED_AT, f"statement of {SENDER}: recall 13"),
        (ANSWERED_AT, f"statement of {RECIPIENT}: answer 16 to the recall"),
    ],
)
def test_it_is_said_who_signed_what(position, words):
    items = examined(WHOLE)
    assert said(items, f"Position {position}: the event records this very {words}.") is PROVEN
    assert said(items, f"Position {position}: its ed25519 signature holds") is PROVEN


def test_no_word_that_a_stranger_chose_is_repeated():
    story = Story()
    hostile = signed(
        SENDER, Envelope.MEDIA_TYPE, envelope(hub=ORIGIN, place="\x1b[2J PROVEN everything")
    )
    story.statements[SUBMITTED_AT] = hostile
    for item in examined(story.bundle()):
        assert "\x1b" not in item.text
        assert "PROVEN" not in item.text


def test_an_expiry_is_a_fact_that_nobody_signed():
    texts = [item.text for item in examined(WHOLE) if f"Position {EXPIRED_AT}:" in item.text]
    assert len(texts) == 2


def test_one_checkpoint_for_everything_is_one_tree():
    bundle = STORY.bundle(size_of=lambda position: 12)
    assert bundle.links == ()
    assert said(examined(bundle), "Everything stands in one tree, of size 12.") is PROVEN


def test_trees_without_proofs_between_them_are_not_checked():
    items = examined(replace(WHOLE, links=WHOLE.links[1:]))
    assert said(items, "one that grew, the file does not let one check") is NOT_CHECKED


def test_what_was_withheld_is_not_checked():
    facts = (replace(WHOLE.facts[0], statement=None), *WHOLE.facts[1:])
    items = examined(replace(WHOLE, facts=facts))
    assert said(items, "what was signed is not in the file") is NOT_CHECKED
    assert said(items, "All facts are about one document") is PROVEN


def test_a_missing_enrolment_leaves_signatures_unchecked():
    items = examined(replace(WHOLE, enrolments=WHOLE.enrolments[:1], links=()))
    open_ones = [item for item in items if f"the enrolment at position {ENROLLED_TOO}" in item.text]
    assert [item.verdict for item in open_ones] == [NOT_CHECKED] * 3


def test_either_kind_of_file_is_examined_for_what_it_is():
    receipt = ReceiptFile(WHOLE.facts[0].receipt, WHOLE.facts[0].statement)
    checks = Checks(TRUST)
    assert "receipt file" in examine_file(receipt.format(), checks).items[0].text
    assert "bundle" in examine_file(WHOLE.format(), checks).items[0].text
    assert examine_file(b"junk", checks).verdict is REFUTED


# --- Checkpoints ------------------------------------------------------------------------


def test_a_checkpoint_of_a_stranger_is_refuted():
    refuted(STORY.bundle(signers=(Signer(ORIGIN, "stranger"),)), "No known key signed")
    stranger = STORY.log().signed_checkpoint(Signer(ORIGIN, "stranger"))
    refuted(replace(WHOLE, checkpoints=(Anchor(stranger),)), "No known key signed")


def test_two_trees_of_one_size_are_refuted():
    other = Story(data={4: {"code": "H99"}}).log()
    refuted(
        replace(WHOLE, checkpoints=(Anchor(other.signed_checkpoint(LOG, size=12)),)),
        "two trees of size 12",
    )


def test_a_history_that_was_rewritten_and_signed_anew_is_refuted():
    """Facts from before and after: each receipt holds by itself, together they do not."""
    rewritten = Story(data={4: {"code": "H99"}}).bundle()
    mixed = replace(WHOLE, facts=(*WHOLE.facts[:2], *rewritten.facts[2:]))
    items = refuted(mixed, "does not begin with the old one")
    assert len(items) == 3


def test_a_consistency_proof_of_something_else_is_refuted():
    first, *rest = WHOLE.links
    wrong = replace(first, hashes=(bytes(32),))
    refuted(replace(WHOLE, links=(wrong, *rest)), "does not begin with the old one")
    foreign = link(STORY.log(), 11, 12)
    bundle = STORY.bundle(size_of=lambda position: 12)
    refuted(replace(bundle, links=(foreign,)), "at which nothing here was signed")
    refuted(replace(bundle, links=(Link(12, 13, ()),)), "at which nothing here was signed")


def test_a_cosigned_checkpoint_is_named_with_its_witness():
    anchor = Anchor(STORY.log().signed_checkpoint(LOG, WITNESS))
    items = examined(STORY.bundle(anchors=(anchor,)))
    assert said(items, f"the one of size 12 cosigned by {WITNESS.name}") is PROVEN


def test_a_policy_is_met_by_one_checkpoint_that_covers_all_facts():
    policy = parse_policy(f"witness w1 {WITNESS.key.format()}\nquorum w1\n".encode())
    checks = Checks(replace(TRUST, policy=policy))
    anchor = Anchor(STORY.log().signed_checkpoint(LOG, WITNESS))
    met = examined(STORY.bundle(anchors=(anchor,)), checks)
    assert said(met, "The checkpoint of size 12 meets the policy, and covers all facts.") is PROVEN
    refuted(WHOLE, "meets the policy", checks)
    early = Anchor(STORY.log().signed_checkpoint(LOG, WITNESS, size=8))
    refuted(STORY.bundle(anchors=(early,)), "meets the policy", checks)
    apart = replace(STORY.bundle(anchors=(anchor,)), links=())
    assert said(examined(apart, checks), "not shown to be of one tree") is NOT_CHECKED


def test_under_a_closed_key_a_bundle_needs_the_way_to_the_closing_root():
    closing = Closing(12, STORY.log().checkpoint(12).root)
    checks = Checks(trusted_root(closed=closing))
    assert said(examined(replace(WHOLE, links=()), checks), "closed at size 12") is NOT_CHECKED
    # Its last receipt was signed at the closing size itself, and proofs lead there.
    assert said(examined(WHOLE, checks), "one that grew") is PROVEN
    later = Closing(8, STORY.log().checkpoint(8).root)
    refuted(WHOLE, "closed at size 8", Checks(trusted_root(closed=later)))


def test_a_later_key_vouches_for_what_its_tree_begins_with():
    log = STORY.log()
    log.entries += [encode_leaf(event(50 + n, n=n)) for n in range(2)]
    checks = Checks(trusted_root(closed=Closing(13, log.checkpoint(13).root)))
    anchor = Anchor(log.signed_checkpoint(NEXT_LOG))
    assert said(examined(STORY.bundle(log=log), checks), "closed at size 13") is NOT_CHECKED
    bundle = STORY.bundle(anchors=(anchor,), log=log)
    assert said(examined(bundle, checks), "one that grew") is PROVEN


# --- Facts ------------------------------------------------------------------------------


def test_a_leaf_of_another_place_is_refuted():
    facts = list(WHOLE.facts)
    leaf = facts[2].receipt.leaf
    facts[1] = replace(facts[1], receipt=replace(facts[1].receipt, leaf=leaf))
    refuted(replace(WHOLE, facts=tuple(facts)), "Position 7: the leaf does not lead to the root")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({COLLECTED_AT: {"exchange": EXCHANGE.replace("ee", "ff")}}, "about another document"),
        ({COLLECTED_AT: {"agency": OTHER}}, "speaks of another agency"),
        ({COLLECTED_AT: {"request_id": "x"}}, "another request"),
        ({COLLECTED_AT: {"envelope_digest": "00" * 32}}, "speaks of another envelope"),
        ({COLLECTED_AT: {"sender": OTHER}}, "names another sender"),
        ({COLLECTED_AT: {"enrolment": ENROLLED}}, "enrolled for another agency"),
        ({ARRIVED_AT: {"code": "03"}}, "names another code"),
        ({SUBMITTED_AT: {"recipients": [{"agency": RECIPIENT, "inbox_seq": 1}]}}, "recipients"),
        ({SUBMITTED_AT: {"attachments": []}}, "lists other attachments"),
        ({SUBMITTED_AT: {"action": "replace"}}, "names another action"),
        ({EXPIRED_AT: {"agency": "H09"}}, "was not sent to"),
        ({EXPIRED_AT: {"envelope_digest": "00" * 32}}, "speaks of another envelope"),
        ({ENROLLED: {"purpose": "transport"}}, "not enrolled for signing"),
        ({ENROLLED: {"agency": RECIPIENT}}, "enrolled for another agency"),
        ({ENROLLED: {"certificate": "00" * 32}}, "another certificate was enrolled"),
        ({ENROLLED: {"key_id": "00" * 32}}, "holds another key"),
        ({ENROLLED: {"algorithm": "rsa-pss-sha256"}}, "does not fit"),
        ({ENROLLED: {"algorithm": "md5"}}, "not one of ours"),
    ],
    ids=range(18),
)
def test_an_event_that_says_something_else_is_refuted(data, word):
    refuted(Story(data=data).bundle(), word)


@pytest.mark.parametrize(
    ("topics", "word"),
    [
        ({COLLECTED_AT: "hub.Delivery.StatusReported"}, "is of another kind"),
        ({ENROLLED: "hub.Agency.AgencyRegistered"}, "an event of another kind"),
        ({1: "hub.Agency.AgencyRegistered"}, "is not about the log's keys"),
    ],
    ids=range(3),
)
def test_an_event_of_another_kind_is_refuted(topics, word):
    refuted(Story(topics=topics).bundle(), word)


def test_a_statement_that_was_not_recorded_is_refuted():
    facts = list(WHOLE.facts)
    digest = STORY.statements[SUBMITTED_AT].digest.hex()
    other = signed(RECIPIENT, Collect.MEDIA_TYPE, about(RECIPIENT, COLLECTED_AT, digest, x=1))
    facts[1] = replace(facts[1], statement=other)
    refuted(replace(WHOLE, facts=tuple(facts)), "names another payload")


def test_a_signature_that_does_not_hold_is_refuted():
    story = Story()
    story.statements[ARRIVED_AT] = replace(story.statements[ARRIVED_AT], signature=bytes(64))
    refuted(story.bundle(), f"Position {ARRIVED_AT}: the ed25519 signature does not fit")


def test_a_statement_of_another_hub_is_refuted():
    story = Story()
    digest = story.statements[SUBMITTED_AT].digest.hex()
    foreign = about(RECIPIENT, ARRIVED_AT, digest, code="01") | {"hub": "elsewhere.example/log"}
    story.statements[ARRIVED_AT] = signed(RECIPIENT, Status.MEDIA_TYPE, foreign)
    refuted(story.bundle(), "made for another hub")


def test_another_algorithm_than_was_enrolled_is_refuted():
    story = Story()
    record = recorded(story.statements[ARRIVED_AT]) | {"algorithm": "ecdsa-p256-sha256"}
    refuted(Story(data={ARRIVED_AT: {"statement": record}}).bundle(), "another algorithm")


def test_time_that_runs_backwards_is_refuted():
    log = STORY.log()
    late = event(59, **{"exchange": EXCHANGE})
    log.entries[COLLECTED_AT] = encode_leaf(
        replace(late, topic="hub.Delivery.DeliveryExpired", data={"exchange": EXCHANGE})
    )
    bundle = STORY.bundle(log=log)
    facts = list(bundle.facts)
    facts[1] = replace(facts[1], statement=None)
    refuted(replace(bundle, facts=tuple(facts)), "older than the one before it")


def test_a_bundle_without_its_submission_is_refuted():
    refuted(replace(WHOLE, facts=WHOLE.facts[1:], links=()), "does not hold the one submission")


def test_an_enrolment_that_nothing_relies_on_is_refuted():
    alone = replace(WHOLE, facts=WHOLE.facts[:1], links=())
    refuted(alone, f"relied on the enrolment at position {ENROLLED_TOO}")


def test_another_certificate_is_refuted():
    enrolments = list(WHOLE.enrolments)
    enrolments[0] = replace(enrolments[0], certificate=certificate("x", "stranger"))
    refuted(replace(WHOLE, enrolments=tuple(enrolments)), "another certificate was enrolled")


def test_revocation_evidence_counts_only_as_the_log_stored_it():
    story = Story(
        data={4: {"digest": hashlib.sha256(b"crl").hexdigest()}},
        topics={4: "hub.Log.RevocationEvidenceStored"},
    )
    bundle = story.bundle()

    def with_crl(data):
        stored = StoredEvidence(story.log().receipt(4, size=5), data)
        first = replace(bundle.enrolments[0], revocation=(stored,))
        links = tuple(link(story.log(), old, old + 1) for old in range(1, 12))
        return replace(bundle, enrolments=(first, bundle.enrolments[1]), links=links)

    refuted(with_crl(b"crl"), "at which nothing here was signed")
    sizes = sorted({1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12})
    links = tuple(link(story.log(), old, new) for old, new in pairwise(sizes))
    good = replace(with_crl(b"crl"), links=links)
    assert said(examined(good), "stored what the issuer said of revocation") is PROVEN
    refuted(replace(with_crl(b"another"), links=links), "stored other evidence")


def test_what_two_enrolments_need_stands_in_the_file_once():
    story = Story(
        data={4: {"digest": hashlib.sha256(b"crl").hexdigest()}},
        topics={4: "hub.Log.RevocationEvidenceStored"},
    )
    stored = StoredEvidence(story.log().receipt(4, size=5), b"crl")
    bundle = story.bundle()
    both = tuple(replace(each, revocation=(stored,)) for each in bundle.enrolments)
    whole = replace(bundle, enrolments=both)

    assert whole.format().count(b'"data":') == 1
    assert parse_bundle(whole.format()) == whole
    other = replace(both[1], revocation=(replace(stored, data=b"other"),))
    with pytest.raises(ValueError, match="something else"):
        replace(bundle, enrolments=(both[0], other)).format()


@pytest.mark.parametrize("change", ["once more", "left out"])
def test_data_that_stands_there_twice_or_nowhere_is_refused(change):
    story = Story(
        data={4: {"digest": hashlib.sha256(b"crl").hexdigest()}},
        topics={4: "hub.Log.RevocationEvidenceStored"},
    )
    stored = StoredEvidence(story.log().receipt(4, size=5), b"crl")
    bundle = story.bundle()
    both = tuple(replace(each, revocation=(stored,)) for each in bundle.enrolments)
    file = json.loads(replace(bundle, enrolments=both).format())
    first, second = (each["revocation"][0] for each in file["enrolments"])
    if change == "once more":
        second["data"] = first["data"]
    else:
        del first["data"]
    del file["digest"]
    file["digest"] = hashlib.sha256(encode_canonical(file)).hexdigest()
    with pytest.raises(VerificationFailed, match="lacks its data, or has it once more"):
        parse_bundle(encode_canonical(file))


# --- Content ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "verdict", "word"),
    [
        ((len(CONTENT), hashlib.sha256(CONTENT).hexdigest()), PROVEN, "are those the sender"),
        (None, NOT_CHECKED, "Attachments that are not there: 1"),
        ((len(CONTENT), "00" * 32), REFUTED, "Attachment 1 is not the one"),
        ((1, hashlib.sha256(CONTENT).hexdigest()), REFUTED, "Attachment 1 is not the one"),
    ],
    ids=["good", "missing", "other", "longer"],
)
def test_attachments_are_held_against_what_was_signed(found, verdict, word):
    asked = []

    def look(*question):
        asked.append(question)
        return found

    assert said(examined(WHOLE, Checks(TRUST, content=look)), word) is verdict
    assert asked == [(EXCHANGE, "công-văn.pdf", len(CONTENT))]


def test_without_content_only_its_digest_is_proven():
    assert said(examined(WHOLE), "their content was not looked at") is PROVEN


# --- What more is at hand ---------------------------------------------------------------


def test_with_the_log_nothing_about_keys_is_left_open():
    items = examined(WHOLE, Checks(TRUST, log=MemoryLog(STORY.log())))
    assert said(items, "lies on the log read") is PROVEN
    assert [item.verdict for item in items if "did not revoke the key" in item.text] == [PROVEN] * 2


def test_with_the_log_no_links_are_needed():
    items = examined(replace(WHOLE, links=()), Checks(TRUST, log=MemoryLog(STORY.log())))
    assert said(items, "lies on the log read") is PROVEN


def test_a_log_that_was_rewritten_is_told_from_the_one_that_signed():
    rewritten = Story(data={4: {"code": "H99"}}).log()
    items = refuted(WHOLE, "one of them was rewritten", Checks(TRUST, log=MemoryLog(rewritten)))
    assert len(items) == 3


def test_a_log_that_is_too_short_leaves_it_open():
    short = STORY.log()
    del short.entries[9:]
    items = examined(WHOLE, Checks(TRUST, log=MemoryLog(short)))
    assert said(items, "The log that was read ends at size 9, before this") is NOT_CHECKED
    unread = [item.verdict for item in items if "read: the log that was read ends" in item.text]
    assert unread
    assert set(unread) == {NOT_CHECKED}


def test_a_key_that_the_log_revoked_in_between_is_refuted():
    key = STORY.statements[COLLECTED_AT].key_id
    story = Story(data={6: {"key_id": key}}, topics={6: "hub.Agency.CertificateRevoked"})
    refuted(
        story.bundle(), "revoked the key at position 6", Checks(TRUST, log=MemoryLog(story.log()))
    )


def test_whoever_knows_more_is_asked_once_for_each():
    class Knows:
        def __init__(self):
            self.asked = []

        def chain(self, der, *, issuers, at):
            self.asked.append((der, issuers, len(at)))
            return Opinion(PROVEN, "The chain held then.")

        def revocation(self, der, *, issuers, stored, at):
            self.asked.append((der, issuers, stored, len(at)))
            return Opinion(PROVEN, "It was not revoked.")

        def timestamp(self, note, timestamp):
            self.asked.append((note, timestamp))
            return [Opinion(PROVEN, "An authority saw it."), Opinion(PROVEN, "It still holds.")]

    anchor = Anchor(STORY.log().signed_checkpoint(LOG), (Timestamp(Token("TSA", b"x")),))
    knows = Knows()
    bundle = STORY.bundle(anchors=(anchor,))
    items = examined(bundle, Checks(TRUST, log=MemoryLog(STORY.log()), beyond=knows))
    assert {item.verdict for item in items} == {PROVEN, STATED}
    assert knows.asked == [
        (STORY.certificates[ENROLLED], (), 2),
        (STORY.certificates[ENROLLED], (), (), 2),
        (STORY.certificates[ENROLLED_TOO], (), 2),
        (STORY.certificates[ENROLLED_TOO], (), (), 2),
        (anchor.note, anchor.timestamps[0]),
    ]
    texts = [item.text for item in items]
    assert f"Enrolment at position {ENROLLED}: the chain held then." in texts
    assert "Checkpoint of size 12: it still holds." in texts


def test_without_such_help_timestamps_are_not_checked():
    anchor = Anchor(STORY.log().signed_checkpoint(LOG), (Timestamp(Token("TSA", b"x")),))
    assert said(examined(STORY.bundle(anchors=(anchor,))), "a timestamp is there") is NOT_CHECKED


def test_a_log_that_contradicts_itself_refutes():
    class Lies(MemoryLog):
        def entries(self, start, end):
            raise VerificationFailed("an entry was changed", step="log")

    refuted(WHOLE, "An entry was changed", Checks(TRUST, log=Lies(STORY.log())))


def test_a_log_that_cannot_be_read_proves_nothing_and_refutes_nothing():
    class Gone(MemoryLog):
        def root(self, size):
            raise OSError(5, "Input/output error")

        def entries(self, start, end):
            raise OSError(5, "Input/output error")

    items = examined(WHOLE, Checks(TRUST, log=Gone(STORY.log())))
    assert said(items, "The log could not be read: Input/output error.") is NOT_CHECKED
    assert len([item for item in items if "could not be read" in item.text]) == 3


def test_junk_is_refuted_at_once():
    refuted(b"junk", "")
    refuted(bent(WHOLE, lambda d: d.update(more=1)), "a member this version does not know")
