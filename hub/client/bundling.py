"""From what a hub gives out about a document to one file that stands without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

from hub.client.answers import VerifiedStatement, enrolment_of, receipt_of, statement_of
from hub.client.certificates import CertificateEvidence, HeldEvidence
from hub.client.line import Line
from hub.client.timestamps import HeldTimestamp, HeldToken, Timestamps
from hub.client.verification import ReceiptVerifier
from hub.errors import ContentLost, ContentWithheld, NotCollected, TooLarge, VerificationFailed
from hub.proof.bundle import (
    FACTS_MAX,
    Anchor,
    Bundle,
    BundledEnrolment,
    Fact,
    Link,
    Renewal,
    Timestamp,
    Token,
    size_of,
)
from hub.proof.checks import Checks
from hub.proof.envelope import Attachment
from hub.proof.examination import examine_bundle
from hub.proof.findings import Verdict
from hub.proof.leaf import parse_leaf
from hub.proof.note import parse_note
from hub.proof.receipt import Receipt, parse_tlog_proof
from hub.proof.statements import Envelope, read_statement
from hub.proof.trust import TrustedRoot
from hub.v1 import exchange_service_pb2 as calls
from hub.v1 import ledger_service_pb2 as ledger_calls

Progress = Callable[[int, int], None]
"""Called with how many facts are here, and how many there are."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the facts about a document stand, and those about the log and its keys; rising."""

    facts: tuple[int, ...]
    hub_keys: tuple[int, ...] = ()


class Source(Protocol):
    """Who gives out what a bundle is made of; everything is verified before it is returned.

    A party asks with its own certificate, an auditor (`hub.auditor.bundling`) for a case.
    """

    async def positions(self, exchange_id: str) -> Positions:
        """Where the facts stand. Raises ExchangeUnknown."""
        ...

    async def receipt(self, position: int) -> Receipt:
        """The receipt of a fact, the same each time."""
        ...

    async def statement(self, position: int) -> VerifiedStatement | None:
        """What was signed; None if it is withheld or erased."""
        ...

    async def behind(self, position: int) -> HeldEvidence:
        """What is known of the certificate behind the statement at a position."""
        ...

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """The proof that one tree begins another."""
        ...

    async def anchors(self, position: int) -> Sequence[Anchor]:
        """Checkpoints covering a position that more than the log vouches for; none is well."""
        ...


async def make_bundle(
    source: Source,
    exchange_id: str,
    trust: TrustedRoot,
    *,
    progress: Progress = lambda done, total: None,
) -> Bundle:
    """Everything the source gives out about a document, found to hold together.

    The same facts make the same bytes. Raises TooLarge beyond 10,000 facts or 32 MiB, and
    VerificationFailed for evidence that does not hold.
    """
    positions = await source.positions(exchange_id)
    if len(positions.facts) > FACTS_MAX:
        raise TooLarge("there are more facts about this document than a bundle holds")
    parts = _Parts()
    for number, position in enumerate(positions.facts, start=1):
        await parts.add(source, position)
        progress(number, len(positions.facts))
    await parts.add_evidence(source)
    hub_keys = tuple([await source.receipt(position) for position in positions.hub_keys])
    anchors = await source.anchors(positions.facts[-1]) if positions.facts else ()
    held = [*parts.receipts, *hub_keys]
    bundle = Bundle(
        exchange_id=exchange_id,
        facts=tuple(parts.facts),
        enrolments=tuple(parts.enrolments[position] for position in sorted(parts.enrolments)),
        hub_keys=hub_keys,
        checkpoints=tuple(sorted(anchors, key=lambda anchor: (size_of(anchor.note), anchor.note))),
        links=await _links(source, _sizes(held, anchors)),
    )
    _require_whole(bundle, trust)
    return bundle


@dataclass
class _Parts:
    facts: list[Fact] = field(default_factory=list)
    enrolments: dict[int, BundledEnrolment] = field(default_factory=dict)
    # The first and the last fact that relied on an enrolment: what is judged is these two.
    relied: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def receipts(self) -> Iterable[Receipt]:
        yield from (fact.receipt for fact in self.facts)
        for enrolment in self.enrolments.values():
            yield enrolment.receipt
            yield from (stored.receipt for stored in enrolment.revocation)

    async def add(self, source: Source, position: int) -> None:
        receipt = await source.receipt(position)
        if "statement" not in parse_leaf(receipt.leaf).data:
            self.facts.append(Fact(receipt))
            return
        said = await source.statement(position)
        if said is None:
            self.facts.append(Fact(receipt))
            return
        enrolment = said.enrolment
        self.facts.append(Fact(receipt, said.statement))
        if enrolment is None:
            return  # The envelope of a document from the axis, which nobody signed.
        enrolled_at = parse_tlog_proof(enrolment.receipt.proof).index
        held = BundledEnrolment(enrolment.receipt, enrolment.certificate)
        self.enrolments.setdefault(enrolled_at, held)
        first, _last = self.relied.get(enrolled_at, (position, position))
        self.relied[enrolled_at] = (first, position)

    async def add_evidence(self, source: Source) -> None:
        """What was known of each certificate when it was first, and last, relied on."""
        for enrolled_at, (first, last) in sorted(self.relied.items()):
            known = [await source.behind(position) for position in sorted({first, last})]
            stored = {
                parse_tlog_proof(each.receipt.proof).index: each
                for held in known
                for each in held.revocation
            }
            self.enrolments[enrolled_at] = replace(
                self.enrolments[enrolled_at],
                issuers=known[0].issuers,
                revocation=tuple(stored[position] for position in sorted(stored)),
            )


def _sizes(receipts: Iterable[Receipt], anchors: Iterable[Anchor]) -> list[int]:
    notes = {parse_tlog_proof(receipt.proof).checkpoint for receipt in receipts}
    return sorted({size_of(note) for note in (*notes, *(anchor.note for anchor in anchors))})


async def _links(source: Source, sizes: Sequence[int]) -> tuple[Link, ...]:
    return tuple(
        [Link(old, new, tuple(await source.consistency(old, new))) for old, new in pairwise(sizes)]
    )


def _require_whole(bundle: Bundle, trust: TrustedRoot) -> None:
    """Find what an auditor would: nothing in it may be refuted."""
    try:
        data = bundle.format()
    except ValueError as error:
        raise TooLarge("there is more about this document than a bundle holds") from error
    for finding in examine_bundle(data, Checks(trust)).items:
        if finding.verdict is Verdict.REFUTED:
            raise VerificationFailed(finding.text, step="bundle")


@dataclass(frozen=True, slots=True)
class EnclosedDocument:
    """The document of a bundle, as far as its content is concerned."""

    exchange_id: str
    envelope_digest: str
    attachments: tuple[Attachment, ...]


def enclosed_document(bundle: Bundle) -> EnclosedDocument | None:
    """The document in the bundle's envelope; None where it holds none."""
    for fact in bundle.facts:
        signed = fact.statement
        if signed is not None and signed.payload_type == Envelope.MEDIA_TYPE:
            envelope = read_statement(signed)
            if isinstance(envelope, Envelope):
                digest = signed.digest.hex()
                attachments = envelope.document.attachments
                return EnclosedDocument(bundle.exchange_id, digest, attachments)
    return None


class LedgerSource:
    """What the hub gives any principal, over a connection of its own."""

    def __init__(self, line: Line, verifier: ReceiptVerifier) -> None:
        self._line = line
        self._verifier = verifier
        self._certificates = CertificateEvidence(line, verifier.verify)

    async def behind(self, position: int) -> HeldEvidence:
        """What is known of the certificate behind the statement at a position."""
        return await self._certificates.behind(position)

    async def receipt(self, position: int) -> Receipt:
        """The receipt of a fact, the same each time."""
        return await self._receipt(position)

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """The proof that one tree begins another."""
        request = ledger_calls.GetConsistencyProofRequest(old_size=old_size, new_size=new_size)
        response = await self._line.call(self._line.ledger.GetConsistencyProof, request)
        return response.hashes

    async def anchors(self, position: int) -> Sequence[Anchor]:
        """The checkpoint that most witnesses cosigned by now, and those with a timestamp."""
        receipt = await self._receipt(position, cosigned=True)
        note = parse_tlog_proof(receipt.proof).checkpoint
        timestamps: dict[bytes, list[Timestamp]] = {}
        if len(parse_note(note).signatures) > 1:
            timestamps[note] = []
        for held in await Timestamps(self._line).covering(position):
            await self._verifier.verify(Receipt(receipt.leaf, held.proof))
            note = parse_tlog_proof(held.proof).checkpoint
            timestamps.setdefault(note, []).append(_timestamp(held))
        return [Anchor(note, tuple(found)) for note, found in timestamps.items()]

    async def _receipt(self, position: int, *, cosigned: bool = False) -> Receipt:
        request = ledger_calls.GetReceiptRequest(position=position, cosigned=cosigned)
        response = await self._line.call(self._line.ledger.GetReceipt, request)
        receipt = receipt_of(response.receipt)
        fact = await self._verifier.verify(receipt)
        if fact.position != position:
            raise VerificationFailed("the receipt proves another position", step="fact")
        return receipt


class PartySource(LedgerSource):
    """What a party to a document may have of it."""

    async def positions(self, exchange_id: str) -> Positions:
        """As the hub lists them, page by page; which are left out, nothing here can tell."""
        found: list[int] = []
        hub_keys: tuple[int, ...] = ()
        more = True
        while more and len(found) <= FACTS_MAX:
            request = calls.ListFactsRequest(
                exchange_id=exchange_id, after=found[-1] if found else 0, page_size=1000
            )
            response = await self._line.call(self._line.exchange.ListFacts, request)
            if any(later <= earlier for earlier, later in pairwise([*found, *response.positions])):
                raise VerificationFailed("positions that do not rise", step="bundle")
            found += response.positions
            hub_keys = tuple(response.hub_key_positions)
            more = response.more and bool(response.positions)
        return Positions(tuple(found), hub_keys)

    async def statement(self, position: int) -> VerifiedStatement | None:
        """What was signed; None if it is withheld or erased."""
        request = calls.GetStatementRequest(position=position)
        try:
            response = await self._line.call(self._line.exchange.GetStatement, request)
        except (NotCollected, ContentWithheld, ContentLost):
            return None
        evidence = response.evidence
        said = await self._verifier.verify_statement(
            receipt_of(evidence.receipt),
            statement_of(evidence.statement),
            enrolment_of(evidence.enrolment),
        )
        if said.position != position:
            raise VerificationFailed("the receipt proves another position", step="fact")
        return said


def _timestamp(held: HeldTimestamp) -> Timestamp:
    renewals = tuple(Renewal(_token(each.token), each.message) for each in held.renewals)
    return Timestamp(_token(held.token), renewals)


def _token(token: HeldToken) -> Token:
    return Token(token.authority, token.token, token.certificates)
