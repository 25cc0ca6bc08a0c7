"""The signatures that a document carries in itself: examined, recorded as a verdict, shown.

One that came over the axis may have another in the header of its package.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import accumulate
from typing import Any, Protocol
from uuid import UUID

from cryptography import x509

from hub.application.lane import Lane, NothingRecorded, Receipts
from hub.application.mapper import read_event
from hub.application.offload import Offloader
from hub.application.ports import (
    ContentStore,
    EventLog,
    LogEntry,
    Randomness,
    RequestKey,
    SignatureExaminer,
)
from hub.application.session import Session
from hub.application.vault import Vault
from hub.domain.exchange import OPENING_TOPICS, Consignment, Exchange, SignatureRecord
from hub.domain.values import format_time, parse_time
from hub.errors import ContentLost, DocumentSignatureInvalid, HubError, Unavailable
from hub.evidence.crls import Listed
from hub.evidence.found import (
    EXAMINED_BYTES_MAX,
    Authorities,
    FoundSignature,
    Outcome,
    Stamp,
    Standing,
)
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import Attachment
from hub.proof.leaf import LEAF_BYTES_MAX, Event
from hub.proof.statements import SIGNERS, Envelope, read_statement
from hub.proof.strict import encode_base64

_ENTRIES_AT_ONCE = 1024
_LOOKED_THROUGH = 1024
_SIGNATURES_MAX = 64
_CMS_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
_CMS_ENDINGS = (".p7s", ".sig.p7s")
_TRIES = 3
# What an event has beside signatures and whom it concerns.
_OTHER_BYTES_MAX = 2048
_CMS_BYTES_MAX = 1 << 20
# How long a sender waits for what is demanded, however many attachments there are.
_DEMANDED_S = 60


class Lists(Protocol):
    """What revocation lists that were fetched ahead say."""

    def listed(self, certificate: x509.Certificate) -> Listed | None:
        """Since when a certificate is revoked, if it is."""
        ...

    def knows(self, certificate: x509.Certificate) -> bool:
        """Whether there is a list of its issuer."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attachment that may carry signatures; `signature` is where its detached one lies."""

    attachment: int
    signature: int | None = None


@dataclass(frozen=True, slots=True)
class Came:
    """The package in which a document came over the axis, where it is signed.

    It lies behind the attachments, and is counted like one of them.
    """

    size: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A signature that an attachment carries, or the package behind them, judged.

    As of `judged_at`: when the document arrived, or `by_stamp` the time of its timestamp. `stamp`
    is that, or else the one that tells most.
    """

    attachment: int
    found: FoundSignature
    judged_at: datetime
    stamp: Stamp | None = None
    by_stamp: bool = False

    @property
    def record(self) -> SignatureRecord:
        """As events remember it: without any name."""
        found, stamp = self.found, self.stamp
        return SignatureRecord(
            attachment=self.attachment,
            form=found.form,
            outcome=found.outcome.value,
            reason=found.reason,
            signer=found.signer.value,
            signed_at=format_time(found.signed_at) if found.signed_at else "",
            stamp=stamp.outcome.value if stamp else "",
            stamped_at=format_time(stamp.time) if stamp and stamp.time else "",
            stamp_over=stamp.over if stamp else "",
            stamp_reason=stamp.reason if stamp else "",
            judged_by="stamp" if self.by_stamp else "arrival",
            judged_at=format_time(self.judged_at),
        )

    @property
    def details(self) -> dict[str, Any]:
        """As the report has it, which can be erased with the document."""
        return {
            **self.record,
            "name": self.found.name,
            "organisation": self.found.organisation,
            "issuer": self.found.issuer,
            "chain": [encode_base64(der) for der in self.found.chain],
            "stamp_authority": self.stamp.authority if self.stamp else "",
            "stamp_rests_on": [encode_base64(der) for der in _rests_on(self.stamp)],
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that was found out about a document, and the report of it."""

    judged: Sequence[Judged]
    report: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the report."""
        return hashlib.sha256(self.report).digest()

    @property
    def is_valid(self) -> bool:
        """Whether there is a signature, and every one of them is valid."""
        return bool(self.judged) and all(
            each.found.outcome is Outcome.VALID for each in self.judged
        )

    def missing(self, signers: Collection[str]) -> list[str]:
        """Of these signers, those of whom the attachment that has the most of them has none."""
        found: dict[int, set[str]] = {}
        for each in self.judged:
            if each.found.outcome is Outcome.VALID:
                found.setdefault(each.attachment, set()).add(each.found.signer.value)
        lacks = [[each for each in signers if each not in signed] for signed in found.values()]
        return min(lacks, key=len, default=list(signers))


@dataclass(frozen=True, slots=True)
class Demand:
    """That all signatures of a document are valid, and one attachment has one of each of these.

    `signers` are of `person` and `agency`, in the order of `SIGNERS`.
    """

    signers: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """As the event has it."""
        return ["valid", *self.signers]

    def require_met(self, verdict: Verdict) -> None:
        """Raises DocumentSignatureInvalid, which says what is wrong or missing."""
        require_valid(verdict)
        for signer in verdict.missing(self.signers)[:1]:
            raise DocumentSignatureInvalid(
                f"no attachment is signed by everybody who is asked for: that of the {signer} is"
                " missing",
                why=f"no-{signer}",
            )


def candidates(attachments: Sequence[Attachment]) -> list[Candidate]:
    """The PDFs among attachments, and those that have a detached signature beside them."""
    by_name = {attachment.name: index for index, attachment in enumerate(attachments)}
    found = []
    for index, attachment in enumerate(attachments):
        name = attachment.name.casefold()
        if attachment.media_type == "application/pdf" or name.endswith(".pdf"):
            found.append(Candidate(index))
        elif attachment.media_type in _CMS_TYPES or name.endswith(_CMS_ENDINGS):
            content = by_name.get(attachment.name.rpartition(".")[0])
            if content is not None:
                found.append(Candidate(content, signature=index))
    return found


class Examination:
    """Reads a document's attachments, has them examined, and looks into the lists."""

    def __init__(
        self,
        *,
        examiner: SignatureExaminer,
        content: ContentStore,
        authorities: Callable[[], Authorities],
        lists: Lists,
        offload: Offloader,
        randomness: Randomness,
    ) -> None:
        self._examiner = examiner
        self._content = content
        self._authorities = authorities
        self._lists = lists
        self._offload = offload
        self._randomness = randomness

    async def verdict(
        self,
        exchange_id: UUID,
        attachments: Sequence[Attachment],
        key: bytes,
        at: datetime,
        package: Came | None = None,
    ) -> Verdict:
        """What a stored document carries in attachments and package, as of the moment `at`."""
        judged: list[Judged] = []
        authorities = await self._offload(self._authorities)
        for candidate in candidates(attachments):
            read = partial(self._read, exchange_id, attachments, key)
            found = await self._examined(candidate, read, attachments, authorities, at)
            judged += [self._judged(candidate.attachment, each, at) for each in found]
        if package is not None:
            behind = len(attachments)
            parts = partial(self._content.read, exchange_id, behind, package.size, key, 0)
            found = await self._package(package.size, parts, authorities, at)
            judged += [self._judged(behind, each, at) for each in found]
        return self._reported(judged[:_SIGNATURES_MAX])

    async def package_verdict(self, package: bytes, at: datetime) -> Verdict:
        """What a package without a document carries, a status or a recall; counted from 0."""
        authorities = await self._offload(self._authorities)
        found = await self._examiner.examine_package(package, authorities, at)
        judged = [self._judged(0, each, at) for each in found]
        return self._reported(judged[:_SIGNATURES_MAX])

    async def _examined(
        self,
        candidate: Candidate,
        read: Callable[[int], bytes],
        attachments: Sequence[Attachment],
        authorities: Authorities,
        at: datetime,
    ) -> Sequence[FoundSignature]:
        form = "pdf" if candidate.signature is None else "cms"
        if attachments[candidate.attachment].size > EXAMINED_BYTES_MAX:
            return [FoundSignature(form, Outcome.UNKNOWN, "too-large")]
        signature = None
        try:
            if candidate.signature is not None:
                if attachments[candidate.signature].size > _CMS_BYTES_MAX:
                    return [FoundSignature(form, Outcome.UNKNOWN, "too-large")]
                signature = await self._offload(partial(read, candidate.signature))
            content = await self._offload(partial(read, candidate.attachment))
        except ContentLost:
            return [FoundSignature(form, Outcome.UNKNOWN, "lost")]
        return await self._examiner.examine(content, signature, authorities, at)

    async def _package(
        self,
        size: int,
        parts: Callable[[], Iterator[bytes]],
        authorities: Authorities,
        at: datetime,
    ) -> Sequence[FoundSignature]:
        if size > EXAMINED_BYTES_MAX:
            return [FoundSignature("xml", Outcome.UNKNOWN, "too-large")]
        try:
            package = await self._offload(lambda: b"".join(parts()))
        except ContentLost:
            return [FoundSignature("xml", Outcome.UNKNOWN, "lost")]
        return await self._examiner.examine_package(package, authorities, at)

    def _read(
        self, exchange_id: UUID, attachments: Sequence[Attachment], key: bytes, index: int
    ) -> bytes:
        return b"".join(self._content.read(exchange_id, index, attachments[index].size, key, 0))

    def _judged(self, attachment: int, found: FoundSignature, at: datetime) -> Judged:
        """A signature as of the time that speaks best for it (ETSI EN 319 102-1, 5.5.4).

        That is of a timestamp over it, the earliest first, or its arrival `at`. Where it is not
        valid as of any, the first of these moments says why. The signer's word never decides.
        """
        stamps = [self._trusted(each, at) for each in found.stamps]
        judged = [
            Judged(attachment, self._revised(as_of(found, then), time, at), time, stamp, True)
            for stamp in stamps
            if (then := stamp.then) and (time := stamp.time)
        ]
        by_arrival = self._revised(found, at, at)
        judged.append(Judged(attachment, by_arrival, at, stamps[0] if stamps else None))
        return next((each for each in judged if each.found.outcome is Outcome.VALID), judged[0])

    def _trusted(self, stamp: Stamp, at: datetime) -> Stamp:
        """A timestamp in the light of revocation: what an authority says with a lost key is void.

        Even of times before: whoever has the key can date back.
        """
        for der in stamp.rests_on:
            listed = self._lists.listed(x509.load_der_x509_certificate(der))
            if listed is not None and listed.effective <= at:
                return replace(stamp, outcome=Outcome.UNKNOWN, reason="revoked", then=None)
        return stamp

    def _revised(self, found: FoundSignature, judged_at: datetime, at: datetime) -> FoundSignature:
        """A valid signature in the light of revocation: which lists say, if there are any."""
        if found.outcome is not Outcome.VALID:
            return found
        chain = [x509.load_der_x509_certificate(der) for der in found.chain]
        for certificate in chain:
            listed = self._lists.listed(certificate)
            if listed is None or listed.effective > judged_at:
                continue
            if found.signed_at is not None and found.signed_at < listed.effective:
                # Only the signer says that it was before.
                return replace(found, outcome=Outcome.UNKNOWN, reason="revoked-later")
            return replace(found, outcome=Outcome.INVALID, reason="revoked")
        below = [each for each in chain if each.issuer != each.subject]
        # A list need not name a certificate that has ended since (RFC 5280, 3.3).
        if not all(self._lists.knows(each) and each.not_valid_after_utc >= at for each in below):
            return replace(found, reason="no-list")
        return found

    def _reported(self, judged: Sequence[Judged]) -> Verdict:
        members = {
            # So that the digest in the log confirms no guess of who signed.
            "nonce": encode_base64(self._randomness(16)),
            "signatures": [each.details for each in judged],
        }
        return Verdict(judged, json.dumps(members, ensure_ascii=False, sort_keys=True).encode())


def as_of(found: FoundSignature, then: Standing) -> FoundSignature:
    """A signature with what is to be said of it as of another moment."""
    return replace(found, outcome=then.outcome, reason=then.reason, chain=then.chain)


def _rests_on(stamp: Stamp | None) -> Sequence[bytes]:
    return stamp.rests_on if stamp else ()


def conclude(
    session: Session,
    exchange: Exchange,
    verdict: Verdict,
    *,
    vault: Vault,
    key: bytes,
    document: int | None,
    demand: Demand | None = None,
) -> None:
    """Add a verdict to an exchange; its recipients are told where it is not all valid."""
    told = [] if verdict.is_valid or not verdict.judged else exchange.recipients
    session.add_payload(vault.seal_payload(exchange.id, verdict.digest, verdict.report, key))
    notices = [
        Consignment(agency=agency, inbox_seq=number)
        for agency, number in zip(told, session.next_inbox_seqs(told), strict=True)
    ]
    # Who is told is a party anyhow, and there may be a thousand of them.
    parties = [exchange.sender] if told else [exchange.sender, *exchange.recipients]
    exchange.conclude(
        at=session.at,
        document=document,
        demanded=demand.words if demand else [],
        signatures=_fitting([each.record for each in verdict.judged], notices, parties),
        report=verdict.digest.hex(),
        parties=parties,
        notices=notices,
    )


def _fitting(records: list[SignatureRecord], *others: object) -> list[SignatureRecord]:
    """As many as one entry of the log has room for beside the others; the report has all."""
    room = LEAF_BYTES_MAX - _OTHER_BYTES_MAX - len(json.dumps(others))
    sizes = accumulate(len(json.dumps(each)) for each in records)
    count = sum(size <= room for size in sizes)
    if count == len(records):
        return records
    last = records[max(count - 1, 0)]
    more = FoundSignature(last["form"], Outcome.UNKNOWN, "too-many")
    judged = Judged(last["attachment"], more, parse_time(last["judged_at"]))
    return [*records[: max(count - 1, 0)], judged.record]


def require_valid(verdict: Verdict) -> None:
    """Refuse a document whose signatures are to be valid, and of which one is not, or none is."""
    if verdict.is_valid:
        return
    for each in verdict.judged:
        if each.found.outcome is not Outcome.VALID:
            raise DocumentSignatureInvalid(
                f"a signature that attachment {each.attachment} carries is not valid:"
                f" {each.found.reason}",
                attachment=str(each.attachment),
                why=each.found.reason,
            )
    raise DocumentSignatureInvalid(
        "no attachment carries a signature, but the sender or a recipient demands one", why="none"
    )


class Demands:
    """What is demanded of a document's own signatures: by its sender, or by a recipient."""

    def __init__(
        self,
        examination: Examination | None,
        required_by: Collection[str] = (),
        both_required_by: Collection[str] = (),
    ) -> None:
        """Both are primary codes of recipients; `both` asks for a person's and an agency's."""
        self._examination = examination
        self._required_by = frozenset(required_by)
        self._both_required_by = frozenset(both_required_by)

    def of(self, envelope: Envelope, recipients: Sequence[str]) -> Demand | None:
        """All that anybody demands. Raises DocumentSignatureInvalid where it cannot be."""
        signers = frozenset(envelope.signers_required)
        if not self._both_required_by.isdisjoint(recipients):
            signers |= frozenset(SIGNERS)
        if not (
            signers or envelope.signatures_required or not self._required_by.isdisjoint(recipients)
        ):
            return None
        demand = Demand(tuple(each for each in SIGNERS if each in signers))
        if not candidates(envelope.document.attachments):
            demand.require_met(Verdict((), b""))
        return demand

    async def examined(
        self, exchange_id: UUID, attachments: Sequence[Attachment], key: bytes, at: datetime
    ) -> Verdict:
        """The verdict on a stored document; that nobody can tell where it takes a minute."""
        if self._examination is None:
            raise Unavailable("this hub examines no documents; repeat the call later")
        try:
            async with asyncio.timeout(_DEMANDED_S):
                return await self._examination.verdict(exchange_id, attachments, key, at)
        except TimeoutError:
            overtime = FoundSignature("pdf", Outcome.UNKNOWN, "overtime")
            return Verdict([Judged(0, overtime, at)], b"")


NO_DEMANDS = Demands(None)


@dataclass(frozen=True, slots=True)
class RecordVerdict:
    """Record what was found out about a document that was accepted. Asked for by a job."""

    exchange_id: UUID
    document: int
    verdict: Verdict
    key: bytes = field(repr=False)
    vault: Vault = field(repr=False)

    @property
    def request(self) -> RequestKey | None:
        """None: the exchange knows whether it was examined."""
        return None

    def decide(self, session: Session) -> None:
        """Record `SignatureVerdictMade`."""
        exchange = session.history.exchange(self.exchange_id)
        if exchange.examined or exchange.erased:
            raise NothingRecorded("it was examined, or erased, meanwhile")
        conclude(
            session, exchange, self.verdict, vault=self.vault, key=self.key, document=self.document
        )
        session.record(exchange)


class VerdictJob:
    """Examines every document that carries something to examine, in the order of the log.

    Each verdict names its document's position, so after a stop the job goes on behind the last.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        receipts: Receipts,
        lane: Lane,
        vault: Vault,
        examination: Examination,
        offload: Offloader,
        beside: Mapping[str, Callable[[LogEntry], Awaitable[int]]] | None = None,
    ) -> None:
        """`beside` are the facts, by topic, that another examines in the same turn."""
        self._beside = beside or {}
        self._failed: tuple[int, int] = (-1, 0)
        self._log = log
        self._receipts = receipts
        self._lane = lane
        self._vault = vault
        self._examination = examination
        self._offload = offload
        self._next: int | None = None

    async def round(self) -> int:
        """Examine all that a checkpoint covers by now; how many verdicts were recorded."""
        if self._next is None:
            self._next = await self._offload(self._beginning)
        recorded, size = 0, self._receipts.size
        while self._next < size:
            start = self._next
            entries = await self._offload(partial(self._entries, start, size))
            for entry in entries:
                recorded += await self._tried(entry)
                self._next = entry.position + 1
        return recorded

    async def _tried(self, entry: LogEntry) -> int:
        """Examine what there is to examine. A defect of ours must not hold up all others.

        What fails in `_TRIES` rounds, each of which raises, is passed over: until a restart, or
        for good where a later verdict is recorded.
        """
        position, times = self._failed
        try:
            if position == entry.position and times >= _TRIES:
                return 0
            if entry.topic in OPENING_TOPICS:
                return await self._examine(entry)
            beside = self._beside.get(entry.topic)
            return 0 if beside is None else await beside(entry)
        except (HubError, OSError):
            raise  # A log that is frozen, a full disk: none of it is the document's fault.
        except Exception:
            self._failed = (entry.position, times + 1 if position == entry.position else 1)
            raise

    def _beginning(self) -> int:
        for entry in self._log.verdicts(self._receipts.size, _LOOKED_THROUGH):
            document = read_event(entry.state).data["document"]
            if document is not None:
                return int(document) + 1
        return 0

    def _entries(self, start: int, size: int) -> Sequence[LogEntry]:
        entries = self._log.entries(start, min(_ENTRIES_AT_ONCE, size - start))
        if not entries:
            raise LookupError(f"event {start} is missing")
        return entries

    async def _examine(self, entry: LogEntry) -> int:
        event = read_event(entry.state)
        opened = await self._offload(partial(self._opened, event))
        package = Came(event.data["package_bytes"]) if event.data.get("signed") else None
        if opened is None or not (candidates(opened[0]) or package):
            return 0
        attachments, key = opened
        verdict = await self._examination.verdict(event.id, attachments, key, event.time, package)
        command = RecordVerdict(event.id, entry.position, verdict, key, self._vault)
        with suppress(NothingRecorded):
            await self._lane.do(command)
            return 1
        return 0

    def _opened(self, event: Event) -> tuple[Sequence[Attachment], bytes] | None:
        """What it says of its attachments, and its key; None where that is gone."""
        record = event.data["statement"]
        sealed = self._log.payload(bytes.fromhex(record["digest"]))
        if sealed is None:
            return None
        try:
            payload = self._vault.open_payload(sealed)
            key = self._vault.key_of(event.id)
        except ContentLost:
            return None
        envelope = read_statement(SignedStatement(record["payload_type"], payload, "", b""))
        return (envelope.document.attachments, key) if isinstance(envelope, Envelope) else None
