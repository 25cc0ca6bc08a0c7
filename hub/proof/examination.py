"""What can be found out from a bundle: step by numbered step, in plain sentences."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from hub.errors import VerificationFailed
from hub.proof.bundle import (
    BUNDLE_MEDIA_TYPE,
    Bundle,
    BundledEnrolment,
    Fact,
    Link,
    parse_bundle,
    position_of,
    size_of,
)
from hub.proof.checkpoint import Checkpoint, OpenedCheckpoint
from hub.proof.checks import Checks, Opinion, numbered
from hub.proof.dsse import SignedStatement
from hub.proof.envelope import Attachment
from hub.proof.evidence import (
    NOT_PROVEN,
    VerifiedEnrolment,
    enrolment_in,
    examine,
    require_relied_on,
)
from hub.proof.facts import OPENINGS, TAKEN, data_of, exchange_of, require_fact_of
from hub.proof.findings import Findings, Verdict, sentence
from hub.proof.leaf import Event, parse_leaf
from hub.proof.merkle import verify_consistency
from hub.proof.policy import Policy
from hub.proof.receipt import Receipt, VerifiedReceipt, parse_tlog_proof
from hub.proof.statements import Collect, Envelope, Recall, RecallAnswer, Statement, Status
from hub.proof.trust import ConsistencyNeeded, TrustedRoot

_REVOCATION_STORED = "hub.Log.RevocationEvidenceStored"
_ABOUT_THE_LOG = ("hub.Log.", "hub.HubKey.")


def examine_file(data: bytes, checks: Checks) -> Findings:
    """Find out what a file proves: a bundle, or else a receipt file. Never raises for it."""
    if BUNDLE_MEDIA_TYPE.encode() in data:
        return examine_bundle(data, checks)
    return examine(data, checks)


def examine_bundle(data: bytes, checks: Checks) -> Findings:
    """Find out what a bundle proves, step by step; a refuted step is the last.

    1. The file is well formed. 2. Log keys of the trusted root signed every checkpoint. 3. All
    of them lie on one tree. Then, for each fact: it stands in the log, and is about this
    document; its time; what was signed; that the signature holds. Then that all is about one
    document, and the attachments; for each enrolment its chain, and whether the log revoked it;
    the timestamps; what the log records of its own keys.

    Never raises for anything in the file.
    """
    return numbered(_steps(data, checks))


def _steps(data: bytes, checks: Checks) -> Iterator[Opinion]:
    # (1) The file is well formed.
    bundle = parse_bundle(data)
    digest = hashlib.sha256(data).hexdigest()
    yield _proven(f"The file is a well-formed bundle; its SHA-256 is {digest}.")

    # (2) Log keys of the trusted root signed every checkpoint.
    trees = _Trees.opened_from(bundle, checks)
    yield _proven(trees.sentence())
    yield from trees.uncounted()

    # (3) All of them lie on one tree; and the verifier's policy is met, if there is one.
    one_tree = trees.on_one(bundle)
    yield one_tree
    if checks.trust.policy is not None:
        covering = position_of(bundle.facts[-1].receipt) + 1
        yield trees.policy(covering, one_tree.verdict is Verdict.PROVEN)

    # For each fact: it stands in the log, its time, what was signed, the signature.
    case = _Case(bundle, checks, trees, dict(_enrolments(bundle, trees)))
    for fact in bundle.facts:
        yield from _fact_steps(fact, case)

    # All is about one document.
    yield from _document_steps(case)

    # For each enrolment: its chain, and whether the log revoked it.
    for held in bundle.enrolments:
        yield from _enrolment_steps(held, case)

    # What others vouch for.
    for anchor in bundle.checkpoints:
        for timestamp in anchor.timestamps:
            for opinion in checks.beyond.timestamp(anchor.note, timestamp):
                yield _about(f"Checkpoint of size {size_of(anchor.note)}", opinion)

    # What the log records of itself.
    if bundle.hub_keys:
        yield _hub_keys_step(bundle.hub_keys, trees)


# --- Checkpoints ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Trees:
    """Every checkpoint of a bundle, opened, by its signed note.

    `open_questions` are sizes at which only consistency with a later tree can tell whether the
    log key was good.
    """

    checks: Checks
    by_note: Mapping[bytes, OpenedCheckpoint]
    open_questions: Mapping[int, ConsistencyNeeded]

    @classmethod
    def opened_from(cls, bundle: Bundle, checks: Checks) -> _Trees:
        """Open them all. Raises VerificationFailed for the first that cannot be."""
        opened: dict[bytes, OpenedCheckpoint] = {}
        questions: dict[int, ConsistencyNeeded] = {}
        for note in _notes(bundle):
            if note in opened:
                continue
            opened[note] = checks.trust.open_signed(note)
            try:
                checks.trust.require_in_use(opened[note])
            except ConsistencyNeeded as needed:
                # A quorum of witnesses stands in for the proof: they saw the tree grow.
                if not _is_seen_by_quorum(opened[note], checks.trust):
                    questions[opened[note].checkpoint.size] = needed
        made = cls(checks, opened, questions)
        made.trees()
        return made

    def trees(self) -> dict[int, Checkpoint]:
        """The tree of each size. Raises VerificationFailed for two of one size."""
        trees: dict[int, Checkpoint] = {}
        for opened in self.by_note.values():
            tree = opened.checkpoint
            if trees.setdefault(tree.size, tree).root != tree.root:
                raise VerificationFailed(
                    f"the log signed two trees of size {tree.size}", step="tree"
                )
        return trees

    def sentence(self) -> str:
        sizes = sorted(self.trees())
        origins = ", ".join(sorted({one.checkpoint.origin for one in self.by_note.values()}))
        cosigned = [one for one in self.by_note.values() if one.cosignatures]
        seen = "none cosigned by a known witness"
        if cosigned:
            largest = max(cosigned, key=lambda one: one.checkpoint.size)
            names = sorted({cosignature.key.name for cosignature in largest.cosignatures})
            seen = f"the one of size {largest.checkpoint.size} cosigned by {', '.join(names)}"
        return (
            f"Log keys of the trusted root signed the checkpoints of {origins}: {len(sizes)} in"
            f" all, of size {sizes[0]} to {sizes[-1]}, {seen}."
        )

    def uncounted(self) -> list[Opinion]:
        """One for each sentence on a cosignature that does not count."""
        said = (self.checks.trust.uncounted(one) for one in self.by_note.values())
        sentences = dict.fromkeys(sentence for each in said for sentence in each)
        return [Opinion(Verdict.STATED, sentence) for sentence in sentences]

    def on_one(self, bundle: Bundle) -> Opinion:
        """Step 3. Raises VerificationFailed where a proof does not hold."""
        trees = self.trees()
        linked = _Linked(trees)
        for link in bundle.links:
            if not {link.old_size, link.new_size} <= trees.keys():
                raise VerificationFailed(
                    "a consistency proof is of a size at which nothing here was signed",
                    step="tree",
                )
            self._follow(trees[link.old_size], trees[link.new_size], link)
            linked.join(link.old_size, link.new_size)
        if self.checks.log is not None:
            return self.checks.on_log([opened.checkpoint for opened in self.by_note.values()])
        for size, needed in self.open_questions.items():
            if not any(
                other > size and other not in self.open_questions
                for other in linked.joined_with(size)
            ):
                return Opinion(Verdict.NOT_CHECKED, sentence(str(needed)))
        if len(trees) == 1:
            return _proven(f"Everything stands in one tree, of size {min(trees)}.")
        if len(linked.joined_with(min(trees))) == len(trees):
            return _proven(
                f"The {len(trees)} trees are one that grew: consistency proofs lead from each to"
                " the next."
            )
        return Opinion(
            Verdict.NOT_CHECKED,
            f"That the {len(trees)} trees are one that grew, the file does not let one check.",
        )

    def _follow(self, old: Checkpoint, new: Checkpoint, link: Link) -> None:
        verify_consistency(
            old_size=old.size,
            old_root=old.root,
            new_size=new.size,
            new_root=new.root,
            proof=link.hashes,
        )
        if self.checks.together is not None:
            self.checks.together.saw_link(old, new)

    def policy(self, covering: int, one_tree: bool) -> Opinion:
        """Whether a checkpoint that covers all facts meets the verifier's policy.

        `covering` is the size from which it does. Raises VerificationFailed if none does.
        """
        policy = self.checks.trust.policy
        large = [one for one in self.by_note.values() if one.checkpoint.size >= covering]
        large.sort(key=lambda one: one.checkpoint.size, reverse=True)
        met = [one for one in large if _meets(one, policy)]
        if not met:
            raise VerificationFailed(
                "no checkpoint that covers all facts meets the policy", step="policy"
            )
        size = met[0].checkpoint.size
        if not one_tree:
            return Opinion(
                Verdict.NOT_CHECKED,
                f"The checkpoint of size {size} meets the policy, but was not shown to be of one"
                " tree with the others.",
            )
        return _proven(f"The checkpoint of size {size} meets the policy, and covers all facts.")

    def verify(self, receipt: Receipt) -> VerifiedReceipt:
        """A receipt of the bundle, under its own checkpoint. Raises VerificationFailed."""
        proof = parse_tlog_proof(receipt.proof)
        opened = self.by_note[proof.checkpoint]
        self.checks.included(receipt.leaf, proof, opened)
        return VerifiedReceipt(proof.index, parse_leaf(receipt.leaf), opened.checkpoint)


class _Linked:
    """Which sizes consistency proofs join: sets that grow together."""

    def __init__(self, sizes: Iterable[int]) -> None:
        self._set_of = {size: {size} for size in sizes}

    def join(self, one: int, other: int) -> None:
        smaller, larger = sorted((self._set_of[one], self._set_of[other]), key=len)
        if smaller is not larger:
            larger |= smaller
            for size in smaller:
                self._set_of[size] = larger

    def joined_with(self, size: int) -> set[int]:
        return self._set_of[size]


def _meets(opened: OpenedCheckpoint, policy: Policy | None) -> bool:
    try:
        if policy is not None:
            policy.require(opened)
    except VerificationFailed:
        return False
    return True


def _is_seen_by_quorum(opened: OpenedCheckpoint, trust: TrustedRoot) -> bool:
    policy = trust.policy
    return policy is not None and policy.quorum is not None and _meets(opened, policy)


def _notes(bundle: Bundle) -> Iterator[bytes]:
    for receipt in _receipts(bundle):
        yield parse_tlog_proof(receipt.proof).checkpoint
    for anchor in bundle.checkpoints:
        yield anchor.note


def _receipts(bundle: Bundle) -> Iterator[Receipt]:
    yield from (fact.receipt for fact in bundle.facts)
    for enrolment in bundle.enrolments:
        yield enrolment.receipt
        yield from (stored.receipt for stored in enrolment.revocation)
    yield from bundle.hub_keys


# --- Facts ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """A fact that stands in the log, with what was signed where that is known."""

    verified: VerifiedReceipt
    statement: Statement | None

    @property
    def event(self) -> Event:
        return self.verified.event


@dataclass(frozen=True, slots=True)
class _Case:
    """What an examination of a bundle has come to know. `facts` grow in the order of the log."""

    bundle: Bundle
    checks: Checks
    trees: _Trees
    enrolments: Mapping[int, VerifiedEnrolment]
    facts: list[_Found] = field(default_factory=list)


def _fact_steps(fact: Fact, case: _Case) -> Iterator[Opinion]:
    # It stands in the log, and is about this document.
    position = position_of(fact.receipt)
    exchange_id, facts = case.bundle.exchange_id, case.facts
    with _at(position):
        verified = case.trees.verify(fact.receipt)
        event = verified.event
        if exchange_of(event) != exchange_id:
            raise VerificationFailed("the event is about another document", step="fact")
        if facts and facts[-1].event.time > event.time:
            raise VerificationFailed("the event is older than the one before it", step="fact")
    yield _proven(f"Position {position}: the event {event.topic} stands in the log.")

    # Its time is the hub's word.
    time = event.time.strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    yield Opinion(Verdict.STATED, f"Position {position}: by the hub's own clock it is of {time}.")

    # What was signed is what the event records, and says it says.
    if fact.statement is None:
        facts.append(_Found(verified, None))
        if "statement" in event.data:
            yield Opinion(
                Verdict.NOT_CHECKED,
                f"Position {position}: what was signed is not in the file; it was withheld from"
                " whoever made it, or erased.",
            )
        return
    with _at(position):
        statement = require_fact_of(event, fact.statement, exchange_id)
    facts.append(_Found(verified, statement))
    if event.topic == TAKEN:
        yield _proven(f"Position {position}: the event records this very envelope.")
        yield Opinion(Verdict.NOT_CHECKED, f"Position {position}: {_lowered(NOT_PROVEN)}")
        return
    yield _proven(
        f"Position {position}: the event records this very statement of"
        f" {statement.header.agency}: {_words(statement)}."
    )

    # The signature holds, under the key that was enrolled.
    with _at(position):
        opinion = _signature(verified, fact.statement, case)
    yield opinion


def _signature(verified: VerifiedReceipt, signed: SignedStatement, case: _Case) -> Opinion:
    position, data = verified.position, data_of(verified.event)
    relied_on = data.integer("enrolment", minimum=0)
    enrolled = case.enrolments.get(relied_on)
    if enrolled is None:
        return Opinion(
            Verdict.NOT_CHECKED,
            f"Position {position}: the enrolment at position {relied_on} is not in the file.",
        )
    require_relied_on(enrolled, signed, verified, case.checks.trust)
    if data.child("statement").text("algorithm") != enrolled.key.algorithm:
        raise VerificationFailed(
            "the statement was accepted in another algorithm than was enrolled", step="fact"
        )
    enrolled.key.verify(signed.pae, signed.signature)
    return _proven(
        f"Position {position}: its {enrolled.key.algorithm} signature holds, by the key that was"
        f" enrolled for {enrolled.agency} at position {relied_on}."
    )


def _words(statement: Statement) -> str:
    """A statement in words that no stranger chose."""
    match statement:
        case Envelope(recipients=recipients):
            return f"the document, to {len(recipients)} recipients"
        case Collect():
            return "it takes delivery"
        case Status(code=code):
            return f"status {code}"
        case Recall():
            return "recall 13"
        case RecallAnswer(code=code):
            return f"answer {code} to the recall"


def _document_steps(case: _Case) -> Iterator[Opinion]:
    facts = case.facts
    submitted = [found for found in facts if found.event.topic in OPENINGS]
    if len(submitted) != 1:
        raise VerificationFailed("the file does not hold the one submission", step="document")
    submission = submitted[0]
    data = data_of(submission.event)
    digest, sender = data.child("statement").text("digest"), data.text("sender")
    recipients = {item.text("agency") for item in data.children("recipients")}
    for found in facts:
        with _at(found.verified.position):
            _require_of(found, digest, sender, recipients)
    yield _proven(
        f"All facts are about one document of {sender}, whose envelope has the digest {digest}."
    )
    yield Opinion(Verdict.STATED, "That nothing else happened to the document is the hub's word.")

    if isinstance(submission.statement, Envelope):
        attachments = submission.statement.document.attachments
        if attachments:
            whose = "hub recorded" if submission.event.topic == TAKEN else "sender signed"
            yield _content(attachments, case, whose)


def _require_of(found: _Found, digest: str, sender: str, recipients: set[str]) -> None:
    """Whatever envelope, sender and agency a fact names are those of the submission."""
    data = found.event.data
    if data.get("sender", sender) != sender:
        raise VerificationFailed("the event names another sender", step="document")
    if data.get("envelope_digest", digest) != digest:
        raise VerificationFailed("the event speaks of another envelope", step="document")
    if data.get("agency", sender) not in {sender, *recipients}:
        raise VerificationFailed(
            "the event is about an agency that the document was not sent to", step="document"
        )


def _content(attachments: tuple[Attachment, ...], case: _Case, whose: str) -> Opinion:
    look = case.checks.content
    if look is None:
        return _proven(
            f"The {whose} size and SHA-256 of {len(attachments)} attachments; their content"
            " was not looked at."
        )
    missing = []
    for number, attachment in enumerate(attachments, start=1):
        found = look(case.bundle.exchange_id, attachment.name, attachment.size)
        if found is None:
            missing.append(str(number))
        elif found != (attachment.size, attachment.sha256):
            raise VerificationFailed(
                f"attachment {number} is not the one that the {whose}", step="content"
            )
    if missing:
        return Opinion(
            Verdict.NOT_CHECKED, f"Attachments that are not there: {', '.join(missing)}."
        )
    return _proven(f"The {len(attachments)} attachments beside it are those the {whose}.")


# --- Enrolments and the log's own keys --------------------------------------------------


def _enrolments(bundle: Bundle, trees: _Trees) -> Iterator[tuple[int, VerifiedEnrolment]]:
    for held in bundle.enrolments:
        position = position_of(held.receipt)
        with _at(position):
            enrolled = enrolment_in(trees.verify(held.receipt), held.certificate)
        yield position, enrolled


def _enrolment_steps(held: BundledEnrolment, case: _Case) -> Iterator[Opinion]:
    position, checks = position_of(held.receipt), case.checks
    enrolled = case.enrolments[position]
    used = [found for found in case.facts if found.event.data.get("enrolment") == position]
    if not used:
        raise VerificationFailed(
            f"no fact of the file relied on the enrolment at position {position}", step="enrolment"
        )
    for one in held.revocation:
        yield _stored_step(one.data, case.trees.verify(one.receipt))
    der, at, issuers = held.certificate, _moments(used), held.issuers
    which = f"Enrolment at position {position}"
    yield _about(which, checks.beyond.chain(der, issuers=issuers, at=at))
    stored = held.revocation
    yield _about(which, checks.beyond.revocation(der, issuers=issuers, stored=stored, at=at))
    names, last = {enrolled.key.key_id, enrolled.certificate}, used[-1].verified
    yield checks.between(names, position, last.position, under=last.checkpoint)


def _moments(used: list[_Found]) -> list[datetime]:
    # A chain that held first and last held in between: its windows have no holes.
    return sorted({used[0].event.time, used[-1].event.time})


def _stored_step(data: bytes, verified: VerifiedReceipt) -> Opinion:
    digest = hashlib.sha256(data).hexdigest()
    stored = verified.event.topic == _REVOCATION_STORED
    if not stored or digest not in verified.event.data.values():
        raise VerificationFailed(
            f"the event at position {verified.position} stored other evidence", step="enrolment"
        )
    return _proven(
        f"Position {verified.position}: the log stored what the issuer said of revocation."
    )


def _hub_keys_step(receipts: Iterable[Receipt], trees: _Trees) -> Opinion:
    positions = []
    for receipt in receipts:
        verified = trees.verify(receipt)
        if not verified.event.topic.startswith(_ABOUT_THE_LOG):
            raise VerificationFailed(
                f"the event at position {verified.position} is not about the log's keys",
                step="hub_keys",
            )
        positions.append(verified.position)
    return _proven(
        f"The log records {len(positions)} events about itself and its keys, the last at position"
        f" {positions[-1]}."
    )


# --- Words ------------------------------------------------------------------------------


def _proven(text: str) -> Opinion:
    return Opinion(Verdict.PROVEN, text)


def _about(what: str, opinion: Opinion) -> Opinion:
    return Opinion(opinion.verdict, f"{what}: {_lowered(opinion.text)}")


def _lowered(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}"


@contextmanager
def _at(position: int) -> Iterator[None]:
    """Say at which position something failed."""
    try:
        yield
    except ConsistencyNeeded:
        raise
    except VerificationFailed as failure:
        raise VerificationFailed(f"position {position}: {failure}", step=failure.step) from failure
