"""The job that asks issuers ahead about certificates, and takes out of force what they revoked.

No call waits for it. What it learns stands in the register, beside what lists say: whoever says
revoked is believed, and the newer of both says how old our knowledge is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from hub.application.given_answers import store_answer
from hub.application.lane import Lane, NothingRecorded
from hub.application.offload import Offloader
from hub.application.ports import Clock, EventLog, OcspResponder, Randomness, RequestKey
from hub.application.registry import Registry, StoredAnswer
from hub.application.revocation_lists import (
    ListedKey,
    ListedPrincipal,
    PutOutListed,
    RevokeListed,
    SourceStatus,
)
from hub.application.session import Session
from hub.errors import LedgerMismatch, VerificationFailed
from hub.evidence.crls import Listed
from hub.evidence.ocsp import (
    NONCE_BYTES,
    Question,
    ResponderBusy,
    VerifiedAnswer,
    build_question,
    verify_answer,
)

_FIRST_DELAY = timedelta(seconds=30)
# Of one responder in one round: a slow one keeps the others waiting for no longer than that.
_AT_ONCE = 32
_NEVER = datetime.min.replace(tzinfo=UTC)


class Lists(Protocol):
    """What revocation lists that were fetched ahead say."""

    def listed(self, certificate: x509.Certificate) -> Listed | None:
        """Since when a certificate is revoked, if it is."""
        ...

    def knows(self, certificate: x509.Certificate) -> bool:
        """Whether there is a list of its issuer."""
        ...


@dataclass(frozen=True, slots=True)
class NamedResponder:
    """Who is asked, by the operator's name for it, about whose certificates, and how.

    `issuers` are certificates of authorities (DER), `named_by` is `sha1` or `sha256`. Where
    `nonce` is false the question holds no random number, and answers may come out of a cache.
    """

    name: str
    port: OcspResponder
    issuers: frozenset[bytes]
    named_by: str = "sha1"
    nonce: bool = True


@dataclass(frozen=True, slots=True)
class Subject:
    """A certificate that is asked about. `is_kept` says whether good news is kept as evidence.

    That a connection's certificate was good proves nothing that anybody asks about later.
    """

    digest: str
    der: bytes = field(repr=False)
    certificate: x509.Certificate = field(repr=False)
    issuer: x509.Certificate = field(repr=False)
    issuer_der: bytes = field(repr=False)
    is_kept: bool = True


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """Record that an answer about a certificate came and was verified."""

    source: str
    certificate: bytes = field(repr=False)
    data: bytes = field(repr=False)
    answer: VerifiedAnswer

    @property
    def request(self) -> RequestKey | None:
        """None: the register knows the newest answer about each certificate."""
        return None

    def decide(self, session: Session) -> None:
        """Record `RevocationEvidenceStored`, unless this answer or a newer one is there."""
        if not store_answer(session, self.source, self.certificate, self.data, self.answer):
            raise NothingRecorded("this answer or a newer one is stored already")


@dataclass(frozen=True, slots=True)
class _Told:
    """That somebody said a certificate is revoked; `evidence` is the answer's digest."""

    listed: Listed
    evidence: str
    by: str


class OcspAnswers:
    """Asks, verifies, stores, revokes; and knows what the newest answers say.

    One round at a time, in which each responder is asked one question after the other. What one
    does wrong is told to `failed`, and never raises.
    """

    def __init__(
        self,
        responders: Sequence[NamedResponder],
        *,
        authorities: Sequence[bytes],
        every: timedelta,
        age_max: timedelta,
        lists: Lists,
        log: EventLog,
        registry: Callable[[], Registry],
        lane: Lane,
        offload: Offloader,
        clock: Clock,
        randomness: Randomness,
        failed: Callable[[str, Exception], None],
    ) -> None:
        """`authorities` are the certificates (DER) whose answers are believed.

        A good answer is kept as evidence when the one before it has half of its time behind it,
        or half of `age_max`.
        """
        self._responders = tuple(responders)
        self._authorities = [(der, x509.load_der_x509_certificate(der)) for der in authorities]
        self._every = every
        self._age_max = age_max
        self._lists = lists
        self._log = log
        self._registry = registry
        self._lane = lane
        self._offload = offload
        self._clock = clock
        self._randomness = randomness
        self._failed = failed
        self._subjects: dict[str, Subject | None] = {}
        self._revoked: dict[str, _Told] = {}
        self._newest: dict[str, datetime] = {}
        self._next: dict[tuple[str, str], datetime] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._status = {each.name: SourceStatus(each.name, 0, "", _NEVER) for each in responders}

    @property
    def status(self) -> Sequence[SourceStatus]:
        """Every responder."""
        return tuple(self._status.values())

    def load(self) -> None:
        """Take up the newest answers that are stored. Raises LedgerMismatch for a changed one."""
        for certificate, stored in self._registry().answers.items():
            data = self._log.evidence(bytes.fromhex(stored.evidence))
            if data is None or hashlib.sha256(data).hexdigest() != stored.evidence:
                raise LedgerMismatch(
                    f"the OCSP answer {stored.evidence} is missing from the evidence store, or"
                    " another lies there",
                    position=stored.position,
                )
            self._newest[certificate] = stored.this_update
            self._remember(certificate, stored, data)

    def listed(self, certificate: x509.Certificate) -> Listed | None:
        """What the newest answer says of a certificate, where it says that it is revoked."""
        told = self._revoked.get(_digest(certificate))
        return told.listed if told else None

    def knows(self, certificate: x509.Certificate) -> bool:
        """Whether an answer about a certificate is kept."""
        return _digest(certificate) in self._registry().answers

    async def round(self) -> None:
        """Ask every responder about the certificates whose time has come."""
        # First what was cut off between an answer and what follows from it.
        await self._put_out()
        await asyncio.gather(*map(self._ask_all, self._responders))

    # --- Asking ---------------------------------------------------------------------------

    async def _ask_all(self, responder: NamedResponder) -> None:
        if self._clock() < self._status[responder.name].next_attempt:
            return
        wrong: list[Exception] = []
        for subject in await self._offload(lambda: self._due(responder)):
            try:
                await self._ask(responder, subject)
            except (OSError, ResponderBusy) as error:
                # It is gone: nobody waits for it once more for each certificate.
                self._note_failure(responder.name, error)
                self._failed(responder.name, error)
                return
            except Exception as error:
                wrong.append(error)
                self._again(responder, subject)
            else:
                self._failures.pop((responder.name, subject.digest), None)
                self._next[responder.name, subject.digest] = self._clock() + self._every
        why = str(wrong[0]) if wrong else ""
        self._status[responder.name] = SourceStatus(responder.name, 0, why, _NEVER)
        if wrong:  # One line a round, however many certificates it does not know.
            self._failed(responder.name, wrong[0])

    async def _ask(self, responder: NamedResponder, subject: Subject) -> None:
        question = build_question(
            subject.certificate,
            subject.issuer,
            named_by=responder.named_by,
            nonce=self._randomness(NONCE_BYTES) if responder.nonce else None,
        )
        data = await responder.port.ask(question.request)
        answer = await self._offload(lambda: self._verified(data, question, subject))
        newest = self._newest.get(subject.digest)
        # An old answer sent again would hide what was revoked since.
        if newest is not None and answer.this_update < newest:
            raise VerificationFailed("the answer is older than the one that is known", step="ocsp")
        if self._is_worth_keeping(subject, answer):
            with suppress(NothingRecorded):
                await self._lane.do(StoreAnswer(responder.name, subject.der, data, answer))
        self._newest[subject.digest] = answer.this_update
        self._remember_told(subject.digest, responder.name, data, answer)
        if answer.revoked is not None:
            await self._put_out()

    def _verified(self, data: bytes, question: Question, subject: Subject) -> VerifiedAnswer:
        return verify_answer(
            data,
            certificate=subject.certificate,
            issuer=subject.issuer,
            at=self._clock(),
            nonce=question.nonce,
            unrevoked=self.clears,
        )

    def clears(self, responder: x509.Certificate) -> bool:
        """Whether lists say that a responder's own certificate was not taken back."""
        return self._lists.knows(responder) and self._lists.listed(responder) is None

    def _is_worth_keeping(self, subject: Subject, answer: VerifiedAnswer) -> bool:
        """Not each of a thousand answers a day that say the same."""
        known = self._registry().answers.get(subject.digest)
        if known is None:
            return subject.is_kept or answer.revoked is not None
        if known.status != answer.status:
            return True
        lasting = min(known.next_update - known.this_update, self._age_max)
        return subject.is_kept and self._clock() >= known.this_update + lasting / 2

    def _note_failure(self, name: str, error: Exception) -> None:
        failures = self._status[name].failures + 1
        why = str(error) or type(error).__name__
        at = self._clock() + self._delay(failures)
        self._status[name] = SourceStatus(name, failures, why, at)

    def _again(self, responder: NamedResponder, subject: Subject) -> None:
        place = (responder.name, subject.digest)
        self._failures[place] = self._failures.get(place, 0) + 1
        self._next[place] = self._clock() + self._delay(self._failures[place])

    def _delay(self, failures: int) -> timedelta:
        return min(_FIRST_DELAY * (1 << min(failures - 1, 16)), self._every)

    # --- About which certificates ---------------------------------------------------------

    def _due(self, responder: NamedResponder) -> list[Subject]:
        at = self._clock()
        due = (
            subject
            for subject in self._in_force(at)
            if self._next.get((responder.name, subject.digest), _NEVER) <= at
            and subject.issuer_der in responder.issuers
        )
        return list(islice(due, _AT_ONCE))

    def _in_force(self, at: datetime) -> Iterator[Subject]:
        registry = self._registry()
        signing = {
            entry.certificate: entry.purpose == "signing"
            for agency in registry.agencies.values()
            for entry in agency.certificates
            if entry.revocation is None and entry.not_after > at
        }
        held = [entry.principals for entry in registry.operators.values()]
        others = chain.from_iterable((*registry.auditors.values(), *held))
        for digest, is_kept in {**dict.fromkeys(others, False), **signing}.items():
            if subject := self._subject(digest):
                yield replace(subject, is_kept=is_kept)
        for der, authority in self._authorities:
            digest = hashlib.sha256(der).hexdigest()
            if authority.issuer != authority.subject and (subject := self._subject(digest)):
                yield subject

    def _subject(self, digest: str) -> Subject | None:
        """A certificate with its issuer, if that is one of the hub's authorities."""
        if digest not in self._subjects:
            self._subjects[digest] = self._made_subject(digest)
        return self._subjects[digest]

    def _made_subject(self, digest: str) -> Subject | None:
        own = {hashlib.sha256(der).hexdigest(): der for der, _ in self._authorities}
        der = own.get(digest) or self._log.evidence(bytes.fromhex(digest))
        if der is None:
            return None  # Fsck says so; a missing certificate signs nothing new.
        certificate = x509.load_der_x509_certificate(der)
        for issuer_der, authority in self._authorities:
            if _issued(certificate, authority):
                return Subject(digest, der, certificate, authority, issuer_der)
        return None

    # --- What follows ---------------------------------------------------------------------

    def _remember(self, certificate: str, stored: StoredAnswer, data: bytes) -> None:
        """Of a stored answer that says revoked: since when, and why."""
        subject = self._subject(certificate) if stored.status == "revoked" else None
        if subject is None:
            return
        # It was verified when it came; its issuer may have left the configuration since.
        with suppress(VerificationFailed):
            answer = verify_answer(
                data,
                certificate=subject.certificate,
                issuer=subject.issuer,
                at=stored.recorded_at,
                unrevoked=lambda _: True,
            )
            self._remember_told(certificate, stored.source, data, answer)

    def _remember_told(
        self, certificate: str, source: str, data: bytes, answer: VerifiedAnswer
    ) -> None:
        if answer.revoked is None:
            self._revoked.pop(certificate, None)
            return
        digest = hashlib.sha256(data).hexdigest()
        self._revoked[certificate] = _Told(answer.revoked, digest, f"ocsp:{source}")

    async def _put_out(self) -> None:
        """Take out of force whatever is in force and was said to be revoked."""
        if not self._revoked:
            return
        keys, principals = await self._offload(self._revoked_in_force)
        for told, key in keys:
            with suppress(NothingRecorded):
                await self._lane.do(RevokeListed(told.by, told.evidence, [key]))
        for told, principal in principals:
            with suppress(NothingRecorded):
                await self._lane.do(PutOutListed(told.by, [principal]))

    def _revoked_in_force(
        self,
    ) -> tuple[list[tuple[_Told, ListedKey]], list[tuple[_Told, ListedPrincipal]]]:
        registry = self._registry()
        keys = [
            (told, ListedKey(agency.code, entry.key_id, told.listed))
            for agency in registry.agencies.values()
            for entry in agency.certificates
            if (told := self._revoked.get(entry.certificate))
            and not (entry.revocation and entry.revocation.effective <= told.listed.effective)
        ]
        held = [entry.principals for entry in registry.operators.values()]
        principals = [
            (told, ListedPrincipal(principal_id, certificate, told.listed))
            for each in (*registry.auditors.values(), *held)
            for certificate, principal_id in each.items()
            if (told := self._revoked.get(certificate))
        ]
        return keys, principals


class KnownOfRevocation:
    """What lists and answers say together: revoked, where one of them does."""

    def __init__(self, lists: Lists, answers: OcspAnswers) -> None:
        self._lists = lists
        self._answers = answers

    def listed(self, certificate: x509.Certificate) -> Listed | None:
        """Since when a certificate is revoked, if it is: the earlier of two times."""
        both = (self._lists.listed(certificate), self._answers.listed(certificate))
        return min((each for each in both if each), key=lambda each: each.effective, default=None)

    def knows(self, certificate: x509.Certificate) -> bool:
        """Whether there is a list of its issuer, or an answer about it."""
        return self._lists.knows(certificate) or self._answers.knows(certificate)


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    if certificate.issuer != authority.subject:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _digest(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
