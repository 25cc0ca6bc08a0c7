"""The bundle file: read as it was written, in one spelling, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from hub.errors import VerificationFailed
from hub.proof.bundle import (
    BUNDLE_BYTES_MAX,
    BUNDLE_MEDIA_TYPE,
    FACTS_MAX,
    Anchor,
    Renewal,
    StoredEvidence,
    Timestamp,
    Token,
    parse_bundle,
)
from hub.proof.canonical import encode_canonical
from tests.unit.proof.building import LOG
from tests.unit.proof.bundles import Story, bent, sealed

ROOT = Path(__file__).parents[3]
STORY = Story()
LEDGER = STORY.log()
PLAIN = STORY.bundle()
ANCHOR = Anchor(
    LEDGER.signed_checkpoint(LOG),
    (
        Timestamp(
            Token("TSA", b"token", (b"certificate",)),
            (Renewal(Token("TSA 2", b"later"), b"message"),),
        ),
    ),
)
WHOLE = replace(
    STORY.bundle(anchors=(ANCHOR,)),
    enrolments=(
        replace(
            PLAIN.enrolments[0],
            issuers=(b"issuer",),
            revocation=(StoredEvidence(LEDGER.receipt(4), b"crl"),),
        ),
        PLAIN.enrolments[1],
    ),
)


def refused(data: bytes, word: str = "") -> None:
    with pytest.raises(VerificationFailed) as refusal:
        parse_bundle(data)
    assert word in str(refusal.value)


@pytest.mark.parametrize("bundle", [PLAIN, WHOLE], ids=["plain", "whole"])
def test_a_bundle_is_read_as_it_was_written(bundle):
    data = bundle.format()
    assert parse_bundle(data) == bundle
    assert json.loads(data)["media_type"] == BUNDLE_MEDIA_TYPE
    assert encode_canonical(json.loads(data)) == data


def test_the_same_facts_make_the_same_bytes():
    assert Story().bundle().format() == PLAIN.format()


def test_the_digest_covers_everything_else():
    document = json.loads(WHOLE.format())
    digest = document.pop("digest")
    assert hashlib.sha256(encode_canonical(document)).hexdigest() == digest


@pytest.mark.parametrize(
    "spelling",
    [
        lambda d: json.dumps(d, ensure_ascii=False, indent=2).encode(),
        lambda d: encode_canonical(d) + b"\n",
        lambda d: b" " + encode_canonical(d),
        lambda d: encode_canonical(d).replace(b'"exchange"', b'"\\u0065xchange"'),
        lambda d: json.dumps(dict(reversed(d.items())), separators=(",", ":")).encode(),
        lambda d: encode_canonical(d).replace(b'"old_size":3', b'"old_size":3.0', 1),
    ],
    ids=range(6),
)
def test_another_spelling_is_refused(spelling):
    refused(spelling(json.loads(PLAIN.format())))


def test_a_damaged_bundle_is_refused_by_its_digest():
    document = json.loads(PLAIN.format())
    document["exchange"] = document["exchange"].replace("ee", "ef")
    refused(encode_canonical(document), "damaged")
    document.pop("digest")
    refused(encode_canonical(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(media_type="application/json"),
        lambda d: d.update(media_type=BUNDLE_MEDIA_TYPE.replace("v1", "v2")),
        lambda d: d.pop("facts"),
        lambda d: d.update(facts=[]),
        lambda d: d.update(facts={}),
        lambda d: d.update(more=[]),
        lambda d: d.update(exchange="x"),
        lambda d: d.update(exchange=d["exchange"].upper()),
        lambda d: d["facts"][0].update(more=1),
        lambda d: d["facts"][0].update(statement=None),
        lambda d: d["facts"][0].pop("leaf"),
        lambda d: d["facts"][0].update(leaf="*"),
        lambda d: d["facts"][0]["statement"].pop("key_id"),
        lambda d: d["facts"].reverse(),
        lambda d: d["facts"].append(d["facts"][-1]),
        lambda d: d["enrolments"].reverse(),
        lambda d: d["enrolments"][0].pop("issuers"),
        lambda d: d["enrolments"][0].update(issuers=[1]),
        lambda d: d["enrolments"][0]["revocation"][0].pop("data"),
        lambda d: d["hub_keys"].reverse(),
        lambda d: d["hub_keys"][0].update(statement={}),
        lambda d: d["checkpoints"].append(d["checkpoints"][0]),
        lambda d: d["checkpoints"][0].update(note="x"),
        lambda d: d["checkpoints"][0]["timestamps"][0].pop("authority"),
        lambda d: d["checkpoints"][0]["timestamps"][0]["renewals"][0].update(more=1),
        lambda d: d["consistency"].reverse(),
        lambda d: d["consistency"][0].update(old_size=0),
        lambda d: d["consistency"][0].update(new_size=1),
        lambda d: d["consistency"][0].update(old_size=True),
        lambda d: d["consistency"][0].update(hashes=["AAAA"]),
        lambda d: d["consistency"][0].update(hashes=d["consistency"][-1]["hashes"] * 40),
    ],
    ids=range(31),
)
def test_a_malformed_bundle_is_refused(change):
    refused(bent(WHOLE, change))


def test_what_could_not_be_read_back_is_not_written():
    with pytest.raises(ValueError):
        replace(PLAIN, facts=()).format()
    with pytest.raises(ValueError):
        replace(PLAIN, facts=tuple(reversed(PLAIN.facts))).format()
    with pytest.raises(ValueError):
        replace(PLAIN, checkpoints=(Anchor(b"\xff"),)).format()


def test_more_facts_than_a_bundle_holds_are_refused():
    document = json.loads(PLAIN.format())
    document["facts"] = [{"leaf": "", "proof": ""}] * (FACTS_MAX + 1)
    refused(sealed(document), "does not have 1 to 10000 facts")


def test_a_bundle_beyond_32_mib_is_refused():
    refused(PLAIN.format() + b" " * BUNDLE_BYTES_MAX, "larger")


# --- The published schema ---------------------------------------------------------------


def test_the_published_schema_says_what_the_parser_says():
    schema = json.loads((ROOT / "protos" / "evidence" / "bundle.v1.schema.json").read_text())
    validator = Draft202012Validator(schema)
    validator.check_schema(schema)
    for bundle in (PLAIN, WHOLE):
        assert validator.is_valid(json.loads(bundle.format()))


@pytest.mark.parametrize("name", ["media_type", "facts", "enrolments", "consistency", "digest"])
def test_the_schema_misses_no_member(name):
    schema = json.loads((ROOT / "protos" / "evidence" / "bundle.v1.schema.json").read_text())
    validator = Draft202012Validator(schema)
    document = json.loads(WHOLE.format())
    assert not validator.is_valid({**document, "more": 1})
    del document[name]
    assert not validator.is_valid(document)
