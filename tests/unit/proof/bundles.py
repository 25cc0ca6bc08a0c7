"""A document's whole story in a small log, and the bundle of it, each part of which can be bent."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import KeyUsage
from cryptography.x509.oid import NameOID

from hub.proof.bundle import Anchor, Bundle, BundledEnrolment, Fact, Link
from hub.proof.canonical import encode_canonical
from hub.proof.dsse import SignedStatement, pre_authentication_encoding
from hub.proof.evidence import ENROLMENT_TOPIC
from hub.proof.facts import (
    HANDED_OVER,
    RECALL_ANSWERED,
    RECALL_REQUESTED,
    STATUS_REPORTED,
    SUBMITTED,
)
from hub.proof.leaf import encode_leaf
from hub.proof.merkle import leaf_hash
from hub.proof.signatures import key_id_of
from hub.proof.statements import Collect, Envelope, Recall, RecallAnswer, Status
from hub.proof.trust import CertificateAuthority, Purpose, TrustedRoot
from tests.unit.proof.building import (
    LOG,
    ORIGIN,
    WITNESS,
    Signer,
    SmallLog,
    consistency_path,
    enrolment_data,
    event,
    private_key,
    recorded,
    trusted_root,
)

SENDER, RECIPIENT, OTHER = "H01", "H02", "H03"
EXCHANGE = "01890000-0000-7000-8000-0000000000ee"
CONTENT = b"%PDF-1.7 noi dung"
SUBJECT = 'V/v <b>"họp"</b> & một số việc'

# Where things stand. At 4 and 6 something else happened.
OPENED, KEY, ENROLLED, ENROLLED_TOO = 0, 1, 2, 3
SUBMITTED_AT, COLLECTED_AT, ARRIVED_AT, RECALLED_AT, ANSWERED_AT, EXPIRED_AT = 5, 7, 8, 9, 10, 11


def header(agency: str, number: int) -> dict[str, Any]:
    return {
        "v": 1,
        "hub": ORIGIN,
        "agency": agency,
        "request_id": f"00000000-0000-4000-8000-{number:012d}",
        "nonce": base64.b64encode(bytes([number]) * 16).decode(),
        "created_at": "2026-11-22T08:30:00+07:00",
    }


def signed(agency: str, kind: str, payload: Mapping[str, Any]) -> SignedStatement:
    data = json.dumps(payload, ensure_ascii=False).encode()
    key = private_key(f"key of {agency}")
    signature = key.sign(pre_authentication_encoding(kind, data))
    return SignedStatement(kind, data, key_id_of(key.public_key()), signature)


def envelope(**changes: Any) -> dict[str, Any]:
    return {
        **header(SENDER, SUBMITTED_AT),
        "recipients": [RECIPIENT, OTHER],
        "action": "new",
        "document": {
            "number": "125",
            "notation": "UBND-VP",
            "type": {"name": "Công văn"},
            "secrecy": "none",
            "subject": SUBJECT,
            "issued_on": "2026-11-22",
            "priority": "normal",
            "language": "vi",
            "attachments": [
                {
                    "name": "công-văn.pdf",
                    "media_type": "application/pdf",
                    "size": len(CONTENT),
                    "sha256": hashlib.sha256(CONTENT).hexdigest(),
                }
            ],
        },
    } | changes


def about(agency: str, number: int, digest: str, **more: Any) -> dict[str, Any]:
    return {**header(agency, number), "envelope_digest": digest, **more}


# --- An authority, and what it issued; the same bytes every time ---------------------------

_AUTHORITY = "signing authority"


@cache
def authority() -> bytes:
    """The certificate of the authority that the trusted root of these tests lists."""
    use = KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return _certificate("Tổ chức chứng thực", _AUTHORITY, use, ca=True)


@cache
def issued(name: str, seed: str) -> bytes:
    """A certificate for signing documents, issued by that authority."""
    use = KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=False, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return _certificate(name, seed, use, ca=False)


def _certificate(name: str, seed: str, use: KeyUsage, *, ca: bool) -> bytes:
    issuer = private_key(_AUTHORITY)
    public = private_key(seed).public_key()

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(
        issuer_name=named("Tổ chức chứng thực"),
        subject_name=named(name),
        public_key=public,
        serial_number=int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"),
        not_valid_before=datetime(2026, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2031, 1, 1, tzinfo=UTC),
    )
    key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    builder = (
        builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(use, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(key_id, critical=False)
    )
    return builder.sign(issuer, None).public_bytes(Encoding.DER)


def trust(**changes: Any) -> TrustedRoot:
    """The usual trusted root, with that authority in it."""
    authorities = (CertificateAuthority(Purpose.SIGNING, authority()),)
    return trusted_root(certificate_authorities=authorities, **changes)


@dataclass
class Story:
    """The log of a document that was sent, collected, recalled, and kept; one did not collect."""

    data: dict[int, dict[str, Any]] = field(default_factory=dict)
    topics: dict[int, str] = field(default_factory=dict)
    exchange: str = EXCHANGE
    said: dict[str, Any] = field(default_factory=envelope)
    reason: str = "nhầm"

    def __post_init__(self) -> None:
        sent = signed(SENDER, Envelope.MEDIA_TYPE, self.said)
        digest = sent.digest.hex()

        def by(agency: str, at: int, kind: str, **more: Any) -> SignedStatement:
            return signed(agency, kind, about(agency, at, digest, **more))

        self.statements = {
            SUBMITTED_AT: sent,
            COLLECTED_AT: by(RECIPIENT, COLLECTED_AT, Collect.MEDIA_TYPE),
            ARRIVED_AT: by(RECIPIENT, ARRIVED_AT, Status.MEDIA_TYPE, code="01"),
            RECALLED_AT: by(SENDER, RECALLED_AT, Recall.MEDIA_TYPE, reason=self.reason),
            ANSWERED_AT: by(
                RECIPIENT, ANSWERED_AT, RecallAnswer.MEDIA_TYPE, code="16", reason="đã xử lý"
            ),
        }
        self.certificates = {
            ENROLLED: issued("Sở Nội vụ", f"key of {SENDER}"),
            ENROLLED_TOO: issued("Sở Y tế", f"key of {RECIPIENT}"),
        }

    def log(self) -> SmallLog:
        return SmallLog([self.leaf(position) for position in range(12)])

    def leaf(self, position: int) -> bytes:
        topic, data = self._facts(position)
        made = event(position, topic=self.topics.get(position, topic))
        if topic.startswith("hub.Exchange."):
            made = replace(made, id=UUID(self.exchange))
        return encode_leaf(replace(made, data=data | self.data.get(position, {})))

    def _facts(self, position: int) -> tuple[str, dict[str, Any]]:
        if position in self.certificates:
            agency = {ENROLLED: SENDER, ENROLLED_TOO: RECIPIENT}[position]
            der = self.certificates[position]
            return ENROLMENT_TOPIC, enrolment_data(der, seed=f"key of {agency}", agency=agency)
        if position == OPENED:
            return "hub.Log.LogOpened", {"origin": ORIGIN}
        if position == KEY:
            return "hub.HubKey.HubKeyActivated", {"verifier_key": LOG.key.format()}
        if position == SUBMITTED_AT:
            return SUBMITTED, self._said(position, ENROLLED) | {
                "sender": SENDER,
                "action": "new",
                "relates_to": None,
                "recipients": [{"agency": code, "inbox_seq": 1} for code in (RECIPIENT, OTHER)],
                "attachments": [
                    {"sha256": hashlib.sha256(CONTENT).hexdigest(), "size": len(CONTENT)}
                ],
            }
        digest = self.statements[SUBMITTED_AT].digest.hex()
        named = {"sender": SENDER, "envelope_digest": digest}
        if position == RECALLED_AT:
            return RECALL_REQUESTED, self._said(position, ENROLLED) | named
        delivery = named | {"agency": RECIPIENT, "exchange": self.exchange}
        if position == COLLECTED_AT:
            return HANDED_OVER, self._said(position, ENROLLED_TOO) | delivery
        if position == ARRIVED_AT:
            return STATUS_REPORTED, self._said(position, ENROLLED_TOO) | delivery | {"code": "01"}
        if position == ANSWERED_AT:
            return RECALL_ANSWERED, self._said(position, ENROLLED_TOO) | delivery | {"code": "16"}
        if position == EXPIRED_AT:
            return "hub.Delivery.DeliveryExpired", delivery | {"agency": OTHER}
        return "hub.Agency.AgencyRegistered", {"code": f"H9{position}"}

    def _said(self, position: int, enrolment: int) -> dict[str, Any]:
        statement = self.statements[position]
        return {
            "enrolment": enrolment,
            "request_id": f"00000000-0000-4000-8000-{position:012d}",
            "statement": recorded(statement) | {"algorithm": "ed25519"},
        }

    def bundle(
        self,
        *,
        size_of: Callable[[int], int] = lambda position: position + 1,
        signers: tuple[Signer, ...] = (LOG,),
        anchors: tuple[Anchor, ...] = (),
        log: SmallLog | None = None,
    ) -> Bundle:
        """The bundle; `size_of` says at which size each position's receipt was signed."""
        log = log or self.log()

        def receipt(position: int) -> Any:
            return log.receipt(position, *signers, size=size_of(position))

        facts = [
            Fact(receipt(position), self.statements.get(position))
            for position in (*sorted(self.statements), EXPIRED_AT)
        ]
        held = (*(*self.statements, EXPIRED_AT), ENROLLED, ENROLLED_TOO, OPENED, KEY)
        sizes = sorted({*map(size_of, held), *(_size(anchor) for anchor in anchors)})
        return Bundle(
            exchange_id=self.exchange,
            facts=tuple(facts),
            enrolments=tuple(
                BundledEnrolment(receipt(position), self.certificates[position])
                for position in (ENROLLED, ENROLLED_TOO)
            ),
            hub_keys=tuple(receipt(position) for position in (OPENED, KEY)),
            checkpoints=anchors,
            links=tuple(link(log, old, new) for old, new in pairwise(sizes)),
        )


def link(log: SmallLog, old: int, new: int) -> Link:
    hashes = [leaf_hash(entry) for entry in log.entries[:new]]
    return Link(old, new, tuple(consistency_path(hashes, old)))


def _size(anchor: Anchor) -> int:
    return int(anchor.note.split(b"\n")[1])


def sealed(document: dict[str, Any]) -> bytes:
    """A bundle's JSON as its maker would write it, digest and all."""
    rest = {name: value for name, value in document.items() if name != "digest"}
    digest = hashlib.sha256(encode_canonical(rest)).hexdigest()
    return encode_canonical(rest | {"digest": digest})


def bent(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The bundle's bytes with something else in them, made anew by somebody who knows how."""
    document = json.loads(bundle.format())
    change(document)
    return sealed(document)


def golden_files() -> dict[str, bytes]:
    """The files of `tests/golden/bundles`, by path."""
    story = Story()
    anchor = Anchor(story.log().signed_checkpoint(LOG, WITNESS))
    return {
        "trusted_root.json": trust().format(),
        "document.bundle.json": story.bundle(anchors=(anchor,)).format(),
        f"content/{EXCHANGE}/công-văn.pdf": CONTENT,
    }
